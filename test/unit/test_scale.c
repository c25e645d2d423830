/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables at their limits: what does not fit is refused in words and changes nothing, and what was
 * deleted gives its memory back. */
#define FIXTURE_MEMORY    "512"
#define FIXTURE_LPM_BYTES lpm_bytes
#include <stddef.h>

static size_t lpm_bytes = (size_t)256 << 20;

#include "routes_fixture.h"

#include <unistd.h>

#include <linux/neighbour.h>
#include <rte_jhash.h>

#include "control/request.h"
#include "lib/pewter_netlink.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_start, fixture_stop)
#define ROUNDS     20

/* ---- everything there is, as a few numbers ------------------------------------------------ */

struct state {
	uint32_t routes, links, objects; /* control thread */
	uint32_t installed;              /* what workers find for each prefix */
	uint32_t nexthops, groups, endpoints, neighbours, labels; /* what each id reads as */
	uint32_t used[4];
	size_t counts[2];
};

static uint32_t slots_state(const struct pw_slots *slots)
{
	uint32_t hash = 0;

	for (uint32_t id = 0; id < slots->ids; id++)
		if (slots->map[id])
			hash = rte_jhash(pw_slot_get(slots, id), slots->object_size, hash ^ id);
	return hash;
}

static void table_state(const struct pw_table *table, struct state *state)
{
	for (int family = AF_INET; family <= AF_INET6; family += AF_INET6 - AF_INET) {
		const struct pw_prefix_tree *tree = &table->trees[pw_tree_of(family)];
		const struct pw_prefix *prefix = NULL;
		uint8_t zero[16] = {0};

		while ((prefix = pw_prefix_next(tree, prefix ? prefix->bytes : zero,
						prefix ? prefix->length : 0, !prefix))) {
			uint32_t value = pw_vrf_route_lookup(table->vrf, family, prefix->bytes);

			state->installed =
				rte_jhash_2words(value, prefix->installed, state->installed);
			for (const struct pw_route *route = prefix->routes; route;
			     route = route->next) {
				const uint32_t words[] = {route->path->id, route->metric,
							  route->type, route->protocol,
							  prefix->length};

				state->routes = rte_jhash(words, sizeof(words), state->routes);
				state->routes =
					rte_jhash(prefix->bytes, tree->bits / 8, state->routes);
			}
		}
	}
	state->counts[0] += table->entries;
	state->counts[1]++;
}

static struct state state_now(void)
{
	struct state state;
	const struct pw_table *table = NULL;
	const struct pw_object *object = NULL;
	const struct pw_link *link = NULL;

	memset(&state, 0, sizeof(state));
	settle();
	pw_retire_drain();
	while ((table = pw_table_next(table ? table->id : 0, !table)))
		table_state(table, &state);
	while ((object = pw_object_next(object ? object->nhid : 0)))
		state.objects = rte_jhash_2words(object->nhid, object->count, state.objects);
	while ((link = pw_link_next(link ? link->index : 0)))
		state.links = rte_jhash(link->name, sizeof(link->name), state.links);
	state.nexthops = slots_state(&pw_nexthops);
	state.groups = slots_state(&pw_groups);
	state.endpoints = slots_state(&pw_endpoints);
	state.neighbours = slots_state(&pw_neighbours);
	for (uint32_t label = 0; label < PW_LABELS; label++) {
		struct pw_label entry = pw_label_get(label);

		if (entry.action != PW_LABEL_NONE)
			state.labels = rte_jhash(&entry, sizeof(entry), state.labels ^ label);
	}
	state.used[0] = pw_nexthops.ids_used;
	state.used[1] = pw_groups.ids_used;
	state.used[2] = pw_endpoints.ids_used;
	state.used[3] = pw_neighbours.ids_used;
	return state;
}

static int take(const char *text)
{
	said[0] = '\0';
	return pw_request_internal(route_message(text), said, sizeof(said));
}

/* The n-th of the routes that fill a table. */
typedef void (*text_fn)(char *text, size_t size, unsigned int n);

/* Adds until it is refused; from then on all is refused alike, and is as it was before. */
static unsigned int fill(text_fn write, unsigned int limit, int error, const char *words)
{
	struct state before, after;
	unsigned int n = 0;
	char text[256];
	int ret = 0;

	while (n <= limit) {
		write(text, sizeof(text), n);
		ret = take(text);
		if (ret)
			break;
		if (++n % 1024 == 0)
			settle();
	}
	assert_int_equal(ret, error);
	before = state_now();
	for (unsigned int again = 0; again < 3; again++) {
		assert_int_equal(take(text), error);
		assert_non_null(strstr(said, words));
		after = state_now();
		assert_memory_equal(&before, &after, sizeof(before));
	}
	return n;
}

