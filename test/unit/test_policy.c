/* SPDX-License-Identifier: BSD-3-Clause */
/* Policies over a socket as `ip xfrm policy` sends them, and what they make of endpoints and SAs.
 */
#include "routes_fixture.h"

#include <sys/socket.h>
#include <unistd.h>

#include <linux/xfrm.h>

#include "control/client.h"
#include "control/loop.h"
#include "control/policy.h"
#include "control/sa.h"
#include "dataplane/table/sa.h"
#include "lib/pewter_netlink.h"

#define GRE      47
#define MPLS     137
#define LINK_MTU 1500

static int peer = -1; /* our end of a connection that speaks NETLINK_XFRM */
static char answer[65536] __attribute__((aligned(8)));
static ssize_t answer_size;

/* ---- the connection ----------------------------------------------------------------------- */

static int receive(void)
{
	for (int i = 0; i < 20; i++) {
		answer_size = recv(peer, answer, sizeof(answer), MSG_DONTWAIT);
		if (answer_size > 0)
			return (int)answer_size;
		pw_loop_step(20);
	}
	return -1;
}

static void put(const void *data, size_t size)
{
	assert_int_equal(send(peer, data, size, 0), size);
}

/** Sends a request and takes its acknowledgement. */
static int request(struct nlmsghdr *nlh)
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

static void connect_peer(void)
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

static void subscribe(uint32_t group, bool on)
{
	char buffer[64] __attribute__((aligned(8))) = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct pw_msg_group *message = mnl_nlmsg_put_extra_header(nlh, sizeof(*message));

	nlh->nlmsg_type = on ? PW_MSG_SUBSCRIBE : PW_MSG_UNSUBSCRIBE;
	message->group = group;
	assert_int_equal(request(nlh), 0);
}

static int setup(void **state)
{
	if (fixture_start(state))
		return -1;
	assert_return_code(pw_client_init(), 0);
	connect_peer();
	return 0;
}

static int teardown(void **state)
{
	close(peer);
	pw_client_fini();
	return fixture_stop(state);
}

/* ---- "src A dst B ..." as a message ------------------------------------------------------- */

static char policy_buffer[2048] __attribute__((aligned(8)));

static uint8_t number_of_protocol(const char *text)
{
	return strcmp(text, "gre") == 0 ? GRE : (uint8_t)atoi(text);
}

static uint8_t prefix_of(const char *text, xfrm_address_t *to, uint16_t *family)
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

static uint8_t direction_of(const char *text)
{
	return strcmp(text, "in") == 0    ? XFRM_POLICY_IN
	       : strcmp(text, "out") == 0 ? XFRM_POLICY_OUT
	       : strcmp(text, "fwd") == 0 ? XFRM_POLICY_FWD
					  : (uint8_t)atoi(text);
}

/** True when another one follows. */
static bool template_words(struct xfrm_user_tmpl *template, struct words *words)
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
static bool policy_words(struct xfrm_userpolicy_info *info, struct xfrm_mark *mark, uint32_t *if_id,
			 uint8_t *type, struct words *words)
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

static struct nlmsghdr *policy_message(uint16_t type, const char *text)
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

static int add(const char *text)
{
	return request(policy_message(XFRM_MSG_NEWPOLICY, text));
}

static int update(const char *text)
{
	return request(policy_message(XFRM_MSG_UPDPOLICY, text));
}

static int delete (const char *text)
{
	return request(policy_message(XFRM_MSG_DELPOLICY, text));
}

static void flush(void)
{
	char buffer[64] __attribute__((aligned(8))) = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = XFRM_MSG_FLUSHPOLICY;
	assert_int_equal(request(nlh), 0);
}

/** GETPOLICY: what comes back, or -errno. */
static int get(const char *text, struct xfrm_userpolicy_info *info)
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
static unsigned int dump(uint32_t *indices, unsigned int most)
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

static void assert_said(const char *words)
{
	if (!strstr(said, words))
		fail_msg("refused with \"%s\" instead of \"%s\"", said, words);
}

/* ---- the store ---------------------------------------------------------------------------- */

