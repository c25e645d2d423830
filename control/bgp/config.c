/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/bgp/message.h"
#include "lib/pewter_netlink.h"

#define WORDS_MAX     256
#define LABEL_FIRST   100000
#define LABEL_LAST    104095
#define METRIC        2000 /* behind IPv6's default for static routes, 1024 */
#define HOLD_TIME     90
#define MULTIPATH     8
#define RESTART_TIME  120
#define STALE_TIME    300
#define SWEEP_DELAY   30
#define WITHDRAW_DELAY 100 /* ms: what replaces a route may come in the next message */

struct parser {
	struct bgp_config *config;
	const char *path;
	unsigned int line;
	char **words; /* what is left of the line */
	unsigned int count;
	char *error;
	size_t size;
};

static int __attribute__((format(printf, 2, 3))) refuse(struct parser *parser, const char *format,
							...)
{
	va_list args;
	int used = snprintf(parser->error, parser->size, "%s:%u: ", parser->path, parser->line);

	va_start(args, format);
	if (used > 0 && (size_t)used < parser->size)
		vsnprintf(parser->error + used, parser->size - (size_t)used, format, args);
	va_end(args);
	return -EINVAL;
}

/* ---- words ------------------------------------------------------------------------------- */

static const char *take(struct parser *parser)
{
	if (!parser->count)
		return NULL;
	parser->count--;
	return *parser->words++;
}

/** The word behind @p what, which must be there. */
static int take_value(struct parser *parser, const char *what, const char **word)
{
	*word = take(parser);
	return *word ? 0 : refuse(parser, "\"%s\" needs a value", what);
}

static int take_number(struct parser *parser, const char *what, uint32_t min, uint32_t max,
		       uint32_t *value)
{
	const char *word;
	unsigned long long number;
	char *end;

	if (take_value(parser, what, &word))
		return -EINVAL;
	errno = 0;
	number = strtoull(word, &end, 10);
	if (!isdigit((unsigned char)*word) || *end || errno || number < min || number > max)
		return refuse(parser, "\"%s\" takes a number from %u to %u, not \"%s\"", what, min,
			      max, word);
	*value = (uint32_t)number;
	return 0;
}

static int take_number16(struct parser *parser, const char *what, uint32_t min, uint32_t max,
			 uint16_t *value)
{
	uint32_t number = 0;

	if (take_number(parser, what, min, max, &number))
		return -EINVAL;
	*value = (uint16_t)number;
	return 0;
}

static int take_address(struct parser *parser, const char *what, struct bgp_address *address)
{
	const char *word;

	if (take_value(parser, what, &word))
		return -EINVAL;
	return bgp_address_parse(word, address)
		       ? 0
		       : refuse(parser, "\"%s\" takes an address, not \"%s\"", what, word);
}

static int take_text(struct parser *parser, const char *what, char *text, size_t size)
{
	const char *word;

	if (take_value(parser, what, &word))
		return -EINVAL;
	if (strlen(word) >= size)
		return refuse(parser, "\"%s\": \"%s\" is longer than %zu characters", what, word,
			      size - 1);
	strcpy(text, word);
	return 0;
}

static int take_rd(struct parser *parser, const char *what, bool target, uint64_t *rd)
{
	const char *word;

	if (take_value(parser, what, &word))
		return -EINVAL;
	return bgp_rd_parse(word, target, rd)
		       ? 0
		       : refuse(parser, "\"%s\" takes AS:NUMBER or ADDRESS:NUMBER, not \"%s\"",
				what, word);
}

/* ---- statements -------------------------------------------------------------------------- */

static int get_local_as(struct parser *parser)
{
	return take_number(parser, "local-as", 1, UINT32_MAX, &parser->config->local_as);
}

static int get_router_id(struct parser *parser)
{
	struct bgp_address address;

	if (take_address(parser, "router-id", &address))
		return -EINVAL;
	parser->config->router_id = bgp_get32(address.bytes);
	if (address.family != AF_INET || !parser->config->router_id)
		return refuse(parser, "\"router-id\" takes an IPv4 address that is not 0.0.0.0");
	return 0;
}

static int get_next_hop(struct parser *parser)
{
	return take_address(parser, "next-hop", &parser->config->next_hop);
}

/* ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT */
static int get_listen(struct parser *parser)
{
	struct bgp_endpoint *listener = &parser->config->listeners[parser->config->listener_count];
	char text[64], *port = NULL, *address = text;
	unsigned long number = BGP_PORT;
	char *end;

	if (parser->config->listener_count == BGP_LISTENERS)
		return refuse(parser, "more than %d listen statements", BGP_LISTENERS);
	if (take_text(parser, "listen", text, sizeof(text)))
		return -EINVAL;
	if (*text == '[' && (end = strchr(text, ']'))) {
		address = text + 1;
		*end = '\0';
		port = end[1] == ':' ? end + 2 : NULL;
	} else if (strchr(text, ':') && strchr(text, ':') == strrchr(text, ':')) {
		port = strchr(text, ':');
		*port++ = '\0';
	}
	if (!bgp_address_parse(address, &listener->address))
		return refuse(parser, "\"listen\" takes ADDRESS[:PORT], not \"%s\"", address);
	if (port) {
		number = strtoul(port, &end, 10);
		if (!isdigit((unsigned char)*port) || *end || !number || number > UINT16_MAX)
			return refuse(parser, "\"listen\": \"%s\" is no port", port);
	}
	listener->port = (uint16_t)number;
	parser->config->listener_count++;
	return 0;
}

static int neighbor_word(struct parser *parser, struct bgp_neighbor_config *neighbor,
			 const char *word)
{
	uint32_t as;

	if (strcmp(word, "remote-as") == 0) {
		if (take_number(parser, word, 1, UINT32_MAX, &as))
			return -EINVAL;
		return as == parser->config->local_as
			       ? 0
			       : refuse(parser,
					"\"remote-as\" %u: only neighbours of the local AS (iBGP) "
					"are supported, which is %u (\"local-as\" comes first)",
					as, parser->config->local_as);
	}
	if (strcmp(word, "port") == 0)
		return take_number16(parser, word, 1, UINT16_MAX, &neighbor->port);
	if (strcmp(word, "passive") == 0) {
		neighbor->passive = true;
		return 0;
	}
	if (strcmp(word, "source") == 0)
		return take_address(parser, word, &neighbor->source);
	if (strcmp(word, "password") == 0)
		return take_text(parser, word, neighbor->password, sizeof(neighbor->password));
	if (strcmp(word, "ttl-security") == 0)
		return take_number16(parser, word, 1, 254, &neighbor->hops);
	if (strcmp(word, "hold-time") == 0)
		return take_number16(parser, word, 3, UINT16_MAX, &neighbor->hold_time);
	if (strcmp(word, "max-prefixes") == 0)
		return take_number(parser, word, 1, UINT32_MAX, &neighbor->max_prefixes);
	return refuse(parser, "\"neighbor\" does not know \"%s\"", word);
}

static int get_neighbor(struct parser *parser)
{
	struct bgp_config *config = parser->config;
	struct bgp_neighbor_config *neighbor = &config->neighbors[config->neighbor_count];
	const char *word;

	if (config->neighbor_count == BGP_NEIGHBORS)
		return refuse(parser, "more than %d neighbours", BGP_NEIGHBORS);
	neighbor->port = BGP_PORT;
	neighbor->hold_time = HOLD_TIME;
	if (take_address(parser, "neighbor", &neighbor->address))
		return -EINVAL;
	for (unsigned int i = 0; i < config->neighbor_count; i++)
		if (bgp_address_equal(&config->neighbors[i].address, &neighbor->address))
			return refuse(parser, "this neighbor is there already");
	while ((word = take(parser)))
		if (neighbor_word(parser, neighbor, word))
			return -EINVAL;
	if (neighbor->source.family && neighbor->source.family != neighbor->address.family)
		return refuse(parser, "\"source\" is of another address family than the neighbor");
	config->neighbor_count++;
	return 0;
}

static int get_tunnel(struct parser *parser)
{
	struct bgp_config *config = parser->config;

	if (config->tunnel_count == BGP_TUNNELS)
		return refuse(parser, "more than %d tunnels", BGP_TUNNELS);
	if (take_text(parser, "tunnel", config->tunnels[config->tunnel_count], IFNAMSIZ))
		return -EINVAL;
	config->tunnel_count++;
	return 0;
}

static int get_labels(struct parser *parser)
{
	struct bgp_config *config = parser->config;

	if (take_number(parser, "labels", BGP_LABEL_FIRST, BGP_LABEL_MAX, &config->label_first) ||
	    take_number(parser, "labels", config->label_first, BGP_LABEL_MAX, &config->label_last))
		return -EINVAL;
	return 0;
}

/* ---- VRFs -------------------------------------------------------------------------------- */

static int vrf_redistribute(struct parser *parser, struct bgp_vrf_config *vrf)
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
		take(parser);
		any = true;
	}
	return any ? 0
		   : refuse(parser, "\"redistribute\" takes connected, static, ospf, isis, rip, "
				    "bird or zebra%s%s",
			    parser->count ? ", not " : "", parser->count ? *parser->words : "");
}

