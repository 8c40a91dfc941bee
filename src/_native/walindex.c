#include "walindex.h"

#include <string.h>

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#if defined(_M_ARM64)
#define agm_barrier() __dmb(_ARM64_BARRIER_ISH)
#else
#define agm_barrier() _mm_mfence()
#endif
#else
#define agm_barrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

int agm_wal_header(const volatile uint32_t *index, uint32_t header[AGM_WAL_WORDS]) {
    uint32_t again[AGM_WAL_WORDS];
    uint8_t initialised;
    /* What was committed before this call must be seen by it, on processors that reorder, too. */
    agm_barrier();
    for (int i = 0; i < AGM_WAL_WORDS; i++) header[i] = index[i];
    agm_barrier();
    for (int i = 0; i < AGM_WAL_WORDS; i++) again[i] = index[AGM_WAL_WORDS + i];
    memcpy(&initialised, header + 3, 1);
    return initialised && memcmp(header, again, sizeof again) == 0;
}
