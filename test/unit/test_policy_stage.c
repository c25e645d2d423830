/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stage `policy` through the whole PE: red0 and red1 are customers' ports in one VRF, blue0 is in
 * another, core0 leads to a remote PE through a tunnel, which stands for an SA here. Policies are
 * published as the control thread does; the network comes by `ip` through pewter-run of the build
 * in PW_BUILD.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <rte_ether.h>
#include <rte_graph_worker.h>
#include <rte_ip.h>

#include "dataplane/table/nexthop.h"
#include "dataplane/table/policy.h"
#include "dataplane/table/vrf.h"
#include "dataplane/worker.h"
#include "lib/retire.h"
#include "test/path/pe.h"

#define ETHER  14
#define LENGTH 64
#define GRE_AT (ETHER + 20)
#define INNER  (GRE_AT + 4 + 4) /* GRE, label */

enum { CORE, RED0, RED1, BLUE };
static const char *const names[] = {"core0", "red0", "red1", "blue0"};

/* ---- the PE ------------------------------------------------------------------------------- */

static char directory[] = "/tmp/pw-policy-XXXXXX";
static char socket_path[64];

static int configure(const char *script)
{
	const char *build = getenv("PW_BUILD");
	char runner[4096];
	int status = 0;
	pid_t child;

	snprintf(runner, sizeof(runner), "%s/control/cli/pewter-run", build ? build : ".");
	child = fork();
	if (child == 0) {
		execl(runner, runner, "-s", socket_path, "sh", "-ec", script, (char *)NULL);
		perror(runner);
		_exit(127);
	}
	assert_true(child > 0);
	while (waitpid(child, &status, WNOHANG) == 0)
		pe_wait(5, NULL, NULL);
	for (int i = 0; i < 10; i++)
		pe_wait(1, NULL, NULL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char network[] =
	"ip -batch - <<BATCH\n"
	"link set core0 up\n"
	"addr add 192.0.2.1/24 dev core0\n"
	"addr add 10.255.0.1/32 dev core0\n"
	"neigh add 192.0.2.2 lladdr 02:00:00:00:c0:02 dev core0 nud permanent\n"
	"route add 10.255.0.2/32 via 192.0.2.2\n"
	"link add mgre0 type gre local 10.255.0.1 ttl 64\n"
	"link set mgre0 up\n"
	"addr add 172.16.0.1/24 dev mgre0\n"
	"neigh add 172.16.0.2 lladdr 10.255.0.2 dev mgre0 nud permanent\n"
	"link add red type vrf table 10\n"
	"link set red up\n"
	"link set red0 master red\n"
	"link set red0 up\n"
	"link set red1 master red\n"
	"link set red1 up\n"
	"link add blue type vrf table 20\n"
	"link set blue up\n"
	"link set blue0 master blue\n"
	"link set blue0 up\n"
	"addr add 10.1.0.1/24 dev red0\n"
	"neigh add 10.1.0.2 lladdr 02:00:00:00:01:02 dev red0 nud permanent\n"
	"addr add 10.2.0.1/24 dev red1\n"
	"neigh add 10.2.0.2 lladdr 02:00:00:00:02:02 dev red1 nud permanent\n"
	"addr add 10.20.0.1/24 dev blue0\n"
	"neigh add 10.20.0.2 lladdr 02:00:00:00:20:02 dev blue0 nud permanent\n"
	"addr add 2001:db8:1::1/64 dev red0\n"
	"neigh add 2001:db8:1::2 lladdr 02:00:00:00:01:02 dev red0 nud permanent\n"
	"addr add 2001:db8:2::1/64 dev red1\n"
	"neigh add 2001:db8:2::2 lladdr 02:00:00:00:02:02 dev red1 nud permanent\n"
	"route add table 10 10.100.0.0/16 encap mpls 100 via 172.16.0.2 dev mgre0\n"
	"route add table 10 blackhole 10.66.0.0/16\n"
	"route add table 10 10.20.0.0/16 dev blue\n"
	"route add table 10 10.30.0.0/16 dev blue\n"
	"route add table 20 10.30.0.0/16 dev red\n"
	"BATCH\n";

static uint16_t red, blue;
static uint32_t tunnel; /* next hop to the remote PE */

/* What the PE sent since last asked. */
static struct {
	unsigned int port;
	size_t length;
	uint8_t bytes[256];
} sent[128];
static unsigned int sent_count;

static void take(unsigned int port, const uint8_t *frame, size_t length, void *context)
{
	assert_true(sent_count < RTE_DIM(sent) && length <= sizeof(sent[0].bytes));
	sent[sent_count].port = port;
	sent[sent_count].length = length;
	memcpy(sent[sent_count++].bytes, frame, length);
}

static unsigned int run(void)
{
	sent_count = 0;
	pe_run(take, NULL);
	return sent_count;
}

static uint64_t drops(enum pw_drop drop)
{
	static uint64_t before[PW_DROP_COUNT];
	uint64_t now = pw_workers[0]->drops[drop], more = now - before[drop];

	before[drop] = now;
	return more;
}

/* Packets that stage `policy` has seen so far. */
static uint64_t policed(void)
{
	struct rte_graph *graph = pw_workers[0]->graph;
	struct rte_node *node;
	rte_graph_off_t offset;
	rte_node_t i;

	rte_graph_foreach_node(i, offset, graph, node)
	{
		if (!strcmp(node->name, "policy"))
			return node->total_objs;
	}
	fail_msg("there is no stage \"policy\"");
	return 0;
}

/* ---- policies ------------------------------------------------------------------------------- */

#define RULES_MAX 4

/* An SPD with room for what it replaces. */
struct policies {
	struct pw_policy_rule out[RULES_MAX], in[RULES_MAX];
	unsigned int outs, ins;
	uint8_t out_default, in_default;
};

static struct pw_policy_rule rule(uint8_t action, const char *source, unsigned int source_length,
				  const char *destination, unsigned int destination_length)
{
	struct pw_policy_rule rule = {.family = strchr(source, ':') ? AF_INET6 : AF_INET,
				      .action = action,
				      .source_length = (uint8_t)source_length,
				      .destination_length = (uint8_t)destination_length,
				      .nexthop = tunnel};

	assert_int_equal(inet_pton(rule.family, source, rule.source), 1);
	assert_int_equal(inet_pton(rule.family, destination, rule.destination), 1);
	return rule;
}

#define TO(action, prefix, length)   rule(action, "0.0.0.0", 0, prefix, length)
#define FROM(action, prefix, length) rule(action, prefix, length, "0.0.0.0", 0)

static void spd_set(uint32_t id, const struct policies *policies)
{
	struct pw_spd old = *pw_spd_get(id);
	struct pw_spd spd = {.out = pw_policy_list_new(policies->out, policies->outs),
			     .in = pw_policy_list_new(policies->in, policies->ins),
			     .out_default = policies->out_default,
			     .in_default = policies->in_default};

	assert_non_null(spd.out);
	assert_non_null(spd.in);
	assert_int_equal(pw_slot_set(&pw_spds, id, &spd), 0);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)old.out);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)old.in);
}

