/* SPDX-License-Identifier: BSD-3-Clause */
/* AF_MPLS routes: what becomes of an incoming label. */
#include <errno.h>
#include <string.h>

#include <linux/mpls.h>
#include <rte_byteorder.h>

#include "control/label.h"
#include "control/netlink_hop.h"
#include "control/netlink_route.h"
#include "dataplane/table/label.h"

#define LABEL_ROOM 128
#define LABEL_BITS 20

static const struct pw_attribute_policy policy[RTA_MAX + 1] = {
	[RTA_DST] = {"RTA_DST", 4, 4, false},
	[RTA_OIF] = {"RTA_OIF", 4, 4, false},
	[RTA_TABLE] = {"RTA_TABLE", 4, 4, false},
	[RTA_VIA] = {"RTA_VIA", 2, 18, false},
	[RTA_NEWDST] = {"RTA_NEWDST", 4, 0, false},
	[RTA_MULTIPATH] = {"RTA_MULTIPATH", 0, 0, false},
	[RTA_TTL_PROPAGATE] = {"RTA_TTL_PROPAGATE", 1, 1, false},
	[RTA_NH_ID] = {"RTA_NH_ID", 4, 4, false},
	[RTA_CACHEINFO] = {"RTA_CACHEINFO", 0, 0, true},
};

/* ---- decoding ---------------------------------------------------------------------------- */

static int get_label(struct pw_request *request, const struct nlattr *attribute, uint32_t *label)
{
	uint32_t entry;

	memcpy(&entry, mnl_attr_get_payload(attribute), sizeof(entry));
	entry = rte_be_to_cpu_32(entry);
	if (entry & (MPLS_LS_TC_MASK | MPLS_LS_TTL_MASK))
		return pw_refuse(request, attribute, -EINVAL,
				 "TTL and traffic class in label must be 0");
	*label = entry >> MPLS_LS_LABEL_SHIFT;
	if (*label < PW_LABEL_RESERVED)
		return pw_refuse(request, attribute, -EINVAL,
				 "Invalid label %u - must be 16 or higher (RFC 3032)", *label);
	return 0;
}

static int get_header(struct pw_request *request, const struct nlattr **table)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(request->nlh);
	uint32_t id = table[RTA_TABLE] ? mnl_attr_get_u32(table[RTA_TABLE]) : rtm->rtm_table;

	if (id != RT_TABLE_MAIN && id != RT_TABLE_UNSPEC)
		return pw_refuse(request, table[RTA_TABLE], -EINVAL,
				 "MPLS only supports the main route table");
	if (rtm->rtm_dst_len != LABEL_BITS)
		return pw_refuse(request, NULL, -EINVAL, "rtm_dst_len must be 20 for MPLS");
	if (rtm->rtm_src_len || rtm->rtm_tos)
		return pw_refuse(request, NULL, -EINVAL,
				 "rtm_src_len and rtm_tos must be 0 for MPLS");
	if (rtm->rtm_flags & ~(RTM_F_NOTIFY | RTNH_F_ONLINK))
		return pw_refuse(request, NULL, -EINVAL, "rtm_flags %#x are not for MPLS",
				 rtm->rtm_flags);
	return 0;
}

static int get_single(struct pw_request *request, const struct nlattr **table,
		      struct pw_route_spec *spec, struct pw_hop_source *source)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(request->nlh);
	struct pw_hop *hop = &spec->hops[0];
	int ret = 0;

	*source = (struct pw_hop_source){table[RTA_OIF], table[RTA_VIA], table[RTA_NEWDST]};
	hop->type = spec->type;
	hop->oif = table[RTA_OIF] ? mnl_attr_get_u32(table[RTA_OIF]) : 0;
	if (rtm->rtm_flags & RTNH_F_ONLINK)
		hop->flags |= PW_HOP_ONLINK;
	if (table[RTA_VIA])
		ret = pw_hop_get_via(request, table[RTA_VIA], hop);
	if (!ret && table[RTA_NEWDST])
		ret = pw_hop_get_labels(request, table[RTA_NEWDST], hop);
	spec->weights[0] = 1;
	spec->hop_count = 1;
	return ret;
}

