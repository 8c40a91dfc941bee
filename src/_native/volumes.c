#include "volumes.h"

#include <stdlib.h>
#include <string.h>

/* Slots of a block, unless one run is longer: its arrays fill a second-level cache. */
enum { BLOCK = 8192 };

typedef struct {
    float *own, *window, *named, *count; /* of a block's slots */
    float *run, *most;                   /* of its runs: what it has, the most a slot can have */
    int32_t *touched;                          /* slots whose window has the term at hand */
    int32_t *runs;                             /* runs that have any term */
    uint8_t *seen;                             /* per run of the block: is it in runs? */
    int64_t *at;                               /* per list the next posting */
    float *block;                              /* owns the six above */
} room_t;

typedef struct {
    const agm_volume *volume;
    const agm_question *question;
    int32_t first, end;   /* runs */
    int32_t from, to;     /* slots */
    int32_t n_runs;       /* touched */
    int people;           /* whether the query may name somebody */
    room_t room;
} block_t;

/* --- the best so far: a heap with the worst on top ------------------------------------------- */

typedef struct {
    int32_t *slots;
    float *scores;
    int64_t size, room;
    const int64_t *keys;
} best_t;

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

/* --- one block ------------------------------------------------------------------------------- */

/* A neighbour's share of what its own words are worth. */
static float beside_of(const agm_weights *weights) {
    const float both = weights->dense + weights->keyword;
    return both > 0.0f ? weights->neighbour / both * weights->keyword : 0.0f;
}

/* The most that a term of weight 1 can add to a slot by the slots around it. */
static float most_of(const agm_weights *weights) {
    return weights->keyword + weights->window + 2.0f * beside_of(weights);
}

/* Add the most that a term can be worth to the slots of each run of the block that has it.  This
 * reads nothing but the list, where what follows looks up lengths all over the volume. */
static void bound_list(block_t *block, const agm_list *list, int64_t i) {
    const agm_volume *volume = block->volume;
    const agm_question *asked = block->question;
    const room_t *room = &block->room;
    const float base = asked->k1 * (1.0f - asked->b); /* of the shortest text */
    const float most = list->weight * most_of(&asked->weights) +
                       list->run_weight * asked->weights.run_keyword;
    int32_t run = block->first;
    while (i < list->n && list->slots[i] < block->to) {
        while (volume->starts[run + 1] <= list->slots[i]) run++;
        const int32_t local = run - block->first, end = volume->starts[run + 1];
        float count = 0.0f;
        for (; i < list->n && list->slots[i] < end; i++) count += (float)list->counts[i];
        if (asked->live && !asked->live[run]) continue;
        room->most[local] += most * count / (count + base);
        if (!room->seen[local]) {
            room->seen[local] = 1;
            room->runs[block->n_runs++] = run;
        }
    }
}

/* What a slot can have besides its words, and room for rounding. */
static float more_of(const block_t *block) {
    const agm_question *asked = block->question;
    return asked->weights.length + (block->people ? asked->weights.actor : 0.0f) + asked->date +
           1e-5f;
}

/* Whether a slot with so much cannot come among the best any more. */
static int hopeless(const block_t *block, const best_t *best, float most) {
    return best->size == best->room && !block->question->extra &&
           most + more_of(block) < best->scores[0];
}

/* Forget the runs that cannot come among the best any more. */
static void prune(block_t *block, const best_t *best) {
    const room_t *room = &block->room;
    int32_t kept = 0;
    for (int32_t r = 0; r < block->n_runs; r++) {
        const int32_t local = room->runs[r] - block->first;
        if (hopeless(block, best, room->most[local])) room->seen[local] = 0;
        else room->runs[kept++] = room->runs[r];
        room->most[local] = 0.0f;
    }
    block->n_runs = kept;
}