static void test_identity(void **state)
{
	struct xfrm_userpolicy_info info;

	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto gre dir out tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto gre dir out priority 7"), -EEXIST);
	assert_said("there is a policy with this selector and direction");
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto gre dir in tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto gre dir out mark 3 tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto gre dir out if_id 3 tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir out tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1/31 dst 10.0.0.2 proto gre dir out tmpl"), 0);
	assert_int_equal(pw_policy_count(XFRM_POLICY_OUT), 5);
	assert_int_equal(pw_policy_count(XFRM_POLICY_IN), 1);

	assert_int_equal(get("src 10.0.0.1 dst 10.0.0.2 proto gre dir out", &info), 0);
	assert_int_equal(info.priority, 0);
	assert_int_equal(info.index & 7, XFRM_POLICY_OUT);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.2 proto gre dir out priority 9 tmpl"), 0);
	assert_int_equal(pw_policy_count(XFRM_POLICY_OUT), 5);
	{
		uint32_t index = info.index;
		char text[64];

		assert_int_equal(get("src 10.0.0.1 dst 10.0.0.2 proto gre dir out", &info), 0);
		assert_int_equal(info.priority, 9);
		assert_int_equal(info.index, index);
		snprintf(text, sizeof(text), "index %u dir out", index);
		assert_int_equal(get(text, &info), 0);
		assert_int_equal(info.sel.proto, GRE);
		snprintf(text, sizeof(text), "index %u dir out mark 3", index);
		assert_int_equal(get(text, &info), -ENOENT);
		snprintf(text, sizeof(text), "index %u dir out if_id 3", index);
		assert_int_equal(get(text, &info), -ENOENT);
		snprintf(text, sizeof(text), "index %u dir out", index);
		assert_int_equal(delete (text), 0);
		assert_int_equal(delete (text), -ENOENT);
		assert_said("there is no policy with index");
	}
	assert_int_equal(get("src 10.0.0.1 dst 10.0.0.2 proto gre dir out", &info), -ENOENT);
	assert_int_equal(update("src 10.9.0.1 dst 10.9.0.2 proto gre dir in tmpl"), 0);
	assert_int_equal(pw_policy_count(XFRM_POLICY_IN), 2);
	flush();
	assert_int_equal(pw_policy_count(XFRM_POLICY_OUT), 0);
	assert_int_equal(pw_policy_count(XFRM_POLICY_IN), 0);
	assert_int_equal(delete ("src 10.0.0.1 dst 10.0.0.2 dir out"), -ENOENT);
}

static void test_index(void **state)
{
	struct xfrm_userpolicy_info info;
	uint32_t indices[300];
	char text[96];

	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir in index 4096 tmpl"), 0);
	assert_int_equal(get("src 10.0.0.1 dst 10.0.0.2 dir in", &info), 0);
	assert_int_equal(info.index, 4096);
	/* Taken: it gets one of its own, which says its direction. */
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.3 dir in index 4096 tmpl"), 0);
	assert_int_equal(get("src 10.0.0.1 dst 10.0.0.3 dir in", &info), 0);
	assert_int_not_equal(info.index, 4096);
	assert_int_equal(info.index & 7, XFRM_POLICY_IN);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.3 dir out index 4096 tmpl"), -EINVAL);
	assert_said("index 4096 is of another direction");
	flush();
	/* A dump that takes several packets: all of them, once each, the newest first. */
	for (unsigned int i = 0; i < 300; i++) {
		snprintf(text, sizeof(text), "src 10.0.0.1 dst 10.3.%u.%u dir out index %u tmpl",
			 i / 250, i % 250, 8000 + 8 * i + XFRM_POLICY_OUT);
		assert_int_equal(add(text), 0);
	}
	assert_int_equal(dump(indices, 300), 300);
	for (unsigned int i = 0; i < 300; i++)
		assert_int_equal(indices[i], 8000 + 8 * (299 - i) + XFRM_POLICY_OUT);
	flush();
	assert_int_equal(dump(indices, 300), 0);
}

static uint32_t first(uint8_t direction, const char *source, const char *destination,
		      uint8_t protocol)
{
	struct pw_address from = address_of(source), to = address_of(destination);
	const struct pw_policy *policy = pw_policy_select(direction, &from, &to, protocol);

	return policy ? policy->priority : UINT32_MAX;
}

