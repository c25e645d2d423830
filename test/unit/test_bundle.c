/* SPDX-License-Identifier: BSD-3-Clause */
/* Policies in tunnel mode: whose SPD they are in, in what order, and what they send by. */
#include "routes_fixture.h"

#include <linux/xfrm.h>

#include "control/bundle.h"
#include "control/links.h"
#include "control/loop.h"
#include "control/sa.h"
#include "control/spd.h"
#include "dataplane/table/policy.h"
#include "dataplane/table/vrf.h"

#define MANY     10000
#define SITES    2000
#define LINKS    1000
#define LINK_MTU 1500

/* ---- making them --------------------------------------------------------------------------- */

enum direction { OUT, IN, FWD };
enum action { PROTECT, USE, BYPASS, BLOCK };

struct wish {
	const char *source, *destination; /* prefixes; NULL: any IPv4 */
	const char *local, *remote;       /* NULL: the usual */
	enum direction direction;
	enum action action;
	uint32_t priority, reqid, if_id, device;
};

static uint8_t prefix(const char *text, struct pw_address *address)
{
	char copy[64];
	char *slash;

	snprintf(copy, sizeof(copy), "%s", text ? text : "0.0.0.0/0");
	slash = strchr(copy, '/');
	if (slash)
		*slash = '\0';
	*address = address_of(copy);
	return slash ? (uint8_t)atoi(slash + 1) : (uint8_t)(8 * pw_address_size(address->family));
}

static struct pw_policy model_of(const struct wish *wish)
{
	static const uint8_t directions[] = {XFRM_POLICY_OUT, XFRM_POLICY_IN, XFRM_POLICY_FWD};
	struct pw_policy model = {
		.direction = directions[wish->direction],
		.action = wish->action == BLOCK ? XFRM_POLICY_BLOCK : XFRM_POLICY_ALLOW,
		.priority = wish->priority,
		.if_id = wish->if_id,
	};
	struct pw_address local = address_of(wish->local ? wish->local : "10.255.0.1");
	struct pw_address remote = address_of(wish->remote ? wish->remote : "203.0.113.9");
	struct xfrm_selector *selector = &model.selector;
	struct xfrm_user_tmpl *template = &model.template;

	selector->prefixlen_s = prefix(wish->source, &model.source);
	selector->prefixlen_d = prefix(wish->destination, &model.destination);
	selector->family = model.destination.family;
	selector->ifindex = (int)wish->device;
	memcpy(&selector->saddr, model.source.bytes, 16);
	memcpy(&selector->daddr, model.destination.bytes, 16);
	if (wish->action == BYPASS || wish->action == BLOCK)
		return model;
	model.templated = true;
	template->mode = XFRM_MODE_TUNNEL;
	template->reqid = wish->reqid;
	template->optional = wish->action == USE;
	template->family = remote.family;
	memcpy(&template->id.daddr, remote.bytes, 16);
	memcpy(&template->saddr, local.bytes, 16);
	return model;
}

#define WISH(...) (&(struct wish){__VA_ARGS__})

/** In the same batch as what follows, until settle(). */
static struct pw_policy *put(const struct wish *wish)
{
	struct pw_policy model = model_of(wish);
	const struct pw_policy *policy;

	assert_int_equal(pw_policy_put(&model, true, &policy), 0);
	return (struct pw_policy *)policy;
}

static struct pw_policy *put_settled(const struct wish *wish)
{
	struct pw_policy *policy = put(wish);

	settle();
	return policy;
}

static struct pw_link *add_ipsec(const char *name, uint32_t if_id, const char *master)
{
	struct pw_link model = {.kind = PW_LINK_IPSEC,
				.carrier = true,
				.mtu = LINK_MTU,
				.port = PW_PORT_NONE,
				.ipsec = {.if_id = if_id}};
	char error[128];
	struct pw_link *link;

	snprintf(model.name, sizeof(model.name), "%s", name);
	link = pw_link_create(&model, error, sizeof(error));
	assert_non_null(link);
	if (master)
		assert_int_equal(pw_link_set_master(link, link_named(master)->index), 0);
	assert_int_equal(pw_link_set_up(link, true), 0);
	settle();
	return link;
}

