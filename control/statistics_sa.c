/* SPDX-License-Identifier: BSD-3-Clause */
/** Security associations and policies, for pewterctl: what they do, never their keys. */
#include "control/statistics.h"

#include <arpa/inet.h>
#include <time.h>

#include "control/bundle.h"
#include "control/policy.h"
#include "control/sa.h"
#include "control/spd.h"
#include "dataplane/table/vrf.h"

#define MESSAGE_ROOM 1024 /* bytes that any message of this file fits in */
#define NEVER        UINT64_MAX

/* ---- one SA -------------------------------------------------------------------------------- */

static const char *mode_name(uint8_t mode)
{
	switch (mode) {
	case XFRM_MODE_TRANSPORT:
		return "transport";
	case XFRM_MODE_TUNNEL:
		return "tunnel";
	default:
		return "other";
	}
}

static const char *state_name(const struct pw_sa_entry *entry)
{
	if (entry->larval)
		return "larval";
	return entry->dying ? "dying" : "valid";
}

static void put_identity(struct nlmsghdr *nlh, const struct pw_sa_detail *sa)
{
	const struct pw_sa_entry *entry = &sa->entry;

	if (entry->spi != 0)
		mnl_attr_put_u32(nlh, PW_SA_ATTR_SPI, ntohl(entry->spi));
	pw_statistics_put_address(nlh, PW_SA_ATTR_SOURCE, entry->source.family,
				  entry->source.bytes);
	pw_statistics_put_address(nlh, PW_SA_ATTR_DESTINATION, entry->destination.family,
				  entry->destination.bytes);
	mnl_attr_put_strz(nlh, PW_SA_ATTR_DIRECTION, sa->inward ? "in" : "out");
	mnl_attr_put_strz(nlh, PW_SA_ATTR_STATE, state_name(entry));
	mnl_attr_put_strz(nlh, PW_SA_ATTR_MODE, mode_name(entry->mode));
	mnl_attr_put_u32(nlh, PW_SA_ATTR_REQID, entry->reqid);
	if (entry->if_id != 0)
		mnl_attr_put_u32(nlh, PW_SA_ATTR_IF_ID, entry->if_id);
	if ((entry->mark.value | entry->mark.mask) != 0) {
		mnl_attr_put_u32(nlh, PW_SA_ATTR_MARK, entry->mark.value);
		mnl_attr_put_u32(nlh, PW_SA_ATTR_MARK_MASK, entry->mark.mask);
	}
}

static void put_vrf(struct nlmsghdr *nlh, const struct pw_sa_detail *sa)
{
	const struct pw_vrf *vrf = sa->inward ? pw_vrf_get(sa->vrf) : NULL;

	if (vrf == NULL)
		return;
	pw_statistics_put_name(nlh, PW_SA_ATTR_VRF, pw_statistics_vrf_name(sa->vrf));
	mnl_attr_put_u32(nlh, PW_SA_ATTR_TABLE, vrf->table);
}

/** Inside VRF and interface of tunnel mode. */
static void put_inside(struct nlmsghdr *nlh, const struct pw_sa_detail *sa)
{
	const struct pw_link *link = pw_link_by_index(sa->inside.interface);
	const struct pw_vrf *vrf = pw_vrf_get(sa->inside.vrf);

	if (!sa->inward || sa->entry.mode != XFRM_MODE_TUNNEL || sa->inside.closed || vrf == NULL)
		return;
	if (link != NULL)
		mnl_attr_put_strz(nlh, PW_SA_ATTR_INTERFACE, link->name);
	pw_statistics_put_name(nlh, PW_SA_ATTR_INSIDE_VRF, pw_statistics_vrf_name(sa->inside.vrf));
	mnl_attr_put_u32(nlh, PW_SA_ATTR_INSIDE_TABLE, vrf->table);
}

