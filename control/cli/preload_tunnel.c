/* SPDX-License-Identifier: BSD-3-Clause */
/* `ip tunnel` programs tunnels over IPv4 by ioctl: the same as netlink messages. */
#include "control/cli/preload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h> /* before its twin in linux/ */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>

#define IP_DF     0x4000 /* netinet/ip.h and linux/ip.h do not go together */
#define KIND_SIZE 16

struct message {
	struct nlmsghdr header;
	struct ifinfomsg link;
	char rest[512];
};

/* Which attributes of a kind say what struct ip_tunnel_parm says; 0: it has none. */
struct numbers {
	unsigned short link, local, remote, ttl, tos, pmtudisc, protocol;
	unsigned short iflags, oflags, ikey, okey;
};

static const struct numbers gre_numbers = {
	.link = IFLA_GRE_LINK,
	.local = IFLA_GRE_LOCAL,
	.remote = IFLA_GRE_REMOTE,
	.ttl = IFLA_GRE_TTL,
	.tos = IFLA_GRE_TOS,
	.pmtudisc = IFLA_GRE_PMTUDISC,
	.iflags = IFLA_GRE_IFLAGS,
	.oflags = IFLA_GRE_OFLAGS,
	.ikey = IFLA_GRE_IKEY,
	.okey = IFLA_GRE_OKEY,
};

static const struct numbers ip_numbers = {
	.link = IFLA_IPTUN_LINK,
	.local = IFLA_IPTUN_LOCAL,
	.remote = IFLA_IPTUN_REMOTE,
	.ttl = IFLA_IPTUN_TTL,
	.tos = IFLA_IPTUN_TOS,
	.pmtudisc = IFLA_IPTUN_PMTUDISC,
	.protocol = IFLA_IPTUN_PROTO,
};

/* NULL: not a kind that these ioctls are about. */
static const struct numbers *numbers_of(const char *kind)
{
	if (!strcmp(kind, "gre"))
		return &gre_numbers;
	return !strcmp(kind, "sit") || !strcmp(kind, "ipip") ? &ip_numbers : NULL;
}

/* ---- messages ----------------------------------------------------------------------------- */

static void begin(struct message *message, unsigned short type, unsigned short flags)
{
	*message = (struct message){
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(message->link)),
			   .nlmsg_type = type,
			   .nlmsg_flags = NLM_F_REQUEST | flags,
			   .nlmsg_seq = 1},
	};
}

static struct rtattr *put(struct message *message, unsigned short type, const void *data,
			  size_t size)
{
	struct rtattr *attribute = (void *)((char *)message + message->header.nlmsg_len);

	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(size);
	if (size)
		memcpy(RTA_DATA(attribute), data, size);
	message->header.nlmsg_len += (uint32_t)RTA_SPACE(size);
	return attribute;
}

static void close_nest(const struct message *message, struct rtattr *nest)
{
	nest->rta_len =
		(unsigned short)((const char *)message + message->header.nlmsg_len - (char *)nest);
}

static const struct rtattr *find(const struct rtattr *attribute, int rest, unsigned short type)
{
	for (; RTA_OK(attribute, rest); attribute = RTA_NEXT(attribute, rest))
		if ((attribute->rta_type & NLA_TYPE_MASK) == type)
			return attribute;
	return NULL;
}

/* Why, in words, where the user sees them: an ioctl has but a number for it. */
static void say(const struct nlmsghdr *header, const struct nlmsgerr *refusal)
{
	size_t echoed = header->nlmsg_flags & NLM_F_CAPPED ? sizeof(refusal->msg)
							   : NLMSG_ALIGN(refusal->msg.nlmsg_len);
	size_t at = NLMSG_LENGTH(sizeof(refusal->error)) + echoed;
	const struct rtattr *words;

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS) || at >= header->nlmsg_len)
		return;
	words = find((const void *)((const char *)header + at), (int)(header->nlmsg_len - at),
		     NLMSGERR_ATTR_MSG);
	if (words)
		fprintf(stderr, "Error: %.*s\n", (int)RTA_PAYLOAD(words),
			(const char *)RTA_DATA(words));
}

