/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What XFRM_MSG_NEWSA and XFRM_MSG_UPDSA ask for: decoded, and refused where it is wrong or is not
 * done here. Keys stay in the message.
 */
#include "control/sa.h"

#include <errno.h>
#include <linux/udp.h>
#include <string.h>

#include "control/links.h"
#include "drivers/crypto_inline.h"
#include "drivers/port.h"

#define TFC_MAX    PW_CRYPTO_TEXT_MAX
#define NAME_BYTES 64
#define FLAGS_TAKEN                                                                                \
	(XFRM_STATE_NOECN | XFRM_STATE_DECAP_DSCP | XFRM_STATE_NOPMTUDISC | XFRM_STATE_AF_UNSPEC | \
	 XFRM_STATE_ESN)

#define SIZE(x) .min = sizeof(x), .max = sizeof(x)

/* clang-format off */
const struct pw_attribute_policy pw_netlink_sa_policy[XFRMA_MAX + 1] = {
	[XFRMA_ALG_AUTH] = {"XFRMA_ALG_AUTH", .min = sizeof(struct xfrm_algo)},
	[XFRMA_ALG_CRYPT] = {"XFRMA_ALG_CRYPT", .min = sizeof(struct xfrm_algo)},
	[XFRMA_ALG_COMP] = {"XFRMA_ALG_COMP", .min = 1},
	[XFRMA_ENCAP] = {"XFRMA_ENCAP", SIZE(struct xfrm_encap_tmpl)},
	[XFRMA_SEC_CTX] = {"XFRMA_SEC_CTX", .min = 1},
	[XFRMA_LTIME_VAL] = {"XFRMA_LTIME_VAL", SIZE(struct xfrm_lifetime_cur)},
	/* charon, to move an SA, sends what it read with what it read later behind it. */
	[XFRMA_REPLAY_VAL] = {"XFRMA_REPLAY_VAL", SIZE(struct xfrm_replay_state), .last = true},
	[XFRMA_REPLAY_THRESH] = {"XFRMA_REPLAY_THRESH", SIZE(uint32_t)},
	[XFRMA_ETIMER_THRESH] = {"XFRMA_ETIMER_THRESH", SIZE(uint32_t)},
	[XFRMA_SRCADDR] = {"XFRMA_SRCADDR", SIZE(xfrm_address_t)},
	[XFRMA_COADDR] = {"XFRMA_COADDR", SIZE(xfrm_address_t)},
	/* Dumps carry it, and daemons send back what they read. */
	[XFRMA_LASTUSED] = {"XFRMA_LASTUSED", SIZE(uint64_t), .ignored = true},
	[XFRMA_ALG_AEAD] = {"XFRMA_ALG_AEAD", .min = sizeof(struct xfrm_algo_aead)},
	[XFRMA_ALG_AUTH_TRUNC] = {"XFRMA_ALG_AUTH_TRUNC", .min = sizeof(struct xfrm_algo_auth)},
	[XFRMA_MARK] = {"XFRMA_MARK", SIZE(struct xfrm_mark)},
	[XFRMA_TFCPAD] = {"XFRMA_TFCPAD", SIZE(uint32_t)},
	[XFRMA_REPLAY_ESN_VAL] = {"XFRMA_REPLAY_ESN_VAL",
		.min = sizeof(struct xfrm_replay_state_esn), .last = true},
	[XFRMA_SA_EXTRA_FLAGS] = {"XFRMA_SA_EXTRA_FLAGS", SIZE(uint32_t)},
	[XFRMA_PROTO] = {"XFRMA_PROTO", SIZE(uint8_t)},
	[XFRMA_PAD] = {"XFRMA_PAD", .ignored = true},
	[XFRMA_OFFLOAD_DEV] = {"XFRMA_OFFLOAD_DEV", SIZE(struct xfrm_user_offload)},
	[XFRMA_SET_MARK] = {"XFRMA_SET_MARK", SIZE(uint32_t)},
	[XFRMA_SET_MARK_MASK] = {"XFRMA_SET_MARK_MASK", SIZE(uint32_t)},
	[XFRMA_IF_ID] = {"XFRMA_IF_ID", SIZE(uint32_t)},
	[XFRMA_MTIMER_THRESH] = {"XFRMA_MTIMER_THRESH", SIZE(uint32_t)},
};
/* clang-format on */

