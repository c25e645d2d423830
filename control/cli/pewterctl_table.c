/* SPDX-License-Identifier: BSD-3-Clause */
/** show vrfs, neighbours, tunnels, labels: the tables as the workers see them. */
#include "control/cli/pewterctl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/print.h"
#include "lib/pewter_netlink.h"

void print_address(const char *key, const char *format, const struct nlattr *attribute)
{
	char text[ADDRESS_TEXT];

	if (attribute != NULL)
		print_string(key, format, attribute_address(attribute, text));
}

void print_attribute(const char *key, const char *format, const struct nlattr *attribute)
{
	if (attribute != NULL)
		print_number(key, format, attribute_number(attribute));
}

void print_name(const char *key, const char *format, const struct nlattr *attribute)
{
	if (attribute_string(attribute) != NULL)
		print_string(key, format, attribute_string(attribute));
}

static void print_labels(const struct nlattr *attribute)
{
	const uint32_t *labels;
	unsigned int i, count;

	if (attribute == NULL)
		return;
	labels = mnl_attr_get_payload(attribute);
	count = mnl_attr_get_payload_len(attribute) / sizeof(*labels);
	print_array_begin("labels");
	for (i = 0; i < count; i++)
		print_number(NULL, i == 0 ? " encap mpls %" PRIu64 : "/%" PRIu64, labels[i]);
	print_array_end();
}

void nexthop_print(const char *key, const struct nlattr *nest)
{
	const struct nlattr *table[PW_NEXTHOP_ATTR_COUNT];
	const char *type;
	bool plain;

	if (nest == NULL)
		return;
	attributes_nested(nest, table, PW_NEXTHOP_ATTR_COUNT - 1);
	type = attribute_string(table[PW_NEXTHOP_ATTR_TYPE]);
	plain = type != NULL && (strcmp(type, "neighbour") == 0 || strcmp(type, "tunnel") == 0);
	print_object_begin(key);
	print_number("id", NULL, attribute_number(table[PW_NEXTHOP_ATTR_ID]));
	print_string("type", plain ? NULL : " %s", type);
	print_labels(table[PW_NEXTHOP_ATTR_LABELS]);
	print_address("via", " via %s", table[PW_NEXTHOP_ATTR_VIA]);
	print_string("dev", " dev %s", attribute_string(table[PW_NEXTHOP_ATTR_DEV]));
	print_attribute("table", " table %" PRIu64, table[PW_NEXTHOP_ATTR_TABLE]);
	print_string("port", " port %s", attribute_string(table[PW_NEXTHOP_ATTR_PORT]));
	print_string("state", " %s", attribute_string(table[PW_NEXTHOP_ATTR_STATE]));
	print_object_end();
}

/* ---- VRFs -------------------------------------------------------------------------------- */

static int vrf_print(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[PW_VRF_ATTR_COUNT], *attribute;
	uint64_t links, named = 0;

	attributes_parse(nlh, table, PW_VRF_ATTR_COUNT - 1);
	list_begin(context);
	print_object_begin(NULL);
	if (table[PW_VRF_ATTR_NAME] != NULL)
		print_string("name", "%s:", attribute_string(table[PW_VRF_ATTR_NAME]));
	else
		print_text("-:");
	print_attribute("table", " table %" PRIu64, table[PW_VRF_ATTR_TABLE]);
	print_attribute("routes4", " routes ipv4 %" PRIu64, table[PW_VRF_ATTR_ROUTES4]);
	print_attribute("routes6", " ipv6 %" PRIu64, table[PW_VRF_ATTR_ROUTES6]);
	links = attribute_number(table[PW_VRF_ATTR_LINKS]);
	print_number("links", NULL, links);
	print_array_begin("interfaces");
	if (table[PW_VRF_ATTR_INTERFACES] != NULL) {
		mnl_attr_for_each_nested(attribute, table[PW_VRF_ATTR_INTERFACES])
		{
			print_string(NULL, named++ == 0 ? "\n    interfaces %s" : " %s",
				     attribute_string(attribute));
		}
	}
	print_array_end();
	if (links > named)
		print_text(" and %" PRIu64 " more", links - named);
	print_object_end();
	print_line();
	return 0;
}

int show_vrfs(struct client *client)
{
	bool begun = false;
	int ret = client_dump(client, PW_MSG_VRF, vrf_print, &begun);

	return list_end(begun, ret);
}

