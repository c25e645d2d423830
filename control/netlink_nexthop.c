/* SPDX-License-Identifier: BSD-3-Clause */
/* Next-hop objects: RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTM_GETNEXTHOP. */
#include <errno.h>
#include <string.h>

#include <linux/nexthop.h>

#include "control/netlink_hop.h"

#define OBJECT_ROOM 256

static const struct pw_attribute_policy policy[NHA_MAX + 1] = {
	[NHA_ID] = {"NHA_ID", 4, 4, false},
	[NHA_GROUP] = {"NHA_GROUP", 0, 0, false},
	[NHA_GROUP_TYPE] = {"NHA_GROUP_TYPE", 2, 2, false},
	[NHA_BLACKHOLE] = {"NHA_BLACKHOLE", 0, 0, false},
	[NHA_OIF] = {"NHA_OIF", 4, 4, false},
	[NHA_GATEWAY] = {"NHA_GATEWAY", 4, 16, false},
	[NHA_ENCAP_TYPE] = {"NHA_ENCAP_TYPE", 2, 2, false},
	[NHA_ENCAP] = {"NHA_ENCAP", 0, 0, false},
	[NHA_FDB] = {"NHA_FDB", 0, 0, false},
	[NHA_RES_GROUP] = {"NHA_RES_GROUP", 0, 0, false},
};

static const struct pw_attribute_policy dump_policy[NHA_MAX + 1] = {
	[NHA_ID] = {"NHA_ID", 4, 4, false},         [NHA_OIF] = {"NHA_OIF", 4, 4, false},
	[NHA_MASTER] = {"NHA_MASTER", 4, 4, false}, [NHA_GROUPS] = {"NHA_GROUPS", 0, 0, false},
	[NHA_FDB] = {"NHA_FDB", 0, 0, false},
};

/* What a message asks for, with everything that it refers to held. */
struct wanted {
	uint32_t nhid;
	uint8_t family;
	uint8_t protocol;
	bool is_group;
	unsigned int count;
	struct pw_path *members[PW_GROUP_BUCKETS];
	uint32_t weights[PW_GROUP_BUCKETS];
};

static void wanted_drop(struct wanted *wanted)
{
	while (wanted->count > 0)
		pw_path_drop(wanted->members[--wanted->count]);
}

/* ---- decoding ---------------------------------------------------------------------------- */

static int get_member(struct pw_request *request, const struct nlattr *attribute,
		      const struct nexthop_grp *entry, unsigned int total, struct wanted *wanted)
{
	struct pw_object *object = pw_object_find(entry->id);
	const struct pw_leg *leg;
	uint32_t weight;

	if (entry->resvd1 || entry->resvd2)
		return pw_refuse(request, attribute, -EINVAL,
				 "Reserved fields in nexthop_grp must be 0");
	if (entry->weight > 254)
		return pw_refuse(request, attribute, -EINVAL, "Invalid value for weight");
	if (!object)
		return pw_refuse(request, attribute, -EINVAL, "Invalid nexthop id %u", entry->id);
	if (object->is_group)
		return pw_refuse(request, attribute, -EINVAL,
				 "Nexthop id %u is a group: a group within a group is not allowed",
				 entry->id);
	if (entry->id == wanted->nhid)
		return pw_refuse(request, attribute, -EINVAL, "A group can not contain itself");
	for (unsigned int i = 0; i < wanted->count; i++)
		if (wanted->members[i] == &object->path)
			return pw_refuse(request, attribute, -EINVAL,
					 "Nexthop id can not be used twice in a group");
	leg = pw_path_leg(&object->path, 0, &weight);
	if (leg->hop.type == RTN_BLACKHOLE && total > 1)
		return pw_refuse(request, attribute, -EINVAL,
				 "Blackhole nexthop can not be used in a group with more than 1 "
				 "path");
	wanted->weights[wanted->count] = entry->weight + 1u;
	wanted->members[wanted->count++] = &object->path;
	pw_path_hold(&object->path);
	return 0;
}

