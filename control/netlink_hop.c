/* SPDX-License-Identifier: BSD-3-Clause */
/* Next hops out of messages: gateways, labels, multipath. */
#include "control/netlink_hop.h"

#include <errno.h>
#include <string.h>

#include <linux/lwtunnel.h>
#include <linux/mpls.h>
#include <linux/mpls_iptunnel.h>
#include <rte_byteorder.h>

/* ---- addresses --------------------------------------------------------------------------- */

static int get_address(struct pw_request *request, const struct nlattr *attribute, int family,
		       const void *bytes, size_t size, struct pw_address *address)
{
	if (family != AF_INET && family != AF_INET6)
		return pw_refuse(request, attribute, -EAFNOSUPPORT,
				 "Gateway of address family %d is not supported", family);
	if (size != pw_address_size(family))
		return pw_refuse(request, attribute, -EINVAL,
				 "Gateway has %zu bytes, an IPv%d address has %u", size,
				 family == AF_INET ? 4 : 6, pw_address_size(family));
	memset(address, 0, sizeof(*address));
	address->family = (uint8_t)family;
	memcpy(address->bytes, bytes, size);
	return 0;
}

int pw_hop_get_gateway(struct pw_request *request, const struct nlattr *attribute, int family,
		       struct pw_hop *hop)
{
	static const uint8_t zero[16];
	int ret = get_address(request, attribute, family, mnl_attr_get_payload(attribute),
			      mnl_attr_get_payload_len(attribute), &hop->gateway);

	/* 0.0.0.0 is "no gateway" in the kernel. */
	if (!ret && family == AF_INET && memcmp(hop->gateway.bytes, zero, 16) == 0)
		hop->gateway.family = 0;
	return ret;
}

int pw_hop_get_via(struct pw_request *request, const struct nlattr *attribute, struct pw_hop *hop)
{
	const struct rtvia *via = mnl_attr_get_payload(attribute);
	size_t size = mnl_attr_get_payload_len(attribute);

	if (size < sizeof(*via))
		return pw_refuse(request, attribute, -EINVAL, "RTA_VIA has %zu bytes: too few",
				 size);
	return get_address(request, attribute, via->rtvia_family, via->rtvia_addr,
			   size - sizeof(*via), &hop->gateway);
}

/* ---- labels ------------------------------------------------------------------------------ */

int pw_hop_get_labels(struct pw_request *request, const struct nlattr *attribute,
		      struct pw_hop *hop)
{
	const uint8_t *bytes = mnl_attr_get_payload(attribute);
	unsigned int size = mnl_attr_get_payload_len(attribute);

	if (!size || size % sizeof(uint32_t))
		return pw_refuse(request, attribute, -EINVAL,
				 "A label stack of %u bytes: each label has 4", size);
	if (size / sizeof(uint32_t) > PW_NEXTHOP_LABELS)
		return pw_refuse(request, attribute, -EINVAL,
				 "A stack of %zu labels: at most %d are supported",
				 size / sizeof(uint32_t), PW_NEXTHOP_LABELS);
	hop->label_count = (uint8_t)(size / sizeof(uint32_t));
	for (unsigned int i = 0; i < hop->label_count; i++) {
		uint32_t entry, label;

		memcpy(&entry, bytes + 4 * i, sizeof(entry));
		entry = rte_be_to_cpu_32(entry);
		label = entry >> MPLS_LS_LABEL_SHIFT;
		if (entry & (MPLS_LS_TTL_MASK | MPLS_LS_TC_MASK))
			return pw_refuse(request, attribute, -EINVAL,
					 "TTL and traffic class in label must be 0");
		if (!!(entry & MPLS_LS_S_MASK) != (i == hop->label_count - 1u))
			return pw_refuse(request, attribute, -EINVAL,
					 "Bottom-of-stack bit must be set on the last label only");
		if (label == MPLS_LABEL_IMPLNULL)
			return pw_refuse(
				request, attribute, -EINVAL,
				"Implicit NULL Label (3) can not be used in encapsulation");
		if (label < 16 && label != MPLS_LABEL_IPV4NULL && label != MPLS_LABEL_IPV6NULL)
			return pw_refuse(request, attribute, -EINVAL,
					 "Label %u is reserved (RFC 3032, RFC 7274)", label);
		hop->labels[i] = label;
	}
	return 0;
}

