/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/pcapng.h"

#include <errno.h>
#include <string.h>

#define BLOCK_SECTION        0x0A0D0D0Au
#define BLOCK_INTERFACE      1u
#define BLOCK_STATISTICS     5u
#define BLOCK_PACKET         6u
#define BYTE_ORDER_MAGIC     0x1A2B3C4Du

#define OPTION_END           0
#define OPTION_COMMENT       1
#define SECTION_APPLICATION  4
#define INTERFACE_NAME       2
#define INTERFACE_TEXT       3
#define INTERFACE_RESOLUTION 9
#define PACKET_FLAGS         2
#define STATISTICS_RECEIVED  4
#define STATISTICS_DROPPED   5

#define OPTIONS_MAX          8

/** An option that is yet to be written. */
struct option {
	uint16_t code;
	uint16_t size;
	const void *value;
};

struct options {
	unsigned int count;
	struct option option[OPTIONS_MAX];
};

static uint32_t padded(uint32_t size)
{
	return (size + 3) & ~3u;
}

static void add(struct options *options, uint16_t code, const void *value, size_t size)
{
	if (options->count == OPTIONS_MAX)
		return;
	options->option[options->count++] =
		(struct option){code, (uint16_t)(size > UINT16_MAX ? UINT16_MAX : size), value};
}

static void add_text(struct options *options, uint16_t code, const char *text)
{
	if (text != NULL)
		add(options, code, text, strlen(text));
}

static uint32_t options_size(const struct options *options)
{
	uint32_t size = 0;
	unsigned int i;

	for (i = 0; i < options->count; i++)
		size += 4 + padded(options->option[i].size);
	return size > 0 ? size + 4 : 0;
}

static void put(FILE *file, const void *data, uint32_t size)
{
	static const uint8_t zero[4];

	if (size == 0)
		return;
	fwrite(data, 1, size, file);
	fwrite(zero, 1, padded(size) - size, file);
}

static void put_options(FILE *file, const struct options *options)
{
	static const uint16_t end[2] = {OPTION_END, 0};
	unsigned int i;

	for (i = 0; i < options->count; i++) {
		const uint16_t head[2] = {options->option[i].code, options->option[i].size};

		put(file, head, sizeof(head));
		put(file, options->option[i].value, options->option[i].size);
	}
	if (options->count > 0)
		put(file, end, sizeof(end));
}

/** A whole block: type, length, fixed part, data, options, length. */
static int put_block(FILE *file, uint32_t type, const void *fixed, uint32_t fixed_size,
		     const void *data, uint32_t data_size, const struct options *options)
{
	const uint32_t length = 12 + fixed_size + padded(data_size) + options_size(options);
	const uint32_t head[2] = {type, length};

	put(file, head, sizeof(head));
	put(file, fixed, fixed_size);
	put(file, data, data_size);
	put_options(file, options);
	put(file, &length, sizeof(length));
	return ferror(file) ? -EIO : 0;
}

int pcapng_begin(struct pcapng *pcapng, FILE *file, const char *application)
{
	const struct {
		uint32_t magic;
		uint16_t major, minor;
		int64_t length; /* -1: not known before the end */
	} __attribute__((packed)) fixed = {BYTE_ORDER_MAGIC, 1, 0, -1};
	struct options options = {0};

	pcapng->file = file;
	pcapng->interfaces = 0;
	add_text(&options, SECTION_APPLICATION, application);
	return put_block(file, BLOCK_SECTION, &fixed, sizeof(fixed), NULL, 0, &options);
}

int pcapng_interface(struct pcapng *pcapng, uint16_t link_type, uint32_t snaplen, const char *name,
		     const char *description)
{
	const struct {
		uint16_t link_type, reserved;
		uint32_t snaplen;
	} fixed = {link_type, 0, snaplen};
	const uint8_t nanoseconds = 9; /* 10^-9 s */
	struct options options = {0};
	int ret;

	add_text(&options, INTERFACE_NAME, name);
	add_text(&options, INTERFACE_TEXT, description);
	add(&options, INTERFACE_RESOLUTION, &nanoseconds, sizeof(nanoseconds));
	ret = put_block(pcapng->file, BLOCK_INTERFACE, &fixed, sizeof(fixed), NULL, 0, &options);
	return ret != 0 ? ret : (int)pcapng->interfaces++;
}

int pcapng_write(struct pcapng *pcapng, const struct pcapng_packet *packet)
{
	const uint32_t fixed[5] = {
		packet->interface,      (uint32_t)(packet->time >> 32),
		(uint32_t)packet->time, packet->captured,
		packet->length,
	};
	const uint32_t flags = packet->direction; /* bits 0 and 1 */
	struct options options = {0};

	if (packet->interface >= pcapng->interfaces)
		return -EINVAL;
	if (packet->direction != PCAPNG_UNKNOWN)
		add(&options, PACKET_FLAGS, &flags, sizeof(flags));
	add_text(&options, OPTION_COMMENT, packet->comment);
	return put_block(pcapng->file, BLOCK_PACKET, fixed, sizeof(fixed), packet->data,
			 packet->captured, &options);
}

int pcapng_statistics(struct pcapng *pcapng, uint32_t interface, uint64_t time, uint64_t received,
		      uint64_t dropped)
{
	const uint32_t fixed[3] = {interface, (uint32_t)(time >> 32), (uint32_t)time};
	struct options options = {0};

	if (interface >= pcapng->interfaces)
		return -EINVAL;
	add(&options, STATISTICS_RECEIVED, &received, sizeof(received));
	add(&options, STATISTICS_DROPPED, &dropped, sizeof(dropped));
	return put_block(pcapng->file, BLOCK_STATISTICS, fixed, sizeof(fixed), NULL, 0, &options);
}