/* What is special to a popped label: where the payload goes without a gateway. */
static int check_hops(struct pw_request *request, struct pw_route_spec *spec,
		      const struct pw_hop_source *sources)
{
	for (unsigned int i = 0; i < spec->hop_count; i++) {
		struct pw_hop *hop = &spec->hops[i];
		const struct pw_link *link = pw_link_by_index(hop->oif);

		if (!hop->label_count != !spec->hops[0].label_count)
			return pw_refuse(
				request, sources[i].encap, -EINVAL,
				"The next hops of a label swap it or pop it, not some this "
				"and some that");
		if (!link || hop->type != RTN_UNICAST || hop->gateway.family)
			continue;
		if (link->kind == PW_LINK_PORT || link->kind == PW_LINK_VLAN ||
		    (link->kind == PW_LINK_TUNNEL && !link->tunnel.remote.family))
			return pw_refuse(
				request, sources[i].oif, -EINVAL,
				"A label needs a gateway (via) on this device: without one "
				"only VRF devices, \"lo\" and tunnels with a remote");
		if (link->kind == PW_LINK_LOOPBACK) {
			if (hop->label_count)
				return pw_refuse(request, sources[i].encap, -EINVAL,
						 "A label can not be swapped on \"lo\"");
			hop->flags |= PW_HOP_LOOKUP;
		}
	}
	return 0;
}

static int object_take(struct pw_request *request, const struct nlattr *attribute,
		       struct pw_label_route *model)
{
	struct pw_object *object = pw_object_find(mnl_attr_get_u32(attribute));
	const struct pw_leg *leg, *first;
	uint32_t weight;

	if (!object)
		return pw_refuse(request, attribute, -EINVAL, "Nexthop id does not exist");
	first = pw_path_leg(&object->path, 0, &weight);
	for (unsigned int i = 0; (leg = pw_path_leg(&object->path, i, &weight)); i++)
		if (!leg->hop.label_count != !first->hop.label_count)
			return pw_refuse(
				request, attribute, -EINVAL,
				"The next hops of a label swap it or pop it, not some this "
				"and some that");
	if (first->hop.type == RTN_BLACKHOLE)
		model->type = RTN_BLACKHOLE;
	model->path = &object->path;
	pw_path_hold(model->path);
	return 0;
}

static int get_path(struct pw_request *request, const struct nlattr **table,
		    struct pw_label_route *model)
{
	struct pw_hop_source sources[PW_GROUP_BUCKETS] = {0};
	bool single = table[RTA_OIF] || table[RTA_VIA] || table[RTA_NEWDST];
	struct pw_route_spec spec = {
		.family = AF_MPLS, .type = model->type, .table = RT_TABLE_MAIN};
	const struct nlattr *many = table[RTA_MULTIPATH] ? table[RTA_MULTIPATH] : table[RTA_NH_ID];
	int ret;

	if (many && (single || (table[RTA_MULTIPATH] && table[RTA_NH_ID])))
		return pw_refuse(request, many, -EINVAL,
				 "Nexthop specification, multipath and nexthop id are mutually "
				 "exclusive");
	if (many && model->type != RTN_UNICAST)
		return pw_refuse(request, many, -EINVAL,
				 "Gateway and multipath can not be specified for this route type");
	if (table[RTA_NH_ID])
		return object_take(request, table[RTA_NH_ID], model);
	if (many)
		ret = pw_hop_get_multipath(request, many, AF_MPLS, &spec, sources);
	else
		ret = get_single(request, table, &spec, sources);
	if (!ret)
		ret = check_hops(request, &spec, sources);
	if (!ret)
		ret = pw_hops_take(request, &spec, AF_INET, sources, &model->path);
	return ret;
}

