/* SPDX-License-Identifier: BSD-3-Clause */
/* The readers' side: no lock, no store but to the results. */
#include <string.h>

#include "lib/lpm_internal.h"

#define BURST 64
/* Entries of a jump that stay in the first cache. */
#define NEAR 1024

static const uint32_t from_root = LPM_CHILD;

static inline __attribute__((always_inline)) uint64_t ipv4_word(uint32_t address)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	address = __builtin_bswap32(address);
#endif
	return (uint64_t)address << LPM_IPV4_SHIFT;
}

static inline __attribute__((always_inline)) uint64_t ipv6_word(const uint8_t *address,
								unsigned int half)
{
	uint64_t word;

	memcpy(&word, address + 8 * half, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

/* Where the search for an address begins. */
static inline __attribute__((always_inline)) const uint32_t *jump_at(const struct lpm_jump *jump,
								     uint64_t word)
{
	uint64_t index = (word ^ jump->key) >> jump->shift;

	return index < jump->size ? &jump->entry[index] : &from_root;
}

static inline __attribute__((always_inline)) const uint32_t *jump_entry(const struct pw_lpm *lpm,
									uint64_t word)
{
	return jump_at(__atomic_load_n(&lpm->jump, __ATOMIC_ACQUIRE), word);
}

/* Takes an address through a node: true if the result is a child, false if a value. */
static inline __attribute__((always_inline)) bool node_step(const struct lpm_node *node,
							    uint64_t word, uint32_t *result)
{
	unsigned int above = ~(word >> node->shift) & (LPM_SLOTS - 1); /* slots above this one */
	uint64_t own = node->own << above;
	uint64_t mark = node->mark << above;
	bool match = !((word ^ node->key) >> node->shift >> LPM_STRIDE);
	bool here = match & ((own | mark) >> 63);
	unsigned int index = (unsigned int)__builtin_popcountll(own) & -(unsigned int)here;

	*result = __atomic_load_n(&node->word[index], __ATOMIC_ACQUIRE);
	return here & ((own & mark) >> 63);
}

static inline __attribute__((always_inline)) void lookup_burst(const struct pw_lpm *const *lpms,
							       bool wide, const uint32_t *ipv4,
							       const uint8_t *const *ipv6,
							       uint32_t *values, unsigned int n)
{
	const struct lpm_node *nodes[BURST];
	const uint32_t *entries[BURST];
	uint64_t pending = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t word = wide ? ipv6_word(ipv6[i], 0) : ipv4_word(ipv4[i]);

		entries[i] = jump_entry(lpms[i], word);
		__builtin_prefetch(entries[i]);
	}
	for (unsigned int i = 0; i < n; i++) {
		uint32_t entry = __atomic_load_n(entries[i], __ATOMIC_ACQUIRE);
		uint32_t node = entry & ~LPM_CHILD & -(entry >> 31);

		if (__builtin_expect(entry == LPM_CHILD, 0))
			node = __atomic_load_n(&lpms[i]->root, __ATOMIC_ACQUIRE);
		values[i] = entry;
		nodes[i] = lpm_node_at(lpms[i], node);
		__builtin_prefetch(nodes[i]);
		pending |= (uint64_t)(entry >> 31) << i;
	}
	while (pending) {
		uint64_t deeper = 0;

		for (uint64_t rest = pending; rest; rest &= rest - 1) {
			unsigned int i = (unsigned int)__builtin_ctzll(rest);
			const struct lpm_node *node = nodes[i];
			uint64_t word = wide ? ipv6_word(ipv6[i], node->half) : ipv4_word(ipv4[i]);

			/* No branch: whether there is a child cannot be foreseen. */
			bool child = node_step(node, word, &values[i]);

			nodes[i] = lpm_node_at(lpms[i], values[i] & -(uint32_t)child);
			__builtin_prefetch(nodes[i]);
			deeper |= rest & -rest & -(uint64_t)child;
		}
		pending = deeper;
	}
}

/* IPv4, all in one table: what is known of it stays in registers. */
static inline __attribute__((always_inline)) void lookup_same(const struct pw_lpm *lpm,
							      const uint32_t *addresses,
							      uint32_t *values, unsigned int n)
{
	const struct lpm_jump *jump = __atomic_load_n(&lpm->jump, __ATOMIC_ACQUIRE);
	const struct lpm_node *nodes[BURST];
	uint64_t pending = 0;

	/* What is in the first cache need not be fetched. */
	if (jump->size > NEAR)
		for (unsigned int i = 0; i < n; i++)
			__builtin_prefetch(jump_at(jump, ipv4_word(addresses[i])));
	for (unsigned int i = 0; i < n; i++) {
		const uint32_t *at = jump_at(jump, ipv4_word(addresses[i]));
		uint32_t entry = __atomic_load_n(at, __ATOMIC_ACQUIRE);

		values[i] = entry;
		if (!(entry & LPM_CHILD))
			continue;
		pending |= UINT64_C(1) << i;
		if (__builtin_expect(entry == LPM_CHILD, 0))
			entry = __atomic_load_n(&lpm->root, __ATOMIC_ACQUIRE);
		nodes[i] = lpm_node_at(lpm, entry & ~LPM_CHILD);
		__builtin_prefetch(nodes[i]);
	}
	while (pending) {
		uint64_t deeper = 0;

		for (uint64_t rest = pending; rest; rest &= rest - 1) {
			unsigned int i = (unsigned int)__builtin_ctzll(rest);
			bool child = node_step(nodes[i], ipv4_word(addresses[i]), &values[i]);

			deeper |= rest & -rest & -(uint64_t)child;
		}
		for (uint64_t rest = deeper; rest; rest &= rest - 1) {
			unsigned int i = (unsigned int)__builtin_ctzll(rest);

			nodes[i] = lpm_node_at(lpm, values[i]);
			__builtin_prefetch(nodes[i]);
		}
		pending = deeper;
	}
}

static inline __attribute__((always_inline)) void lookup_bulk(const struct pw_lpm *const *lpms,
							      bool wide, const uint32_t *ipv4,
							      const uint8_t *const *ipv6,
							      uint32_t *values, unsigned int n)
{
	for (unsigned int i = 0; i < n; i += BURST)
		lookup_burst(lpms + i, wide, wide ? NULL : ipv4 + i, wide ? ipv6 + i : NULL,
			     values + i, n - i < BURST ? n - i : BURST);
}

#if defined(__x86_64__)
/* Shifts by a variable, four for each node, cost a third with BMI2. */
#define HAVE_BMI __builtin_cpu_supports("bmi2")
#define BMI      __attribute__((target("popcnt,bmi,bmi2"), noinline))
#else
#define HAVE_BMI false
#define BMI
#endif

static BMI void lookup4_bmi(const struct pw_lpm *const *lpms, const uint32_t *addresses,
			    uint32_t *values, unsigned int n)
{
	lookup_bulk(lpms, false, addresses, NULL, values, n);
}

static BMI void lookup6_bmi(const struct pw_lpm *const *lpms, const uint8_t *const *addresses,
			    uint32_t *values, unsigned int n)
{
	lookup_bulk(lpms, true, NULL, addresses, values, n);
}

static inline bool all_same(const struct pw_lpm *const *lpms, unsigned int n)
{
	uintptr_t varied = 0;

	for (unsigned int i = 1; i < n; i++)
		varied |= (uintptr_t)lpms[i] ^ (uintptr_t)lpms[0];
	return !varied;
}

void pw_lpm_lookup4_bulk(const struct pw_lpm *const *lpms, const uint32_t *addresses,
			 uint32_t *values, unsigned int n)
{
	if (n && all_same(lpms, n))
		pw_lpm_lookup4_same(lpms[0], addresses, values, n);
	else if (HAVE_BMI)
		lookup4_bmi(lpms, addresses, values, n);
	else
		lookup_bulk(lpms, false, addresses, NULL, values, n);
}

static BMI void lookup4_same_bmi(const struct pw_lpm *lpm, const uint32_t *addresses,
				 uint32_t *values, unsigned int n)
{
	lookup_same(lpm, addresses, values, n);
}

void pw_lpm_lookup4_same(const struct pw_lpm *lpm, const uint32_t *addresses, uint32_t *values,
			 unsigned int n)
{
	for (unsigned int i = 0; i < n; i += BURST) {
		unsigned int some = n - i < BURST ? n - i : BURST;

		if (HAVE_BMI)
			lookup4_same_bmi(lpm, addresses + i, values + i, some);
		else
			lookup_same(lpm, addresses + i, values + i, some);
	}
}

void pw_lpm_lookup6_bulk(const struct pw_lpm *const *lpms, const uint8_t *const *addresses,
			 uint32_t *values, unsigned int n)
{
	if (HAVE_BMI)
		lookup6_bmi(lpms, addresses, values, n);
	else
		lookup_bulk(lpms, true, NULL, addresses, values, n);
}

uint32_t pw_lpm_lookup(const struct pw_lpm *lpm, const uint8_t *address)
{
	uint32_t narrow, value;

	if (lpm->wide) {
		pw_lpm_lookup6_bulk(&lpm, &address, &value, 1);
	} else {
		memcpy(&narrow, address, sizeof(narrow));
		pw_lpm_lookup4_bulk(&lpm, &narrow, &value, 1);
	}
	return value;
}
