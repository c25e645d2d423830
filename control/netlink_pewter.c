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
#include "dataplane/table/vrf.h"

#define MESSAGE_ROOM   (512 + PW_STATISTICS_NEXTHOP_ROOM)
#define INTERFACES_MAX 256 /* names listed of one VRF */
#define ALLOWED_MAX    1024

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
			  tunnel->mpls_in_ip ? "mpls-in-ip" : "gre");
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

	for (i = 0; i < route->remote_count && i < ALLOWED_MAX; i++)
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
}

/** cursor[0]: the lowest label that is yet to be told. */
static int dump_labels(struct pw_dump *dump)
{
	const size_t allowed_room = ALLOWED_MAX * (sizeof(struct nlattr) + 16);
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

/* ---- knobs ------------------------------------------------------------------------------- */

static const struct pw_attribute_policy allow_policy[PW_ALLOW_ATTR_COUNT] = {
	[PW_ALLOW_ATTR_LABEL] = {.name = "PW_ALLOW_ATTR_LABEL", .min = 4, .max = 4},
	[PW_ALLOW_ATTR_REMOTES] = {.name = "PW_ALLOW_ATTR_REMOTES"},
};

/** Adds the remotes of a nest to @p remotes; their number, or -errno, refused. */
static int parse_remotes(struct pw_request *request, const struct nlattr *nest,
			 struct pw_address *remotes)
{
	const struct nlattr *attribute;
	int count = 0;

	mnl_attr_for_each_nested(attribute, nest)
	{
		uint16_t size = mnl_attr_get_payload_len(attribute);

		if (mnl_attr_get_type(attribute) != PW_ALLOW_ATTR_REMOTE)
			return pw_refuse(request, attribute, -EINVAL,
					 "unknown attribute %u among the remotes",
					 mnl_attr_get_type(attribute));
		if (size != 4 && size != 16)
			return pw_refuse(request, attribute, -EINVAL,
					 "a remote is an address of 4 or 16 bytes, not %u", size);
		if (count == ALLOWED_MAX)
			return pw_refuse(request, attribute, -E2BIG,
					 "more than %d remotes for a label", ALLOWED_MAX);
		remotes[count] = (struct pw_address){.family = size == 4 ? AF_INET : AF_INET6};
		memcpy(remotes[count++].bytes, mnl_attr_get_payload(attribute), size);
	}
	if (count == 0)
		return pw_refuse(request, nest, -EINVAL,
				 "no remote given; leave the attribute out to allow any");
	return count;
}

static int set_label_allow(struct pw_request *request)
{
	static struct pw_address remotes[ALLOWED_MAX];
	const struct nlattr *table[PW_ALLOW_ATTR_COUNT];
	uint32_t label;
	int count = 0;
	int ret = pw_request_attributes(request, sizeof(struct rtgenmsg), "label", allow_policy,
					PW_ALLOW_ATTR_COUNT - 1, table);

	if (ret != 0)
		return ret;
	if (table[PW_ALLOW_ATTR_LABEL] == NULL)
		return pw_refuse(request, NULL, -EINVAL, "no label given");
	label = mnl_attr_get_u32(table[PW_ALLOW_ATTR_LABEL]);
	if (label >= PW_LABELS)
		return pw_refuse(request, table[PW_ALLOW_ATTR_LABEL], -EINVAL,
				 "label %u is above %u", label, PW_LABELS - 1);
	if (pw_label_find(label) == NULL)
		return pw_refuse(request, table[PW_ALLOW_ATTR_LABEL], -ENOENT,
				 "label %u has no route", label);
	if (table[PW_ALLOW_ATTR_REMOTES] != NULL)
		count = parse_remotes(request, table[PW_ALLOW_ATTR_REMOTES], remotes);
	if (count < 0)
		return count;
	ret = pw_label_allow(label, remotes, (uint32_t)count);
	if (ret != 0)
		return pw_refuse(request, NULL, ret, "label %u: %s", label, strerror(-ret));
	return 0;
}

static const struct pw_attribute_policy tunnel_policy[PW_TUNNEL_SET_ATTR_COUNT] = {
	[PW_TUNNEL_SET_ATTR_NAME] = {.name = "PW_TUNNEL_SET_ATTR_NAME", .min = 2, .max = IFNAMSIZ},
	[PW_TUNNEL_SET_ATTR_TTL_MODEL] = {.name = "PW_TUNNEL_SET_ATTR_TTL_MODEL",
					  .min = 1,
					  .max = 1},
	[PW_TUNNEL_SET_ATTR_LABEL_TTL] = {.name = "PW_TUNNEL_SET_ATTR_LABEL_TTL",
					  .min = 1,
					  .max = 1},
};

static struct pw_link *find_link(struct pw_request *request, const struct nlattr *attribute)
{
	char name[IFNAMSIZ + 1] = "";
	struct pw_link *link;

	if (attribute == NULL) {
		pw_refuse(request, NULL, -EINVAL, "no link given");
		return NULL;
	}
	memcpy(name, mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));
	link = pw_link_by_name(name);
	if (link == NULL)
		pw_refuse(request, attribute, -ENODEV, "there is no link \"%s\"", name);
	return link;
}

