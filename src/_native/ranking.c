/* Scoring a conversation as a whole, and finding the best of it with less work. */
#include <stdlib.h>
#include <string.h>

#include "conversation.h"
#include "rotate.h"
#include "topk.h"

/* Rounding of float32 sums and products over a few hundred dimensions (agentmem.index.codes). */
#define ROUNDING 1e-5f

enum {
    BLOCK = 1024, /* coded rows whose products are held at a time */
    MANY = 8,     /* a share of 1 / MANY candidates is no gain over scoring all exactly */
};

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
} room;

static size_t floats_for(size_t bytes) { return (bytes + sizeof(float) - 1) / sizeof(float); }

size_t agm_conversation_work(const agm_conversation *self) {
    const size_t slots = (size_t)self->runs.slots, runs = (size_t)self->runs.runs;
    return 10 * slots + 5 * runs + 2 + self->largest + self->dim + floats_for(self->dim) +
           2 * floats_for(slots) + floats_for(runs);
}

static room room_in(const agm_conversation *self, float *work) {
    const size_t slots = (size_t)self->runs.slots, runs = (size_t)self->runs.runs;
    room made;
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

static float one_score(const agm_conversation *self, int32_t slot, const float *vector) {
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
                          const float *vector, const room *in) {
    float *out = segment->first >= 0 ? in->dense + segment->first : in->row;
    exact_scores(self, segment, vector, out);
    if (segment->first < 0) scatter(segment, 0, segment->rows, out, in->dense);
}

static void score_dense(const agm_conversation *self, const float *vector, const room *in) {
    for (size_t p = 0; p < self->n_segments; p++) {
        exact_segment(self, &self->segments[p], vector, in);
    }
}

static float root(float x) {
    /* Newton's method from above; libm would raise the glibc that a wheel needs. */
    float at = x > 1.0f ? x : 1.0f;
    for (int i = 0; i < 40; i++) at = 0.5f * (at + x / at);
    return at * (1.0f + ROUNDING);
}

/* Dense scores by codes where a segment has them, else exact ones; the most by which one differs
 * from the exact score. */
static float score_coded(const agm_conversation *self, const float *vector, const room *in) {
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
            const float error = segment->length * missed + segment->error * norm + ROUNDING;
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
        for (int32_t j = 0; j < LANES; j++) most[j] = values[s + j] > most[j] ? values[s + j] : most[j];
    }
    for (; s < n; s++) most[0] = values[s] > most[0] ? values[s] : most[0];
    for (int32_t j = 1; j < LANES; j++) most[0] = most[j] > most[0] ? most[j] : most[0];
    return most[0];
}

static float beside_of(const agm_weights *weights) {
    const float both = weights->dense + weights->keyword;
    return both > 0.0f ? weights->neighbour / both : 0.0f;
}

static float said_in(const agm_conversation *self, const agm_query *question, const room *in,
                     int32_t slot) {
    const int32_t actor = self->actors[slot];
    if (actor) return question->asked && question->asked[actor] ? 1.0f : 0.0f;
    return question->names ? in->words.named[slot] : 0.0f;
}

/* in->total from in->dense and in->words. */
static void add_up(const agm_conversation *self, const agm_query *question, const room *in) {
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
            in->total[s] += weights->actor * said_in(self, question, in, s);
        }
    }
    if (question->extra) {
        for (int32_t s = 0; s < runs->slots; s++) in->total[s] += question->extra[s];
    }
}

static void find_words(const agm_conversation *self, const agm_query *question, room *in) {
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

/* The totals of a segment's rows: where they are, or gathered into out. */
static const float *row_totals(const agm_segment *segment, const float *total, float *out) {
    if (segment->first >= 0) return total + segment->first;
    for (size_t i = 0; i < segment->rows; i++) {
        out[i] = segment->slots[i] >= 0 ? total[segment->slots[i]] : 0.0f;
    }
    return out;
}

void agm_conversation_score(const agm_conversation *self, const agm_query *question,
                            float *work, float *out) {
    room in = room_in(self, work);
    score_dense(self, question->vector, &in);
    find_words(self, question, &in);
    if (!question->names) memset(in.words.named, 0, (size_t)self->runs.slots * sizeof(float));
    add_up(self, question, &in);
    for (size_t p = 0; p < self->n_segments; p++) {
        const agm_segment *segment = &self->segments[p];
        const float *totals = row_totals(segment, in.total, out);
        if (totals != out) memcpy(out, totals, segment->rows * sizeof(float));
        out += segment->rows;
    }
    /* What is left in the work space is over its bound. */
    scale(in.words.own, self->runs.slots, in.words.share);
    scale(in.words.window, self->runs.slots, in.words.share);
    scale(in.words.run, self->runs.runs, in.words.run_share);
}

static int better(const void *left, const void *right) {
    const agm_ranked *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->key > b->key) - (a->key < b->key);
}

