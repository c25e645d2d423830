/* SPDX-License-Identifier: BSD-3-Clause */
/* RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "control/feed/kernel.h"
#include "control/links.h"
#include "control/neighbours.h"
#include "dataplane/table/neighbour.h"

#define NEIGHBOUR_ROOM 256
#define NUD_USABLE     (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

static const struct pw_attribute_policy policy[NDA_MAX + 1] = {
	[NDA_DST] = {.name = "NDA_DST", .min = 4, .max = 16},
	[NDA_LLADDR] = {.name = "NDA_LLADDR", .max = 32},
	[NDA_PROTOCOL] = {.name = "NDA_PROTOCOL", .min = 1, .max = 1},
	/* Dumps carry these, and tools that flush send dumps back. */
	[NDA_CACHEINFO] = {.name = "NDA_CACHEINFO", .ignored = true},
	[NDA_PROBES] = {.name = "NDA_PROBES", .ignored = true},
};

static const struct pw_attribute_policy dump_policy[NDA_MAX + 1] = {
	[NDA_IFINDEX] = {.name = "NDA_IFINDEX", .min = 4, .max = 4},
	[NDA_MASTER] = {.name = "NDA_MASTER", .min = 4, .max = 4},
};

struct neighbour_request {
	const struct ndmsg *header;
	const struct nlattr *in[NDA_MAX + 1];
	struct pw_link *link;
	struct pw_address address;
};

static int to_address(const struct nlattr *attribute, int family, struct pw_address *address)
{
	memset(address, 0, sizeof(*address));
	if (mnl_attr_get_payload_len(attribute) != pw_address_size(family))
		return -EINVAL;
	address->family = (uint8_t)family;
	memcpy(address->bytes, mnl_attr_get_payload(attribute), pw_address_size(family));
	return 0;
}

static int decode(struct pw_request *request, struct neighbour_request *out)
{
	int ret = pw_request_attributes(request, sizeof(*out->header), "neighbour", policy, NDA_MAX,
					out->in);

	if (ret < 0)
		return ret;
	out->header = mnl_nlmsg_get_payload(request->nlh);
	if (out->header->ndm_family == AF_BRIDGE)
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "Pewter routes: it has no forwarding database of MAC addresses");
	if (out->header->ndm_family != AF_INET && out->header->ndm_family != AF_INET6)
		return pw_refuse(request, NULL, -EAFNOSUPPORT, "neighbours are IPv4 or IPv6");
	if (out->header->ndm_flags & NTF_PROXY)
		return pw_refuse(request, NULL, -EOPNOTSUPP, "proxy neighbours are not supported");
	if (!out->header->ndm_ifindex)
		return pw_refuse(request, NULL, -EINVAL,
				 "a neighbour needs the link it is on (dev)");
	out->link = pw_link_by_index((uint32_t)out->header->ndm_ifindex);
	if (!out->link)
		return pw_refuse(request, NULL, -ENODEV, "no link has index %d",
				 out->header->ndm_ifindex);
	if (!out->in[NDA_DST])
		return pw_refuse(request, NULL, -EINVAL, "a neighbour needs an address");
	if (to_address(out->in[NDA_DST], out->header->ndm_family, &out->address) < 0)
		return pw_refuse(request, out->in[NDA_DST], -EINVAL,
				 "the address is not of the neighbour's family");
	return 0;
}

static int check_new(struct pw_request *request, const struct neighbour_request *in)
{
	static const uint8_t zero[16];
	const struct ndmsg *header = in->header;

	if (!memcmp(in->address.bytes, zero, sizeof(zero)) || pw_address_multicast(&in->address))
		return pw_refuse(request, in->in[NDA_DST], -EINVAL,
				 "a neighbour's address must be a host's");
	if (!pw_neighbour_ethernet(in->link) && in->link->kind != PW_LINK_TUNNEL)
		return pw_refuse(request, NULL, -EINVAL, "%s has no neighbours", in->link->name);
	if (in->link->kind == PW_LINK_TUNNEL && in->link->tunnel.remote.family)
		return pw_refuse(request, NULL, -EINVAL,
				 "%s has a remote: neighbours are for tunnels without one",
				 in->link->name);
	if (header->ndm_flags & ~(NTF_USE | NTF_SELF | NTF_EXT_LEARNED | NTF_ROUTER))
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "neighbour flags 0x%x are not supported", header->ndm_flags);
	return 0;
}