static struct pw_sa_detail *add_sa(uint32_t spi, const char *remote, uint32_t reqid, uint32_t if_id)
{
	static const uint8_t key[64];
	const struct pw_crypto_suite *suite = pw_crypto_suite_at(0);
	struct pw_sa_detail model = {
		.entry = {.source = address_of("10.255.0.1"),
			  .destination = address_of(remote),
			  .spi = htonl(spi),
			  .reqid = reqid,
			  .if_id = if_id,
			  .mode = XFRM_MODE_TUNNEL},
		.suite = suite,
		.limits = {XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF},
	};
	const struct pw_sa_keys keys = {key, key};
	const struct pw_sa_replay replay = {0};
	struct pw_sa_detail *made = NULL;
	char why[PW_CRYPTO_WHY_BYTES] = "";

	if (pw_sa_add(&model, &keys, &replay, NULL, &made, why))
		fail_msg("%s", why);
	settle();
	return made;
}

/* ---- what workers would do ------------------------------------------------------------------ */

/** The rule that selects a UDP packet, NULL: none. */
static const struct pw_policy_rule *asked(const struct pw_policy_list *list, const char *source,
					  const char *destination)
{
	static uint8_t data[64] = {0x45, [3] = 40, [8] = 64, [9] = IPPROTO_UDP};
	static struct rte_mbuf mbuf;
	struct rte_mbuf *mbufs[] = {&mbuf};
	const struct pw_policy_rule *rules[1] = {NULL};

	if (!list)
		return NULL;
	memcpy(data + 12, address_of(source).bytes, 4);
	memcpy(data + 16, address_of(destination).bytes, 4);
	mbuf = (struct rte_mbuf){.buf_addr = data, .data_len = 40, .pkt_len = 40, .nb_segs = 1};
	pw_policy_select_burst(list, mbufs, 1, false, rules);
	return rules[0];
}

static const struct pw_spd *spd_of(const char *link)
{
	return pw_spd_get(link_named(link)->ipsec.spd);
}

static const struct pw_policy_rule *out(const char *link, const char *destination)
{
	return asked(spd_of(link)->out, "10.1.0.2", destination);
}

static const struct pw_spd *spd_of_vrf(const char *name)
{
	return pw_spd_get(pw_vrf_get(pw_link_vrf(link_named(name)))->spd);
}

/** The endpoint that a rule leads to. */
static const struct pw_endpoint *sent_by(const struct pw_policy_rule *rule)
{
	const struct pw_nexthop *nexthop;

	assert_non_null(rule);
	assert_int_equal(rule->action, PW_POLICY_PROTECT);
	nexthop = pw_nexthop_get(rule->nexthop);
	assert_int_equal(nexthop->type, PW_NEXTHOP_TUNNEL);
	return pw_endpoint_get(nexthop->endpoint);
}

static int setup(void **state)
{
	if (fixture_start(state))
		return -1;
	add_vrf("red", 10);
	add_vrf("blue", 20);
	add_ipsec("ipsec42", 42, "red");
	return 0;
}

/* ---- bundles -------------------------------------------------------------------------------- */

static void test_shared(void **state)
{
	uint32_t endpoints = pw_endpoints.ids_used, nexthops = pw_nexthops.ids_used;
	struct pw_policy *one, *same, *other;

	one = put(WISH(.destination = "10.9.0.0/16", .if_id = 42, .reqid = 1));
	same = put(WISH(.destination = "10.8.0.0/16", .if_id = 42, .reqid = 1));
	settle();
	assert_non_null(one->bundle);
	assert_ptr_equal(one->bundle, same->bundle);
	assert_int_equal(pw_endpoints.ids_used, endpoints + 1);
	assert_int_equal(pw_nexthops.ids_used, nexthops + 1);
	assert_int_equal(out("ipsec42", "10.9.0.1")->nexthop, out("ipsec42", "10.8.0.1")->nexthop);
	/* Each of these makes another. */
	other = put(WISH(.destination = "10.7.0.0/16", .if_id = 42, .reqid = 2));
	put(WISH(.destination = "10.6.0.0/16", .if_id = 42, .reqid = 1, .remote = "203.0.113.8"));
	put(WISH(.destination = "10.5.0.0/16", .if_id = 42, .reqid = 1, .local = "10.255.0.2"));
	put(WISH(.destination = "2001:db8::/32", .source = "::/0", .if_id = 42, .reqid = 1));
	put(WISH(.destination = "10.4.0.0/16", .device = link_named("red")->index, .reqid = 1));
	settle();
	assert_int_equal(pw_endpoints.ids_used, endpoints + 6);
	assert_ptr_not_equal(one->bundle, other->bundle);
	/* The last policy takes it along; a replacement does not. */
	put_settled(WISH(.destination = "10.9.0.0/16", .if_id = 42, .reqid = 1, .priority = 3));
	pw_policy_delete(same);
	settle();
	assert_int_equal(pw_endpoints.ids_used, endpoints + 6);
	pw_policy_flush();
	settle();
	pw_retire_drain();
	assert_int_equal(pw_endpoints.ids_used, endpoints);
	assert_int_equal(pw_nexthops.ids_used, nexthops);
}

