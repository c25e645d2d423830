/* SPDX-License-Identifier: BSD-3-Clause */
/* zebra's stream: frames, interfaces, next hops, and what is stale. */
#include "test/unit/routes_fixture.h"

#include "control/feed/fpm_internal.h"

static struct pw_fpm_stream stream;

static const struct pw_fpm_map map[] = {
	{.ifindex = 4, .link = "mgre0"},
	{.ifindex = 5, .link = "red"},
	{.ifindex = 7, .link = "p0"},
	{.ifindex = 9, .link = "late0"},
};

static int start(void **state)
{
	if (fixture_start(state))
		return -1;
	add_tunnel("mgre0", "10.0.0.1", NULL);
	pw_fpm_counters = (struct pw_fpm_counters){0};
	pw_fpm_feed.session = 1;
	pw_fpm_interfaces_begin(map, 4, false);
	stream.used = 0;
	return 0;
}

static int stop(void **state)
{
	pw_fpm_nexthops_stale();
	pw_fpm_nexthops_sweep();
	pw_fpm_interfaces_end();
	return fixture_stop(state);
}

/* ---- frames ------------------------------------------------------------------------------ */

static unsigned int seen, seen_with_next;

static void see(struct nlmsghdr *nlh, const struct nlmsghdr *next)
{
	seen++;
	seen_with_next += next != NULL;
}

static int feed_bytes(const void *bytes, size_t size, pw_fpm_message_fn fn)
{
	const char *why;
	int ret;

	memcpy(stream.bytes + stream.used, bytes, size);
	stream.used += size;
	ret = pw_fpm_stream_handle(&stream, fn, &why);
	if (ret)
		snprintf(said, sizeof(said), "%s", why);
	return ret;
}

/* A frame of @p count messages of @p length bytes each that say they have @p claimed. */
static size_t frame_of(uint8_t *at, unsigned int count, uint32_t length, uint32_t claimed)
{
	struct nlmsghdr nlh = {.nlmsg_len = claimed, .nlmsg_type = RTM_NEWROUTE};
	size_t size = 4 + count * length;

	memset(at, 0, size);
	at[0] = at[1] = 1;
	at[2] = (uint8_t)(size >> 8);
	at[3] = (uint8_t)size;
	for (unsigned int i = 0; i < count; i++)
		memcpy(at + 4 + i * length, &nlh, sizeof(nlh));
	return size;
}

static void frames(void **state)
{
	uint8_t bytes[512];
	size_t size = frame_of(bytes, 3, 20, 20);

	(void)state;
	seen = seen_with_next = 0;
	size += frame_of(bytes + size, 1, 17, 17);
	size += frame_of(bytes + size, 1, 16, 16);
	/* However it is cut into pieces. */
	for (size_t at = 0; at < size; at++)
		assert_int_equal(feed_bytes(bytes + at, 1, see), 0);
	assert_int_equal(seen, 5);
	assert_int_equal(seen_with_next, 2);
	assert_int_equal(stream.used, 0);
	assert_int_equal(pw_fpm_counters.frames, 3);
}

static void bad_frames(void **state)
{
	static const struct {
		uint8_t header[4];
		const char *text;
	} headers[] = {
		{{2, 1, 0, 20}, "version"},  {{0, 1, 0, 20}, "version"},
		{{1, 2, 0, 20}, "netlink"},  {{1, 1, 0, 0}, "too short"},
		{{1, 1, 0, 4}, "too short"}, {{1, 1, 0, 19}, "too short"},
	};
	static const struct {
		uint32_t length, claimed;
	} messages[] = {{20, 21}, {20, 15}, {20, 0}, {20, UINT32_MAX}, {36, 20}};
	uint8_t bytes[128];

	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		stream.used = 0;
		assert_int_equal(feed_bytes(headers[i].header, 4, see), -EBADMSG);
		if (!strstr(said, headers[i].text))
			fail_msg("header %zu: %s", i, said);
	}
	seen = 0;
	for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
		size_t size = frame_of(bytes, 1, messages[i].length, messages[i].claimed);

		stream.used = 0;
		assert_int_equal(feed_bytes(bytes, size, see), -EBADMSG);
	}
	assert_int_equal(seen, 0);
}

