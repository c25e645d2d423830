/* SPDX-License-Identifier: BSD-3-Clause */
/* PW_MSG_ENDPOINT_SET: who watches a remote PE says that it is down. */
#include <errno.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/endpoint.h"
#include "control/request.h"
#include "control/route.h"
#include "lib/pewter_netlink.h"

static const struct pw_attribute_policy policy[PW_ENDPOINT_SET_ATTR_COUNT] = {
	[PW_ENDPOINT_SET_ATTR_TUNNEL] = {"PW_ENDPOINT_SET_ATTR_TUNNEL", 2, IFNAMSIZ, false},
	[PW_ENDPOINT_SET_ATTR_REMOTE] = {"PW_ENDPOINT_SET_ATTR_REMOTE", 4, 16, false},
	[PW_ENDPOINT_SET_ATTR_DOWN] = {"PW_ENDPOINT_SET_ATTR_DOWN", 1, 1, false},
};

static int get_remote(struct pw_request *request, const struct nlattr *attribute,
		      struct pw_address *remote)
{
	uint16_t size = mnl_attr_get_payload_len(attribute);

	if (size != 4 && size != 16)
		return pw_refuse(request, attribute, -EINVAL,
				 "a remote is an address of 4 or 16 bytes, not %u", size);
	*remote = (struct pw_address){.family = size == 4 ? AF_INET : AF_INET6};
	memcpy(remote->bytes, mnl_attr_get_payload(attribute), size);
	return 0;
}

static int endpoint_set(struct pw_request *request)
{
	const struct nlattr *table[PW_ENDPOINT_SET_ATTR_COUNT], *name;
	const struct pw_link *tunnel;
	struct pw_address remote;
	char text[IFNAMSIZ] = "";
	int ret = pw_request_attributes(request, sizeof(struct rtgenmsg), "endpoint", policy,
					PW_ENDPOINT_SET_ATTR_COUNT - 1, table);

	if (ret)
		return ret;
	for (unsigned int i = 1; i < PW_ENDPOINT_SET_ATTR_COUNT; i++)
		if (!table[i])
			return pw_refuse(request, NULL, -EINVAL, "%s is missing", policy[i].name);
	if (mnl_attr_get_u8(table[PW_ENDPOINT_SET_ATTR_DOWN]) > 1)
		return pw_refuse(request, table[PW_ENDPOINT_SET_ATTR_DOWN], -EINVAL,
				 "down is 0 or 1");
	name = table[PW_ENDPOINT_SET_ATTR_TUNNEL];
	memcpy(text, mnl_attr_get_payload(name), mnl_attr_get_payload_len(name));
	text[IFNAMSIZ - 1] = '\0';
	tunnel = pw_link_by_name(text);
	if (!tunnel || tunnel->kind != PW_LINK_TUNNEL)
		return pw_refuse(request, name, -ENODEV, "there is no tunnel \"%s\"", text);
	ret = get_remote(request, table[PW_ENDPOINT_SET_ATTR_REMOTE], &remote);
	if (ret)
		return ret;
	ret = pw_endpoint_hold_down(tunnel, &remote,
				    mnl_attr_get_u8(table[PW_ENDPOINT_SET_ATTR_DOWN]));
	return ret ? pw_refuse(request, table[PW_ENDPOINT_SET_ATTR_REMOTE], ret,
			       "\"%s\" has no such remote end", text)
		   : 0;
}

void pw_netlink_endpoint_init(void)
{
	pw_request_register(PW_MSG_ENDPOINT_SET, AF_UNSPEC, endpoint_set, NULL);
}
