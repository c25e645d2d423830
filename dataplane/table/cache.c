/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/table/cache.h"

#include <sys/mman.h>

void *pw_cache_new(size_t bytes)
{
	void *cache = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (cache == MAP_FAILED)
		return NULL;
	madvise(cache, bytes, MADV_HUGEPAGE); /* a wish only */
	return cache;
}

void pw_cache_free(void *cache, size_t bytes)
{
	if (cache)
		munmap(cache, bytes);
}
