/* Inverted lists of one segment: term -> (document, count), immutable once built. */
#ifndef AGM_POSTINGS_H
#define AGM_POSTINGS_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t documents;
    size_t distinct; /* terms */
    size_t total;    /* postings */
    size_t slots;    /* of the lookup table: a power of two, at least twice distinct */
    int32_t *lookup; /* slot -> number of a term, or -1 */
    uint64_t *terms; /* number -> hash */
    int64_t *starts; /* number -> first posting; distinct + 1 */
    int32_t *docs;   /* ascending within a term */
    uint16_t *counts;
    uint32_t *lengths; /* of each document */
} agm_postings;

enum { AGM_POSTINGS_OK = 0, AGM_POSTINGS_NO_MEMORY = -1 };

/* From CSR document -> terms; offsets[0] == 0, non-decreasing, documents < 2**31.  The input is
 * copied.  On failure nothing is held. */
int agm_postings_build(agm_postings *self, size_t documents, const int64_t *offsets,
                       const uint64_t *terms, const uint16_t *counts, const uint32_t *lengths);
void agm_postings_free(agm_postings *self);
size_t agm_postings_bytes(const agm_postings *self);

/* The number of a term, or -1. */
int32_t agm_postings_find(const agm_postings *self, uint64_t term);

/* Documents with each term; only those with a non-zero in live (may be NULL). */
void agm_postings_df(const agm_postings *self, const uint64_t *terms, size_t n,
                     const uint8_t *live, int64_t *out);

/* out[doc] = sum over the terms it has of
 *   weight * count * (k1 + 1) / (count + k1 * (1 - b + b * length / average)). */
void agm_postings_bm25(const agm_postings *self, const uint64_t *terms, const float *weights,
                       size_t n, float k1, float b, float average, float *out);

#endif
