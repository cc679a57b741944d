/*
 * base/crc32c_priv.h - the portable half of dt_crc32c(), for machines without the instruction and
 * for the test that compares the two.
 */
#ifndef DARTER_BASE_CRC32C_PRIV_H
#define DARTER_BASE_CRC32C_PRIV_H

#include <stddef.h>
#include <stdint.h>

/* Same contract as dt_crc32c(); slicing-by-8. */
uint32_t dt_crc32c_portable(uint32_t crc, const void *bytes, size_t len);

#endif
