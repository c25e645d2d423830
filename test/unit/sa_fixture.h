/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_SA_FIXTURE_H
#define PW_TEST_SA_FIXTURE_H

/* Clients of NETLINK_XFRM over a socket pair, and messages about SAs. */
#include "links_fixture.h"

#include <linux/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/client.h"
#include "control/loop.h"
#include "control/sa.h"
#include "lib/pewter_netlink.h"

#define KEY_BYTES 36 /* AES-256-GCM with its salt */

static char answers[1 << 16]; /* what a client received, one message behind the other */
static size_t answers_size;

struct client {
	int fd;
};

static inline void settle(void)
{
	for (int i = 0; i < 6; i++) {
		pw_loop_again(0);
		assert_return_code(pw_loop_step(0), 0);
	}
	pw_retire_drain();
}

/* Reads what there is. */
static inline void receive(const struct client *client)
{
	answers_size = 0;
	for (;;) {
		ssize_t size;

		settle();
		size = recv(client->fd, answers + answers_size, sizeof(answers) - answers_size,
			    MSG_DONTWAIT);
		if (size <= 0)
			return;
		answers_size += NLMSG_ALIGN((size_t)size);
	}
}

/* The first message of a type among those received. */
static inline const struct nlmsghdr *received(uint16_t type)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)answers;
	int size = (int)answers_size;

	for (; mnl_nlmsg_ok(nlh, size); nlh = mnl_nlmsg_next(nlh, &size))
		if (nlh->nlmsg_type == type)
			return nlh;
	return NULL;
}

static inline unsigned int received_count(uint16_t type)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)answers;
	int size = (int)answers_size;
	unsigned int count = 0;

	for (; mnl_nlmsg_ok(nlh, size); nlh = mnl_nlmsg_next(nlh, &size))
		count += nlh->nlmsg_type == type;
	return count;
}

/* The answer's error, with its words in said[]. */
static inline int received_error(void)
{
	const struct nlmsghdr *nlh = received(NLMSG_ERROR);
	const struct nlmsgerr *error;
	const struct nlattr *attribute;
	size_t behind;

	said[0] = '\0';
	if (!nlh)
		return 0;
	error = mnl_nlmsg_get_payload(nlh);
	behind = sizeof(*error);
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		behind += error->msg.nlmsg_len - sizeof(struct nlmsghdr);
	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS)
		mnl_attr_for_each(attribute, nlh,
				  MNL_ALIGN(behind)) if (mnl_attr_get_type(attribute) ==
							 NLMSGERR_ATTR_MSG)
			snprintf(said, sizeof(said), "%s", mnl_attr_get_str(attribute));
	return error->error;
}

static inline int ask(const struct client *client, const struct nlmsghdr *nlh)
{
	assert_int_equal(send(client->fd, nlh, nlh->nlmsg_len, 0), nlh->nlmsg_len);
	receive(client);
	return received_error();
}

static inline struct client client_new(uint32_t protocol)
{
	struct nlmsghdr *nlh = message(PW_MSG_HELLO, 0);
	struct pw_msg_hello *hello = mnl_nlmsg_put_extra_header(nlh, sizeof(*hello));
	struct client client;
	int fd[2];

	assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd), 0);
	assert_non_null(pw_client_add(fd[0]));
	client.fd = fd[1];
	hello->version = PW_NETLINK_VERSION;
	hello->protocol = protocol;
	assert_int_equal(ask(&client, nlh), 0);
	return client;
}

static inline void client_subscribe(const struct client *client, uint32_t group)
{
	struct nlmsghdr *nlh = message(PW_MSG_SUBSCRIBE, 0);

	*(uint32_t *)mnl_nlmsg_put_extra_header(nlh, sizeof(uint32_t)) = group;
	assert_int_equal(ask(client, nlh), 0);
}

static inline void client_close(const struct client *client)
{
	close(client->fd);
	settle();
}

/* ---- messages -------------------------------------------------------------------------------- */

static inline void put_algorithm(struct nlmsghdr *nlh, uint16_t type, const char *name,
				 unsigned int key_bits, unsigned int icv_bits, const void *key)
{
	size_t size = 64 + (type == XFRMA_ALG_CRYPT || type == XFRMA_ALG_AUTH ? 4 : 8);
	char data[256] = "";

	snprintf(data, 64, "%s", name);
	memcpy(data + 64, &key_bits, 4);
	if (size == 72)
		memcpy(data + 68, &icv_bits, 4);
	if (key)
		memcpy(data + size, key, key_bits / 8);
	mnl_attr_put(nlh, type, size + key_bits / 8, data);
	explicit_bzero(data, sizeof(data));
}

static inline struct xfrm_usersa_info *sa_info(struct nlmsghdr *nlh)
{
	return mnl_nlmsg_get_payload(nlh);
}

/* The fixed part of an SA of ESP in transport mode; limits none. */
static inline struct nlmsghdr *sa_header(uint16_t type, const char *source, const char *destination,
					 uint32_t spi)
{
	struct nlmsghdr *nlh = message(type, 0);
	struct xfrm_usersa_info *info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	struct pw_address from = address_of(source), to = address_of(destination);

	memcpy(&info->saddr, from.bytes, pw_address_size(from.family));
	memcpy(&info->id.daddr, to.bytes, pw_address_size(to.family));
	info->id.spi = htonl(spi);
	info->id.proto = IPPROTO_ESP;
	info->family = to.family;
	info->mode = XFRM_MODE_TRANSPORT;
	info->reqid = 7;
	info->lft = (struct xfrm_lifetime_cfg){XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF, 0, 0, 0, 0};
	return nlh;
}

static const uint8_t test_key[KEY_BYTES] = "0123456789abcdef0123456789abcdefSALT";

/* A good one: AES-256-GCM. */
static inline struct nlmsghdr *sa_message(uint16_t type, const char *source,
					  const char *destination, uint32_t spi)
{
	struct nlmsghdr *nlh = sa_header(type, source, destination, spi);

	put_algorithm(nlh, XFRMA_ALG_AEAD, "rfc4106(gcm(aes))", KEY_BYTES * 8, 128, test_key);
	return nlh;
}

static inline struct nlmsghdr *sa_id_message(uint16_t type, const char *destination, uint32_t spi)
{
	struct nlmsghdr *nlh = message(type, 0);
	struct xfrm_usersa_id *id = mnl_nlmsg_put_extra_header(nlh, sizeof(*id));
	struct pw_address to = address_of(destination);

	memcpy(&id->daddr, to.bytes, pw_address_size(to.family));
	id->family = to.family;
	id->spi = htonl(spi);
	id->proto = IPPROTO_ESP;
	return nlh;
}

static inline struct pw_sa_detail *sa_of(const char *destination, uint32_t spi)
{
	struct pw_address to = address_of(destination);

	return pw_sa_lookup(0, &to, htonl(spi));
}

static inline const struct nlattr *sa_attribute(const struct nlmsghdr *nlh, size_t header,
						uint16_t type)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, nlh,
			  header) if (mnl_attr_get_type(attribute) == type) return attribute;
	return NULL;
}

static inline int sa_fixture_start(void **state)
{
	if (fixture_start(state))
		return -1;
	return pw_client_init();
}

static inline int sa_fixture_stop(void **state)
{
	pw_client_fini();
	return fixture_stop(state);
}

#endif