static void spd_free(uint32_t id)
{
	struct pw_spd old = *pw_spd_get(id);

	pw_slot_free(&pw_spds, id);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)old.out);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)old.in);
}

static uint32_t red_spd, blue_spd;

static void red_policies(struct policies policies)
{
	spd_set(red_spd, &policies);
	assert_int_equal(pw_vrf_set_spd(red, red_spd), 0);
}

static void blue_policies(struct policies policies)
{
	spd_set(blue_spd, &policies);
	assert_int_equal(pw_vrf_set_spd(blue, blue_spd), 0);
}

/* ---- packets -------------------------------------------------------------------------------- */

static uint8_t frame[ETHER + LENGTH];

static void ether(unsigned int port, uint16_t type)
{
	const uint8_t header[ETHER] = {0x02, 0x50, 0, 0, 0, (uint8_t)port, 0x02, 0, 0, 0, 1, 2};

	memset(frame, 0, sizeof(frame));
	memcpy(frame, header, sizeof(header));
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
}

static void send4_as(unsigned int port, const char *from, const char *to, uint8_t protocol,
		     uint8_t ttl, uint16_t fragment, uint16_t destination_port)
{
	struct rte_ipv4_hdr *ip = (void *)(frame + ETHER);

	ether(port, RTE_ETHER_TYPE_IPV4);
	*ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
				    .total_length = RTE_BE16(LENGTH),
				    .fragment_offset = rte_cpu_to_be_16(fragment),
				    .time_to_live = ttl,
				    .next_proto_id = protocol,
				    .src_addr = inet_addr(from),
				    .dst_addr = inet_addr(to)};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	if (protocol == IPPROTO_ICMP)
		frame[ETHER + 20] = 8;
	frame[ETHER + 22] = (uint8_t)(destination_port >> 8);
	frame[ETHER + 23] = (uint8_t)destination_port;
	if (protocol == IPPROTO_ICMP) {
		uint16_t sum = (uint16_t)~rte_raw_cksum(frame + ETHER + 20, LENGTH - 20);

		memcpy(frame + ETHER + 22, &sum, 2);
	}
	assert_int_equal(pe_send(port, frame, sizeof(frame)), 0);
}

