/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What Pewter has done with the kernel's SAs, told to the kernel (XFRM_MSG_NEWAE), where IKE
 * daemons look for it. NEWAE sets counters and looks at no limit, so the end of a lifetime in
 * bytes or packets is told as well (XFRM_MSG_EXPIRE); time is the kernel's own.
 *
 * The kernel's count of what was sent with an SA is kept ahead of Pewter's, as a lease: whoever
 * goes on from the kernel's count (Pewter started anew, a daemon that moves the SA to other
 * addresses, the kernel itself) then uses no number, and so no IV, a second time.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/feed/xfrm_internal.h"
#include "control/links.h"
#include "lib/log.h"

#define MESSAGE_BYTES 1024
#define APART         (UINT64_C(1) << 20) /* beyond what the kernel has sent itself */

static struct nlmsghdr *state_message(void *buffer, uint16_t type, uint16_t flags,
				      const struct pw_sa_detail *sa)
{
	struct nlmsghdr *nlh = pw_xfrm_message(buffer, type, flags);
	struct xfrm_aevent_id *id = mnl_nlmsg_put_extra_header(nlh, sizeof(*id));
	struct pw_xfrm_name name;

	pw_xfrm_name(sa, &name);
	id->sa_id = name.id;
	pw_netlink_sa_put_address(&sa->entry.source, &id->saddr);
	id->reqid = sa->entry.reqid;
	pw_xfrm_put_mark(nlh, &name.mark);
	return nlh;
}

/** The kernel takes a bitmap of its own size only. */
static void replay_put(struct nlmsghdr *nlh, const struct pw_sa_detail *sa, uint64_t sent)
{
	size_t at = nlh->nlmsg_len;
	struct nlattr *attribute = (struct nlattr *)((char *)nlh + at);
	struct xfrm_replay_state_esn *wide;
	size_t size;

	pw_sa_replay_put(nlh, sa);
	if (!sa->wide_replay) {
		struct xfrm_replay_state *narrow = mnl_attr_get_payload(attribute);

		narrow->oseq = (uint32_t)sent;
		return;
	}
	wide = mnl_attr_get_payload(attribute);
	wide->oseq = (uint32_t)sent;
	wide->oseq_hi = (uint32_t)(sent >> 32);
	if (wide->bmp_len >= sa->mirror.words)
		return;
	size = sizeof(*wide) + sa->mirror.words * sizeof(uint32_t);
	memset(wide->bmp + wide->bmp_len, 0, (sa->mirror.words - wide->bmp_len) * sizeof(uint32_t));
	wide->bmp_len = sa->mirror.words;
	attribute->nla_len = (uint16_t)(MNL_ATTR_HDRLEN + size);
	nlh->nlmsg_len = (uint32_t)at + MNL_ALIGN(attribute->nla_len);
}

/* ---- leases -------------------------------------------------------------------------------- */

static uint64_t sent_by(const struct pw_sa_detail *sa)
{
	return __atomic_load_n(&sa->state->sequence, __ATOMIC_RELAXED);
}

static uint64_t limit_of(const struct pw_sa_detail *sa)
{
	return sa->flags & XFRM_STATE_ESN ? UINT64_MAX - (UINT64_C(1) << 32) : UINT32_MAX;
}

static bool leased(const struct pw_sa_detail *sa)
{
	return sa->mirror.on && !sa->inward && sa->state;
}

int pw_xfrm_lease(struct pw_sa_detail *sa)
{
	char buffer[MESSAGE_BYTES] __attribute__((aligned(8)));
	uint64_t from, limit = limit_of(sa);
	struct nlmsghdr *nlh;
	int ret;

	if (!leased(sa))
		return 0;
	from = sent_by(sa) > sa->mirror.lease ? sent_by(sa) : sa->mirror.lease;
	from = from < limit - PW_XFRM_LEASE ? from + PW_XFRM_LEASE : limit;
	nlh = state_message(buffer, XFRM_MSG_NEWAE, NLM_F_REPLACE, sa);
	replay_put(nlh, sa, from);
	ret = pw_xfrm_exchange(nlh, NULL, NULL);
	if (!ret)
		sa->mirror.lease = from;
	return ret;
}

