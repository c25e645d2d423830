/* SPDX-License-Identifier: BSD-3-Clause */
/* Security associations by XFRM messages: what is taken, and how it is found. */
#include "sa_client.h"

#define RIGHTS (PW_SA_GRE | PW_SA_MPLS | PW_SA_IP4 | PW_SA_IP6) /* of policy: not tested here */

static const struct pw_sa *hot_of(const char *destination, uint32_t spi)
{
	return pw_sa_get(sa_of(destination, spi)->entry.id);
}

static const struct pw_sa *found_inward(uint32_t spi, uint16_t vrf, const char *destination)
{
	struct pw_address to = address_of(destination);

	return pw_sa_find(htonl(spi), vrf, to.family == AF_INET6, to.bytes);
}

/* ---- what is taken --------------------------------------------------------------------------- */

static void test_add_and_get(void **state)
{
	struct nlmsghdr *nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x1000);
	const struct xfrm_usersa_info *info;
	const struct xfrm_algo_aead *aead;
	const struct pw_sa *hot;

	sa_info(nlh)->flags = XFRM_STATE_ESN | XFRM_STATE_NOECN;
	sa_info(nlh)->sel.family = AF_INET;
	sa_info(nlh)->sel.proto = IPPROTO_GRE;
	sa_info(nlh)->lft.hard_add_expires_seconds = 3600;
	put_wide(nlh, 32, 1024, 0, 0);
	mnl_attr_put_u32(nlh, XFRMA_TFCPAD, 300);
	mnl_attr_put_u32(nlh, XFRMA_IF_ID, 42);
	assert_int_equal(ask(&client, nlh), 0);

	hot = hot_of(REMOTE, 0x1000);
	assert_non_null(hot->key);
	assert_int_equal(hot->flags & ~RIGHTS, PW_SA_ESN | PW_SA_REPLAY_CHECK);
	assert_int_equal(hot->esp_at, 20);
	assert_int_equal(hot->iv_bytes, 8);
	assert_int_equal(hot->icv_bytes, 16);
	assert_int_equal(hot->align, 4);
	assert_int_equal(hot->pad_to, 300);
	assert_int_equal(hot->if_id, 42);
	assert_int_equal(hot->spi, htonl(0x1000));
	assert_int_equal(hot->state->window.window, 1024);
	assert_true(hot->sequence_limit == UINT64_MAX - (UINT64_C(1) << 32));

	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_GETSA, REMOTE, 0x1000)), 0);
	assert_non_null(received(XFRM_MSG_NEWSA));
	info = mnl_nlmsg_get_payload(received(XFRM_MSG_NEWSA));
	assert_int_equal(info->id.spi, htonl(0x1000));
	assert_int_equal(info->sel.proto, IPPROTO_GRE);
	assert_int_equal(info->reqid, 7);
	assert_int_equal(info->flags, XFRM_STATE_ESN | XFRM_STATE_NOECN);
	assert_true(info->lft.hard_add_expires_seconds == 3600);
	assert_true(info->lft.hard_byte_limit == XFRM_INF);
	assert_true(info->curlft.add_time + 5 > (uint64_t)time(NULL));
	aead = mnl_attr_get_payload(
		sa_attribute(received(XFRM_MSG_NEWSA), sizeof(*info), XFRMA_ALG_AEAD));
	assert_string_equal(aead->alg_name, "rfc4106(gcm(aes))");
	assert_int_equal(aead->alg_key_len, KEY_BYTES * 8);
	assert_int_equal(aead->alg_icv_len, 128);
	assert_memory_equal(aead->alg_key, test_key, KEY_BYTES);
}