static uint32_t get_u32(const struct nlattr *attribute)
{
	return attribute ? mnl_attr_get_u32(attribute) : 0;
}

void pw_netlink_sa_address(uint16_t family, const xfrm_address_t *from, struct pw_address *to)
{
	memset(to, 0, sizeof(*to));
	to->family = (uint8_t)family;
	memcpy(to->bytes, from, pw_address_size(family));
}

struct pw_mark pw_netlink_sa_mark(const struct nlattr *attribute)
{
	struct xfrm_mark mark = {0};

	if (attribute)
		memcpy(&mark, mnl_attr_get_payload(attribute), sizeof(mark));
	return (struct pw_mark){mark.v, mark.m};
}

/* ---- algorithms ---------------------------------------------------------------------------- */

/** One algorithm of the message: its name, the numbers behind it, its key. */
struct algorithm {
	char name[NAME_BYTES];
	unsigned int key_bits, icv_bits;
	const void *key;
};

/** The three structs differ by one number. */
static int algorithm_get(struct pw_request *request, const struct nlattr *attribute, bool has_icv,
			 struct algorithm *out)
{
	const char *data = mnl_attr_get_payload(attribute);
	size_t header = NAME_BYTES + (has_icv ? 2 : 1) * sizeof(unsigned int);
	size_t size = mnl_attr_get_payload_len(attribute);

	memcpy(out->name, data, NAME_BYTES);
	memcpy(&out->key_bits, data + NAME_BYTES, sizeof(out->key_bits));
	if (has_icv)
		memcpy(&out->icv_bits, data + NAME_BYTES + sizeof(out->key_bits),
		       sizeof(out->icv_bits));
	out->key = data + header;
	if (!memchr(out->name, 0, NAME_BYTES))
		return pw_refuse(request, attribute, -EINVAL,
				 "the name of an algorithm does not end");
	if (out->key_bits % 8 || out->key_bits / 8 > size - header)
		return pw_refuse(request, attribute, -EINVAL,
				 "%s: a key of %u bits is not in the message", out->name,
				 out->key_bits);
	return 0;
}

/** The ICV that XFRMA_ALG_AUTH, which has no number for it, means in Linux. */
static unsigned int icv_default(const char *name)
{
	static const struct {
		const char *name;
		unsigned int bits;
	} defaults[] = {
		{"hmac(sha384)", 192}, {"sha384", 192}, {"hmac(sha512)", 256}, {"sha512", 256}};

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		if (strcmp(name, defaults[i].name) == 0)
			return defaults[i].bits;
	return 96;
}

static int auth_get(struct pw_request *request, const struct nlattr *const *in,
		    struct algorithm *out)
{
	int ret;

	/* With both there, the one that says the truncation counts. */
	if (in[XFRMA_ALG_AUTH_TRUNC]) {
		ret = algorithm_get(request, in[XFRMA_ALG_AUTH_TRUNC], true, out);
		if (!ret && !out->icv_bits)
			out->icv_bits = icv_default(out->name);
		return ret;
	}
	ret = algorithm_get(request, in[XFRMA_ALG_AUTH], false, out);
	out->icv_bits = icv_default(out->name);
	return ret;
}

static int algorithms_get(struct pw_request *request, const struct nlattr *const *in,
			  struct algorithm *cipher, struct algorithm *auth, bool *with_auth)
{
	int ret = 0;

	*with_auth = in[XFRMA_ALG_AUTH] || in[XFRMA_ALG_AUTH_TRUNC];
	if (in[XFRMA_ALG_AEAD]) {
		if (in[XFRMA_ALG_CRYPT] || *with_auth)
			return pw_refuse(request, in[XFRMA_ALG_AEAD], -EINVAL,
					 "an AEAD comes without another cipher or HMAC");
		return algorithm_get(request, in[XFRMA_ALG_AEAD], true, cipher);
	}
	if (!in[XFRMA_ALG_CRYPT])
		return pw_refuse(request, NULL, -EINVAL,
				 "ESP needs an encryption algorithm or AEAD");
	ret = algorithm_get(request, in[XFRMA_ALG_CRYPT], false, cipher);
	if (!ret && *with_auth)
		ret = auth_get(request, in, auth);
	return ret;
}