/* Asks over a connection of its own: 0, or -1 with errno. */
static int ask(struct message *message, void *answer, size_t room)
{
	int fd = preload_open(SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), on = 1, error = EIO;
	const struct nlmsghdr *header = answer;
	const struct nlmsgerr *refusal;
	ssize_t size;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	do
		size = send(fd, message, message->header.nlmsg_len, 0) < 0
			       ? -1
			       : recv(fd, answer, room, 0);
	while (size < 0 && errno == EINTR);
	if (size >= (ssize_t)sizeof(*header) && header->nlmsg_len <= (size_t)size) {
		refusal = NLMSG_DATA(header);
		error = 0;
		if (header->nlmsg_type == NLMSG_ERROR &&
		    header->nlmsg_len >= NLMSG_LENGTH(sizeof(*refusal)))
			error = -refusal->error;
		if (error)
			say(header, refusal);
	}
	close(fd);
	errno = error;
	return error ? -1 : 0;
}

static void put_data(struct message *message, const struct numbers *n,
		     const struct ip_tunnel_parm *parm)
{
	uint8_t pmtudisc = !!(parm->iph.frag_off & htons(IP_DF));

	put(message, n->link, &parm->link, 4);
	put(message, n->local, &parm->iph.saddr, 4);
	put(message, n->remote, &parm->iph.daddr, 4);
	put(message, n->ttl, &parm->iph.ttl, 1);
	put(message, n->tos, &parm->iph.tos, 1);
	put(message, n->pmtudisc, &pmtudisc, 1);
	if (n->protocol)
		put(message, n->protocol, &parm->iph.protocol, 1);
	if (!n->iflags)
		return;
	put(message, n->iflags, &parm->i_flags, 2);
	put(message, n->oflags, &parm->o_flags, 2);
	put(message, n->ikey, &parm->i_key, 4);
	put(message, n->okey, &parm->o_key, 4);
}

static int set(const char *kind, const char *name, unsigned short flags,
	       const struct ip_tunnel_parm *parm)
{
	const struct numbers *n = numbers_of(kind);
	struct rtattr *info, *data;
	struct message message;
	char answer[4096];

	if (!n) {
		errno = EOPNOTSUPP;
		return -1;
	}
	begin(&message, RTM_NEWLINK, NLM_F_ACK | flags);
	if (*name)
		put(&message, IFLA_IFNAME, name, strlen(name) + 1);
	info = put(&message, IFLA_LINKINFO, NULL, 0);
	put(&message, IFLA_INFO_KIND, kind, strlen(kind));
	data = put(&message, IFLA_INFO_DATA, NULL, 0);
	put_data(&message, n, parm);
	close_nest(&message, data);
	close_nest(&message, info);
	return ask(&message, answer, sizeof(answer));
}

/* ---- what is there ------------------------------------------------------------------------ */

static void get(const struct rtattr *data, unsigned short type, void *to, size_t size)
{
	const struct rtattr *attribute =
		type ? find(RTA_DATA(data), (int)RTA_PAYLOAD(data), type) : NULL;

	if (attribute && RTA_PAYLOAD(attribute) >= size)
		memcpy(to, RTA_DATA(attribute), size);
}

static void parm_of(const struct rtattr *data, const char *kind, const char *name,
		    struct ip_tunnel_parm *parm)
{
	const struct numbers *n = numbers_of(kind);
	uint8_t pmtudisc = 0;

	*parm = (struct ip_tunnel_parm){
		.iph = {.version = 4, .ihl = 5, .protocol = n == &gre_numbers ? IPPROTO_GRE : 0}};
	strncpy(parm->name, name, sizeof(parm->name) - 1);
	get(data, n->link, &parm->link, 4);
	get(data, n->local, &parm->iph.saddr, 4);
	get(data, n->remote, &parm->iph.daddr, 4);
	get(data, n->ttl, &parm->iph.ttl, 1);
	get(data, n->tos, &parm->iph.tos, 1);
	get(data, n->pmtudisc, &pmtudisc, 1);
	get(data, n->protocol, &parm->iph.protocol, 1);
	get(data, n->iflags, &parm->i_flags, 2);
	get(data, n->oflags, &parm->o_flags, 2);
	get(data, n->ikey, &parm->i_key, 4);
	get(data, n->okey, &parm->o_key, 4);
	parm->iph.frag_off = pmtudisc ? htons(IP_DF) : 0;
}

