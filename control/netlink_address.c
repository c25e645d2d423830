/* SPDX-License-Identifier: BSD-3-Clause */
/* RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "control/links.h"

#define ADDRESS_ROOM 256
#define FOREVER      0xffffffffU
#define IFA_PROTO_   11 /* IFA_PROTO: not in every linux/if_addr.h */
#define IFA_LIMIT    IFA_PROTO_

static const struct pw_attribute_policy policy[IFA_LIMIT + 1] = {
	[IFA_ADDRESS] = {.name = "IFA_ADDRESS", .min = 4, .max = 16},
	[IFA_LOCAL] = {.name = "IFA_LOCAL", .min = 4, .max = 16},
	[IFA_LABEL] = {.name = "IFA_LABEL", .min = 1, .max = IFNAMSIZ},
	[IFA_BROADCAST] = {.name = "IFA_BROADCAST", .min = 4, .max = 16},
	[IFA_CACHEINFO] = {.name = "IFA_CACHEINFO", .min = sizeof(struct ifa_cacheinfo)},
	[IFA_FLAGS] = {.name = "IFA_FLAGS", .min = 4, .max = 4},
	[IFA_RT_PRIORITY] = {.name = "IFA_RT_PRIORITY", .min = 4, .max = 4},
	[IFA_PROTO_] = {.name = "IFA_PROTO", .min = 1, .max = 1},
};

#define FLAGS_TAKEN (IFA_F_NOPREFIXROUTE | IFA_F_NODAD)
/* Dumps carry these, and tools that flush send dumps back. */
#define FLAGS_STATE                                                                                \
	(IFA_F_PERMANENT | IFA_F_SECONDARY | IFA_F_TENTATIVE | IFA_F_DEPRECATED | IFA_F_DADFAILED)

static int get_address(struct pw_request *request, const struct nlattr *attribute, int family,
		       struct pw_address *address)
{
	memset(address, 0, sizeof(*address));
	address->family = (uint8_t)family;
	if (mnl_attr_get_payload_len(attribute) != pw_address_size(family))
		return pw_refuse(request, attribute, -EINVAL, "an IPv%d address has %u bytes",
				 family == AF_INET ? 4 : 6, pw_address_size(family));
	memcpy(address->bytes, mnl_attr_get_payload(attribute), pw_address_size(family));
	return 0;
}

/* What NEWADDR and DELADDR have in common: family, link, address, length. */
static int decode(struct pw_request *request, const struct nlattr **in,
		  struct pw_link_address *model)
{
	const struct ifaddrmsg *header;
	int ret, family;

	ret = pw_request_attributes(request, sizeof(*header), "address", policy, IFA_LIMIT, in);
	if (ret < 0)
		return ret;
	header = mnl_nlmsg_get_payload(request->nlh);
	family = header->ifa_family;
	if (family != AF_INET && family != AF_INET6)
		return pw_refuse(request, NULL, -EAFNOSUPPORT, "addresses are IPv4 or IPv6");
	model->link = pw_link_by_index(header->ifa_index);
	if (!model->link)
		return pw_refuse(request, NULL, -ENODEV, "no link has index %u", header->ifa_index);
	if (header->ifa_prefixlen > 8 * pw_address_size(family))
		return pw_refuse(request, NULL, -EINVAL,
				 "prefix length %u is longer than the address",
				 header->ifa_prefixlen);
	model->length = header->ifa_prefixlen;
	if (!in[IFA_LOCAL] && !in[IFA_ADDRESS])
		return pw_refuse(request, NULL, -EINVAL, "no address is named");
	ret = get_address(request, in[IFA_LOCAL] ? in[IFA_LOCAL] : in[IFA_ADDRESS], family,
			  &model->local);
	model->peer = model->local;
	if (!ret && in[IFA_ADDRESS])
		ret = get_address(request, in[IFA_ADDRESS], family, &model->peer);
	return ret;
}

