/* SPDX-License-Identifier: BSD-3-Clause */
/* What is configured: one PE with as many customers, routes and remote PEs as the rows need. */
#include "control/bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "control/control.h"
#include "control/links.h"
#include "dataplane/table/vrf.h"
#include "lib/retire.h"

#define ROUND        1024 /* messages between two rounds of the event loop */
#define CORE_MTU     1700 /* the largest customer packet, sealed by any suite, fits */
#define PREFIX_BITS  22   /* of a prefix's place in 128.0.0.0/2 */
#define PREFIX_BASE  0x80000000u
#define PEERS_A_VRF  PW_BENCH_PEERS_A_VRF
#define LABEL_BASE   5000 /* labels that remote PEs chose */
#define OWN_LABEL    16
#define MANY         100000
#define PEERS_TABLE  999
#define PEERS_PREFIX 0xc6120000u /* 198.18.0.0/15 */

const uint8_t pw_bench_mac_core[6] = {0x02, 0xbe, 0, 0, 0, 1};
const uint8_t pw_bench_mac_ce[6] = {0x02, 0xbe, 0, 0, 0, 2};

/* VLANs and tables follow from the place in this list, so that sites never meet. */
static struct pw_bench_site sites[16];
static unsigned int site_count;
static bool dense;
static uint32_t tunnel; /* link index */

uint32_t pw_bench_site_prefix(const struct pw_bench_site *site, uint32_t v, uint32_t j)
{
	uint32_t place = j + v * 4099;

	/* The site with one route shares its VRF: its prefixes differ by kind. */
	place += site->local ? 0x155555 : 0;
	place &= (1u << PREFIX_BITS) - 1;
	return PREFIX_BASE | (dense ? place : pw_bench_mix(place, PREFIX_BITS)) << 8;
}

uint32_t pw_bench_site_peer(const struct pw_bench_site *site, uint32_t v, uint32_t j)
{
	if (site->vrfs == 1)
		return PW_BENCH_PEERS + 1 + j % site->peers;
	return PW_BENCH_PEERS + 1 + (v * PEERS_A_VRF + j % PEERS_A_VRF) % site->peers;
}

uint32_t pw_bench_site_label(uint32_t v)
{
	return LABEL_BASE + v;
}

uint32_t pw_bench_site_own_label(const struct pw_bench_site *site, uint32_t v)
{
	return OWN_LABEL + (site->vlan ? site->vlan + v : 0);
}

/* ---- which sites ------------------------------------------------------------------------- */

static bool row_local(const struct pw_bench_row *row)
{
	return !pw_bench_is_outward(row->work);
}

/* Workers that share none have at least one each, and all the same number. */
uint32_t pw_bench_row_peers(const struct pw_bench_row *row)
{
	uint32_t workers = row->own ? row->workers : 1;

	return (row->peers + workers - 1) / workers * workers;
}

/* Where customers' packets are only received from peers, peers make no other routes. */
static uint32_t site_peers(const struct pw_bench_row *row)
{
	return row_local(row) || pw_bench_is_tunnel(row->work) ? 1 : pw_bench_row_peers(row);
}

/* A worker that has a remote PE of its own needs a route there. */
static uint32_t site_routes(const struct pw_bench_row *row)
{
	return row->routes > site_peers(row) || row_local(row) ? row->routes : site_peers(row);
}

static struct pw_bench_site *site_find(const struct pw_bench_row *row)
{
	for (unsigned int i = 0; i < site_count; i++)
		if (sites[i].local == row_local(row) && sites[i].routes == site_routes(row) &&
		    sites[i].peers == site_peers(row))
			return &sites[i];
	return NULL;
}

const struct pw_bench_site *pw_bench_site_of(const struct pw_bench_row *row)
{
	return site_find(row);
}

