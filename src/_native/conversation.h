/* Scores of memories that stand in runs (sessions): each one's own words, those of the window
 * around it, those of its whole run, its neighbours.  Everything is computed over all live rows
 * of a partition, so that a score depends on nothing that was asked besides. */
#ifndef AGM_CONVERSATION_H
#define AGM_CONVERSATION_H

#include "postings.h"

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

/* What a query's words give.  The caller owns the arrays; those for counting come and go zeroed. */
typedef struct {
    float *own, *window; /* slots; BM25 over its bound */
    float *run;          /* runs */
    float *named;        /* slots; 1 where a familiar name of the query occurs, else 0 */
    float *count, *window_count, *run_count; /* slots, slots, runs: for counting */
    int32_t *touched, *window_touched, *run_touched; /* slots, slots, runs */
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

/* total = weighted sum of the parts; best[run] = highest dense score in it.
 * actors: each slot's number, 0 where nobody is known to have said it; asked: per number 1 where
 * the query names that actor (NULL: it names nobody).  extra may be NULL. */
void agm_conversation_total(const agm_runs *runs, const agm_weights *weights, const float *dense,
                            const agm_words_found *words, const int32_t *actors,
                            const uint8_t *asked, const float *length_part, const float *extra,
                            float *best, float *total);

/* Natural logarithm of x > 0 to a few units in the last place, without libm. */
double agm_ln(double x);

#endif
