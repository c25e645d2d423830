/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy_pe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <rte_ether.h>
#include <rte_graph_worker.h>
#include <rte_ip.h>

#include "dataplane/table/nexthop.h"
#include "dataplane/table/vrf.h"
#include "dataplane/worker.h"
#include "pe_fixture.h"
#include "test/path/pe.h"

#define LENGTH 64
#define GRE_AT (ETHER + 20)

static const char *const names[] = {"core0", "red0", "red1", "blue0"};

uint16_t red;
static uint16_t blue;
static uint32_t tunnel, red_spd, blue_spd;

/* ---- policies ------------------------------------------------------------------------------- */

struct pw_policy_rule rule(uint8_t action, const char *source, unsigned int source_length,
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

void spd_set(uint32_t id, const struct policies *policies)
{
	struct pw_spd old = *pw_spd_get(id);
	struct pw_spd spd = {.out = pw_policy_list_new(policies->out, policies->outs),
			     .in = pw_policy_list_new(policies->in, policies->ins),
			     .out_default = policies->out_default,
			     .in_default = policies->in_default,
			     .fwd_default = policies->fwd_default};

	assert_non_null(spd.out);
	assert_non_null(spd.in);
	assert_int_equal(pw_slot_set(&pw_spds, id, &spd), 0);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)old.out);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)old.in);
}

void spd_free(uint32_t id)
{
	struct pw_spd old = *pw_spd_get(id);

	pw_slot_free(&pw_spds, id);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)old.out);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)old.in);
}

void red_policies(struct policies policies)
{
	spd_set(red_spd, &policies);
	assert_int_equal(pw_vrf_set_spd(red, red_spd), 0);
}

void blue_policies(struct policies policies)
{
	spd_set(blue_spd, &policies);
	assert_int_equal(pw_vrf_set_spd(blue, blue_spd), 0);
}

/* ---- the PE ------------------------------------------------------------------------------- */

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

int setup(void **state)
{
	static const uint8_t remote[] = {10, 100, 0, 0};
	int index, other;

	if (pe_fixture_start(names, RTE_DIM(names)) || configure(network))
		return -1;
	index = pw_vrf_find(10);
	other = pw_vrf_find(20);
	if (index < 0 || other < 0)
		return -1;
	red = (uint16_t)index;
	blue = (uint16_t)other;
	tunnel = pw_vrf_route_lookup(red, AF_INET, remote);
	if (pw_nexthop_get(tunnel)->type != PW_NEXTHOP_TUNNEL)
		return -1;
	return pw_slot_alloc(&pw_spds, &red_spd) || pw_slot_alloc(&pw_spds, &blue_spd);
}

/* Also after a setup that came less far. */
int teardown(void **state)
{
	if (red_spd)
		spd_free(red_spd);
	if (blue_spd)
		spd_free(blue_spd);
	red_spd = blue_spd = 0;
	return pe_fixture_stop();
}

int fresh(void **state)
{
	pe_rate_set(1000);
	return pw_vrf_set_spd(red, 0) || pw_vrf_set_spd(blue, 0);
}

int clean(void **state)
{
	/* The last packets' way back to the pool. */
	return pw_vrf_set_spd(red, 0) || pw_vrf_set_spd(blue, 0) || pe_buffers_used() != 0;
}

uint64_t policed(void)
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

/* ---- packets -------------------------------------------------------------------------------- */

static uint8_t frame[ETHER + LENGTH];

static void ether(unsigned int port, uint16_t type)
{
	memset(frame, 0, sizeof(frame));
	frame_ether(frame, port);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
}

void send4_as(unsigned int port, const char *from, const char *to, uint8_t protocol, uint8_t ttl,
	      uint16_t fragment, uint16_t destination_port)
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

void send4(unsigned int port, const char *from, const char *to)
{
	send4_as(port, from, to, IPPROTO_UDP, 60, 0, 7);
}

void send6(unsigned int port, const char *from, const char *to)
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

void routed(unsigned int port)
{
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, port);
	assert_int_equal(sent[0].length, ETHER + LENGTH);
	if (sent[0].bytes[ETHER] >> 4 == 6)
		assert_int_equal(sent[0].bytes[ETHER + 7], 59);
	else
		assert_int_equal(sent[0].bytes[ETHER + 8], 59);
}

void answered(unsigned int port, unsigned int at, uint8_t byte)
{
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, port);
	assert_int_equal(sent[0].bytes[at], byte);
}

void tunnelled(void)
{
	answered(CORE, ETHER + 9, IPPROTO_GRE);
	assert_int_equal(sent[0].bytes[GRE_AT + 4] << 12 | sent[0].bytes[GRE_AT + 5] << 4 |
				 sent[0].bytes[GRE_AT + 6] >> 4,
			 100);
	assert_int_equal(sent[0].length, INNER + LENGTH);
	if (sent[0].bytes[INNER] >> 4 == 6)
		assert_int_equal(sent[0].bytes[INNER + 7], 59);
	else
		assert_int_equal(sent[0].bytes[INNER + 8], 59);
}

void dropped(enum pw_drop drop)
{
	drops(drop);
	assert_int_equal(run(), 0);
	assert_int_equal(drops(drop), 1);
}
