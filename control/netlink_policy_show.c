/* SPDX-License-Identifier: BSD-3-Clause */
/* Policies as XFRM messages: answers, dumps, events. */
#include <string.h>

#include "control/policy.h"

#define PROTOCOL_ESP 50
#define ALIGNED(n)   (((n) + 511) / 512 * 512)
/* The longest is an acquire: its header, and the attributes. */
#define ROOM ALIGNED(sizeof(struct nlmsghdr) + sizeof(struct xfrm_user_acquire) + 256)

static struct nlmsghdr *message(uint32_t *buffer, uint16_t type)
{
	struct nlmsghdr *nlh;

	memset(buffer, 0, ROOM);
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = type;
	return nlh;
}

/* In tunnel mode the SAs are between other addresses than the packets. */
static uint64_t used_between_ends(const struct xfrm_user_tmpl *template)
{
	struct pw_address source = {.family = (uint8_t) template->family}, destination = source;
	unsigned int size = pw_address_size(template->family);

	memcpy(source.bytes, &template->saddr, size);
	memcpy(destination.bytes, &template->id.daddr, size);
	return pw_sa_pair_used(&source, &destination, template->reqid);
}

static struct xfrm_userpolicy_info info_of(const struct pw_policy *policy)
{
	struct xfrm_userpolicy_info info;

	memset(&info, 0, sizeof(info)); /* padding goes out too */
	info.sel = policy->selector;
	info.lft = policy->lifetime;
	info.curlft.add_time = policy->added;
	/* As in the kernel, the last use; IKE daemons tell by it whether a peer is there. */
	if (policy->templated && policy->template.mode == XFRM_MODE_TUNNEL)
		info.curlft.use_time = used_between_ends(&policy->template);
	else if (policy->templated)
		info.curlft.use_time = pw_sa_pair_used(&policy->source, &policy->destination,
						       policy->template.reqid);
	info.priority = policy->priority;
	info.index = policy->index;
	info.dir = policy->direction;
	info.action = policy->action;
	info.flags = policy->flags;
	info.share = policy->share;
	return info;
}

static void put_header(struct nlmsghdr *nlh, const void *header, size_t size)
{
	memcpy(mnl_nlmsg_put_extra_header(nlh, size), header, size);
}

static void put_attributes(struct nlmsghdr *nlh, const struct pw_policy *policy)
{
	const struct xfrm_userpolicy_type type = {.type = XFRM_POLICY_TYPE_MAIN};
	const struct xfrm_mark mark = {policy->mark.value, policy->mark.mask};

	if (policy->templated)
		mnl_attr_put(nlh, XFRMA_TMPL, sizeof(policy->template), &policy->template);
	mnl_attr_put(nlh, XFRMA_POLICY_TYPE, sizeof(type), &type);
	if (mark.v | mark.m)
		mnl_attr_put(nlh, XFRMA_MARK, sizeof(mark), &mark);
	if (policy->if_id)
		mnl_attr_put_u32(nlh, XFRMA_IF_ID, policy->if_id);
}

static void put_policy(struct nlmsghdr *nlh, const struct pw_policy *policy)
{
	const struct xfrm_userpolicy_info info = info_of(policy);

	put_header(nlh, &info, sizeof(info));
	put_attributes(nlh, policy);
}

/* ---- answers ------------------------------------------------------------------------------ */

void pw_netlink_policy_reply(struct pw_request *request, const struct pw_policy *policy)
{
	uint32_t buffer[ROOM / sizeof(uint32_t)];
	struct nlmsghdr *nlh = message(buffer, XFRM_MSG_NEWPOLICY);

	put_policy(nlh, policy);
	pw_reply(request, nlh);
}

/** cursor[0]: serial of the last one that was told. */
int pw_netlink_policy_dump(struct pw_dump *dump)
{
	const struct pw_policy *policy;

	while ((policy = pw_policy_next(dump->cursor[0]))) {
		struct nlmsghdr *nlh = pw_dump_message(dump, XFRM_MSG_NEWPOLICY, ROOM);

		if (!nlh)
			return 1;
		put_policy(nlh, policy);
		pw_dump_commit(dump, nlh);
		dump->cursor[0] = policy->serial;
	}
	return 0;
}

struct nlmsghdr *pw_netlink_policy_default(void *buffer)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	const struct xfrm_userpolicy_default defaults = {
		.in = pw_policy_default(XFRM_POLICY_IN),
		.fwd = pw_policy_default(XFRM_POLICY_FWD),
		.out = pw_policy_default(XFRM_POLICY_OUT),
	};

	nlh->nlmsg_type = XFRM_MSG_GETDEFAULT;
	put_header(nlh, &defaults, sizeof(defaults));
	return nlh;
}

/* ---- events ------------------------------------------------------------------------------- */

