/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's SAs as Pewter's. What an event says of one may be old by the time that it is
 * read, and numbers that were sent since must not be sent again: so an event only names the SA,
 * and what is true is asked for (XFRM_MSG_GETSA).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/feed/xfrm_internal.h"
#include "control/links.h"
#include "lib/log.h"

#define ANSWER_BYTES 8192
#define ATTRIBUTES   64

/* ---- names --------------------------------------------------------------------------------- */

void pw_xfrm_name(const struct pw_sa_detail *sa, struct pw_xfrm_name *name)
{
	pw_netlink_sa_id(sa, &name->id);
	name->mark.v = sa->entry.mark.value;
	name->mark.m = sa->entry.mark.mask;
}

void pw_xfrm_put_mark(struct nlmsghdr *nlh, const struct xfrm_mark *mark)
{
	if (mark->v | mark->m)
		mnl_attr_put(nlh, XFRMA_MARK, sizeof(*mark), mark);
}

static struct pw_sa_detail *find_any(const struct pw_xfrm_name *name)
{
	struct pw_address destination;

	if (name->id.proto != IPPROTO_ESP ||
	    (name->id.family != AF_INET && name->id.family != AF_INET6))
		return NULL;
	pw_netlink_sa_address(name->id.family, &name->id.daddr, &destination);
	return pw_sa_lookup(name->mark.v & name->mark.m, &destination, name->id.spi);
}

struct pw_sa_detail *pw_xfrm_sa_find(const struct pw_xfrm_name *name)
{
	struct pw_sa_detail *sa = find_any(name);

	return sa && sa->mirror.on ? sa : NULL;
}

void pw_xfrm_sa_remove(struct pw_sa_detail *sa)
{
	pw_netlink_sa_notify_delete(sa, 0);
	pw_sa_remove(sa);
}

/* ---- whose it is --------------------------------------------------------------------------- */

/** One SA of the kernel's, as its message has it. */
struct given {
	struct xfrm_usersa_info info;
	const struct nlattr *in[ATTRIBUTES];
	struct pw_xfrm_name name;
	uint32_t if_id;
};

static int given_read(const struct nlmsghdr *nlh, struct given *given)
{
	const struct nlattr *attribute, *mark, *if_id;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(given->info))
		return -EBADMSG;
	memset(given, 0, sizeof(*given));
	memcpy(&given->info, mnl_nlmsg_get_payload(nlh), sizeof(given->info));
	mnl_attr_for_each(attribute, nlh,
			  sizeof(given->info)) if (mnl_attr_get_type(attribute) < ATTRIBUTES)
		given->in[mnl_attr_get_type(attribute)] = attribute;
	mark = given->in[XFRMA_MARK];
	if (mark && mnl_attr_get_payload_len(mark) >= sizeof(given->name.mark))
		memcpy(&given->name.mark, mnl_attr_get_payload(mark), sizeof(given->name.mark));
	if_id = given->in[XFRMA_IF_ID];
	if (if_id && mnl_attr_get_payload_len(if_id) >= sizeof(uint32_t))
		given->if_id = mnl_attr_get_u32(if_id);
	given->name.id.daddr = given->info.id.daddr;
	given->name.id.spi = given->info.id.spi;
	given->name.id.family = given->info.family;
	given->name.id.proto = given->info.id.proto;
	return 0;
}

/**
 * Others' SAs are the kernel's business: of tunnel mode, or of another protocol than tunnels have
 * (L2TP's), unless they are selected. So are larvae, which have no keys yet.
 */
static bool concerns(const struct given *given)
{
	const struct pw_xfrm_options *options = &pw_xfrm_options;
	const struct xfrm_usersa_info *info = &given->info;
	const struct xfrm_mark *mark = &given->name.mark;

	if ((info->family != AF_INET && info->family != AF_INET6) || info->id.proto != IPPROTO_ESP)
		return false;
	/* A selector's device is the kernel's, which knows other numbers. */
	if ((!given->in[XFRMA_ALG_AEAD] && !given->in[XFRMA_ALG_CRYPT]) || info->sel.ifindex)
		return false;
	if (!pw_xfrm_selective() &&
	    (info->mode != XFRM_MODE_TRANSPORT || !pw_xfrm_tunnels(info->sel.proto)))
		return false;
	if (options->by_mark ? mark->v != options->mark || mark->m != options->mask : mark->v != 0)
		return false;
	if (options->by_reqid &&
	    (info->reqid < options->reqid_first || info->reqid > options->reqid_last))
		return false;
	return given->if_id == options->if_id;
}

/** A kernel in lockdown answers with zeros for keys (LOCKDOWN_XFRM_SECRET). */
static bool key_hidden(const struct nlattr *attribute, size_t header)
{
	const uint8_t *data = attribute ? mnl_attr_get_payload(attribute) : NULL;
	size_t size = attribute ? mnl_attr_get_payload_len(attribute) : 0;
	uint8_t any = 0;

	for (size_t i = header; i < size; i++)
		any |= data[i];
	return size > header && !any;
}

