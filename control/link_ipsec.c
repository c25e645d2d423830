/* SPDX-License-Identifier: BSD-3-Clause */
/* IPsec interfaces: found by if_id or key, and their place in the table of policies. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "control/links.h"
#include "control/spd.h"
#include "control/xfrm.h"
#include "dataplane/table/policy.h"

#define BUCKETS 4096

/* Links by one of their numbers; chained by index, 0 ends. A link is in one as often as it has
 * numbers: an xfrm link in by_if_id, a vti in both others. */
struct index {
	size_t offset; /* of the number in struct pw_ipsec */
	uint32_t first[BUCKETS];
	uint32_t next[PW_INTERFACES];
};

static struct index by_if_id = {.offset = offsetof(struct pw_ipsec, if_id)};
static struct index by_ikey = {.offset = offsetof(struct pw_ipsec, ikey)};
static struct index by_okey = {.offset = offsetof(struct pw_ipsec, okey)};
static struct index *const indices[] = {&by_if_id, &by_ikey, &by_okey};

static uint32_t number_of(const struct index *index, const struct pw_ipsec *ipsec)
{
	return *(const uint32_t *)((const char *)ipsec + index->offset);
}

static uint32_t *bucket_of(struct index *index, uint32_t number)
{
	return &index->first[(number * 2654435761U) >> 20];
}

static void insert(struct index *index, const struct pw_link *link)
{
	uint32_t number = number_of(index, &link->ipsec);
	uint32_t *bucket = bucket_of(index, number);

	if (!number)
		return;
	index->next[link->index] = *bucket;
	*bucket = link->index;
}

static void take_out(struct index *index, const struct pw_link *link)
{
	uint32_t number = number_of(index, &link->ipsec);
	uint32_t *at = bucket_of(index, number);

	if (!number)
		return;
	while (*at != link->index)
		at = &index->next[*at];
	*at = index->next[link->index];
}

/** The link with this number that is not @p self. */
static struct pw_link *find(struct index *index, uint32_t number, const struct pw_link *self)
{
	for (uint32_t at = number ? *bucket_of(index, number) : 0; at; at = index->next[at]) {
		struct pw_link *link = pw_link_by_index(at);

		if (link != self && number_of(index, &link->ipsec) == number)
			return link;
	}
	return NULL;
}

struct pw_link *pw_link_by_if_id(uint32_t if_id)
{
	return find(&by_if_id, if_id, NULL);
}

struct pw_link *pw_link_by_mark(uint32_t value, uint32_t mask, bool inward)
{
	struct index *index = inward ? &by_ikey : &by_okey;
	struct pw_link *link, *found = NULL;

	if (!mask)
		return NULL;
	if (mask == UINT32_MAX)
		return find(index, value, NULL);
	for (link = pw_link_next(0); link; link = pw_link_next(link->index)) {
		if (link->kind != PW_LINK_IPSEC || !link->ipsec.family ||
		    (number_of(index, &link->ipsec) & mask) != value)
			continue;
		if (found)
			return NULL;
		found = link;
	}
	return found;
}

static bool same_ends(const struct pw_ipsec *one, const struct pw_ipsec *other)
{
	return one->family == other->family && one->underlay_link == other->underlay_link &&
	       pw_address_same(&one->local, &other->local) &&
	       pw_address_same(&one->remote, &other->remote);
}

const struct pw_link *pw_ipsec_same(const struct pw_ipsec *wanted, const struct pw_link *self)
{
	const struct pw_link *link;

	for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
		link = find(indices[i], number_of(indices[i], wanted), self);
		if (link)
			return link;
	}
	if (!wanted->family)
		return NULL;
	for (link = pw_link_next(0); link; link = pw_link_next(link->index))
		if (link != self && link->kind == PW_LINK_IPSEC && same_ends(&link->ipsec, wanted))
			return link;
	return NULL;
}

uint32_t pw_ipsec_default_mtu(const struct pw_ipsec *ipsec)
{
	const struct pw_link *underlay = pw_link_by_index(ipsec->underlay_link);
	uint32_t mtu = 1500;

	/* As in Linux: an xfrm link has Ethernet's, a vti leaves room for the outer header. */
	if (!ipsec->family)
		return mtu;
	if (underlay && (underlay->kind == PW_LINK_PORT || underlay->kind == PW_LINK_VLAN))
		mtu = underlay->mtu;
	return mtu - (ipsec->family == AF_INET6 ? 40 : 20);
}

int pw_ipsec_added(struct pw_link *link)
{
	const struct pw_spd closed = {
		.out_default = PW_POLICY_DISCARD,
		.in_default = PW_POLICY_DISCARD,
		.fwd_default = PW_POLICY_DISCARD,
		.interface_default = PW_POLICY_DISCARD,
	};
	int ret = pw_slot_alloc(&pw_spds, &link->ipsec.spd);

	if (ret)
		return ret;
	ret = pw_slot_set(&pw_spds, link->ipsec.spd, &closed);
	if (ret) {
		pw_slot_free(&pw_spds, link->ipsec.spd);
		return ret;
	}
	for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++)
		insert(indices[i], link);
	pw_sa_link_changed(link);
	pw_spd_link_changed(link);
	return 0;
}

void pw_ipsec_deleted(struct pw_link *link)
{
	uint32_t spd = link->ipsec.spd;

	for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++)
		take_out(indices[i], link);
	link->ipsec.spd = 0;
	pw_sa_link_changed(link);
	pw_slot_free(&pw_spds, spd);
}

void pw_ipsec_fini(void)
{
	for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++)
		memset(indices[i]->first, 0, sizeof(indices[i]->first));
}

int pw_link_set_ipsec(struct pw_link *link, const struct pw_ipsec *ipsec)
{
	uint32_t spd = link->ipsec.spd;

	for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++)
		take_out(indices[i], link);
	pw_sa_link_changed(link); /* the SAs that it had */
	pw_spd_link_changed(link);
	link->ipsec = *ipsec;
	link->ipsec.spd = spd;
	for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++)
		insert(indices[i], link);
	return pw_link_changed(link);
}
