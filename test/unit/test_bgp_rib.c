/* SPDX-License-Identifier: BSD-3-Clause */
/* pewter-bgp between its decoder and pewterd: configuration, imports, best paths, labels. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h> /* before its twin in linux/ */
#include <linux/if_tunnel.h>
#include <linux/rtnetlink.h>

#include "control/bgp/dataplane_internal.h"
#include "control/bgp/label.h"
#include "control/bgp/local.h"
#include "control/bgp/peer.h"
#include "control/bgp/vrf.h"
#include "control/loop.h"
#include "lib/log.h"

#define HEAD                                                                                       \
	"local-as 65000\nrouter-id 10.255.0.1\nnext-hop 10.255.0.1\ntunnel gre1\ntunnel gre2\n"    \
	"neighbor 10.0.0.8\nneighbor 10.0.0.9 max-prefixes 3\nstate /dev/null\n"
#define RED  "vrf red rd 65000:1 import 65000:1 export 65000:1 redistribute static\n"
#define BLUE "vrf blue rd 65000:2 import 65000:2 import 65000:1 export 65000:2\n"

/* ---- configuration ----------------------------------------------------------------------- */

static void refused(const char *text, const char *words)
{
	struct bgp_config config;
	char error[256] = "";

	assert_int_equal(bgp_config_parse("FILE", text, &config, error, sizeof(error)), -EINVAL);
	if (!strstr(error, words))
		fail_msg("\"%s\" does not say \"%s\"", error, words);
}

static void test_config(void **state)
{
	struct bgp_config config;
	char error[256] = "";

	assert_int_equal(bgp_config_parse("FILE",
					  HEAD RED BLUE "listen [::1]:1790 # a comment\n\n"
							"\tlisten 127.0.0.1\n",
					  &config, error, sizeof(error)),
			 0);
	assert_int_equal(config.vrf_count, 2);
	assert_int_equal(config.vrfs[1].import_count, 2);
	assert_int_equal(config.listeners[0].port, 1790);
	assert_int_equal(config.listeners[1].port, 179);
	assert_true(config.backup);
	assert_true(bgp_config_redistributes(&config.vrfs[0], RTPROT_BOOT));
	assert_false(bgp_config_redistributes(&config.vrfs[0], RTPROT_KERNEL));
	bgp_config_free(&config);
}

static void test_config_errors(void **state)
{
	refused("", "FILE:1: \"local-as\" is missing");
	refused(HEAD "\nfoo\n", "FILE:10: unknown statement \"foo\"");
	refused("local-as 0\n",
		"FILE:1: \"local-as\" takes a number from 1 to 4294967295, not \"0\"");
	refused("local-as\n", "\"local-as\" needs a value");
	refused("local-as 5 6\n", "\"6\" is one too much for \"local-as\"");
	refused("router-id ::1\n", "\"router-id\" takes an IPv4 address");
	refused("local-as 5\nneighbor 1.2.3.4 remote-as 6\n", "FILE:2: \"remote-as\" 6");
	refused("neighbor 1.2.3.400\n", "\"neighbor\" takes an address, not \"1.2.3.400\"");
	refused("neighbor 1.2.3.4 colour red\n", "\"neighbor\" does not know \"colour\"");
	refused("backup maybe\n", "\"backup\" takes on or off, not \"maybe\"");
	refused("listen 1.2.3.4:70000\n", "\"70000\" is no port");
	refused(HEAD "vrf red import 65000:1\n", "vrf red needs an \"rd\"");
	refused(HEAD RED RED, "FILE:10: vrf red is there already");
	refused(HEAD RED "vrf green rd 65000:1\n", "has the \"rd\" of vrf red");
	refused(HEAD "vrf red rd 65000\n",
		"\"rd\" takes AS:NUMBER or ADDRESS:NUMBER, not \"65000\"");
	refused(HEAD "vrf red rd 1:1 label 15\n", "\"label\" takes a number from 16");
	refused(HEAD "vrf red rd 1:1 label 100001\n", "within \"labels\" 100000 104095");
	refused(HEAD "vrf red rd 1:1 redistribute bgp\n", "\"redistribute\" takes connected");
	refused(HEAD "vrf a-name-that-is-too-long rd 1:1\n", "longer than 15");
	refused("local-as 1\nrouter-id 1.1.1.1\ntunnel g\nneighbor 1.1.1.2 passive\n",
		"no \"listen\"");
}