static void addresses_and_maps(void **state)
{
	static const char *const good[] = {"127.0.0.1", "192.0.2.1:2621", "::1", "[::1]:2621"};
	static const char *const bad[] = {
		"",     "localhost", "127.0.0.1:",    "127.0.0.1:0", "127.0.0.1:65536",
		"[::1", "[::1]:x",   "127.0.0.1:26x", ":2620"};
	static const char *const bad_maps[] = {
		"", "=", "a=", "=b", "a", "abcdefghijklmnop=b", "a=abcdefghijklmnop"};
	struct sockaddr_storage address;
	struct pw_fpm_map entry;
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_int_equal(pw_fpm_parse_address(good[i], &address), 0);
	assert_string_equal(pw_fpm_address_text(&address, text), "[::1]:2621");
	assert_int_equal(pw_fpm_parse_address(NULL, &address), 0);
	assert_string_equal(pw_fpm_address_text(&address, text), "127.0.0.1:2620");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (!pw_fpm_parse_address(bad[i], &address))
			fail_msg("\"%s\" is an address", bad[i]);
	assert_int_equal(pw_fpm_parse_map("17=core", &entry), 0);
	assert_int_equal(entry.ifindex, 17);
	assert_string_equal(entry.link, "core");
	assert_int_equal(pw_fpm_parse_map("eth0.5=core", &entry), 0);
	assert_int_equal(entry.ifindex, 0);
	for (size_t i = 0; i < sizeof(bad_maps) / sizeof(*bad_maps); i++)
		if (!pw_fpm_parse_map(bad_maps[i], &entry))
			fail_msg("\"%s\" is a map", bad_maps[i]);
}

/* ---- messages ---------------------------------------------------------------------------- */

/* Numbers of zebra's interfaces where the fixture puts Pewter's. */
static void set_oif(struct nlmsghdr *nlh, uint16_t type, uint32_t ifindex)
{
	mnl_attr_put_u32(nlh, type, ifindex);
}

/* A route's text without "dev", and zebra's interface. */
static struct nlmsghdr *zebra_route(const char *text, uint32_t ifindex)
{
	struct nlmsghdr *nlh = route_message(text);
	struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);

	if (ifindex)
		set_oif(nlh, RTA_OIF, ifindex);
	rtm->rtm_protocol = rtm->rtm_protocol == RTPROT_KERNEL ? RTPROT_KERNEL : 186;
	return nlh;
}

static enum pw_fpm_verdict verdict_of(struct nlmsghdr *nlh, const struct nlmsghdr *next)
{
	uint64_t before[3];

	memcpy(before, pw_fpm_counters.verdicts, sizeof(before));
	pw_fpm_message(nlh, next);
	settle();
	for (int i = 0; i < 3; i++)
		if (pw_fpm_counters.verdicts[i] != before[i])
			return (enum pw_fpm_verdict)i;
	fail_msg("a message without a verdict");
	return PW_FPM_REFUSED;
}

static enum pw_fpm_verdict zebra(const char *text, uint32_t ifindex)
{
	return verdict_of(zebra_route(text, ifindex), NULL);
}

static uint32_t label_of(uint32_t table, const char *to)
{
	const struct pw_nexthop *nexthop = lookup(table, to);

	return nexthop->type == PW_NEXTHOP_TUNNEL ? nexthop->labels[0] >> 12 : 0;
}

static void interfaces(void **state)
{
	(void)state;
	assert_int_equal(zebra("replace 10.9.0.0/16 via 10.0.0.7 metric 20", 7), PW_FPM_TAKEN);
	assert_gateway(254, "10.9.0.1", "10.0.0.7");
	assert_int_equal(zebra("replace 10.8.0.0/16 via 10.0.0.2 encap 600 table 10 metric 20", 4),
			 PW_FPM_TAKEN);
	assert_int_equal(label_of(10, "10.8.0.1"), 600);
	assert_int_equal(zebra("replace 100", 5), PW_FPM_TAKEN);
	assert_non_null(pw_label_find(100));
	assert_int_equal(pw_label_find(100)->source, PW_ROUTE_FPM);
	/* A host's other interfaces are not Pewter's business; a labelled route to one is wrong. */
	assert_int_equal(zebra("replace 10.7.0.0/16 via 10.3.0.7 metric 20", 3), PW_FPM_SKIPPED);
	assert_int_equal(zebra("replace 10.6.0.0/16 via 10.0.0.2 encap 5000 metric 20", 3),
			 PW_FPM_REFUSED);
	assert_non_null(strstr(pw_fpm_counters.refused, "number 3"));
	/* A route that moves there is Pewter's no more. */
	assert_int_equal(zebra("replace 10.9.0.0/16 via 10.3.0.7 metric 20", 3), PW_FPM_SKIPPED);
	assert_type(254, "10.9.0.1", PW_NEXTHOP_NONE);
}