static void test_order(void **state)
{
	struct pw_address from = address_of("10.0.0.1"), to = address_of("10.0.0.2");
	uint32_t older;

	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", GRE), UINT32_MAX);
	assert_int_equal(add("src 10.0.0.0/24 dst 10.0.0.0/24 dir out priority 20 tmpl"), 0);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", GRE), 20);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir out priority 30 tmpl"), 0);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", GRE), 20);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.2 dir out priority 10 tmpl"), 0);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", GRE), 10);
	assert_int_equal(add("src 0.0.0.0/0 dst 0.0.0.0/0 proto 137 dir out priority 5 tmpl"), 0);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", GRE), 10);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.0.1", "10.0.0.2", MPLS), 5);
	assert_int_equal(first(XFRM_POLICY_OUT, "10.0.1.1", "10.0.0.2", GRE), UINT32_MAX);
	assert_int_equal(first(XFRM_POLICY_IN, "10.0.0.1", "10.0.0.2", GRE), UINT32_MAX);
	assert_int_equal(first(XFRM_POLICY_OUT, "2001:db8::1", "2001:db8::2", MPLS), UINT32_MAX);
	/* Prefix lengths between bytes. */
	assert_int_equal(add("src 172.16.8.0/21 dst 0.0.0.0/0 dir out priority 4 tmpl"), 0);
	assert_int_equal(first(XFRM_POLICY_OUT, "172.16.15.255", "10.0.0.2", GRE), 4);
	assert_int_equal(first(XFRM_POLICY_OUT, "172.16.16.0", "10.0.0.2", GRE), UINT32_MAX);
	assert_int_equal(first(XFRM_POLICY_OUT, "172.16.7.255", "10.0.0.2", GRE), UINT32_MAX);
	flush();
	/* Among equals the older, and a replacement takes its place. */
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir out priority 5 tmpl reqid 1"), 0);
	assert_int_equal(add("src 10.0.0.0/8 dst 10.0.0.2 dir out priority 5 tmpl reqid 2"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir out proto gre priority 5 tmpl reqid 3"),
			 0);
	older = pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->index;
	assert_int_equal(pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->template.reqid, 1);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.2 dir out priority 5 tmpl reqid 4"), 0);
	assert_int_equal(pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->index, older);
	assert_int_equal(pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->template.reqid, 4);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.2 dir out priority 6 tmpl reqid 4"), 0);
	assert_int_equal(pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->template.reqid, 2);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.2 dir out priority 5 tmpl reqid 4"), 0);
	assert_int_equal(pw_policy_select(XFRM_POLICY_OUT, &from, &to, GRE)->template.reqid, 2);
	flush();
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *said;
		int error;
	} cases[] = {
		{"src 10.0.0.1 dst 10.0.0.2 dir 3 tmpl", "none of a socket's", -EINVAL},
		{"src 10.0.0.1/33 dst 10.0.0.2 dir in tmpl", "prefix length 33 is above 32",
		 -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir in action 2 tmpl", "allow or block, not 2",
		 -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir in ptype 1 tmpl", "none of type sub", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out proto 1 tmpl",
		 "protocol 1: in transport mode only tunnels", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir in proto 89 key block", "protocol 89 has no ports",
		 -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out proto gre key block",
		 "a selector with a GRE key", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out proto gre key tmpl",
		 "a selector with a GRE key", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out key tmpl", "ports (sport, dport)", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out dev 1 tmpl", "a device (dev, index 1)",
		 -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out dev 9000 tmpl mode 1 dst 10.9.0.1",
		 "no device with index 9000", -ENODEV},
		{"src 10.0.0.1 dst 10.0.0.2 dir out dev 1 if_id 3 tmpl mode 1 dst 10.9.0.1",
		 "names a VRF; if_id and mark", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out uid 7 tmpl", "a user (uid 7)", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl mode 1", "names the remote end", -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl mode 1 src 10.9.0.1 dst 10.9.0.1",
		 "two ends are the same address", -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl mode 2", "mode ro (2)", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl mode 4", "mode beet (4)", -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl mode 9", "mode unknown (9)", -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl proto 51", "AH is not supported",
		 -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl proto 6", "ESP (50), not 6", -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out tmpl tmpl", "one template at most, not 2",
		 -EOPNOTSUPP},
		{"src 10.0.0.0/24 dst 10.0.0.2 dir out tmpl src 10.0.1.1",
		 "source address is none that the policy selects", -EINVAL},
		{"src 10.0.0.0/24 dst 10.0.0.2 dir out tmpl dst 10.0.0.3",
		 "destination address is none that the policy selects", -EINVAL},
		{"src 10.0.0.1 dst 10.0.0.2 dir out bytes 1000 tmpl", "no limit of bytes",
		 -EOPNOTSUPP},
		{"src 10.0.0.1 dst 10.0.0.2 dir out used 10 tmpl", "first use", -EOPNOTSUPP},
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		assert_int_equal(add(cases[i].text), cases[i].error);
		assert_said(cases[i].said);
		assert_int_equal(update(cases[i].text), cases[i].error);
	}
	for (uint8_t i = 0; i < XFRM_POLICY_MAX; i++)
		assert_int_equal(pw_policy_count(i), 0);
	/* What asks for nothing may be there. */
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir out proto 17 key"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 dir fwd proto 1 tmpl"), 0);
	flush();
}

/* ---- endpoints ---------------------------------------------------------------------------- */

static uint32_t next_spi = 0x1000;

static const struct pw_crypto_suite *suite_named(const char *name)
{
	const struct pw_crypto_suite *suite;

	for (unsigned int i = 0; (suite = pw_crypto_suite_at(i)); i++)
		if (strcmp(suite->name, name) == 0)
			return suite;
	fail_msg("no suite %s", name);
	return NULL;
}

struct sa_model {
	const char *source, *destination, *suite;
	uint32_t reqid, if_id;
	uint16_t udp_source, udp_destination;
};

static struct pw_sa_detail *add_sa(const struct sa_model *model)
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

static void remove_sa(struct pw_sa_detail *sa)
{
	pw_sa_remove(sa);
	settle();
}

static const struct pw_endpoint *endpoint_of(const char *tunnel, const char *remote)
{
	struct pw_address to = address_of(remote);
	uint32_t id;

	assert_return_code(pw_endpoint_take(link_named(tunnel), &to, &id), 0);
	pw_endpoint_drop(id);
	return pw_endpoint_get(id);
}

/** The endpoint 10.0.0.2 of gre1 and how it is protected. */
static void expect(uint8_t protect, const struct pw_sa_detail *sa)
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

static int with_tunnel(void **state)
{
	if (setup(state))
		return -1;
	assert_non_null(add_tunnel("gre1", "10.0.0.1", "10.0.0.2"));
	return 0;
}

