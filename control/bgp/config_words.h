/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_CONFIG_WORDS_H
#define BGP_CONFIG_WORDS_H

#include "control/bgp/config.h"

/** The words of a line of the configuration, taken off one by one. */

struct bgp_parser {
	struct bgp_config *config;
	const char *path;
	unsigned int line;
	char **words; /* what is left of the line */
	unsigned int count;
	char *error;
	size_t size;
};

/** Says what is wrong, with the file and the line; returns -EINVAL. */
int bgp_config_refuse(struct bgp_parser *parser, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** The next word, or NULL. */
const char *bgp_config_take(struct bgp_parser *parser);

/* The word behind @p what, which must be there and be of its kind. 0 or -EINVAL, refused. */

int bgp_config_take_value(struct bgp_parser *parser, const char *what, const char **word);
int bgp_config_take_number(struct bgp_parser *parser, const char *what, uint32_t min, uint32_t max,
			   uint32_t *value);
int bgp_config_take_number16(struct bgp_parser *parser, const char *what, uint32_t min,
			     uint32_t max, uint16_t *value);
int bgp_config_take_address(struct bgp_parser *parser, const char *what,
			    struct bgp_address *address);
int bgp_config_take_text(struct bgp_parser *parser, const char *what, char *text, size_t size);
int bgp_config_take_rd(struct bgp_parser *parser, const char *what, bool target, uint64_t *rd);

/** The statement "vrf". (config_vrf.c) */
int bgp_config_get_vrf(struct bgp_parser *parser);

#endif
