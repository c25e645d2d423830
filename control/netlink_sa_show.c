/* SPDX-License-Identifier: BSD-3-Clause */
/* SAs as XFRM messages: answers, dumps, the size of the database. */
#include "control/sa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/client.h"
#include "control/links.h"

#define NAME_BYTES 64

/* ---- one SA -------------------------------------------------------------------------------- */

void pw_netlink_sa_put_address(const struct pw_address *from, xfrm_address_t *to)
{
	memset(to, 0, sizeof(*to));
	memcpy(to, from->bytes, pw_address_size(from->family));
}

void pw_netlink_sa_id(const struct pw_sa_detail *sa, struct xfrm_usersa_id *id)
{
	memset(id, 0, sizeof(*id));
	pw_netlink_sa_put_address(&sa->entry.destination, &id->daddr);
	id->spi = sa->entry.spi;
	id->family = sa->entry.destination.family;
	id->proto = IPPROTO_ESP;
}

static uint32_t capped(uint64_t count)
{
	return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

static void info_fill(struct pw_sa_detail *sa, struct xfrm_usersa_info *info)
{
	const struct pw_sa_entry *entry = &sa->entry;
	struct pw_sa_usage usage;

	pw_sa_usage(sa, &usage);
	memset(info, 0, sizeof(*info));
	info->sel = sa->selector;
	pw_netlink_sa_put_address(&entry->destination, &info->id.daddr);
	pw_netlink_sa_put_address(&entry->source, &info->saddr);
	info->id.spi = entry->spi;
	info->id.proto = IPPROTO_ESP;
	info->lft = sa->limits;
	info->curlft = usage.current;
	info->stats.replay = capped(usage.replays);
	info->stats.integrity_failed = capped(usage.icv_failures);
	info->seq = sa->seq;
	info->reqid = entry->reqid;
	info->family = entry->destination.family;
	info->mode = entry->mode;
	info->replay_window = sa->wide_replay ? 0 : (uint8_t)sa->window;
	info->flags = (uint8_t)sa->flags;
}

void pw_netlink_sa_put_info(struct nlmsghdr *nlh, struct pw_sa_detail *sa)
{
	struct xfrm_usersa_info info;

	info_fill(sa, &info);
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(info)), &info, sizeof(info));
}

/** An algorithm's struct, whichever of the three; @p number2 is its second number, if it has. */
static void put_algorithm(struct nlmsghdr *nlh, uint16_t type, const char *name,
			  const unsigned int *numbers, unsigned int count, const uint8_t *key,
			  size_t key_bytes)
{
	struct nlattr *attribute = mnl_attr_nest_start(nlh, type);
	char *at = mnl_nlmsg_get_payload_tail(nlh);
	size_t size = NAME_BYTES + count * sizeof(*numbers) + key_bytes;

	attribute->nla_type = type; /* no nest */
	memset(at, 0, MNL_ALIGN(size));
	memcpy(at, name, strlen(name));
	memcpy(at + NAME_BYTES, numbers, count * sizeof(*numbers));
	if (key)
		memcpy(at + NAME_BYTES + count * sizeof(*numbers), key, key_bytes);
	attribute->nla_len = (uint16_t)(sizeof(*attribute) + size);
	nlh->nlmsg_len += MNL_ALIGN(size);
}

static void put_algorithms(struct nlmsghdr *nlh, const struct pw_sa_detail *sa, bool keys)
{
	const struct pw_crypto_suite *suite = sa->suite;
	const uint8_t *cipher = keys ? sa->secret : NULL;
	const uint8_t *auth = keys ? sa->secret + suite->key_bytes : NULL;
	unsigned int cipher_numbers[] = {suite->key_bytes * 8u, suite->icv_bytes * 8u};
	unsigned int auth_numbers[] = {suite->auth_key_bytes * 8u, suite->icv_bytes * 8u};

	if (!suite->auth) {
		put_algorithm(nlh, XFRMA_ALG_AEAD, suite->cipher, cipher_numbers, 2, cipher,
			      suite->key_bytes);
		return;
	}
	put_algorithm(nlh, XFRMA_ALG_AUTH, suite->auth, auth_numbers, 1, auth,
		      suite->auth_key_bytes);
	put_algorithm(nlh, XFRMA_ALG_AUTH_TRUNC, suite->auth, auth_numbers, 2, auth,
		      suite->auth_key_bytes);
	put_algorithm(nlh, XFRMA_ALG_CRYPT, suite->cipher, cipher_numbers, 1, cipher,
		      suite->key_bytes);
}