static void send4(unsigned int port, const char *from, const char *to)
{
	send4_as(port, from, to, IPPROTO_UDP, 60, 0, 7);
}

static void send6(unsigned int port, const char *from, const char *to)
{
	struct rte_ipv6_hdr *ip = (void *)(frame + ETHER);

	ether(port, RTE_ETHER_TYPE_IPV6);
	ip->vtc_flow = RTE_BE32(6u << 28);
	ip->payload_len = RTE_BE16(LENGTH - 40);
	ip->proto = IPPROTO_UDP;
	ip->hop_limits = 60;
	inet_pton(AF_INET6, from, ip->src_addr);
	inet_pton(AF_INET6, to, ip->dst_addr);
	assert_int_equal(pe_send(port, frame, sizeof(frame)), 0);
}

/* One packet came out of this port as it went in, but for the TTL. */
static void routed(unsigned int port)
{
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, port);
	assert_int_equal(sent[0].length, ETHER + LENGTH);
	if (sent[0].bytes[ETHER] >> 4 == 6)
		assert_int_equal(sent[0].bytes[ETHER + 7], 59);
	else
		assert_int_equal(sent[0].bytes[ETHER + 8], 59);
}

/* One packet went into the tunnel. */
static void tunnelled(void)
{
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, CORE);
	assert_int_equal(sent[0].bytes[ETHER + 9], IPPROTO_GRE);
	assert_int_equal(sent[0].bytes[GRE_AT + 4] << 12 | sent[0].bytes[GRE_AT + 5] << 4 |
				 sent[0].bytes[GRE_AT + 6] >> 4,
			 100);
	assert_int_equal(sent[0].length, INNER + LENGTH);
	if (sent[0].bytes[INNER] >> 4 == 6)
		assert_int_equal(sent[0].bytes[INNER + 7], 59);
	else
		assert_int_equal(sent[0].bytes[INNER + 8], 59);
}

static void dropped(enum pw_drop drop)
{
	drops(drop);
	assert_int_equal(run(), 0);
	assert_int_equal(drops(drop), 1);
}

#define THROUGH() send4(RED0, "10.1.0.2", "10.2.0.2")

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_none(void **state)
{
	uint64_t before = policed();

	THROUGH();
	routed(RED1);
	send6(RED0, "2001:db8:1::2", "2001:db8:2::2");
	routed(RED1);
	assert_int_equal(policed(), before);
}

static void test_bypass(void **state)
{
	uint64_t before = policed();

	red_policies((struct policies){0});
	THROUGH();
	routed(RED1);
	send6(RED0, "2001:db8:1::2", "2001:db8:2::2");
	routed(RED1);
	send4(RED0, "10.1.0.2", "10.100.0.2");
	tunnelled();
	assert_int_equal(policed(), before + 3);
	/* Other VRFs have nothing to do with it. */
	send4(BLUE, "10.20.0.2", "10.20.0.2");
	routed(BLUE);
	assert_int_equal(policed(), before + 3);
}

