/* SPDX-License-Identifier: BSD-3-Clause */
/* A look at where changes will be made, many at a time, so that their cache misses overlap. */
#include "lib/lpm_change.h"

#define LANES 32
#define LINE  64

/* One prefix on its way down; each step ends where memory is needed that is only now fetched. */
struct lane {
	const struct pw_lpm *lpm;
	const struct lpm_node *node;
	const uint32_t *word; /* of the node: leads to a child, or to its prefix list */
	bool list;            /* which of them */
	struct lpm_key key;
};

static void node_fetch(const struct pw_lpm *lpm, struct lane *lane, uint32_t index)
{
	lane->node = lpm_node_at(lpm, index);
	lane->word = NULL;
	__builtin_prefetch(lane->node);
}

/* The node's header is there: finds the word that the path goes on with. */
static void node_look(struct lane *lane)
{
	const struct lpm_node *node = lane->node;
	const struct lpm_key *key = &lane->key;
	bool last = node->half == key->half;
	unsigned int compared = last && node->shift < key->shift ? key->shift : node->shift;
	uint64_t word = key->word[node->half];
	unsigned int words = (unsigned int)__builtin_popcountll(node->own) + 2;
	unsigned int slot = word >> node->shift & (LPM_SLOTS - 1);

	lane->list = !!lpm_bits_from(word ^ node->key, compared + LPM_STRIDE) ||
		     (last && node->shift <= key->shift) || !(lpm_node_children(node) >> slot & 1);
	if (!lane->list) {
		lane->word = &node->word[lpm_node_index(node, slot)];
		__builtin_prefetch(lane->word);
		return;
	}
	/* It will be read whole: copied, or split. */
	lane->word = &node->word[words - 1];
	for (const char *line = (const char *)node + LINE; line <= (const char *)lane->word;
	     line += LINE)
		__builtin_prefetch(line);
}

/* False at the end of the way. */
static bool lane_step(struct lane *lane)
{
	const struct pw_lpm *lpm = lane->lpm;

	if (!lane->word) {
		node_look(lane);
		return true;
	}
	if (!lane->list) {
		node_fetch(lpm, lane, *lane->word);
		return true;
	}
	if (*lane->word) {
		const uint8_t *list = lpm->base + (uint64_t)*lane->word * LPM_LIST_UNIT;

		__builtin_prefetch(list);
		__builtin_prefetch(list + LINE);
	}
	return false;
}

static void ahead(const struct pw_lpm *const *lpms, const uint8_t *const *prefixes,
		  const uint8_t *lengths, unsigned int n)
{
	struct lane lanes[LANES];
	uint64_t pending = 0;

	for (unsigned int i = 0; i < n; i++)
		__builtin_prefetch(lpms[i]);
	for (unsigned int i = 0; i < n; i++) {
		lanes[i].lpm = lpms[i];
		if (lpm_key_make(lpms[i], prefixes[i], lengths[i], &lanes[i].key))
			continue;
		__builtin_prefetch(&lpms[i]->arena, 1);
		__builtin_prefetch(lpms[i]->jump);
		node_fetch(lpms[i], &lanes[i], lpms[i]->root);
		pending |= 1ull << i;
	}
	for (uint64_t rest = pending; rest; rest &= rest - 1) {
		const struct lane *lane = &lanes[__builtin_ctzll(rest)];
		const struct lpm_jump *jump = lane->lpm->jump;
		uint64_t index = (lane->key.word[0] ^ jump->key) >> jump->shift;

		if (index < jump->size)
			__builtin_prefetch(&jump->entry[index], 1);
	}
	while (pending)
		for (uint64_t rest = pending; rest; rest &= rest - 1)
			if (!lane_step(&lanes[__builtin_ctzll(rest)]))
				pending &= ~(rest & -rest);
}

void pw_lpm_ahead(const struct pw_lpm *const *lpms, const uint8_t *const *prefixes,
		  const uint8_t *lengths, unsigned int n)
{
	for (unsigned int i = 0; i < n; i += LANES)
		ahead(lpms + i, prefixes + i, lengths + i, n - i < LANES ? n - i : LANES);
}
