/*
 * cache/hash_priv.h - uthash with our hash: keyed at random, so that strangers who choose digests
 * cannot choose buckets. Included instead of <uthash.h>.
 */
#ifndef DARTER_CACHE_HASH_PRIV_H
#define DARTER_CACHE_HASH_PRIV_H

#include "base/digest.h"

#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = (unsigned)dt_hash_bytes(keyptr, keylen))
#include <uthash.h>

#endif
