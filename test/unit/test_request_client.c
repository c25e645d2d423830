/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients of the socket: events, what happens to those that do not read, the socket's file. */
#include "request_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/un.h>

#include <linux/rtnetlink.h>

#include "control/client.h"
#include "control/request.h"
#include "lib/pewter_netlink.h"

static bool closed;

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
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overrun, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
