/* SPDX-License-Identifier: BSD-3-Clause */
/* RTM_NEWLINK, what is of a kind: making VLANs, VRFs and tunnels, changing tunnels. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/if_ether.h>
#include <linux/if_vlan.h>

#include "control/netlink_link.h"

static const struct pw_attribute_policy vlan_policy[IFLA_VLAN_MAX + 1] = {
	[IFLA_VLAN_ID] = {.name = "IFLA_VLAN_ID", .min = 2, .max = 2},
	[IFLA_VLAN_FLAGS] = {.name = "IFLA_VLAN_FLAGS", .min = 8, .max = 8},
	[IFLA_VLAN_PROTOCOL] = {.name = "IFLA_VLAN_PROTOCOL", .min = 2, .max = 2},
};

static const struct pw_attribute_policy vrf_policy[IFLA_VRF_MAX + 1] = {
	[IFLA_VRF_TABLE] = {.name = "IFLA_VRF_TABLE", .min = 4, .max = 4},
};

static int check_vlan_data(struct pw_request *request, const struct nlattr *data, uint16_t *id)
{
	const struct nlattr *attributes[IFLA_VLAN_MAX + 1] = {NULL};
	const struct ifla_vlan_flags *flags;
	int ret;

	if (!data)
		return pw_refuse(request, NULL, -EINVAL, "a VLAN needs an id");
	ret = pw_request_nested(request, data, "VLAN", vlan_policy, IFLA_VLAN_MAX, attributes);
	if (ret < 0)
		return ret;
	if (attributes[IFLA_VLAN_PROTOCOL] &&
	    mnl_attr_get_u16(attributes[IFLA_VLAN_PROTOCOL]) != htons(ETH_P_8021Q))
		return pw_refuse(request, attributes[IFLA_VLAN_PROTOCOL], -EPROTONOSUPPORT,
				 "VLAN protocol is 802.1Q only (802.1ad is not supported)");
	if (attributes[IFLA_VLAN_FLAGS]) {
		flags = mnl_attr_get_payload(attributes[IFLA_VLAN_FLAGS]);
		if ((flags->mask & ~VLAN_FLAG_REORDER_HDR) & flags->flags ||
		    (flags->mask & ~flags->flags & VLAN_FLAG_REORDER_HDR))
			return pw_refuse(request, attributes[IFLA_VLAN_FLAGS], -EOPNOTSUPP,
					 "VLAN flags other than reorder_hdr on are not supported");
	}
	if (!attributes[IFLA_VLAN_ID])
		return pw_refuse(request, data, -EINVAL, "a VLAN needs an id");
	*id = mnl_attr_get_u16(attributes[IFLA_VLAN_ID]);
	if (*id < 1 || *id > 4094)
		return pw_refuse(request, attributes[IFLA_VLAN_ID], -ERANGE,
				 "VLAN id %u is out of the range 1 to 4094", *id);
	return 0;
}

static int new_vlan(struct pw_request *request, struct pw_link_request *in)
{
	const struct nlattr *attribute = in->attributes[IFLA_LINK];
	const struct pw_link *parent;
	int ret;

	if (!attribute)
		return pw_refuse(request, NULL, -EINVAL,
				 "a VLAN needs the port it is on (link PORT)");
	parent = pw_link_by_index(mnl_attr_get_u32(attribute));
	if (!parent)
		return pw_refuse(request, attribute, -ENODEV,
				 "the VLAN's parent, index %u, does not exist",
				 mnl_attr_get_u32(attribute));
	if (parent->kind != PW_LINK_PORT)
		return pw_refuse(request, attribute, -EOPNOTSUPP,
				 "%s is no port: VLANs are made on ports", parent->name);
	ret = check_vlan_data(request, in->info[IFLA_INFO_DATA], &in->wanted.vlan);
	if (ret < 0)
		return ret;
	if (pw_port_get(parent->port) && pw_port_get(parent->port)->vlan[in->wanted.vlan])
		return pw_refuse(request, in->info[IFLA_INFO_DATA], -EEXIST,
				 "VLAN %u of %s is taken", in->wanted.vlan, parent->name);
	in->wanted.kind = PW_LINK_VLAN;
	in->wanted.parent = parent->index;
	in->wanted.port = parent->port;
	in->wanted.mtu = parent->mtu;
	memcpy(in->wanted.mac, parent->mac, sizeof(in->wanted.mac));
	return 0;
}

static int new_vrf(struct pw_request *request, struct pw_link_request *in)
{
	const struct nlattr *attributes[IFLA_VRF_MAX + 1] = {NULL};
	const struct nlattr *attribute;
	const struct pw_link *owner;
	uint32_t table;
	int ret;

	if (in->info[IFLA_INFO_DATA]) {
		ret = pw_request_nested(request, in->info[IFLA_INFO_DATA], "VRF", vrf_policy,
					IFLA_VRF_MAX, attributes);
		if (ret < 0)
			return ret;
	}
	attribute = attributes[IFLA_VRF_TABLE];
	if (!attribute)
		return pw_refuse(request, NULL, -EINVAL, "a VRF needs a table");
	table = mnl_attr_get_u32(attribute);
	if (table == 0 || (table >= 253 && table <= 255))
		return pw_refuse(request, attribute, -EINVAL,
				 "table %u cannot be a VRF's: it is the default VRF's", table);
	owner = pw_link_by_table(table);
	if (owner)
		return pw_refuse(request, attribute, -EEXIST, "table %u is VRF %s's", table,
				 owner->name);
	in->wanted.kind = PW_LINK_VRF;
	in->wanted.table = table;
	in->wanted.mtu = PW_MTU_VRF;
	return 0;
}

static bool kind_is_tunnel(const char *kind)
{
	return !strcmp(kind, "gre") || !strcmp(kind, "ip6gre") || !strcmp(kind, "ipip") ||
	       !strcmp(kind, "sit") || !strcmp(kind, "ip6tnl");
}

static int check_tunnel_unique(struct pw_request *request, const struct pw_link *self,
			       const struct pw_tunnel *tunnel)
{
	const char *why;
	int ret;

	for (const struct pw_link *link = pw_link_next(0); link; link = pw_link_next(link->index)) {
		const struct pw_tunnel *other = &link->tunnel;
		const struct pw_link *here = pw_link_by_index(tunnel->underlay_link);
		const struct pw_link *there = pw_link_by_index(other->underlay_link);

		if (link == self || link->kind != PW_LINK_TUNNEL ||
		    other->mpls_in_ip != tunnel->mpls_in_ip ||
		    other->ip_in_ip != tunnel->ip_in_ip ||
		    !pw_address_same(&other->local, &tunnel->local) ||
		    !pw_address_same(&other->remote, &tunnel->remote) ||
		    other->key_set != tunnel->key_set ||
		    (tunnel->key_set && other->key != tunnel->key))
			continue;
		if ((here ? pw_link_vrf(here) : 0) == (there ? pw_link_vrf(there) : 0))
			return pw_refuse(request, NULL, -EEXIST,
					 "%s has the same local, remote and key", link->name);
	}
	/* ... nor as an endpoint that a multipoint tunnel reaches. */
	ret = pw_endpoint_tunnel_check(tunnel, self, &why);
	return ret ? pw_refuse(request, NULL, ret, "%s", why) : 0;
}