static int vrf_target(struct parser *parser, const char *word, uint64_t *targets,
		      unsigned int *count)
{
	if (*count == BGP_VRF_TARGETS)
		return refuse(parser, "\"%s\": more than %d of them", word, BGP_VRF_TARGETS);
	return take_rd(parser, word, true, &targets[(*count)++]);
}

static int vrf_word(struct parser *parser, struct bgp_vrf_config *vrf, const char *word)
{
	if (strcmp(word, "rd") == 0)
		return take_rd(parser, word, false, &vrf->rd);
	if (strcmp(word, "import") == 0)
		return vrf_target(parser, word, vrf->imports, &vrf->import_count);
	if (strcmp(word, "export") == 0)
		return vrf_target(parser, word, vrf->exports, &vrf->export_count);
	if (strcmp(word, "label") == 0)
		return take_number(parser, word, BGP_LABEL_FIRST, BGP_LABEL_MAX, &vrf->label);
	if (strcmp(word, "max-prefixes") == 0)
		return take_number(parser, word, 1, UINT32_MAX, &vrf->max_prefixes);
	if (strcmp(word, "redistribute") == 0)
		return vrf_redistribute(parser, vrf);
	return refuse(parser, "\"vrf\" does not know \"%s\"", word);
}

static int check_vrf(struct parser *parser, const struct bgp_vrf_config *vrf)
{
	const struct bgp_config *config = parser->config;

	if (!vrf->rd)
		return refuse(parser, "vrf %s needs an \"rd\"", vrf->name);
	for (unsigned int i = 0; i < config->vrf_count; i++) {
		const struct bgp_vrf_config *other = &config->vrfs[i];

		if (strcmp(other->name, vrf->name) == 0)
			return refuse(parser, "vrf %s is there already", vrf->name);
		if (other->rd == vrf->rd)
			return refuse(parser, "vrf %s has the \"rd\" of vrf %s", vrf->name,
				      other->name);
		if (vrf->label && other->label == vrf->label)
			return refuse(parser, "vrf %s has the \"label\" of vrf %s", vrf->name,
				      other->name);
	}
	return 0;
}

static int get_vrf(struct parser *parser)
{
	struct bgp_config *config = parser->config;
	struct bgp_vrf_config *vrf;
	const char *word;

	if (config->vrf_count == BGP_VRFS)
		return refuse(parser, "more than %d VRFs", BGP_VRFS);
	vrf = reallocarray(config->vrfs, config->vrf_count + 1, sizeof(*vrf));
	if (!vrf)
		return refuse(parser, "out of memory");
	config->vrfs = vrf;
	vrf += config->vrf_count;
	memset(vrf, 0, sizeof(*vrf));
	if (take_text(parser, "vrf", vrf->name, sizeof(vrf->name)))
		return -EINVAL;
	while ((word = take(parser)))
		if (vrf_word(parser, vrf, word))
			return -EINVAL;
	if (check_vrf(parser, vrf))
		return -EINVAL;
	config->vrf_count++;
	return 0;
}

/* ---- times and paths --------------------------------------------------------------------- */

static int get_metric(struct parser *parser)
{
	return take_number(parser, "metric", 1, UINT32_MAX, &parser->config->metric);
}

static int get_multipath(struct parser *parser)
{
	return take_number16(parser, "multipath", 1, BGP_PATHS_MAX, &parser->config->multipath);
}

static int get_restart_time(struct parser *parser)
{
	return take_number16(parser, "restart-time", 1, BGP_RESTART_MAX,
			     &parser->config->restart_time);
}

static int get_stale_time(struct parser *parser)
{
	return take_number(parser, "stale-time", 0, 1000000, &parser->config->stale_time);
}

static int get_sweep_delay(struct parser *parser)
{
	return take_number(parser, "sweep-delay", 0, 1000000, &parser->config->sweep_delay);
}

static int get_withdraw_delay(struct parser *parser)
{
	return take_number(parser, "withdraw-delay", 0, 60000, &parser->config->withdraw_delay);
}

static int get_state(struct parser *parser)
{
	return take_text(parser, "state", parser->config->state, sizeof(parser->config->state));
}

static int get_socket(struct parser *parser)
{
	return take_text(parser, "socket", parser->config->api, sizeof(parser->config->api));
}

static int get_control(struct parser *parser)
{
	return take_text(parser, "control", parser->config->control,
			 sizeof(parser->config->control));
}

/* ---- the file ---------------------------------------------------------------------------- */

