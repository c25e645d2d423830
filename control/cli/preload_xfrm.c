/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel that IKE daemons are written for does not start anew under them; Pewter's daemon may.
 * Then it has none of the policies and SAs that the program believes to be installed. So the names
 * of SAs (never their keys: an SA that began again with number 1 would use every IV twice) and the
 * policies are noted here as they are sent. When the connection is back, the policies are put there
 * again, and for each SA that is not there any more the program reads that it is past its soft
 * lifetime (XFRM_MSG_EXPIRE): it rekeys, as it does all the time.
 */
#include "control/cli/preload.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/time.h>

#define ANSWER_BYTES   4096
#define ANSWER_SECONDS 5

struct policy {
	TAILQ_ENTRY(policy) next;
	struct xfrm_selector selector;
	uint8_t direction;
	struct xfrm_mark mark;
	uint32_t if_id;
	struct nlmsghdr *message; /* XFRM_MSG_NEWPOLICY */
};

struct state {
	TAILQ_ENTRY(state) next;
	struct xfrm_usersa_info info;
	struct xfrm_mark mark;
	uint32_t if_id;
	bool lost; /* the program is to be told */
};

static TAILQ_HEAD(, policy) policies = TAILQ_HEAD_INITIALIZER(policies);
static TAILQ_HEAD(, state) states = TAILQ_HEAD_INITIALIZER(states);
static unsigned int lost;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void hold(void)
{
	pthread_mutex_lock(&lock);
}

static void let_go(void)
{
	pthread_mutex_unlock(&lock);
}

static void __attribute__((constructor)) initialise(void)
{
	pthread_atfork(hold, let_go, let_go);
}

/* ---- what was sent ------------------------------------------------------------------------ */

/** XFRMA_MARK and XFRMA_IF_ID behind a header of @p size bytes; zero where they are not. */
static void scope_of(const struct nlmsghdr *nlh, size_t size, struct xfrm_mark *mark,
		     uint32_t *if_id)
{
	size_t at = NLMSG_LENGTH(NLMSG_ALIGN(size));
	struct nlattr attribute;

	memset(mark, 0, sizeof(*mark));
	*if_id = 0;
	for (; at + sizeof(attribute) <= nlh->nlmsg_len; at += NLA_ALIGN(attribute.nla_len)) {
		const uint8_t *from = (const uint8_t *)nlh + at;

		memcpy(&attribute, from, sizeof(attribute));
		if (attribute.nla_len < sizeof(attribute) ||
		    attribute.nla_len > nlh->nlmsg_len - at)
			return;
		if (attribute.nla_type == XFRMA_MARK &&
		    attribute.nla_len >= NLA_HDRLEN + sizeof(*mark))
			memcpy(mark, from + NLA_HDRLEN, sizeof(*mark));
		if (attribute.nla_type == XFRMA_IF_ID &&
		    attribute.nla_len >= NLA_HDRLEN + sizeof(*if_id))
			memcpy(if_id, from + NLA_HDRLEN, sizeof(*if_id));
	}
}

static void policy_forget(struct policy *policy)
{
	TAILQ_REMOVE(&policies, policy, next);
	free(policy->message);
	free(policy);
}

static void policy_remove(const struct policy *like)
{
	struct policy *policy, *following;

	for (policy = TAILQ_FIRST(&policies); policy; policy = following) {
		following = TAILQ_NEXT(policy, next);
		if (policy->direction == like->direction && policy->if_id == like->if_id &&
		    memcmp(&policy->mark, &like->mark, sizeof(like->mark)) == 0 &&
		    memcmp(&policy->selector, &like->selector, sizeof(like->selector)) == 0)
			policy_forget(policy);
	}
}

