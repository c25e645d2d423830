/* SPDX-License-Identifier: BSD-3-Clause */
/* XFRM_MSG_{NEW,UPD,DEL,GET,FLUSH}POLICY, {GET,NEW}SPDINFO, {SET,GET}DEFAULT. */
#include <errno.h>
#include <string.h>

#include "control/policy.h"

#define TEMPLATES_MAX 6 /* of the kernel */

static const struct pw_attribute_policy names[XFRMA_MAX + 1] = {
	[XFRMA_TMPL] = {.name = "XFRMA_TMPL",
			.min = sizeof(struct xfrm_user_tmpl),
			.max = TEMPLATES_MAX * sizeof(struct xfrm_user_tmpl)},
	[XFRMA_POLICY_TYPE] = {.name = "XFRMA_POLICY_TYPE",
			       .min = sizeof(struct xfrm_userpolicy_type),
			       .max = sizeof(struct xfrm_userpolicy_type)},
	/* iproute2's deleteall has four bytes more behind it, which the kernel does not mind. */
	[XFRMA_MARK] = {.name = "XFRMA_MARK",
			.min = sizeof(struct xfrm_mark),
			.max = sizeof(struct xfrm_mark) + 4},
	[XFRMA_IF_ID] = {.name = "XFRMA_IF_ID", .min = 4, .max = 4},
};

/* ---- what identifies a policy ------------------------------------------------------------- */

static int get_type(struct pw_request *request, const struct nlattr *attribute)
{
	struct xfrm_userpolicy_type type;

	if (!attribute)
		return 0;
	memcpy(&type, mnl_attr_get_payload(attribute), sizeof(type));
	if (type.type != XFRM_POLICY_TYPE_MAIN)
		return pw_refuse(request, attribute, -EOPNOTSUPP,
				 "only policies of type main, none of type %s",
				 type.type == XFRM_POLICY_TYPE_SUB ? "sub" : "unknown");
	return 0;
}

static int get_scope(struct pw_request *request, const struct nlattr **table, uint8_t direction,
		     struct pw_policy *policy)
{
	struct xfrm_mark mark = {0};

	if (direction >= XFRM_POLICY_MAX)
		return pw_refuse(request, NULL, -EINVAL,
				 "direction %u: policies are in, out or fwd, none of a socket's",
				 direction);
	if (table[XFRMA_MARK])
		memcpy(&mark, mnl_attr_get_payload(table[XFRMA_MARK]), sizeof(mark));
	policy->direction = direction;
	policy->mark = (struct pw_mark){mark.v, mark.m};
	policy->if_id = table[XFRMA_IF_ID] ? mnl_attr_get_u32(table[XFRMA_IF_ID]) : 0;
	return get_type(request, table[XFRMA_POLICY_TYPE]);
}

static int get_selector(struct pw_request *request, const struct xfrm_selector *given,
			struct pw_policy *policy)
{
	struct xfrm_selector *selector = &policy->selector;
	unsigned int size = pw_address_size(given->family);

	if (given->family != AF_INET && given->family != AF_INET6)
		return pw_refuse(request, NULL, -EINVAL,
				 "a selector is of IPv4 or IPv6, not of address family %u",
				 given->family);
	if (given->prefixlen_s > 8 * size || given->prefixlen_d > 8 * size)
		return pw_refuse(request, NULL, -EINVAL, "prefix length %u is above %u",
				 given->prefixlen_s > 8 * size ? given->prefixlen_s
							       : given->prefixlen_d,
				 8 * size);
	memset(selector, 0, sizeof(*selector));
	memcpy(&selector->saddr, &given->saddr, size);
	memcpy(&selector->daddr, &given->daddr, size);
	selector->sport = given->sport;
	selector->sport_mask = given->sport_mask;
	selector->dport = given->dport;
	selector->dport_mask = given->dport_mask;
	selector->family = given->family;
	selector->prefixlen_s = given->prefixlen_s;
	selector->prefixlen_d = given->prefixlen_d;
	selector->proto = given->proto;
	selector->ifindex = given->ifindex;
	selector->user = given->user;
	policy->source.family = policy->destination.family = (uint8_t)given->family;
	memcpy(policy->source.bytes, &selector->saddr, size);
	memcpy(policy->destination.bytes, &selector->daddr, size);
	return 0;
}

/* ---- a new one ----------------------------------------------------------------------------- */

static bool unlimited(uint64_t limit)
{
	return limit == 0 || limit == XFRM_INF;
}

/* A policy's packets are not counted: that is its SAs' business. */
static int check_lifetime(struct pw_request *request, const struct xfrm_lifetime_cfg *lifetime)
{
	if (!unlimited(lifetime->soft_byte_limit) || !unlimited(lifetime->hard_byte_limit) ||
	    !unlimited(lifetime->soft_packet_limit) || !unlimited(lifetime->hard_packet_limit))
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "a policy has no limit of bytes or packets: limit the SAs");
	if (lifetime->soft_use_expires_seconds || lifetime->hard_use_expires_seconds)
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "a policy has no lifetime since its first use: limit the SAs");
	return 0;
}

