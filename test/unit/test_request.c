/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests over a real socket, with handlers of our own: framing, errors, dumps, events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

#include "control/client.h"
#include "control/loop.h"
#include "control/request.h"
#include "control/socket.h"
#include "lib/pewter_netlink.h"

#define OBJECTS 20000

static char path[64];
static struct pw_socket_options options = {.path = path};
static unsigned int handled;
static bool closed;
static uint8_t packet[1 << 20];

/* ---- handlers ---------------------------------------------------------------------------- */

static const struct pw_attribute_policy policy[] = {
	[RTA_DST] = {"RTA_DST", .min = 4, .max = 4},
	[RTA_OIF] = {"RTA_OIF", .min = 4, .max = 4},
	[RTA_METRICS] = {"RTA_METRICS"},
	[RTA_MULTIPATH] = {"RTA_MULTIPATH", .min = 8},
};
static const struct pw_attribute_policy nested_policy[] = {
	[RTAX_MTU] = {"RTAX_MTU", .min = 4, .max = 4},
};

static int handle_route(struct pw_request *request)
{
	const struct nlattr *table[RTA_MULTIPATH + 1], *metrics[RTAX_MTU + 1];
	int ret = pw_request_attributes(request, sizeof(struct rtmsg), "route", policy,
					RTA_MULTIPATH, table);

	if (!ret && table[RTA_METRICS])
		ret = pw_request_nested(request, table[RTA_METRICS], "route metric", nested_policy,
					RTAX_MTU, metrics);
	if (ret)
		return ret;
	if (!table[RTA_DST])
		return pw_refuse(request, NULL, -EINVAL, "route without RTA_DST");
	handled++;
	pw_notify(RTNLGRP_IPV4_ROUTE, request->nlh);
	return 0;
}

static int get_link(struct pw_request *request)
{
	uint32_t buffer[16];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = RTM_NEWLINK;
	mnl_nlmsg_put_extra_header(nlh, 16);
	return pw_reply(request, nlh);
}