static void test_sas(void **state)
{
	struct pw_sa_detail *old, *new;
	const struct pw_endpoint *endpoint;
	uint32_t id;

	put_settled(WISH(.destination = "10.9.0.0/16", .if_id = 42, .reqid = 1));
	endpoint = sent_by(out("ipsec42", "10.9.0.1"));
	id = endpoint->id;
	assert_int_equal(endpoint->protect, PW_PROTECT_OUT);
	assert_int_equal(endpoint->sa, 0);
	assert_int_equal(endpoint->interface, link_named("ipsec42")->index);
	add_sa(0x100, "203.0.113.9", 2, 42);
	add_sa(0x101, "203.0.113.9", 1, 43);
	add_sa(0x102, "203.0.113.8", 1, 42);
	assert_int_equal(pw_endpoint_get(id)->sa, 0);
	old = add_sa(0x103, "203.0.113.9", 1, 42);
	assert_int_equal(pw_endpoint_get(id)->sa, old->entry.id);
	assert_int_equal(pw_endpoint_get(id)->encapsulation, PW_ENCAPSULATION_IP);
	assert_int_equal(pw_endpoint_get(id)->esp_at, 20);
	assert_memory_equal(pw_endpoint_get(id)->header + 20, &old->entry.spi, 4);
	new = add_sa(0x104, "203.0.113.9", 1, 42);
	assert_int_equal(pw_endpoint_get(id)->sa, new->entry.id);
	/* One that is removed is not named any more, not even until the batch is through. */
	pw_sa_remove(new);
	assert_int_equal(pw_endpoint_get(id)->sa, 0);
	assert_int_equal(pw_endpoint_get(id)->protect, PW_PROTECT_OUT);
	settle();
	assert_int_equal(pw_endpoint_get(id)->sa, old->entry.id);
	pw_sa_remove(old);
	settle();
	assert_int_equal(pw_endpoint_get(id)->sa, 0);
	pw_policy_flush();
}

/* Where an SA is only preferred, the rule follows whether there is one. */
static void test_optional(void **state)
{
	const char *far = "10.9.0.1";
	struct pw_sa_detail *sa;

	put_settled(WISH(.destination = "10.9.0.0/16", .device = link_named("red")->index,
			 .reqid = 1, .action = USE));
	assert_int_equal(asked(spd_of_vrf("red")->out, "10.1.0.2", far)->action, PW_POLICY_BYPASS);
	sa = add_sa(0x200, "203.0.113.9", 1, 0);
	assert_int_equal(sent_by(asked(spd_of_vrf("red")->out, "10.1.0.2", far))->sa, sa->entry.id);
	pw_sa_remove(sa);
	settle();
	assert_int_equal(asked(spd_of_vrf("red")->out, "10.1.0.2", far)->action, PW_POLICY_BYPASS);
	pw_policy_flush();
	settle();
}

/* ---- lists ---------------------------------------------------------------------------------- */

static void test_order(void **state)
{
	const struct pw_policy *wide, *narrow;

	wide = put(WISH(.destination = "10.0.0.0/8", .if_id = 42, .priority = 5));
	narrow = put(WISH(.destination = "10.9.0.0/16", .if_id = 42, .priority = 5));
	settle();
	assert_int_equal(out("ipsec42", "10.9.0.1")->index, wide->index);
	/* A replacement keeps its place, but not with another priority. */
	wide = put_settled(WISH(.destination = "10.0.0.0/8", .if_id = 42, .priority = 5));
	assert_int_equal(out("ipsec42", "10.9.0.1")->index, wide->index);
	wide = put_settled(WISH(.destination = "10.0.0.0/8", .if_id = 42, .priority = 6));
	assert_int_equal(out("ipsec42", "10.9.0.1")->index, narrow->index);
	wide = put_settled(WISH(.destination = "10.0.0.0/8", .if_id = 42, .priority = 5));
	assert_int_equal(out("ipsec42", "10.9.0.1")->index, narrow->index);
	put_settled(
		WISH(.destination = "10.9.0.0/24", .if_id = 42, .priority = 1, .action = BLOCK));
	assert_int_equal(out("ipsec42", "10.9.0.1")->action, PW_POLICY_DISCARD);
	assert_int_equal(out("ipsec42", "10.9.1.1")->index, narrow->index);
	assert_null(out("ipsec42", "11.0.0.1"));
	pw_policy_flush();
	settle();
	assert_null(spd_of("ipsec42")->out);
	assert_int_equal(spd_of("ipsec42")->out_default, PW_POLICY_DISCARD);
	assert_int_equal(spd_of("ipsec42")->in_default, PW_POLICY_DISCARD);
}

