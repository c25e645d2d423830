/* SPDX-License-Identifier: BSD-3-Clause */
/* The policies of an SPD as the rules that workers try, first to last. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/bundle.h"
#include "control/spd.h"

uint8_t pw_spd_action(const struct pw_policy *policy)
{
	if (policy->action == XFRM_POLICY_BLOCK)
		return PW_POLICY_DISCARD;
	return policy->templated ? PW_POLICY_PROTECT : PW_POLICY_BYPASS;
}

void pw_spd_rule_select(struct pw_policy_rule *rule, const struct xfrm_selector *selector)
{
	rule->family = (uint8_t)selector->family;
	rule->protocol = selector->proto;
	rule->source_length = selector->prefixlen_s;
	rule->destination_length = selector->prefixlen_d;
	memcpy(rule->source, &selector->saddr, sizeof(rule->source));
	memcpy(rule->destination, &selector->daddr, sizeof(rule->destination));
	rule->source_port = selector->sport;
	rule->source_port_mask = selector->sport_mask;
	rule->destination_port = selector->dport;
	rule->destination_port_mask = selector->dport_mask;
}

/* Without an SA, what is only preferred is not done; what is required has a bundle that drops. */
static void rule_outward(const struct pw_policy *policy, struct pw_policy_rule *rule)
{
	const struct pw_bundle *bundle = policy->bundle;

	if (rule->action != PW_POLICY_PROTECT)
		return;
	if (!bundle)
		rule->action = PW_POLICY_DISCARD; /* there was no room for one */
	else if (policy->template.optional && !bundle->sa)
		rule->action = PW_POLICY_BYPASS;
	else
		rule->nexthop = bundle->nexthop;
}

static void rule_inward(const struct pw_policy *policy, struct pw_policy_rule *rule)
{
	const struct xfrm_user_tmpl *template = &policy->template;

	if (rule->action != PW_POLICY_PROTECT)
		return;
	rule->flags = PW_POLICY_TUNNEL | (template->optional ? PW_POLICY_OPTIONAL : 0);
	rule->reqid = template->reqid;
	rule->spi = template->id.spi;
	memcpy(rule->sa_source, &template->saddr, sizeof(rule->sa_source));
	memcpy(rule->sa_destination, &template->id.daddr, sizeof(rule->sa_destination));
}

static int compare(const void *a, const void *b)
{
	const struct pw_policy *one = *(const struct pw_policy *const *)a;
	const struct pw_policy *other = *(const struct pw_policy *const *)b;

	return pw_policy_comes_before(one, other) ? -1 : pw_policy_comes_before(other, one);
}

/*
 * IKE daemons install what they install for direction in for direction fwd as well: of two that
 * say the same, only the first counts.
 */
static bool has_twin_before(const struct pw_policy *policy)
{
	struct pw_policy model = *policy;
	const struct pw_policy *twin;

	if (policy->direction == XFRM_POLICY_OUT)
		return false;
	model.direction = policy->direction == XFRM_POLICY_IN ? XFRM_POLICY_FWD : XFRM_POLICY_IN;
	twin = pw_policy_find(&model);
	return twin && twin->owner == policy->owner && pw_policy_comes_before(twin, policy) &&
	       pw_spd_action(twin) == pw_spd_action(policy) &&
	       memcmp(&twin->template, &policy->template, sizeof(twin->template)) == 0;
}

/* Those of one direction, first to last. How many. */
static unsigned int policies_sorted(const struct pw_spd_owner *owner, bool outward,
				    struct pw_policy **sorted)
{
	struct pw_policy *policy;
	unsigned int count = 0;

	TAILQ_FOREACH (policy, &owner->policies, in_owner)
		if ((policy->direction == XFRM_POLICY_OUT) == outward && !has_twin_before(policy))
			sorted[count++] = policy;
	qsort(sorted, count, sizeof(*sorted), compare);
	return count;
}

int pw_spd_list_build(const struct pw_spd_owner *owner, bool outward, struct pw_policy_list **list)
{
	struct pw_policy **sorted = calloc(owner->count + 1, sizeof(struct pw_policy *));
	struct pw_policy_rule *rules = calloc(owner->count + 1, sizeof(*rules));
	unsigned int count;
	int ret = -ENOMEM;

	*list = NULL;
	if (!sorted || !rules)
		goto out;
	count = policies_sorted(owner, outward, sorted);
	for (unsigned int i = 0; i < count; i++) {
		rules[i].action = pw_spd_action(sorted[i]);
		pw_spd_rule_select(&rules[i], &sorted[i]->selector);
		rules[i].index = sorted[i]->index;
		if (outward)
			rule_outward(sorted[i], &rules[i]);
		else
			rule_inward(sorted[i], &rules[i]);
	}
	ret = 0;
	if (count) {
		*list = pw_policy_list_new(rules, count);
		ret = *list ? 0 : -errno;
	}
out:
	free(sorted);
	free(rules);
	return ret;
}

static bool selects_all(const struct xfrm_selector *selector)
{
	return !selector->prefixlen_s && !selector->prefixlen_d && !selector->proto &&
	       !selector->sport_mask && !selector->dport_mask;
}

void pw_spd_all(const struct pw_spd_owner *owner, uint32_t all[2])
{
	const struct pw_policy *firsts[2] = {NULL, NULL}, *policy;

	TAILQ_FOREACH (policy, &owner->policies, in_owner) {
		const struct pw_policy **first = &firsts[policy->selector.family == AF_INET6];

		if (policy->direction == XFRM_POLICY_OUT &&
		    (!*first || pw_policy_comes_before(policy, *first)))
			*first = policy;
	}
	for (unsigned int i = 0; i < 2; i++) {
		struct pw_policy_rule rule = {0};

		if (!firsts[i] || !selects_all(&firsts[i]->selector))
			continue;
		rule.action = pw_spd_action(firsts[i]);
		rule_outward(firsts[i], &rule);
		if (rule.action == PW_POLICY_PROTECT)
			all[i] = rule.nexthop;
	}
}
