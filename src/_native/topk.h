/* The k best of a stream of scores, without sorting the rest. */
#ifndef AGM_TOPK_H
#define AGM_TOPK_H

#include "simd/kernels.h"

/* A min-heap of packed entries: an order-preserving image of the score above the complement of
 * the index, so that one integer comparison ranks by score, then by smaller index, with NaN
 * after everything and -0 equal to +0. */
typedef struct {
    uint64_t *entries; /* room for capacity, owned by the caller */
    size_t capacity;
    size_t size;
} agm_heap;

/* Offer scores[0..n) whose indices are base, base + 1...; base + n <= 2**32.  Entries with a
 * zero in mask (may be NULL) are skipped; with has_threshold also those that are not
 * >= threshold (NaN is not).  Offer in ascending order of index. */
void agm_heap_offer(agm_heap *heap, const agm_kernels *kernels, const float *scores, size_t n,
                    const uint8_t *mask, uint32_t base, int has_threshold, float threshold);

/* Sort best first and unpack the indices; the heap is consumed. */
void agm_heap_drain(agm_heap *heap, int64_t *indices, float *scores);

#endif
