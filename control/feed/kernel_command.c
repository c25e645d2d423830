/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands to the kernel, one after the other, and dumps from it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <net/if.h> /* before its twin in linux/ */
#include <linux/if.h>

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "control/feed/kernel.h"
#include "control/links.h"

#define MESSAGE_SIZE 512
#define REPLY_SIZE   65536
#define TIMEOUT_S    2

static struct mnl_socket *commands;
static uint32_t sequence;

int pw_kernel_command_init(void)
{
	struct timeval timeout = {.tv_sec = TIMEOUT_S};
	int one = 1, fd;

	commands = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!commands)
		return -errno;
	fd = mnl_socket_get_fd(commands);
	/* Strict: the kernel filters dumps by interface. Older ones dump all, which is harmless. */
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	if (mnl_socket_bind(commands, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0) {
		int ret = -errno;

		pw_kernel_command_fini();
		return ret;
	}
	return 0;
}

void pw_kernel_command_fini(void)
{
	if (commands)
		mnl_socket_close(commands);
	commands = NULL;
}

static struct nlmsghdr *message(char *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++sequence;
	return nlh;
}

/* 1 for more, 0 for done, or -errno, of one received buffer. */
static int handle_replies(const char *buffer, size_t bytes, uint32_t seq, pw_kernel_fn fn,
			  void *context)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)buffer;
	int left = (int)bytes, ret;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		if (nlh->nlmsg_seq != seq)
			continue;
		if (nlh->nlmsg_type == NLMSG_DONE)
			return 0;
		if (nlh->nlmsg_type == NLMSG_ERROR) {
			if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nlmsgerr))
				return -EBADMSG;
			return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->error;
		}
		ret = fn ? fn(nlh, context) : 0;
		if (ret < 0)
			return ret;
	}
	return 1;
}

static int exchange(struct nlmsghdr *nlh, pw_kernel_fn fn, void *context)
{
	static char buffer[REPLY_SIZE];
	uint32_t seq = nlh->nlmsg_seq;
	int ret = 1;

	if (mnl_socket_sendto(commands, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (ret > 0) {
		ssize_t bytes = mnl_socket_recvfrom(commands, buffer, sizeof(buffer));

		if (bytes < 0 && (errno == EINTR || errno == ENOBUFS))
			continue;
		if (bytes < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		ret = handle_replies(buffer, (size_t)bytes, seq, fn, context);
	}
	return ret;
}

static int command(struct nlmsghdr *nlh)
{
	nlh->nlmsg_flags |= NLM_F_ACK;
	return exchange(nlh, NULL, NULL);
}

int pw_kernel_address(uint32_t ifindex, const struct pw_address *local,
		      const struct pw_address *peer, unsigned int length, bool prefix_route,
		      bool add)
{
	unsigned int size = pw_address_size(local->family);
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *nlh;
	struct ifaddrmsg *header;
	uint32_t flags = prefix_route ? 0 : IFA_F_NOPREFIXROUTE;

	if (!commands)
		return -ENOTCONN;
	nlh = message(buffer, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_EXCL : 0);
	header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));
	header->ifa_family = local->family;
	header->ifa_prefixlen = (uint8_t)length;
	header->ifa_index = ifindex;
	mnl_attr_put(nlh, IFA_LOCAL, size, local->bytes);
	mnl_attr_put(nlh, IFA_ADDRESS, size, peer->bytes);
	/* Workers use the address at once, so the kernel must not wait for duplicates either. */
	if (local->family == AF_INET6)
		flags |= IFA_F_NODAD;
	if (add)
		mnl_attr_put_u32(nlh, IFA_FLAGS, flags);
	return command(nlh);
}

int pw_kernel_link_up(uint32_t ifindex, bool up)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *nlh;
	struct ifinfomsg *header;

	if (!commands)
		return -ENOTCONN;
	nlh = message(buffer, RTM_NEWLINK, 0);
	header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));
	header->ifi_index = (int)ifindex;
	header->ifi_change = IFF_UP;
	header->ifi_flags = up ? IFF_UP : 0;
	return command(nlh);
}

int pw_kernel_link_mtu(uint32_t ifindex, uint32_t mtu)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *nlh;
	struct ifinfomsg *header;

	if (!commands)
		return -ENOTCONN;
	nlh = message(buffer, RTM_NEWLINK, 0);
	header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));
	header->ifi_index = (int)ifindex;
	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	return command(nlh);
}

