/* SPDX-License-Identifier: BSD-3-Clause */
/* RTM_NEWROUTE and RTM_DELROUTE of IPv4 and IPv6. */
#include <errno.h>
#include <string.h>

#include "control/netlink_hop.h"
#include "control/netlink_route.h"

static const struct pw_attribute_policy policy[RTA_MAX + 1] = {
	[RTA_DST] = {"RTA_DST", 4, 16, false},
	[RTA_OIF] = {"RTA_OIF", 4, 4, false},
	[RTA_GATEWAY] = {"RTA_GATEWAY", 4, 16, false},
	[RTA_PRIORITY] = {"RTA_PRIORITY", 4, 4, false},
	[RTA_PREFSRC] = {"RTA_PREFSRC", 4, 16, false},
	[RTA_METRICS] = {"RTA_METRICS", 0, 0, false},
	[RTA_MULTIPATH] = {"RTA_MULTIPATH", 0, 0, false},
	[RTA_CACHEINFO] = {"RTA_CACHEINFO", 0, 0, true}, /* comes back from dumps */
	[RTA_TABLE] = {"RTA_TABLE", 4, 4, false},
	[RTA_VIA] = {"RTA_VIA", 2, 18, false},
	[RTA_PREF] = {"RTA_PREF", 1, 1, true}, /* router preference is for hosts (RFC 4191) */
	[RTA_ENCAP_TYPE] = {"RTA_ENCAP_TYPE", 2, 2, false},
	[RTA_ENCAP] = {"RTA_ENCAP", 0, 0, false},
	[RTA_NH_ID] = {"RTA_NH_ID", 4, 4, false},
	/* Known, to be refused by name. */
	[RTA_SRC] = {"RTA_SRC", 0, 0, false},
	[RTA_IIF] = {"RTA_IIF", 0, 0, false},
	[RTA_FLOW] = {"RTA_FLOW", 0, 0, false},
	[RTA_MARK] = {"RTA_MARK", 0, 0, false},
	[RTA_NEWDST] = {"RTA_NEWDST", 0, 0, false},
	[RTA_EXPIRES] = {"RTA_EXPIRES", 0, 0, false},
	[RTA_TTL_PROPAGATE] = {"RTA_TTL_PROPAGATE", 0, 0, false},
};

