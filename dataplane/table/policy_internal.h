/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_POLICY_INTERNAL_H
#define PW_TABLE_POLICY_INTERNAL_H

#include "dataplane/table/policy.h"
#include "dataplane/table/selector.h"

/** Lists of policies, between policy.c and policy_patch.c. */

struct rte_acl_ctx;

/** One rule, as it is compared with packets. */
struct pw_policy_compare {
	struct pw_selector value, mask;
	uint32_t rule; /* its number in the list */
	uint32_t zero;
};

/** Of one family; at most one of the two is there. */
struct pw_policy_table {
	struct rte_acl_ctx *acl;
	struct pw_policy_compare *row;
	uint32_t count;
};

#define PW_POLICY_FAMILIES 2 /* 1: IPv6 */

/** What changed since a list was compiled (policy_patch.c). */
struct pw_policy_patch {
	struct pw_policy_rule *rules;
	uint64_t *orders; /* of the rules; pw_policy_order() of the list's */
	uint64_t *gone;   /* rules of the list, a bit each */
	struct pw_policy_table tables[PW_POLICY_FAMILIES], perhaps[PW_POLICY_FAMILIES];
};

struct pw_policy_list {
	struct pw_policy_rule *rules;
	uint32_t count;
	struct pw_policy_table tables[PW_POLICY_FAMILIES];
	/*
	 * Rules that would not let a packet pass in clear and that select it, perhaps, by what it
	 * does not say: one that is to pass in clear must be none of theirs (RFC 4301 7).
	 */
	struct pw_policy_table perhaps[PW_POLICY_FAMILIES];
	struct pw_policy_patch *patch; /* or NULL */
	struct pw_policy_list *base;   /* of a patched one: whose rules and tables these are */
	unsigned int users;            /* itself, until it is freed, and those patched from it */
};

struct pw_policy_compare pw_policy_compare_of(const struct pw_policy_rule *rule, uint32_t number);

/** The same rule for packets that do not say what it asks for. Returns how many, up to two. */
uint32_t pw_policy_compare_perhaps(const struct pw_policy_rule *rule, uint32_t number,
				   struct pw_policy_compare compares[2]);

/** The numbers of the first rules that select, plus one; 0 = none. */
void pw_policy_table_find(const struct pw_policy_table *table, const struct pw_selector **selectors,
			  uint32_t *found, unsigned int n, bool v6);

/** The rest of pw_policy_list_select() for a list with a patch: @p found is of its tables. */
void pw_policy_patch_select(const struct pw_policy_list *list, const struct pw_selector **selectors,
			    const uint32_t *found, unsigned int n, bool v6,
			    const struct pw_policy_rule **rules);
void pw_policy_patch_free(struct pw_policy_patch *patch);

/** Discards what would pass in clear though a rule before perhaps selects it. */
extern const struct pw_policy_rule pw_policy_discard;

#endif