/* Where one SA takes all, of a family, workers need not ask; where anything else is said, they do.
 */
static void test_all(void **state)
{
	struct wish all = {.if_id = 42, .reqid = 1, .priority = 5}, all6 = all;
	struct pw_policy *policy = put_settled(&all), *other;
	struct pw_sa_detail *sa;

	assert_int_equal(spd_of("ipsec42")->all[0], policy->bundle->nexthop);
	assert_int_equal(spd_of("ipsec42")->all[1], 0);
	all6.source = all6.destination = "::/0";
	other = put_settled(&all6);
	assert_int_equal(spd_of("ipsec42")->all[0], policy->bundle->nexthop);
	assert_int_equal(spd_of("ipsec42")->all[1], other->bundle->nexthop);
	/* Later ones are never reached; those before it are. */
	put_settled(
		WISH(.if_id = 42, .destination = "10.9.0.0/16", .action = BLOCK, .priority = 6));
	assert_int_equal(spd_of("ipsec42")->all[0], policy->bundle->nexthop);
	other = put_settled(WISH(.if_id = 42, .destination = "10.9.0.0/16", .priority = 4));
	assert_int_equal(spd_of("ipsec42")->all[0], 0);
	assert_int_not_equal(spd_of("ipsec42")->all[1], 0);
	pw_policy_delete(other);
	settle();
	assert_int_equal(spd_of("ipsec42")->all[0], policy->bundle->nexthop);
	/* Of another action. */
	for (all.action = BYPASS; all.action <= BLOCK; all.action++) {
		put_settled(&all);
		assert_int_equal(spd_of("ipsec42")->all[0], 0);
	}
	all.action = USE;
	policy = put_settled(&all);
	assert_int_equal(spd_of("ipsec42")->all[0], 0);
	sa = add_sa(0x400, "203.0.113.9", 1, 42);
	assert_int_equal(spd_of("ipsec42")->all[0], policy->bundle->nexthop);
	pw_sa_remove(sa);
	settle();
	assert_int_equal(spd_of("ipsec42")->all[0], 0);
	pw_policy_flush();
	settle();
	assert_int_equal(spd_of("ipsec42")->all[1], 0);
	/* Of a VRF others pass in clear. */
	put_settled(WISH(.device = link_named("red")->index));
	assert_int_equal(spd_of_vrf("red")->all[0], 0);
	pw_policy_flush();
	settle();
}

/* Directions in and fwd are one list; the same thing said in both is there once. */
static void test_inward(void **state)
{
	const struct pw_policy_rule *rule;
	const struct pw_policy *in, *fwd;

	fwd = put(WISH(.source = "10.9.0.0/16", .direction = FWD, .if_id = 42,
		       .local = "203.0.113.9", .remote = "10.255.0.1", .reqid = 3));
	put(WISH(.source = "10.9.0.0/16", .direction = IN, .if_id = 42, .local = "203.0.113.9",
		 .remote = "10.255.0.1", .reqid = 3));
	settle();
	rule = asked(spd_of("ipsec42")->in, "10.9.0.1", "10.1.0.2");
	assert_non_null(rule);
	assert_int_equal(rule->index, fwd->index);
	assert_int_equal(rule->flags, PW_POLICY_TUNNEL);
	assert_int_equal(rule->reqid, 3);
	assert_memory_equal(rule->sa_source, address_of("203.0.113.9").bytes, 16);
	assert_memory_equal(rule->sa_destination, address_of("10.255.0.1").bytes, 16);
	assert_null(spd_of("ipsec42")->out);
	/* Not the same: the first counts. */
	in = put_settled(WISH(.source = "10.9.0.0/16", .direction = IN, .if_id = 42,
			      .local = "203.0.113.9", .remote = "10.255.0.1", .reqid = 4));
	assert_int_equal(asked(spd_of("ipsec42")->in, "10.9.0.1", "10.1.0.2")->reqid, 3);
	pw_policy_delete(pw_policy_find(fwd));
	settle();
	assert_int_equal(asked(spd_of("ipsec42")->in, "10.9.0.1", "10.1.0.2")->index, in->index);
	pw_policy_flush();
	settle();
}

