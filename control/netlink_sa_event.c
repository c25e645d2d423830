/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What clients are told of SAs without asking (no keys in these), and the messages of those who
 * keep a standby: XFRM_MSG_NEWAE, GETAE, and XFRM_MSG_EXPIRE from a client.
 */
#include "control/sa.h"

#include <errno.h>
#include <string.h>

#include "control/links.h"

struct event {
	uint32_t buffer[PW_SA_ROOM / sizeof(uint32_t)];
	struct nlmsghdr *nlh;
};

static void event_begin(struct event *event, uint16_t type, uint32_t seq)
{
	event->nlh = mnl_nlmsg_put_header(event->buffer);
	event->nlh->nlmsg_type = type;
	event->nlh->nlmsg_seq = seq;
}

/* ---- events --------------------------------------------------------------------------------- */

void pw_netlink_sa_notify_new(struct pw_sa_detail *sa, uint16_t type, uint32_t seq)
{
	struct event event;

	if (!pw_notify_xfrm_wanted(XFRMNLGRP_SA))
		return;
	event_begin(&event, type, seq);
	pw_netlink_sa_put_info(event.nlh, sa);
	pw_netlink_sa_put_attributes(event.nlh, sa, false);
	pw_notify_xfrm(XFRMNLGRP_SA, event.nlh);
}

void pw_netlink_sa_notify_delete(struct pw_sa_detail *sa, uint32_t seq)
{
	struct xfrm_usersa_id id;
	struct nlattr *nest;
	struct event event;

	if (!pw_notify_xfrm_wanted(XFRMNLGRP_SA))
		return;
	event_begin(&event, XFRM_MSG_DELSA, seq);
	pw_netlink_sa_id(sa, &id);
	memcpy(mnl_nlmsg_put_extra_header(event.nlh, sizeof(id)), &id, sizeof(id));
	/* The SA's header is an attribute here. */
	nest = mnl_attr_nest_start(event.nlh, XFRMA_SA);
	nest->nla_type = XFRMA_SA;
	pw_netlink_sa_put_info(event.nlh, sa);
	mnl_attr_nest_end(event.nlh, nest);
	pw_netlink_sa_put_attributes(event.nlh, sa, false);
	pw_notify_xfrm(XFRMNLGRP_SA, event.nlh);
}

void pw_netlink_sa_notify_flush(uint8_t protocol, uint32_t seq)
{
	struct xfrm_usersa_flush *flush;
	struct event event;

	if (!pw_notify_xfrm_wanted(XFRMNLGRP_SA))
		return;
	event_begin(&event, XFRM_MSG_FLUSHSA, seq);
	flush = mnl_nlmsg_put_extra_header(event.nlh, sizeof(*flush));
	flush->proto = protocol;
	pw_notify_xfrm(XFRMNLGRP_SA, event.nlh);
}

static void put_mark_and_interface(struct nlmsghdr *nlh, const struct pw_sa_detail *sa)
{
	struct xfrm_mark mark = {.v = sa->entry.mark.value, .m = sa->entry.mark.mask};

	if (mark.v | mark.m)
		mnl_attr_put(nlh, XFRMA_MARK, sizeof(mark), &mark);
	if (sa->entry.if_id)
		mnl_attr_put_u32(nlh, XFRMA_IF_ID, sa->entry.if_id);
}

void pw_netlink_sa_notify_expire(struct pw_sa_detail *sa, bool hard)
{
	struct event event;
	uint8_t *byte;

	if (!pw_notify_xfrm_wanted(XFRMNLGRP_EXPIRE))
		return;
	event_begin(&event, XFRM_MSG_EXPIRE, 0);
	/* struct xfrm_user_expire: the SA, a byte, and padding to 8. */
	pw_netlink_sa_put_info(event.nlh, sa);
	byte = mnl_nlmsg_put_extra_header(event.nlh, sizeof(struct xfrm_user_expire) -
							     sizeof(struct xfrm_usersa_info));
	byte[0] = hard;
	put_mark_and_interface(event.nlh, sa);
	pw_notify_xfrm(XFRMNLGRP_EXPIRE, event.nlh);
}

