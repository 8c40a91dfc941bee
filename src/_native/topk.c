#include "topk.h"

#include <string.h>

static uint64_t pack(float score, uint32_t index) {
    uint32_t bits;
    const float value = score + 0.0f; /* -0 becomes +0 */
    memcpy(&bits, &value, sizeof bits);
    if (value != value) bits = 0;
    else bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t)~index;
}

static float unpack_score(uint64_t entry) {
    uint32_t bits = (uint32_t)(entry >> 32);
    float value;
    if (bits == 0) bits = 0x7fc00000u;
    else bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Let entries[at] sink in a min-heap of the given size. */
static void sink(uint64_t *entries, size_t size, size_t at) {
    const uint64_t moved = entries[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= size) break;
        if (child + 1 < size && entries[child + 1] < entries[child]) child++;
        if (moved <= entries[child]) break;
        entries[at] = entries[child];
        at = child;
    }
    entries[at] = moved;
}

static void rise(uint64_t *entries, size_t at) {
    const uint64_t moved = entries[at];
    while (at) {
        const size_t parent = (at - 1) / 2;
        if (entries[parent] <= moved) break;
        entries[at] = entries[parent];
        at = parent;
    }
    entries[at] = moved;
}

/* The largest float below value, so that "> it" means ">= value"; NaN where there is none. */
static float below(float value) {
    uint32_t bits;
    const float plain = value + 0.0f;
    memcpy(&bits, &plain, sizeof bits);
    if (bits == 0) bits = 0x80000001u;
    else if (bits & 0x80000000u) bits++; /* -inf becomes a NaN */
    else bits--;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

void agm_heap_offer(agm_heap *heap, const agm_kernels *kernels, const float *scores, size_t n,
                    const uint8_t *mask, uint32_t base, int has_threshold, float threshold) {
    size_t i = 0;
    if (heap->capacity == 0) return;
    const float floor = below(threshold);
    while (i < n && heap->size < heap->capacity) {
        if (has_threshold) {
            i = kernels->next_above(scores, i, n, floor);
            if (i == n) return;
        }
        if ((!mask || mask[i]) && !(has_threshold && !(scores[i] >= threshold))) {
            heap->entries[heap->size] = pack(scores[i], base + (uint32_t)i);
            rise(heap->entries, heap->size++);
        }
        i++;
    }
    while (i < n) {
        /* Full: only what is strictly above the worst kept can enter, since a later index
         * loses a tie.  While the worst is NaN, next_above lets everything through. */
        i = kernels->next_above(scores, i, n, unpack_score(heap->entries[0]));
        if (i == n) return;
        const uint64_t entry = pack(scores[i], base + (uint32_t)i);
        if (entry > heap->entries[0] && (!mask || mask[i]) &&
            !(has_threshold && !(scores[i] >= threshold))) {
            heap->entries[0] = entry;
            sink(heap->entries, heap->size, 0);
        }
        i++;
    }
}

void agm_heap_drain(agm_heap *heap, int64_t *indices, float *scores) {
    /* Heap sort: taking the minimum to the end each time leaves the best first. */
    for (size_t left = heap->size; left > 0; left--) {
        const uint64_t worst = heap->entries[0];
        heap->entries[0] = heap->entries[left - 1];
        if (left > 1) sink(heap->entries, left - 1, 0);
        indices[left - 1] = (int64_t)(uint32_t)~(uint32_t)worst;
        scores[left - 1] = unpack_score(worst);
    }
    heap->size = 0;
}
