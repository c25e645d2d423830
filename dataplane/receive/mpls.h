/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_RECEIVE_MPLS_H
#define PW_RECEIVE_MPLS_H

#include "dataplane/stage.h"

/** A label stack entry (RFC 3032), host order: label 20, TC 3, S 1, TTL 8 bits. */
#define PW_MPLS_ENTRY        4
#define PW_MPLS_BOTTOM       0x100
#define PW_MPLS_STACK_MAX    8 /* entries looked through to find what is below */
#define PW_MPLS_POP_MAX      4 /* entries taken off at most */
#define PW_MPLS_EXPLICIT4    0
#define PW_MPLS_EXPLICIT6    2
#define pw_mpls_label(entry) ((entry) >> 12)
#define pw_mpls_ttl(entry)   ((uint8_t)(entry))

/** The i-th entry of the stack at the data pointer; the caller checked the length. */
static inline uint32_t pw_mpls_entry(const struct rte_mbuf *mbuf, unsigned int i)
{
	uint32_t entry;

	memcpy(&entry, rte_pktmbuf_mtod_offset(mbuf, const char *, i *PW_MPLS_ENTRY), 4);
	return rte_be_to_cpu_32(entry);
}

static inline void pw_mpls_write(void *at, uint32_t entry)
{
	entry = rte_cpu_to_be_32(entry);
	memcpy(at, &entry, 4);
}

/**
 * Entries down to the bottom of stack, with an IP header's first byte behind; 0 when the
 * bottom is not within reach.
 */
static inline unsigned int pw_mpls_depth(const struct rte_mbuf *mbuf)
{
	for (unsigned int i = 0; i < PW_MPLS_STACK_MAX; i++) {
		if (mbuf->data_len < (i + 1) * PW_MPLS_ENTRY + 1)
			return 0;
		if (pw_mpls_entry(mbuf, i) & PW_MPLS_BOTTOM)
			return i + 1;
	}
	return 0;
}

/**
 * Flow hash of what a labelled packet carries. @p below_bottom: the data pointer is past the
 * bottom of the stack already; otherwise it is at an entry. Never 0.
 */
uint32_t pw_mpls_flow_hash(const struct rte_mbuf *mbuf, bool below_bottom);

#endif