static const struct pw_attribute_policy encap_policy[MPLS_IPTUNNEL_MAX + 1] = {
	[MPLS_IPTUNNEL_DST] = {"MPLS_IPTUNNEL_DST", 4, 0, false},
	[MPLS_IPTUNNEL_TTL] = {"MPLS_IPTUNNEL_TTL", 1, 1, false},
};

int pw_hop_get_encap(struct pw_request *request, const struct nlattr *type,
		     const struct nlattr *encap, struct pw_hop *hop)
{
	const struct nlattr *table[MPLS_IPTUNNEL_MAX + 1];
	int ret;

	if (!type && !encap)
		return 0;
	if (!type || !encap)
		return pw_refuse(request, type ? type : encap, -EINVAL,
				 "Encapsulation type and encapsulation go together");
	/* "No encapsulation" is what an empty one means. */
	if (mnl_attr_get_u16(type) == LWTUNNEL_ENCAP_NONE)
		return 0;
	if (mnl_attr_get_u16(type) != LWTUNNEL_ENCAP_MPLS)
		return pw_refuse(request, type, -EOPNOTSUPP,
				 "Encapsulation type %u is not supported: only mpls is",
				 mnl_attr_get_u16(type));
	ret = pw_request_nested(request, encap, "MPLS encapsulation", encap_policy,
				MPLS_IPTUNNEL_MAX, table);
	if (ret)
		return ret;
	if (!table[MPLS_IPTUNNEL_DST])
		return pw_refuse(request, encap, -EINVAL, "MPLS encapsulation without a label");
	if (table[MPLS_IPTUNNEL_TTL])
		hop->label_ttl = mnl_attr_get_u8(table[MPLS_IPTUNNEL_TTL]);
	return pw_hop_get_labels(request, table[MPLS_IPTUNNEL_DST], hop);
}

/* ---- several hops ------------------------------------------------------------------------ */

#define HOP_POLICY_IP                                                                              \
	[RTA_GATEWAY] = {"RTA_GATEWAY", 4, 16, false}, [RTA_VIA] = {"RTA_VIA", 2, 18, false},      \
	[RTA_ENCAP_TYPE] = {"RTA_ENCAP_TYPE", 2, 2, false},                                        \
	[RTA_ENCAP] = {"RTA_ENCAP", 0, 0, false}

static const struct pw_attribute_policy hop_policy[RTA_MAX + 1] = {HOP_POLICY_IP};
static const struct pw_attribute_policy label_hop_policy[RTA_MAX + 1] = {
	[RTA_VIA] = {"RTA_VIA", 2, 18, false},
	[RTA_NEWDST] = {"RTA_NEWDST", 4, 0, false},
};

static int get_hop(struct pw_request *request, const struct rtnexthop *rtnh, int family,
		   struct pw_hop *hop, struct pw_hop_source *source)
{
	const struct nlattr *table[RTA_MAX + 1];
	int ret = pw_request_parse(
		request, (const char *)rtnh + sizeof(*rtnh), rtnh->rtnh_len - sizeof(*rtnh),
		"next hop", family == AF_MPLS ? label_hop_policy : hop_policy, RTA_MAX, table);