/* A change makes the lists of its own SPD anew, once a batch, and no others. */
static void test_only_its_own(void **state)
{
	const struct pw_policy_list *blue, *red;
	struct timespec begin, end;
	char text[32];

	add_ipsec("ipsec43", 43, "blue");
	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.0/24", i / 250, i % 250);
		put(WISH(.destination = text, .if_id = 43));
	}
	clock_gettime(CLOCK_MONOTONIC, &begin);
	settle();
	clock_gettime(CLOCK_MONOTONIC, &end);
	print_message("%u policies in one batch: %.1f ms\n", MANY,
		      (double)(end.tv_sec - begin.tv_sec) * 1e3 +
			      (double)(end.tv_nsec - begin.tv_nsec) / 1e6);
	blue = spd_of("ipsec43")->out;
	assert_non_null(blue);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int i = 0; i < 100; i++)
		put_settled(WISH(.destination = "10.9.0.0/16", .if_id = 42, .reqid = i));
	clock_gettime(CLOCK_MONOTONIC, &end);
	print_message("100 changes beside them: %.1f ms\n",
		      (double)(end.tv_sec - begin.tv_sec) * 1e3 +
			      (double)(end.tv_nsec - begin.tv_nsec) / 1e6);
	assert_ptr_equal(spd_of("ipsec43")->out, blue);
	/* SAs and ways change bundles, not lists. */
	red = spd_of("ipsec42")->out;
	pw_sa_remove(add_sa(0x300, "203.0.113.9", 0, 43));
	settle();
	assert_ptr_equal(spd_of("ipsec43")->out, blue);
	assert_ptr_equal(spd_of("ipsec42")->out, red);
	pw_policy_flush();
	settle();
	pw_link_delete(link_named("ipsec43"));
	settle();
}

/* Thousands of sites with an interface each: what one gets costs the others nothing. */
static void test_many_sites(void **state)
{
	static struct pw_link *links[SITES];
	struct timespec begin, end;
	char text[32];

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint32_t i = 0; i < SITES; i++) {
		snprintf(text, sizeof(text), "site%u", i);
		links[i] = add_ipsec(text, 1000 + i, i % 2 ? "red" : "blue");
		snprintf(text, sizeof(text), "203.0.%u.%u", i / 250, 1 + i % 250);
		put_settled(WISH(.destination = "10.9.0.0/16", .if_id = 1000 + i, .remote = text));
		add_sa(0x1000 + i, text, 0, 1000 + i);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	print_message("%u sites, three batches each: %.1f ms\n", SITES,
		      (double)(end.tv_sec - begin.tv_sec) * 1e3 +
			      (double)(end.tv_nsec - begin.tv_nsec) / 1e6);
	for (uint32_t i = 0; i < SITES; i++) {
		const struct pw_policy_rule *rule;

		rule = asked(pw_spd_get(links[i]->ipsec.spd)->out, "10.1.0.2", "10.9.0.1");
		assert_int_equal(pw_sa_get(sent_by(rule)->sa)->spi, htonl(0x1000 + i));
		assert_int_equal(sent_by(rule)->interface, links[i]->index);
	}
	pw_policy_flush();
	settle();
	for (uint32_t i = 0; i < SITES; i++)
		pw_link_delete(links[i]);
	settle();
}

/* ---- whose ---------------------------------------------------------------------------------- */

static void test_links(void **state)
{
	struct pw_policy *policy = put_settled(WISH(.destination = "10.9.0.0/16", .if_id = 50));
	struct pw_ipsec numbered;
	uint32_t spd;

	assert_null(policy->owner);
	assert_null(policy->bundle);
	add_ipsec("ipsec50", 50, "red");
	assert_non_null(out("ipsec50", "10.9.0.1"));
	assert_int_equal(policy->owner->vrf, pw_link_vrf(link_named("red")));
	numbered = link_named("ipsec50")->ipsec;
	numbered.if_id = 51;
	assert_int_equal(pw_link_set_ipsec(link_named("ipsec50"), &numbered), 0);
	settle();
	assert_null(out("ipsec50", "10.9.0.1"));
	assert_null(policy->owner);
	numbered.if_id = 50;
	assert_int_equal(pw_link_set_ipsec(link_named("ipsec50"), &numbered), 0);
	settle();
	assert_non_null(out("ipsec50", "10.9.0.1"));
	spd = link_named("ipsec50")->ipsec.spd;
	pw_link_delete(link_named("ipsec50"));
	settle();
	assert_null(policy->owner);
	assert_null(policy->bundle);
	assert_null(pw_spd_get(spd)->out);
	pw_policy_flush();
	settle();
}