static int dump_links(struct pw_dump *dump)
{
	while (dump->cursor[0] < OBJECTS) {
		struct nlmsghdr *nlh = pw_dump_message(dump, RTM_NEWLINK, 120);

		if (!nlh)
			return 1;
		*(uint32_t *)mnl_nlmsg_put_extra_header(nlh, 100) = (uint32_t)dump->cursor[0]++;
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

static int dump_fails(struct pw_dump *dump)
{
	return pw_refuse(dump->request, NULL, -ENOENT, "no such table");
}

static int dump_huge(struct pw_dump *dump)
{
	struct nlmsghdr *nlh;
	size_t sizes[] = {40000, 100, 1000000};

	while (dump->cursor[0] < 3) {
		nlh = pw_dump_message(dump, RTM_NEWNEIGH, sizes[dump->cursor[0]]);
		if (!nlh)
			return 1;
		mnl_nlmsg_put_extra_header(nlh, sizes[dump->cursor[0]++] - 16);
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

static int setup(void **state)
{
	char error[128] = "";

	snprintf(path, sizeof(path), "/tmp/pewter-unit-%d/pewter.sock", getpid());
	handled = 0;
	if (pw_loop_init() || pw_socket_open(&options, error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		return -1;
	}
	pw_loop_after_round(pw_client_flush_all, NULL);
	pw_request_register(RTM_NEWROUTE, -1, handle_route, NULL);
	pw_request_register(RTM_GETLINK, -1, get_link, dump_links);
	pw_request_register(RTM_GETROUTE, AF_INET6, NULL, dump_fails);
	pw_request_register(RTM_GETNEIGH, -1, NULL, dump_huge);
	return 0;
}

static int teardown(void **state)
{
	char directory[64];

	pw_socket_close();
	pw_loop_fini();
	if (access(path, F_OK) == 0)
		return -1;
	snprintf(directory, sizeof(directory), "/tmp/pewter-unit-%d", getpid());
	return rmdir(directory);
}

/* ---- a client ---------------------------------------------------------------------------- */

static void rounds(unsigned int count)
{
	while (count--)
		pw_loop_step(0);
}

static int dial(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(to.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	rounds(2);
	return fd;
}

static struct nlmsghdr *message(void *buffer, uint16_t type, uint16_t flags, uint32_t seq,
				size_t header)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = seq;
	if (header)
		mnl_nlmsg_put_extra_header(nlh, header);
	return nlh;
}

static struct nlmsghdr *route(void *buffer, uint16_t flags, uint32_t seq)
{
	struct nlmsghdr *nlh = message(buffer, RTM_NEWROUTE, flags, seq, sizeof(struct rtmsg));

	mnl_attr_put_u32(nlh, RTA_DST, 1);
	return nlh;
}

static void put(int fd, const void *data, size_t size)
{
	assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

/** One packet that is there within some rounds; -1 when none comes, 0 at the end. */
static ssize_t get(int fd)
{
	ssize_t size = -1;

	for (int i = 0; i < 20 && size < 0; i++) {
		rounds(1);
		size = recv(fd, packet, sizeof(packet), MSG_TRUNC);
	}
	return size;
}

static void expect_error(int fd, int error, uint32_t seq, const char *text, uint32_t offset)
{
	ssize_t size = get(fd);
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)packet;
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attribute;
	unsigned int fixed = sizeof(*answer);
	const char *said = NULL;
	uint32_t at = 0;

	assert_true(size >= (ssize_t)(sizeof(*nlh) + sizeof(*answer)));
	assert_int_equal(nlh->nlmsg_len, size);
	assert_int_equal(nlh->nlmsg_type, NLMSG_ERROR);
	assert_int_equal(nlh->nlmsg_seq, seq);
	assert_int_equal(nlh->nlmsg_pid, 0);
	assert_int_equal(answer->error, error);
	/* An acknowledgement carries the header only, an error the whole request. */
	if (!error)
		assert_true(nlh->nlmsg_flags & NLM_F_CAPPED);
	else if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		fixed += answer->msg.nlmsg_len - sizeof(*nlh);
	assert_int_equal(answer->msg.nlmsg_seq, seq);
	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS)
		mnl_attr_for_each(attribute, nlh, fixed)
		{
			if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG)
				said = mnl_attr_get_str(attribute);
			if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_OFFS)
				at = mnl_attr_get_u32(attribute);
		}
	if (text)
		assert_string_equal(said, text);
	else
		assert_null(said);
	assert_int_equal(at, offset);
}

/* ---- tests ------------------------------------------------------------------------------- */

static void test_ack(void **state)
{
	uint32_t buffer[64];
	int fd = dial();

	put(fd, buffer, route(buffer, NLM_F_ACK, 7)->nlmsg_len);
	expect_error(fd, 0, 7, NULL, 0);
	assert_int_equal(handled, 1);
	put(fd, buffer, route(buffer, 0, 8)->nlmsg_len); /* not asked for: no ack */
	assert_int_equal(get(fd), -1);
	assert_int_equal(handled, 2);
	close(fd);
	rounds(2);
	assert_int_equal(pw_client_count(), 0);
}

static void test_many_in_one(void **state)
{
	uint32_t buffer[2048];
	size_t used = 0;
	int fd = dial();

	for (uint32_t i = 0; i < 100; i++)
		used += NLMSG_ALIGN(
			route((char *)buffer + used, i % 10 ? 0 : NLM_F_ACK, i)->nlmsg_len);
	put(fd, buffer, used);
	for (uint32_t i = 0; i < 100; i += 10)
		expect_error(fd, 0, i, NULL, 0);
	assert_int_equal(handled, 100);
	close(fd);
}

static void test_unknown(void **state)
{
	uint32_t buffer[64];
	int fd = dial();

	put(fd, buffer, message(buffer, 999, 0, 1, 4)->nlmsg_len);
	expect_error(fd, -EOPNOTSUPP, 1, "message type 999 is not supported", 0);
	put(fd, buffer, message(buffer, 65535, 0, 2, 0)->nlmsg_len);
	expect_error(fd, -EOPNOTSUPP, 2, "message type 65535 is not supported", 0);
	put(fd, buffer, message(buffer, RTM_GETROUTE, 0, 3, 0)->nlmsg_len);
	expect_error(fd, -EOPNOTSUPP, 3, "message type 26 is not supported for address family -1",
		     0);
	put(fd, buffer, message(buffer, NLMSG_DONE, 0, 4, 0)->nlmsg_len);
	expect_error(fd, -EOPNOTSUPP, 4, "message type 3 is no request", 0);
	message(buffer, RTM_NEWROUTE, 0, 5, 4)->nlmsg_flags = 0;
	put(fd, buffer, 20);
	expect_error(fd, -EINVAL, 5, "message without NLM_F_REQUEST", 0);
	close(fd);
}

static void test_framing(void **state)
{
	uint32_t buffer[64] = {0};
	struct nlmsghdr *nlh;
	int fd = dial();

	put(fd, buffer, 3);
	expect_error(fd, -EINVAL, 0, "message shorter than its header", 0);
	nlh = route(buffer, NLM_F_ACK, 6);
	nlh->nlmsg_len = 15;
	put(fd, buffer, 40);
	expect_error(fd, -EINVAL, 6, "message length shorter than a header", 0);
	nlh->nlmsg_len = 41;
	put(fd, buffer, 40);
	expect_error(fd, -EINVAL, 6, "message longer than its packet", 0);
	nlh->nlmsg_len = UINT32_MAX;
	put(fd, buffer, 40);
	expect_error(fd, -EINVAL, 6, "message longer than its packet", 0);
	assert_int_equal(handled, 0);
	/* Zeroes behind a message are no message, but alone they are a bad one. */
	memset(buffer, 0, sizeof(buffer));
	route(buffer, NLM_F_ACK, 7);
	put(fd, buffer, sizeof(buffer));
	expect_error(fd, 0, 7, NULL, 0);
	assert_int_equal(get(fd), -1);
	put(fd, buffer, 36 + 7);
	expect_error(fd, 0, 7, NULL, 0);
	assert_int_equal(get(fd), -1);
	memset(buffer, 0, sizeof(buffer));
	put(fd, buffer, sizeof(buffer));
	expect_error(fd, -EINVAL, 0, "message length shorter than a header", 0);
	assert_int_equal(handled, 2);
	put(fd, buffer, route(buffer, NLM_F_ACK, 9)->nlmsg_len); /* and all is well again */
	expect_error(fd, 0, 9, NULL, 0);
	close(fd);
}

static void test_attributes(void **state)
{
	uint32_t buffer[64] = {0};
	struct nlmsghdr *nlh;
	struct nlattr *nest;
	int fd = dial();

	put(fd, buffer, message(buffer, RTM_NEWROUTE, 0, 1, 4)->nlmsg_len);
	expect_error(fd, -EINVAL, 1, "route message of 4 bytes is too short", 0);
	put(fd, buffer, message(buffer, RTM_NEWROUTE, 0, 2, sizeof(struct rtmsg))->nlmsg_len);
	expect_error(fd, -EINVAL, 2, "route without RTA_DST", 0);
	nlh = route(buffer, 0, 3);
	mnl_attr_put_u32(nlh, RTA_PREF, 1); /* above max */
	put(fd, buffer, nlh->nlmsg_len);
	expect_error(fd, -EOPNOTSUPP, 3, "route attribute 20 is not supported", 36);
	nlh = route(buffer, 0, 4);
	mnl_attr_put_u32(nlh, RTA_SRC, 1); /* below max, not taken */
	put(fd, buffer, nlh->nlmsg_len);
	expect_error(fd, -EOPNOTSUPP, 4, "route attribute 2 is not supported", 36);
	nlh = route(buffer, 0, 5);
	mnl_attr_put_u32(nlh, RTA_DST, 1);
	put(fd, buffer, nlh->nlmsg_len);
	expect_error(fd, -EINVAL, 5, "RTA_DST is there twice", 36);
	nlh = route(buffer, 0, 6);
	mnl_attr_put_u16(nlh, RTA_OIF, 1);
	put(fd, buffer, nlh->nlmsg_len);
	expect_error(fd, -EINVAL, 6, "RTA_OIF has 2 bytes instead of 4", 36);
	nlh = route(buffer, 0, 7);
	mnl_attr_put_u32(nlh, RTA_MULTIPATH, 1);
	put(fd, buffer, nlh->nlmsg_len);
	expect_error(fd, -EINVAL, 7, "RTA_MULTIPATH has 4 bytes: too few", 36);
	nlh = route(buffer, 0, 8);
	nest = mnl_attr_nest_start(nlh, RTA_METRICS);
	mnl_attr_put_u32(nlh, RTAX_MTU, 1500);
	mnl_attr_put_u32(nlh, RTAX_WINDOW, 1);
	mnl_attr_nest_end(nlh, nest);
	put(fd, buffer, nlh->nlmsg_len);
	expect_error(fd, -EOPNOTSUPP, 8, "route metric attribute 3 is not supported", 48);
	nlh = route(buffer, 0, 9);
	((struct nlattr *)((char *)buffer + 28))->nla_len = 2;
	put(fd, buffer, nlh->nlmsg_len);
	expect_error(fd, -EINVAL, 9, "route attribute of impossible length 2", 28);
	((struct nlattr *)((char *)buffer + 28))->nla_len = 9;
	put(fd, buffer, nlh->nlmsg_len);
	expect_error(fd, -EINVAL, 9, "route attribute of impossible length 9", 28);
	nlh = route(buffer, 0, 10);
	nlh->nlmsg_len += 2;
	put(fd, buffer, nlh->nlmsg_len);
	expect_error(fd, -EINVAL, 10, "2 bytes left over behind route attributes", 0);
	assert_int_equal(handled, 0);
	close(fd);
}

/** Reads a dump to its end; the objects must come in order. Returns how many packets. */
static unsigned int expect_dump(int fd, uint32_t seq, size_t limit)
{
	uint32_t expected = 0;
	unsigned int packets = 0;

	for (;;) {
		int rest = (int)get(fd);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)packet;

		assert_true(rest > 0);
		assert_true((size_t)rest <= limit);
		packets++;
		for (; mnl_nlmsg_ok(nlh, rest); nlh = mnl_nlmsg_next(nlh, &rest)) {
			assert_int_equal(nlh->nlmsg_seq, seq);
			assert_true(nlh->nlmsg_flags & NLM_F_MULTI);
			if (nlh->nlmsg_type == NLMSG_DONE) {
				assert_int_equal(*(int *)mnl_nlmsg_get_payload(nlh), 0);
				assert_int_equal(expected, OBJECTS);
				return packets;
			}
			assert_int_equal(*(uint32_t *)mnl_nlmsg_get_payload(nlh), expected++);
		}
	}
}

static void test_dump(void **state)
{
	uint32_t buffer[64];
	size_t used;
	int fd = dial();

	used = message(buffer, RTM_GETLINK, NLM_F_DUMP, 1, 16)->nlmsg_len;
	used += message(buffer + used / 4, RTM_GETLINK, NLM_F_DUMP, 2, 16)->nlmsg_len;
	used += route(buffer + used / 4, NLM_F_ACK, 3)->nlmsg_len;
	put(fd, buffer, used);
	rounds(200);
	assert_int_equal(handled, 0); /* the order is the client's */
	expect_dump(fd, 1, PW_HELLO_DUMP_BYTES);
	expect_dump(fd, 2, PW_HELLO_DUMP_BYTES);
	expect_error(fd, 0, 3, NULL, 0);
	assert_int_equal(handled, 1);
	/* The zeroes that iproute2 sends behind a dump request are nothing. */
	memset(buffer, 0, sizeof(buffer));
	message(buffer, RTM_GETLINK, NLM_F_DUMP, 5, 16);
	put(fd, buffer, sizeof(buffer));
	expect_dump(fd, 5, PW_HELLO_DUMP_BYTES);
	assert_int_equal(get(fd), -1);
	/* A GET that is no dump. */
	put(fd, buffer, message(buffer, RTM_GETLINK, 0, 4, 16)->nlmsg_len);
	assert_int_equal(get(fd), 32);
	assert_int_equal(((struct nlmsghdr *)packet)->nlmsg_seq, 4);
	close(fd);
}

static void test_dump_refused(void **state)
{
	uint32_t buffer[64];
	struct nlmsghdr *nlh = (struct nlmsghdr *)packet;
	int fd = dial();

	memset(buffer, 0, sizeof(buffer));
	message(buffer, RTM_GETROUTE, NLM_F_DUMP, 1, 12);
	((struct rtmsg *)(buffer + 4))->rtm_family = AF_INET6;
	put(fd, buffer, 28);
	assert_true(get(fd) > 20);
	assert_int_equal(nlh->nlmsg_type, NLMSG_DONE);
	assert_int_equal(*(int *)mnl_nlmsg_get_payload(nlh), -ENOENT);
	assert_true(nlh->nlmsg_flags & NLM_F_ACK_TLVS);
	/* An object that fits in no usual packet goes alone; an impossible one ends the dump. */
	put(fd, buffer, message(buffer, RTM_GETNEIGH, NLM_F_DUMP, 2, 12)->nlmsg_len);
	assert_int_equal(get(fd), 40000);
	assert_int_equal(get(fd), 100);
	assert_true(get(fd) > 20);
	assert_int_equal(nlh->nlmsg_type, NLMSG_DONE);
	assert_int_equal(*(int *)mnl_nlmsg_get_payload(nlh), -EMSGSIZE);
	close(fd);
}

static void hello(int fd, uint32_t version, uint32_t protocol, uint32_t dump_bytes, uint32_t seq)
{
	uint32_t buffer[16];
	struct nlmsghdr *nlh = message(buffer, PW_MSG_HELLO, 0, seq, sizeof(struct pw_msg_hello));
	struct pw_msg_hello *said = mnl_nlmsg_get_payload(nlh);

	*said = (struct pw_msg_hello){version, protocol, dump_bytes, 0};
	put(fd, buffer, nlh->nlmsg_len);
}

static void test_hello(void **state)
{
	uint32_t buffer[64];
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)packet;
	const struct pw_msg_hello *said = mnl_nlmsg_get_payload(nlh);
	int fd = dial();

	hello(fd, 1, NETLINK_ROUTE, 4096, 1);
	assert_true(get(fd) > 32);
	assert_int_equal(nlh->nlmsg_type, PW_MSG_HELLO);
	assert_int_equal(said->version, PW_NETLINK_VERSION);
	assert_int_equal(said->dump_bytes, 4096);
	put(fd, buffer, message(buffer, RTM_GETLINK, NLM_F_DUMP, 2, 16)->nlmsg_len);
	assert_true(expect_dump(fd, 2, 4096) > 500);
	hello(fd, 99, NETLINK_ROUTE, 0, 3);
	expect_error(fd, -EPROTO, 3, "this daemon speaks version 1 of the protocol, not 99", 0);
	hello(fd, 1, NETLINK_NETFILTER, 0, 4);
	expect_error(fd, -EPROTONOSUPPORT, 4, "netlink protocol 12 is not served here", 0);
	/* XFRM_MSG_NEWSA is RTM_NEWLINK's number: it must not reach the latter's handler. */
	hello(fd, 1, NETLINK_XFRM, 0, 5);
	assert_true(get(fd) > 32);
	put(fd, buffer, route(buffer, NLM_F_ACK, 6)->nlmsg_len);
	expect_error(fd, -EOPNOTSUPP, 6, "XFRM message type 24 is not supported", 0);
	assert_int_equal(handled, 0);
	close(fd);
}

