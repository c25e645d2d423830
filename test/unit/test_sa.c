/* SPDX-License-Identifier: BSD-3-Clause */
/* Security associations by XFRM messages: what is taken, refused, told, expired and wiped. */
#include "sa_fixture.h"

#include "memory_scan.h"

#define LOCAL  "192.0.2.1"
#define REMOTE "192.0.2.2"
#define RIGHTS (PW_SA_GRE | PW_SA_MPLS | PW_SA_IP4 | PW_SA_IP6) /* of policy: not tested here */

static struct client client;

static int setup(void **state)
{
	if (sa_fixture_start(state))
		return -1;
	client = client_new(NETLINK_XFRM);
	return link_up("p0", true) || link_up("p1", true);
}

static int teardown(void **state)
{
	close(client.fd);
	return sa_fixture_stop(state);
}

static const struct pw_sa *hot_of(const char *destination, uint32_t spi)
{
	return pw_sa_get(sa_of(destination, spi)->entry.id);
}

static const struct pw_sa *found_inward(uint32_t spi, uint16_t vrf, const char *destination)
{
	struct pw_address to = address_of(destination);

	return pw_sa_find(htonl(spi), vrf, to.family == AF_INET6, to.bytes);
}

static void put_wide(struct nlmsghdr *nlh, uint32_t words, uint32_t window, uint64_t sent,
		     uint64_t seen)
{
	uint32_t data[6 + 128] = {words,
				  (uint32_t)sent,
				  (uint32_t)seen,
				  (uint32_t)(sent >> 32),
				  (uint32_t)(seen >> 32),
				  window};

	mnl_attr_put(nlh, XFRMA_REPLAY_ESN_VAL, 24 + 4 * (words > 128 ? 128 : words), data);
}

