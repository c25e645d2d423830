/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_PROTECTION_FIXTURE_H
#define PW_TEST_PROTECTION_FIXTURE_H

/* Policies and SAs, and the endpoint of a tunnel that they protect. */
#include "policy_fixture.h"

#include "control/sa.h"
#include "crypto_fixture.h"

static uint32_t next_spi = 0x1000;

struct sa_model {
	const char *source, *destination, *suite;
	uint32_t reqid, if_id;
	uint16_t udp_source, udp_destination;
};

static inline struct pw_sa_detail *add_sa(const struct sa_model *model)
{
	static const uint8_t key[128];
	struct pw_sa_detail wanted = {
		.entry = {.source = address_of(model->source),
			  .destination = address_of(model->destination),
			  .spi = htonl(++next_spi),
			  .reqid = model->reqid,
			  .if_id = model->if_id,
			  .mode = XFRM_MODE_TRANSPORT},
		.suite = suite_named(model->suite ? model->suite : "aes128gcm16"),
		.limits = {XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF},
		.window = 32,
	};
	const struct pw_sa_keys keys = {key, key};
	const struct pw_sa_replay replay = {0};
	struct pw_sa_detail *made = NULL;
	char why[PW_CRYPTO_WHY_BYTES] = "";

	wanted.selector.family = wanted.entry.source.family;
	if (model->udp_source) {
		wanted.encap.encap_type = 2; /* UDP_ENCAP_ESPINUDP */
		wanted.encap.encap_sport = htons(model->udp_source);
		wanted.encap.encap_dport = htons(model->udp_destination);
	}
	if (pw_sa_add(&wanted, &keys, &replay, NULL, &made, why))
		fail_msg("%s", why);
	settle();
	return made;
}

static inline void remove_sa(struct pw_sa_detail *sa)
{
	pw_sa_remove(sa);
	settle();
}

static inline const struct pw_endpoint *endpoint_of(const char *tunnel, const char *remote)
{
	struct pw_address to = address_of(remote);
	uint32_t id;

	assert_return_code(pw_endpoint_take(link_named(tunnel), &to, &id), 0);
	pw_endpoint_drop(id);
	return pw_endpoint_get(id);
}

/** The endpoint 10.0.0.2 of gre1 and how it is protected. */
static inline void expect(uint8_t protect, const struct pw_sa_detail *sa)
{
	const struct pw_endpoint *endpoint = endpoint_of("gre1", "10.0.0.2");

	assert_int_equal(endpoint->protect, protect);
	assert_int_equal(endpoint->sa, sa ? sa->entry.id : 0);
	assert_int_equal(endpoint->esp_at, sa ? 20 : 0);
	assert_int_equal(endpoint->header[9], sa ? IPPROTO_ESP : GRE);
	assert_int_equal(endpoint->ip_len, 20);
	if (sa)
		assert_memory_equal(endpoint->header + 20, &sa->entry.spi, 4);
}

static inline int with_tunnel(void **state)
{
	if (setup(state))
		return -1;
	assert_non_null(add_tunnel("gre1", "10.0.0.1", "10.0.0.2"));
	return 0;
}

#define OUT "src 10.0.0.1 dst 10.0.0.2 proto gre dir out "
#define IN  "src 10.0.0.2 dst 10.0.0.1 proto gre dir in "

#endif
