/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where what an SA in tunnel mode carries comes in: on the IPsec interface with its if_id, or with
 * its mark as key, in that one's VRF; without these in the VRF of the policy that lets it in, or
 * in the VRF that the outer packet came in. An SA whose interface is missing lets nothing in.
 */
#include "control/sa.h"

#include <errno.h>
#include <string.h>

#include "control/links.h"
#include "control/policy.h"
#include "lib/log.h"

#define BUCKETS 4096

LIST_HEAD(inside_list, pw_sa_detail);
LIST_HEAD(template_list, pw_policy);

/* SAs by what binds them: an if_id, a mark that is one number, another mark, or none of these. */
static struct inside_list by_if_id[BUCKETS], by_mark[BUCKETS], masked, plain;
/* Inward policies that name a device and no if_id or mark, by the ends of their template. */
static struct template_list by_template[BUCKETS];
static uint32_t templates; /* how many */
static bool dirty;         /* what `plain` goes by has changed */

static unsigned int number_hash(uint32_t number)
{
	return (number * 2654435761U) >> 20;
}

static struct inside_list *list_of(const struct pw_sa_entry *entry)
{
	if (entry->if_id)
		return &by_if_id[number_hash(entry->if_id)];
	if (!entry->mark.mask)
		return &plain;
	return entry->mark.mask == UINT32_MAX ? &by_mark[number_hash(entry->mark.value)] : &masked;
}

/** The vti that has the SA's mark as key, for what goes between its ends. */
static const struct pw_link *vti_of(const struct pw_sa_entry *entry, bool inward)
{
	const struct pw_address *local = inward ? &entry->destination : &entry->source;
	const struct pw_address *remote = inward ? &entry->source : &entry->destination;
	const struct pw_link *link = pw_link_by_mark(entry->mark.value, entry->mark.mask, inward);
	const struct pw_ipsec *ipsec = link ? &link->ipsec : NULL;

	if (!link || ipsec->family != local->family ||
	    (ipsec->local.family && !pw_address_same(&ipsec->local, local)) ||
	    (ipsec->remote.family && !pw_address_same(&ipsec->remote, remote)))
		return NULL;
	return link;
}

/** The IPsec interface that what comes in by the SA comes in on, or NULL. */
static const struct pw_link *link_of(const struct pw_sa_entry *entry)
{
	return entry->if_id ? pw_link_by_if_id(entry->if_id) : vti_of(entry, true);
}

bool pw_sa_front_door(const struct pw_sa_entry *entry, uint16_t *vrf)
{
	const struct pw_link *link = link_of(entry), *underlay;

	if (!link && !entry->if_id)
		link = vti_of(entry, false);
	underlay = link ? pw_link_by_index(link->ipsec.underlay_link) : NULL;
	if (!underlay)
		return false;
	*vrf = pw_link_vrf(underlay);
	return true;
}

/* ---- by policy ----------------------------------------------------------------------------- */

static void template_ends(const struct xfrm_user_tmpl *template, struct pw_address *source,
			  struct pw_address *destination)
{
	static const uint8_t zero[16];

	memset(source, 0, sizeof(*source));
	memset(destination, 0, sizeof(*destination));
	destination->family = (uint8_t) template->family;
	memcpy(destination->bytes, &template->id.daddr, pw_address_size(template->family));
	if (memcmp(&template->saddr, zero, pw_address_size(template->family)) == 0)
		return; /* any */
	source->family = (uint8_t) template->family;
	memcpy(source->bytes, &template->saddr, pw_address_size(template->family));
}

static struct template_list *template_bucket(const struct pw_address *source,
					     const struct pw_address *destination)
{
	return &by_template[pw_address_hash(destination, pw_address_hash(source, 0)) % BUCKETS];
}

static struct template_list *policy_bucket(const struct pw_policy *policy)
{
	struct pw_address source, destination;

	template_ends(&policy->template, &source, &destination);
	return template_bucket(&source, &destination);
}

static bool names_inside(const struct pw_policy *policy)
{
	return policy->direction != XFRM_POLICY_OUT && policy->selector.ifindex && !policy->if_id &&
	       !policy->mark.mask && policy->templated && policy->template.mode == XFRM_MODE_TUNNEL;
}

