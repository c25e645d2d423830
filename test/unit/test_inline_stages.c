/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inline crypto through the whole PE: core0 is a port whose NIC, made here of rings and
 * intel-ipsec-mb behind DPDK's rte_security, does ESP; core1 is one without; red0 is a customer's.
 * SAs come by `ip xfrm` through pewter-run of the build in PW_BUILD.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <rte_ip.h>

#include "control/control.h"
#include "control/loop.h"
#include "control/sa.h"
#include "dataplane/worker.h"
#include "inline_frames.h"
#include "inline_nic.h"
#include "lib/retire.h"
#include "pe_fixture.h"
#include "test/path/pe.h"

#define WINDOW 32

static const char *const names[] = {"core0", "core1", "red0"};

/* ---- the PE ------------------------------------------------------------------------------- */

#define SA_IN                                                                                      \
	"ip xfrm state add src 10.255.0.2 dst 10.255.0.1 proto esp spi 0x1001 mode transport"      \
	" replay-window 32 aead 'rfc4106(gcm(aes))' 0x$(printf '5a%.0s' $(seq 20)) 128 "
#define SA_OUT                                                                                     \
	"ip xfrm state add src 10.255.0.1 dst 10.255.0.2 proto esp spi 0x1002 mode transport"      \
	" aead 'rfc4106(gcm(aes))' 0x$(printf '5a%.0s' $(seq 20)) 128 "

static const char network[] =
	"ip -batch - <<BATCH\n"
	"link set core0 up\n"
	"link set core1 up\n"
	"link set red0 up\n"
	"addr add 192.0.2.1/24 dev core0\n"
	"addr add 198.51.100.1/24 dev core1\n"
	"addr add 10.255.0.1/32 dev core0\n"
	"neigh add 192.0.2.2 lladdr 02:00:00:00:c0:02 dev core0 nud permanent\n"
	"neigh add 198.51.100.2 lladdr 02:00:00:00:c1:02 dev core1 nud permanent\n"
	"route add 10.255.0.2/32 via 192.0.2.2\n"
	"route add 203.0.113.0/24 via 198.51.100.2\n"
	"link add red type vrf table 10\n"
	"link set red up\n"
	"link set red0 master red\n"
	"addr add 10.1.0.1/24 dev red0\n"
	"neigh add 10.1.0.2 lladdr 02:00:00:00:01:02 dev red0 nud permanent\n"
	"link add mgre0 type gre local 10.255.0.1 ttl 64\n"
	"link set mgre0 up\n"
	"addr add 172.16.0.1/24 dev mgre0\n"
	"neigh add 172.16.0.2 lladdr 10.255.0.2 dev mgre0 nud permanent\n"
	"route add table 10 10.2.0.0/16 encap mpls 100 via 172.16.0.2 dev mgre0\n"
	"xfrm policy add src 10.255.0.1/32 dst 10.255.0.2/32 proto gre dir out"
	" tmpl proto esp mode transport\n"
	"xfrm policy add src 10.255.0.2/32 dst 10.255.0.1/32 proto gre dir in"
	" tmpl proto esp mode transport\n"
	"BATCH\n"
	"ip -f mpls route add 200 dev red\n";

/* ---- tests -------------------------------------------------------------------------------- */