static void test_inward(void **state)
{
	red_policies((struct policies){.in = {FROM(PW_POLICY_PROTECT, "10.1.0.0", 16)}, .ins = 1});
	THROUGH();
	dropped(PW_DROP_POLICY_CLEAR);
	send4(RED1, "10.2.0.2", "10.1.0.2");
	routed(RED0);
	/* Nobody learns of it, whatever else is wrong with the packet. */
	send4_as(RED0, "10.1.0.2", "10.2.0.2", IPPROTO_UDP, 1, 0, 7);
	dropped(PW_DROP_POLICY_CLEAR);
	send4(RED0, "10.1.0.2", "10.50.0.2");
	dropped(PW_DROP_POLICY_CLEAR);
	red_policies((struct policies){.in = {FROM(PW_POLICY_DISCARD, "10.1.0.0", 16)}, .ins = 1});
	THROUGH();
	dropped(PW_DROP_POLICY_BLOCK);
	red_policies((struct policies){.in_default = PW_POLICY_DISCARD});
	THROUGH();
	dropped(PW_DROP_POLICY_BLOCK);
	/* Level use. */
	struct policies optional = {.in = {FROM(PW_POLICY_PROTECT, "10.1.0.0", 16)}, .ins = 1};

	optional.in[0].flags = PW_POLICY_OPTIONAL;
	red_policies(optional);
	THROUGH();
	routed(RED1);
}

static void test_outward(void **state)
{
	red_policies((struct policies){
		.out = {TO(PW_POLICY_BYPASS, "10.2.0.2", 32), TO(PW_POLICY_PROTECT, "10.2.0.0", 16),
			rule(PW_POLICY_PROTECT, "::", 0, "2001:db8:2::", 64)},
		.outs = 3});
	THROUGH();
	routed(RED1);
	send4(RED0, "10.1.0.2", "10.2.0.3");
	tunnelled();
	send6(RED0, "2001:db8:1::2", "2001:db8:2::2");
	tunnelled();
	red_policies((struct policies){.out = {TO(PW_POLICY_DISCARD, "10.2.0.0", 16)}, .outs = 1});
	THROUGH();
	dropped(PW_DROP_POLICY_BLOCK);
	red_policies((struct policies){.out_default = PW_POLICY_DISCARD});
	THROUGH();
	dropped(PW_DROP_POLICY_BLOCK);
}

/* What is to be protected needs no route, but what the administrator refused stays refused. */
static void test_routes(void **state)
{
	red_policies((struct policies){.out = {TO(PW_POLICY_PROTECT, "10.50.0.0", 16),
					       TO(PW_POLICY_PROTECT, "10.66.0.0", 16)},
				       .outs = 2});
	send4(RED0, "10.1.0.2", "10.50.0.2");
	tunnelled();
	send4(RED0, "10.1.0.2", "10.66.0.2");
	dropped(PW_DROP_ROUTE_BLACKHOLE);
	/* No route and no policy: the ICMP error is not what either is about. */
	send4(RED0, "10.1.0.2", "10.51.0.2");
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, RED0);
	assert_int_equal(sent[0].bytes[ETHER + 9], IPPROTO_ICMP);
	/* Its time is up before it is sealed. */
	send4_as(RED0, "10.1.0.2", "10.50.0.2", IPPROTO_UDP, 1, 0, 7);
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, RED0);
	assert_int_equal(sent[0].bytes[ETHER + 20], 11);
}

static void test_local(void **state)
{
	red_policies((struct policies){.in = {FROM(PW_POLICY_PROTECT, "10.1.0.0", 16)},
				       .ins = 1,
				       .out = {TO(PW_POLICY_PROTECT, "10.2.0.0", 16)},
				       .outs = 1});
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_ICMP, 60, 0, 0);
	dropped(PW_DROP_POLICY_CLEAR);
	/* Key exchange comes through, as far as somebody serves it. */
	drops(PW_DROP_LOCAL_PORT);
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_UDP, 60, 0, 500);
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_UDP, 60, 0, 4500);
	run();
	assert_int_equal(drops(PW_DROP_LOCAL_PORT) + drops(PW_DROP_ESP_SPI), 2);
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_UDP, 60, 0, 501);
	dropped(PW_DROP_POLICY_CLEAR);
	/* An answer of the PE itself goes the way of all: pinged, and by an ICMP error. */
	send4_as(RED1, "10.2.0.2", "10.2.0.1", IPPROTO_ICMP, 60, 0, 0);
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, CORE);
	assert_int_equal(sent[0].bytes[INNER + 9], IPPROTO_ICMP);
	send4_as(RED1, "10.2.0.2", "10.1.0.2", IPPROTO_UDP, 1, 0, 7);
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, CORE);
	assert_int_equal(sent[0].bytes[INNER + 20], 11);
}

