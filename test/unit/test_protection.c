/* SPDX-License-Identifier: BSD-3-Clause */
/* What policies and SAs make of the endpoints of tunnels. */
#include "protection_fixture.h"

#include "dataplane/table/sa.h"

#define LINK_MTU 1500

/* ---- outward ------------------------------------------------------------------------------ */

static void test_required(void **state)
{
	const struct sa_model model = {"10.0.0.1", "10.0.0.2", NULL, 5, 0, 0, 0};
	struct pw_sa_detail *one, *two;

	expect(0, NULL);
	assert_int_equal(add(OUT "tmpl reqid 5"), 0);
	expect(PW_PROTECT_OUT, NULL);
	assert_int_equal(add(IN "tmpl reqid 5"), 0);
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, NULL);
	one = add_sa(&model);
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, one);
	two = add_sa(&model);
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, two);
	/* One that is about to end yields to an older one. */
	two->entry.dying = true;
	pw_protection_sa_changed(&two->entry);
	settle();
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, one);
	remove_sa(one);
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, two);
	remove_sa(two);
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, NULL);
	assert_int_equal(delete (IN), 0);
	expect(PW_PROTECT_OUT, NULL);
	assert_int_equal(delete (OUT), 0);
	expect(0, NULL);
}

static void test_wanted(void **state)
{
	struct pw_sa_detail *wrong, *right;

	assert_int_equal(add(OUT "tmpl src 10.0.0.1 dst 10.0.0.2 reqid 5"), 0);
	wrong = add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 6, 0, 0, 0});
	expect(PW_PROTECT_OUT, NULL);
	add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.3", NULL, 5, 0, 0, 0});
	add_sa(&(struct sa_model){"10.0.0.2", "10.0.0.1", NULL, 5, 0, 0, 0});
	add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 5, 9, 0, 0});
	expect(PW_PROTECT_OUT, NULL);
	right = add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 5, 0, 0, 0});
	expect(PW_PROTECT_OUT, right);
	assert_int_equal(update(OUT "tmpl"), 0); /* any reqid: the newest */
	expect(PW_PROTECT_OUT, right);
	assert_int_equal(update(OUT "tmpl reqid 6"), 0);
	expect(PW_PROTECT_OUT, wrong);
	assert_int_equal(update(OUT "tmpl reqid 7"), 0);
	expect(PW_PROTECT_OUT, NULL);
	/* Of another host within the selector: not for this one. */
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.0/24 dir out tmpl dst 10.0.0.3 reqid 5"),
			 0);
	assert_int_equal(delete (OUT), 0);
	expect(PW_PROTECT_OUT, NULL);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.0/24 dir out tmpl reqid 5"), 0);
	expect(PW_PROTECT_OUT, right);
	flush();
	expect(0, NULL);
}

static void test_use_block_bypass(void **state)
{
	struct pw_sa_detail *sa;

	assert_int_equal(add(OUT "tmpl reqid 5 use"), 0);
	assert_int_equal(add(IN "tmpl reqid 5 use"), 0);
	expect(0, NULL);
	sa = add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 5, 0, 0, 0});
	expect(0, sa);
	assert_int_equal(update(OUT "block"), 0);
	expect(PW_PROTECT_BLOCK_OUT, NULL);
	assert_int_equal(update(IN "block"), 0);
	expect(PW_PROTECT_BLOCK_OUT | PW_PROTECT_BLOCK_IN, NULL);
	assert_int_equal(update(OUT), 0);
	assert_int_equal(update(IN), 0);
	expect(0, NULL);
	/* A bypass that comes first. */
	assert_int_equal(add("src 10.0.0.0/8 dst 10.0.0.0/8 dir out priority 9 tmpl reqid 5"), 0);
	expect(0, NULL);
	assert_int_equal(update(OUT "priority 10"), 0);
	expect(PW_PROTECT_OUT, sa);
	/* What asks for a mark or an xfrm device opens nothing; it may well close. */
	assert_int_equal(add(OUT "mark 5"), 0);
	assert_int_equal(add(OUT "if_id 5"), 0);
	expect(PW_PROTECT_OUT, sa);
	assert_int_equal(update(OUT "if_id 5 block"), 0);
	expect(PW_PROTECT_OUT, sa);
	assert_int_equal(update(OUT "if_id 5 tmpl reqid 5"), 0);
	expect(PW_PROTECT_OUT, NULL);
	assert_int_equal(delete (OUT "if_id 5"), 0);
	/* One of forwarded packets that selects the tunnel's too: none that a tunnel can meet. */
	assert_int_equal(add("src 10.0.0.0/9 dst 10.0.0.0/8 dir out tmpl mode 1 dst 10.9.0.1"), 0);
	expect(PW_PROTECT_BLOCK_OUT, NULL);
	assert_int_equal(update("src 10.0.0.0/9 dst 10.0.0.0/8 dir out priority 20 "
				"tmpl mode 1 dst 10.9.0.1"),
			 0);
	expect(PW_PROTECT_OUT, sa);
	/* Other protocols and other hosts leave it alone. */
	flush();
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto 137 dir out tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.3 dir out tmpl"), 0);
	expect(0, NULL);
	flush();
}

