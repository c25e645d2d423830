/* SPDX-License-Identifier: BSD-3-Clause */
/** What the numbers of the dataplane are called, and next hops in words. */
#include "control/statistics.h"

#include <string.h>

#include "dataplane/table/endpoint.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/vrf.h"
#include "drivers/port.h"

/** Link indices by what they stand for; 0 = none. Links are found by index afterwards. */
static uint32_t vrf_link[PW_VRFS];
static uint32_t port_link[PW_PORTS];

void pw_statistics_names_refresh(void)
{
	struct pw_link *link;

	memset(vrf_link, 0, sizeof(vrf_link));
	memset(port_link, 0, sizeof(port_link));
	for (link = pw_link_next(0); link != NULL; link = pw_link_next(link->index)) {
		if (link->kind == PW_LINK_VRF && pw_link_vrf(link) < PW_VRFS)
			vrf_link[pw_link_vrf(link)] = link->index;
		else if (link->kind == PW_LINK_PORT && link->port < PW_PORTS)
			port_link[link->port] = link->index;
	}
}

const char *pw_statistics_interface_name(uint32_t interface)
{
	const struct pw_link *link = interface != 0 ? pw_link_by_index(interface) : NULL;

	return link != NULL ? link->name : NULL;
}

const char *pw_statistics_vrf_name(uint16_t vrf)
{
	if (vrf >= PW_VRFS)
		return NULL;
	if (vrf == PW_VRF_DEFAULT)
		return "default";
	return pw_statistics_interface_name(vrf_link[vrf]);
}

uint32_t pw_statistics_port_link(uint16_t port)
{
	return port < PW_PORTS ? port_link[port] : 0;
}

const char *pw_statistics_port_name(uint16_t port)
{
	const struct pw_link *link = pw_link_by_index(pw_statistics_port_link(port));
	const struct pw_port *found;

	if (link != NULL && link->kind == PW_LINK_PORT)
		return link->name;
	found = port < PW_PORTS ? pw_port_find(port) : NULL;
	return found != NULL ? found->spec.name : NULL;
}

uint16_t pw_statistics_port_find(const char *name)
{
	const struct pw_link *link = pw_link_by_name(name);
	uint16_t i;

	if (link != NULL && link->kind == PW_LINK_PORT)
		return link->port;
	for (i = 0; i < PW_PORTS; i++) {
		const struct pw_port *port = pw_port_find(i);

		if (port != NULL && strcmp(port->spec.name, name) == 0)
			return i;
	}
	return PW_PORT_NONE;
}

const char *pw_statistics_neighbour_state(uint8_t state)
{
	switch (state) {
	case PW_NEIGHBOUR_INCOMPLETE:
		return "incomplete";
	case PW_NEIGHBOUR_REACHABLE:
		return "reachable";
	case PW_NEIGHBOUR_FAILED:
		return "failed";
	default:
		return "none";
	}
}

void pw_statistics_put_name(struct nlmsghdr *nlh, uint16_t type, const char *text)
{
	if (text != NULL)
		mnl_attr_put_strz(nlh, type, text);
}

void pw_statistics_put_address(struct nlmsghdr *nlh, uint16_t type, int family, const void *bytes)
{
	if (family == AF_INET || family == AF_INET6)
		mnl_attr_put(nlh, type, pw_address_size(family), bytes);
}

static const char *nexthop_type(uint8_t type)
{
	static const char *const names[PW_NEXTHOP_TYPES] = {
		[PW_NEXTHOP_NONE] = "none",
		[PW_NEXTHOP_BLACKHOLE] = "blackhole",
		[PW_NEXTHOP_UNREACHABLE] = "unreachable",
		[PW_NEXTHOP_PROHIBIT] = "prohibit",
		[PW_NEXTHOP_LOCAL] = "local",
		[PW_NEXTHOP_GLEAN] = "glean",
		[PW_NEXTHOP_NEIGHBOUR] = "neighbour",
		[PW_NEXTHOP_TUNNEL] = "tunnel",
		[PW_NEXTHOP_LOOKUP] = "lookup",
		[PW_NEXTHOP_GROUP] = "group",
		[PW_NEXTHOP_POLICY] = "policy",
	};

	return type < PW_NEXTHOP_TYPES && names[type] ? names[type] : "unknown";
}

static void put_by_type(struct nlmsghdr *nlh, const struct pw_nexthop *nexthop)
{
	const struct pw_neighbour *neighbour;
	const struct pw_endpoint *endpoint;
	const struct pw_vrf *vrf;

	switch (nexthop->type) {
	case PW_NEXTHOP_NEIGHBOUR:
		neighbour = pw_neighbour_get(nexthop->neighbour);
		pw_statistics_put_address(nlh, PW_NEXTHOP_ATTR_VIA, neighbour->family,
					  neighbour->address);
		mnl_attr_put_strz(nlh, PW_NEXTHOP_ATTR_STATE,
				  pw_statistics_neighbour_state(neighbour->state));
		pw_statistics_put_name(nlh, PW_NEXTHOP_ATTR_PORT,
				       pw_statistics_port_name(neighbour->port));
		break;
	case PW_NEXTHOP_TUNNEL:
		endpoint = pw_endpoint_get(nexthop->endpoint);
		pw_statistics_put_address(nlh, PW_NEXTHOP_ATTR_VIA, endpoint->match.family,
					  endpoint->match.remote);
		break;
	case PW_NEXTHOP_LOOKUP:
		vrf = nexthop->vrf < PW_VRFS ? pw_vrf_get((uint16_t)nexthop->vrf) : NULL;
		if (vrf != NULL)
			mnl_attr_put_u32(nlh, PW_NEXTHOP_ATTR_TABLE, vrf->table);
		break;
	default:
		break;
	}
}

void pw_statistics_put_nexthop(struct nlmsghdr *nlh, uint16_t type, uint32_t id)
{
	uint32_t labels[PW_NEXTHOP_LABELS];
	const struct pw_nexthop *nexthop;
	struct nlattr *nest;
	unsigned int i, count;

	if (id == 0 || id >= pw_nexthops.ids)
		return;
	nexthop = pw_nexthop_get(id);
	nest = mnl_attr_nest_start(nlh, type);
	mnl_attr_put_u32(nlh, PW_NEXTHOP_ATTR_ID, id);
	mnl_attr_put_strz(nlh, PW_NEXTHOP_ATTR_TYPE, nexthop_type(nexthop->type));
	pw_statistics_put_name(nlh, PW_NEXTHOP_ATTR_DEV,
			       pw_statistics_interface_name(nexthop->interface));
	put_by_type(nlh, nexthop);
	count = nexthop->label_count < PW_NEXTHOP_LABELS ? nexthop->label_count : PW_NEXTHOP_LABELS;
	for (i = 0; i < count; i++)
		labels[i] = nexthop->labels[i] >> 12;
	if (count > 0)
		mnl_attr_put(nlh, PW_NEXTHOP_ATTR_LABELS, count * sizeof(labels[0]), labels);
	mnl_attr_nest_end(nlh, nest);
}