/* What the message asks for once the neighbour exists. */
static int apply_ethernet(struct pw_request *request, const struct neighbour_request *in,
			  struct pw_link_neighbour *neighbour)
{
	const struct nlattr *lladdr = in->in[NDA_LLADDR];
	uint16_t nud = in->header->ndm_state;
	const uint8_t *mac = lladdr ? mnl_attr_get_payload(lladdr) : neighbour->mac;

	if (in->header->ndm_flags & NTF_USE) {
		if (neighbour->state != PW_NEIGHBOUR_REACHABLE && !pw_neighbour_resolve(neighbour))
			return pw_refuse(request, NULL, -EAGAIN,
					 "too many neighbours are being resolved");
		return 0;
	}
	neighbour->protocol = in->in[NDA_PROTOCOL] ? mnl_attr_get_u8(in->in[NDA_PROTOCOL]) : 0;
	neighbour->flags = in->header->ndm_flags & (NTF_EXT_LEARNED | NTF_ROUTER);
	if (nud & NUD_USABLE)
		return pw_neighbour_configure(neighbour, mac, nud);
	neighbour->configured = false;
	if (nud & NUD_FAILED)
		pw_neighbour_unresolve(neighbour);
	else if (neighbour->state != PW_NEIGHBOUR_REACHABLE)
		pw_neighbour_resolve(neighbour);
	return 0;
}

static int check_lladdr(struct pw_request *request, const struct neighbour_request *in,
			const struct pw_link_neighbour *old)
{
	const struct nlattr *lladdr = in->in[NDA_LLADDR];
	const uint8_t *mac;

	if (!lladdr) {
		if (!(in->header->ndm_state & NUD_USABLE) || (in->header->ndm_flags & NTF_USE) ||
		    (old && old->state == PW_NEIGHBOUR_REACHABLE))
			return 0;
		return pw_refuse(request, NULL, -EINVAL,
				 "a neighbour in this state needs an lladdr");
	}
	mac = mnl_attr_get_payload(lladdr);
	if (mnl_attr_get_payload_len(lladdr) != 6)
		return pw_refuse(request, lladdr, -EINVAL, "%s takes MAC addresses as lladdr",
				 in->link->name);
	if (mac[0] & 1)
		return pw_refuse(request, lladdr, -EINVAL,
				 "a group MAC address cannot be a neighbour's");
	return 0;
}

static int new_nbma(struct pw_request *request, const struct neighbour_request *in,
		    struct pw_link_neighbour *neighbour)
{
	const struct nlattr *lladdr = in->in[NDA_LLADDR];
	const struct pw_tunnel *tunnel = &in->link->tunnel;
	bool fresh = !neighbour;
	struct pw_address remote;
	int ret;

	if (!lladdr || to_address(lladdr, tunnel->local.family, &remote) < 0)
		return pw_refuse(request, lladdr, -EINVAL,
				 "on %s the lladdr is the remote's IPv%d address", in->link->name,
				 tunnel->local.family == AF_INET ? 4 : 6);
	if (pw_address_multicast(&remote) || pw_address_same(&remote, &tunnel->local))
		return pw_refuse(request, lladdr, -EINVAL,
				 "the lladdr must be another host's address");
	if (fresh)
		neighbour = pw_neighbour_obtain(in->link, &in->address);
	if (!neighbour)
		return pw_refuse(request, NULL, -errno, "the table of neighbours is full");
	ret = pw_neighbour_configure_nbma(
		neighbour, &remote, in->header->ndm_state ? in->header->ndm_state : NUD_PERMANENT);
	if (ret < 0) {
		if (fresh)
			pw_neighbour_release(neighbour);
		return pw_refuse(request, NULL, ret, "the remote cannot be made an endpoint: %s",
				 strerror(-ret));
	}
	neighbour->protocol = in->in[NDA_PROTOCOL] ? mnl_attr_get_u8(in->in[NDA_PROTOCOL]) : 0;
	return 0;
}

