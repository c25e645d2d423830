/* SPDX-License-Identifier: BSD-3-Clause */
/* IFLA_INFO_DATA of IPsec interfaces: kinds xfrm (IFLA_XFRM_*), vti and vti6 (IFLA_VTI_*). */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <net/if.h> /* before its twin in linux/ */
#include <linux/if_link.h>
#include <linux/if_tunnel.h>

#include "control/links.h"

static const struct pw_attribute_policy xfrm_policy[IFLA_XFRM_MAX + 1] = {
	[IFLA_XFRM_LINK] = {.name = "IFLA_XFRM_LINK", .min = 4, .max = 4},
	[IFLA_XFRM_IF_ID] = {.name = "IFLA_XFRM_IF_ID", .min = 4, .max = 4},
	[IFLA_XFRM_COLLECT_METADATA] = {.name = "IFLA_XFRM_COLLECT_METADATA"},
};

static const struct pw_attribute_policy vti_policy[IFLA_VTI_MAX + 1] = {
	[IFLA_VTI_LINK] = {.name = "IFLA_VTI_LINK", .min = 4, .max = 4},
	[IFLA_VTI_IKEY] = {.name = "IFLA_VTI_IKEY", .min = 4, .max = 4},
	[IFLA_VTI_OKEY] = {.name = "IFLA_VTI_OKEY", .min = 4, .max = 4},
	[IFLA_VTI_LOCAL] = {.name = "IFLA_VTI_LOCAL", .min = 4, .max = 16},
	[IFLA_VTI_REMOTE] = {.name = "IFLA_VTI_REMOTE", .min = 4, .max = 16},
	[IFLA_VTI_FWMARK] = {.name = "IFLA_VTI_FWMARK", .min = 4, .max = 4},
};

bool pw_netlink_ipsec_is(const char *kind)
{
	return !strcmp(kind, "xfrm") || !strcmp(kind, "vti") || !strcmp(kind, "vti6");
}

const char *pw_netlink_ipsec_kind(const struct pw_ipsec *ipsec)
{
	if (!ipsec->family)
		return "xfrm";
	return ipsec->family == AF_INET6 ? "vti6" : "vti";
}

/** "dev": a link that outer packets can leave by. */
static int parse_underlay(struct pw_request *request, const struct nlattr *attribute,
			  struct pw_ipsec *ipsec)
{
	const struct pw_link *underlay;

	ipsec->underlay_link = attribute ? mnl_attr_get_u32(attribute) : 0;
	if (!ipsec->underlay_link)
		return 0;
	underlay = pw_link_by_index(ipsec->underlay_link);
	if (!underlay)
		return pw_refuse(request, attribute, -ENODEV,
				 "the underlay link, index %u, does not exist",
				 ipsec->underlay_link);
	if (underlay->kind == PW_LINK_TUNNEL || underlay->kind == PW_LINK_IPSEC)
		return pw_refuse(request, attribute, -EOPNOTSUPP,
				 "%s is a tunnel: tunnels in tunnels are not supported",
				 underlay->name);
	return 0;
}

static int parse_xfrm(struct pw_request *request, const struct nlattr *data,
		      const struct pw_link *old, struct pw_ipsec *ipsec)
{
	const struct nlattr *in[IFLA_XFRM_MAX + 1] = {NULL};
	int ret = 0;

	if (data)
		ret = pw_request_nested(request, data, "IPsec interface", xfrm_policy,
					IFLA_XFRM_MAX, in);
	if (ret < 0)
		return ret;
	if (in[IFLA_XFRM_COLLECT_METADATA])
		return pw_refuse(request, in[IFLA_XFRM_COLLECT_METADATA], -EOPNOTSUPP,
				 "external (collect metadata) xfrm links are not supported");
	ipsec->if_id = in[IFLA_XFRM_IF_ID] ? mnl_attr_get_u32(in[IFLA_XFRM_IF_ID]) : 0;
	if (!ipsec->if_id)
		return pw_refuse(request, in[IFLA_XFRM_IF_ID], -EINVAL, "if_id must be non zero");
	ret = parse_underlay(request, in[IFLA_XFRM_LINK], ipsec);
	if (!ret && old && old->ipsec.underlay_link != ipsec->underlay_link)
		ret = pw_refuse(request, in[IFLA_XFRM_LINK], -EINVAL,
				"the underlay (dev) of %s cannot change", old->name);
	return ret;
}

