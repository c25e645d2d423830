/* SPDX-License-Identifier: BSD-3-Clause */
/* What the control thread tells the ports' steering programs of local addresses and of ESP. */
#include "links_fixture.h"

#include "drivers/steer.h"

static struct {
	uint16_t port;
	bool add;
	uint8_t also;
	uint8_t address[4];
} told[8];
static unsigned int count;

/* In the place of the drivers' function (the linker's --wrap). */
int __wrap_pw_steer_local(uint16_t port, int family, const uint8_t *address, bool add,
			  uint8_t also);

int __wrap_pw_steer_local(uint16_t port, int family, const uint8_t *address, bool add, uint8_t also)
{
	assert_in_range(count, 0, RTE_DIM(told) - 1);
	told[count].port = port;
	told[count].add = add;
	told[count].also = also;
	memcpy(told[count++].address, address, sizeof(told[0].address));
	return 0;
}

static void local(const char *text, bool add)
{
	struct pw_address address = address_of(text);

	count = 0;
	pw_address_local_changed(PW_VRF_DEFAULT, &address, add);
}

static void esp(uint16_t vrf, const char *text, bool add)
{
	struct pw_address address = address_of(text);

	count = 0;
	pw_address_esp_changed(vrf, &address, add);
}

/* Both ports are told the same. */
static void assert_told(bool add, uint8_t also)
{
	assert_int_equal(count, 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(told[i].port, i);
		assert_int_equal(told[i].add, add);
		assert_int_equal(told[i].also, also);
	}
}

static void assert_silent(void)
{
	assert_int_equal(count, 0);
}

static void test_esp_at_a_local_address(void **state)
{
	local("10.0.0.1", true);
	assert_told(true, 0);
	esp(PW_VRF_DEFAULT, "10.0.0.1", true);
	assert_told(true, PW_STEER_ESP);
	esp(PW_VRF_DEFAULT, "10.0.0.1", true);
	assert_silent();
	local("10.0.0.1", true);
	assert_silent();
	esp(PW_VRF_DEFAULT, "10.0.0.1", false);
	assert_silent();
	esp(PW_VRF_DEFAULT, "10.0.0.1", false);
	assert_told(true, 0);
	esp(PW_VRF_DEFAULT, "10.0.0.1", false); /* once too often */
	assert_silent();
	local("10.0.0.1", false);
	assert_silent();
	local("10.0.0.1", false);
	assert_told(false, 0);
	local("10.0.0.1", false);
	assert_silent();
}

/* An association for what is not an address of ours makes it none: it stays transit. */
static void test_esp_before_the_address(void **state)
{
	esp(PW_VRF_DEFAULT, "10.0.0.2", true);
	assert_silent();
	local("10.0.0.2", false);
	assert_silent();
	local("10.0.0.2", true);
	assert_told(true, PW_STEER_ESP);
	local("10.0.0.2", false);
	assert_told(false, PW_STEER_ESP);
	local("10.0.0.2", true);
	assert_told(true, PW_STEER_ESP);
	esp(PW_VRF_DEFAULT, "10.0.0.2", false);
	assert_told(true, 0);
	local("10.0.0.2", false);
	assert_told(false, 0);
	esp(PW_VRF_DEFAULT, "10.0.0.3", true);
	esp(PW_VRF_DEFAULT, "10.0.0.3", false);
	local("10.0.0.3", true);
	assert_told(true, 0);
	local("10.0.0.3", false);
}

/* IP in IP is told beside ESP, neither for the other. */
static void test_ip_in_ip(void **state)
{
	struct pw_address address = address_of("10.0.0.9");

	local("10.0.0.9", true);
	count = 0;
	pw_address_ip_changed(PW_VRF_DEFAULT, &address, true);
	assert_told(true, PW_STEER_IP);
	esp(PW_VRF_DEFAULT, "10.0.0.9", true);
	assert_told(true, PW_STEER_IP | PW_STEER_ESP);
	count = 0;
	pw_address_ip_changed(PW_VRF_DEFAULT, &address, true); /* a second tunnel */
	pw_address_ip_changed(PW_VRF_DEFAULT, &address, false);
	assert_silent();
	local("10.0.0.9", false);
	assert_told(false, PW_STEER_IP | PW_STEER_ESP);
	local("10.0.0.9", true);
	assert_told(true, PW_STEER_IP | PW_STEER_ESP);
	esp(PW_VRF_DEFAULT, "10.0.0.9", false);
	assert_told(true, PW_STEER_IP);
	count = 0;
	pw_address_ip_changed(PW_VRF_DEFAULT, &address, false);
	assert_told(true, 0);
	local("10.0.0.9", false);
	assert_told(false, 0);
}

static void test_port_changes_vrf(void **state)
{
	struct pw_address address = address_of("10.0.0.4");
	uint16_t red;

	assert_int_equal(add_vrf("red", 10), 0);
	red = pw_link_vrf(link_named("red"));
	esp(red, "10.0.0.4", true);
	pw_address_local_changed(red, &address, true);
	esp(red, "10.0.0.5", true); /* not local */
	esp(PW_VRF_DEFAULT, "10.0.0.4", true);
	assert_silent(); /* no port is in red, and nothing is local in the default VRF */
	count = 0;
	assert_int_equal(set_master("p1", "red"), 0);
	assert_int_equal(count, 1);
	assert_int_equal(told[0].port, 1);
	assert_true(told[0].add);
	assert_int_equal(told[0].also, PW_STEER_ECHO | PW_STEER_ESP);
	assert_memory_equal(told[0].address, address.bytes, 4);
	esp(red, "10.0.0.4", false);
	assert_int_equal(count, 1);
	assert_int_equal(told[0].port, 1);
	assert_true(told[0].add);
	assert_int_equal(told[0].also, PW_STEER_ECHO);
	count = 0;
	assert_int_equal(set_master("p1", NULL), 0);
	assert_int_equal(count, 1);
	assert_int_equal(told[0].port, 1);
	assert_false(told[0].add);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_esp_at_a_local_address, fixture_start,
						fixture_stop),
		cmocka_unit_test_setup_teardown(test_esp_before_the_address, fixture_start,
						fixture_stop),
		cmocka_unit_test_setup_teardown(test_ip_in_ip, fixture_start, fixture_stop),
		cmocka_unit_test_setup_teardown(test_port_changes_vrf, fixture_start, fixture_stop),
	};

	return cmocka_run_group_tests_name("steering", tests, NULL, NULL);
}