static void subscribe(int fd, uint16_t type, uint32_t group)
{
	uint32_t buffer[16];
	struct nlmsghdr *nlh = message(buffer, type, NLM_F_ACK, 1, sizeof(struct pw_msg_group));

	*(uint32_t *)mnl_nlmsg_get_payload(nlh) = group;
	put(fd, buffer, nlh->nlmsg_len);
}

static void test_events(void **state)
{
	uint32_t buffer[64];
	int fd = dial(), other = dial();

	assert_false(pw_notify_wanted(RTNLGRP_IPV4_ROUTE));
	subscribe(fd, PW_MSG_SUBSCRIBE, RTNLGRP_IPV4_ROUTE);
	expect_error(fd, 0, 1, NULL, 0);
	assert_true(pw_notify_wanted(RTNLGRP_IPV4_ROUTE));
	put(other, buffer, route(buffer, 0, 7)->nlmsg_len);
	assert_int_equal(get(fd), 36);
	assert_int_equal(get(other), -1);
	put(other, buffer, route(buffer, NLM_F_ECHO, 8)->nlmsg_len); /* told although no listener */
	assert_int_equal(get(other), 36);
	assert_int_equal(get(fd), 36);
	subscribe(fd, PW_MSG_UNSUBSCRIBE, RTNLGRP_IPV4_ROUTE);
	expect_error(fd, 0, 1, NULL, 0);
	put(other, buffer, route(buffer, 0, 9)->nlmsg_len);
	assert_int_equal(get(fd), -1);
	subscribe(fd, PW_MSG_SUBSCRIBE, PW_NETLINK_GROUPS);
	expect_error(fd, -EINVAL, 1, "there is no event group 256", 0);
	subscribe(fd, PW_MSG_SUBSCRIBE, 0);
	expect_error(fd, -EINVAL, 1, "there is no event group 0", 0);
	subscribe(fd, PW_MSG_SUBSCRIBE, RTNLGRP_IPV4_ROUTE);
	expect_error(fd, 0, 1, NULL, 0);
	close(fd);
	rounds(3);
	assert_false(pw_notify_wanted(RTNLGRP_IPV4_ROUTE));
	close(other);
}

