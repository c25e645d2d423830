/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests over a real socket: framing, errors, attributes, dumps. */
#include "request_fixture.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

#include "control/client.h"
#include "control/request.h"
#include "lib/pewter_netlink.h"

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
		cmocka_unit_test_setup_teardown(test_internal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
