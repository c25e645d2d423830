/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * XFRM_MSG_NEWSA, UPDSA, DELSA, GETSA, FLUSHSA, ALLOCSPI: what they do is what Linux does
 * (net/xfrm), but for SAs of ESP that a tunnel can be sent in.
 */
#include "control/sa.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "control/links.h"

#define SPI_TRIES    1024
#define PROTOCOL_ANY 255 /* IPSEC_PROTO_ANY */

/* ---- naming one ------------------------------------------------------------------------------ */

struct pw_sa_detail *pw_netlink_sa_named(struct pw_request *request,
					 const struct xfrm_usersa_id *id,
					 const struct nlattr *mark_attribute, int *ret)
{
	struct pw_mark mark = pw_netlink_sa_mark(mark_attribute);
	struct pw_address destination;
	char text[PW_ADDRESS_TEXT];
	struct pw_sa_detail *sa;

	*ret = pw_netlink_sa_family(request, id->family, id->proto);
	if (*ret)
		return NULL;
	pw_netlink_sa_address(id->family, &id->daddr, &destination);
	sa = pw_sa_lookup(mark.value & mark.mask, &destination, id->spi);
	if (!sa)
		*ret = pw_refuse(request, NULL, -ESRCH, "there is no SA with SPI 0x%08x to %s",
				 ntohl(id->spi), pw_address_format(&destination, text));
	return sa;
}

/** What a struct xfrm_usersa_id at the message's begin names. */
static struct pw_sa_detail *find_named(struct pw_request *request, int *ret)
{
	const struct nlattr *in[XFRMA_MAX + 1];
	struct xfrm_usersa_id id;

	*ret = pw_request_attributes(request, sizeof(id), "XFRM SA", pw_netlink_sa_policy,
				     XFRMA_MAX, in);
	if (*ret)
		return NULL;
	memcpy(&id, mnl_nlmsg_get_payload(request->nlh), sizeof(id));
	return pw_netlink_sa_named(request, &id, in[XFRMA_MARK], ret);
}

static struct pw_sa_detail *same_named(const struct pw_sa_detail *model)
{
	const struct pw_sa_entry *entry = &model->entry;

	return pw_sa_lookup(entry->mark.value & entry->mark.mask, &entry->destination, entry->spi);
}

/* ---- new and changed --------------------------------------------------------------------- */

static int add(struct pw_request *request, const struct pw_sa_detail *model,
	       const struct pw_sa_keys *keys, const struct pw_sa_replay *replay,
	       struct pw_sa_detail *larva)
{
	char why[PW_CRYPTO_WHY_BYTES] = "";
	struct pw_sa_detail *sa;
	int ret = pw_sa_add(model, keys, replay, larva, &sa, why);

	if (ret)
		return pw_refuse(request, NULL, ret, "%s", why);
	pw_netlink_sa_notify_new(sa, request->nlh->nlmsg_type, request->nlh->nlmsg_seq);
	return 0;
}

static int handle_newsa(struct pw_request *request)
{
	struct pw_sa_detail model;
	struct pw_sa_replay replay;
	struct pw_sa_keys keys;
	char text[PW_ADDRESS_TEXT];
	int ret = pw_netlink_sa_parse(request, &model, &keys, &replay);

	if (ret)
		return ret;
	if (same_named(&model))
		return pw_refuse(request, NULL, -EEXIST, "an SA with SPI 0x%08x to %s exists",
				 ntohl(model.entry.spi),
				 pw_address_format(&model.entry.destination, text));
	return add(request, &model, &keys, &replay, pw_sa_larva_of(&model));
}

static void set_if_id(struct pw_sa_detail *sa, uint32_t if_id)
{
	if (if_id == sa->entry.if_id)
		return;
	pw_sa_inside_unlink(sa);
	sa->entry.if_id = if_id;
	pw_sa_inside_link(sa);
	pw_sa_follow(sa);
}