static void test_defaults(void **state)
{
	char buffer[64] __attribute__((aligned(8))) = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct xfrm_userpolicy_default *wanted = mnl_nlmsg_put_extra_header(nlh, sizeof(*wanted));

	nlh->nlmsg_type = XFRM_MSG_SETDEFAULT;
	wanted->out = XFRM_USERPOLICY_BLOCK;
	assert_int_equal(request(nlh), 0);
	expect(PW_PROTECT_BLOCK_OUT, NULL);
	wanted->in = XFRM_USERPOLICY_BLOCK;
	wanted->out = XFRM_USERPOLICY_UNSPEC;
	assert_int_equal(request(nlh), 0);
	expect(PW_PROTECT_BLOCK_OUT | PW_PROTECT_BLOCK_IN, NULL);
	assert_int_equal(add(OUT), 0);
	assert_int_equal(add(IN), 0);
	expect(0, NULL);
	flush();
	wanted->in = wanted->out = XFRM_USERPOLICY_ACCEPT;
	wanted->fwd = 3;
	assert_int_equal(request(nlh), -EINVAL);
	expect(PW_PROTECT_BLOCK_OUT | PW_PROTECT_BLOCK_IN, NULL);
	wanted->fwd = XFRM_USERPOLICY_BLOCK; /* nothing of a tunnel's */
	assert_int_equal(request(nlh), 0);
	assert_int_equal(pw_policy_default(XFRM_POLICY_FWD), XFRM_USERPOLICY_BLOCK);
	expect(0, NULL);
	wanted->fwd = XFRM_USERPOLICY_ACCEPT;
	assert_int_equal(request(nlh), 0);
	expect(0, NULL);
}

/* Endpoints that come after policies and SAs, and addresses that a tunnel changes to. */
static void test_late_endpoints(void **state)
{
	struct pw_link *tunnel = link_named("gre1");
	struct pw_tunnel other = tunnel->tunnel;
	struct pw_sa_detail *sa, *far;
	const struct pw_endpoint *endpoint;
	struct pw_address remote = address_of("10.0.0.9");
	uint32_t id;

	assert_int_equal(add("src 10.0.0.1 dst 0.0.0.0/0 dir out tmpl"), 0);
	sa = add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.9", NULL, 0, 0, 0, 0});
	expect(PW_PROTECT_OUT, NULL);
	assert_non_null(add_tunnel("mgre", "10.0.0.1", NULL));
	assert_return_code(pw_endpoint_take(link_named("mgre"), &remote, &id), 0);
	endpoint = pw_endpoint_get(id);
	assert_int_equal(endpoint->sa, sa->entry.id);
	assert_int_equal(endpoint->protect, PW_PROTECT_OUT);
	remove_sa(sa);
	assert_int_equal(pw_endpoint_get(id)->sa, 0);
	assert_int_equal(pw_endpoint_get(id)->protect, PW_PROTECT_OUT);

	far = add_sa(&(struct sa_model){"10.1.0.1", "10.1.0.2", NULL, 0, 0, 0, 0});
	other.local = address_of("10.1.0.1");
	other.remote = address_of("10.1.0.2");
	assert_return_code(pw_link_set_tunnel(tunnel, &other), 0);
	settle();
	endpoint = endpoint_of("gre1", "10.1.0.2");
	assert_int_equal(endpoint->protect, 0);
	assert_int_equal(add("src 10.1.0.1 dst 10.1.0.2 dir out tmpl"), 0);
	endpoint = endpoint_of("gre1", "10.1.0.2");
	assert_int_equal(endpoint->sa, far->entry.id);
	pw_endpoint_drop(id);
	settle();
	flush();
	endpoint = endpoint_of("gre1", "10.1.0.2");
	assert_int_equal(endpoint->protect, 0);
	assert_int_equal(endpoint->sa, 0);
}