static void add(const char *source, const char *destination, uint32_t spi)
{
	if (ask(&client, sa_message(XFRM_MSG_NEWSA, source, destination, spi)))
		fail_msg("refused: %s", said);
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

/* ---- what is refused ------------------------------------------------------------------------- */

static struct nlmsghdr *good(uint16_t type)
{
	return sa_message(type, LOCAL, REMOTE, 0x5000);
}

static struct nlmsghdr *gcm(unsigned int bits, unsigned int icv)
{
	struct nlmsghdr *nlh = sa_header(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x5000);
	uint8_t key[128] = {0};

	put_algorithm(nlh, XFRMA_ALG_AEAD, "rfc4106(gcm(aes))", bits, icv, key);
	return nlh;
}

static struct nlmsghdr *cipher_with(const char *cipher, unsigned int bits, const char *auth,
				    uint16_t type, unsigned int auth_bits, unsigned int icv)
{
	struct nlmsghdr *nlh = sa_header(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x5000);
	uint8_t key[128] = {0};

	put_algorithm(nlh, XFRMA_ALG_CRYPT, cipher, bits, 0, key);
	if (auth)
		put_algorithm(nlh, type, auth, auth_bits, icv, key);
	return nlh;
}

static struct nlmsghdr *with_u32(uint16_t type, uint32_t value)
{
	struct nlmsghdr *nlh = good(XFRM_MSG_NEWSA);

	mnl_attr_put_u32(nlh, type, value);
	return nlh;
}

static struct nlmsghdr *with_window(uint32_t words, uint32_t window, bool esn, uint8_t byte)
{
	struct nlmsghdr *nlh = good(XFRM_MSG_NEWSA);

	put_wide(nlh, words, window, 0, 0);
	sa_info(nlh)->flags = esn ? XFRM_STATE_ESN : 0;
	sa_info(nlh)->replay_window = byte;
	return nlh;
}

static struct nlmsghdr *with_encap(uint16_t type, uint16_t port)
{
	struct nlmsghdr *nlh = good(XFRM_MSG_NEWSA);
	struct xfrm_encap_tmpl encap = {.encap_type = type, .encap_sport = port};

	mnl_attr_put(nlh, XFRMA_ENCAP, sizeof(encap), &encap);
	return nlh;
}

static void refused(const struct nlmsghdr *nlh, int error, const char *words)
{
	uint32_t before = pw_sa_count;
	int ret = ask(&client, nlh);

	if (ret != error)
		fail_msg("%d (%s) instead of %d (%s)", ret, said, error, words);
	assert_said(words);
	assert_int_equal(pw_sa_count, before);
	/* Keys do not come back with the error. */
	assert_true(received(NLMSG_ERROR)->nlmsg_flags & NLM_F_CAPPED);
}

#define WITH(set)                                                                                  \
	({                                                                                         \
		struct nlmsghdr *nlh_ = good(XFRM_MSG_NEWSA);                                      \
		struct xfrm_usersa_info *info = sa_info(nlh_);                                     \
		(void)info;                                                                        \
		set;                                                                               \
		nlh_;                                                                              \
	})

static void test_refused_algorithms(void **state)
{
	struct nlmsghdr *nlh;

	refused(gcm(160 + 8, 128), -EINVAL, "takes no key of 168 bits");
	refused(gcm(160, 96), -EINVAL, "ICV of 128 bits, not of 96");
	refused(cipher_with("cbc(des3_ede)", 192, "hmac(sha1)", XFRMA_ALG_AUTH_TRUNC, 160, 96),
		-ENOSYS, "cbc(des3_ede) is refused");
	refused(cipher_with("cbc(aes)", 128, "hmac(md5)", XFRMA_ALG_AUTH_TRUNC, 128, 96), -ENOSYS,
		"MD5 is broken");
	refused(cipher_with("cbc(camel)", 128, "hmac(sha1)", XFRMA_ALG_AUTH_TRUNC, 160, 96),
		-ENOSYS, "unknown encryption algorithm cbc(camel)");
	refused(cipher_with("cbc(aes)", 128, NULL, 0, 0, 0), -EINVAL,
		"needs an integrity algorithm");
	/* Linux's default for this one is 96 bits, which RFC 4868 does not have. */
	refused(cipher_with("cbc(aes)", 128, "hmac(sha256)", XFRMA_ALG_AUTH, 256, 0), -EINVAL,
		"ICV of 128 bits, not of 96");
	refused(cipher_with("cbc(aes)", 128, "hmac(sha256)", XFRMA_ALG_AUTH_TRUNC, 128, 128),
		-EINVAL, "hmac(sha256) takes a key of 256 bits, not of 128");
	refused(sa_header(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x5000), -EINVAL,
		"needs an encryption algorithm");
	nlh = good(XFRM_MSG_NEWSA);
	put_algorithm(nlh, XFRMA_ALG_CRYPT, "cbc(aes)", 128, 0, test_key);
	refused(nlh, -EINVAL, "an AEAD comes without");
	nlh = good(XFRM_MSG_NEWSA);
	((struct nlattr *)sa_attribute(nlh, sizeof(struct xfrm_usersa_info), XFRMA_ALG_AEAD))
		->nla_len -= 4;
	nlh->nlmsg_len -= 4;
	refused(nlh, -EINVAL, "a key of 288 bits is not in the message");
	nlh = good(XFRM_MSG_NEWSA);
	memset((char *)sa_attribute(nlh, sizeof(struct xfrm_usersa_info), XFRMA_ALG_AEAD) + 4, 'x',
	       64);
	refused(nlh, -EINVAL, "name of an algorithm does not end");
}

static void test_refused_headers(void **state)
{
	refused(WITH(info->id.spi = htonl(255)), -EINVAL, "SPI 255 is reserved");
	refused(WITH(info->id.proto = IPPROTO_AH), -EPROTONOSUPPORT, "AH is not supported");
	refused(WITH(info->id.proto = IPPROTO_COMP), -EPROTONOSUPPORT, "IPComp");
	refused(WITH(info->id.proto = 6), -EPROTONOSUPPORT, "protocol 6");
	refused(WITH(info->family = AF_MPLS), -EAFNOSUPPORT, "address family 28");
	refused(WITH(info->mode = XFRM_MODE_BEET), -EOPNOTSUPP, "BEET mode");
	refused(WITH(info->mode = 9), -EINVAL, "there is no mode 9");
	refused(WITH(info->sel.family = AF_INET6), -EINVAL, "selector has the SA's");
	refused(WITH(info->sel.family = AF_MPLS), -EINVAL, "a selector is for");
	refused(WITH((info->sel.family = AF_INET, info->sel.prefixlen_d = 33)), -EINVAL,
		"longer than 32 bits");
	refused(WITH(info->sel.prefixlen_s = 129), -EINVAL, "longer than 128 bits");
	refused(WITH(info->flags = XFRM_STATE_WILDRECV), -EOPNOTSUPP, "wildrecv");
	refused(WITH(info->flags = XFRM_STATE_ICMP), -EOPNOTSUPP, "flag icmp");
	refused(WITH(info->flags = XFRM_STATE_ALIGN4), -EOPNOTSUPP, "align4");
	refused(WITH(info->flags = XFRM_STATE_ESN), -EINVAL, "needs XFRMA_REPLAY_ESN_VAL");
	refused(WITH(memset(&info->id.daddr, 0, 16)), -EINVAL, "destination is a host's");
	refused(WITH(info->id.daddr.a4 = htonl(0xe0000001)), -EINVAL, "destination is a host's");
	refused(WITH(nlh_->nlmsg_len = 60), -EINVAL, "too short");
}

static void test_refused_attributes(void **state)
{
	struct xfrm_user_offload offload = {.ifindex = (int)link_named("p1")->index};
	struct nlmsghdr *nlh;

	refused(with_window(4, 129, true, 0), -EINVAL, "window of 129 does not fit");
	refused(with_window(129, 32, true, 0), -EINVAL, "129 words is longer than 128");
	refused(with_window(1, 0, true, 0), -EINVAL, "window of at least 1");
	refused(with_window(1, 32, false, 5), -EINVAL, "replay_window must be 0");
	refused(with_u32(XFRMA_TFCPAD, 70000), -EINVAL, "padding to 70000 bytes");
	refused(with_u32(XFRMA_SA_EXTRA_FLAGS, XFRM_SA_XFLAG_OSEQ_MAY_WRAP), -EOPNOTSUPP,
		"oseq-may-wrap");
	refused(with_u32(XFRMA_SA_EXTRA_FLAGS, 8), -EINVAL, "extra flags 0x8");
	refused(with_encap(UDP_ENCAP_ESPINUDP_NON_IKE, 5), -EOPNOTSUPP, "encapsulation type 1");
	refused(with_encap(UDP_ENCAP_ESPINUDP, 5), -EINVAL, "both ports");
	refused(with_u32(XFRMA_POLICY, 5), -EOPNOTSUPP, "XFRM SA attribute 7");
	refused(with_u32(XFRMA_SEC_CTX, 5), -EOPNOTSUPP, "security contexts");
	nlh = good(XFRM_MSG_NEWSA);
	mnl_attr_put(nlh, XFRMA_OFFLOAD_DEV, sizeof(offload), &offload);
	refused(nlh, -EOPNOTSUPP, "p1 cannot take an SA: it has no inline crypto");
	nlh = good(XFRM_MSG_NEWSA);
	mnl_attr_put(nlh, XFRMA_COADDR, 16, test_key);
	refused(nlh, -EOPNOTSUPP, "care-of");
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

/* ---- larvae ---------------------------------------------------------------------------------- */

static uint32_t allocate(uint32_t min, uint32_t max, uint32_t seq)
{
	struct nlmsghdr *nlh = message(XFRM_MSG_ALLOCSPI, 0);
	struct xfrm_userspi_info *wanted = mnl_nlmsg_put_extra_header(nlh, sizeof(*wanted));
	static char copy[sizeof(message_buffer)];

	memcpy(copy, sa_header(XFRM_MSG_NEWSA, REMOTE, LOCAL, 0) + 1, sizeof(wanted->info));
	nlh = message(XFRM_MSG_ALLOCSPI, 0);
	wanted = mnl_nlmsg_put_extra_header(nlh, sizeof(*wanted));
	memcpy(&wanted->info, copy, sizeof(wanted->info));
	wanted->info.seq = seq;
	wanted->min = min;
	wanted->max = max;
	if (ask(&client, nlh))
		return 0;
	assert_non_null(received(XFRM_MSG_NEWSA));
	return ntohl(sa_info((struct nlmsghdr *)received(XFRM_MSG_NEWSA))->id.spi);
}

static void test_larva(void **state)
{
	uint32_t seen = 0, spi;
	struct nlmsghdr *nlh;

	/* Each of a range of four, once; then no more. */
	for (int i = 0; i < 4; i++) {
		spi = allocate(0x700, 0x703, 0);
		assert_in_range(spi, 0x700, 0x703);
		assert_false(seen & 1u << (spi & 3));
		seen |= 1u << (spi & 3);
		assert_true(sa_of(LOCAL, spi)->entry.larval);
	}
	assert_int_equal(allocate(0x700, 0x703, 0), 0);
	assert_said("no SPI from 0x700 to 0x703 is free");
	assert_int_equal(allocate(0x20, 0x703, 0), 0);
	assert_said("SPI 32 is reserved");
	assert_int_equal(allocate(0x703, 0x700, 0), 0);
	assert_said("are none");
	/* With the same seq, the same answer. */
	spi = allocate(0x1000, 0x10000000, 99);
	assert_int_equal(allocate(0x1000, 0x10000000, 99), spi);
	assert_int_equal(pw_sa_count, 5);

	/* It holds the SPI against others, and is fulfilled by UPDSA. */
	refused(sa_message(XFRM_MSG_NEWSA, REMOTE, LOCAL, 0x701), -EEXIST, "exists");
	nlh = sa_message(XFRM_MSG_UPDSA, REMOTE, LOCAL, 0x701);
	assert_int_equal(ask(&client, nlh), 0);
	assert_false(sa_of(LOCAL, 0x701)->entry.larval);
	assert_int_equal(pw_sa_count, 5);

	/* The others go after 30 seconds. */
	pw_sa_tick(pw_sa_now() + 29000);
	assert_int_equal(pw_sa_count, 5);
	pw_sa_tick(pw_sa_now() + 30001);
	assert_int_equal(pw_sa_count, 1);
	assert_non_null(sa_of(LOCAL, 0x701));
}

static void test_acquire_larva(void **state)
{
	struct pw_sa_wanted wanted = {.source = address_of(LOCAL),
				      .destination = address_of(REMOTE),
				      .reqid = 7,
				      .mode = XFRM_MODE_TRANSPORT};
	uint32_t first = pw_sa_acquire_larva(&wanted, 5);
	struct nlmsghdr *nlh;

	assert_int_equal(pw_sa_count, 1);
	assert_non_null(pw_sa_larva_by_seq(first));
	assert_null(pw_sa_choose(&wanted));
	assert_false(pw_sa_acquire(0) && pw_sa_acquire(0));
	/* An SA for the same, even without its seq, takes its place. */
	add(LOCAL, REMOTE, 0x800);
	assert_int_equal(pw_sa_count, 1);
	assert_null(pw_sa_larva_by_seq(first));
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x800));
	/* One for another reqid does not, unless it has the seq. */
	first = pw_sa_acquire_larva(&wanted, 5);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x801);
	sa_info(nlh)->reqid = 9;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_count, 3);
	nlh = sa_message(XFRM_MSG_UPDSA, LOCAL, REMOTE, 0x802);
	sa_info(nlh)->reqid = 9;
	sa_info(nlh)->seq = first;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_count, 3);
	assert_null(pw_sa_larva_by_seq(first));
}

