/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What seals the traffic between the PEs: a pair of SAs for each remote PE, each with keys of its
 * own, and the two policies that ask for them. One algorithm at a time, so that all of them are
 * measured on the same routes.
 */
#include "control/bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/xfrm.h>

#include "control/xfrm.h"
#include "lib/retire.h"

#define CREATE       (NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL)
#define ROUND        256 /* messages between two rounds of the event loop */
#define REQID        7
#define SPI_OUT      0x01000000u
#define SPI_IN       0x02000000u
#define SPI_SITE_IN  0x03000000u
#define SPI_SITE_OUT 0x04000000u
#define PREFIX_PEERS 10        /* of PW_BENCH_PEERS */
#define ESP_AT       (14 + 20) /* in a frame: Ethernet, IPv4 */
#define KEY_MAX      128
#define PROTOCOL_GRE 47

/* One remote PE's, or off-net site's, as long as they are there. */
struct pair {
	uint32_t id[2]; /* outward, inward */
	uint64_t number;
};

static struct pair *pairs, *tunnels;
static uint32_t pair_count;

/* ---- algorithms -------------------------------------------------------------------------- */

static const struct {
	const char *name, *suite;
} short_names[] = {
	{"gcm128", "aes128gcm16"},      {"gcm192", "aes192gcm16"},       {"gcm256", "aes256gcm16"},
	{"chacha", "chacha20poly1305"}, {"cbc-sha256", "aes128-sha256"},
};
#define SHORT_NAMES (sizeof(short_names) / sizeof(short_names[0]))

const char *pw_bench_algorithm_name(const struct pw_crypto_suite *suite)
{
	if (!suite)
		return NULL;
	for (unsigned int i = 0; i < SHORT_NAMES; i++)
		if (!strcmp(short_names[i].suite, suite->name))
			return short_names[i].name;
	return suite->name;
}

const struct pw_crypto_suite *pw_bench_algorithm_find(const char *name)
{
	const struct pw_crypto_suite *suite;

	for (unsigned int i = 0; (suite = pw_crypto_suite_at(i)); i++)
		if (!strcmp(name, suite->name) || !strcmp(name, pw_bench_algorithm_name(suite)))
			return suite;
	return NULL;
}

/* ---- messages ---------------------------------------------------------------------------- */

/* Keys that differ from SA to SA; nobody is to be kept from guessing them. */
static void key_make(uint32_t spi, uint8_t *key, size_t size)
{
	uint64_t random = (uint64_t)spi * 0x9e3779b97f4a7c15u | 1;

	for (size_t i = 0; i < size; i++) {
		random ^= random >> 12;
		random ^= random << 25;
		random ^= random >> 27;
		key[i] = (uint8_t)(random >> 32);
	}
}

static void put_cipher(struct nlmsghdr *nlh, const struct pw_crypto_suite *suite,
		       const uint8_t *key)
{
	_Alignas(8) char room[sizeof(struct xfrm_algo_aead) + KEY_MAX] = {0};
	size_t bytes = suite->key_bytes;

	if (suite->auth) {
		struct xfrm_algo *plain = (void *)room;

		snprintf(plain->alg_name, sizeof(plain->alg_name), "%s", suite->cipher);
		plain->alg_key_len = 8 * (unsigned int)bytes;
		memcpy(plain->alg_key, key, bytes);
		mnl_attr_put(nlh, XFRMA_ALG_CRYPT, sizeof(*plain) + bytes, plain);
	} else {
		struct xfrm_algo_aead *aead = (void *)room;

		snprintf(aead->alg_name, sizeof(aead->alg_name), "%s", suite->cipher);
		aead->alg_key_len = 8 * (unsigned int)bytes;
		aead->alg_icv_len = 8 * suite->icv_bytes;
		memcpy(aead->alg_key, key, bytes);
		mnl_attr_put(nlh, XFRMA_ALG_AEAD, sizeof(*aead) + bytes, aead);
	}
}

