/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PEWTERCTL_PCAPNG_H
#define PEWTERCTL_PCAPNG_H

#include <stdint.h>
#include <stdio.h>

/**
 * Writes pcapng (draft-ietf-opsawg-pcapng): a section, its interfaces, packets with nanosecond
 * time stamps, and statistics at the end. In the machine's byte order, as the format allows.
 */

/* Link types (draft-ietf-opsawg-pcaplinktype) */
#define PCAPNG_ETHERNET 1
#define PCAPNG_RAW_IP   101
#define PCAPNG_COOKED   113 /* Linux "cooked": 16 bytes that say what follows */

enum pcapng_direction { PCAPNG_UNKNOWN, PCAPNG_INBOUND, PCAPNG_OUTBOUND };

struct pcapng {
	FILE *file;
	uint32_t interfaces; /* described so far */
};

struct pcapng_packet {
	uint32_t interface; /* number that pcapng_interface() gave */
	uint64_t time;      /* nanoseconds since 1970, UTC */
	uint32_t captured;  /* bytes in data */
	uint32_t length;    /* bytes of the packet on the wire */
	const uint8_t *data;
	enum pcapng_direction direction;
	const char *comment; /* NULL: none */
};

/** Begins a section. 0 or -EIO. The file stays the caller's. */
int pcapng_begin(struct pcapng *pcapng, FILE *file, const char *application);

/** Describes an interface. Its number, or -EIO. @p snaplen 0: no limit. */
int pcapng_interface(struct pcapng *pcapng, uint16_t link_type, uint32_t snaplen, const char *name,
		     const char *description);

/** 0, -EINVAL (no such interface), -EIO. */
int pcapng_write(struct pcapng *pcapng, const struct pcapng_packet *packet);

/** Packets seen and lost on an interface, up to @p time. 0, -EINVAL, -EIO. */
int pcapng_statistics(struct pcapng *pcapng, uint32_t interface, uint64_t time, uint64_t received,
		      uint64_t dropped);

#endif
