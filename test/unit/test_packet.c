/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the stages know of a packet, beside a field that a driver registers: 82599, X540 and X550
 * take eight aligned bytes for rte_security when they are probed, which is before or after us.
 */
#define ALLOW_INTERNAL_API /* rte_security_dynfield_register() is the drivers' */

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_eal.h>
#include <rte_mbuf_dyn.h>
#include <rte_security_driver.h>

#include "dataplane/path.h"

static_assert(sizeof(struct pw_packet) <= 28, "a driver's eight aligned bytes are left");

enum order {
	DRIVER_FIRST,
	DRIVER_LAST,
};

/* Some drivers want more than rte_security's field. */
static int field_register(const char *name, size_t size)
{
	struct rte_mbuf_dynfield field = {.size = size, .align = size};

	strcpy(field.name, name);
	return rte_mbuf_dynfield_register(&field);
}

/* One field written must not be seen in the other. */
static const char *apart(struct rte_mbuf *mbuf)
{
	struct pw_packet ones;
	const uint8_t *bytes = (const uint8_t *)pw_packet(mbuf);

	memset(&ones, 0xff, sizeof(ones));
	*rte_security_dynfield(mbuf) = 0;
	*pw_packet(mbuf) = ones;
	if (*rte_security_dynfield(mbuf) != 0)
		return "the packet's field is in the driver's";
	pw_packet_clear(mbuf);
	*rte_security_dynfield(mbuf) = UINT64_MAX;
	for (size_t i = 0; i < sizeof(ones); i++)
		if (bytes[i])
			return "the driver's field is in the packet's";
	if (mbuf->hash.rss || *pw_packet_label(mbuf))
		return "the driver's field is in the hash";
	return NULL;
}

/* Fields are for as long as EAL is: each order has a process of its own. */
static const char *registered(enum order order)
{
	static char lcores[32];
	static char *arguments[] = {"test_packet", "--no-huge",      "--no-shconf",
				    "--no-pci",    "--no-telemetry", "--log-level=*:critical",
				    "-m64",        "--lcores",       lcores};
	struct rte_mempool *pool;
	struct rte_mbuf *mbuf;

	snprintf(lcores, sizeof(lcores), "0@%d", sched_getcpu());
	if (rte_eal_init(RTE_DIM(arguments), arguments) < 0)
		return "EAL does not start";
	if (order == DRIVER_FIRST && rte_security_dynfield_register() < 0)
		return "no room for the driver's field, first";
	if (pw_packet_register())
		return "no room for the packet's field";
	if (order == DRIVER_LAST && rte_security_dynfield_register() < 0)
		return "no room for the driver's field, last";
	if (pw_packet_register())
		return "not the same field when it is registered again";
	if (field_register("net_test_mark", 4) < 0)
		return "no room for a third field";
	pool = rte_pktmbuf_pool_create("packets", 7, 0, 0, 2048, SOCKET_ID_ANY);
	mbuf = pool ? rte_pktmbuf_alloc(pool) : NULL;
	return mbuf ? apart(mbuf) : "no memory";
}

static void expect_registered(enum order order)
{
	int said[2], status;
	char why[128] = "";
	pid_t child;

	assert_int_equal(pipe(said), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		const char *answer = registered(order);

		if (answer && write(said[1], answer, strlen(answer)) < 0)
			_exit(2);
		rte_eal_cleanup();
		_exit(answer ? 1 : 0);
	}
	close(said[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(read(said[0], why, sizeof(why) - 1) >= 0);
	close(said[0]);
	if (why[0])
		fail_msg("%s", why);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_driver_first(void **state)
{
	expect_registered(DRIVER_FIRST);
}

static void test_driver_last(void **state)
{
	expect_registered(DRIVER_LAST);
}

/* What a driver or the packet before left there is not the packet's. */
static void test_clear(void **state)
{
	struct rte_mbuf mbuf, zero;

	memset(&zero, 0, sizeof(zero));
	memset(&mbuf, 0xff, sizeof(mbuf));
	assert_ptr_equal(pw_packet_clear(&mbuf), pw_packet(&mbuf));
	assert_memory_equal(pw_packet(&mbuf), pw_packet(&zero), sizeof(struct pw_packet));
	assert_int_equal(mbuf.hash.rss, 0);
	assert_int_equal(*pw_packet_label(&mbuf), 0);
	assert_int_equal(mbuf.vlan_tci_outer, 0xffff);
	assert_int_equal(mbuf.vlan_tci, 0xffff);
}

static void test_copy(void **state)
{
	struct rte_mbuf from, to;

	memset(&to, 0, sizeof(to));
	memset(&from, 0xff, sizeof(from));
	from.hash.rss = 7;
	*pw_packet_label(&from) = 0x12345140;
	pw_packet(&from)->mtu = 1400;
	pw_packet(&from)->nexthop = 9;
	pw_packet_copy(&to, &from);
	assert_int_equal(to.hash.rss, 7);
	assert_int_equal(*pw_packet_label(&to), 0x12345140);
	assert_memory_equal(pw_packet(&to), pw_packet(&from), sizeof(struct pw_packet));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_driver_first),
		cmocka_unit_test(test_driver_last),
		cmocka_unit_test(test_clear),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
