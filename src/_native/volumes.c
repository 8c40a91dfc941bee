#include "volumes.h"

#include <stdlib.h>
#include <string.h>

#include "leaders.h"
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
    float *sum;                          /* of what these say of each slot */
    int64_t *from, *to;                  /* per list the postings of the run at hand */
    int32_t *first;                      /* the runs to begin with */
    agm_heap heap;                       /* to choose these with */
    void *block;                         /* owns them all */
} room_t;

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
    agm_leaders best;
} search_t;

/* --- what a run can have at most ----------------------------------------------------------- */

/* What words must give a slot for it to come among the best. */
static float needed(const search_t *search) {
    const agm_leaders *best = &search->best;
    float least = search->question->floor;
    if (best->size == best->room && best->scores[0] > least) least = best->scores[0];
    return least - search->besides_words;
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

/* --- one run ------------------------------------------------------------------------------- */

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

/* Add a term's share to the texts of a run; how often the run has it.  Its postings are noted, and
 * the most that a text has so far. */
static float add_texts(const search_t *search, size_t q, int32_t start, int32_t end,
                       float *most) {
    const agm_list *list = search->lists + q;
    const room_t *room = &search->room;
    const float *lengths = search->volume->lengths;
    int32_t next = start; /* slots before it have been seen */
    float in_run = 0.0f;
    int64_t i = reach(list, room->to[q], start);
    room->from[q] = i;
    for (; i < list->n && list->slots[i] < end; i++) {
        /* A list from a damaged file may descend; it must not lead out of the run. */
        const int32_t slot = list->slots[i];
        if (slot < next) continue;
        next = slot + 1;
        const float count = (float)list->counts[i];
        const float norm = search->base + search->slope * lengths[slot];
        const float own = room->own[slot - start] + list->weight * count / (count + norm);
        room->own[slot - start] = own;
        *most = own > *most ? own : *most;
        if (list->name) room->named[slot - start] = 1.0f;
        in_run += count;
    }
    room->to[q] = i;
    return in_run;
}

/* Add a term's share to the windows [from, to), in which it has been counted. */
static void add_counted(const search_t *search, float weight, int32_t start, int32_t from,
                        int32_t to) {
    const float *lengths = search->volume->window_lengths + start;
    float *count = search->room.count, *window = search->room.window;
    const float base = search->base, slope = search->window_slope;
    for (int32_t w = from; w < to; w++) {
        window[w] += weight * count[w] / (count[w] + (base + slope * lengths[w]));
        count[w] = 0.0f;
    }
}

/* Add a term's share to the windows of a run. */
static void add_windows(const search_t *search, size_t q, int32_t start, int32_t size) {
    const agm_list *list = search->lists + q;
    const room_t *room = &search->room;
    const int32_t around = search->volume->window;
    int32_t first = 0, last = 0, next = start; /* windows that have counts; see add_texts */
    for (int64_t i = room->from[q]; i < room->to[q]; i++) {
        const int32_t slot = list->slots[i], here = slot - start;
        if (slot < next) continue;
        next = slot + 1;
        const int32_t from = here > around ? here - around : 0;
        const int32_t to = size - here > around ? here + around + 1 : size;
        if (from > last) {
            add_counted(search, list->weight, start, first, last);
            first = from;
        }
        for (int32_t w = from; w < to; w++) room->count[w] += (float)list->counts[i];
        last = to;
    }
    add_counted(search, list->weight, start, first, last);
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

/* Add up what words give each of n slots, of_run being what the run gives all; the most.  What is
 * before the first and after the last is 0, so that the loop has no ends to look at. */
static float add_up(const search_t *search, float of_run, int32_t n) {
    const float *own = search->room.own, *window = search->room.window;
    float *sums = search->room.sum;
    const float by_own = search->question->weights.keyword;
    const float by_window = search->question->weights.window, beside = search->beside;
    uint32_t best = 0;
    for (int32_t i = 0; i < n; i++) {
        const float sum =
            by_own * own[i] + of_run + beside * (own[i - 1] + own[i + 1]) + by_window * window[i];
        uint32_t bits; /* those of numbers that are not negative order as the numbers do */
        memcpy(&bits, &sum, sizeof bits);
        sums[i] = sum;
        best = bits > best ? bits : best;
    }
    float most;
    memcpy(&most, &best, sizeof most);
    return most;
}

/* The sum of all parts of a slot. */
static float total_of(const search_t *search, int32_t slot, int32_t here) {
    const agm_volume *volume = search->volume;
    const agm_question *asked = search->question;
    const agm_weights *weights = &asked->weights;
    float sum = search->room.sum[here];
    if (weights->length != 0.0f) {
        size_t length = (size_t)volume->lengths[slot];
        if (length >= asked->n_length_part) length = asked->n_length_part - 1;
        sum += weights->length * asked->length_part[length];
    }
    if (search->people && weights->actor > 0.0f) {
        const int32_t who = volume->actors[slot];
        const float said = who ? (asked->asked && asked->asked[who] ? 1.0f : 0.0f)
                               : search->room.named[here];
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

/* Add up what words give a run's slots, as far as it can be of use; the most. */
static float add_run(const search_t *search, int32_t run, int32_t start, int32_t size) {
    const agm_volume *volume = search->volume;
    const agm_weights *weights = &search->question->weights;
    const float norm = search->base + search->run_slope * volume->run_lengths[run];
    const float least = search->base + search->window_slope * volume->shortest_window[run];
    float of_run = 0.0f, own = 0.0f, windows = 0.0f;
    for (size_t q = 0; q < search->n_lists; q++) {
        const agm_list *list = search->lists + q;
        const float in_run = add_texts(search, q, start, start + size, &own);
        if (in_run == 0.0f) continue;
        of_run += list->run_weight * in_run / (in_run + norm);
        windows += list->weight * in_run / (in_run + least); /* a window has no more of it */
    }
    of_run *= weights->run_keyword;
    windows *= weights->window;
    const float most = of_run + (weights->keyword + 2.0f * search->beside) * own + windows;
    if (most < needed(search)) return most;
    for (size_t q = 0; q < search->n_lists && windows != 0.0f; q++) {
        add_windows(search, q, start, size);
    }
    return add_up(search, of_run, size);
}

/* Offer the slots of a run that has a term, also those that none is in: what stands around one may
 * have it. */
static void score_run(search_t *search, int32_t run) {
    const uint8_t *mask = search->question->mask;
    const room_t *room = &search->room;
    const int32_t start = search->volume->starts[run];
    const int32_t size = search->volume->starts[run + 1] - start;
    if (mask && !any_of(mask + start, size)) return;
    if (add_run(search, run, start, size) >= needed(search)) {
        for (int32_t here = 0; here < size; here++) {
            if (room->sum[here] < needed(search) || (mask && !mask[start + here])) continue;
            const float sum = total_of(search, start + here, here);
            if (sum > 0.0f && sum >= search->question->floor) agm_offer(&search->best, start + here, sum);
        }
    }
    memset(room->own, 0, (size_t)size * sizeof(float));
    memset(room->window, 0, (size_t)size * sizeof(float));
    if (search->people) memset(room->named, 0, (size_t)size * sizeof(float));
}

/* --- all of them --------------------------------------------------------------------------- */

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
    memset(room->to, 0, search->n_lists * sizeof *room->to);
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
    const size_t wide = FIRST * sizeof(uint64_t) + 2 * (n_lists + 1) * sizeof(int64_t);
    room->block = calloc(1, wide + (runs + 5 * slots) * sizeof(float) + FIRST * sizeof(int32_t));
    if (!room->block) return -1;
    room->heap = (agm_heap){room->block, FIRST, 0};
    room->from = (int64_t *)(room->heap.entries + FIRST);
    room->to = room->from + n_lists + 1;
    room->own = (float *)(room->to + n_lists + 1) + 1;
    room->window = room->own + slots;
    room->named = room->window + slots;
    room->count = room->named + slots;
    room->sum = room->count + slots;
    room->most = room->sum + slots - 1;
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
    agm_sort_leaders(&search.best);
    return search.best.size;
}
