/* The words of a large set of runs: postings by run say what a run can have at most, postings by
 * slot what its texts have, to name the slots most worth scoring in full. */
#ifndef AGM_VOLUMES_H
#define AGM_VOLUMES_H

#include "conversation.h"

/* Live and dead slots, run after run; within a run in its order. */
typedef struct {
    int32_t slots, runs;
    const int32_t *starts;         /* of each run; runs + 1 */
    const float *lengths;          /* in terms: of each slot's text, */
    const float *window_lengths;   /* of its window, */
    const float *run_lengths;      /* and of each run */
    const float *shortest;         /* of each run: the least length of a text, */
    const float *shortest_window;  /* and of a window */
    const int64_t *keys;           /* of each slot: equal scores rank by smaller key */
    const int32_t *actors;         /* 0 where nobody is known */
    const int64_t *event_at;
    int32_t window;
    int32_t longest;               /* slots of the longest run */
    const agm_kernels *kernels;
} agm_volume;

/* The postings of one term of the query, ascending: texts, and runs with the sum of theirs. */
typedef struct {
    const int32_t *slots;
    const uint16_t *counts;
    int64_t n;
    const int32_t *runs;
    const uint16_t *run_counts; /* 65,535 also stands for more */
    int64_t n_runs;
    float weight, run_weight; /* among texts and runs: idf times occurrences, over the bound */
    uint8_t name;             /* a familiar name */
} agm_list;

/* What is asked besides. */
typedef struct {
    agm_weights weights;
    float k1, b;
    float length, window_length, run_length; /* means of the partition */
    const uint8_t *asked;                    /* per actor 1 where the query names it; may be NULL */
    const int64_t *spans;                    /* pairs [from, to) of times; a date's share falls */
    size_t n_spans;                          /* to 0 from each end over fade */
    double fade;
    float date;
    const float *length_part; /* by length in terms; longer texts have the last one */
    size_t n_length_part;
    const float *extra;  /* slots; may be NULL */
    const uint8_t *live; /* runs; NULL: all */
    const uint8_t *mask; /* slots that may be named; NULL: all */
    float floor;         /* no score below it is wanted */
} agm_question;

/* The slots with the highest sum of parts but for the vectors', best first, equal ones by smaller
 * key; only runs in which a term occurs.  Returns how many, at most `room`, or -1 without memory. */
int64_t agm_volume_best(const agm_volume *volume, const agm_list *lists, size_t n_lists,
                        const agm_question *question, int64_t room, int32_t *slots,
                        float *scores);

#endif
