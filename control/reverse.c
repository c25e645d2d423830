/* SPDX-License-Identifier: BSD-3-Clause */
/* Reverse route injection: what policies of an IPsec interface send, routes lead there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/nexthop.h"
#include "control/route.h"
#include "control/spd.h"
#include "lib/log.h"
#include "lib/pewter_netlink.h"

struct pw_reverse {
	uint32_t table;
	uint8_t family;
	uint8_t length;
	bool installed; /* not while another interface has the prefix */
	uint8_t zero;
	uint8_t bytes[16];
};

#define IDENTITY_BYTES offsetof(struct pw_reverse, installed)

static const struct pw_feed feed = {.source = PW_ROUTE_REVERSE, .session = 1};
static bool waiting; /* some route does */
static bool gone;    /* some route went that others may wait for */

static int compare(const void *a, const void *b)
{
	const struct pw_reverse *one = a, *other = b;
	int difference = memcmp(one, other, IDENTITY_BYTES);

	return difference ? difference : memcmp(one->bytes, other->bytes, sizeof(one->bytes));
}

static void spec_of(const struct pw_reverse *reverse, struct pw_route_spec *spec)
{
	memset(spec, 0, PW_ROUTE_SPEC_HEAD);
	spec->table = reverse->table;
	spec->family = reverse->family;
	spec->length = reverse->length;
	spec->type = RTN_UNICAST;
	spec->protocol = PW_ROUTE_PROTOCOL_REVERSE;
	spec->scope = reverse->family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	spec->metric = reverse->family == AF_INET6 ? PW_ROUTE_IPV6_PRIORITY : 0;
	spec->feed = &feed;
	spec->dst.family = reverse->family;
	memcpy(spec->dst.bytes, reverse->bytes, sizeof(spec->dst.bytes));
}

static void install(struct pw_reverse *reverse, uint32_t link)
{
	const struct pw_hop hop = {.type = RTN_UNICAST, .oif = link};
	struct pw_route_spec spec;
	struct pw_path *path;
	const char *why = "no room for another route";
	int ret;

	spec_of(reverse, &spec);
	if (pw_route_feed_find(&feed, spec.table, spec.family, spec.dst.bytes, spec.length,
			       spec.metric)) {
		waiting = true;
		return;
	}
	ret = pw_leg_take(&hop, &path, &why);
	if (!ret) {
		ret = pw_route_feed_set(&spec, path);
		pw_path_drop(path);
	}
	reverse->installed = !ret;
	if (ret)
		pw_error("no reverse route in table %u: %s", reverse->table, why);
}

static void withdraw(const struct pw_reverse *reverse)
{
	struct pw_route_spec spec;

	if (!reverse->installed)
		return;
	spec_of(reverse, &spec);
	pw_route_feed_delete(&spec); /* it may have gone with its interface */
	gone = true;
}

static bool wanted(const struct pw_policy *policy, const struct pw_link *link)
{
	return policy->direction == XFRM_POLICY_OUT && policy->action == XFRM_POLICY_ALLOW &&
	       policy->templated &&
	       (link->reverse_route || policy->flags & PW_POLICY_REVERSE_ROUTE);
}

/* Sorted, each once. How many; NULL without memory. */
static struct pw_reverse *collect(const struct pw_spd_owner *owner, const struct pw_link *link,
				  unsigned int *count)
{
	struct pw_reverse *all = calloc(owner->count + 1, sizeof(*all));
	const struct pw_policy *policy;
	unsigned int n = 0, kept = 0;

	*count = 0;
	if (!all)
		return NULL;
	TAILQ_FOREACH (policy, &owner->policies, in_owner) {
		if (!wanted(policy, link))
			continue;
		all[n].table = pw_link_table(link);
		all[n].family = (uint8_t)policy->selector.family;
		all[n].length = policy->selector.prefixlen_d;
		memcpy(all[n].bytes, policy->destination.bytes, sizeof(all[n].bytes));
		pw_prefix_mask(all[n].bytes, pw_address_size(all[n].family), all[n].length);
		n++;
	}
	qsort(all, n, sizeof(*all), compare);
	for (unsigned int i = 0; i < n; i++)
		if (!kept || compare(&all[kept - 1], &all[i]) != 0)
			all[kept++] = all[i];
	*count = kept;
	return all;
}

void pw_reverse_update(struct pw_spd_owner *owner)
{
	const struct pw_link *link = owner->link ? pw_link_by_index(owner->link) : NULL;
	struct pw_reverse *now, *old = owner->reverse;
	unsigned int count, i = 0, k = 0;

	if (!link)
		return;
	now = collect(owner, link, &count);
	if (!now) {
		pw_error("%s: out of memory for its reverse routes", link->name);
		return;
	}
	while (i < count || k < owner->reverse_count) {
		int order = i == count                  ? 1
			    : k == owner->reverse_count ? -1
							: compare(&now[i], &old[k]);

		if (order == 0)
			now[i].installed = old[k].installed;
		if (order > 0)
			withdraw(&old[k]);
		else if (!now[i].installed)
			install(&now[i], owner->link);
		i += order <= 0;
		k += order >= 0;
	}
	free(old);
	owner->reverse = now;
	owner->reverse_count = count;
}

void pw_reverse_clear(struct pw_spd_owner *owner)
{
	for (unsigned int i = 0; i < owner->reverse_count; i++)
		withdraw(&owner->reverse[i]);
	free(owner->reverse);
	owner->reverse = NULL;
	owner->reverse_count = 0;
}

bool pw_reverse_retry(void)
{
	bool retry = waiting && gone;

	if (retry)
		waiting = false;
	gone = false;
	return retry;
}
