/* BLAKE2b, written from RFC 7693; names follow its section 3. */
#include "blake2b.h"

#include <string.h>

#define BLOCK 128

static const uint64_t IV[8] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};

static uint64_t rotate(uint64_t x, unsigned n) { return (x >> n) | (x << (64 - n)); }

static uint64_t load64(const uint8_t *p) {
    /* Byte by byte: right on any byte order, and one load where it is little-endian. */
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

/* The mixing function G of section 3.1. */
#define MIX(a, b, c, d, x, y)           \
    do {                                \
        v[a] = v[a] + v[b] + (x);       \
        v[d] = rotate(v[d] ^ v[a], 32); \
        v[c] = v[c] + v[d];             \
        v[b] = rotate(v[b] ^ v[c], 24); \
        v[a] = v[a] + v[b] + (y);       \
        v[d] = rotate(v[d] ^ v[a], 16); \
        v[c] = v[c] + v[d];             \
        v[b] = rotate(v[b] ^ v[c], 63); \
    } while (0)

/* One round; the arguments are a row of SIGMA (section 2.7), so every index is a constant. */
#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) \
    do {                                                                            \
        MIX(0, 4, 8, 12, m[s0], m[s1]);                                             \
        MIX(1, 5, 9, 13, m[s2], m[s3]);                                             \
        MIX(2, 6, 10, 14, m[s4], m[s5]);                                            \
        MIX(3, 7, 11, 15, m[s6], m[s7]);                                            \
        MIX(0, 5, 10, 15, m[s8], m[s9]);                                            \
        MIX(1, 6, 11, 12, m[s10], m[s11]);                                          \
        MIX(2, 7, 8, 13, m[s12], m[s13]);                                           \
        MIX(3, 4, 9, 14, m[s14], m[s15]);                                           \
    } while (0)

/* The compression function F of section 3.2; counts stay under 2**64. */
static void compress(uint64_t h[8], const uint8_t *block, uint64_t count, int last) {
    uint64_t m[16], v[16];
    for (int i = 0; i < 16; i++) m[i] = load64(block + 8 * i);
    for (int i = 0; i < 8; i++) {
        v[i] = h[i];
        v[i + 8] = IV[i];
    }
    v[12] ^= count;
    if (last) v[14] = ~v[14];
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
    ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
    ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
    ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
    ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
    ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
    ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
    ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
}

void agm_blake2b_128(const uint8_t *data, size_t size, uint8_t digest[AGM_DIGEST_SIZE]) {
    uint64_t h[8];
    uint64_t done = 0;
    uint8_t tail[BLOCK];
    memcpy(h, IV, sizeof h);
    h[0] ^= 0x01010000u ^ AGM_DIGEST_SIZE; /* fanout 1, depth 1, no key */
    while (size > BLOCK) { /* the last block, even a full one, is compressed apart */
        done += BLOCK;
        compress(h, data, done, 0);
        data += BLOCK;
        size -= BLOCK;
    }
    memset(tail, 0, sizeof tail);
    if (size) memcpy(tail, data, size);
    compress(h, tail, done + size, 1);
    for (int i = 0; i < AGM_DIGEST_SIZE; i++) {
        digest[i] = (uint8_t)(h[i / 8] >> (8 * (i % 8)));
    }
}
