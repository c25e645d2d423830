/* SPDX-License-Identifier: BSD-3-Clause */
/* The XFRM mirror against what plays the kernel. */
#include "xfrm_kernel.h"

#include <stdlib.h>

#include <rte_cycles.h>

#include "control/feed/xfrm_internal.h"
#include "control/policy.h"

#define LOCAL  "10.255.0.1"
#define REMOTE "10.255.0.2"

static struct shown *in, *out;

static struct pw_sa_detail *ours(const struct shown *shown)
{
	return sa_of(shown == in ? LOCAL : REMOTE,
		     ntohl(shown_info((struct shown *)shown)->id.spi));
}

/* Two SAs and two policies, there before Pewter follows. */
static int setup(void **state)
{
	int commands[2], events[2];

	if (sa_fixture_start(state))
		return -1;
	assert_int_equal(link_up("p0", true), 0);
	assert_int_equal(add_address("p0", LOCAL, 32), 0);
	recordings_read();
	memset(kernel.sas, 0, sizeof(kernel.sas));
	memset(kernel.policies, 0, sizeof(kernel.policies));
	kernel.dumps = 0;
	out = show(kernel.sas, "sa-out");
	in = show(kernel.sas, "sa-in");
	show(kernel.policies, "policy-out");
	show(kernel.policies, "policy-in");
	assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, commands), 0);
	assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, events), 0);
	kernel_start(events[1], commands[1]);
	pw_xfrm_options = (struct pw_xfrm_options){.enabled = true, .interval = 1};
	assert_int_equal(pw_xfrm_mirror_open(events[0], commands[0]), 0);
	settle();
	return 0;
}

static int teardown(void **state)
{
	pw_xfrm_mirror_stop();
	kernel_end();
	return sa_fixture_stop(state);
}

static unsigned int policies(void)
{
	return pw_policy_count(XFRM_POLICY_IN) + pw_policy_count(XFRM_POLICY_OUT);
}