/* ---- exhaustion --------------------------------------------------------------------------- */

static void tunnel_start(void)
{
	must("add 198.18.0.0/15 via 10.0.0.5");
	assert_non_null(add_tunnel("gre1", "10.0.0.1", NULL));
}

static void nexthop_text(char *text, size_t size, unsigned int n)
{
	snprintf(text, size, "add 20.%u.%u.%u/32 table 10 encap %u via 198.18.0.1 dev gre1",
		 n >> 16, n >> 8 & 255, n & 255, 100 + n);
}

static void test_nexthops(void **state)
{
	tunnel_start();
	fill(nexthop_text, PW_NEXTHOPS, -ENOSPC, "No room for another next hop");
	assert_int_equal(pw_nexthops.ids_used, PW_NEXTHOPS - 1);
	/* One goes, one more has room. */
	must("del 20.0.0.7/32 table 10");
	pw_retire_drain();
	must("add 30.0.0.0/8 table 10 encap 17 via 198.18.0.1 dev gre1");
	/* What is there already can be used as before. */
	must("add 31.0.0.0/8 table 10 encap 100 via 198.18.0.1 dev gre1");
}

static void endpoint_text(char *text, size_t size, unsigned int n)
{
	snprintf(text, size, "add 20.%u.%u.%u/32 table 10 encap 100 via 198.18.%u.%u dev gre1",
		 n >> 16, n >> 8 & 255, n & 255, n >> 8, n & 255);
}

static void test_endpoints(void **state)
{
	tunnel_start();
	fill(endpoint_text, PW_ENDPOINTS, -ENOSPC, "endpoint");
	assert_int_equal(pw_endpoints.ids_used, PW_ENDPOINTS - 1);
	must("del 20.0.0.7/32 table 10");
	pw_retire_drain();
	must("add 30.0.0.0/8 table 10 encap 100 via 198.19.255.1 dev gre1");
}

static void group_text(char *text, size_t size, unsigned int n)
{
	snprintf(text, size,
		 "add 20.%u.%u.%u/32 table 10 nexthop encap %u via 198.18.0.1 dev gre1 nexthop "
		 "encap 99 via 198.18.0.2 dev gre1",
		 n >> 16, n >> 8 & 255, n & 255, 100 + n);
}

static void test_groups(void **state)
{
	tunnel_start();
	fill(group_text, PW_GROUPS, -ENOSPC, "No room for another group");
	assert_int_equal(pw_groups.ids_used, PW_GROUPS - 1);
	assert_int_equal(nexthop("add 1 via 10.0.0.5 dev p0"), 0);
	assert_int_equal(nexthop("add 2 via 10.0.0.6 dev p0"), 0);
	assert_int_equal(nexthop("add 3 group 1/2"), -ENOSPC);
	must("del 20.0.0.7/32 table 10");
	pw_retire_drain();
	assert_int_equal(nexthop("add 3 group 1/2"), 0);
}

static void table_text(char *text, size_t size, unsigned int n)
{
	snprintf(text, size, "add 10.50.0.0/16 table %u via 10.0.0.5 dev p0 onlink", 1000 + n);
}

static void test_tables(void **state)
{
	unsigned int n;

	n = fill(table_text, PW_VRFS, -ENOSPC, "No room for another routing table");
	assert_int_equal(n, PW_VRFS - 2); /* main and red */
	must("del 10.50.0.0/16 table 1001");
	pw_retire_drain();
	must("add 10.50.0.0/16 table 999999 via 10.0.0.5 dev p0 onlink");
	assert_gateway(999999, "10.50.0.1", "10.0.0.5");
}

/* At random places, each once. */
static void route_text(char *text, size_t size, unsigned int n)
{
	uint32_t place = (n * 2654435761u) >> 8;

	snprintf(text, size, "add %u.%u.%u.0/24 via 10.0.0.5", 32 + (place >> 16 & 127),
		 place >> 8 & 255, place & 255);
}

/* Routes until their memory is used up. */
static void test_routes(void **state)
{
	unsigned int n = fill(route_text, 1u << 20, -ENOMEM, "Out of memory for routes");
	char text[64];

	assert_true(n > 5000);
	/* What is there can be deleted, and then there is room. */
	for (unsigned int i = 0; i < n; i++) {
		route_text(text, sizeof(text), i);
		memcpy(text, "del", 3);
		*strstr(text, " via") = '\0';
		if (take(text))
			fail_msg("%s: %s", text, said);
		if (i % 256 == 0)
			settle();
	}
	pw_retire_drain();
	must("add 10.60.0.0/16 via 10.0.0.5");
}

