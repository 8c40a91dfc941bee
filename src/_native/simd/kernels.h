/* The table of vector kernels: one implementation per instruction set, picked once.
 *
 * Every pointer is to C-contiguous, unaligned memory.  Lengths may be zero.  A row's result
 * depends only on that row (and the query), never on its neighbours, its place in the matrix
 * or the number of rows: a score is the same on every path that computes it.  float16 is
 * widened exactly, so scores_f16 equals scores_f32 over the widened matrix bit for bit.
 */
#ifndef AGM_KERNELS_H
#define AGM_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Parts of the scores of texts that stand in runs, see conversation.h. */
typedef struct {
    const float *dense, *own, *window, *length, *of_run;
    const float *before, *after; /* 1 where the run has a text before, after; else 0 */
    float *mine;                 /* with room for one more on each side */
    float w_dense, w_own, beside, w_window, w_length;
} agm_parts;

typedef struct {
    const char *name;

    /* out[i] = dot(matrix[i], query), float32 accumulation. */
    void (*scores_f32)(const float *matrix, size_t rows, size_t dim, const float *query,
                       float *out);
    void (*scores_f16)(const uint16_t *matrix, size_t rows, size_t dim, const float *query,
                       float *out);
    /* out[i] = dot(codes[i], query), exact for dim < 2**17. */
    void (*scores_i8)(const int8_t *codes, size_t rows, size_t dim, const int8_t *query,
                      int32_t *out);

    /* IEEE round to nearest even; overflow gives infinity. */
    void (*to_f16)(const float *in, size_t n, uint16_t *out);
    void (*from_f16)(const uint16_t *in, size_t n, float *out);

    /* Rows divided by their L2 norm in place.  Zero rows stay; rows whose norm is not finite
     * become all-NaN. */
    void (*normalize)(float *rows, size_t n, size_t dim, float *norms);

    /* codes = round(row * 127 / max|row|), scales = max|row| / 127.  A row below 1e-30 in
     * magnitude is all zeros with scale 0, one with NaN or infinity zeros with scale NaN. */
    void (*quantize)(const float *rows, size_t n, size_t dim, int8_t *codes, float *scales);
    void (*dequantize)(const int8_t *codes, const float *scales, size_t n, size_t dim,
                       float *out);

    /* out = sum_t w[ids[t]] * table[ids[t]] / sum_t w[ids[t]]; weights NULL means all one.
     * No ids, or weights that sum to zero, give zeros.  Summed in the order of ids. */
    void (*pool_f32)(const float *table, size_t dim, const float *weights, const int32_t *ids,
                     size_t n, float *out);
    void (*pool_f16)(const uint16_t *table, size_t dim, const float *weights,
                     const int32_t *ids, size_t n, float *out);

    /* out[i] = products[i] * scales[i] * factor. */
    void (*scale_products)(const int32_t *products, const float *scales, float factor, size_t n,
                           float *out);

    /* mine = dense * w_dense + own * w_own, and of each of n texts
     * mine + beside * (before * mine[-1] + after * mine[+1]) + of_run
     *      + (w_window * window + w_length * length). */
    void (*totals)(const agm_parts *parts, size_t n, float *total);

    /* The first i >= start with !(scores[i] <= bound): greater, or either one NaN; else n. */
    size_t (*next_above)(const float *scores, size_t start, size_t n, float bound);
} agm_kernels;

/* Filled by dispatch.c, shared between the extension modules through a capsule. */
typedef struct {
    const agm_kernels *current;
} agm_dispatch;

/* Levels from the lowest to the highest that this processor and operating system can run;
 * writes at most 4 and returns how many. */
size_t agm_available(const agm_kernels **levels);

extern const agm_kernels agm_kernels_scalar;
#ifdef AGM_WITH_AVX2
extern const agm_kernels agm_kernels_avx2;
#endif
#ifdef AGM_WITH_AVX512
extern const agm_kernels agm_kernels_avx512;
#endif
#ifdef AGM_WITH_NEON
extern const agm_kernels agm_kernels_neon;
#endif

#endif
