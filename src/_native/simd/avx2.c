/* AVX2, FMA and F16C: x86-64 since 2013 (Haswell, Excavator). */
#include <immintrin.h>

#include "portable.h"

#define LANES 8
typedef __m256 vec;

AGM_INLINE vec vec_zero(void) { return _mm256_setzero_ps(); }
AGM_INLINE vec vec_set(float x) { return _mm256_set1_ps(x); }
AGM_INLINE vec vec_load(const float *p) { return _mm256_loadu_ps(p); }
AGM_INLINE void vec_store(float *p, vec v) { _mm256_storeu_ps(p, v); }
AGM_INLINE vec vec_load_half(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
AGM_INLINE void vec_store_half(uint16_t *p, vec v) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
AGM_INLINE vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
AGM_INLINE vec vec_add(vec a, vec b) { return _mm256_add_ps(a, b); }
AGM_INLINE vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
AGM_INLINE float vec_sum(vec v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    s = _mm_add_ss(s, _mm_movehdup_ps(s));
    return _mm_cvtss_f32(s);
}

#include "wide.h"

AGM_INLINE __m256i widen_codes(const int8_t *p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p));
}

static void scores_i8(const int8_t *codes, size_t rows, size_t dim, const int8_t *query,
                      int32_t *out) {
    for (size_t i = 0; i < rows; i++) {
        const int8_t *row = codes + i * dim;
        __m256i even = _mm256_setzero_si256(), odd = even;
        size_t j = 0;
        for (; j + 32 <= dim; j += 32) {
            even = _mm256_add_epi32(
                even, _mm256_madd_epi16(widen_codes(row + j), widen_codes(query + j)));
            odd = _mm256_add_epi32(
                odd, _mm256_madd_epi16(widen_codes(row + j + 16), widen_codes(query + j + 16)));
        }
        even = _mm256_add_epi32(even, odd);
        __m128i s = _mm_add_epi32(_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1));
        s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 1));
        int32_t sum = _mm_cvtsi128_si32(s);
        for (; j < dim; j++) sum += (int32_t)row[j] * (int32_t)query[j];
        out[i] = sum;
    }
}

const agm_kernels agm_kernels_avx2 = {
    "avx2",    scores_f32,   scores_f16,     scores_i8, to_f16,   from_f16,
    normalize, agm_quantize, agm_dequantize, pool_f32,  pool_f16, agm_scale_products,
    agm_totals, agm_next_above,
};