/* ---- neighbours -------------------------------------------------------------------------- */

static int neighbour_print(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[PW_NEIGHBOUR_ATTR_COUNT];

	attributes_parse(nlh, table, PW_NEIGHBOUR_ATTR_COUNT - 1);
	list_begin(context);
	print_object_begin(NULL);
	print_address("dst", "%s", table[PW_NEIGHBOUR_ATTR_ADDRESS]);
	print_string("dev", " dev %s", attribute_string(table[PW_NEIGHBOUR_ATTR_DEV]));
	print_address("lladdr", " lladdr %s", table[PW_NEIGHBOUR_ATTR_MAC]);
	print_string("state", " %s", attribute_string(table[PW_NEIGHBOUR_ATTR_STATE]));
	print_string("port", " port %s", attribute_string(table[PW_NEIGHBOUR_ATTR_PORT]));
	print_attribute("vlan", " vlan %" PRIu64, table[PW_NEIGHBOUR_ATTR_VLAN]);
	print_attribute("mtu", " mtu %" PRIu64, table[PW_NEIGHBOUR_ATTR_MTU]);
	print_object_end();
	print_line();
	return 0;
}

int show_neighbours(struct client *client)
{
	bool begun = false;
	int ret = client_dump(client, PW_MSG_NEIGHBOUR, neighbour_print, &begun);

	return list_end(begun, ret);
}

/* ---- tunnels ----------------------------------------------------------------------------- */

/** Endpoints come after all tunnels: the messages are kept to be put together. */
struct messages {
	struct nlmsghdr **message;
	size_t count, room;
};

static int keep(const struct nlmsghdr *nlh, void *context)
{
	struct messages *messages = context;
	struct nlmsghdr *copy;

	if (messages->count == messages->room) {
		size_t room = messages->room > 0 ? 2 * messages->room : 64;
		struct nlmsghdr **larger =
			realloc(messages->message, room * sizeof(*messages->message));

		if (larger == NULL)
			return -1;
		messages->message = larger;
		messages->room = room;
	}
	copy = malloc(nlh->nlmsg_len);
	if (copy == NULL)
		return -1;
	memcpy(copy, nlh, nlh->nlmsg_len);
	messages->message[messages->count++] = copy;
	return 0;
}

static void protection_print(const struct nlattr **table)
{
	const char *outward = attribute_string(table[PW_TUNNEL_ATTR_PROTECTION]);
	const char *inward = attribute_string(table[PW_TUNNEL_ATTR_INWARD]);

	if (outward == NULL || inward == NULL)
		return;
	print_string("protection", " protection %s", outward);
	if (strcmp(outward, "required") == 0)
		print_text(", no SA");
	print_attribute("spi", " 0x%08" PRIx64, table[PW_TUNNEL_ATTR_SPI]);
	print_string("inward", strcmp(inward, "any") == 0 ? NULL : " inward %s", inward);
}

static void endpoint_print(const struct nlattr **table)
{
	print_object_begin(NULL);
	print_address("remote", "    endpoint %s", table[PW_TUNNEL_ATTR_REMOTE]);
	print_attribute("id", NULL, table[PW_TUNNEL_ATTR_ENDPOINT]);
	print_address("local", " local %s", table[PW_TUNNEL_ATTR_LOCAL]);
	print_attribute("mtu", " mtu %" PRIu64, table[PW_TUNNEL_ATTR_MTU]);
	if (table[PW_TUNNEL_ATTR_UNDERLAY] != NULL) {
		print_text(" underlay");
		nexthop_print("underlay", table[PW_TUNNEL_ATTR_UNDERLAY]);
	} else {
		print_text(" unreachable");
	}
	protection_print(table);
	print_object_end();
	print_line();
}

static void print_endpoints(const struct messages *messages, const char *tunnel)
{
	const struct nlattr *table[PW_TUNNEL_ATTR_COUNT];
	size_t i;

	print_array_begin("endpoints");
	for (i = 0; i < messages->count; i++) {
		const char *name;

		attributes_parse(messages->message[i], table, PW_TUNNEL_ATTR_COUNT - 1);
		name = attribute_string(table[PW_TUNNEL_ATTR_NAME]);
		if (table[PW_TUNNEL_ATTR_ENDPOINT] != NULL && name != NULL && tunnel != NULL &&
		    strcmp(name, tunnel) == 0)
			endpoint_print(table);
	}
	print_array_end();
}