void pw_netlink_sa_notify_mapping(struct pw_sa_detail *sa, const struct pw_address *address,
				  uint16_t port)
{
	struct xfrm_user_mapping mapping = {
		.reqid = sa->entry.reqid, .old_sport = sa->encap.encap_sport, .new_sport = port};
	struct event event;

	if (!pw_notify_xfrm_wanted(XFRMNLGRP_MAPPING))
		return;
	pw_netlink_sa_id(sa, &mapping.id);
	pw_netlink_sa_put_address(&sa->entry.source, &mapping.old_saddr);
	pw_netlink_sa_put_address(address, &mapping.new_saddr);
	event_begin(&event, XFRM_MSG_MAPPING, 0);
	memcpy(mnl_nlmsg_put_extra_header(event.nlh, sizeof(mapping)), &mapping, sizeof(mapping));
	pw_notify_xfrm(XFRMNLGRP_MAPPING, event.nlh);
}

/* ---- XFRM_MSG_NEWAE, GETAE ------------------------------------------------------------------ */

static void put_state(struct nlmsghdr *nlh, struct pw_sa_detail *sa, uint32_t flags)
{
	struct xfrm_aevent_id id = {.reqid = sa->entry.reqid, .flags = flags};
	struct pw_sa_usage usage;

	pw_sa_usage(sa, &usage);
	pw_netlink_sa_id(sa, &id.sa_id);
	pw_netlink_sa_put_address(&sa->entry.source, &id.saddr);
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(id)), &id, sizeof(id));
	pw_sa_replay_put(nlh, sa);
	mnl_attr_put(nlh, XFRMA_LTIME_VAL, sizeof(usage.current), &usage.current);
	if (flags & XFRM_AE_RTHR)
		mnl_attr_put_u32(nlh, XFRMA_REPLAY_THRESH, sa->event_replay);
	if (flags & XFRM_AE_ETHR)
		mnl_attr_put_u32(nlh, XFRMA_ETIMER_THRESH, sa->event_timer);
	put_mark_and_interface(nlh, sa);
}

void pw_netlink_sa_notify_state(struct pw_sa_detail *sa, uint32_t cause)
{
	struct event event;

	if (!pw_notify_xfrm_wanted(XFRMNLGRP_AEVENTS))
		return;
	event_begin(&event, XFRM_MSG_NEWAE, 0);
	put_state(event.nlh, sa, cause);
	pw_notify_xfrm(XFRMNLGRP_AEVENTS, event.nlh);
}

/** The SA that a struct xfrm_aevent_id names, and the attributes behind it. */
static struct pw_sa_detail *state_named(struct pw_request *request, struct xfrm_aevent_id *id,
					const struct nlattr **in, int *ret)
{
	struct pw_sa_detail *sa;

	*ret = pw_request_attributes(request, sizeof(*id), "XFRM state", pw_netlink_sa_policy,
				     XFRMA_MAX, in);
	if (*ret)
		return NULL;
	memcpy(id, mnl_nlmsg_get_payload(request->nlh), sizeof(*id));
	sa = pw_netlink_sa_named(request, &id->sa_id, in[XFRMA_MARK], ret);
	if (!sa || !sa->entry.larval)
		return sa;
	*ret = pw_refuse(request, NULL, -EINVAL, "the SA has no keys yet");
	return NULL;
}

static int handle_getae(struct pw_request *request)
{
	const struct nlattr *in[XFRMA_MAX + 1];
	struct xfrm_aevent_id id;
	struct event event;
	int ret;
	struct pw_sa_detail *sa = state_named(request, &id, in, &ret);

	if (!sa)
		return ret;
	event_begin(&event, XFRM_MSG_NEWAE, 0);
	put_state(event.nlh, sa, id.flags);
	return pw_reply(request, event.nlh);
}

static int state_check(struct pw_request *request, const struct nlattr *const *in)
{
	if (!in[XFRMA_REPLAY_VAL] && !in[XFRMA_REPLAY_ESN_VAL] && !in[XFRMA_LTIME_VAL] &&
	    !in[XFRMA_ETIMER_THRESH] && !in[XFRMA_REPLAY_THRESH])
		return pw_refuse(request, NULL, -EINVAL,
				 "XFRM_MSG_NEWAE without anything to be set");
	if (!(request->nlh->nlmsg_flags & NLM_F_REPLACE))
		return pw_refuse(request, NULL, -EINVAL, "XFRM_MSG_NEWAE needs NLM_F_REPLACE");
	return 0;
}