/* ---- imports and best paths -------------------------------------------------------------- */

static struct bgp_config config;
static struct bgp_peer *peers[2];

static void put_link(const char *name, const char *kind, uint32_t ifindex, uint32_t table,
		     uint32_t key)
{
	uint8_t buffer[512];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	struct nlattr *nest, *data;

	nlh->nlmsg_type = RTM_NEWLINK;
	info->ifi_index = (int)ifindex;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	nest = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, kind);
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	if (table)
		mnl_attr_put_u32(nlh, IFLA_VRF_TABLE, table);
	if (key) {
		mnl_attr_put_u16(nlh, IFLA_GRE_IFLAGS, GRE_KEY);
		mnl_attr_put_u32(nlh, IFLA_GRE_IKEY, htonl(key));
	}
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, nest);
	bgp_sync_link(nlh);
}

static int configure(const char *text)
{
	char error[256];

	assert_int_equal(bgp_config_parse("FILE", text, &config, error, sizeof(error)), 0);
	bgp_dataplane_configure(&config);
	assert_int_equal(bgp_peers_configure(&config), 0);
	assert_int_equal(bgp_vrfs_configure(&config), 0);
	bgp_sync_begin();
	put_link("gre1", "gre", 5, 0, 0);
	put_link("gre2", "gre", 6, 0, 9);
	put_link("red", "vrf", 7, 10, 0);
	put_link("blue", "vrf", 8, 20, 0);
	bgp_sync_stage_done(BGP_SYNC_LINKS);
	peers[0] = TAILQ_FIRST(&bgp_peers);
	peers[1] = TAILQ_NEXT(peers[0], next);
	peers[0]->id = 8;
	peers[1]->id = 9;
	return 0;
}

static int setup(void **state)
{
	pw_log_set_level(PW_LOG_ERROR);
	return pw_loop_init() || configure(HEAD RED BLUE);
}

static int teardown(void **state)
{
	bgp_paths_drop(peers[0]);
	bgp_paths_drop(peers[1]);
	config.vrf_count = 0;
	assert_int_equal(bgp_vrfs_configure(&config), 0);
	bgp_peers_stop();
	bgp_config_free(&config);
	bgp_dataplane_stop();
	bgp_labels_free();
	pw_loop_fini();
	return 0;
}

/* A path as the tests vary it; 0 means the usual. */
struct wanted {
	unsigned int peer, rd, label, via, path_id, target;
	uint32_t local_pref, med, first_as, originator, key;
	uint16_t length;
	uint8_t origin, clusters;
};

static struct bgp_nlri nlri_of(const struct wanted *wanted)
{
	struct bgp_nlri nlri = {.rd = wanted->rd,
				.label = wanted->label ? wanted->label : 100,
				.path_id = wanted->path_id};

	nlri.prefix = (struct bgp_prefix){BGP_VPNV4, 24, {10, 7, 7}};
	return nlri;
}

static int announce(struct wanted wanted)
{
	uint64_t target = 0x0002fde800000000 | (wanted.target ? wanted.target : 1);
	struct bgp_nlri nlri = nlri_of(&wanted);
	struct bgp_attributes attributes;
	struct bgp_interned *interned;
	int ret;

	memset(&attributes, 0, sizeof(attributes));
	attributes.next_hop.family = AF_INET;
	attributes.next_hop.bytes[3] = (uint8_t)wanted.via;
	attributes.local_pref = wanted.local_pref ? wanted.local_pref : 100;
	attributes.med = wanted.med;
	attributes.first_as = wanted.first_as;
	attributes.as_path_length = wanted.length;
	attributes.origin = wanted.origin;
	attributes.has_originator = wanted.originator;
	attributes.originator = wanted.originator;
	attributes.cluster_length = wanted.clusters;
	attributes.has_key = wanted.key;
	attributes.key = wanted.key;
	attributes.target_count = 1;
	interned = bgp_attributes_intern(&attributes, &target);
	assert_non_null(interned);
	ret = bgp_path_announce(peers[wanted.peer], &nlri, interned);
	bgp_attributes_release(interned);
	return ret;
}

