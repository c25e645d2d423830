/* SPDX-License-Identifier: BSD-3-Clause */
/* Many SAs, dumps and events; who is shown keys, and that no copy of one stays. */
#include "sa_client.h"

#include "memory_scan.h"

/* ---- many, events, dumps --------------------------------------------------------------------- */

static unsigned int dump(const struct client *from, const struct nlmsghdr *nlh)
{
	unsigned int count = 0;

	assert_int_equal(send(from->fd, nlh, nlh->nlmsg_len, 0), nlh->nlmsg_len);
	for (int i = 0; i < 10000; i++) {
		ssize_t size;

		settle();
		size = recv(from->fd, answers, sizeof(answers), MSG_DONTWAIT);
		answers_size = size > 0 ? (size_t)size : 0;
		count += received_count(XFRM_MSG_NEWSA);
		if (received(NLMSG_DONE) || received(NLMSG_ERROR))
			return count;
	}
	fail_msg("the dump does not end");
	return 0;
}

static struct nlmsghdr *dump_message(void)
{
	return message(XFRM_MSG_GETSA, NLM_F_DUMP);
}

static void test_dump_and_flush(void **state)
{
	struct client listener = client_new(NETLINK_XFRM), route = client_new(NETLINK_ROUTE);
	struct xfrm_address_filter filter = {.family = AF_INET, .dplen = 32};
	struct nlmsghdr *nlh;

	for (uint32_t spi = 0x10000; spi < 0x10000 + 300; spi++)
		add(LOCAL, spi & 1 ? REMOTE : "192.0.2.3", spi);
	assert_int_equal(dump(&client, dump_message()), 300);
	nlh = dump_message();
	filter.daddr.a4 = htonl(0xc0000202);
	mnl_attr_put_u8(nlh, XFRMA_PROTO, IPPROTO_ESP);
	mnl_attr_put(nlh, XFRMA_ADDRESS_FILTER, sizeof(filter), &filter);
	assert_int_equal(dump(&client, nlh), 150);
	nlh = dump_message();
	mnl_attr_put_u8(nlh, XFRMA_PROTO, IPPROTO_AH);
	assert_int_equal(dump(&client, nlh), 0);

	client_subscribe(&listener, XFRMNLGRP_SA);
	client_subscribe(&route, XFRMNLGRP_SA); /* RTNLGRP_NEIGH, of the other protocol */
	nlh = message(XFRM_MSG_FLUSHSA, 0);
	*(uint8_t *)mnl_nlmsg_put_extra_header(nlh, 1) = IPPROTO_AH;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_count, 300);
	nlh = message(XFRM_MSG_FLUSHSA, 0);
	*(uint8_t *)mnl_nlmsg_put_extra_header(nlh, 1) = 255;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_count, 0);
	receive(&listener);
	assert_int_equal(received_count(XFRM_MSG_FLUSHSA), 1);
	receive(&route);
	assert_int_equal(answers_size, 0);
	client_close(&listener);
	client_close(&route);
}

/** True when the key is among what the client received last. */
static bool key_received(void)
{
	return memmem(answers, answers_size, test_key, 16) != NULL;
}

static void test_who_sees_keys(void **state)
{
	struct client listener = client_new(NETLINK_XFRM), guest;

	client_subscribe(&listener, XFRMNLGRP_SA);
	assert_return_code(seteuid(65534), 0);
	guest = client_new(NETLINK_XFRM);
	assert_return_code(seteuid(0), 0);
	add(LOCAL, REMOTE, 0x20000);
	receive(&listener);
	assert_non_null(received(XFRM_MSG_NEWSA));
	assert_false(key_received());
	assert_int_equal(dump(&client, dump_message()), 1);
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_GETSA, REMOTE, 0x20000)), 0);
	assert_true(key_received());
	assert_int_equal(ask(&guest, sa_id_message(XFRM_MSG_GETSA, REMOTE, 0x20000)), 0);
	assert_non_null(received(XFRM_MSG_NEWSA));
	assert_false(key_received());
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_DELSA, REMOTE, 0x20000)), 0);
	receive(&listener);
	assert_non_null(received(XFRM_MSG_DELSA));
	assert_false(key_received());
	client_close(&listener);
	client_close(&guest);
}

