/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_POLICY_FIXTURE_H
#define PW_TEST_POLICY_FIXTURE_H

/* A client of NETLINK_XFRM over a socket pair, and policies as `ip xfrm policy` sends them. */
#include "routes_fixture.h"

#include <sys/socket.h>
#include <unistd.h>

#include <linux/xfrm.h>

#include "control/client.h"
#include "control/loop.h"
#include "control/policy.h"
#include "lib/pewter_netlink.h"

#define GRE 47

static int peer = -1; /* our end of a connection that speaks NETLINK_XFRM */
static char answer[65536] __attribute__((aligned(8)));
static ssize_t answer_size;

/* ---- the connection ----------------------------------------------------------------------- */

static inline int receive(void)
{
	for (int i = 0; i < 20; i++) {
		answer_size = recv(peer, answer, sizeof(answer), MSG_DONTWAIT);
		if (answer_size > 0)
			return (int)answer_size;
		pw_loop_step(20);
	}
	return -1;
}

static inline void put(const void *data, size_t size)
{
	assert_int_equal(send(peer, data, size, 0), size);
}

/** Sends a request and takes its acknowledgement. */
static inline int request(struct nlmsghdr *nlh)
{
	const struct nlmsghdr *reply = (const struct nlmsghdr *)answer;
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(reply);
	const struct nlattr *attribute;

	said[0] = '\0';
	nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	put(nlh, nlh->nlmsg_len);
	do
		assert_true(receive() > 0);
	while (reply->nlmsg_type != NLMSG_ERROR);
	pw_retire_poll();
	if (reply->nlmsg_flags & NLM_F_ACK_TLVS)
		mnl_attr_for_each(
			attribute, reply,
			(uint32_t)MNL_ALIGN(
				sizeof(*error) +
				(reply->nlmsg_flags & NLM_F_CAPPED
					 ? 0
					 : error->msg.nlmsg_len -
						   sizeof(*reply)))) if (mnl_attr_get_type(attribute) ==
									 NLMSGERR_ATTR_MSG)
			snprintf(said, sizeof(said), "%s", mnl_attr_get_str(attribute));
	return error->error;
}

static inline void connect_peer(void)
{
	char buffer[64] __attribute__((aligned(8))) = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct pw_msg_hello *hello = mnl_nlmsg_put_extra_header(nlh, sizeof(*hello));
	int ends[2];

	assert_return_code(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), errno);
	assert_non_null(pw_client_add(ends[0]));
	peer = ends[1];
	nlh->nlmsg_type = PW_MSG_HELLO;
	hello->version = PW_NETLINK_VERSION;
	hello->protocol = NETLINK_XFRM;
	assert_int_equal(request(nlh), 0);
}

static inline void subscribe(uint32_t group, bool on)
{
	char buffer[64] __attribute__((aligned(8))) = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct pw_msg_group *message = mnl_nlmsg_put_extra_header(nlh, sizeof(*message));

	nlh->nlmsg_type = on ? PW_MSG_SUBSCRIBE : PW_MSG_UNSUBSCRIBE;
	message->group = group;
	assert_int_equal(request(nlh), 0);
}

static inline int setup(void **state)
{
	if (fixture_start(state))
		return -1;
	assert_return_code(pw_client_init(), 0);
	connect_peer();
	return 0;
}

static inline int teardown(void **state)
{
	close(peer);
	pw_client_fini();
	return fixture_stop(state);
}

/* ---- "src A dst B ..." as a message ------------------------------------------------------- */

static char policy_buffer[2048] __attribute__((aligned(8)));

static inline uint8_t number_of_protocol(const char *text)
{
	return strcmp(text, "gre") == 0 ? GRE : (uint8_t)atoi(text);
}

static inline uint8_t prefix_of(const char *text, xfrm_address_t *to, uint16_t *family)
{
	char copy[64];
	char *slash;
	struct pw_address address;

	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	if (slash)
		*slash = '\0';
	address = address_of(copy);
	memcpy(to, address.bytes, 16);
	*family = address.family;
	return slash ? (uint8_t)atoi(slash + 1) : (uint8_t)(8 * pw_address_size(address.family));
}