static void test_choose(void **state)
{
	struct pw_sa_wanted wanted = {.source = address_of(LOCAL),
				      .destination = address_of(REMOTE),
				      .mode = XFRM_MODE_TRANSPORT};
	struct nlmsghdr *nlh;

	assert_null(pw_sa_choose(&wanted));
	add(LOCAL, REMOTE, 0x900);
	add(LOCAL, REMOTE, 0x901);
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x901));
	pw_sa_expire_soft(sa_of(REMOTE, 0x901));
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x900));
	wanted.spi = htonl(0x901);
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x901));
	wanted.spi = 0;
	wanted.reqid = 8;
	assert_null(pw_sa_choose(&wanted));
	wanted.reqid = 7;
	wanted.if_id = 1;
	assert_null(pw_sa_choose(&wanted));
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x902);
	mnl_attr_put_u32(nlh, XFRMA_IF_ID, 1);
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x902));
	wanted.source.family = 0;
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x902));
	/* An SA whose selector has another protocol, or other addresses, is not used. */
	wanted.if_id = 0;
	wanted.protocol = IPPROTO_GRE;
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x900));
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x903);
	sa_info(nlh)->sel.proto = IPPROTO_TCP;
	assert_int_equal(ask(&client, nlh), 0);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x904);
	sa_info(nlh)->sel.saddr.a4 = htonl(0x0a000000);
	sa_info(nlh)->sel.prefixlen_s = 9;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x900));
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x905);
	sa_info(nlh)->sel.saddr.a4 = htonl(0xc0000200);
	sa_info(nlh)->sel.prefixlen_s = 23;
	sa_info(nlh)->sel.proto = IPPROTO_GRE;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x905));
	wanted.protocol = IPPROTO_MPLS;
	assert_int_equal(pw_sa_choose(&wanted)->spi, htonl(0x900));
}

