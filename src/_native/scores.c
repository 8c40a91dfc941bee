/* Scores of a conversation as a whole. */
#include <string.h>

#include "ranking.h"
#include "rotate.h"

enum { BLOCK = 1024 }; /* coded rows whose products are held at a time */

static size_t floats_for(size_t bytes) { return (bytes + sizeof(float) - 1) / sizeof(float); }

size_t agm_conversation_work(const agm_conversation *self) {
    const size_t slots = (size_t)self->runs.slots, runs = (size_t)self->runs.runs;
    return 10 * slots + 5 * runs + 2 + self->largest + self->dim + floats_for(self->dim) +
           2 * floats_for(slots) + floats_for(runs);
}

agm_room agm_room_in(const agm_conversation *self, float *work) {
    const size_t slots = (size_t)self->runs.slots, runs = (size_t)self->runs.runs;
    agm_room made;
    made.dense = work;
    made.words.own = made.dense + slots;
    made.words.window = made.words.own + slots;
    made.words.named = made.words.window + slots;
    made.words.run = made.words.named + slots;
    made.best = made.words.run + runs;
    made.of_run = made.best + runs;
    made.mine = made.of_run + slots + 1;
    made.total = made.mine + slots + 1;
    made.row = made.total + slots;
    made.turned = made.row + self->largest;
    made.words.count = made.turned + self->dim;
    made.words.window_count = made.words.count + slots;
    made.words.run_count = made.words.window_count + slots;
    made.words.touched = (int32_t *)(made.words.run_count + runs);
    made.words.run_touched = made.words.touched + slots;
    made.allowed = (uint8_t *)(made.words.run_touched + runs);
    made.exact = made.allowed + floats_for(slots) * sizeof(float);
    made.run_exact = made.exact + floats_for(slots) * sizeof(float);
    made.codes = (int8_t *)(made.run_exact + floats_for(runs) * sizeof(float));
    return made;
}

float agm_one_score(const agm_conversation *self, int32_t slot, const float *vector) {
    const agm_segment *segment = &self->segments[self->segment_of[slot]];
    const size_t at = (size_t)self->row_of[slot] * self->dim;
    float score;
    if (segment->half) {
        self->kernels->scores_f16((const uint16_t *)segment->matrix + at, 1, self->dim, vector,
                                  &score);
    } else {
        self->kernels->scores_f32((const float *)segment->matrix + at, 1, self->dim, vector,
                                  &score);
    }
    return score;
}

static void exact_scores(const agm_conversation *self, const agm_segment *segment,
                         const float *vector, float *out) {
    if (segment->half) {
        self->kernels->scores_f16(segment->matrix, segment->rows, self->dim, vector, out);
    } else {
        self->kernels->scores_f32(segment->matrix, segment->rows, self->dim, vector, out);
    }
}

static void scatter(const agm_segment *segment, size_t begin, size_t n, const float *row,
                    float *dense) {
    const int32_t *slots = segment->slots + begin;
    if (segment->live) {
        for (size_t i = 0; i < n; i++) dense[slots[i]] = row[i];
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (slots[i] >= 0) dense[slots[i]] = row[i];
    }
}

static void coded_scores(const agm_conversation *self, const agm_segment *segment,
                         const int8_t *query, float scale, float *dense) {
    int32_t products[BLOCK];
    float row[BLOCK];
    for (size_t i = 0; i < segment->rows; i += BLOCK) {
        const size_t n = segment->rows - i < BLOCK ? segment->rows - i : BLOCK;
        float *out = segment->first >= 0 ? dense + segment->first + i : row;
        self->kernels->scores_i8(segment->codes + i * self->dim, n, self->dim, query, products);
        self->kernels->scale_products(products, segment->scales + i, scale, n, out);
        if (segment->first < 0) scatter(segment, i, n, row, dense);
    }
}

static void exact_segment(const agm_conversation *self, const agm_segment *segment,
                          const float *vector, const agm_room *in) {
    float *out = segment->first >= 0 ? in->dense + segment->first : in->row;
    exact_scores(self, segment, vector, out);
    if (segment->first < 0) scatter(segment, 0, segment->rows, out, in->dense);
}

void agm_score_dense(const agm_conversation *self, const float *vector, const agm_room *in) {
    for (size_t p = 0; p < self->n_segments; p++) {
        exact_segment(self, &self->segments[p], vector, in);
    }
}

static float root(float x) {
    /* Newton's method from above; libm would raise the glibc that a wheel needs. */
    float at = x > 1.0f ? x : 1.0f;
    for (int i = 0; i < 40; i++) at = 0.5f * (at + x / at);
    return at * (1.0f + AGM_ROUNDING);
}

