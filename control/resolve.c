/* SPDX-License-Identifier: BSD-3-Clause */
/* Next hops against links and tables: checks before they are taken, and what follows changes. */
#include <errno.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/endpoint.h"
#include "control/label.h"
#include "control/nexthop.h"
#include "control/route.h"
#include "control/spd.h"
#include "control/xfrm.h"

#define ROUNDS_MAX 8

static int complain(struct pw_complaint *complaint, enum pw_blame about, int error,
		    const char *text)
{
	complaint->about = about;
	complaint->text = text;
	return error;
}

/* ---- gateways ---------------------------------------------------------------------------- */

/*
 * The link that an address is on: the longest prefix that covers it and leads onto a link, not
 * through a further gateway. 0: none; @p local when the address is one of this router's own.
 */
static uint32_t link_of_address(uint32_t table_id, const struct pw_address *address, uint32_t oif,
				bool *local)
{
	const struct pw_table *table = pw_table_find(table_id);
	struct pw_prefix *covering[PW_PREFIX_COVERING_MAX];
	unsigned int count = 0;

	*local = false;
	if (table)
		count = pw_prefix_covering(&table->trees[pw_tree_of(address->family)],
					   address->bytes, covering);
	while (count-- > 0) {
		const struct pw_route *route = covering[count]->routes;

		for (; route; route = route->next) {
			const struct pw_leg *leg = pw_leg_const(route->path);

			if (route->source == PW_ROUTE_NEIGHBOUR || !leg || route->path->dead)
				continue;
			if (route->type == RTN_LOCAL) {
				*local = true;
				return 0;
			}
			if (route->type != RTN_UNICAST || (oif && leg->hop.oif != oif))
				continue;
			/* A gateway behind a gateway: the kernel does not follow it either. */
			return leg->hop.gateway.family ? 0 : leg->hop.oif;
		}
	}
	return 0;
}

static bool gateway_linklocal(const struct pw_address *gateway)
{
	return gateway->family == AF_INET6 && gateway->bytes[0] == 0xfe &&
	       (gateway->bytes[1] & 0xc0) == 0x80;
}

static bool gateway_unicast(const struct pw_address *gateway)
{
	static const uint8_t zero[16];

	if (memcmp(gateway->bytes, zero, 16) == 0)
		return false;
	return gateway->family == AF_INET ? gateway->bytes[0] < 224 : gateway->bytes[0] != 0xff;
}

/* A gateway on a link with neighbours must be on that link. */
static int check_on_link(const struct pw_hop *hop, uint32_t table, int family,
			 struct pw_complaint *complaint)
{
	const struct pw_link *link = pw_link_by_index(hop->oif);
	int error = family == AF_INET6 ? -EHOSTUNREACH : -ENETUNREACH;
	bool local = false;
	uint32_t oif;

	if ((hop->flags & PW_HOP_ONLINK) || gateway_linklocal(&hop->gateway))
		return 0;
	oif = link_of_address(pw_link_table(link), &hop->gateway, hop->oif, &local);
	if (oif || local) {
		if (oif == hop->oif)
			return 0;
	} else if (table != pw_link_table(link)) {
		oif = link_of_address(table, &hop->gateway, hop->oif, &local);
		if (oif == hop->oif)
			return 0;
	}
	return complain(complaint, PW_BLAME_GATEWAY, local ? -EINVAL : error,
			"Nexthop has invalid gateway");
}

/* The device of a gateway that came alone, found once, as in the kernel. */
static int find_device(struct pw_hop *hop, uint32_t table, int family,
		       struct pw_complaint *complaint)
{
	bool local;

	if (!hop->gateway.family)
		return complain(complaint, PW_BLAME_NONE, family == AF_INET6 ? -EINVAL : -ENODEV,
				"A route needs a device or a gateway");
	if (gateway_linklocal(&hop->gateway))
		return complain(complaint, PW_BLAME_GATEWAY, -EINVAL,
				"A link-local gateway needs a device");
	hop->oif = link_of_address(table, &hop->gateway, 0, &local);
	if (!hop->oif && !local && table != RT_TABLE_MAIN)
		hop->oif = link_of_address(RT_TABLE_MAIN, &hop->gateway, 0, &local);
	if (!hop->oif)
		return complain(complaint, PW_BLAME_GATEWAY,
				local                ? -EINVAL
				: family == AF_INET6 ? -EHOSTUNREACH
						     : -ENETUNREACH,
				"Nexthop has invalid gateway");
	return 0;
}