static int suite_parse(struct pw_request *request, const struct nlattr *const *in,
		       struct pw_sa_detail *model, struct pw_sa_keys *keys)
{
	struct algorithm cipher = {0}, auth = {0};
	char why[PW_CRYPTO_WHY_BYTES] = "";
	const struct nlattr *blamed = in[XFRMA_ALG_AEAD] ? in[XFRMA_ALG_AEAD] : in[XFRMA_ALG_CRYPT];
	struct pw_crypto_proposal proposal;
	bool with_auth;
	int ret = algorithms_get(request, in, &cipher, &auth, &with_auth);

	if (ret)
		return ret;
	proposal = (struct pw_crypto_proposal){
		.cipher = cipher.name,
		.key_bits = cipher.key_bits,
		.icv_bits = with_auth ? auth.icv_bits : cipher.icv_bits,
		.auth = with_auth ? auth.name : NULL,
		.auth_key_bits = auth.key_bits,
	};
	ret = pw_crypto_suite_find(&proposal, &model->suite, why);
	if (ret)
		return pw_refuse(request, blamed, ret, "%s", why);
	keys->cipher = cipher.key;
	keys->auth = with_auth ? auth.key : NULL;
	return 0;
}

/* ---- the fixed part -------------------------------------------------------------------------- */

int pw_netlink_sa_family(struct pw_request *request, uint16_t family, uint8_t protocol)
{
	if (family != AF_INET && family != AF_INET6)
		return pw_refuse(request, NULL, -EAFNOSUPPORT,
				 "an SA is for IPv4 or IPv6, not for address family %u", family);
	if (protocol == IPPROTO_AH)
		return pw_refuse(
			request, NULL, -EPROTONOSUPPORT,
			"AH is not supported: ESP with NULL or GMAC gives integrity alone");
	if (protocol == IPPROTO_COMP)
		return pw_refuse(request, NULL, -EPROTONOSUPPORT, "IPComp is not supported");
	if (protocol != IPPROTO_ESP)
		return pw_refuse(request, NULL, -EPROTONOSUPPORT,
				 "protocol %u is not supported: SAs are of ESP", protocol);
	return 0;
}

static int mode_check(struct pw_request *request, uint8_t mode)
{
	static const char *const names[] = {"transport", "tunnel", "route optimization",
					    "in-trigger", "BEET"};

	if (mode == XFRM_MODE_TRANSPORT || mode == XFRM_MODE_TUNNEL)
		return 0;
	if (mode < XFRM_MODE_MAX)
		return pw_refuse(request, NULL, -EOPNOTSUPP, "%s mode is not supported",
				 names[mode]);
	return pw_refuse(request, NULL, -EINVAL, "there is no mode %u", mode);
}

static int selector_check(struct pw_request *request, const struct xfrm_usersa_info *info)
{
	const struct xfrm_selector *sel = &info->sel;
	unsigned int bits = sel->family == AF_INET ? 32 : 128;

	if (sel->family != AF_UNSPEC && sel->family != AF_INET && sel->family != AF_INET6)
		return pw_refuse(request, NULL, -EINVAL,
				 "a selector is for IPv4 or IPv6, not for address family %u",
				 sel->family);
	if (info->mode == XFRM_MODE_TRANSPORT && sel->family != AF_UNSPEC &&
	    sel->family != info->family)
		return pw_refuse(request, NULL, -EINVAL,
				 "in transport mode the selector has the SA's address family");
	if (sel->prefixlen_d > bits || sel->prefixlen_s > bits)
		return pw_refuse(request, NULL, -EINVAL,
				 "a selector's prefix is longer than %u bits", bits);
	return 0;
}

static int flags_check(struct pw_request *request, uint32_t flags)
{
	if (flags & XFRM_STATE_WILDRECV)
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "flag wildrecv is not supported: the source of every packet is "
				 "checked");
	if (flags & XFRM_STATE_ICMP)
		return pw_refuse(request, NULL, -EOPNOTSUPP, "flag icmp is not supported");
	if (flags & XFRM_STATE_ALIGN4)
		return pw_refuse(request, NULL, -EOPNOTSUPP, "flag align4 is for AH");
	if (flags & ~(uint32_t)FLAGS_TAKEN)
		return pw_refuse(request, NULL, -EINVAL, "SA flags %#x are unknown",
				 flags & ~(uint32_t)FLAGS_TAKEN);
	return 0;
}

