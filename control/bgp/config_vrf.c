/* SPDX-License-Identifier: BSD-3-Clause */
/* The statement "vrf". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/bgp/config_words.h"
#include "control/bgp/message.h"
#include "lib/pewter_netlink.h"

static int vrf_redistribute(struct bgp_parser *parser, struct bgp_vrf_config *vrf)
{
	static const struct {
		const char *name;
		uint8_t first, second;
	} names[] = {
		{"connected", RTPROT_KERNEL, RTPROT_KERNEL},
		{"static", RTPROT_STATIC, RTPROT_BOOT}, /* "ip route add" says boot */
		{"ospf", RTPROT_OSPF, RTPROT_OSPF},
		{"isis", RTPROT_ISIS, RTPROT_ISIS},
		{"rip", RTPROT_RIP, RTPROT_RIP},
		{"reverse", PW_ROUTE_PROTOCOL_REVERSE, PW_ROUTE_PROTOCOL_REVERSE},
		{"bird", RTPROT_BIRD, RTPROT_BIRD},
		{"zebra", RTPROT_ZEBRA, RTPROT_ZEBRA},
	};
	bool any = false;

	while (parser->count) {
		unsigned int i = 0, count = sizeof(names) / sizeof(*names);

		while (i < count && strcmp(*parser->words, names[i].name) != 0)
			i++;
		if (i == count)
			break;
		vrf->redistribute[names[i].first / 8] |= (uint8_t)(1 << names[i].first % 8);
		vrf->redistribute[names[i].second / 8] |= (uint8_t)(1 << names[i].second % 8);
		bgp_config_take(parser);
		any = true;
	}
	return any ? 0
		   : bgp_config_refuse(parser,
				       "\"redistribute\" takes connected, static, ospf, isis, rip, "
				       "reverse, bird or zebra%s%s",
				       parser->count ? ", not " : "",
				       parser->count ? *parser->words : "");
}

static int vrf_target(struct bgp_parser *parser, const char *word, uint64_t *targets,
		      unsigned int *count)
{
	if (*count == BGP_VRF_TARGETS)
		return bgp_config_refuse(parser, "\"%s\": more than %d of them", word,
					 BGP_VRF_TARGETS);
	return bgp_config_take_rd(parser, word, true, &targets[(*count)++]);
}

static int vrf_word(struct bgp_parser *parser, struct bgp_vrf_config *vrf, const char *word)
{
	if (strcmp(word, "rd") == 0)
		return bgp_config_take_rd(parser, word, false, &vrf->rd);
	if (strcmp(word, "import") == 0)
		return vrf_target(parser, word, vrf->imports, &vrf->import_count);
	if (strcmp(word, "export") == 0)
		return vrf_target(parser, word, vrf->exports, &vrf->export_count);
	if (strcmp(word, "label") == 0)
		return bgp_config_take_number(parser, word, BGP_LABEL_FIRST, BGP_LABEL_MAX,
					      &vrf->label);
	if (strcmp(word, "max-prefixes") == 0)
		return bgp_config_take_number(parser, word, 1, UINT32_MAX, &vrf->max_prefixes);
	if (strcmp(word, "redistribute") == 0)
		return vrf_redistribute(parser, vrf);
	return bgp_config_refuse(parser, "\"vrf\" does not know \"%s\"", word);
}

static int check_vrf(struct bgp_parser *parser, const struct bgp_vrf_config *vrf)
{
	const struct bgp_config *config = parser->config;

	if (!vrf->rd)
		return bgp_config_refuse(parser, "vrf %s needs an \"rd\"", vrf->name);
	for (unsigned int i = 0; i < config->vrf_count; i++) {
		const struct bgp_vrf_config *other = &config->vrfs[i];

		if (strcmp(other->name, vrf->name) == 0)
			return bgp_config_refuse(parser, "vrf %s is there already", vrf->name);
		if (other->rd == vrf->rd)
			return bgp_config_refuse(parser, "vrf %s has the \"rd\" of vrf %s",
						 vrf->name, other->name);
		if (vrf->label && other->label == vrf->label)
			return bgp_config_refuse(parser, "vrf %s has the \"label\" of vrf %s",
						 vrf->name, other->name);
	}
	return 0;
}

int bgp_config_get_vrf(struct bgp_parser *parser)
{
	struct bgp_config *config = parser->config;
	struct bgp_vrf_config *vrf;
	const char *word;

	if (config->vrf_count == BGP_VRFS)
		return bgp_config_refuse(parser, "more than %d VRFs", BGP_VRFS);
	vrf = reallocarray(config->vrfs, config->vrf_count + 1, sizeof(*vrf));
	if (!vrf)
		return bgp_config_refuse(parser, "out of memory");
	config->vrfs = vrf;
	vrf += config->vrf_count;
	memset(vrf, 0, sizeof(*vrf));
	if (bgp_config_take_text(parser, "vrf", vrf->name, sizeof(vrf->name)))
		return -EINVAL;
	while ((word = bgp_config_take(parser)))
		if (vrf_word(parser, vrf, word))
			return -EINVAL;
	if (check_vrf(parser, vrf))
		return -EINVAL;
	config->vrf_count++;
	return 0;
}