void pw_xfrm_leases_renew(void)
{
	struct pw_sa_entry *entry, *next;

	for (entry = TAILQ_FIRST(&pw_sa_list); entry; entry = next) {
		struct pw_sa_detail *sa = entry->detail;
		int ret;

		next = TAILQ_NEXT(entry, all);
		if (!leased(sa) || sa->mirror.lease >= limit_of(sa) ||
		    sent_by(sa) + PW_XFRM_LEASE / 2 <= sa->mirror.lease)
			continue;
		ret = pw_xfrm_lease(sa);
		if (ret == -ESRCH)
			pw_xfrm_sa_remove(sa);
		else if (ret)
			pw_warning("the kernel's count of SA 0x%08x cannot be moved: %s",
				   ntohl(entry->spi), strerror(-ret));
	}
}

/** The kernel has sent with an SA that is Pewter's: Pewter goes on beyond, and a window above. */
static void keep_apart(struct pw_sa_detail *sa)
{
	uint64_t limit = limit_of(sa), beyond = sa->mirror.foreign;
	char why[PW_CRYPTO_WHY_BYTES] = "";
	struct pw_sa_replay replay;
	int ret;

	pw_warning("the kernel itself sends with SA 0x%08x, which is Pewter's: is there a GRE "
		   "interface in the kernel?",
		   ntohl(sa->entry.spi));
	pw_xfrm_counters.shared++;
	pw_sa_replay_read(sa, &replay);
	replay.sent = beyond < limit - APART ? beyond + APART : limit;
	sa->mirror.foreign = 0;
	sa->mirror.lease = replay.sent;
	ret = pw_sa_replay_forward(sa, &replay, why);
	ret = ret ? ret : pw_xfrm_lease(sa);
	if (ret) {
		pw_error("SA 0x%08x is given up: %s", ntohl(sa->entry.spi),
			 why[0] ? why : strerror(-ret));
		pw_xfrm_sa_remove(sa);
	}
}

/* ---- counters ------------------------------------------------------------------------------ */

static void usage_put(struct nlmsghdr *nlh, struct pw_sa_detail *sa)
{
	struct pw_sa_usage usage;

	pw_sa_usage(sa, &usage);
	mnl_attr_put(nlh, XFRMA_LTIME_VAL, sizeof(usage.current), &usage.current);
	/* Nobody sends inward: the window can be told as it is. */
	if (sa->inward && sa->state)
		replay_put(nlh, sa, sent_by(sa));
}

static struct pw_sa_detail *state_named(const struct nlmsghdr *nlh)
{
	const struct xfrm_aevent_id *id = mnl_nlmsg_get_payload(nlh);
	struct pw_xfrm_name name = {0};
	const struct nlattr *mark;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*id))
		return NULL;
	name.id = id->sa_id;
	mark = pw_xfrm_attribute(nlh, sizeof(*id), XFRMA_MARK, sizeof(name.mark));
	if (mark)
		memcpy(&name.mark, mnl_attr_get_payload(mark), sizeof(name.mark));
	return pw_xfrm_sa_find(&name);
}

static uint64_t sent_in(const struct nlmsghdr *nlh)
{
	size_t header = sizeof(struct xfrm_aevent_id);
	const struct nlattr *wide = pw_xfrm_attribute(nlh, header, XFRMA_REPLAY_ESN_VAL,
						      sizeof(struct xfrm_replay_state_esn));
	const struct nlattr *narrow =
		pw_xfrm_attribute(nlh, header, XFRMA_REPLAY_VAL, sizeof(struct xfrm_replay_state));

	if (wide) {
		const struct xfrm_replay_state_esn *state = mnl_attr_get_payload(wide);

		return (uint64_t)state->oseq_hi << 32 | state->oseq;
	}
	return narrow ? ((const struct xfrm_replay_state *)mnl_attr_get_payload(narrow))->oseq : 0;
}

/** Answers to a batch; what is to be done for them comes after it. */
static int batch_answer(const struct nlmsghdr *nlh, void *context)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
	struct pw_sa_detail *sa;

	if (nlh->nlmsg_type == XFRM_MSG_NEWAE) {
		sa = state_named(nlh);
		if (sa && leased(sa) && sent_in(nlh) > sa->mirror.lease)
			sa->mirror.foreign = sent_in(nlh);
	}
	if (nlh->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(nlh) < sizeof(*error) ||
	    !error->error || error->msg.nlmsg_len < sizeof(error->msg) ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(error->error) + error->msg.nlmsg_len)
		return 0;
	/* An error has the request in it. */
	sa = state_named(&error->msg);
	if (sa)
		sa->mirror.gone = true;
	return 0;
}

