/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_SA_CLIENT_H
#define PW_TEST_SA_CLIENT_H

/* A PE with two ports that are up, and one client that adds SAs to it. */
#include "sa_fixture.h"

#define LOCAL  "192.0.2.1"
#define REMOTE "192.0.2.2"

static struct client client;

static inline int setup(void **state)
{
	if (sa_fixture_start(state))
		return -1;
	client = client_new(NETLINK_XFRM);
	return link_up("p0", true) || link_up("p1", true);
}

static inline int teardown(void **state)
{
	close(client.fd);
	return sa_fixture_stop(state);
}

static inline void put_wide(struct nlmsghdr *nlh, uint32_t words, uint32_t window, uint64_t sent,
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

static inline void add(const char *source, const char *destination, uint32_t spi)
{
	if (ask(&client, sa_message(XFRM_MSG_NEWSA, source, destination, spi)))
		fail_msg("refused: %s", said);
}

static inline struct nlmsghdr *good(uint16_t type)
{
	return sa_message(type, LOCAL, REMOTE, 0x5000);
}

static inline struct nlmsghdr *gcm(unsigned int bits, unsigned int icv)
{
	struct nlmsghdr *nlh = sa_header(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x5000);
	uint8_t key[128] = {0};

	put_algorithm(nlh, XFRMA_ALG_AEAD, "rfc4106(gcm(aes))", bits, icv, key);
	return nlh;
}

static inline struct pw_sa_counters *counters_of(const char *destination, uint32_t spi)
{
	return &pw_workers[0]->sa[sa_of(destination, spi)->entry.id];
}

static inline void refused(const struct nlmsghdr *nlh, int error, const char *words)
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

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