static int handle_newneigh(struct pw_request *request)
{
	struct neighbour_request in = {NULL};
	struct pw_link_neighbour *neighbour;
	uint16_t flags = request->nlh->nlmsg_flags;
	int ret;

	ret = decode(request, &in);
	if (!ret)
		ret = check_new(request, &in);
	if (ret < 0)
		return ret;
	neighbour = pw_neighbour_find(in.link, &in.address);
	/* One that is only being looked for does not count as there. */
	if (neighbour && (flags & NLM_F_EXCL) && neighbour->state == PW_NEIGHBOUR_REACHABLE)
		return pw_refuse(request, in.in[NDA_DST], -EEXIST, "the neighbour exists");
	if (!neighbour && !(flags & NLM_F_CREATE))
		return pw_refuse(request, in.in[NDA_DST], -ENOENT, "%s has no such neighbour",
				 in.link->name);
	if (in.link->kind == PW_LINK_TUNNEL)
		return new_nbma(request, &in, neighbour);
	ret = check_lladdr(request, &in, neighbour);
	if (ret < 0)
		return ret;
	if (!neighbour)
		neighbour = pw_neighbour_obtain(in.link, &in.address);
	if (!neighbour)
		return pw_refuse(request, NULL, -errno, "the table of neighbours is full");
	ret = apply_ethernet(request, &in, neighbour);
	pw_neighbour_flush();
	return ret;
}

static int handle_delneigh(struct pw_request *request)
{
	struct neighbour_request in = {NULL};
	struct pw_link_neighbour *neighbour;
	int ret;

	ret = decode(request, &in);
	if (ret < 0)
		return ret;
	neighbour = pw_neighbour_find(in.link, &in.address);
	if (!neighbour)
		return pw_refuse(request, in.in[NDA_DST], -ENOENT, "%s has no such neighbour",
				 in.link->name);
	pw_neighbour_delete(neighbour);
	return 0;
}

static void put_neighbour(struct nlmsghdr *nlh, const struct pw_link_neighbour *neighbour)
{
	struct ndmsg *header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));
	uint64_t age =
		(pw_neighbour_now() - neighbour->updated) * (uint64_t)sysconf(_SC_CLK_TCK) / 1000;
	struct nda_cacheinfo info = {
		.ndm_confirmed = (uint32_t)age,
		.ndm_used = (uint32_t)age,
		.ndm_updated = (uint32_t)age,
		.ndm_refcnt = neighbour->references,
	};

	header->ndm_family = neighbour->address.family;
	header->ndm_ifindex = (int)neighbour->link->index;
	header->ndm_state = neighbour->nud;
	header->ndm_flags = (uint8_t)neighbour->flags;
	header->ndm_type = RTN_UNICAST;
	mnl_attr_put(nlh, NDA_DST, pw_address_size(neighbour->address.family),
		     neighbour->address.bytes);
	if (neighbour->endpoint)
		mnl_attr_put(nlh, NDA_LLADDR, pw_address_size(neighbour->remote.family),
			     neighbour->remote.bytes);
	else if (neighbour->state == PW_NEIGHBOUR_REACHABLE)
		mnl_attr_put(nlh, NDA_LLADDR, sizeof(neighbour->mac), neighbour->mac);
	mnl_attr_put(nlh, NDA_CACHEINFO, sizeof(info), &info);
	mnl_attr_put_u32(nlh, NDA_PROBES, 0);
	if (neighbour->protocol)
		mnl_attr_put_u8(nlh, NDA_PROTOCOL, neighbour->protocol);
}

void pw_neighbour_notify(const struct pw_link_neighbour *neighbour, uint16_t type)
{
	char buffer[NEIGHBOUR_ROOM];
	struct nlmsghdr *nlh;

	/* "Nothing known" is between two states and no news, as in dumps. */
	if (!neighbour->link || neighbour->nud == NUD_NONE || !pw_notify_wanted(RTNLGRP_NEIGH))
		return;
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = type;
	put_neighbour(nlh, neighbour);
	pw_notify(RTNLGRP_NEIGH, nlh);
}

