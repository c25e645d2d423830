/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of pewterctl that set what Linux has no message for. */
#include "control/label.h"
#include "control/links.h"
#include "control/spd.h"
#include "control/statistics.h"

#include <errno.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "dataplane/table/label.h"
#include "lib/pewter_netlink.h"

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
		if (count == PW_LABEL_REMOTES_MAX)
			return pw_refuse(request, attribute, -E2BIG,
					 "more than %d remotes for a label", PW_LABEL_REMOTES_MAX);
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
	static struct pw_address remotes[PW_LABEL_REMOTES_MAX];
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

static const struct pw_attribute_policy label_policy[PW_LABEL_SET_ATTR_COUNT] = {
	[PW_LABEL_SET_ATTR_LABEL] = {.name = "PW_LABEL_SET_ATTR_LABEL", .min = 4, .max = 4},
	[PW_LABEL_SET_ATTR_PROTECT] = {.name = "PW_LABEL_SET_ATTR_PROTECT", .min = 1, .max = 1},
};

static int set_label(struct pw_request *request)
{
	const struct nlattr *table[PW_LABEL_SET_ATTR_COUNT];
	const struct nlattr *protect;
	uint32_t label;
	int ret = pw_request_attributes(request, sizeof(struct rtgenmsg), "label", label_policy,
					PW_LABEL_SET_ATTR_COUNT - 1, table);

	if (ret != 0)
		return ret;
	if (table[PW_LABEL_SET_ATTR_LABEL] == NULL)
		return pw_refuse(request, NULL, -EINVAL, "no label given");
	label = mnl_attr_get_u32(table[PW_LABEL_SET_ATTR_LABEL]);
	if (label < PW_LABEL_RESERVED || label >= PW_LABELS)
		return pw_refuse(request, table[PW_LABEL_SET_ATTR_LABEL], -EINVAL,
				 "label %u is none of %d to %u", label, PW_LABEL_RESERVED,
				 PW_LABELS - 1);
	protect = table[PW_LABEL_SET_ATTR_PROTECT];
	if (protect == NULL)
		return pw_refuse(request, NULL, -EINVAL, "nothing to set");
	if (mnl_attr_get_u8(protect) > 1)
		return pw_refuse(request, protect, -EINVAL, "protection is 0 or 1");
	pw_label_protect(label, mnl_attr_get_u8(protect) != 0);
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
	[PW_TUNNEL_SET_ATTR_FACE] = {.name = "PW_TUNNEL_SET_ATTR_FACE", .min = 1, .max = 1},
};

static struct pw_link *find_link(struct pw_request *request, const struct nlattr *attribute,
				 const char *what)
{
	char name[IFNAMSIZ + 1] = "";
	struct pw_link *link;

	if (attribute == NULL) {
		pw_refuse(request, NULL, -EINVAL, "no %s given", what);
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
	struct pw_link *link = find_link(request, attribute, "tunnel");

	if (link == NULL || link->kind == PW_LINK_TUNNEL)
		return link;
	pw_refuse(request, attribute, -EINVAL, "link \"%s\" is no tunnel", link->name);
	return NULL;
}

static int set_face(struct pw_request *request, const struct nlattr *attribute,
		    struct pw_link *link)
{
	char error[128] = "";
	int ret;

	if (mnl_attr_get_u8(attribute) > 1)
		return pw_refuse(request, attribute, -EINVAL, "a face is 0 or 1");
	if (mnl_attr_get_u8(attribute) && (!link->tunnel.remote.family || link->tunnel.mpls_in_ip))
		return pw_refuse(request, attribute, -EOPNOTSUPP,
				 "%s: only a tunnel of IP packets to one remote end has a kernel "
				 "face",
				 link->name);
	ret = pw_link_set_tunnel_face(link, mnl_attr_get_u8(attribute), error, sizeof(error));
	return ret < 0 ? pw_refuse(request, attribute, ret, "%s", error) : 0;
}

static int set_tunnel(struct pw_request *request)
{
	const struct nlattr *table[PW_TUNNEL_SET_ATTR_COUNT];
	const struct nlattr *model, *label_ttl, *face;
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
	face = table[PW_TUNNEL_SET_ATTR_FACE];
	if (model == NULL && label_ttl == NULL && face == NULL)
		return pw_refuse(request, NULL, -EINVAL, "nothing to set");
	if (model != NULL && mnl_attr_get_u8(model) > PW_TTL_SHORT_PIPE)
		return pw_refuse(request, model, -EINVAL, "unknown TTL model %u",
				 mnl_attr_get_u8(model));
	if (label_ttl != NULL && mnl_attr_get_u8(label_ttl) == 0)
		return pw_refuse(request, label_ttl, -EINVAL, "a label's TTL is 1 to 255");
	ret = face != NULL ? set_face(request, face, link) : 0;
	if (ret < 0 || (model == NULL && label_ttl == NULL))
		return ret;
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
	[PW_LINK_SET_ATTR_REVERSE_ROUTE] = {.name = "PW_LINK_SET_ATTR_REVERSE_ROUTE",
					    .min = 1,
					    .max = 1},
};

static int set_reverse_route(struct pw_request *request, const struct nlattr *attribute,
			     struct pw_link *link)
{
	if (mnl_attr_get_u8(attribute) > 1)
		return pw_refuse(request, attribute, -EINVAL, "reverse routes are 0 or 1");
	if (link->kind != PW_LINK_IPSEC)
		return pw_refuse(request, attribute, -EINVAL,
				 "link \"%s\" is no IPsec interface: it has no policies to make "
				 "routes of",
				 link->name);
	link->reverse_route = mnl_attr_get_u8(attribute);
	pw_spd_link_changed(link);
	return 0;
}

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
	link = find_link(request, table[PW_LINK_SET_ATTR_NAME], "link");
	if (link == NULL)
		return request->error;
	mpls = table[PW_LINK_SET_ATTR_MPLS];
	if (mpls == NULL && table[PW_LINK_SET_ATTR_REVERSE_ROUTE] != NULL)
		return set_reverse_route(request, table[PW_LINK_SET_ATTR_REVERSE_ROUTE], link);
	if (mpls == NULL)
		return pw_refuse(request, NULL, -EINVAL, "nothing to set");
	if (mnl_attr_get_u8(mpls) > 1)
		return pw_refuse(request, mpls, -EINVAL, "MPLS input is 0 or 1");
	if (link->kind != PW_LINK_PORT && link->kind != PW_LINK_VLAN)
		return pw_refuse(
			request, table[PW_LINK_SET_ATTR_NAME], -EINVAL,
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

void pw_netlink_pewter_set_register(void)
{
	pw_request_register(PW_MSG_LABEL_ALLOW, -1, set_label_allow, NULL);
	pw_request_register(PW_MSG_TUNNEL_SET, -1, set_tunnel, NULL);
	pw_request_register(PW_MSG_LINK_SET, -1, set_link, NULL);
	pw_request_register(PW_MSG_LABEL_SET, -1, set_label, NULL);
}