#define OUT "src 10.0.0.1 dst 10.0.0.2 proto gre dir out "
#define IN  "src 10.0.0.2 dst 10.0.0.1 proto gre dir in "

static void test_required(void **state)
{
	const struct sa_model model = {"10.0.0.1", "10.0.0.2", NULL, 5, 0, 0, 0};
	struct pw_sa_detail *one, *two;

	expect(0, NULL);
	assert_int_equal(add(OUT "tmpl reqid 5"), 0);
	expect(PW_PROTECT_OUT, NULL);
	assert_int_equal(add(IN "tmpl reqid 5"), 0);
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, NULL);
	one = add_sa(&model);
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, one);
	two = add_sa(&model);
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, two);
	/* One that is about to end yields to an older one. */
	two->entry.dying = true;
	pw_protection_sa_changed(&two->entry);
	settle();
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, one);
	remove_sa(one);
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, two);
	remove_sa(two);
	expect(PW_PROTECT_OUT | PW_PROTECT_IN, NULL);
	assert_int_equal(delete (IN), 0);
	expect(PW_PROTECT_OUT, NULL);
	assert_int_equal(delete (OUT), 0);
	expect(0, NULL);
}

static void test_wanted(void **state)
{
	struct pw_sa_detail *wrong, *right;

	assert_int_equal(add(OUT "tmpl src 10.0.0.1 dst 10.0.0.2 reqid 5"), 0);
	wrong = add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 6, 0, 0, 0});
	expect(PW_PROTECT_OUT, NULL);
	add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.3", NULL, 5, 0, 0, 0});
	add_sa(&(struct sa_model){"10.0.0.2", "10.0.0.1", NULL, 5, 0, 0, 0});
	add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 5, 9, 0, 0});
	expect(PW_PROTECT_OUT, NULL);
	right = add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 5, 0, 0, 0});
	expect(PW_PROTECT_OUT, right);
	assert_int_equal(update(OUT "tmpl"), 0); /* any reqid: the newest */
	expect(PW_PROTECT_OUT, right);
	assert_int_equal(update(OUT "tmpl reqid 6"), 0);
	expect(PW_PROTECT_OUT, wrong);
	assert_int_equal(update(OUT "tmpl reqid 7"), 0);
	expect(PW_PROTECT_OUT, NULL);
	/* Of another host within the selector: not for this one. */
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.0/24 dir out tmpl dst 10.0.0.3 reqid 5"),
			 0);
	assert_int_equal(delete (OUT), 0);
	expect(PW_PROTECT_OUT, NULL);
	assert_int_equal(update("src 10.0.0.1 dst 10.0.0.0/24 dir out tmpl reqid 5"), 0);
	expect(PW_PROTECT_OUT, right);
	flush();
	expect(0, NULL);
}

static void test_use_block_bypass(void **state)
{
	struct pw_sa_detail *sa;

	assert_int_equal(add(OUT "tmpl reqid 5 use"), 0);
	assert_int_equal(add(IN "tmpl reqid 5 use"), 0);
	expect(0, NULL);
	sa = add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 5, 0, 0, 0});
	expect(0, sa);
	assert_int_equal(update(OUT "block"), 0);
	expect(PW_PROTECT_BLOCK_OUT, NULL);
	assert_int_equal(update(IN "block"), 0);
	expect(PW_PROTECT_BLOCK_OUT | PW_PROTECT_BLOCK_IN, NULL);
	assert_int_equal(update(OUT), 0);
	assert_int_equal(update(IN), 0);
	expect(0, NULL);
	/* A bypass that comes first. */
	assert_int_equal(add("src 10.0.0.0/8 dst 10.0.0.0/8 dir out priority 9 tmpl reqid 5"), 0);
	expect(0, NULL);
	assert_int_equal(update(OUT "priority 10"), 0);
	expect(PW_PROTECT_OUT, sa);
	/* What asks for a mark or an xfrm device opens nothing; it may well close. */
	assert_int_equal(add(OUT "mark 5"), 0);
	assert_int_equal(add(OUT "if_id 5"), 0);
	expect(PW_PROTECT_OUT, sa);
	assert_int_equal(update(OUT "if_id 5 block"), 0);
	expect(PW_PROTECT_OUT, sa);
	assert_int_equal(update(OUT "if_id 5 tmpl reqid 5"), 0);
	expect(PW_PROTECT_OUT, NULL);
	assert_int_equal(delete (OUT "if_id 5"), 0);
	/* One of forwarded packets that selects the tunnel's too: none that a tunnel can meet. */
	assert_int_equal(add("src 10.0.0.0/9 dst 10.0.0.0/8 dir out tmpl mode 1 dst 10.9.0.1"), 0);
	expect(PW_PROTECT_BLOCK_OUT, NULL);
	assert_int_equal(update("src 10.0.0.0/9 dst 10.0.0.0/8 dir out priority 20 "
				"tmpl mode 1 dst 10.9.0.1"),
			 0);
	expect(PW_PROTECT_OUT, sa);
	/* Other protocols and other hosts leave it alone. */
	flush();
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.2 proto 137 dir out tmpl"), 0);
	assert_int_equal(add("src 10.0.0.1 dst 10.0.0.3 dir out tmpl"), 0);
	expect(0, NULL);
	flush();
}