/* ---- lifetimes ------------------------------------------------------------------------------- */

static void expect_expire(const struct client *listener, unsigned int count, bool hard,
			  uint32_t spi)
{
	const struct xfrm_user_expire *expire;

	receive(listener);
	assert_int_equal(received_count(XFRM_MSG_EXPIRE), count);
	if (!count)
		return;
	expire = mnl_nlmsg_get_payload(received(XFRM_MSG_EXPIRE));
	assert_int_equal(received(XFRM_MSG_EXPIRE)->nlmsg_len, 16 + sizeof(*expire));
	assert_int_equal(expire->hard, hard);
	assert_int_equal(expire->state.id.spi, htonl(spi));
}

static void test_time_limits(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	uint64_t now = pw_sa_now();
	struct nlmsghdr *nlh;

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xa00);
	sa_info(nlh)->lft.soft_add_expires_seconds = 50;
	sa_info(nlh)->lft.hard_add_expires_seconds = 60;
	assert_int_equal(ask(&client, nlh), 0);
	pw_sa_tick(now + 49000);
	expect_expire(&listener, 0, false, 0);
	pw_sa_tick(now + 51000);
	expect_expire(&listener, 1, false, 0xa00);
	assert_true(sa_of(REMOTE, 0xa00)->entry.dying);
	pw_sa_tick(now + 52000); /* once */
	expect_expire(&listener, 0, false, 0);
	/* An update gives it a new life. */
	nlh = sa_message(XFRM_MSG_UPDSA, LOCAL, REMOTE, 0xa00);
	sa_info(nlh)->lft.hard_add_expires_seconds = 70;
	assert_int_equal(ask(&client, nlh), 0);
	assert_false(sa_of(REMOTE, 0xa00)->entry.dying);
	pw_sa_tick(now + 65000);
	expect_expire(&listener, 0, false, 0);
	pw_sa_tick(now + 71000);
	expect_expire(&listener, 1, true, 0xa00);
	assert_null(sa_of(REMOTE, 0xa00));
	client_close(&listener);
}

static void test_real_time(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	struct nlmsghdr *nlh;
	uint64_t end = pw_sa_now() + 5000;

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xa01);
	sa_info(nlh)->lft.hard_add_expires_seconds = 1;
	assert_int_equal(ask(&client, nlh), 0);
	while (sa_of(REMOTE, 0xa01) && pw_sa_now() < end)
		pw_loop_step(100);
	expect_expire(&listener, 1, true, 0xa01);
	client_close(&listener);
}

static struct pw_sa_counters *counters_of(const char *destination, uint32_t spi)
{
	return &pw_workers[0]->sa[sa_of(destination, spi)->entry.id];
}

