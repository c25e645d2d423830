/* SPDX-License-Identifier: BSD-3-Clause */
/* Security associations by XFRM messages: what is refused, and in which words. */
#include "sa_client.h"

static struct nlmsghdr *cipher_with(const char *cipher, unsigned int bits, const char *auth,
				    uint16_t type, unsigned int auth_bits, unsigned int icv)
{
	struct nlmsghdr *nlh = sa_header(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x5000);
	uint8_t key[128] = {0};

	put_algorithm(nlh, XFRMA_ALG_CRYPT, cipher, bits, 0, key);
	if (auth)
		put_algorithm(nlh, type, auth, auth_bits, icv, key);
	return nlh;
}

static struct nlmsghdr *with_u32(uint16_t type, uint32_t value)
{
	struct nlmsghdr *nlh = good(XFRM_MSG_NEWSA);

	mnl_attr_put_u32(nlh, type, value);
	return nlh;
}

static struct nlmsghdr *with_window(uint32_t words, uint32_t window, bool esn, uint8_t byte)
{
	struct nlmsghdr *nlh = good(XFRM_MSG_NEWSA);

	put_wide(nlh, words, window, 0, 0);
	sa_info(nlh)->flags = esn ? XFRM_STATE_ESN : 0;
	sa_info(nlh)->replay_window = byte;
	return nlh;
}

static struct nlmsghdr *with_encap(uint16_t type, uint16_t port)
{
	struct nlmsghdr *nlh = good(XFRM_MSG_NEWSA);
	struct xfrm_encap_tmpl encap = {.encap_type = type, .encap_sport = port};

	mnl_attr_put(nlh, XFRMA_ENCAP, sizeof(encap), &encap);
	return nlh;
}

#define WITH(set)                                                                                  \
	({                                                                                         \
		struct nlmsghdr *nlh_ = good(XFRM_MSG_NEWSA);                                      \
		struct xfrm_usersa_info *info = sa_info(nlh_);                                     \
		(void)info;                                                                        \
		set;                                                                               \
		nlh_;                                                                              \
	})

static void test_refused_algorithms(void **state)
{
	struct nlmsghdr *nlh;

	refused(gcm(160 + 8, 128), -EINVAL, "takes no key of 168 bits");
	refused(gcm(160, 96), -EINVAL, "ICV of 128 bits, not of 96");
	refused(cipher_with("cbc(des3_ede)", 192, "hmac(sha1)", XFRMA_ALG_AUTH_TRUNC, 160, 96),
		-ENOSYS, "cbc(des3_ede) is refused");
	refused(cipher_with("cbc(aes)", 128, "hmac(md5)", XFRMA_ALG_AUTH_TRUNC, 128, 96), -ENOSYS,
		"MD5 is broken");
	refused(cipher_with("cbc(camel)", 128, "hmac(sha1)", XFRMA_ALG_AUTH_TRUNC, 160, 96),
		-ENOSYS, "unknown encryption algorithm cbc(camel)");
	refused(cipher_with("cbc(aes)", 128, NULL, 0, 0, 0), -EINVAL,
		"needs an integrity algorithm");
	/* Linux's default for this one is 96 bits, which RFC 4868 does not have. */
	refused(cipher_with("cbc(aes)", 128, "hmac(sha256)", XFRMA_ALG_AUTH, 256, 0), -EINVAL,
		"ICV of 128 bits, not of 96");
	refused(cipher_with("cbc(aes)", 128, "hmac(sha256)", XFRMA_ALG_AUTH_TRUNC, 128, 128),
		-EINVAL, "hmac(sha256) takes a key of 256 bits, not of 128");
	refused(sa_header(XFRM_MSG_NEWSA, LOCAL, REMOTE, 0x5000), -EINVAL,
		"needs an encryption algorithm");
	nlh = good(XFRM_MSG_NEWSA);
	put_algorithm(nlh, XFRMA_ALG_CRYPT, "cbc(aes)", 128, 0, test_key);
	refused(nlh, -EINVAL, "an AEAD comes without");
	nlh = good(XFRM_MSG_NEWSA);
	((struct nlattr *)sa_attribute(nlh, sizeof(struct xfrm_usersa_info), XFRMA_ALG_AEAD))
		->nla_len -= 4;
	nlh->nlmsg_len -= 4;
	refused(nlh, -EINVAL, "a key of 288 bits is not in the message");
	nlh = good(XFRM_MSG_NEWSA);
	memset((char *)sa_attribute(nlh, sizeof(struct xfrm_usersa_info), XFRMA_ALG_AEAD) + 4, 'x',
	       64);
	refused(nlh, -EINVAL, "name of an algorithm does not end");
}

