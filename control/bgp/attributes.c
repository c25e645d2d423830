/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes and hops that routes share. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/bgp/rib.h"
#include "control/bgp/vrf.h"

static struct bgp_hash interned_table, hops_table;

struct bgp_interned *bgp_attributes_intern(const struct bgp_attributes *attributes,
					   const uint64_t *targets)
{
	size_t size = attributes->target_count * sizeof(*targets);
	uint64_t hash =
		bgp_hash_bytes(attributes, sizeof(*attributes)) ^ bgp_hash_bytes(targets, size);
	struct bgp_hash_node *node = bgp_hash_first(&interned_table, hash);
	struct bgp_interned *interned;

	for (; node; node = bgp_hash_next(node)) {
		interned = bgp_container(node, struct bgp_interned, node);
		if (memcmp(&interned->attributes, attributes, sizeof(*attributes)) == 0 &&
		    memcmp(interned->targets, targets, size) == 0) {
			interned->refs++;
			return interned;
		}
	}
	interned = calloc(1, sizeof(*interned) + size);
	if (!interned)
		return NULL;
	interned->attributes = *attributes;
	memcpy(interned->targets, targets, size);
	interned->refs = 1;
	interned->generation = bgp_vrfs_generation() - 1;
	if (bgp_hash_insert(&interned_table, &interned->node, hash)) {
		free(interned);
		return NULL;
	}
	return interned;
}

void bgp_attributes_release(struct bgp_interned *interned)
{
	if (!interned || --interned->refs)
		return;
	bgp_hash_remove(&interned_table, &interned->node);
	free(interned->vrfs);
	free(interned);
}

void bgp_attributes_hold(struct bgp_interned *interned)
{
	interned->refs++;
	/* Without the memory for it only packets from a PE that is not the best are refused. */
	if (!interned->paths++)
		interned->remote = bgp_remote_hold(&interned->attributes);
}

void bgp_attributes_drop(struct bgp_interned *interned)
{
	if (!interned)
		return;
	if (!--interned->paths) {
		bgp_remote_release(interned->remote);
		interned->remote = NULL;
	}
	bgp_attributes_release(interned);
}

static void add_vrf(struct bgp_vrf *vrf, void *context)
{
	struct bgp_interned *interned = context;
	struct bgp_vrf **vrfs;

	for (unsigned int i = 0; i < interned->vrf_count; i++)
		if (interned->vrfs[i] == vrf)
			return;
	vrfs = reallocarray(interned->vrfs, interned->vrf_count + 1, sizeof(*vrfs));
	if (!vrfs)
		return; /* not imported there; a refresh may find room */
	interned->vrfs = vrfs;
	vrfs[interned->vrf_count++] = vrf;
}

unsigned int bgp_attributes_vrfs(struct bgp_interned *interned, struct bgp_vrf ***vrfs)
{
	if (interned->generation != bgp_vrfs_generation()) {
		interned->generation = bgp_vrfs_generation();
		interned->vrf_count = 0;
		for (unsigned int i = 0; i < interned->attributes.target_count; i++)
			bgp_vrfs_import(interned->targets[i], add_vrf, interned);
	}
	*vrfs = interned->vrfs;
	return interned->vrf_count;
}

/* ---- hops -------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct bgp_hop));
}

unsigned int bgp_hops_sort(struct bgp_hop *hops, unsigned int count)
{
	unsigned int kept = 0;

	qsort(hops, count, sizeof(*hops), compare);
	for (unsigned int i = 0; i < count; i++)
		if (!kept || compare(&hops[kept - 1], &hops[i]) != 0)
			hops[kept++] = hops[i];
	return kept;
}

struct bgp_hops *bgp_hops_intern(const struct bgp_hop *hops, unsigned int count)
{
	size_t size = count * sizeof(*hops);
	uint64_t hash = bgp_hash_bytes(hops, size);
	struct bgp_hash_node *node = bgp_hash_first(&hops_table, hash);
	struct bgp_hops *set;

	for (; node; node = bgp_hash_next(node)) {
		set = bgp_container(node, struct bgp_hops, node);
		if (set->count == count && memcmp(set->hops, hops, size) == 0) {
			set->refs++;
			return set;
		}
	}
	set = calloc(1, sizeof(*set) + size);
	if (!set)
		return NULL;
	set->refs = 1;
	set->count = count;
	memcpy(set->hops, hops, size);
	if (bgp_hash_insert(&hops_table, &set->node, hash)) {
		free(set);
		return NULL;
	}
	return set;
}

void bgp_hops_release(struct bgp_hops *hops)
{
	if (!hops || --hops->refs)
		return;
	bgp_hash_remove(&hops_table, &hops->node);
	free(hops);
}

void bgp_rib_count(struct bgp_rib_counts *counts)
{
	counts->attributes = interned_table.count;
	counts->hops = hops_table.count;
}
