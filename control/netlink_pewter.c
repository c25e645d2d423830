/* SPDX-License-Identifier: BSD-3-Clause */
/** Tables as the workers see them, for pewterctl; knobs of labels and tunnels. */
#include "control/label.h"
#include "control/links.h"
#include "control/statistics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "dataplane/table/endpoint.h"
#include "dataplane/table/label.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/sa.h"
#include "dataplane/table/vrf.h"

#define MESSAGE_ROOM   (512 + PW_STATISTICS_NEXTHOP_ROOM)
#define INTERFACES_MAX 256 /* names listed of one VRF */

/* ---- VRFs -------------------------------------------------------------------------------- */

/** Links by VRF: chains of indices. Built once for a round of the dump. */
static uint32_t first_link[PW_VRFS], next_link[PW_INTERFACES];

static void chain_links(void)
{
	struct pw_link *link;

	memset(first_link, 0, sizeof(first_link));
	for (link = pw_link_next(0); link != NULL; link = pw_link_next(link->index)) {
		uint16_t vrf = pw_link_vrf(link);

		if (link->kind == PW_LINK_VRF || vrf >= PW_VRFS || link->index >= PW_INTERFACES)
			continue;
		next_link[link->index] = first_link[vrf];
		first_link[vrf] = link->index;
	}
}

static void put_interfaces(struct nlmsghdr *nlh, uint16_t vrf)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, PW_VRF_ATTR_INTERFACES);
	uint32_t index, links = 0;

	for (index = first_link[vrf]; index != 0; index = next_link[index])
		if (links++ < INTERFACES_MAX)
			pw_statistics_put_name(nlh, PW_VRF_ATTR_NAME,
					       pw_statistics_interface_name(index));
	mnl_attr_nest_end(nlh, nest);
	mnl_attr_put_u32(nlh, PW_VRF_ATTR_LINKS, links);
}