static void test_count_limits(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	struct nlmsghdr *nlh;
	const struct xfrm_usersa_info *info;
	struct pw_sa_counters *counters;

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xb00);
	sa_info(nlh)->lft.soft_byte_limit = 1000;
	sa_info(nlh)->lft.hard_packet_limit = 20;
	assert_int_equal(ask(&client, nlh), 0);
	counters = counters_of(REMOTE, 0xb00);
	counters->packets += 10;
	counters->bytes += 999;
	counters->used = rte_rdtsc();
	counters->replays += 3;
	counters->icv_failures += 2;
	pw_sa_poll(pw_sa_now());
	expect_expire(&listener, 0, false, 0);
	counters->bytes++;
	pw_sa_poll(pw_sa_now());
	expect_expire(&listener, 1, false, 0xb00);
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_GETSA, REMOTE, 0xb00)), 0);
	info = mnl_nlmsg_get_payload(received(XFRM_MSG_NEWSA));
	assert_true(info->curlft.bytes == 1000 && info->curlft.packets == 10);
	assert_true(info->curlft.use_time + 5 > (uint64_t)time(NULL));
	assert_int_equal(info->stats.replay, 3);
	assert_int_equal(info->stats.integrity_failed, 2);
	assert_non_null(sa_attribute(received(XFRM_MSG_NEWSA), sizeof(*info), XFRMA_LASTUSED));
	counters->packets += 10;
	pw_sa_poll(pw_sa_now());
	expect_expire(&listener, 1, true, 0xb00);
	assert_null(sa_of(REMOTE, 0xb00));

	/* The next one with this id begins at zero. */
	for (uint32_t spi = 0xb01; spi < 0xb10; spi++) {
		add(LOCAL, REMOTE, spi);
		assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_GETSA, REMOTE, spi)), 0);
		info = mnl_nlmsg_get_payload(received(XFRM_MSG_NEWSA));
		assert_true(info->curlft.bytes == 0 && info->curlft.packets == 0);
		assert_true(info->curlft.use_time == 0);
		assert_int_equal(info->stats.replay, 0);
	}
	client_close(&listener);
}

static void test_use_limits(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	struct nlmsghdr *nlh;
	uint64_t now = pw_sa_now();

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xb80);
	sa_info(nlh)->lft.hard_use_expires_seconds = 10;
	assert_int_equal(ask(&client, nlh), 0);
	pw_sa_tick(now + 100000); /* unused, it does not expire */
	assert_non_null(sa_of(REMOTE, 0xb80));
	counters_of(REMOTE, 0xb80)->packets++;
	counters_of(REMOTE, 0xb80)->used = rte_rdtsc();
	pw_sa_poll(now);
	pw_sa_tick(pw_sa_now() + 9000);
	expect_expire(&listener, 0, false, 0);
	pw_sa_tick(pw_sa_now() + 10001);
	expect_expire(&listener, 1, true, 0xb80);
	client_close(&listener);
}

static void test_expire_by_client(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	struct xfrm_user_expire expire = {0};
	struct nlmsghdr *nlh;

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	add(LOCAL, REMOTE, 0xc00);
	memcpy(&expire.state, sa_header(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xc00) + 1,
	       sizeof(expire.state));
	for (int hard = 0; hard < 2; hard++) {
		nlh = message(XFRM_MSG_EXPIRE, 0);
		expire.hard = (uint8_t)hard;
		memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(expire)), &expire, sizeof(expire));
		assert_int_equal(ask(&client, nlh), 0);
		expect_expire(&listener, 1, hard, 0xc00);
		assert_int_equal(pw_sa_count, !hard);
	}
	client_close(&listener);
}

static void test_notices(void **state)
{
	struct client listener = client_new(NETLINK_XFRM);
	struct xfrm_encap_tmpl encap = {.encap_type = UDP_ENCAP_ESPINUDP,
					.encap_sport = htons(4500),
					.encap_dport = htons(4500)};
	struct nlmsghdr *nlh;
	const struct xfrm_user_mapping *mapping;
	struct pw_sa_state *hot;
	uint32_t id;

	client_subscribe(&listener, XFRMNLGRP_EXPIRE);
	client_subscribe(&listener, XFRMNLGRP_MAPPING);
	nlh = sa_message(XFRM_MSG_NEWSA, REMOTE, LOCAL, 0xd00);
	mnl_attr_put(nlh, XFRMA_ENCAP, sizeof(encap), &encap);
	assert_int_equal(ask(&client, nlh), 0);
	id = sa_of(LOCAL, 0xd00)->entry.id;
	hot = sa_of(LOCAL, 0xd00)->state;
	memcpy(hot->mapped_address, (uint8_t[]){203, 0, 113, 9}, 4);
	hot->mapped_port = htons(6000);
	hot->mapping = 2;
	assert_true(pw_sa_notice_put(PW_SA_NOTICE_MAPPING, id));
	assert_true(pw_sa_notice_put(PW_SA_NOTICE_MAPPING, id));
	assert_true(pw_sa_notice_put(PW_SA_NOTICE_MAPPING, PW_SAS - 1)); /* gone meanwhile */
	pw_sa_notices();
	receive(&listener);
	assert_int_equal(received_count(XFRM_MSG_MAPPING), 1);
	mapping = mnl_nlmsg_get_payload(received(XFRM_MSG_MAPPING));
	assert_int_equal(mapping->id.spi, htonl(0xd00));
	assert_int_equal(mapping->new_saddr.a4, htonl(0xcb007109));
	assert_int_equal(mapping->new_sport, htons(6000));
	assert_int_equal(mapping->old_sport, htons(4500));
	assert_int_equal(hot->mapping, 2);
	pw_sa_tick(pw_sa_now() + 1001);
	assert_int_equal(hot->mapping, 0);

	hot->exhausted = 1;
	assert_true(pw_sa_notice_put(PW_SA_NOTICE_EXHAUSTED, id));
	pw_sa_notices();
	expect_expire(&listener, 1, true, 0xd00);
	assert_int_equal(pw_sa_count, 0);
	client_close(&listener);
}

/* ---- sequence numbers -------------------------------------------------------------------------
 */

