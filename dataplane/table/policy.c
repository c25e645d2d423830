/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/table/policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_acl.h>
#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include "dataplane/table/policy_internal.h"
#include "lib/retire.h"

#define BURST     64
#define RULES_MAX 65536
/* Up to here, one after the other is cheaper than rte_acl (docs/benchmarking.md). */
#define ROW_MAX 16
/* Bytes of one table of rte_acl; it shares nodes less where that keeps it below. */
#define ACL_BYTES ((size_t)64 << 20)

struct pw_slots pw_spds;

const struct pw_policy_rule pw_policy_discard = {.action = PW_POLICY_DISCARD};

enum family {
	IPV4,
	IPV6,
	FAMILIES,
};

/* ---- rules as they are compared ------------------------------------------------------------- */

static void mask_set(uint8_t mask[16], unsigned int length)
{
	memset(mask, 0xff, length / 8);
	if (length % 8)
		mask[length / 8] = (uint8_t)(0xff00 >> length % 8);
}

static bool asks_ports(const struct pw_policy_rule *rule)
{
	return rule->source_port_mask || rule->destination_port_mask;
}

struct pw_policy_compare pw_policy_compare_of(const struct pw_policy_rule *rule, uint32_t number)
{
	struct pw_policy_compare compare = {.rule = number};

	memcpy(compare.value.source, rule->source, 16);
	mask_set(compare.mask.source, rule->source_length);
	memcpy(compare.value.destination, rule->destination, 16);
	mask_set(compare.mask.destination, rule->destination_length);
	compare.value.source_port = rule->source_port;
	compare.mask.source_port = rule->source_port_mask;
	compare.value.destination_port = rule->destination_port;
	compare.mask.destination_port = rule->destination_port_mask;
	compare.value.protocol = rule->protocol;
	if (rule->protocol) {
		compare.mask.protocol = 0xff;
		compare.mask.unknown = PW_SELECTOR_NO_PROTOCOL;
	}
	if (asks_ports(rule))
		compare.mask.unknown |= PW_SELECTOR_NO_PORTS;
	for (unsigned int i = 0; i < RTE_DIM(compare.value.words); i++)
		compare.value.words[i] &= compare.mask.words[i];
	return compare;
}

uint32_t pw_policy_compare_perhaps(const struct pw_policy_rule *rule, uint32_t number,
				   struct pw_policy_compare compares[2])
{
	struct pw_policy_compare compare = pw_policy_compare_of(rule, number);
	uint32_t count = 0;

	if (rule->action == PW_POLICY_BYPASS || !compare.mask.unknown)
		return 0;
	compare.value.source_port = compare.mask.source_port = 0;
	compare.value.destination_port = compare.mask.destination_port = 0;
	compare.mask.unknown = PW_SELECTOR_NO_PORTS | PW_SELECTOR_NO_PROTOCOL;
	if (asks_ports(rule)) {
		compare.value.unknown = PW_SELECTOR_NO_PORTS;
		compares[count++] = compare;
	}
	compare.value.protocol = compare.mask.protocol = 0;
	compare.value.unknown = compare.mask.unknown;
	compares[count++] = compare;
	return count;
}

/* ---- rte_acl -------------------------------------------------------------------------------- */

#define FIELDS_MAX (1 + 2 * 4 + 2 + 1)
RTE_ACL_RULE_DEF(acl_rule, FIELDS_MAX);

/*
 * rte_acl wants one byte first, then groups of four; fields stand in groups by input_index. Masks
 * of ports are masks of bits and need not be ranges.
 */
static uint32_t acl_fields(struct rte_acl_field_def *defs, enum family family)
{
	const unsigned int words = family == IPV6 ? 4 : 1;
	uint32_t count = 0, input = 0;

#define FIELD(kind, bytes, group, at)                                                              \
	(defs[count] = (struct rte_acl_field_def){.type = (kind),                                  \
						  .size = (bytes),                                 \
						  .field_index = (uint8_t)count,                   \
						  .input_index = (uint8_t)(group),                 \
						  .offset = (at)},                                 \
	 count++)
	FIELD(RTE_ACL_FIELD_TYPE_BITMASK, 1, input++, offsetof(struct pw_selector, protocol));
	for (unsigned int i = 0; i < words; i++)
		FIELD(RTE_ACL_FIELD_TYPE_MASK, 4, input++,
		      offsetof(struct pw_selector, destination) + i * 4);
	for (unsigned int i = 0; i < words; i++)
		FIELD(RTE_ACL_FIELD_TYPE_MASK, 4, input++,
		      offsetof(struct pw_selector, source) + i * 4);
	FIELD(RTE_ACL_FIELD_TYPE_BITMASK, 2, input, offsetof(struct pw_selector, source_port));
	FIELD(RTE_ACL_FIELD_TYPE_BITMASK, 2, input++,
	      offsetof(struct pw_selector, destination_port));
	FIELD(RTE_ACL_FIELD_TYPE_BITMASK, 4, input++, offsetof(struct pw_selector, protocol));
#undef FIELD
	return count;
}