static void test_defaults(void **state)
{
	char buffer[64] __attribute__((aligned(8))) = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct xfrm_userpolicy_default *wanted = mnl_nlmsg_put_extra_header(nlh, sizeof(*wanted));

	nlh->nlmsg_type = XFRM_MSG_SETDEFAULT;
	wanted->out = XFRM_USERPOLICY_BLOCK;
	assert_int_equal(request(nlh), 0);
	expect(PW_PROTECT_BLOCK_OUT, NULL);
	wanted->in = XFRM_USERPOLICY_BLOCK;
	wanted->out = XFRM_USERPOLICY_UNSPEC;
	assert_int_equal(request(nlh), 0);
	expect(PW_PROTECT_BLOCK_OUT | PW_PROTECT_BLOCK_IN, NULL);
	assert_int_equal(add(OUT), 0);
	assert_int_equal(add(IN), 0);
	expect(0, NULL);
	flush();
	wanted->in = wanted->out = XFRM_USERPOLICY_ACCEPT;
	wanted->fwd = XFRM_USERPOLICY_BLOCK;
	assert_int_equal(request(nlh), -EOPNOTSUPP);
	assert_said("fwd block");
	expect(PW_PROTECT_BLOCK_OUT | PW_PROTECT_BLOCK_IN, NULL);
	wanted->fwd = 3;
	assert_int_equal(request(nlh), -EINVAL);
	wanted->fwd = XFRM_USERPOLICY_ACCEPT;
	assert_int_equal(request(nlh), 0);
	expect(0, NULL);
}

/* Endpoints that come after policies and SAs, and addresses that a tunnel changes to. */
static void test_late_endpoints(void **state)
{
	struct pw_link *tunnel = link_named("gre1");
	struct pw_tunnel other = tunnel->tunnel;
	struct pw_sa_detail *sa, *far;
	const struct pw_endpoint *endpoint;
	struct pw_address remote = address_of("10.0.0.9");
	uint32_t id;

	assert_int_equal(add("src 10.0.0.1 dst 0.0.0.0/0 dir out tmpl"), 0);
	sa = add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.9", NULL, 0, 0, 0, 0});
	expect(PW_PROTECT_OUT, NULL);
	assert_non_null(add_tunnel("mgre", "10.0.0.1", NULL));
	assert_return_code(pw_endpoint_take(link_named("mgre"), &remote, &id), 0);
	endpoint = pw_endpoint_get(id);
	assert_int_equal(endpoint->sa, sa->entry.id);
	assert_int_equal(endpoint->protect, PW_PROTECT_OUT);
	remove_sa(sa);
	assert_int_equal(pw_endpoint_get(id)->sa, 0);
	assert_int_equal(pw_endpoint_get(id)->protect, PW_PROTECT_OUT);

	far = add_sa(&(struct sa_model){"10.1.0.1", "10.1.0.2", NULL, 0, 0, 0, 0});
	other.local = address_of("10.1.0.1");
	other.remote = address_of("10.1.0.2");
	assert_return_code(pw_link_set_tunnel(tunnel, &other), 0);
	settle();
	endpoint = endpoint_of("gre1", "10.1.0.2");
	assert_int_equal(endpoint->protect, 0);
	assert_int_equal(add("src 10.1.0.1 dst 10.1.0.2 dir out tmpl"), 0);
	endpoint = endpoint_of("gre1", "10.1.0.2");
	assert_int_equal(endpoint->sa, far->entry.id);
	pw_endpoint_drop(id);
	settle();
	flush();
	endpoint = endpoint_of("gre1", "10.1.0.2");
	assert_int_equal(endpoint->protect, 0);
	assert_int_equal(endpoint->sa, 0);
}

/* The same remote end under another local address: policies between those two are its own. */
static void test_rebound(void **state)
{
	struct pw_link *tunnel = link_named("gre1");
	struct pw_tunnel other = tunnel->tunnel;
	uint32_t id = endpoint_of("gre1", "10.0.0.2")->id;

	other.local = address_of("10.1.0.1");
	assert_return_code(pw_link_set_tunnel(tunnel, &other), 0);
	settle();
	assert_int_equal(endpoint_of("gre1", "10.0.0.2")->id, id);
	assert_int_equal(add("src 10.1.0.1 dst 10.0.0.2 dir out tmpl"), 0);
	assert_int_equal(pw_endpoint_get(id)->protect, PW_PROTECT_OUT);
	assert_int_equal(add(OUT "block"), 0);
	assert_int_equal(pw_endpoint_get(id)->protect, PW_PROTECT_OUT);
	assert_int_equal(delete ("src 10.1.0.1 dst 10.0.0.2 dir out"), 0);
	assert_int_equal(pw_endpoint_get(id)->protect, 0);
}

/* ---- inward ------------------------------------------------------------------------------- */

static void expect_rights(const struct pw_sa_detail *sa, uint16_t rights, uint32_t endpoint)
{
	const struct pw_sa *hot = pw_sa_get(sa->entry.id);

	assert_int_equal(hot->flags & (PW_SA_GRE | PW_SA_MPLS), rights);
	assert_int_equal(hot->endpoint, endpoint);
}

