/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A look at the route messages of a packet before they are handled one by one. In random order
 * each of a million routes lies on a dozen cache lines that nobody has seen for long; fetched
 * for many routes at once, their latencies overlap. Nothing is checked or changed here: what a
 * message means, and whether it is refused, its handler finds out.
 */
#include <string.h>

#include <linux/mpls_iptunnel.h>
#include <linux/rtnetlink.h>
#include <rte_byteorder.h>

#include "control/request.h"
#include "control/route.h"
#include "dataplane/table/vrf.h"

/* What is known of a message without checking it. */
struct glance {
	const uint8_t *bytes; /* of the prefix */
	uint8_t length;
	uint8_t family;
	uint32_t table;
	struct pw_hop hop; /* as the handler will make it of a message with a single one */
};

/* As mnl_attr_for_each() would, for attributes in @p size bytes at @p data. */
static const struct nlattr *attribute_first(const void *data, size_t size)
{
	const struct nlattr *attribute = data;

	return size >= sizeof(*attribute) && attribute->nla_len >= sizeof(*attribute) &&
			       attribute->nla_len <= size
		       ? attribute
		       : NULL;
}

static void glance_labels(const struct nlattr *encap, struct pw_hop *hop)
{
	const struct nlattr *stack = attribute_first(encap + 1, encap->nla_len - sizeof(*encap));
	unsigned int size = stack ? stack->nla_len - sizeof(*stack) : 0;

	if (!stack || stack->nla_type != MPLS_IPTUNNEL_DST ||
	    size > PW_NEXTHOP_LABELS * sizeof(uint32_t))
		return;
	memcpy(hop->labels, stack + 1, size);
	hop->label_count = (uint8_t)(size / sizeof(uint32_t));
	for (unsigned int i = 0; i < hop->label_count; i++)
		hop->labels[i] = rte_be_to_cpu_32(hop->labels[i]) >> 12;
}

static void glance_attribute(const struct nlattr *attribute, struct glance *glance)
{
	const void *payload = attribute + 1;
	unsigned int size = attribute->nla_len - sizeof(*attribute);
	unsigned int address = pw_address_size(glance->family);

	switch (attribute->nla_type & NLA_TYPE_MASK) {
	case RTA_TABLE:
		if (size == sizeof(uint32_t))
			memcpy(&glance->table, payload, size);
		break;
	case RTA_DST:
		if (size == address)
			glance->bytes = payload;
		break;
	case RTA_OIF:
		if (size == sizeof(uint32_t))
			memcpy(&glance->hop.oif, payload, size);
		break;
	case RTA_GATEWAY:
		if (size != address)
			break;
		glance->hop.gateway.family = glance->family;
		memcpy(glance->hop.gateway.bytes, payload, size);
		break;
	case RTA_ENCAP:
		glance_labels(attribute, &glance->hop);
		break;
	}
}

/* False when it is no route to a prefix. */
static bool glance_at(const struct nlmsghdr *nlh, struct glance *glance)
{
	const struct rtmsg *rtm = (const struct rtmsg *)(nlh + 1);
	const struct nlattr *attribute;
	size_t size;

	if ((nlh->nlmsg_type != RTM_NEWROUTE && nlh->nlmsg_type != RTM_DELROUTE) ||
	    nlh->nlmsg_len < sizeof(*nlh) + sizeof(*rtm) ||
	    (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6))
		return false;
	*glance = (struct glance){
		.length = rtm->rtm_dst_len,
		.family = rtm->rtm_family,
		.table = rtm->rtm_table,
		.hop.type = rtm->rtm_type,
	};
	size = nlh->nlmsg_len - sizeof(*nlh) - sizeof(*rtm);
	for (const char *data = (const char *)(rtm + 1);
	     (attribute = attribute_first(data, size));) {
		size_t step = NLA_ALIGN((size_t)attribute->nla_len);

		glance_attribute(attribute, glance);
		data += step;
		size -= step < size ? step : size;
	}
	return glance->bytes && glance->length <= 8 * pw_address_size(glance->family);
}

void pw_routes_ahead(const struct nlmsghdr *const *messages, unsigned int count)
{
	const struct pw_prefix_tree *trees[PW_REQUESTS_AHEAD];
	const struct pw_lpm *lpms[PW_REQUESTS_AHEAD];
	const uint8_t *bytes[PW_REQUESTS_AHEAD];
	struct glance glances[PW_REQUESTS_AHEAD];
	struct pw_hop hops[PW_REQUESTS_AHEAD];
	uint8_t lengths[PW_REQUESTS_AHEAD];
	unsigned int seen = 0, n = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (!glance_at(messages[i], &glances[seen]))
			continue;
		hops[seen] = glances[seen].hop;
		pw_table_ahead(glances[seen++].table, false);
	}
	if (!seen)
		return;
	for (unsigned int i = 0; i < seen; i++)
		pw_table_ahead(glances[i].table, true);
	pw_legs_ahead(hops, seen);
	for (unsigned int i = 0; i < seen; i++) {
		const struct pw_table *table = pw_table_find(glances[i].table);
		const struct pw_vrf *vrf = table ? pw_vrfs[table->vrf] : NULL;

		if (!vrf)
			continue;
		trees[n] = &table->trees[pw_tree_of(glances[i].family)];
		lpms[n] = glances[i].family == AF_INET ? vrf->lpm4 : vrf->lpm6;
		bytes[n] = glances[i].bytes;
		lengths[n++] = glances[i].length;
	}
	pw_prefix_ahead(trees, bytes, lengths, n);
	pw_lpm_ahead(lpms, bytes, lengths, n);
}
