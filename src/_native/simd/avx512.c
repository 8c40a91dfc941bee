/* AVX-512 F, DQ, BW, VL and VNNI: Ice Lake, Zen 4 and later. */
#include <immintrin.h>

#include "portable.h"

#define LANES 16
typedef __m512 vec;

AGM_INLINE vec vec_zero(void) { return _mm512_setzero_ps(); }
AGM_INLINE vec vec_set(float x) { return _mm512_set1_ps(x); }
AGM_INLINE vec vec_load(const float *p) { return _mm512_loadu_ps(p); }
AGM_INLINE void vec_store(float *p, vec v) { _mm512_storeu_ps(p, v); }
AGM_INLINE vec vec_load_half(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
AGM_INLINE void vec_store_half(uint16_t *p, vec v) {
    _mm256_storeu_si256((__m256i *)p,
                        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
AGM_INLINE vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
AGM_INLINE vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
AGM_INLINE vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
AGM_INLINE float vec_sum(vec v) {
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    s = _mm_add_ss(s, _mm_movehdup_ps(s));
    return _mm_cvtss_f32(s);
}

#include "wide.h"

/* VPDPBUSD multiplies unsigned by signed bytes.  A code plus 128 is unsigned, and
 * sum((c + 128) * q) - 128 * sum(q) is the sum wanted; the instruction does not saturate. */
AGM_INLINE __m512i dot_codes(__m512i sums, __m512i codes, __m512i query) {
    return _mm512_dpbusd_epi32(sums, _mm512_xor_si512(codes, _mm512_set1_epi8((char)-128)),
                               query);
}

/* Modulo 2**32; the compiler's own reduction ends in signed additions that must not overflow. */
AGM_INLINE uint32_t sum_lanes(__m512i v) {
    const __m256i h = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 1));
    return (uint32_t)_mm_cvtsi128_si32(s);
}

AGM_INLINE void dots_i8(const int8_t *codes, size_t rows, size_t dim, const int8_t *query,
                        uint32_t bias, int32_t *out) {
    __m512i sums[4];
    size_t j = 0;
    for (size_t r = 0; r < rows; r++) sums[r] = _mm512_setzero_si512();
    for (; j + 64 <= dim; j += 64) {
        const __m512i q = _mm512_loadu_si512(query + j);
        for (size_t r = 0; r < rows; r++) {
            sums[r] = dot_codes(sums[r], _mm512_loadu_si512(codes + r * dim + j), q);
        }
    }
    if (j < dim) {
        /* Lanes past the end hold code 0 and query 0, and add nothing. */
        const __mmask64 mask = ((__mmask64)1 << (dim - j)) - 1;
        const __m512i q = _mm512_maskz_loadu_epi8(mask, query + j);
        for (size_t r = 0; r < rows; r++) {
            sums[r] = dot_codes(sums[r], _mm512_maskz_loadu_epi8(mask, codes + r * dim + j), q);
        }
    }
    for (size_t r = 0; r < rows; r++) out[r] = (int32_t)(sum_lanes(sums[r]) - bias);
}

static void scores_i8(const int8_t *codes, size_t rows, size_t dim, const int8_t *query,
                      int32_t *out) {
    uint32_t bias = 0; /* modulo 2**32, as the sums are until it is taken off */
    size_t i = 0;
    for (size_t j = 0; j < dim; j++) bias += 128u * (uint32_t)query[j];
    for (; i + 4 <= rows; i += 4) dots_i8(codes + i * dim, 4, dim, query, bias, out + i);
    for (; i < rows; i++) dots_i8(codes + i * dim, 1, dim, query, bias, out + i);
}

const agm_kernels agm_kernels_avx512 = {
    "avx512",  scores_f32,   scores_f16,     scores_i8, to_f16,   from_f16,
    normalize, agm_quantize, agm_dequantize, pool_f32,  pool_f16, agm_scale_products,
    agm_totals, agm_next_above,
};