/* What is known and not done, with why. */
static int refuse_unsupported(struct pw_request *request, const struct nlattr **table)
{
	static const struct {
		uint16_t type;
		const char *text;
	} refused[] = {
		{RTA_SRC, "RTA_SRC: routes by source address are not supported"},
		{RTA_IIF, "RTA_IIF: routes by incoming device are not supported: use a VRF"},
		{RTA_FLOW, "RTA_FLOW: route realms are not supported"},
		{RTA_MARK, "RTA_MARK: routes by packet mark are not supported"},
		{RTA_NEWDST, "RTA_NEWDST is for MPLS routes: use encap mpls"},
		{RTA_EXPIRES, "RTA_EXPIRES: routes do not expire"},
		{RTA_TTL_PROPAGATE, "RTA_TTL_PROPAGATE is for MPLS routes: use the encap's ttl"},
	};

	for (unsigned int i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		if (table[refused[i].type])
			return pw_refuse(request, table[refused[i].type], -EOPNOTSUPP, "%s",
					 refused[i].text);
	return 0;
}

static int get_metrics(struct pw_request *request, const struct nlattr *metrics)
{
	static const char *const names[RTAX_MAX + 1] = {
		[RTAX_LOCK] = "lock",
		[RTAX_MTU] = "mtu",
		[RTAX_WINDOW] = "window",
		[RTAX_RTT] = "rtt",
		[RTAX_RTTVAR] = "rttvar",
		[RTAX_SSTHRESH] = "ssthresh",
		[RTAX_CWND] = "cwnd",
		[RTAX_ADVMSS] = "advmss",
		[RTAX_REORDERING] = "reordering",
		[RTAX_HOPLIMIT] = "hoplimit",
		[RTAX_INITCWND] = "initcwnd",
		[RTAX_FEATURES] = "features",
		[RTAX_RTO_MIN] = "rto_min",
		[RTAX_INITRWND] = "initrwnd",
		[RTAX_QUICKACK] = "quickack",
		[RTAX_CC_ALGO] = "congctl",
		[RTAX_FASTOPEN_NO_COOKIE] = "fastopen_no_cookie",
	};
	const struct nlattr *first;
	uint16_t type;

	if (!metrics || mnl_attr_get_payload_len(metrics) < sizeof(*first))
		return 0;
	first = mnl_attr_get_payload(metrics);
	type = mnl_attr_get_type(first);
	return pw_refuse(request, first, -EOPNOTSUPP,
			 "Route metric \"%s\" is not supported: an MTU is set on links, the rest "
			 "is for hosts",
			 type <= RTAX_MAX && names[type] ? names[type] : "unknown");
}

static int get_prefix(struct pw_request *request, const struct rtmsg *rtm,
		      const struct nlattr *attribute, struct pw_route_spec *spec)
{
	unsigned int size = pw_address_size(rtm->rtm_family);

	if (rtm->rtm_dst_len > 8 * size)
		return pw_refuse(request, attribute, -EINVAL, "Invalid prefix length %u",
				 rtm->rtm_dst_len);
	spec->length = rtm->rtm_dst_len;
	spec->dst.family = rtm->rtm_family;
	if (!attribute) {
		if (spec->length)
			return pw_refuse(request, NULL, -EINVAL,
					 "A prefix length of %u without RTA_DST", spec->length);
		return 0;
	}
	if (mnl_attr_get_payload_len(attribute) != size)
		return pw_refuse(request, attribute, -EINVAL, "RTA_DST has %u bytes instead of %u",
				 mnl_attr_get_payload_len(attribute), size);
	memcpy(spec->dst.bytes, mnl_attr_get_payload(attribute), size);
	/* Linux cuts stray bits of IPv6 prefixes off and refuses IPv4's. */
	if (pw_prefix_mask(spec->dst.bytes, size, spec->length) && rtm->rtm_family == AF_INET)
		return pw_refuse(request, attribute, -EINVAL,
				 "Invalid prefix for given prefix length");
	return 0;
}

static int get_header(struct pw_request *request, const struct rtmsg *rtm,
		      const struct nlattr **table, bool delete, struct pw_route_spec *spec)
{
	if (rtm->rtm_src_len)
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "Routes by source address are not supported");
	if (rtm->rtm_tos)
		return pw_refuse(request, NULL, -EOPNOTSUPP, "Routes by TOS are not supported");
	if (rtm->rtm_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN))
		return pw_refuse(request, NULL, -EINVAL,
				 "Invalid rtm_flags for route - can not contain DEAD or LINKDOWN");
	if (rtm->rtm_scope > RT_SCOPE_HOST && !delete)
		return pw_refuse(request, NULL, -EINVAL, "Invalid scope");
	spec->family = rtm->rtm_family;
	spec->table = table[RTA_TABLE] ? mnl_attr_get_u32(table[RTA_TABLE]) : rtm->rtm_table;
	if (spec->table == RT_TABLE_UNSPEC)
		spec->table = RT_TABLE_MAIN;
	spec->type = rtm->rtm_type;
	spec->protocol = rtm->rtm_protocol;
	spec->scope = rtm->rtm_scope;
	spec->flags = request->nlh->nlmsg_flags;
	spec->feed = request->feed;
	if (table[RTA_PRIORITY])
		spec->metric = mnl_attr_get_u32(table[RTA_PRIORITY]);
	if (!spec->metric && !delete &&spec->family == AF_INET6)
		spec->metric = PW_ROUTE_IPV6_PRIORITY;
	return 0;
}

static int get_type(struct pw_request *request, const struct pw_route_spec *spec)
{
	switch (spec->type) {
	case RTN_UNICAST:
	case RTN_BLACKHOLE:
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
		if (spec->table == RT_TABLE_LOCAL)
			return pw_refuse(request, NULL, -EINVAL,
					 "Table local takes routes of type local only");
		return 0;
	case RTN_LOCAL:
		return 0;
	case RTN_THROW:
		return pw_refuse(
			request, NULL, -EOPNOTSUPP,
			"Throw routes are not supported: there are no rules to go on with");
	case RTN_BROADCAST:
	case RTN_ANYCAST:
	case RTN_MULTICAST:
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "Broadcast, anycast and multicast routes are not supported");
	default:
		return pw_refuse(request, NULL, -EINVAL, "Invalid route type %u", spec->type);
	}
}

