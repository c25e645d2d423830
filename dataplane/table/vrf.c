/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/table/vrf.h"

#include "dataplane/table/slot.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/rtnetlink.h>
#include <rte_malloc.h>

#include "lib/retire.h"

struct pw_vrf *pw_vrfs[PW_VRFS];

static struct pw_lpm_arena *arena;
static uint32_t spd_default;

/* Linux table -> index. Tables are few and looked for by the control thread only. */
static int table_find(uint32_t table)
{
	if (table == RT_TABLE_LOCAL || table == RT_TABLE_UNSPEC)
		table = RT_TABLE_MAIN;
	for (int i = 0; i < PW_VRFS; i++)
		if (pw_vrfs[i] && pw_vrfs[i]->table == table)
			return i;
	return -ENOENT;
}

static void vrf_destroy(void *context, uint64_t argument)
{
	struct pw_vrf *vrf = context;

	if (argument) {
		pw_lpm_destroy(vrf->lpm4);
		pw_lpm_destroy(vrf->lpm6);
	}
	rte_free(vrf);
}

static int vrf_create(int index, uint32_t table)
{
	struct pw_vrf *vrf = rte_zmalloc("vrf", sizeof(*vrf), RTE_CACHE_LINE_SIZE);

	if (!vrf)
		return -ENOMEM;
	vrf->table = table;
	vrf->spd = spd_default;
	vrf->lpm4 = pw_lpm_create(arena, 32);
	vrf->lpm6 = pw_lpm_create(arena, 128);
	if (!vrf->lpm4 || !vrf->lpm6) {
		if (vrf->lpm4)
			pw_lpm_destroy(vrf->lpm4);
		if (vrf->lpm6)
			pw_lpm_destroy(vrf->lpm6);
		rte_free(vrf);
		return -ENOMEM;
	}
	__atomic_store_n(&pw_vrfs[index], vrf, __ATOMIC_RELEASE);
	pw_slots_changed();
	return 0;
}

int pw_vrf_table_init(size_t lpm_bytes)
{
	int ret;

	arena = pw_lpm_arena_create(lpm_bytes, pw_retire);
	if (!arena)
		return -errno;
	ret = vrf_create(PW_VRF_DEFAULT, RT_TABLE_MAIN);
	if (ret) {
		pw_lpm_arena_destroy(arena);
		arena = NULL;
	}
	return ret;
}

void pw_vrf_table_fini(void)
{
	if (!arena)
		return;
	for (int i = 0; i < PW_VRFS; i++) {
		if (pw_vrfs[i])
			vrf_destroy(pw_vrfs[i], 1);
		pw_vrfs[i] = NULL;
	}
	spd_default = 0;
	pw_retire_drain();
	pw_lpm_arena_destroy(arena);
	arena = NULL;
}

size_t pw_vrf_memory_used(void)
{
	return pw_lpm_arena_used(arena);
}

int pw_vrf_take(uint32_t table)
{
	int index = table_find(table);
	int ret;

	if (index >= 0)
		return index;
	for (index = 1; index < PW_VRFS; index++)
		if (!pw_vrfs[index])
			break;
	if (index == PW_VRFS)
		return -ENOSPC;
	ret = vrf_create(index, table);
	return ret ? ret : index;
}

int pw_vrf_find(uint32_t table)
{
	return table_find(table);
}

void pw_vrf_free(uint16_t index)
{
	struct pw_vrf *vrf = pw_vrfs[index];

	if (index == PW_VRF_DEFAULT || !vrf)
		return;
	__atomic_store_n(&pw_vrfs[index], NULL, __ATOMIC_RELEASE);
	pw_slots_changed();
	pw_retire(vrf_destroy, vrf, 1);
}

/* A copy of what is published, to be changed and published by vrf_replace(). */
static struct pw_vrf *vrf_copy(const struct pw_vrf *old)
{
	struct pw_vrf *vrf = rte_malloc("vrf", sizeof(*vrf), RTE_CACHE_LINE_SIZE);

	if (vrf)
		*vrf = *old;
	return vrf;
}

static void vrf_replace(uint16_t index, struct pw_vrf *vrf)
{
	struct pw_vrf *old = pw_vrfs[index];

	__atomic_store_n(&pw_vrfs[index], vrf, __ATOMIC_RELEASE);
	pw_slots_changed();
	pw_retire(vrf_destroy, old, 0); /* the tables live on in the copy */
}

int pw_vrf_set_icmp_source(uint16_t index, uint32_t source4, const uint8_t source6[16])
{
	struct pw_vrf *vrf;

	if (!pw_vrfs[index])
		return -ENOENT;
	vrf = vrf_copy(pw_vrfs[index]);
	if (!vrf)
		return -ENOMEM;
	vrf->icmp_source4 = source4;
	memcpy(vrf->icmp_source6, source6, 16);
	vrf_replace(index, vrf);
	return 0;
}

int pw_vrf_set_spd(uint16_t index, uint32_t spd)
{
	struct pw_vrf *vrf;

	if (index >= PW_VRFS || !pw_vrfs[index])
		return -ENOENT;
	spd = spd ? spd : spd_default;
	if (pw_vrfs[index]->spd == spd)
		return 0;
	vrf = vrf_copy(pw_vrfs[index]);
	if (!vrf)
		return -ENOMEM;
	vrf->spd = spd;
	vrf_replace(index, vrf);
	return 0;
}

int pw_vrf_set_spd_default(uint32_t spd)
{
	uint32_t old = spd_default;
	int ret = 0;

	spd_default = spd;
	for (uint16_t i = 0; i < PW_VRFS && !ret; i++)
		if (pw_vrfs[i] && pw_vrfs[i]->spd == old)
			ret = pw_vrf_set_spd(i, spd);
	if (ret)
		spd_default = old;
	return ret;
}

static struct pw_lpm *vrf_lpm(uint16_t index, int family)
{
	struct pw_vrf *vrf = index < PW_VRFS ? pw_vrfs[index] : NULL;

	if (!vrf)
		return NULL;
	return family == AF_INET ? vrf->lpm4 : vrf->lpm6;
}

int pw_vrf_route_add(uint16_t vrf, int family, const uint8_t *prefix, unsigned int length,
		     uint32_t nexthop)
{
	struct pw_lpm *lpm = vrf_lpm(vrf, family);

	return lpm ? pw_lpm_add(lpm, prefix, length, nexthop) : -ENOENT;
}

int pw_vrf_route_delete(uint16_t vrf, int family, const uint8_t *prefix, unsigned int length)
{
	struct pw_lpm *lpm = vrf_lpm(vrf, family);

	return lpm ? pw_lpm_delete(lpm, prefix, length) : -ENOENT;
}

uint32_t pw_vrf_route_lookup(uint16_t vrf, int family, const uint8_t *address)
{
	struct pw_lpm *lpm = vrf_lpm(vrf, family);

	return lpm ? pw_lpm_lookup(lpm, address) : 0;
}