static void rank(agm_ranked *all, size_t n) {
    if (n > 64) {
        qsort(all, n, sizeof *all, better);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        const agm_ranked one = all[i];
        size_t at = i;
        for (; at > 0 && better(&one, &all[at - 1]) < 0; at--) all[at] = all[at - 1];
        all[at] = one;
    }
}

/* -- the best of all scores */

static int64_t best_of_all(const agm_conversation *self, const room *in, const uint8_t *const *masks,
                           size_t k, int has_threshold, float threshold, agm_ranked *found) {
    const size_t most = k < self->largest ? k : self->largest;
    const size_t segments = self->n_segments;
    agm_heap heap = {malloc((most + 1) * (sizeof(uint64_t) + sizeof(int64_t) + sizeof(float))), 0, 0};
    agm_ranked *all = segments > 1 ? malloc((segments * most + 1) * sizeof *all) : found;
    if (!heap.entries || !all) {
        free(heap.entries);
        if (all != found) free(all);
        return -1;
    }
    int64_t *places = (int64_t *)(heap.entries + most + 1);
    float *scores = (float *)(places + most + 1);
    size_t n = 0;
    for (size_t p = 0; p < segments; p++) {
        const agm_segment *segment = &self->segments[p];
        const float *totals = row_totals(segment, in->total, in->row);
        heap.capacity = k < segment->rows ? k : segment->rows;
        agm_heap_offer(&heap, self->kernels, totals, segment->rows, masks[p], 0, has_threshold,
                       threshold);
        const size_t size = heap.size;
        agm_heap_drain(&heap, places, scores);
        for (size_t i = 0; i < size; i++, n++) {
            const int32_t row = (int32_t)places[i];
            all[n] = (agm_ranked){scores[i], (int32_t)p, row, segment->keys[row]};
        }
    }
    if (segments > 1) {
        rank(all, n);
        if (n > k) n = k;
        memcpy(found, all, n * sizeof *all);
        free(all);
    }
    free(heap.entries);
    return (int64_t)n;
}

/* -- candidates by codes, scored exactly */

static float exact_dense(const agm_conversation *self, const agm_query *question,
                         const room *in, int32_t slot) {
    if (!in->exact[slot]) {
        in->dense[slot] = one_score(self, slot, question->vector);
        in->exact[slot] = 1;
    }
    return in->dense[slot];
}

/* The highest exact dense score of a run.  That of a text is at most `bound` more than its coded
 * one: once the exact score of the highest by code is known, few others can be higher. */
static void settle_run(const agm_conversation *self, const agm_query *question, const room *in,
                       int32_t run, float bound) {
    if (in->run_exact[run]) return;
    const int32_t start = self->runs.starts[run], end = self->runs.starts[run + 1];
    const float highest_code = in->best[run];
    float found = -3.0e38f, least = highest_code - 2.0f * bound;
    for (int32_t s = start; s < end; s++) {
        if (in->dense[s] < highest_code) continue;
        const float score = exact_dense(self, question, in, s);
        if (score > found) found = score;
    }
    if (found - bound > least) least = found - bound;
    for (int32_t s = start; s < end; s++) {
        if (in->dense[s] < least) continue;
        const float score = exact_dense(self, question, in, s);
        if (score > found) found = score;
    }
    in->best[run] = found;
    in->run_exact[run] = 1;
}

/* The same sum, in the same order, as add_up and the kernel of totals make. */
static float exact_total(const agm_conversation *self, const agm_query *question,
                         const room *in, int32_t slot, float bound) {
    const agm_weights *w = &in->weights;
    const int32_t run = self->runs.run_of[slot];
    settle_run(self, question, in, run, bound);
    const float *own = in->words.own;
    float previous = 0.0f, next = 0.0f;
    if (self->before[slot] != 0.0f) {
        previous = w->dense * exact_dense(self, question, in, slot - 1) + w->keyword * own[slot - 1];
    }
    if (self->after[slot] != 0.0f) {
        next = w->dense * exact_dense(self, question, in, slot + 1) + w->keyword * own[slot + 1];
    }
    const float here = w->dense * exact_dense(self, question, in, slot) + w->keyword * own[slot];
    const float of_run = w->run_keyword * in->words.run[run] + w->run_dense * in->best[run];
    float sum = (here + in->beside * (previous + next) + of_run) +
                (w->window * in->words.window[slot] + w->length * self->length_part[slot]);
    if (question->asked || question->names) sum += w->actor * said_in(self, question, in, slot);
    if (question->extra) sum += question->extra[slot];
    return sum + 0.0f; /* -0 becomes +0, as on the way through a heap */
}