static void test_vrfs(void **state)
{
	uint32_t red = link_named("red")->index;
	struct pw_policy *policy;

	/* Nothing but a bypass: as without. */
	policy = put_settled(WISH(.destination = "10.9.0.0/16", .device = red, .action = BYPASS));
	assert_int_equal(pw_vrf_get(pw_link_vrf(link_named("red")))->spd, 0);
	put_settled(WISH(.destination = "10.8.0.0/16", .device = red));
	assert_int_not_equal(pw_vrf_get(pw_link_vrf(link_named("red")))->spd, 0);
	assert_int_equal(pw_vrf_get(pw_link_vrf(link_named("blue")))->spd, 0);
	assert_int_equal(pw_vrf_get(PW_VRF_DEFAULT)->spd, 0);
	assert_int_equal(spd_of_vrf("red")->out_default, PW_POLICY_BYPASS);
	assert_int_equal(sent_by(asked(spd_of_vrf("red")->out, "1.1.1.1", "10.8.0.1"))->interface,
			 red);
	/* Without a device: the default VRF's. */
	put_settled(WISH(.destination = "10.7.0.0/16"));
	assert_int_not_equal(pw_vrf_get(PW_VRF_DEFAULT)->spd, 0);
	/* A device that goes takes its policies out, for good. */
	pw_link_delete(link_named("red"));
	settle();
	assert_true(policy->device_gone);
	assert_null(policy->owner);
	pw_retire_drain();
	add_vrf("green", 30);
	assert_int_equal(link_named("green")->index, red);
	settle();
	assert_null(policy->owner);
	assert_int_equal(pw_vrf_get(pw_link_vrf(link_named("green")))->spd, 0);
	pw_policy_flush();
	settle();
	assert_int_equal(pw_vrf_get(PW_VRF_DEFAULT)->spd, 0);
}

/* A device's policies go where it goes. */
static void test_device_moves(void **state)
{
	struct pw_link *device = link_named("p0");
	struct pw_policy *policy =
		put_settled(WISH(.destination = "10.9.0.0/16", .device = device->index));

	assert_int_equal(policy->owner->vrf, PW_VRF_DEFAULT);
	for (const char *const *name = (const char *const[]){"red", "blue", NULL}; *name; name++) {
		assert_int_equal(pw_link_set_master(device, link_named(*name)->index), 0);
		settle();
		assert_non_null(asked(spd_of_vrf(*name)->out, "10.1.0.2", "10.9.0.1"));
	}
	assert_int_equal(pw_vrf_get(pw_link_vrf(link_named("red")))->spd, 0);
	pw_link_delete(link_named("blue"));
	settle();
	assert_int_equal(policy->owner->vrf, PW_VRF_DEFAULT);
	pw_policy_flush();
	settle();
	add_vrf("blue", 20);
}

static double links_come_and_go(void)
{
	struct timespec begin, end;
	char name[IFNAMSIZ];

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint32_t i = 0; i < LINKS; i++) {
		snprintf(name, sizeof(name), "site%u", i);
		add_ipsec(name, 1000 + i, NULL);
		pw_link_delete(link_named(name));
		settle();
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	return (double)(end.tv_sec - begin.tv_sec) * 1e3 +
	       (double)(end.tv_nsec - begin.tv_nsec) / 1e6;
}

/* What is nobody's business but a VRF's is not looked at for a link. */
static void test_links_beside_many(void **state)
{
	double alone = links_come_and_go(), beside;
	char text[32];

	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.0/24", i / 250, i % 250);
		put(WISH(.destination = text, .device = link_named("red")->index));
	}
	settle();
	beside = links_come_and_go();
	print_message("%u links: %.1f ms, beside %u policies %.1f ms\n", LINKS, alone, MANY,
		      beside);
	assert_true(beside < 4 * alone + 50);
	pw_policy_flush();
	settle();
}

/* ---- lists that are long --------------------------------------------------------------------- */

static const char *const few[] = {"10.0.0.0/8", "10.2.0.0/16",  "10.2.0.0/30", "10.2.0.4/30",
				  "10.2.0.1",   "10.2.0.2",     "10.2.0.5",    "10.2.0.6",
				  "10.2.0.7",   "203.0.113.64", "0.0.0.0/0"};