static struct nlmsghdr *state_message(uint16_t type, uint32_t spi)
{
	struct nlmsghdr *nlh = message(type, NLM_F_REPLACE);
	struct xfrm_aevent_id *id = mnl_nlmsg_put_extra_header(nlh, sizeof(*id));

	id->sa_id.daddr.a4 = htonl(0xc0000202);
	id->sa_id.spi = htonl(spi);
	id->sa_id.family = AF_INET;
	id->sa_id.proto = IPPROTO_ESP;
	return nlh;
}

static void test_replay_state(void **state)
{
	struct nlmsghdr *nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xe00);
	const struct xfrm_replay_state_esn *wide;
	struct pw_seqwindow *window;
	const struct nlattr *attribute;
	uint64_t top = (UINT64_C(3) << 32) + 5;
	uint32_t given[4];

	/* 100 numbers' window, none a power of two; the highest, one 7 before and one 99 before. */
	sa_info(nlh)->flags = XFRM_STATE_ESN;
	put_wide(nlh, 4, 100, 77, top);
	attribute = sa_attribute(nlh, sizeof(struct xfrm_usersa_info), XFRMA_REPLAY_ESN_VAL);
	for (int i = 0; i < 3; i++) {
		uint32_t bit = ((uint32_t)(top - 1) % 100 + 100 - (uint32_t[]){0, 7, 99}[i]) % 100;

		((uint32_t *)mnl_attr_get_payload(attribute))[6 + bit / 32] |= 1u << (bit % 32);
	}
	memcpy(given, (uint32_t *)mnl_attr_get_payload(attribute) + 6, sizeof(given));
	assert_int_equal(ask(&client, nlh), 0);
	window = &sa_of(REMOTE, 0xe00)->state->window;
	assert_true(window->top == top);
	for (uint32_t back = 0; back < 110; back++) {
		bool seen = back == 0 || back == 7 || back >= 99;

		assert_int_equal(pw_seqwindow_check(window, top - back), !seen);
	}
	assert_true(sa_of(REMOTE, 0xe00)->state->sequence == 77);

	/* It is told as it was given. */
	assert_int_equal(ask(&client, state_message(XFRM_MSG_GETAE, 0xe00)), 0);
	assert_non_null(received(XFRM_MSG_NEWAE));
	attribute = sa_attribute(received(XFRM_MSG_NEWAE), sizeof(struct xfrm_aevent_id),
				 XFRMA_REPLAY_ESN_VAL);
	assert_non_null(attribute);
	wide = mnl_attr_get_payload(attribute);
	assert_int_equal(wide->bmp_len, 4);
	assert_int_equal(wide->replay_window, 100);
	assert_int_equal(wide->seq, 5);
	assert_int_equal(wide->seq_hi, 3);
	assert_int_equal(wide->oseq, 77);
	assert_memory_equal(wide->bmp, given, sizeof(given));
}

static void test_replay_forward(void **state)
{
	struct nlmsghdr *nlh;
	struct xfrm_replay_state narrow = {.oseq = 10, .seq = 20, .bitmap = 0x5};
	struct client listener = client_new(NETLINK_XFRM);
	struct xfrm_lifetime_cur current = {.bytes = 5000, .packets = 50, .add_time = 1000};
	struct pw_sa_detail *sa;

	client_subscribe(&listener, XFRMNLGRP_AEVENTS);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xe01);
	sa_info(nlh)->replay_window = 64;
	mnl_attr_put(nlh, XFRMA_REPLAY_VAL, sizeof(narrow), &narrow);
	assert_int_equal(ask(&client, nlh), 0);
	sa = sa_of(REMOTE, 0xe01);
	assert_false(pw_seqwindow_check(&sa->state->window, 20));
	assert_true(pw_seqwindow_check(&sa->state->window, 19));
	assert_false(pw_seqwindow_check(&sa->state->window, 18));

	narrow = (struct xfrm_replay_state){.oseq = 9, .seq = 20};
	nlh = state_message(XFRM_MSG_NEWAE, 0xe01);
	mnl_attr_put(nlh, XFRMA_REPLAY_VAL, sizeof(narrow), &narrow);
	refused(nlh, -EINVAL, "numbers up to 10 were sent");
	narrow = (struct xfrm_replay_state){.oseq = 10, .seq = 19};
	nlh = state_message(XFRM_MSG_NEWAE, 0xe01);
	mnl_attr_put(nlh, XFRMA_REPLAY_VAL, sizeof(narrow), &narrow);
	refused(nlh, -EINVAL, "the window does not go back");
	narrow = (struct xfrm_replay_state){.oseq = 1000, .seq = 2000, .bitmap = 1};
	nlh = state_message(XFRM_MSG_NEWAE, 0xe01);
	nlh->nlmsg_flags &= ~NLM_F_REPLACE;
	mnl_attr_put(nlh, XFRMA_REPLAY_VAL, sizeof(narrow), &narrow);
	refused(nlh, -EINVAL, "needs NLM_F_REPLACE");
	refused(state_message(XFRM_MSG_NEWAE, 0xe01), -EINVAL, "without anything");
	nlh = state_message(XFRM_MSG_NEWAE, 0xe01);
	mnl_attr_put(nlh, XFRMA_REPLAY_VAL, sizeof(narrow), &narrow);
	mnl_attr_put(nlh, XFRMA_LTIME_VAL, sizeof(current), &current);
	assert_int_equal(ask(&client, nlh), 0);
	assert_true(sa->state->sequence == 1000 && sa->state->window.top == 2000);
	assert_true(pw_seqwindow_check(&sa->state->window, 1999));
	receive(&listener);
	assert_non_null(received(XFRM_MSG_NEWAE));
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_GETSA, REMOTE, 0xe01)), 0);
	assert_true(sa_info((struct nlmsghdr *)received(XFRM_MSG_NEWSA))->curlft.packets == 50);
	client_close(&listener);
}

