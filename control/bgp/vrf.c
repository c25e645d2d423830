/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/vrf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/bgp/dataplane.h"
#include "control/bgp/label.h"
#include "lib/log.h"

struct bgp_vrf_list bgp_vrfs = TAILQ_HEAD_INITIALIZER(bgp_vrfs);

/* Import targets, sorted; several VRFs may have the same one. */
struct import {
	uint64_t target;
	struct bgp_vrf *vrf;
};
static struct import *imports;
static size_t import_count;
static uint32_t generation = 1;

/* VRFs by table, sorted. */
static struct bgp_vrf **tables;
static size_t table_count;

/* ---- finding ----------------------------------------------------------------------------- */

struct bgp_vrf *bgp_vrf_by_name(const char *name)
{
	struct bgp_vrf *vrf;

	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		if (strcmp(vrf->config.name, name) == 0)
			return vrf;
	return NULL;
}

static int compare_tables(const void *a, const void *b)
{
	uint32_t left = (*(struct bgp_vrf *const *)a)->table;
	uint32_t right = (*(struct bgp_vrf *const *)b)->table;

	return left < right ? -1 : left > right;
}

void bgp_vrfs_index(void)
{
	struct bgp_vrf *vrf;

	table_count = 0;
	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		if (vrf->table)
			tables[table_count++] = vrf;
	if (table_count)
		qsort(tables, table_count, sizeof(struct bgp_vrf *), compare_tables);
}

struct bgp_vrf *bgp_vrf_by_table(uint32_t table)
{
	size_t low = 0, high = table_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (tables[middle]->table == table)
			return tables[middle];
		if (tables[middle]->table < table)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int compare_imports(const void *a, const void *b)
{
	const struct import *left = a, *right = b;

	return left->target < right->target ? -1 : left->target > right->target;
}

void bgp_vrfs_import(uint64_t target, bgp_vrf_fn fn, void *context)
{
	size_t low = 0, high = import_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (imports[middle].target < target)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < import_count && imports[low].target == target; low++)
		fn(imports[low].vrf, context);
}

uint32_t bgp_vrfs_generation(void)
{
	return generation;
}

/* ---- configuration ----------------------------------------------------------------------- */

static int index_imports(const struct bgp_config *config)
{
	struct import *larger;
	struct bgp_vrf *vrf;
	size_t count = 0;

	for (unsigned int i = 0; i < config->vrf_count; i++)
		count += config->vrfs[i].import_count;
	larger = reallocarray(imports, count + 1, sizeof(*imports));
	if (!larger)
		return -ENOMEM;
	imports = larger;
	import_count = 0;
	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		for (unsigned int i = 0; i < vrf->config.import_count; i++)
			imports[import_count++] = (struct import){vrf->config.imports[i], vrf};
	qsort(imports, import_count, sizeof(*imports), compare_imports);
	generation++;
	return 0;
}

static void vrf_change(struct bgp_vrf *vrf, const struct bgp_vrf_config *config, uint32_t label)
{
	bool says = vrf->config.export_count != config->export_count ||
		    memcmp(vrf->config.exports, config->exports, sizeof(config->exports)) != 0 ||
		    memcmp(vrf->config.redistribute, config->redistribute,
			   sizeof(config->redistribute)) != 0;

	if (vrf->config.rd != config->rd) {
		bgp_locals_withdraw(vrf);
		says = true;
	}
	vrf->config = *config;
	vrf->limited = false;
	/* A new label is announced once Pewter has it. */
	if (vrf->label != label)
		bgp_dataplane_retire_label(vrf);
	vrf->label = label;
	if (says)
		bgp_locals_touch(vrf);
}

static struct bgp_vrf *vrf_new(const struct bgp_vrf_config *config)
{
	struct bgp_vrf *vrf = calloc(1, sizeof(*vrf));

	if (!vrf)
		return NULL;
	vrf->config = *config;
	TAILQ_INIT(&vrf->routes);
	TAILQ_INIT(&vrf->locals);
	TAILQ_INIT(&vrf->pending);
	TAILQ_INSERT_TAIL(&bgp_vrfs, vrf, next);
	return vrf;
}

/* Its candidates are gone by now: what Pewter has of it goes at once. */
static void vrf_free(struct bgp_vrf *vrf)
{
	struct bgp_route *route;

	bgp_locals_withdraw(vrf);
	bgp_locals_drop(vrf);
	bgp_dataplane_retire_label(vrf);
	while ((route = TAILQ_FIRST(&vrf->routes)))
		bgp_dataplane_remove(route);
	TAILQ_REMOVE(&bgp_vrfs, vrf, next);
	free(vrf);
}

static int take_over(const struct bgp_config *config, bool *came)
{
	for (unsigned int i = 0; i < config->vrf_count; i++) {
		const struct bgp_vrf_config *wanted = &config->vrfs[i];
		struct bgp_vrf *vrf = bgp_vrf_by_name(wanted->name);
		uint32_t label = bgp_label_take(wanted->name, wanted->label, config->label_first,
						config->label_last);

		if (!label)
			pw_error("vrf %s: no label is free in \"labels\" %u %u", wanted->name,
				 config->label_first, config->label_last);
		if (vrf) {
			vrf_change(vrf, wanted, label);
		} else {
			vrf = vrf_new(wanted);
			if (!vrf)
				return -ENOMEM;
			vrf->label = label;
			*came = true;
		}
		vrf->wanted = true;
	}
	return 0;
}

int bgp_vrfs_configure(const struct bgp_config *config)
{
	struct bgp_vrf **larger = reallocarray(tables, config->vrf_count + 1, sizeof(*tables));
	struct bgp_vrf *vrf, *following;
	bool came = false;
	int ret;

	if (!larger)
		return -ENOMEM;
	tables = larger;
	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		vrf->wanted = false;
	ret = take_over(config, &came);
	if (ret)
		return ret;
	/* VRFs that go import nothing, so that their routes lose their candidates first. */
	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		if (!vrf->wanted)
			vrf->config.import_count = 0;
	ret = index_imports(config);
	if (ret)
		return ret;
	bgp_rib_reimport();
	for (vrf = TAILQ_FIRST(&bgp_vrfs); vrf; vrf = following) {
		following = TAILQ_NEXT(vrf, next);
		if (!vrf->wanted)
			vrf_free(vrf);
	}
	bgp_vrfs_index();
	bgp_labels_save();
	if (came)
		bgp_dataplane_resync();
	return 0;
}