static bool covers(const struct pw_address *prefix, unsigned int length, const char *address)
{
	uint64_t mask = length ? UINT32_MAX << (32 - length) : 0;
	uint32_t a, b = ntohl(inet_addr(address));

	memcpy(&a, prefix->bytes, 4);
	return !((ntohl(a) ^ b) & (uint32_t)mask);
}

/* One after the other: the first of all that selects. */
static const struct pw_policy *first(bool outward, const char *source, const char *destination)
{
	const struct pw_policy *best = NULL;

	for (const struct pw_policy *policy = pw_policy_next(0); policy;
	     policy = pw_policy_next(policy->serial))
		if ((policy->direction == XFRM_POLICY_OUT) == outward &&
		    covers(&policy->source, policy->selector.prefixlen_s, source) &&
		    covers(&policy->destination, policy->selector.prefixlen_d, destination) &&
		    (!best || pw_policy_comes_before(policy, best)))
			best = policy;
	return best;
}

static void as_one_after_the_other(void)
{
	static const char *const hosts[] = {"10.2.0.1", "10.2.0.2", "10.2.0.5",     "10.2.0.6",
					    "10.2.0.7", "10.9.0.1", "203.0.113.64", "192.0.2.1"};
	const struct pw_spd *spd = spd_of("ipsec1");

	for (unsigned int i = 0; i < 2 * RTE_DIM(hosts) * RTE_DIM(hosts); i++) {
		const char *from = hosts[i / 2 / RTE_DIM(hosts)],
			   *to = hosts[i / 2 % RTE_DIM(hosts)];
		const struct pw_policy_rule *rule = asked(i & 1 ? spd->out : spd->in, from, to);
		const struct pw_policy *policy = first(i & 1, from, to);

		if (!policy) {
			assert_null(rule);
			continue;
		}
		assert_non_null(rule);
		assert_int_equal(rule->index, policy->index);
		assert_int_equal(rule->action, pw_spd_action(policy));
		if (i & 1 && rule->action == PW_POLICY_PROTECT)
			assert_int_equal(rule->nexthop, policy->bundle->nexthop);
	}
}

static struct wish anything(void)
{
	return (struct wish){.source = few[(unsigned int)rand() % RTE_DIM(few)],
			     .destination = few[(unsigned int)rand() % RTE_DIM(few)],
			     .direction = (enum direction)(rand() % 3),
			     .action = rand() % 3   ? PROTECT
				       : rand() % 2 ? BYPASS
						    : BLOCK,
			     .priority = 1000 + (uint32_t)rand() % 400,
			     .reqid = 1 + (uint32_t)rand() % 3,
			     .if_id = 21};
}

/* What changes in a list that is compiled is in force with the answer, and when it is compiled. */
static void test_long(void **state)
{
	unsigned int patched = 0;
	char text[32];

	srand(1);
	add_ipsec("ipsec1", 21, NULL);
	for (unsigned int i = 0; i < 300; i++) {
		snprintf(text, sizeof(text), "198.51.%u.%u", i / 256, i % 256);
		put(WISH(.destination = text, .direction = i & 1 ? OUT : FWD, .if_id = 21,
			 .priority = i * 3));
	}
	settle();
	for (unsigned int i = 0; i < 800; i++) {
		struct wish wish = anything();
		struct pw_policy model = model_of(&wish), *there = pw_policy_find(&model);

		if (there && rand() % 2) {
			pw_policy_delete(there);
			settle();
		} else {
			patched += put_settled(&wish)->patched;
		}
		as_one_after_the_other();
		if (i % 200 == 199) {
			struct pw_policy *last = put_settled(
				WISH(.destination = "10.2.0.2", .if_id = 21, .priority = i));

			usleep(300000);
			settle();
			assert_false(last->patched);
			assert_int_not_equal(last->listed, 0);
			as_one_after_the_other();
		}
	}
	assert_true(patched > 200);
	pw_policy_flush();
	settle();
	assert_null(spd_of("ipsec1")->out);
	assert_null(spd_of("ipsec1")->in);
	pw_link_delete(link_named("ipsec1"));
	settle();
}

static void default_is(uint8_t direction, uint8_t action)
{
	pw_policy_default_set(direction, action);
	pw_protection_default_changed();
	settle();
}

static bool closed(const struct pw_spd *spd, uint8_t in, uint8_t fwd, uint8_t out)
{
	return spd->in_default == in && spd->fwd_default == fwd && spd->out_default == out &&
	       spd->interface_default == PW_POLICY_BYPASS;
}