static int check_device(const struct pw_hop *hop, const struct pw_link *link, uint32_t table,
			int family, struct pw_complaint *complaint)
{
	struct pw_address remote;
	bool gateway = hop->gateway.family;

	switch (link->kind) {
	case PW_LINK_PORT:
	case PW_LINK_VLAN:
		if (gateway)
			return check_on_link(hop, table, family, complaint);
		break;
	case PW_LINK_TUNNEL:
		if (!link->tunnel.remote.family && gateway &&
		    !pw_neighbour_nbma(link, &hop->gateway, &remote) &&
		    pw_address_unmapped(&hop->gateway).family != link->tunnel.local.family)
			return complain(complaint, PW_BLAME_GATEWAY, -EINVAL,
					"Gateway has no NBMA entry and is no address of the "
					"tunnel's underlay");
		if (link->tunnel.mpls_in_ip && !hop->label_count)
			return complain(complaint, PW_BLAME_OIF, -EINVAL,
					"This tunnel carries labelled packets only (RFC 4023): a "
					"route into it needs a label");
		if (link->tunnel.ip_in_ip && hop->label_count)
			return complain(complaint, PW_BLAME_ENCAP, -EINVAL,
					"This tunnel carries no labels: MPLS goes in GRE, or in "
					"ipip with mode mplsip");
		if (hop->label_count && !gateway && !link->tunnel.remote.family)
			return complain(complaint, PW_BLAME_ENCAP, -EINVAL,
					"A label needs a gateway on a multipoint tunnel");
		return 0;
	case PW_LINK_IPSEC:
		if (hop->label_count)
			return complain(complaint, PW_BLAME_ENCAP, -EINVAL,
					"An IPsec interface carries IP packets, without labels");
		return 0;
	case PW_LINK_VRF:
	case PW_LINK_LOOPBACK:
		if (gateway)
			return complain(complaint, PW_BLAME_GATEWAY, -EINVAL,
					"Nexthop has invalid gateway: nothing is behind a VRF "
					"device or \"lo\"");
		break;
	}
	if (hop->label_count && !gateway)
		return complain(complaint, PW_BLAME_ENCAP, -EINVAL,
				"A label needs a gateway or a tunnel with a fixed remote");
	return 0;
}

/* Routes that lead nowhere. */
static int check_special(struct pw_hop *hop, int family, struct pw_complaint *complaint)
{
	if (hop->gateway.family)
		return complain(complaint, PW_BLAME_GATEWAY, -EINVAL,
				"Gateway and multipath can not be specified for this route type");
	if (hop->label_count)
		return complain(complaint, PW_BLAME_ENCAP, -EINVAL,
				"An encapsulation can not be specified for this route type");
	if (hop->type == RTN_LOCAL) {
		if (hop->oif && !pw_link_by_index(hop->oif))
			return complain(complaint, PW_BLAME_OIF, -ENODEV, "Device does not exist");
		hop->oif = hop->oif ? hop->oif : 1;
		return 0;
	}
	/* IPv6 shows and takes these with "dev lo". */
	if (hop->oif && (family != AF_INET6 || hop->oif != 1))
		return complain(complaint, PW_BLAME_OIF, -EINVAL,
				"A device can not be specified for this route type");
	hop->oif = family == AF_INET6 ? 1 : 0;
	return 0;
}

int pw_hop_check(struct pw_hop *hop, uint32_t table, int family, struct pw_complaint *complaint)
{
	const struct pw_link *link;
	int ret;

	if (table == RT_TABLE_LOCAL || table == RT_TABLE_UNSPEC)
		table = RT_TABLE_MAIN;
	if (hop->type != RTN_UNICAST)
		return check_special(hop, family, complaint);
	if (hop->gateway.family && !gateway_unicast(&hop->gateway))
		return complain(complaint, PW_BLAME_GATEWAY, -EINVAL, "Invalid gateway address");
	if (hop->oif == 0) {
		ret = find_device(hop, table, family, complaint);
		if (ret)
			return ret;
	}
	link = pw_link_by_index(hop->oif);
	if (!link)
		return complain(complaint, PW_BLAME_OIF, -ENODEV, "Device does not exist");
	if (!link->admin_up && link->kind != PW_LINK_LOOPBACK)
		return complain(complaint, PW_BLAME_OIF, -ENETDOWN, "Device for nexthop is not up");
	return check_device(hop, link, table, family, complaint);
}

/* ---- what follows changes ---------------------------------------------------------------- */

/*
 * Where Linux forgets the routes of a link that is set down, they stay here, shown as "dead
 * linkdown" and out of the workers' tables, so that a backup or a shorter prefix takes over, and
 * come back with the link. Loss of carrier counts the same (ignore_routes_with_linkdown in
 * Linux). Only when the link is deleted its routes go.
 */

void pw_nexthop_link_deleted(struct pw_link *link)
{
	int error;

	/* Its table may be left without routes and without a VRF. */
	if (link->kind == PW_LINK_VRF)
		pw_table_take(link->table, &error);
	pw_nexthop_legs_gone(link->index);
	pw_objects_link_deleted(link->index);
	pw_paths_publish();
	pw_routes_settle();
	/* As in pw_nexthop_link_changed(). */
	if (link->kind != PW_LINK_IPSEC)
		pw_endpoint_underlay_changed_all();
}

/*
 * Changes work their way up: paths to routes, routes to endpoints (which are reached by routes),
 * endpoints to paths again. Tunnels do not run in tunnels, so a few rounds settle it.
 */
void pw_resolve(void)
{
	pw_spds_resolve();
	for (unsigned int round = 0; round < ROUNDS_MAX; round++) {
		bool changed = pw_paths_publish();

		changed |= pw_paths_affected();
		pw_routes_settle();
		changed |= pw_endpoints_resolve();
		if (!changed)
			break;
	}
	pw_sa_resolve();
	pw_protection_resolve();
	pw_labels_resolve();
	pw_tables_collect();
}
