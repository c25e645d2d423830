/* SPDX-License-Identifier: BSD-3-Clause */
/* The pcapng writer: read back by libpcap, and block by block. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>
#include <pcap/pcap.h>

#include "control/cli/pcapng.h"

static const uint8_t frame[61] = {0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45};
static const uint64_t moment = 1790000000123456789u;

struct file {
	char path[32];
	FILE *stream;
	uint8_t *bytes;
	size_t size;
};

static void file_open(struct file *file)
{
	int fd;

	memset(file, 0, sizeof(*file));
	strcpy(file->path, "/tmp/pw-pcapng-XXXXXX");
	fd = mkstemp(file->path);
	assert_true(fd >= 0);
	file->stream = fdopen(fd, "w+b");
	assert_non_null(file->stream);
}

static void file_read(struct file *file)
{
	assert_int_equal(fflush(file->stream), 0);
	file->size = (size_t)ftell(file->stream);
	file->bytes = malloc(file->size);
	assert_non_null(file->bytes);
	rewind(file->stream);
	assert_int_equal(fread(file->bytes, 1, file->size, file->stream), file->size);
}

static void file_close(struct file *file)
{
	fclose(file->stream);
	unlink(file->path);
	free(file->bytes);
}

static uint32_t word(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/** The @p index-th block of a type; checks that both lengths of every block agree. */
static const uint8_t *find_block(const struct file *file, uint32_t type, unsigned int index)
{
	size_t at = 0;
	const uint8_t *found = NULL;

	while (at < file->size) {
		uint32_t length = word(file->bytes + at + 4);

		assert_true(length >= 12 && length % 4 == 0 && at + length <= file->size);
		assert_int_equal(word(file->bytes + at + length - 4), length);
		if (word(file->bytes + at) == type && index-- == 0)
			found = file->bytes + at;
		at += length;
	}
	assert_int_equal(at, file->size);
	return found;
}

/** Value of an option in the options that begin at @p at of a block; NULL if it is not there. */
static const uint8_t *find_option(const uint8_t *block, uint32_t at, uint16_t code, uint16_t *size)
{
	uint32_t end = word(block + 4) - 4;

	while (at + 4 <= end) {
		uint16_t head[2];

		memcpy(head, block + at, sizeof(head));
		if (head[0] == 0)
			return NULL;
		assert_true(at + 4 + head[1] <= end);
		if (head[0] == code) {
			*size = head[1];
			return block + at + 4;
		}
		at += 4 + ((head[1] + 3u) & ~3u);
	}
	return NULL;
}

static void write_all(struct file *file)
{
	struct pcapng_packet packet = {
		.time = moment,
		.captured = sizeof(frame),
		.length = 1500,
		.data = frame,
		.direction = PCAPNG_INBOUND,
	};
	struct pcapng pcapng;

	assert_int_equal(pcapng_begin(&pcapng, file->stream, "test"), 0);
	assert_int_equal(pcapng_interface(&pcapng, PCAPNG_ETHERNET, 0, "eth0", "port"), 0);
	assert_int_equal(pcapng_interface(&pcapng, PCAPNG_RAW_IP, 96, "drop", NULL), 1);
	assert_int_equal(pcapng_write(&pcapng, &packet), 0);
	packet.interface = 1;
	packet.direction = PCAPNG_UNKNOWN;
	packet.comment = "drop: route-none";
	packet.time++;
	packet.captured = 20;
	assert_int_equal(pcapng_write(&pcapng, &packet), 0);
	packet.interface = 2;
	assert_int_equal(pcapng_write(&pcapng, &packet), -EINVAL);
	assert_int_equal(pcapng_statistics(&pcapng, 0, moment, 7, 3), 0);
	assert_int_equal(pcapng_statistics(&pcapng, 2, moment, 7, 3), -EINVAL);
	file_read(file);
}

static void test_section_and_interfaces(void **state)
{
	const uint8_t *block, *option;
	struct file file;
	uint16_t size;

	file_open(&file);
	write_all(&file);
	block = find_block(&file, 0x0A0D0D0A, 0);
	assert_ptr_equal(block, file.bytes);
	assert_int_equal(word(block + 8), 0x1A2B3C4D);
	option = find_option(block, 24, 4, &size);
	assert_non_null(option);
	assert_int_equal(size, 4);
	assert_memory_equal(option, "test", 4);

	block = find_block(&file, 1, 0);
	assert_int_equal(word(block + 8), PCAPNG_ETHERNET);
	option = find_option(block, 16, 9, &size);
	assert_non_null(option);
	assert_int_equal(*option, 9);
	option = find_option(block, 16, 2, &size);
	assert_memory_equal(option, "eth0", 4);
	block = find_block(&file, 1, 1);
	assert_int_equal(word(block + 8), PCAPNG_RAW_IP);
	assert_int_equal(word(block + 12), 96);
	assert_null(find_block(&file, 1, 2));
	file_close(&file);
}

