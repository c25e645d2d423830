/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/secret.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/log.h"

#define GRANULE      64
#define GRANULES_MAX (PW_SECRET_MAX / GRANULE)
#define MAGIC_USED   0x5ec2e7a11ca11edaull

/* In front of each secret. */
struct block {
	uint64_t magic;
	uint32_t granules;  /* without this header */
	struct block *next; /* while free: the next free one of this size */
} __attribute__((aligned(GRANULE)));

static_assert(sizeof(struct block) == GRANULE, "a secret would lose its alignment");

/*
 * Secrets come in very few sizes (one for each kind of key), so a free list for each exact size
 * wastes nothing and never searches.
 */
static struct arena {
	pthread_mutex_t lock;
	uint8_t *fresh; /* never used part of the newest chunk */
	size_t fresh_bytes;
	size_t locked;
	size_t used;
	struct block *free[GRANULES_MAX + 1];
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int lock_chunk(void *chunk)
{
	struct rlimit limit = {0};
	int error;

	/* Not mlock(): sanitizers replace it by nothing, and tests would prove nothing. */
	if (mlock2(chunk, PW_SECRET_CHUNK, 0) == 0)
		return 0;
	/* Linux says ENOMEM or EPERM when it is the limit that forbids it. */
	error = errno;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	pw_error("keys: cannot lock %u more bytes of memory (%zu are locked): RLIMIT_MEMLOCK is "
		 "%llu: %s",
		 PW_SECRET_CHUNK, arena.locked, (unsigned long long)limit.rlim_cur,
		 strerror(error));
	return -EAGAIN;
}

/* Maps one more chunk; what is left of the one before is given up for good. */
static int chunk_add(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t reserved = 2 * (size_t)PW_SECRET_CHUNK + page;
	uint8_t *base, *chunk;
	int ret;

	/* Reserved, inaccessible addresses before and behind the chunk; they cost no memory. */
	base = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -ENOMEM;
	/* Aligned to its own size, so that it can be one huge page: fewer TLB misses. It begins at
	 * least a page behind the base and ends at least a page before the end. */
	chunk = (uint8_t *)(((uintptr_t)base + page + PW_SECRET_CHUNK - 1) &
			    ~((uintptr_t)PW_SECRET_CHUNK - 1));
	ret = mprotect(chunk, PW_SECRET_CHUNK, PROT_READ | PROT_WRITE) ? -errno : 0;
	if (ret == 0 && (madvise(chunk, PW_SECRET_CHUNK, MADV_DONTDUMP) ||
			 madvise(chunk, PW_SECRET_CHUNK, MADV_DONTFORK)))
		ret = -errno;
	if (ret == 0) {
		madvise(chunk, PW_SECRET_CHUNK, MADV_HUGEPAGE); /* a wish only */
		ret = lock_chunk(chunk);
	}
	if (ret) {
		munmap(base, reserved);
		return ret;
	}
	arena.fresh = chunk;
	arena.fresh_bytes = PW_SECRET_CHUNK;
	arena.locked += PW_SECRET_CHUNK;
	return 0;
}

static int block_take(uint32_t granules, struct block **taken)
{
	size_t bytes = sizeof(struct block) + (size_t)granules * GRANULE;
	struct block *block = arena.free[granules];
	int ret;

	if (block != NULL) {
		arena.free[granules] = block->next;
	} else {
		if (arena.fresh_bytes < bytes) {
			ret = chunk_add();
			if (ret)
				return ret;
		}
		block = (struct block *)arena.fresh;
		arena.fresh += bytes;
		arena.fresh_bytes -= bytes;
	}
	block->magic = MAGIC_USED;
	block->granules = granules;
	block->next = NULL;
	arena.used += (size_t)granules * GRANULE;
	*taken = block;
	return 0;
}

int pw_secret_alloc(size_t bytes, void **secret)
{
	struct block *block = NULL;
	int ret;

	*secret = NULL;
	if (bytes == 0 || bytes > PW_SECRET_MAX)
		return -EINVAL;
	pthread_mutex_lock(&arena.lock);
	ret = block_take((uint32_t)((bytes + GRANULE - 1) / GRANULE), &block);
	pthread_mutex_unlock(&arena.lock);
	if (ret == 0)
		*secret = block + 1;
	return ret;
}

void pw_secret_free(void *secret)
{
	struct block *block;

	if (secret == NULL)
		return;
	block = (struct block *)secret - 1;
	pthread_mutex_lock(&arena.lock);
	if ((uintptr_t)secret % GRANULE != 0 || block->magic != MAGIC_USED) {
		pw_error("keys: freed what is not a secret in use");
		abort();
	}
	explicit_bzero(secret, (size_t)block->granules * GRANULE);
	block->magic = 0;
	block->next = arena.free[block->granules];
	arena.free[block->granules] = block;
	arena.used -= (size_t)block->granules * GRANULE;
	pthread_mutex_unlock(&arena.lock);
}

void pw_secret_usage(size_t *locked, size_t *used)
{
	pthread_mutex_lock(&arena.lock);
	if (locked != NULL)
		*locked = arena.locked;
	if (used != NULL)
		*used = arena.used;
	pthread_mutex_unlock(&arena.lock);
}