static inline uint8_t direction_of(const char *text)
{
	return strcmp(text, "in") == 0    ? XFRM_POLICY_IN
	       : strcmp(text, "out") == 0 ? XFRM_POLICY_OUT
	       : strcmp(text, "fwd") == 0 ? XFRM_POLICY_FWD
					  : (uint8_t)atoi(text);
}

/** True when another one follows. */
static inline bool template_words(struct xfrm_user_tmpl *template, struct words *words)
{
	uint16_t family;

	memset(template, 0, sizeof(*template));
	template->id.proto = IPPROTO_ESP;
	template->aalgos = template->ealgos = template->calgos = ~0u;
	while (words->at < words->count) {
		if (word_is(words, "tmpl"))
			return true;
		if (word_is(words, "src"))
			prefix_of(word(words), &template->saddr, &family);
		else if (word_is(words, "dst"))
			prefix_of(word(words), &template->id.daddr, &family);
		else if (word_is(words, "reqid"))
			template->reqid = (uint32_t)atoi(word(words));
		else if (word_is(words, "spi"))
			template->id.spi = htonl((uint32_t)atoi(word(words)));
		else if (word_is(words, "mode"))
			template->mode = (uint8_t)atoi(word(words));
		else if (word_is(words, "proto"))
			template->id.proto = (uint8_t)atoi(word(words));
		else if (word_is(words, "use"))
			template->optional = 1;
		else
			fail_msg("unknown word \"%s\"", word(words));
	}
	return false;
}

/** Words of selector and policy; true when a template follows. */
static inline bool policy_words(struct xfrm_userpolicy_info *info, struct xfrm_mark *mark,
				uint32_t *if_id, uint8_t *type, struct words *words)
{
	struct xfrm_selector *selector = &info->sel;

	while (words->at < words->count) {
		if (word_is(words, "tmpl"))
			return true;
		if (word_is(words, "src"))
			selector->prefixlen_s =
				prefix_of(word(words), &selector->saddr, &selector->family);
		else if (word_is(words, "dst"))
			selector->prefixlen_d =
				prefix_of(word(words), &selector->daddr, &selector->family);
		else if (word_is(words, "proto"))
			selector->proto = number_of_protocol(word(words));
		else if (word_is(words, "key"))
			selector->sport_mask = selector->dport_mask = 0xffff;
		else if (word_is(words, "dev"))
			selector->ifindex = atoi(word(words));
		else if (word_is(words, "uid"))
			selector->user = (uint32_t)atoi(word(words));
		else if (word_is(words, "dir"))
			info->dir = direction_of(word(words));
		else if (word_is(words, "index"))
			info->index = (uint32_t)atoi(word(words));
		else if (word_is(words, "priority"))
			info->priority = (uint32_t)atoi(word(words));
		else if (word_is(words, "block"))
			info->action = XFRM_POLICY_BLOCK;
		else if (word_is(words, "action"))
			info->action = (uint8_t)atoi(word(words));
		else if (word_is(words, "mark"))
			*mark = (struct xfrm_mark){(uint32_t)atoi(word(words)), 0xff};
		else if (word_is(words, "if_id"))
			*if_id = (uint32_t)atoi(word(words));
		else if (word_is(words, "ptype"))
			*type = (uint8_t)atoi(word(words));
		else if (word_is(words, "soft"))
			info->lft.soft_add_expires_seconds = (uint64_t)atoi(word(words));
		else if (word_is(words, "hard"))
			info->lft.hard_add_expires_seconds = (uint64_t)atoi(word(words));
		else if (word_is(words, "bytes"))
			info->lft.hard_byte_limit = (uint64_t)atoi(word(words));
		else if (word_is(words, "used"))
			info->lft.soft_use_expires_seconds = (uint64_t)atoi(word(words));
		else
			fail_msg("unknown word \"%s\"", word(words));
	}
	return false;
}

