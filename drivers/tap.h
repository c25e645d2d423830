/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_DRIVERS_TAP_H
#define PW_DRIVERS_TAP_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** TAP and TUN interfaces of the kernel: made with a descriptor, gone with its last one. */

struct pw_tap {
	int fd; /* does not block; a frame a read, a frame a write */
	uint32_t ifindex;
	char name[IFNAMSIZ];
};

/**
 * Makes a TAP that nobody has yet, down, with this MAC and MTU. 0, -EEXIST (the kernel has an
 * interface of that name), -EPERM, -ENOENT (no tun module), -EMFILE, -errno; with one sentence
 * in @p error.
 */
int pw_tap_create(struct pw_tap *tap, const char *name, const uint8_t mac[6], uint16_t mtu,
		  char *error, size_t size);
void pw_tap_close(struct pw_tap *tap);

/** The same for a TUN: IP packets, no frames, no MAC. */
int pw_tun_create(struct pw_tap *tap, const char *name, uint16_t mtu, char *error, size_t size);

/** 0 or -errno. */
int pw_tap_set_mac(const struct pw_tap *tap, const uint8_t mac[6]);

/** What the wire's link does, the kernel sees here. */
void pw_tap_set_carrier(const struct pw_tap *tap, bool carrier);

/**
 * One more descriptor of TAP @p name, made when it is not there; @p flags are more IFF_* of
 * TUNSETIFF. The descriptor or -errno.
 */
int pw_tap_attach(const char *name, short flags);

/** Puts an -errno of pw_tap_attach() in words; returns it. */
int pw_tap_refuse(const char *name, int result, char *error, size_t size);

#endif