static int check_flags(struct pw_request *request, const struct pw_label_route *old)
{
	uint16_t flags = request->nlh->nlmsg_flags;

	if (flags & NLM_F_APPEND)
		return pw_refuse(request, NULL, -EOPNOTSUPP, "MPLS does not support route append");
	if (old && (flags & NLM_F_EXCL || !(flags & NLM_F_REPLACE)))
		return pw_refuse(request, NULL, -EEXIST, "File exists: the label has a route");
	if (!old && !(flags & NLM_F_CREATE))
		return pw_refuse(request, NULL, -ENOENT,
				 "No such file or directory: the label has no route to change");
	return 0;
}

/* A label has one route, so a feed's stands back behind the operator's. */
static int check_owner(struct pw_request *request, const struct pw_label_route *old)
{
	if (!request->feed || !old || old->source == request->feed->source)
		return 0;
	return pw_refuse(request, NULL, -EEXIST,
			 "File exists: label %u has a route that the operator configured",
			 old->label);
}

static int get_model(struct pw_request *request, const struct nlattr **table,
		     struct pw_label_route *model)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(request->nlh);

	if (rtm->rtm_type != RTN_UNICAST && rtm->rtm_type != RTN_BLACKHOLE)
		return pw_refuse(request, NULL, -EINVAL,
				 "Only unicast and blackhole routes for labels");
	model->type = rtm->rtm_type;
	model->protocol = rtm->rtm_protocol;
	model->source = request->feed ? request->feed->source : 0;
	model->session = request->feed ? request->feed->session : 0;
	if (table[RTA_TTL_PROPAGATE]) {
		uint8_t propagate = mnl_attr_get_u8(table[RTA_TTL_PROPAGATE]);

		if (propagate > 1)
			return pw_refuse(request, table[RTA_TTL_PROPAGATE], -EINVAL,
					 "RTA_TTL_PROPAGATE can only be 0 or 1");
		model->propagate = propagate ? PW_LABEL_PROPAGATE_ON : PW_LABEL_PROPAGATE_OFF;
	}
	if (table[RTA_DST])
		return get_label(request, table[RTA_DST], &model->label);
	model->label = pw_label_unused();
	return model->label ? 0 : pw_refuse(request, NULL, -ENOSPC, "Every label has a route");
}

static int label_new(struct pw_request *request)
{
	const struct nlattr *table[RTA_MAX + 1];
	struct pw_label_route model = {0};
	struct pw_label_route *old;
	int ret = pw_request_attributes(request, sizeof(struct rtmsg), "MPLS route", policy,
					RTA_MAX, table);

	if (!ret)
		ret = get_header(request, table);
	if (!ret)
		ret = get_model(request, table, &model);
	if (ret)
		return ret;
	old = pw_label_find(model.label);
	ret = check_owner(request, old);
	if (!ret)
		ret = check_flags(request, old);
	if (!ret)
		ret = get_path(request, table, &model);
	if (ret)
		return ret;
	ret = pw_label_put(&model);
	pw_path_drop(model.path);
	if (ret)
		return pw_refuse(request, NULL, ret, "Out of memory for labels");
	pw_label_notify(pw_label_find(model.label), RTM_NEWROUTE,
			old ? NLM_F_REPLACE : NLM_F_CREATE | NLM_F_EXCL);
	return 0;
}

static int find_label(struct pw_request *request, const struct nlattr **table,
		      struct pw_label_route **route)
{
	uint32_t label = 0;
	int ret = pw_request_attributes(request, sizeof(struct rtmsg), "MPLS route", policy,
					RTA_MAX, table);

	if (ret)
		return ret;
	if (!table[RTA_DST])
		return pw_refuse(request, NULL, -EINVAL, "RTA_DST: a label is needed");
	ret = get_label(request, table[RTA_DST], &label);
	if (ret)
		return ret;
	*route = pw_label_find(label);
	if (!*route)
		return pw_refuse(request, table[RTA_DST],
				 request->nlh->nlmsg_type == RTM_DELROUTE ? -ESRCH : -ENETUNREACH,
				 "No such process: label %u has no route", label);
	return 0;
}