static void tunnel_print(const struct messages *messages, const struct nlattr **table)
{
	const char *name = attribute_string(table[PW_TUNNEL_ATTR_NAME]);

	print_object_begin(NULL);
	print_string("ifname", "%s:", name);
	print_string("encapsulation", " %s", attribute_string(table[PW_TUNNEL_ATTR_ENCAPSULATION]));
	print_address("local", " local %s", table[PW_TUNNEL_ATTR_LOCAL]);
	if (table[PW_TUNNEL_ATTR_REMOTE] != NULL)
		print_address("remote", " remote %s", table[PW_TUNNEL_ATTR_REMOTE]);
	else
		print_text(" remote any");
	print_attribute("key", " key %" PRIu64, table[PW_TUNNEL_ATTR_KEY]);
	if (attribute_number(table[PW_TUNNEL_ATTR_TTL]) == 0)
		print_text(" ttl inherit");
	print_attribute("ttl", attribute_number(table[PW_TUNNEL_ATTR_TTL]) ? " ttl %" PRIu64 : NULL,
			table[PW_TUNNEL_ATTR_TTL]);
	print_string("ttl_model", " ttl-model %s",
		     attribute_string(table[PW_TUNNEL_ATTR_TTL_MODEL]));
	print_attribute("label_ttl", " label-ttl %" PRIu64, table[PW_TUNNEL_ATTR_LABEL_TTL]);
	print_attribute("mtu", " mtu %" PRIu64, table[PW_TUNNEL_ATTR_MTU]);
	print_attribute("table", " table %" PRIu64, table[PW_TUNNEL_ATTR_TABLE]);
	print_bool("up", " up", attribute_number(table[PW_TUNNEL_ATTR_UP]) != 0);
	print_text("%s\n", attribute_number(table[PW_TUNNEL_ATTR_UP]) != 0 ? "" : " down");
	print_endpoints(messages, name);
	print_object_end();
}

int show_tunnels(struct client *client)
{
	const struct nlattr *table[PW_TUNNEL_ATTR_COUNT];
	struct messages messages = {0};
	int ret = client_dump(client, PW_MSG_TUNNEL, keep, &messages);
	bool begun = false;
	size_t i;

	for (i = 0; ret == 0 && i < messages.count; i++) {
		attributes_parse(messages.message[i], table, PW_TUNNEL_ATTR_COUNT - 1);
		if (table[PW_TUNNEL_ATTR_ENDPOINT] != NULL)
			continue;
		list_begin(&begun);
		tunnel_print(&messages, table);
	}
	for (i = 0; i < messages.count; i++)
		free(messages.message[i]);
	free(messages.message);
	return list_end(begun, ret);
}

/* ---- labels ------------------------------------------------------------------------------ */

static void print_allowed(const struct nlattr *nest)
{
	const struct nlattr *attribute;

	if (nest == NULL)
		return;
	print_text(" allow");
	print_array_begin("allow");
	mnl_attr_for_each_nested(attribute, nest)
	{
		print_address(NULL, " %s", attribute);
	}
	print_array_end();
}

static int label_print(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[PW_LABEL_ATTR_COUNT];

	attributes_parse(nlh, table, PW_LABEL_ATTR_COUNT - 1);
	list_begin(context);
	print_object_begin(NULL);
	print_attribute("label", "%" PRIu64, table[PW_LABEL_ATTR_LABEL]);
	print_string("action", " %s", attribute_string(table[PW_LABEL_ATTR_ACTION]));
	print_string("vrf", " vrf %s", attribute_string(table[PW_LABEL_ATTR_VRF]));
	print_attribute("table", " table %" PRIu64, table[PW_LABEL_ATTR_TABLE]);
	nexthop_print("nexthop", table[PW_LABEL_ATTR_NEXTHOP]);
	print_string("ttl_model", " ttl-model %s", attribute_string(table[PW_LABEL_ATTR_TTL]));
	print_allowed(table[PW_LABEL_ATTR_ALLOWED]);
	if (table[PW_LABEL_ATTR_PROTECT] != NULL)
		print_bool("protect", " protect",
			   attribute_number(table[PW_LABEL_ATTR_PROTECT]) != 0);
	print_object_end();
	print_line();
	return 0;
}

int show_labels(struct client *client)
{
	bool begun = false;
	int ret = client_dump(client, PW_MSG_LABEL, label_print, &begun);

	return list_end(begun, ret);
}
