/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages about the connection itself: PW_MSG_HELLO, PW_MSG_SUBSCRIBE, PW_MSG_UNSUBSCRIBE. */
#include "control/client.h"

#include <errno.h>
#include <unistd.h>

#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>

#include "lib/pewter_netlink.h"

static int handle_hello(struct pw_request *request)
{
	const struct pw_msg_hello *hello = mnl_nlmsg_get_payload(request->nlh);
	uint32_t buffer[64];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct pw_msg_hello *answer = mnl_nlmsg_put_extra_header(nlh, sizeof(*answer));

	if (mnl_nlmsg_get_payload_len(request->nlh) < sizeof(*hello))
		return pw_refuse(request, NULL, -EINVAL, "hello message is too short");
	if (hello->version != PW_NETLINK_VERSION)
		return pw_refuse(request, NULL, -EPROTO,
				 "this daemon speaks version %d of the protocol, not %u",
				 PW_NETLINK_VERSION, hello->version);
	if (hello->protocol != NETLINK_ROUTE && hello->protocol != NETLINK_XFRM)
		return pw_refuse(request, NULL, -EPROTONOSUPPORT,
				 "netlink protocol %u is not served here", hello->protocol);
	if (!request->client)
		return 0;
	nlh->nlmsg_type = PW_MSG_HELLO;
	answer->version = PW_NETLINK_VERSION;
	answer->protocol = hello->protocol;
	if (hello->flags & ~(uint32_t)PW_HELLO_RESYNC)
		return pw_refuse(request, NULL, -EINVAL, "hello message with unknown flags %#x",
				 hello->flags);
	answer->dump_bytes = pw_client_hello(request->client, hello->protocol, hello->dump_bytes);
	mnl_attr_put_strz(nlh, PW_HELLO_NAME, "pewterd");
	mnl_attr_put_strz(nlh, PW_HELLO_DAEMON, PW_VERSION);
	mnl_attr_put_u32(nlh, PW_HELLO_PID, (uint32_t)getpid());
	pw_reply(request, nlh);
	if (hello->flags & PW_HELLO_RESYNC)
		pw_client_overrun(request->client);
	return 0;
}

static int handle_group(struct pw_request *request)
{
	const struct pw_msg_group *message = mnl_nlmsg_get_payload(request->nlh);
	bool on = request->nlh->nlmsg_type == PW_MSG_SUBSCRIBE;

	if (mnl_nlmsg_get_payload_len(request->nlh) < sizeof(*message))
		return pw_refuse(request, NULL, -EINVAL, "subscription without a group");
	if (request->client && pw_client_subscribe(request->client, message->group, on))
		return pw_refuse(request, NULL, -EINVAL, "there is no event group %u",
				 message->group);
	return 0;
}

/** iproute2 asks for the ids of network namespaces; nothing here is in another one. */
static int handle_namespace(struct pw_request *request)
{
	uint32_t buffer[16];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = RTM_NEWNSID;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtgenmsg));
	mnl_attr_put_u32(nlh, NETNSA_NSID, (uint32_t)NETNSA_NSID_NOT_ASSIGNED);
	return pw_reply(request, nlh);
}

static int dump_nothing(struct pw_dump *dump)
{
	return 0;
}

void pw_client_register(void)
{
	pw_request_register(RTM_GETNSID, -1, handle_namespace, dump_nothing);
	pw_request_register(PW_MSG_HELLO, -1, handle_hello, NULL);
	pw_request_register(PW_MSG_SUBSCRIBE, -1, handle_group, NULL);
	pw_request_register(PW_MSG_UNSUBSCRIBE, -1, handle_group, NULL);
}