static void test_rights(void **state)
{
	struct pw_sa_detail *sa =
		add_sa(&(struct sa_model){"10.0.0.2", "10.0.0.1", NULL, 5, 0, 0, 0});
	uint32_t id = endpoint_of("gre1", "10.0.0.2")->id;

	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, id);
	assert_int_equal(add(IN "tmpl reqid 5"), 0);
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, id);
	assert_int_equal(update(IN "tmpl reqid 6"), 0);
	expect_rights(sa, PW_SA_MPLS, 0);
	assert_int_equal(update(IN "tmpl reqid 6 use"), 0);
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, id);
	assert_int_equal(update(IN "tmpl src 10.0.0.2 dst 10.0.0.1"), 0);
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, id);
	assert_int_equal(update(IN "tmpl spi 1"), 0);
	expect_rights(sa, PW_SA_MPLS, 0);
	assert_int_equal(update(IN "block"), 0);
	expect_rights(sa, PW_SA_MPLS, 0);
	assert_int_equal(add("src 10.0.0.2 dst 10.0.0.1 proto 137 dir in if_id 3 tmpl"), 0);
	expect_rights(sa, 0, 0);
	flush();
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, id);
	/* The endpoint goes, and another comes. */
	pw_link_delete(link_named("gre1"));
	settle();
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, 0);
	assert_non_null(add_tunnel("gre2", "10.0.0.1", "10.0.0.2"));
	expect_rights(sa, PW_SA_GRE | PW_SA_MPLS, endpoint_of("gre2", "10.0.0.2")->id);
}

/* ---- header and MTU ----------------------------------------------------------------------- */

/*
 * By hand from RFC 4303 2 and those of the algorithms: IV, block (at least 4) and ICV. The
 * payload, padding and two bytes fill blocks, and the whole packet is at most the link's MTU.
 */
static unsigned int mtu_by_hand(unsigned int outer, unsigned int iv, unsigned int block,
				unsigned int icv, unsigned int gre)
{
	unsigned int best = 0;

	for (unsigned int payload = 1; payload <= LINK_MTU; payload++) {
		unsigned int text = payload + 2;

		while (text % block)
			text++;
		if (outer + 8 + iv + text + icv <= LINK_MTU)
			best = payload;
	}
	return best - gre;
}

static const struct {
	const char *name;
	unsigned int iv, block, icv;
} suites[] = {
	{"aes128gcm16", 8, 4, 16},     {"aes192gcm16", 8, 4, 16},
	{"aes256gcm16", 8, 4, 16},     {"chacha20poly1305", 8, 4, 16},
	{"aes128gmac", 8, 4, 16},      {"aes128-sha1", 16, 16, 12},
	{"aes128-sha256", 16, 16, 16}, {"aes256-sha384", 16, 16, 24},
	{"aes256-sha512", 16, 16, 32}, {"aes128ctr-sha256", 8, 4, 16},
	{"null-sha256", 0, 4, 16},
};

static void test_mtu(void **state)
{
	struct pw_link *tunnel = link_named("gre1");

	tunnel->mtu = 9000; /* the way decides */
	pw_endpoint_tunnel_changed(tunnel);
	settle();
	assert_int_equal(endpoint_of("gre1", "10.0.0.2")->mtu, LINK_MTU - 20 - 4);
	assert_int_equal(add(OUT "tmpl"), 0);
	for (size_t i = 0; i < RTE_DIM(suites); i++) {
		for (int udp = 0; udp < 2; udp++) {
			struct pw_sa_detail *sa =
				add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", suites[i].name, 0,
							  0, udp ? 4500 : 0, 14500});
			const struct pw_endpoint *endpoint = endpoint_of("gre1", "10.0.0.2");
			unsigned int esp = 20 + (udp ? 8 : 0), gre = esp + 8 + suites[i].iv;
			uint32_t sum = 0;

			assert_int_equal(endpoint->sa, sa->entry.id);
			assert_int_equal(endpoint->header[9], udp ? IPPROTO_UDP : IPPROTO_ESP);
			assert_int_equal(endpoint->esp_at, esp);
			assert_int_equal(endpoint->gre_at, gre);
			assert_int_equal(endpoint->header_len, gre + 4);
			assert_memory_equal(endpoint->header + esp, &sa->entry.spi, 4);
			if (udp)
				assert_memory_equal(endpoint->header + 20,
						    "\x11\x94\x38\xa4\0\0\0\0", 8);
			for (unsigned int k = 0; k < 20; k += 2)
				sum += (uint32_t)endpoint->header[k] << 8 | endpoint->header[k + 1];
			assert_int_equal(endpoint->partial_sum % 0xffff, sum % 0xffff);
			assert_int_equal(
				endpoint->mtu,
				mtu_by_hand(esp, suites[i].iv, suites[i].block, suites[i].icv, 4));
			remove_sa(sa);
		}
	}
	/* The tunnel's own MTU where it is the smaller one. */
	tunnel->mtu = 1000;
	add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 0, 0, 0, 0});
	assert_int_equal(endpoint_of("gre1", "10.0.0.2")->mtu, 1000);
}

