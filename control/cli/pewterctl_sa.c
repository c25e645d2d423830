/* SPDX-License-Identifier: BSD-3-Clause */
/** show sas, policies: IPsec, without keys. */
#include "control/cli/pewterctl.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "control/cli/print.h"
#include "lib/pewter_netlink.h"

/* ---- SAs ----------------------------------------------------------------------------------- */

static void print_identity(const struct nlattr **t)
{
	print_address("src", "src %s", t[PW_SA_ATTR_SOURCE]);
	print_address("dst", " dst %s", t[PW_SA_ATTR_DESTINATION]);
	print_attribute("spi", " spi 0x%08" PRIx64, t[PW_SA_ATTR_SPI]);
	print_name("direction", " %s", t[PW_SA_ATTR_DIRECTION]);
	print_name("state", " %s", t[PW_SA_ATTR_STATE]);
	print_name("vrf", " vrf %s", t[PW_SA_ATTR_VRF]);
	print_attribute("table", t[PW_SA_ATTR_VRF] != NULL ? NULL : " table %" PRIu64,
			t[PW_SA_ATTR_TABLE]);
}

/* Tunnel mode, inward: "nowhere" where its interface is missing. */
static void print_inside(const struct nlattr **t)
{
	bool inward = t[PW_SA_ATTR_DIRECTION] != NULL &&
		      strcmp(mnl_attr_get_str(t[PW_SA_ATTR_DIRECTION]), "in") == 0;

	if (!inward || t[PW_SA_ATTR_MODE] == NULL ||
	    strcmp(mnl_attr_get_str(t[PW_SA_ATTR_MODE]), "tunnel") != 0)
		return;
	print_text(t[PW_SA_ATTR_INSIDE_TABLE] != NULL ? " inside" : " inside nowhere");
	print_name("interface", " dev %s", t[PW_SA_ATTR_INTERFACE]);
	print_name("inside_vrf", " vrf %s", t[PW_SA_ATTR_INSIDE_VRF]);
	print_attribute("inside_table", t[PW_SA_ATTR_INSIDE_VRF] != NULL ? NULL : " table %" PRIu64,
			t[PW_SA_ATTR_INSIDE_TABLE]);
}

static void print_algorithms(const struct nlattr **t)
{
	print_name("mode", "\n    mode %s", t[PW_SA_ATTR_MODE]);
	print_attribute("reqid", " reqid %" PRIu64, t[PW_SA_ATTR_REQID]);
	print_attribute("if_id", " if_id 0x%" PRIx64, t[PW_SA_ATTR_IF_ID]);
	print_attribute("mark", " mark 0x%" PRIx64, t[PW_SA_ATTR_MARK]);
	print_attribute("mark_mask", "/0x%" PRIx64, t[PW_SA_ATTR_MARK_MASK]);
	print_inside(t);
	if (t[PW_SA_ATTR_CIPHER] == NULL)
		return;
	print_text(t[PW_SA_ATTR_AUTH] != NULL ? " enc" : " aead");
	print_name("cipher", " %s", t[PW_SA_ATTR_CIPHER]);
	print_attribute("key_bits", " key %" PRIu64, t[PW_SA_ATTR_KEY_BITS]);
	print_name("auth", " auth %s", t[PW_SA_ATTR_AUTH]);
	print_attribute("icv_bits", " icv %" PRIu64, t[PW_SA_ATTR_ICV_BITS]);
	print_bool("esn", " esn", attribute_number(t[PW_SA_ATTR_ESN]) != 0);
	print_attribute("window", " window %" PRIu64, t[PW_SA_ATTR_WINDOW]);
	print_attribute("encap_sport", " espinudp sport %" PRIu64, t[PW_SA_ATTR_ENCAP_SPORT]);
	print_attribute("encap_dport", " dport %" PRIu64, t[PW_SA_ATTR_ENCAP_DPORT]);
}

static void print_usage(const struct nlattr **t)
{
	print_attribute("packets", "\n    packets %" PRIu64, t[PW_SA_ATTR_PACKETS]);
	print_attribute("bytes", " bytes %" PRIu64, t[PW_SA_ATTR_BYTES]);
	print_attribute("sequence", " sequence %" PRIu64, t[PW_SA_ATTR_SEQUENCE]);
	print_attribute("replays", " replays %" PRIu64, t[PW_SA_ATTR_REPLAYS]);
	print_attribute("icv_failures", " icv-failures %" PRIu64, t[PW_SA_ATTR_ICV_FAILURES]);
	print_attribute("invalid", " invalid %" PRIu64, t[PW_SA_ATTR_INVALID]);
	print_attribute("age", "\n    age %" PRIu64 "s", t[PW_SA_ATTR_AGE]);
	if (t[PW_SA_ATTR_IDLE] != NULL)
		print_number("idle", " idle %" PRIu64 "s", attribute_number(t[PW_SA_ATTR_IDLE]));
	else
		print_text(" never used");
}

/* That of the outer packet, where a router has told a smaller one than the link's. */
static void print_path_mtu(const struct nlattr **t)
{
	print_attribute("path_mtu", " path-mtu %" PRIu64, t[PW_SA_ATTR_PATH_MTU]);
	print_attribute("path_mtu_seconds", " for %" PRIu64 "s", t[PW_SA_ATTR_PATH_MTU_SECONDS]);
}

