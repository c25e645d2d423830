/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's policies as Pewter's. One that cannot be met here becomes a block, for those
 * packets that the kernel would not let pass without it either.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/feed/xfrm_internal.h"
#include "control/links.h"
#include "control/policy.h"
#include "lib/log.h"

#define MESSAGE_BYTES 1024

/* Values of struct pw_policy's mirrored. */
enum { AS_IT_IS = 1, WIDENED };

static uint8_t defaults[XFRM_POLICY_MAX]; /* as the kernel had them last */

/** One policy of the kernel's, as its messages have it. */
struct given {
	struct xfrm_userpolicy_info info;
	const struct nlattr *template;
	struct xfrm_mark mark;
	uint32_t if_id;
	uint8_t type;
};

/** The attributes behind a header of @p size bytes; info is read already. */
static void attributes_read(const struct nlmsghdr *nlh, size_t size, struct given *given)
{
	const struct nlattr *attribute;

	given->template = pw_xfrm_attribute(nlh, size, XFRMA_TMPL, sizeof(struct xfrm_user_tmpl));
	attribute = pw_xfrm_attribute(nlh, size, XFRMA_MARK, sizeof(given->mark));
	if (attribute)
		memcpy(&given->mark, mnl_attr_get_payload(attribute), sizeof(given->mark));
	attribute = pw_xfrm_attribute(nlh, size, XFRMA_IF_ID, sizeof(uint32_t));
	if (attribute)
		given->if_id = mnl_attr_get_u32(attribute);
	attribute = pw_xfrm_attribute(nlh, size, XFRMA_POLICY_TYPE,
				      sizeof(struct xfrm_userpolicy_type));
	if (attribute)
		given->type = ((const struct xfrm_userpolicy_type *)mnl_attr_get_payload(attribute))
				      ->type;
}

/** XFRM_MSG_{NEW,UPD,DEL}POLICY and POLEXPIRE have the policy in different places. */
static bool given_read(const struct nlmsghdr *nlh, struct given *given)
{
	size_t size = sizeof(given->info);
	const void *info = mnl_nlmsg_get_payload(nlh);

	memset(given, 0, sizeof(*given));
	if (nlh->nlmsg_type == XFRM_MSG_POLEXPIRE)
		size = sizeof(struct xfrm_user_polexpire); /* begins with it */
	if (nlh->nlmsg_type == XFRM_MSG_DELPOLICY) {
		const struct nlattr *attribute;

		size = sizeof(struct xfrm_userpolicy_id);
		attribute = pw_xfrm_attribute(nlh, size, XFRMA_POLICY, sizeof(given->info));
		info = attribute ? mnl_attr_get_payload(attribute) : NULL;
	}
	if (!info || mnl_nlmsg_get_payload_len(nlh) < size)
		return false;
	memcpy(&given->info, info, sizeof(given->info));
	attributes_read(nlh, size, given);
	return true;
}

/**
 * Sockets' own policies, and those of packets that Pewter does not send, are not its business;
 * nor are those of forwarded packets, and of other protocols, unless they are selected.
 */
static bool concerns(const struct given *given)
{
	const struct pw_xfrm_options *options = &pw_xfrm_options;
	const struct xfrm_userpolicy_info *info = &given->info;
	const struct xfrm_mark *mark = &given->mark;
	const struct xfrm_user_tmpl *template =
		given->template ? mnl_attr_get_payload(given->template) : NULL;

	if (given->type != XFRM_POLICY_TYPE_MAIN || info->dir > XFRM_POLICY_FWD ||
	    (info->sel.family != AF_INET && info->sel.family != AF_INET6))
		return false;
	if (!pw_xfrm_selective() &&
	    (info->dir == XFRM_POLICY_FWD || !pw_xfrm_tunnels(info->sel.proto)))
		return false;
	if (options->by_mark ? mark->v != options->mark || mark->m != options->mask : mark->v != 0)
		return false;
	if (options->by_reqid && template &&
	    (template->reqid < options->reqid_first || template->reqid > options->reqid_last))
		return false;
	return given->if_id == options->if_id;
}

