/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zebra's next-hop ids. They are its own and begin anew when it starts, so each session maps them
 * to objects of its own: a stale route keeps the next hop that it had when the same id comes
 * back with another meaning.
 */
#include <bsd/sys/tree.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <libmnl/libmnl.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "control/feed/fpm_internal.h"
#include "control/nexthop.h"
#include "control/request.h"
#include "control/route.h"

#define ID_FIRST     0x80000000u /* far from the ids that operators choose */
#define MESSAGE_SIZE 1024

struct nexthop {
	RB_ENTRY(nexthop) node;
	TAILQ_ENTRY(nexthop) wait; /* a group some of whose members have not come */
	uint32_t id;               /* zebra's */
	uint32_t object;           /* Pewter's, 0: has none (yet) */
	enum pw_fpm_verdict verdict;
	bool waiting;
	uint8_t protocol;
	uint16_t count; /* of a group */
	struct nexthop_grp members[];
};

struct left_over {
	SLIST_ENTRY(left_over) next;
	uint32_t object;
};

static int by_id(const struct nexthop *a, const struct nexthop *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_HEAD(nexthop_tree, nexthop);
RB_GENERATE_INTERNAL(nexthop_tree, nexthop, node, by_id, static __attribute__((unused)))

static struct nexthop_tree nexthops = RB_INITIALIZER(&nexthops);
static TAILQ_HEAD(, nexthop) waiting = TAILQ_HEAD_INITIALIZER(waiting);
static SLIST_HEAD(, left_over) left_overs = SLIST_HEAD_INITIALIZER(left_overs);
static size_t nexthop_count, waiting_count;
static bool unsettled; /* a member came since the groups were last looked at */

static struct nexthop *nexthop_find(uint32_t id)
{
	struct nexthop key = {.id = id};

	return RB_FIND(nexthop_tree, &nexthops, &key);
}

/* The object, while it is still ours. */
static struct pw_object *object_of(uint32_t id)
{
	struct pw_object *object = id ? pw_object_find(id) : NULL;

	return object && object->source == PW_ROUTE_FPM ? object : NULL;
}

static uint32_t object_unused(void)
{
	static uint32_t last = ID_FIRST - 1;

	do
		last = last == UINT32_MAX ? ID_FIRST : last + 1;
	while (pw_object_find(last));
	return last;
}

static void object_leave(uint32_t id)
{
	struct pw_object *object = object_of(id);
	struct left_over *left = object ? malloc(sizeof(*left)) : NULL;

	if (left) {
		left->object = id;
		SLIST_INSERT_HEAD(&left_overs, left, next);
	} else if (object) {
		pw_object_delete(object);
	}
}

static void wait_end(struct nexthop *nexthop)
{
	if (!nexthop->waiting)
		return;
	TAILQ_REMOVE(&waiting, nexthop, wait);
	nexthop->waiting = false;
	waiting_count--;
}

static void nexthop_free(struct nexthop *nexthop)
{
	wait_end(nexthop);
	RB_REMOVE(nexthop_tree, &nexthops, nexthop);
	nexthop_count--;
	free(nexthop);
}

/* A new node for the id; of the one that was there the object stays. */
static struct nexthop *nexthop_make(uint32_t id, unsigned int members, bool group)
{
	struct nexthop *old = nexthop_find(id), *nexthop;
	uint32_t object = 0;

	if (!old && nexthop_count >= PW_NEXTHOPS)
		return NULL;
	nexthop = calloc(1, sizeof(*nexthop) + members * sizeof(nexthop->members[0]));
	if (!nexthop)
		return NULL;
	if (old) {
		const struct pw_object *is = object_of(old->object);

		/* A group does not become a single next hop under its routes, nor back. */
		if (is && is->is_group == group)
			object = old->object;
		else
			object_leave(old->object);
		nexthop_free(old);
	}
	nexthop->id = id;
	nexthop->object = object;
	RB_INSERT(nexthop_tree, &nexthops, nexthop);
	nexthop_count++;
	return nexthop;
}

/* Hands the message over under Pewter's id. What it cannot be any more goes. */
static void nexthop_apply(struct nexthop *nexthop, struct nlmsghdr *nlh, char *text)
{
	nlh->nlmsg_type = RTM_NEWNEXTHOP;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
	if (!pw_request_feed(&pw_fpm_feed, nlh, text, PW_FPM_TEXT)) {
		nexthop->verdict = PW_FPM_TAKEN;
		return;
	}
	nexthop->verdict = PW_FPM_REFUSED;
	if (object_of(nexthop->object))
		pw_object_delete(object_of(nexthop->object));
	nexthop->object = 0;
}

static void object_want(struct nexthop *nexthop)
{
	if (!object_of(nexthop->object))
		nexthop->object = object_unused();
}

/* ---- groups ------------------------------------------------------------------------------ */

/* Of the members those that are there; true when none is awaited any more. */
static bool group_members(const struct nexthop *group, struct nexthop_grp *entries,
			  unsigned int *count, enum pw_fpm_verdict *verdict)
{
	bool complete = true;

	*count = 0;
	*verdict = PW_FPM_SKIPPED;
	for (unsigned int i = 0; i < group->count; i++) {
		const struct nexthop *member = nexthop_find(group->members[i].id);

		if (!member) {
			complete = false;
		} else if (member->verdict == PW_FPM_REFUSED) {
			*verdict = PW_FPM_REFUSED;
		} else if (object_of(member->object) && !member->count) {
			entries[*count] = group->members[i];
			entries[(*count)++].id = member->object;
		}
	}
	return complete;
}

/* With @p partial also when members are awaited, if any is there. */
static void group_settle(struct nexthop *group, bool partial, char *text)
{
	struct nexthop_grp entries[PW_GROUP_BUCKETS];
	uint32_t buffer[MESSAGE_SIZE / sizeof(uint32_t)];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nhmsg *nhm = mnl_nlmsg_put_extra_header(nlh, sizeof(*nhm));
	enum pw_fpm_verdict verdict;
	unsigned int count;
	bool complete = group_members(group, entries, &count, &verdict);

	if (!complete && !(partial && count))
		return;
	if (complete)
		wait_end(group);
	if (!count) {
		snprintf(text, PW_FPM_TEXT, "none of the group's next hops is Pewter's");
		group->verdict = verdict;
		if (object_of(group->object))
			pw_object_delete(object_of(group->object));
		group->object = 0;
		return;
	}
	object_want(group);
	nhm->nh_protocol = group->protocol;
	mnl_attr_put_u32(nlh, NHA_ID, group->object);
	mnl_attr_put(nlh, NHA_GROUP, count * sizeof(*entries), entries);
	nexthop_apply(group, nlh, text);
}

void pw_fpm_nexthops_settle(void)
{
	struct nexthop *group, *next;
	char text[PW_FPM_TEXT];

	if (!unsettled)
		return;
	unsettled = false;
	for (group = TAILQ_FIRST(&waiting); group; group = next) {
		next = TAILQ_NEXT(group, wait);
		group_settle(group, false, text);
	}
}

static enum pw_fpm_verdict group_new(uint32_t id, const struct nhmsg *nhm,
				     const struct nlattr *attribute, char *text)
{
	size_t size = mnl_attr_get_payload_len(attribute);
	size_t count = size / sizeof(struct nexthop_grp);
	struct nexthop *group;

	if (!count || size % sizeof(struct nexthop_grp) || count > PW_GROUP_BUCKETS) {
		snprintf(text, PW_FPM_TEXT, "a group of %zu bytes: from 1 to %d next hops of %zu",
			 size, PW_GROUP_BUCKETS, sizeof(struct nexthop_grp));
		return PW_FPM_REFUSED;
	}
	group = nexthop_make(id, (unsigned int)count, true);
	if (!group) {
		snprintf(text, PW_FPM_TEXT, "no room for another next hop");
		return PW_FPM_REFUSED;
	}
	group->count = (uint16_t)count;
	group->protocol = nhm->nh_protocol;
	memcpy(group->members, mnl_attr_get_payload(attribute), size);
	/* The field is the weight less one; a weight of none, zebra's 0, comes out as 255. */
	for (size_t i = 0; i < count; i++)
		if (group->members[i].weight == UINT8_MAX)
			group->members[i].weight = 0;
	/* Zebra sends groups before what is in them. */
	group->verdict = PW_FPM_TAKEN;
	group->waiting = true;
	TAILQ_INSERT_TAIL(&waiting, group, wait);
	waiting_count++;
	group_settle(group, false, text);
	return group->verdict;
}

/* ---- single next hops -------------------------------------------------------------------- */

static enum pw_fpm_verdict single_new(uint32_t id, struct nlmsghdr *nlh, struct nlattr **table,
				      char *text)
{
	struct nhmsg *nhm = mnl_nlmsg_get_payload(nlh);
	struct nexthop *nexthop = nexthop_make(id, 0, false);
	struct pw_link *link = NULL;
	char name[32];

	if (!nexthop) {
		snprintf(text, PW_FPM_TEXT, "no room for another next hop");
		return PW_FPM_REFUSED;
	}
	unsettled = true;
	if (table[NHA_OIF]) {
		uint32_t *oif = mnl_attr_get_payload(table[NHA_OIF]);

		link = pw_fpm_interface_link(*oif, name);
		if (!link) {
			snprintf(text, PW_FPM_TEXT, "interface %s is no link of Pewter's", name);
			nexthop->verdict = table[NHA_ENCAP] ? PW_FPM_REFUSED : PW_FPM_SKIPPED;
			if (object_of(nexthop->object))
				pw_object_delete(object_of(nexthop->object));
			nexthop->object = 0;
			return nexthop->verdict;
		}
		*oif = link->index;
	}
	/* Zebra has looked the gateway up; its connected routes need not be Pewter's. */
	if (table[NHA_GATEWAY])
		nhm->nh_flags |= RTNH_F_ONLINK;
	object_want(nexthop);
	*(uint32_t *)mnl_attr_get_payload(table[NHA_ID]) = nexthop->object;
	nexthop_apply(nexthop, nlh, text);
	return nexthop->verdict;
}

/* The attributes that are looked at here; the handler looks at all of them. */
static bool attributes(const struct nlmsghdr *nlh, struct nlattr **table)
{
	struct nlattr *attribute;

	memset(table, 0, (NHA_MAX + 1) * sizeof(*table));
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nhmsg))
		return false;
	mnl_attr_for_each(attribute, nlh, sizeof(struct nhmsg))
	{
		uint16_t type = mnl_attr_get_type(attribute);

		if ((type == NHA_ID || type == NHA_OIF) && mnl_attr_get_payload_len(attribute) != 4)
			return false;
		if (type <= NHA_MAX)
			table[type] = attribute;
	}
	return table[NHA_ID] != NULL;
}

