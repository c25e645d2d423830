/* SPDX-License-Identifier: BSD-3-Clause */
/* The XFRM mirror: start, end, and what the kernel tells of its own accord. */
#include "control/feed/xfrm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/feed/xfrm_internal.h"
#include "control/links.h"
#include "control/loop.h"
#include "control/policy.h"
#include "lib/log.h"

#define EVENT_BURST   64 /* buffers a round, so that a storm does not starve the API */
#define SOCKET_BUFFER (4 << 20)
#define TIMEOUT_S     2
#define TICK_MS       1000
#define MESSAGE_BYTES 1024
#define LOCKDOWN      "/sys/kernel/security/lockdown"

struct pw_xfrm_options pw_xfrm_options;
struct pw_xfrm_counters pw_xfrm_counters;

static int events_fd = -1;
static struct pw_watcher *watcher;
static struct pw_timer *timer;
static unsigned int ticks;
static bool lost; /* events were: everything is to be read again */

/* ---- events -------------------------------------------------------------------------------- */

static void name_info(const struct xfrm_usersa_info *info, const struct nlmsghdr *nlh, size_t size,
		      struct pw_xfrm_name *name)
{
	const struct nlattr *mark = pw_xfrm_attribute(nlh, size, XFRMA_MARK, sizeof(name->mark));

	memset(name, 0, sizeof(*name));
	name->id.daddr = info->id.daddr;
	name->id.spi = info->id.spi;
	name->id.family = info->family;
	name->id.proto = info->id.proto;
	if (mark)
		memcpy(&name->mark, mnl_attr_get_payload(mark), sizeof(name->mark));
}

/** Larvae come and go by events without keys, and an acquire's has no SPI either. */
static void sa_event(const struct nlmsghdr *nlh)
{
	const struct nlattr *mark;
	struct pw_xfrm_name name = {0};
	size_t size = sizeof(struct xfrm_usersa_info);

	if (nlh->nlmsg_type == XFRM_MSG_DELSA) {
		size = sizeof(name.id);
		mark = pw_xfrm_attribute(nlh, size, XFRMA_MARK, sizeof(name.mark));
		memcpy(&name.id, mnl_nlmsg_get_payload(nlh), size);
		if (mark)
			memcpy(&name.mark, mnl_attr_get_payload(mark), sizeof(name.mark));
	} else {
		name_info(mnl_nlmsg_get_payload(nlh), nlh, size, &name);
	}
	if (name.id.spi)
		pw_xfrm_sa_refresh(&name);
}

static void expire_event(const struct nlmsghdr *nlh)
{
	const struct xfrm_user_expire *expire = mnl_nlmsg_get_payload(nlh);
	struct pw_xfrm_name name;
	struct pw_sa_detail *sa;

	name_info(&expire->state, nlh, sizeof(*expire), &name);
	sa = pw_xfrm_sa_find(&name);
	if (!sa)
		return;
	if (expire->hard) {
		pw_xfrm_sa_refresh(&name);
	} else if (!sa->entry.dying) {
		sa->entry.dying = true;
		pw_netlink_sa_notify_expire(sa, false);
		pw_protection_sa_changed(&sa->entry);
	}
}

static size_t payload_of(uint16_t type)
{
	switch (type) {
	case XFRM_MSG_NEWSA:
	case XFRM_MSG_UPDSA:
		return sizeof(struct xfrm_usersa_info);
	case XFRM_MSG_DELSA:
		return sizeof(struct xfrm_usersa_id);
	case XFRM_MSG_EXPIRE:
		return sizeof(struct xfrm_user_expire);
	case XFRM_MSG_POLEXPIRE:
		return sizeof(struct xfrm_user_polexpire);
	default: /* checked where it is read */
		return 0;
	}
}

void pw_xfrm_event(const struct nlmsghdr *nlh)
{
	const struct xfrm_user_polexpire *expire;

	if (mnl_nlmsg_get_payload_len(nlh) < payload_of(nlh->nlmsg_type))
		return;
	switch (nlh->nlmsg_type) {
	case XFRM_MSG_NEWSA:
	case XFRM_MSG_UPDSA:
	case XFRM_MSG_DELSA:
		sa_event(nlh);
		break;
	case XFRM_MSG_EXPIRE:
		expire_event(nlh);
		break;
	case XFRM_MSG_NEWPOLICY:
	case XFRM_MSG_UPDPOLICY:
		pw_xfrm_policy_take(nlh, NULL);
		break;
	case XFRM_MSG_DELPOLICY:
		pw_xfrm_policy_gone(nlh);
		break;
	case XFRM_MSG_POLEXPIRE:
		expire = mnl_nlmsg_get_payload(nlh);
		if (expire->hard)
			pw_xfrm_policy_gone(nlh);
		break;
	case XFRM_MSG_GETDEFAULT:
		pw_xfrm_default_take(nlh, NULL);
		break;
	case XFRM_MSG_FLUSHSA:
	case XFRM_MSG_FLUSHPOLICY:
	case XFRM_MSG_MIGRATE: /* the kernel moves SAs without another word */
		lost = true;
		break;
	default:
		break;
	}
}

