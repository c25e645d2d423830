/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/table/slot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>

#include "lib/retire.h"

uint32_t pw_slots_generation = 1;

/* Last of all: who sees the new generation sees the object too. */
static void publish(struct pw_slots *slots, uint32_t id, uint32_t object)
{
	__atomic_store_n(&slots->map[id], object, __ATOMIC_RELEASE);
	__atomic_store_n(&slots->tags[id], slots->objects[(size_t)object * slots->object_size],
			 __ATOMIC_RELEASE);
	pw_slots_changed();
}

int pw_slots_init(struct pw_slots *slots, const char *name, uint32_t ids, size_t object_size,
		  const void *nothing)
{
	uint32_t size = RTE_ALIGN_CEIL(object_size, RTE_CACHE_LINE_SIZE);
	uint32_t objects = ids + RTE_MAX(ids / 8, 64u);

	*slots = (struct pw_slots){
		.name = name,
		.ids = ids,
		.object_size = size,
		.object_count = objects,
	};
	slots->map = rte_zmalloc(name, ids * sizeof(*slots->map), RTE_CACHE_LINE_SIZE);
	slots->objects = rte_zmalloc(name, (size_t)objects * size, RTE_CACHE_LINE_SIZE);
	slots->tags = rte_zmalloc(name, ids, RTE_CACHE_LINE_SIZE);
	slots->free_ids = malloc(ids * sizeof(*slots->free_ids));
	slots->free_objects = malloc(objects * sizeof(*slots->free_objects));
	if (!slots->map || !slots->objects || !slots->tags || !slots->free_ids ||
	    !slots->free_objects) {
		pw_slots_fini(slots);
		return -ENOMEM;
	}
	if (nothing) {
		memcpy(slots->objects, nothing, object_size);
		memset(slots->tags, slots->objects[0], ids);
	}
	/* Number 0 is never handed out; low numbers go first, so they share cache and TLB. */
	for (uint32_t i = ids - 1; i > 0; i--)
		slots->free_ids[slots->free_ids_count++] = i;
	for (uint32_t i = objects - 1; i > 0; i--)
		slots->free_objects[slots->free_objects_count++] = i;
	return 0;
}

void pw_slots_fini(struct pw_slots *slots)
{
	rte_free(slots->map);
	rte_free(slots->objects);
	rte_free(slots->tags);
	free(slots->free_ids);
	free(slots->free_objects);
	memset(slots, 0, sizeof(*slots));
}

int pw_slot_alloc(struct pw_slots *slots, uint32_t *id)
{
	if (!slots->free_ids_count)
		return -ENOSPC;
	*id = slots->free_ids[--slots->free_ids_count];
	slots->ids_used++;
	return 0;
}

static void object_reclaim(void *context, uint64_t object)
{
	struct pw_slots *slots = context;

	slots->free_objects[slots->free_objects_count++] = (uint32_t)object;
}

static void id_reclaim(void *context, uint64_t id)
{
	struct pw_slots *slots = context;

	slots->free_ids[slots->free_ids_count++] = (uint32_t)id;
	slots->ids_used--;
}

int pw_slot_set(struct pw_slots *slots, uint32_t id, const void *object)
{
	uint32_t old, new;

	if (!slots->free_objects_count)
		pw_retire_drain();
	old = slots->map[id]; /* what waited for its grace period may have freed the id */
	if (!slots->free_objects_count)
		return -ENOSPC;
	new = slots->free_objects[--slots->free_objects_count];
	memcpy(slots->objects + (size_t) new * slots->object_size, object, slots->object_size);
	publish(slots, id, new);
	if (old)
		pw_retire(object_reclaim, slots, old);
	return 0;
}

void pw_slot_free(struct pw_slots *slots, uint32_t id)
{
	uint32_t old = slots->map[id];

	publish(slots, id, 0);
	if (old)
		pw_retire(object_reclaim, slots, old);
	pw_retire(id_reclaim, slots, id);
}
