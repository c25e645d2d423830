/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/bgp/config_words.h"
#include "control/bgp/message.h"

#define WORDS_MAX      256
#define LABEL_FIRST    100000
#define LABEL_LAST     104095
#define METRIC         2000 /* behind IPv6's default for static routes, 1024 */
#define HOLD_TIME      90
#define MULTIPATH      8
#define RESTART_TIME   120
#define STALE_TIME     300
#define SWEEP_DELAY    30
#define WITHDRAW_DELAY 100 /* ms: what replaces a route may come in the next message */

/* ---- statements -------------------------------------------------------------------------- */

static int get_local_as(struct bgp_parser *parser)
{
	return bgp_config_take_number(parser, "local-as", 1, UINT32_MAX, &parser->config->local_as);
}

static int get_router_id(struct bgp_parser *parser)
{
	struct bgp_address address;

	if (bgp_config_take_address(parser, "router-id", &address))
		return -EINVAL;
	parser->config->router_id = bgp_get32(address.bytes);
	if (address.family != AF_INET || !parser->config->router_id)
		return bgp_config_refuse(parser,
					 "\"router-id\" takes an IPv4 address that is not 0.0.0.0");
	return 0;
}

static int get_next_hop(struct bgp_parser *parser)
{
	return bgp_config_take_address(parser, "next-hop", &parser->config->next_hop);
}

/* ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT */
static int get_listen(struct bgp_parser *parser)
{
	struct bgp_endpoint *listener = &parser->config->listeners[parser->config->listener_count];
	char text[64], *port = NULL, *address = text;
	unsigned long number = BGP_PORT;
	char *end;

	if (parser->config->listener_count == BGP_LISTENERS)
		return bgp_config_refuse(parser, "more than %d listen statements", BGP_LISTENERS);
	if (bgp_config_take_text(parser, "listen", text, sizeof(text)))
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
		return bgp_config_refuse(parser, "\"listen\" takes ADDRESS[:PORT], not \"%s\"",
					 address);
	if (port) {
		number = strtoul(port, &end, 10);
		if (!isdigit((unsigned char)*port) || *end || !number || number > UINT16_MAX)
			return bgp_config_refuse(parser, "\"listen\": \"%s\" is no port", port);
	}
	listener->port = (uint16_t)number;
	parser->config->listener_count++;
	return 0;
}

static int neighbor_word(struct bgp_parser *parser, struct bgp_neighbor_config *neighbor,
			 const char *word)
{
	uint32_t as;

	if (strcmp(word, "remote-as") == 0) {
		if (bgp_config_take_number(parser, word, 1, UINT32_MAX, &as))
			return -EINVAL;
		return as == parser->config->local_as
			       ? 0
			       : bgp_config_refuse(
					 parser,
					 "\"remote-as\" %u: only neighbours of the local AS (iBGP) "
					 "are supported, which is %u (\"local-as\" comes first)",
					 as, parser->config->local_as);
	}
	if (strcmp(word, "port") == 0)
		return bgp_config_take_number16(parser, word, 1, UINT16_MAX, &neighbor->port);
	if (strcmp(word, "passive") == 0) {
		neighbor->passive = true;
		return 0;
	}
	if (strcmp(word, "source") == 0)
		return bgp_config_take_address(parser, word, &neighbor->source);
	if (strcmp(word, "password") == 0)
		return bgp_config_take_text(parser, word, neighbor->password,
					    sizeof(neighbor->password));
	if (strcmp(word, "ttl-security") == 0)
		return bgp_config_take_number16(parser, word, 1, 254, &neighbor->hops);
	if (strcmp(word, "hold-time") == 0)
		return bgp_config_take_number16(parser, word, 3, UINT16_MAX, &neighbor->hold_time);
	if (strcmp(word, "max-prefixes") == 0)
		return bgp_config_take_number(parser, word, 1, UINT32_MAX, &neighbor->max_prefixes);
	return bgp_config_refuse(parser, "\"neighbor\" does not know \"%s\"", word);
}

static int get_neighbor(struct bgp_parser *parser)
{
	struct bgp_config *config = parser->config;
	struct bgp_neighbor_config *neighbor = &config->neighbors[config->neighbor_count];
	const char *word;

	if (config->neighbor_count == BGP_NEIGHBORS)
		return bgp_config_refuse(parser, "more than %d neighbours", BGP_NEIGHBORS);
	neighbor->port = BGP_PORT;
	neighbor->hold_time = HOLD_TIME;
	if (bgp_config_take_address(parser, "neighbor", &neighbor->address))
		return -EINVAL;
	for (unsigned int i = 0; i < config->neighbor_count; i++)
		if (bgp_address_equal(&config->neighbors[i].address, &neighbor->address))
			return bgp_config_refuse(parser, "this neighbor is there already");
	while ((word = bgp_config_take(parser)))
		if (neighbor_word(parser, neighbor, word))
			return -EINVAL;
	if (neighbor->source.family && neighbor->source.family != neighbor->address.family)
		return bgp_config_refuse(
			parser, "\"source\" is of another address family than the neighbor");
	config->neighbor_count++;
	return 0;
}

static int get_tunnel(struct bgp_parser *parser)
{
	struct bgp_config *config = parser->config;

	if (config->tunnel_count == BGP_TUNNELS)
		return bgp_config_refuse(parser, "more than %d tunnels", BGP_TUNNELS);
	if (bgp_config_take_text(parser, "tunnel", config->tunnels[config->tunnel_count], IFNAMSIZ))
		return -EINVAL;
	config->tunnel_count++;
	return 0;
}