void pw_sa_policy_linked(struct pw_policy *policy)
{
	if (!names_inside(policy))
		return;
	LIST_INSERT_HEAD(policy_bucket(policy), policy, by_template);
	templates++;
	dirty = true;
}

void pw_sa_policy_unlinked(struct pw_policy *policy)
{
	if (!names_inside(policy))
		return;
	LIST_REMOVE(policy, by_template);
	templates--;
	dirty = true;
}

static bool lets_in(const struct pw_policy *policy, const struct pw_sa_entry *entry)
{
	const struct xfrm_user_tmpl *template = &policy->template;
	struct pw_address source, destination;

	template_ends(template, &source, &destination);
	return (!template->reqid || template->reqid == entry->reqid) &&
	       (!template->id.spi || template->id.spi == entry->spi) &&
	       (!source.family || pw_address_same(&source, &entry->source)) &&
	       pw_address_same(&destination, &entry->destination);
}

/**
 * Goes through the policies that may let the SA in. They must agree on the VRF: an SA that two
 * VRFs ask for is nobody's.
 */
static void by_policies(const struct pw_sa_entry *entry, const struct pw_address *source,
			bool *named, struct pw_sa_inside *inside)
{
	const struct pw_policy *policy;

	LIST_FOREACH (policy, template_bucket(source, &entry->destination), by_template) {
		const struct pw_link *link =
			policy->device_gone ? NULL
					    : pw_link_by_index((uint32_t)policy->selector.ifindex);

		if (!lets_in(policy, entry))
			continue;
		if (policy->device_gone)
			link = NULL; /* the index may be another's by now */
		if (!link || (*named && inside->vrf != pw_link_vrf(link)))
			inside->closed = true;
		else
			inside->vrf = pw_link_vrf(link);
		*named = true;
	}
}

/* ---- an SA --------------------------------------------------------------------------------- */

void pw_sa_inside_find(const struct pw_sa_detail *sa, struct pw_sa_inside *inside)
{
	static const struct pw_address any;
	const struct pw_sa_entry *entry = &sa->entry;
	const struct pw_link *link;
	bool named = false;

	*inside = (struct pw_sa_inside){.vrf = sa->vrf};
	if (entry->mode != XFRM_MODE_TUNNEL)
		return;
	if (!entry->if_id && !entry->mark.mask) {
		by_policies(entry, &entry->source, &named, inside);
		by_policies(entry, &any, &named, inside);
		return;
	}
	link = link_of(entry);
	if (!link || !link->ipsec.spd) {
		inside->closed = true;
		return;
	}
	inside->interface = link->index;
	inside->spd = link->ipsec.spd;
	inside->vrf = pw_link_vrf(link);
}

void pw_sa_inside_link(struct pw_sa_detail *sa)
{
	LIST_INSERT_HEAD(list_of(&sa->entry), sa, by_inside);
}

void pw_sa_inside_unlink(struct pw_sa_detail *sa)
{
	LIST_REMOVE(sa, by_inside);
}

/* ---- changes ------------------------------------------------------------------------------- */

static void follow_all(struct inside_list *list)
{
	struct pw_sa_detail *sa, *next;

	for (sa = LIST_FIRST(list); sa; sa = next) {
		next = LIST_NEXT(sa, by_inside);
		pw_sa_follow(sa);
	}
}

void pw_sa_link_changed(const struct pw_link *link)
{
	const struct pw_ipsec *ipsec = &link->ipsec;

	if (link->kind != PW_LINK_IPSEC) {
		dirty |= templates > 0;
		return;
	}
	if (!ipsec->family) {
		follow_all(&by_if_id[number_hash(ipsec->if_id)]);
		return;
	}
	follow_all(&by_mark[number_hash(ipsec->ikey)]);
	if (ipsec->okey != ipsec->ikey)
		follow_all(&by_mark[number_hash(ipsec->okey)]);
	follow_all(&masked);
}

void pw_sa_resolve(void)
{
	if (!dirty)
		return;
	dirty = false;
	follow_all(&plain);
}