static int handle_getneigh(struct pw_request *request)
{
	struct neighbour_request in = {NULL};
	const struct pw_link_neighbour *neighbour;
	char buffer[NEIGHBOUR_ROOM];
	struct nlmsghdr *nlh;
	int ret;

	ret = decode(request, &in);
	if (ret < 0)
		return ret;
	neighbour = pw_neighbour_find(in.link, &in.address);
	if (!neighbour)
		return pw_refuse(request, in.in[NDA_DST], -ENOENT, "%s has no such neighbour",
				 in.link->name);
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = RTM_NEWNEIGH;
	put_neighbour(nlh, neighbour);
	return pw_reply(request, nlh);
}

enum {
	CURSOR_LINK,
	CURSOR_POSITION,
	CURSOR_STARTED,
	CURSOR_FAMILY,
	CURSOR_ONLY,
	CURSOR_MASTER,
	CURSOR_NOTHING, /* what is asked for does not exist here: proxies */
};

static int dump_filters(struct pw_dump *dump)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(dump->nlh);
	const struct nlattr *in[NDA_MAX + 1] = {NULL};
	int ret;

	dump->cursor[CURSOR_STARTED] = 1;
	dump->cursor[CURSOR_FAMILY] = header->ndm_family;
	if (header->ndm_family == AF_BRIDGE)
		return pw_refuse(dump->request, NULL, -EOPNOTSUPP,
				 "Pewter routes: it has no forwarding database of MAC addresses");
	if (mnl_nlmsg_get_payload_len(dump->nlh) < sizeof(*header))
		return 0;
	ret = pw_request_attributes(dump->request, sizeof(*header), "neighbour", dump_policy,
				    NDA_MAX, in);
	if (ret < 0)
		return ret;
	dump->cursor[CURSOR_NOTHING] = header->ndm_flags & NTF_PROXY;
	if (in[NDA_IFINDEX])
		dump->cursor[CURSOR_ONLY] = mnl_attr_get_u32(in[NDA_IFINDEX]);
	if (in[NDA_MASTER])
		dump->cursor[CURSOR_MASTER] = mnl_attr_get_u32(in[NDA_MASTER]);
	return 0;
}

static int dump_link(struct pw_dump *dump, const struct pw_link *link)
{
	const struct pw_link_neighbour *neighbour;
	uint64_t position = 0;

	TAILQ_FOREACH (neighbour, pw_neighbour_list(link->index), next) {
		struct nlmsghdr *nlh;

		if (position++ < dump->cursor[CURSOR_POSITION])
			continue;
		if (neighbour->nud != NUD_NONE &&
		    (!dump->cursor[CURSOR_FAMILY] ||
		     dump->cursor[CURSOR_FAMILY] == neighbour->address.family)) {
			nlh = pw_dump_message(dump, RTM_NEWNEIGH, NEIGHBOUR_ROOM);
			if (!nlh)
				return 1;
			put_neighbour(nlh, neighbour);
			pw_dump_commit(dump, nlh);
		}
		dump->cursor[CURSOR_POSITION] = position;
	}
	return 0;
}

static int dump_neighbours(struct pw_dump *dump)
{
	const uint64_t *cursor = dump->cursor;
	const struct pw_link *link;
	int ret;

	if (!cursor[CURSOR_STARTED]) {
		ret = dump_filters(dump);
		if (ret < 0)
			return ret;
	}
	if (cursor[CURSOR_NOTHING])
		return 0;
	for (link = pw_link_next((uint32_t)cursor[CURSOR_LINK]); link;
	     link = pw_link_next(link->index)) {
		if ((!cursor[CURSOR_ONLY] || cursor[CURSOR_ONLY] == link->index) &&
		    (!cursor[CURSOR_MASTER] || cursor[CURSOR_MASTER] == link->master) &&
		    dump_link(dump, link))
			return 1;
		dump->cursor[CURSOR_LINK] = link->index;
		dump->cursor[CURSOR_POSITION] = 0;
	}
	return 0;
}

void pw_netlink_neighbour_init(void)
{
	pw_request_register(RTM_NEWNEIGH, -1, handle_newneigh, NULL);
	pw_request_register(RTM_DELNEIGH, -1, handle_delneigh, NULL);
	pw_request_register(RTM_GETNEIGH, -1, handle_getneigh, dump_neighbours);
}
