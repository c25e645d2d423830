/* SPDX-License-Identifier: BSD-3-Clause */
/* BGP messages: what FRR, GoBGP and BIRD sent, what is built by hand, and what is broken. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/bgp/message.h"

static const struct bgp_session both = {.families = {true, true}, .as4 = true};

/* ---- what speakers sent: test/vectors/bgp ------------------------------------------------ */

static char *read_file(const char *name, size_t *size)
{
	const char *top = getenv("PW_ROOT");
	char path[512], *data = calloc(1, 65536);
	FILE *file;

	snprintf(path, sizeof(path), "%s/test/vectors/bgp/%s", top ? top : ".", name);
	file = fopen(path, "r");
	assert_non_null(file);
	*size = fread(data, 1, 65535, file);
	fclose(file);
	return data;
}

static void print_update(FILE *out, struct bgp_update *update, const struct bgp_session *session)
{
	char rd[BGP_RD_TEXT], prefix[BGP_PREFIX_TEXT], via[BGP_ADDRESS_TEXT];
	struct bgp_nlri nlri;

	if (update->end_of_rib)
		fprintf(out, "end %d\n", update->unreach_family + 1);
	while (bgp_nlri_next(&update->unreach, update->unreach_family,
			     session->add_path[update->unreach_family], &nlri) > 0)
		fprintf(out, "withdraw %u %s %s\n", nlri.path_id, bgp_rd_text(nlri.rd, rd),
			bgp_prefix_text(&nlri.prefix, prefix));
	while (bgp_nlri_next(&update->reach, update->reach_family,
			     session->add_path[update->reach_family], &nlri) > 0)
		fprintf(out, "announce %u %s %s label %u via %s\n", nlri.path_id,
			bgp_rd_text(nlri.rd, rd), bgp_prefix_text(&nlri.prefix, prefix), nlri.label,
			bgp_address_text(&update->attributes.next_hop, via));
}

static void replay(const char *speaker)
{
	char name[64], *data, *expected, *text = NULL;
	size_t size, at = 0, length, text_size;
	struct bgp_session session = both;
	static struct bgp_update update;
	struct bgp_error error;
	struct bgp_open open;
	uint8_t type;
	FILE *out;

	snprintf(name, sizeof(name), "%s.bin", speaker);
	data = read_file(name, &size);
	out = open_memstream(&text, &text_size);
	while (at < size) {
		const uint8_t *message = (const uint8_t *)data + at;

		assert_int_equal(bgp_header_decode(message, &length, &type, &error), 0);
		assert_true(at + length <= size);
		if (type == BGP_OPEN) {
			assert_int_equal(bgp_open_decode(message + 19, length - 19, &open, &error),
					 0);
			assert_int_equal(open.as, 65000);
			memcpy(session.add_path, open.add_path_send, sizeof(session.add_path));
		} else if (type == BGP_UPDATE) {
			assert_int_equal(bgp_update_decode(message + 19, length - 19, &session,
							   65001, &update, &error),
					 0);
			assert_false(update.withdraw);
			if (update.reach.size) {
				assert_int_equal(update.attributes.target_count, 1);
				assert_int_equal(update.targets[0], 0x0002fde800000001);
				assert_int_equal(update.attributes.local_pref, 100);
			}
			print_update(out, &update, &session);
		}
		at += length;
	}
	fclose(out);
	snprintf(name, sizeof(name), "%s.txt", speaker);
	expected = read_file(name, &size);
	assert_string_equal(text, expected);
	free(expected);
	free(text);
	free(data);
}

static void test_captures(void **state)
{
	replay("frr");
	replay("bgpd-nozebra");
	replay("gobgp");
	replay("bird");
}

/* ---- headers, OPEN ----------------------------------------------------------------------- */

static void test_header(void **state)
{
	uint8_t message[BGP_MESSAGE_MAX];
	struct bgp_error error;
	size_t size;
	uint8_t type;

	assert_int_equal(bgp_keepalive_encode(message), 19);
	assert_int_equal(bgp_header_decode(message, &size, &type, &error), 0);
	assert_int_equal(type, BGP_KEEPALIVE);
	message[17] = 20; /* a KEEPALIVE with a body */
	assert_int_equal(bgp_header_decode(message, &size, &type, &error), -EPROTO);
	assert_int_equal(error.code << 8 | error.subcode, 0x102);
	message[18] = BGP_UPDATE;
	message[16] = 0x10;
	message[17] = 0x01; /* 4097 bytes */
	assert_int_equal(bgp_header_decode(message, &size, &type, &error), -EPROTO);
	assert_int_equal(error.code << 8 | error.subcode, 0x102);
	message[18] = 9;
	assert_int_equal(bgp_header_decode(message, &size, &type, &error), -EPROTO);
	assert_int_equal(error.code << 8 | error.subcode, 0x103);
	message[3] = 0;
	assert_int_equal(bgp_header_decode(message, &size, &type, &error), -EPROTO);
	assert_int_equal(error.code << 8 | error.subcode, 0x101);
}

