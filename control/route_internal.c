/* SPDX-License-Identifier: BSD-3-Clause */
/* Routes that nobody configured as such: of addresses, neighbours and tunnels' ends. */
#include "control/route.h"

#include <errno.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "dataplane/table/vrf.h"

static struct pw_route *internal_find(struct pw_prefix *prefix, uint8_t source, uint32_t oif,
				      uint8_t flags)
{
	struct pw_route *route = prefix ? prefix->routes : NULL;

	for (; route; route = route->next) {
		const struct pw_leg *leg = pw_leg_const(route->path);

		if (route->source == source && leg && leg->hop.oif == oif &&
		    (route->flags & PW_ROUTE_HIDDEN) == (flags & PW_ROUTE_HIDDEN))
			return route;
	}
	return NULL;
}

static int internal_add(struct pw_table *table, enum pw_route_source source,
			const struct pw_hop *hop, const struct pw_address *address,
			unsigned int length, uint8_t flags)
{
	bool ipv6 = address->family == AF_INET6;
	const char *why;
	struct pw_path *path;
	struct pw_route *route;
	int ret = pw_leg_take(hop, &path, &why);

	if (ret)
		return ret;
	route = pw_route_new(path);
	pw_path_drop(path);
	if (!route)
		return -ENOMEM;
	route->refs = 1;
	route->source = source;
	route->type = hop->type;
	route->protocol = RTPROT_KERNEL;
	route->flags = flags;
	if (table->id == RT_TABLE_MAIN && source == PW_ROUTE_LOCAL)
		route->flags |= PW_ROUTE_LOCAL_TABLE;
	if (!ipv6)
		route->scope = source == PW_ROUTE_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_LINK;
	if (ipv6 && source == PW_ROUTE_CONNECTED)
		route->metric = 256; /* IP6_RT_PRIO_ADDRCONF */
	ret = pw_route_insert(table, address->family, address->bytes, length, route, NULL,
			      NLM_F_EXCL | NLM_F_CREATE);
	if (ret)
		pw_route_free(route);
	return ret;
}

static int internal_change(uint32_t id, enum pw_route_source source, const struct pw_hop *hop,
			   const struct pw_address *address, unsigned int length, uint8_t flags,
			   bool add)
{
	int error = -ENOENT;
	struct pw_table *table = add ? pw_table_take(id, &error) : pw_table_find(id);
	struct pw_prefix *prefix;
	struct pw_route *route;

	if (!table)
		return error;
	prefix = pw_prefix_get(&table->trees[pw_tree_of(address->family)], address->bytes, length);
	route = internal_find(prefix, source, hop->oif, flags);
	if (add) {
		if (!route)
			return internal_add(table, source, hop, address, length, flags);
		route->refs++;
		return 0;
	}
	if (!route)
		return -ENOENT;
	if (--route->refs)
		return 0;
	return pw_route_take_out(table, address->family, prefix, route);
}

int pw_route_internal(enum pw_route_source source, struct pw_link *link,
		      const struct pw_address *prefix, unsigned int length, uint32_t neighbour,
		      bool add)
{
	struct pw_address masked = *prefix;
	struct pw_hop hop = {
		.type = source == PW_ROUTE_LOCAL ? RTN_LOCAL : RTN_UNICAST,
		.oif = link->index,
	};

	(void)neighbour; /* the leg by the neighbour's address is counted on the same one */
	pw_prefix_mask(masked.bytes, pw_address_size(masked.family), length);
	if (source == PW_ROUTE_NEIGHBOUR)
		hop.gateway = masked;
	return internal_change(pw_link_table(link), source, &hop, &masked, length,
			       source == PW_ROUTE_NEIGHBOUR ? PW_ROUTE_HIDDEN : 0, add);
}

int pw_route_nbma(struct pw_link *tunnel, const struct pw_address *address, bool present)
{
	struct pw_hop hop = {.type = RTN_UNICAST, .oif = tunnel->index, .gateway = *address};
	struct pw_table *table = pw_table_find(pw_link_table(tunnel));
	unsigned int length = 8 * pw_address_size(address->family);
	bool there = false;

	if (table)
		there = internal_find(pw_prefix_get(&table->trees[pw_tree_of(address->family)],
						    address->bytes, length),
				      PW_ROUTE_NEIGHBOUR, tunnel->index, PW_ROUTE_HIDDEN);
	if (there == present)
		return 0;
	return internal_change(pw_link_table(tunnel), PW_ROUTE_NEIGHBOUR, &hop, address, length,
			       PW_ROUTE_HIDDEN, present);
}

int pw_route_tunnel_end(uint16_t vrf, const struct pw_address *local, bool add)
{
	struct pw_hop hop = {.type = RTN_LOCAL, .oif = 1};

	if (!pw_vrfs[vrf])
		return -ENOENT;
	return internal_change(pw_vrfs[vrf]->table, PW_ROUTE_LOCAL, &hop, local,
			       8 * pw_address_size(local->family), PW_ROUTE_HIDDEN, add);
}