static int addresses_check(struct pw_request *request, const struct pw_sa_entry *entry)
{
	static const uint8_t zero[16];

	if (memcmp(entry->destination.bytes, zero, 16) == 0 ||
	    pw_address_multicast(&entry->destination))
		return pw_refuse(request, NULL, -EINVAL, "an SA's destination is a host's address");
	if (pw_address_multicast(&entry->source))
		return pw_refuse(request, NULL, -EINVAL, "an SA's source is a host's address");
	return 0;
}

static int info_parse(struct pw_request *request, const struct xfrm_usersa_info *info,
		      struct pw_sa_detail *model)
{
	struct pw_sa_entry *entry = &model->entry;
	int ret = pw_netlink_sa_family(request, info->family, info->id.proto);

	ret = ret ? ret : mode_check(request, info->mode);
	ret = ret ? ret : selector_check(request, info);
	ret = ret ? ret : flags_check(request, info->flags);
	if (ret)
		return ret;
	if (ntohl(info->id.spi) < PW_SA_SPI_MIN)
		return pw_refuse(request, NULL, -EINVAL,
				 "SPI %u is reserved: they begin at 256 (RFC 4303 section 2.1)",
				 ntohl(info->id.spi));
	pw_netlink_sa_address(info->family, &info->saddr, &entry->source);
	pw_netlink_sa_address(info->family, &info->id.daddr, &entry->destination);
	ret = addresses_check(request, entry);
	if (ret)
		return ret;
	entry->spi = info->id.spi;
	entry->mode = info->mode;
	entry->reqid = info->reqid;
	model->seq = info->seq;
	model->window = info->replay_window;
	model->flags = info->flags;
	model->limits = info->lft;
	model->selector = info->sel;
	if (!model->selector.family && !(info->flags & XFRM_STATE_AF_UNSPEC))
		model->selector.family = info->family;
	return 0;
}

/* ---- attributes ---------------------------------------------------------------------------- */

static int offload_parse(struct pw_request *request, const struct nlattr *attribute,
			 struct pw_sa_detail *model)
{
	struct xfrm_user_offload offload;
	const struct pw_port *port;
	const struct pw_link *link;

	if (!attribute)
		return 0;
	memcpy(&offload, mnl_attr_get_payload(attribute), sizeof(offload));
	if (offload.flags & ~(XFRM_OFFLOAD_IPV6 | XFRM_OFFLOAD_INBOUND))
		return pw_refuse(request, attribute, -EOPNOTSUPP,
				 "offload flags %#x are not supported: only crypto is offloaded",
				 offload.flags);
	link = pw_link_by_index((uint32_t)offload.ifindex);
	if (!link)
		return pw_refuse(request, attribute, -ENODEV, "no link has index %d",
				 offload.ifindex);
	port = link->kind == PW_LINK_PORT ? pw_port_find(link->port) : NULL;
	if (!port || !pw_inline_port_has(port->ethdev))
		return pw_refuse(request, attribute, -EOPNOTSUPP,
				 "%s cannot take an SA: it has no inline crypto", link->name);
	offload.flags &= XFRM_OFFLOAD_INBOUND; /* as it is told again */
	model->offload = offload;
	model->offload_ethdev = port->ethdev;
	return 0;
}

static int unsupported_check(struct pw_request *request, const struct nlattr *const *in)
{
	static const struct {
		uint16_t type;
		const char *text;
	} unsupported[] = {
		{XFRMA_ALG_COMP, "IPComp is not supported"},
		{XFRMA_COADDR, "care-of addresses are not supported"},
		{XFRMA_SEC_CTX, "security contexts are not supported"},
	};

	for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++)
		if (in[unsupported[i].type])
			return pw_refuse(request, in[unsupported[i].type], -EOPNOTSUPP, "%s",
					 unsupported[i].text);
	return 0;
}

static int encap_parse(struct pw_request *request, const struct nlattr *attribute,
		       struct pw_sa_detail *model)
{
	struct xfrm_encap_tmpl encap;

	if (!attribute)
		return 0;
	memcpy(&encap, mnl_attr_get_payload(attribute), sizeof(encap));
	if (encap.encap_type != UDP_ENCAP_ESPINUDP)
		return pw_refuse(request, attribute, -EOPNOTSUPP,
				 "encapsulation type %u is not supported: it is espinudp (%u)",
				 encap.encap_type, UDP_ENCAP_ESPINUDP);
	if (!encap.encap_sport || !encap.encap_dport)
		return pw_refuse(request, attribute, -EINVAL, "ESP in UDP needs both ports");
	model->encap = encap;
	return 0;
}