static void put_algorithms(struct nlmsghdr *nlh, const struct pw_sa_detail *sa)
{
	const struct pw_crypto_suite *suite = sa->suite;

	mnl_attr_put_strz(nlh, PW_SA_ATTR_CIPHER, suite->cipher);
	mnl_attr_put_u16(nlh, PW_SA_ATTR_KEY_BITS, suite->key_bytes * 8);
	pw_statistics_put_name(nlh, PW_SA_ATTR_AUTH, suite->auth);
	mnl_attr_put_u16(nlh, PW_SA_ATTR_ICV_BITS, suite->icv_bytes * 8);
	mnl_attr_put_u8(nlh, PW_SA_ATTR_ESN, (sa->flags & XFRM_STATE_ESN) != 0);
	mnl_attr_put_u32(nlh, PW_SA_ATTR_WINDOW, sa->window);
	if (sa->encap.encap_type != 0) {
		mnl_attr_put_u16(nlh, PW_SA_ATTR_ENCAP_SPORT, ntohs(sa->encap.encap_sport));
		mnl_attr_put_u16(nlh, PW_SA_ATTR_ENCAP_DPORT, ntohs(sa->encap.encap_dport));
	}
}

static void put_left(struct nlmsghdr *nlh, uint16_t type, uint64_t limit, uint64_t used)
{
	if (limit != XFRM_INF && limit != 0)
		mnl_attr_put_u64(nlh, type, limit > used ? limit - used : 0);
}

/** Whatever comes first: so long after it was added, so long after its first use. */
static void put_seconds_left(struct nlmsghdr *nlh, uint16_t type, const struct pw_sa_detail *sa,
			     uint64_t from_added, uint64_t from_used)
{
	uint64_t now = pw_sa_now(), due = NEVER;

	if (from_added != 0 && from_added < NEVER / 2000)
		due = sa->added_ms + from_added * 1000;
	if (from_used != 0 && from_used < NEVER / 2000 && sa->used_ms != 0 &&
	    sa->used_ms + from_used * 1000 < due)
		due = sa->used_ms + from_used * 1000;
	if (due != NEVER)
		mnl_attr_put_u64(nlh, type, due > now ? (due - now + 999) / 1000 : 0);
}

static void put_lifetime(struct nlmsghdr *nlh, const struct pw_sa_detail *sa,
			 const struct pw_sa_usage *usage)
{
	const struct xfrm_lifetime_cfg *limits = &sa->limits;

	put_seconds_left(nlh, PW_SA_ATTR_HARD_SECONDS, sa, limits->hard_add_expires_seconds,
			 limits->hard_use_expires_seconds);
	put_left(nlh, PW_SA_ATTR_HARD_BYTES, limits->hard_byte_limit, usage->current.bytes);
	put_left(nlh, PW_SA_ATTR_HARD_PACKETS, limits->hard_packet_limit, usage->current.packets);
	if (sa->entry.dying)
		return;
	put_seconds_left(nlh, PW_SA_ATTR_SOFT_SECONDS, sa, limits->soft_add_expires_seconds,
			 limits->soft_use_expires_seconds);
	put_left(nlh, PW_SA_ATTR_SOFT_BYTES, limits->soft_byte_limit, usage->current.bytes);
	put_left(nlh, PW_SA_ATTR_SOFT_PACKETS, limits->soft_packet_limit, usage->current.packets);
}

static void put_usage(struct nlmsghdr *nlh, struct pw_sa_detail *sa)
{
	struct pw_sa_replay replay = {0};
	struct pw_sa_usage usage;
	uint64_t seconds = (uint64_t)time(NULL);

	pw_sa_usage(sa, &usage);
	if (sa->state != NULL) {
		pw_sa_replay_read(sa, &replay);
		mnl_attr_put_u64(nlh, PW_SA_ATTR_SEQUENCE,
				 sa->inward ? replay.received : replay.sent);
	}
	mnl_attr_put_u64(nlh, PW_SA_ATTR_PACKETS, usage.current.packets);
	mnl_attr_put_u64(nlh, PW_SA_ATTR_BYTES, usage.current.bytes);
	mnl_attr_put_u64(nlh, PW_SA_ATTR_REPLAYS, usage.replays);
	mnl_attr_put_u64(nlh, PW_SA_ATTR_ICV_FAILURES, usage.icv_failures);
	mnl_attr_put_u64(nlh, PW_SA_ATTR_INVALID, usage.invalid);
	mnl_attr_put_u64(nlh, PW_SA_ATTR_AGE, (pw_sa_now() - sa->added_ms) / 1000);
	if (usage.last_used != 0)
		mnl_attr_put_u64(nlh, PW_SA_ATTR_IDLE,
				 seconds > usage.last_used ? seconds - usage.last_used : 0);
	put_lifetime(nlh, sa, &usage);
}

