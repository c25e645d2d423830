/* SPDX-License-Identifier: BSD-3-Clause */
/* What a new policy asks for: what cannot be met is refused in words. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "control/policy.h"
#include "control/spd.h"

#define PROTOCOL_IPV4 4
#define PROTOCOL_IPV6 41
#define PROTOCOL_GRE  47
#define PROTOCOL_ESP  50
#define PROTOCOL_AH   51
#define PROTOCOL_COMP 108
#define PROTOCOL_MPLS 137 /* RFC 4023 */

/* ---- the selector ------------------------------------------------------------------------- */

/* A device stands for the VRF that it is in. */
static int check_device(struct pw_request *request, const struct pw_policy *policy)
{
	const struct pw_link *link;

	if (!policy->selector.ifindex)
		return 0;
	link = pw_link_by_index((uint32_t)policy->selector.ifindex);
	if (!link)
		return pw_refuse(request, NULL, -ENODEV, "there is no device with index %d",
				 policy->selector.ifindex);
	if (link->kind == PW_LINK_IPSEC)
		return pw_refuse(request, NULL, -EINVAL,
				 "dev %s: the policies of an IPsec interface have its if_id or its "
				 "key as their mark",
				 link->name);
	if (policy->if_id || policy->mark.mask || policy->mark.value)
		return pw_refuse(
			request, NULL, -EOPNOTSUPP,
			"dev %s names a VRF; if_id and mark name an IPsec interface, whose "
			"VRF it is",
			link->name);
	return 0;
}

/* What stands for ports of a protocol, as in the kernel. */
static bool has_ports(uint8_t protocol)
{
	switch (protocol) {
	case 0:
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
	case IPPROTO_MH:
	case PROTOCOL_GRE:
		return true;
	}
	return false;
}

/*
 * Policies in transport mode are about the outer packets of tunnels. Whatever else one selects
 * would pass by it, so it must not ask for anything, but of direction fwd, where it says nothing.
 */
static int check_transport(struct pw_request *request, const struct pw_policy *policy)
{
	const struct xfrm_selector *selector = &policy->selector;

	if (selector->ifindex)
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "a selector with a device (dev, index %d) is for what a VRF "
				 "forwards: its template is in tunnel mode",
				 selector->ifindex);
	if (policy->direction == XFRM_POLICY_FWD)
		return 0;
	switch (selector->proto) {
	case 0:
	case PROTOCOL_IPV4:
	case PROTOCOL_IPV6:
	case PROTOCOL_GRE:
	case PROTOCOL_MPLS:
		break;
	default:
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "protocol %u: in transport mode only tunnels are protected, IP in "
				 "IP (4, 41), GRE (47) and MPLS-in-IP (137)",
				 selector->proto);
	}
	if (!selector->sport_mask && !selector->dport_mask)
		return 0;
	return pw_refuse(request, NULL, -EOPNOTSUPP,
			 selector->proto == PROTOCOL_GRE
				 ? "a selector with a GRE key is not supported: a policy "
				   "is for all tunnels between two addresses"
				 : "a selector with ports (sport, dport) selects no tunnel");
}

/* Of forwarded packets anything can be selected. */
static int check_forwarded(struct pw_request *request, const struct pw_policy *policy)
{
	const struct xfrm_selector *selector = &policy->selector;
	bool ports = selector->sport_mask || selector->dport_mask;
	bool of_default =
		!selector->ifindex && !policy->if_id && !policy->mark.mask && !policy->mark.value;

	if (ports && !has_ports(selector->proto))
		return pw_refuse(request, NULL, -EINVAL, "protocol %u has no ports to select by",
				 selector->proto);
	/* Such a policy would be for tunnels too, which are not looked at so closely. */
	if (ports && selector->proto == PROTOCOL_GRE && of_default)
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "a selector with a GRE key is supported with dev, if_id or mark: "
				 "without, a policy is for all tunnels between two addresses");
	if (policy->flags & PW_POLICY_REVERSE_ROUTE &&
	    (policy->direction != XFRM_POLICY_OUT || !policy->templated ||
	     (!policy->if_id && !policy->mark.mask)))
		return pw_refuse(
			request, NULL, -EINVAL,
			"flag 0x%x: a reverse route is of an outward policy in tunnel mode, "
			"through the IPsec interface with its if_id or mark",
			PW_POLICY_REVERSE_ROUTE);
	return 0;
}

int pw_netlink_policy_check(struct pw_request *request, const struct pw_policy *policy)
{
	const struct xfrm_selector *selector = &policy->selector;
	int ret;

	if (selector->user)
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "a selector with a user (uid %u) is not supported",
				 selector->user);
	ret = check_device(request, policy);
	if (ret)
		return ret;
	return pw_spd_takes(policy) ? check_forwarded(request, policy)
				    : check_transport(request, policy);
}

/* ---- the template ------------------------------------------------------------------------- */

static bool address_any(const xfrm_address_t *address)
{
	static const xfrm_address_t any;

	return memcmp(address, &any, sizeof(any)) == 0;
}

