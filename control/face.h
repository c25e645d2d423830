/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_FACE_H
#define PW_FACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Kernel faces that are TAPs: how the kernel takes part in ARP, ND and routing protocols on a
 * VLAN sub-interface or on a port that DPDK owns. What the kernel sends there goes out of the
 * link's port with the link's tag; what workers punt on the link's interface goes to it.
 * Workers never touch a TAP. Control thread only.
 */
struct pw_face;
struct pw_link;
struct rte_mbuf;

/**
 * A tunnel with a fixed remote end can have a face too, a TUN: what comes in by the tunnel to an
 * address of the PE, or to a link-local or multicast one, is the kernel's; what the kernel sends
 * there goes into the tunnel. So a routing protocol can run over it.
 */

/**
 * Makes the TAP of a link (PORT or VLAN), or the TUN of a tunnel, named like it, down, with its
 * MAC, MTU and carrier. The link knows it afterwards, workers when the link is published next. 0,
 * -EEXIST (the name is taken in the kernel), -EMFILE, -ENOMEM, -errno of the kernel, with a
 * sentence in @p error.
 */
int pw_face_open(struct pw_link *link, char *error, size_t size);

/** Does nothing to a link without such a face. */
void pw_face_close(struct pw_link *link);

/** The link's MAC or carrier changed, or its parent's carrier or administrative state. */
void pw_face_follow(const struct pw_link *link);

/** Its number in struct pw_interface; 0 without a face. */
uint32_t pw_face_number(const struct pw_link *link);

/** At the end: lets go of paths, so that they can be reclaimed before links go. */
void pw_faces_release(void);

/** A packet of a worker's punt ring that is the kernel's (PW_REQUEST_PUNT); takes the mbuf. */
void pw_face_punt(struct rte_mbuf *mbuf);

#endif