enum pw_fpm_verdict pw_fpm_nexthop_new(struct nlmsghdr *nlh, char *text)
{
	struct nlattr *table[NHA_MAX + 1];
	uint32_t id;

	if (!attributes(nlh, table)) {
		snprintf(text, PW_FPM_TEXT, "a next hop without an id, or cut short");
		return PW_FPM_REFUSED;
	}
	id = mnl_attr_get_u32(table[NHA_ID]);
	if (table[NHA_GROUP])
		return group_new(id, mnl_nlmsg_get_payload(nlh), table[NHA_GROUP], text);
	return single_new(id, nlh, table, text);
}

enum pw_fpm_verdict pw_fpm_nexthop_delete(const struct nlmsghdr *nlh)
{
	struct nlattr *table[NHA_MAX + 1];
	struct nexthop *nexthop = NULL;

	if (attributes(nlh, table))
		nexthop = nexthop_find(mnl_attr_get_u32(table[NHA_ID]));
	if (!nexthop)
		return PW_FPM_SKIPPED;
	if (object_of(nexthop->object))
		pw_object_delete(object_of(nexthop->object));
	nexthop_free(nexthop);
	return PW_FPM_TAKEN;
}

enum pw_fpm_verdict pw_fpm_nexthop_id(uint32_t id, uint32_t *nhid, char *text)
{
	struct nexthop *nexthop;