static bool prefix_has(const xfrm_address_t *prefix, unsigned int length,
		       const xfrm_address_t *address)
{
	const uint8_t *a = (const uint8_t *)prefix, *b = (const uint8_t *)address;
	unsigned int bytes = length / 8, bits = length % 8;

	return memcmp(a, b, bytes) == 0 && (!bits || !((a[bytes] ^ b[bytes]) & (0xff00 >> bits)));
}

/* In transport mode the addresses of the SA are those of the packets. */
static int check_template_ends(struct pw_request *request, const struct nlattr *attribute,
			       const struct pw_policy *policy)
{
	const struct xfrm_user_tmpl *template = &policy->template;
	const struct xfrm_selector *selector = &policy->selector;

	if (template->family != selector->family)
		return pw_refuse(
			request, attribute, -EINVAL,
			"in transport mode a template is of its selector's address family");
	if (!address_any(&template->saddr) &&
	    !prefix_has(&selector->saddr, selector->prefixlen_s, &template->saddr))
		return pw_refuse(request, attribute, -EINVAL,
				 "the template's source address is none that the policy selects");
	if (!address_any(&template->id.daddr) &&
	    !prefix_has(&selector->daddr, selector->prefixlen_d, &template->id.daddr))
		return pw_refuse(
			request, attribute, -EINVAL,
			"the template's destination address is none that the policy selects");
	return 0;
}

/* In tunnel mode they are those of the outer packet, of either family. */
static int check_tunnel_ends(struct pw_request *request, const struct nlattr *attribute,
			     const struct pw_policy *policy)
{
	const struct xfrm_user_tmpl *template = &policy->template;

	if (policy->direction != XFRM_POLICY_OUT)
		return 0;
	if (address_any(&template->id.daddr))
		return pw_refuse(
			request, attribute, -EINVAL,
			"in tunnel mode the template of an outward policy names the remote "
			"end (dst)");
	if (memcmp(&template->saddr, &template->id.daddr, sizeof(template->saddr)) == 0)
		return pw_refuse(request, attribute, -EINVAL,
				 "the template's two ends are the same address");
	return 0;
}

static const char *mode_name(uint8_t mode)
{
	static const char *const mode_names[] = {
		[XFRM_MODE_TRANSPORT] = "transport",
		[XFRM_MODE_TUNNEL] = "tunnel",
		[XFRM_MODE_ROUTEOPTIMIZATION] = "ro",
		[XFRM_MODE_IN_TRIGGER] = "in_trigger",
		[XFRM_MODE_BEET] = "beet",
	};

	return mode < sizeof(mode_names) / sizeof(mode_names[0]) ? mode_names[mode] : "unknown";
}

int pw_netlink_policy_template(struct pw_request *request, const struct nlattr *attribute,
			       struct pw_policy *policy)
{
	struct xfrm_user_tmpl *template = &policy->template;
	uint16_t size = mnl_attr_get_payload_len(attribute);

	if (size % sizeof(*template))
		return pw_refuse(request, attribute, -EINVAL,
				 "XFRMA_TMPL has %u bytes: no whole number of templates", size);
	if (size > sizeof(*template))
		return pw_refuse(request, attribute, -EOPNOTSUPP,
				 "a policy has one template at most, not %zu: SAs are not bundled",
				 size / sizeof(*template));
	memcpy(template, mnl_attr_get_payload(attribute), sizeof(*template));
	policy->templated = true;
	if (!template->family)
		template->family = policy->selector.family;
	if (template->family != AF_INET && template->family != AF_INET6)
		return pw_refuse(request, attribute, -EINVAL,
				 "a template is of IPv4 or IPv6, not of address family %u",
				 template->family);
	if (template->family == AF_INET) {
		memset((uint8_t *)&template->saddr + 4, 0, 12);
		memset((uint8_t *)&template->id.daddr + 4, 0, 12);
	}
	if (template->id.proto == PROTOCOL_AH || template->id.proto == PROTOCOL_COMP)
		return pw_refuse(request, attribute, -EOPNOTSUPP,
				 "a template's protocol is ESP; %s is not supported",
				 template->id.proto == PROTOCOL_AH ? "AH" : "IPComp");
	if (template->id.proto != PROTOCOL_ESP)
		return pw_refuse(request, attribute, -EINVAL,
				 "a template's protocol is ESP (50), not %u", template->id.proto);
	if (template->mode != XFRM_MODE_TRANSPORT && template->mode != XFRM_MODE_TUNNEL)
		return pw_refuse(request, attribute,
				 template->mode < XFRM_MODE_MAX ? -EOPNOTSUPP : -EINVAL,
				 "a template's mode is transport or tunnel; mode %s (%u) is not "
				 "supported",
				 mode_name(template->mode), template->mode);
	template->optional = !!template->optional;
	return template->mode == XFRM_MODE_TUNNEL ? check_tunnel_ends(request, attribute, policy)
						  : check_template_ends(request, attribute, policy);
}
