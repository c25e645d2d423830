/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_SECRET_H
#define PW_SECRET_H

#include <stddef.h>

/**
 * Memory for keys and whatever a key can be computed from.
 *
 * It is locked (never written to swap), left out of core files, not inherited by a forked child,
 * and bounded by unmapped pages. It is wiped when freed, so what is handed out is always zero.
 * Nothing else may hold a key for longer than it takes to copy it here.
 *
 * Locked memory counts against RLIMIT_MEMLOCK; it grows in steps of PW_SECRET_CHUNK bytes and is
 * kept for reuse. All functions may be called from any thread; they take a lock, so they are not
 * for the packet's way.
 */
#define PW_SECRET_CHUNK (2u << 20)
/** The largest secret. */
#define PW_SECRET_MAX (512u << 10)

/**
 * Gives @p bytes (1 .. PW_SECRET_MAX) of zeroed memory, aligned to 64 bytes, in @p secret.
 * Returns 0, or
 * -EINVAL  no such size
 * -ENOMEM  out of memory
 * -EAGAIN  the memory may not be locked: RLIMIT_MEMLOCK is exceeded (also logged, with the limit)
 * or what madvise() says. @p secret is NULL then.
 */
int pw_secret_alloc(size_t bytes, void **secret);

/** Wipes and takes back what pw_secret_alloc() gave; NULL is allowed. Aborts on anything else. */
void pw_secret_free(void *secret);

/** Bytes locked, and bytes given out now; either may be NULL. */
void pw_secret_usage(size_t *locked, size_t *used);

#endif