/** Of an SA that has its keys, only some things can be changed. */
static int update(struct pw_request *request, struct pw_sa_detail *sa,
		  const struct pw_sa_detail *model)
{
	struct pw_sa_detail old = *sa;
	int ret;

	if (!sa->encap.encap_type != !model->encap.encap_type)
		return pw_refuse(request, NULL, -EINVAL,
				 "whether an SA is in UDP cannot be changed: add another");
	sa->encap = model->encap;
	if (model->set_mark.mask || model->set_mark.value || model->entry.if_id) {
		sa->set_mark = model->set_mark;
		set_if_id(sa, model->entry.if_id ? model->entry.if_id : sa->entry.if_id);
	}
	ret = pw_sa_publish(sa);
	if (ret) {
		sa->encap = old.encap;
		sa->set_mark = old.set_mark;
		set_if_id(sa, old.entry.if_id);
		return pw_refuse(request, NULL, ret, "the table of SAs is full");
	}
	sa->limits = model->limits;
	sa->entry.dying = false;
	pw_sa_lifetime_changed(sa);
	pw_protection_sa_changed(&sa->entry);
	pw_netlink_sa_notify_new(sa, XFRM_MSG_UPDSA, request->nlh->nlmsg_seq);
	return 0;
}

static int handle_updsa(struct pw_request *request)
{
	struct pw_sa_detail model, *sa;
	struct pw_sa_replay replay;
	struct pw_sa_keys keys;
	char text[PW_ADDRESS_TEXT];
	int ret = pw_netlink_sa_parse(request, &model, &keys, &replay);

	if (ret)
		return ret;
	sa = same_named(&model);
	if (!sa) {
		sa = pw_sa_larva_by_seq(model.seq);
		if (sa && (sa->entry.spi ||
			   !pw_address_same(&sa->entry.destination, &model.entry.destination)))
			sa = NULL;
	}
	if (!sa)
		return pw_refuse(request, NULL, -ESRCH, "there is no SA with SPI 0x%08x to %s",
				 ntohl(model.entry.spi),
				 pw_address_format(&model.entry.destination, text));
	return sa->entry.larval ? add(request, &model, &keys, &replay, sa)
				: update(request, sa, &model);
}

/* ---- gone --------------------------------------------------------------------------------- */

static int handle_delsa(struct pw_request *request)
{
	int ret;
	struct pw_sa_detail *sa = find_named(request, &ret);

	if (!sa)
		return ret;
	pw_netlink_sa_notify_delete(sa, request->nlh->nlmsg_seq);
	pw_sa_remove(sa);
	return 0;
}

static int handle_flushsa(struct pw_request *request)
{
	const struct xfrm_usersa_flush *flush = mnl_nlmsg_get_payload(request->nlh);
	struct pw_sa_entry *entry;
	bool any = false;

	if (mnl_nlmsg_get_payload_len(request->nlh) < sizeof(*flush))
		return pw_refuse(request, NULL, -EINVAL, "XFRM_MSG_FLUSHSA without a protocol");
	if (flush->proto && flush->proto != PROTOCOL_ANY && flush->proto != IPPROTO_ESP)
		return 0;
	while ((entry = TAILQ_FIRST(&pw_sa_list))) {
		pw_sa_remove(entry->detail);
		any = true;
	}
	if (any)
		pw_netlink_sa_notify_flush(flush->proto, request->nlh->nlmsg_seq);
	return 0;
}

static int handle_getsa(struct pw_request *request)
{
	int ret;
	struct pw_sa_detail *sa = find_named(request, &ret);

	return sa ? pw_netlink_sa_answer(request, sa) : ret;
}

/* ---- SPIs ---------------------------------------------------------------------------------- */

static bool spi_free(const struct pw_sa_detail *larva, uint32_t spi)
{
	const struct pw_sa_entry *entry = &larva->entry;

	return !pw_sa_lookup(entry->mark.value & entry->mark.mask, &entry->destination, htonl(spi));
}

/** A free SPI of the range, by chance; the range as a whole where it is small. 0: none. */
static uint32_t spi_choose(const struct pw_sa_detail *larva, uint32_t min, uint32_t max)
{
	uint64_t range = (uint64_t)max - min + 1;
	uint64_t random = 0;

	for (unsigned int i = 0; i < SPI_TRIES; i++) {
		uint32_t spi;

		if (getrandom(&random, sizeof(random), 0) != sizeof(random))
			return 0;
		spi = min + (uint32_t)(random % range);
		if (spi_free(larva, spi))
			return spi;
	}
	for (uint64_t i = 0; i < range && range <= 2 * SPI_TRIES; i++)
		if (spi_free(larva, min + (uint32_t)i))
			return min + (uint32_t)i;
	return 0;
}

