/* A bounded map from a word's bytes to its term hash. */
#ifndef AGM_WORDS_H
#define AGM_WORDS_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t hash;
    uint64_t value;
    uint32_t start; /* of the key in the arena */
    uint32_t size;  /* 0 marks an empty slot: no word is empty */
} agm_word;

typedef struct {
    agm_word *slots;
    size_t capacity; /* a power of two */
    size_t count;
    size_t limit; /* words kept; adding one more first forgets all */
    uint8_t *arena;
    size_t used, room;
    uint64_t seed;
} agm_words;

int agm_words_init(agm_words *self, size_t limit, uint64_t seed); /* 0, or -1: no memory */
void agm_words_free(agm_words *self);
size_t agm_words_bytes(const agm_words *self);

/* 1 and the value, or 0. */
int agm_words_get(const agm_words *self, const uint8_t *key, size_t size, uint64_t *value);

/* Remember a word of 1 to 2**16 bytes, or replace its value; 0, or -1: no memory. */
int agm_words_put(agm_words *self, const uint8_t *key, size_t size, uint64_t value);

/* Ascending, in place. */
void agm_sort_terms(uint64_t *terms, size_t n);

#endif
