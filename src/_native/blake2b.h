#ifndef AGM_BLAKE2B_H
#define AGM_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

#define AGM_DIGEST_SIZE 16

/* Unkeyed BLAKE2b with a digest of 16 bytes (RFC 7693). */
void agm_blake2b_128(const uint8_t *data, size_t size, uint8_t digest[AGM_DIGEST_SIZE]);

#endif