static void policy_sent(const struct nlmsghdr *nlh)
{
	struct xfrm_userpolicy_info info;
	struct policy *policy;

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(info)))
		return;
	policy = calloc(1, sizeof(*policy));
	if (!policy)
		return;
	memcpy(&info, NLMSG_DATA(nlh), sizeof(info));
	policy->selector = info.sel;
	policy->direction = info.dir;
	scope_of(nlh, sizeof(info), &policy->mark, &policy->if_id);
	policy_remove(policy);
	policy->message = malloc(nlh->nlmsg_len);
	if (!policy->message) {
		free(policy);
		return;
	}
	memcpy(policy->message, nlh, nlh->nlmsg_len);
	policy->message->nlmsg_type = XFRM_MSG_NEWPOLICY;
	policy->message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	TAILQ_INSERT_TAIL(&policies, policy, next);
}

static void policy_deleted(const struct nlmsghdr *nlh)
{
	struct xfrm_userpolicy_id id;
	struct policy like = {0};

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(id)))
		return;
	memcpy(&id, NLMSG_DATA(nlh), sizeof(id));
	like.selector = id.sel;
	like.direction = id.dir;
	scope_of(nlh, sizeof(id), &like.mark, &like.if_id);
	policy_remove(&like);
}

static struct state *state_find(const struct xfrm_id *id, uint16_t family)
{
	size_t size = family == AF_INET6 ? 16 : 4;
	struct state *state;

	TAILQ_FOREACH (state, &states, next)
		if (state->info.id.spi == id->spi && state->info.family == family &&
		    state->info.id.proto == id->proto &&
		    memcmp(&state->info.id.daddr, &id->daddr, size) == 0)
			return state;
	return NULL;
}

static void state_forget(struct state *state)
{
	if (!state)
		return;
	lost -= state->lost;
	TAILQ_REMOVE(&states, state, next);
	free(state);
}

static void state_sent(const struct nlmsghdr *nlh)
{
	struct xfrm_usersa_info info;
	struct state *state;

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(info)))
		return;
	memcpy(&info, NLMSG_DATA(nlh), sizeof(info));
	state_forget(state_find(&info.id, info.family));
	state = calloc(1, sizeof(*state));
	if (!state)
		return;
	state->info = info;
	scope_of(nlh, sizeof(info), &state->mark, &state->if_id);
	TAILQ_INSERT_TAIL(&states, state, next);
}

static void state_deleted(const struct nlmsghdr *nlh)
{
	struct xfrm_usersa_id named;
	struct xfrm_id id = {0};

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(named)))
		return;
	memcpy(&named, NLMSG_DATA(nlh), sizeof(named));
	id.daddr = named.daddr;
	id.spi = named.spi;
	id.proto = named.proto;
	state_forget(state_find(&id, named.family));
}

static void note(const struct nlmsghdr *nlh, bool arrived)
{
	switch (nlh->nlmsg_type) {
	case XFRM_MSG_NEWSA:
	case XFRM_MSG_UPDSA:
		if (arrived)
			state_sent(nlh);
		break;
	case XFRM_MSG_DELSA:
		state_deleted(nlh);
		break;
	case XFRM_MSG_FLUSHSA:
		while (!TAILQ_EMPTY(&states))
			state_forget(TAILQ_FIRST(&states));
		break;
	case XFRM_MSG_NEWPOLICY:
	case XFRM_MSG_UPDPOLICY:
		if (arrived)
			policy_sent(nlh);
		break;
	case XFRM_MSG_DELPOLICY:
		policy_deleted(nlh);
		break;
	case XFRM_MSG_FLUSHPOLICY:
		while (!TAILQ_EMPTY(&policies))
			policy_forget(TAILQ_FIRST(&policies));
		break;
	default:
		break;
	}
}

void preload_xfrm_sent(const struct msghdr *message, bool arrived)
{
	const uint8_t *at;
	size_t left;

	if (message->msg_iovlen != 1)
		return;
	at = message->msg_iov[0].iov_base;
	left = message->msg_iov[0].iov_len;
	hold();
	while (left >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)at;
		size_t size = NLMSG_ALIGN(nlh->nlmsg_len);

		if (nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > left)
			break;
		note(nlh, arrived);
		at += size;
		left = size < left ? left - size : 0;
	}
	let_go();
}

