/* SPDX-License-Identifier: BSD-3-Clause */
/* IFLA_INFO_DATA of tunnels: kinds gre and ip6gre (IFLA_GRE_*), ipip, sit and ip6tnl
 * (IFLA_IPTUN_*). */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <net/if.h> /* before its twin in linux/ */
#include <linux/if_tunnel.h>
#include <linux/ip6_tunnel.h>

#include "control/links.h"

static const struct pw_attribute_policy gre_policy[IFLA_GRE_MAX + 1] = {
	[IFLA_GRE_LINK] = {.name = "IFLA_GRE_LINK", .min = 4, .max = 4},
	[IFLA_GRE_IFLAGS] = {.name = "IFLA_GRE_IFLAGS", .min = 2, .max = 2},
	[IFLA_GRE_OFLAGS] = {.name = "IFLA_GRE_OFLAGS", .min = 2, .max = 2},
	[IFLA_GRE_IKEY] = {.name = "IFLA_GRE_IKEY", .min = 4, .max = 4},
	[IFLA_GRE_OKEY] = {.name = "IFLA_GRE_OKEY", .min = 4, .max = 4},
	[IFLA_GRE_LOCAL] = {.name = "IFLA_GRE_LOCAL", .min = 4, .max = 16},
	[IFLA_GRE_REMOTE] = {.name = "IFLA_GRE_REMOTE", .min = 4, .max = 16},
	[IFLA_GRE_TTL] = {.name = "IFLA_GRE_TTL", .min = 1, .max = 1},
	[IFLA_GRE_TOS] = {.name = "IFLA_GRE_TOS", .min = 1, .max = 1},
	[IFLA_GRE_PMTUDISC] = {.name = "IFLA_GRE_PMTUDISC", .min = 1, .max = 1},
	/* RFC 2473's limit on nested tunnels is optional; dumps say that none is sent. */
	[IFLA_GRE_ENCAP_LIMIT] = {.name = "IFLA_GRE_ENCAP_LIMIT",
				  .min = 1,
				  .max = 1,
				  .ignored = true},
	[IFLA_GRE_FLOWINFO] = {.name = "IFLA_GRE_FLOWINFO", .min = 4, .max = 4},
	[IFLA_GRE_FLAGS] = {.name = "IFLA_GRE_FLAGS", .min = 4, .max = 4},
	[IFLA_GRE_ENCAP_TYPE] = {.name = "IFLA_GRE_ENCAP_TYPE", .min = 2, .max = 2},
	[IFLA_GRE_ENCAP_FLAGS] = {.name = "IFLA_GRE_ENCAP_FLAGS",
				  .min = 2,
				  .max = 2,
				  .ignored = true},
	[IFLA_GRE_ENCAP_SPORT] = {.name = "IFLA_GRE_ENCAP_SPORT",
				  .min = 2,
				  .max = 2,
				  .ignored = true},
	[IFLA_GRE_ENCAP_DPORT] = {.name = "IFLA_GRE_ENCAP_DPORT",
				  .min = 2,
				  .max = 2,
				  .ignored = true},
	[IFLA_GRE_COLLECT_METADATA] = {.name = "IFLA_GRE_COLLECT_METADATA"},
	[IFLA_GRE_IGNORE_DF] = {.name = "IFLA_GRE_IGNORE_DF", .min = 1, .max = 1},
	[IFLA_GRE_FWMARK] = {.name = "IFLA_GRE_FWMARK", .min = 4, .max = 4},
	[IFLA_GRE_ERSPAN_INDEX] = {.name = "IFLA_GRE_ERSPAN_INDEX"},
	[IFLA_GRE_ERSPAN_VER] = {.name = "IFLA_GRE_ERSPAN_VER"},
	[IFLA_GRE_ERSPAN_DIR] = {.name = "IFLA_GRE_ERSPAN_DIR"},
	[IFLA_GRE_ERSPAN_HWID] = {.name = "IFLA_GRE_ERSPAN_HWID"},
};