static void test_suites(void **state)
{
	const struct pw_crypto_suite *suite;
	uint8_t key[80] = {1, 2, 3};
	uint32_t spi = 0x2000;

	for (unsigned int i = 0; (suite = pw_crypto_suite_at(i)); i++) {
		struct nlmsghdr *nlh = sa_header(XFRM_MSG_NEWSA, LOCAL, REMOTE, ++spi);
		const struct pw_sa *hot;

		if (suite->auth) {
			put_algorithm(nlh, XFRMA_ALG_CRYPT, suite->cipher, suite->key_bytes * 8u, 0,
				      key);
			put_algorithm(nlh, XFRMA_ALG_AUTH_TRUNC, suite->auth,
				      suite->auth_key_bytes * 8u, suite->icv_bytes * 8u, key);
		} else {
			put_algorithm(nlh, XFRMA_ALG_AEAD, suite->cipher, suite->key_bytes * 8u,
				      suite->icv_bytes * 8u, key);
		}
		if (ask(&client, nlh))
			fail_msg("%s: %s", suite->name, said);
		hot = hot_of(REMOTE, spi);
		assert_ptr_equal(pw_crypto_key_suite(hot->key), suite);
		assert_int_equal(!!(hot->flags & PW_SA_RANDOM_IV), suite->method == PW_CRYPTO_CBC);
		assert_int_equal(hot->align, suite->align);
	}
	assert_true(spi > 0x2000);
}

static void test_udp_and_ipv6(void **state)
{
	struct xfrm_encap_tmpl encap = {.encap_type = UDP_ENCAP_ESPINUDP,
					.encap_sport = htons(4500),
					.encap_dport = htons(4501)};
	struct nlmsghdr *nlh = sa_message(XFRM_MSG_NEWSA, "2001:db8::1", "2001:db8::2", 0x3000);
	const struct pw_sa *hot;

	mnl_attr_put(nlh, XFRMA_ENCAP, sizeof(encap), &encap);
	assert_int_equal(ask(&client, nlh), 0);
	hot = hot_of("2001:db8::2", 0x3000);
	assert_int_equal(hot->flags & ~RIGHTS, PW_SA_IPV6 | PW_SA_UDP);
	assert_int_equal(hot->esp_at, 48);
	assert_int_equal(hot->udp_local, htons(4500));
	assert_int_equal(hot->udp_remote, htons(4501));

	/* The other direction: the remote's port is the source's. */
	assert_int_equal(add_address("p0", "2001:db8::1", 64), 0);
	nlh = sa_message(XFRM_MSG_NEWSA, "2001:db8::2", "2001:db8::1", 0x3001);
	encap.encap_sport = htons(4501);
	encap.encap_dport = htons(4500);
	mnl_attr_put(nlh, XFRMA_ENCAP, sizeof(encap), &encap);
	assert_int_equal(ask(&client, nlh), 0);
	hot = hot_of("2001:db8::1", 0x3001);
	assert_int_equal(hot->udp_local, htons(4500));
	assert_int_equal(hot->udp_remote, htons(4501));

	/* Ports can change, being in UDP can not. */
	nlh = sa_message(XFRM_MSG_UPDSA, "2001:db8::2", "2001:db8::1", 0x3001);
	assert_int_equal(ask(&client, nlh), -EINVAL);
	assert_said("cannot be changed");
	nlh = sa_message(XFRM_MSG_UPDSA, "2001:db8::2", "2001:db8::1", 0x3001);
	encap.encap_sport = htons(9999);
	mnl_attr_put(nlh, XFRMA_ENCAP, sizeof(encap), &encap);
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(hot_of("2001:db8::1", 0x3001)->udp_remote, htons(9999));
}

