/* SPDX-License-Identifier: BSD-3-Clause */
/* Lifetimes of SAs, and what workers and clients say of their ends. */
#include "sa_client.h"

static void expect_expire(const struct client *listener, unsigned int count, bool hard,
			  uint32_t spi)
{
	const struct xfrm_user_expire *expire;

	receive(listener);
	assert_int_equal(received_count(XFRM_MSG_EXPIRE), count);
	if (!count)
		return;
	expire = mnl_nlmsg_get_payload(received(XFRM_MSG_EXPIRE));
	assert_int_equal(received(XFRM_MSG_EXPIRE)->nlmsg_len, 16 + sizeof(*expire));
	assert_int_equal(expire->hard, hard);
	assert_int_equal(expire->state.id.spi, htonl(spi));
}

static void test_time_limits(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	uint64_t now = pw_sa_now();
	struct nlmsghdr *nlh;

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xa00);
	sa_info(nlh)->lft.soft_add_expires_seconds = 50;
	sa_info(nlh)->lft.hard_add_expires_seconds = 60;
	assert_int_equal(ask(&client, nlh), 0);
	pw_sa_tick(now + 49000);
	expect_expire(&listener, 0, false, 0);
	pw_sa_tick(now + 51000);
	expect_expire(&listener, 1, false, 0xa00);
	assert_true(sa_of(REMOTE, 0xa00)->entry.dying);
	pw_sa_tick(now + 52000); /* once */
	expect_expire(&listener, 0, false, 0);
	/* An update gives it a new life. */
	nlh = sa_message(XFRM_MSG_UPDSA, LOCAL, REMOTE, 0xa00);
	sa_info(nlh)->lft.hard_add_expires_seconds = 70;
	assert_int_equal(ask(&client, nlh), 0);
	assert_false(sa_of(REMOTE, 0xa00)->entry.dying);
	pw_sa_tick(now + 65000);
	expect_expire(&listener, 0, false, 0);
	pw_sa_tick(now + 71000);
	expect_expire(&listener, 1, true, 0xa00);
	assert_null(sa_of(REMOTE, 0xa00));
	client_close(&listener);
}

static void test_real_time(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	struct nlmsghdr *nlh;
	uint64_t end = pw_sa_now() + 5000;

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xa01);
	sa_info(nlh)->lft.hard_add_expires_seconds = 1;
	assert_int_equal(ask(&client, nlh), 0);
	while (sa_of(REMOTE, 0xa01) && pw_sa_now() < end)
		pw_loop_step(100);
	expect_expire(&listener, 1, true, 0xa01);
	client_close(&listener);
}

static void test_count_limits(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	struct nlmsghdr *nlh;
	const struct xfrm_usersa_info *info;
	struct pw_sa_counters *counters;

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xb00);
	sa_info(nlh)->lft.soft_byte_limit = 1000;
	sa_info(nlh)->lft.hard_packet_limit = 20;
	assert_int_equal(ask(&client, nlh), 0);
	counters = counters_of(REMOTE, 0xb00);
	counters->packets += 10;
	counters->bytes += 999;
	counters->used = rte_rdtsc();
	counters->replays += 3;
	counters->icv_failures += 2;
	pw_sa_poll(pw_sa_now());
	expect_expire(&listener, 0, false, 0);
	counters->bytes++;
	pw_sa_poll(pw_sa_now());
	expect_expire(&listener, 1, false, 0xb00);
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_GETSA, REMOTE, 0xb00)), 0);
	info = mnl_nlmsg_get_payload(received(XFRM_MSG_NEWSA));
	assert_true(info->curlft.bytes == 1000 && info->curlft.packets == 10);
	assert_true(info->curlft.use_time + 5 > (uint64_t)time(NULL));
	assert_int_equal(info->stats.replay, 3);
	assert_int_equal(info->stats.integrity_failed, 2);
	assert_non_null(sa_attribute(received(XFRM_MSG_NEWSA), sizeof(*info), XFRMA_LASTUSED));
	counters->packets += 10;
	pw_sa_poll(pw_sa_now());
	expect_expire(&listener, 1, true, 0xb00);
	assert_null(sa_of(REMOTE, 0xb00));

	/* The next one with this id begins at zero. */
	for (uint32_t spi = 0xb01; spi < 0xb10; spi++) {
		add(LOCAL, REMOTE, spi);
		assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_GETSA, REMOTE, spi)), 0);
		info = mnl_nlmsg_get_payload(received(XFRM_MSG_NEWSA));
		assert_true(info->curlft.bytes == 0 && info->curlft.packets == 0);
		assert_true(info->curlft.use_time == 0);
		assert_int_equal(info->stats.replay, 0);
	}
	client_close(&listener);
}