/* ---- the daemon is back ------------------------------------------------------------------- */

/** Sends one request and waits for its answer: 0, -errno of the answer, or -EIO. */
static int ask(int fd, const struct nlmsghdr *request)
{
	union {
		struct nlmsghdr header;
		struct {
			struct nlmsghdr header;
			int error;
		} refusal;
		uint8_t bytes[ANSWER_BYTES];
	} answer;
	ssize_t size;

	if (REAL(send)(fd, request, request->nlmsg_len, MSG_NOSIGNAL) < 0)
		return -EIO;
	do
		size = REAL(recv)(fd, &answer, sizeof(answer), 0);
	while (size < 0 && errno == EINTR);
	if (size < (ssize_t)sizeof(answer.header))
		return -EIO;
	size = answer.header.nlmsg_type == NLMSG_ERROR && size >= (ssize_t)sizeof(answer.refusal)
		       ? answer.refusal.error
		       : 0;
	explicit_bzero(&answer, sizeof(answer)); /* an SA's answer has its keys */
	return (int)size;
}

static int state_ask(int fd, const struct state *state)
{
	struct {
		struct nlmsghdr header;
		struct xfrm_usersa_id id;
		struct nlattr mark_header;
		struct xfrm_mark mark;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = XFRM_MSG_GETSA,
			   .nlmsg_flags = NLM_F_REQUEST},
		.id = {.daddr = state->info.id.daddr,
		       .spi = state->info.id.spi,
		       .family = state->info.family,
		       .proto = state->info.id.proto},
		.mark_header = {.nla_len = NLA_HDRLEN + sizeof(state->mark),
				.nla_type = XFRMA_MARK},
		.mark = state->mark,
	};

	return ask(fd, &request.header);
}

/** False: the connection is lost again, or the daemon is silent. */
static bool policies_restore(int fd)
{
	struct policy *policy;

	/* Those that are there already (-EEXIST) are as new as these, or newer. */
	TAILQ_FOREACH (policy, &policies, next)
		if (ask(fd, policy->message) == -EIO)
			return false;
	return true;
}

static void states_look(int fd)
{
	struct state *state;

	TAILQ_FOREACH (state, &states, next) {
		int ret = state_ask(fd, state);

		if (ret == -EIO)
			return;
		lost -= state->lost;
		state->lost = ret == -ESRCH;
		lost += state->lost;
	}
}

void preload_xfrm_restore(int fd)
{
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	hold();
	if (policies_restore(fd))
		states_look(fd);
	let_go();
}

static size_t put_expire(uint8_t *at, const struct state *state)
{
	struct {
		struct nlmsghdr header;
		struct xfrm_user_expire expire;
	} message = {
		.header = {.nlmsg_len = sizeof(message), .nlmsg_type = XFRM_MSG_EXPIRE},
		.expire = {.state = state->info},
	};

	memcpy(at, &message, sizeof(message));
	return sizeof(message);
}

/*
 * The overrun that the connection began with stays on the socket until all are told: so the
 * program's poll finds it readable.
 */
bool preload_xfrm_expired(const struct msghdr *message, int flags, ssize_t *size)
{
	size_t one = sizeof(struct nlmsghdr) + sizeof(struct xfrm_user_expire), used = 0;
	size_t room = message->msg_iovlen ? message->msg_iov[0].iov_len : 0;
	struct state *state;

	if (!__atomic_load_n(&lost, __ATOMIC_RELAXED))
		return false;
	hold();
	TAILQ_FOREACH (state, &states, next) {
		if (!state->lost || used + one > room)
			continue;
		used += put_expire((uint8_t *)message->msg_iov[0].iov_base + used, state);
		if (flags & MSG_PEEK)
			break;
		state->lost = false;
		lost--;
	}
	let_go();
	*size = (ssize_t)used;
	return used != 0;
}
