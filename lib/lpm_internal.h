/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_LPM_INTERNAL_H
#define PW_LPM_INTERNAL_H

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/lpm.h"

/*
 * The structure: a path-compressed trie of 6-bit strides whose nodes are packed with two
 * bitmaps and popcount (after Poptrie, Asai and Ohara, SIGCOMM 2015), under a direct-indexed
 * "jump" array that skips the top of the trie and is as large as the table deserves.
 *
 * An address is one or two 64-bit words ("halves"): an IPv6 address is two; an IPv4 address
 * is one, placed four bits below the top, so that its strides end at /6, /12, /18, /24, /30
 * and those of each IPv6 half at 4, 10, .. 58, 64. A node looks at bits shift .. shift + 5 of
 * one half, shift being a multiple of 6, and compares all the bits above them with its key;
 * it so stands in for the chain of one-child nodes above it. Only the border between the
 * halves is never skipped: a node in half 1 hangs below one of half 0 with shift 0.
 *
 * A prefix lives in the node whose stride its last bit falls into. Each slot of a node is
 * one of: not covered here (the answer is word[0], what the node inherits), the first of a
 * run of slots with the same value, the continuation of a run, or a child.
 *
 *	mark  own
 *	 0     0    inherit: word[0]
 *	 0     1    value, starts a run: the next word
 *	 1     0    value, the same word as the slot before
 *	 1     1    child: the next word is its reference
 *
 * Readers see a node as it was built, except for its words, which change by single stores: a
 * child is exchanged, or a value is replaced where the bitmaps stay the same.
 */

#define LPM_STRIDE     6
#define LPM_SLOTS      64
#define LPM_HALF_BITS  64
#define LPM_POSITIONS  126 /* prefixes with a home in one node: 2 + 4 + .. + 64 */
#define LPM_TOP_SHIFT  60
#define LPM_IPV4_SHIFT 28
#define LPM_NODE_UNIT  64 /* a node reference counts these from the arena's base */
#define LPM_LIST_UNIT  16 /* so does a prefix list's reference */
#define LPM_DEPTH_MAX  24 /* 11 strides a half, and one link above the first */

struct lpm_node {
	uint64_t mark;
	uint64_t own;
	uint64_t key; /* the bits from shift + 6 up; zero below */
	uint8_t shift;
	uint8_t half;
	uint16_t reserved;
	/* inherited value, one word for each bit of own, reference of the prefix list */
	uint32_t word[];
};
static_assert(offsetof(struct lpm_node, word) == 28, "word[0] shares the node's first 32 bytes");

/* An entry with this bit refers to a node; LPM_CHILD alone: start at the table's root. */
#define LPM_CHILD 0x80000000u

struct lpm_jump {
	uint64_t key;    /* what the entries' addresses have in common; zero below */
	uint32_t *entry; /* by the bits from shift up */
	uint32_t size;   /* entries, 0 for the jump that leads nowhere */
	uint8_t shift;
};

struct pw_lpm {
	struct lpm_jump *jump;
	uint8_t *base; /* the arena's */
	uint32_t root; /* node reference, 0 for an empty table */
	bool wide;     /* IPv6 */

	/* the writer's, on a line of its own */
	alignas(64) struct pw_lpm_arena *arena;
	size_t count;
	size_t grow_at;    /* counts at which the jump is sized anew */
	size_t shrink_at;  /* the same on the way down */
	uint32_t fallback; /* value of the prefix of length 0, or 0 */
};
static_assert(sizeof(struct pw_lpm) == 128, "one line to read, one to write");

/* The prefixes that live in one node, sorted by position, unpacked. */
struct lpm_list {
	unsigned int count;
	uint8_t position[LPM_POSITIONS]; /* 1 << local length | local bits */
	uint32_t value[LPM_POSITIONS];
};

/* A node, unpacked. */
struct lpm_image {
	uint64_t key;
	uint64_t children;
	uint64_t painted; /* slots covered by the node's own prefixes */
	uint32_t fallback;
	uint8_t shift;
	uint8_t half;
	uint32_t child[LPM_SLOTS];
	uint32_t value[LPM_SLOTS];
};