static void print_left(const struct nlattr **t, const char *key, uint16_t seconds, uint16_t bytes,
		       uint16_t packets)
{
	if (t[seconds] == NULL && t[bytes] == NULL && t[packets] == NULL)
		return;
	print_text(" %s in", key);
	print_object_begin(key);
	print_attribute("seconds", " %" PRIu64 "s", t[seconds]);
	print_attribute("bytes", " %" PRIu64 " bytes", t[bytes]);
	print_attribute("packets", " %" PRIu64 " packets", t[packets]);
	print_object_end();
}

static int sa_print(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *t[PW_SA_ATTR_COUNT];

	attributes_parse(nlh, t, PW_SA_ATTR_COUNT - 1);
	list_begin(context);
	print_object_begin(NULL);
	print_identity(t);
	print_algorithms(t);
	print_usage(t);
	print_path_mtu(t);
	print_left(t, "soft", PW_SA_ATTR_SOFT_SECONDS, PW_SA_ATTR_SOFT_BYTES,
		   PW_SA_ATTR_SOFT_PACKETS);
	print_left(t, "hard", PW_SA_ATTR_HARD_SECONDS, PW_SA_ATTR_HARD_BYTES,
		   PW_SA_ATTR_HARD_PACKETS);
	print_object_end();
	print_line();
	return 0;
}

int show_sas(struct client *client)
{
	bool begun = false;
	int ret = client_dump(client, PW_MSG_SA, sa_print, &begun);

	return list_end(begun, ret);
}

/* ---- policies ------------------------------------------------------------------------------ */

static void print_protocol(const struct nlattr *attribute)
{
	uint64_t protocol = attribute_number(attribute);

	if (attribute == NULL)
		return;
	if (protocol == IPPROTO_GRE)
		print_text(" proto gre");
	else if (protocol == IPPROTO_MPLS)
		print_text(" proto mpls");
	print_number("proto",
		     protocol == IPPROTO_GRE || protocol == IPPROTO_MPLS ? NULL : " proto %" PRIu64,
		     protocol);
}

static void print_prefix(const char *key, const char *format, const struct nlattr *address,
			 const struct nlattr *length)
{
	char text[ADDRESS_TEXT], prefix[ADDRESS_TEXT + 8];

	snprintf(prefix, sizeof(prefix), "%s/%" PRIu64, attribute_address(address, text),
		 attribute_number(length));
	print_string(key, format, prefix);
}

/* Whose packets it is about, and by what SA they go. */
static void print_forwarding(const struct nlattr **t)
{
	if (t[PW_POLICY_ATTR_LINK] != NULL || t[PW_POLICY_ATTR_VRF] != NULL)
		print_text("\n   ");
	print_name("dev", " dev %s", t[PW_POLICY_ATTR_LINK]);
	print_name("vrf", " vrf %s", t[PW_POLICY_ATTR_VRF]);
	print_address("local", " local %s", t[PW_POLICY_ATTR_LOCAL]);
	print_address("remote", " remote %s", t[PW_POLICY_ATTR_REMOTE]);
	print_attribute("spi", " spi 0x%08" PRIx64, t[PW_POLICY_ATTR_SPI]);
	print_name("down", " down: %s", t[PW_POLICY_ATTR_DOWN]);
}

static int policy_print(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *t[PW_POLICY_ATTR_COUNT];

	attributes_parse(nlh, t, PW_POLICY_ATTR_COUNT - 1);
	list_begin(context);
	print_object_begin(NULL);
	if (t[PW_POLICY_ATTR_SOURCE] != NULL && t[PW_POLICY_ATTR_DESTINATION] != NULL) {
		print_prefix("src", "src %s", t[PW_POLICY_ATTR_SOURCE],
			     t[PW_POLICY_ATTR_SOURCE_LEN]);
		print_prefix("dst", " dst %s", t[PW_POLICY_ATTR_DESTINATION],
			     t[PW_POLICY_ATTR_DESTINATION_LEN]);
	}
	print_protocol(t[PW_POLICY_ATTR_PROTOCOL]);
	print_attribute("sport", " sport %" PRIu64, t[PW_POLICY_ATTR_SOURCE_PORT]);
	print_attribute("dport", " dport %" PRIu64, t[PW_POLICY_ATTR_DESTINATION_PORT]);
	print_name("dir", " dir %s", t[PW_POLICY_ATTR_DIRECTION]);
	print_name("action", " %s", t[PW_POLICY_ATTR_ACTION]);
	print_attribute("reqid", " reqid %" PRIu64, t[PW_POLICY_ATTR_REQID]);
	print_attribute("if_id", " if_id 0x%" PRIx64, t[PW_POLICY_ATTR_IF_ID]);
	print_attribute("mark", " mark 0x%" PRIx64, t[PW_POLICY_ATTR_MARK]);
	print_attribute("priority", " priority %" PRIu64, t[PW_POLICY_ATTR_PRIORITY]);
	print_attribute("index", " index %" PRIu64, t[PW_POLICY_ATTR_INDEX]);
	print_forwarding(t);
	print_object_end();
	print_line();
	return 0;
}

int show_policies(struct client *client)
{
	bool begun = false;
	int ret = client_dump(client, PW_MSG_POLICY, policy_print, &begun);

	return list_end(begun, ret);
}