static int routes_start(void **state)
{
	lpm_bytes = (size_t)4 << 20;
	return fixture_start(state);
}

static int routes_stop(void **state)
{
	lpm_bytes = (size_t)256 << 20;
	return fixture_stop(state);
}

static int neighbour_take(uint32_t address)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(message_buffer);
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};
	struct ndmsg *ndm;

	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
	ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	ndm->ndm_family = AF_INET;
	ndm->ndm_ifindex = (int)device_index("p0");
	ndm->ndm_state = NUD_PERMANENT;
	mnl_attr_put_u32(nlh, NDA_DST, htonl(address));
	mnl_attr_put(nlh, NDA_LLADDR, sizeof(mac), mac);
	said[0] = '\0';
	return pw_request_internal(nlh, said, sizeof(said));
}

static void test_neighbours(void **state)
{
	struct state before, after;
	uint32_t n = 0;
	int ret;

	while (!(ret = neighbour_take(0x0b000001 + n)))
		n++;
	assert_int_equal(ret, -ENOSPC);
	assert_string_equal(said, "the table of neighbours is full");
	assert_int_equal(pw_neighbours.ids_used, PW_NEIGHBOURS - 1);
	before = state_now();
	assert_int_equal(neighbour_take(0x0b000001 + n), -ENOSPC);
	assert_int_equal(take("add 10.50.0.0/16 via 10.0.0.200"), -ENOSPC);
	after = state_now();
	assert_memory_equal(&before, &after, sizeof(before));
}

static int labels_allow(uint32_t label, uint32_t remote)
{
	struct pw_address address = {.family = AF_INET};

	remote = htonl(remote);
	memcpy(address.bytes, &remote, sizeof(remote));
	return pw_label_allow(label, &address, 1);
}

static void test_labels(void **state)
{
	struct state before, after;
	char text[64];
	uint32_t n;

	tunnel_start();
	must("add 20.0.0.0/8 table 10 encap 100 via 198.18.0.1 dev gre1");
	for (n = 0; n < PW_LABEL_SETS; n++) {
		snprintf(text, sizeof(text), "add %u dev red", 16 + n);
		assert_return_code(take(text), 0);
		if (labels_allow(16 + n, 0xc6120001 + n))
			break;
	}
	assert_int_equal(n, PW_LABEL_SETS - 1);
	before = state_now();
	assert_int_equal(labels_allow(16 + n, 1), -ENOSPC);
	assert_int_equal(take("add 1048576 dev red"), -EINVAL);
	assert_int_equal(take("add 16 dev red"), -EEXIST);
	after = state_now();
	assert_memory_equal(&before, &after, sizeof(before));
	assert_return_code(pw_label_allow(17, NULL, 0), 0);
	pw_retire_drain();
	assert_return_code(labels_allow(16 + n, 1), 0);
}

/* ---- looking ahead ------------------------------------------------------------------------ */

/* Whatever is in a message, the look ahead stays within it and changes nothing. */
static void test_ahead(void **state)
{
	struct nlmsghdr *messages[PW_REQUESTS_AHEAD] = {0};
	struct state before, after;
	char text[128];

	tunnel_start();
	for (unsigned int i = 0; i < 1000; i++) {
		nexthop_text(text, sizeof(text), i * 7919);
		assert_return_code(take(text), 0);
	}
	must("add 2001:db8:5::/48 table 10 encap 100 via ::ffff:198.18.0.1 dev gre1");
	before = state_now();
	srand(1);
	for (unsigned int round = 0; round < 20000; round++) {
		unsigned int count = 1 + (unsigned int)rand() % PW_REQUESTS_AHEAD;

		for (unsigned int i = 0; i < count; i++) {
			const struct nlmsghdr *nlh;
			size_t size;

			if (rand() % 2)
				nexthop_text(text, sizeof(text), (unsigned int)rand() % 100000);
			else
				snprintf(text, sizeof(text),
					 "add 2001:db8:%x::/48 table 10 encap 1/2/3 via "
					 "::ffff:198.18.0.1 dev gre1",
					 rand() & 0xffff);
			nlh = route_message(text);
			size = nlh->nlmsg_len;
			/* Cut off, with a byte or two that are not as they should be. */
			if (rand() % 4 == 0)
				size = sizeof(*nlh) + (size_t)rand() % (size - sizeof(*nlh));
			messages[i] = malloc(size);
			assert_non_null(messages[i]);
			memcpy(messages[i], nlh, size);
			for (unsigned int n = (unsigned int)rand() % 3; n; n--)
				((uint8_t *)messages[i])[(size_t)rand() % size] = (uint8_t)rand();
			messages[i]->nlmsg_len = (uint32_t)size;
		}
		pw_routes_ahead((const struct nlmsghdr *const *)messages, count);
		for (unsigned int i = 0; i < count; i++)
			free(messages[i]);
	}
	after = state_now();
	assert_memory_equal(&before, &after, sizeof(before));
}

