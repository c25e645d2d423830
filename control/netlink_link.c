/* SPDX-License-Identifier: BSD-3-Clause */
/* RTM_NEWLINK and RTM_DELLINK: decode, check all, then apply all. */
#include <errno.h>
#include <string.h>

#include "control/netlink_link.h"
#include "drivers/port.h"

static const struct pw_attribute_policy link_policy[IFLA_MAX + 1] = {
	[IFLA_ADDRESS] = {.name = "IFLA_ADDRESS", .max = 32},
	[IFLA_IFNAME] = {.name = "IFLA_IFNAME", .min = 1, .max = 128},
	[IFLA_MTU] = {.name = "IFLA_MTU", .min = 4, .max = 4},
	[IFLA_LINK] = {.name = "IFLA_LINK", .min = 4, .max = 4},
	[IFLA_MASTER] = {.name = "IFLA_MASTER", .min = 4, .max = 4},
	[IFLA_TXQLEN] = {.name = "IFLA_TXQLEN", .min = 4, .max = 4, .ignored = true},
	[IFLA_LINKINFO] = {.name = "IFLA_LINKINFO"},
	[IFLA_IFALIAS] = {.name = "IFLA_IFALIAS"},
	[IFLA_GROUP] = {.name = "IFLA_GROUP", .min = 4, .max = 4, .ignored = true},
	[IFLA_EXT_MASK] = {.name = "IFLA_EXT_MASK", .min = 4, .max = 4, .ignored = true},
	[IFLA_NUM_TX_QUEUES] = {.name = "IFLA_NUM_TX_QUEUES", .min = 4, .max = 4, .ignored = true},
	[IFLA_NUM_RX_QUEUES] = {.name = "IFLA_NUM_RX_QUEUES", .min = 4, .max = 4, .ignored = true},
	/* Known, and refused in words: */
	[IFLA_BROADCAST] = {.name = "IFLA_BROADCAST"},
	[IFLA_OPERSTATE] = {.name = "IFLA_OPERSTATE"},
	[IFLA_LINKMODE] = {.name = "IFLA_LINKMODE"},
	[IFLA_CARRIER] = {.name = "IFLA_CARRIER"},
	[IFLA_PROTO_DOWN] = {.name = "IFLA_PROTO_DOWN"},
	[IFLA_XDP] = {.name = "IFLA_XDP"},
	[IFLA_NET_NS_PID] = {.name = "IFLA_NET_NS_PID"},
	[IFLA_NET_NS_FD] = {.name = "IFLA_NET_NS_FD"},
	[IFLA_AF_SPEC] = {.name = "IFLA_AF_SPEC"},
	[IFLA_VFINFO_LIST] = {.name = "IFLA_VFINFO_LIST"},
};

static const struct {
	uint16_t type;
	const char *words;
} link_refused[] = {
	{IFLA_BROADCAST, "the broadcast address of a link cannot be chosen"},
	{IFLA_OPERSTATE, "the operational state follows the link, it cannot be set"},
	{IFLA_LINKMODE, "link mode dormant is not supported"},
	{IFLA_CARRIER, "carrier follows the device, it cannot be set"},
	{IFLA_PROTO_DOWN, "protodown is not supported: use down"},
	{IFLA_XDP, "XDP programs of the operator's are not supported"},
	{IFLA_NET_NS_PID, "links cannot move to another network namespace"},
	{IFLA_NET_NS_FD, "links cannot move to another network namespace"},
	{IFLA_AF_SPEC, "settings of address families (IFLA_AF_SPEC) are not supported"},
	{IFLA_VFINFO_LIST, "virtual functions are set up before Pewter takes the device"},
};

static const struct pw_attribute_policy info_policy[IFLA_INFO_MAX + 1] = {
	[IFLA_INFO_KIND] = {.name = "IFLA_INFO_KIND", .min = 1, .max = PW_LINK_KIND_MAX},
	[IFLA_INFO_DATA] = {.name = "IFLA_INFO_DATA"},
};

static bool copy_string(const struct nlattr *attribute, char *text, size_t size)
{
	size_t length =
		strnlen(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));

	if (length >= size)
		return false;
	memcpy(text, mnl_attr_get_payload(attribute), length);
	text[length] = '\0';
	return true;
}

