/* The header of SQLite's WAL index, which tells whether anybody has committed.
 *
 * https://sqlite.org/walformat.html: 48 bytes at the beginning of the shared memory, and the same
 * again.  A writer makes the second copy before the first, so a reader who takes the first before
 * the second and finds them equal has one that was not being written. */
#ifndef AGM_WALINDEX_H
#define AGM_WALINDEX_H

#include <stdint.h>

enum { AGM_WAL_WORDS = 12 };

/* 1 and the header, or 0 where it is being written or not initialised. */
int agm_wal_header(const volatile uint32_t *index, uint32_t header[AGM_WAL_WORDS]);

#endif
