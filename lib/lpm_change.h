/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_LPM_CHANGE_H
#define PW_LPM_CHANGE_H

#include "lib/lpm_internal.h"

/* A prefix in the table's terms. */
struct lpm_key {
	uint64_t word[2];
	unsigned int half;   /* where its last bit is */
	unsigned int length; /* in that half, 1 .. 64; in half 0, 0 for the default route */
	unsigned int shift;  /* of the node that it lives in */
	uint8_t position;
};

/* 0 or -EINVAL: too long, or bits past the length. */
int lpm_key_make(const struct pw_lpm *lpm, const uint8_t *prefix, unsigned int length,
		 struct lpm_key *key);

enum lpm_path_end {
	LPM_PATH_EMPTY, /* the table has no node with prefixes */
	LPM_PATH_HOME,  /* the last node is the prefix's home */
	LPM_PATH_SLOT,  /* the last node has no child where the path goes on */
	LPM_PATH_SPLIT, /* a node with shift `split` is missing above the last node */
};

struct lpm_path {
	unsigned int depth; /* nodes */
	unsigned int split;
	uint32_t *link[LPM_DEPTH_MAX]; /* what refers to the node */
	uint32_t node[LPM_DEPTH_MAX];
};

/* One change: what it made (freed if it fails) and what it unlinked (retired if not). */
struct lpm_change {
	struct pw_lpm *lpm;
	unsigned int made_count;
	unsigned int old_count;
	uint64_t made[8];
	uint32_t old[LPM_DEPTH_MAX];
};

static inline unsigned int lpm_key_slot(const struct lpm_key *key, const struct lpm_node *node)
{
	return key->word[node->half] >> node->shift & (LPM_SLOTS - 1);
}

/*
 * What can happen to the trie. Each takes the path to where it happens and returns 0, or -ENOMEM
 * when nothing has changed.
 */
int lpm_add_child(struct lpm_change *change, const struct lpm_path *path, const struct lpm_key *key,
		  uint32_t value);
int lpm_add_split(struct lpm_change *change, const struct lpm_path *path, const struct lpm_key *key,
		  uint32_t value);
int lpm_add_first(struct lpm_change *change, const struct lpm_path *path, const struct lpm_key *key,
		  uint32_t value);
int lpm_relist(struct lpm_change *change, const struct lpm_path *path, const struct lpm_list *list,
	       uint64_t affected);
int lpm_remove_node(struct lpm_change *change, const struct lpm_path *path,
		    const struct lpm_key *key);
int lpm_replace_by_child(struct lpm_change *change, const struct lpm_path *path);

/* The steps they are made of. */
int lpm_change_undo(struct lpm_change *change);
void lpm_list_free(struct pw_lpm *lpm, uint32_t list);
void lpm_change_done(struct lpm_change *change, const struct lpm_key *key);
void lpm_publish(uint32_t *link, uint32_t node);
uint32_t lpm_node_make(struct lpm_change *change, const struct lpm_image *image, uint32_t list);

#endif