static void test_open(void **state)
{
	struct bgp_open open = {
		.as = 4200000000,
		.id = 0x0a000001,
		.hold_time = 90,
		.restart_time = 120,
		.families = {true, true},
		.as4 = true,
		.refresh = true,
		.restart = true,
		.restarting = true,
		.forwarding = {true, false},
		.add_path_receive = {true, true},
		.add_path_send = {false, true},
		.extended_next_hop = true,
	};
	uint8_t message[BGP_MESSAGE_MAX];
	size_t size = bgp_open_encode(&open, message);
	struct bgp_error error;
	struct bgp_open read;

	assert_int_equal(bgp_get16(message + 20), BGP_AS_TRANS);
	assert_int_equal(bgp_open_decode(message + 19, size - 19, &read, &error), 0);
	assert_memory_equal(&read, &open, offsetof(struct bgp_open, extended_next_hop) + 1);
	/* Every shorter message is refused, and none is read beyond its end. */
	for (size_t i = 0; i < size - 19; i++) {
		uint8_t *copy = malloc(i ? i : 1);

		memcpy(copy, message + 19, i);
		assert_int_equal(bgp_open_decode(copy, i, &read, &error), -EPROTO);
		free(copy);
	}
	message[19] = 3;
	assert_int_equal(bgp_open_decode(message + 19, size - 19, &read, &error), -EPROTO);
	assert_int_equal(error.code << 8 | error.subcode, 0x201);
	message[19] = 4;
	message[29] = 1; /* the authentication parameter of old */
	assert_int_equal(bgp_open_decode(message + 19, size - 19, &read, &error), -EPROTO);
	assert_int_equal(error.code << 8 | error.subcode, 0x204);
}

/* RFC 9072: 255, 255, two bytes of length, parameters with two bytes of length each. */
static void test_open_extended(void **state)
{
	static const uint8_t body[] = {4, 0xfd, 0xe8, 0, 90, 10, 0, 0, 1, 255, 255,
				       0, 9,    2,    0, 6,  1,  4, 0, 2, 0,   128};
	struct bgp_error error;
	struct bgp_open open;

	assert_int_equal(bgp_open_decode(body, sizeof(body), &open, &error), 0);
	assert_true(open.families[BGP_VPNV6]);
	assert_false(open.families[BGP_VPNV4]);
	assert_false(open.as4);
	assert_int_equal(open.as, 65000);
	assert_int_equal(bgp_open_decode(body, sizeof(body) - 1, &open, &error), -EPROTO);
}

/* ---- UPDATE ------------------------------------------------------------------------------ */

/* An UPDATE of attributes that are given one by one. */
struct builder {
	uint8_t body[BGP_MESSAGE_MAX];
	size_t size;
};

static void add(struct builder *builder, uint8_t flags, uint8_t type, const void *data, size_t size)
{
	uint8_t *at = builder->body + (builder->size ? builder->size : 4);

	*at++ = flags | 0x10;
	*at++ = type;
	at = bgp_put16(at, (uint16_t)size);
	memcpy(at, data, size);
	builder->size = (size_t)(at + size - builder->body);
	bgp_put16(builder->body, 0);
	bgp_put16(builder->body + 2, (uint16_t)(builder->size - 4));
}

static const uint8_t reach4[] = {0, 1,   128, 12,   0,    0, 0, 0,    0,    0, 0, 0, 10, 0,  0, 2,
				 0, 112, 0,   0x3e, 0x81, 0, 0, 0xfd, 0xe8, 0, 0, 0, 1,  10, 1, 2};
static const uint8_t path[] = {2, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0xfd, 0xea};
static const uint8_t pref[] = {0, 0, 0, 200};
static const uint8_t target[] = {0, 2, 0xfd, 0xe8, 0, 0, 0, 1};