static void test_offload(void **state)
{
	configured("! " SA_OUT "offload dev core1 dir out 2>$PW_ERR\n"
		   "grep 'core1 cannot take an SA: it has no inline crypto' $PW_ERR >&2");
	configured("! " SA_OUT "offload dev core0 dir in 2>$PW_ERR\n"
		   "grep 'inbound if its destination is an address of this PE' $PW_ERR >&2");
	configured("! " SA_IN "offload dev core0 dir out 2>$PW_ERR\n"
		   "grep 'to an address of this PE is offloaded inbound' $PW_ERR >&2");
	configured("! " SA_IN "flag esn offload dev core0 dir in 2>$PW_ERR\n"
		   "grep 'port core0 does no ESN' $PW_ERR >&2");
	configured("! ip xfrm state add src 10.255.0.1 dst 10.255.0.2 proto esp spi 0x1002 "
		   "mode transport aead 'rfc4106(gcm(aes))' 0x$(printf '5a%.0s' $(seq 36)) 128 "
		   "offload dev core0 dir out 2>$PW_ERR\n"
		   "grep 'port core0 does no aes256gcm16 inline (out)' $PW_ERR >&2");
	configured("[ -z \"$(ip xfrm state)\" ]");
	assert_int_equal(nic.sessions, 0);
	assert_int_equal(nic_flows(), 0);
	configured(SA_IN "offload dev core0 dir in\n" SA_OUT "offload dev core0 dir out\n"
			 "ip xfrm state | grep 'dev core0 dir in' >&2\n"
			 "ip xfrm state | grep 'dev core0 dir out' >&2");
	assert_int_equal(nic.sessions, 2);
	assert_int_equal(nic_flows(), 1);
}

/* Nobody asks for the port: it is used all the same, and not shown as asked for. */
static void test_unasked(void **state)
{
	configured("ip xfrm state flush\n" SA_IN "\n" SA_OUT "\n! ip xfrm state | grep core0 >&2");
	assert_int_equal(nic_flows(), 1);
}

static void test_egress(void **state)
{
	nic.sealed = 0;
	customer_sends(7);
	customer_sends(8);
	assert_int_equal(run(), 2);
	assert_int_equal(nic.sealed, 2);
	left(0, CORE0, 1, 7);
	left(1, CORE0, 2, 8);
	/* The driver does not take it. */
	nic.metadata_fails = true;
	customer_sends(9);
	assert_int_equal(run(), 1);
	nic.metadata_fails = false;
	assert_int_equal(nic.sealed, 2);
	left(0, CORE0, 3, 9);
	/* By the port without, and back: one SA, one run of numbers. */
	configured("ip route replace 10.255.0.2/32 via 198.51.100.2");
	customer_sends(10);
	assert_int_equal(run(), 1);
	assert_int_equal(nic.sealed, 2);
	left(0, CORE1, 4, 10);
	configured("ip route replace 10.255.0.2/32 via 192.0.2.2");
	customer_sends(11);
	assert_int_equal(run(), 1);
	assert_int_equal(nic.sealed, 3);
	left(0, CORE0, 5, 11);
}

static const struct pw_sa_counters *inward_counters(uint8_t b, uint8_t c, uint8_t d)
{
	const uint8_t local[4] = {10, b, c, d};
	const struct pw_sa *sa = pw_sa_find(RTE_BE32(0x1001), 0, false, local);

	assert_non_null(sa);
	assert_non_null(sa->inlined);
	return &pw_workers[0]->sa[sa->id];
}

static void test_ingress(void **state)
{
	const struct pw_sa_counters *counters = inward_counters(255, 0, 1);
	struct pw_sa_counters before = *counters;

	nic.opened = 0;
	receive(CORE0, 1);
	assert_int_equal(run(), 1);
	delivered(0, 1);
	assert_int_equal(nic.opened, 1);
	assert_int_equal(counters->packets, before.packets + 1);
	/* Again: the NIC opens it, Pewter's window refuses it. */
	receive(CORE0, 1);
	assert_int_equal(run(), 0);
	assert_int_equal(drops(PW_DROP_ESP_REPLAY), 1);
	assert_int_equal(counters->replays, before.replays + 1);
	/* Forged: and it does not move the window. */
	receive_changed(CORE0, key, 1000, 1);
	assert_int_equal(run(), 0);
	assert_int_equal(nic.opened, 3);
	assert_int_equal(drops(PW_DROP_ESP_ICV), 1);
	assert_int_equal(counters->icv_failures, before.icv_failures + 1);
	receive(CORE0, 2);
	assert_int_equal(run(), 1);
	delivered(0, 2);
	/* Not opened by it: the engine's. */
	nic.sleeps = true;
	receive(CORE0, 3);
	receive_changed(CORE0, key, 4, 1);
	assert_int_equal(run(), 1);
	delivered(0, 3);
	assert_int_equal(drops(PW_DROP_ESP_ICV), 1);
	nic.sleeps = false;
	/* What it says of a packet that it did not open ends as text that is not right. */
	nic.lies = true;
	receive(CORE0, 5);
	assert_int_equal(run(), 0);
	nic.lies = false;
}