/* One VRF up to 100,000 routes, then 1,000 of them. */
static int site_add(const struct pw_bench_row *row)
{
	static uint16_t vlan_next = 1;
	struct pw_bench_site *site = &sites[site_count];

	if (site_count == sizeof(sites) / sizeof(sites[0]))
		return -ENOSPC;
	*site = (struct pw_bench_site){
		.local = row_local(row),
		.routes = site_routes(row),
		.vrfs = row->routes > MANY ? 1000 : 1,
		.peers = site_peers(row),
	};
	if (site->routes > 1) {
		site->vlan = vlan_next;
		vlan_next += site->vrfs;
	}
	/* Table numbers above those that the kernel keeps for itself. */
	site->table = 1000 + site->vlan;
	if (vlan_next > 4094) {
		fprintf(stderr, "pewter-bench: too many sites for the VLANs of one port\n");
		return -ENOSPC;
	}
	site_count++;
	return 0;
}

/* ---- building ---------------------------------------------------------------------------- */

double pw_bench_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint32_t link_index(const char *name)
{
	const struct pw_link *link = pw_link_by_name(name);

	return link ? link->index : 0;
}

static int build_core(void)
{
	uint32_t core = link_index("core");
	int ret = pw_bench_link_set(core, 0, CORE_MTU);

	ret = ret ? ret : pw_bench_link_set(link_index("ce"), 0, CORE_MTU);
	ret = ret ? ret : pw_bench_address(core, PW_BENCH_CORE, 30);
	ret = ret ? ret : pw_bench_neighbour(core, PW_BENCH_CORE_NEXT, pw_bench_mac_core, 6);
	ret = ret ? ret : pw_bench_address(link_index("lo"), PW_BENCH_PE, 32);
	ret = ret ? ret : pw_bench_route(PW_TABLE_MAIN, PW_BENCH_PEERS, 10, PW_BENCH_CORE_NEXT, 0);
	ret = ret ? ret : pw_bench_gre("gre1", PW_BENCH_PE);
	tunnel = link_index("gre1");
	ret = ret ? ret : pw_bench_link_set(tunnel, 0, CORE_MTU - 24);
	pw_bench_daemon_round();
	return ret;
}

/* Every remote PE is a known one, so its packets are taken: something is routed to each. */
static int build_peers(uint32_t count)
{
	int ret = pw_bench_vrf("peers", PEERS_TABLE);

	for (uint32_t i = 0; i < count && !ret; i++) {
		ret = pw_bench_route_encap(PEERS_TABLE, PEERS_PREFIX + i, 32,
					   PW_BENCH_PEERS + 1 + i, tunnel, LABEL_BASE);
		if (i % ROUND == 0)
			pw_bench_daemon_round();
	}
	pw_bench_daemon_round();
	return ret;
}

static int build_vrf(const struct pw_bench_site *site, uint32_t v)
{
	uint32_t attachment, vrf;
	char name[16];
	int ret;

	snprintf(name, sizeof(name), "v%u", site->table + v);
	if (link_index(name))
		return 0;
	ret = pw_bench_vrf(name, site->table + v);
	vrf = link_index(name);
	snprintf(name, sizeof(name), "ce");
	if (!ret && site->vlan) {
		snprintf(name, sizeof(name), "ce.%u", site->vlan + v);
		ret = pw_bench_vlan(name, link_index("ce"), (uint16_t)(site->vlan + v));
	}
	attachment = link_index(name);
	ret = ret ? ret : pw_bench_link_set(attachment, vrf, 0);
	ret = ret ? ret : pw_bench_address(attachment, PW_BENCH_CE, 30);
	ret = ret ? ret : pw_bench_neighbour(attachment, PW_BENCH_CE_NEXT, pw_bench_mac_ce, 6);
	ret = ret ? ret : pw_bench_label(pw_bench_site_own_label(site, v), vrf);
	return ret;
}

int pw_bench_site_route(const struct pw_bench_site *site, uint32_t v, uint32_t j, uint32_t prefix,
			uint8_t length)
{
	uint32_t table = site->table + v;

	if (site->local)
		return pw_bench_route(table, prefix, length, PW_BENCH_CE_NEXT, 0);
	return pw_bench_route_encap(table, prefix, length, pw_bench_site_peer(site, v, j), tunnel,
				    pw_bench_site_label(v));
}

