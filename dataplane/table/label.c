/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/table/label.h"

#include <errno.h>
#include <string.h>

#include <rte_malloc.h>

#include "dataplane/table/endpoint.h"
#include "lib/retire.h"

uint64_t *pw_labels;

/* Bit per endpoint id. */
struct label_set {
	uint64_t words[PW_ENDPOINTS / 64];
};

static struct label_set *sets[PW_LABEL_SETS];

int pw_label_table_init(void)
{
	pw_labels = rte_zmalloc("labels", PW_LABELS * sizeof(*pw_labels), RTE_CACHE_LINE_SIZE);
	return pw_labels ? 0 : -ENOMEM;
}

void pw_label_table_fini(void)
{
	rte_free(pw_labels);
	pw_labels = NULL;
	for (int i = 0; i < PW_LABEL_SETS; i++) {
		rte_free(sets[i]);
		sets[i] = NULL;
	}
}

void pw_label_set(uint32_t label, struct pw_label entry)
{
	uint64_t word;

	memcpy(&word, &entry, sizeof(word));
	__atomic_store_n(&pw_labels[label], word, __ATOMIC_RELEASE);
}

bool pw_label_allows(uint16_t set, uint32_t endpoint)
{
	const struct label_set *allowed = __atomic_load_n(&sets[set], __ATOMIC_CONSUME);

	return allowed && (allowed->words[endpoint / 64] >> (endpoint % 64) & 1);
}

static void set_reclaim(void *context, uint64_t argument)
{
	(void)argument;
	rte_free(context);
}

int pw_label_set_publish(uint16_t set, const uint32_t *endpoints, uint32_t count)
{
	struct label_set *new, *old;

	if (!set) {
		for (set = 1; set < PW_LABEL_SETS && sets[set]; set++)
			;
		if (set == PW_LABEL_SETS)
			return -ENOSPC;
	}
	new = rte_zmalloc("label set", sizeof(*new), RTE_CACHE_LINE_SIZE);
	if (!new)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		new->words[endpoints[i] / 64] |= 1ull << (endpoints[i] % 64);
	old = sets[set];
	__atomic_store_n(&sets[set], new, __ATOMIC_RELEASE);
	if (old)
		pw_retire(set_reclaim, old, 0);
	return set;
}

void pw_label_set_free(uint16_t set)
{
	struct label_set *old = sets[set];

	/* Until the number is taken again an entry that still names it allows nobody. */
	__atomic_store_n(&sets[set], NULL, __ATOMIC_RELEASE);
	if (old)
		pw_retire(set_reclaim, old, 0);
}