static int check_address(struct pw_request *request, const struct pw_address *address)
{
	static const uint8_t zero[16], loopback6[16] = {[15] = 1},
				       mapped[12] = {[10] = 0xff, [11] = 0xff};
	char text[PW_ADDRESS_TEXT];
	const char *why = NULL;

	if (!memcmp(address->bytes, zero, 16) || (address->family == AF_INET && !address->bytes[0]))
		why = "is no host's address";
	else if (pw_address_multicast(address))
		why = "is a multicast or broadcast address";
	else if (address->family == AF_INET ? address->bytes[0] == 127
					    : !memcmp(address->bytes, loopback6, 16))
		why = "is the kernel's own loopback address";
	else if (address->family == AF_INET6 && !memcmp(address->bytes, mapped, sizeof(mapped)))
		why = "is a mapped IPv4 address";
	if (!why)
		return 0;
	return pw_refuse(request, NULL, -EINVAL, "%s %s", pw_address_format(address, text), why);
}

static uint32_t until(uint32_t lifetime)
{
	return lifetime == FOREVER ? 0 : pw_address_seconds() + lifetime;
}

static int decode_details(struct pw_request *request, const struct nlattr **in,
			  struct pw_link_address *model)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(request->nlh);
	const struct ifa_cacheinfo *lifetime;
	uint32_t flags = in[IFA_FLAGS] ? mnl_attr_get_u32(in[IFA_FLAGS]) : header->ifa_flags;

	if (flags & ~(uint32_t)(FLAGS_TAKEN | FLAGS_STATE))
		return pw_refuse(
			request, in[IFA_FLAGS], -EOPNOTSUPP,
			"address flags 0x%x are not supported (noprefixroute and nodad are)",
			flags & ~(uint32_t)(FLAGS_TAKEN | FLAGS_STATE));
	model->flags = flags & FLAGS_TAKEN;
	if (in[IFA_RT_PRIORITY] && mnl_attr_get_u32(in[IFA_RT_PRIORITY]))
		return pw_refuse(request, in[IFA_RT_PRIORITY], -EOPNOTSUPP,
				 "a metric for the address's own route is not supported: use "
				 "noprefixroute and a route");
	if (in[IFA_BROADCAST] && model->local.family == AF_INET &&
	    get_address(request, in[IFA_BROADCAST], AF_INET, &model->broadcast) < 0)
		return request->error;
	if (in[IFA_LABEL]) {
		size_t length = strnlen(mnl_attr_get_payload(in[IFA_LABEL]),
					mnl_attr_get_payload_len(in[IFA_LABEL]));

		if (length >= IFNAMSIZ)
			return pw_refuse(request, in[IFA_LABEL], -EINVAL, "the label is too long");
		memcpy(model->label, mnl_attr_get_payload(in[IFA_LABEL]), length);
	}
	if (in[IFA_PROTO_])
		model->protocol = mnl_attr_get_u8(in[IFA_PROTO_]);
	if (!in[IFA_CACHEINFO])
		return 0;
	lifetime = mnl_attr_get_payload(in[IFA_CACHEINFO]);
	if (!lifetime->ifa_valid || lifetime->ifa_prefered > lifetime->ifa_valid)
		return pw_refuse(request, in[IFA_CACHEINFO], -EINVAL,
				 "the valid lifetime is zero or shorter than the preferred one");
	model->valid_until = until(lifetime->ifa_valid);
	model->preferred_until = until(lifetime->ifa_prefered);
	return 0;
}