void pw_netlink_policy_notify(const struct pw_policy *policy, uint16_t type)
{
	uint32_t buffer[ROOM / sizeof(uint32_t)];
	struct nlmsghdr *nlh;

	if (!pw_notify_xfrm_wanted(XFRMNLGRP_POLICY))
		return;
	nlh = message(buffer, type);
	put_policy(nlh, policy);
	pw_notify_xfrm(XFRMNLGRP_POLICY, nlh);
}

void pw_netlink_policy_notify_delete(const struct pw_policy *policy, bool by_index)
{
	const struct xfrm_userpolicy_info info = info_of(policy);
	uint32_t buffer[ROOM / sizeof(uint32_t)];
	struct xfrm_userpolicy_id id;
	struct nlmsghdr *nlh;

	if (!pw_notify_xfrm_wanted(XFRMNLGRP_POLICY))
		return;
	nlh = message(buffer, XFRM_MSG_DELPOLICY);
	memset(&id, 0, sizeof(id));
	id.dir = policy->direction;
	if (by_index)
		id.index = policy->index;
	else
		id.sel = policy->selector;
	put_header(nlh, &id, sizeof(id));
	mnl_attr_put(nlh, XFRMA_POLICY, sizeof(info), &info);
	put_attributes(nlh, policy);
	pw_notify_xfrm(XFRMNLGRP_POLICY, nlh);
}

void pw_netlink_policy_notify_flush(void)
{
	const struct xfrm_userpolicy_type type = {.type = XFRM_POLICY_TYPE_MAIN};
	uint32_t buffer[ROOM / sizeof(uint32_t)];
	struct nlmsghdr *nlh = message(buffer, XFRM_MSG_FLUSHPOLICY);

	mnl_attr_put(nlh, XFRMA_POLICY_TYPE, sizeof(type), &type);
	pw_notify_xfrm(XFRMNLGRP_POLICY, nlh);
}

void pw_netlink_policy_notify_default(void)
{
	uint32_t buffer[16] = {0};

	pw_notify_xfrm(XFRMNLGRP_POLICY, pw_netlink_policy_default(buffer));
}

void pw_netlink_policy_notify_expire(const struct pw_policy *policy, bool hard)
{
	uint32_t buffer[ROOM / sizeof(uint32_t)];
	struct xfrm_user_polexpire expire;
	struct nlmsghdr *nlh;

	if (!pw_notify_xfrm_wanted(XFRMNLGRP_EXPIRE))
		return;
	nlh = message(buffer, XFRM_MSG_POLEXPIRE);
	memset(&expire, 0, sizeof(expire));
	expire.pol = info_of(policy);
	expire.hard = hard;
	put_header(nlh, &expire, sizeof(expire));
	put_attributes(nlh, policy);
	pw_notify_xfrm(XFRMNLGRP_EXPIRE, nlh);
}

void pw_netlink_policy_put_acquire(struct nlmsghdr *nlh, const struct pw_policy *policy,
				   const struct pw_address *source,
				   const struct pw_address *destination, uint8_t protocol,
				   uint32_t seq)
{
	unsigned int size = pw_address_size(destination->family);
	struct xfrm_user_acquire acquire;

	memset(&acquire, 0, sizeof(acquire));
	memcpy(&acquire.id.daddr, destination->bytes, size);
	acquire.id.proto = PROTOCOL_ESP;
	memcpy(&acquire.saddr, source->bytes, size);
	if (policy->template.mode == XFRM_MODE_TUNNEL) {
		acquire.sel = policy->selector;
	} else {
		memcpy(&acquire.sel.daddr, destination->bytes, size);
		memcpy(&acquire.sel.saddr, source->bytes, size);
		acquire.sel.family = source->family;
		acquire.sel.prefixlen_d = acquire.sel.prefixlen_s = (uint8_t)(8 * size);
		acquire.sel.proto = protocol;
	}
	acquire.policy = info_of(policy);
	acquire.aalgos = policy->template.aalgos;
	acquire.ealgos = policy->template.ealgos;
	acquire.calgos = policy->template.calgos;
	acquire.seq = seq;
	put_header(nlh, &acquire, sizeof(acquire));
	put_attributes(nlh, policy);
}

void pw_netlink_policy_notify_acquire(const struct pw_policy *policy,
				      const struct pw_address *source,
				      const struct pw_address *destination, uint8_t protocol,
				      uint32_t seq)
{
	uint32_t buffer[ROOM / sizeof(uint32_t)];
	struct nlmsghdr *nlh = message(buffer, XFRM_MSG_ACQUIRE);

	pw_netlink_policy_put_acquire(nlh, policy, source, destination, protocol, seq);
	pw_notify_xfrm(XFRMNLGRP_ACQUIRE, nlh);
}
