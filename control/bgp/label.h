/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_LABEL_H
#define BGP_LABEL_H

#include "control/bgp/types.h"

/** One own label a VRF, the same after a restart: a file remembers them. */

/** Reads the file; one that is not there is empty. 0 or -errno, which has been logged. */
int bgp_labels_load(const char *path);

/**
 * The label of a VRF: the one it had if that is within the range, or the next that is free.
 * 0: the range is used up. A @p fixed label (not 0) is taken as it is.
 */
uint32_t bgp_label_take(const char *vrf, uint32_t fixed, uint32_t first, uint32_t last);

/** Writes the file, if anything changed, so that a crash leaves the old or the new one whole. */
void bgp_labels_save(void);

/** True when the file said anything when it was read: this is not the first start. */
bool bgp_labels_known(void);

void bgp_labels_free(void);

#endif