static void test_many(void **state)
{
	const uint32_t many = PW_SAS - 1;

	/* An address pair of its own for most, as in a mesh. */
	for (uint32_t i = 0; i < many; i++) {
		struct nlmsghdr *nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x30000 + i);

		sa_info(nlh)->id.daddr.a4 = htonl(0x0a000000 + i / 2);
		sa_info(nlh)->lft.hard_add_expires_seconds = 100 + i % 7919;
		nlh->nlmsg_flags = NLM_F_REQUEST;
		while (send(client.fd, nlh, nlh->nlmsg_len, 0) < 0)
			assert_return_code(pw_loop_step(0), 0);
	}
	for (int i = 0; i < 1000 && pw_sa_count < many; i++)
		settle();
	assert_int_equal(pw_sa_count, many);
	refused(sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x20), -EINVAL, "reserved");
	refused(sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x20000), -ENOSPC, "SAs is full");
	assert_int_equal(dump(&client, dump_message()), many);
	pw_sa_tick(pw_sa_now() + 100000 + 4000000);
	assert_in_range(pw_sa_count, 1, many - 1);
	pw_sa_tick(pw_sa_now() + 100000 + 7919000);
	assert_int_equal(pw_sa_count, 0);
	add(LOCAL, REMOTE, 0x20000);
}

/* ---- no copy of a key stays -------------------------------------------------------------------
 */

static struct scan_result scan_key(void)
{
	struct scan_pattern patterns[2];

	/* The cipher's key, in its two halves. */
	patterns[0] = scan_pattern(test_key);
	patterns[1] = scan_pattern(test_key + 16);
	return scan_memory(patterns, 2);
}

static void forget_own_copies(void)
{
	explicit_bzero(message_buffer, sizeof(message_buffer));
	explicit_bzero(answers, sizeof(answers));
}

/* Two messages in one packet. */
static size_t dump_and_add(char *packet)
{
	struct nlmsghdr *nlh = dump_message();
	size_t size = nlh->nlmsg_len;

	memcpy(packet, nlh, size);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x40002);
	memcpy(packet + size, nlh, nlh->nlmsg_len);
	return size + nlh->nlmsg_len;
}

static void test_keys_wiped(void **state)
{
	/* This program's own constant and its copies are there from the beginning. */
	unsigned int own, here;
	char both[1024];

	forget_own_copies();
	own = scan_key().found;
	add(LOCAL, REMOTE, 0x40000);
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_GETSA, REMOTE, 0x40000)), 0);
	assert_true(key_received());
	assert_int_equal(dump(&client, dump_message()), 1);
	refused(sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x40000), -EEXIST, "exists");
	refused(gcm(168, 128), -EINVAL, "key");
	forget_own_copies();
	here = scan_key().found;
	assert_true(here > own); /* in locked memory */
	assert_int_equal(scan_key().outside, own);
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_DELSA, REMOTE, 0x40000)), 0);
	settle();
	forget_own_copies();
	assert_int_equal(scan_key().found, own);

	/* One that waits, in a packet, for a dump to end. */
	assert_int_equal(send(client.fd, both, dump_and_add(both), 0) > 0, 1);
	receive(&client);
	assert_non_null(sa_of(REMOTE, 0x40002));
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_DELSA, REMOTE, 0x40002)), 0);
	settle();
	explicit_bzero(both, sizeof(both));
	forget_own_copies();
	assert_int_equal(scan_key().found, own);

	/* A client that does not read, and goes: what waited for it goes too. */
	add(LOCAL, REMOTE, 0x40001);
	for (int i = 0; i < 2000; i++) {
		struct nlmsghdr *nlh = sa_id_message(XFRM_MSG_GETSA, REMOTE, 0x40001);

		if (send(client.fd, nlh, nlh->nlmsg_len, 0) < 0)
			break;
		pw_loop_step(0);
	}
	client_close(&client);
	client = client_new(NETLINK_XFRM);
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_DELSA, REMOTE, 0x40001)), 0);
	settle();
	forget_own_copies();
	assert_int_equal(scan_key().found, own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_dump_and_flush),
		CASE(test_who_sees_keys),
		CASE(test_many),
		CASE(test_keys_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
