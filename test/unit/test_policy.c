/* SPDX-License-Identifier: BSD-3-Clause */
/* Policies over a socket as `ip xfrm policy` sends them: identity, order, refusals, dumps. */
#include "policy_fixture.h"

#define MPLS 137

static void test_identity(void **state)
{
	struct xfrm_userpolicy_info info;

	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto gre dir out tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto gre dir out priority 7"), -EEXIST);
	assert_said("there is a policy with this selector and direction");
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto gre dir in tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto gre dir out mark 3 tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto gre dir out if_id 3 tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir out tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1/31 dst 10.0.0.2 proto gre dir out tmpl"), 0);
	assert_int_equal(pw_policy_count(XFRM_POLICY_OUT), 5);
	assert_int_equal(pw_policy_count(XFRM_POLICY_IN), 1);

	assert_int_equal(get("src 10.0.0.1 dst 10.0.0.2 proto gre dir out", &info), 0);
	assert_int_equal(info.priority, 0);
	assert_int_equal(info.index & 7, XFRM_POLICY_OUT);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.2 proto gre dir out priority 9 tmpl"), 0);
	assert_int_equal(pw_policy_count(XFRM_POLICY_OUT), 5);
	{
		uint32_t index = info.index;
		char text[64];

		assert_int_equal(get("src 10.0.0.1 dst 10.0.0.2 proto gre dir out", &info), 0);
		assert_int_equal(info.priority, 9);
		assert_int_equal(info.index, index);
		snprintf(text, sizeof(text), "index %u dir out", index);
		assert_int_equal(get(text, &info), 0);
		assert_int_equal(info.sel.proto, GRE);
		snprintf(text, sizeof(text), "index %u dir out mark 3", index);
		assert_int_equal(get(text, &info), -ENOENT);
		snprintf(text, sizeof(text), "index %u dir out if_id 3", index);
		assert_int_equal(get(text, &info), -ENOENT);
		snprintf(text, sizeof(text), "index %u dir out", index);
		assert_int_equal(delete (text), 0);
		assert_int_equal(delete (text), -ENOENT);
		assert_said("there is no policy with index");
	}
	assert_int_equal(get("src 10.0.0.1 dst 10.0.0.2 proto gre dir out", &info), -ENOENT);
	assert_int_equal(update("src 10.9.0.1 dst 10.9.0.2 proto gre dir in tmpl"), 0);
	assert_int_equal(pw_policy_count(XFRM_POLICY_IN), 2);
	flush();
	assert_int_equal(pw_policy_count(XFRM_POLICY_OUT), 0);
	assert_int_equal(pw_policy_count(XFRM_POLICY_IN), 0);
	assert_int_equal(delete ("src 10.0.0.1 dst 10.0.0.2 dir out"), -ENOENT);
}

static void test_index(void **state)
{
	struct xfrm_userpolicy_info info;
	uint32_t indices[300];
	char text[96];

	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir in index 4096 tmpl"), 0);
	assert_int_equal(get("src 10.0.0.1 dst 10.0.0.2 dir in", &info), 0);
	assert_int_equal(info.index, 4096);
	/* Taken: it gets one of its own, which says its direction. */
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.3 dir in index 4096 tmpl"), 0);
	assert_int_equal(get("src 10.0.0.1 dst 10.0.0.3 dir in", &info), 0);
	assert_int_not_equal(info.index, 4096);
	assert_int_equal(info.index & 7, XFRM_POLICY_IN);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.3 dir out index 4096 tmpl"), -EINVAL);
	assert_said("index 4096 is of another direction");
	flush();
	/* A dump that takes several packets: all of them, once each, the newest first. */
	for (unsigned int i = 0; i < 300; i++) {
		snprintf(text, sizeof(text), "src 10.0.0.1 dst 10.3.%u.%u dir out index %u tmpl",
			 i / 250, i % 250, 8000 + 8 * i + XFRM_POLICY_OUT);
		assert_int_equal(add(text), 0);
	}
	assert_int_equal(dump(indices, 300), 300);
	for (unsigned int i = 0; i < 300; i++)
		assert_int_equal(indices[i], 8000 + 8 * (299 - i) + XFRM_POLICY_OUT);
	flush();
	assert_int_equal(dump(indices, 300), 0);
}