static int allocspi_check(struct pw_request *request, const struct xfrm_userspi_info *in)
{
	int ret = pw_netlink_sa_family(request, in->info.family, in->info.id.proto);

	if (ret)
		return ret;
	if (in->info.mode >= XFRM_MODE_MAX)
		return pw_refuse(request, NULL, -EINVAL, "there is no mode %u", in->info.mode);
	if (in->min > in->max)
		return pw_refuse(request, NULL, -EINVAL, "SPIs from %#x to %#x are none", in->min,
				 in->max);
	if (in->min < PW_SA_SPI_MIN)
		return pw_refuse(request, NULL, -EINVAL,
				 "SPI %u is reserved: they begin at 256 (RFC 4303 section 2.1)",
				 in->min);
	return 0;
}

static void larva_model(const struct xfrm_usersa_info *info, const struct nlattr *const *in,
			struct pw_sa_detail *model)
{
	struct pw_sa_entry *entry = &model->entry;

	memset(model, 0, sizeof(*model));
	pw_netlink_sa_address(info->family, &info->saddr, &entry->source);
	pw_netlink_sa_address(info->family, &info->id.daddr, &entry->destination);
	entry->mode = info->mode;
	entry->reqid = info->reqid;
	entry->mark = pw_netlink_sa_mark(in[XFRMA_MARK]);
	entry->if_id = in[XFRMA_IF_ID] ? mnl_attr_get_u32(in[XFRMA_IF_ID]) : 0;
	model->seq = info->seq;
}

static int handle_allocspi(struct pw_request *request)
{
	const struct nlattr *in[XFRMA_MAX + 1];
	struct pw_sa_detail model, *larva;
	struct xfrm_userspi_info wanted;
	uint32_t spi;
	int ret = pw_request_attributes(request, sizeof(wanted), "XFRM SPI", pw_netlink_sa_policy,
					XFRMA_MAX, in);

	if (ret)
		return ret;
	memcpy(&wanted, mnl_nlmsg_get_payload(request->nlh), sizeof(wanted));
	ret = allocspi_check(request, &wanted);
	if (ret)
		return ret;
	larva_model(&wanted.info, in, &model);
	larva = pw_sa_larva_of(&model);
	if (larva && larva->entry.spi) /* asked for again: the same answer */
		return pw_netlink_sa_answer(request, larva);
	spi = spi_choose(&model, wanted.min, wanted.max);
	if (!spi)
		return pw_refuse(request, NULL, -ENOENT, "no SPI from %#x to %#x is free",
				 wanted.min, wanted.max);
	if (larva) {
		pw_sa_larva_spi(larva, htonl(spi));
	} else {
		model.entry.spi = htonl(spi);
		larva = pw_sa_add_larva(&model);
	}
	if (!larva)
		return pw_refuse(request, NULL, -ENOSPC, "too many SAs wait for their keys");
	return pw_netlink_sa_answer(request, larva);
}

void pw_netlink_sa_init(void)
{
	static const struct {
		uint16_t type;
		pw_request_fn handle;
		pw_dump_fn dump;
	} handlers[] = {
		{XFRM_MSG_NEWSA, handle_newsa, NULL},
		{XFRM_MSG_UPDSA, handle_updsa, NULL},
		{XFRM_MSG_DELSA, handle_delsa, NULL},
		{XFRM_MSG_GETSA, handle_getsa, pw_netlink_sa_dump},
		{XFRM_MSG_FLUSHSA, handle_flushsa, NULL},
		{XFRM_MSG_ALLOCSPI, handle_allocspi, NULL},
		{XFRM_MSG_GETSADINFO, pw_netlink_sa_information, NULL},
	};

	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		pw_request_register_protocol(NETLINK_XFRM, handlers[i].type, -1, handlers[i].handle,
					     handlers[i].dump);
}
