"""C declarations of the kernel table and of the plain C parts; nothing here exists at run time."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "simd/kernels.h" nogil:
    ctypedef struct agm_kernels:
        const char *name
        void (*scores_f32)(const float *, size_t, size_t, const float *, float *) noexcept nogil
        void (*scores_f16)(const uint16_t *, size_t, size_t, const float *, float *) noexcept nogil
        void (*scores_i8)(const int8_t *, size_t, size_t, const int8_t *, int32_t *) noexcept nogil
        void (*to_f16)(const float *, size_t, uint16_t *) noexcept nogil
        void (*from_f16)(const uint16_t *, size_t, float *) noexcept nogil
        void (*normalize)(float *, size_t, size_t, float *) noexcept nogil
        void (*quantize)(const float *, size_t, size_t, int8_t *, float *) noexcept nogil
        void (*dequantize)(const int8_t *, const float *, size_t, size_t, float *) noexcept nogil
        void (*scale_products)(const int32_t *, const float *, float, size_t, float *) noexcept nogil
        void (*pool_f32)(const float *, size_t, const float *, const int32_t *, size_t,
                         float *) noexcept nogil
        void (*pool_f16)(const uint16_t *, size_t, const float *, const int32_t *, size_t,
                         float *) noexcept nogil
        size_t (*next_above)(const float *, size_t, size_t, float) noexcept nogil

    ctypedef struct agm_dispatch:
        const agm_kernels *current

    size_t agm_available(const agm_kernels **levels)


cdef extern from "blake2b.h" nogil:
    enum: AGM_DIGEST_SIZE
    void agm_blake2b_128(const uint8_t *data, size_t size, uint8_t *digest)


cdef extern from "rotate.h" nogil:
    void agm_rotate(float *rows, size_t n, size_t dim)


cdef extern from "topk.h" nogil:
    ctypedef struct agm_heap:
        uint64_t *entries
        size_t capacity
        size_t size

    void agm_heap_offer(agm_heap *heap, const agm_kernels *kernels, const float *scores, size_t n,
                        const uint8_t *mask, uint32_t base, bint has_threshold, float threshold)
    void agm_heap_drain(agm_heap *heap, int64_t *indices, float *scores)


cdef extern from "postings.h" nogil:
    ctypedef struct agm_postings:
        size_t documents
        size_t distinct
        size_t total
        uint64_t *terms
        int64_t *starts
        int32_t *docs
        uint16_t *counts
        uint32_t *lengths

    int agm_postings_build(agm_postings *self, size_t documents, const int64_t *offsets,
                           const uint64_t *terms, const uint16_t *counts, const uint32_t *lengths)
    void agm_postings_free(agm_postings *self)
    size_t agm_postings_bytes(const agm_postings *self)
    void agm_postings_df(const agm_postings *self, const uint64_t *terms, size_t n,
                         const uint8_t *live, int64_t *out)
    void agm_postings_bm25(const agm_postings *self, const uint64_t *terms, const float *weights,
                           size_t n, float k1, float b, float average, float *out)


cdef extern from "conversation.h" nogil:
    ctypedef struct agm_text:
        const agm_postings *postings
        const int32_t *slots

    ctypedef struct agm_runs:
        int32_t slots
        int32_t runs
        const int32_t *starts
        const int32_t *run_of
        const float *lengths
        const float *window_lengths
        const float *run_lengths
        float length
        float window_length
        float run_length
        int32_t window

    ctypedef struct agm_whole:
        int32_t slots
        int32_t runs
        const int32_t *texts_with
        const int32_t *runs_with

    ctypedef struct agm_weights:
        float dense
        float keyword
        float window
        float neighbour
        float run_keyword
        float run_dense
        float actor
        float length

    ctypedef struct agm_segment:
        const void *matrix
        bint half
        size_t rows
        const int32_t *slots
        int32_t first
        bint live
        const int64_t *keys
        const int8_t *codes
        const float *scales
        float length
        float error

    ctypedef struct agm_conversation:
        const agm_kernels *kernels
        const agm_segment *segments
        const agm_text *texts
        size_t n_segments
        size_t rows
        size_t largest
        size_t dim
        agm_runs runs
        const float *length_part
        const float *before
        const float *after
        const int32_t *actors
        const int32_t *segment_of
        const int32_t *row_of

    ctypedef struct agm_query:
        const float *vector
        const uint64_t *terms
        const uint16_t *counts
        const uint8_t *names
        size_t n_terms
        const uint8_t *asked
        const float *extra
        const agm_weights *weights
        const agm_whole *whole
        float k1
        float b

    ctypedef struct agm_ranked:
        float score
        int32_t segment
        int32_t row
        int64_t key

    size_t agm_conversation_work(const agm_conversation *self)
    void agm_conversation_score(const agm_conversation *self, const agm_query *question,
                                float *work, float *out)
    int64_t agm_conversation_best(const agm_conversation *self, const agm_query *question,
                                  const uint8_t **masks, size_t k, bint has_threshold,
                                  float threshold, float *work, agm_ranked *found)


cdef extern from "volumes.h" nogil:
    ctypedef struct agm_volume:
        int32_t slots
        int32_t runs
        const int32_t *starts
        const float *lengths
        const float *window_lengths
        const float *run_lengths
        const float *shortest
        const float *shortest_window
        const int64_t *keys
        const int32_t *actors
        const int64_t *event_at
        int32_t window
        int32_t longest
        const agm_kernels *kernels

    ctypedef struct agm_list:
        const int32_t *slots
        const uint16_t *counts
        int64_t n
        const int32_t *runs
        const uint16_t *run_counts
        int64_t n_runs
        float weight
        float run_weight
        uint8_t name

    ctypedef struct agm_question:
        agm_weights weights
        float k1
        float b
        float length
        float window_length
        float run_length
        const uint8_t *asked
        const int64_t *spans
        size_t n_spans
        double fade
        float date
        const float *length_part
        size_t n_length_part
        const float *extra
        const uint8_t *live
        const uint8_t *mask
        float floor

    int64_t agm_volume_best(const agm_volume *volume, const agm_list *lists, size_t n_lists,
                            const agm_question *question, int64_t room, int32_t *slots,
                            float *scores)


cdef extern from "words.h" nogil:
    ctypedef struct agm_words:
        size_t count
        size_t limit

    int agm_words_init(agm_words *self, size_t limit, uint64_t seed)
    void agm_words_free(agm_words *self)
    size_t agm_words_bytes(const agm_words *self)
    bint agm_words_get(const agm_words *self, const uint8_t *key, size_t size, uint64_t *value)
    int agm_words_put(agm_words *self, const uint8_t *key, size_t size, uint64_t value)
    void agm_sort_terms(uint64_t *terms, size_t n)