static int padding_parse(struct pw_request *request, const struct nlattr *const *in,
			 struct pw_sa_detail *model)
{
	model->tfc_pad = get_u32(in[XFRMA_TFCPAD]);
	if (model->tfc_pad > TFC_MAX)
		return pw_refuse(request, in[XFRMA_TFCPAD], -EINVAL,
				 "padding to %u bytes is more than a packet takes (%u)",
				 model->tfc_pad, TFC_MAX);
	model->extra_flags = get_u32(in[XFRMA_SA_EXTRA_FLAGS]);
	if (model->extra_flags & XFRM_SA_XFLAG_OSEQ_MAY_WRAP)
		return pw_refuse(request, in[XFRMA_SA_EXTRA_FLAGS], -EOPNOTSUPP,
				 "oseq-may-wrap is refused: no number is used twice with a key "
				 "(RFC 4303 section 3.3.3)");
	if (model->extra_flags & ~(uint32_t)XFRM_SA_XFLAG_DONT_ENCAP_DSCP)
		return pw_refuse(request, in[XFRMA_SA_EXTRA_FLAGS], -EINVAL,
				 "extra flags %#x are unknown", model->extra_flags);
	return 0;
}

static int window_parse(struct pw_request *request, const struct nlattr *const *in,
			struct pw_sa_detail *model, struct pw_sa_replay *replay)
{
	const struct nlattr *wide = in[XFRMA_REPLAY_ESN_VAL];
	bool esn = model->flags & XFRM_STATE_ESN;

	if (esn && !wide)
		return pw_refuse(request, NULL, -EINVAL, "the flag esn needs XFRMA_REPLAY_ESN_VAL");
	if (wide && model->window)
		return pw_refuse(request, wide, -EINVAL,
				 "XFRMA_REPLAY_ESN_VAL has the window: replay_window must be 0");
	model->wide_replay = wide != NULL;
	return pw_sa_replay_parse(request, in[XFRMA_REPLAY_VAL], wide, esn, replay, &model->window);
}

static void plain_parse(const struct nlattr *const *in, struct pw_sa_detail *model)
{
	model->entry.mark = pw_netlink_sa_mark(in[XFRMA_MARK]);
	model->entry.if_id = get_u32(in[XFRMA_IF_ID]);
	model->set_mark.value = get_u32(in[XFRMA_SET_MARK]);
	model->set_mark.mask = in[XFRMA_SET_MARK_MASK] ? get_u32(in[XFRMA_SET_MARK_MASK])
						       : (in[XFRMA_SET_MARK] ? UINT32_MAX : 0);
	model->event_timer = get_u32(in[XFRMA_ETIMER_THRESH]);
	model->event_replay = get_u32(in[XFRMA_REPLAY_THRESH]);
	model->mapping_age = get_u32(in[XFRMA_MTIMER_THRESH]);
	if (in[XFRMA_LTIME_VAL])
		memcpy(&model->before, mnl_attr_get_payload(in[XFRMA_LTIME_VAL]),
		       sizeof(model->before));
}

int pw_netlink_sa_parse(struct pw_request *request, struct pw_sa_detail *model,
			struct pw_sa_keys *keys, struct pw_sa_replay *replay)
{
	const struct nlattr *in[XFRMA_MAX + 1];
	struct xfrm_usersa_info info;
	int ret = pw_request_attributes(request, sizeof(info), "XFRM SA", pw_netlink_sa_policy,
					XFRMA_MAX, in);

	if (ret)
		return ret;
	memset(model, 0, sizeof(*model));
	memcpy(&info, mnl_nlmsg_get_payload(request->nlh), sizeof(info));
	ret = info_parse(request, &info, model);
	ret = ret ? ret : unsupported_check(request, in);
	ret = ret ? ret : offload_parse(request, in[XFRMA_OFFLOAD_DEV], model);
	ret = ret ? ret : suite_parse(request, in, model, keys);
	ret = ret ? ret : encap_parse(request, in[XFRMA_ENCAP], model);
	ret = ret ? ret : padding_parse(request, in, model);
	ret = ret ? ret : window_parse(request, in, model, replay);
	plain_parse(in, model);
	return ret;
}
