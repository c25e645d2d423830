/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/api.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/pewter_netlink.h"

/* Less than what any system's default of net.core.wmem_max lets through as one packet. */
#define BATCH_SIZE (128u << 10)

int pw_api_open(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, size = PW_NETLINK_PACKET_MAX, error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* As much of it as the system gives: a packet must fit into the buffer whole. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static const char *attribute_text(const struct nlattr *attribute)
{
	const char *text = mnl_attr_get_payload(attribute);
	uint16_t size = mnl_attr_get_payload_len(attribute);

	return size && text[size - 1] == '\0' ? text : NULL;
}

int pw_api_error(const struct nlmsghdr *nlh, const char **text)
{
	const struct nlattr *attribute;
	size_t fixed = sizeof(int);
	int error;

	*text = NULL;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *answer = mnl_nlmsg_get_payload(nlh);

		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*answer))
			return -EPROTO;
		fixed = sizeof(*answer);
		/* What was refused stands before the words, unless it was long. */
		if (answer->error && !(nlh->nlmsg_flags & NLM_F_CAPPED))
			fixed += MNL_ALIGN(mnl_nlmsg_get_payload_len(&answer->msg));
	} else if (mnl_nlmsg_get_payload_len(nlh) < sizeof(error)) {
		return 0; /* an NLMSG_DONE may be empty */
	}
	memcpy(&error, mnl_nlmsg_get_payload(nlh), sizeof(error));
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || fixed > mnl_nlmsg_get_payload_len(nlh))
		return error;
	mnl_attr_for_each(attribute, nlh, (unsigned int)fixed)
	{
		if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG)
			*text = attribute_text(attribute);
	}
	return error;
}

const struct nlmsghdr *pw_api_error_request(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(nlh);
	size_t size = mnl_nlmsg_get_payload_len(nlh);

	if (size < sizeof(*answer) || nlh->nlmsg_flags & NLM_F_CAPPED ||
	    answer->msg.nlmsg_len < sizeof(answer->msg) ||
	    answer->msg.nlmsg_len > size - offsetof(struct nlmsgerr, msg))
		return NULL;
	return &answer->msg;
}

/* ---- batches ----------------------------------------------------------------------------- */

struct nlmsghdr *pw_api_batch_begin(struct pw_api_batch *batch, uint16_t type, uint16_t flags,
				    size_t header, size_t room)
{
	struct nlmsghdr *nlh;

	if (!batch->data) {
		batch->data = malloc(BATCH_SIZE);
		if (!batch->data)
			return NULL;
		batch->size = BATCH_SIZE;
	}
	if (batch->size - batch->used < room)
		return NULL;
	nlh = mnl_nlmsg_put_header(batch->data + batch->used);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	mnl_nlmsg_put_extra_header(nlh, header);
	return nlh;
}

void pw_api_batch_end(struct pw_api_batch *batch, struct nlmsghdr *nlh)
{
	nlh->nlmsg_seq = ++batch->seq;
	batch->used += MNL_ALIGN(nlh->nlmsg_len);
	batch->last = nlh;
}

int pw_api_batch_send(struct pw_api_batch *batch, int fd)
{
	if (!batch->used)
		return 0;
	if (send(fd, batch->data, batch->used, MSG_NOSIGNAL) < 0)
		return -errno;
	batch->used = 0;
	batch->last = NULL;
	return 0;
}

void pw_api_batch_free(struct pw_api_batch *batch)
{
	free(batch->data);
	*batch = (struct pw_api_batch){.seq = batch->seq};
}