static void test_thresholds(void **state)
{
	struct nlmsghdr *nlh;
	struct client listener = client_new(NETLINK_XFRM);
	uint64_t now;

	client_subscribe(&listener, XFRMNLGRP_AEVENTS);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0xe02);
	mnl_attr_put_u32(nlh, XFRMA_REPLAY_THRESH, 10);
	mnl_attr_put_u32(nlh, XFRMA_ETIMER_THRESH, 50);
	assert_int_equal(ask(&client, nlh), 0);
	now = pw_sa_now();
	counters_of(REMOTE, 0xe02)->packets = 9;
	pw_sa_poll(now);
	receive(&listener);
	assert_null(received(XFRM_MSG_NEWAE));
	pw_sa_poll(now + 5100);
	receive(&listener);
	assert_non_null(received(XFRM_MSG_NEWAE));
	counters_of(REMOTE, 0xe02)->packets = 19;
	pw_sa_poll(now + 5200);
	receive(&listener);
	assert_non_null(received(XFRM_MSG_NEWAE));
	client_close(&listener);
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

/* ---- many, events, dumps --------------------------------------------------------------------- */

static unsigned int dump(const struct client *from, const struct nlmsghdr *nlh)
{
	unsigned int count = 0;

	assert_int_equal(send(from->fd, nlh, nlh->nlmsg_len, 0), nlh->nlmsg_len);
	for (int i = 0; i < 10000; i++) {
		ssize_t size;

		settle();
		size = recv(from->fd, answers, sizeof(answers), MSG_DONTWAIT);
		answers_size = size > 0 ? (size_t)size : 0;
		count += received_count(XFRM_MSG_NEWSA);
		if (received(NLMSG_DONE) || received(NLMSG_ERROR))
			return count;
	}
	fail_msg("the dump does not end");
	return 0;
}

static struct nlmsghdr *dump_message(void)
{
	return message(XFRM_MSG_GETSA, NLM_F_DUMP);
}

static void test_dump_and_flush(void **state)
{
	struct client listener = client_new(NETLINK_XFRM), route = client_new(NETLINK_ROUTE);
	struct xfrm_address_filter filter = {.family = AF_INET, .dplen = 32};
	struct nlmsghdr *nlh;

	for (uint32_t spi = 0x10000; spi < 0x10000 + 300; spi++)
		add(LOCAL, spi & 1 ? REMOTE : "192.0.2.3", spi);
	assert_int_equal(dump(&client, dump_message()), 300);
	nlh = dump_message();
	filter.daddr.a4 = htonl(0xc0000202);
	mnl_attr_put_u8(nlh, XFRMA_PROTO, IPPROTO_ESP);
	mnl_attr_put(nlh, XFRMA_ADDRESS_FILTER, sizeof(filter), &filter);
	assert_int_equal(dump(&client, nlh), 150);
	nlh = dump_message();
	mnl_attr_put_u8(nlh, XFRMA_PROTO, IPPROTO_AH);
	assert_int_equal(dump(&client, nlh), 0);

	client_subscribe(&listener, XFRMNLGRP_SA);
	client_subscribe(&route, XFRMNLGRP_SA); /* RTNLGRP_NEIGH, of the other protocol */
	nlh = message(XFRM_MSG_FLUSHSA, 0);
	*(uint8_t *)mnl_nlmsg_put_extra_header(nlh, 1) = IPPROTO_AH;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_count, 300);
	nlh = message(XFRM_MSG_FLUSHSA, 0);
	*(uint8_t *)mnl_nlmsg_put_extra_header(nlh, 1) = 255;
	assert_int_equal(ask(&client, nlh), 0);
	assert_int_equal(pw_sa_count, 0);
	receive(&listener);
	assert_int_equal(received_count(XFRM_MSG_FLUSHSA), 1);
	receive(&route);
	assert_int_equal(answers_size, 0);
	client_close(&listener);
	client_close(&route);
}

/** True when the key is among what the client received last. */
static bool key_received(void)
{
	return memmem(answers, answers_size, test_key, 16) != NULL;
}

static void test_who_sees_keys(void **state)
{
	struct client listener = client_new(NETLINK_XFRM), guest;

	client_subscribe(&listener, XFRMNLGRP_SA);
	assert_return_code(seteuid(65534), 0);
	guest = client_new(NETLINK_XFRM);
	assert_return_code(seteuid(0), 0);
	add(LOCAL, REMOTE, 0x20000);
	receive(&listener);
	assert_non_null(received(XFRM_MSG_NEWSA));
	assert_false(key_received());
	assert_int_equal(dump(&client, dump_message()), 1);
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_GETSA, REMOTE, 0x20000)), 0);
	assert_true(key_received());
	assert_int_equal(ask(&guest, sa_id_message(XFRM_MSG_GETSA, REMOTE, 0x20000)), 0);
	assert_non_null(received(XFRM_MSG_NEWSA));
	assert_false(key_received());
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_DELSA, REMOTE, 0x20000)), 0);
	receive(&listener);
	assert_non_null(received(XFRM_MSG_DELSA));
	assert_false(key_received());
	client_close(&listener);
	client_close(&guest);
}

