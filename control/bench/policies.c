/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policies of the customers' VRFs, in lists as long as a row says: to off-net sites packets would
 * be protected; the row's packets go to none of them and pass by the last policy, both when they
 * come in and when they go out.
 */
#include "control/bench/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_byteorder.h>

#include "dataplane/table/policy.h"
#include "dataplane/table/vrf.h"

#define OFF_NET 0x40000000u /* 64.0.0.0/2: no row's packets are for it */
#define ON_NET  0x0a000000u /* 10.0.0.0/16 to 10.3.0.0/16, one after the other */

static uint32_t spds[PW_BENCH_WORKS];
static const struct pw_bench_site *site_set; /* what has policies now, and which */
static uint32_t spd_set;

/* From a site of the VRF to one off the net, or back. */
static struct pw_policy_rule rule_make(uint32_t i, bool inward)
{
	struct pw_policy_rule rule = {.family = AF_INET, .action = PW_POLICY_PROTECT, .index = i};
	uint32_t on = rte_cpu_to_be_32(ON_NET + (i % 4 << 16));
	uint32_t off = rte_cpu_to_be_32(OFF_NET | pw_bench_mix(i, 22) << 8);

	memcpy(inward ? rule.destination : rule.source, &on, sizeof(on));
	memcpy(inward ? rule.source : rule.destination, &off, sizeof(off));
	*(inward ? &rule.destination_length : &rule.source_length) = 16;
	*(inward ? &rule.source_length : &rule.destination_length) = 24;
	return rule;
}

static struct pw_policy_list *list_make(uint32_t count, bool inward)
{
	struct pw_policy_rule *rules = calloc(count, sizeof(*rules));
	struct pw_policy_list *list;

	if (!rules)
		return NULL;
	for (uint32_t i = 0; i + 1 < count; i++)
		rules[i] = rule_make(i, inward);
	rules[count - 1] = (struct pw_policy_rule){.family = AF_INET, .action = PW_POLICY_BYPASS};
	list = pw_policy_list_new(rules, count);
	free(rules);
	return list;
}

static int spd_make(enum pw_bench_work work)
{
	uint32_t count = pw_bench_policies(work);
	struct pw_spd spd = {.out = list_make(count, false), .in = list_make(count, true)};
	int ret = spd.out && spd.in ? 0 : -ENOMEM;

	ret = ret ? ret : pw_slot_alloc(&pw_spds, &spds[work]);
	ret = ret ? ret : pw_slot_set(&pw_spds, spds[work], &spd);
	if (ret)
		fprintf(stderr, "pewter-bench: %u policies: %s\n", count, strerror(-ret));
	return ret;
}

static int vrfs_set(const struct pw_bench_site *site, uint32_t spd)
{
	int ret = 0;

	for (uint32_t v = 0; v < site->vrfs && !ret; v++) {
		int vrf = pw_vrf_find(site->table + v);

		ret = vrf < 0 ? vrf : pw_vrf_set_spd((uint16_t)vrf, spd);
	}
	return ret;
}

int pw_bench_policies_set(const struct pw_bench_row *row)
{
	const struct pw_bench_site *site = NULL;
	uint32_t spd = 0;
	int ret = 0;

	if (pw_bench_policies(row->work)) {
		site = pw_bench_site_of(row);
		ret = spds[row->work] ? 0 : spd_make(row->work);
		spd = spds[row->work];
	}
	if (ret || (site == site_set && spd == spd_set))
		return ret;
	if (site_set)
		ret = vrfs_set(site_set, 0);
	if (!ret && site)
		ret = vrfs_set(site, spd);
	site_set = site;
	spd_set = spd;
	pw_bench_daemon_round();
	return ret;
}