static bool keys_hidden(const struct given *given)
{
	return key_hidden(given->in[XFRMA_ALG_AEAD], sizeof(struct xfrm_algo_aead)) ||
	       key_hidden(given->in[XFRMA_ALG_CRYPT], sizeof(struct xfrm_algo)) ||
	       key_hidden(given->in[XFRMA_ALG_AUTH_TRUNC], sizeof(struct xfrm_algo_auth));
}

/* ---- as a request -------------------------------------------------------------------------- */

/** What says how the kernel itself works, and not how the SA is to be used. */
static bool left_out(uint16_t type)
{
	enum { SA_DIR = XFRMA_MTIMER_THRESH + 1, NAT_KEEPALIVE, PCPU }; /* of newer kernels */

	return type == XFRMA_LASTUSED || type == XFRMA_PAD || type == XFRMA_OFFLOAD_DEV ||
	       type == XFRMA_LTIME_VAL || type == SA_DIR || type == NAT_KEEPALIVE || type == PCPU;
}

/** What a daemon would ask of Pewter to have such an SA: @p buffer is of ANSWER_BYTES + 256. */
static struct nlmsghdr *request_make(void *buffer, const struct nlmsghdr *nlh,
				     const struct given *given)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct xfrm_usersa_info *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
	const struct nlattr *attribute;

	request->nlmsg_type = XFRM_MSG_NEWSA;
	request->nlmsg_flags = NLM_F_REQUEST;
	*info = given->info;
	/* Some daemons say the window twice. */
	if (given->in[XFRMA_REPLAY_ESN_VAL])
		info->replay_window = 0;
	mnl_attr_for_each(attribute, nlh,
			  sizeof(*info)) if (!left_out(mnl_attr_get_type(attribute)))
		mnl_attr_put(request, mnl_attr_get_type(attribute),
			     mnl_attr_get_payload_len(attribute), mnl_attr_get_payload(attribute));
	mnl_attr_put(request, XFRMA_LTIME_VAL, sizeof(info->curlft), &given->info.curlft);
	return request;
}

static bool same_keys(const struct pw_sa_detail *sa, const struct pw_sa_detail *model,
		      const struct pw_sa_keys *keys)
{
	size_t cipher = sa->suite->key_bytes, auth = sa->suite->auth_key_bytes;

	return sa->suite == model->suite && memcmp(sa->secret, keys->cipher, cipher) == 0 &&
	       (!auth || memcmp(sa->secret + cipher, keys->auth, auth) == 0);
}

/** What XFRM_MSG_UPDSA cannot change. */
static bool same_sa(const struct pw_sa_detail *sa, const struct pw_sa_detail *model,
		    const struct pw_sa_keys *keys)
{
	return same_keys(sa, model, keys) && sa->window == model->window &&
	       sa->flags == model->flags && sa->wide_replay == model->wide_replay &&
	       sa->entry.reqid == model->entry.reqid && sa->entry.mode == model->entry.mode &&
	       sa->extra_flags == model->extra_flags && sa->tfc_pad == model->tfc_pad &&
	       !sa->encap.encap_type == !model->encap.encap_type &&
	       sa->entry.mark.mask == model->entry.mark.mask &&
	       pw_address_same(&sa->entry.source, &model->entry.source) &&
	       memcmp(&sa->selector, &model->selector, sizeof(sa->selector)) == 0;
}

static bool same_details(const struct pw_sa_detail *sa, const struct pw_sa_detail *model)
{
	return memcmp(&sa->limits, &model->limits, sizeof(sa->limits)) == 0 &&
	       memcmp(&sa->encap, &model->encap, sizeof(sa->encap)) == 0 &&
	       sa->set_mark.value == model->set_mark.value &&
	       sa->set_mark.mask == model->set_mark.mask && sa->entry.if_id == model->entry.if_id;
}

/* ---- taking -------------------------------------------------------------------------------- */

static void refused(const struct given *given, const char *why)
{
	struct pw_address destination;
	char text[PW_ADDRESS_TEXT];

	pw_xfrm_counters.refused++;
	pw_netlink_sa_address(given->info.family, &given->info.id.daddr, &destination);
	pw_warning("the kernel's SA 0x%08x to %s is not taken: %s", ntohl(given->info.id.spi),
		   pw_address_format(&destination, text), why);
}

static int submit(struct nlmsghdr *request, uint16_t type, const struct given *given)
{
	char why[160] = "";
	int ret;

	request->nlmsg_type = type;
	ret = pw_request_internal_protocol(NETLINK_XFRM, request, why, sizeof(why));
	if (ret)
		refused(given, why);
	return ret;
}