static uint32_t first(uint8_t direction, const char *source, const char *destination,
		      uint8_t protocol)
{
	struct pw_address from = address_of(source), to = address_of(destination);
	const struct pw_policy *policy = pw_policy_select(direction, &from, &to, protocol);

	return policy ? policy->priority : UINT32_MAX;
}

static void test_order(void **state)
{
	struct pw_address from = address_of("10.0.0.1"), to = address_of("10.0.0.2");
	uint32_t older;

	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", GRE), UINT32_MAX);
	assert_int_equal(add("src 10.0.0.0/24 dst 10.0.0.0/24 dir out priority 20 tmpl"), 0);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", GRE), 20);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir out priority 30 tmpl"), 0);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", GRE), 20);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.2 dir out priority 10 tmpl"), 0);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", GRE), 10);
	assert_int_equal(add("src 0.0.0.0/0 dst 0.0.0.0/0 proto 137 dir out priority 5 tmpl"), 0);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", GRE), 10);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", MPLS), 5);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.1.1", "10.0.0.2", GRE), UINT32_MAX);
	assert_int_equal(first(XFRM_POLICY_IN, "10.0.0.1", "10.0.0.2", GRE), UINT32_MAX);
	assert_int_equal(first(XFRM_POLICY_OUT, "2001:db8::1", "2001:db8::2", MPLS), UINT32_MAX);
	/* Prefix lengths between bytes. */
	assert_int_equal(add("src 172.16.8.0/21 dst 0.0.0.0/0 dir out priority 4 tmpl"), 0);
	assert_int_equal(first(XFRM_POLICY_OUT, "172.16.15.255", "10.0.0.2", GRE), 4);
	assert_int_equal(first(XFRM_POLICY_OUT, "172.16.16.0", "10.0.0.2", GRE), UINT32_MAX);
	assert_int_equal(first(XFRM_POLICY_OUT, "172.16.7.255", "10.0.0.2", GRE), UINT32_MAX);
	flush();
	/* Among equals the older, and a replacement takes its place. */
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir out priority 5 tmpl reqid 1"), 0);
	assert_int_equal(add("src 10.0.0.0/8 dst 10.0.0.2 dir out priority 5 tmpl reqid 2"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir out proto gre priority 5 tmpl reqid 3"),
			 0);
	older = pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->index;
	assert_int_equal(pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->template.reqid, 1);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.2 dir out priority 5 tmpl reqid 4"), 0);
	assert_int_equal(pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->index, older);
	assert_int_equal(pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->template.reqid, 4);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.2 dir out priority 6 tmpl reqid 4"), 0);
	assert_int_equal(pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->template.reqid, 2);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.2 dir out priority 5 tmpl reqid 4"), 0);
	assert_int_equal(pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->template.reqid, 2);
	flush();
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *said;
		int error;
	} cases[] = {
		{"src 10.0.0.1 dst 10.0.0.2 dir 3 tmpl", "none of a socket's", -EINVAL},
		{"src 10.0.0.1/33 dst 10.0.0.2 dir in tmpl", "prefix length 33 is above 32",
		 -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir in action 2 tmpl", "allow or block, not 2",
		 -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir in ptype 1 tmpl", "none of type sub", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out proto 1 tmpl",
		 "protocol 1: in transport mode only tunnels", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir in proto 89 key block", "protocol 89 has no ports",
		 -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out proto gre key block",
		 "a selector with a GRE key", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out proto gre key tmpl",
		 "a selector with a GRE key", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out key tmpl", "ports (sport, dport)", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out dev 1 tmpl", "a device (dev, index 1)",
		 -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out dev 9000 tmpl mode 1 dst 10.9.0.1",
		 "no device with index 9000", -ENODEV},
		{"src 10.0.0.1 dst 10.0.0.2 dir out dev 1 if_id 3 tmpl mode 1 dst 10.9.0.1",
		 "names a VRF; if_id and mark", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out uid 7 tmpl", "a user (uid 7)", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl mode 1", "names the remote end", -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl mode 1 src 10.9.0.1 dst 10.9.0.1",
		 "two ends are the same address", -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl mode 2", "mode ro (2)", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl mode 4", "mode beet (4)", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl mode 9", "mode unknown (9)", -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl proto 51", "AH is not supported",
		 -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl proto 6", "ESP (50), not 6", -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl tmpl", "one template at most, not 2",
		 -EOPNOTSUPP},
		{"src 10.0.0.0/24 dst 10.0.0.2 dir out tmpl src 10.0.1.1",
		 "source address is none that the policy selects", -EINVAL},
		{"src 10.0.0.0/24 dst 10.0.0.2 dir out tmpl dst 10.0.0.3",
		 "destination address is none that the policy selects", -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out bytes 1000 tmpl", "no limit of bytes",
		 -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out used 10 tmpl", "first use", -EOPNOTSUPP},
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		assert_int_equal(add(cases[i].text), cases[i].error);
		assert_said(cases[i].said);
		assert_int_equal(update(cases[i].text), cases[i].error);
	}
	for (uint8_t i = 0; i < XFRM_POLICY_MAX; i++)
		assert_int_equal(pw_policy_count(i), 0);
	/* What asks for nothing may be there. */
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir out proto 17 key"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir fwd proto 1 tmpl"), 0);
	flush();
}