static const struct pw_attribute_policy ipip_policy[IFLA_IPTUN_MAX + 1] = {
	[IFLA_IPTUN_LINK] = {.name = "IFLA_IPTUN_LINK", .min = 4, .max = 4},
	[IFLA_IPTUN_LOCAL] = {.name = "IFLA_IPTUN_LOCAL", .min = 4, .max = 16},
	[IFLA_IPTUN_REMOTE] = {.name = "IFLA_IPTUN_REMOTE", .min = 4, .max = 16},
	[IFLA_IPTUN_TTL] = {.name = "IFLA_IPTUN_TTL", .min = 1, .max = 1},
	[IFLA_IPTUN_TOS] = {.name = "IFLA_IPTUN_TOS", .min = 1, .max = 1},
	[IFLA_IPTUN_PROTO] = {.name = "IFLA_IPTUN_PROTO", .min = 1, .max = 1},
	/* RFC 2473's limit on nested tunnels is optional; dumps say that none is sent. */
	[IFLA_IPTUN_ENCAP_LIMIT] = {.name = "IFLA_IPTUN_ENCAP_LIMIT",
				    .min = 1,
				    .max = 1,
				    .ignored = true},
	[IFLA_IPTUN_FLOWINFO] = {.name = "IFLA_IPTUN_FLOWINFO", .min = 4, .max = 4},
	[IFLA_IPTUN_FLAGS] = {.name = "IFLA_IPTUN_FLAGS", .min = 2, .max = 4},
	[IFLA_IPTUN_6RD_PREFIX] = {.name = "IFLA_IPTUN_6RD_PREFIX"},
	[IFLA_IPTUN_6RD_RELAY_PREFIX] = {.name = "IFLA_IPTUN_6RD_RELAY_PREFIX"},
	[IFLA_IPTUN_6RD_PREFIXLEN] = {.name = "IFLA_IPTUN_6RD_PREFIXLEN"},
	[IFLA_IPTUN_6RD_RELAY_PREFIXLEN] = {.name = "IFLA_IPTUN_6RD_RELAY_PREFIXLEN"},
	[IFLA_IPTUN_PMTUDISC] = {.name = "IFLA_IPTUN_PMTUDISC", .min = 1, .max = 1},
	[IFLA_IPTUN_ENCAP_TYPE] = {.name = "IFLA_IPTUN_ENCAP_TYPE", .min = 2, .max = 2},
	[IFLA_IPTUN_ENCAP_FLAGS] = {.name = "IFLA_IPTUN_ENCAP_FLAGS",
				    .min = 2,
				    .max = 2,
				    .ignored = true},
	[IFLA_IPTUN_ENCAP_SPORT] = {.name = "IFLA_IPTUN_ENCAP_SPORT",
				    .min = 2,
				    .max = 2,
				    .ignored = true},
	[IFLA_IPTUN_ENCAP_DPORT] = {.name = "IFLA_IPTUN_ENCAP_DPORT",
				    .min = 2,
				    .max = 2,
				    .ignored = true},
	[IFLA_IPTUN_COLLECT_METADATA] = {.name = "IFLA_IPTUN_COLLECT_METADATA"},
	[IFLA_IPTUN_FWMARK] = {.name = "IFLA_IPTUN_FWMARK", .min = 4, .max = 4},
};

/* The two families of attributes number the same things differently. */
struct numbers {
	uint16_t link, local, remote, ttl, tos, pmtudisc, encap_type, metadata, fwmark;
	uint16_t flowinfo, flags, encap_limit;
};

static const struct numbers gre_numbers = {
	IFLA_GRE_LINK,   IFLA_GRE_LOCAL,    IFLA_GRE_REMOTE,     IFLA_GRE_TTL,
	IFLA_GRE_TOS,    IFLA_GRE_PMTUDISC, IFLA_GRE_ENCAP_TYPE, IFLA_GRE_COLLECT_METADATA,
	IFLA_GRE_FWMARK, IFLA_GRE_FLOWINFO, IFLA_GRE_FLAGS,      IFLA_GRE_ENCAP_LIMIT,
};

static const struct numbers ipip_numbers = {
	IFLA_IPTUN_LINK,   IFLA_IPTUN_LOCAL,    IFLA_IPTUN_REMOTE,     IFLA_IPTUN_TTL,
	IFLA_IPTUN_TOS,    IFLA_IPTUN_PMTUDISC, IFLA_IPTUN_ENCAP_TYPE, IFLA_IPTUN_COLLECT_METADATA,
	IFLA_IPTUN_FWMARK, IFLA_IPTUN_FLOWINFO, IFLA_IPTUN_FLAGS,      IFLA_IPTUN_ENCAP_LIMIT,
};