/** Ours with this identity, whoever made it. */
static struct pw_policy *find(const struct given *given)
{
	const struct xfrm_selector *from = &given->info.sel;
	unsigned int size = pw_address_size(from->family);
	struct pw_policy model = {.direction = given->info.dir,
				  .if_id = given->if_id,
				  .mark = {given->mark.v, given->mark.m}};

	memcpy(&model.selector.saddr, &from->saddr, size);
	memcpy(&model.selector.daddr, &from->daddr, size);
	model.selector.sport = from->sport;
	model.selector.sport_mask = from->sport_mask;
	model.selector.dport = from->dport;
	model.selector.dport_mask = from->dport_mask;
	model.selector.family = from->family;
	model.selector.prefixlen_s = from->prefixlen_s;
	model.selector.prefixlen_d = from->prefixlen_d;
	model.selector.proto = from->proto;
	model.selector.ifindex = from->ifindex;
	model.selector.user = from->user;
	return pw_policy_find(&model);
}

static int submit(const struct given *given, char *why, size_t size)
{
	char buffer[MESSAGE_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct xfrm_userpolicy_info *info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));

	nlh->nlmsg_type = XFRM_MSG_UPDPOLICY;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	*info = given->info;
	/* The kernel says when it ends. */
	info->lft = (struct xfrm_lifetime_cfg){XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF, 0, 0, 0, 0};
	if (given->template && mnl_attr_get_payload_len(given->template) <= MESSAGE_BYTES / 2)
		mnl_attr_put(nlh, XFRMA_TMPL, mnl_attr_get_payload_len(given->template),
			     mnl_attr_get_payload(given->template));
	pw_xfrm_put_mark(nlh, &given->mark);
	if (given->if_id)
		mnl_attr_put_u32(nlh, XFRMA_IF_ID, given->if_id);
	return pw_request_internal_protocol(NETLINK_XFRM, nlh, why, size);
}

static const char *prefix_text(uint16_t family, const xfrm_address_t *address, char *text)
{
	struct pw_address to;

	pw_netlink_sa_address(family, address, &to);
	return pw_address_format(&to, text);
}

/** Selects by what Pewter's policies cannot. */
static bool is_narrow(const struct xfrm_selector *selector)
{
	return selector->user || selector->ifindex || selector->sport_mask || selector->dport_mask;
}

static void selector_widen(struct xfrm_selector *selector)
{
	selector->user = 0;
	selector->ifindex = 0;
	selector->sport = selector->sport_mask = 0;
	selector->dport = selector->dport_mask = 0;
}

/** Nothing that the kernel would have sealed or dropped passes in clear. */
static void block(struct given *given, const char *why)
{
	struct xfrm_userpolicy_info *info = &given->info;
	static const char *const directions[] = {"in", "out", "fwd"};
	char source[PW_ADDRESS_TEXT], destination[PW_ADDRESS_TEXT], again[160] = "";
	bool asks = info->action == XFRM_POLICY_BLOCK || given->template;

	pw_xfrm_counters.refused++;
	given->template = NULL;
	info->action = XFRM_POLICY_BLOCK;
	selector_widen(&info->sel);
	if (asks && submit(given, again, sizeof(again)))
		pw_error("a block in place of a policy of the kernel's is refused: %s", again);
	pw_warning("the kernel's policy %s from %s/%u to %s/%u cannot be met%s: %s",
		   directions[info->dir], prefix_text(info->sel.family, &info->sel.saddr, source),
		   info->sel.prefixlen_s,
		   prefix_text(info->sel.family, &info->sel.daddr, destination),
		   info->sel.prefixlen_d, asks ? ", and blocks tunnels" : "", why);
}

/** What is not even tried. */
static bool unmet(const struct given *given, char *why, size_t size)
{
	const struct xfrm_user_tmpl *template =
		given->template ? mnl_attr_get_payload(given->template) : NULL;

	if (given->info.sel.ifindex)
		snprintf(why, size, "its device is the kernel's");
	else if (template && template->mode != XFRM_MODE_TRANSPORT && !pw_xfrm_selective())
		snprintf(
			why, size,
			"other modes than transport are for what is selected (reqid, mark, if_id)");
	return why[0];
}

