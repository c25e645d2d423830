/* SPDX-License-Identifier: BSD-3-Clause */
/* The functions of libc that programs speak netlink with, with Pewter behind them. */
#include "control/cli/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags,
		       __SOCKADDR_ARG address, socklen_t *length);
int fcntl64(int fd, int command, ...);

int socket(int domain, int type, int protocol)
{
	if (domain == AF_NETLINK && preload_protocol(protocol))
		return preload_open(type, (uint32_t)protocol);
	return REAL(socket)(domain, type, protocol);
}

int close(int fd)
{
	preload_forget(fd);
	return REAL(close)(fd);
}

int dup(int fd)
{
	return preload_duplicate(fd, REAL(dup)(fd));
}

int dup2(int fd, int to)
{
	return preload_duplicate(fd, REAL(dup2)(fd, to));
}

int dup3(int fd, int to, int flags)
{
	return preload_duplicate(fd, REAL(dup3)(fd, to, flags));
}

#define FCNTL(name)                                                                                \
	int name(int fd, int command, ...)                                                         \
	{                                                                                          \
		va_list args;                                                                      \
		void *argument;                                                                    \
		int ret;                                                                           \
                                                                                                   \
		va_start(args, command);                                                           \
		argument = va_arg(args, void *);                                                   \
		va_end(args);                                                                      \
		ret = REAL(name)(fd, command, argument);                                           \
		if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)                              \
			return preload_duplicate(fd, ret);                                         \
		return ret;                                                                        \
	}
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- addresses --------------------------------------------------------------------------- */

static int fill_address(struct sockaddr *address, socklen_t *length, uint32_t groups)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = groups};

	memcpy(address, &kernel, *length < sizeof(kernel) ? *length : sizeof(kernel));
	*length = sizeof(kernel);
	return 0;
}

int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
	struct netlink_socket *s = preload_find(fd);
	struct sockaddr_nl wanted;

	if (!s)
		return REAL(bind)(fd, address, length);
	if (length < sizeof(wanted)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&wanted, address.__sockaddr__, sizeof(wanted));
	if (wanted.nl_family != AF_NETLINK) {
		errno = EINVAL;
		return -1;
	}
	for (uint32_t bit = 0; bit < 32; bit++)
		if (preload_subscribe(fd, s, bit + 1, wanted.nl_groups >> bit & 1))
			return -1;
	return 0;
}

/** To the kernel it is connected already; nobody else can be had. */
static int refuse_peer(const void *address, socklen_t length)
{
	struct sockaddr_nl peer;

	if (!address || length < sizeof(peer))
		return 0;
	memcpy(&peer, address, sizeof(peer));
	if (peer.nl_family == AF_NETLINK && peer.nl_pid == 0)
		return 0;
	errno = peer.nl_family == AF_NETLINK ? ECONNREFUSED : EINVAL;
	return -1;
}

int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
	if (!preload_find(fd))
		return REAL(connect)(fd, address, length);
	return refuse_peer(address.__sockaddr__, length);
}

int getsockname(int fd, __SOCKADDR_ARG address, socklen_t *length)
{
	struct netlink_socket *s = preload_find(fd);

	if (!s)
		return REAL(getsockname)(fd, address, length);
	return fill_address(address.__sockaddr__, length, s->groups[0] >> 1 | s->groups[1] << 31);
}

int getpeername(int fd, __SOCKADDR_ARG address, socklen_t *length)
{
	if (!preload_find(fd))
		return REAL(getpeername)(fd, address, length);
	return fill_address(address.__sockaddr__, length, 0);
}

/* ---- options ----------------------------------------------------------------------------- */

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	struct netlink_socket *s = preload_find(fd);
	uint32_t number = 0;

	if (!s || level != SOL_NETLINK)
		return REAL(setsockopt)(fd, level, option, value, length);
	if (length >= sizeof(number))
		memcpy(&number, value, sizeof(number));
	if (option == NETLINK_ADD_MEMBERSHIP || option == NETLINK_DROP_MEMBERSHIP)
		return preload_subscribe(fd, s, number, option == NETLINK_ADD_MEMBERSHIP);
	if (option == NETLINK_NO_ENOBUFS)
		s->no_enobufs = number != 0;
	/* Extended acknowledgements, capped ones and strict checks are always on. */
	return 0;
}

/** What socket() was called with, rather than what it is now. */
static bool socket_option(const struct netlink_socket *s, int option, int *value)
{
	if (option == SO_DOMAIN)
		*value = AF_NETLINK;
	else if (option == SO_PROTOCOL)
		*value = (int)s->protocol;
	else if (option == SO_TYPE)
		*value = SOCK_RAW;
	else
		return false;
	return true;
}