static int replay_set(struct pw_request *request, struct pw_sa_detail *sa,
		      const struct nlattr *const *in)
{
	const struct nlattr *wide = in[XFRMA_REPLAY_ESN_VAL], *narrow = in[XFRMA_REPLAY_VAL];
	char why[PW_CRYPTO_WHY_BYTES] = "";
	struct pw_sa_replay replay;
	uint32_t window = sa->window;
	int ret;

	if (!wide && !narrow)
		return 0;
	if (sa->wide_replay != (wide != NULL))
		return pw_refuse(request, wide ? wide : narrow, -EINVAL,
				 "the SA's replay state is told by %s",
				 sa->wide_replay ? "XFRMA_REPLAY_ESN_VAL" : "XFRMA_REPLAY_VAL");
	ret = pw_sa_replay_parse(request, narrow, wide, sa->flags & XFRM_STATE_ESN, &replay,
				 &window);
	if (ret)
		return ret;
	if (window != sa->window)
		return pw_refuse(request, wide, -EINVAL, "the SA's replay window is %u, not %u",
				 sa->window, window);
	ret = pw_sa_replay_forward(sa, &replay, why);
	return ret ? pw_refuse(request, wide ? wide : narrow, ret, "%s", why) : 0;
}

static int handle_newae(struct pw_request *request)
{
	const struct nlattr *in[XFRMA_MAX + 1];
	struct xfrm_lifetime_cur current;
	struct xfrm_aevent_id id;
	int ret;
	struct pw_sa_detail *sa = state_named(request, &id, in, &ret);

	ret = sa ? state_check(request, in) : ret;
	ret = ret ? ret : replay_set(request, sa, in);
	if (ret)
		return ret;
	if (in[XFRMA_ETIMER_THRESH])
		sa->event_timer = mnl_attr_get_u32(in[XFRMA_ETIMER_THRESH]);
	if (in[XFRMA_REPLAY_THRESH])
		sa->event_replay = mnl_attr_get_u32(in[XFRMA_REPLAY_THRESH]);
	if (in[XFRMA_LTIME_VAL]) {
		memcpy(&current, mnl_attr_get_payload(in[XFRMA_LTIME_VAL]), sizeof(current));
		pw_sa_lifetime_set(sa, &current);
	} else {
		pw_sa_lifetime_changed(sa);
	}
	pw_netlink_sa_notify_state(sa, XFRM_AE_CU);
	return 0;
}

/* ---- XFRM_MSG_EXPIRE from a client ----------------------------------------------------------- */

static int handle_expire(struct pw_request *request)
{
	const struct nlattr *in[XFRMA_MAX + 1];
	struct xfrm_user_expire expire;
	struct xfrm_usersa_id id;
	struct pw_sa_detail *sa;
	int ret = pw_request_attributes(request, sizeof(expire), "XFRM expire",
					pw_netlink_sa_policy, XFRMA_MAX, in);

	if (ret)
		return ret;
	memcpy(&expire, mnl_nlmsg_get_payload(request->nlh), sizeof(expire));
	id = (struct xfrm_usersa_id){.daddr = expire.state.id.daddr,
				     .spi = expire.state.id.spi,
				     .family = expire.state.family,
				     .proto = expire.state.id.proto};
	sa = pw_netlink_sa_named(request, &id, in[XFRMA_MARK], &ret);
	if (!sa)
		return ret;
	if (sa->entry.larval)
		return pw_refuse(request, NULL, -EINVAL, "the SA has no keys yet");
	if (expire.hard)
		pw_sa_expire_hard(sa);
	else
		pw_netlink_sa_notify_expire(sa, false);
	return 0;
}

void pw_netlink_sa_event_init(void)
{
	pw_request_register_protocol(NETLINK_XFRM, XFRM_MSG_NEWAE, -1, handle_newae, NULL);
	pw_request_register_protocol(NETLINK_XFRM, XFRM_MSG_GETAE, -1, handle_getae, NULL);
	pw_request_register_protocol(NETLINK_XFRM, XFRM_MSG_EXPIRE, -1, handle_expire, NULL);
}