static void test_refused_headers(void **state)
{
	refused(WITH(info->id.spi = htonl(255)), -EINVAL, "SPI 255 is reserved");
	refused(WITH(info->id.proto = IPPROTO_AH), -EPROTONOSUPPORT, "AH is not supported");
	refused(WITH(info->id.proto = IPPROTO_COMP), -EPROTONOSUPPORT, "IPComp");
	refused(WITH(info->id.proto = 6), -EPROTONOSUPPORT, "protocol 6");
	refused(WITH(info->family = AF_MPLS), -EAFNOSUPPORT, "address family 28");
	refused(WITH(info->mode = XFRM_MODE_BEET), -EOPNOTSUPP, "BEET mode");
	refused(WITH(info->mode = 9), -EINVAL, "there is no mode 9");
	refused(WITH(info->sel.family = AF_INET6), -EINVAL, "selector has the SA's");
	refused(WITH(info->sel.family = AF_MPLS), -EINVAL, "a selector is for");
	refused(WITH((info->sel.family = AF_INET, info->sel.prefixlen_d = 33)), -EINVAL,
		"longer than 32 bits");
	refused(WITH(info->sel.prefixlen_s = 129), -EINVAL, "longer than 128 bits");
	refused(WITH(info->flags = XFRM_STATE_WILDRECV), -EOPNOTSUPP, "wildrecv");
	refused(WITH(info->flags = XFRM_STATE_ICMP), -EOPNOTSUPP, "flag icmp");
	refused(WITH(info->flags = XFRM_STATE_ALIGN4), -EOPNOTSUPP, "align4");
	refused(WITH(info->flags = XFRM_STATE_ESN), -EINVAL, "needs XFRMA_REPLAY_ESN_VAL");
	refused(WITH(memset(&info->id.daddr, 0, 16)), -EINVAL, "destination is a host's");
	refused(WITH(info->id.daddr.a4 = htonl(0xe0000001)), -EINVAL, "destination is a host's");
	refused(WITH(nlh_->nlmsg_len = 60), -EINVAL, "too short");
}

static void test_refused_attributes(void **state)
{
	struct xfrm_user_offload offload = {.ifindex = (int)link_named("p1")->index};
	struct nlmsghdr *nlh;

	refused(with_window(4, 129, true, 0), -EINVAL, "window of 129 does not fit");
	refused(with_window(129, 32, true, 0), -EINVAL, "129 words is longer than 128");
	refused(with_window(1, 0, true, 0), -EINVAL, "window of at least 1");
	refused(with_window(1, 32, false, 5), -EINVAL, "replay_window must be 0");
	refused(with_u32(XFRMA_TFCPAD, 70000), -EINVAL, "padding to 70000 bytes");
	refused(with_u32(XFRMA_SA_EXTRA_FLAGS, XFRM_SA_XFLAG_OSEQ_MAY_WRAP), -EOPNOTSUPP,
		"oseq-may-wrap");
	refused(with_u32(XFRMA_SA_EXTRA_FLAGS, 8), -EINVAL, "extra flags 0x8");
	refused(with_encap(UDP_ENCAP_ESPINUDP_NON_IKE, 5), -EOPNOTSUPP, "encapsulation type 1");
	refused(with_encap(UDP_ENCAP_ESPINUDP, 5), -EINVAL, "both ports");
	refused(with_u32(XFRMA_POLICY, 5), -EOPNOTSUPP, "XFRM SA attribute 7");
	refused(with_u32(XFRMA_SEC_CTX, 5), -EOPNOTSUPP, "security contexts");
	nlh = good(XFRM_MSG_NEWSA);
	mnl_attr_put(nlh, XFRMA_OFFLOAD_DEV, sizeof(offload), &offload);
	refused(nlh, -EOPNOTSUPP, "p1 cannot take an SA: it has no inline crypto");
	nlh = good(XFRM_MSG_NEWSA);
	mnl_attr_put(nlh, XFRMA_COADDR, 16, test_key);
	refused(nlh, -EOPNOTSUPP, "care-of");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_refused_algorithms),
		CASE(test_refused_headers),
		CASE(test_refused_attributes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