/* The tunnel of that name. 0, or -1 with errno: ENODEV, EINVAL where it is none of these. */
static int look(const char *name, struct ip_tunnel_parm *parm, char kind[KIND_SIZE])
{
	const struct rtattr *info, *data;
	const struct nlmsghdr *header;
	struct message message;
	union {
		struct nlmsghdr header;
		char bytes[8192];
	} answer;

	begin(&message, RTM_GETLINK, 0);
	put(&message, IFLA_IFNAME, name, strlen(name) + 1);
	if (ask(&message, &answer, sizeof(answer)))
		return -1;
	header = &answer.header;
	memset(kind, 0, KIND_SIZE);
	errno = EINVAL;
	if (header->nlmsg_type != RTM_NEWLINK ||
	    header->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
		return -1;
	info = find(IFLA_RTA(NLMSG_DATA(header)), (int)IFLA_PAYLOAD(header), IFLA_LINKINFO);
	data = info ? find(RTA_DATA(info), (int)RTA_PAYLOAD(info), IFLA_INFO_DATA) : NULL;
	info = info ? find(RTA_DATA(info), (int)RTA_PAYLOAD(info), IFLA_INFO_KIND) : NULL;
	if (!data || !info || RTA_PAYLOAD(info) >= KIND_SIZE)
		return -1;
	memcpy(kind, RTA_DATA(info), RTA_PAYLOAD(info));
	if (!numbers_of(kind))
		return -1;
	parm_of(data, kind, name, parm);
	return 0;
}

/* ---- the ioctls --------------------------------------------------------------------------- */

/* The kernel's fallback devices say which kind is meant; Pewter has none of them. */
static const char *kind_of_fallback(const char *name)
{
	static const struct {
		const char *name, *kind;
	} fallback[] = {{"sit0", "sit"}, {"tunl0", "ipip"}, {"gre0", "gre"}};

	for (size_t i = 0; i < sizeof(fallback) / sizeof(*fallback); i++)
		if (!strcmp(name, fallback[i].name))
			return fallback[i].kind;
	return NULL;
}

static int delete (const char *name)
{
	struct message message;
	char answer[4096];

	begin(&message, RTM_DELLINK, NLM_F_ACK);
	put(&message, IFLA_IFNAME, name, strlen(name) + 1);
	return ask(&message, answer, sizeof(answer));
}

int preload_tunnel(unsigned long request, struct ifreq *ifr)
{
	struct ip_tunnel_parm *parm = (void *)ifr->ifr_data, there;
	char device[IFNAMSIZ], name[IFNAMSIZ], kind[KIND_SIZE];
	const char *fallback;

	memcpy(device, ifr->ifr_name, sizeof(device));
	device[sizeof(device) - 1] = 0;
	fallback = kind_of_fallback(device);
	/* iproute2 asks what it need not know; there are no 6rd prefixes. */
	if (request == SIOCGET6RD || !parm) {
		errno = EINVAL;
		return -1;
	}
	memcpy(name, fallback ? parm->name : device, sizeof(name));
	name[sizeof(name) - 1] = 0;
	if (request == SIOCADDTUNNEL && fallback)
		return set(fallback, name, NLM_F_CREATE | NLM_F_EXCL, parm);
	if (!*name || look(name, &there, kind))
		return *name ? -1 : (errno = ENODEV, -1);
	switch (request) {
	case SIOCGETTUNNEL:
		*parm = there;
		return 0;
	case SIOCCHGTUNNEL:
		return set(kind, name, 0, parm);
	case SIOCDELTUNNEL:
		return delete (name);
	default:
		errno = EOPNOTSUPP;
		return -1;
	}
}