static void add(struct nlmsghdr *request, const struct given *given)
{
	const struct nlattr *wide = given->in[XFRMA_REPLAY_ESN_VAL];
	struct pw_sa_detail *sa;
	int ret;

	if (submit(request, XFRM_MSG_NEWSA, given))
		return;
	sa = find_any(&given->name);
	if (!sa)
		return;
	sa->mirror = (struct pw_sa_mirror){.on = true};
	if (wide)
		sa->mirror.words =
			((const struct xfrm_replay_state_esn *)mnl_attr_get_payload(wide))->bmp_len;
	ret = pw_xfrm_lease(sa);
	if (!ret)
		return;
	if (ret != -ESRCH)
		refused(given, strerror(-ret));
	pw_xfrm_sa_remove(sa);
}

/** Ours goes on with its own counts where it is the same SA still. */
static void compare(struct pw_sa_detail *sa, struct nlmsghdr *request, const struct given *given)
{
	struct pw_request parsed = {.nlh = request, .protocol = NETLINK_XFRM};
	struct pw_sa_detail model;
	struct pw_sa_replay replay;
	struct pw_sa_keys keys;

	if (pw_netlink_sa_parse(&parsed, &model, &keys, &replay)) {
		refused(given, parsed.text);
		pw_xfrm_sa_remove(sa);
		return;
	}
	if (!same_sa(sa, &model, &keys)) {
		pw_xfrm_sa_remove(sa);
		add(request, given);
		return;
	}
	sa->mirror.stale = false;
	if (!same_details(sa, &model))
		submit(request, XFRM_MSG_UPDSA, given);
}

int pw_xfrm_sa_take(const struct nlmsghdr *nlh, void *context)
{
	static char buffer[ANSWER_BYTES + 256] __attribute__((aligned(8)));
	struct pw_sa_detail *sa;
	struct nlmsghdr *request;
	struct given given;

	if (nlh->nlmsg_type != XFRM_MSG_NEWSA || nlh->nlmsg_len > ANSWER_BYTES ||
	    given_read(nlh, &given))
		return 0;
	sa = find_any(&given.name);
	if (!concerns(&given)) {
		pw_xfrm_counters.skipped++;
		if (sa && sa->mirror.on)
			pw_xfrm_sa_remove(sa);
		return 0;
	}
	if (sa && !sa->mirror.on && !sa->entry.larval) {
		refused(&given, "there is one that was configured");
		return 0;
	}
	if (keys_hidden(&given)) {
		refused(&given, "the kernel hides its keys (lockdown=confidentiality)");
		return 0;
	}
	request = request_make(buffer, nlh, &given);
	if (sa && sa->mirror.on)
		compare(sa, request, &given);
	else
		add(request, &given);
	explicit_bzero(buffer, request->nlmsg_len);
	return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int copy_answer(const struct nlmsghdr *nlh, void *context)
{
	if (nlh->nlmsg_len > ANSWER_BYTES)
		return -EMSGSIZE;
	memcpy(context, nlh, nlh->nlmsg_len);
	return 0;
}

void pw_xfrm_sa_refresh(const struct pw_xfrm_name *name)
{
	static char answer[ANSWER_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *got = (struct nlmsghdr *)answer;
	struct pw_sa_detail *sa = pw_xfrm_sa_find(name);
	char buffer[256];
	struct nlmsghdr *nlh;
	int ret;

	if (name->id.proto != IPPROTO_ESP)
		return;
	nlh = pw_xfrm_message(buffer, XFRM_MSG_GETSA, 0);
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(name->id)), &name->id, sizeof(name->id));
	pw_xfrm_put_mark(nlh, &name->mark);
	got->nlmsg_len = 0;
	ret = pw_xfrm_exchange(nlh, copy_answer, answer);
	if (!ret && got->nlmsg_len)
		pw_xfrm_sa_take(got, NULL);
	else if (sa && ret == -ESRCH)
		pw_xfrm_sa_remove(sa);
	else if (ret && ret != -ESRCH)
		pw_warning("an SA of the kernel's cannot be read: %s", strerror(-ret));
	explicit_bzero(answer, got->nlmsg_len);
}

int pw_xfrm_sas_read(void)
{
	struct pw_sa_entry *entry, *next;
	int ret;

	for (entry = TAILQ_FIRST(&pw_sa_list); entry; entry = TAILQ_NEXT(entry, all))
		entry->detail->mirror.stale = entry->detail->mirror.on;
	ret = pw_xfrm_dump(XFRM_MSG_GETSA, pw_xfrm_sa_take, NULL);
	if (ret)
		return ret;
	for (entry = TAILQ_FIRST(&pw_sa_list); entry; entry = next) {
		next = TAILQ_NEXT(entry, all);
		if (entry->detail->mirror.stale)
			pw_xfrm_sa_remove(entry->detail);
	}
	return 0;
}
