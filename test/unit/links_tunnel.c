/* SPDX-License-Identifier: BSD-3-Clause */
#include "links_tunnel.h"

#include <arpa/inet.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <net/if.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>

static void put_end(struct nlmsghdr *nlh, uint16_t type, const char *text)
{
	bool ipv6 = text && strchr(text, ':');
	uint8_t bytes[16];

	if (text && inet_pton(ipv6 ? AF_INET6 : AF_INET, text, bytes) == 1)
		mnl_attr_put(nlh, type, ipv6 ? 16 : 4, bytes);
}

void gre_put(struct nlmsghdr *nlh, const struct gre *gre)
{
	struct nlattr *info = mnl_attr_nest_start(nlh, IFLA_LINKINFO), *data;
	uint16_t flags = (gre->key ? GRE_KEY : 0) | (gre->sequence ? GRE_SEQ : 0);

	mnl_attr_put_strz(nlh, IFLA_INFO_KIND,
			  gre->local && strchr(gre->local, ':') ? "ip6gre" : "gre");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	mnl_attr_put_u32(nlh, IFLA_GRE_IKEY, htonl(gre->ikey));
	mnl_attr_put_u32(nlh, IFLA_GRE_OKEY, htonl(gre->okey));
	mnl_attr_put_u16(nlh, IFLA_GRE_IFLAGS, flags);
	mnl_attr_put_u16(nlh, IFLA_GRE_OFLAGS, flags);
	put_end(nlh, IFLA_GRE_LOCAL, gre->local);
	put_end(nlh, IFLA_GRE_REMOTE, gre->remote);
	mnl_attr_put_u8(nlh, IFLA_GRE_PMTUDISC, !gre->nopmtudisc);
	mnl_attr_put_u8(nlh, IFLA_GRE_TOS, gre->tos);
	mnl_attr_put_u8(nlh, IFLA_GRE_TTL, gre->ttl);
	if (gre->link)
		mnl_attr_put_u32(nlh, IFLA_GRE_LINK, gre->link);
	mnl_attr_put_u32(nlh, IFLA_GRE_FWMARK, 0);
	mnl_attr_put_u16(nlh, IFLA_GRE_ENCAP_TYPE, 0);
	mnl_attr_put_u16(nlh, IFLA_GRE_ENCAP_FLAGS, 2);
	if (gre->external)
		mnl_attr_put(nlh, IFLA_GRE_COLLECT_METADATA, 0, NULL);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
}

void iptunnel_put(struct nlmsghdr *nlh, const char *kind, const char *local, const char *remote,
		  uint8_t protocol)
{
	struct nlattr *info = mnl_attr_nest_start(nlh, IFLA_LINKINFO), *data;

	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, kind);
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	put_end(nlh, IFLA_IPTUN_LOCAL, local);
	put_end(nlh, IFLA_IPTUN_REMOTE, remote);
	mnl_attr_put_u8(nlh, IFLA_IPTUN_PROTO, protocol);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
}
