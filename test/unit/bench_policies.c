/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Not a test: what policy lists cost, by length. CPU time to make one, bytes of the heap, and
 * cycles to select by it, least of many bursts of 64 packets, of which every other is for a random
 * policy.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_malloc.h>

#include "lib/retire.h"
#include "test/unit/spd_fixture.h"

#define BURST  64
#define BURSTS 5000

enum shape {
	SITES, /* a /16 of ours to a /24, any protocol (IPv6: /48 each) */
	MIXED, /* any lengths, half of them with protocol, a quarter with a port */
	SHAPES,
};
static const char *const shape_names[] = {"sites", "mixed"};

static void random_bytes(uint8_t *at, unsigned int count)
{
	while (count--)
		*at++ = (uint8_t)random_below(256);
}

static struct pw_policy_rule shaped_rule(enum shape shape, bool v6)
{
	struct pw_policy_rule rule = {.family = v6 ? AF_INET6 : AF_INET,
				      .action = PW_POLICY_PROTECT};
	unsigned int bits = v6 ? 128 : 32;

	random_bytes(rule.source, bits / 8);
	random_bytes(rule.destination, bits / 8);
	rule.source[0] = rule.destination[0] = v6 ? 0x20 : 10;
	if (shape == SITES) {
		rule.source[1] %= 4;
		rule.source_length = v6 ? 48 : 16;
		rule.destination_length = v6 ? 48 : 24;
		return rule;
	}
	rule.source_length = (uint8_t)random_below(bits + 1);
	rule.destination_length = (uint8_t)random_below(bits + 1);
	rule.protocol = random_below(2) ? IPPROTO_UDP : 0;
	if (rule.protocol && random_below(2)) {
		rule.destination_port = (uint16_t)random_below(65536);
		rule.destination_port_mask = 0xffff;
	}
	return rule;
}

/* A packet that the rule selects, but for ports. */
static void packet_for(struct made *made, const struct pw_policy_rule *rule, bool v6)
{
	uint8_t ip4[28] = {0x45, [9] = IPPROTO_UDP}, ip6[48] = {0x60, [6] = IPPROTO_UDP};

	memset(made, 0, sizeof(*made));
	made->mbuf.buf_addr = made->data;
	memcpy(v6 ? ip6 + 8 : ip4 + 12, rule->source, v6 ? 16 : 4);
	memcpy(v6 ? ip6 + 24 : ip4 + 16, rule->destination, v6 ? 16 : 4);
	put(made, v6 ? ip6 : ip4, v6 ? sizeof(ip6) : sizeof(ip4));
}

static size_t heap_used(void)
{
	struct rte_malloc_socket_stats stats = {0};

	rte_malloc_get_socket_stats(0, &stats);
	return stats.heap_allocsz_bytes;
}

static double cpu_milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double select_cycles(const struct pw_policy_list *list, const struct pw_policy_rule *rules,
			    unsigned int count, enum shape shape, bool v6)
{
	const struct pw_policy_rule *selected[BURST];
	static struct made made[BURST];
	struct rte_mbuf *mbufs[BURST];
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < BURST; i++) {
		struct pw_policy_rule other = shaped_rule(shape, v6);

		packet_for(&made[i], i & 1 ? &rules[random_below(count)] : &other, v6);
		mbufs[i] = &made[i].mbuf;
	}
	for (unsigned int i = 0; i < BURSTS; i++) {
		uint64_t start = rte_rdtsc();

		pw_policy_select_burst(list, mbufs, BURST, v6, selected);
		least = RTE_MIN(least, rte_rdtsc() - start);
	}
	return (double)least / BURST;
}

static void measure(enum shape shape, bool v6, unsigned int count)
{
	struct pw_policy_rule *rules = calloc(count, sizeof(*rules));
	size_t before = heap_used();
	struct pw_policy_list *list;
	double start;

	if (!rules)
		return;
	for (unsigned int i = 0; i < count; i++)
		rules[i] = shaped_rule(shape, v6);
	start = cpu_milliseconds();
	list = pw_policy_list_new(rules, count);
	start = cpu_milliseconds() - start;
	if (list)
		printf("%s %s %5u: %8.2f ms, %8.1f KiB, %6.1f cycles a packet\n",
		       v6 ? "IPv6" : "IPv4", shape_names[shape], count, start,
		       (double)(heap_used() - before) / 1024,
		       select_cycles(list, rules, count, shape, v6));
	else
		printf("%s %s %5u: does not fit\n", v6 ? "IPv6" : "IPv4", shape_names[shape],
		       count);
	pw_policy_list_retire(list);
	pw_retire_drain();
	free(rules);
}

int main(void)
{
	static const unsigned int counts[] = {1, 4, 8, 12, 16, 17, 32, 100, 1000, 10000};
	char *arguments[] = {"bench_policies",
			     "--no-huge",
			     "--no-shconf",
			     "--no-pci",
			     "-m",
			     "1024",
			     "-l",
			     "0",
			     "--no-telemetry",
			     "--log-level=lib.eal:error"};

	if (rte_eal_init(RTE_DIM(arguments), arguments) < 0 || pw_retire_init(1))
		return 1;
	for (enum shape shape = 0; shape < SHAPES; shape++)
		for (unsigned int v6 = 0; v6 < 2; v6++)
			for (unsigned int i = 0; i < RTE_DIM(counts); i++)
				measure(shape, v6, counts[i]);
	pw_retire_fini();
	return 0;
}