static int get_group(struct pw_request *request, const struct nlattr **table, struct wanted *wanted)
{
	const struct nlattr *attribute = table[NHA_GROUP];
	const struct nexthop_grp *entries = mnl_attr_get_payload(attribute);
	unsigned int size = mnl_attr_get_payload_len(attribute);
	unsigned int count = size / sizeof(*entries);
	int ret;

	if (table[NHA_OIF] || table[NHA_GATEWAY] || table[NHA_ENCAP] || table[NHA_BLACKHOLE])
		return pw_refuse(request, attribute, -EINVAL,
				 "No other attributes can be set in nexthop groups");
	if (table[NHA_RES_GROUP] ||
	    (table[NHA_GROUP_TYPE] &&
	     mnl_attr_get_u16(table[NHA_GROUP_TYPE]) != NEXTHOP_GRP_TYPE_MPATH))
		return pw_refuse(request, table[NHA_GROUP_TYPE], -EOPNOTSUPP,
				 "Resilient groups are not supported: a multipath group keeps "
				 "flows of working members where they are");
	if (!count || size % sizeof(*entries))
		return pw_refuse(request, attribute, -EINVAL,
				 "Invalid length for nexthop group attribute");
	if (count > PW_GROUP_BUCKETS)
		return pw_refuse(request, attribute, -EINVAL,
				 "A group of %u next hops: at most %d are supported", count,
				 PW_GROUP_BUCKETS);
	wanted->is_group = true;
	for (unsigned int i = 0; i < count; i++) {
		ret = get_member(request, attribute, &entries[i], count, wanted);
		if (ret)
			return ret;
	}
	return 0;
}

static int get_single(struct pw_request *request, const struct nhmsg *nhm,
		      const struct nlattr **table, struct wanted *wanted)
{
	struct pw_hop_source source = {table[NHA_OIF], table[NHA_GATEWAY], table[NHA_ENCAP]};
	struct pw_route_spec spec = {.family = nhm->nh_family, .table = RT_TABLE_MAIN};
	struct pw_hop *hop = &spec.hops[0];
	int ret = 0;

	if (nhm->nh_family != AF_INET && nhm->nh_family != AF_INET6)
		return pw_refuse(request, NULL, -EAFNOSUPPORT, "Invalid address family");
	if (table[NHA_RES_GROUP] || table[NHA_GROUP_TYPE])
		return pw_refuse(request, table[NHA_GROUP_TYPE], -EINVAL,
				 "A group type without a group");
	hop->type = table[NHA_BLACKHOLE] ? RTN_BLACKHOLE : RTN_UNICAST;
	if (table[NHA_BLACKHOLE] && (table[NHA_OIF] || table[NHA_GATEWAY] || table[NHA_ENCAP]))
		return pw_refuse(request, table[NHA_BLACKHOLE], -EINVAL,
				 "Blackhole attribute can not be used with gateway, oif, encap or "
				 "fdb");
	if (!table[NHA_BLACKHOLE] && !table[NHA_OIF])
		return pw_refuse(request, NULL, -EINVAL,
				 "Device attribute required for non-blackhole nexthops");
	if (table[NHA_OIF])
		hop->oif = mnl_attr_get_u32(table[NHA_OIF]);
	if (nhm->nh_flags & ~(uint32_t)RTNH_F_ONLINK)
		return pw_refuse(request, NULL, -EINVAL,
				 "Invalid nexthop flags in ancillary header");
	if (nhm->nh_flags & RTNH_F_ONLINK)
		hop->flags |= PW_HOP_ONLINK;
	if (table[NHA_GATEWAY])
		ret = pw_hop_get_gateway(request, table[NHA_GATEWAY], nhm->nh_family, hop);
	if (!ret)
		ret = pw_hop_get_encap(request, table[NHA_ENCAP_TYPE], table[NHA_ENCAP], hop);
	if (ret)
		return ret;
	spec.hop_count = 1;
	spec.weights[0] = wanted->weights[0] = 1;
	ret = pw_hops_take(request, &spec, nhm->nh_family, &source, &wanted->members[0]);
	wanted->count = !ret;
	return ret;
}

static int get_wanted(struct pw_request *request, struct wanted *wanted)
{
	const struct nhmsg *nhm = mnl_nlmsg_get_payload(request->nlh);
	const struct nlattr *table[NHA_MAX + 1];
	int ret = pw_request_attributes(request, sizeof(*nhm), "nexthop", policy, NHA_MAX, table);

	if (ret)
		return ret;
	if (table[NHA_FDB])
		return pw_refuse(request, table[NHA_FDB], -EOPNOTSUPP,
				 "Next hops of a bridge's fdb are not supported");
	if (nhm->resvd || nhm->nh_scope)
		return pw_refuse(request, NULL, -EINVAL, "Invalid values in ancillary header");
	wanted->nhid = table[NHA_ID] ? mnl_attr_get_u32(table[NHA_ID]) : 0;
	wanted->family = nhm->nh_family;
	wanted->protocol = nhm->nh_protocol;
	if (!table[NHA_GROUP])
		return get_single(request, nhm, table, wanted);
	if (nhm->nh_family != AF_UNSPEC)
		return pw_refuse(request, NULL, -EINVAL, "Invalid family for nexthop group");
	return get_group(request, table, wanted);
}

/* ---- encoding ---------------------------------------------------------------------------- */

