/* The reference: plain C for any processor, float16 converted in software. */
#include "portable.h"

#define LANES 8 /* partial sums, so that the compiler may use whatever vectors it has */

static float widen(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t rest = half & 0x7fffu;
    if (rest >= 0x7c00u) return agm_float(sign | 0x7f800000u | (rest << 13));
    if (rest >= 0x0400u) return agm_float(sign | ((rest << 13) + (112u << 23)));
    /* Subnormal: rest * 2**-24, computed on normal numbers only. */
    const float value = (float)(int32_t)rest * 5.9604644775390625e-08f;
    return agm_float(sign | agm_bits(value));
}

static uint16_t narrow(float value) {
    const uint32_t bits = agm_bits(value);
    const uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    const uint32_t rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((rest >> 13) & 0x1ffu));
    if (rest >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and above */
    if (rest >= 0x38800000u) { /* normal: drop 13 bits, to nearest even */
        return (uint16_t)(sign | ((rest - (112u << 23) + 0x0fffu + ((rest >> 13) & 1u)) >> 13));
    }
    if (rest < 0x33000000u) return sign; /* under half of the smallest subnormal */
    const uint32_t shift = 126u - (rest >> 23);
    const uint32_t mantissa = (rest & 0x007fffffu) | 0x00800000u;
    const uint32_t half = 1u << (shift - 1u);
    const uint32_t odd = (mantissa >> shift) & 1u;
    return (uint16_t)(sign | ((mantissa + half - 1u + odd) >> shift));
}

static void from_f16(const uint16_t *in, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = widen(in[i]);
}

static void to_f16(const float *in, size_t n, uint16_t *out) {
    for (size_t i = 0; i < n; i++) out[i] = narrow(in[i]);
}

static float dot(const float *a, const float *b, size_t dim) {
    float sums[LANES] = {0};
    size_t j = 0;
    for (; j + LANES <= dim; j += LANES) {
        for (size_t k = 0; k < LANES; k++) sums[k] += a[j + k] * b[j + k];
    }
    for (size_t k = 0; j < dim; j++, k++) sums[k] += a[j] * b[j];
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) +
           ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

static float dot_half(const uint16_t *a, const float *b, size_t dim) {
    float sums[LANES] = {0};
    size_t j = 0;
    for (; j + LANES <= dim; j += LANES) {
        for (size_t k = 0; k < LANES; k++) sums[k] += widen(a[j + k]) * b[j + k];
    }
    for (size_t k = 0; j < dim; j++, k++) sums[k] += widen(a[j]) * b[j];
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) +
           ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

static void scores_f32(const float *matrix, size_t rows, size_t dim, const float *query,
                       float *out) {
    for (size_t i = 0; i < rows; i++) out[i] = dot(matrix + i * dim, query, dim);
}

static void scores_f16(const uint16_t *matrix, size_t rows, size_t dim, const float *query,
                       float *out) {
    for (size_t i = 0; i < rows; i++) out[i] = dot_half(matrix + i * dim, query, dim);
}

static void scores_i8(const int8_t *codes, size_t rows, size_t dim, const int8_t *query,
                      int32_t *out) {
    for (size_t i = 0; i < rows; i++) {
        const int8_t *row = codes + i * dim;
        int32_t sum = 0;
        for (size_t j = 0; j < dim; j++) sum += (int32_t)row[j] * (int32_t)query[j];
        out[i] = sum;
    }
}

static void normalize(float *rows, size_t n, size_t dim, float *norms) {
    for (size_t i = 0; i < n; i++) {
        float *row = rows + i * dim;
        const float squares = dot(row, row, dim);
        if (agm_is_one(squares)) {
            norms[i] = 1.0f;
        } else if (squares > AGM_SQUARES_LOW && squares < AGM_SQUARES_HIGH) {
            const float norm = agm_sqrtf(squares);
            const float inverse = 1.0f / norm;
            for (size_t j = 0; j < dim; j++) row[j] *= inverse;
            norms[i] = norm;
        } else {
            norms[i] = agm_normalize_slow(row, dim);
        }
    }
}

static void finish_pool(float *out, size_t dim, float total) {
    const float inverse = total != 0.0f ? 1.0f / total : 0.0f;
    for (size_t j = 0; j < dim; j++) out[j] = total != 0.0f ? out[j] * inverse : 0.0f;
}

static void pool_f32(const float *table, size_t dim, const float *weights, const int32_t *ids,
                     size_t n, float *out) {
    memset(out, 0, dim * sizeof *out);
    for (size_t t = 0; t < n; t++) {
        const float *row = table + (size_t)ids[t] * dim;
        const float weight = weights ? weights[ids[t]] : 1.0f;
        for (size_t j = 0; j < dim; j++) out[j] += row[j] * weight;
    }
    finish_pool(out, dim, agm_total_weight(weights, ids, n));
}

static void pool_f16(const uint16_t *table, size_t dim, const float *weights,
                     const int32_t *ids, size_t n, float *out) {
    memset(out, 0, dim * sizeof *out);
    for (size_t t = 0; t < n; t++) {
        const uint16_t *row = table + (size_t)ids[t] * dim;
        const float weight = weights ? weights[ids[t]] : 1.0f;
        for (size_t j = 0; j < dim; j++) out[j] += widen(row[j]) * weight;
    }
    finish_pool(out, dim, agm_total_weight(weights, ids, n));
}

const agm_kernels agm_kernels_scalar = {
    "scalar",  scores_f32,   scores_f16,     scores_i8, to_f16,   from_f16,
    normalize, agm_quantize, agm_dequantize, pool_f32,  pool_f16, agm_scale_products,
    agm_totals, agm_next_above,
};