static int get_labels(struct bgp_parser *parser)
{
	struct bgp_config *config = parser->config;

	if (bgp_config_take_number(parser, "labels", BGP_LABEL_FIRST, BGP_LABEL_MAX,
				   &config->label_first) ||
	    bgp_config_take_number(parser, "labels", config->label_first, BGP_LABEL_MAX,
				   &config->label_last))
		return -EINVAL;
	return 0;
}

/* ---- times and paths --------------------------------------------------------------------- */

static int get_metric(struct bgp_parser *parser)
{
	/* The next one is the backups'. */
	return bgp_config_take_number(parser, "metric", 1, UINT32_MAX - 1, &parser->config->metric);
}

static int get_multipath(struct bgp_parser *parser)
{
	return bgp_config_take_number16(parser, "multipath", 1, BGP_PATHS_MAX,
					&parser->config->multipath);
}

static int get_backup(struct bgp_parser *parser)
{
	const char *word;

	if (bgp_config_take_value(parser, "backup", &word))
		return -EINVAL;
	parser->config->backup = strcmp(word, "on") == 0;
	if (!parser->config->backup && strcmp(word, "off") != 0)
		return bgp_config_refuse(parser, "\"backup\" takes on or off, not \"%s\"", word);
	return 0;
}

static int get_restart_time(struct bgp_parser *parser)
{
	return bgp_config_take_number16(parser, "restart-time", 1, BGP_RESTART_MAX,
					&parser->config->restart_time);
}

static int get_stale_time(struct bgp_parser *parser)
{
	return bgp_config_take_number(parser, "stale-time", 0, 1000000,
				      &parser->config->stale_time);
}

static int get_sweep_delay(struct bgp_parser *parser)
{
	return bgp_config_take_number(parser, "sweep-delay", 0, 1000000,
				      &parser->config->sweep_delay);
}

static int get_withdraw_delay(struct bgp_parser *parser)
{
	return bgp_config_take_number(parser, "withdraw-delay", 0, 60000,
				      &parser->config->withdraw_delay);
}

static int get_state(struct bgp_parser *parser)
{
	return bgp_config_take_text(parser, "state", parser->config->state,
				    sizeof(parser->config->state));
}

static int get_socket(struct bgp_parser *parser)
{
	return bgp_config_take_text(parser, "socket", parser->config->api,
				    sizeof(parser->config->api));
}

static int get_control(struct bgp_parser *parser)
{
	return bgp_config_take_text(parser, "control", parser->config->control,
				    sizeof(parser->config->control));
}

/* ---- the file ---------------------------------------------------------------------------- */

static int parse_line(struct bgp_parser *parser, char *line)
{
	static const struct {
		const char *name;
		int (*get)(struct bgp_parser *parser);
	} statements[] = {
		{"local-as", get_local_as},
		{"router-id", get_router_id},
		{"next-hop", get_next_hop},
		{"listen", get_listen},
		{"neighbor", get_neighbor},
		{"tunnel", get_tunnel},
		{"vrf", bgp_config_get_vrf},
		{"labels", get_labels},
		{"metric", get_metric},
		{"multipath", get_multipath},
		{"backup", get_backup},
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
				return bgp_config_refuse(parser, "more than %d words in a line",
							 WORDS_MAX);
			words[parser->count++] = line;
		}
	name = bgp_config_take(parser);
	if (!name)
		return 0;
	for (unsigned int i = 0; i < sizeof(statements) / sizeof(*statements); i++)
		if (strcmp(name, statements[i].name) == 0) {
			int ret = statements[i].get(parser);

			if (!ret && parser->count)
				ret = bgp_config_refuse(parser, "\"%s\" is one too much for \"%s\"",
							*parser->words, name);
			return ret;
		}
	return bgp_config_refuse(parser, "unknown statement \"%s\"", name);
}

static int check(struct bgp_parser *parser)
{
	const struct bgp_config *config = parser->config;
	bool active = false;

	if (!config->local_as)
		return bgp_config_refuse(parser, "\"local-as\" is missing");
	if (!config->router_id)
		return bgp_config_refuse(parser, "\"router-id\" is missing");
	if (!config->tunnel_count)
		return bgp_config_refuse(parser, "\"tunnel\" is missing");
	if (!config->neighbor_count)
		return bgp_config_refuse(parser, "\"neighbor\" is missing");
	for (unsigned int i = 0; i < config->neighbor_count; i++)
		if (!config->neighbors[i].passive)
			active = true;
	if (!active && !config->listener_count)
		return bgp_config_refuse(parser,
					 "all neighbors are passive, and there is no \"listen\"");
	for (unsigned int i = 0; i < config->vrf_count; i++)
		if (config->vrfs[i].label >= config->label_first &&
		    config->vrfs[i].label <= config->label_last)
			return bgp_config_refuse(
				parser, "the label of vrf %s is within \"labels\" %u %u",
				config->vrfs[i].name, config->label_first, config->label_last);
	return 0;
}

int bgp_config_parse(const char *path, const char *text, struct bgp_config *config, char *error,
		     size_t size)
{
	struct bgp_parser parser = {.config = config, .path = path, .error = error, .size = size};
	char *copy = strdup(text), *rest = copy, *line;
	int ret = 0;

	*config = (struct bgp_config){
		.label_first = LABEL_FIRST,
		.label_last = LABEL_LAST,
		.metric = METRIC,
		.multipath = MULTIPATH,
		.backup = true,
		.restart_time = RESTART_TIME,
		.stale_time = STALE_TIME,
		.sweep_delay = SWEEP_DELAY,
		.withdraw_delay = WITHDRAW_DELAY,
		.state = "/var/lib/pewter/bgp.labels",
		.api = "/run/pewter/pewter.sock",
		.control = "/run/pewter/bgp.sock",
	};
	if (!copy)
		ret = bgp_config_refuse(&parser, "out of memory");
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