static int handle_newaddr(struct pw_request *request)
{
	const struct nlattr *in[IFA_LIMIT + 1] = {NULL};
	struct pw_link_address model = {.origin = PW_ADDRESS_API};
	struct pw_link_address *address;
	uint16_t flags = request->nlh->nlmsg_flags;
	char text[PW_ADDRESS_TEXT];
	int ret;

	ret = decode(request, in, &model);
	if (!ret)
		ret = check_address(request, &model.local);
	if (!ret)
		ret = decode_details(request, in, &model);
	if (ret < 0)
		return ret;
	if (model.local.family == AF_INET6 && !pw_address_same(&model.local, &model.peer))
		return pw_refuse(request, in[IFA_ADDRESS], -EOPNOTSUPP,
				 "peer addresses are supported for IPv4 only");
	address = pw_address_find(model.link->index, &model.local, model.length);
	if (address) {
		/* One that only the kernel named until now becomes the API's as well. */
		if (!(flags & NLM_F_REPLACE) && (address->origin & PW_ADDRESS_API))
			return pw_refuse(request, NULL, -EEXIST, "Address already assigned");
		pw_address_set(address, &model);
		return 0;
	}
	if ((flags & NLM_F_REPLACE) && !(flags & NLM_F_CREATE))
		return pw_refuse(request, NULL, -ENOENT, "%s has no address %s", model.link->name,
				 pw_address_format(&model.local, text));
	ret = pw_address_add(&model);
	if (ret < 0)
		return pw_refuse(request, NULL, ret, "%s cannot be added to %s: %s",
				 pw_address_format(&model.local, text), model.link->name,
				 strerror(-ret));
	return 0;
}

static int handle_deladdr(struct pw_request *request)
{
	const struct nlattr *in[IFA_LIMIT + 1] = {NULL};
	struct pw_link_address model = {.origin = 0};
	struct pw_link_address *address;
	char text[PW_ADDRESS_TEXT];
	int ret, length;

	ret = decode(request, in, &model);
	if (ret < 0)
		return ret;
	/* Without a prefix, any length will do: iproute2 leaves IFA_ADDRESS out then. */
	length = in[IFA_ADDRESS] ? model.length : -1;
	address = pw_address_find(model.link->index, &model.local, length);
	if (!address || (length >= 0 && address->length != length))
		return pw_refuse(request, NULL, -EADDRNOTAVAIL, "%s has no address %s/%u",
				 model.link->name, pw_address_format(&model.local, text),
				 model.length);
	/* Deleting means everywhere: it would come back from the kernel face otherwise. */
	if (address->origin & PW_ADDRESS_KERNEL)
		address->pushed = true;
	pw_address_delete(address);
	return 0;
}

static uint8_t scope(const struct pw_link_address *address)
{
	if (pw_address_link_local(&address->local))
		return RT_SCOPE_LINK;
	return RT_SCOPE_UNIVERSE;
}

static uint32_t remaining(uint32_t end)
{
	uint32_t now = pw_address_seconds();

	if (!end)
		return FOREVER;
	return end > now ? end - now : 0;
}

static void put_address(struct nlmsghdr *nlh, const struct pw_link_address *address)
{
	struct ifaddrmsg *header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));
	unsigned int size = pw_address_size(address->local.family);
	struct ifa_cacheinfo lifetime = {
		.ifa_prefered = remaining(address->preferred_until),
		.ifa_valid = remaining(address->valid_until),
	};
	uint32_t flags = address->flags | (address->valid_until ? 0 : IFA_F_PERMANENT);

	if (address->preferred_until && !lifetime.ifa_prefered)
		flags |= IFA_F_DEPRECATED;
	header->ifa_family = address->local.family;
	header->ifa_prefixlen = address->length;
	header->ifa_flags = (uint8_t)flags;
	header->ifa_scope = scope(address);
	header->ifa_index = address->link->index;
	mnl_attr_put(nlh, IFA_ADDRESS, size, address->peer.bytes);
	if (address->local.family == AF_INET) {
		mnl_attr_put(nlh, IFA_LOCAL, size, address->local.bytes);
		if (address->broadcast.family)
			mnl_attr_put(nlh, IFA_BROADCAST, size, address->broadcast.bytes);
		mnl_attr_put_strz(nlh, IFA_LABEL,
				  address->label[0] ? address->label : address->link->name);
	}
	if (address->protocol)
		mnl_attr_put_u8(nlh, IFA_PROTO_, address->protocol);
	mnl_attr_put_u32(nlh, IFA_FLAGS, flags);
	mnl_attr_put(nlh, IFA_CACHEINFO, sizeof(lifetime), &lifetime);
}