static void test_many(void **state)
{
	const uint32_t many = PW_SAS - 1;

	/* An address pair of its own for most, as in a mesh. */
	for (uint32_t i = 0; i < many; i++) {
		struct nlmsghdr *nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x30000 + i);

		sa_info(nlh)->id.daddr.a4 = htonl(0x0a000000 + i / 2);
		sa_info(nlh)->lft.hard_add_expires_seconds = 100 + i % 7919;
		nlh->nlmsg_flags = NLM_F_REQUEST;
		while (send(client.fd, nlh, nlh->nlmsg_len, 0) < 0)
			assert_return_code(pw_loop_step(0), 0);
	}
	for (int i = 0; i < 1000 && pw_sa_count < many; i++)
		settle();
	assert_int_equal(pw_sa_count, many);
	refused(sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x20), -EINVAL, "reserved");
	refused(sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x20000), -ENOSPC, "SAs is full");
	assert_int_equal(dump(&client, dump_message()), many);
	pw_sa_tick(pw_sa_now() + 100000 + 4000000);
	assert_in_range(pw_sa_count, 1, many - 1);
	pw_sa_tick(pw_sa_now() + 100000 + 7919000);
	assert_int_equal(pw_sa_count, 0);
	add(LOCAL, REMOTE, 0x20000);
}

/* ---- no copy of a key stays -------------------------------------------------------------------
 */

static struct scan_result scan_key(void)
{
	struct scan_pattern patterns[2];

	/* The cipher's key, in its two halves. */
	patterns[0] = scan_pattern(test_key);
	patterns[1] = scan_pattern(test_key + 16);
	return scan_memory(patterns, 2);
}

static void forget_own_copies(void)
{
	explicit_bzero(message_buffer, sizeof(message_buffer));
	explicit_bzero(answers, sizeof(answers));
}

/* Two messages in one packet. */
static size_t dump_and_add(char *packet)
{
	struct nlmsghdr *nlh = dump_message();
	size_t size = nlh->nlmsg_len;

	memcpy(packet, nlh, size);
	nlh = sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x40002);
	memcpy(packet + size, nlh, nlh->nlmsg_len);
	return size + nlh->nlmsg_len;
}

static void test_keys_wiped(void **state)
{
	/* This program's own constant and its copies are there from the beginning. */
	unsigned int own, here;
	char both[1024];

	forget_own_copies();
	own = scan_key().found;
	add(LOCAL, REMOTE, 0x40000);
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_GETSA, REMOTE, 0x40000)), 0);
	assert_true(key_received());
	assert_int_equal(dump(&client, dump_message()), 1);
	refused(sa_message(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x40000), -EEXIST, "exists");
	refused(gcm(168, 128), -EINVAL, "key");
	forget_own_copies();
	here = scan_key().found;
	assert_true(here > own); /* in locked memory */
	assert_int_equal(scan_key().outside, own);
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_DELSA, REMOTE, 0x40000)), 0);
	settle();
	forget_own_copies();
	assert_int_equal(scan_key().found, own);

	/* One that waits, in a packet, for a dump to end. */
	assert_int_equal(send(client.fd, both, dump_and_add(both), 0) > 0, 1);
	receive(&client);
	assert_non_null(sa_of(REMOTE, 0x40002));
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_DELSA, REMOTE, 0x40002)), 0);
	settle();
	explicit_bzero(both, sizeof(both));
	forget_own_copies();
	assert_int_equal(scan_key().found, own);

	/* A client that does not read, and goes: what waited for it goes too. */
	add(LOCAL, REMOTE, 0x40001);
	for (int i = 0; i < 2000; i++) {
		struct nlmsghdr *nlh = sa_id_message(XFRM_MSG_GETSA, REMOTE, 0x40001);

		if (send(client.fd, nlh, nlh->nlmsg_len, 0) < 0)
			break;
		pw_loop_step(0);
	}
	client_close(&client);
	client = client_new(NETLINK_XFRM);
	assert_int_equal(ask(&client, sa_id_message(XFRM_MSG_DELSA, REMOTE, 0x40001)), 0);
	settle();
	forget_own_copies();
	assert_int_equal(scan_key().found, own);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_add_and_get),
		CASE(test_suites),
		CASE(test_udp_and_ipv6),
		CASE(test_refused_algorithms),
		CASE(test_refused_headers),
		CASE(test_refused_attributes),
		CASE(test_names),
		CASE(test_larva),
		CASE(test_acquire_larva),
		CASE(test_choose),
		CASE(test_time_limits),
		CASE(test_real_time),
		CASE(test_count_limits),
		CASE(test_use_limits),
		CASE(test_expire_by_client),
		CASE(test_notices),
		CASE(test_replay_state),
		CASE(test_replay_forward),
		CASE(test_thresholds),
		CASE(test_inward),
		CASE(test_rights),
		CASE(test_dump_and_flush),
		CASE(test_who_sees_keys),
		CASE(test_many),
		CASE(test_keys_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