static int parse_end(struct pw_request *request, const struct nlattr *attribute, int family,
		     struct pw_address *address)
{
	static const uint8_t zero[16];
	unsigned int size = pw_address_size(family);

	if (!attribute)
		return 0;
	if (mnl_attr_get_payload_len(attribute) != size)
		return pw_refuse(request, attribute, -EINVAL,
				 "the ends of an IPv%d vti have %u bytes",
				 family == AF_INET ? 4 : 6, size);
	if (!memcmp(mnl_attr_get_payload(attribute), zero, size))
		return 0; /* "any" */
	address->family = (uint8_t)family;
	memcpy(address->bytes, mnl_attr_get_payload(attribute), size);
	if (pw_address_multicast(address))
		return pw_refuse(request, attribute, -EINVAL, "a vti's ends must be unicast");
	return 0;
}

static uint32_t parse_key(const struct nlattr *attribute)
{
	return attribute ? ntohl(mnl_attr_get_u32(attribute)) : 0;
}

static int parse_vti(struct pw_request *request, const struct nlattr *data, int family,
		     struct pw_ipsec *ipsec)
{
	const struct nlattr *in[IFLA_VTI_MAX + 1] = {NULL};
	int ret = 0;

	if (data)
		ret = pw_request_nested(request, data, "VTI", vti_policy, IFLA_VTI_MAX, in);
	ipsec->family = (uint8_t)family;
	if (!ret)
		ret = parse_end(request, in[IFLA_VTI_LOCAL], family, &ipsec->local);
	if (!ret)
		ret = parse_end(request, in[IFLA_VTI_REMOTE], family, &ipsec->remote);
	if (!ret)
		ret = parse_underlay(request, in[IFLA_VTI_LINK], ipsec);
	if (ret < 0)
		return ret;
	if (ipsec->local.family && pw_address_same(&ipsec->local, &ipsec->remote))
		return pw_refuse(request, in[IFLA_VTI_REMOTE], -EINVAL,
				 "a vti's two ends cannot be the same address");
	if (in[IFLA_VTI_FWMARK] && mnl_attr_get_u32(in[IFLA_VTI_FWMARK]))
		return pw_refuse(request, in[IFLA_VTI_FWMARK], -EOPNOTSUPP,
				 "fwmark is not supported: a vti's keys are its marks");
	ipsec->ikey = parse_key(in[IFLA_VTI_IKEY]);
	ipsec->okey = parse_key(in[IFLA_VTI_OKEY]);
	if (!ipsec->ikey || !ipsec->okey)
		return pw_refuse(
			request, in[ipsec->ikey ? IFLA_VTI_OKEY : IFLA_VTI_IKEY], -EINVAL,
			"a vti needs a key each way: its SAs and policies have it as mark");
	return 0;
}

/* As in the kernel the data says all of the link, so what it leaves out is at its default. */
int pw_netlink_ipsec_parse(struct pw_request *request, const char *kind, const struct nlattr *data,
			   const struct pw_link *old, struct pw_ipsec *ipsec)
{
	memset(ipsec, 0, sizeof(*ipsec));
	if (!strcmp(kind, "xfrm"))
		return parse_xfrm(request, data, old, ipsec);
	return parse_vti(request, data, !strcmp(kind, "vti6") ? AF_INET6 : AF_INET, ipsec);
}

void pw_netlink_ipsec_put(struct nlmsghdr *nlh, const struct pw_ipsec *ipsec)
{
	unsigned int size = pw_address_size(ipsec->family);

	if (!ipsec->family) {
		mnl_attr_put_u32(nlh, IFLA_XFRM_LINK, ipsec->underlay_link);
		mnl_attr_put_u32(nlh, IFLA_XFRM_IF_ID, ipsec->if_id);
		return;
	}
	mnl_attr_put_u32(nlh, IFLA_VTI_LINK, ipsec->underlay_link);
	mnl_attr_put_u32(nlh, IFLA_VTI_IKEY, htonl(ipsec->ikey));
	mnl_attr_put_u32(nlh, IFLA_VTI_OKEY, htonl(ipsec->okey));
	mnl_attr_put(nlh, IFLA_VTI_LOCAL, size, ipsec->local.bytes);
	mnl_attr_put(nlh, IFLA_VTI_REMOTE, size, ipsec->remote.bytes);
	mnl_attr_put_u32(nlh, IFLA_VTI_FWMARK, 0);
}
