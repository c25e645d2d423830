/* SPDX-License-Identifier: BSD-3-Clause */
/* SAs to come: SPIs that were allocated, and what an ACQUIRE left; and which SA is chosen. */
#include "sa_client.h"

static uint32_t allocate(uint32_t min, uint32_t max, uint32_t seq)
{
	struct nlmsghdr *nlh = message(XFRM_MSG_ALLOCSPI, 0);
	struct xfrm_userspi_info *wanted = mnl_nlmsg_put_extra_header(nlh, sizeof(*wanted));
	static char copy[sizeof(message_buffer)];

	memcpy(copy, sa_header(XFRM_MSG_NEWSA, REMOTE, LOCAL, 0) + 1, sizeof(wanted->info));
	nlh = message(XFRM_MSG_ALLOCSPI, 0);
	wanted = mnl_nlmsg_put_extra_header(nlh, sizeof(*wanted));
	memcpy(&wanted->info, copy, sizeof(wanted->info));
	wanted->info.seq = seq;
	wanted->min = min;
	wanted->max = max;
	if (ask(&client, nlh))
		return 0;
	assert_non_null(received(XFRM_MSG_NEWSA));
	return ntohl(sa_info((struct nlmsghdr *)received(XFRM_MSG_NEWSA))->id.spi);
}

static void test_larva(void **state)
{
	uint32_t seen = 0, spi;
	struct nlmsghdr *nlh;

	/* Each of a range of four, once; then no more. */
	for (int i = 0; i < 4; i++) {
		spi = allocate(0x700, 0x703, 0);
		assert_in_range(spi, 0x700, 0x703);
		assert_false(seen & 1u << (spi & 3));
		seen |= 1u << (spi & 3);
		assert_true(sa_of(LOCAL, spi)->entry.larval);
	}
	assert_int_equal(allocate(0x700, 0x703, 0), 0);
	assert_said("no SPI from 0x700 to 0x703 is free");
	assert_int_equal(allocate(0x20, 0x703, 0), 0);
	assert_said("SPI 32 is reserved");
	assert_int_equal(allocate(0x703, 0x700, 0), 0);
	assert_said("are none");
	/* With the same seq, the same answer. */
	spi = allocate(0x1000, 0x10000000, 99);
	assert_int_equal(allocate(0x1000, 0x10000000, 99), spi);
	assert_int_equal(pw_sa_count, 5);

	/* It holds the SPI against others, and is fulfilled by UPDSA. */
	refused(sa_message(XFRM_MSG_NEWSA, REMOTE, LOCAL, 0x701), -EEXIST, "exists");
	nlh = sa_message(XFRM_MSG_UPDSA, REMOTE, LOCAL, 0x701);
	assert_int_equal(ask(&client, nlh), 0);
	assert_false(sa_of(LOCAL, 0x701)->entry.larval);
	assert_int_equal(pw_sa_count, 5);

	/* The others go after 30 seconds. */
	pw_sa_tick(pw_sa_now() + 29000);
	assert_int_equal(pw_sa_count, 5);
	pw_sa_tick(pw_sa_now() + 30001);
	assert_int_equal(pw_sa_count, 1);
	assert_non_null(sa_of(LOCAL, 0x701));
}

static void test_acquire_larva(void **state)
{
	struct pw_sa_wanted wanted = {.source = address_of(LOCAL),
				      .destination = address_of(REMOTE),
				      .reqid = 7,
				      .mode = XFRM_MODE_TRANSPORT};
	uint32_t first = pw_sa_acquire_larva(&wanted, 5);
	struct nlmsghdr *nlh;

	assert_int_equal(pw_sa_count, 1);
	assert_non_null(pw_sa_larva_by_seq(first));
	assert_null(pw_sa_choose(&wanted));
	assert_false(pw_sa_acquire(0) && pw_sa_acquire(0));
	/* An SA for the same, even without its seq, takes its place. */
	add(LOCAL, REMOTE, 0x800);
	assert_int_equal(pw_sa_count, 1);
	assert_null(pw_sa_larva_by_seq(first));
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x800));
	/* One for another reqid does not, unless it has the seq. */
	first = pw_sa_acquire_larva(&wanted, 5);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x801);
	sa_info(nlh)->reqid = 9;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_count, 3);
	nlh = sa_message(XFRM_MSG_UPDSA, LOCAL, REMOTE, 0x802);
	sa_info(nlh)->reqid = 9;
	sa_info(nlh)->seq = first;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_count, 3);
	assert_null(pw_sa_larva_by_seq(first));
}

static void test_choose(void **state)
{
	struct pw_sa_wanted wanted = {.source = address_of(LOCAL),
				      .destination = address_of(REMOTE),
				      .mode = XFRM_MODE_TRANSPORT};
	struct nlmsghdr *nlh;

	assert_null(pw_sa_choose(&wanted));
	add(LOCAL, REMOTE, 0x900);
	add(LOCAL, REMOTE, 0x901);
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x901));
	pw_sa_expire_soft(sa_of(REMOTE, 0x901));
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x900));
	wanted.spi = htonl(0x901);
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x901));
	wanted.spi = 0;
	wanted.reqid = 8;
	assert_null(pw_sa_choose(&wanted));
	wanted.reqid = 7;
	wanted.if_id = 1;
	assert_null(pw_sa_choose(&wanted));
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x902);
	mnl_attr_put_u32(nlh, XFRMA_IF_ID, 1);
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x902));
	wanted.source.family = 0;
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x902));
	/* An SA whose selector has another protocol, or other addresses, is not used. */
	wanted.if_id = 0;
	wanted.protocol = IPPROTO_GRE;
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x900));
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x903);
	sa_info(nlh)->sel.proto = IPPROTO_TCP;
	assert_int_equal(ask(&client, nlh), 0);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x904);
	sa_info(nlh)->sel.saddr.a4 = htonl(0x0a000000);
	sa_info(nlh)->sel.prefixlen_s = 9;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x900));
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x905);
	sa_info(nlh)->sel.saddr.a4 = htonl(0xc0000200);
	sa_info(nlh)->sel.prefixlen_s = 23;
	sa_info(nlh)->sel.proto = IPPROTO_GRE;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x905));
	wanted.protocol = IPPROTO_MPLS;
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x900));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_larva),
		CASE(test_acquire_larva),
		CASE(test_choose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