/* A good one, but for the attribute that is left out. */
static void build(struct builder *builder, int without)
{
	builder->size = 0;
	if (without != 14)
		add(builder, 0x80, 14, reach4, sizeof(reach4));
	if (without != 1)
		add(builder, 0x40, 1, "\0", 1);
	if (without != 2)
		add(builder, 0x40, 2, path, sizeof(path));
	if (without != 5)
		add(builder, 0x40, 5, pref, sizeof(pref));
	if (without != 16)
		add(builder, 0xc0, 16, target, sizeof(target));
}

static struct bgp_update update;
static struct bgp_error error;

/* From memory of exactly that size, so that a sanitizer sees what is read behind it. */
static int decode(const struct builder *builder, const struct bgp_session *session)
{
	static uint8_t *copy;

	free(copy);
	copy = malloc(builder->size);
	memcpy(copy, builder->body, builder->size);
	return bgp_update_decode(copy, builder->size, session, 65000, &update, &error);
}

static void test_update(void **state)
{
	struct builder builder;
	struct bgp_nlri nlri;
	char text[BGP_PREFIX_TEXT];

	build(&builder, 0);
	assert_int_equal(decode(&builder, &both), 0);
	assert_false(update.withdraw);
	assert_false(update.loop);
	assert_int_equal(update.attributes.as_path_length, 2);
	assert_int_equal(update.attributes.first_as, 65001);
	assert_int_equal(update.attributes.local_pref, 200);
	assert_int_equal(bgp_nlri_next(&update.reach, update.reach_family, false, &nlri), 1);
	assert_int_equal(nlri.label, 1000);
	assert_string_equal(bgp_prefix_text(&nlri.prefix, text), "10.1.2.0/24");
	assert_int_equal(bgp_nlri_next(&update.reach, update.reach_family, false, &nlri), 0);
}

/* Cut at every byte: an error or a withdrawal, and no byte behind the end is looked at. */
static void test_update_cut(void **state)
{
	struct builder builder, cut;

	build(&builder, 0);
	for (size_t i = 0; i < builder.size; i++) {
		cut = builder;
		cut.size = i;
		assert_int_equal(decode(&cut, &both), -EPROTO);
		if (i < 4)
			continue;
		/* The same with a length that agrees. */
		bgp_put16(cut.body + 2, (uint16_t)(i - 4));
		if (decode(&cut, &both) == 0)
			assert_true(update.withdraw || !update.reach.size ||
				    !update.attributes.target_count);
	}
}

static void withdrawn(const char *what, uint8_t flags, uint8_t type, const void *data, size_t size)
{
	struct builder builder;

	build(&builder, type);
	add(&builder, flags, type, data, size);
	print_message("%s\n", what);
	assert_int_equal(decode(&builder, &both), 0);
	assert_true(update.withdraw);
	assert_true(update.reach.size > 0);
}

/* RFC 7606 7: the routes are as good as withdrawn, the session goes on. */
static void test_treat_as_withdraw(void **state)
{
	static const uint8_t zero[24];

	withdrawn("ORIGIN of 2 bytes", 0x40, 1, zero, 2);
	withdrawn("ORIGIN 3", 0x40, 1, "\3", 1);
	withdrawn("ORIGIN optional", 0xc0, 1, zero, 1);
	withdrawn("AS_PATH segment of unknown type", 0x40, 2, "\7\1\0\0\0\1", 6);
	withdrawn("AS_PATH segment without AS", 0x40, 2, "\2\0", 2);
	withdrawn("AS_PATH segment that is cut", 0x40, 2, "\2\2\0\0\0\1", 6);
	withdrawn("AS_PATH of one byte", 0x40, 2, "\2", 1);
	withdrawn("NEXT_HOP of 5 bytes", 0x40, 3, zero, 5);
	withdrawn("MED of 3 bytes", 0x80, 4, zero, 3);
	withdrawn("LOCAL_PREF of 5 bytes", 0x40, 5, zero, 5);
	withdrawn("COMMUNITIES of 6 bytes", 0xc0, 8, zero, 6);
	withdrawn("ORIGINATOR_ID of 0 bytes", 0x80, 9, zero, 0);
	withdrawn("CLUSTER_LIST of 7 bytes", 0x80, 10, zero, 7);
	withdrawn("EXTENDED_COMMUNITIES of 12 bytes", 0xc0, 16, zero, 12);
	withdrawn("EXTENDED_COMMUNITIES of 0 bytes", 0xc0, 16, zero, 0);
	withdrawn("tunnel that is cut", 0xc0, 23, "\0\2\0\5\1", 5);
	withdrawn("sub-TLV that is cut", 0xc0, 23, "\0\2\0\2\1\4", 6);
	withdrawn("IPv6 communities of 19 bytes", 0xc0, 25, zero, 19);
	withdrawn("large communities of 13 bytes", 0xc0, 32, zero, 13);
}