float agm_score_coded(const agm_conversation *self, const float *vector, const agm_room *in) {
    float scale, bound = 0.0f;
    memset(in->exact, 0, (size_t)self->runs.slots);
    memset(in->run_exact, 0, (size_t)self->runs.runs);
    memcpy(in->turned, vector, self->dim * sizeof(float));
    agm_rotate(in->turned, 1, self->dim);
    self->kernels->quantize(in->turned, 1, self->dim, in->codes, &scale);
    float norm = 0.0f, missed = 0.0f;
    for (size_t j = 0; j < self->dim; j++) {
        const float rest = in->turned[j] - (float)in->codes[j] * scale;
        norm += vector[j] * vector[j];
        missed += rest * rest;
    }
    norm = root(norm);
    missed = root(missed);
    for (size_t p = 0; p < self->n_segments; p++) {
        const agm_segment *segment = &self->segments[p];
        if (segment->codes) {
            const float error = segment->length * missed + segment->error * norm + AGM_ROUNDING;
            if (error > bound) bound = error;
            coded_scores(self, segment, in->codes, scale, in->dense);
        } else {
            exact_segment(self, segment, vector, in);
        }
    }
    return bound;
}

static float highest(const float *values, int32_t n) {
    enum { LANES = 8 }; /* at once */
    float most[LANES];
    for (int32_t j = 0; j < LANES; j++) most[j] = values[j < n ? j : 0];
    int32_t s = LANES;
    for (; s + LANES <= n; s += LANES) {
        for (int32_t j = 0; j < LANES; j++) {
            most[j] = values[s + j] > most[j] ? values[s + j] : most[j];
        }
    }
    for (; s < n; s++) most[0] = values[s] > most[0] ? values[s] : most[0];
    for (int32_t j = 1; j < LANES; j++) most[0] = most[j] > most[0] ? most[j] : most[0];
    return most[0];
}

static float beside_of(const agm_weights *weights) {
    const float both = weights->dense + weights->keyword;
    return both > 0.0f ? weights->neighbour / both : 0.0f;
}

float agm_said_in(const agm_conversation *self, const agm_query *question, const agm_room *in,
                     int32_t slot) {
    const int32_t actor = self->actors[slot];
    if (actor) return question->asked && question->asked[actor] ? 1.0f : 0.0f;
    return question->names ? in->words.named[slot] : 0.0f;
}

void agm_add_up(const agm_conversation *self, const agm_query *question, const agm_room *in) {
    const agm_weights *weights = &in->weights;
    const agm_runs *runs = &self->runs;
    for (int32_t r = 0; r < runs->runs; r++) {
        const int32_t start = runs->starts[r], end = runs->starts[r + 1];
        in->best[r] = highest(in->dense + start, end - start);
        const float of_run =
            weights->run_keyword * in->words.run[r] + weights->run_dense * in->best[r];
        for (int32_t s = start; s < end; s++) in->of_run[s] = of_run;
    }
    const agm_parts parts = {
        .dense = in->dense, .own = in->words.own, .window = in->words.window,
        .length = self->length_part, .of_run = in->of_run,
        .before = self->before, .after = self->after, .mine = in->mine,
        .w_dense = weights->dense, .w_own = weights->keyword, .beside = in->beside,
        .w_window = weights->window, .w_length = weights->length,
    };
    self->kernels->totals(&parts, (size_t)runs->slots, in->total);
    if (question->asked || question->names) {
        for (int32_t s = 0; s < runs->slots; s++) {
            in->total[s] += weights->actor * agm_said_in(self, question, in, s);
        }
    }
    if (question->extra) {
        for (int32_t s = 0; s < runs->slots; s++) in->total[s] += question->extra[s];
    }
}

void agm_find_words(const agm_conversation *self, const agm_query *question, agm_room *in) {
    /* One piece. */
    memset(in->words.window_count, 0,
           ((size_t)self->runs.slots + (size_t)self->runs.runs) * sizeof(float));
    agm_conversation_words(self->texts, self->n_segments, &self->runs, question->terms,
                           question->counts, question->names, question->n_terms, question->whole,
                           question->k1, question->b, &in->words);
    in->weights = *question->weights;
    in->beside = beside_of(question->weights);
    in->weights.keyword *= in->words.share;
    in->weights.window *= in->words.share;
    in->weights.run_keyword *= in->words.run_share;
}

static void scale(float *values, int32_t n, float factor) {
    for (int32_t i = 0; i < n; i++) values[i] *= factor;
}

const float *agm_row_totals(const agm_segment *segment, const float *total, float *out) {
    if (segment->first >= 0) return total + segment->first;
    for (size_t i = 0; i < segment->rows; i++) {
        out[i] = segment->slots[i] >= 0 ? total[segment->slots[i]] : 0.0f;
    }
    return out;
}

void agm_conversation_score(const agm_conversation *self, const agm_query *question,
                            float *work, float *out) {
    agm_room in = agm_room_in(self, work);
    agm_score_dense(self, question->vector, &in);
    agm_find_words(self, question, &in);
    if (!question->names) memset(in.words.named, 0, (size_t)self->runs.slots * sizeof(float));
    agm_add_up(self, question, &in);
    for (size_t p = 0; p < self->n_segments; p++) {
        const agm_segment *segment = &self->segments[p];
        const float *totals = agm_row_totals(segment, in.total, out);
        if (totals != out) memcpy(out, totals, segment->rows * sizeof(float));
        out += segment->rows;
    }
    /* What is left in the work space is over its bound. */
    scale(in.words.own, self->runs.slots, in.words.share);
    scale(in.words.window, self->runs.slots, in.words.share);
    scale(in.words.run, self->runs.runs, in.words.run_share);
}

