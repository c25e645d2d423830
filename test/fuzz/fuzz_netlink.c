/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes -> what a client writes to the API socket. An input is a row of records: a byte of
 * flags, two bytes length, one packet. With bit 0 the first message's length field is made to
 * agree with the packet's; with bit 1 the answers are read before the next packet is written.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/pewter_netlink.h"
#include "test/fuzz/setup.h"
#include "test/path/pe.h"

#define MESSAGE_MAX 8192
#define ANSWERS_MAX 64
#define CLIENT_LIFE 200 /* inputs: state of a connection is part of what is tested */

#ifndef FUZZ_PROTOCOL
#define FUZZ_PROTOCOL NETLINK_ROUTE
#endif

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int client = -1;
static unsigned int inputs;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_start();
	return 0;
}

static void connect_client(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct {
		struct nlmsghdr header;
		struct pw_msg_hello hello;
	} hello = {
		.header = {.nlmsg_len = sizeof(hello),
			   .nlmsg_type = PW_MSG_HELLO,
			   .nlmsg_flags = NLM_F_REQUEST},
		.hello = {.version = PW_NETLINK_VERSION, .protocol = FUZZ_PROTOCOL},
	};

	if (client >= 0)
		close(client);
	client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", fuzz_socket());
	if (client < 0 || connect(client, (struct sockaddr *)&address, sizeof(address)) != 0) {
		perror("connect");
		abort();
	}
	if (send(client, &hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello))
		abort();
	pe_wait(0, NULL, NULL);
}

/* False when the daemon hung up. */
static bool read_answers(void)
{
	static uint8_t answer[1 << 17];
	ssize_t n;

	for (unsigned int i = 0; i < ANSWERS_MAX; i++) {
		pe_wait(0, NULL, NULL);
		n = recv(client, answer, sizeof(answer), 0);
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		if ((size_t)n < sizeof(struct nlmsghdr))
			abort();
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t message[MESSAGE_MAX];
	struct nlmsghdr *nlh = (void *)message;
	size_t length, taken;

	if (client < 0 || inputs++ % CLIENT_LIFE == 0)
		connect_client();
	while (size > 3) {
		length = (size_t)data[1] << 8 | data[2];
		if (length > size - 3)
			length = size - 3;
		if (length > sizeof(message))
			length = sizeof(message);
		taken = length;
		memcpy(message, data + 3, length);
		if (data[0] & 1 && length >= sizeof(*nlh))
			nlh->nlmsg_len = length;
#ifdef FUZZ_SAY
		if (data[0] & 4 && length >= sizeof(*nlh)) {
			FUZZ_SAY(nlh, length);
			length = 0;
		}
#endif
		if (length != 0 && send(client, message, length, MSG_NOSIGNAL) < 0 &&
		    errno != EAGAIN)
			connect_client();
		if (data[0] & 2 && !read_answers())
			connect_client();
		data += 3 + taken;
		size -= 3 + taken;
	}
	if (!read_answers())
		connect_client();
	return 0;
}