static void put_path_mtu(struct nlmsghdr *nlh, const struct pw_sa_detail *sa)
{
	uint64_t now = pw_sa_now();

	if (sa->inward || sa->path_mtu == 0)
		return;
	mnl_attr_put_u32(nlh, PW_SA_ATTR_PATH_MTU, sa->path_mtu);
	mnl_attr_put_u64(nlh, PW_SA_ATTR_PATH_MTU_SECONDS,
			 sa->path_mtu_ms > now ? (sa->path_mtu_ms - now + 999) / 1000 : 0);
}

/** cursor[0]: the order of the SA that is told next; 0: the newest. */
static int dump_sas(struct pw_dump *dump)
{
	struct pw_sa_entry *entry = TAILQ_FIRST(&pw_sa_list);

	pw_statistics_names_refresh();
	while (entry != NULL && dump->cursor[0] != 0 && entry->order > dump->cursor[0])
		entry = TAILQ_NEXT(entry, all);
	for (; entry != NULL; entry = TAILQ_NEXT(entry, all)) {
		struct nlmsghdr *nlh = pw_statistics_message(dump, PW_MSG_SA, MESSAGE_ROOM);

		if (nlh == NULL) {
			dump->cursor[0] = entry->order;
			return 1;
		}
		put_identity(nlh, entry->detail);
		put_vrf(nlh, entry->detail);
		put_inside(nlh, entry->detail);
		put_path_mtu(nlh, entry->detail);
		if (entry->detail->suite != NULL)
			put_algorithms(nlh, entry->detail);
		put_usage(nlh, entry->detail);
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

/* ---- policies ------------------------------------------------------------------------------ */

static const char *direction_name(uint8_t direction)
{
	switch (direction) {
	case XFRM_POLICY_IN:
		return "in";
	case XFRM_POLICY_OUT:
		return "out";
	default:
		return "fwd";
	}
}

static const char *action_name(const struct pw_policy *policy)
{
	if (policy->action == XFRM_POLICY_BLOCK)
		return "block";
	if (!policy->templated)
		return "clear";
	return policy->template.optional ? "use" : "protect";
}

static void put_policy(struct nlmsghdr *nlh, const struct pw_policy *policy)
{
	const struct xfrm_selector *selector = &policy->selector;

	mnl_attr_put_u32(nlh, PW_POLICY_ATTR_INDEX, policy->index);
	mnl_attr_put_strz(nlh, PW_POLICY_ATTR_DIRECTION, direction_name(policy->direction));
	pw_statistics_put_address(nlh, PW_POLICY_ATTR_SOURCE, selector->family, &selector->saddr);
	mnl_attr_put_u8(nlh, PW_POLICY_ATTR_SOURCE_LEN, selector->prefixlen_s);
	pw_statistics_put_address(nlh, PW_POLICY_ATTR_DESTINATION, selector->family,
				  &selector->daddr);
	mnl_attr_put_u8(nlh, PW_POLICY_ATTR_DESTINATION_LEN, selector->prefixlen_d);
	if (selector->proto != 0)
		mnl_attr_put_u8(nlh, PW_POLICY_ATTR_PROTOCOL, selector->proto);
	mnl_attr_put_u32(nlh, PW_POLICY_ATTR_PRIORITY, policy->priority);
	mnl_attr_put_strz(nlh, PW_POLICY_ATTR_ACTION, action_name(policy));
	if (policy->templated && policy->template.reqid != 0)
		mnl_attr_put_u32(nlh, PW_POLICY_ATTR_REQID, policy->template.reqid);
	if (policy->if_id != 0)
		mnl_attr_put_u32(nlh, PW_POLICY_ATTR_IF_ID, policy->if_id);
	if (policy->mark.value != 0)
		mnl_attr_put_u32(nlh, PW_POLICY_ATTR_MARK, policy->mark.value);
	if (selector->sport_mask != 0)
		mnl_attr_put_u16(nlh, PW_POLICY_ATTR_SOURCE_PORT, ntohs(selector->sport));
	if (selector->dport_mask != 0)
		mnl_attr_put_u16(nlh, PW_POLICY_ATTR_DESTINATION_PORT, ntohs(selector->dport));
}

static void put_end(struct nlmsghdr *nlh, uint16_t type, uint16_t family,
		    const xfrm_address_t *address)
{
	static const xfrm_address_t any;

	if (memcmp(address, &any, sizeof(any)) != 0)
		pw_statistics_put_address(nlh, type, family, address);
}

/** Whose packets it is about, and where it sends them. */
static void put_forwarding(struct nlmsghdr *nlh, const struct pw_policy *policy)
{
	const struct xfrm_user_tmpl *template = &policy->template;
	const struct pw_bundle *bundle = policy->bundle;
	const struct pw_link *link;
	const struct pw_sa_entry *sa;

	if (policy->owner != NULL) {
		link = pw_link_by_index(policy->owner->link);
		if (link != NULL)
			mnl_attr_put_strz(nlh, PW_POLICY_ATTR_LINK, link->name);
		pw_statistics_put_name(nlh, PW_POLICY_ATTR_VRF,
				       pw_statistics_vrf_name(policy->owner->vrf));
	}
	if (!policy->templated || template->mode != XFRM_MODE_TUNNEL)
		return;
	put_end(nlh, PW_POLICY_ATTR_LOCAL, template->family,
		policy->direction == XFRM_POLICY_OUT ? &template->saddr : &template->id.daddr);
	put_end(nlh, PW_POLICY_ATTR_REMOTE, template->family,
		policy->direction == XFRM_POLICY_OUT ? &template->id.daddr : &template->saddr);
	if (bundle == NULL)
		return;
	sa = pw_sa_entry_get(bundle->sa);
	if (sa != NULL)
		mnl_attr_put_u32(nlh, PW_POLICY_ATTR_SPI, ntohl(sa->spi));
	if (bundle->way.down != NULL)
		mnl_attr_put_strz(nlh, PW_POLICY_ATTR_DOWN, bundle->way.down);
}

/** cursor[0]: the serial of the policy that was told last. */
static int dump_policies(struct pw_dump *dump)
{
	const struct pw_policy *policy;

	pw_statistics_names_refresh();
	while ((policy = pw_policy_next(dump->cursor[0])) != NULL) {
		struct nlmsghdr *nlh = pw_statistics_message(dump, PW_MSG_POLICY, MESSAGE_ROOM);

		if (nlh == NULL)
			return 1;
		put_policy(nlh, policy);
		put_forwarding(nlh, policy);
		pw_dump_commit(dump, nlh);
		dump->cursor[0] = policy->serial;
	}
	return 0;
}

void pw_statistics_put_ipsec(struct nlmsghdr *nlh)
{
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_SAS, pw_sa_count);
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_POLICIES,
			 pw_policy_count(XFRM_POLICY_IN) + pw_policy_count(XFRM_POLICY_OUT) +
				 pw_policy_count(XFRM_POLICY_FWD));
}

void pw_statistics_sa_register(void)
{
	pw_request_register(PW_MSG_SA, -1, NULL, dump_sas);
	pw_request_register(PW_MSG_POLICY, -1, NULL, dump_policies);
}