/* What the PE itself sends did not come in. */
static void test_own(void **state)
{
	red_policies((struct policies){.in = {FROM(PW_POLICY_DISCARD, "10.1.0.1", 32)}, .ins = 1});
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_ICMP, 60, 0, 0);
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, RED0);
	assert_int_equal(sent[0].bytes[ETHER + 20], 0);
}

/* Nobody is asked for the neighbour of what is protected. */
static void test_unresolved(void **state)
{
	red_policies((struct policies){.out = {TO(PW_POLICY_PROTECT, "10.2.0.9", 32)}, .outs = 1});
	send4(RED0, "10.1.0.2", "10.2.0.9");
	tunnelled();
}

/* A later fragment of what is protected by its port does not leave in clear. */
static void test_fragment(void **state)
{
	struct policies policies = {.out = {TO(PW_POLICY_PROTECT, "10.2.0.0", 16)}, .outs = 1};

	policies.out[0].protocol = IPPROTO_UDP;
	policies.out[0].destination_port = RTE_BE16(7);
	policies.out[0].destination_port_mask = 0xffff;
	red_policies(policies);
	THROUGH();
	tunnelled();
	send4_as(RED0, "10.1.0.2", "10.2.0.2", IPPROTO_UDP, 60, 100, 0);
	dropped(PW_DROP_POLICY_BLOCK);
	send4_as(RED0, "10.1.0.2", "10.2.0.2", IPPROTO_TCP, 60, 100, 0);
	routed(RED1);
}

/* ---- IPsec interfaces ----------------------------------------------------------------------- */

static void interface_is_judged(void)
{
	send4(RED0, "10.1.0.2", "10.60.1.2");
	tunnelled();
	send4(RED0, "10.1.0.2", "10.60.2.2");
	dropped(PW_DROP_POLICY_BLOCK);
	send4(RED0, "10.1.0.2", "10.60.3.2");
	dropped(PW_DROP_POLICY_NONE);
	send4(RED0, "10.1.0.2", "10.60.4.2");
	dropped(PW_DROP_POLICY_NONE);
}

static void test_interface(void **state)
{
	static const uint8_t prefix[] = {10, 60, 0, 0};
	struct policies policies = {.out = {TO(PW_POLICY_PROTECT, "10.60.1.0", 24),
					    TO(PW_POLICY_DISCARD, "10.60.2.0", 24),
					    TO(PW_POLICY_BYPASS, "10.60.3.0", 24)},
				    .outs = 3,
				    .out_default = PW_POLICY_DISCARD,
				    .in_default = PW_POLICY_DISCARD};
	struct pw_nexthop nexthop = {.type = PW_NEXTHOP_POLICY};
	uint32_t spd;

	assert_int_equal(pw_slot_alloc(&pw_spds, &spd), 0);
	spd_set(spd, &policies);
	assert_int_equal(pw_slot_alloc(&pw_nexthops, &nexthop.id), 0);
	nexthop.spd = spd;
	assert_int_equal(pw_slot_set(&pw_nexthops, nexthop.id, &nexthop), 0);
	assert_int_equal(pw_vrf_route_add(red, AF_INET, prefix, 16, nexthop.id), 0);
	interface_is_judged();
	send4_as(RED0, "10.1.0.2", "10.60.1.2", IPPROTO_UDP, 1, 0, 7);
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, RED0);
	assert_int_equal(sent[0].bytes[ETHER + 20], 11);
	/* The VRF's own policies come first. */
	red_policies((struct policies){0});
	interface_is_judged();
	red_policies((struct policies){.out = {TO(PW_POLICY_DISCARD, "10.60.1.0", 24)}, .outs = 1});
	send4(RED0, "10.1.0.2", "10.60.1.2");
	dropped(PW_DROP_POLICY_BLOCK);
	assert_int_equal(pw_vrf_set_spd(red, 0), 0);
	/* Gone is not open. */
	spd_free(spd);
	send4(RED0, "10.1.0.2", "10.60.1.2");
	dropped(PW_DROP_POLICY_NONE);
	assert_int_equal(pw_vrf_route_delete(red, AF_INET, prefix, 16), 0);
	pw_slot_free(&pw_nexthops, nexthop.id);
}

/* ---- several VRFs --------------------------------------------------------------------------- */