static void withdraw(struct wanted wanted)
{
	struct bgp_nlri nlri = nlri_of(&wanted);

	bgp_path_withdraw(peers[wanted.peer], &nlri);
}

static struct bgp_route *route_in(const char *vrf)
{
	static const struct wanted usual;
	struct bgp_nlri nlri = nlri_of(&usual);

	return bgp_route_get(bgp_vrf_by_name(vrf), &nlri.prefix, false);
}

/* The hops' last bytes, in order: {2, 3} reads 2003. */
static unsigned int sum_of(const struct bgp_hop *found, unsigned int count)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < count; i++)
		sum = 1000 * sum + found[i].via.bytes[3];
	return sum;
}

static unsigned int hops(const char *vrf)
{
	const struct bgp_route *route = route_in(vrf);
	struct bgp_hop found[BGP_PATHS_MAX];

	return sum_of(found, route ? bgp_route_select(route, found, 8) : 0);
}

static unsigned int backup(const char *vrf)
{
	struct bgp_hop best[BGP_PATHS_MAX], found[BGP_PATHS_MAX];
	const struct bgp_route *route = route_in(vrf);
	unsigned int count = bgp_route_select(route, best, 8);

	return sum_of(found, bgp_route_select_backup(route, best, count, found, 8));
}

static void test_import(void **state)
{
	assert_int_equal(announce((struct wanted){.rd = 1, .via = 2}), 0);
	assert_int_equal(hops("red"), 2);
	assert_int_equal(hops("blue"), 2);
	/* Other targets: in blue only, then nowhere; and what nobody imports is not kept. */
	assert_int_equal(announce((struct wanted){.rd = 1, .via = 2, .target = 2}), 0);
	assert_int_equal(hops("red"), 0);
	assert_int_equal(hops("blue"), 2);
	assert_int_equal(announce((struct wanted){.rd = 1, .via = 2, .target = 3}), 0);
	assert_int_equal(hops("blue"), 0);
	assert_int_equal(peers[0]->path_count, 0);
}

static void test_keys(void **state)
{
	/* RD, path identifier and neighbour make paths of their own. */
	announce((struct wanted){.rd = 1, .via = 2});
	announce((struct wanted){.rd = 2, .via = 3});
	announce((struct wanted){.rd = 2, .via = 4, .path_id = 7});
	announce((struct wanted){.rd = 2, .via = 5, .peer = 1});
	assert_int_equal(hops("red"), 2003004005);
	/* The label of a withdrawal does not matter. */
	withdraw((struct wanted){.rd = 2, .label = 0x80000});
	assert_int_equal(hops("red"), 2004005);
	/* An announcement replaces the one of the same key. */
	announce((struct wanted){.rd = 1, .via = 9});
	assert_int_equal(hops("red"), 4005009);
	withdraw((struct wanted){.rd = 3});
	assert_int_equal(hops("red"), 4005009);
	/* The same PE and label over two neighbours is one hop. */
	announce((struct wanted){.rd = 1, .via = 4, .peer = 1});
	assert_int_equal(hops("red"), 4005009);
}

static void test_order(void **state)
{
	static const struct wanted worse = {
		.rd = 1, .via = 2, .length = 3, .origin = 1, .med = 9, .first_as = 5};
	struct wanted better[] = {worse, worse, worse, worse};

	better[0].local_pref = 101;
	better[0].length = 9;
	better[1].length = 2;
	better[1].origin = 2;
	better[2].origin = 0;
	better[2].med = 99;
	better[3].med = 8;
	for (unsigned int i = 0; i < 4; i++) {
		better[i].rd = 2;
		better[i].via = 3;
		announce(worse);
		announce(better[i]);
		assert_int_equal(hops("red"), 3);
		/* The other way round. */
		withdraw(worse);
		withdraw(better[i]);
		announce(better[i]);
		announce(worse);
		assert_int_equal(hops("red"), 3);
		withdraw(worse);
		withdraw(better[i]);
	}
	assert_null(route_in("red")->candidates);
}