static void test_overrun(void **state)
{
	uint32_t buffer[64];
	unsigned int events = 0;
	ssize_t size;
	int sleeper = dial(), worker = dial();

	subscribe(sleeper, PW_MSG_SUBSCRIBE, RTNLGRP_IPV4_ROUTE);
	expect_error(sleeper, 0, 1, NULL, 0);
	for (uint32_t i = 0; i < 100000; i++) {
		put(worker, buffer, route(buffer, i % 100 ? 0 : NLM_F_ACK, i)->nlmsg_len);
		if (i % 100 == 0)
			expect_error(worker, 0, i, NULL, 0); /* it is never kept waiting */
	}
	rounds(200);
	assert_int_equal(handled, 100000);
	while ((size = get(sleeper)) == 36)
		events++;
	assert_int_equal(size, sizeof(struct nlmsghdr));
	assert_int_equal(((struct nlmsghdr *)packet)->nlmsg_type, NLMSG_OVERRUN);
	assert_true(events > 1000 && events < 60000);
	/* And from then on it hears again. */
	put(worker, buffer, route(buffer, 0, 1)->nlmsg_len);
	assert_int_equal(get(sleeper), 36);
	close(sleeper);
	close(worker);
}

static void count_close(void *context)
{
	closed = true;
}

static struct pw_client *last_client;