/* What a worker counts. */
static void use(struct pw_sa_detail *sa, uint64_t packets, uint64_t bytes)
{
	struct pw_sa_counters *counters = &pw_workers[0]->sa[sa->entry.id];

	counters->packets += packets;
	counters->bytes += bytes;
	counters->used = rte_rdtsc();
	if (!sa->inward)
		sa->state->sequence += packets;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_taken(void **state)
{
	struct pw_sa_detail *inward = ours(in), *outward = ours(out);
	struct xfrm_algo_aead *key =
		attribute_of(shown_message(in), sizeof(struct xfrm_usersa_info), XFRMA_ALG_AEAD);

	(void)state;
	assert_non_null(inward);
	assert_non_null(outward);
	assert_int_equal(pw_sa_count, 2);
	assert_true(inward->mirror.on && inward->inward && !outward->inward);
	assert_string_equal(inward->suite->cipher, "rfc4106(gcm(aes))");
	assert_memory_equal(inward->secret, key->alg_key, key->alg_key_len / 8);
	assert_true(inward->flags & XFRM_STATE_ESN);
	assert_int_equal(inward->window, 128);
	assert_int_equal(inward->limits.hard_add_expires_seconds,
			 shown_info(in)->lft.hard_add_expires_seconds);
	assert_int_equal(inward->before.add_time, shown_info(in)->curlft.add_time);
	assert_int_equal(policies(), 2);
	assert_int_equal(pw_policy_next(0)->mirrored, 1);
	assert_int_equal(pw_xfrm_counters.refused, 0);
	/* Numbers to send with are the kernel's first. */
	assert_int_equal(in->states, 0);
	assert_int_equal(out->sent, PW_XFRM_LEASE);
	assert_int_equal(outward->state->sequence, 0);
}

static void test_goes_on_from_the_kernels_count(void **state)
{
	struct xfrm_replay_state_esn *replay = attribute_of(
		shown_message(out), sizeof(struct xfrm_usersa_info), XFRMA_REPLAY_ESN_VAL);

	pw_xfrm_sa_remove(ours(out));
	replay->oseq = 77;
	replay->oseq_hi = 1;
	pw_xfrm_resync();
	assert_int_equal(ours(out)->state->sequence, (UINT64_C(1) << 32) + 77);
	assert_int_equal(out->sent, (UINT64_C(1) << 32) + 77 + PW_XFRM_LEASE);
}

static void test_lease(void **state)
{
	use(ours(out), PW_XFRM_LEASE / 2, 1);
	pw_xfrm_leases_renew();
	assert_int_equal(out->sent, PW_XFRM_LEASE);
	use(ours(out), 1, 1);
	pw_xfrm_leases_renew();
	assert_int_equal(out->sent, 2 * PW_XFRM_LEASE);
	/* Not beyond what an SA can send. */
	ours(out)->state->sequence = UINT64_MAX - (UINT64_C(1) << 32) - 5;
	pw_xfrm_leases_renew();
	assert_int_equal(out->sent, UINT64_MAX - (UINT64_C(1) << 32));
	/* Gone in the kernel without a word. */
	ours(out)->state->sequence = 2 * PW_XFRM_LEASE;
	ours(out)->mirror.lease = 2 * PW_XFRM_LEASE;
	out->there = false;
	pw_xfrm_leases_renew();
	assert_null(ours(out));
}

static void test_counters(void **state)
{
	use(ours(out), 3, 300);
	use(ours(in), 5, 500);
	pw_seqwindow_accept(&ours(in)->state->window, 9);
	pw_xfrm_report();
	assert_int_equal(out->told.packets, 3);
	assert_int_equal(out->told.bytes, 300);
	assert_int_not_equal(out->told.use_time, 0);
	assert_int_equal(out->told.add_time, shown_info(out)->curlft.add_time);
	assert_int_equal(in->told.packets, 5);
	/* The count of what was sent is left alone. */
	assert_int_equal(out->sent, PW_XFRM_LEASE);
	/* Nothing new, nothing said. */
	out->states = in->states = 0;
	pw_xfrm_report();
	assert_int_equal(out->states + in->states, 0);
	out->there = false;
	use(ours(out), 1, 1);
	pw_xfrm_report();
	assert_null(ours(out));
	assert_non_null(ours(in));
}

static void test_kernel_sends_too(void **state)
{
	use(ours(out), 10, 1000);
	out->sent += 4;
	pw_xfrm_report();
	assert_int_equal(pw_xfrm_counters.shared, 1);
	assert_true(ours(out)->state->sequence > PW_XFRM_LEASE + 4);
	assert_true(out->sent > ours(out)->state->sequence + PW_XFRM_LEASE / 2);
	use(ours(out), 10, 1000);
	pw_xfrm_report();
	assert_int_equal(pw_xfrm_counters.shared, 1);
}

static void test_limits(void **state)
{
	ours(out)->limits.soft_byte_limit = 1000;
	ours(out)->limits.hard_packet_limit = 20;
	pw_sa_lifetime_changed(ours(out));
	use(ours(out), 10, 1000);
	pw_sa_poll(pw_sa_now());
	assert_int_equal(out->soft, 1);
	assert_int_equal(out->told.bytes, 1000);
	assert_true(ours(out)->entry.dying);
	use(ours(out), 10, 1000);
	pw_sa_poll(pw_sa_now());
	assert_int_equal(out->hard, 1);
	assert_int_equal(out->told.packets, 20);
	assert_null(ours(out));
	/* Time is the kernel's to tell. */
	ours(in)->limits.hard_add_expires_seconds = 1;
	ours(in)->added_ms = 1;
	pw_sa_lifetime_changed(ours(in));
	pw_sa_tick(pw_sa_now());
	assert_null(ours(in));
	assert_int_equal(in->soft + in->hard, 0);
}

static void test_events(void **state)
{
	struct nlmsghdr *expired = recording("expire");
	struct xfrm_user_expire *soft = mnl_nlmsg_get_payload(expired);
	struct pw_sa_detail *old = ours(in);

	/* An event names an SA; what it says of it may be old. */
	out->there = false;
	events_say(shown_message(out));
	assert_null(ours(out));
	out->there = true;
	events_say(recording("sa-deleted"));
	events_say(shown_message(out));
	assert_non_null(ours(out));
	/* The same once more: ours goes on. */
	events_say(shown_message(in));
	assert_ptr_equal(ours(in), old);
	/* Other limits, then another key. */
	shown_info(in)->lft.hard_add_expires_seconds += 5;
	events_say(shown_message(in));
	assert_ptr_equal(ours(in), old);
	assert_int_equal(old->limits.hard_add_expires_seconds,
			 shown_info(in)->lft.hard_add_expires_seconds);
	((struct xfrm_algo_aead *)attribute_of(shown_message(in), sizeof(struct xfrm_usersa_info),
					       XFRMA_ALG_AEAD))
		->alg_key[3] ^= 1;
	use(old, 7, 7);
	events_say(shown_message(in));
	assert_non_null(ours(in));
	assert_false(ours(in)->mirror.packets);
	/* The kernel's soft lifetime. */
	soft->state.id = shown_info(in)->id;
	soft->hard = 0;
	events_say(expired);
	assert_true(ours(in)->entry.dying);
	in->there = false;
	soft->hard = 1;
	events_say(expired);
	assert_null(ours(in));
}

static void test_not_ours(void **state)
{
	struct nlmsghdr *nlh = shown_message(in);
	struct xfrm_usersa_info *info = shown_info(in);
	struct xfrm_algo_aead *key = attribute_of(nlh, sizeof(*info), XFRMA_ALG_AEAD);

	info->mode = XFRM_MODE_TUNNEL;
	events_say(nlh);
	assert_null(ours(in));
	info->mode = XFRM_MODE_TRANSPORT;
	info->sel.proto = IPPROTO_UDP;
	events_say(nlh);
	assert_null(ours(in));
	info->sel.proto = IPPROTO_GRE;
	pw_xfrm_options.by_reqid = true;
	pw_xfrm_options.reqid_first = pw_xfrm_options.reqid_last = info->reqid + 1;
	events_say(nlh);
	assert_null(ours(in));
	pw_xfrm_options.by_reqid = false;
	assert_int_equal(pw_xfrm_counters.refused, 0);
	/* Keys that a kernel in lockdown does not show. */
	memset(key->alg_key, 0, key->alg_key_len / 8);
	events_say(nlh);
	assert_null(ours(in));
	assert_int_equal(pw_xfrm_counters.refused, 1);
	key->alg_key[0] = 1;
	events_say(nlh);
	assert_non_null(ours(in));
}

static void test_read_again(void **state)
{
	struct pw_sa_detail *kept = ours(in);
	struct nlmsghdr *flush = message(XFRM_MSG_FLUSHSA, 0);

	mnl_nlmsg_put_extra_header(flush, sizeof(struct xfrm_usersa_flush));
	use(kept, 7, 70);
	out->there = false;
	kernel.policies[0].there = false;
	kernel.dumps = 0;
	events_say(flush);
	assert_int_equal(kernel.dumps, 2);
	assert_null(ours(out));
	assert_ptr_equal(ours(in), kept);
	assert_int_equal(policies(), 1);
}

static void test_policies(void **state)
{
	events_say(recording("policy-deleted"));
	assert_int_equal(policies(), 1);
	events_say(recording("policy-updated"));
	assert_int_equal(policies(), 2);
	assert_int_equal(pw_xfrm_counters.refused, 0);
}

/* Every message, cut short anywhere. */
static void test_cut(void **state)
{
	for (unsigned int i = 0; i < recorded_count; i++) {
		const struct nlmsghdr *whole = recording(recorded[i].name);

		for (uint32_t size = sizeof(*whole); size < whole->nlmsg_len; size++) {
			struct nlmsghdr *cut = calloc(1, NLMSG_ALIGN(size));

			memcpy(cut, whole, size);
			cut->nlmsg_len = size;
			pw_xfrm_event(cut);
			pw_xfrm_sa_take(cut, NULL);
			pw_xfrm_policy_take(cut, NULL);
			free(cut);
		}
	}
}

static void test_options(void **state)
{
	struct pw_xfrm_options options = {.interval = PW_XFRM_INTERVAL};
	char why[256];

	assert_int_equal(pw_xfrm_mirror_parse(NULL, &options, why, sizeof(why)), 0);
	assert_true(options.enabled && options.interval == PW_XFRM_INTERVAL);
	assert_int_equal(pw_xfrm_mirror_parse("interval=9,mark=0x5/0xff,reqid=3-9,if_id=7",
					      &options, why, sizeof(why)),
			 0);
	assert_int_equal(options.interval, 9);
	assert_int_equal(options.mark, 5);
	assert_int_equal(options.mask, 0xff);
	assert_int_equal(options.reqid_last, 9);
	assert_int_equal(options.if_id, 7);
	assert_int_equal(pw_xfrm_mirror_parse("reqid=9-3", &options, why, sizeof(why)), -EINVAL);
	assert_int_equal(pw_xfrm_mirror_parse("interval=", &options, why, sizeof(why)), -EINVAL);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_taken),
		CASE(test_goes_on_from_the_kernels_count),
		CASE(test_lease),
		CASE(test_counters),
		CASE(test_kernel_sends_too),
		CASE(test_limits),
		CASE(test_events),
		CASE(test_not_ours),
		CASE(test_read_again),
		CASE(test_policies),
		CASE(test_cut),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