static double seconds_used(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void put_many(unsigned int count)
{
	struct pw_policy model = {.direction = XFRM_POLICY_OUT,
				  .action = XFRM_POLICY_BLOCK,
				  .source = address_of("10.1.0.1"),
				  .destination = address_of("10.200.0.0")};
	const struct pw_policy *policy;

	model.selector.family = AF_INET;
	model.selector.prefixlen_s = model.selector.prefixlen_d = 32;
	memcpy(&model.selector.saddr, model.source.bytes, 4);
	for (unsigned int i = 0; i < count; i++) {
		model.destination.bytes[2] = (uint8_t)(i >> 8);
		model.destination.bytes[3] = (uint8_t)i;
		memcpy(&model.selector.daddr, model.destination.bytes, 4);
		assert_int_equal(pw_policy_put(&model, false, &policy), 0);
	}
}

/*
 * Two dumps go on side by side, and what both told last is deleted again and again. Neither may
 * take a look at all policies for each: 20,000 are milliseconds, looks at all of them seconds.
 */
static void test_dump_many(void **state)
{
	const unsigned int count = 20000;
	uint64_t cursor[2] = {0, 0};
	unsigned int told = 0, deleted = 0;
	double used;

	put_many(count);
	used = seconds_used();
	for (;;) {
		const struct pw_policy *policy = pw_policy_next(cursor[0]);

		assert_ptr_equal(pw_policy_next(cursor[1]), policy);
		if (!policy)
			break;
		assert_true(!told || policy->serial < cursor[0]);
		cursor[0] = cursor[1] = policy->serial;
		if (told++ % 16)
			continue;
		pw_policy_delete((struct pw_policy *)policy);
		deleted++;
	}
	used = seconds_used() - used;
	print_message("two dumps of 20,000 policies: %.1f ms\n", 1000 * used);
	assert_int_equal(told, count);
	assert_true(used < 0.5);
	assert_int_equal(pw_policy_count(XFRM_POLICY_OUT), count - deleted);
	assert_int_equal(pw_policy_flush(), count - deleted);
	assert_null(pw_policy_next(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_index, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dump_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