static void test_mandatory(void **state)
{
	static const int mandatory[] = {1, 2, 5};
	struct builder builder;

	for (unsigned int i = 0; i < 3; i++) {
		build(&builder, mandatory[i]);
		assert_int_equal(decode(&builder, &both), 0);
		assert_true(update.withdraw);
	}
	/* Without routes there is nothing to miss. */
	builder.size = 0;
	add(&builder, 0x80, 15, "\0\1\x80", 3);
	assert_int_equal(decode(&builder, &both), 0);
	assert_false(update.withdraw);
	assert_true(update.end_of_rib);
	assert_int_equal(update.unreach_family, BGP_VPNV4);
}

static void reset(int code, uint8_t flags, uint8_t type, const void *data, size_t size, bool twice)
{
	struct builder builder;

	build(&builder, twice ? 0 : type);
	add(&builder, flags, type, data, size);
	assert_int_equal(decode(&builder, &both), -EPROTO);
	assert_int_equal(error.code << 8 | error.subcode, code);
}

/* What cannot be told apart any longer ends the session. */
static void test_session_reset(void **state)
{
	uint8_t bytes[sizeof(reach4)];

	reset(0x301, 0x80, 14, reach4, sizeof(reach4), true);
	reset(0x302, 0x40, 99, "", 0, false); /* a well-known one that nobody knows */
	reset(0x309, 0x80, 14, reach4, 4, false);
	reset(0x309, 0x80, 15, reach4, 2, false);
	for (unsigned int size = 0; size < 64; size++) {
		uint8_t next_hop[128] = {0, 1, 128};

		next_hop[3] = (uint8_t)size;
		if (size != 12)
			reset(0x309, 0x80, 14, next_hop, 5 + size, false);
	}
	memcpy(bytes, reach4, sizeof(bytes));
	bytes[17] = 87; /* less than a label and an RD */
	reset(0x309, 0x80, 14, bytes, sizeof(bytes), false);
	bytes[17] = 88 + 33;
	reset(0x309, 0x80, 14, bytes, sizeof(bytes), false);
	bytes[17] = 120; /* a byte more than there is */
	reset(0x309, 0x80, 14, bytes, sizeof(bytes), false);
	/* Duplicates of others: the first one counts. */
	struct builder builder;

	build(&builder, 0);
	add(&builder, 0x40, 5, "\0\0\0\1", 4);
	assert_int_equal(decode(&builder, &both), 0);
	assert_int_equal(update.attributes.local_pref, 200);
	/* An optional one that nobody knows is nothing. */
	add(&builder, 0xc0, 99, "x", 1);
	assert_int_equal(decode(&builder, &both), 0);
	assert_false(update.withdraw);
}

static void test_families(void **state)
{
	struct bgp_session session = both;
	struct builder builder;

	session.families[BGP_VPNV4] = false;
	build(&builder, 0);
	assert_int_equal(decode(&builder, &session), 0);
	assert_int_equal(update.reach.size, 0);
}

static void test_as_paths(void **state)
{
	/* A set counts as one, a confederation as none; 2-byte ASes. */
	static const uint8_t mixed[] = {3, 1, 0, 9, 2, 2, 0, 1, 0, 2, 1, 3, 0, 3, 0, 4, 0, 5};
	struct bgp_session session = both;
	struct builder builder;

	session.as4 = false;
	build(&builder, 2);
	add(&builder, 0x40, 2, mixed, sizeof(mixed));
	assert_int_equal(decode(&builder, &session), 0);
	assert_false(update.withdraw);
	assert_int_equal(update.attributes.as_path_length, 3);
	build(&builder, 2);
	add(&builder, 0x40, 2, "\2\1\xfd\xe8", 4);
	assert_int_equal(decode(&builder, &session), 0);
	assert_true(update.loop);
}

