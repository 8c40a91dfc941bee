/* Kernels in plain C, included by each instruction set's file: the loops are written so that
 * the compiler vectorises them with whatever that file is compiled for, and their results are
 * the same to the last bit everywhere.  No libm: a wheel must not need a newer glibc for it.
 */
#ifndef AGM_PORTABLE_H
#define AGM_PORTABLE_H

#include <string.h>

#include "kernels.h"

#if defined(_MSC_VER) && !defined(__clang__)
#include <math.h>
#define AGM_INLINE static __forceinline
#define agm_sqrtf(x) sqrtf(x)
#define agm_sqrt(x) sqrt(x)
#else
/* With -fno-math-errno these are one instruction, no call. */
#define AGM_INLINE static inline __attribute__((always_inline))
#define agm_sqrtf(x) __builtin_sqrtf(x)
#define agm_sqrt(x) __builtin_sqrt(x)
#endif

AGM_INLINE uint32_t agm_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

AGM_INLINE float agm_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Above this, squares of finite floats may overflow; below, they lose bits. */
#define AGM_SQUARES_LOW 1e-20f
#define AGM_SQUARES_HIGH 1e30f

/* Whether a row with this sum of squares has norm 1 up to rounding.  To divide it would change its
 * last bits, back and forth: what was normalised once stays as it is. */
AGM_INLINE int agm_is_one(float squares) {
    return squares > 1.0f - 2e-6f && squares < 1.0f + 2e-6f;
}

/* A row whose float32 sum of squares cannot be trusted, in double; returns the norm. */
AGM_INLINE float agm_normalize_slow(float *row, size_t dim) {
    double sum = 0.0;
    for (size_t j = 0; j < dim; j++) sum += (double)row[j] * (double)row[j];
    const double norm = agm_sqrt(sum);
    if (norm == 0.0) return 0.0f;
    if (!(norm <= 3.4028234663852886e38)) {
        const float nan = agm_float(0x7fc00000u);
        for (size_t j = 0; j < dim; j++) row[j] = nan;
        return norm != norm ? nan : agm_float(0x7f800000u);
    }
    for (size_t j = 0; j < dim; j++) row[j] = (float)((double)row[j] / norm);
    return (float)norm;
}

static void agm_quantize(const float *rows, size_t n, size_t dim, int8_t *codes,
                         float *scales) {
    for (size_t i = 0; i < n; i++) {
        const float *row = rows + i * dim;
        int8_t *out = codes + i * dim;
        /* The bits of |x| order as |x| does, and an integer maximum vectorises. */
        uint32_t largest = 0;
        for (size_t j = 0; j < dim; j++) {
            const uint32_t bits = agm_bits(row[j]) & 0x7fffffffu;
            largest = bits > largest ? bits : largest;
        }
        const float peak = agm_float(largest);
        if (largest >= 0x7f800000u || peak < 1e-30f) {
            memset(out, 0, dim);
            scales[i] = largest >= 0x7f800000u ? agm_float(0x7fc00000u) : 0.0f;
            continue;
        }
        const float inverse = 127.0f / peak;
        const float magic = 12582912.0f; /* 1.5 * 2**23: adding it rounds to nearest even */
        for (size_t j = 0; j < dim; j++) {
            out[j] = (int8_t)(int32_t)((row[j] * inverse + magic) - magic);
        }
        scales[i] = peak / 127.0f;
    }
}

static void agm_dequantize(const int8_t *codes, const float *scales, size_t n, size_t dim,
                           float *out) {
    for (size_t i = 0; i < n; i++) {
        const float scale = scales[i];
        for (size_t j = 0; j < dim; j++) out[i * dim + j] = (float)codes[i * dim + j] * scale;
    }
}

static void agm_scale_products(const int32_t *restrict products, const float *restrict scales,
                               float factor, size_t n, float *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = (float)products[i] * (scales[i] * factor);
}

static void agm_totals(const agm_parts *parts, size_t n, float *restrict total) {
    const float *restrict dense = parts->dense, *restrict own = parts->own;
    const float *restrict window = parts->window, *restrict length = parts->length;
    const float *restrict before = parts->before, *restrict after = parts->after;
    const float *restrict of_run = parts->of_run;
    float *mine = parts->mine;
    const float w_dense = parts->w_dense, w_own = parts->w_own, beside = parts->beside;
    const float w_window = parts->w_window, w_length = parts->w_length;
    mine[-1] = mine[n] = 0.0f;
    for (size_t i = 0; i < n; i++) mine[i] = w_dense * dense[i] + w_own * own[i];
    const float *left = mine - 1, *right = mine + 1;
    for (size_t i = 0; i < n; i++) {
        const float near = before[i] * left[i] + after[i] * right[i];
        total[i] = (mine[i] + beside * near + of_run[i]) +
                   (w_window * window[i] + w_length * length[i]);
    }
}

static size_t agm_next_above(const float *scores, size_t start, size_t n, float bound) {
    size_t i = start;
    for (; i + 64 <= n; i += 64) {
        uint32_t any = 0;
        for (size_t j = 0; j < 64; j++) any |= (uint32_t) !(scores[i + j] <= bound);
        if (any) break;
    }
    for (; i < n; i++) {
        if (!(scores[i] <= bound)) return i;
    }
    return n;
}

/* The divisor of a weighted mean. */
AGM_INLINE float agm_total_weight(const float *weights, const int32_t *ids, size_t n) {
    if (!weights) return (float)n;
    double total = 0.0;
    for (size_t t = 0; t < n; t++) total += (double)weights[ids[t]];
    return (float)total;
}

#endif