static void put_members(struct nlmsghdr *nlh, const struct pw_object *object)
{
	struct nexthop_grp entries[PW_GROUP_BUCKETS] = {0};

	for (unsigned int i = 0; i < object->count; i++) {
		entries[i].id = ((const struct pw_object *)object->members[i].child)->nhid;
		entries[i].weight = (uint8_t)(object->members[i].weight - 1);
	}
	mnl_attr_put_u16(nlh, NHA_GROUP_TYPE, NEXTHOP_GRP_TYPE_MPATH);
	mnl_attr_put(nlh, NHA_GROUP, object->count * sizeof(*entries), entries);
}

static void put_object(struct nlmsghdr *nlh, const struct pw_object *object)
{
	struct nhmsg *nhm = mnl_nlmsg_put_extra_header(nlh, sizeof(*nhm));
	const struct pw_leg *leg;
	uint32_t weight;

	*nhm = (struct nhmsg){
		.nh_family = object->is_group ? AF_UNSPEC : object->family,
		.nh_protocol = object->protocol,
	};
	mnl_attr_put_u32(nlh, NHA_ID, object->nhid);
	if (object->is_group) {
		put_members(nlh, object);
		return;
	}
	leg = pw_path_leg(&object->path, 0, &weight);
	nhm->nh_flags = pw_hop_flags(leg);
	if (leg->hop.type == RTN_BLACKHOLE) {
		mnl_attr_put(nlh, NHA_BLACKHOLE, 0, NULL);
		return;
	}
	nhm->nh_scope = leg->hop.gateway.family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	mnl_attr_put_u32(nlh, NHA_OIF, leg->hop.oif);
	if (leg->hop.gateway.family)
		mnl_attr_put(nlh, NHA_GATEWAY, pw_address_size(leg->hop.gateway.family),
			     leg->hop.gateway.bytes);
	pw_hop_put_encap(nlh, NHA_ENCAP_TYPE, NHA_ENCAP, &leg->hop);
}

void pw_object_notify(const struct pw_object *object, uint16_t type, uint16_t flags)
{
	static char buffer[4096] __attribute__((aligned(8)));
	struct nlmsghdr *nlh;

	if (!pw_notify_wanted(RTNLGRP_NEXTHOP))
		return;
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	put_object(nlh, object);
	pw_notify(RTNLGRP_NEXTHOP, nlh);
}

/* ---- requests ---------------------------------------------------------------------------- */

static int object_create(struct pw_request *request, struct wanted *wanted)
{
	struct pw_object *object;
	int ret;

	if (!wanted->nhid)
		wanted->nhid = pw_object_unused();
	if (!wanted->nhid)
		return pw_refuse(request, NULL, -ENOSPC, "No unused id");
	ret = pw_object_make(wanted->nhid, wanted->is_group, wanted->members, wanted->weights,
			     wanted->count, &object);
	if (ret)
		return pw_refuse(request, NULL, ret, "No room for another nexthop");
	object->family = wanted->family;
	object->protocol = wanted->protocol;
	object->source = request->feed ? request->feed->source : 0;
	pw_object_add(object);
	pw_object_notify(object, RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_EXCL);
	return 0;
}

static int object_change(struct pw_request *request, struct pw_object *object,
			 const struct wanted *wanted)
{
	const struct pw_leg *leg;
	struct pw_member *user;
	int ret;

	if (object->is_group != wanted->is_group)
		return pw_refuse(request, NULL, -EINVAL,
				 object->is_group
					 ? "Can not replace a nexthop group with a nexthop."
					 : "Can not replace a nexthop with a nexthop group.");
	if (!wanted->is_group) {
		leg = (const struct pw_leg *)wanted->members[0];
		LIST_FOREACH (user, &object->path.users, by_child)
			if (leg->hop.type == RTN_BLACKHOLE &&
			    user->parent->kind == PW_PATH_OBJECT &&
			    ((struct pw_object *)user->parent)->count > 1)
				return pw_refuse(
					request, NULL, -EINVAL,
					"Blackhole nexthop can not be used in a group with "
					"more than 1 path");
		if (object->path.refs > 1 && object->family != wanted->family)
			return pw_refuse(request, NULL, -EINVAL,
					 "The family of a nexthop in use can not be replaced");
	}
	ret = pw_object_replace(object, wanted->members, wanted->weights, wanted->count);
	if (ret)
		return pw_refuse(request, NULL, ret, "No room to replace the nexthop");
	object->family = wanted->family;
	object->protocol = wanted->protocol;
	object->source = request->feed ? request->feed->source : 0;
	/* Labels that lead here may be swapped now where they were popped. */
	pw_path_affect_labels(&object->path);
	pw_object_notify(object, RTM_NEWNEXTHOP, NLM_F_REPLACE);
	return 0;
}

