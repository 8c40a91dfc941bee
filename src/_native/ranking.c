/* The best of a conversation, found with less work than scoring all of it exactly. */
#include <stdlib.h>
#include <string.h>

#include "ranking.h"
#include "topk.h"

enum { MANY = 8 }; /* a share of 1 / MANY candidates is no gain over scoring all exactly */

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

static int64_t best_of_all(const agm_conversation *self, const agm_room *in,
                           const uint8_t *const *masks, size_t k, int has_threshold,
                           float threshold, agm_ranked *found) {
    const size_t most = k < self->largest ? k : self->largest;
    const size_t segments = self->n_segments;
    const size_t each = sizeof(uint64_t) + sizeof(int64_t) + sizeof(float);
    agm_heap heap = {malloc((most + 1) * each), 0, 0};
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
        const float *totals = agm_row_totals(segment, in->total, in->row);
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
                         const agm_room *in, int32_t slot) {
    if (!in->exact[slot]) {
        in->dense[slot] = agm_one_score(self, slot, question->vector);
        in->exact[slot] = 1;
    }
    return in->dense[slot];
}

/* The highest exact dense score of a run.  That of a text is at most `bound` more than its coded
 * one: once the exact score of the highest by code is known, few others can be higher. */
static void settle_run(const agm_conversation *self, const agm_query *question, const agm_room *in,
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
                         const agm_room *in, int32_t slot, float bound) {
    const agm_weights *w = &in->weights;
    const int32_t run = self->runs.run_of[slot];
    settle_run(self, question, in, run, bound);
    const float *own = in->words.own;
    float previous = 0.0f, next = 0.0f;
    if (self->before[slot] != 0.0f) {
        const float dense = exact_dense(self, question, in, slot - 1);
        previous = w->dense * dense + w->keyword * own[slot - 1];
    }
    if (self->after[slot] != 0.0f) {
        const float dense = exact_dense(self, question, in, slot + 1);
        next = w->dense * dense + w->keyword * own[slot + 1];
    }
    const float here = w->dense * exact_dense(self, question, in, slot) + w->keyword * own[slot];
    const float of_run = w->run_keyword * in->words.run[run] + w->run_dense * in->best[run];
    float sum = (here + in->beside * (previous + next) + of_run) +
                (w->window * in->words.window[slot] + w->length * self->length_part[slot]);
    if (question->asked || question->names) sum += w->actor * agm_said_in(self, question, in, slot);
    if (question->extra) sum += question->extra[slot];
    return sum + 0.0f; /* -0 becomes +0, as on the way through a heap */
}

/* Which slots masks let through; NULL where they let all. */
static const uint8_t *allowed_slots(const agm_conversation *self, const uint8_t *const *masks,
                                    const agm_room *in) {
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
static int kth_total(const agm_conversation *self, const agm_query *question, const agm_room *in,
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
                             const agm_room *in, const uint8_t *const *masks, size_t k,
                             int has_threshold, float threshold, float bound, agm_ranked *found) {
    const agm_weights *w = &in->weights;
    const float off = bound * (w->dense * (1.0f + 2.0f * in->beside) + w->run_dense) + AGM_ROUNDING;
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
    agm_room in = agm_room_in(self, work);
    int coded = 0;
    for (size_t p = 0; p < self->n_segments; p++) coded |= self->segments[p].codes != NULL;
    float bound = -1.0f;
    if (coded) bound = agm_score_coded(self, question->vector, &in);
    if (bound < 0.0f) agm_score_dense(self, question->vector, &in);
    agm_find_words(self, question, &in);
    agm_add_up(self, question, &in);
    if (bound >= 0.0f) {
        const int64_t n = best_by_codes(self, question, &in, masks, k, has_threshold, threshold,
                                        bound, found);
        if (n != -2) return n;
        agm_score_dense(self, question->vector, &in);
        agm_add_up(self, question, &in);
    }
    return best_of_all(self, &in, masks, k, has_threshold, threshold, found);
}
