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

/* The sums of four vectors, modulo 2**32: turned so that lanes are added across vectors, in half the
 * steps of four sums one by one. */
AGM_INLINE __m128i sum_four(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i all =
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i h =
        _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
}

/* Of `rows` <= 4 rows, less the bias; lanes past them are anything. */
AGM_INLINE __m128i dots_i8(const int8_t *codes, size_t rows, size_t dim, const int8_t *query,
                           __m128i bias) {
    __m512i sums[4];
    size_t j = 0;
    for (size_t r = 0; r < 4; r++) sums[r] = _mm512_setzero_si512();
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
    return _mm_sub_epi32(sum_four(sums[0], sums[1], sums[2], sums[3]), bias);
}

static void scores_i8(const int8_t *codes, size_t rows, size_t dim, const int8_t *query,
                      int32_t *out) {
    uint32_t sum = 0; /* modulo 2**32, as the sums are until it is taken off */
    size_t i = 0;
    for (size_t j = 0; j < dim; j++) sum += 128u * (uint32_t)query[j];
    const __m128i bias = _mm_set1_epi32((int32_t)sum);
    for (; i + 4 <= rows; i += 4) {
        _mm_storeu_si128((__m128i *)(out + i), dots_i8(codes + i * dim, 4, dim, query, bias));
    }
    for (; i < rows; i++) {
        out[i] = _mm_cvtsi128_si32(dots_i8(codes + i * dim, 1, dim, query, bias));
    }
}

const agm_kernels agm_kernels_avx512 = {
    "avx512",  scores_f32,   scores_f16,     scores_i8, to_f16,   from_f16,
    normalize, agm_quantize, agm_dequantize, pool_f32,  pool_f16, agm_scale_products,
    agm_totals, agm_next_above,
};