static int new_tunnel(struct pw_request *request, struct pw_link_request *in)
{
	int ret = pw_netlink_tunnel_parse(request, in->kind, in->info[IFLA_INFO_DATA], NULL,
					  &in->wanted.tunnel);

	if (ret < 0)
		return ret;
	in->wanted.kind = PW_LINK_TUNNEL;
	in->wanted.mtu = pw_tunnel_default_mtu(&in->wanted.tunnel);
	return check_tunnel_unique(request, NULL, &in->wanted.tunnel);
}

static int check_ipsec_unique(struct pw_request *request, const struct pw_link *self,
			      const struct pw_ipsec *ipsec)
{
	const struct pw_link *other = pw_ipsec_same(ipsec, self);

	if (!other)
		return 0;
	if (!ipsec->family)
		return pw_refuse(request, NULL, -EEXIST, "%s has if_id 0x%x", other->name,
				 ipsec->if_id);
	return pw_refuse(request, NULL, -EEXIST,
			 "%s has the same ends or the same key: SAs are told apart by keys",
			 other->name);
}

static int new_ipsec(struct pw_request *request, struct pw_link_request *in)
{
	int ret = pw_netlink_ipsec_parse(request, in->kind, in->info[IFLA_INFO_DATA], NULL,
					 &in->wanted.ipsec);

	if (ret < 0)
		return ret;
	in->wanted.kind = PW_LINK_IPSEC;
	in->wanted.mtu = pw_ipsec_default_mtu(&in->wanted.ipsec);
	return check_ipsec_unique(request, NULL, &in->wanted.ipsec);
}

/* "vrf" -> "vrf0", the first that is free, as the kernel names links that come without one. */
static int choose_name(struct pw_link_request *in)
{
	for (unsigned int number = 0; number < PW_INTERFACES; number++) {
		snprintf(in->wanted.name, sizeof(in->wanted.name), "%.9s%u", in->kind, number);
		if (!pw_link_by_name(in->wanted.name))
			return 0;
	}
	return -ENFILE;
}