static int remember(struct pw_request *request)
{
	last_client = request->client;
	pw_client_on_close(request->client, count_close, NULL);
	return 0;
}

static void test_never_reads(void **state)
{
	uint32_t buffer[4096];
	size_t used = 0;
	int fd = dial();

	closed = false;
	pw_request_register(RTM_NEWRULE, -1, remember, NULL);
	put(fd, buffer, message(buffer, RTM_NEWRULE, 0, 1, 12)->nlmsg_len);
	rounds(3);
	for (uint32_t i = 0; i < 400; i++)
		used += NLMSG_ALIGN(route((char *)buffer + used, NLM_F_ACK, i)->nlmsg_len);
	for (int i = 0; i < 1000; i++) {
		if (send(fd, buffer, used, MSG_NOSIGNAL) < 0)
			break;
		rounds(1);
	}
	rounds(100);
	assert_true(pw_client_queued(last_client) < (300 << 10));
	assert_true(handled > 5000 && handled < 200000);
	assert_false(closed);
	/* What was asked for before the client left is done. */
	close(fd);
	rounds(500);
	assert_int_equal(handled % 400, 0);
	assert_true(closed);
	assert_int_equal(pw_client_count(), 0);
}

static void test_stream(void **state)
{
	uint32_t buffer[256];
	struct nlmsghdr *nlh;
	unsigned int sent = 0;
	int fd = dial();

	pw_request_register(RTM_NEWRULE, -1, remember, NULL);
	put(fd, buffer, message(buffer, RTM_NEWRULE, 0, 1, 12)->nlmsg_len);
	rounds(3);
	nlh = message(buffer, 0x500, 0, 42, 900);
	while (pw_client_stream(last_client, nlh) && sent < 100000)
		sent++;
	assert_true(sent > 500 && sent < 1000); /* bounded */
	for (unsigned int i = 0; i < sent; i++)
		assert_int_equal(get(fd), nlh->nlmsg_len);
	rounds(2);
	assert_true(pw_client_stream(last_client, nlh));
	close(fd);
	rounds(3);
}