static void put_auth(struct nlmsghdr *nlh, const struct pw_crypto_suite *suite, const uint8_t *key)
{
	_Alignas(8) char room[sizeof(struct xfrm_algo_auth) + KEY_MAX] = {0};
	struct xfrm_algo_auth *auth = (void *)room;

	snprintf(auth->alg_name, sizeof(auth->alg_name), "%s", suite->auth);
	auth->alg_key_len = 8 * suite->auth_key_bytes;
	auth->alg_trunc_len = 8 * suite->icv_bytes;
	memcpy(auth->alg_key, key, suite->auth_key_bytes);
	mnl_attr_put(nlh, XFRMA_ALG_AUTH_TRUNC, sizeof(*auth) + suite->auth_key_bytes, auth);
}

/* As `ip xfrm state add ... replay-window 1024` has it. */
static void put_window(struct nlmsghdr *nlh)
{
	_Alignas(8) char room[sizeof(struct xfrm_replay_state_esn) + PW_BENCH_WINDOW / 8] = {0};
	struct xfrm_replay_state_esn *state = (void *)room;

	state->bmp_len = PW_BENCH_WINDOW / 32;
	state->replay_window = PW_BENCH_WINDOW;
	mnl_attr_put(nlh, XFRMA_REPLAY_ESN_VAL, sizeof(room), room);
}

/* With an if_id in tunnel mode. */
static int sa_add(const struct pw_crypto_suite *suite, uint32_t spi, uint32_t from, uint32_t to,
		  uint32_t if_id)
{
	struct xfrm_usersa_info *info;
	struct nlmsghdr *nlh =
		pw_bench_message(XFRM_MSG_NEWSA, CREATE, sizeof(*info), (void **)&info);
	uint8_t key[2 * KEY_MAX];

	key_make(spi, key, sizeof(key));
	info->saddr.a4 = htonl(from);
	info->id.daddr.a4 = htonl(to);
	info->id.spi = htonl(spi);
	info->id.proto = IPPROTO_ESP;
	info->family = AF_INET;
	info->mode = if_id ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT;
	info->reqid = REQID;
	info->lft = (struct xfrm_lifetime_cfg){XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF, 0, 0, 0, 0};
	put_cipher(nlh, suite, key);
	if (suite->auth)
		put_auth(nlh, suite, key + KEY_MAX);
	if (if_id)
		mnl_attr_put_u32(nlh, XFRMA_IF_ID, if_id);
	put_window(nlh);
	return pw_bench_message_handle(NETLINK_XFRM, nlh, "SA", suite->name);
}

/*
 * With a site, in tunnel mode between that one and the PE, and with an if_id. Without, in
 * transport mode, and the template leaves the addresses to the tunnel.
 */
static int policy_put(const struct xfrm_selector *selector, uint8_t direction, uint32_t site)
{
	static const char *const names[] = {
		[XFRM_POLICY_IN] = "in", [XFRM_POLICY_OUT] = "out", [XFRM_POLICY_FWD] = "fwd"};
	bool outward = direction == XFRM_POLICY_OUT;
	struct xfrm_user_tmpl template = {
		.id.proto = IPPROTO_ESP,
		.family = AF_INET,
		.reqid = REQID,
		.mode = site ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT,
		.aalgos = UINT32_MAX,
		.ealgos = UINT32_MAX,
		.calgos = UINT32_MAX,
	};
	struct xfrm_userpolicy_info *info;
	struct nlmsghdr *nlh =
		pw_bench_message(XFRM_MSG_NEWPOLICY, CREATE, sizeof(*info), (void **)&info);

	if (site) {
		template.saddr.a4 = htonl(outward ? PW_BENCH_PE : site);
		template.id.daddr.a4 = htonl(outward ? site : PW_BENCH_PE);
	}
	info->sel = *selector;
	info->lft = (struct xfrm_lifetime_cfg){XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF, 0, 0, 0, 0};
	info->dir = direction;
	info->action = XFRM_POLICY_ALLOW;
	mnl_attr_put(nlh, XFRMA_TMPL, sizeof(template), &template);
	if (site)
		mnl_attr_put_u32(nlh, XFRMA_IF_ID, PW_BENCH_IF_ID);
	return pw_bench_message_handle(NETLINK_XFRM, nlh, "policy", names[direction]);
}