/* ---- reading it all ------------------------------------------------------------------------ */

void pw_xfrm_resync(void)
{
	struct nlmsghdr *nlh;
	char buffer[64];
	uint32_t *flags;
	int ret;

	pw_xfrm_counters.resyncs++;
	nlh = pw_xfrm_message(buffer, XFRM_MSG_GETDEFAULT, 0);
	flags = mnl_nlmsg_put_extra_header(nlh, sizeof(*flags));
	*flags = 0;
	/* Not before Linux 5.15. */
	pw_xfrm_exchange(nlh, pw_xfrm_default_take, NULL);
	/* Policies first: what they demand is dropped rather than sent in clear meanwhile. */
	ret = pw_xfrm_policies_read();
	ret = ret ? ret : pw_xfrm_sas_read();
	lost = ret != 0;
	if (ret)
		pw_warning("the kernel's SAs and policies cannot be read: %s", strerror(-ret));
}

/** Bytes of one datagram from the kernel; 0: nothing more; -1: some were lost. */
static ssize_t event_receive(char *buffer, size_t size)
{
	struct sockaddr_nl from = {0};
	struct iovec io = {buffer, size};
	struct msghdr message = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &io, .msg_iovlen = 1};
	ssize_t bytes = recvmsg(events_fd, &message, 0);

	if (bytes < 0)
		return errno == ENOBUFS ? -1 : 0;
	if (message.msg_flags & MSG_TRUNC)
		return -1;
	/* Nobody but the kernel. */
	return from.nl_family == AF_NETLINK && from.nl_pid ? -1 : bytes;
}

static void on_events(uint32_t ready, void *context)
{
	static char buffer[PW_XFRM_BUFFER] __attribute__((aligned(8)));

	for (int burst = 0; burst < EVENT_BURST; burst++) {
		ssize_t bytes = event_receive(buffer, sizeof(buffer));
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buffer;
		int left = (int)bytes;

		if (bytes < 0) {
			if (!lost)
				pw_warning(
					"events of the kernel's XFRM were lost: reading it again");
			lost = true;
			continue;
		}
		if (bytes == 0)
			break;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			pw_xfrm_event(nlh);
		explicit_bzero(buffer, (size_t)bytes); /* keys */
	}
	if (lost)
		pw_xfrm_resync();
}

void pw_xfrm_tick(void)
{
	if (lost)
		pw_xfrm_resync();
	pw_xfrm_leases_renew();
	if (++ticks < pw_xfrm_options.interval)
		return;
	ticks = 0;
	pw_xfrm_report();
}

static void on_tick(void *context)
{
	pw_xfrm_tick();
}

/* ---- acquire ------------------------------------------------------------------------------- */

static socklen_t to_socket(const struct pw_address *address, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *wide = (struct sockaddr_in6 *)out;
	struct sockaddr_in *narrow = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	out->ss_family = address->family;
	if (address->family == AF_INET)
		memcpy(&narrow->sin_addr, address->bytes, 4);
	else
		memcpy(&wide->sin6_addr, address->bytes, 16);
	return address->family == AF_INET ? sizeof(*narrow) : sizeof(*wide);
}

/**
 * To connect a socket the kernel looks for a route, for policies, and for their SAs: it asks for
 * one as if for a packet, and there is no packet that it could keep and send later.
 */