/* Add a term's share to the texts, windows and runs of the block that are left. */
static void add_list(block_t *block, const agm_list *list, int64_t *at) {
    const agm_volume *volume = block->volume;
    const agm_question *asked = block->question;
    const float k1 = asked->k1, base = k1 * (1.0f - asked->b), tilt = k1 * asked->b;
    const float slope = asked->length > 0.0f ? tilt / asked->length : 0.0f;
    const float run_slope = asked->run_length > 0.0f ? tilt / asked->run_length : 0.0f;
    const float window_slope = asked->window_length > 0.0f ? tilt / asked->window_length : 0.0f;
    const int windows = asked->weights.window != 0.0f, runs = asked->weights.run_keyword != 0.0f;
    const room_t *room = &block->room;
    int32_t touched = 0;
    int64_t i = *at;
    int32_t run = block->first;
    while (i < list->n && list->slots[i] < block->to) {
        while (volume->starts[run + 1] <= list->slots[i]) run++;
        const int32_t start = volume->starts[run], end = volume->starts[run + 1];
        const int live = room->seen[run - block->first];
        float in_run = 0.0f;
        for (; i < list->n && list->slots[i] < end; i++) {
            /* A list from a damaged file may descend; it must not lead outside the block. */
            if (!live || list->slots[i] < start) continue;
            const int32_t slot = list->slots[i], here = slot - block->from;
            const float count = (float)list->counts[i];
            const float norm = base + slope * volume->lengths[slot];
            room->own[here] += list->weight * count / (count + norm);
            if (list->name) room->named[here] = 1.0f;
            in_run += count;
            if (!windows) continue;
            int32_t from = slot - volume->window, to = slot + volume->window;
            if (from < start) from = start;
            if (to >= end) to = end - 1;
            for (int32_t w = from - block->from; w <= to - block->from; w++) {
                if (room->count[w] == 0.0f) room->touched[touched++] = w;
                room->count[w] += count;
            }
        }
        if (live && runs) {
            const float norm = base + run_slope * volume->run_lengths[run];
            room->run[run - block->first] += list->run_weight * in_run / (in_run + norm);
        }
    }
    *at = i;
    const float *lengths = volume->window_lengths + block->from;
    for (int32_t t = 0; t < touched; t++) {
        const int32_t w = room->touched[t];
        const float count = room->count[w];
        const float norm = base + window_slope * lengths[w];
        room->window[w] += list->weight * count / (count + norm);
        room->count[w] = 0.0f;
    }
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

/* The most that any of these slots has by its words; what stands beside the run counts, too, so
 * that the loop has no ends to look at. */
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

/* Offer the slots of the touched runs, and leave the room as it was found. */
static void finish(block_t *block, best_t *best) {
    const agm_volume *volume = block->volume;
    const agm_question *asked = block->question;
    const agm_weights *weights = &asked->weights;
    const room_t *room = &block->room;
    const float beside = beside_of(weights);
    const float actor = block->people ? weights->actor : 0.0f;
    for (int32_t r = 0; r < block->n_runs; r++) {
        const int32_t run = room->runs[r], local = run - block->first;
        const int32_t start = volume->starts[run], end = volume->starts[run + 1];
        const float of_run = weights->run_keyword * room->run[local];
        const float *words = room->own + (start - block->from);
        const float *around = room->window + (start - block->from);
        const float most = most_in(weights, beside, words, around, end - start);
        const int skip = hopeless(block, best, most + of_run);
        for (int32_t slot = skip ? end : start; slot < end; slot++) {
            const int32_t here = slot - block->from;
            if (asked->mask && !asked->mask[slot]) continue;
            /* Hybrid search ranks what no term is in, too: what stands around it may have one. */
            float sum = weights->keyword * room->own[here] + of_run;
            if (beside > 0.0f) {
                if (slot > start) sum += beside * room->own[here - 1];
                if (slot + 1 < end) sum += beside * room->own[here + 1];
            }
            sum += weights->window * room->window[here];
            if (weights->length != 0.0f) {
                size_t length = (size_t)volume->lengths[slot];
                if (length >= asked->n_length_part) length = asked->n_length_part - 1;
                sum += weights->length * asked->length_part[length];
            }
            if (actor > 0.0f) {
                const int32_t who = volume->actors[slot];
                const float said = who ? (asked->asked && asked->asked[who] ? 1.0f : 0.0f)
                                       : room->named[here];
                sum += actor * said;
            }
            if (asked->n_spans) sum += asked->date * date_part(asked, volume->event_at[slot]);
            if (asked->extra) sum += asked->extra[slot];
            if (sum > 0.0f) offer(best, slot, sum);
        }
        room->run[local] = 0.0f;
        room->seen[local] = 0;
    }
    for (int32_t r = 0; r < block->n_runs; r++) {
        const int32_t start = volume->starts[room->runs[r]];
        const size_t size = (size_t)(volume->starts[room->runs[r] + 1] - start) * sizeof(float);
        memset(room->own + (start - block->from), 0, size);
        memset(room->window + (start - block->from), 0, size);
        memset(room->named + (start - block->from), 0, size);
    }
    block->n_runs = 0;
}

static int open_room(room_t *room, size_t widest, size_t n_lists) {
    memset(room, 0, sizeof *room);
    room->block = calloc(6 * widest + 2, sizeof *room->block);
    room->touched = malloc(widest * sizeof *room->touched);
    room->runs = malloc(widest * sizeof *room->runs);
    room->seen = calloc(widest, 1);
    room->at = calloc(n_lists + 1, sizeof *room->at);
    if (!room->block || !room->touched || !room->runs || !room->seen || !room->at) return -1;
    room->own = room->block + 1; /* one before and one after it are 0, too */
    room->window = room->own + widest + 1;
    room->named = room->window + widest;
    room->count = room->named + widest;
    room->run = room->count + widest;
    room->most = room->run + widest;
    return 0;
}

static void close_room(room_t *room) {
    free(room->block);
    free(room->touched);
    free(room->runs);
    free(room->seen);
    free(room->at);
}

int64_t agm_volume_best(const agm_volume *volume, const agm_list *lists, size_t n_lists,
                        const agm_question *question, int64_t room, int32_t *slots,
                        float *scores) {
    best_t best = {slots, scores, 0, room, volume->keys};
    block_t block;
    const size_t widest = volume->longest > BLOCK ? (size_t)volume->longest : BLOCK;
    memset(&block, 0, sizeof block);
    block.volume = volume;
    block.question = question;
    block.people = question->asked != NULL;
    for (size_t q = 0; q < n_lists; q++) block.people |= lists[q].name;
    if (room <= 0) return 0;
    if (open_room(&block.room, widest, n_lists) != 0) {
        close_room(&block.room);
        return -1;
    }
    while (block.end < volume->runs) {
        block.first = block.end;
        block.from = volume->starts[block.first];
        do {
            block.end++;
        } while (block.end < volume->runs &&
                 volume->starts[block.end + 1] - block.from <= BLOCK);
        block.to = volume->starts[block.end];
        for (size_t q = 0; q < n_lists; q++) bound_list(&block, lists + q, block.room.at[q]);
        prune(&block, &best);
        for (size_t q = 0; q < n_lists; q++) add_list(&block, lists + q, block.room.at + q);
        finish(&block, &best);
    }
    close_room(&block.room);
    sort_best(&best);
    return best.size;
}
