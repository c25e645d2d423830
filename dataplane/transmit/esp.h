/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TRANSMIT_ESP_H
#define PW_TRANSMIT_ESP_H

#include <string.h>

#include "dataplane/stage.h"
#include "dataplane/table/sa.h"

/** SPI and sequence number. */
#define PW_ESP_HEADER 8
/** Padding is written in pieces of this, so it may spill over the ICV's place. */
#define PW_ESP_SPILL 16

/** Behind a packet without TFC padding: padding, its length, next header, ICV; at most this. */
static inline uint16_t pw_esp_tail_max(const struct pw_sa *sa)
{
	return sa->align + PW_ESP_SPILL + sa->icv_bytes;
}

/** Bytes behind a payload of @p length bytes: padding, pad length, next header (no ICV). */
static inline uint16_t pw_esp_trailer(uint16_t align, uint16_t pad_to, uint16_t length)
{
	uint16_t text = length < pad_to ? pad_to : length;

	return (uint16_t)(((text + 2 + align - 1) & ~(align - 1)) - length);
}

/**
 * Writes the trailer of RFC 4303 2.4 and 2.7 behind a payload of @p length bytes: zeroes as TFC
 * padding, then 1, 2, 3 ... up to the alignment, the length of those, the next header.
 * @param trailer  pw_esp_trailer() of the same
 */
static inline void pw_esp_write_trailer(uint8_t *at, uint16_t align, uint16_t pad_to,
					uint16_t length, uint16_t trailer, uint8_t next_header)
{
	uint16_t hidden = unlikely(length < pad_to) ? pad_to - length : 0;
	uint8_t padding = (uint8_t)(trailer - 2 - hidden);
	uint16_t last = (uint16_t)(next_header << 8 | padding);

	if (unlikely(hidden)) {
		memset(at, 0, hidden);
		at += hidden;
	}
	if (likely(align == 4)) {
		uint32_t word = 0x030201;

		memcpy(at, &word, sizeof(word));
	} else {
		static const uint8_t numbers[16] = {1, 2,  3,  4,  5,  6,  7,  8,
						    9, 10, 11, 12, 13, 14, 15, 16};

		memcpy(at, numbers, sizeof(numbers));
	}
	memcpy(at + padding, &last, sizeof(last));
}

#endif
