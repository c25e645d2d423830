/* SPDX-License-Identifier: BSD-3-Clause */
/* What policies have daemons told: ACQUIRE and the ends of lifetimes. */
#include "protection_fixture.h"

static const struct nlmsghdr *event(uint16_t type)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)answer;

	do {
		if (receive() < 0)
			return NULL;
	} while (nlh->nlmsg_type != type);
	return nlh;
}

static void test_acquire(void **state)
{
	uint32_t id = endpoint_of("gre1", "10.0.0.2")->id;
	const struct nlmsghdr *nlh;
	const struct nlattr *attribute;
	struct xfrm_user_acquire acquire;
	struct xfrm_user_tmpl template = {0};
	uint32_t if_id = 0;

	subscribe(XFRMNLGRP_ACQUIRE, true);
	assert_int_equal(add(OUT "priority 3 if_id 44 tmpl reqid 5"), 0);
	pw_protection_acquire(id);
	nlh = event(XFRM_MSG_ACQUIRE);
	assert_non_null(nlh);
	memcpy(&acquire, mnl_nlmsg_get_payload(nlh), sizeof(acquire));
	assert_int_equal(acquire.id.proto, IPPROTO_ESP);
	assert_int_equal(acquire.id.daddr.a4, inet_addr("10.0.0.2"));
	assert_int_equal(acquire.saddr.a4, inet_addr("10.0.0.1"));
	assert_int_equal(acquire.sel.daddr.a4, inet_addr("10.0.0.2"));
	assert_int_equal(acquire.sel.saddr.a4, inet_addr("10.0.0.1"));
	assert_int_equal(acquire.sel.prefixlen_d, 32);
	assert_int_equal(acquire.sel.prefixlen_s, 32);
	assert_int_equal(acquire.sel.proto, GRE);
	assert_int_equal(acquire.sel.family, AF_INET);
	assert_int_equal(acquire.policy.priority, 3);
	assert_int_equal(acquire.policy.dir, XFRM_POLICY_OUT);
	assert_int_not_equal(acquire.seq, 0);
	mnl_attr_for_each(attribute, nlh, sizeof(acquire))
	{
		if (mnl_attr_get_type(attribute) == XFRMA_TMPL)
			memcpy(&template, mnl_attr_get_payload(attribute), sizeof(template));
		if (mnl_attr_get_type(attribute) == XFRMA_IF_ID)
			if_id = mnl_attr_get_u32(attribute);
	}
	assert_int_equal(template.reqid, 5);
	assert_int_equal(if_id, 44);
	assert_non_null(pw_sa_larva_by_seq(acquire.seq));
	flush();
	/* Nothing is asked for what needs no SA. */
	pw_protection_acquire(id);
	assert_null(event(XFRM_MSG_ACQUIRE));
	subscribe(XFRMNLGRP_ACQUIRE, false);
}

static void asks(uint32_t id, bool heard)
{
	pw_sa_acquire(id);
	pw_sa_notices();
	if (heard)
		assert_non_null(event(XFRM_MSG_ACQUIRE));
	else
		assert_null(event(XFRM_MSG_ACQUIRE));
}

/* As workers ask: once, until it was answered, or soon again when nobody heard it. */
static void test_acquire_again(void **state)
{
	uint32_t id = endpoint_of("gre1", "10.0.0.2")->id;
	struct pw_sa_detail *sa;

	assert_int_equal(add(OUT "tmpl"), 0);
	asks(id, false);
	subscribe(XFRMNLGRP_ACQUIRE, true);
	for (int i = 0; i < 40; i++)
		pw_loop_step(50);
	asks(id, true);
	asks(id, false);
	sa = add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 0, 0, 0, 0});
	expect(PW_PROTECT_OUT, sa);
	remove_sa(sa);
	asks(id, true);
	asks(id, false);
	/* The id of another endpoint than the one that asked. */
	pw_link_delete(link_named("gre1"));
	settle();
	pw_sa_acquire(id);
	pw_sa_notices();
	assert_true(pw_sa_acquire(id));
	subscribe(XFRMNLGRP_ACQUIRE, false);
}

static void test_lifetime(void **state)
{
	const struct nlmsghdr *nlh;
	struct xfrm_user_polexpire expire;

	subscribe(XFRMNLGRP_EXPIRE, true);
	assert_int_equal(add(OUT "soft 1 hard 3 tmpl"), 0);
	expect(PW_PROTECT_OUT, NULL);
	for (int hard = 0; hard < 2; hard++) {
		nlh = NULL;
		for (int i = 0; i < 20 && !nlh; i++)
			nlh = event(XFRM_MSG_POLEXPIRE);
		assert_non_null(nlh);
		memcpy(&expire, mnl_nlmsg_get_payload(nlh), sizeof(expire));
		assert_int_equal(expire.hard, hard);
		assert_int_equal(expire.pol.dir, XFRM_POLICY_OUT);
		assert_int_equal(pw_policy_count(XFRM_POLICY_OUT), !hard);
	}
	settle();
	expect(0, NULL);
	subscribe(XFRMNLGRP_EXPIRE, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_acquire, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_acquire_again, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_lifetime, with_tunnel, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