const char *pw_netlink_tunnel_kind(const struct pw_tunnel *tunnel)
{
	if (tunnel->ip_in_ip && tunnel->local.family == AF_INET6)
		return "ip6tnl";
	if (tunnel->sit)
		return "sit";
	if (tunnel->mpls_in_ip || tunnel->ip_in_ip)
		return "ipip";
	return tunnel->local.family == AF_INET6 ? "ip6gre" : "gre";
}

static int parse_end(struct pw_request *request, const struct nlattr *attribute, int family,
		     struct pw_address *address)
{
	static const uint8_t zero[16];
	unsigned int size = pw_address_size(family);

	memset(address, 0, sizeof(*address));
	if (!attribute)
		return 0;
	if (mnl_attr_get_payload_len(attribute) != size)
		return pw_refuse(request, attribute, -EINVAL,
				 "an IPv%d tunnel's ends have %u bytes", family == AF_INET ? 4 : 6,
				 size);
	if (!memcmp(mnl_attr_get_payload(attribute), zero, size))
		return 0; /* "any" */
	address->family = (uint8_t)family;
	memcpy(address->bytes, mnl_attr_get_payload(attribute), size);
	return 0;
}

static int parse_ends(struct pw_request *request, const struct nlattr **in, const struct numbers *n,
		      int family, struct pw_tunnel *tunnel)
{
	int ret = parse_end(request, in[n->local], family, &tunnel->local);

	if (!ret)
		ret = parse_end(request, in[n->remote], family, &tunnel->remote);
	if (ret < 0)
		return ret;
	if (!tunnel->local.family)
		return pw_refuse(request, in[n->local], -EINVAL, "a tunnel needs a local address");
	if (pw_address_multicast(&tunnel->local))
		return pw_refuse(request, in[n->local], -EINVAL,
				 "a tunnel's local address must be unicast");
	if (tunnel->remote.family && pw_address_multicast(&tunnel->remote))
		return pw_refuse(
			request, in[n->remote], -EOPNOTSUPP,
			"multicast tunnels are not supported: leave the remote out and name "
			"neighbours");
	if (pw_address_same(&tunnel->local, &tunnel->remote))
		return pw_refuse(request, in[n->remote], -EINVAL,
				 "a tunnel's two ends cannot be the same address");
	return 0;
}

static int parse_shared(struct pw_request *request, const struct nlattr **in,
			const struct numbers *n, struct pw_tunnel *tunnel)
{
	const struct pw_link *underlay;

	if (in[n->metadata])
		return pw_refuse(request, in[n->metadata], -EOPNOTSUPP,
				 "external (collect metadata) tunnels are not supported");
	if (in[n->encap_type] && mnl_attr_get_u16(in[n->encap_type]) != TUNNEL_ENCAP_NONE)
		return pw_refuse(request, in[n->encap_type], -EOPNOTSUPP,
				 "encapsulation in UDP (fou, gue) is not supported");
	if (in[n->fwmark] && mnl_attr_get_u32(in[n->fwmark]))
		return pw_refuse(request, in[n->fwmark], -EOPNOTSUPP, "fwmark is not supported");
	if (in[n->link] && mnl_attr_get_u32(in[n->link])) {
		tunnel->underlay_link = mnl_attr_get_u32(in[n->link]);
		underlay = pw_link_by_index(tunnel->underlay_link);
		if (!underlay)
			return pw_refuse(request, in[n->link], -ENODEV,
					 "the underlay link, index %u, does not exist",
					 tunnel->underlay_link);
		if (underlay->kind == PW_LINK_TUNNEL)
			return pw_refuse(request, in[n->link], -EOPNOTSUPP,
					 "%s is a tunnel: tunnels in tunnels are not supported",
					 underlay->name);
	}
	if (in[n->ttl])
		tunnel->ttl = mnl_attr_get_u8(in[n->ttl]);
	if (in[n->tos])
		tunnel->tos = mnl_attr_get_u8(in[n->tos]);
	tunnel->pmtudisc = !in[n->pmtudisc] || mnl_attr_get_u8(in[n->pmtudisc]);
	return 0;
}

static uint16_t get_flags(const struct nlattr *attribute)
{
	return attribute ? mnl_attr_get_u16(attribute) : 0;
}