static void test_ipv6(void **state)
{
	struct pw_sa_detail *sa;
	const struct pw_endpoint *endpoint;
	struct pw_link *tunnel = add_tunnel("gre6", "2001:db8::1", "2001:db8::2");

	assert_non_null(tunnel);
	tunnel->mtu = 9000;
	assert_int_equal(add("src 2001:db8::1 dst 2001:db8::2 proto gre dir out tmpl"), 0);
	assert_int_equal(endpoint_of("gre6", "2001:db8::2")->protect, PW_PROTECT_OUT);
	sa = add_sa(&(struct sa_model){"2001:db8::1", "2001:db8::2", NULL, 0, 0, 0, 0});
	endpoint = endpoint_of("gre6", "2001:db8::2");
	assert_int_equal(endpoint->sa, sa->entry.id);
	assert_int_equal(endpoint->header[6], IPPROTO_ESP);
	assert_int_equal(endpoint->esp_at, 40);
	assert_int_equal(endpoint->gre_at, 56);
	assert_int_equal(endpoint->mtu, mtu_by_hand(40, 8, 4, 16, 4));
	assert_int_equal(endpoint_of("gre1", "10.0.0.2")->protect, 0);
}

/* ---- events ------------------------------------------------------------------------------- */

static const struct nlmsghdr *event(uint16_t type)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)answer;

	do {
		if (receive() < 0)
			return NULL;
	} while (nlh->nlmsg_type != type);
	return nlh;
}

static void test_acquire(void **state)
{
	uint32_t id = endpoint_of("gre1", "10.0.0.2")->id;
	const struct nlmsghdr *nlh;
	const struct nlattr *attribute;
	struct xfrm_user_acquire acquire;
	struct xfrm_user_tmpl template = {0};
	uint32_t if_id = 0;

	subscribe(XFRMNLGRP_ACQUIRE, true);
	assert_int_equal(add(OUT "priority 3 if_id 44 tmpl reqid 5"), 0);
	pw_protection_acquire(id);
	nlh = event(XFRM_MSG_ACQUIRE);
	assert_non_null(nlh);
	memcpy(&acquire, mnl_nlmsg_get_payload(nlh), sizeof(acquire));
	assert_int_equal(acquire.id.proto, IPPROTO_ESP);
	assert_int_equal(acquire.id.daddr.a4, inet_addr("10.0.0.2"));
	assert_int_equal(acquire.saddr.a4, inet_addr("10.0.0.1"));
	assert_int_equal(acquire.sel.daddr.a4, inet_addr("10.0.0.2"));
	assert_int_equal(acquire.sel.saddr.a4, inet_addr("10.0.0.1"));
	assert_int_equal(acquire.sel.prefixlen_d, 32);
	assert_int_equal(acquire.sel.prefixlen_s, 32);
	assert_int_equal(acquire.sel.proto, GRE);
	assert_int_equal(acquire.sel.family, AF_INET);
	assert_int_equal(acquire.policy.priority, 3);
	assert_int_equal(acquire.policy.dir, XFRM_POLICY_OUT);
	assert_int_not_equal(acquire.seq, 0);
	mnl_attr_for_each(attribute, nlh, sizeof(acquire))
	{
		if (mnl_attr_get_type(attribute) == XFRMA_TMPL)
			memcpy(&template, mnl_attr_get_payload(attribute), sizeof(template));
		if (mnl_attr_get_type(attribute) == XFRMA_IF_ID)
			if_id = mnl_attr_get_u32(attribute);
	}
	assert_int_equal(template.reqid, 5);
	assert_int_equal(if_id, 44);
	assert_non_null(pw_sa_larva_by_seq(acquire.seq));
	flush();
	/* Nothing is asked for what needs no SA. */
	pw_protection_acquire(id);
	assert_null(event(XFRM_MSG_ACQUIRE));
	subscribe(XFRMNLGRP_ACQUIRE, false);
}

static void asks(uint32_t id, bool heard)
{
	pw_sa_acquire(id);
	pw_sa_notices();
	if (heard)
		assert_non_null(event(XFRM_MSG_ACQUIRE));
	else
		assert_null(event(XFRM_MSG_ACQUIRE));
}

/* As workers ask: once, until it was answered, or soon again when nobody heard it. */
static void test_acquire_again(void **state)
{
	uint32_t id = endpoint_of("gre1", "10.0.0.2")->id;
	struct pw_sa_detail *sa;

	assert_int_equal(add(OUT "tmpl"), 0);
	asks(id, false);
	subscribe(XFRMNLGRP_ACQUIRE, true);
	for (int i = 0; i < 40; i++)
		pw_loop_step(50);
	asks(id, true);
	asks(id, false);
	sa = add_sa(&(struct sa_model){"10.0.0.1", "10.0.0.2", NULL, 0, 0, 0, 0});
	expect(PW_PROTECT_OUT, sa);
	remove_sa(sa);
	asks(id, true);
	asks(id, false);
	/* The id of another endpoint than the one that asked. */
	pw_link_delete(link_named("gre1"));
	settle();
	pw_sa_acquire(id);
	pw_sa_notices();
	assert_true(pw_sa_acquire(id));
	subscribe(XFRMNLGRP_ACQUIRE, false);
}