static int get_policy(struct pw_request *request, struct pw_policy *policy)
{
	const struct nlattr *table[XFRMA_MAX + 1];
	struct xfrm_userpolicy_info info;
	int ret = pw_request_attributes(request, sizeof(info), "policy", names, XFRMA_MAX, table);

	if (ret)
		return ret;
	memcpy(&info, mnl_nlmsg_get_payload(request->nlh), sizeof(info));
	if (info.action != XFRM_POLICY_ALLOW && info.action != XFRM_POLICY_BLOCK)
		return pw_refuse(request, NULL, -EINVAL,
				 "a policy's action is allow or block, not %u", info.action);
	if (info.share > XFRM_SHARE_UNIQUE)
		return pw_refuse(request, NULL, -EINVAL, "unknown sharing %u", info.share);
	ret = get_scope(request, table, info.dir, policy);
	ret = ret ? ret : get_selector(request, &info.sel, policy);
	if (ret)
		return ret;
	if (info.index && (info.index & PW_POLICY_INDEX_DIRECTION) != info.dir)
		return pw_refuse(request, NULL, -EINVAL,
				 "index %u is of another direction: its last three bits say which",
				 info.index);
	policy->priority = info.priority;
	policy->index = info.index;
	policy->action = info.action;
	policy->flags = info.flags;
	policy->share = info.share;
	policy->lifetime = info.lft;
	if (table[XFRMA_TMPL])
		ret = pw_netlink_policy_template(request, table[XFRMA_TMPL], policy);
	ret = ret ? ret : check_lifetime(request, &info.lft);
	return ret ? ret : pw_netlink_policy_check(request, policy);
}

static int put_policy(struct pw_request *request)
{
	bool update = request->nlh->nlmsg_type == XFRM_MSG_UPDPOLICY;
	struct pw_policy model = {0};
	const struct pw_policy *policy;
	int ret = get_policy(request, &model);

	if (ret)
		return ret;
	ret = pw_policy_put(&model, update, &policy);
	if (ret == -EEXIST)
		return pw_refuse(request, NULL, ret,
				 "there is a policy with this selector and direction");
	if (ret)
		return pw_refuse(request, NULL, ret, "policy: %s", strerror(-ret));
	pw_netlink_policy_notify(policy, request->nlh->nlmsg_type);
	return 0;
}

/* ---- one that is there -------------------------------------------------------------------- */

static int find_policy(struct pw_request *request, struct pw_policy **policy, bool *by_index)
{
	const struct nlattr *table[XFRMA_MAX + 1];
	struct pw_policy model = {0};
	struct xfrm_userpolicy_id id;
	int ret = pw_request_attributes(request, sizeof(id), "policy", names, XFRMA_MAX, table);

	if (ret)
		return ret;
	memcpy(&id, mnl_nlmsg_get_payload(request->nlh), sizeof(id));
	ret = get_scope(request, table, id.dir, &model);
	if (!ret && !id.index)
		ret = get_selector(request, &id.sel, &model);
	if (ret)
		return ret;
	*by_index = id.index != 0;
	if (!id.index)
		*policy = pw_policy_find(&model);
	else
		*policy = pw_policy_find_index(&model, id.index);
	if (*policy)
		return 0;
	if (id.index)
		return pw_refuse(request, NULL, -ENOENT,
				 "there is no policy with index %u, this direction, mark and if_id",
				 id.index);
	return pw_refuse(request, NULL, -ENOENT,
			 "there is no policy with this selector, direction, mark and if_id");
}

static int get_one(struct pw_request *request)
{
	struct pw_policy *policy;
	bool by_index;
	int ret = find_policy(request, &policy, &by_index);

	if (!ret)
		pw_netlink_policy_reply(request, policy);
	return ret;
}

static int delete_one(struct pw_request *request)
{
	struct pw_policy *policy;
	bool by_index;
	int ret = find_policy(request, &policy, &by_index);

	if (ret)
		return ret;
	pw_netlink_policy_notify_delete(policy, by_index);
	pw_policy_delete(policy);
	return 0;
}

static int flush(struct pw_request *request)
{
	const struct nlattr *table[XFRMA_MAX + 1];
	int ret = pw_request_attributes(request, 0, "policy", names, XFRMA_MAX, table);

	ret = ret ? ret : get_type(request, table[XFRMA_POLICY_TYPE]);
	if (!ret && pw_policy_flush())
		pw_netlink_policy_notify_flush();
	return ret;
}

/* ---- the database as a whole -------------------------------------------------------------- */

