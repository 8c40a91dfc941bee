/* What scoring a conversation (scores.c) and choosing the best of it (ranking.c) share. */
#ifndef AGM_RANKING_H
#define AGM_RANKING_H

#include "conversation.h"

/* Rounding of float32 sums and products over a few hundred dimensions (agentmem.index.codes). */
#define AGM_ROUNDING 1e-5f

/* The work space, taken apart. */
typedef struct {
    float *dense, *best, *of_run, *mine, *total, *row;
    float *turned; /* the query, as it is coded */
    int8_t *codes; /* of the query */
    uint8_t *allowed;           /* slots that masks let through */
    uint8_t *exact, *run_exact; /* slots, runs: whose dense score, highest one, is not coded */
    agm_words_found words;
    agm_weights weights; /* those of words are of BM25 as it is, not over its bound */
    float beside;        /* of what a neighbour has */
} agm_room;

agm_room agm_room_in(const agm_conversation *self, float *work);

/* The exact dense score of a slot's text. */
float agm_one_score(const agm_conversation *self, int32_t slot, const float *vector);

/* Exact dense scores of every slot. */
void agm_score_dense(const agm_conversation *self, const float *vector, const agm_room *in);

/* Dense scores by codes where a segment has them, else exact ones; the most by which one differs
 * from the exact score.  Marks none as exact. */
float agm_score_coded(const agm_conversation *self, const float *vector, const agm_room *in);

/* What words give, and the weights that go with it. */
void agm_find_words(const agm_conversation *self, const agm_query *question, agm_room *in);

/* Whether somebody whom the query names said a slot's text, or it has such a name; 0 or 1. */
float agm_said_in(const agm_conversation *self, const agm_query *question, const agm_room *in,
                  int32_t slot);

/* in->total from in->dense and in->words; in->best, too. */
void agm_add_up(const agm_conversation *self, const agm_query *question, const agm_room *in);

/* The totals of a segment's rows: where they are, or gathered into out. */
const float *agm_row_totals(const agm_segment *segment, const float *total, float *out);

#endif