struct lpm_packed {
	uint64_t mark;
	uint64_t own;
	unsigned int count;
	uint32_t word[1 + LPM_SLOTS];
};

/* lpm_arena.c: blocks by their offset from the base; 0 is no block */
uint64_t lpm_arena_alloc(struct pw_lpm_arena *arena, size_t size);
/* Whether what is kept back for deletes may be used now. */
void lpm_arena_reserve(struct pw_lpm_arena *arena, bool open);
void lpm_arena_free(struct pw_lpm_arena *arena, uint64_t offset);
void lpm_arena_retire(struct pw_lpm_arena *arena, uint64_t offset);
void lpm_arena_call_retire(struct pw_lpm_arena *arena, void (*fn)(void *, uint64_t), void *context);
uint8_t *lpm_arena_base(struct pw_lpm_arena *arena);
struct lpm_jump *lpm_arena_nowhere(struct pw_lpm_arena *arena);

/* lpm_node.c */
uint64_t lpm_list_alloc(struct pw_lpm_arena *arena, unsigned int count);
bool lpm_list_same_size(unsigned int count, unsigned int other);
void lpm_list_read(const struct pw_lpm *lpm, uint32_t list, struct lpm_list *out);
void lpm_list_write(const struct pw_lpm *lpm, uint32_t list, const struct lpm_list *in);
unsigned int lpm_list_count(const struct pw_lpm *lpm, uint32_t list);
int lpm_list_find(const struct lpm_list *list, uint8_t position);
void lpm_list_insert(struct lpm_list *list, uint8_t position, uint32_t value);
void lpm_list_remove(struct lpm_list *list, unsigned int index);
uint64_t lpm_position_slots(uint8_t position);

void lpm_image_read(const struct lpm_node *node, struct lpm_image *image);
void lpm_image_paint(struct lpm_image *image, const struct lpm_list *list);
void lpm_image_pack(const struct lpm_image *image, struct lpm_packed *packed);
uint32_t lpm_image_value(const struct lpm_image *image, unsigned int slot);
uint64_t lpm_node_alloc(struct pw_lpm_arena *arena, unsigned int words);
void lpm_node_write(struct lpm_node *node, const struct lpm_image *image,
		    const struct lpm_packed *packed, uint32_t list);
void lpm_node_inherit(struct pw_lpm *lpm, uint32_t node, uint32_t value);

/* lpm_jump.c */
void lpm_jump_refresh(struct pw_lpm *lpm, uint64_t word, unsigned int length);
void lpm_jump_prefetch(const struct pw_lpm *lpm, uint64_t word);
void lpm_jump_review(struct pw_lpm *lpm);
void lpm_jump_free(struct pw_lpm *lpm);

static inline struct lpm_node *lpm_node_at(const struct pw_lpm *lpm, uint32_t node)
{
	return (struct lpm_node *)(lpm->base + (uint64_t)node * LPM_NODE_UNIT);
}

static inline uint64_t lpm_node_children(const struct lpm_node *node)
{
	return node->mark & node->own;
}

/* The index of the word that belongs to @p slot, provided the slot has one. */
static inline unsigned int lpm_node_index(const struct lpm_node *node, unsigned int slot)
{
	return (unsigned int)__builtin_popcountll(node->own << (63 - slot));
}

static inline uint32_t *lpm_node_list(struct lpm_node *node)
{
	return &node->word[__builtin_popcountll(node->own) + 1];
}

static inline uint32_t lpm_node_list_ref(const struct lpm_node *node)
{
	return node->word[__builtin_popcountll(node->own) + 1];
}

/* The bits of @p word from @p bits up; any count of bits. */
static inline uint64_t lpm_bits_from(uint64_t word, unsigned int bits)
{
	return bits >= LPM_HALF_BITS ? 0 : word >> bits << bits;
}

#endif