	pw_fpm_nexthops_settle();
	nexthop = nexthop_find(id);
	if (nexthop && nexthop->waiting)
		group_settle(nexthop, true, text);
	if (!nexthop || nexthop->verdict == PW_FPM_REFUSED || !object_of(nexthop->object)) {
		if (nexthop && nexthop->verdict == PW_FPM_SKIPPED) {
			snprintf(text, PW_FPM_TEXT, "next hop %u is not over Pewter's links", id);
			return PW_FPM_SKIPPED;
		}
		snprintf(text, PW_FPM_TEXT, "next hop %u %s", id,
			 !nexthop           ? "has not come"
			 : nexthop->waiting ? "is a group of which no member has come"
					    : "was refused");
		return PW_FPM_REFUSED;
	}
	*nhid = nexthop->object;
	return PW_FPM_TAKEN;
}

/* ---- sessions ---------------------------------------------------------------------------- */

/* Frees what nothing leads through; @p all: whatever leads through it is stale and goes too. */
static void left_overs_free(bool all)
{
	struct left_over *left, *next;

	for (left = SLIST_FIRST(&left_overs); left; left = next) {
		struct pw_object *object = object_of(left->object);

		next = SLIST_NEXT(left, next);
		if (object && !all && object->path.refs > 1)
			continue;
		SLIST_REMOVE(&left_overs, left, left_over, next);
		free(left);
		if (object)
			pw_object_delete(object);
	}
}

void pw_fpm_nexthops_stale(void)
{
	struct nexthop *nexthop;

	/* Groups last, so that they are first in the list: their members are free after them. */
	for (int group = 0; group < 2; group++)
		RB_FOREACH (nexthop, nexthop_tree, &nexthops)
			if (!nexthop->count == !group)
				object_leave(nexthop->object);
	while ((nexthop = RB_ROOT(&nexthops)))
		nexthop_free(nexthop);
	left_overs_free(false);
}

void pw_fpm_nexthops_sweep(void)
{
	left_overs_free(true);
}

size_t pw_fpm_nexthops_waiting(void)
{
	return waiting_count;
}