static void put_mark(struct nlmsghdr *nlh, const struct pw_sa_detail *sa)
{
	struct xfrm_mark mark = {.v = sa->entry.mark.value, .m = sa->entry.mark.mask};

	if (mark.v | mark.m)
		mnl_attr_put(nlh, XFRMA_MARK, sizeof(mark), &mark);
	if (sa->set_mark.value | sa->set_mark.mask) {
		mnl_attr_put_u32(nlh, XFRMA_SET_MARK, sa->set_mark.value);
		mnl_attr_put_u32(nlh, XFRMA_SET_MARK_MASK, sa->set_mark.mask);
	}
}

void pw_netlink_sa_put_attributes(struct nlmsghdr *nlh, struct pw_sa_detail *sa, bool keys)
{
	struct pw_sa_usage usage;

	pw_sa_usage(sa, &usage);
	if (sa->extra_flags)
		mnl_attr_put_u32(nlh, XFRMA_SA_EXTRA_FLAGS, sa->extra_flags);
	if (usage.last_used)
		mnl_attr_put_u64(nlh, XFRMA_LASTUSED, usage.last_used);
	if (sa->suite)
		put_algorithms(nlh, sa, keys);
	if (sa->encap.encap_type)
		mnl_attr_put(nlh, XFRMA_ENCAP, sizeof(sa->encap), &sa->encap);
	if (sa->tfc_pad)
		mnl_attr_put_u32(nlh, XFRMA_TFCPAD, sa->tfc_pad);
	put_mark(nlh, sa);
	pw_sa_replay_put(nlh, sa);
	if (pw_sa_inline_offloaded(sa))
		mnl_attr_put(nlh, XFRMA_OFFLOAD_DEV, sizeof(sa->offload), &sa->offload);
	if (sa->entry.if_id)
		mnl_attr_put_u32(nlh, XFRMA_IF_ID, sa->entry.if_id);
	if (sa->mapping_age)
		mnl_attr_put_u32(nlh, XFRMA_MTIMER_THRESH, sa->mapping_age);
}

/* ---- answers ------------------------------------------------------------------------------- */

/** Keys are for root alone. */
static bool shows_keys(const struct pw_client *client)
{
	return client && pw_client_root(client);
}

int pw_netlink_sa_answer(struct pw_request *request, struct pw_sa_detail *sa)
{
	uint32_t buffer[PW_SA_ROOM / sizeof(uint32_t)];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = XFRM_MSG_NEWSA;
	pw_netlink_sa_put_info(nlh, sa);
	pw_netlink_sa_put_attributes(nlh, sa, shows_keys(request->client));
	pw_reply(request, nlh);
	explicit_bzero(buffer, sizeof(buffer));
	return 0;
}

/* ---- dumps --------------------------------------------------------------------------------- */

struct filter {
	uint8_t protocol;
	bool set;
	struct xfrm_address_filter address;
};

static bool prefix_matches(const xfrm_address_t *prefix, unsigned int length,
			   const struct pw_address *address)
{
	const uint8_t *bytes = (const uint8_t *)prefix;
	unsigned int rest = length % 8;

	if (memcmp(bytes, address->bytes, length / 8) != 0)
		return false;
	return !rest || !((bytes[length / 8] ^ address->bytes[length / 8]) >> (8 - rest));
}

static bool filter_matches(const struct filter *filter, const struct pw_sa_entry *entry)
{
	const struct xfrm_address_filter *address = &filter->address;

	if (filter->protocol && filter->protocol != 255 && filter->protocol != IPPROTO_ESP)
		return false;
	if (!filter->set)
		return true;
	if (address->family && address->family != entry->destination.family)
		return false;
	return prefix_matches(&address->saddr, address->splen, &entry->source) &&
	       prefix_matches(&address->daddr, address->dplen, &entry->destination);
}