/* The same remote end under another local address: policies between those two are its own. */
static void test_rebound(void **state)
{
	struct pw_link *tunnel = link_named("gre1");
	struct pw_tunnel other = tunnel->tunnel;
	uint32_t id = endpoint_of("gre1", "10.0.0.2")->id;

	other.local = address_of("10.1.0.1");
	assert_return_code(pw_link_set_tunnel(tunnel, &other), 0);
	settle();
	assert_int_equal(endpoint_of("gre1", "10.0.0.2")->id, id);
	assert_int_equal(add("src 10.1.0.1 dst 10.0.0.2 dir out tmpl"), 0);
	assert_int_equal(pw_endpoint_get(id)->protect, PW_PROTECT_OUT);
	assert_int_equal(add(OUT "block"), 0);
	assert_int_equal(pw_endpoint_get(id)->protect, PW_PROTECT_OUT);
	assert_int_equal(delete ("src 10.1.0.1 dst 10.0.0.2 dir out"), 0);
	assert_int_equal(pw_endpoint_get(id)->protect, 0);
}

/* ---- inward ------------------------------------------------------------------------------- */

static void expect_rights(const struct pw_sa_detail *sa, uint16_t rights, uint32_t endpoint)
{
	const struct pw_sa *hot = pw_sa_get(sa->entry.id);

	assert_int_equal(hot->flags & (PW_SA_GRE | PW_SA_MPLS), rights);
	assert_int_equal(hot->endpoint, endpoint);
}

static void test_rights(void **state)
{
	struct pw_sa_detail *sa =
		add_sa(&(struct sa_model){"10.0.0.2", "10.0.0.1", NULL, 5, 0, 0, 0});
	uint32_t id = endpoint_of("gre1", "10.0.0.2")->id;

	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, id);
	assert_int_equal(add(IN "tmpl reqid 5"), 0);
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, id);
	assert_int_equal(update(IN "tmpl reqid 6"), 0);
	expect_rights(sa, PW_SA_MPLS, 0);
	assert_int_equal(update(IN "tmpl reqid 6 use"), 0);
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, id);
	assert_int_equal(update(IN "tmpl src 10.0.0.2 dst 10.0.0.1"), 0);
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, id);
	assert_int_equal(update(IN "tmpl spi 1"), 0);
	expect_rights(sa, PW_SA_MPLS, 0);
	assert_int_equal(update(IN "block"), 0);
	expect_rights(sa, PW_SA_MPLS, 0);
	assert_int_equal(add("src 10.0.0.2 dst 10.0.0.1 proto 137 dir in if_id 3 tmpl"), 0);
	expect_rights(sa, 0, 0);
	flush();
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, id);
	/* The endpoint goes, and another comes. */
	pw_link_delete(link_named("gre1"));
	settle();
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, 0);
	assert_non_null(add_tunnel("gre2", "10.0.0.1", "10.0.0.2"));
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, endpoint_of("gre2", "10.0.0.2")->id);
}

/* ---- header and MTU ----------------------------------------------------------------------- */

/*
 * By hand from RFC 4303 2 and those of the algorithms: IV, block (at least 4) and ICV. The
 * payload, padding and two bytes fill blocks, and the whole packet is at most the link's MTU.
 */
static unsigned int mtu_by_hand(unsigned int outer, unsigned int iv, unsigned int block,
				unsigned int icv, unsigned int gre)
{
	unsigned int best = 0;

	for (unsigned int payload = 1; payload <= LINK_MTU; payload++) {
		unsigned int text = payload + 2;

		while (text % block)
			text++;
		if (outer + 8 + iv + text + icv <= LINK_MTU)
			best = payload;
	}
	return best - gre;
}

static const struct {
	const char *name;
	unsigned int iv, block, icv;
} suites[] = {
	{"aes128gcm16", 8, 4, 16},     {"aes192gcm16", 8, 4, 16},
	{"aes256gcm16", 8, 4, 16},     {"chacha20poly1305", 8, 4, 16},
	{"aes128gmac", 8, 4, 16},      {"aes128-sha1", 16, 16, 12},
	{"aes128-sha256", 16, 16, 16}, {"aes256-sha384", 16, 16, 24},
	{"aes256-sha512", 16, 16, 32}, {"aes128ctr-sha256", 8, 4, 16},
	{"null-sha256", 0, 4, 16},
};