static int build_routes(struct pw_bench_site *site)
{
	uint32_t each = site->routes / site->vrfs, done = 0;
	size_t before = pw_vrf_memory_used();
	double start = pw_bench_seconds();
	int ret = 0;

	/* Round the VRFs, as a BGP daemon's updates would come. */
	for (uint32_t j = 0; j < each && !ret; j++)
		for (uint32_t v = 0; v < site->vrfs && !ret; v++) {
			ret = pw_bench_site_route(site, v, j, pw_bench_site_prefix(site, v, j), 24);
			if (++done % ROUND == 0)
				pw_bench_daemon_round();
		}
	pw_bench_daemon_round();
	pw_retire_drain();
	site->seconds = pw_bench_seconds() - start;
	site->memory = pw_vrf_memory_used() - before;
	site->built = true;
	return ret;
}

static int site_build(struct pw_bench_site *site)
{
	int ret = 0;

	for (uint32_t v = 0; v < site->vrfs && !ret; v++) {
		ret = build_vrf(site, v);
		if (v % ROUND == 0)
			pw_bench_daemon_round();
	}
	pw_bench_daemon_round();
	return ret ? ret : build_routes(site);
}

/* The IPsec interface that all off-net sites' SAs lead to, in the VRF of the row's site. */
static int build_tunnel(const struct pw_bench_row *row)
{
	char name[16];
	int ret = pw_bench_xfrm("ipsec", PW_BENCH_IF_ID);

	snprintf(name, sizeof(name), "v%u", site_find(row)->table);
	ret = ret ? ret : pw_bench_link_set(link_index("ipsec"), link_index(name), CORE_MTU);
	ret = ret ? ret
		  : pw_bench_route(site_find(row)->table, PW_BENCH_OFF_NET, 2, 0,
				   link_index("ipsec"));
	ret = ret ? ret : pw_bench_route(PW_TABLE_MAIN, PW_BENCH_SITES, 8, PW_BENCH_CORE_NEXT, 0);
	pw_bench_daemon_round();
	return ret;
}

int pw_bench_sites_build(const struct pw_bench_options *options, struct pw_bench_row *rows,
			 int count)
{
	const struct pw_bench_row *tunnels = NULL;
	uint32_t peers = 0;
	int ret = 0;

	dense = options->table == PW_BENCH_DENSE;
	for (int i = 0; i < count && !ret; i++) {
		if (pw_bench_is_lookup(rows[i].work))
			continue;
		if (pw_bench_is_tunnel(rows[i].work))
			tunnels = &rows[i];
		else if (pw_bench_row_peers(&rows[i]) > peers)
			peers = pw_bench_row_peers(&rows[i]);
		if (!site_find(&rows[i]))
			ret = site_add(&rows[i]);
	}
	if (tunnels && !peers)
		peers = 1;
	if (ret || !peers)
		return ret;
	ret = build_core();
	ret = ret ? ret : build_peers(peers);
	for (unsigned int i = 0; i < site_count && !ret; i++)
		ret = site_build(&sites[i]);
	return ret || !tunnels ? ret : build_tunnel(tunnels);
}

void pw_bench_sites_print(FILE *out)
{
	char text[16];

	for (unsigned int i = 0; i < site_count; i++) {
		const struct pw_bench_site *site = &sites[i];

		if (!site->built || site->routes < MANY)
			continue;
		fprintf(out,
			"%s %s routes in %u VRF%s: %.2f s, %.0f thousand a second from message to "
			"workers; tables %.1f MiB\n",
			pw_bench_count_text(site->routes, text), site->local ? "local" : "VPN",
			site->vrfs, site->vrfs == 1 ? "" : "s", site->seconds,
			site->routes / site->seconds / 1000, (double)site->memory / (1 << 20));
	}
}