static int parse_line(struct parser *parser, char *line)
{
	static const struct {
		const char *name;
		int (*get)(struct parser *parser);
	} statements[] = {
		{"local-as", get_local_as},
		{"router-id", get_router_id},
		{"next-hop", get_next_hop},
		{"listen", get_listen},
		{"neighbor", get_neighbor},
		{"tunnel", get_tunnel},
		{"vrf", get_vrf},
		{"labels", get_labels},
		{"metric", get_metric},
		{"multipath", get_multipath},
		{"restart-time", get_restart_time},
		{"stale-time", get_stale_time},
		{"sweep-delay", get_sweep_delay},
		{"withdraw-delay", get_withdraw_delay},
		{"state", get_state},
		{"socket", get_socket},
		{"control", get_control},
	};
	char *words[WORDS_MAX], *rest = line;
	const char *name;

	line[strcspn(line, "#")] = '\0';
	parser->words = words;
	parser->count = 0;
	while ((line = strsep(&rest, " \t\r")))
		if (*line) {
			if (parser->count == WORDS_MAX)
				return refuse(parser, "more than %d words in a line", WORDS_MAX);
			words[parser->count++] = line;
		}
	name = take(parser);
	if (!name)
		return 0;
	for (unsigned int i = 0; i < sizeof(statements) / sizeof(*statements); i++)
		if (strcmp(name, statements[i].name) == 0) {
			int ret = statements[i].get(parser);

			if (!ret && parser->count)
				ret = refuse(parser, "\"%s\" is one too much for \"%s\"",
					     *parser->words, name);
			return ret;
		}
	return refuse(parser, "unknown statement \"%s\"", name);
}

static int check(struct parser *parser)
{
	const struct bgp_config *config = parser->config;
	bool active = false;

	if (!config->local_as)
		return refuse(parser, "\"local-as\" is missing");
	if (!config->router_id)
		return refuse(parser, "\"router-id\" is missing");
	if (!config->tunnel_count)
		return refuse(parser, "\"tunnel\" is missing");
	if (!config->neighbor_count)
		return refuse(parser, "\"neighbor\" is missing");
	for (unsigned int i = 0; i < config->neighbor_count; i++)
		if (!config->neighbors[i].passive)
			active = true;
	if (!active && !config->listener_count)
		return refuse(parser, "all neighbors are passive, and there is no \"listen\"");
	for (unsigned int i = 0; i < config->vrf_count; i++)
		if (config->vrfs[i].label >= config->label_first &&
		    config->vrfs[i].label <= config->label_last)
			return refuse(parser, "the label of vrf %s is within \"labels\" %u %u",
				      config->vrfs[i].name, config->label_first,
				      config->label_last);
	return 0;
}

int bgp_config_parse(const char *path, const char *text, struct bgp_config *config, char *error,
		     size_t size)
{
	struct parser parser = {.config = config, .path = path, .error = error, .size = size};
	char *copy = strdup(text), *rest = copy, *line;
	int ret = 0;

	*config = (struct bgp_config){
		.label_first = LABEL_FIRST,
		.label_last = LABEL_LAST,
		.metric = METRIC,
		.multipath = MULTIPATH,
		.restart_time = RESTART_TIME,
		.stale_time = STALE_TIME,
		.sweep_delay = SWEEP_DELAY,
		.withdraw_delay = WITHDRAW_DELAY,
		.state = "/var/lib/pewter/bgp.labels",
		.api = "/run/pewter/pewter.sock",
		.control = "/run/pewter/bgp.sock",
	};
	if (!copy)
		ret = refuse(&parser, "out of memory");
	while (!ret && (line = strsep(&rest, "\n"))) {
		parser.line++;
		ret = parse_line(&parser, line);
	}
	if (!ret)
		ret = check(&parser);
	free(copy);
	if (ret)
		bgp_config_free(config);
	return ret;
}

int bgp_config_read(const char *path, struct bgp_config *config, char *error, size_t size)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t room = 0;
	ssize_t length;
	int ret;

	if (!file) {
		ret = -errno;
		snprintf(error, size, "%s: %s", path, strerror(errno));
		return ret;
	}
	/* Up to a NUL: all of it, since a configuration has none. */
	length = getdelim(&text, &room, '\0', file);
	if (ferror(file)) {
		ret = -EIO;
		snprintf(error, size, "%s: cannot be read", path);
	} else {
		ret = bgp_config_parse(path, length > 0 ? text : "", config, error, size);
	}
	free(text);
	fclose(file);
	return ret;
}

void bgp_config_free(struct bgp_config *config)
{
	free(config->vrfs);
	config->vrfs = NULL;
	config->vrf_count = 0;
}