bool pw_xfrm_mirror_acquire(const struct pw_address *local, const struct pw_address *remote,
			    uint8_t protocol)
{
	struct sockaddr_storage from, to;
	socklen_t size = to_socket(local, &from);
	char text[PW_ADDRESS_TEXT];
	int fd, ret = 0;

	to_socket(remote, &to);
	if (events_fd < 0)
		return false;
	fd = socket(local->family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	if (fd < 0 || bind(fd, (struct sockaddr *)&from, size) ||
	    connect(fd, (struct sockaddr *)&to, size))
		ret = errno;
	if (fd >= 0)
		close(fd);
	/* "No such process": it has asked, and no daemon listens. */
	if (ret && ret != EAGAIN && ret != ESRCH)
		pw_warning("the kernel cannot ask for an SA to %s: %s",
			   pw_address_format(remote, text), strerror(ret));
	return ret == 0 || ret == EAGAIN;
}

/**
 * To connect a socket from an address that is not this machine's, to one that only a VRF of
 * Pewter's has a route to, would ask for another SA or for none. But the kernel takes an acquire
 * for its own from whoever may change policies, and tells its daemons.
 */
bool pw_xfrm_mirror_acquire_tunnel(const struct pw_policy *policy, const struct pw_address *source,
				   const struct pw_address *destination)
{
	char buffer[MESSAGE_BYTES] __attribute__((aligned(8))) = {0};
	char text[PW_ADDRESS_TEXT];
	struct nlmsghdr *nlh = pw_xfrm_message(buffer, XFRM_MSG_ACQUIRE, 0);
	int ret;

	if (events_fd < 0)
		return false;
	pw_netlink_policy_put_acquire(nlh, policy, source, destination, policy->selector.proto, 0);
	ret = pw_xfrm_exchange(nlh, NULL, NULL);
	if (ret)
		pw_warning("the kernel cannot ask for an SA to %s: %s",
			   pw_address_format(destination, text), strerror(-ret));
	return ret == 0;
}

/* ---- start and end ------------------------------------------------------------------------- */

static int follow(void)
{
	pw_xfrm_counters = (struct pw_xfrm_counters){0};
	pw_xfrm_default_begin();
	ticks = 0;
	lost = false;
	watcher = pw_loop_watch(events_fd, EPOLLIN, on_events, NULL);
	timer = watcher ? pw_loop_timer(TICK_MS, on_tick, NULL) : NULL;
	if (!timer)
		return -errno;
	pw_xfrm_resync();
	return 0;
}

int pw_xfrm_mirror_open(int events, int commands)
{
	int ret;

	events_fd = events;
	pw_xfrm_command_begin(commands);
	ret = follow();
	if (ret)
		pw_xfrm_mirror_stop();
	return ret;
}

static int subscribe(int fd)
{
	static const unsigned int groups[] = {XFRMNLGRP_SA, XFRMNLGRP_POLICY, XFRMNLGRP_EXPIRE,
					      XFRMNLGRP_MIGRATE};

	for (size_t i = 0; i < MNL_ARRAY_SIZE(groups); i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i])) < 0)
			return -errno;
	return 0;
}

static int kernel_socket(int flags)
{
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_XFRM);
	int size = SOCKET_BUFFER, ret;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static int sockets_open(int *events, int *commands)
{
	struct timeval timeout = {.tv_sec = TIMEOUT_S};
	int ret;

	*events = kernel_socket(SOCK_NONBLOCK);
	if (*events < 0)
		return *events;
	*commands = kernel_socket(0);
	ret = *commands < 0 ? *commands : subscribe(*events);
	if (!ret && setsockopt(*commands, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		ret = -errno;
	if (!ret)
		return 0;
	close(*events);
	if (*commands >= 0)
		close(*commands);
	return ret;
}

/** Then it answers with zeros for keys. */
static bool keys_hidden(void)
{
	char text[128] = "";
	int fd = open(LOCKDOWN, O_RDONLY | O_CLOEXEC);
	ssize_t bytes = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

	if (fd >= 0)
		close(fd);
	return bytes > 0 && strstr(text, "[confidentiality]");
}

int pw_xfrm_mirror_start(const struct pw_xfrm_options *options)
{
	int events, commands, ret;

	if (!options->enabled)
		return 0;
	pw_xfrm_options = *options;
	if (keys_hidden()) {
		pw_error("--xfrm-mirror: the kernel shows keys to nobody (lockdown=confidentiality "
			 "in " LOCKDOWN "): use pewter-run");
		return -EPERM;
	}
	ret = sockets_open(&events, &commands);
	ret = ret ? ret : pw_xfrm_mirror_open(events, commands);
	if (ret)
		pw_error("--xfrm-mirror: the kernel's XFRM cannot be followed: %s", strerror(-ret));
	return ret;
}

void pw_xfrm_mirror_stop(void)
{
	if (events_fd < 0)
		return;
	pw_xfrm_report();
	if (timer)
		pw_timer_stop(timer);
	if (watcher)
		pw_watcher_stop(watcher);
	timer = NULL;
	watcher = NULL;
	close(events_fd);
	events_fd = -1;
	pw_xfrm_command_end();
}