/* MED counts between paths of one neighbouring AS only, and their order makes no difference. */
static void test_med(void **state)
{
	static const struct wanted paths[] = {
		{.rd = 1, .via = 2, .first_as = 1, .med = 10},
		{.rd = 2, .via = 3, .first_as = 2, .med = 50},
		{.rd = 3, .via = 4, .first_as = 1, .med = 5},
	};
	static const unsigned int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
						 {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (unsigned int i = 0; i < 6; i++) {
		for (unsigned int k = 0; k < 3; k++)
			announce(paths[orders[i][k]]);
		assert_int_equal(hops("red"), 3004);
		for (unsigned int k = 0; k < 3; k++)
			withdraw(paths[k]);
	}
}

static void test_ties(void **state)
{
	announce((struct wanted){.rd = 1, .via = 2, .originator = 30});
	announce((struct wanted){.rd = 2, .via = 3, .originator = 20, .clusters = 2});
	announce((struct wanted){.rd = 3, .via = 4, .originator = 20, .clusters = 1});
	assert_int_equal(bgp_route_best(route_in("red"))->rd, 3);
	withdraw((struct wanted){.rd = 3});
	assert_int_equal(bgp_route_best(route_in("red"))->rd, 2);
}

/* The best paths to other PEs than the best ones stand behind them. */
static void test_backup(void **state)
{
	announce((struct wanted){.rd = 1, .via = 2, .local_pref = 200});
	assert_int_equal(backup("red"), 0);
	/* Another path to the same PE protects from nothing. */
	announce((struct wanted){.rd = 2, .via = 2, .label = 300});
	assert_int_equal(backup("red"), 0);
	announce((struct wanted){.rd = 3, .via = 3, .local_pref = 50});
	assert_int_equal(backup("red"), 3);
	announce((struct wanted){.rd = 4, .via = 4});
	assert_int_equal(backup("red"), 4);
	announce((struct wanted){.rd = 5, .via = 5});
	assert_int_equal(backup("red"), 4005);
	assert_int_equal(hops("red"), 2);
	withdraw((struct wanted){.rd = 1});
	assert_int_equal(hops("red"), 2004005);
	assert_int_equal(backup("red"), 3);
}

static void test_limit(void **state)
{
	for (unsigned int i = 1; i <= 3; i++)
		assert_int_equal(announce((struct wanted){.peer = 1, .rd = i, .via = i}), 0);
	assert_int_equal(announce((struct wanted){.peer = 1, .rd = 4, .via = 4}), -ENOSPC);
	/* Changes of what is there are none too many. */
	assert_int_equal(announce((struct wanted){.peer = 1, .rd = 3, .via = 9}), 0);
	assert_int_equal(hops("red"), 1002009);
}

static void test_stale(void **state)
{
	announce((struct wanted){.rd = 1, .via = 2});
	announce((struct wanted){.rd = 2, .via = 3});
	bgp_paths_stale(peers[0]);
	assert_int_equal(peers[0]->stale_count, 2);
	assert_int_equal(hops("red"), 2003);
	announce((struct wanted){.rd = 2, .via = 3});
	assert_int_equal(bgp_paths_sweep(peers[0], BGP_VPNV6), 0);
	assert_int_equal(bgp_paths_sweep(peers[0], BGP_VPNV4), 1);
	assert_int_equal(hops("red"), 3);
	assert_int_equal(peers[0]->stale_count, 0);
}

/* RFC 9012: a route with a key leaves by the tunnel that has it, or not at all. */
static void test_key(void **state)
{
	struct bgp_hop hop;

	announce((struct wanted){.rd = 1, .via = 2, .key = 9});
	assert_int_equal(bgp_route_select(route_in("red"), &hop, 1), 1);
	assert_int_equal(hop.oif, 6);
	announce((struct wanted){.rd = 1, .via = 2, .key = 8});
	assert_int_equal(bgp_route_select(route_in("red"), &hop, 1), 0);
	announce((struct wanted){.rd = 1, .via = 2});
	assert_int_equal(bgp_route_select(route_in("red"), &hop, 1), 1);
	assert_int_equal(hop.oif, 5);
}

/* A VRF stops importing a target, or goes, while it has routes. */
static void test_reconfigure(void **state)
{
	static const char less[] = HEAD "vrf red rd 65000:1 import 65000:7 export 65000:1\n" BLUE;

	announce((struct wanted){.rd = 1, .via = 2});
	assert_int_equal(hops("red"), 2);
	bgp_config_free(&config);
	configure(less);
	assert_int_equal(hops("red"), 0);
	assert_int_equal(hops("blue"), 2);
	bgp_config_free(&config);
	configure(HEAD RED);
	assert_null(bgp_vrf_by_name("blue"));
	assert_int_equal(hops("red"), 2);
	assert_int_equal(peers[0]->path_count, 1);
}

/* ---- what Pewter has --------------------------------------------------------------------- */

static void test_netlink(void **state)
{
	static struct bgp_netlink_route read;
	struct bgp_prefix prefix = {BGP_VPNV6, 48, {0x20, 1, 0x0d, 0xb8}};
	struct bgp_hop set[2] = {{{AF_INET, {10, 0, 0, 2}}, {0}, 5, 100},
				 {{AF_INET6, {0x20}}, {0}, 6, 200}};
	struct pw_api_batch batch = {0};
	struct bgp_hops *interned;

	for (unsigned int family = 0; family < 2; family++)
		for (unsigned int count = 1; count <= 2; count++) {
			prefix.family = (uint8_t)family;
			prefix.length = family ? 48 : 16;
			bgp_prefix_mask(&prefix);
			interned = bgp_hops_intern(set, count);
			assert_true(bgp_netlink_put_route(&batch, 300, 2000, &prefix, interned));
			assert_true(bgp_netlink_parse(batch.last, &read));
			assert_int_equal(read.table, 300);
			assert_int_equal(read.metric, 2000);
			assert_int_equal(read.protocol, RTPROT_BGP);
			assert_memory_equal(&read.prefix, &prefix, sizeof(prefix));
			assert_int_equal(read.hop_count, count);
			assert_memory_equal(read.hops, set, count * sizeof(*set));
			bgp_hops_release(interned);
		}
	assert_true(bgp_netlink_put_label(&batch, 1048575, 7));
	assert_true(bgp_netlink_parse(batch.last, &read));
	assert_int_equal(read.label, 1048575);
	assert_int_equal(read.hops[0].oif, 7);
	assert_true(bgp_netlink_put_route(&batch, 10, 2000, &prefix, NULL));
	assert_int_equal(batch.last->nlmsg_type, RTM_DELROUTE);
	pw_api_batch_free(&batch);
}

/* What a dump shows of an earlier life is held until the neighbours are done. */
static void test_held(void **state)
{
	static const struct wanted usual = {.rd = 1, .via = 2};
	struct bgp_nlri nlri = nlri_of(&usual);
	struct bgp_hop hop = {{AF_INET, {[3] = 2}}, {0}, 5, 100};
	struct bgp_hops *interned = bgp_hops_intern(&hop, 1);
	struct pw_api_batch batch = {0};
	struct bgp_route *route;

	bgp_netlink_put_route(&batch, 10, config.metric, &nlri.prefix, interned);
	bgp_sync_route(batch.last, true);
	route = route_in("red");
	assert_non_null(route);
	assert_true(route->held);
	assert_ptr_equal(route->installed, interned);
	announce(usual);
	assert_int_equal(hops("red"), 2);
	assert_ptr_equal(route->installed, interned);
	/* Its backup is ours, too. */
	bgp_netlink_put_route(&batch, 10, config.metric + 1, &nlri.prefix, interned);
	bgp_sync_route(batch.last, true);
	assert_ptr_equal(route->installed, interned);
	assert_ptr_equal(route->backup, interned);
	/* Another's route of protocol bgp is not ours. */
	nlri.prefix.bytes[1] = 99;
	bgp_netlink_put_route(&batch, 10, config.metric + 2, &nlri.prefix, interned);
	bgp_sync_route(batch.last, true);
	assert_null(bgp_route_get(bgp_vrf_by_name("red"), &nlri.prefix, false));
	bgp_hops_release(interned);
	pw_api_batch_free(&batch);
}

static void test_locals(void **state)
{
	struct bgp_vrf *red = bgp_vrf_by_name("red");
	struct bgp_prefix prefix = {BGP_VPNV4, 24, {10, 1, 1}},
			  link = {BGP_VPNV6, 64, {0xfe, 0x80}};

	bgp_local_update(red, &prefix, RTPROT_STATIC, 0, true);
	bgp_local_update(red, &prefix, RTPROT_KERNEL, 256, true);
	bgp_local_update(red, &link, RTPROT_STATIC, 0, true);
	assert_int_equal(red->local_count, 1);
	bgp_locals_unsee();
	bgp_local_update(red, &prefix, RTPROT_STATIC, 0, true);
	bgp_locals_sweep();
	assert_int_equal(red->local_count, 1);
	bgp_local_update(red, &prefix, RTPROT_STATIC, 0, false);
	assert_int_equal(red->local_count, 0);
}

/* ---- labels ------------------------------------------------------------------------------ */

static void test_labels(void **state)
{
	char folder[] = "/tmp/pw-bgp-XXXXXX", path[64];
	FILE *file;

	pw_log_set_level(PW_LOG_ERROR);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/labels", folder);
	assert_int_equal(bgp_labels_load(path), 0);
	assert_false(bgp_labels_known());
	assert_int_equal(bgp_label_take("red", 0, 100, 102), 100);
	assert_int_equal(bgp_label_take("blue", 0, 100, 102), 101);
	assert_int_equal(bgp_label_take("red", 0, 100, 102), 100);
	assert_int_equal(bgp_label_take("fixed", 50, 100, 102), 50);
	bgp_labels_save();
	bgp_labels_free();
	/* The order of the VRFs makes no difference after a restart. */
	assert_int_equal(bgp_labels_load(path), 0);
	assert_true(bgp_labels_known());
	assert_int_equal(bgp_label_take("blue", 0, 100, 102), 101);
	assert_int_equal(bgp_label_take("green", 0, 100, 102), 102);
	assert_int_equal(bgp_label_take("more", 0, 100, 102), 0);
	assert_int_equal(bgp_label_take("red", 0, 200, 202), 200);
	bgp_labels_free();
	/* Damage costs a line. */
	file = fopen(path, "w");
	fputs("# c\nvrf red label 100\nvrf blue label 7\nvrf x label 100\nwhat\nvrf y label 101\n",
	      file);
	fclose(file);
	pw_log_set_level(PW_LOG_ERROR);
	assert_int_equal(bgp_labels_load(path), 0);
	assert_int_equal(bgp_label_take("x", 0, 100, 102), 102);
	assert_int_equal(bgp_label_take("y", 0, 100, 102), 101);
	bgp_labels_free();
	unlink(path);
	rmdir(folder);
}

#define rib_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config), cmocka_unit_test(test_config_errors),
		rib_test(test_import),         rib_test(test_keys),
		rib_test(test_order),          rib_test(test_med),
		rib_test(test_ties),           rib_test(test_limit),
		rib_test(test_stale),          rib_test(test_key),
		rib_test(test_reconfigure),    cmocka_unit_test(test_netlink),
		rib_test(test_held),           rib_test(test_locals),
		rib_test(test_backup),         cmocka_unit_test(test_labels),
	};

	return cmocka_run_group_tests_name("bgp_rib", tests, NULL, NULL);
}
