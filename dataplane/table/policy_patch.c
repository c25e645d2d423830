/* SPDX-License-Identifier: BSD-3-Clause */
/* What changed in a list of policies since it was compiled. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_common.h>
#include <rte_malloc.h>

#include "dataplane/table/policy_internal.h"

#define NEVER UINT64_MAX

/* The order of a rule of the base; one with a place comes before that place's. */
static uint64_t order_of(uint32_t number)
{
	return (2 * (uint64_t)number + 1) << 32;
}

/* ---- workers ------------------------------------------------------------------------------ */

static uint64_t order_found(const struct pw_policy_patch *patch,
			    const struct pw_policy_table *table, const struct pw_selector *selector,
			    bool v6, uint32_t *found)
{
	pw_policy_table_find(table, &selector, found, 1, v6);
	return *found ? patch->orders[*found - 1] : NEVER;
}

/* Does a rule before that order select, perhaps? A rule that is gone still counts. */
static bool selects_perhaps(const struct pw_policy_list *list, const struct pw_selector *selector,
			    bool v6, uint64_t order)
{
	uint32_t found;

	pw_policy_table_find(&list->perhaps[v6], &selector, &found, 1, v6);
	if (found && order_of(found - 1) < order)
		return true;
	return order_found(list->patch, &list->patch->perhaps[v6], selector, v6, &found) < order;
}

void pw_policy_patch_select(const struct pw_policy_list *list, const struct pw_selector **selectors,
			    const uint32_t *found, unsigned int n, bool v6,
			    const struct pw_policy_rule **rules)
{
	const struct pw_policy_patch *patch = list->patch;

	for (unsigned int i = 0; i < n; i++) {
		const struct pw_policy_rule *rule = NULL;
		uint64_t order = NEVER, other;
		uint32_t number = found[i] - 1;

		if (found[i] && !(patch->gone[number / 64] >> number % 64 & 1)) {
			rule = &list->rules[number];
			order = order_of(number);
		}
		other = order_found(patch, &patch->tables[v6], selectors[i], v6, &number);
		if (other < order) {
			rule = &patch->rules[number - 1];
			order = other;
		}
		if (selectors[i]->unknown && (!rule || rule->action == PW_POLICY_BYPASS) &&
		    selects_perhaps(list, selectors[i], v6, order))
			rule = &pw_policy_discard;
		rules[i] = rule;
	}
}

/* ---- control thread ----------------------------------------------------------------------- */

static void *copy(const void *bytes, size_t size)
{
	void *copied = rte_malloc("policies", RTE_MAX(size, 1u), RTE_CACHE_LINE_SIZE);

	if (copied && size)
		memcpy(copied, bytes, size);
	return copied;
}

static bool tables_init(struct pw_policy_patch *patch, bool v6, unsigned int count)
{
	const int family = v6 ? AF_INET6 : AF_INET;
	struct pw_policy_table *table = &patch->tables[v6], *perhaps = &patch->perhaps[v6];
	uint32_t size = 0;

	for (unsigned int i = 0; i < count; i++)
		size += patch->rules[i].family == family;
	if (!size)
		return true;
	table->row = rte_malloc("policies", size * sizeof(*table->row), RTE_CACHE_LINE_SIZE);
	perhaps->row =
		rte_malloc("policies", 2 * size * sizeof(*perhaps->row), RTE_CACHE_LINE_SIZE);
	if (!table->row || !perhaps->row)
		return false;
	for (unsigned int i = 0; i < count; i++) {
		if (patch->rules[i].family != family)
			continue;
		table->row[table->count++] = pw_policy_compare_of(&patch->rules[i], i);
		perhaps->count += pw_policy_compare_perhaps(&patch->rules[i], i,
							    &perhaps->row[perhaps->count]);
	}
	return true;
}

void pw_policy_patch_free(struct pw_policy_patch *patch)
{
	for (unsigned int v6 = 0; v6 < PW_POLICY_FAMILIES; v6++) {
		rte_free(patch->tables[v6].row);
		rte_free(patch->perhaps[v6].row);
	}
	rte_free(patch->rules);
	rte_free(patch->orders);
	rte_free(patch->gone);
	rte_free(patch);
}

static struct pw_policy_patch *patch_new(const struct pw_policy_list *base, const uint64_t *gone,
					 const struct pw_policy_rule *rules, const uint32_t *places,
					 unsigned int count)
{
	struct pw_policy_patch *patch =
		rte_zmalloc("policies", sizeof(*patch), RTE_CACHE_LINE_SIZE);

	if (!patch)
		return NULL;
	patch->rules = copy(rules, count * sizeof(*rules));
	patch->orders = rte_malloc("policies", (count + 1) * sizeof(*patch->orders), 0);
	patch->gone = copy(gone, (base->count + 63) / 64 * sizeof(*gone));
	if (!patch->rules || !patch->orders || !patch->gone || !tables_init(patch, false, count) ||
	    !tables_init(patch, true, count)) {
		pw_policy_patch_free(patch);
		return NULL;
	}
	for (unsigned int i = 0; i < count; i++)
		patch->orders[i] = (2 * (uint64_t)places[i]) << 32 | i;
	return patch;
}

struct pw_policy_list *pw_policy_list_patch(struct pw_policy_list *base, const uint64_t *gone,
					    const struct pw_policy_rule *rules,
					    const uint32_t *places, unsigned int count)
{
	struct pw_policy_list *list = copy(base, sizeof(*base));

	if (list)
		list->patch = patch_new(base, gone, rules, places, count);
	if (!list || !list->patch) {
		rte_free(list);
		errno = ENOMEM;
		return NULL;
	}
	list->base = base;
	list->users = 1;
	base->users++;
	return list;
}

static bool prefixes_overlap(const uint8_t one[16], unsigned int length, const uint8_t other[16],
			     unsigned int other_length)
{
	unsigned int bits = RTE_MIN(length, other_length), bytes = bits / 8;

	return memcmp(one, other, bytes) == 0 &&
	       (bits % 8 == 0 || !((one[bytes] ^ other[bytes]) & 0xff00 >> bits % 8 & 0xff));
}

static bool overlap(const struct pw_policy_rule *a, const struct pw_policy_rule *b)
{
	return a->family == b->family &&
	       (!a->protocol || !b->protocol || a->protocol == b->protocol) &&
	       !((a->source_port ^ b->source_port) & a->source_port_mask & b->source_port_mask) &&
	       !((a->destination_port ^ b->destination_port) & a->destination_port_mask &
		 b->destination_port_mask) &&
	       prefixes_overlap(a->destination, a->destination_length, b->destination,
				b->destination_length) &&
	       prefixes_overlap(a->source, a->source_length, b->source, b->source_length);
}

uint32_t pw_policy_list_overlapped(const struct pw_policy_list *base, uint32_t number,
				   uint32_t after)
{
	uint32_t i = after + 1;

	while (i < base->count && !overlap(&base->rules[number], &base->rules[i]))
		i++;
	return i;
}
