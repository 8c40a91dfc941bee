/* A fixed rotation that spreads what a few large components hold over all of them. */
#ifndef AGM_ROTATE_H
#define AGM_ROTATE_H

#include <stddef.h>

/* Rows times one orthogonal matrix, in place: signs, then a Walsh-Hadamard transform of each power of
 * two that dim is the sum of, largest first.  Dot products stay, up to rounding; the largest component
 * of a row mostly shrinks to a few times its mean, which a code by the largest one is the finer for. */
void agm_rotate(float *rows, size_t n, size_t dim);

#endif