/* Keys and options; the same both ways, but that a checksum or a number may be only sent. */
static int parse_gre_flags(struct pw_request *request, const struct nlattr **in,
			   struct pw_tunnel *tunnel)
{
	uint16_t iflags = get_flags(in[IFLA_GRE_IFLAGS]), oflags = get_flags(in[IFLA_GRE_OFLAGS]);
	uint32_t ikey = in[IFLA_GRE_IKEY] ? mnl_attr_get_u32(in[IFLA_GRE_IKEY]) : 0;
	uint32_t okey = in[IFLA_GRE_OKEY] ? mnl_attr_get_u32(in[IFLA_GRE_OKEY]) : 0;

	if ((iflags | oflags) & ~(GRE_KEY | GRE_CSUM | GRE_SEQ))
		return pw_refuse(
			request, in[IFLA_GRE_OFLAGS], -EOPNOTSUPP,
			"GRE flags other than key, checksum and sequence are not supported");
	if ((iflags & GRE_KEY) != (oflags & GRE_KEY) || ((iflags & GRE_KEY) && ikey != okey))
		return pw_refuse(request, in[IFLA_GRE_OKEY], -EOPNOTSUPP,
				 "different ikey and okey are not supported: a tunnel has one key");
	if (iflags & GRE_SEQ)
		return pw_refuse(
			request, in[IFLA_GRE_IFLAGS], -EOPNOTSUPP,
			"sequence numbers are not enforced on input: use oseq, not seq or iseq");
	if ((iflags & GRE_CSUM) && !(oflags & GRE_CSUM))
		return pw_refuse(request, in[IFLA_GRE_IFLAGS], -EOPNOTSUPP,
				 "icsum alone is not supported: checksums that come are always "
				 "checked; use csum to send them too");
	tunnel->key_set = oflags & GRE_KEY;
	tunnel->key = tunnel->key_set ? okey : 0;
	tunnel->checksum = oflags & GRE_CSUM;
	tunnel->sequence = oflags & GRE_SEQ;
	return 0;
}

/* Of a tunnel over IPv6, whichever kind. */
static int parse_ipv6(struct pw_request *request, const struct nlattr *flow,
		      const struct nlattr *flags_in, struct pw_tunnel *tunnel)
{
	uint32_t flowinfo = flow ? ntohl(mnl_attr_get_u32(flow)) : 0;
	uint32_t flags = flags_in && mnl_attr_get_payload_len(flags_in) == sizeof(flags)
				 ? mnl_attr_get_u32(flags_in)
				 : 0;

	if ((flowinfo & 0xfffff) || (flags & IP6_TNL_F_USE_ORIG_FLOWLABEL))
		return pw_refuse(request, flow, -EOPNOTSUPP,
				 "a chosen flow label is not supported");
	if (flags &
	    ~(IP6_TNL_F_IGN_ENCAP_LIMIT | IP6_TNL_F_USE_ORIG_TCLASS | IP6_TNL_F_ALLOW_LOCAL_REMOTE))
		return pw_refuse(
			request, flags_in, -EOPNOTSUPP,
			"tunnel flags 0x%x (dscp inherit, fwmark inherit) are not supported",
			flags);
	tunnel->tos = (uint8_t)((flowinfo >> 20) & 0xfc);
	if (flags & IP6_TNL_F_USE_ORIG_TCLASS)
		tunnel->tos = 1;
	return 0;
}

static int parse_gre(struct pw_request *request, const struct nlattr *data, bool ipv6,
		     struct pw_tunnel *tunnel)
{
	const struct nlattr *in[IFLA_GRE_MAX + 1] = {NULL};
	int ret;

	ret = pw_request_nested(request, data, "GRE", gre_policy, IFLA_GRE_MAX, in);
	if (!ret)
		ret = parse_ends(request, in, &gre_numbers, ipv6 ? AF_INET6 : AF_INET, tunnel);
	if (!ret)
		ret = parse_shared(request, in, &gre_numbers, tunnel);
	if (!ret)
		ret = parse_gre_flags(request, in, tunnel);
	if (!ret && ipv6)
		ret = parse_ipv6(request, in[IFLA_GRE_FLOWINFO], in[IFLA_GRE_FLAGS], tunnel);
	if (ret < 0)
		return ret;
	if (in[IFLA_GRE_IGNORE_DF] && mnl_attr_get_u8(in[IFLA_GRE_IGNORE_DF]))
		return pw_refuse(
			request, in[IFLA_GRE_IGNORE_DF], -EOPNOTSUPP,
			"ignore-df is not supported: DF of the payload is always honoured");
	/* IFLA_GRE_ERSPAN_VER alone asks for nothing: ip(8) sends one with every ip6gre. */
	for (uint16_t type = IFLA_GRE_ERSPAN_INDEX; type <= IFLA_GRE_ERSPAN_HWID; type++)
		if (in[type] && type != IFLA_GRE_ERSPAN_VER)
			return pw_refuse(request, in[type], -EOPNOTSUPP, "ERSPAN is not supported");
	return 0;
}

