/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PEWTERCTL_DECODE_H
#define PEWTERCTL_DECODE_H

#include <stdint.h>

/**
 * Prints a packet's headers, outermost first: text on one line, JSON as an array of objects
 * named @p key. @p layer is a PW_LAYER_*; @p captured bytes are there.
 */
void decode_print(const char *key, uint8_t layer, const uint8_t *data, uint32_t captured);

#endif