static int decode(struct pw_request *request, struct pw_link_request *in)
{
	int ret;

	ret = pw_request_attributes(request, sizeof(*in->header), "link", link_policy, IFLA_MAX,
				    in->attributes);
	if (ret < 0)
		return ret;
	in->header = mnl_nlmsg_get_payload(request->nlh);
	for (size_t i = 0; i < MNL_ARRAY_SIZE(link_refused); i++)
		if (in->attributes[link_refused[i].type])
			return pw_refuse(request, in->attributes[link_refused[i].type], -EOPNOTSUPP,
					 "%s", link_refused[i].words);
	if (!in->attributes[IFLA_LINKINFO])
		return 0;
	ret = pw_request_nested(request, in->attributes[IFLA_LINKINFO], "link info", info_policy,
				IFLA_INFO_MAX, in->info);
	if (ret < 0)
		return ret;
	if (in->info[IFLA_INFO_KIND] &&
	    !copy_string(in->info[IFLA_INFO_KIND], in->kind, sizeof(in->kind)))
		return pw_refuse(request, in->info[IFLA_INFO_KIND], -EINVAL, "kind is too long");
	return 0;
}

static struct pw_link *find_link(struct pw_request *request, const struct pw_link_request *in,
				 int *error)
{
	const struct nlattr *name = in->attributes[IFLA_IFNAME];
	struct pw_link *link = NULL;
	char text[IFNAMSIZ];

	*error = 0;
	if (in->header->ifi_index > 0) {
		link = pw_link_by_index((uint32_t)in->header->ifi_index);
		if (!link)
			*error = pw_refuse(request, NULL, -ENODEV, "no link has index %d",
					   in->header->ifi_index);
	} else if (name && copy_string(name, text, sizeof(text))) {
		link = pw_link_by_name(text);
	}
	return link;
}

static int check_name(struct pw_request *request, struct pw_link_request *in,
		      const struct pw_link *link)
{
	const struct nlattr *attribute = in->attributes[IFLA_IFNAME];
	char name[IFNAMSIZ];

	if (!attribute)
		return 0;
	if (!copy_string(attribute, name, sizeof(name)))
		return pw_refuse(request, attribute, -EINVAL,
				 "a link's name has at most %d characters", IFNAMSIZ - 1);
	if (link && !strcmp(link->name, name))
		return 0;
	if (!pw_link_name_valid(name))
		return pw_refuse(request, attribute, -EINVAL, "\"%s\" cannot be a link's name",
				 name);
	if (pw_link_by_name(name))
		return pw_refuse(request, attribute, -EEXIST, "a link named %s exists", name);
	if (link && link->kind == PW_LINK_LOOPBACK)
		return pw_refuse(request, attribute, -EOPNOTSUPP, "lo keeps its name");
	memcpy(in->wanted.name, name, sizeof(name));
	in->set.name = true;
	return 0;
}

void pw_link_mtu_range(const struct pw_link *link, uint32_t *min, uint32_t *max)
{
	const struct pw_port *device = pw_port_find(link->port);
	const struct pw_link *parent = pw_link_by_index(link->parent);

	*min = PW_MTU_IPV4_MIN;
	*max = PW_MTU_VRF;
	if (link->kind == PW_LINK_PORT && device)
		*max = device->mtu_max;
	else if (link->kind == PW_LINK_VLAN && parent)
		*max = parent->mtu;
	else if (link->kind == PW_LINK_TUNNEL)
		*max = PW_MTU_MAX - pw_tunnel_overhead(&link->tunnel);
	else if (link->kind == PW_LINK_IPSEC)
		*max = PW_MTU_MAX;
}

static int check_mtu(struct pw_request *request, struct pw_link_request *in)
{
	const struct nlattr *attribute = in->attributes[IFLA_MTU];
	uint32_t min, max, mtu;

	if (!attribute)
		return 0;
	mtu = mnl_attr_get_u32(attribute);
	pw_link_mtu_range(&in->wanted, &min, &max);
	if (mtu < min)
		return pw_refuse(request, attribute, -EINVAL,
				 "mtu %u is less than the device minimum %u", mtu, min);
	if (mtu > max)
		return pw_refuse(request, attribute, -EINVAL,
				 "mtu %u is greater than the device maximum %u", mtu, max);
	in->wanted.mtu = mtu;
	in->set.mtu = true;
	return 0;
}