static void for_kernels_only(void **state)
{
	(void)state;
	assert_int_equal(zebra("replace 10.5.0.0/16 proto 2 metric 20", 7), PW_FPM_SKIPPED);
	assert_int_equal(zebra("replace 10.5.0.2/32 metric 20", 4), PW_FPM_SKIPPED);
	assert_type(254, "10.5.0.2", PW_NEXTHOP_NONE);
	assert_int_equal(zebra("replace 2001:db8:1::/48 encap 3004 table 10 metric 20", 4),
			 PW_FPM_REFUSED);
	assert_non_null(strstr(pw_fpm_counters.refused, "::ffff:PE"));
}

static void late_link(void **state)
{
	(void)state;
	assert_int_equal(zebra("replace 10.8.0.0/16 via 10.0.0.2 encap 600 metric 20", 9),
			 PW_FPM_REFUSED);
	assert_false(pw_fpm_interfaces_changed());
	add_tunnel("late0", "10.0.0.3", NULL);
	assert_true(pw_fpm_interfaces_changed());
	assert_false(pw_fpm_interfaces_changed());
	assert_int_equal(zebra("replace 10.8.0.0/16 via 10.0.0.2 encap 600 metric 20", 9),
			 PW_FPM_TAKEN);
	/* What nobody missed is no reason to have everything again. */
	link_set("p1", false, true);
	link_set("p1", true, true);
	assert_false(pw_fpm_interfaces_changed());
}

static void replacement(void **state)
{
	static char buffer[1024] __attribute__((aligned(8)));
	struct nlmsghdr *delete = (struct nlmsghdr *)buffer, *new;

	(void)state;
	assert_int_equal(zebra("replace 10.8.0.0/16 via 10.0.0.2 encap 600 metric 20", 4),
			 PW_FPM_TAKEN);
	new = route_message("del 10.8.0.0/16 metric 20");
	memcpy(buffer, new, new->nlmsg_len);
	new = zebra_route("replace 10.8.0.0/16 via 10.0.0.3 encap 601 metric 20", 4);
	assert_int_equal(verdict_of(delete, new), PW_FPM_TAKEN);
	assert_int_equal(label_of(254, "10.8.0.1"), 600);
	assert_int_equal(verdict_of(new, NULL), PW_FPM_TAKEN);
	assert_int_equal(label_of(254, "10.8.0.1"), 601);
	/* Another prefix, table or metric behind it is another matter. */
	new = zebra_route("replace 10.8.0.0/17 via 10.0.0.3 encap 601 metric 20", 4);
	assert_int_equal(verdict_of(delete, new), PW_FPM_TAKEN);
	assert_int_equal(label_of(254, "10.8.0.1"), 0);
}

static void operators(void **state)
{
	(void)state;
	must("add 10.8.0.0/16 via 10.0.0.7 metric 4000");
	must("add 300 dev red");
	assert_int_equal(zebra("replace 10.8.0.0/16 via 10.0.0.2 encap 600 metric 20", 4),
			 PW_FPM_TAKEN);
	assert_int_equal(zebra("replace 300", 5), PW_FPM_REFUSED);
	assert_non_null(strstr(pw_fpm_counters.refused, "operator"));
	assert_gateway(254, "10.8.0.1", "10.0.0.7");
	assert_int_equal(zebra("del 300", 5), PW_FPM_TAKEN);
	assert_non_null(pw_label_find(300));
	must("del 10.8.0.0/16 metric 4000");
	assert_int_equal(label_of(254, "10.8.0.1"), 600);
	/* And the other way round: the operator's comes on top, zebra's leaves it alone. */
	must("add 10.8.0.0/16 via 10.0.0.7");
	assert_gateway(254, "10.8.0.1", "10.0.0.7");
	assert_int_equal(zebra("del 10.8.0.0/16 metric 20", 0), PW_FPM_TAKEN);
	assert_gateway(254, "10.8.0.1", "10.0.0.7");
}

/* ---- sessions ---------------------------------------------------------------------------- */

static size_t stale_count(void)
{
	size_t routes, stale;

	pw_route_feed_count(&pw_fpm_feed, &routes, &stale);
	return stale;
}

static size_t sweep(size_t budget)
{
	struct pw_route_sweep at = {0};
	unsigned int rounds = 0;

	while (pw_route_feed_sweep(&pw_fpm_feed, &at, budget)) {
		settle();
		assert_true(++rounds < 1000);
	}
	settle();
	return at.swept;
}

