/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/pewterctl.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/print.h"

#define SOCKET_DEFAULT "/run/pewter/pewter.sock"
#define ARGUMENTS_MAX  256

static int command_batch(struct client *client, int argc, char **argv);
static int command_help(struct client *client, int argc, char **argv);

static const struct command {
	const char *name;
	command_fn run;
	const char *arguments;
	const char *text;
} commands[] = {
	{"show", command_show,
	 "[-a] [-d] [drops|events|ports|stages|workers|vrfs|neighbours|tunnels|labels|summary|"
	 "fpm|sas|policies]",
	 "what the daemon counts and has in its tables (-a: zeroes too, -d: details)"},
	{"stats", command_stats, "[INTERVAL [COUNT]]", "rates of ports, drops and workers, live"},
	{"trace", command_trace, "[-c COUNT] [--port NAME | --stage NAME] [FILTER]",
	 "the next packets that match, through every stage"},
	{"capture", command_capture,
	 "[-c COUNT] [-w FILE|-] [--port NAME | --stage NAME] [--snaplen BYTES] [FILTER]",
	 "packets at ports or as they enter a stage, as text or pcapng"},
	{"label", command_label, "LABEL allow any|REMOTE... | LABEL protect on|off",
	 "which tunnel ends may use an incoming label, and whether only out of IPsec"},
	{"tunnel", command_tunnel,
	 "NAME [ttl-model uniform|pipe|short-pipe] [label-ttl 1-255] [face on|off]",
	 "how TTLs of pushed and popped labels are treated (RFC 3443)"},
	{"link", command_link, "NAME mpls on|off | NAME reverse-route on|off",
	 "labelled frames off a port's or VLAN's wire; an IPsec interface's routes by its "
	 "policies"},
	{"batch", command_batch, "[-f] FILE|-", "commands, one a line (-f: goes on after errors)"},
	{"help", command_help, "", "this text"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *text)
{
	size_t i;

	/* As in ip(8), the beginning of a name will do, and the first one wins. */
	for (i = 0; i < COMMANDS; i++)
		if (text[0] != '\0' && strncmp(commands[i].name, text, strlen(text)) == 0)
			return &commands[i];
	return NULL;
}

int usage(const char *name)
{
	const struct command *command = find_command(name);

	if (command != NULL)
		fprintf(stderr, "Usage: pewterctl [-s SOCKET] [-j] %s %s\n", command->name,
			command->arguments);
	return STATUS_USAGE;
}

static void help(FILE *file)
{
	size_t i;

	fprintf(file,
		"Usage: pewterctl [OPTIONS] COMMAND [ARGUMENTS]\n"
		"Shows and watches a running pewterd.\n\n"
		"  -s, --socket=PATH  the daemon's socket (default: $PEWTER_SOCKET, else\n"
		"                     %s)\n"
		"  -j, --json         JSON instead of text\n"
		"  -h, --help         this text\n"
		"  -V, --version      the version\n\n"
		"Commands (their beginnings will do):\n",
		SOCKET_DEFAULT);
	for (i = 0; i < COMMANDS; i++)
		fprintf(file, "  %s %s\n      %s\n", commands[i].name, commands[i].arguments,
			commands[i].text);
	fputs("\nFILTER is a packet filter as in pcap-filter(7). See pewterctl(8).\n", file);
}

static int command_help(struct client *client, int argc, char **argv)
{
	help(stdout);
	return STATUS_OK;
}

bool parse_number(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || *value < min ||
	    *value > max) {
		say("%s is a number from %llu to %llu, not \"%s\"", what, (unsigned long long)min,
		    (unsigned long long)max, text);
		return false;
	}
	return true;
}

static int run(struct client *client, int argc, char **argv)
{
	const struct command *command = find_command(argv[0]);

	if (command == NULL) {
		say("unknown command \"%s\"; try pewterctl --help", argv[0]);
		return STATUS_USAGE;
	}
	return command->run(client, argc, argv);
}

/* ---- batch ------------------------------------------------------------------------------- */