static void prefix_set(xfrm_address_t *address, uint8_t *length, bool remote)
{
	address->a4 = htonl(remote ? PW_BENCH_PEERS : PW_BENCH_PE);
	*length = remote ? PREFIX_PEERS : 32;
}

/* One policy for all remote PEs. */
static int policy_add(bool inward)
{
	struct xfrm_selector selector = {.family = AF_INET, .proto = PROTOCOL_GRE};

	prefix_set(&selector.saddr, &selector.prefixlen_s, inward);
	prefix_set(&selector.daddr, &selector.prefixlen_d, !inward);
	return policy_put(&selector, inward ? XFRM_POLICY_IN : XFRM_POLICY_OUT, 0);
}

/* What an off-net site may send, and is sent: from its own /24 to anywhere, and back. */
static int tunnel_policy_add(uint32_t i, bool inward)
{
	struct xfrm_selector selector = {.family = AF_INET};

	*(inward ? &selector.saddr : &selector.daddr) =
		(xfrm_address_t){.a4 = htonl(PW_BENCH_OFF_NET + (i << 8))};
	*(inward ? &selector.prefixlen_s : &selector.prefixlen_d) = 24;
	return policy_put(&selector, inward ? XFRM_POLICY_FWD : XFRM_POLICY_OUT,
			  PW_BENCH_SITES + 1 + i);
}

static int flush(void)
{
	struct xfrm_usersa_flush *flush;
	void *none;
	struct nlmsghdr *nlh = pw_bench_message(XFRM_MSG_FLUSHPOLICY, NLM_F_REQUEST, 0, &none);
	int ret = pw_bench_message_handle(NETLINK_XFRM, nlh, "policies", "flush");

	if (ret)
		return ret;
	nlh = pw_bench_message(XFRM_MSG_FLUSHSA, NLM_F_REQUEST, sizeof(*flush), (void **)&flush);
	flush->proto = IPPROTO_ESP;
	return pw_bench_message_handle(NETLINK_XFRM, nlh, "SAs", "flush");
}

/* ---- all of them ------------------------------------------------------------------------- */

static uint32_t id_of(uint32_t from, uint32_t to, uint32_t if_id)
{
	struct pw_sa_wanted wanted = {
		.source.family = AF_INET,
		.destination.family = AF_INET,
		.reqid = REQID,
		.mode = if_id ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT,
		.if_id = if_id,
	};
	const struct pw_sa_entry *entry;

	from = htonl(from);
	to = htonl(to);
	memcpy(wanted.source.bytes, &from, sizeof(from));
	memcpy(wanted.destination.bytes, &to, sizeof(to));
	entry = pw_sa_choose(&wanted);
	return entry ? entry->id : 0;
}

/* The SAs to and from one remote end. */
static int both_add(const struct pw_crypto_suite *suite, struct pair *pair, uint32_t remote,
		    uint32_t spi_out, uint32_t spi_in, uint32_t if_id)
{
	int ret = sa_add(suite, spi_out, PW_BENCH_PE, remote, if_id);

	ret = ret ? ret : sa_add(suite, spi_in, remote, PW_BENCH_PE, if_id);
	*pair = (struct pair){
		.id = {id_of(PW_BENCH_PE, remote, if_id), id_of(remote, PW_BENCH_PE, if_id)},
		.number = 1,
	};
	return ret;
}

