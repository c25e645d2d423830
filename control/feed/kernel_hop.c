/* SPDX-License-Identifier: BSD-3-Clause */
/* Next hops, multipath and next-hop objects of the kernel's routes. */
#include "control/feed/kernel_hop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/nexthop.h>

#include "control/control.h"
#include "control/feed/kernel.h"

#define ENCAP_MAX 80 /* 16 labels and a TTL */

/* ---- next-hop objects, where routes name nothing else (nexthop_compat_mode 0) ------------- */

struct object {
	uint32_t id;
	struct nlmsghdr *nlh;
};

static struct object *objects;
static size_t object_count;

void pw_kernel_objects_free(void)
{
	while (object_count > 0)
		free(objects[--object_count].nlh);
	free(objects);
	objects = NULL;
}

struct attributes {
	const struct nlattr **table;
	uint16_t max;
};

static int attribute_take(const struct nlattr *attribute, void *context)
{
	struct attributes *out = context;

	if (mnl_attr_get_type(attribute) <= out->max)
		out->table[mnl_attr_get_type(attribute)] = attribute;
	return MNL_CB_OK;
}

void pw_kernel_attributes(const struct nlmsghdr *nlh, size_t header, const struct nlattr **table,
			  uint16_t max)
{
	struct attributes out = {table, max};

	memset(table, 0, (max + 1u) * sizeof(*table));
	mnl_attr_parse(nlh, (unsigned int)header, attribute_take, &out);
}

uint32_t pw_kernel_u32(const struct nlattr *attribute)
{
	return attribute && mnl_attr_get_payload_len(attribute) == 4 ? mnl_attr_get_u32(attribute)
								     : 0;
}

static int object_read(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[NHA_MAX + 1];
	struct object *grown;

	if (nlh->nlmsg_type != RTM_NEWNEXTHOP ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nhmsg))
		return 0;
	pw_kernel_attributes(nlh, sizeof(struct nhmsg), table, NHA_MAX);
	grown = realloc(objects, (object_count + 1) * sizeof(*objects));
	if (!grown)
		return -ENOMEM;
	objects = grown;
	grown[object_count].id = pw_kernel_u32(table[NHA_ID]);
	grown[object_count].nlh = malloc(nlh->nlmsg_len);
	if (!grown[object_count].nlh)
		return -ENOMEM;
	memcpy(grown[object_count++].nlh, nlh, nlh->nlmsg_len);
	return 0;
}

static int object_compare(const void *a, const void *b)
{
	uint32_t left = ((const struct object *)a)->id, right = ((const struct object *)b)->id;

	return left < right ? -1 : left > right;
}

void pw_kernel_objects_read(void)
{
	/* Kernels before 5.3 have none. */
	pw_kernel_dump_routes(RTM_GETNEXTHOP, AF_UNSPEC, object_read, NULL);
	if (object_count)
		qsort(objects, object_count, sizeof(*objects), object_compare);
}

static const struct nlmsghdr *object_find(uint32_t id)
{
	struct object key = {.id = id}, *found;

	found = objects ? bsearch(&key, objects, object_count, sizeof(key), object_compare) : NULL;
	return found ? found->nlh : NULL;
}

/* ---- ways out ---------------------------------------------------------------------------- */

/* The link whose face this is, when the default table is its. */
static const struct pw_link *underlay_link(uint32_t ifindex)
{
	const struct pw_link *link = ifindex ? pw_link_by_face(ifindex) : NULL;

	if (!link || link->master)
		return NULL;
	return link->kind == PW_LINK_PORT || link->kind == PW_LINK_VLAN ||
			       link->kind == PW_LINK_TUNNEL
		       ? link
		       : NULL;
}

static struct pw_kernel_hop *hop_add(struct pw_kernel_hops *hops, uint32_t ifindex, uint8_t weight)
{
	const struct pw_link *link = underlay_link(ifindex);
	struct pw_kernel_hop *hop;

	if (!link || hops->count == PW_GROUP_BUCKETS)
		return NULL;
	hop = &hops->list[hops->count++];
	*hop = (struct pw_kernel_hop){.oif = link->index, .weight = weight};
	return hop;
}

static void hop_gateway(struct pw_kernel_hop *hop, int family, const struct nlattr *gateway,
			const struct nlattr *via)
{
	const struct rtvia *other = via ? mnl_attr_get_payload(via) : NULL;

	if (gateway) {
		hop->family = family;
		hop->gateway = mnl_attr_get_payload(gateway);
		hop->gateway_size = mnl_attr_get_payload_len(gateway);
	} else if (other && mnl_attr_get_payload_len(via) > sizeof(*other)) {
		hop->family = other->rtvia_family;
		hop->gateway = other->rtvia_addr;
		hop->gateway_size = (uint16_t)(mnl_attr_get_payload_len(via) - sizeof(*other));
	}
}

/* Labels; with any larger encapsulation the way is not Pewter's. */
static void hop_encap(struct pw_kernel_hops *hops, struct pw_kernel_hop *hop,
		      const struct nlattr *encap, const struct nlattr *type)
{
	if (!encap || !type)
		return;
	if (mnl_attr_get_payload_len(type) == sizeof(uint16_t) &&
	    mnl_attr_get_payload_len(encap) <= ENCAP_MAX) {
		hop->encap = encap;
		hop->encap_type = type;
	} else {
		hops->count--;
	}
}

