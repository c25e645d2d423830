/* SPDX-License-Identifier: BSD-3-Clause */
/** label ..., tunnel ..., link ...: what Linux has no message for. */
#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#include "control/cli/pewterctl.h"
#include "lib/pewter_netlink.h"

#define LABEL_MAX   ((1u << 20) - 1)
#define REMOTES_MAX 1024

static int finish(struct client *client, struct nlmsghdr *nlh)
{
	return client_request(client, nlh) < 0 ? STATUS_FAILED : STATUS_OK;
}

static bool put_remote(struct nlmsghdr *nlh, const char *text)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		mnl_attr_put(nlh, PW_ALLOW_ATTR_REMOTE, 4, bytes);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		mnl_attr_put(nlh, PW_ALLOW_ATTR_REMOTE, 16, bytes);
	else
		return false;
	return true;
}

static int label_protect(struct client *client, uint32_t label, const char *text)
{
	uint32_t buffer[32];
	struct nlmsghdr *nlh = client_message(buffer, PW_MSG_LABEL_SET, 0);
	bool on = strcmp(text, "on") == 0;

	if (!on && strcmp(text, "off") != 0) {
		say("protect is on or off, not \"%s\"", text);
		return STATUS_USAGE;
	}
	mnl_attr_put_u32(nlh, PW_LABEL_SET_ATTR_LABEL, label);
	mnl_attr_put_u8(nlh, PW_LABEL_SET_ATTR_PROTECT, on);
	return finish(client, nlh);
}

int command_label(struct client *client, int argc, char **argv)
{
	static uint32_t buffer[(64 + REMOTES_MAX * 20) / sizeof(uint32_t)];
	struct nlmsghdr *nlh = client_message(buffer, PW_MSG_LABEL_ALLOW, 0);
	struct nlattr *nest;
	uint64_t label;
	int i;
	bool protect = argc == 4 && strcmp(argv[2], "protect") == 0;

	if (!protect && (argc < 4 || strcmp(argv[2], "allow") != 0))
		return usage("label");
	if (!parse_number(argv[1], "a label", 0, LABEL_MAX, &label))
		return STATUS_USAGE;
	if (protect)
		return label_protect(client, (uint32_t)label, argv[3]);
	if (argc - 3 > REMOTES_MAX) {
		say("at most %d remotes for a label", REMOTES_MAX);
		return STATUS_USAGE;
	}
	mnl_attr_put_u32(nlh, PW_ALLOW_ATTR_LABEL, (uint32_t)label);
	if (argc == 4 && strcmp(argv[3], "any") == 0)
		return finish(client, nlh);
	nest = mnl_attr_nest_start(nlh, PW_ALLOW_ATTR_REMOTES);
	for (i = 3; i < argc; i++) {
		if (!put_remote(nlh, argv[i])) {
			say("\"%s\" is no address of a tunnel's remote end", argv[i]);
			return STATUS_USAGE;
		}
	}
	mnl_attr_nest_end(nlh, nest);
	return finish(client, nlh);
}

static int parse_model(const char *text)
{
	if (strcmp(text, "uniform") == 0)
		return PW_TTL_UNIFORM;
	if (strcmp(text, "pipe") == 0)
		return PW_TTL_PIPE;
	if (strcmp(text, "short-pipe") == 0)
		return PW_TTL_SHORT_PIPE;
	say("a TTL model is uniform, pipe or short-pipe, not \"%s\"", text);
	return -1;
}

int command_tunnel(struct client *client, int argc, char **argv)
{
	uint32_t buffer[32];
	struct nlmsghdr *nlh = client_message(buffer, PW_MSG_TUNNEL_SET, 0);
	int model = -1, face = -1, i;
	uint64_t ttl = 0;

	if (argc < 4 || argc % 2 != 0)
		return usage("tunnel");
	if (strlen(argv[1]) >= IFNAMSIZ || argv[1][0] == '\0') {
		say("\"%s\" is no name of an interface", argv[1]);
		return STATUS_USAGE;
	}
	for (i = 2; i < argc; i += 2) {
		if (strcmp(argv[i], "ttl-model") == 0 && model < 0) {
			model = parse_model(argv[i + 1]);
			if (model < 0)
				return STATUS_USAGE;
		} else if (strcmp(argv[i], "label-ttl") == 0 && ttl == 0) {
			if (!parse_number(argv[i + 1], "label-ttl", 1, 255, &ttl))
				return STATUS_USAGE;
		} else if (strcmp(argv[i], "face") == 0 && face < 0) {
			face = strcmp(argv[i + 1], "on") == 0;
			if (!face && strcmp(argv[i + 1], "off") != 0) {
				say("face is on or off, not \"%s\"", argv[i + 1]);
				return STATUS_USAGE;
			}
		} else {
			say("unknown or repeated \"%s\"", argv[i]);
			return usage("tunnel");
		}
	}
	mnl_attr_put_strz(nlh, PW_TUNNEL_SET_ATTR_NAME, argv[1]);
	if (model >= 0)
		mnl_attr_put_u8(nlh, PW_TUNNEL_SET_ATTR_TTL_MODEL, (uint8_t)model);
	if (ttl != 0)
		mnl_attr_put_u8(nlh, PW_TUNNEL_SET_ATTR_LABEL_TTL, (uint8_t)ttl);
	if (face >= 0)
		mnl_attr_put_u8(nlh, PW_TUNNEL_SET_ATTR_FACE, (uint8_t)face);
	return finish(client, nlh);
}

int command_link(struct client *client, int argc, char **argv)
{
	uint32_t buffer[32];
	struct nlmsghdr *nlh = client_message(buffer, PW_MSG_LINK_SET, 0);
	bool on, mpls;

	if (argc != 4)
		return usage("link");
	mpls = strcmp(argv[2], "mpls") == 0;
	if (!mpls && strcmp(argv[2], "reverse-route") != 0)
		return usage("link");
	if (strlen(argv[1]) >= IFNAMSIZ || argv[1][0] == '\0') {
		say("\"%s\" is no name of an interface", argv[1]);
		return STATUS_USAGE;
	}
	on = strcmp(argv[3], "on") == 0;
	if (!on && strcmp(argv[3], "off") != 0) {
		say("%s is on or off, not \"%s\"", argv[2], argv[3]);
		return STATUS_USAGE;
	}
	mnl_attr_put_strz(nlh, PW_LINK_SET_ATTR_NAME, argv[1]);
	mnl_attr_put_u8(nlh, mpls ? PW_LINK_SET_ATTR_MPLS : PW_LINK_SET_ATTR_REVERSE_ROUTE, on);
	return finish(client, nlh);
}