static void test_next_hops(void **state)
{
	uint8_t reach[80] = {0, 1, 128, 24};
	struct bgp_session session = both;
	struct builder builder;
	char text[BGP_ADDRESS_TEXT];

	inet_pton(AF_INET6, "2001:db8::7", reach + 12);
	memcpy(reach + 28, reach4 + 16, sizeof(reach4) - 16);
	build(&builder, 14);
	add(&builder, 0x80, 14, reach, 28 + sizeof(reach4) - 16);
	/* Only where RFC 8950 was agreed on. */
	assert_int_equal(decode(&builder, &session), -EPROTO);
	session.extended_next_hop = true;
	assert_int_equal(decode(&builder, &session), 0);
	assert_string_equal(bgp_address_text(&update.attributes.next_hop, text), "2001:db8::7");
	/* A global and a link-local one: 48 bytes; and the mapped one of RFC 4659. */
	memset(reach, 0, sizeof(reach));
	reach[1] = 2;
	reach[2] = 128;
	reach[3] = 48;
	inet_pton(AF_INET6, "::ffff:10.9.8.7", reach + 12);
	build(&builder, 14);
	add(&builder, 0x80, 14, reach, 53);
	assert_int_equal(decode(&builder, &both), 0);
	assert_string_equal(bgp_address_text(&update.attributes.next_hop, text), "10.9.8.7");
	assert_int_equal(update.attributes.next_hop.family, AF_INET);
}

/* RFC 9012: a GRE key, another end of the tunnel than the next hop, tunnels of other types. */
static void test_tunnel(void **state)
{
	static const uint8_t tunnel[] = {0, 7, 0, 1,  9, 0, 2, 0, 18, 6, 10, 0, 0, 0,
					 0, 0, 1, 10, 3, 3, 3, 1, 4,  0, 0,  1, 2};
	struct builder builder;
	char text[BGP_ADDRESS_TEXT];

	build(&builder, 0);
	add(&builder, 0xc0, 23, tunnel, sizeof(tunnel));
	assert_int_equal(decode(&builder, &both), 0);
	assert_false(update.withdraw);
	assert_true(update.attributes.has_key);
	assert_int_equal(update.attributes.key, 0x102);
	assert_string_equal(bgp_address_text(&update.attributes.next_hop, text), "10.3.3.3");
}

/* ---- routes ------------------------------------------------------------------------------ */

/* Withdrawals carry the label 0 (FRR, with or without the bottom bit), the real one or 800000. */
static void test_withdraw_labels(void **state)
{
	static const uint8_t labels[][3] = {{0, 0, 0}, {0, 0, 1}, {0, 0x3e, 0x81}, {0x80, 0, 0}};

	for (unsigned int i = 0; i < 4; i++) {
		uint8_t bytes[] = {0, 0, 0, 9, 96, 0, 0, 0, 0, 0, 0xfd, 0xe8, 0, 0, 0, 1, 10};
		struct bgp_span span = {.data = bytes, .size = sizeof(bytes)};
		struct bgp_nlri nlri;

		memcpy(bytes + 5, labels[i], 3);
		assert_int_equal(bgp_nlri_next(&span, BGP_VPNV4, true, &nlri), 1);
		assert_int_equal(nlri.path_id, 9);
		assert_int_equal(nlri.rd, UINT64_C(65000) << 32 | 1);
		assert_int_equal(nlri.prefix.length, 8);
		assert_int_equal(span.size, 0);
	}
}

/* Bits behind the prefix length are noise. */
static void test_stray_bits(void **state)
{
	static const uint8_t bytes[] = {98, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 10, 0xff};
	struct bgp_span span = {.data = bytes, .size = sizeof(bytes)};
	struct bgp_nlri nlri;
	char text[BGP_PREFIX_TEXT];

	assert_int_equal(bgp_nlri_next(&span, BGP_VPNV4, false, &nlri), 1);
	assert_string_equal(bgp_prefix_text(&nlri.prefix, text), "10.192.0.0/10");
}

/* ---- writing ----------------------------------------------------------------------------- */