/* Which protocols the tunnel carries: 0 is all that its kind has, "mode any". */
static int parse_protocol(struct pw_request *request, const struct nlattr *attribute,
			  const char *kind, struct pw_tunnel *tunnel)
{
	bool v4 = tunnel->local.family == AF_INET;

	tunnel->protocol = attribute ? mnl_attr_get_u8(attribute) : 0;
	/* The kernel's defaults, where a client leaves it out. */
	if (!attribute && v4)
		tunnel->protocol = tunnel->sit ? IPPROTO_IPV6 : IPPROTO_IPIP;
	if (tunnel->protocol == IPPROTO_MPLS && v4 && !tunnel->sit) {
		tunnel->mpls_in_ip = true;
		tunnel->ip_in_ip = false;
		tunnel->protocol = 0;
		return 0;
	}
	if (tunnel->protocol == 0 || tunnel->protocol == IPPROTO_IPIP ||
	    (tunnel->protocol == IPPROTO_IPV6 && (tunnel->sit || !v4)))
		return 0;
	if (tunnel->protocol == IPPROTO_MPLS)
		return pw_refuse(request, attribute, -EOPNOTSUPP,
				 "MPLS in IP is the business of kind ipip: mode mplsip");
	return pw_refuse(request, attribute, -EINVAL,
			 "a tunnel of kind %s does not carry protocol %u", kind, tunnel->protocol);
}

static int refuse_6rd(struct pw_request *request, const struct nlattr **in)
{
	for (uint16_t type = IFLA_IPTUN_6RD_PREFIX; type <= IFLA_IPTUN_6RD_RELAY_PREFIXLEN; type++)
		if (in[type])
			return pw_refuse(request, in[type], -EOPNOTSUPP, "6rd is not supported");
	return 0;
}

static int parse_iptunnel(struct pw_request *request, const char *kind, const struct nlattr *data,
			  struct pw_tunnel *tunnel)
{
	const struct nlattr *in[IFLA_IPTUN_MAX + 1] = {NULL};
	bool ipv6 = !strcmp(kind, "ip6tnl");
	int ret;

	tunnel->ip_in_ip = true;
	tunnel->sit = !strcmp(kind, "sit");
	ret = pw_request_nested(request, data, "IP tunnel", ipip_policy, IFLA_IPTUN_MAX, in);
	if (!ret)
		ret = refuse_6rd(request, in);
	if (!ret)
		ret = parse_ends(request, in, &ipip_numbers, ipv6 ? AF_INET6 : AF_INET, tunnel);
	if (!ret)
		ret = parse_shared(request, in, &ipip_numbers, tunnel);
	if (!ret)
		ret = parse_protocol(request, in[IFLA_IPTUN_PROTO], kind, tunnel);
	if (!ret && ipv6)
		ret = parse_ipv6(request, in[IFLA_IPTUN_FLOWINFO], in[IFLA_IPTUN_FLAGS], tunnel);
	if (!ret && tunnel->sit && in[IFLA_IPTUN_FLAGS] &&
	    mnl_attr_get_payload_len(in[IFLA_IPTUN_FLAGS]) == sizeof(uint16_t) &&
	    mnl_attr_get_u16(in[IFLA_IPTUN_FLAGS]))
		ret = pw_refuse(request, in[IFLA_IPTUN_FLAGS], -EOPNOTSUPP,
				"ISATAP is not supported");
	return ret;
}

/* As in the kernel the data says all of the tunnel, so what it leaves out is at its default;
 * Pewter's own knobs, which no other tool repeats, keep their values. */