/* Values and masks in host byte order; of a prefix the mask is its length. */
static struct acl_rule acl_rule_of(const struct pw_policy_compare *compare,
				   const struct rte_acl_field_def *defs, uint32_t fields,
				   int32_t priority)
{
	struct acl_rule rule = {
		.data = {.category_mask = 1, .priority = priority, .userdata = compare->rule + 1}};

	for (uint32_t i = 0; i < fields; i++) {
		const uint8_t *value = (const uint8_t *)&compare->value + defs[i].offset;
		const uint8_t *mask = (const uint8_t *)&compare->mask + defs[i].offset;
		uint32_t value32 = 0, mask32 = 0;

		for (unsigned int k = 0; k < defs[i].size; k++) {
			value32 = value32 << 8 | value[k];
			mask32 = mask32 << 8 | mask[k];
		}
		if (defs[i].type == RTE_ACL_FIELD_TYPE_MASK)
			mask32 = (uint32_t)__builtin_popcount(mask32);
		rule.field[i].value.u32 = value32;
		rule.field[i].mask_range.u32 = mask32;
	}
	return rule;
}

static int acl_add(struct rte_acl_ctx *acl, const struct pw_policy_compare *compares,
		   uint32_t count, const struct rte_acl_config *config)
{
	for (uint32_t i = 0; i < count; i++) {
		struct acl_rule rule = acl_rule_of(&compares[i], config->defs, config->num_fields,
						   (int32_t)(count - i));
		int ret = rte_acl_add_rules(acl, (const struct rte_acl_rule *)&rule, 1);

		if (ret)
			return ret;
	}
	return 0;
}

static int acl_new(struct rte_acl_ctx **acl, const struct pw_policy_compare *compares,
		   uint32_t count, enum family family)
{
	static uint64_t number; /* rte_acl shares contexts of one name */
	struct rte_acl_config config = {.num_categories = 1, .max_size = ACL_BYTES};
	char name[RTE_ACL_NAMESIZE];
	struct rte_acl_param param = {
		.name = name,
		.socket_id = SOCKET_ID_ANY,
		.rule_size = sizeof(struct acl_rule),
		.max_rule_num = count,
	};
	int ret;

	snprintf(name, sizeof(name), "policies-%" PRIx64, number++);
	config.num_fields = acl_fields(config.defs, family);
	*acl = rte_acl_create(&param);
	if (!*acl)
		return -ENOMEM;
	ret = acl_add(*acl, compares, count, &config);
	ret = ret ? ret : rte_acl_build(*acl, &config);
	if (!ret)
		return 0;
	rte_acl_free(*acl);
	*acl = NULL;
	return ret == -ERANGE ? -E2BIG : ret;
}

/* ---- tables --------------------------------------------------------------------------------- */

static int table_init(struct pw_policy_table *table, const struct pw_policy_compare *compares,
		      uint32_t count, enum family family)
{
	table->count = count;
	if (!count)
		return 0;
	if (count > ROW_MAX)
		return acl_new(&table->acl, compares, count, family);
	table->row = rte_malloc("policies", count * sizeof(*compares), RTE_CACHE_LINE_SIZE);
	if (!table->row)
		return -ENOMEM;
	memcpy(table->row, compares, count * sizeof(*compares));
	return 0;
}

static void table_fini(struct pw_policy_table *table)
{
	rte_acl_free(table->acl);
	rte_free(table->row);
}

static inline bool selects(const struct pw_policy_compare *compare,
			   const struct pw_selector *selector, bool v6)
{
	const uint64_t *value = compare->value.words, *mask = compare->mask.words;
	uint64_t differ = ((selector->words[0] & mask[0]) ^ value[0]) |
			  ((selector->words[2] & mask[2]) ^ value[2]) |
			  ((selector->words[4] & mask[4]) ^ value[4]);

	if (v6)
		differ |= ((selector->words[1] & mask[1]) ^ value[1]) |
			  ((selector->words[3] & mask[3]) ^ value[3]);
	return !differ;
}

void pw_policy_table_find(const struct pw_policy_table *table, const struct pw_selector **selectors,
			  uint32_t *found, unsigned int n, bool v6)
{
	if (table->acl) {
		rte_acl_classify(table->acl, (const uint8_t **)selectors, found, n, 1);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		found[i] = 0;
		for (uint32_t k = 0; k < table->count; k++)
			if (selects(&table->row[k], selectors[i], v6)) {
				found[i] = table->row[k].rule + 1;
				break;
			}
	}
}

/* ---- lists ---------------------------------------------------------------------------------- */

static int list_family(struct pw_policy_list *list, enum family family,
		       struct pw_policy_compare *compares)
{
	const int wanted = family == IPV6 ? AF_INET6 : AF_INET;
	uint32_t count = 0;
	int ret;

	for (uint32_t i = 0; i < list->count; i++)
		if (list->rules[i].family == wanted)
			compares[count++] = pw_policy_compare_of(&list->rules[i], i);
	ret = table_init(&list->tables[family], compares, count, family);
	if (ret)
		return ret;
	count = 0;
	for (uint32_t i = 0; i < list->count; i++)
		if (list->rules[i].family == wanted)
			count += pw_policy_compare_perhaps(&list->rules[i], i, &compares[count]);
	return table_init(&list->perhaps[family], compares, count, family);
}