static void test_writer(void **state)
{
	static const uint64_t targets[] = {0x0002fde800000001, 0x0202fa56ea000007};
	struct bgp_announcement announcement = {
		.family = BGP_VPNV6,
		.next_hop = {AF_INET, {10, 255, 0, 1}},
		.targets = targets,
		.target_count = 2,
		.has_key = true,
		.key = 77,
	};
	struct bgp_nlri nlri = {.label = 100000, .rd = 42}, read;
	static struct bgp_writer writer;
	unsigned int count = 0, found = 0;
	size_t size, length;
	uint8_t type;

	nlri.prefix.family = BGP_VPNV6;
	nlri.prefix.length = 128;
	bgp_writer_announce(&writer, &announcement);
	while (bgp_writer_add(&writer, &nlri))
		nlri.prefix.bytes[14] = (uint8_t)(++count >> 8),
		nlri.prefix.bytes[15] = (uint8_t)count;
	size = bgp_writer_finish(&writer);
	assert_true(count > 130);
	assert_true(size <= BGP_MESSAGE_MAX);
	assert_int_equal(bgp_header_decode(writer.message, &length, &type, &error), 0);
	assert_int_equal(length, size);
	assert_int_equal(
		bgp_update_decode(writer.message + 19, size - 19, &both, 65000, &update, &error),
		0);
	assert_false(update.withdraw);
	assert_int_equal(update.attributes.target_count, 2);
	assert_memory_equal(update.targets, targets, sizeof(targets));
	assert_true(update.attributes.has_key);
	assert_int_equal(update.attributes.key, 77);
	assert_true(bgp_address_equal(&update.attributes.next_hop, &announcement.next_hop));
	while (bgp_nlri_next(&update.reach, BGP_VPNV6, false, &read) > 0) {
		assert_int_equal(read.label, 100000);
		assert_int_equal(read.rd, 42);
		assert_int_equal(bgp_get16(read.prefix.bytes + 14), found);
		found++;
	}
	assert_int_equal(found, count);
}

static void test_writer_withdraw(void **state)
{
	struct bgp_nlri nlri = {.rd = 5, .prefix = {BGP_VPNV4, 0, {0}}}, read;
	static struct bgp_writer writer;
	size_t size;

	bgp_writer_withdraw(&writer, BGP_VPNV4);
	assert_int_equal(bgp_writer_finish(&writer), 30); /* End-of-RIB */
	bgp_writer_withdraw(&writer, BGP_VPNV4);
	assert_true(bgp_writer_add(&writer, &nlri));
	size = bgp_writer_finish(&writer);
	assert_memory_equal(writer.nlri, "\x58\x80\0\0", 4); /* RFC 8277 2.4 */
	assert_int_equal(
		bgp_update_decode(writer.message + 19, size - 19, &both, 65000, &update, &error),
		0);
	assert_int_equal(bgp_nlri_next(&update.unreach, BGP_VPNV4, false, &read), 1);
	assert_int_equal(read.rd, 5);
	assert_false(update.end_of_rib);
}

static void test_refresh(void **state)
{
	uint8_t message[BGP_MESSAGE_MAX];
	enum bgp_family family;

	assert_int_equal(bgp_refresh_encode(BGP_VPNV6, message), 23);
	assert_true(bgp_refresh_decode(message + 19, 4, &family));
	assert_int_equal(family, BGP_VPNV6);
	message[22] = 1; /* unicast */
	assert_false(bgp_refresh_decode(message + 19, 4, &family));
	assert_false(bgp_refresh_decode(message + 19, 3, &family));
}

static void test_rd(void **state)
{
	static const struct {
		const char *text;
		uint64_t rd, target;
	} right[] = {
		{"65000:1", 0x0000fde800000001, 0x0002fde800000001},
		{"65000:4294967295", 0x0000fde8ffffffff, 0x0002fde8ffffffff},
		{"10.0.0.1:9", 0x00010a0000010009, 0x01020a0000010009},
		{"4200000000:7", 0x0002fa56ea000007, 0x0202fa56ea000007},
	};
	static const char *const wrong[] = {"",      "1",           ":",
					    "1:",    ":1",          "a:1",
					    "1:a",   "-1:1",        "65000:4294967296",
					    "1:2:3", "70000:65536", "10.0.0.1:65536",
					    "1 :1"};
	char text[BGP_RD_TEXT];
	uint64_t rd;

	for (unsigned int i = 0; i < 4; i++) {
		assert_true(bgp_rd_parse(right[i].text, false, &rd));
		assert_int_equal(rd, right[i].rd);
		assert_string_equal(bgp_rd_text(rd, text), right[i].text);
		assert_true(bgp_rd_parse(right[i].text, true, &rd));
		assert_int_equal(rd, right[i].target);
	}
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_false(bgp_rd_parse(wrong[i], false, &rd));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_captures),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_open_extended),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_update_cut),
		cmocka_unit_test(test_treat_as_withdraw),
		cmocka_unit_test(test_mandatory),
		cmocka_unit_test(test_session_reset),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_as_paths),
		cmocka_unit_test(test_next_hops),
		cmocka_unit_test(test_tunnel),
		cmocka_unit_test(test_withdraw_labels),
		cmocka_unit_test(test_stray_bits),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_writer_withdraw),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_rd),
	};

	return cmocka_run_group_tests_name("bgp", tests, NULL, NULL);
}
