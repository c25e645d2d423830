/* SPDX-License-Identifier: BSD-3-Clause */
/* Sequence numbers and windows of SAs as messages set and tell them. */
#include "sa_client.h"

static struct nlmsghdr *state_message(uint16_t type, uint32_t spi)
{
	struct nlmsghdr *nlh = message(type, NLM_F_REPLACE);
	struct xfrm_aevent_id *id = mnl_nlmsg_put_extra_header(nlh, sizeof(*id));

	id->sa_id.daddr.a4 = htonl(0xc0000202);
	id->sa_id.spi = htonl(spi);
	id->sa_id.family = AF_INET;
	id->sa_id.proto = IPPROTO_ESP;
	return nlh;
}

static void test_replay_state(void **state)
{
	struct nlmsghdr *nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xe00);
	const struct xfrm_replay_state_esn *wide;
	struct pw_seqwindow *window;
	const struct nlattr *attribute;
	uint64_t top = (UINT64_C(3) << 32) + 5;
	uint32_t given[4];

	/* 100 numbers' window, none a power of two; the highest, one 7 before and one 99 before. */
	sa_info(nlh)->flags = XFRM_STATE_ESN;
	put_wide(nlh, 4, 100, 77, top);
	attribute = sa_attribute(nlh, sizeof(struct xfrm_usersa_info), XFRMA_REPLAY_ESN_VAL);
	for (int i = 0; i < 3; i++) {
		uint32_t bit = ((uint32_t)(top - 1) % 100 + 100 - (uint32_t[]){0, 7, 99}[i]) % 100;

		((uint32_t *)mnl_attr_get_payload(attribute))[6 + bit / 32] |= 1u << (bit % 32);
	}
	memcpy(given, (uint32_t *)mnl_attr_get_payload(attribute) + 6, sizeof(given));
	assert_int_equal(ask(&client, nlh), 0);
	window = &sa_of(REMOTE, 0xe00)->state->window;
	assert_true(window->top == top);
	for (uint32_t back = 0; back < 110; back++) {
		bool seen = back == 0 || back == 7 || back >= 99;

		assert_int_equal(pw_seqwindow_check(window, top - back), !seen);
	}
	assert_true(sa_of(REMOTE, 0xe00)->state->sequence == 77);

	/* It is told as it was given. */
	assert_int_equal(ask(&client, state_message(XFRM_MSG_GETAE, 0xe00)), 0);
	assert_non_null(received(XFRM_MSG_NEWAE));
	attribute = sa_attribute(received(XFRM_MSG_NEWAE), sizeof(struct xfrm_aevent_id),
				 XFRMA_REPLAY_ESN_VAL);
	assert_non_null(attribute);
	wide = mnl_attr_get_payload(attribute);
	assert_int_equal(wide->bmp_len, 4);
	assert_int_equal(wide->replay_window, 100);
	assert_int_equal(wide->seq, 5);
	assert_int_equal(wide->seq_hi, 3);
	assert_int_equal(wide->oseq, 77);
	assert_memory_equal(wide->bmp, given, sizeof(given));
}

static void test_replay_forward(void **state)
{
	struct nlmsghdr *nlh;
	struct xfrm_replay_state narrow = {.oseq = 10, .seq = 20, .bitmap = 0x5};
	struct client listener = client_new(NETLINK_XFRM);
	struct xfrm_lifetime_cur current = {.bytes = 5000, .packets = 50, .add_time = 1000};
	struct pw_sa_detail *sa;

	client_subscribe(&listener, XFRMNLGRP_AEVENTS);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xe01);
	sa_info(nlh)->replay_window = 64;
	mnl_attr_put(nlh, XFRMA_REPLAY_VAL, sizeof(narrow), &narrow);
	assert_int_equal(ask(&client, nlh), 0);
	sa = sa_of(REMOTE, 0xe01);
	assert_false(pw_seqwindow_check(&sa->state->window, 20));
	assert_true(pw_seqwindow_check(&sa->state->window, 19));
	assert_false(pw_seqwindow_check(&sa->state->window, 18));

	narrow = (struct xfrm_replay_state){.oseq = 9, .seq = 20};
	nlh = state_message(XFRM_MSG_NEWAE, 0xe01);
	mnl_attr_put(nlh, XFRMA_REPLAY_VAL, sizeof(narrow), &narrow);
	refused(nlh, -EINVAL, "numbers up to 10 were sent");
	narrow = (struct xfrm_replay_state){.oseq = 10, .seq = 19};
	nlh = state_message(XFRM_MSG_NEWAE, 0xe01);
	mnl_attr_put(nlh, XFRMA_REPLAY_VAL, sizeof(narrow), &narrow);
	refused(nlh, -EINVAL, "the window does not go back");
	narrow = (struct xfrm_replay_state){.oseq = 1000, .seq = 2000, .bitmap = 1};
	nlh = state_message(XFRM_MSG_NEWAE, 0xe01);
	nlh->nlmsg_flags &= ~NLM_F_REPLACE;
	mnl_attr_put(nlh, XFRMA_REPLAY_VAL, sizeof(narrow), &narrow);
	refused(nlh, -EINVAL, "needs NLM_F_REPLACE");
	refused(state_message(XFRM_MSG_NEWAE, 0xe01), -EINVAL, "without anything");
	nlh = state_message(XFRM_MSG_NEWAE, 0xe01);
	mnl_attr_put(nlh, XFRMA_REPLAY_VAL, sizeof(narrow), &narrow);
	mnl_attr_put(nlh, XFRMA_LTIME_VAL, sizeof(current), &current);
	assert_int_equal(ask(&client, nlh), 0);
	assert_true(sa->state->sequence == 1000 && sa->state->window.top == 2000);
	assert_true(pw_seqwindow_check(&sa->state->window, 1999));
	receive(&listener);
	assert_non_null(received(XFRM_MSG_NEWAE));
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_GETSA, REMOTE, 0xe01)), 0);
	assert_true(sa_info((struct nlmsghdr *)received(XFRM_MSG_NEWSA))->curlft.packets == 50);
	client_close(&listener);
}

static void test_thresholds(void **state)
{
	struct nlmsghdr *nlh;
	struct client listener = client_new(NETLINK_XFRM);
	uint64_t now;

	client_subscribe(&listener, XFRMNLGRP_AEVENTS);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xe02);
	mnl_attr_put_u32(nlh, XFRMA_REPLAY_THRESH, 10);
	mnl_attr_put_u32(nlh, XFRMA_ETIMER_THRESH, 50);
	assert_int_equal(ask(&client, nlh), 0);
	now = pw_sa_now();
	counters_of(REMOTE, 0xe02)->packets = 9;
	pw_sa_poll(now);
	receive(&listener);
	assert_null(received(XFRM_MSG_NEWAE));
	pw_sa_poll(now + 5100);
	receive(&listener);
	assert_non_null(received(XFRM_MSG_NEWAE));
	counters_of(REMOTE, 0xe02)->packets = 19;
	pw_sa_poll(now + 5200);
	receive(&listener);
	assert_non_null(received(XFRM_MSG_NEWAE));
	client_close(&listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_replay_state),
		CASE(test_replay_forward),
		CASE(test_thresholds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
