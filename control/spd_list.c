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
struct pw_policy *pw_spd_twin(const struct pw_policy *policy)
{
	struct pw_policy model = *policy;

	if (policy->direction == XFRM_POLICY_OUT)
		return NULL;
	model.direction = policy->direction == XFRM_POLICY_IN ? XFRM_POLICY_FWD : XFRM_POLICY_IN;
	return pw_policy_find(&model);
}

static bool has_twin_before(const struct pw_policy *policy)
{
	const struct pw_policy *twin = pw_spd_twin(policy);

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

static struct pw_policy_rule rule_of(const struct pw_policy *policy, bool outward)
{
	struct pw_policy_rule rule = {.action = pw_spd_action(policy), .index = policy->index};

	pw_spd_rule_select(&rule, &policy->selector);
	if (outward)
		rule_outward(policy, &rule);
	else
		rule_inward(policy, &rule);
	return rule;
}

static int compile(struct pw_spd_list *list, struct pw_policy *const *sorted, bool outward)
{
	struct pw_policy_rule *rules = calloc(list->count, sizeof(*rules));

	list->places = calloc(list->count, sizeof(*list->places));
	list->gone = calloc((list->count + 63) / 64, sizeof(*list->gone));
	if (!rules || !list->places || !list->gone) {
		free(rules);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < list->count; i++) {
		rules[i] = rule_of(sorted[i], outward);
		list->places[i] =
			(struct pw_spd_place){sorted[i], sorted[i]->order, sorted[i]->priority};
	}
	list->base = pw_policy_list_new(rules, list->count);
	list->list = list->base;
	free(rules);
	return list->base ? 0 : -errno;
}

int pw_spd_list_build(const struct pw_spd_owner *owner, bool outward, struct pw_spd_list *list)
{
	struct pw_policy **sorted = calloc(owner->count + 1, sizeof(struct pw_policy *));
	int ret;

	if (!sorted)
		return -ENOMEM;
	list->count = policies_sorted(owner, outward, sorted);
	ret = list->count ? compile(list, sorted, outward) : 0;
	free(sorted);
	return ret;
}

int pw_spd_list_patch(const struct pw_spd_list *from, bool outward, struct pw_policy_list **list)
{
	struct pw_policy_rule *rules;
	struct pw_policy *policy;
	uint32_t *places, count = 0;

	*list = from->base;
	if (!from->patched && !from->any_gone)
		return 0;
	rules = malloc((from->patched + 1) * sizeof(*rules));
	places = malloc((from->patched + 1) * sizeof(*places));
	*list = NULL;
	if (rules && places) {
		TAILQ_FOREACH (policy, &from->patch, in_patch) {
			rules[count] = rule_of(policy, outward);
			places[count++] = policy->place;
		}
		*list = pw_policy_list_patch(from->base, from->gone, rules, places, count);
	}
	free(rules);
	free(places);
	return *list ? 0 : -ENOMEM;
}

static bool selects_all(const struct xfrm_selector *selector)
{
	return !selector->prefixlen_s && !selector->prefixlen_d && !selector->proto &&
	       !selector->sport_mask && !selector->dport_mask;
}

static void firsts_find(struct pw_spd_owner *owner)
{
	const struct pw_policy *policy;

	owner->firsts[0] = owner->firsts[1] = NULL;
	TAILQ_FOREACH (policy, &owner->policies, in_owner) {
		const struct pw_policy **first =
			&owner->firsts[policy->selector.family == AF_INET6];

		if (policy->direction == XFRM_POLICY_OUT &&
		    (!*first || pw_policy_comes_before(policy, *first)))
			*first = policy;
	}
	owner->firsts_known = true;
}

void pw_spd_all(struct pw_spd_owner *owner, uint32_t all[2])
{
	if (!owner->firsts_known)
		firsts_find(owner);
	for (unsigned int i = 0; i < 2; i++) {
		const struct pw_policy *first = owner->firsts[i];
		struct pw_policy_rule rule = {0};

		if (!first || !selects_all(&first->selector))
			continue;
		rule.action = pw_spd_action(first);
		rule_outward(first, &rule);
		if (rule.action == PW_POLICY_PROTECT)
			all[i] = rule.nexthop;
	}
}
