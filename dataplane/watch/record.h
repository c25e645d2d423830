/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_WATCH_RECORD_H
#define PW_WATCH_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <rte_common.h>

#include "dataplane/path.h"

/** The stages in the packet's order; numbers are internal, the API carries the names. */
#define PW_STAGE_IDS(X)                                                                            \
	X(PORT_RECEIVE, "port-receive")                                                            \
	X(ETHERNET_INPUT, "ethernet-input")                                                        \
	X(LOCAL_INPUT, "local-input")                                                              \
	X(REASSEMBLY, "reassembly")                                                                \
	X(ESP_INPUT, "esp-input")                                                                  \
	X(GRE_INPUT, "gre-input")                                                                  \
	X(MPLS_INPUT, "mpls-input")                                                                \
	X(IPV4_LOOKUP, "ipv4-lookup")                                                              \
	X(IPV6_LOOKUP, "ipv6-lookup")                                                              \
	X(POLICY, "policy")                                                                        \
	X(TUNNEL_OUTPUT, "tunnel-output")                                                          \
	X(ESP_OUTPUT, "esp-output")                                                                \
	X(FRAGMENT, "fragment")                                                                    \
	X(ETHERNET_OUTPUT, "ethernet-output")                                                      \
	X(PORT_TRANSMIT, "port-transmit")                                                          \
	X(ICMP_ERROR, "icmp-error")                                                                \
	X(ICMP_ECHO, "icmp-echo")                                                                  \
	X(NEIGHBOUR_RESOLVE, "neighbour-resolve")                                                  \
	X(KERNEL_PUNT, "kernel-punt")                                                              \
	X(PATH_MTU, "path-mtu")                                                                    \
	X(DROP, "drop")

enum pw_stage_id {
	PW_AT_NONE,
#define PW_AT_ENUM(id, name) PW_AT_##id,
	PW_STAGE_IDS(PW_AT_ENUM)
#undef PW_AT_ENUM
		PW_AT_COUNT,
};

/** The stage's name, "?" for PW_AT_NONE. */
const char *pw_stage_name(enum pw_stage_id stage);

/** The stage a graph node belongs to, by its name ("NAME" or "NAME-CLONE"), or PW_AT_NONE. */
enum pw_stage_id pw_stage_find(const char *name);

/** A packet as it entered a stage. */
struct pw_record {
	uint64_t tsc;
	uint32_t number; /* of the packet in its order, from 1 */
	uint32_t length; /* of the whole packet from its data pointer */
	uint32_t captured;
	uint16_t worker;
	uint8_t stage;     /* enum pw_stage_id */
	uint8_t layer;     /* PW_LAYER_* */
	uint8_t direction; /* PW_DIRECTION_* */
	uint32_t hash;     /* of the flow; 0 = not computed */
	uint32_t label;    /* topmost label entry as received; 0 = none */
	struct pw_packet packet;
	uint8_t data[];
};

/**
 * Records from one worker to the control thread: one writer, one reader, preallocated. What does
 * not fit is counted, never waited for.
 */
struct pw_record_ring {
	uint32_t stride;                   /* bytes of a slot */
	uint32_t room;                     /* bytes of data in a slot */
	uint32_t slots;                    /* a power of two */
	uint32_t head __rte_cache_aligned; /* the writer's */
	uint64_t lost;
	uint32_t tail __rte_cache_aligned; /* the reader's */
	uint8_t memory[] __rte_cache_aligned;
};

/** @p slots a power of two. NULL: out of memory. */
struct pw_record_ring *pw_record_ring_create(uint32_t slots, uint32_t room);
void pw_record_ring_destroy(struct pw_record_ring *ring);

static inline struct pw_record *pw_record_slot(struct pw_record_ring *ring, uint32_t at)
{
	size_t slot = at & (ring->slots - 1);

	return (struct pw_record *)(ring->memory + slot * ring->stride);
}

/** Writer: slots that are free. */
static inline uint32_t pw_record_room(const struct pw_record_ring *ring)
{
	return ring->slots - (ring->head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE));
}

/** Writer: counts a record that could not be kept. */
static inline void pw_record_lose(struct pw_record_ring *ring)
{
	__atomic_store_n(&ring->lost, ring->lost + 1, __ATOMIC_RELAXED);
}

/** Writer: the next free slot, or NULL (and it counts as lost). */
static inline struct pw_record *pw_record_take(struct pw_record_ring *ring)
{
	if (pw_record_room(ring) == 0) {
		pw_record_lose(ring);
		return NULL;
	}
	return pw_record_slot(ring, ring->head);
}

/** Writer: the taken slot is filled. */
static inline void pw_record_commit(struct pw_record_ring *ring)
{
	__atomic_store_n(&ring->head, ring->head + 1, __ATOMIC_RELEASE);
}

/** Reader: the oldest record, or NULL. */
static inline const struct pw_record *pw_record_peek(struct pw_record_ring *ring)
{
	if (__atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) == ring->tail)
		return NULL;
	return pw_record_slot(ring, ring->tail);
}

/** Reader: done with the oldest record. */
static inline void pw_record_release(struct pw_record_ring *ring)
{
	__atomic_store_n(&ring->tail, ring->tail + 1, __ATOMIC_RELEASE);
}

#endif
