#include "words.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 29;
    return x;
}

static uint64_t hash_of(const uint8_t *key, size_t size, uint64_t seed) {
    uint64_t hash = seed ^ (size * 0x9e3779b97f4a7c15u);
    uint64_t chunk;
    for (; size >= 8; key += 8, size -= 8) {
        memcpy(&chunk, key, 8);
        hash = mix(hash ^ chunk) * 0x9e3779b97f4a7c15u;
    }
    if (size) {
        chunk = 0;
        memcpy(&chunk, key, size);
        hash = mix(hash ^ chunk) * 0x9e3779b97f4a7c15u;
    }
    return mix(hash);
}

int agm_words_init(agm_words *self, size_t limit, uint64_t seed) {
    memset(self, 0, sizeof *self);
    self->limit = limit;
    self->seed = seed;
    self->capacity = 1024;
    self->room = 8192;
    self->slots = calloc(self->capacity, sizeof *self->slots);
    self->arena = malloc(self->room);
    if (self->slots && self->arena) return 0;
    agm_words_free(self);
    return -1;
}

void agm_words_free(agm_words *self) {
    free(self->slots);
    free(self->arena);
    memset(self, 0, sizeof *self);
}

size_t agm_words_bytes(const agm_words *self) {
    return self->capacity * sizeof *self->slots + self->room;
}

/* The slot that holds the key, or the empty one where it belongs. */
static agm_word *locate(const agm_words *self, const uint8_t *key, size_t size, uint64_t hash) {
    size_t at = (size_t)hash & (self->capacity - 1);
    for (;;) {
        agm_word *slot = &self->slots[at];
        if (slot->size == 0) return slot;
        if (slot->hash == hash && slot->size == size &&
            memcmp(self->arena + slot->start, key, size) == 0) {
            return slot;
        }
        at = (at + 1) & (self->capacity - 1);
    }
}

int agm_words_get(const agm_words *self, const uint8_t *key, size_t size, uint64_t *value) {
    const agm_word *slot = locate(self, key, size, hash_of(key, size, self->seed));
    if (slot->size == 0) return 0;
    *value = slot->value;
    return 1;
}

static int double_slots(agm_words *self) {
    const size_t capacity = self->capacity * 2;
    agm_word *slots = calloc(capacity, sizeof *slots);
    if (!slots) return -1;
    for (size_t i = 0; i < self->capacity; i++) {
        if (self->slots[i].size == 0) continue;
        size_t at = (size_t)self->slots[i].hash & (capacity - 1);
        while (slots[at].size) at = (at + 1) & (capacity - 1);
        slots[at] = self->slots[i];
    }
    free(self->slots);
    self->slots = slots;
    self->capacity = capacity;
    return 0;
}

int agm_words_put(agm_words *self, const uint8_t *key, size_t size, uint64_t value) {
    const uint64_t hash = hash_of(key, size, self->seed);
    agm_word *slot = locate(self, key, size, hash);
    if (slot->size) {
        slot->value = value;
        return 0;
    }
    if (self->count >= self->limit) {
        memset(self->slots, 0, self->capacity * sizeof *self->slots);
        self->count = self->used = 0;
    } else if (self->count * 2 >= self->capacity && double_slots(self) != 0) {
        return -1;
    }
    if (self->used + size > self->room) {
        const size_t room = 2 * (self->used + size);
        uint8_t *arena = room <= UINT32_MAX ? realloc(self->arena, room) : NULL;
        if (!arena) return -1;
        self->arena = arena;
        self->room = room;
    }
    slot = locate(self, key, size, hash);
    memcpy(self->arena + self->used, key, size);
    slot->hash = hash;
    slot->value = value;
    slot->start = (uint32_t)self->used;
    slot->size = (uint32_t)size;
    self->used += size;
    self->count++;
    return 0;
}

static int ascending(const void *left, const void *right) {
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

void agm_sort_terms(uint64_t *terms, size_t n) {
    if (n > 32) {
        qsort(terms, n, sizeof *terms, ascending);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        const uint64_t moved = terms[i];
        size_t j = i;
        for (; j > 0 && terms[j - 1] > moved; j--) terms[j] = terms[j - 1];
        terms[j] = moved;
    }
}