int pw_link_request_create(struct pw_request *request, struct pw_link_request *in)
{
	bool up, named = in->attributes[IFLA_IFNAME];
	struct pw_link *link;
	char error[128] = "";
	int ret;

	if (!in->kind[0])
		return pw_refuse(request, NULL, named ? -ENODEV : -EINVAL,
				 "there is no such link, and no kind to make one of");
	in->wanted.port = PW_PORT_NONE;
	in->wanted.carrier = true;
	if (!strcmp(in->kind, "vlan"))
		ret = new_vlan(request, in);
	else if (in->attributes[IFLA_LINK])
		ret = pw_refuse(request, in->attributes[IFLA_LINK], -EOPNOTSUPP,
				"only a VLAN has a parent link; a tunnel's underlay is \"dev\"");
	else if (!strcmp(in->kind, "vrf"))
		ret = new_vrf(request, in);
	else if (kind_is_tunnel(in->kind))
		ret = new_tunnel(request, in);
	else if (pw_netlink_ipsec_is(in->kind))
		ret = new_ipsec(request, in);
	else
		ret = pw_refuse(
			request, in->info[IFLA_INFO_KIND], -EOPNOTSUPP,
			"links of kind \"%s\" are not supported "
			"(vlan, vrf, gre, ip6gre, ipip, sit, ip6tnl, xfrm, vti and vti6 are)",
			in->kind);
	if (!ret)
		ret = pw_link_check_common(request, in, NULL);
	if (!ret && !in->set.name && choose_name(in) < 0)
		ret = pw_refuse(request, NULL, -ENFILE, "no name is free");
	if (ret < 0)
		return ret;
	up = in->set.up && in->wanted.admin_up;
	in->wanted.admin_up = false;
	link = pw_link_create(&in->wanted, error, sizeof(error));
	if (!link)
		return pw_refuse(request, NULL, -errno, "%s", error);
	ret = up ? pw_link_set_up(link, true) : 0;
	if (ret < 0) {
		pw_link_delete(link);
		return pw_refuse(request, NULL, ret, "%s cannot be set up: %s", in->wanted.name,
				 strerror(-ret));
	}
	return 0;
}

static const char *link_kind_name(const struct pw_link *link)
{
	switch (link->kind) {
	case PW_LINK_VLAN:
		return "vlan";
	case PW_LINK_VRF:
		return "vrf";
	case PW_LINK_TUNNEL:
		return pw_netlink_tunnel_kind(&link->tunnel);
	case PW_LINK_IPSEC:
		return pw_netlink_ipsec_kind(&link->ipsec);
	default:
		return "";
	}
}

/* What the kind's own data may change: a tunnel everything, an IPsec interface its number or ends,
 * the others nothing. */
int pw_link_check_change(struct pw_request *request, struct pw_link_request *in,
			 const struct pw_link *link)
{
	const struct nlattr *data = in->info[IFLA_INFO_DATA];
	const struct nlattr *vrf[IFLA_VRF_MAX + 1] = {NULL};
	uint16_t id;
	int ret;

	if (in->kind[0] && strcmp(in->kind, link_kind_name(link)))
		return pw_refuse(request, in->info[IFLA_INFO_KIND], -EOPNOTSUPP,
				 "%s is of kind \"%s\", which cannot change", link->name,
				 link->kind == PW_LINK_PORT ? "port" : link_kind_name(link));
	if (in->attributes[IFLA_LINK] &&
	    mnl_attr_get_u32(in->attributes[IFLA_LINK]) != link->parent)
		return pw_refuse(request, in->attributes[IFLA_LINK], -EOPNOTSUPP,
				 "the parent of %s cannot change", link->name);
	if (!data)
		return 0;
	switch (link->kind) {
	case PW_LINK_TUNNEL:
		ret = pw_netlink_tunnel_parse(request, link_kind_name(link), data, &link->tunnel,
					      &in->wanted.tunnel);
		if (!ret)
			ret = check_tunnel_unique(request, link, &in->wanted.tunnel);
		in->set.tunnel = !ret;
		return ret;
	case PW_LINK_IPSEC:
		ret = pw_netlink_ipsec_parse(request, link_kind_name(link), data, link,
					     &in->wanted.ipsec);
		if (!ret)
			ret = check_ipsec_unique(request, link, &in->wanted.ipsec);
		in->set.ipsec = !ret;
		return ret;
	case PW_LINK_VLAN:
		ret = check_vlan_data(request, data, &id);
		if (!ret && id != link->vlan)
			ret = pw_refuse(request, data, -EOPNOTSUPP,
					"the id of VLAN %s cannot change", link->name);
		return ret;
	case PW_LINK_VRF:
		ret = pw_request_nested(request, data, "VRF", vrf_policy, IFLA_VRF_MAX, vrf);
		if (!ret && vrf[IFLA_VRF_TABLE] &&
		    mnl_attr_get_u32(vrf[IFLA_VRF_TABLE]) != link->table)
			ret = pw_refuse(request, data, -EOPNOTSUPP,
					"the table of VRF %s cannot change", link->name);
		return ret;
	default:
		return pw_refuse(request, data, -EOPNOTSUPP, "%s takes no settings of a kind",
				 link->name);
	}
}