int pw_xfrm_policy_take(const struct nlmsghdr *nlh, void *context)
{
	struct pw_policy *policy;
	struct given given;
	char why[160] = "";
	bool narrow;

	if ((nlh->nlmsg_type != XFRM_MSG_NEWPOLICY && nlh->nlmsg_type != XFRM_MSG_UPDPOLICY) ||
	    !given_read(nlh, &given))
		return 0;
	policy = concerns(&given) ? find(&given) : NULL;
	/* What was configured here stays, and so does the block for a narrower one of the same. */
	if (!concerns(&given) ||
	    (policy && (!policy->mirrored || (policy->mirrored == WIDENED && !policy->stale)))) {
		pw_xfrm_counters.skipped++;
		return 0;
	}
	narrow = is_narrow(&given.info.sel);
	if (unmet(&given, why, sizeof(why)) || submit(&given, why, sizeof(why)))
		block(&given, why);
	policy = find(&given);
	if (policy) {
		policy->mirrored = narrow ? WIDENED : AS_IT_IS;
		pw_protection_policy_changed(policy); /* that it is mirrored makes a difference */
		policy->stale = false;
	}
	return 0;
}

static void policy_remove(struct pw_policy *policy)
{
	pw_netlink_policy_notify_delete(policy, false);
	pw_policy_delete(policy);
}

void pw_xfrm_policy_gone(const struct nlmsghdr *nlh)
{
	struct pw_policy *policy;
	struct given given;

	if (!given_read(nlh, &given) || !concerns(&given))
		return;
	/* Its block may be that of others too. */
	if (is_narrow(&given.info.sel)) {
		pw_xfrm_policies_read();
		return;
	}
	policy = find(&given);
	if (policy && policy->mirrored)
		policy_remove(policy);
}

int pw_xfrm_policies_read(void)
{
	struct pw_policy *policy, *next;
	int ret;

	for (policy = (struct pw_policy *)pw_policy_next(0); policy;
	     policy = (struct pw_policy *)pw_policy_next(policy->serial))
		policy->stale = policy->mirrored;
	ret = pw_xfrm_dump(XFRM_MSG_GETPOLICY, pw_xfrm_policy_take, NULL);
	for (policy = (struct pw_policy *)pw_policy_next(0); !ret && policy; policy = next) {
		next = (struct pw_policy *)pw_policy_next(policy->serial);
		if (policy->stale)
			policy_remove(policy);
	}
	return ret;
}

/* ---- where no policy selects --------------------------------------------------------------- */

void pw_xfrm_default_begin(void)
{
	memset(defaults, XFRM_USERPOLICY_ACCEPT, sizeof(defaults));
}

/** Only a change of the kernel's is followed: what was configured here stays while it has none. */
int pw_xfrm_default_take(const struct nlmsghdr *nlh, void *context)
{
	struct xfrm_userpolicy_default now;
	bool changed = false;

	if (nlh->nlmsg_type != XFRM_MSG_GETDEFAULT || mnl_nlmsg_get_payload_len(nlh) < sizeof(now))
		return 0;
	memcpy(&now, mnl_nlmsg_get_payload(nlh), sizeof(now));
	for (uint8_t direction = XFRM_POLICY_IN; direction <= XFRM_POLICY_FWD; direction++) {
		uint8_t action = direction == XFRM_POLICY_IN    ? now.in
				 : direction == XFRM_POLICY_OUT ? now.out
								: now.fwd;

		if (action == defaults[direction] ||
		    (action != XFRM_USERPOLICY_ACCEPT && action != XFRM_USERPOLICY_BLOCK))
			continue;
		defaults[direction] = action;
		pw_policy_default_set(direction, action);
		changed = true;
	}
	if (changed) {
		pw_protection_default_changed();
		pw_netlink_policy_notify_default();
	}
	return 0;
}