static void batch_finish(void)
{
	struct pw_sa_entry *entry, *next;
	struct pw_xfrm_name name;

	pw_xfrm_batch_send(batch_answer);
	for (entry = TAILQ_FIRST(&pw_sa_list); entry; entry = next) {
		struct pw_sa_detail *sa = entry->detail;

		next = TAILQ_NEXT(entry, all);
		if (sa->mirror.gone) {
			sa->mirror.gone = false;
			pw_xfrm_name(sa, &name);
			pw_xfrm_sa_refresh(&name);
		} else if (sa->mirror.foreign) {
			keep_apart(sa);
		}
	}
}

void pw_xfrm_report(void)
{
	char buffer[MESSAGE_BYTES] __attribute__((aligned(8)));
	struct pw_sa_entry *entry;

	TAILQ_FOREACH (entry, &pw_sa_list, all) {
		struct pw_sa_detail *sa = entry->detail;
		struct pw_sa_usage usage;
		struct nlmsghdr *nlh;
		uint64_t top;

		if (!sa->mirror.on || !sa->state)
			continue;
		pw_sa_usage(sa, &usage);
		top = __atomic_load_n(&sa->state->window.top, __ATOMIC_RELAXED);
		if (usage.current.packets == sa->mirror.packets && top == sa->mirror.received)
			continue;
		sa->mirror.packets = usage.current.packets;
		sa->mirror.received = top;
		if (leased(sa))
			pw_xfrm_batch_add(state_message(buffer, XFRM_MSG_GETAE, 0, sa),
					  batch_answer);
		nlh = state_message(buffer, XFRM_MSG_NEWAE, NLM_F_REPLACE, sa);
		usage_put(nlh, sa);
		pw_xfrm_batch_add(nlh, batch_answer);
	}
	batch_finish();
}

/* ---- the end of a lifetime ----------------------------------------------------------------- */

static bool reached(uint64_t count, uint64_t limit)
{
	return limit != XFRM_INF && count >= limit;
}

/** By what Pewter counts, and not by the clock, which the kernel has as well. */
static bool counted_out(struct pw_sa_detail *sa, bool hard)
{
	const struct xfrm_lifetime_cfg *limits = &sa->limits;
	struct pw_sa_usage usage;

	if (hard && __atomic_load_n(&sa->state->exhausted, __ATOMIC_RELAXED))
		return true;
	pw_sa_usage(sa, &usage);
	return reached(usage.current.bytes,
		       hard ? limits->hard_byte_limit : limits->soft_byte_limit) ||
	       reached(usage.current.packets,
		       hard ? limits->hard_packet_limit : limits->soft_packet_limit);
}

void pw_xfrm_mirror_expired(struct pw_sa_detail *sa, bool hard)
{
	char buffer[MESSAGE_BYTES] __attribute__((aligned(8)));
	struct xfrm_user_expire expire = {.hard = hard};
	struct pw_xfrm_name name;
	struct nlmsghdr *nlh;
	int ret;

	if (!sa->mirror.on || !sa->state || !counted_out(sa, hard))
		return;
	nlh = state_message(buffer, XFRM_MSG_NEWAE, NLM_F_REPLACE, sa);
	usage_put(nlh, sa);
	pw_xfrm_exchange(nlh, NULL, NULL);
	pw_xfrm_name(sa, &name);
	expire.state.id.daddr = name.id.daddr;
	expire.state.id.spi = name.id.spi;
	expire.state.id.proto = name.id.proto;
	expire.state.family = name.id.family;
	nlh = pw_xfrm_message(buffer, XFRM_MSG_EXPIRE, 0);
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(expire)), &expire, sizeof(expire));
	pw_xfrm_put_mark(nlh, &name.mark);
	ret = pw_xfrm_exchange(nlh, NULL, NULL);
	if (ret && ret != -ENOENT && ret != -ESRCH)
		pw_warning("the kernel does not hear that SA 0x%08x is at its %s limit: %s",
			   ntohl(sa->entry.spi), hard ? "hard" : "soft", strerror(-ret));
}