static void test_names(void **state)
{
	struct xfrm_mark mark = {.v = 5, .m = 0xff};
	struct nlmsghdr *nlh;

	add(LOCAL, REMOTE, 0x5000);
	refused(good(XFRM_MSG_NEWSA), -EEXIST, "an SA with SPI 0x00005000 to 192.0.2.2 exists");
	refused(sa_id_message(XFRM_MSG_GETSA, REMOTE, 0x5001), -ESRCH,
		"there is no SA with SPI 0x00005001 to 192.0.2.2");
	refused(sa_id_message(XFRM_MSG_DELSA, LOCAL, 0x5000), -ESRCH, "there is no SA");
	refused(sa_message(XFRM_MSG_UPDSA, LOCAL, REMOTE, 0x5001), -ESRCH, "there is no SA");
	/* Marks tell two of one SPI apart, but not inward. */
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x5002);
	mnl_attr_put(nlh, XFRMA_MARK, sizeof(mark), &mark);
	assert_int_equal(ask(&client, nlh), 0);
	add(LOCAL, REMOTE, 0x5002);
	refused(sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x5002), -EEXIST, "exists");
	assert_int_equal(add_address("p0", LOCAL, 24), 0);
	nlh = sa_message(XFRM_MSG_NEWSA, REMOTE, LOCAL, 0x5003);
	mnl_attr_put(nlh, XFRMA_MARK, sizeof(mark), &mark);
	assert_int_equal(ask(&client, nlh), 0);
	refused(sa_message(XFRM_MSG_NEWSA, REMOTE, LOCAL, 0x5003), -EEXIST, "with another mark");
}

/* ---- where they are found ---------------------------------------------------------------------
 */

static void test_inward(void **state)
{
	uint16_t vrf;

	add(REMOTE, LOCAL, 0xf00);
	assert_null(found_inward(0xf00, 0, LOCAL));
	assert_int_equal(add_vrf("red", 10), 0);
	assert_int_equal(set_master("p1", "red"), 0);
	vrf = pw_link_vrf(link_named("p1"));
	assert_int_not_equal(vrf, 0);
	assert_int_equal(add_address("p1", LOCAL, 24), 0);
	assert_non_null(found_inward(0xf00, vrf, LOCAL));
	assert_null(found_inward(0xf00, 0, LOCAL));
	add(REMOTE, LOCAL, 0xf01);
	assert_int_equal(found_inward(0xf01, vrf, LOCAL)->vrf, vrf);
	/* The default VRF comes first. */
	assert_int_equal(add_address("p0", LOCAL, 24), 0);
	assert_null(found_inward(0xf00, vrf, LOCAL));
	assert_int_equal(found_inward(0xf00, 0, LOCAL)->vrf, 0);
	assert_int_equal(change_address(RTM_DELADDR, 0, "p0", LOCAL, 24), 0);
	assert_non_null(found_inward(0xf00, vrf, LOCAL));
	assert_int_equal(change_address(RTM_DELADDR, 0, "p1", LOCAL, 24), 0);
	assert_null(found_inward(0xf00, vrf, LOCAL));
	assert_null(found_inward(0xf00, 0, LOCAL));
	assert_int_equal(add_address("p0", LOCAL, 24), 0);
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_DELSA, LOCAL, 0xf00)), 0);
	assert_null(found_inward(0xf00, 0, LOCAL));
	assert_non_null(found_inward(0xf01, 0, LOCAL));
}

static void test_rights(void **state)
{
	struct nlmsghdr *nlh = sa_message(XFRM_MSG_NEWSA, REMOTE, LOCAL, 0xf10);

	sa_info(nlh)->sel.proto = IPPROTO_GRE;
	assert_int_equal(ask(&client, nlh), 0);
	/* Policy allows both; the SA's selector only one. */
	pw_sa_set_rights(sa_of(LOCAL, 0xf10)->entry.id, PW_SA_GRE | PW_SA_MPLS, 77);
	assert_true(hot_of(LOCAL, 0xf10)->flags & PW_SA_GRE);
	assert_false(hot_of(LOCAL, 0xf10)->flags & PW_SA_MPLS);
	assert_int_equal(hot_of(LOCAL, 0xf10)->endpoint, 77);
	pw_sa_set_rights(sa_of(LOCAL, 0xf10)->entry.id, 0, 0);
	assert_false(hot_of(LOCAL, 0xf10)->flags & PW_SA_GRE);
	pw_sa_set_rights(PW_SAS + 5, PW_SA_GRE, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_add_and_get), CASE(test_suites), CASE(test_udp_and_ipv6),
		CASE(test_names),       CASE(test_inward), CASE(test_rights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