static int get_prefsrc(struct pw_request *request, const struct nlattr *attribute,
		       struct pw_route_spec *spec)
{
	if (!attribute)
		return 0;
	if (mnl_attr_get_payload_len(attribute) != pw_address_size(spec->family))
		return pw_refuse(request, attribute, -EINVAL, "Invalid preferred source address");
	spec->prefsrc.family = spec->family;
	memcpy(spec->prefsrc.bytes, mnl_attr_get_payload(attribute), pw_address_size(spec->family));
	return 0;
}

/* The one hop that stands in the message itself. */
static int get_single(struct pw_request *request, const struct rtmsg *rtm,
		      const struct nlattr **table, struct pw_route_spec *spec,
		      struct pw_hop_source *source)
{
	struct pw_hop *hop = &spec->hops[0];
	int ret = 0;

	if (table[RTA_GATEWAY] && table[RTA_VIA])
		return pw_refuse(request, table[RTA_VIA], -EINVAL,
				 "Nexthop configuration can not contain both GATEWAY and VIA");
	if (table[RTA_VIA] && spec->family == AF_INET6)
		return pw_refuse(request, table[RTA_VIA], -EINVAL,
				 "IPv6 does not support RTA_VIA attribute");
	*source = (struct pw_hop_source){
		.oif = table[RTA_OIF],
		.gateway = table[RTA_GATEWAY] ? table[RTA_GATEWAY] : table[RTA_VIA],
		.encap = table[RTA_ENCAP],
	};
	memset(hop, 0, sizeof(*hop));
	hop->type = spec->type;
	hop->oif = table[RTA_OIF] ? mnl_attr_get_u32(table[RTA_OIF]) : 0;
	if (rtm->rtm_flags & RTNH_F_ONLINK)
		hop->flags |= PW_HOP_ONLINK;
	if (table[RTA_GATEWAY])
		ret = pw_hop_get_gateway(request, table[RTA_GATEWAY], spec->family, hop);
	else if (table[RTA_VIA])
		ret = pw_hop_get_via(request, table[RTA_VIA], hop);
	if (!ret)
		ret = pw_hop_get_encap(request, table[RTA_ENCAP_TYPE], table[RTA_ENCAP], hop);
	spec->weights[0] = 1;
	spec->hop_count = 1;
	return ret;
}

static int get_hops(struct pw_request *request, const struct rtmsg *rtm,
		    const struct nlattr **table, struct pw_route_spec *spec,
		    struct pw_hop_source *sources)
{
	bool single = table[RTA_OIF] || table[RTA_GATEWAY] || table[RTA_VIA] || table[RTA_ENCAP];

	if (table[RTA_NH_ID]) {
		if (single || table[RTA_MULTIPATH])
			return pw_refuse(request, table[RTA_NH_ID], -EINVAL,
					 "Nexthop specification and nexthop id are mutually "
					 "exclusive");
		spec->nhid = mnl_attr_get_u32(table[RTA_NH_ID]);
		return 0;
	}
	if (table[RTA_MULTIPATH]) {
		if (single)
			return pw_refuse(request, table[RTA_MULTIPATH], -EINVAL,
					 "A next hop beside RTA_MULTIPATH");
		if (spec->type && spec->type != RTN_UNICAST)
			return pw_refuse(
				request, table[RTA_MULTIPATH], -EINVAL,
				"Gateway and multipath can not be specified for this route "
				"type");
		return pw_hop_get_multipath(request, table[RTA_MULTIPATH], spec->family, spec,
					    sources);
	}
	return get_single(request, rtm, table, spec, &sources[0]);
}

static int get_spec(struct pw_request *request, bool delete, struct pw_route_spec *spec,
		    const struct nlattr **table, struct pw_hop_source *sources)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(request->nlh);
	int ret = pw_request_attributes(request, sizeof(*rtm), "route", policy, RTA_MAX, table);

	memset(spec, 0, PW_ROUTE_SPEC_HEAD);
	if (!ret)
		ret = refuse_unsupported(request, table);
	if (!ret)
		ret = get_header(request, rtm, table, delete, spec);
	if (!ret)
		ret = get_prefix(request, rtm, table[RTA_DST], spec);
	if (!ret && !delete)
		ret = get_type(request, spec);
	if (!ret)
		ret = get_metrics(request, table[RTA_METRICS]);
	if (!ret)
		ret = get_prefsrc(request, table[RTA_PREFSRC], spec);
	if (!ret)
		ret = get_hops(request, rtm, table, spec, sources);
	return ret;
}