/* The default is of all VRFs: with policies and without, and of those that come later. */
static void test_default(void **state)
{
	const uint8_t block = PW_POLICY_DISCARD, pass = PW_POLICY_BYPASS;
	uint32_t used = pw_spds.ids_used - pw_spds.free_ids_count;

	default_is(XFRM_POLICY_OUT, XFRM_USERPOLICY_BLOCK);
	assert_true(closed(pw_spd_get(pw_vrf_get(PW_VRF_DEFAULT)->spd), pass, pass, block));
	assert_true(closed(spd_of_vrf("red"), pass, pass, block));
	assert_null(spd_of_vrf("red")->out);
	put_settled(WISH(.destination = "10.8.0.0/16", .device = link_named("red")->index));
	assert_true(closed(spd_of_vrf("red"), pass, pass, block));
	assert_non_null(spd_of_vrf("red")->out);
	assert_null(spd_of_vrf("blue")->out);
	default_is(XFRM_POLICY_FWD, XFRM_USERPOLICY_BLOCK);
	default_is(XFRM_POLICY_OUT, XFRM_USERPOLICY_ACCEPT);
	add_vrf("late", 40);
	for (const char *const *name = (const char *const[]){"red", "blue", "late", NULL}; *name;
	     name++)
		assert_true(closed(spd_of_vrf(*name), pass, block, pass));
	/* Without its last policy a VRF is no more open than the others. */
	pw_policy_flush();
	settle();
	assert_null(spd_of_vrf("red")->out);
	assert_true(closed(spd_of_vrf("red"), pass, block, pass));
	default_is(XFRM_POLICY_IN, XFRM_USERPOLICY_BLOCK);
	default_is(XFRM_POLICY_FWD, XFRM_USERPOLICY_ACCEPT);
	assert_true(closed(spd_of_vrf("late"), block, pass, pass));
	/* Bypasses are something to ask for then. */
	put_settled(WISH(.device = link_named("red")->index, .direction = IN, .action = BYPASS));
	assert_non_null(spd_of_vrf("red")->in);
	default_is(XFRM_POLICY_IN, XFRM_USERPOLICY_ACCEPT);
	for (const char *const *name = (const char *const[]){"red", "blue", "late", NULL}; *name;
	     name++)
		assert_int_equal(pw_vrf_get(pw_link_vrf(link_named(*name)))->spd, 0);
	assert_int_equal(pw_vrf_get(PW_VRF_DEFAULT)->spd, 0);
	pw_policy_flush();
	pw_link_delete(link_named("late"));
	settle();
	pw_retire_drain();
	assert_int_equal(pw_spds.ids_used - pw_spds.free_ids_count, used);
}

/* More than there is room for: the rest blocks, and has its turn when there is room. */
static void test_full(void **state)
{
	struct pw_policy *last = NULL;
	struct pw_policy *other = put_settled(
		WISH(.destination = "10.8.0.0/16", .device = link_named("blue")->index));
	unsigned int made = 0, now = 0;
	char text[32];

	for (uint32_t i = 0; i < PW_ENDPOINTS + 10; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.0/24", i / 250, i % 250);
		last = put(WISH(.destination = text, .if_id = 42, .reqid = i + 1));
	}
	settle();
	for (const struct pw_policy *policy = pw_policy_next(0); policy;
	     policy = pw_policy_next(policy->serial))
		made += policy->bundle != NULL;
	assert_in_range(made, PW_ENDPOINTS - 100, PW_ENDPOINTS - 1);
	assert_null(last->bundle);
	assert_int_equal(out("ipsec42", "10.131.27.1")->action, PW_POLICY_DISCARD);
	/* Another's goes: there is room for some of these. */
	pw_policy_delete(other);
	settle();
	settle();
	for (const struct pw_policy *policy = pw_policy_next(0); policy;
	     policy = pw_policy_next(policy->serial))
		now += policy->bundle != NULL;
	assert_int_equal(now, made);
	pw_policy_flush();
	settle();
	pw_retire_drain();
	put_settled(WISH(.destination = "10.9.0.0/16", .if_id = 42));
	assert_non_null(sent_by(out("ipsec42", "10.9.0.1")));
	pw_policy_flush();
	settle();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shared, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_sas, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_optional, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_order, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_all, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_inward, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_only_its_own, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_many_sites, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_links, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_vrfs, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_device_moves, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_links_beside_many, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_default, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_full, setup, fixture_stop),
		cmocka_unit_test_setup_teardown(test_long, setup, fixture_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