static void test_internal(void **state)
{
	uint32_t buffer[64];
	char error[64] = "";

	assert_int_equal(pw_request_internal(route(buffer, 0, 1), error, sizeof(error)), 0);
	assert_int_equal(handled, 1);
	assert_int_equal(pw_request_internal(message(buffer, 999, 0, 1, 4), error, sizeof(error)),
			 -EOPNOTSUPP);
	assert_string_equal(error, "message type 999 is not supported");
	assert_int_equal(pw_request_internal(message(buffer, RTM_GETLINK, NLM_F_DUMP, 1, 16), error,
					     sizeof(error)),
			 -EOPNOTSUPP);
}

static void test_socket_file(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char error[160];
	struct stat status;
	int fd;

	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0660);
	/* A live daemon's socket stays; a dead one's is replaced. */
	pw_socket_close();
	strcpy(at.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(pw_socket_open(&options, error, sizeof(error)), -EADDRINUSE);
	assert_non_null(strstr(error, "already in use"));
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
	assert_int_equal(pw_socket_open(&options, error, sizeof(error)), 0);
	fd = dial();
	assert_int_equal(pw_client_count(), 1);
	close(fd);
	pw_socket_close();
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(pw_socket_open(&options, error, sizeof(error)), -EEXIST);
	unlink(path);
	assert_int_equal(pw_socket_open(&options, error, sizeof(error)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ack, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_in_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_framing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attributes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dump, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dump_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hello, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overrun, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_internal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