static int list_memberships(const struct netlink_socket *s, void *value, socklen_t *length)
{
	uint32_t mask[PW_NETLINK_GROUPS / 32] = {0};

	for (uint32_t group = 1; group < PW_NETLINK_GROUPS; group++)
		if (preload_listens(s, group))
			mask[(group - 1) / 32] |= UINT32_C(1) << ((group - 1) % 32);
	memcpy(value, mask, *length < sizeof(mask) ? *length : sizeof(mask));
	*length = sizeof(mask);
	return 0;
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	struct netlink_socket *s = preload_find(fd);
	int number = option == NETLINK_EXT_ACK || option == NETLINK_CAP_ACK;

	if (!s || (level != SOL_NETLINK && level != SOL_SOCKET))
		return REAL(getsockopt)(fd, level, option, value, length);
	if (level == SOL_SOCKET && !socket_option(s, option, &number))
		return REAL(getsockopt)(fd, level, option, value, length);
	if (level == SOL_NETLINK && option == NETLINK_LIST_MEMBERSHIPS)
		return list_memberships(s, value, length);
	if (level == SOL_NETLINK && option == NETLINK_NO_ENOBUFS)
		number = s->no_enobufs;
	if (*length < sizeof(number)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(value, &number, sizeof(number));
	*length = sizeof(number);
	return 0;
}

/* ---- requests ---------------------------------------------------------------------------- */

static bool connection_lost(int error)
{
	return error == EPIPE || error == ECONNRESET || error == ENOTCONN;
}

static ssize_t netlink_send(int fd, struct netlink_socket *s, const struct msghdr *message,
			    int flags)
{
	struct msghdr nameless = *message;
	uint32_t generation;
	ssize_t size = 0;

	if (refuse_peer(message->msg_name, message->msg_namelen))
		return -1;
	if (!s->bulk)
		preload_bulk_settle();
	else if (preload_bulk_send(fd, s->bulk, message, &size))
		return size;
	nameless.msg_name = NULL;
	nameless.msg_namelen = 0;
	for (int i = 0; i < 2; i++) {
		if (!preload_connected(fd, s))
			break;
		generation = s->generation;
		preload_answer_await(s, message);
		size = REAL(sendmsg)(fd, &nameless, flags | MSG_NOSIGNAL);
		if (size < 0)
			preload_answer_await(s, NULL);
		if (size >= 0 && s->protocol == NETLINK_XFRM)
			preload_xfrm_sent(message, true);
		if (size >= 0 || !connection_lost(errno))
			return size;
		preload_lost(fd, s, generation);
	}
	if (s->protocol == NETLINK_XFRM)
		preload_xfrm_sent(message, false);
	errno = ECONNREFUSED;
	return -1;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct netlink_socket *s = preload_find(fd);

	return s ? netlink_send(fd, s, message, flags) : REAL(sendmsg)(fd, message, flags);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, __CONST_SOCKADDR_ARG address,
	       socklen_t length)
{
	struct netlink_socket *s = preload_find(fd);
	struct iovec vector = {(void *)data, size};
	struct msghdr message = {
		.msg_name = (void *)address.__sockaddr__,
		.msg_namelen = address.__sockaddr__ ? length : 0,
		.msg_iov = &vector,
		.msg_iovlen = 1,
	};

	if (!s)
		return REAL(sendto)(fd, data, size, flags, address, length);
	return netlink_send(fd, s, &message, flags);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	struct netlink_socket *s = preload_find(fd);
	struct iovec vector = {(void *)data, size};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

	if (!s)
		return REAL(send)(fd, data, size, flags);
	return netlink_send(fd, s, &message, flags);
}

/* ---- answers and events ------------------------------------------------------------------ */

/** Only an overrun has no payload. Takes it off the socket if it was only looked at. */
static bool overrun_taken(int fd, const struct msghdr *message, ssize_t size, int flags)
{
	struct nlmsghdr header;

	if (size != sizeof(header))
		return false;
	if (message->msg_iovlen && message->msg_iov[0].iov_len >= sizeof(header)) {
		memcpy(&header, message->msg_iov[0].iov_base, sizeof(header));
		if (header.nlmsg_type != NLMSG_OVERRUN)
			return false;
	} else if (!(flags & MSG_PEEK)) {
		return false;
	}
	if (flags & MSG_PEEK) {
		if (REAL(recv)(fd, &header, sizeof(header), MSG_PEEK | MSG_DONTWAIT) !=
			    sizeof(header) ||
		    header.nlmsg_type != NLMSG_OVERRUN)
			return false;
		REAL(recv)(fd, &header, sizeof(header), MSG_DONTWAIT);
	}
	return true;
}

static bool listens_at_all(const struct netlink_socket *s)
{
	for (size_t i = 0; i < sizeof(s->groups) / sizeof(s->groups[0]); i++)
		if (s->groups[i])
			return true;
	return false;
}

/** The next packet in @p message, or -1 with errno. */
static ssize_t packet_receive(int fd, struct netlink_socket *s, struct msghdr *message, int flags)
{
	size_t control = message->msg_controllen;
	ssize_t size = 0;

	if (s->bulk && preload_bulk_receive(s->bulk, message, flags, &size))
		return size;
	if (s->protocol == NETLINK_XFRM && preload_listens(s, XFRMNLGRP_EXPIRE) &&
	    preload_xfrm_expired(message, flags, &size))
		return size;
	if (preload_answer_owed(s, message, flags, &size))
		return size;
	for (;;) {
		uint32_t generation = s->generation;

		message->msg_controllen = control;
		size = REAL(recvmsg)(fd, message, flags);
		if (size > 0 || (size == 0 && message->msg_flags & MSG_TRUNC)) {
			if (!overrun_taken(fd, message, size, flags)) {
				if (!(flags & MSG_PEEK))
					preload_answer_arrived(s, message, (size_t)size);
				return size;
			}
			if (s->no_enobufs)
				continue;
			errno = ENOBUFS;
			return -1;
		}
		if (size < 0 && !connection_lost(errno))
			return -1;
		if (s->generation != generation)
			continue; /* it is connected again meanwhile */
		preload_lost(fd, s, generation);
		preload_answer_lost(s);
		if (preload_answer_owed(s, message, flags, &size))
			return size;
		errno = listens_at_all(s) ? ENOBUFS : ECONNRESET;
		return -1;
	}
}

static ssize_t netlink_receive(int fd, struct netlink_socket *s, struct msghdr *message, int flags)
{
	void *name = message->msg_name;
	socklen_t room = name ? message->msg_namelen : 0;
	ssize_t size;

	message->msg_name = NULL;
	message->msg_namelen = 0;
	size = packet_receive(fd, s, message, flags);
	message->msg_name = name;
	message->msg_namelen = room;
	if (size >= 0 && name)
		fill_address(name, &message->msg_namelen, 0);
	return size;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	struct netlink_socket *s = preload_find(fd);

	return s ? netlink_receive(fd, s, message, flags) : REAL(recvmsg)(fd, message, flags);
}

static ssize_t receive_into(int fd, struct netlink_socket *s, void *buffer, size_t size, int flags,
			    struct sockaddr *address, socklen_t *length)
{
	struct iovec vector = {buffer, size};
	struct msghdr message = {
		.msg_name = address,
		.msg_namelen = address ? *length : 0,
		.msg_iov = &vector,
		.msg_iovlen = 1,
	};
	ssize_t ret = netlink_receive(fd, s, &message, flags);

	if (ret >= 0 && address)
		*length = message.msg_namelen;
	return ret;
}

ssize_t recvfrom(int fd, void *buffer, size_t size, int flags, __SOCKADDR_ARG address,
		 socklen_t *length)
{
	struct netlink_socket *s = preload_find(fd);

	if (!s)
		return REAL(recvfrom)(fd, buffer, size, flags, address, length);
	return receive_into(fd, s, buffer, size, flags, address.__sockaddr__, length);
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	struct netlink_socket *s = preload_find(fd);

	if (!s)
		return REAL(recv)(fd, buffer, size, flags);
	return receive_into(fd, s, buffer, size, flags, NULL, NULL);
}

/* What recv() and recvfrom() become in programs built with _FORTIFY_SOURCE. */

ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags)
{
	struct netlink_socket *s = preload_find(fd);

	if (!s || size > room)
		return REAL(__recv_chk)(fd, buffer, size, room, flags);
	return receive_into(fd, s, buffer, size, flags, NULL, NULL);
}

ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags,
		       __SOCKADDR_ARG address, socklen_t *length)
{
	struct netlink_socket *s = preload_find(fd);

	if (!s || size > room)
		return REAL(__recvfrom_chk)(fd, buffer, size, room, flags, address, length);
	return receive_into(fd, s, buffer, size, flags, address.__sockaddr__, length);
}
