/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_DRIVERS_POOL_H
#define PW_DRIVERS_POOL_H

#include <stdint.h>

#include <rte_mempool.h>

/**
 * Creates a pool of packet buffers as rte_pktmbuf_pool_create() does, but with one buffer
 * right after the other in one piece of memory, so that an AF_XDP socket can take the whole
 * pool as its UMEM. (Where devices see physical addresses that cannot be had; the pool is
 * then an ordinary one.)
 *
 * @param room  bytes of a buffer, headroom included
 * @return the pool, or NULL with rte_errno set. Control thread.
 */
struct rte_mempool *pw_pool_create(const char *name, unsigned int count, unsigned int cache,
				   uint16_t room);

#endif