/* Some of a burst are opened already: numbers are taken in their order nevertheless. */
static void test_mixed(void **state)
{
	drops(PW_DROP_ESP_REPLAY);
	nic.alternates = true;
	nic.opened = 0;
	for (uint32_t number = 100; number < 100 + 2 * WINDOW; number++)
		receive(CORE0, number);
	assert_int_equal(run(), 2 * WINDOW);
	assert_int_equal(nic.opened, WINDOW);
	for (uint32_t i = 0; i < 2 * WINDOW; i++)
		delivered(i, 100 + i);
	nic.alternates = false;
	/* By the other port too; a copy by the first is refused. */
	receive(CORE1, 200);
	assert_int_equal(run(), 1);
	delivered(0, 200);
	receive(CORE0, 200);
	assert_int_equal(run(), 0);
	assert_int_equal(drops(PW_DROP_ESP_REPLAY), 1);
}

/* ESP of others passes by; not if the NIC says that it has opened it. */
static void test_transit(void **state)
{
	uint8_t frame[INLINE_FRAME];

	sealed_frame(frame, key, RTE_IPV4(203u, 0, 113, 1), 1);
	assert_int_equal(pe_send(CORE0, frame, sizeof(frame)), 0);
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, CORE1);
	nic.lies = true;
	drops(PW_DROP_ESP_SPI);
	assert_int_equal(pe_send(CORE0, frame, sizeof(frame)), 0);
	assert_int_equal(run(), 0);
	assert_int_equal(drops(PW_DROP_ESP_SPI), 1);
	nic.lies = false;
}

/* Deleted, and another with its SPI before any grace period has passed. */
static void replace_key(void)
{
	struct pw_address destination = {.family = AF_INET, .bytes = {10, 255, 0, 1}};
	struct pw_sa_detail *sa = pw_sa_lookup(0, &destination, RTE_BE32(0x1001));
	struct pw_sa_replay replay = {.set = false};
	struct pw_sa_detail model;
	char why[PW_CRYPTO_WHY_BYTES] = "";
	uint8_t raw[INLINE_KEY];

	memset(raw, 0xa5, sizeof(raw));
	assert_non_null(sa);
	model = (struct pw_sa_detail){
		.entry = {.source = sa->entry.source,
			  .destination = destination,
			  .spi = sa->entry.spi,
			  .mode = sa->entry.mode},
		.suite = sa->suite,
		.selector = sa->selector,
		.limits = sa->limits,
		.window = WINDOW,
		.offload = {.ifindex = (int)pw_link_by_name("core0")->index,
			    .flags = XFRM_OFFLOAD_INBOUND},
		.offload_ethdev = nic.ethdev,
	};
	pw_sa_remove(sa);
	if (pw_sa_add(&model, &(struct pw_sa_keys){.cipher = raw}, &replay, NULL, &sa, why))
		fail_msg("%s", why);
	pw_loop_again(0);
	pe_wait(0, NULL, NULL);
}

