/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_RECEIVE_ESP_TUNNEL_H
#define PW_RECEIVE_ESP_TUNNEL_H

#include "dataplane/stage.h"
#include "dataplane/table/sa.h"

/** What esp-input does with packets of SAs in tunnel mode, once they are authentic. */

/** Packets whose policies are to be looked at, collected from a burst. */
struct pw_esp_inside {
	uint16_t count;
	uint16_t at[64]; /* in the burst */
	const struct pw_sa *sas[64];
};

/**
 * Takes the outer headers off: the packet inside begins at the data pointer, checked, of the SA's
 * VRF and interface, with DSCP and ECN as the outer header has it. PW_DROP_NONE when it is good.
 * @p payload_at, @p payload: where it is, and its length.
 */
enum pw_drop pw_esp_tunnel_open(struct rte_mbuf *mbuf, const struct pw_sa *sa, uint16_t payload_at,
				uint16_t payload, uint8_t next_header);

/**
 * SPD-I (RFC 4301 5.2): the first policy that selects a packet must ask for protection, and for
 * this SA's. @p drops gets one reason a packet, PW_DROP_NONE for those that may go on; they count.
 */
void pw_esp_tunnel_admit(struct pw_worker *worker, void *const *objs,
			 const struct pw_esp_inside *inside, enum pw_drop *drops);

#endif