static struct nlmsghdr *neighbour_message(char *buffer, uint16_t type, uint16_t flags,
					  uint32_t ifindex, const struct pw_address *address,
					  uint16_t nud, uint8_t ntf)
{
	struct nlmsghdr *nlh = message(buffer, type, flags);
	struct ndmsg *header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));

	header->ndm_family = address->family;
	header->ndm_ifindex = (int)ifindex;
	header->ndm_state = nud;
	header->ndm_flags = ntf;
	mnl_attr_put(nlh, NDA_DST, pw_address_size(address->family), address->bytes);
	return nlh;
}

/* Without an acknowledgement: the kernel has handled it when send() returns, and only an error
 * is waiting then, if anything. */
int pw_kernel_neighbour_ask(uint32_t ifindex, const struct pw_address *address)
{
	char buffer[MESSAGE_SIZE], reply[MESSAGE_SIZE];
	struct nlmsghdr *nlh;
	ssize_t bytes;
	int ret;

	if (!commands)
		return -ENOTCONN;
	nlh = neighbour_message(buffer, RTM_NEWNEIGH, NLM_F_CREATE, ifindex, address, NUD_NONE,
				NTF_USE);
	if (mnl_socket_sendto(commands, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	bytes = recv(mnl_socket_get_fd(commands), reply, sizeof(reply), MSG_DONTWAIT);
	if (bytes <= 0)
		return 0;
	ret = handle_replies(reply, (size_t)bytes, nlh->nlmsg_seq, NULL, NULL);
	return ret < 0 ? ret : 0;
}

int pw_kernel_neighbour_set(uint32_t ifindex, const struct pw_address *address,
			    const uint8_t mac[6], uint16_t nud)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *nlh;

	if (!commands)
		return -ENOTCONN;
	nlh = neighbour_message(buffer, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, ifindex,
				address, nud, 0);
	mnl_attr_put(nlh, NDA_LLADDR, 6, mac);
	return command(nlh);
}

int pw_kernel_neighbour_delete(uint32_t ifindex, const struct pw_address *address)
{
	char buffer[MESSAGE_SIZE];

	if (!commands)
		return -ENOTCONN;
	return command(neighbour_message(buffer, RTM_DELNEIGH, 0, ifindex, address, 0, 0));
}

struct collected {
	struct collected *next;
	uint32_t message[];
};

struct collection {
	struct collected *first, **last;
};

static int collect(const struct nlmsghdr *nlh, void *context)
{
	struct collection *list = context;
	struct collected *entry = malloc(sizeof(*entry) + nlh->nlmsg_len);

	if (!entry)
		return -ENOMEM;
	memcpy(entry->message, nlh, nlh->nlmsg_len);
	entry->next = NULL;
	*list->last = entry;
	list->last = &entry->next;
	return 0;
}

/* What is made of the objects may need commands, so the dump is read to its end first. */
static int dump(struct nlmsghdr *nlh, pw_kernel_fn fn, void *context)
{
	struct collected *entry, *next;
	struct collection list = {.last = &list.first};
	int ret = exchange(nlh, collect, &list);

	for (entry = list.first; entry; entry = next) {
		next = entry->next;
		if (!ret)
			fn((const struct nlmsghdr *)entry->message, context);
		free(entry);
	}
	return ret;
}

int pw_kernel_dump(uint16_t type, uint32_t ifindex, pw_kernel_fn fn, void *context)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *nlh;

	if (!commands)
		return -ENOTCONN;
	/* One link cannot be picked out of a dump: it is asked for. */
	nlh = message(buffer, type, type == RTM_GETLINK && ifindex ? NLM_F_ACK : NLM_F_DUMP);
	if (type == RTM_GETLINK) {
		struct ifinfomsg *link = mnl_nlmsg_put_extra_header(nlh, sizeof(*link));

		link->ifi_index = (int)ifindex;
	} else if (type == RTM_GETADDR) {
		struct ifaddrmsg *address = mnl_nlmsg_put_extra_header(nlh, sizeof(*address));

		address->ifa_index = ifindex;
	} else {
		mnl_nlmsg_put_extra_header(nlh, sizeof(struct ndmsg));
		if (ifindex)
			mnl_attr_put_u32(nlh, NDA_IFINDEX, ifindex);
	}
	return dump(nlh, fn, context);
}

int pw_kernel_dump_routes(uint16_t type, int family, pw_kernel_fn fn, void *context)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *nlh;

	if (!commands)
		return -ENOTCONN;
	nlh = message(buffer, type, NLM_F_DUMP);
	if (type == RTM_GETROUTE) {
		struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

		rtm->rtm_family = (unsigned char)family;
		rtm->rtm_table = RT_TABLE_MAIN;
	} else {
		mnl_nlmsg_put_extra_header(nlh, sizeof(struct nhmsg));
	}
	return dump(nlh, fn, context);
}