static void sessions(void **state)
{
	static const size_t budgets[] = {1, 2, SIZE_MAX};
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(budgets) / sizeof(*budgets); i++) {
		must("add 20.0.0.0/8 via 10.0.0.7");
		for (int n = 0; n < 20; n++) {
			snprintf(text, sizeof(text),
				 "replace 20.%d.0.0/16 via 10.0.0.2 encap 600 table %d metric 20",
				 n, n % 3 ? 254 : 1000 + n);
			assert_int_equal(zebra(text, 4), PW_FPM_TAKEN);
		}
		assert_int_equal(zebra("replace 2001:db8:9::/48 via 2001:db8::7 metric 20", 7),
				 PW_FPM_TAKEN);
		assert_int_equal(stale_count(), 0);
		pw_fpm_feed.session++;
		assert_int_equal(stale_count(), 21);
		assert_int_equal(label_of(254, "20.1.0.1"), 600);
		assert_int_equal(zebra("replace 20.1.0.0/16 via 10.0.0.2 encap 600 metric 20", 4),
				 PW_FPM_TAKEN);
		assert_int_equal(zebra("replace 20.2.0.0/16 via 10.0.0.3 encap 601 metric 20", 4),
				 PW_FPM_TAKEN);
		assert_int_equal(stale_count(), 19);
		assert_int_equal(sweep(budgets[i]), 19);
		assert_int_equal(stale_count(), 0);
		assert_int_equal(label_of(254, "20.1.0.1"), 600);
		assert_int_equal(label_of(254, "20.2.0.1"), 601);
		/* The operator's covering route was looked at and left. */
		assert_gateway(254, "20.4.0.1", "10.0.0.7");
		assert_null(pw_table_find(1003));
		pw_fpm_feed.session++;
		assert_int_equal(sweep(SIZE_MAX), 2);
		must("del 20.0.0.0/8");
	}
}

/* ---- next hops --------------------------------------------------------------------------- */

static struct nlmsghdr *nexthop_message(uint32_t id, const char *gateway, uint32_t label,
					uint32_t ifindex)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(message_buffer);
	struct nhmsg *nhm = mnl_nlmsg_put_extra_header(nlh, sizeof(*nhm));
	struct pw_address address;
	struct nlattr *nest;
	char text[16];

	nlh->nlmsg_type = RTM_NEWNEXTHOP;
	nhm->nh_family = AF_INET;
	nhm->nh_protocol = 11;
	mnl_attr_put_u32(nlh, NHA_ID, id);
	if (gateway) {
		address = address_of(gateway);
		put_address(nlh, NHA_GATEWAY, &address);
	}
	set_oif(nlh, NHA_OIF, ifindex);
	if (label) {
		snprintf(text, sizeof(text), "%u", label);
		mnl_attr_put_u16(nlh, NHA_ENCAP_TYPE, LWTUNNEL_ENCAP_MPLS);
		nest = mnl_attr_nest_start(nlh, NHA_ENCAP);
		put_labels(nlh, MPLS_IPTUNNEL_DST, text);
		mnl_attr_nest_end(nlh, nest);
	}
	return nlh;
}

static struct nlmsghdr *group_message(uint32_t id, unsigned int count, ...)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(message_buffer);
	struct nexthop_grp group[80] = {0};
	va_list list;

	va_start(list, count);
	for (unsigned int i = 0; i < count; i++)
		group[i].id = va_arg(list, uint32_t);
	va_end(list);
	nlh->nlmsg_type = RTM_NEWNEXTHOP;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct nhmsg));
	mnl_attr_put_u32(nlh, NHA_ID, id);
	mnl_attr_put(nlh, NHA_GROUP, count * sizeof(*group), group);
	return nlh;
}

static enum pw_fpm_verdict zebra_nexthop(uint32_t id, const char *gateway, uint32_t label)
{
	return verdict_of(nexthop_message(id, gateway, label, 4), NULL);
}

static void group_before_members(void **state)
{
	(void)state;
	assert_int_equal(verdict_of(group_message(33, 2, 25u, 35u), NULL), PW_FPM_TAKEN);
	assert_int_equal(pw_fpm_nexthops_waiting(), 1);
	assert_int_equal(zebra("replace 10.8.0.0/16 nhid 33 table 10 metric 20", 0),
			 PW_FPM_REFUSED);
	assert_int_equal(zebra_nexthop(25, "10.0.0.2", 4001), PW_FPM_TAKEN);
	/* With what there is by now; and the rest joins it. */
	assert_int_equal(zebra("replace 10.8.0.0/16 nhid 33 table 10 metric 20", 0), PW_FPM_TAKEN);
	assert_type(10, "10.8.0.1", PW_NEXTHOP_GROUP);
	assert_int_equal(pw_fpm_nexthops_waiting(), 1);
	assert_int_equal(zebra_nexthop(35, "10.0.0.3", 4002), PW_FPM_TAKEN);
	pw_fpm_nexthops_settle();
	settle();
	assert_int_equal(pw_fpm_nexthops_waiting(), 0);
	assert_type(10, "10.8.0.1", PW_NEXTHOP_GROUP);
	assert_int_equal(pw_object_find(0x80000000u) != NULL || pw_object_next(0) != NULL, true);
	/* A group of nothing. */
	assert_int_equal(verdict_of(group_message(34, 0), NULL), PW_FPM_REFUSED);
}

