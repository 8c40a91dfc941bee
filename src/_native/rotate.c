#include "rotate.h"

#include <stdint.h>

/* Half of the components change their sign, in no pattern that a transform would undo. */
static float sign_of(size_t j) {
    const uint64_t mixed = ((uint64_t)j + 1) * 0x9e3779b97f4a7c15u;
    return (mixed ^ mixed >> 29) >> 40 & 1 ? -1.0f : 1.0f;
}

/* The unnormalised transform of a power of two. */
static void transform(float *values, size_t n) {
    for (size_t half = 1; half < n; half *= 2) {
        for (size_t start = 0; start < n; start += 2 * half) {
            float *low = values + start, *high = low + half;
            for (size_t j = 0; j < half; j++) {
                const float a = low[j], b = high[j];
                low[j] = a + b;
                high[j] = a - b;
            }
        }
    }
}

/* 1 / sqrt(n) of a power of two. */
static float scale_of(size_t n) {
    float scale = 1.0f;
    for (; n >= 4; n /= 4) scale *= 0.5f;
    return n == 2 ? scale * 0.70710678118654752f : scale;
}

void agm_rotate(float *rows, size_t n, size_t dim) {
    for (size_t i = 0; i < n; i++) {
        float *row = rows + i * dim;
        size_t left = dim;
        while (left) {
            size_t block = 1;
            while (block <= left / 2) block *= 2;
            const float scale = scale_of(block);
            for (size_t j = 0; j < block; j++) row[j] *= sign_of(j) * scale;
            transform(row, block);
            row += block;
            left -= block;
        }
    }
}