static struct pw_link *find_tunnel(struct pw_request *request, const struct nlattr *attribute)
{
	struct pw_link *link = find_link(request, attribute);

	if (link == NULL || link->kind == PW_LINK_TUNNEL)
		return link;
	pw_refuse(request, attribute, -EINVAL, "link \"%s\" is no tunnel", link->name);
	return NULL;
}

static int set_tunnel(struct pw_request *request)
{
	const struct nlattr *table[PW_TUNNEL_SET_ATTR_COUNT];
	const struct nlattr *model, *label_ttl;
	struct pw_link *link;
	int ret = pw_request_attributes(request, sizeof(struct rtgenmsg), "tunnel", tunnel_policy,
					PW_TUNNEL_SET_ATTR_COUNT - 1, table);

	if (ret != 0)
		return ret;
	link = find_tunnel(request, table[PW_TUNNEL_SET_ATTR_NAME]);
	if (link == NULL)
		return request->error;
	model = table[PW_TUNNEL_SET_ATTR_TTL_MODEL];
	label_ttl = table[PW_TUNNEL_SET_ATTR_LABEL_TTL];
	if (model == NULL && label_ttl == NULL)
		return pw_refuse(request, NULL, -EINVAL, "nothing to set");
	if (model != NULL && mnl_attr_get_u8(model) > PW_TTL_SHORT_PIPE)
		return pw_refuse(request, model, -EINVAL, "unknown TTL model %u",
				 mnl_attr_get_u8(model));
	if (label_ttl != NULL && mnl_attr_get_u8(label_ttl) == 0)
		return pw_refuse(request, label_ttl, -EINVAL, "a label's TTL is 1 to 255");
	if (model != NULL)
		link->tunnel.ttl_uniform = mnl_attr_get_u8(model) == PW_TTL_UNIFORM;
	if (label_ttl != NULL)
		link->tunnel.label_ttl = mnl_attr_get_u8(label_ttl);
	pw_endpoint_tunnel_changed(link);
	return 0;
}

static const struct pw_attribute_policy link_policy[PW_LINK_SET_ATTR_COUNT] = {
	[PW_LINK_SET_ATTR_NAME] = {.name = "PW_LINK_SET_ATTR_NAME", .min = 2, .max = IFNAMSIZ},
	[PW_LINK_SET_ATTR_MPLS] = {.name = "PW_LINK_SET_ATTR_MPLS", .min = 1, .max = 1},
};

static int set_link(struct pw_request *request)
{
	const struct nlattr *table[PW_LINK_SET_ATTR_COUNT];
	const struct nlattr *mpls;
	struct pw_link *link;
	bool before;
	int ret = pw_request_attributes(request, sizeof(struct rtgenmsg), "link", link_policy,
					PW_LINK_SET_ATTR_COUNT - 1, table);

	if (ret != 0)
		return ret;
	link = find_link(request, table[PW_LINK_SET_ATTR_NAME]);
	if (link == NULL)
		return request->error;
	mpls = table[PW_LINK_SET_ATTR_MPLS];
	if (mpls == NULL)
		return pw_refuse(request, NULL, -EINVAL, "nothing to set");
	if (mnl_attr_get_u8(mpls) > 1)
		return pw_refuse(request, mpls, -EINVAL, "MPLS input is 0 or 1");
	if (link->kind != PW_LINK_PORT && link->kind != PW_LINK_VLAN)
		return pw_refuse(request, table[PW_LINK_SET_ATTR_NAME], -EINVAL,
				 "link \"%s\" is no port and no VLAN: no labelled frames arrive on it",
				 link->name);
	before = link->mpls_input;
	link->mpls_input = mnl_attr_get_u8(mpls);
	ret = pw_link_publish(link);
	if (ret != 0) {
		link->mpls_input = before;
		return pw_refuse(request, NULL, ret, "link \"%s\": %s", link->name, strerror(-ret));
	}
	return 0;
}

void pw_netlink_pewter_register(void)
{
	pw_request_register(PW_MSG_VRF, -1, NULL, dump_vrfs);
	pw_request_register(PW_MSG_NEIGHBOUR, -1, NULL, dump_neighbours);
	pw_request_register(PW_MSG_TUNNEL, -1, NULL, dump_tunnels);
	pw_request_register(PW_MSG_LABEL, -1, NULL, dump_labels);
	pw_request_register(PW_MSG_LABEL_ALLOW, -1, set_label_allow, NULL);
	pw_request_register(PW_MSG_TUNNEL_SET, -1, set_tunnel, NULL);
	pw_request_register(PW_MSG_LINK_SET, -1, set_link, NULL);
}