static void changed_in_place(void **state)
{
	(void)state;
	assert_int_equal(zebra_nexthop(25, "10.0.0.2", 4001), PW_FPM_TAKEN);
	assert_int_equal(zebra("replace 10.8.0.0/16 nhid 25 table 10 metric 20", 0), PW_FPM_TAKEN);
	assert_int_equal(zebra_nexthop(25, "10.0.0.2", 4002), PW_FPM_TAKEN);
	assert_int_equal(label_of(10, "10.8.0.1"), 4002);
	/* What it cannot be any more it is not. */
	assert_int_equal(zebra_nexthop(25, NULL, 4003), PW_FPM_REFUSED);
	assert_type(10, "10.8.0.1", PW_NEXTHOP_NONE);
	assert_int_equal(zebra("replace 10.8.0.0/16 nhid 25 table 10 metric 20", 0),
			 PW_FPM_REFUSED);
	assert_non_null(strstr(pw_fpm_counters.refused, "was refused"));
}

static void ids_of_sessions(void **state)
{
	unsigned int objects = 0;
	struct pw_object *object;

	(void)state;
	assert_int_equal(zebra_nexthop(25, "10.0.0.2", 4001), PW_FPM_TAKEN);
	assert_int_equal(zebra_nexthop(26, "10.0.0.9", 4009), PW_FPM_TAKEN);
	assert_int_equal(zebra("replace 10.8.0.0/16 nhid 25 table 10 metric 20", 0), PW_FPM_TAKEN);
	/* A restart: the id is a group now, and nothing refers to 26 any more. */
	for (int i = 0; i < 3; i++) {
		pw_fpm_nexthops_stale();
		pw_fpm_feed.session++;
		settle();
	}
	assert_int_equal(zebra_nexthop(25, "10.0.0.3", 7777), PW_FPM_TAKEN);
	assert_int_equal(label_of(10, "10.8.0.1"), 4001);
	for (object = pw_object_next(0); object; object = pw_object_next(object->nhid))
		objects++;
	assert_int_equal(objects, 2);
	assert_int_equal(sweep(SIZE_MAX), 1);
	pw_fpm_nexthops_sweep();
	settle();
	assert_type(10, "10.8.0.1", PW_NEXTHOP_NONE);
	assert_int_equal(zebra("replace 10.8.0.0/16 nhid 25 table 10 metric 20", 0), PW_FPM_TAKEN);
	assert_int_equal(label_of(10, "10.8.0.1"), 7777);
}

static void operators_nexthop(void **state)
{
	struct pw_object *object;

	(void)state;
	assert_int_equal(nexthop("add 25 via 10.0.0.7 dev p0"), 0);
	assert_int_equal(zebra_nexthop(25, "10.0.0.2", 4001), PW_FPM_TAKEN);
	object = pw_object_find(25);
	assert_non_null(object);
	assert_int_equal(object->source, 0);
	pw_fpm_nexthops_stale();
	pw_fpm_nexthops_sweep();
	settle();
	assert_ptr_equal(pw_object_find(25), object);
	assert_null(pw_object_next(25));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames, start, stop),
		cmocka_unit_test_setup_teardown(bad_frames, start, stop),
		cmocka_unit_test_setup_teardown(addresses_and_maps, start, stop),
		cmocka_unit_test_setup_teardown(interfaces, start, stop),
		cmocka_unit_test_setup_teardown(for_kernels_only, start, stop),
		cmocka_unit_test_setup_teardown(late_link, start, stop),
		cmocka_unit_test_setup_teardown(replacement, start, stop),
		cmocka_unit_test_setup_teardown(operators, start, stop),
		cmocka_unit_test_setup_teardown(sessions, start, stop),
		cmocka_unit_test_setup_teardown(group_before_members, start, stop),
		cmocka_unit_test_setup_teardown(changed_in_place, start, stop),
		cmocka_unit_test_setup_teardown(ids_of_sessions, start, stop),
		cmocka_unit_test_setup_teardown(operators_nexthop, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