/* Only the new key opens, and it does so in the NIC. */
static void test_same_spi(void **state)
{
	replace_key();
	assert_int_equal(nic_flows(), 1);
	drops(PW_DROP_ESP_ICV);
	receive(CORE0, 300);
	assert_int_equal(run(), 0);
	assert_int_equal(drops(PW_DROP_ESP_ICV), 1);
	nic.opened = 0;
	receive_changed(CORE0, other_key, 1, 0);
	assert_int_equal(run(), 1);
	delivered(0, 1);
	assert_int_equal(nic.opened, 1);
}

/* Its destination's address comes and goes: the SA is outward, inward, outward. */
static void test_turned(void **state)
{
	unsigned int flows = nic_flows();
	uint8_t frame[INLINE_FRAME];
	uint64_t packets;

	configured("ip xfrm state add src 10.255.0.2 dst 10.9.9.9 proto esp spi 0x1001"
		   " mode transport replay-window 32"
		   " aead 'rfc4106(gcm(aes))' 0x$(printf '5a%.0s' $(seq 20)) 128"
		   " offload dev core0 dir out\n"
		   "ip addr add 10.9.9.9/32 dev core0\n"
		   "ip xfrm state | grep -A20 'dst 10.9.9.9' | grep -m1 'dev core0 dir in' >&2");
	assert_int_equal(nic_flows(), flows + 1);
	nic.opened = 0;
	packets = inward_counters(9, 9, 9)->packets;
	sealed_frame(frame, key, RTE_IPV4(10, 9, 9, 9), 1);
	assert_int_equal(pe_send(CORE0, frame, sizeof(frame)), 0);
	/* Authentic, though no tunnel takes it. */
	assert_int_equal(run(), 0);
	assert_int_equal(inward_counters(9, 9, 9)->packets, packets + 1);
	assert_int_equal(nic.opened, 1);
	configured("ip addr del 10.9.9.9/32 dev core0\n"
		   "ip xfrm state | grep -A20 'dst 10.9.9.9' | grep -m1 'dev core0 dir out' >&2");
	assert_int_equal(nic_flows(), flows);
	configured("ip xfrm state del dst 10.9.9.9 proto esp spi 0x1001");
}

/* Until the NIC has so many sessions, that is, those that are held have gone. */
static void sessions_reach(unsigned int count)
{
	time_t end = time(NULL) + 10;

	while (nic.sessions > count && time(NULL) < end)
		pe_wait(50, NULL, NULL);
	assert_int_equal(nic.sessions, count);
}

/* The outward one, and the grace period after it. */
static void outward_delete(void)
{
	struct pw_address destination = {.family = AF_INET, .bytes = {10, 255, 0, 2}};
	struct pw_sa_detail *sa = pw_sa_lookup(0, &destination, RTE_BE32(0x1002));

	assert_non_null(sa);
	pw_sa_remove(sa);
	pw_retire_drain();
}

/* The NIC keeps an outward key for as long as its queue may have packets for it. */
static void test_deleted(void **state)
{
	sessions_reach(2);
	outward_delete();
	assert_int_equal(nic.sessions, 2);
	sessions_reach(1);
	configured("ip xfrm state flush");
	sessions_reach(0);
	assert_int_equal(nic_flows(), 0);
}

/* ---- set up ------------------------------------------------------------------------------- */

static int setup(void **state)
{
	assert_int_equal(pe_fixture_start(names, RTE_DIM(names)), 0);
	nic_make("core0");
	keys_make();
	return configure(network);
}

static int teardown(void **state)
{
	/* One that stands and one that is held go with their port. */
	configured(SA_IN "\n" SA_OUT);
	outward_delete();
	assert_int_equal(nic.sessions, 2);
	keys_free();
	return pe_fixture_stop() || nic.sessions != 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offload),  cmocka_unit_test(test_unasked),
		cmocka_unit_test(test_egress),   cmocka_unit_test(test_ingress),
		cmocka_unit_test(test_mixed),    cmocka_unit_test(test_transit),
		cmocka_unit_test(test_same_spi), cmocka_unit_test(test_turned),
		cmocka_unit_test(test_deleted),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