static int pairs_add(const struct pw_crypto_suite *suite, uint32_t count)
{
	int ret = 0;

	pairs = calloc(count, sizeof(*pairs));
	if (!pairs)
		return -ENOMEM;
	for (uint32_t i = 0; i < count && !ret; i++) {
		ret = both_add(suite, &pairs[i], PW_BENCH_PEERS + 1 + i, SPI_OUT + i, SPI_IN + i,
			       0);
		if (i % ROUND == 0)
			pw_bench_daemon_round();
	}
	pair_count = count;
	ret = ret ? ret : policy_add(false);
	return ret ? ret : policy_add(true);
}

/* The policies in one batch: their lists are compiled once. */
static int tunnels_add(const struct pw_crypto_suite *suite, uint32_t count)
{
	int ret = 0;

	tunnels = calloc(count, sizeof(*tunnels));
	if (!tunnels)
		return -ENOMEM;
	for (uint32_t i = 0; i < count && !ret; i++) {
		ret = both_add(suite, &tunnels[i], PW_BENCH_SITES + 1 + i, SPI_SITE_OUT + i,
			       SPI_SITE_IN + i, PW_BENCH_IF_ID);
		if (i % ROUND == 0)
			pw_bench_daemon_round();
	}
	for (uint32_t i = 0; i < count && !ret; i++)
		ret = tunnel_policy_add(i, true);
	for (uint32_t i = 0; i < count && !ret; i++)
		ret = tunnel_policy_add(i, false);
	return ret;
}

int pw_bench_security_set(const struct pw_crypto_suite *suite, uint32_t peers, uint32_t sites)
{
	int ret = pair_count ? flush() : 0;

	free(pairs);
	free(tunnels);
	pairs = tunnels = NULL;
	pair_count = 0;
	pw_bench_daemon_round();
	pw_retire_drain();
	if (!ret && suite)
		ret = pairs_add(suite, peers);
	if (!ret && suite && sites)
		ret = tunnels_add(suite, sites);
	pw_bench_daemon_round();
	pw_retire_drain();
	return ret;
}

const struct pw_sa *pw_bench_sa_out(enum pw_bench_work work, uint32_t peer)
{
	return pw_sa_get(pw_bench_to_tunnel(work) ? tunnels[peer].id[0] : pairs[peer].id[0]);
}

static struct pair *pair_in(enum pw_bench_work work, uint32_t peer)
{
	return pw_bench_from_tunnel(work) ? &tunnels[peer] : &pairs[peer];
}

const struct pw_sa *pw_bench_sa_in(enum pw_bench_work work, uint32_t peer)
{
	return pw_sa_get(pair_in(work, peer)->id[1]);
}

uint64_t pw_bench_sa_number(enum pw_bench_work work, uint32_t peer)
{
	return pair_in(work, peer)->number++;
}

static void print_hex(FILE *out, const char *name, const uint8_t *bytes, size_t size)
{
	fprintf(out, ",\"%s\":\"", name);
	for (size_t i = 0; i < size; i++)
		fprintf(out, "%02x", bytes[i]);
	fprintf(out, "\"");
}

void pw_bench_frame_print(FILE *out, const struct pw_bench_row *row, const uint8_t *frame,
			  size_t length)
{
	uint8_t key[2 * KEY_MAX];
	uint32_t spi;

	memcpy(&spi, frame + ESP_AT, sizeof(spi));
	spi = ntohl(spi);
	key_make(spi, key, sizeof(key));
	fprintf(out, "{\"work\":\"%s\",\"algorithm\":\"%s\",\"spi\":%u",
		pw_bench_work_names[row->work], pw_bench_algorithm_name(row->suite), spi);
	print_hex(out, "key", key, row->suite->key_bytes);
	print_hex(out, "auth_key", key + KEY_MAX, row->suite->auth_key_bytes);
	print_hex(out, "frame", frame, length);
	fprintf(out, "}\n");
}
