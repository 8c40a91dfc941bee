#include "leaders.h"

static int worse(const agm_leaders *best, int64_t a, int64_t b) {
    if (best->scores[a] != best->scores[b]) return best->scores[a] < best->scores[b];
    return best->keys[best->slots[a]] > best->keys[best->slots[b]];
}

static void swap(agm_leaders *best, int64_t a, int64_t b) {
    const int32_t slot = best->slots[a];
    const float score = best->scores[a];
    best->slots[a] = best->slots[b];
    best->scores[a] = best->scores[b];
    best->slots[b] = slot;
    best->scores[b] = score;
}

static void sink(agm_leaders *best, int64_t at, int64_t size) {
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= size) return;
        if (child + 1 < size && worse(best, child + 1, child)) child++;
        if (!worse(best, child, at)) return;
        swap(best, at, child);
        at = child;
    }
}

void agm_offer(agm_leaders *best, int32_t slot, float score) {
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

void agm_sort_leaders(agm_leaders *best) {
    for (int64_t size = best->size; size > 1; size--) {
        swap(best, 0, size - 1);
        sink(best, 0, size - 1);
    }
}