static void hops_of_object(struct pw_kernel_hops *hops, uint32_t id, uint8_t weight, bool inside)
{
	const struct nlmsghdr *nlh = object_find(id);
	const struct nlattr *table[NHA_MAX + 1];
	const struct nhmsg *nhm;
	struct pw_kernel_hop *hop;

	if (!nlh) {
		hops->unknown = true;
		return;
	}
	nhm = mnl_nlmsg_get_payload(nlh);
	pw_kernel_attributes(nlh, sizeof(*nhm), table, NHA_MAX);
	if (table[NHA_GROUP] && !inside) {
		const struct nexthop_grp *group = mnl_attr_get_payload(table[NHA_GROUP]);
		size_t count = mnl_attr_get_payload_len(table[NHA_GROUP]) / sizeof(*group);

		for (size_t i = 0; i < count; i++)
			hops_of_object(hops, group[i].id, group[i].weight, true);
		return;
	}
	hop = hop_add(hops, pw_kernel_u32(table[NHA_OIF]), weight);
	if (!hop)
		return;
	hop_gateway(hop, nhm->nh_family, table[NHA_GATEWAY], NULL);
	hop_encap(hops, hop, table[NHA_ENCAP], table[NHA_ENCAP_TYPE]);
}

static void hops_of_multipath(struct pw_kernel_hops *hops, int family,
			      const struct nlattr *attribute)
{
	const char *at = mnl_attr_get_payload(attribute);
	size_t left = mnl_attr_get_payload_len(attribute);

	while (left >= sizeof(struct rtnexthop)) {
		const struct rtnexthop *rtnh = (const struct rtnexthop *)at;
		const struct nlattr *table[RTA_MAX + 1] = {0};
		struct attributes out = {table, RTA_MAX};
		struct pw_kernel_hop *hop;
		size_t step;

		if (rtnh->rtnh_len < sizeof(*rtnh) || rtnh->rtnh_len > left)
			return;
		mnl_attr_parse_payload(rtnh + 1, rtnh->rtnh_len - sizeof(*rtnh), attribute_take,
				       &out);
		hop = hop_add(hops, (uint32_t)rtnh->rtnh_ifindex, rtnh->rtnh_hops);
		if (hop) {
			hop_gateway(hop, family, table[RTA_GATEWAY], table[RTA_VIA]);
			hop_encap(hops, hop, table[RTA_ENCAP], table[RTA_ENCAP_TYPE]);
		}
		step = RTNH_ALIGN(rtnh->rtnh_len);
		step = step < left ? step : left;
		at += step;
		left -= step;
	}
}

void pw_kernel_hops_take(struct pw_kernel_hops *hops, const struct rtmsg *rtm,
			 const struct nlattr **table)
{
	struct pw_kernel_hop *hop;

	if (table[RTA_MULTIPATH]) {
		hops_of_multipath(hops, rtm->rtm_family, table[RTA_MULTIPATH]);
	} else if (table[RTA_OIF]) {
		hop = hop_add(hops, pw_kernel_u32(table[RTA_OIF]), 0);
		if (!hop)
			return;
		hop_gateway(hop, rtm->rtm_family, table[RTA_GATEWAY], table[RTA_VIA]);
		hop_encap(hops, hop, table[RTA_ENCAP], table[RTA_ENCAP_TYPE]);
	} else if (table[RTA_NH_ID]) {
		hops_of_object(hops, pw_kernel_u32(table[RTA_NH_ID]), 0, false);
	}
}

/* ---- as Pewter's ------------------------------------------------------------------------- */

static void put_hop(struct nlmsghdr *nlh, int family, const struct pw_kernel_hop *hop)
{
	uint8_t bytes[sizeof(struct rtvia) + 16];
	uint16_t via = (uint16_t)hop->family;

	if (hop->gateway && hop->gateway_size <= 16 && hop->family == family) {
		mnl_attr_put(nlh, RTA_GATEWAY, hop->gateway_size, hop->gateway);
	} else if (hop->gateway && hop->gateway_size <= 16) {
		memcpy(bytes, &via, sizeof(via));
		memcpy(bytes + sizeof(via), hop->gateway, hop->gateway_size);
		mnl_attr_put(nlh, RTA_VIA, sizeof(via) + hop->gateway_size, bytes);
	}
	if (hop->encap && hop->encap_type) {
		mnl_attr_put(nlh, RTA_ENCAP_TYPE, mnl_attr_get_payload_len(hop->encap_type),
			     mnl_attr_get_payload(hop->encap_type));
		mnl_attr_put(nlh, RTA_ENCAP, mnl_attr_get_payload_len(hop->encap),
			     mnl_attr_get_payload(hop->encap));
	}
}

static void put_multipath(struct nlmsghdr *nlh, int family, const struct pw_kernel_hops *hops,
			  bool onlink)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, RTA_MULTIPATH);

	for (unsigned int i = 0; i < hops->count; i++) {
		struct rtnexthop *rtnh = mnl_nlmsg_get_payload_tail(nlh);

		*rtnh = (struct rtnexthop){
			.rtnh_flags = onlink && hops->list[i].gateway ? RTNH_F_ONLINK : 0,
			.rtnh_hops = hops->list[i].weight,
			.rtnh_ifindex = (int)hops->list[i].oif,
		};
		nlh->nlmsg_len += sizeof(*rtnh);
		put_hop(nlh, family, &hops->list[i]);
		rtnh->rtnh_len =
			(unsigned short)((char *)mnl_nlmsg_get_payload_tail(nlh) - (char *)rtnh);
	}
	mnl_attr_nest_end(nlh, nest);
}

void pw_kernel_hops_put(struct nlmsghdr *nlh, int family, const struct pw_kernel_hops *hops,
			bool onlink)
{
	struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);

	if (hops->count > 1) {
		put_multipath(nlh, family, hops, onlink);
		return;
	}
	mnl_attr_put_u32(nlh, RTA_OIF, hops->list[0].oif);
	if (onlink && hops->list[0].gateway)
		rtm->rtm_flags |= RTNH_F_ONLINK;
	put_hop(nlh, family, &hops->list[0]);
}
