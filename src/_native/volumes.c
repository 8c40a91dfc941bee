#include "volumes.h"

#include <stdlib.h>
#include <string.h>

#include "topk.h"

/* Runs that are scored before all others, those with the highest bounds: what their texts have
 * tells of most other runs that they need not be looked at. */
enum { FIRST = 256 };

/* Marks a run that has a term, although the term may weigh nothing. */
static const float TOUCHED = 1e-30f;

/* Room to work in. */
typedef struct {
    float *most;  /* of each run: the most that words can give one of its slots; 0: has no term */
    float *own, *window, *named, *count; /* of the slots of the run at hand; 0 in between */
    int64_t *at;                         /* per list a posting, none of a later run is before it */
    int32_t *first;                      /* the runs to begin with */
    agm_heap heap;                       /* to choose these with */
    void *block;                         /* owns them all */
} room_t;

/* The best so far: a heap with the worst on top. */
typedef struct {
    int32_t *slots;
    float *scores;
    int64_t size, room;
    const int64_t *keys;
} best_t;

typedef struct {
    const agm_volume *volume;
    const agm_question *question;
    const agm_list *lists;
    size_t n_lists;
    int people;          /* whether the query may name somebody */
    float beside;        /* a neighbour's share of what its own words are worth */
    float besides_words; /* the most that a slot can have besides, and room for rounding */
    float base, slope, window_slope, run_slope; /* of BM25's norms */
    room_t room;
    best_t best;
} search_t;

/* --- the best so far ------------------------------------------------------------------------- */

static int worse(const best_t *best, int64_t a, int64_t b) {
    if (best->scores[a] != best->scores[b]) return best->scores[a] < best->scores[b];
    return best->keys[best->slots[a]] > best->keys[best->slots[b]];
}

static void swap(best_t *best, int64_t a, int64_t b) {
    const int32_t slot = best->slots[a];
    const float score = best->scores[a];
    best->slots[a] = best->slots[b];
    best->scores[a] = best->scores[b];
    best->slots[b] = slot;
    best->scores[b] = score;
}

static void sink(best_t *best, int64_t at, int64_t size) {
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= size) return;
        if (child + 1 < size && worse(best, child + 1, child)) child++;
        if (!worse(best, child, at)) return;
        swap(best, at, child);
        at = child;
    }
}