static void test_leaked(void **state)
{
	send4(RED0, "10.1.0.2", "10.20.0.2");
	routed(BLUE);
	blue_policies((struct policies){.in = {FROM(PW_POLICY_PROTECT, "10.1.0.0", 16)},
					.ins = 1,
					.out = {TO(PW_POLICY_PROTECT, "10.20.0.3", 32)},
					.outs = 1});
	send4(RED0, "10.1.0.2", "10.20.0.2");
	dropped(PW_DROP_POLICY_CLEAR);
	send4(RED0, "10.3.0.2", "10.20.0.2");
	routed(BLUE);
	send4(RED0, "10.3.0.2", "10.20.0.3");
	tunnelled();
	red_policies((struct policies){.out = {TO(PW_POLICY_DISCARD, "10.20.0.4", 32)}, .outs = 1});
	send4(RED0, "10.3.0.2", "10.20.0.4");
	dropped(PW_DROP_POLICY_BLOCK);
	send4(RED0, "10.3.0.2", "10.20.0.2");
	routed(BLUE);
	send4(RED0, "10.3.0.2", "10.20.0.3");
	tunnelled();
	/* Round and round. */
	send4(RED0, "10.3.0.2", "10.30.0.2");
	dropped(PW_DROP_ROUTE_LOOP);
}

/* Of one burst each packet meets its own VRF's policies. */
static void test_burst(void **state)
{
	unsigned int to_core = 0, to_red = 0, to_blue = 0;

	red_policies(
		(struct policies){.out = {TO(PW_POLICY_PROTECT, "10.2.0.2", 32),
					  rule(PW_POLICY_DISCARD, "::", 0, "2001:db8:2::", 64)},
				  .outs = 2});
	blue_policies((struct policies){.out = {TO(PW_POLICY_BYPASS, "10.20.0.2", 32)},
					.outs = 1,
					.out_default = PW_POLICY_DISCARD});
	drops(PW_DROP_POLICY_BLOCK);
	for (unsigned int i = 0; i < 20; i++) {
		THROUGH();                                     /* protected */
		send4(RED1, "10.2.0.2", "10.1.0.2");           /* passes */
		send6(RED0, "2001:db8:1::2", "2001:db8:2::2"); /* discarded */
		send4(BLUE, "10.20.0.9", "10.20.0.2");         /* passes */
		send4(BLUE, "10.20.0.9", "10.20.0.3");         /* discarded */
	}
	assert_int_equal(run(), 60);
	for (unsigned int i = 0; i < sent_count; i++) {
		to_core += sent[i].port == CORE;
		to_red += sent[i].port == RED0;
		to_blue += sent[i].port == BLUE;
	}
	assert_int_equal(to_core, 20);
	assert_int_equal(to_red, 20);
	assert_int_equal(to_blue, 20);
	assert_int_equal(drops(PW_DROP_POLICY_BLOCK), 40);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int setup(void **state)
{
	const struct pe_config config = {
		.names = names, .ports = RTE_DIM(names), .socket = socket_path};
	static const uint8_t remote[] = {10, 100, 0, 0};
	int index;

	if (!mkdtemp(directory))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/sock", directory);
	if (pe_start(&config) || configure(network))
		return -1;
	index = pw_vrf_find(10);
	red = (uint16_t)index;
	blue = (uint16_t)pw_vrf_find(20);
	tunnel = pw_vrf_route_lookup(red, AF_INET, remote);
	if (index < 0 || pw_nexthop_get(tunnel)->type != PW_NEXTHOP_TUNNEL)
		return -1;
	return pw_slot_alloc(&pw_spds, &red_spd) || pw_slot_alloc(&pw_spds, &blue_spd);
}

static int teardown(void **state)
{
	spd_free(red_spd);
	spd_free(blue_spd);
	pe_stop();
	unlink(socket_path);
	rmdir(directory);
	return 0;
}

static int fresh(void **state)
{
	pe_rate_set(1000);
	return pw_vrf_set_spd(red, 0) || pw_vrf_set_spd(blue, 0);
}

static int clean(void **state)
{
	/* The last packets' way back to the pool. */
	return pw_vrf_set_spd(red, 0) || pw_vrf_set_spd(blue, 0) || pe_buffers_used() != 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_none),     TEST(test_bypass),    TEST(test_inward), TEST(test_outward),
		TEST(test_routes),   TEST(test_local),     TEST(test_own),    TEST(test_unresolved),
		TEST(test_fragment), TEST(test_interface), TEST(test_leaked), TEST(test_burst),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