static void test_mtu(void **state)
{
	struct pw_link *tunnel = link_named("gre1");

	tunnel->mtu = 9000; /* the way decides */
	pw_endpoint_tunnel_changed(tunnel);
	settle();
	assert_int_equal(endpoint_of("gre1", "10.0.0.2")->mtu, LINK_MTU - 20 - 4);
	assert_int_equal(add(OUT "tmpl"), 0);
	for (size_t i = 0; i < RTE_DIM(suites); i++) {
		for (int udp = 0; udp < 2; udp++) {
			struct pw_sa_detail *sa =
				add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", suites[i].name, 0,
							  0, udp ? 4500 : 0, 14500});
			const struct pw_endpoint *endpoint = endpoint_of("gre1", "10.0.0.2");
			unsigned int esp = 20 + (udp ? 8 : 0), gre = esp + 8 + suites[i].iv;
			uint32_t sum = 0;

			assert_int_equal(endpoint->sa, sa->entry.id);
			assert_int_equal(endpoint->header[9], udp ? IPPROTO_UDP : IPPROTO_ESP);
			assert_int_equal(endpoint->esp_at, esp);
			assert_int_equal(endpoint->gre_at, gre);
			assert_int_equal(endpoint->header_len, gre + 4);
			assert_memory_equal(endpoint->header + esp, &sa->entry.spi, 4);
			if (udp)
				assert_memory_equal(endpoint->header + 20,
						    "\x11\x94\x38\xa4\0\0\0\0", 8);
			for (unsigned int k = 0; k < 20; k += 2)
				sum += (uint32_t)endpoint->header[k] << 8 | endpoint->header[k + 1];
			assert_int_equal(endpoint->partial_sum % 0xffff, sum % 0xffff);
			assert_int_equal(
				endpoint->mtu,
				mtu_by_hand(esp, suites[i].iv, suites[i].block, suites[i].icv, 4));
			remove_sa(sa);
		}
	}
	/* The tunnel's own MTU where it is the smaller one. */
	tunnel->mtu = 1000;
	add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 0, 0, 0, 0});
	assert_int_equal(endpoint_of("gre1", "10.0.0.2")->mtu, 1000);
}

static void test_ipv6(void **state)
{
	struct pw_sa_detail *sa;
	const struct pw_endpoint *endpoint;
	struct pw_link *tunnel = add_tunnel("gre6", "2001:db8::1", "2001:db8::2");

	assert_non_null(tunnel);
	tunnel->mtu = 9000;
	assert_int_equal(add("src 2001:db8::1 dst 2001:db8::2 proto gre dir out tmpl"), 0);
	assert_int_equal(endpoint_of("gre6", "2001:db8::2")->protect, PW_PROTECT_OUT);
	sa = add_sa(&(struct sa_model){"2001:db8::1", "2001:db8::2", NULL, 0, 0, 0, 0});
	endpoint = endpoint_of("gre6", "2001:db8::2");
	assert_int_equal(endpoint->sa, sa->entry.id);
	assert_int_equal(endpoint->header[6], IPPROTO_ESP);
	assert_int_equal(endpoint->esp_at, 40);
	assert_int_equal(endpoint->gre_at, 56);
	assert_int_equal(endpoint->mtu, mtu_by_hand(40, 8, 4, 16, 4));
	assert_int_equal(endpoint_of("gre1", "10.0.0.2")->protect, 0);
}

/* 10,000 remotes with a policy and an SA each: a change concerns its own pair. */
static void test_many(void **state)
{
	struct timespec begin, end;
	char text[128];
	uint32_t id = 0;
	double seconds;

	assert_non_null(add_tunnel("mgre", "10.1.0.1", NULL));
	for (unsigned int i = 0; i < 10000; i++) {
		struct pw_address remote = {
			.family = AF_INET,
			.bytes = {10, 200, (uint8_t)(i / 250), (uint8_t)(1 + i % 250)}};

		assert_return_code(pw_endpoint_take(link_named("mgre"), &remote, &id), 0);
	}
	settle();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "src 10.1.0.1 dst 10.200.%u.%u proto gre dir out tmpl",
			 i / 250, 1 + i % 250);
		assert_int_equal(add(text), 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	print_message("10,000 policies, one request and one round each: %.2f s\n", seconds);
	assert_int_equal(pw_endpoint_get(id)->protect, PW_PROTECT_OUT);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	assert_int_equal(add("src 0.0.0.0/0 dst 0.0.0.0/0 dir in tmpl"), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	print_message("one that concerns them all: %.1f ms\n", 1000 * seconds);
	assert_int_equal(pw_endpoint_get(id)->protect, PW_PROTECT_OUT | PW_PROTECT_IN);
	flush();
	assert_int_equal(pw_endpoint_get(id)->protect, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_required, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_wanted, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_use_block_bypass, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_defaults, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_late_endpoints, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_rebound, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_rights, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_mtu, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_ipv6, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
