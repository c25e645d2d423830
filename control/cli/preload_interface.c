/* SPDX-License-Identifier: BSD-3-Clause */
/* What programs ask of interfaces other than by netlink: names, indices, a few ioctls. */
#include "control/cli/preload.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct link_request {
	struct nlmsghdr header;
	struct ifinfomsg link;
	struct rtattr attribute;
	char name[IFNAMSIZ];
};

static void link_request(struct link_request *request, const struct interface_facts *facts)
{
	size_t length = strnlen(facts->name, IFNAMSIZ - 1);

	*request = (struct link_request){
		.header = {.nlmsg_len = offsetof(struct link_request, attribute),
			   .nlmsg_type = RTM_GETLINK,
			   .nlmsg_flags = NLM_F_REQUEST,
			   .nlmsg_seq = 1},
		.link = {.ifi_index = (int)facts->index},
	};
	if (!length)
		return;
	request->attribute.rta_type = IFLA_IFNAME;
	request->attribute.rta_len = (unsigned short)RTA_LENGTH(length + 1);
	memcpy(request->name, facts->name, length);
	request->header.nlmsg_len += (uint32_t)RTA_SPACE(length + 1);
}

static int link_answer(const struct nlmsghdr *header, size_t size, struct interface_facts *facts)
{
	const struct ifinfomsg *link = NLMSG_DATA(header);
	const struct rtattr *attribute = IFLA_RTA(link);
	int rest;

	if (size < sizeof(*header) || header->nlmsg_len > size ||
	    header->nlmsg_len < NLMSG_LENGTH(sizeof(*link)) || header->nlmsg_type != RTM_NEWLINK) {
		errno = ENODEV;
		return -1;
	}
	*facts = (struct interface_facts){.index = (uint32_t)link->ifi_index,
					  .flags = link->ifi_flags};
	rest = (int)IFLA_PAYLOAD(header);
	for (; RTA_OK(attribute, rest); attribute = RTA_NEXT(attribute, rest)) {
		const void *payload = RTA_DATA(attribute);
		size_t length = RTA_PAYLOAD(attribute);

		if (attribute->rta_type == IFLA_IFNAME && length <= sizeof(facts->name))
			memcpy(facts->name, payload, length);
		else if (attribute->rta_type == IFLA_MTU && length >= sizeof(uint32_t))
			memcpy(&facts->mtu, payload, sizeof(uint32_t));
		else if (attribute->rta_type == IFLA_TXQLEN && length >= sizeof(uint32_t))
			memcpy(&facts->txqlen, payload, sizeof(uint32_t));
	}
	facts->name[sizeof(facts->name) - 1] = 0;
	return 0;
}

int preload_interface(struct interface_facts *facts)
{
	struct link_request request;
	union {
		struct nlmsghdr header;
		char bytes[8192];
	} answer;
	int fd = preload_open(SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), ret = -1, error;
	ssize_t size;

	if (fd < 0)
		return -1;
	link_request(&request, facts);
	if (send(fd, &request, request.header.nlmsg_len, 0) >= 0) {
		do
			size = recv(fd, &answer, sizeof(answer), 0);
		while (size < 0 && errno == EINTR);
		ret = size < 0 ? -1 : link_answer(&answer.header, (size_t)size, facts);
	}
	error = errno;
	close(fd);
	errno = error;
	return ret;
}

unsigned int if_nametoindex(const char *name)
{
	struct interface_facts facts = {0};

	if (!preload_protocol(NETLINK_ROUTE))
		return REAL(if_nametoindex)(name);
	if (!*name || strlen(name) >= IFNAMSIZ) {
		errno = ENODEV;
		return 0;
	}
	strcpy(facts.name, name);
	return preload_interface(&facts) ? 0 : facts.index;
}

char *if_indextoname(unsigned int index, char name[IF_NAMESIZE])
{
	struct interface_facts facts = {.index = index};

	if (!preload_protocol(NETLINK_ROUTE))
		return REAL(if_indextoname)(index, name);
	if (index == 0 || preload_interface(&facts)) {
		errno = ENXIO;
		return NULL;
	}
	return strcpy(name, facts.name);
}

/** Interface ioctls are the kernel's older way to say what netlink says. */
static int interface_ioctl(unsigned long request, struct ifreq *ifr)
{
	struct interface_facts facts = {0};

	if (request == SIOCGIFNAME)
		facts.index = (uint32_t)ifr->ifr_ifindex;
	else
		memcpy(facts.name, ifr->ifr_name, sizeof(facts.name));
	facts.name[sizeof(facts.name) - 1] = 0;
	if ((!facts.name[0] && !facts.index) || preload_interface(&facts)) {
		errno = ENODEV;
		return -1;
	}
	if (request == SIOCGIFNAME)
		memcpy(ifr->ifr_name, facts.name, sizeof(facts.name));
	else if (request == SIOCGIFINDEX)
		ifr->ifr_ifindex = (int)facts.index;
	else if (request == SIOCGIFFLAGS)
		ifr->ifr_flags = (short)facts.flags;
	else if (request == SIOCGIFMTU)
		ifr->ifr_mtu = (int)facts.mtu;
	else
		ifr->ifr_qlen = (int)facts.txqlen;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	/* 0x8910 - 0x89ff are about interfaces, tunnels and bridges: never the kernel's here. */
	if (request < SIOCGIFNAME || request > 0x89ff || !preload_protocol(NETLINK_ROUTE))
		return REAL(ioctl)(fd, request, argument);
	switch (request) {
	case SIOCGIFNAME:
	case SIOCGIFINDEX:
	case SIOCGIFFLAGS:
	case SIOCGIFMTU:
	case SIOCGIFTXQLEN:
		return interface_ioctl(request, argument);
	case SIOCDEVPRIVATE ... SIOCDEVPRIVATE + 15:
		return preload_tunnel(request, argument);
	default:
		errno = EOPNOTSUPP;
		return -1;
	}
}
