/* Scores of memories that stand in runs (sessions): each one's own words, those of the window
 * around it, those of its whole run, its neighbours.  Everything is computed over all live rows
 * of a partition, so that a score depends on nothing that was asked besides. */
#ifndef AGM_CONVERSATION_H
#define AGM_CONVERSATION_H

#include "postings.h"
#include "simd/kernels.h"

/* A name that one text in so many has, or more, is a familiar one: BM25 gives it next to no
 * weight, although it says whom a text is about.  To rarer names BM25 gives enough. */
enum { AGM_FAMILIAR = 10 };

/* A segment: its postings, and for each of its rows the slot, or -1 where the row is not live. */
typedef struct {
    const agm_postings *postings;
    const int32_t *slots;
} agm_text;

/* Live rows in slots: run after run, within a run in its order. */
typedef struct {
    int32_t slots;
    int32_t runs;
    const int32_t *starts; /* of each run; runs + 1 */
    const int32_t *run_of;
    const float *lengths;        /* in terms: of each slot's text, */
    const float *window_lengths; /* of the texts at most window slots away in its run, */
    const float *run_lengths;    /* and of each run */
    float length, window_length, run_length; /* their means */
    int32_t window;
} agm_runs;

/* The partition that these texts are a part of: how many texts and runs it has, and how many of
 * each have each term of the query. */
typedef struct {
    int32_t slots, runs;
    const int32_t *texts_with, *runs_with; /* terms */
} agm_whole;

/* What a query's words give.  The caller owns the arrays; window_count and run_count come and go
 * zeroed. */
typedef struct {
    float *own, *window; /* slots; BM25 */
    float *run;          /* runs */
    float share, run_share; /* one over the most that BM25 can be, of texts and windows, of runs */
    float *named;        /* slots; 1 where a familiar name of the query occurs, else 0 */
    int32_t *touched;    /* texts that have a term; room for slots */
    float *count;        /* and how often each has it */
    float *window_count; /* slots */
    float *run_count;    /* runs */
    int32_t *run_touched;
} agm_words_found;

/* BM25 as in postings.h, of every text, of every window and of every run taken as one text.
 * whole is NULL where the texts are all there is; else the means in runs are the whole's, too. */
void agm_conversation_words(const agm_text *texts, size_t n_texts, const agm_runs *runs,
                            const uint64_t *terms, const uint16_t *counts, const uint8_t *names,
                            size_t n_terms, const agm_whole *whole, float k1, float b,
                            agm_words_found *out);

/* What each part is multiplied with. */
typedef struct {
    float dense, keyword, window, neighbour, run_keyword, run_dense, actor, length;
} agm_weights;

/* A segment of the partition. */
typedef struct {
    const void *matrix; /* rows of float32, or of float16 if half */
    int half;
    size_t rows;
    const int32_t *slots;
    int32_t first;        /* row i has slot first + i; -1: they are not in order */
    int live;             /* every row has a slot */
    const int64_t *keys;  /* among equal scores the smaller one comes first */
    const int8_t *codes;  /* of the rows, see agentmem.index.codes; or NULL */
    const float *scales;
    float length, error;  /* the largest |s c| and |x - s c| of a row */
} agm_segment;

/* Everything that does not depend on the query. */
typedef struct {
    const agm_kernels *kernels;
    const agm_segment *segments;
    const agm_text *texts;
    size_t n_segments, rows, largest, dim;
    agm_runs runs;
    const float *length_part;     /* slots */
    const float *before, *after;  /* slots; 1 where the run has a text there, else 0 */
    const int32_t *actors;        /* slots; 0 where nobody is known to have said it */
    const int32_t *segment_of, *row_of; /* slots */
} agm_conversation;

typedef struct {
    const float *vector;
    const uint64_t *terms;
    const uint16_t *counts;
    const uint8_t *names; /* terms that are names; or NULL */
    size_t n_terms;
    const uint8_t *asked; /* per actor 1 where the query names it; or NULL */
    const float *extra;   /* slots; or NULL */
    const agm_weights *weights;
    const agm_whole *whole; /* or NULL */
    float k1, b;
} agm_query;

typedef struct {
    float score;
    int32_t segment, row;
    int64_t key;
} agm_ranked;

/* How many floats scoring needs to work in.  Afterwards it begins with, one after the other: per
 * slot the cosine, BM25 of its text, of its window, 1 where a familiar name occurs; per run BM25 and
 * the highest cosine. */
size_t agm_conversation_work(const agm_conversation *self);

/* The score of every row, segment after segment; 0 where it is not live. */
void agm_conversation_score(const agm_conversation *self, const agm_query *question,
                            float *work, float *out);

/* The best k rows of those that masks (of each segment, or NULL) let through and, if has_threshold,
 * whose score is not less; best first.  The same rows and scores as by agm_conversation_score, to the
 * bit: where segments have codes, these say which rows can be among the best, and those are scored
 * exactly.  found has room for k.  How many there are, or -1: no memory. */
int64_t agm_conversation_best(const agm_conversation *self, const agm_query *question,
                              const uint8_t *const *masks, size_t k, int has_threshold,
                              float threshold, float *work, agm_ranked *found);

/* Natural logarithm of x > 0 to a few units in the last place, without libm. */
double agm_ln(double x);

#endif