static void test_lifetime(void **state)
{
	const struct nlmsghdr *nlh;
	struct xfrm_user_polexpire expire;

	subscribe(XFRMNLGRP_EXPIRE, true);
	assert_int_equal(add(OUT "soft 1 hard 3 tmpl"), 0);
	expect(PW_PROTECT_OUT, NULL);
	for (int hard = 0; hard < 2; hard++) {
		nlh = NULL;
		for (int i = 0; i < 20 && !nlh; i++)
			nlh = event(XFRM_MSG_POLEXPIRE);
		assert_non_null(nlh);
		memcpy(&expire, mnl_nlmsg_get_payload(nlh), sizeof(expire));
		assert_int_equal(expire.hard, hard);
		assert_int_equal(expire.pol.dir, XFRM_POLICY_OUT);
		assert_int_equal(pw_policy_count(XFRM_POLICY_OUT), !hard);
	}
	settle();
	expect(0, NULL);
	subscribe(XFRMNLGRP_EXPIRE, false);
}

static double seconds_used(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void put_many(unsigned int count)
{
	struct pw_policy model = {.direction = XFRM_POLICY_OUT,
				  .action = XFRM_POLICY_BLOCK,
				  .source = address_of("10.1.0.1"),
				  .destination = address_of("10.200.0.0")};
	const struct pw_policy *policy;

	model.selector.family = AF_INET;
	model.selector.prefixlen_s = model.selector.prefixlen_d = 32;
	memcpy(&model.selector.saddr, model.source.bytes, 4);
	for (unsigned int i = 0; i < count; i++) {
		model.destination.bytes[2] = (uint8_t)(i >> 8);
		model.destination.bytes[3] = (uint8_t)i;
		memcpy(&model.selector.daddr, model.destination.bytes, 4);
		assert_int_equal(pw_policy_put(&model, false, &policy), 0);
	}
}

/*
 * Two dumps go on side by side, and what both told last is deleted again and again. Neither may
 * take a look at all policies for each: 20,000 are milliseconds, looks at all of them seconds.
 */
static void test_dump_many(void **state)
{
	const unsigned int count = 20000;
	uint64_t cursor[2] = {0, 0};
	unsigned int told = 0, deleted = 0;
	double used;

	put_many(count);
	used = seconds_used();
	for (;;) {
		const struct pw_policy *policy = pw_policy_next(cursor[0]);

		assert_ptr_equal(pw_policy_next(cursor[1]), policy);
		if (!policy)
			break;
		assert_true(!told || policy->serial < cursor[0]);
		cursor[0] = cursor[1] = policy->serial;
		if (told++ % 16)
			continue;
		pw_policy_delete((struct pw_policy *)policy);
		deleted++;
	}
	used = seconds_used() - used;
	print_message("two dumps of 20,000 policies: %.1f ms\n", 1000 * used);
	assert_int_equal(told, count);
	assert_true(used < 0.5);
	assert_int_equal(pw_policy_count(XFRM_POLICY_OUT), count - deleted);
	assert_int_equal(pw_policy_flush(), count - deleted);
	assert_null(pw_policy_next(0));
}

/* 10,000 remotes with a policy and an SA each: a change concerns its own pair. */
static void test_many(void **state)
{
	struct timespec begin, end;
	char text[128];
	uint32_t id = 0;
	double seconds;

	assert_non_null(add_tunnel("mgre", "10.1.0.1", NULL));
	for (unsigned int i = 0; i < 10000; i++) {
		struct pw_address remote = {
			.family = AF_INET,
			.bytes = {10, 200, (uint8_t)(i / 250), (uint8_t)(1 + i % 250)}};

		assert_return_code(pw_endpoint_take(link_named("mgre"), &remote, &id), 0);
	}
	settle();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "src 10.1.0.1 dst 10.200.%u.%u proto gre dir out tmpl",
			 i / 250, 1 + i % 250);
		assert_int_equal(add(text), 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	print_message("10,000 policies, one request and one round each: %.2f s\n", seconds);
	assert_int_equal(pw_endpoint_get(id)->protect, PW_PROTECT_OUT);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	assert_int_equal(add("src 0.0.0.0/0 dst 0.0.0.0/0 dir in tmpl"), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	print_message("one that concerns them all: %.1f ms\n", 1000 * seconds);
	assert_int_equal(pw_endpoint_get(id)->protect, PW_PROTECT_OUT | PW_PROTECT_IN);
	flush();
	assert_int_equal(pw_endpoint_get(id)->protect, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_index, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_required, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_wanted, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_use_block_bypass, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_defaults, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_late_endpoints, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_rebound, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_rights, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_mtu, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_ipv6, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_acquire, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_acquire_again, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_lifetime, with_tunnel, teardown),
		cmocka_unit_test_setup_teardown(test_dump_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