static int label_delete(struct pw_request *request)
{
	const struct nlattr *table[RTA_MAX + 1];
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(request->nlh);
	struct pw_label_route *route;
	int ret = find_label(request, table, &route);

	if (ret)
		return ret;
	ret = get_header(request, table);
	if (ret)
		return ret;
	if (rtm->rtm_protocol && rtm->rtm_protocol != route->protocol)
		return pw_refuse(request, NULL, -ESRCH,
				 "No such process: the label's route has another protocol");
	if (request->feed && route->source != request->feed->source)
		return pw_refuse(request, NULL, -ESRCH,
				 "No such process: the label's route is the operator's");
	pw_label_notify(route, RTM_DELROUTE, 0);
	pw_label_delete(route);
	return 0;
}

/* ---- encoding ---------------------------------------------------------------------------- */

static void put_label(struct nlmsghdr *nlh, const struct pw_label_route *route)
{
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	const struct pw_leg *leg;
	uint32_t weight;

	*rtm = (struct rtmsg){
		.rtm_family = AF_MPLS,
		.rtm_dst_len = LABEL_BITS,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = route->protocol,
		.rtm_type = route->type,
	};
	pw_hop_put_labels(nlh, RTA_DST, &route->label, 1);
	if (route->propagate != PW_LABEL_PROPAGATE_DEFAULT)
		mnl_attr_put_u8(nlh, RTA_TTL_PROPAGATE, route->propagate == PW_LABEL_PROPAGATE_ON);
	if (route->path->kind == PW_PATH_OBJECT)
		mnl_attr_put_u32(nlh, RTA_NH_ID, ((const struct pw_object *)route->path)->nhid);
	leg = pw_path_leg(route->path, 0, &weight);
	if (!leg)
		return;
	if (route->path->kind == PW_PATH_LEG || !pw_path_leg(route->path, 1, &weight)) {
		rtm->rtm_flags = pw_hop_flags(leg);
		pw_hop_put(nlh, AF_MPLS, &leg->hop);
	} else {
		pw_hop_put_multipath(nlh, AF_MPLS, route->path);
	}
}

void pw_label_notify(const struct pw_label_route *route, uint16_t type, uint16_t flags)
{
	static char buffer[16384] __attribute__((aligned(8)));
	struct nlmsghdr *nlh;

	if (!pw_notify_wanted(RTNLGRP_MPLS_ROUTE))
		return;
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	put_label(nlh, route);
	pw_notify(RTNLGRP_MPLS_ROUTE, nlh);
}

static int label_get(struct pw_request *request)
{
	static char buffer[16384] __attribute__((aligned(8)));
	const struct nlattr *table[RTA_MAX + 1];
	struct pw_label_route *route;
	struct nlmsghdr *nlh;
	int ret = find_label(request, table, &route);

	if (ret)
		return ret;
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = RTM_NEWROUTE;
	put_label(nlh, route);
	return pw_reply(request, nlh);
}

int pw_netlink_label_dump(struct pw_dump *dump, uint32_t oif, uint8_t protocol)
{
	struct pw_label_route *route;

	/* cursor[1]: the label to go on with. */
	while ((route = pw_label_next((uint32_t)dump->cursor[1]))) {
		struct nlmsghdr *nlh;

		if ((!oif || pw_path_uses_link(route->path, oif)) &&
		    (!protocol || protocol == route->protocol)) {
			nlh = pw_dump_message(dump, RTM_NEWROUTE,
					      LABEL_ROOM + pw_hop_room(route->path));
			if (!nlh)
				return 1;
			put_label(nlh, route);
			pw_dump_commit(dump, nlh);
		}
		dump->cursor[1] = route->label + 1;
	}
	return 0;
}

void pw_netlink_mpls_init(void)
{
	pw_request_register(RTM_NEWROUTE, AF_MPLS, label_new, NULL);
	pw_request_register(RTM_DELROUTE, AF_MPLS, label_delete, NULL);
	pw_request_register(RTM_GETROUTE, AF_MPLS, label_get, pw_netlink_route_dump);
}