/* ---- memory comes back -------------------------------------------------------------------- */

static size_t resident(void)
{
	unsigned long total, pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu %lu", &total, &pages), 2);
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void routes_turn(const char *verb, unsigned int count)
{
	char text[160];

	for (unsigned int i = 0; i < count; i++) {
		unsigned int n = i * 2654435761u >> 8 & 0xffff;

		snprintf(text, sizeof(text), "%s 20.%u.%u.%u/32 table %u%s", verb, n >> 8, n & 255,
			 i & 255, 1000 + i % 50,
			 *verb == 'a' ? " encap 100 via 198.18.0.1 dev gre1" : "");
		if (take(text))
			fail_msg("%s: %s", text, said);
		snprintf(text, sizeof(text), "%s 2001:db8:%x:%x::/64 table %u%s", verb, n, i & 255,
			 1000 + i % 50,
			 *verb == 'a' ? " encap 100 via ::ffff:198.18.0.1 dev gre1" : "");
		if (take(text))
			fail_msg("%s: %s", text, said);
		if (i % 1024 == 0)
			settle();
	}
	settle();
	pw_retire_drain();
}

static void hops_turn(const char *verb, unsigned int count)
{
	char text[160];

	for (unsigned int i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "%s 30.%u.%u.0/24 table 10", verb, i >> 8, i & 255);
		if (*verb == 'a')
			snprintf(text, sizeof(text),
				 "add 30.%u.%u.0/24 table 10 encap %u via 198.18.%u.%u dev gre1",
				 i >> 8, i & 255, 100 + i, i / 4 >> 8, i / 4 & 255);
		if (take(text))
			fail_msg("%s: %s", text, said);
		if (i % 1024 == 0)
			settle();
	}
	settle();
	pw_retire_drain();
}

static void neighbours_turn(const char *verb, unsigned int count)
{
	char text[160];

	for (unsigned int i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "%s 40.%u.%u.0/24 table 10", verb, i >> 8, i & 255);
		if (*verb == 'a')
			snprintf(text, sizeof(text),
				 "add 40.%u.%u.0/24 table 10 via 11.0.%u.%u dev p1 onlink", i >> 8,
				 i & 255, i >> 8, i & 255);
		if (take(text))
			fail_msg("%s: %s", text, said);
		if (i % 1024 == 0)
			settle();
	}
	settle();
	pw_retire_drain();
}

static void test_memory(void **state)
{
	size_t start, full = 0, first = 0, last = 0;
	struct state before, after;

	tunnel_start();
	must("add 30.255.0.0/16 table 10 via 10.0.0.5 dev p0 onlink");
	before = state_now();
	start = resident();
	for (unsigned int round = 0; round < ROUNDS; round++) {
		routes_turn("add", 10000);
		hops_turn("add", 3000);
		neighbours_turn("add", 3000);
		full = resident();
		routes_turn("del", 10000);
		hops_turn("del", 3000);
		neighbours_turn("del", 3000);
		last = resident();
		if (round == 1)
			first = last;
	}
	after = state_now();
	assert_memory_equal(&before, &after, sizeof(before));
	printf("resident: %zu KiB, full %zu KiB, empty in round 2 %zu KiB, in round %d %zu KiB\n",
	       start >> 10, full >> 10, first >> 10, ROUNDS, last >> 10);
#ifndef __SANITIZE_ADDRESS__
	/* The first round touches tables that are there from the start on. */
	assert_true(last < first + (1u << 20));
	assert_true(last < full);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nexthops),
		TEST(test_endpoints),
		TEST(test_groups),
		TEST(test_tables),
		cmocka_unit_test_setup_teardown(test_routes, routes_start, routes_stop),
		TEST(test_neighbours),
		TEST(test_labels),
		TEST(test_ahead),
		TEST(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