int pw_netlink_tunnel_parse(struct pw_request *request, const char *kind, const struct nlattr *data,
			    const struct pw_tunnel *old, struct pw_tunnel *tunnel)
{
	memset(tunnel, 0, sizeof(*tunnel));
	tunnel->label_ttl = old ? old->label_ttl : 255;
	tunnel->ttl_uniform = old && old->ttl_uniform;
	if (!data)
		return pw_refuse(request, NULL, -EINVAL, "a tunnel needs a local address");
	if (!strcmp(kind, "ipip") || !strcmp(kind, "sit") || !strcmp(kind, "ip6tnl"))
		return parse_iptunnel(request, kind, data, tunnel);
	return parse_gre(request, data, !strcmp(kind, "ip6gre"), tunnel);
}

static void put_end(struct nlmsghdr *nlh, uint16_t type, const struct pw_address *address,
		    unsigned int size)
{
	mnl_attr_put(nlh, type, size, address->bytes);
}

static void put_gre(struct nlmsghdr *nlh, const struct pw_tunnel *tunnel, bool ipv6)
{
	uint16_t iflags = 0, oflags;

	iflags |= tunnel->key_set ? GRE_KEY : 0;
	iflags |= tunnel->checksum ? GRE_CSUM : 0;
	oflags = iflags | (tunnel->sequence ? GRE_SEQ : 0);
	mnl_attr_put_u16(nlh, IFLA_GRE_IFLAGS, iflags);
	mnl_attr_put_u16(nlh, IFLA_GRE_OFLAGS, oflags);
	mnl_attr_put_u32(nlh, IFLA_GRE_IKEY, tunnel->key);
	mnl_attr_put_u32(nlh, IFLA_GRE_OKEY, tunnel->key);
	if (!ipv6)
		mnl_attr_put_u8(nlh, IFLA_GRE_IGNORE_DF, 0);
}

static void put_ipv6(struct nlmsghdr *nlh, const struct numbers *n, const struct pw_tunnel *tunnel)
{
	mnl_attr_put_u32(nlh, n->flowinfo,
			 tunnel->tos == 1 ? 0 : htonl((uint32_t)tunnel->tos << 20));
	mnl_attr_put_u32(nlh, n->flags,
			 IP6_TNL_F_IGN_ENCAP_LIMIT |
				 (tunnel->tos == 1 ? IP6_TNL_F_USE_ORIG_TCLASS : 0));
	mnl_attr_put_u8(nlh, n->encap_limit, 0);
}

static void put_iptunnel(struct nlmsghdr *nlh, const struct pw_tunnel *tunnel, bool ipv6)
{
	mnl_attr_put_u8(nlh, IFLA_IPTUN_PROTO,
			tunnel->mpls_in_ip ? IPPROTO_MPLS : tunnel->protocol);
	mnl_attr_put_u16(nlh, IFLA_IPTUN_ENCAP_TYPE, TUNNEL_ENCAP_NONE);
	mnl_attr_put_u16(nlh, IFLA_IPTUN_ENCAP_FLAGS, 0);
	mnl_attr_put_u16(nlh, IFLA_IPTUN_ENCAP_SPORT, 0);
	mnl_attr_put_u16(nlh, IFLA_IPTUN_ENCAP_DPORT, 0);
	if (!ipv6 && tunnel->sit)
		mnl_attr_put_u16(nlh, IFLA_IPTUN_FLAGS, 0);
}

void pw_netlink_tunnel_put(struct nlmsghdr *nlh, const struct pw_tunnel *tunnel)
{
	bool gre = !tunnel->mpls_in_ip && !tunnel->ip_in_ip;
	const struct numbers *n = gre ? &gre_numbers : &ipip_numbers;
	bool ipv6 = tunnel->local.family == AF_INET6;

	mnl_attr_put_u32(nlh, n->link, tunnel->underlay_link);
	put_end(nlh, n->local, &tunnel->local, ipv6 ? 16 : 4);
	put_end(nlh, n->remote, &tunnel->remote, ipv6 ? 16 : 4);
	mnl_attr_put_u8(nlh, n->ttl, tunnel->ttl);
	if (!ipv6) {
		mnl_attr_put_u8(nlh, n->tos, tunnel->tos);
		mnl_attr_put_u8(nlh, n->pmtudisc, tunnel->pmtudisc);
	}
	mnl_attr_put_u32(nlh, n->fwmark, 0);
	if (gre)
		put_gre(nlh, tunnel, ipv6);
	else
		put_iptunnel(nlh, tunnel, ipv6);
	if (ipv6)
		put_ipv6(nlh, n, tunnel);
}
