/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which paths a VRF uses. The speaker chose among those of one RD; what is left is the choice
 * between RDs, path identifiers and neighbours. The rules of RFC 4271 9.1.2.2 that can be
 * applied to received attributes, in their order; the distance to the next hop is not known
 * here. Paths that are equal up to there share the traffic.
 */
#include <string.h>

#include "control/bgp/dataplane.h"
#include "control/bgp/peer.h"
#include "control/bgp/rib.h"

#define CANDIDATES_MAX 256

struct choice {
	const struct bgp_path *path;
	uint32_t oif;
};

static const struct bgp_attributes *of(const struct choice *choice)
{
	return &choice->path->attributes->attributes;
}

/* Less is better. */
static uint64_t rank(const struct bgp_attributes *attributes)
{
	return (uint64_t)(UINT32_MAX - attributes->local_pref) << 32 |
	       (uint64_t)attributes->as_path_length << 8 | attributes->origin;
}

/* Keeps those of the best rank. */
static unsigned int keep_best(struct choice *choices, unsigned int count)
{
	uint64_t best = UINT64_MAX;
	unsigned int kept = 0;

	for (unsigned int i = 0; i < count; i++)
		if (rank(of(&choices[i])) < best)
			best = rank(of(&choices[i]));
	for (unsigned int i = 0; i < count; i++)
		if (rank(of(&choices[i])) == best)
			choices[kept++] = choices[i];
	return kept;
}

/* MED (RFC 4271 9.1.2.2 c): a path goes if one of the same neighbouring AS has a lower one. */
static unsigned int keep_lowest_med(struct choice *choices, unsigned int count)
{
	bool loses[CANDIDATES_MAX] = {false};
	unsigned int kept = 0;

	for (unsigned int i = 0; i < count; i++)
		for (unsigned int k = 0; k < count && !loses[i]; k++)
			loses[i] = of(&choices[k])->first_as == of(&choices[i])->first_as &&
				   of(&choices[k])->med < of(&choices[i])->med;
	for (unsigned int i = 0; i < count; i++)
		if (!loses[i])
			choices[kept++] = choices[i];
	return kept;
}

static uint32_t identifier(const struct bgp_path *path)
{
	const struct bgp_attributes *attributes = &path->attributes->attributes;

	return attributes->has_originator ? attributes->originator : path->peer->id;
}

/* What is left breaks ties: RFC 4271 9.1.2.2 f and g, RFC 4456 9. */
static bool before(const struct choice *a, const struct choice *b)
{
	if (identifier(a->path) != identifier(b->path))
		return identifier(a->path) < identifier(b->path);
	if (of(a)->cluster_length != of(b)->cluster_length)
		return of(a)->cluster_length < of(b)->cluster_length;
	if (a->path->peer != b->path->peer)
		return memcmp(&a->path->peer->config.address, &b->path->peer->config.address,
			      sizeof(struct bgp_address)) < 0;
	if (a->path->rd != b->path->rd)
		return a->path->rd < b->path->rd;
	return a->path->path_id < b->path->path_id;
}

/* One of these hops leads to the same PE. */
static bool leads_to(const struct choice *choice, const struct bgp_hop *hops, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (bgp_address_equal(&hops[i].via, &of(choice)->next_hop))
			return true;
	return false;
}

/* The equally good ones, the best first, without those to the PEs of @p avoid. */
static unsigned int choose(const struct bgp_route *route, const struct bgp_hop *avoid,
			   unsigned int avoid_count, struct choice *choices)
{
	unsigned int count = 0;

	for (const struct bgp_candidate *candidate = route->candidates;
	     candidate && count < CANDIDATES_MAX; candidate = candidate->next_of_route) {
		choices[count].path = candidate->path;
		choices[count].oif = bgp_dataplane_tunnel(of(&choices[count]));
		if (choices[count].oif && !leads_to(&choices[count], avoid, avoid_count))
			count++;
	}
	if (count > 1)
		count = keep_lowest_med(choices, keep_best(choices, count));
	for (unsigned int i = 1; i < count; i++)
		for (unsigned int k = i; k && before(&choices[k], &choices[k - 1]); k--) {
			struct choice swap = choices[k];

			choices[k] = choices[k - 1];
			choices[k - 1] = swap;
		}
	return count;
}

unsigned int bgp_route_select_backup(const struct bgp_route *route, const struct bgp_hop *best,
				     unsigned int best_count, struct bgp_hop *hops,
				     unsigned int max)
{
	struct choice choices[CANDIDATES_MAX];
	unsigned int count = choose(route, best, best_count, choices), used = 0;

	for (unsigned int i = 0; i < count && used < max; i++) {
		memset(&hops[used], 0, sizeof(*hops));
		hops[used].via = of(&choices[i])->next_hop;
		hops[used].oif = choices[i].oif;
		hops[used].label = choices[i].path->label;
		/* The same PE and label over another reflector is the same hop. */
		for (unsigned int k = 0; k <= used; k++)
			if (k == used || memcmp(&hops[k], &hops[used], sizeof(*hops)) == 0) {
				used += k == used;
				break;
			}
	}
	return bgp_hops_sort(hops, used);
}

unsigned int bgp_route_select(const struct bgp_route *route, struct bgp_hop *hops, unsigned int max)
{
	return bgp_route_select_backup(route, NULL, 0, hops, max);
}

const struct bgp_path *bgp_route_best(const struct bgp_route *route)
{
	struct choice choices[CANDIDATES_MAX];

	return choose(route, NULL, 0, choices) ? choices[0].path : NULL;
}