static void offer(best_t *best, int32_t slot, float score) {
    if (best->size == best->room) {
        if (score < best->scores[0]) return;
        if (score == best->scores[0] && best->keys[slot] > best->keys[best->slots[0]]) return;
        best->slots[0] = slot;
        best->scores[0] = score;
        sink(best, 0, best->size);
        return;
    }
    int64_t at = best->size++;
    best->slots[at] = slot;
    best->scores[at] = score;
    while (at > 0 && worse(best, at, (at - 1) / 2)) {
        swap(best, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void sort_best(best_t *best) {
    for (int64_t size = best->size; size > 1; size--) {
        swap(best, 0, size - 1);
        sink(best, 0, size - 1);
    }
}

/* --- what a run can have at most --------------------------------------------------------------- */

/* What words must give a slot for it to come among the best. */
static float needed(const search_t *search) {
    const best_t *best = &search->best;
    return best->size == best->room ? best->scores[0] - search->besides_words : 0.0f;
}

/* Add the most that a term can be worth to a slot of each run that has it: as if all its
 * occurrences were in one text, the shortest. */
static void bound_list(const search_t *search, const agm_list *list) {
    const agm_volume *volume = search->volume;
    const agm_question *asked = search->question;
    const agm_weights *weights = &asked->weights;
    const float here = list->weight * (weights->keyword + weights->window + 2.0f * search->beside);
    const float of_run = list->run_weight * weights->run_keyword;
    const int windows = weights->window != 0.0f;
    float *most = search->room.most;
    for (int64_t i = 0; i < list->n_runs; i++) {
        const int32_t run = list->runs[i];
        if (run < 0 || run >= volume->runs) continue; /* of a damaged file */
        const float count = (float)list->run_counts[i];
        float longer = search->slope * volume->shortest[run];
        const float window = search->window_slope * volume->shortest_window[run];
        if (windows && window < longer) longer = window;
        float bound = here * count / (count + search->base + longer) + TOUCHED;
        if (of_run > 0.0f) {
            const float norm = search->base + search->run_slope * volume->run_lengths[run];
            bound += of_run * count / (count + norm);
        }
        most[run] += bound;
    }
}

static void bound_runs(const search_t *search) {
    const agm_question *asked = search->question;
    const int32_t runs = search->volume->runs;
    for (size_t q = 0; q < search->n_lists; q++) bound_list(search, search->lists + q);
    for (int32_t run = 0; asked->live && run < runs; run++) {
        if (!asked->live[run]) search->room.most[run] = 0.0f;
    }
}

/* --- one run ----------------------------------------------------------------------------------- */

/* The first posting from `at` on that is not before a slot. */
static int64_t reach(const agm_list *list, int64_t at, int32_t slot) {
    int64_t step = 1, end;
    if (at >= list->n || list->slots[at] >= slot) return at;
    while (at + step < list->n && list->slots[at + step] < slot) {
        at += step;
        step *= 2;
    }
    end = at + step < list->n ? at + step : list->n;
    while (end - at > 1) { /* at is before the slot, end is not */
        const int64_t middle = at + (end - at) / 2;
        if (list->slots[middle] < slot) at = middle;
        else end = middle;
    }
    return end;
}

/* Add a term's share to the windows [from, to), in which it has been counted. */
static void add_windows(const search_t *search, const agm_list *list, int32_t start, int32_t from,
                        int32_t to) {
    const float *lengths = search->volume->window_lengths + start;
    float *count = search->room.count, *window = search->room.window;
    const float base = search->base, slope = search->window_slope, weight = list->weight;
    for (int32_t w = from; w < to; w++) {
        window[w] += weight * count[w] / (count[w] + (base + slope * lengths[w]));
        count[w] = 0.0f;
    }
}

/* Add a term's share to the texts and windows of a run; how often the run has it. */
static float add_list(const search_t *search, const agm_list *list, int64_t *at, int32_t start,
                      int32_t end) {
    const agm_volume *volume = search->volume;
    const room_t *room = &search->room;
    const int windows = search->question->weights.window != 0.0f;
    const int32_t size = end - start, around = volume->window;
    int32_t first = 0, last = 0, next = start; /* windows counted so far; the next slot may be */
    float in_run = 0.0f;
    int64_t i = reach(list, *at, start);
    for (; i < list->n && list->slots[i] < end; i++) {
        /* A list from a damaged file may descend; it must not lead out of the run. */
        const int32_t slot = list->slots[i], here = slot - start;
        if (slot < next) continue;
        next = slot + 1;
        const float count = (float)list->counts[i];
        const float norm = search->base + search->slope * volume->lengths[slot];
        room->own[here] += list->weight * count / (count + norm);
        if (list->name) room->named[here] = 1.0f;
        in_run += count;
        if (!windows) continue;
        const int32_t from = here > around ? here - around : 0;
        const int32_t to = size - here > around ? here + around + 1 : size;
        if (from > last) {
            add_windows(search, list, start, first, last);
            first = from;
        }
        for (int32_t w = from; w < to; w++) room->count[w] += count;
        last = to;
    }
    add_windows(search, list, start, first, last);
    *at = i;
    return in_run;
}

static float date_part(const agm_question *asked, int64_t when) {
    double best = 0.0;
    for (size_t s = 0; s < asked->n_spans; s++) {
        if (when < asked->spans[2 * s]) continue;
        const int64_t after = when - asked->spans[2 * s + 1] + 1;
        const double fits = after <= 0 ? 1.0 : 1.0 - (double)after / asked->fade;
        if (fits > best) best = fits;
    }
    return (float)best;
}

/* The most that any of these slots has by its words.  What is before the first and after the last
 * is 0, so that the loop has no ends to look at. */
static float most_in(const agm_weights *weights, float beside, const float *own,
                     const float *window, int32_t n) {
    uint32_t best = 0;
    for (int32_t i = 0; i < n; i++) {
        const float sum = weights->keyword * own[i] + weights->window * window[i] +
                          beside * (own[i - 1] + own[i + 1]);
        uint32_t bits; /* those of numbers that are not negative order as the numbers do */
        memcpy(&bits, &sum, sizeof bits);
        best = bits > best ? bits : best;
    }
    float most;
    memcpy(&most, &best, sizeof most);
    return most;
}

/* The sum of a slot's parts, of_run being what its run gives all. */
static float total_of(const search_t *search, int32_t slot, int32_t here, float of_run) {
    const agm_volume *volume = search->volume;
    const agm_question *asked = search->question;
    const agm_weights *weights = &asked->weights;
    const room_t *room = &search->room;
    float sum = weights->keyword * room->own[here] + of_run;
    sum += search->beside * room->own[here - 1];
    sum += search->beside * room->own[here + 1];
    sum += weights->window * room->window[here];
    if (weights->length != 0.0f) {
        size_t length = (size_t)volume->lengths[slot];
        if (length >= asked->n_length_part) length = asked->n_length_part - 1;
        sum += weights->length * asked->length_part[length];
    }
    if (search->people && weights->actor > 0.0f) {
        const int32_t who = volume->actors[slot];
        const float said = who ? (asked->asked && asked->asked[who] ? 1.0f : 0.0f)
                               : room->named[here];
        sum += weights->actor * said;
    }
    if (asked->n_spans) sum += asked->date * date_part(asked, volume->event_at[slot]);
    if (asked->extra) sum += asked->extra[slot];
    return sum;
}

static int any_of(const uint8_t *mask, int32_t n) {
    uint8_t found = 0;
    for (int32_t i = 0; i < n; i++) found |= mask[i];
    return found != 0;
}

/* Offer the slots of a run that has a term, also those that none is in: what stands around one may
 * have it. */
static void score_run(search_t *search, int32_t run) {
    const agm_volume *volume = search->volume;
    const agm_question *asked = search->question;
    const agm_weights *weights = &asked->weights;
    const room_t *room = &search->room;
    const int32_t start = volume->starts[run], end = volume->starts[run + 1], size = end - start;
    const float norm = search->base + search->run_slope * volume->run_lengths[run];
    float of_run = 0.0f;
    if (asked->mask && !any_of(asked->mask + start, size)) return;
    for (size_t q = 0; q < search->n_lists; q++) {
        const agm_list *list = search->lists + q;
        const float in_run = add_list(search, list, room->at + q, start, end);
        if (in_run > 0.0f) of_run += list->run_weight * in_run / (in_run + norm);
    }
    of_run *= weights->run_keyword;
    if (of_run + most_in(weights, search->beside, room->own, room->window, size) >=
        needed(search)) {
        for (int32_t here = 0; here < size; here++) {
            if (asked->mask && !asked->mask[start + here]) continue;
            const float sum = total_of(search, start + here, here, of_run);
            if (sum > 0.0f) offer(&search->best, start + here, sum);
        }
    }
    memset(room->own, 0, (size_t)size * sizeof(float));
    memset(room->window, 0, (size_t)size * sizeof(float));
    if (search->people) memset(room->named, 0, (size_t)size * sizeof(float));
}

/* --- all of them ------------------------------------------------------------------------------- */

static int ascending(const void *left, const void *right) {
    const int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

/* Score the runs with the highest bounds, and forget them. */
static void score_first(search_t *search) {
    room_t *room = &search->room;
    int64_t places[FIRST];
    float bounds[FIRST];
    agm_heap_offer(&room->heap, search->volume->kernels, room->most,
                   (size_t)search->volume->runs, NULL, 0, 1, TOUCHED);
    const size_t n = room->heap.size;
    agm_heap_drain(&room->heap, places, bounds);
    for (size_t i = 0; i < n; i++) room->first[i] = (int32_t)places[i];
    qsort(room->first, n, sizeof *room->first, ascending);
    for (size_t i = 0; i < n; i++) {
        score_run(search, room->first[i]);
        room->most[room->first[i]] = 0.0f;
    }
    memset(room->at, 0, search->n_lists * sizeof *room->at);
}

/* Score the others, as far as the best so far do not tell that it is in vain. */
static void score_rest(search_t *search) {
    const size_t runs = (size_t)search->volume->runs;
    const agm_kernels *kernels = search->volume->kernels;
    for (size_t run = 0;; run++) {
        const float least = needed(search);
        run = kernels->next_above(search->room.most, run, runs, least > 0.0f ? least : 0.0f);
        if (run >= runs) return;
        score_run(search, (int32_t)run);
    }
}

static int open_room(room_t *room, size_t runs, size_t longest, size_t n_lists) {
    const size_t slots = longest + 2; /* one before and one after the run are 0 */
    const size_t wide = FIRST * sizeof(uint64_t) + (n_lists + 1) * sizeof(int64_t);
    room->block = calloc(1, wide + (runs + 4 * slots) * sizeof(float) + FIRST * sizeof(int32_t));
    if (!room->block) return -1;
    room->heap = (agm_heap){room->block, FIRST, 0};
    room->at = (int64_t *)(room->heap.entries + FIRST);
    room->own = (float *)(room->at + n_lists + 1) + 1;
    room->window = room->own + slots;
    room->named = room->window + slots;
    room->count = room->named + slots;
    room->most = room->count + slots - 1;
    room->first = (int32_t *)(room->most + runs);
    return 0;
}

/* The most that a question can give a slot besides its words. */
static float besides(const search_t *search) {
    const agm_question *asked = search->question;
    float extra = 0.0f;
    for (int32_t slot = 0; asked->extra && slot < search->volume->slots; slot++) {
        extra = asked->extra[slot] > extra ? asked->extra[slot] : extra;
    }
    return asked->weights.length + (search->people ? asked->weights.actor : 0.0f) + asked->date +
           extra + 1e-5f;
}

int64_t agm_volume_best(const agm_volume *volume, const agm_list *lists, size_t n_lists,
                        const agm_question *question, int64_t room, int32_t *slots,
                        float *scores) {
    const agm_weights *weights = &question->weights;
    const float both = weights->dense + weights->keyword, tilt = question->k1 * question->b;
    search_t search = {
        .volume = volume, .question = question, .lists = lists, .n_lists = n_lists,
        .people = question->asked != NULL,
        .beside = both > 0.0f ? weights->neighbour / both * weights->keyword : 0.0f,
        .base = question->k1 * (1.0f - question->b),
        .slope = question->length > 0.0f ? tilt / question->length : 0.0f,
        .window_slope = question->window_length > 0.0f ? tilt / question->window_length : 0.0f,
        .run_slope = question->run_length > 0.0f ? tilt / question->run_length : 0.0f,
        .best = {slots, scores, 0, room, volume->keys},
    };
    for (size_t q = 0; q < n_lists; q++) search.people |= lists[q].name;
    search.besides_words = besides(&search);
    if (room <= 0) return 0;
    if (open_room(&search.room, (size_t)volume->runs, (size_t)volume->longest, n_lists) != 0) {
        return -1;
    }
    bound_runs(&search);
    score_first(&search);
    score_rest(&search);
    free(search.room.block);
    sort_best(&search.best);
    return search.best.size;
}