static int get_info(struct pw_request *request)
{
	struct xfrmu_spdinfo info = {.incnt = pw_policy_count(XFRM_POLICY_IN),
				     .outcnt = pw_policy_count(XFRM_POLICY_OUT),
				     .fwdcnt = pw_policy_count(XFRM_POLICY_FWD)};
	const struct xfrmu_spdhthresh hosts4 = {32, 32}, hosts6 = {128, 128};
	uint32_t buffer[64] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	uint32_t *flags = mnl_nlmsg_put_extra_header(nlh, sizeof(*flags));
	struct xfrmu_spdhinfo hash = {0};

	if (mnl_nlmsg_get_payload_len(request->nlh) < sizeof(*flags))
		return pw_refuse(request, NULL, -EINVAL, "message without its flags");
	memcpy(flags, mnl_nlmsg_get_payload(request->nlh), sizeof(*flags));
	nlh->nlmsg_type = XFRM_MSG_NEWSPDINFO;
	pw_policy_hash_size(&hash.spdhcnt, &hash.spdhmcnt);
	mnl_attr_put(nlh, XFRMA_SPD_INFO, sizeof(info), &info);
	mnl_attr_put(nlh, XFRMA_SPD_HINFO, sizeof(hash), &hash);
	mnl_attr_put(nlh, XFRMA_SPD_IPV4_HTHRESH, sizeof(hosts4), &hosts4);
	mnl_attr_put(nlh, XFRMA_SPD_IPV6_HTHRESH, sizeof(hosts6), &hosts6);
	return pw_reply(request, nlh);
}

static const struct pw_attribute_policy info_names[XFRMA_SPD_MAX + 1] = {
	[XFRMA_SPD_IPV4_HTHRESH] = {.name = "XFRMA_SPD_IPV4_HTHRESH",
				    .min = sizeof(struct xfrmu_spdhthresh),
				    .max = sizeof(struct xfrmu_spdhthresh)},
	[XFRMA_SPD_IPV6_HTHRESH] = {.name = "XFRMA_SPD_IPV6_HTHRESH",
				    .min = sizeof(struct xfrmu_spdhthresh),
				    .max = sizeof(struct xfrmu_spdhthresh)},
};

/* Which prefixes are hashed is not for tuning here: those of hosts are. */
static int check_threshold(struct pw_request *request, const struct nlattr *attribute,
			   unsigned int bits)
{
	const struct xfrmu_spdhthresh *threshold;

	if (!attribute)
		return 0;
	threshold = mnl_attr_get_payload(attribute);
	if (threshold->lbits == bits && threshold->rbits == bits)
		return 0;
	return pw_refuse(request, attribute, -EOPNOTSUPP,
			 "policies are hashed where both prefixes have %u bits: no other threshold",
			 bits);
}

static int set_info(struct pw_request *request)
{
	const struct nlattr *table[XFRMA_SPD_MAX + 1];
	int ret = pw_request_attributes(request, sizeof(uint32_t), "policy database", info_names,
					XFRMA_SPD_MAX, table);

	ret = ret ? ret : check_threshold(request, table[XFRMA_SPD_IPV4_HTHRESH], 32);
	return ret ? ret : check_threshold(request, table[XFRMA_SPD_IPV6_HTHRESH], 128);
}

static int get_default(struct pw_request *request)
{
	uint32_t buffer[16] = {0};
	struct nlmsghdr *nlh = pw_netlink_policy_default(buffer);

	return pw_reply(request, nlh);
}

static int set_default(struct pw_request *request)
{
	struct xfrm_userpolicy_default wanted;

	if (mnl_nlmsg_get_payload_len(request->nlh) < sizeof(wanted))
		return pw_refuse(request, NULL, -EINVAL, "message is too short");
	memcpy(&wanted, mnl_nlmsg_get_payload(request->nlh), sizeof(wanted));
	if (wanted.in > XFRM_USERPOLICY_ACCEPT || wanted.fwd > XFRM_USERPOLICY_ACCEPT ||
	    wanted.out > XFRM_USERPOLICY_ACCEPT)
		return pw_refuse(request, NULL, -EINVAL, "a default is accept or block");
	if (wanted.in)
		pw_policy_default_set(XFRM_POLICY_IN, wanted.in);
	if (wanted.fwd)
		pw_policy_default_set(XFRM_POLICY_FWD, wanted.fwd);
	if (wanted.out)
		pw_policy_default_set(XFRM_POLICY_OUT, wanted.out);
	pw_protection_default_changed();
	pw_netlink_policy_notify_default();
	return 0;
}

static void serve(uint16_t type, pw_request_fn handle, pw_dump_fn dump)
{
	pw_request_register_protocol(NETLINK_XFRM, type, -1, handle, dump);
}

void pw_netlink_policy_register(void)
{
	serve(XFRM_MSG_NEWPOLICY, put_policy, NULL);
	serve(XFRM_MSG_UPDPOLICY, put_policy, NULL);
	serve(XFRM_MSG_DELPOLICY, delete_one, NULL);
	serve(XFRM_MSG_GETPOLICY, get_one, pw_netlink_policy_dump);
	serve(XFRM_MSG_FLUSHPOLICY, flush, NULL);
	serve(XFRM_MSG_GETSPDINFO, get_info, NULL);
	serve(XFRM_MSG_NEWSPDINFO, set_info, NULL);
	serve(XFRM_MSG_SETDEFAULT, set_default, NULL);
	serve(XFRM_MSG_GETDEFAULT, get_default, NULL);
}