/** Splits a line at white space; quotes hold words together, # begins a comment. -1: open quote */
static int split(char *line, char **argv)
{
	char *from = line, *to = line;
	int argc = 0;

	for (;;) {
		char quote = '\0';

		while (isspace((unsigned char)*from))
			from++;
		if (*from == '\0' || *from == '#' || argc == ARGUMENTS_MAX)
			break;
		argv[argc++] = to;
		for (; *from != '\0' && (quote != '\0' || !isspace((unsigned char)*from)); from++) {
			if (quote == '\0' && (*from == '"' || *from == '\''))
				quote = *from;
			else if (*from == quote)
				quote = '\0';
			else
				*to++ = *from;
		}
		if (quote != '\0')
			return -1;
		if (*from != '\0')
			from++;
		*to++ = '\0';
	}
	argv[argc] = NULL;
	return argc;
}

static int batch_line(struct client *client, char *line, bool json)
{
	char *argv[ARGUMENTS_MAX + 1];
	int argc = split(line, argv);

	print_json(json);
	if (argc < 0) {
		say("a quote is not closed");
		return STATUS_USAGE;
	}
	if (argc > 0 && find_command(argv[0]) != NULL &&
	    find_command(argv[0])->run == command_batch) {
		say("a batch cannot begin another");
		return STATUS_USAGE;
	}
	return argc > 0 ? run(client, argc, argv) : STATUS_OK;
}

static int batch(struct client *client, FILE *file, const char *name, bool force)
{
	bool json = printing_json();
	int status = STATUS_OK, number = 0;
	char *line = NULL;
	size_t size = 0;

	while ((status == STATUS_OK || force) && getline(&line, &size, file) >= 0) {
		char where[256];
		int ret;

		snprintf(where, sizeof(where), "%s:%d: ", name, ++number);
		say_where(where);
		ret = batch_line(client, line, json);
		say_where(NULL);
		if (ret != STATUS_OK)
			status = ret;
	}
	if (ferror(file)) {
		say("cannot read %s", name);
		status = STATUS_FAILED;
	}
	free(line);
	return status;
}

static int command_batch(struct client *client, int argc, char **argv)
{
	bool force = false;
	int option, status;
	FILE *file;

	optind = 0;
	while ((option = getopt(argc, argv, "fj")) != -1) {
		if (option == 'f')
			force = true;
		else if (option == 'j')
			print_json(true);
		else
			return usage("batch");
	}
	if (argc - optind != 1)
		return usage("batch");
	if (strcmp(argv[optind], "-") == 0)
		return batch(client, stdin, "-", force);
	file = fopen(argv[optind], "re");
	if (file == NULL) {
		say("cannot open %s: %s", argv[optind], strerror(errno));
		return STATUS_FAILED;
	}
	status = batch(client, file, argv[optind], force);
	fclose(file);
	return status;
}

/* ---- main -------------------------------------------------------------------------------- */

static const struct option options[] = {
	{"socket", required_argument, NULL, 's'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{0},
};

int main(int argc, char **argv)
{
	struct client client = {.fd = -1};
	int option, status;

	client.path = getenv("PEWTER_SOCKET");
	if (client.path == NULL || client.path[0] == '\0')
		client.path = SOCKET_DEFAULT;
	while ((option = getopt_long(argc, argv, "+s:jhV", options, NULL)) != -1) {
		switch (option) {
		case 's':
			client.path = optarg;
			break;
		case 'j':
			print_json(true);
			break;
		case 'h':
			help(stdout);
			return STATUS_OK;
		case 'V':
			puts("pewterctl " PW_VERSION);
			return STATUS_OK;
		default:
			fputs("Try pewterctl --help.\n", stderr);
			return STATUS_USAGE;
		}
	}
	if (optind == argc) {
		help(stderr);
		return STATUS_USAGE;
	}
	argv += optind;
	argc -= optind;
	status = run(&client, argc, argv);
	client_close(&client);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		say("cannot write: %s", strerror(errno));
		status = STATUS_FAILED;
	}
	return status;
}