static int check_master(struct pw_request *request, struct pw_link_request *in)
{
	const struct nlattr *attribute = in->attributes[IFLA_MASTER];
	const struct pw_link *master;
	uint32_t index;

	if (!attribute)
		return 0;
	index = mnl_attr_get_u32(attribute);
	in->wanted.master = index;
	in->set.master = true;
	if (!index)
		return 0;
	master = pw_link_by_index(index);
	if (!master)
		return pw_refuse(request, attribute, -ENODEV,
				 "the master, index %u, does not exist", index);
	if (master->kind != PW_LINK_VRF)
		return pw_refuse(request, attribute, -EOPNOTSUPP, "%s is no VRF, so no master",
				 master->name);
	if (in->wanted.kind == PW_LINK_VRF)
		return pw_refuse(request, attribute, -EINVAL, "a VRF cannot be in another VRF");
	if (in->wanted.kind == PW_LINK_LOOPBACK)
		return pw_refuse(request, attribute, -EINVAL,
				 "lo cannot be in a VRF: give the VRF device itself an address");
	return 0;
}

static int check_flags(struct pw_request *request, struct pw_link_request *in,
		       const struct pw_link *link)
{
	unsigned int change = in->header->ifi_change, flags = in->header->ifi_flags;
	const unsigned int fixed = IFF_PROMISC | IFF_ALLMULTI | IFF_DEBUG | IFF_NOTRAILERS;

	/* As in the kernel: without a mask the flags are taken as they are. */
	if ((change & IFF_UP) || (!change && flags)) {
		in->wanted.admin_up = flags & IFF_UP;
		in->set.up = true;
	}
	if (change & flags & fixed)
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "promisc, allmulticast, debug and trailers are not supported");
	if (change != ~0U && (change & (IFF_NOARP | IFF_MULTICAST | IFF_DYNAMIC)))
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "arp, multicast and dynamic cannot be switched");
	return 0;
}

/* What can be said of any kind of link. @p link NULL: it is to be made. */
int pw_link_check_common(struct pw_request *request, struct pw_link_request *in,
			 const struct pw_link *link)
{
	const struct nlattr *address = in->attributes[IFLA_ADDRESS];
	const struct nlattr *alias = in->attributes[IFLA_IFALIAS];
	int ret;

	ret = check_name(request, in, link);
	if (!ret)
		ret = check_mtu(request, in);
	if (!ret)
		ret = check_master(request, in);
	if (!ret)
		ret = check_flags(request, in, link);
	if (ret)
		return ret;
	if (address && (mnl_attr_get_payload_len(address) != 6 ||
			memcmp(mnl_attr_get_payload(address), in->wanted.mac, 6)))
		return pw_refuse(request, address, -EOPNOTSUPP,
				 "the MAC address is the device's: set it before Pewter starts");
	if (alias) {
		in->set.alias = true;
		if (!copy_string(alias, in->wanted.alias, sizeof(in->wanted.alias)))
			return pw_refuse(request, alias, -EINVAL,
					 "an alias has at most %zu characters",
					 sizeof(in->wanted.alias) - 1);
	}
	return 0;
}

/* Each step can fail; what was done before is then undone, the last first. */
static int apply_change(struct pw_request *request, struct pw_link_request *in,
			struct pw_link *link)
{
	const struct pw_link old = *link;
	const char *what = "tunnel";
	int ret = 0;