/* Which slots masks let through; NULL where they let all. */
static const uint8_t *allowed_slots(const agm_conversation *self, const uint8_t *const *masks,
                                    const room *in) {
    int all = 1;
    for (size_t p = 0; p < self->n_segments; p++) all &= masks[p] == NULL;
    if (all) return NULL;
    for (size_t p = 0; p < self->n_segments; p++) {
        const agm_segment *segment = &self->segments[p];
        for (size_t i = 0; i < segment->rows; i++) {
            if (segment->slots[i] >= 0) in->allowed[segment->slots[i]] = !masks[p] || masks[p][i];
        }
    }
    return in->allowed;
}

/* The least of the exact scores of the k slots with the best coded ones; 0 where fewer are allowed,
 * -1: no memory. */
static int kth_total(const agm_conversation *self, const agm_query *question, const room *in,
                     const uint8_t *allowed, size_t k, float bound, float *kth) {
    agm_heap heap = {malloc(k * (sizeof(uint64_t) + sizeof(int64_t) + sizeof(float))), k, 0};
    if (!heap.entries) return -1;
    int64_t *places = (int64_t *)(heap.entries + k);
    agm_heap_offer(&heap, self->kernels, in->total, (size_t)self->runs.slots, allowed, 0, 0, 0.0f);
    const int full = heap.size == k;
    agm_heap_drain(&heap, places, (float *)(places + k));
    for (size_t i = 0; full && i < k; i++) {
        const float score = exact_total(self, question, in, (int32_t)places[i], bound);
        if (i == 0 || score < *kth) *kth = score;
    }
    free(heap.entries);
    return full;
}

/* As agm_conversation_best from coded scores; -2 where scoring everything costs no more.
 *
 * Of k rows the exact score is at least kth, so it is of each of the best; and what a coded score
 * is short of an exact one is at most off. */
static int64_t best_by_codes(const agm_conversation *self, const agm_query *question,
                             const room *in, const uint8_t *const *masks, size_t k,
                             int has_threshold, float threshold, float bound, agm_ranked *found) {
    const agm_weights *w = &in->weights;
    const float off = bound * (w->dense * (1.0f + 2.0f * in->beside) + w->run_dense) + ROUNDING;
    const size_t slots = (size_t)self->runs.slots, most = slots / MANY + 1;
    const uint8_t *allowed = allowed_slots(self, masks, in);
    float floor = 0.0f;
    if (k == 0 || k > most) return -2;
    const int full = kth_total(self, question, in, allowed, k, bound, &floor);
    if (full <= 0) return full - 2 * (full == 0);
    if (has_threshold && threshold > floor) floor = threshold;
    floor -= off;
    size_t room_for = 256, n = 0;
    agm_ranked *all = malloc(room_for * sizeof *all);
    if (!all) return -1;
    for (size_t i = 0;; i++) {
        i = self->kernels->next_above(in->total, i, slots, floor);
        if (i == slots) break;
        if (allowed && !allowed[i]) continue;
        if (n == room_for) {
            agm_ranked *more = n < most ? realloc(all, 2 * n * sizeof *all) : NULL;
            if (!more) {
                free(all);
                return n < most ? -1 : -2;
            }
            all = more;
            room_for = 2 * n;
        }
        const float score = exact_total(self, question, in, (int32_t)i, bound);
        if (has_threshold && !(score >= threshold)) continue;
        const int32_t p = self->segment_of[i], row = self->row_of[i];
        all[n++] = (agm_ranked){score, p, row, self->segments[p].keys[row]};
    }
    rank(all, n);
    if (n > k) n = k;
    memcpy(found, all, n * sizeof *all);
    free(all);
    return (int64_t)n;
}

int64_t agm_conversation_best(const agm_conversation *self, const agm_query *question,
                              const uint8_t *const *masks, size_t k, int has_threshold,
                              float threshold, float *work, agm_ranked *found) {
    room in = room_in(self, work);
    int coded = 0;
    for (size_t p = 0; p < self->n_segments; p++) coded |= self->segments[p].codes != NULL;
    float bound = -1.0f;
    if (coded) bound = score_coded(self, question->vector, &in);
    if (bound < 0.0f) score_dense(self, question->vector, &in);
    find_words(self, question, &in);
    add_up(self, question, &in);
    if (bound >= 0.0f) {
        const int64_t n = best_by_codes(self, question, &in, masks, k, has_threshold, threshold,
                                        bound, found);
        if (n != -2) return n;
        score_dense(self, question->vector, &in);
        add_up(self, question, &in);
    }
    return best_of_all(self, &in, masks, k, has_threshold, threshold, found);
}