void pw_address_notify(const struct pw_link_address *address, uint16_t type)
{
	uint32_t group =
		address->local.family == AF_INET ? RTNLGRP_IPV4_IFADDR : RTNLGRP_IPV6_IFADDR;
	char buffer[ADDRESS_ROOM];
	struct nlmsghdr *nlh;

	if (!pw_notify_wanted(group))
		return;
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = type;
	put_address(nlh, address);
	pw_notify(group, nlh);
}

static int handle_getaddr(struct pw_request *request)
{
	const struct nlattr *in[IFA_LIMIT + 1] = {NULL};
	struct pw_link_address model = {.origin = 0};
	const struct pw_link_address *address;
	char buffer[ADDRESS_ROOM], text[PW_ADDRESS_TEXT];
	struct nlmsghdr *nlh;
	int ret;

	ret = decode(request, in, &model);
	if (ret < 0)
		return ret;
	address = pw_address_find(model.link->index, &model.local, -1);
	if (!address)
		return pw_refuse(request, NULL, -EADDRNOTAVAIL, "%s has no address %s",
				 model.link->name, pw_address_format(&model.local, text));
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = RTM_NEWADDR;
	put_address(nlh, address);
	return pw_reply(request, nlh);
}

enum { CURSOR_LINK, CURSOR_POSITION, CURSOR_STARTED, CURSOR_FAMILY, CURSOR_ONLY };

static int dump_link(struct pw_dump *dump, const struct pw_link *link)
{
	const struct pw_link_address *address;
	uint64_t position = 0;

	TAILQ_FOREACH (address, pw_address_list(link->index), next) {
		struct nlmsghdr *nlh;

		if (position++ < dump->cursor[CURSOR_POSITION])
			continue;
		if (!dump->cursor[CURSOR_FAMILY] ||
		    dump->cursor[CURSOR_FAMILY] == address->local.family) {
			nlh = pw_dump_message(dump, RTM_NEWADDR, ADDRESS_ROOM);
			if (!nlh)
				return 1;
			put_address(nlh, address);
			pw_dump_commit(dump, nlh);
		}
		dump->cursor[CURSOR_POSITION] = position;
	}
	return 0;
}

static int dump_addresses(struct pw_dump *dump)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(dump->nlh);
	const struct pw_link *link;

	if (!dump->cursor[CURSOR_STARTED]) {
		dump->cursor[CURSOR_STARTED] = 1;
		dump->cursor[CURSOR_FAMILY] = header->ifa_family;
		if (mnl_nlmsg_get_payload_len(dump->nlh) >= sizeof(*header))
			dump->cursor[CURSOR_ONLY] = header->ifa_index;
	}
	for (link = pw_link_next((uint32_t)dump->cursor[CURSOR_LINK]); link;
	     link = pw_link_next(link->index)) {
		if ((!dump->cursor[CURSOR_ONLY] || dump->cursor[CURSOR_ONLY] == link->index) &&
		    dump_link(dump, link))
			return 1;
		dump->cursor[CURSOR_LINK] = link->index;
		dump->cursor[CURSOR_POSITION] = 0;
	}
	return 0;
}

void pw_netlink_address_init(void)
{
	pw_request_register(RTM_NEWADDR, -1, handle_newaddr, NULL);
	pw_request_register(RTM_DELADDR, -1, handle_deladdr, NULL);
	pw_request_register(RTM_GETADDR, -1, handle_getaddr, dump_addresses);
}