	if (in->set.tunnel)
		ret = pw_link_set_tunnel(link, &in->wanted.tunnel);
	if (!ret && in->set.ipsec) {
		what = "if_id or key";
		ret = pw_link_set_ipsec(link, &in->wanted.ipsec);
	}
	if (!ret && in->set.mtu) {
		what = "mtu";
		ret = pw_link_set_mtu(link, in->wanted.mtu);
	}
	if (!ret && in->set.master) {
		what = "master";
		ret = pw_link_set_master(link, in->wanted.master);
	}
	if (!ret && in->set.up) {
		what = in->wanted.admin_up ? "up" : "down";
		ret = pw_link_set_up(link, in->wanted.admin_up);
	}
	if (ret < 0) {
		pw_link_set_master(link, old.master);
		pw_link_set_mtu(link, old.mtu);
		if (in->set.tunnel)
			pw_link_set_tunnel(link, &old.tunnel);
		if (in->set.ipsec)
			pw_link_set_ipsec(link, &old.ipsec);
		return pw_refuse(request, NULL, ret, "%s: %s cannot be set: %s", link->name, what,
				 strerror(-ret));
	}
	if (in->set.name)
		pw_link_rename(link, in->wanted.name);
	if (in->set.alias)
		memcpy(link->alias, in->wanted.alias, sizeof(link->alias));
	if (in->set.name || in->set.alias)
		pw_link_notify(link, RTM_NEWLINK, 0);
	return 0;
}

static int handle_newlink(struct pw_request *request)
{
	struct pw_link_request in = {.kind = ""};
	struct pw_link *link;
	int ret;

	ret = decode(request, &in);
	if (ret < 0)
		return ret;
	link = find_link(request, &in, &ret);
	if (ret < 0)
		return (request->nlh->nlmsg_flags & NLM_F_CREATE) && in.kind[0]
			       ? pw_refuse(request, NULL, -EOPNOTSUPP,
					   "the index of a new link cannot be chosen")
			       : ret;
	if (!link) {
		if (!(request->nlh->nlmsg_flags & NLM_F_CREATE))
			return pw_refuse(request, in.attributes[IFLA_IFNAME], -ENODEV,
					 "there is no such link");
		return pw_link_request_create(request, &in);
	}
	if (request->nlh->nlmsg_flags & NLM_F_EXCL)
		return pw_refuse(request, in.attributes[IFLA_IFNAME], -EEXIST,
				 "a link named %s exists", link->name);
	in.wanted = *link;
	ret = pw_link_check_change(request, &in, link);
	if (!ret)
		ret = pw_link_check_common(request, &in, link);
	return ret < 0 ? ret : apply_change(request, &in, link);
}

static const struct pw_link *link_user(const struct pw_link *link)
{
	for (const struct pw_link *user = pw_link_next(0); user; user = pw_link_next(user->index))
		if ((user->kind == PW_LINK_TUNNEL && user->tunnel.underlay_link == link->index) ||
		    (user->kind == PW_LINK_IPSEC && user->ipsec.underlay_link == link->index))
			return user;
	return NULL;
}

static int handle_dellink(struct pw_request *request)
{
	struct pw_link_request in = {.kind = ""};
	const struct pw_link *user;
	struct pw_link *link;
	int ret;

	ret = decode(request, &in);
	if (ret < 0)
		return ret;
	if (in.header->ifi_index <= 0 && !in.attributes[IFLA_IFNAME])
		return pw_refuse(request, in.attributes[IFLA_GROUP], -EOPNOTSUPP,
				 "links are deleted one by one, by name or index");
	link = find_link(request, &in, &ret);
	if (ret < 0)
		return ret;
	if (!link)
		return pw_refuse(request, in.attributes[IFLA_IFNAME], -ENODEV,
				 "there is no such link");
	if (link->kind == PW_LINK_PORT)
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "%s is a port, which lives as long as the daemon", link->name);
	if (link->kind == PW_LINK_LOOPBACK)
		return pw_refuse(request, NULL, -EOPNOTSUPP, "lo cannot be deleted");
	user = link_user(link);
	if (user)
		return pw_refuse(request, NULL, -EBUSY, "tunnel %s runs over %s", user->name,
				 link->name);
	pw_link_delete(link);
	return 0;
}

void pw_netlink_link_init(void)
{
	pw_request_register(RTM_NEWLINK, -1, handle_newlink, NULL);
	pw_request_register(RTM_DELLINK, -1, handle_dellink, NULL);
	pw_request_register(RTM_GETLINK, -1, pw_netlink_link_get, pw_netlink_link_dump);
}