static inline struct nlmsghdr *policy_message(uint16_t type, const char *text)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(policy_buffer);
	struct xfrm_userpolicy_info info = {.lft = {XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF}};
	struct xfrm_user_tmpl templates[8];
	struct xfrm_userpolicy_type ptype = {0};
	struct xfrm_mark mark = {0};
	unsigned int count = 0;
	struct words words;
	uint32_t if_id = 0;
	bool more;

	words_split(&words, text);
	info.sel.family = AF_INET;
	more = policy_words(&info, &mark, &if_id, &ptype.type, &words);
	while (more)
		more = template_words(&templates[count++], &words);
	nlh->nlmsg_type = type;
	if (type == XFRM_MSG_NEWPOLICY || type == XFRM_MSG_UPDPOLICY) {
		memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(info)), &info, sizeof(info));
	} else {
		struct xfrm_userpolicy_id id = {
			.sel = info.sel, .index = info.index, .dir = info.dir};

		memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(id)), &id, sizeof(id));
	}
	if (count)
		mnl_attr_put(nlh, XFRMA_TMPL, count * sizeof(templates[0]), templates);
	if (ptype.type)
		mnl_attr_put(nlh, XFRMA_POLICY_TYPE, sizeof(ptype), &ptype);
	if (mark.m)
		mnl_attr_put(nlh, XFRMA_MARK, sizeof(mark), &mark);
	if (if_id)
		mnl_attr_put_u32(nlh, XFRMA_IF_ID, if_id);
	return nlh;
}

static inline int add(const char *text)
{
	return request(policy_message(XFRM_MSG_NEWPOLICY, text));
}

static inline int update(const char *text)
{
	return request(policy_message(XFRM_MSG_UPDPOLICY, text));
}

static inline int delete (const char *text)
{
	return request(policy_message(XFRM_MSG_DELPOLICY, text));
}

static inline void flush(void)
{
	char buffer[64] __attribute__((aligned(8))) = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = XFRM_MSG_FLUSHPOLICY;
	assert_int_equal(request(nlh), 0);
}

/** GETPOLICY: what comes back, or -errno. */
static inline int get(const char *text, struct xfrm_userpolicy_info *info)
{
	struct nlmsghdr *nlh = policy_message(XFRM_MSG_GETPOLICY, text);
	const struct nlmsghdr *reply = (const struct nlmsghdr *)answer;

	nlh->nlmsg_flags |= NLM_F_REQUEST;
	put(nlh, nlh->nlmsg_len);
	assert_true(receive() > 0);
	if (reply->nlmsg_type == NLMSG_ERROR)
		return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(reply))->error;
	assert_int_equal(reply->nlmsg_type, XFRM_MSG_NEWPOLICY);
	memcpy(info, mnl_nlmsg_get_payload(reply), sizeof(*info));
	return 0;
}

/** Indices of all policies in the order of the dump. */
static inline unsigned int dump(uint32_t *indices, unsigned int most)
{
	char buffer[64] __attribute__((aligned(8))) = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	unsigned int count = 0;

	nlh->nlmsg_type = XFRM_MSG_GETPOLICY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	put(nlh, nlh->nlmsg_len);
	for (;;) {
		const struct nlmsghdr *each = (const struct nlmsghdr *)answer;
		int rest = receive();

		assert_true(rest > 0);
		for (; mnl_nlmsg_ok(each, rest); each = mnl_nlmsg_next(each, &rest)) {
			struct xfrm_userpolicy_info info;

			if (each->nlmsg_type == NLMSG_DONE)
				return count;
			memcpy(&info, mnl_nlmsg_get_payload(each), sizeof(info));
			assert_true(count < most);
			indices[count++] = info.index;
		}
	}
}

static inline void assert_said(const char *words)
{
	if (!strstr(said, words))
		fail_msg("refused with \"%s\" instead of \"%s\"", said, words);
}

#endif