/* A next-hop object as the route's path. */
static int object_take(struct pw_request *request, const struct nlattr *attribute,
		       struct pw_route_spec *spec, struct pw_path **path)
{
	struct pw_object *object = pw_object_find(spec->nhid);
	const struct pw_leg *leg;
	uint32_t weight;

	if (!object)
		return pw_refuse(request, attribute, -EINVAL, "Nexthop id does not exist");
	if (spec->type != RTN_UNICAST && spec->type != RTN_BLACKHOLE)
		return pw_refuse(request, attribute, -EINVAL,
				 "A nexthop id can not be specified for this route type");
	leg = pw_path_leg(&object->path, 0, &weight);
	if (spec->family == AF_INET6 && !object->is_group && object->family == AF_INET)
		return pw_refuse(request, attribute, -EINVAL,
				 "IPv6 routes can not use an IPv4 nexthop");
	for (unsigned int i = 0; spec->family == AF_INET6 && leg; i++) {
		if (leg->hop.gateway.family == AF_INET)
			return pw_refuse(request, attribute, -EINVAL,
					 "IPv6 routes can not use an IPv4 nexthop");
		leg = pw_path_leg(&object->path, i + 1, &weight);
	}
	spec->type = RTN_UNICAST;
	leg = pw_path_leg(&object->path, 0, &weight);
	if (leg && leg->hop.type == RTN_BLACKHOLE)
		spec->type = RTN_BLACKHOLE;
	*path = &object->path;
	pw_path_hold(*path);
	return 0;
}

static int refuse_change(struct pw_request *request, int error)
{
	switch (error) {
	case -EEXIST:
		return pw_refuse(request, NULL, error, "File exists: the route is there already");
	case -ENOENT:
		return pw_refuse(request, NULL, error,
				 "No such file or directory: no such route to change");
	case -ESRCH:
		return pw_refuse(request, NULL, error, "No such process: no such route");
	case -ENOSPC:
		return pw_refuse(request, NULL, error,
				 "No room for another routing table, or more than %d next hops",
				 PW_GROUP_BUCKETS);
	case -ENOMEM:
		return pw_refuse(request, NULL, error, "Out of memory for routes");
	default:
		return pw_refuse(request, NULL, error, "The route could not be changed: %s",
				 strerror(-error));
	}
}

static int route_new(struct pw_request *request)
{
	struct pw_hop_source sources[PW_GROUP_BUCKETS];
	const struct nlattr *table[RTA_MAX + 1];
	struct pw_route_spec spec;
	struct pw_path *path;
	int ret = get_spec(request, false, &spec, table, sources);

	if (ret)
		return ret;
	if (spec.nhid)
		ret = object_take(request, table[RTA_NH_ID], &spec, &path);
	else
		ret = pw_hops_take(request, &spec, spec.family, sources, &path);
	if (ret)
		return ret;
	ret = spec.feed ? pw_route_feed_set(&spec, path) : pw_route_configure(&spec, path);
	pw_path_drop(path);
	return ret ? refuse_change(request, ret) : 0;
}

static int route_delete(struct pw_request *request)
{
	struct pw_hop_source sources[PW_GROUP_BUCKETS];
	const struct nlattr *table[RTA_MAX + 1];
	struct pw_route_spec spec;
	int ret = get_spec(request, true, &spec, table, sources);

	if (ret)
		return ret;
	/* A pattern without any part of a hop fits every hop. */
	if (spec.hop_count == 1 && !spec.multipath && !spec.hops[0].oif &&
	    !spec.hops[0].gateway.family && !spec.hops[0].label_count)
		spec.hop_count = 0;
	ret = spec.feed ? pw_route_feed_delete(&spec) : pw_route_unconfigure(&spec);
	return ret ? refuse_change(request, ret) : 0;
}

void pw_netlink_route_init(void)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (unsigned int i = 0; i < 2; i++) {
		pw_request_register(RTM_NEWROUTE, families[i], route_new, NULL);
		pw_request_register(RTM_DELROUTE, families[i], route_delete, NULL);
		pw_request_register(RTM_GETROUTE, families[i], pw_netlink_route_get,
				    pw_netlink_route_dump);
	}
	pw_request_register_ahead(pw_routes_ahead);
	/* Any other family means all, as in the kernel: "ip route show table all", pyroute2. */
	pw_request_register(RTM_GETROUTE, -1, NULL, pw_netlink_route_dump);
}
