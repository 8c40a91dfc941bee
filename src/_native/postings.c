#include "postings.h"

#include <stdlib.h>
#include <string.h>

static size_t slot_of(uint64_t term, size_t slots) {
    /* Terms are hashes already, but not necessarily good ones in their low bits. */
    return (size_t)((term * 0x9e3779b97f4a7c15u) >> 32) & (slots - 1);
}

int32_t agm_postings_find(const agm_postings *self, uint64_t term) {
    if (!self->slots) return -1;
    size_t slot = slot_of(term, self->slots);
    for (;;) {
        const int32_t number = self->lookup[slot];
        if (number < 0 || self->terms[number] == term) return number;
        slot = (slot + 1) & (self->slots - 1);
    }
}

/* Double the lookup table and the room for distinct terms. */
static int grow(agm_postings *self) {
    const size_t slots = self->slots ? self->slots * 2 : 1024;
    int32_t *lookup = malloc(slots * sizeof *lookup);
    uint64_t *terms = realloc(self->terms, (slots / 2) * sizeof *terms);
    if (terms) self->terms = terms;
    if (!lookup || !terms) {
        free(lookup);
        return AGM_POSTINGS_NO_MEMORY;
    }
    memset(lookup, 0xff, slots * sizeof *lookup);
    for (size_t number = 0; number < self->distinct; number++) {
        size_t slot = slot_of(self->terms[number], slots);
        while (lookup[slot] >= 0) slot = (slot + 1) & (slots - 1);
        lookup[slot] = (int32_t)number;
    }
    free(self->lookup);
    self->lookup = lookup;
    self->slots = slots;
    return AGM_POSTINGS_OK;
}

/* Number the terms in order of appearance: numbers[i] for each entry. */
static int number_terms(agm_postings *self, const uint64_t *terms, int32_t *numbers) {
    for (size_t i = 0; i < self->total; i++) {
        if (self->distinct * 2 >= self->slots && grow(self) != AGM_POSTINGS_OK) {
            return AGM_POSTINGS_NO_MEMORY;
        }
        size_t slot = slot_of(terms[i], self->slots);
        int32_t number;
        while ((number = self->lookup[slot]) >= 0 && self->terms[number] != terms[i]) {
            slot = (slot + 1) & (self->slots - 1);
        }
        if (number < 0) {
            number = (int32_t)self->distinct++;
            self->terms[number] = terms[i];
            self->lookup[slot] = number;
        }
        numbers[i] = number;
    }
    return AGM_POSTINGS_OK;
}

/* Counting sort of the entries by term number; documents stay ascending. */
static void scatter(agm_postings *self, const int64_t *offsets, const uint16_t *counts,
                    const int32_t *numbers) {
    memset(self->starts, 0, (self->distinct + 1) * sizeof *self->starts);
    for (size_t i = 0; i < self->total; i++) self->starts[numbers[i]]++;
    int64_t end = 0;
    for (size_t number = 0; number <= self->distinct; number++) {
        const int64_t size = self->starts[number];
        self->starts[number] = end;
        end += size;
    }
    for (size_t doc = 0; doc < self->documents; doc++) {
        for (int64_t i = offsets[doc]; i < offsets[doc + 1]; i++) {
            const int64_t at = self->starts[numbers[i]]++;
            self->docs[at] = (int32_t)doc;
            self->counts[at] = counts[i];
        }
    }
    /* Each start has moved to its own end, which is the next one's start. */
    for (size_t number = self->distinct; number > 0; number--) {
        self->starts[number] = self->starts[number - 1];
    }
    self->starts[0] = 0;
}

int agm_postings_build(agm_postings *self, size_t documents, const int64_t *offsets,
                       const uint64_t *terms, const uint16_t *counts, const uint32_t *lengths) {
    memset(self, 0, sizeof *self);
    self->documents = documents;
    self->total = (size_t)offsets[documents];
    self->lengths = malloc((documents + 1) * sizeof *self->lengths);
    self->docs = malloc((self->total + 1) * sizeof *self->docs);
    self->counts = malloc((self->total + 1) * sizeof *self->counts);
    int32_t *numbers = malloc((self->total + 1) * sizeof *numbers);
    int status = AGM_POSTINGS_NO_MEMORY;
    if (self->lengths && self->docs && self->counts && numbers) {
        status = number_terms(self, terms, numbers);
    }
    if (status == AGM_POSTINGS_OK) {
        self->starts = malloc((self->distinct + 1) * sizeof *self->starts);
        if (!self->starts) status = AGM_POSTINGS_NO_MEMORY;
    }
    if (status == AGM_POSTINGS_OK) {
        if (documents) memcpy(self->lengths, lengths, documents * sizeof *lengths);
        scatter(self, offsets, counts, numbers);
        uint64_t *exact = realloc(self->terms, (self->distinct + 1) * sizeof *exact);
        if (exact) self->terms = exact;
    } else {
        agm_postings_free(self);
    }
    free(numbers);
    return status;
}

void agm_postings_free(agm_postings *self) {
    free(self->lookup);
    free(self->terms);
    free(self->starts);
    free(self->docs);
    free(self->counts);
    free(self->lengths);
    memset(self, 0, sizeof *self);
}

size_t agm_postings_bytes(const agm_postings *self) {
    return self->slots * sizeof *self->lookup + (self->distinct + 1) * sizeof *self->terms +
           (self->distinct + 1) * sizeof *self->starts +
           (self->total + 1) * (sizeof *self->docs + sizeof *self->counts) +
           (self->documents + 1) * sizeof *self->lengths;
}

void agm_postings_df(const agm_postings *self, const uint64_t *terms, size_t n,
                     const uint8_t *live, int64_t *out) {
    for (size_t q = 0; q < n; q++) {
        const int32_t number = agm_postings_find(self, terms[q]);
        out[q] = 0;
        if (number < 0) continue;
        const int64_t start = self->starts[number], end = self->starts[number + 1];
        if (!live) {
            out[q] = end - start;
            continue;
        }
        int64_t found = 0;
        for (int64_t i = start; i < end; i++) found += live[self->docs[i]] != 0;
        out[q] = found;
    }
}

void agm_postings_bm25(const agm_postings *self, const uint64_t *terms, const float *weights,
                       size_t n, float k1, float b, float average, float *out) {
    /* A scope without a single word has no average; any length ratio will do. */
    const float slope = average > 0.0f ? k1 * b / average : 0.0f;
    const float base = k1 * (1.0f - b);
    if (self->documents) memset(out, 0, self->documents * sizeof *out);
    for (size_t q = 0; q < n; q++) {
        const int32_t number = agm_postings_find(self, terms[q]);
        if (number < 0) continue;
        const float weight = weights[q] * (k1 + 1.0f);
        const int64_t end = self->starts[number + 1];
        for (int64_t i = self->starts[number]; i < end; i++) {
            const int32_t doc = self->docs[i];
            const float count = (float)self->counts[i];
            out[doc] += weight * count / (count + (base + slope * (float)self->lengths[doc]));
        }
    }
}