static int nexthop_new(struct pw_request *request)
{
	uint16_t flags = request->nlh->nlmsg_flags;
	struct wanted wanted = {0};
	struct pw_object *object;
	int ret = get_wanted(request, &wanted);

	if (ret)
		goto out;
	object = wanted.nhid ? pw_object_find(wanted.nhid) : NULL;
	if (object && (flags & NLM_F_EXCL || !(flags & NLM_F_REPLACE)))
		ret = pw_refuse(request, NULL, -EEXIST, "File exists: nexthop id %u is in use",
				wanted.nhid);
	else if (object)
		ret = object_change(request, object, &wanted);
	else if (flags & NLM_F_REPLACE && !(flags & NLM_F_CREATE))
		ret = pw_refuse(request, NULL, -ENOENT,
				"Replace specified without create and no entry exists");
	else if (!(flags & NLM_F_CREATE))
		ret = pw_refuse(request, NULL, -ENOENT,
				"No such file or directory: no such nexthop to change");
	else
		ret = object_create(request, &wanted);
out:
	wanted_drop(&wanted);
	return ret;
}

static int get_object(struct pw_request *request, struct pw_object **object)
{
	const struct nlattr *table[NHA_MAX + 1];
	int ret = pw_request_attributes(request, sizeof(struct nhmsg), "nexthop", policy, NHA_MAX,
					table);

	if (ret)
		return ret;
	if (!table[NHA_ID] || !mnl_attr_get_u32(table[NHA_ID]))
		return pw_refuse(request, table[NHA_ID], -EINVAL, "Nexthop id is missing");
	*object = pw_object_find(mnl_attr_get_u32(table[NHA_ID]));
	if (!*object)
		return pw_refuse(request, table[NHA_ID], -ENOENT,
				 "No such file or directory: no nexthop has id %u",
				 mnl_attr_get_u32(table[NHA_ID]));
	return 0;
}

static int nexthop_delete(struct pw_request *request)
{
	struct pw_object *object;
	int ret = get_object(request, &object);

	if (ret)
		return ret;
	pw_object_delete(object);
	pw_routes_settle(); /* its routes go with it, as in the kernel */
	return 0;
}

static int nexthop_get(struct pw_request *request)
{
	static char buffer[4096] __attribute__((aligned(8)));
	struct pw_object *object;
	struct nlmsghdr *nlh;
	int ret = get_object(request, &object);

	if (ret)
		return ret;
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = RTM_NEWNEXTHOP;
	put_object(nlh, object);
	return pw_reply(request, nlh);
}

static bool object_wanted(const struct pw_object *object, const struct nlattr **table,
			  uint8_t family)
{
	const struct pw_leg *leg;
	const struct pw_link *link;
	uint32_t weight;

	if (table[NHA_FDB] || (table[NHA_GROUPS] && !object->is_group))
		return false;
	if (family && (object->is_group || object->family != family))
		return false;
	if (!table[NHA_OIF] && !table[NHA_MASTER])
		return true;
	leg = object->is_group ? NULL : pw_path_leg(&object->path, 0, &weight);
	link = leg ? pw_link_by_index(leg->hop.oif) : NULL;
	if (!link)
		return false;
	return (!table[NHA_OIF] || mnl_attr_get_u32(table[NHA_OIF]) == link->index) &&
	       (!table[NHA_MASTER] || mnl_attr_get_u32(table[NHA_MASTER]) == link->master);
}

static int nexthop_dump(struct pw_dump *dump)
{
	const struct nhmsg *nhm = mnl_nlmsg_get_payload(dump->nlh);
	struct pw_request request = {.nlh = dump->nlh};
	const struct nlattr *table[NHA_MAX + 1];
	struct pw_object *object;
	int ret = pw_request_attributes(&request, sizeof(*nhm), "nexthop dump", dump_policy,
					NHA_MAX, table);

	if (ret) {
		if (dump->request)
			pw_refuse(dump->request, NULL, ret, "%s", request.text);
		return ret;
	}
	/* cursor[0]: the last id that was written. */
	while ((object = pw_object_next((uint32_t)dump->cursor[0]))) {
		if (object_wanted(object, table, nhm->nh_family)) {
			struct nlmsghdr *nlh = pw_dump_message(
				dump, RTM_NEWNEXTHOP,
				OBJECT_ROOM + object->count * sizeof(struct nexthop_grp));

			if (!nlh)
				return 1;
			put_object(nlh, object);
			pw_dump_commit(dump, nlh);
		}
		dump->cursor[0] = object->nhid;
	}
	return 0;
}

void pw_netlink_nexthop_init(void)
{
	pw_request_register(RTM_NEWNEXTHOP, -1, nexthop_new, NULL);
	pw_request_register(RTM_DELNEXTHOP, -1, nexthop_delete, NULL);
	pw_request_register(RTM_GETNEXTHOP, -1, nexthop_get, nexthop_dump);
}