/** A dump's request has no header of its own; some clients send an empty one all the same. */
static int filter_parse(struct pw_dump *dump, struct filter *filter)
{
	const struct nlattr *in[XFRMA_MAX + 1];
	static const struct pw_attribute_policy policy[XFRMA_MAX + 1] = {
		[XFRMA_PROTO] = {"XFRMA_PROTO", .min = 1, .max = 1},
		[XFRMA_ADDRESS_FILTER] = {"XFRMA_ADDRESS_FILTER",
					  .min = sizeof(struct xfrm_address_filter),
					  .max = sizeof(struct xfrm_address_filter)},
	};
	unsigned int bits;
	int ret;

	memset(filter, 0, sizeof(*filter));
	if (mnl_nlmsg_get_payload_len(dump->nlh) == sizeof(struct xfrm_usersa_id))
		return 0;
	ret = pw_request_attributes(dump->request, 0, "XFRM SA dump", policy, XFRMA_MAX, in);
	if (ret)
		return ret;
	filter->protocol = in[XFRMA_PROTO] ? mnl_attr_get_u8(in[XFRMA_PROTO]) : 0;
	if (!in[XFRMA_ADDRESS_FILTER])
		return 0;
	filter->set = true;
	memcpy(&filter->address, mnl_attr_get_payload(in[XFRMA_ADDRESS_FILTER]),
	       sizeof(filter->address));
	bits = filter->address.family == AF_INET ? 32 : 128;
	if (filter->address.splen > bits || filter->address.dplen > bits)
		return pw_refuse(dump->request, in[XFRMA_ADDRESS_FILTER], -EINVAL,
				 "a filter's prefix is longer than %u bits", bits);
	return 0;
}

/** Where the dump goes on: cursor is an order, and the entry that had it unless some are gone. */
static struct pw_sa_entry *dump_resume(const struct pw_dump *dump)
{
	struct pw_sa_entry *entry;

	if (!dump->cursor[0])
		return TAILQ_FIRST(&pw_sa_list);
	if (dump->cursor[2] == pw_sa_generation)
		return (struct pw_sa_entry *)(uintptr_t)dump->cursor[1];
	TAILQ_FOREACH (entry, &pw_sa_list, all)
		if (entry->order <= dump->cursor[0])
			break;
	return entry;
}

int pw_netlink_sa_dump(struct pw_dump *dump)
{
	struct pw_sa_entry *entry = dump_resume(dump);
	bool keys = shows_keys(dump->request->client);
	struct filter filter;
	int ret = filter_parse(dump, &filter);

	if (ret)
		return ret;
	for (; entry; entry = TAILQ_NEXT(entry, all)) {
		struct nlmsghdr *nlh;

		if (!filter_matches(&filter, entry))
			continue;
		nlh = pw_dump_message(dump, XFRM_MSG_NEWSA, PW_SA_ROOM);
		if (!nlh) {
			dump->cursor[0] = entry->order;
			dump->cursor[1] = (uintptr_t)entry;
			dump->cursor[2] = pw_sa_generation;
			return 1;
		}
		pw_netlink_sa_put_info(nlh, entry->detail);
		pw_netlink_sa_put_attributes(nlh, entry->detail, keys);
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

/* ---- the database ---------------------------------------------------------------------------- */

int pw_netlink_sa_information(struct pw_request *request)
{
	uint32_t buffer[32];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct xfrmu_sadhinfo hash = {.sadhcnt = PW_SAS, .sadhmcnt = PW_SAS};
	uint32_t *flags = mnl_nlmsg_put_extra_header(nlh, sizeof(*flags));

	if (mnl_nlmsg_get_payload_len(request->nlh) < sizeof(*flags))
		return pw_refuse(request, NULL, -EINVAL, "XFRM_MSG_GETSADINFO without its flags");
	memcpy(flags, mnl_nlmsg_get_payload(request->nlh), sizeof(*flags));
	nlh->nlmsg_type = XFRM_MSG_NEWSADINFO;
	mnl_attr_put_u32(nlh, XFRMA_SAD_CNT, pw_sa_count);
	mnl_attr_put(nlh, XFRMA_SAD_HINFO, sizeof(hash), &hash);
	return pw_reply(request, nlh);
}