static int dump_vrfs(struct pw_dump *dump)
{
	const size_t room = MESSAGE_ROOM + INTERFACES_MAX * (sizeof(struct nlattr) + IFNAMSIZ);

	pw_statistics_names_refresh();
	chain_links();
	for (; dump->cursor[0] < PW_VRFS; dump->cursor[0]++) {
		uint16_t index = (uint16_t)dump->cursor[0];
		const struct pw_vrf *vrf = pw_vrf_get(index);
		struct nlmsghdr *nlh;

		if (vrf == NULL)
			continue;
		nlh = pw_statistics_message(dump, PW_MSG_VRF, room);
		if (nlh == NULL)
			return 1;
		pw_statistics_put_name(nlh, PW_VRF_ATTR_NAME, pw_statistics_vrf_name(index));
		mnl_attr_put_u32(nlh, PW_VRF_ATTR_TABLE, vrf->table);
		mnl_attr_put_u16(nlh, PW_VRF_ATTR_INDEX, index);
		put_interfaces(nlh, index);
		mnl_attr_put_u64(nlh, PW_VRF_ATTR_ROUTES4, pw_lpm_count(vrf->lpm4));
		mnl_attr_put_u64(nlh, PW_VRF_ATTR_ROUTES6, pw_lpm_count(vrf->lpm6));
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

/* ---- neighbours -------------------------------------------------------------------------- */

static void put_neighbour(struct nlmsghdr *nlh, const struct pw_neighbour *neighbour)
{
	const struct pw_link *link = pw_link_by_index(neighbour->interface);

	pw_statistics_put_address(nlh, PW_NEIGHBOUR_ATTR_ADDRESS, neighbour->family,
				  neighbour->address);
	pw_statistics_put_name(nlh, PW_NEIGHBOUR_ATTR_DEV, link != NULL ? link->name : NULL);
	mnl_attr_put_strz(nlh, PW_NEIGHBOUR_ATTR_STATE,
			  pw_statistics_neighbour_state(neighbour->state));
	if (neighbour->state == PW_NEIGHBOUR_REACHABLE)
		mnl_attr_put(nlh, PW_NEIGHBOUR_ATTR_MAC, 6, neighbour->rewrite);
	pw_statistics_put_name(nlh, PW_NEIGHBOUR_ATTR_PORT,
			       pw_statistics_port_name(neighbour->port));
	if (link != NULL && link->kind == PW_LINK_VLAN)
		mnl_attr_put_u16(nlh, PW_NEIGHBOUR_ATTR_VLAN, link->vlan);
	mnl_attr_put_u16(nlh, PW_NEIGHBOUR_ATTR_MTU, neighbour->mtu);
}

static int dump_neighbours(struct pw_dump *dump)
{
	pw_statistics_names_refresh();
	for (; dump->cursor[0] < pw_neighbours.ids; dump->cursor[0]++) {
		const struct pw_neighbour *neighbour = pw_neighbour_get((uint32_t)dump->cursor[0]);
		struct nlmsghdr *nlh;

		if (neighbour->id == 0)
			continue;
		nlh = pw_statistics_message(dump, PW_MSG_NEIGHBOUR, MESSAGE_ROOM);
		if (nlh == NULL)
			return 1;
		put_neighbour(nlh, neighbour);
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

/* ---- tunnels ----------------------------------------------------------------------------- */

static void put_tunnel(struct nlmsghdr *nlh, const struct pw_link *link)
{
	const struct pw_tunnel *tunnel = &link->tunnel;
	const struct pw_link *underlay = pw_link_by_index(tunnel->underlay_link);

	mnl_attr_put_strz(nlh, PW_TUNNEL_ATTR_NAME, link->name);
	mnl_attr_put_strz(nlh, PW_TUNNEL_ATTR_ENCAPSULATION,
			  tunnel->ip_in_ip     ? "ip-in-ip"
			  : tunnel->mpls_in_ip ? "mpls-in-ip"
					       : "gre");
	pw_statistics_put_address(nlh, PW_TUNNEL_ATTR_LOCAL, tunnel->local.family,
				  tunnel->local.bytes);
	pw_statistics_put_address(nlh, PW_TUNNEL_ATTR_REMOTE, tunnel->remote.family,
				  tunnel->remote.bytes);
	if (tunnel->key_set)
		mnl_attr_put_u32(nlh, PW_TUNNEL_ATTR_KEY, ntohl(tunnel->key));
	mnl_attr_put_u8(nlh, PW_TUNNEL_ATTR_TTL, tunnel->ttl);
	mnl_attr_put_strz(nlh, PW_TUNNEL_ATTR_TTL_MODEL, tunnel->ttl_uniform ? "uniform" : "pipe");
	if (!tunnel->ttl_uniform)
		mnl_attr_put_u8(nlh, PW_TUNNEL_ATTR_LABEL_TTL, tunnel->label_ttl);
	mnl_attr_put_u32(nlh, PW_TUNNEL_ATTR_MTU, link->mtu);
	mnl_attr_put_u8(nlh, PW_TUNNEL_ATTR_UP, pw_link_operational(link));
	mnl_attr_put_u32(nlh, PW_TUNNEL_ATTR_TABLE,
			 underlay != NULL ? pw_link_table(underlay) : (uint32_t)RT_TABLE_MAIN);
}

static void put_protection(struct nlmsghdr *nlh, const struct pw_endpoint *endpoint)
{
	const char *outward = "clear", *inward = "any";

	if (endpoint->protect & PW_PROTECT_BLOCK_OUT)
		outward = "blocked";
	else if (endpoint->sa != 0)
		outward = "esp";
	else if (endpoint->protect & PW_PROTECT_OUT)
		outward = "required";
	if (endpoint->protect & PW_PROTECT_BLOCK_IN)
		inward = "blocked";
	else if (endpoint->protect & PW_PROTECT_IN)
		inward = "esp";
	mnl_attr_put_strz(nlh, PW_TUNNEL_ATTR_PROTECTION, outward);
	if (endpoint->sa != 0)
		mnl_attr_put_u32(nlh, PW_TUNNEL_ATTR_SPI, ntohl(pw_sa_get(endpoint->sa)->spi));
	mnl_attr_put_strz(nlh, PW_TUNNEL_ATTR_INWARD, inward);
}

static void put_endpoint(struct nlmsghdr *nlh, const struct pw_endpoint *endpoint)
{
	const struct pw_vrf *vrf = pw_vrf_get(endpoint->vrf);

	pw_statistics_put_name(nlh, PW_TUNNEL_ATTR_NAME,
			       pw_statistics_interface_name(endpoint->interface));
	mnl_attr_put_u32(nlh, PW_TUNNEL_ATTR_ENDPOINT, endpoint->id);
	pw_statistics_put_address(nlh, PW_TUNNEL_ATTR_LOCAL, endpoint->match.family,
				  endpoint->match.local);
	pw_statistics_put_address(nlh, PW_TUNNEL_ATTR_REMOTE, endpoint->match.family,
				  endpoint->match.remote);
	mnl_attr_put_u32(nlh, PW_TUNNEL_ATTR_MTU, endpoint->mtu);
	if (vrf != NULL)
		mnl_attr_put_u32(nlh, PW_TUNNEL_ATTR_TABLE, vrf->table);
	pw_statistics_put_nexthop(nlh, PW_TUNNEL_ATTR_UNDERLAY, endpoint->underlay);
	put_protection(nlh, endpoint);
}

/** cursor[0]: 0 tunnels, 1 endpoints; cursor[1]: the last link, or the next endpoint. */
static int dump_tunnels(struct pw_dump *dump)
{
	const struct pw_link *link;
	struct nlmsghdr *nlh;

	pw_statistics_names_refresh();
	while (dump->cursor[0] == 0) {
		link = pw_link_next((uint32_t)dump->cursor[1]);
		if (link == NULL) {
			dump->cursor[0] = 1;
			dump->cursor[1] = 1;
			break;
		}
		if (link->kind == PW_LINK_TUNNEL) {
			nlh = pw_statistics_message(dump, PW_MSG_TUNNEL, MESSAGE_ROOM);
			if (nlh == NULL)
				return 1;
			put_tunnel(nlh, link);
			pw_dump_commit(dump, nlh);
		}
		dump->cursor[1] = link->index;
	}
	for (; dump->cursor[1] < pw_endpoints.ids; dump->cursor[1]++) {
		const struct pw_endpoint *endpoint = pw_endpoint_get((uint32_t)dump->cursor[1]);

		if (endpoint->id == 0)
			continue;
		nlh = pw_statistics_message(dump, PW_MSG_TUNNEL, MESSAGE_ROOM);
		if (nlh == NULL)
			return 1;
		put_endpoint(nlh, endpoint);
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

/* ---- labels ------------------------------------------------------------------------------ */

static const char *label_action(uint8_t action)
{
	switch (action) {
	case PW_LABEL_POP:
		return "pop";
	case PW_LABEL_SWAP:
		return "swap";
	case PW_LABEL_DISCARD:
		return "discard";
	default:
		return "none";
	}
}

/** The remotes that were named, whether endpoints for them are there yet or not. */
static void put_allowed(struct nlmsghdr *nlh, const struct pw_label_route *route)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, PW_LABEL_ATTR_ALLOWED);
	uint32_t i;

	for (i = 0; i < route->remote_count && i < PW_LABEL_REMOTES_MAX; i++)
		pw_statistics_put_address(nlh, PW_ALLOW_ATTR_REMOTE, route->remotes[i].family,
					  route->remotes[i].bytes);
	mnl_attr_nest_end(nlh, nest);
}

static void put_label(struct nlmsghdr *nlh, const struct pw_label_route *route)
{
	const struct pw_label entry = pw_label_get(route->label);
	const struct pw_nexthop *nexthop = pw_nexthop_get(entry.nexthop);

	mnl_attr_put_u32(nlh, PW_LABEL_ATTR_LABEL, route->label);
	mnl_attr_put_strz(nlh, PW_LABEL_ATTR_ACTION, label_action(entry.action));
	if (entry.action == PW_LABEL_POP && nexthop->type == PW_NEXTHOP_LOOKUP) {
		const struct pw_vrf *vrf = pw_vrf_get((uint16_t)nexthop->vrf);

		pw_statistics_put_name(nlh, PW_LABEL_ATTR_VRF,
				       pw_statistics_vrf_name((uint16_t)nexthop->vrf));
		if (vrf != NULL)
			mnl_attr_put_u32(nlh, PW_LABEL_ATTR_TABLE, vrf->table);
	} else if (entry.action != PW_LABEL_DISCARD) {
		pw_statistics_put_nexthop(nlh, PW_LABEL_ATTR_NEXTHOP, entry.nexthop);
	}
	if (entry.flags & PW_LABEL_TTL_UNIFORM)
		mnl_attr_put_strz(nlh, PW_LABEL_ATTR_TTL, "uniform");
	else if (entry.flags & PW_LABEL_TTL_PIPE)
		mnl_attr_put_strz(nlh, PW_LABEL_ATTR_TTL, "pipe");
	if (route->remote_count > 0)
		put_allowed(nlh, route);
	if (entry.flags & PW_LABEL_PROTECTED)
		mnl_attr_put_u8(nlh, PW_LABEL_ATTR_PROTECT, 1);
}

/** cursor[0]: the lowest label that is yet to be told. */
static int dump_labels(struct pw_dump *dump)
{
	const size_t allowed_room = PW_LABEL_REMOTES_MAX * (sizeof(struct nlattr) + 16);
	const struct pw_label_route *route;

	pw_statistics_names_refresh();
	while ((route = pw_label_next((uint32_t)dump->cursor[0])) != NULL) {
		struct nlmsghdr *nlh = pw_statistics_message(
			dump, PW_MSG_LABEL,
			MESSAGE_ROOM + (route->remote_count ? allowed_room : 0));

		if (nlh == NULL)
			return 1;
		put_label(nlh, route);
		pw_dump_commit(dump, nlh);
		dump->cursor[0] = (uint64_t)route->label + 1;
	}
	return 0;
}

void pw_netlink_pewter_register(void)
{
	pw_request_register(PW_MSG_VRF, -1, NULL, dump_vrfs);
	pw_request_register(PW_MSG_NEIGHBOUR, -1, NULL, dump_neighbours);
	pw_request_register(PW_MSG_TUNNEL, -1, NULL, dump_tunnels);
	pw_request_register(PW_MSG_LABEL, -1, NULL, dump_labels);
	pw_netlink_pewter_set_register();
}
