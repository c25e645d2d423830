/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_SLOT_H
#define PW_TABLE_SLOT_H

#include <stddef.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>

/**
 * A table of small fixed-size objects named by a stable 32-bit id: next hops, endpoints,
 * neighbours, interfaces.
 *
 * id -> object number -> object. An object is written once, before it is published, and never
 * edited; changing what an id means is one release store of another object's number, so
 * whatever stands on an id (a million routes, say) moves with that one store. Id 0 and every
 * id that is not set read as object 0, the table's "nothing" object.
 *
 * Readers: any worker. Writer: the control thread.
 */
struct pw_slots {
	uint32_t *map;        /* id -> object number */
	uint8_t *objects;     /* object number -> object, cache-line aligned */
	uint8_t *tags;        /* id -> first byte of its object, for what needs no more of it */
	uint32_t object_size; /* bytes, a multiple of the cache line */
	uint32_t ids;         /* capacity: ids 1 .. ids - 1 */
	uint32_t object_count;
	uint32_t ids_used;
	uint32_t *free_ids; /* stacks */
	uint32_t *free_objects;
	uint32_t free_ids_count;
	uint32_t free_objects_count;
	const char *name;
};

/**
 * @param name         for errors and memory zones
 * @param ids          number of ids, 0 included
 * @param object_size  bytes of an object (rounded up to the cache line)
 * @param nothing      the object that unset ids read as; NULL for all zeroes
 * @return 0 or -ENOMEM. Objects in flight (retired, not yet reclaimed) have room for an eighth
 *         of the ids, at least 64, besides.
 */
int pw_slots_init(struct pw_slots *slots, const char *name, uint32_t ids, size_t object_size,
		  const void *nothing);
void pw_slots_fini(struct pw_slots *slots);

/** Takes an id, which reads as "nothing" until it is set. Returns 0 or -ENOSPC (full). */
int pw_slot_alloc(struct pw_slots *slots, uint32_t *id);

/**
 * Publishes a copy of @p object under @p id and retires what was there.
 * Returns 0, or -ENOSPC when every spare object waits for its grace period (nothing changed;
 * it does not happen while the event loop runs pw_retire_poll()).
 */
int pw_slot_set(struct pw_slots *slots, uint32_t id, const void *object);

/** Makes the id read as "nothing" now; the id itself can be taken again a grace period later. */
void pw_slot_free(struct pw_slots *slots, uint32_t id);

/**
 * Changes after every change of any table, so whatever was computed from objects can be kept for
 * as long as it stays the same. Workers read it (acquire) before they read the objects.
 */
extern uint32_t pw_slots_generation;

/** The same after a change of what is published otherwise. Control thread. */
static inline void pw_slots_changed(void)
{
	__atomic_store_n(&pw_slots_generation, pw_slots_generation + 1, __ATOMIC_RELEASE);
}

/** The first byte of the object that an id stands for; it may change before the object does. */
static inline uint8_t pw_slot_tag(const struct pw_slots *slots, uint32_t id)
{
	return __atomic_load_n(&slots->tags[id], __ATOMIC_RELAXED);
}

/** The object an id stands for: any thread, valid until the caller's next quiescent state. */
static inline const void *pw_slot_get(const struct pw_slots *slots, uint32_t id)
{
	uint32_t object = __atomic_load_n(&slots->map[id], __ATOMIC_CONSUME);

	return slots->objects + (size_t)object * slots->object_size;
}

#endif
