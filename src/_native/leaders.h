/* The best slots so far: few of many that are offered. */
#ifndef AGM_LEADERS_H
#define AGM_LEADERS_H

#include <stdint.h>

/* A heap with the worst on top.  The caller owns the arrays, which have room for as many as are
 * kept. */
typedef struct {
    int32_t *slots;
    float *scores;
    int64_t size, room;
    const int64_t *keys;
} agm_leaders;

/* Keep a slot if it is among the best, equal ones by smaller key. */
void agm_offer(agm_leaders *best, int32_t slot, float score);

/* Best first; the heap is consumed. */
void agm_sort_leaders(agm_leaders *best);

#endif
