/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_TABLES_FIXTURE_H
#define PW_TEST_TABLES_FIXTURE_H

/* Tables, links without devices, and what workers see of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/lwtunnel.h>
#include <linux/mpls.h>
#include <linux/mpls_iptunnel.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <rte_eal.h>

#include "control/core.h"
#include "control/endpoint.h"
#include "control/label.h"
#include "control/links.h"
#include "control/route.h"
#include "dataplane/path.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/label.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/table/vrf.h"
#include "lib/log.h"
#include "lib/retire.h"

#ifndef FIXTURE_MEMORY
#define FIXTURE_MEMORY    "512"
#define FIXTURE_LPM_BYTES (64u << 20)
#endif

static char said[256]; /* what the last refusal said */

static inline struct pw_address address_of(const char *text)
{
	struct pw_address address = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

	if (inet_pton(address.family, text, address.bytes) != 1)
		fail_msg("no address: %s", text);
	return address;
}

static inline struct pw_link *link_named(const char *name)
{
	struct pw_link *link = pw_link_by_name(name);

	if (!link)
		fail_msg("no link named %s", name);
	return link;
}

static inline void settle(void)
{
	pw_resolve();
	pw_retire_poll();
}

static inline void link_set(const char *name, bool up, bool carrier)
{
	struct pw_link *link = link_named(name);

	link->admin_up = up;
	link->carrier = carrier;
	assert_return_code(pw_link_publish(link), 0);
	pw_nexthop_link_changed(link);
	settle();
}

static inline struct pw_link *add_port(const char *name, uint16_t port)
{
	struct pw_link model = {
		.kind = PW_LINK_PORT, .mtu = 1500, .port = port, .admin_up = true, .carrier = true};

	snprintf(model.name, sizeof(model.name), "%s", name);
	assert_non_null(pw_link_register(&model));
	return link_named(name);
}

static inline struct pw_link *add_vrf(const char *name, uint32_t table)
{
	struct pw_link model = {.kind = PW_LINK_VRF,
				.mtu = 65535,
				.port = PW_PORT_NONE,
				.admin_up = true,
				.carrier = true,
				.table = table};
	char error[128];

	snprintf(model.name, sizeof(model.name), "%s", name);
	assert_non_null(pw_link_create(&model, error, sizeof(error)));
	return link_named(name);
}

static inline struct pw_link *add_tunnel(const char *name, const char *local, const char *remote)
{
	struct pw_link model = {.kind = PW_LINK_TUNNEL,
				.mtu = 1476,
				.port = PW_PORT_NONE,
				.admin_up = true,
				.carrier = true};
	char error[128];

	snprintf(model.name, sizeof(model.name), "%s", name);
	model.tunnel.local = address_of(local);
	if (remote)
		model.tunnel.remote = address_of(remote);
	model.tunnel.ttl = 255;
	model.tunnel.label_ttl = 255;
	model.tunnel.pmtudisc = true;
	if (!pw_link_create(&model, error, sizeof(error)))
		return NULL;
	settle();
	return link_named(name);
}

/* An address as address.c would announce it: local route and connected prefix. */
static inline void add_address(const char *link, const char *text, unsigned int length)
{
	struct pw_address address = address_of(text);
	unsigned int bits = 8 * pw_address_size(address.family);

	assert_return_code(
		pw_route_internal(PW_ROUTE_LOCAL, link_named(link), &address, bits, 0, true), 0);
	assert_return_code(
		pw_route_internal(PW_ROUTE_CONNECTED, link_named(link), &address, length, 0, true),
		0);
	settle();
}

static inline int fixture_start(void **state)
{
	char *arguments[] = {
		"test",         "--no-huge", "--no-shconf", "--no-pci",       "-m",
		FIXTURE_MEMORY, "-l",        "0",           "--no-telemetry", "--log-level=error"};
	const struct pw_core_options core = {
		.workers = 1, .mbufs = 4096, .lpm_bytes = FIXTURE_LPM_BYTES};
	static bool started;

	if (!started && rte_eal_init(10, arguments) < 0)
		return -1;
	started = true;
	pw_log_set_level(PW_LOG_ERROR);
	assert_return_code(pw_core_start(&core), 0);
	add_port("p0", 0);
	add_port("p1", 1);
	add_vrf("red", 10);
	add_address("p0", "10.0.0.1", 24);
	add_address("p0", "2001:db8::1", 64);
	add_address("p1", "10.1.0.1", 24);
	return 0;
}

static inline int fixture_stop(void **state)
{
	pw_core_stop();
	return 0;
}

/* ---- what workers see -------------------------------------------------------------------- */

static inline const struct pw_nexthop *lookup(uint32_t table, const char *text)
{
	struct pw_address address = address_of(text);
	int vrf = pw_vrf_find(table);

	if (vrf < 0)
		return pw_nexthop_get(0);
	return pw_nexthop_get(pw_vrf_route_lookup((uint16_t)vrf, address.family, address.bytes));
}

/* How many routes a prefix of the main table has. */
static inline unsigned int routes_of(const char *text, unsigned int length)
{
	struct pw_address address = address_of(text);
	struct pw_prefix *prefix = pw_prefix_get(
		&pw_table_find(254)->trees[pw_tree_of(address.family)], address.bytes, length);
	unsigned int count = 0;

	for (const struct pw_route *route = prefix ? prefix->routes : NULL; route;
	     route = route->next)
		count++;
	return count;
}

/* The address that a NEIGHBOUR next hop leads to, as text; "" for any other. */
static inline const char *gateway_of(const struct pw_nexthop *nexthop)
{
	static char text[INET6_ADDRSTRLEN];
	const struct pw_neighbour *neighbour = pw_neighbour_get(nexthop->neighbour);

	text[0] = '\0';
	if (nexthop->type == PW_NEXTHOP_NEIGHBOUR)
		inet_ntop(neighbour->family, neighbour->address, text, sizeof(text));
	return text;
}

#define assert_gateway(table, to, gateway)                                                         \
	assert_string_equal(gateway_of(lookup(table, to)), gateway)
#define assert_type(table, to, expected) assert_int_equal(lookup(table, to)->type, expected)

#endif