	if (ret)
		return ret;
	memset(hop, 0, sizeof(*hop));
	source->gateway = table[RTA_GATEWAY] ? table[RTA_GATEWAY] : table[RTA_VIA];
	source->encap = table[RTA_ENCAP] ? table[RTA_ENCAP] : table[RTA_NEWDST];
	hop->type = RTN_UNICAST;
	hop->oif = (uint32_t)rtnh->rtnh_ifindex;
	if (rtnh->rtnh_flags & RTNH_F_ONLINK)
		hop->flags |= PW_HOP_ONLINK;
	if (rtnh->rtnh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN | RTNH_F_PERVASIVE))
		return pw_refuse(request, NULL, -EINVAL,
				 "Invalid flags for nexthop - can not contain DEAD, LINKDOWN or "
				 "PERVASIVE");
	if (table[RTA_GATEWAY] && table[RTA_VIA])
		return pw_refuse(request, table[RTA_VIA], -EINVAL,
				 "Nexthop configuration can not contain both GATEWAY and VIA");
	if (table[RTA_VIA] && family == AF_INET6)
		return pw_refuse(request, table[RTA_VIA], -EINVAL,
				 "IPv6 does not support RTA_VIA attribute");
	if (table[RTA_GATEWAY])
		ret = pw_hop_get_gateway(request, table[RTA_GATEWAY], family, hop);
	else if (table[RTA_VIA])
		ret = pw_hop_get_via(request, table[RTA_VIA], hop);
	if (!ret && table[RTA_NEWDST])
		ret = pw_hop_get_labels(request, table[RTA_NEWDST], hop);
	if (!ret)
		ret = pw_hop_get_encap(request, table[RTA_ENCAP_TYPE], table[RTA_ENCAP], hop);
	return ret;
}

int pw_hop_get_multipath(struct pw_request *request, const struct nlattr *attribute, int family,
			 struct pw_route_spec *spec, struct pw_hop_source *sources)
{
	const char *data = mnl_attr_get_payload(attribute);
	size_t size = mnl_attr_get_payload_len(attribute);
	int ret;

	spec->multipath = true;
	while (size >= sizeof(struct rtnexthop)) {
		const struct rtnexthop *rtnh = (const struct rtnexthop *)data;
		size_t step;

		if (rtnh->rtnh_len < sizeof(*rtnh) || rtnh->rtnh_len > size)
			return pw_refuse(request, attribute, -EINVAL,
					 "Invalid nexthop configuration - impossible length %u",
					 rtnh->rtnh_len);
		if (spec->hop_count == PW_GROUP_BUCKETS)
			return pw_refuse(request, attribute, -EINVAL,
					 "More than %d next hops in a route", PW_GROUP_BUCKETS);
		sources[spec->hop_count].oif = attribute;
		ret = get_hop(request, rtnh, family, &spec->hops[spec->hop_count],
			      &sources[spec->hop_count]);
		if (ret)
			return ret;
		spec->weights[spec->hop_count++] = rtnh->rtnh_hops + 1u;
		step = RTNH_ALIGN(rtnh->rtnh_len);
		step = step < size ? step : size;
		data += step;
		size -= step;
	}
	if (size || !spec->hop_count)
		return pw_refuse(request, attribute, -EINVAL,
				 "Invalid nexthop configuration - extra data or no next hop");
	return 0;
}

/* ---- taking them ------------------------------------------------------------------------- */

static int refuse_hop(struct pw_request *request, const struct pw_hop_source *source,
		      const struct pw_complaint *complaint, int error)
{
	const struct nlattr *about[] = {
		[PW_BLAME_NONE] = NULL,
		[PW_BLAME_OIF] = source->oif,
		[PW_BLAME_GATEWAY] = source->gateway,
		[PW_BLAME_ENCAP] = source->encap,
	};

	return pw_refuse(request, about[complaint->about], error, "%s", complaint->text);
}

int pw_hops_take(struct pw_request *request, struct pw_route_spec *spec, int family,
		 const struct pw_hop_source *sources, struct pw_path **path)
{
	struct pw_path *legs[PW_GROUP_BUCKETS];
	struct pw_complaint complaint = {0};
	const char *why = NULL;
	unsigned int taken = 0;
	int ret = 0;

	legs[0] = NULL;
	for (unsigned int i = 0; i < spec->hop_count && !ret; i++) {
		ret = pw_hop_check(&spec->hops[i], spec->table, family, &complaint);
		if (ret) {
			refuse_hop(request, &sources[i], &complaint, ret);
			break;
		}
		ret = pw_leg_take(&spec->hops[i], &legs[i], &why);
		if (ret)
			pw_refuse(request, sources[i].gateway, ret, "%s", why);
		else
			taken++;
	}
	if (!ret) {
		ret = pw_multi_take(legs, spec->weights, spec->hop_count, path);
		if (ret)
			pw_refuse(request, NULL, ret, "No room for another group of next hops");
	}
	while (taken > 0)
		pw_path_drop(legs[--taken]);
	return ret;
}