static void test_use_limits(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	struct nlmsghdr *nlh;
	uint64_t now = pw_sa_now();

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xb80);
	sa_info(nlh)->lft.hard_use_expires_seconds = 10;
	assert_int_equal(ask(&client, nlh), 0);
	pw_sa_tick(now + 100000); /* unused, it does not expire */
	assert_non_null(sa_of(REMOTE, 0xb80));
	counters_of(REMOTE, 0xb80)->packets++;
	counters_of(REMOTE, 0xb80)->used = rte_rdtsc();
	pw_sa_poll(now);
	pw_sa_tick(pw_sa_now() + 9000);
	expect_expire(&listener, 0, false, 0);
	pw_sa_tick(pw_sa_now() + 10001);
	expect_expire(&listener, 1, true, 0xb80);
	client_close(&listener);
}

static void test_expire_by_client(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	struct xfrm_user_expire expire = {0};
	struct nlmsghdr *nlh;

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	add(LOCAL, REMOTE, 0xc00);
	memcpy(&expire.state, sa_header(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xc00) + 1,
	       sizeof(expire.state));
	for (int hard = 0; hard < 2; hard++) {
		nlh = message(XFRM_MSG_EXPIRE, 0);
		expire.hard = (uint8_t)hard;
		memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(expire)), &expire, sizeof(expire));
		assert_int_equal(ask(&client, nlh), 0);
		expect_expire(&listener, 1, hard, 0xc00);
		assert_int_equal(pw_sa_count, !hard);
	}
	client_close(&listener);
}

static void test_notices(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	struct xfrm_encap_tmpl encap = {.encap_type = UDP_ENCAP_ESPINUDP,
					.encap_sport = htons(4500),
					.encap_dport = htons(4500)};
	struct nlmsghdr *nlh;
	const struct xfrm_user_mapping *mapping;
	struct pw_sa_state *hot;
	uint32_t id;

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	client_subscribe(&listener, XFRMNLGRP_MAPPING);
	nlh = sa_message(XFRM_MSG_NEWSA, REMOTE, LOCAL, 0xd00);
	mnl_attr_put(nlh, XFRMA_ENCAP, sizeof(encap), &encap);
	assert_int_equal(ask(&client, nlh), 0);
	id = sa_of(LOCAL, 0xd00)->entry.id;
	hot = sa_of(LOCAL, 0xd00)->state;
	memcpy(hot->mapped_address, (uint8_t[]){203, 0, 113, 9}, 4);
	hot->mapped_port = htons(6000);
	hot->mapping = 2;
	assert_true(pw_sa_notice_put(PW_SA_NOTICE_MAPPING, id));
	assert_true(pw_sa_notice_put(PW_SA_NOTICE_MAPPING, id));
	assert_true(pw_sa_notice_put(PW_SA_NOTICE_MAPPING, PW_SAS - 1)); /* gone meanwhile */
	pw_sa_notices();
	receive(&listener);
	assert_int_equal(received_count(XFRM_MSG_MAPPING), 1);
	mapping = mnl_nlmsg_get_payload(received(XFRM_MSG_MAPPING));
	assert_int_equal(mapping->id.spi, htonl(0xd00));
	assert_int_equal(mapping->new_saddr.a4, htonl(0xcb007109));
	assert_int_equal(mapping->new_sport, htons(6000));
	assert_int_equal(mapping->old_sport, htons(4500));
	assert_int_equal(hot->mapping, 2);
	pw_sa_tick(pw_sa_now() + 1001);
	assert_int_equal(hot->mapping, 0);

	hot->exhausted = 1;
	assert_true(pw_sa_notice_put(PW_SA_NOTICE_EXHAUSTED, id));
	pw_sa_notices();
	expect_expire(&listener, 1, true, 0xd00);
	assert_int_equal(pw_sa_count, 0);
	client_close(&listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_time_limits), CASE(test_real_time),        CASE(test_count_limits),
		CASE(test_use_limits),  CASE(test_expire_by_client), CASE(test_notices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