static void list_free(void *context, uint64_t argument)
{
	struct pw_policy_list *list = context;

	if (--list->users)
		return;
	if (list->patch) {
		pw_policy_patch_free(list->patch);
		list_free(list->base, 0);
		rte_free(list);
		return;
	}
	for (enum family family = IPV4; family < FAMILIES; family++) {
		table_fini(&list->tables[family]);
		table_fini(&list->perhaps[family]);
	}
	rte_free(list->rules);
	rte_free(list);
}

struct pw_policy_list *pw_policy_list_new(const struct pw_policy_rule *rules, unsigned int count)
{
	struct pw_policy_compare *compares = NULL;
	struct pw_policy_list *list;
	int ret = -ENOMEM;

	if (count > RULES_MAX) {
		errno = E2BIG;
		return NULL;
	}
	list = rte_zmalloc("policies", sizeof(*list), RTE_CACHE_LINE_SIZE);
	if (!list)
		goto out;
	list->users = 1;
	list->count = count;
	list->rules =
		rte_malloc("policies", RTE_MAX(count, 1u) * sizeof(*rules), RTE_CACHE_LINE_SIZE);
	compares = calloc(RTE_MAX(count, 1u) * 2, sizeof(*compares));
	if (!list->rules || !compares)
		goto out;
	if (count)
		memcpy(list->rules, rules, count * sizeof(*rules));
	ret = list_family(list, IPV4, compares);
	ret = ret ? ret : list_family(list, IPV6, compares);
out:
	free(compares);
	if (ret) {
		if (list)
			list_free(list, 0);
		errno = -ret;
		return NULL;
	}
	return list;
}

void pw_policy_list_retire(struct pw_policy_list *list)
{
	if (list)
		pw_retire(list_free, list, 0);
}

/* ---- workers -------------------------------------------------------------------------------- */

/* Passes in clear unless a rule before @p rule would have kept it from that, perhaps. */
static const struct pw_policy_rule *select_perhaps(const struct pw_policy_list *list,
						   const struct pw_selector *selector, bool v6,
						   const struct pw_policy_rule *rule)
{
	uint32_t found;

	if (rule && rule->action != PW_POLICY_BYPASS)
		return rule;
	pw_policy_table_find(&list->perhaps[v6], &selector, &found, 1, v6);
	return found && (!rule || found - 1 < rule - list->rules) ? &pw_policy_discard : rule;
}

void pw_policy_list_select(const struct pw_policy_list *list, const struct pw_selector **selectors,
			   unsigned int n, bool v6, const struct pw_policy_rule **rules)
{
	uint32_t found[BURST];

	pw_policy_table_find(&list->tables[v6], selectors, found, n, v6);
	if (unlikely(list->patch)) {
		pw_policy_patch_select(list, selectors, found, n, v6, rules);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		rules[i] = found[i] ? &list->rules[found[i] - 1] : NULL;
		if (unlikely(selectors[i]->unknown && list->perhaps[v6].count))
			rules[i] = select_perhaps(list, selectors[i], v6, rules[i]);
	}
}

void pw_policy_select_burst(const struct pw_policy_list *list, struct rte_mbuf *const *mbufs,
			    unsigned int n, bool v6, const struct pw_policy_rule **rules)
{
	const struct pw_selector *pointers[BURST];
	struct pw_selector selectors[BURST];

	if (!list || !n) {
		memset(rules, 0, n * sizeof(*rules));
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		pw_selector_of(&selectors[i], mbufs[i], v6);
		pointers[i] = &selectors[i];
	}
	pw_policy_list_select(list, pointers, n, v6, rules);
}

static bool address_accepts(const uint8_t wanted[16], const uint8_t address[16])
{
	static const uint8_t any[16];

	return !memcmp(wanted, any, 16) || !memcmp(wanted, address, 16);
}

bool pw_policy_accepts(const struct pw_policy_rule *rule, const struct pw_sa *sa)
{
	return rule->action == PW_POLICY_PROTECT && (!rule->reqid || rule->reqid == sa->reqid) &&
	       (!rule->spi || rule->spi == sa->spi) &&
	       (!(rule->flags & PW_POLICY_TUNNEL) || sa->flags & PW_SA_TUNNEL) &&
	       address_accepts(rule->sa_source, sa->source) &&
	       address_accepts(rule->sa_destination, sa->destination);
}

/* ---- table of SPDs -------------------------------------------------------------------------- */

int pw_policy_table_init(void)
{
	/* Who asks an SPD that went away lets nothing pass. */
	const struct pw_spd nothing = {.out_default = PW_POLICY_DISCARD,
				       .in_default = PW_POLICY_DISCARD,
				       .fwd_default = PW_POLICY_DISCARD,
				       .interface_default = PW_POLICY_DISCARD};

	return pw_slots_init(&pw_spds, "SPDs", PW_SPDS, sizeof(struct pw_spd), &nothing);
}

void pw_policy_table_fini(void)
{
	pw_slots_fini(&pw_spds);
}