static void test_packets(void **state)
{
	const uint8_t *block, *option;
	struct file file;
	uint16_t size;

	file_open(&file);
	write_all(&file);
	block = find_block(&file, 6, 0);
	assert_int_equal(word(block + 8), 0);
	assert_int_equal((uint64_t)word(block + 12) << 32 | word(block + 16), moment);
	assert_int_equal(word(block + 20), sizeof(frame));
	assert_int_equal(word(block + 24), 1500);
	assert_memory_equal(block + 28, frame, sizeof(frame));
	option = find_option(block, 28 + 64, 2, &size);
	assert_non_null(option);
	assert_int_equal(size, 4);
	assert_int_equal(word(option) & 3, PCAPNG_INBOUND);
	assert_null(find_option(block, 28 + 64, 1, &size));

	block = find_block(&file, 6, 1);
	assert_int_equal(word(block + 8), 1);
	option = find_option(block, 28 + 20, 1, &size);
	assert_non_null(option);
	assert_int_equal(size, 16);
	assert_memory_equal(option, "drop: route-none", 16);
	assert_null(find_option(block, 28 + 20, 2, &size));
	assert_null(find_block(&file, 6, 2));
	file_close(&file);
}

static void test_statistics(void **state)
{
	const uint8_t *block, *option;
	struct file file;
	uint64_t value;
	uint16_t size;

	file_open(&file);
	write_all(&file);
	block = find_block(&file, 5, 0);
	assert_non_null(block);
	option = find_option(block, 20, 4, &size);
	assert_int_equal(size, 8);
	memcpy(&value, option, sizeof(value));
	assert_int_equal(value, 7);
	option = find_option(block, 20, 5, &size);
	memcpy(&value, option, sizeof(value));
	assert_int_equal(value, 3);
	file_close(&file);
}

/** libpcap reads files of one link type only. */
static void test_libpcap_reads_it(void **state)
{
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	struct pcapng_packet packet = {
		.time = moment, .captured = sizeof(frame), .length = sizeof(frame), .data = frame};
	struct pcapng pcapng;
	const u_char *data;
	struct file file;
	pcap_t *pcap;

	file_open(&file);
	assert_int_equal(pcapng_begin(&pcapng, file.stream, NULL), 0);
	assert_int_equal(pcapng_interface(&pcapng, PCAPNG_ETHERNET, 0, NULL, NULL), 0);
	assert_int_equal(pcapng_write(&pcapng, &packet), 0);
	assert_int_equal(fflush(file.stream), 0);
	pcap = pcap_open_offline_with_tstamp_precision(file.path, PCAP_TSTAMP_PRECISION_NANO,
						       error);
	assert_non_null(pcap);
	assert_int_equal(pcap_datalink(pcap), DLT_EN10MB);
	assert_int_equal(pcap_next_ex(pcap, &header, &data), 1);
	assert_int_equal(header->caplen, sizeof(frame));
	assert_int_equal(header->ts.tv_sec, moment / 1000000000u);
	assert_int_equal(header->ts.tv_usec, moment % 1000000000u);
	assert_memory_equal(data, frame, sizeof(frame));
	assert_int_equal(pcap_next_ex(pcap, &header, &data), PCAP_ERROR_BREAK);
	pcap_close(pcap);
	file_close(&file);
}

static void test_full_disk(void **state)
{
	struct pcapng_packet packet = {.captured = sizeof(frame), .length = 61, .data = frame};
	FILE *full = fopen("/dev/full", "wb");
	struct pcapng pcapng;
	int ret = 0;

	if (full == NULL)
		skip();
	setvbuf(full, NULL, _IONBF, 0);
	assert_int_equal(pcapng_begin(&pcapng, full, "test"), -EIO);
	pcapng.interfaces = 1;
	ret = pcapng_write(&pcapng, &packet);
	assert_int_equal(ret, -EIO);
	fclose(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_section_and_interfaces),
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_statistics),
		cmocka_unit_test(test_libpcap_reads_it),
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
