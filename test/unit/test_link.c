/* SPDX-License-Identifier: BSD-3-Clause */
/* Links and addresses as netlink messages make them, and what workers see of it. */
#include "links_fixture.h"
#include "links_tunnel.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>

static const struct pw_interface *interface_of(const char *name)
{
	return pw_interface_get(link_named(name)->index);
}

static uint16_t vrf_of(uint32_t table)
{
	int vrf = pw_vrf_find(table);

	assert_return_code(vrf, 0);
	return (uint16_t)vrf;
}

static int change_gre(const char *name, uint16_t flags, const struct gre *gre)
{
	struct nlmsghdr *nlh = link_message(RTM_NEWLINK, flags, name);

	gre_put(nlh, gre);
	return send_message(nlh);
}

/* ---- tests ---- */

static void test_start(void **state)
{
	assert_int_equal(link_named("lo")->index, 1);
	assert_int_equal(interface_of("lo")->kind, PW_INTERFACE_LOOPBACK);
	assert_int_equal(interface_of("p0")->kind, PW_INTERFACE_PORT);
	/* A port starts down and bound. */
	assert_false(interface_of("p0")->flags & PW_INTERFACE_UP);
	assert_int_equal(pw_port_get(link_named("p0")->port)->untagged, link_named("p0")->index);
	assert_int_equal(delete_link("p0"), -EOPNOTSUPP);
	assert_said("lives as long as the daemon");
	assert_int_equal(delete_link("lo"), -EOPNOTSUPP);
}

static void test_up_down(void **state)
{
	assert_int_equal(add_address("p0", "192.0.2.1", 24), 0);
	assert_int_equal(way_in(0, "192.0.2.1"), PW_NEXTHOP_NONE);
	assert_int_equal(link_up("p0", true), 0);
	assert_true(interface_of("p0")->flags & PW_INTERFACE_UP);
	assert_int_equal(way_in(0, "192.0.2.1"), PW_NEXTHOP_LOCAL);
	assert_int_equal(way_in(0, "192.0.2.9"), PW_NEXTHOP_GLEAN);
	assert_int_equal(link_up("p0", false), 0);
	assert_false(interface_of("p0")->flags & PW_INTERFACE_UP);
	assert_int_equal(way_in(0, "192.0.2.9"), PW_NEXTHOP_NONE);
	assert_int_equal(link_up("nothing", true), -ENODEV);
}

static void test_vlan(void **state)
{
	uint16_t port = link_named("p0")->port;
	uint32_t index;

	assert_int_equal(add_vlan("p0", "p0.10", 10), 0);
	index = link_named("p0.10")->index;
	assert_int_equal(pw_port_get(port)->vlan[10], index);
	assert_int_equal(interface_of("p0.10")->vlan, 10);
	assert_int_equal(interface_of("p0.10")->port, port);
	assert_int_equal(interface_of("p0.10")->mtu, link_named("p0")->mtu);

	/* Up is up only when the port is. */
	assert_int_equal(link_up("p0.10", true), 0);
	assert_false(interface_of("p0.10")->flags & PW_INTERFACE_UP);
	assert_int_equal(link_up("p0", true), 0);
	assert_true(interface_of("p0.10")->flags & PW_INTERFACE_UP);

	assert_int_equal(add_vlan("p0", "other", 10), -EEXIST);
	assert_said("is taken");
	assert_int_equal(add_vlan("p1", "p1.10", 10), 0);
	assert_int_equal(add_vlan("p0", "p0.0", 0), -ERANGE);
	assert_int_equal(add_vlan("p0", "p0.4095", 4095), -ERANGE);
	assert_int_equal(add_vlan("p0.10", "p0.10.20", 20), -EOPNOTSUPP);
	assert_said("is no port");
	assert_int_equal(add_vlan(NULL, "orphan", 20), -ENODEV);
	assert_said("does not exist");
	assert_null(pw_link_by_name("orphan"));

	assert_int_equal(delete_link("p0.10"), 0);
	assert_null(pw_link_by_name("p0.10"));
	assert_int_equal(pw_port_get(port)->vlan[10], 0);
	assert_int_equal(pw_interface_get(index)->kind, PW_INTERFACE_NONE);
	assert_int_equal(add_vlan("p0", "again", 10), 0);
}

static void test_vrf(void **state)
{
	uint16_t red, blue;

	assert_int_equal(add_vrf("red", 10), 0);
	assert_int_equal(add_vrf("blue", 20), 0);
	red = vrf_of(10);
	blue = vrf_of(20);
	assert_int_equal(interface_of("red")->vrf, red);
	assert_int_equal(add_vrf("green", 10), -EEXIST);
	assert_said("VRF red's");
	assert_int_equal(add_vrf("green", 0), -EINVAL);
	assert_int_equal(add_vrf("green", 254), -EINVAL);
	assert_int_equal(add_vrf("red", 30), -EEXIST);

	/* The same address in both, and routes that move with the master. */
	assert_int_equal(link_up("p0", true), 0);
	assert_int_equal(link_up("p1", true), 0);
	assert_int_equal(add_address("p0", "10.0.0.1", 24), 0);
	assert_int_equal(way_in(0, "10.0.0.1"), PW_NEXTHOP_LOCAL);
	assert_int_equal(set_master("p0", "red"), 0);
	assert_int_equal(set_master("p1", "blue"), 0);
	assert_int_equal(add_address("p1", "10.0.0.1", 24), 0);
	assert_int_equal(interface_of("p0")->vrf, red);
	assert_int_equal(way_in(0, "10.0.0.1"), PW_NEXTHOP_NONE);
	assert_int_equal(way_in(red, "10.0.0.1"), PW_NEXTHOP_LOCAL);
	assert_int_equal(way_in(blue, "10.0.0.1"), PW_NEXTHOP_LOCAL);
	assert_int_equal(pw_vrf_get(red)->icmp_source4, inet_addr("10.0.0.1"));

	assert_int_equal(set_master("p1", "p0"), -EOPNOTSUPP);
	assert_said("is no VRF");
	assert_int_equal(set_master("red", "blue"), -EINVAL);
	assert_int_equal(set_master("lo", "blue"), -EINVAL);

	/* Without its VRF a link is the default VRF's again. */
	assert_int_equal(delete_link("red"), 0);
	assert_int_equal(link_named("p0")->master, 0);
	assert_int_equal(interface_of("p0")->vrf, 0);
	assert_int_equal(way_in(0, "10.0.0.1"), PW_NEXTHOP_LOCAL);
	assert_int_equal(set_master("p1", NULL), 0);
	assert_int_equal(way_in(blue, "10.0.0.1"), PW_NEXTHOP_NONE);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"a/b", "a b", ".", "..", "a:b", "sixteen-letters-",
					  "p%d"};
	struct nlmsghdr *nlh;

	for (size_t i = 0; i < MNL_ARRAY_SIZE(bad); i++)
		assert_int_equal(add_vrf(bad[i], 100), -EINVAL);
	assert_int_equal(add_vrf("red", 10), 0);
	nlh = link_message(RTM_NEWLINK, 0, "crimson");
	((struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_index = (int)link_named("red")->index;
	assert_int_equal(send_message(nlh), 0);
	assert_null(pw_link_by_name("red"));
	assert_int_equal(link_named("crimson")->table, 10);

	/* A name that is another's changes nothing. */
	nlh = link_message(RTM_NEWLINK, 0, "p0");
	((struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_index =
		(int)link_named("crimson")->index;
	assert_int_equal(send_message(nlh), -EEXIST);
	assert_non_null(pw_link_by_name("crimson"));

	/* Without a name the kind and a number. */
	assert_int_equal(add_vrf(NULL, 11), 0);
	assert_int_equal(add_vrf(NULL, 12), 0);
	assert_int_equal(link_named("vrf0")->table, 11);
	assert_int_equal(link_named("vrf1")->table, 12);
}

static void test_mtu(void **state)
{
	struct nlmsghdr *nlh;

	assert_int_equal(add_vlan("p0", "p0.10", 10), 0);
	for (unsigned int mtu = 0; mtu < 68; mtu += 67) {
		nlh = link_message(RTM_NEWLINK, 0, "p0");
		mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
		assert_int_equal(send_message(nlh), -EINVAL);
		assert_said("less than the device minimum");
	}
	nlh = link_message(RTM_NEWLINK, 0, "p0");
	mnl_attr_put_u32(nlh, IFLA_MTU, 70000);
	assert_int_equal(send_message(nlh), -EINVAL);
	assert_said("greater than the device maximum");
	nlh = link_message(RTM_NEWLINK, 0, "p0");
	mnl_attr_put_u32(nlh, IFLA_MTU, 1400);
	assert_int_equal(send_message(nlh), 0);
	assert_int_equal(interface_of("p0")->mtu, 1400);
	assert_int_equal(interface_of("p0.10")->mtu, 1400);
	nlh = link_message(RTM_NEWLINK, 0, "p0.10");
	mnl_attr_put_u32(nlh, IFLA_MTU, 1401);
	assert_int_equal(send_message(nlh), -EINVAL);
}

static void test_nothing_half_applied(void **state)
{
	struct nlmsghdr *nlh = link_message(RTM_NEWLINK, 0, "p0");
	struct ifinfomsg *header = mnl_nlmsg_get_payload(nlh);
	uint32_t mtu = link_named("p0")->mtu;

	header->ifi_change = header->ifi_flags = IFF_UP;
	mnl_attr_put_u32(nlh, IFLA_MTU, 1300);
	mnl_attr_put_strz(nlh, IFLA_IFALIAS, "uplink");
	mnl_attr_put_u32(nlh, IFLA_MASTER, 4711);
	assert_int_equal(send_message(nlh), -ENODEV);
	assert_int_equal(link_named("p0")->mtu, mtu);
	assert_false(link_named("p0")->admin_up);
	assert_string_equal(link_named("p0")->alias, "");

	nlh = link_message(RTM_NEWLINK, 0, "p0");
	mnl_attr_put_u32(nlh, IFLA_MTU, 1300);
	mnl_attr_put_u8(nlh, IFLA_CARRIER, 1);
	assert_int_equal(send_message(nlh), -EOPNOTSUPP);
	assert_said("carrier");
	assert_int_equal(link_named("p0")->mtu, mtu);
	nlh = link_message(RTM_NEWLINK, 0, "p0");
	mnl_attr_put_u32(nlh, 200, 1);
	assert_int_equal(send_message(nlh), -EOPNOTSUPP);
	nlh = link_message(RTM_NEWLINK, 0, "p0");
	mnl_attr_put_u32(nlh, IFLA_MTU, 1300);
	mnl_attr_put_u32(nlh, IFLA_MTU, 1301);
	assert_int_equal(send_message(nlh), -EINVAL);
	assert_said("twice");
}

static void test_kinds_refused(void **state)
{
	static const char *const kinds[] = {"gretap", "erspan", "bridge",
					    "dummy",  "vxlan",  "geneve"};

	for (size_t i = 0; i < MNL_ARRAY_SIZE(kinds); i++) {
		struct nlmsghdr *nlh = link_message(RTM_NEWLINK, NEW, "x");
		struct nlattr *info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);

		mnl_attr_put_strz(nlh, IFLA_INFO_KIND, kinds[i]);
		mnl_attr_nest_end(nlh, info);
		assert_int_equal(send_message(nlh), -EOPNOTSUPP);
		assert_said(kinds[i]);
		assert_null(pw_link_by_name("x"));
	}
}

static void test_gre(void **state)
{
	struct gre gre = {
		.local = "192.0.2.1", .remote = "192.0.2.2", .ttl = 255, .nopmtudisc = true};
	const struct pw_tunnel *tunnel;

	assert_int_equal(change_gre("gre1", NEW, &gre), 0);
	tunnel = &link_named("gre1")->tunnel;
	assert_int_equal(tunnel->ttl, 255);
	assert_false(tunnel->pmtudisc);
	assert_false(tunnel->key_set);
	assert_int_equal(tunnel->label_ttl, 255);
	assert_int_equal(link_named("gre1")->mtu, 1476);
	assert_int_equal(interface_of("gre1")->kind, PW_INTERFACE_TUNNEL);

	/* The same again, under another name, is the same tunnel. */
	assert_int_equal(change_gre("gre2", NEW, &gre), -EEXIST);
	assert_said("gre1 has the same");

	/* A change says all of the tunnel. */
	gre = (struct gre){.local = "192.0.2.1",
			   .remote = "192.0.2.3",
			   .key = true,
			   .ikey = 7,
			   .okey = 7,
			   .ttl = 64,
			   .tos = 1};
	assert_int_equal(change_gre("gre1", 0, &gre), 0);
	assert_int_equal(tunnel->key, htonl(7));
	assert_int_equal(tunnel->remote.bytes[3], 3);
	assert_true(tunnel->pmtudisc);
	assert_int_equal(link_named("gre1")->mtu, 1472);

	/* One that is refused changes nothing. */
	gre.remote = "192.0.2.4";
	gre.okey = 8;
	assert_int_equal(change_gre("gre1", 0, &gre), -EOPNOTSUPP);
	assert_said("different ikey and okey");
	assert_int_equal(tunnel->remote.bytes[3], 3);
	gre.okey = 7;
	gre.external = true;
	assert_int_equal(change_gre("gre1", 0, &gre), -EOPNOTSUPP);
	assert_said("external");
	gre.external = false;
	gre.key = false;
	gre.sequence = true;
	assert_int_equal(change_gre("gre1", 0, &gre), -EOPNOTSUPP);
	gre.sequence = false;
	gre.local = NULL;
	assert_int_equal(change_gre("gre1", 0, &gre), -EINVAL);
	assert_said("needs a local address");
	gre.local = gre.remote;
	assert_int_equal(change_gre("gre1", 0, &gre), -EINVAL);
	gre.local = "192.0.2.1";
	gre.remote = "239.0.0.1";
	assert_int_equal(change_gre("gre1", 0, &gre), -EOPNOTSUPP);
	gre.remote = "192.0.2.4";
	gre.link = link_named("gre1")->index;
	assert_int_equal(change_gre("gre3", NEW, &gre), -EOPNOTSUPP);
	assert_said("tunnels in tunnels");
	assert_int_equal(tunnel->remote.bytes[3], 3);
	assert_int_equal(delete_link("gre1"), 0);
}

static void test_gre_underlay(void **state)
{
	struct gre gre = {.local = "192.0.2.1", .remote = "192.0.2.2"};

	/* What a tunnel runs over cannot be pulled from under it. */
	assert_int_equal(add_vrf("front", 10), 0);
	gre.link = link_named("front")->index;
	assert_int_equal(change_gre("gre1", NEW, &gre), 0);
	assert_int_equal(delete_link("front"), -EBUSY);
	assert_said("gre1 runs over");
	/* Another front-door VRF, another tunnel. */
	gre.link = 0;
	assert_int_equal(change_gre("gre2", NEW, &gre), 0);
	assert_int_equal(delete_link("gre1"), 0);
	assert_int_equal(delete_link("front"), 0);
}

static void test_ip6gre(void **state)
{
	struct gre gre = {.local = "2001:db8::1", .remote = "2001:db8::2", .ttl = 64};

	assert_int_equal(change_gre("six", NEW, &gre), 0);
	assert_int_equal(link_named("six")->tunnel.local.family, AF_INET6);
	assert_int_equal(link_named("six")->mtu, 1456);
	gre.remote = "192.0.2.2";
	assert_int_equal(change_gre("six", 0, &gre), -EINVAL);
}

static void test_iptunnel(void **state)
{
	static const struct {
		const char *kind, *local, *remote;
		uint32_t mtu;
		bool v4, v6, mpls; /* what may be chosen alone */
		bool any6;         /* IPv6 with protocol 0 */
	} kinds[] = {
		{"ipip", "192.0.2.1", "192.0.2.2", 1480, true, false, true, false},
		{"sit", "192.0.2.1", "192.0.2.2", 1480, true, true, false, true},
		{"ip6tnl", "2001:db8::1", "2001:db8::2", 1460, true, true, false, true},
	};

	for (size_t i = 0; i < 256 * MNL_ARRAY_SIZE(kinds); i++) {
		size_t k = i / 256;
		uint8_t protocol = (uint8_t)i;
		struct nlmsghdr *nlh = link_message(RTM_NEWLINK, NEW, "tunnel");
		bool alone = (protocol == IPPROTO_IPIP && kinds[k].v4) ||
			     (protocol == IPPROTO_IPV6 && kinds[k].v6) ||
			     (protocol == IPPROTO_MPLS && kinds[k].mpls);
		const struct pw_tunnel *tunnel;

		iptunnel_put(nlh, kinds[k].kind, kinds[k].local, kinds[k].remote, protocol);
		if (protocol && !alone) {
			assert_int_equal(send_message(nlh),
					 protocol == IPPROTO_MPLS ? -EOPNOTSUPP : -EINVAL);
			assert_null(pw_link_by_name("tunnel"));
			continue;
		}
		assert_int_equal(send_message(nlh), 0);
		tunnel = &link_named("tunnel")->tunnel;
		assert_int_equal(tunnel->mpls_in_ip, protocol == IPPROTO_MPLS);
		assert_int_equal(tunnel->ip_in_ip, protocol != IPPROTO_MPLS);
		assert_int_equal(pw_tunnel_carries(tunnel, AF_INET),
				 protocol == 0 || protocol == IPPROTO_IPIP);
		assert_int_equal(pw_tunnel_carries(tunnel, AF_INET6),
				 protocol == IPPROTO_IPV6 || (protocol == 0 && kinds[k].any6));
		assert_int_equal(link_named("tunnel")->mtu, kinds[k].mtu);
		assert_int_equal(pw_tunnel_ip_ends, protocol != IPPROTO_MPLS);
		assert_int_equal(delete_link("tunnel"), 0);
		assert_int_equal(pw_tunnel_ip_ends, 0);
	}
}

/* Protocols 4 and 41 of two addresses are one tunnel's; GRE and MPLS-in-IP are others. */
static void test_iptunnel_unique(void **state)
{
	struct gre gre = {.local = "192.0.2.1", .remote = "192.0.2.2"};
	struct nlmsghdr *nlh = link_message(RTM_NEWLINK, NEW, "one");

	iptunnel_put(nlh, "sit", "192.0.2.1", "192.0.2.2", IPPROTO_IPV6);
	assert_int_equal(send_message(nlh), 0);
	nlh = link_message(RTM_NEWLINK, NEW, "two");
	iptunnel_put(nlh, "ipip", "192.0.2.1", "192.0.2.2", IPPROTO_IPIP);
	assert_int_equal(send_message(nlh), -EEXIST);
	assert_said("same local, remote");
	nlh = link_message(RTM_NEWLINK, NEW, "two");
	iptunnel_put(nlh, "ipip", "192.0.2.1", "192.0.2.2", IPPROTO_MPLS);
	assert_int_equal(send_message(nlh), 0);
	assert_int_equal(change_gre("three", NEW, &gre), 0);
	/* A kind is for life, whatever its packets look like. */
	nlh = link_message(RTM_NEWLINK, 0, "one");
	iptunnel_put(nlh, "ipip", "192.0.2.1", "192.0.2.3", IPPROTO_IPIP);
	assert_int_equal(send_message(nlh), -EOPNOTSUPP);
	nlh = link_message(RTM_NEWLINK, 0, "one");
	iptunnel_put(nlh, "sit", "192.0.2.1", "192.0.2.3", 0);
	assert_int_equal(send_message(nlh), 0);
	assert_int_equal(link_named("one")->tunnel.remote.bytes[3], 3);
	assert_int_equal(link_named("one")->tunnel.protocol, 0);
}

static void test_addresses(void **state)
{
	static const char *const bad[] = {
		"0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1", "::",
		"ff02::1", "::1",       "::ffff:1.2.3.4"};
	struct pw_address primary;

	assert_int_equal(link_up("p0", true), 0);
	for (size_t i = 0; i < MNL_ARRAY_SIZE(bad); i++)
		assert_int_equal(add_address("p0", bad[i], 32), -EINVAL);
	assert_int_equal(add_address("p0", "10.0.0.1", 33), -EINVAL);
	assert_int_equal(add_address("p0", "10.0.0.1", 24), 0);
	assert_int_equal(add_address("p0", "10.0.0.1", 24), -EEXIST);
	assert_said("Address already assigned");
	assert_int_equal(
		change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, "p0", "10.0.0.1", 24), 0);
	assert_int_equal(add_address("p0", "2001:db8::1", 64), 0);
	assert_int_equal(add_address("p0", "2001:db8::1", 96), -EEXIST);
	assert_int_equal(way_in(0, "2001:db8::1"), PW_NEXTHOP_LOCAL);
	assert_int_equal(way_in(0, "2001:db8::2"), PW_NEXTHOP_GLEAN);
	assert_int_equal(interface_of("p0")->icmp_source4, inet_addr("10.0.0.1"));
	assert_int_equal(pw_address_primary(link_named("p0")->index, AF_INET6, &primary), 0);
	assert_int_equal(primary.bytes[15], 1);

	/* Two addresses in one prefix: the prefix stays until both are gone. */
	assert_int_equal(add_address("p0", "10.0.0.2", 24), 0);
	assert_int_equal(change_address(RTM_DELADDR, 0, "p0", "10.0.0.1", 24), 0);
	assert_int_equal(way_in(0, "10.0.0.1"), PW_NEXTHOP_GLEAN);
	assert_int_equal(interface_of("p0")->icmp_source4, inet_addr("10.0.0.2"));
	assert_int_equal(change_address(RTM_DELADDR, 0, "p0", "10.0.0.2", 25), -EADDRNOTAVAIL);
	assert_int_equal(change_address(RTM_DELADDR, 0, "p0", "10.0.0.2", 24), 0);
	assert_int_equal(way_in(0, "10.0.0.1"), PW_NEXTHOP_NONE);
	assert_int_equal(pw_vrf_get(0)->icmp_source4, 0);
	assert_int_equal(change_address(RTM_DELADDR, 0, "p0", "10.0.0.2", 24), -EADDRNOTAVAIL);
}

static void test_address_flags(void **state)
{
	struct nlmsghdr *nlh;
	struct ifaddrmsg *header;

	assert_int_equal(link_up("p0", true), 0);
	nlh = message(RTM_NEWADDR, NEW);
	header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));
	header->ifa_family = AF_INET;
	header->ifa_prefixlen = 24;
	header->ifa_index = link_named("p0")->index;
	mnl_attr_put_u32(nlh, IFA_LOCAL, inet_addr("10.0.0.1"));
	mnl_attr_put_u32(nlh, IFA_FLAGS, IFA_F_NOPREFIXROUTE);
	assert_int_equal(send_message(nlh), 0);
	assert_int_equal(way_in(0, "10.0.0.1"), PW_NEXTHOP_LOCAL);
	assert_int_equal(way_in(0, "10.0.0.2"), PW_NEXTHOP_NONE);
}

static void test_mirror(void **state)
{
	struct pw_address address = address_of("10.0.0.1");
	struct pw_link *link = link_named("p0");

	assert_int_equal(link_up("p0", true), 0);
	/* The kernel's own comes and goes. */
	pw_address_mirror(link, &address, 24, true);
	assert_int_equal(way_in(0, "10.0.0.1"), PW_NEXTHOP_LOCAL);
	pw_address_mirror(link, &address, 24, false);
	assert_int_equal(way_in(0, "10.0.0.1"), PW_NEXTHOP_NONE);

	/* Both named it: one address, which stays while the API wants it. */
	pw_address_mirror(link, &address, 24, true);
	assert_int_equal(add_address("p0", "10.0.0.1", 24), 0);
	assert_int_equal(add_address("p0", "10.0.0.1", 24), -EEXIST);
	pw_address_mirror(link, &address, 24, false);
	assert_int_equal(way_in(0, "10.0.0.1"), PW_NEXTHOP_LOCAL);

	/* Lost events: what a dump does not name is gone. */
	address = address_of("10.0.1.1");
	pw_address_mirror(link, &address, 24, true);
	pw_address_sweep_begin();
	pw_address_sweep_end();
	assert_int_equal(way_in(0, "10.0.1.1"), PW_NEXTHOP_NONE);
	assert_int_equal(way_in(0, "10.0.0.1"), PW_NEXTHOP_LOCAL);
}

static void test_many(void **state)
{
	char name[IFNAMSIZ];

	/* Indices and names are given back. */
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 2000; i++) {
			snprintf(name, sizeof(name), "v%u", i);
			assert_int_equal(add_vrf(name, 1000 + i), 0);
		}
		for (uint32_t i = 0; i < 2000; i++) {
			snprintf(name, sizeof(name), "v%u", i);
			assert_int_equal(delete_link(name), 0);
		}
		pw_retire_drain();
	}
	assert_int_equal(pw_vrf_find(1000), -ENOENT);
}

/* ---- hostile ---- */

#define P0_INDEX 2 /* whatever its name has become */

static uint64_t seed = 1;

static uint32_t chance(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

/* A message that would be good, of every type in turn. */
static struct nlmsghdr *good_message(unsigned int kind)
{
	struct gre gre = {.local = "192.0.2.1", .remote = "192.0.2.2", .ttl = 64};
	struct nlmsghdr *nlh = link_message(kind == 3 ? RTM_DELLINK : RTM_NEWLINK,
					    kind == 3 ? 0 : NLM_F_CREATE, kind == 1 ? "p0" : "h");
	struct ifaddrmsg *address;
	struct ndmsg *neighbour;

	switch (kind) {
	case 0:
		gre_put(nlh, &gre);
		break;
	case 1:
		mnl_attr_put_u32(nlh, IFLA_MTU, 1400);
		mnl_attr_put_u32(nlh, IFLA_MASTER, 0);
		mnl_attr_put_strz(nlh, IFLA_IFALIAS, "alias");
		break;
	case 2:
		iptunnel_put(nlh, "ipip", "192.0.2.1", "192.0.2.2", IPPROTO_MPLS);
		break;
	case 4:
	case 5:
		nlh = message(kind == 4 ? RTM_NEWADDR : RTM_DELADDR, NLM_F_CREATE);
		address = mnl_nlmsg_put_extra_header(nlh, sizeof(*address));
		address->ifa_family = AF_INET;
		address->ifa_prefixlen = 24;
		address->ifa_index = P0_INDEX;
		mnl_attr_put_u32(nlh, IFA_LOCAL, inet_addr("10.0.0.1"));
		mnl_attr_put_u32(nlh, IFA_ADDRESS, inet_addr("10.0.0.1"));
		break;
	case 6:
	case 7:
		nlh = message(kind == 6 ? RTM_NEWNEIGH : RTM_DELNEIGH, NLM_F_CREATE);
		neighbour = mnl_nlmsg_put_extra_header(nlh, sizeof(*neighbour));
		neighbour->ndm_family = AF_INET;
		neighbour->ndm_state = NUD_PERMANENT;
		neighbour->ndm_ifindex = P0_INDEX;
		mnl_attr_put_u32(nlh, NDA_DST, inet_addr("10.0.0.2"));
		mnl_attr_put(nlh, NDA_LLADDR, 6, "\2\0\0\0\0\1");
		break;
	default:
		break;
	}
	return nlh;
}

static void check_links(void)
{
	for (struct pw_link *link = pw_link_next(0); link; link = pw_link_next(link->index)) {
		assert_int_equal(pw_interface_get(link->index)->id, link->index);
		assert_ptr_equal(pw_link_by_name(link->name), link);
		assert_int_equal(pw_interface_get(link->index)->vrf, pw_link_vrf(link));
	}
}

static void test_hostile(void **state)
{
	unsigned int taken = 0, refused = 0;

	assert_int_equal(link_up("p0", true), 0);
	for (int round = 0; round < 100000; round++) {
		struct nlmsghdr *nlh = good_message(chance(8));
		uint32_t size = nlh->nlmsg_len;
		int ret;

		for (uint32_t flips = chance(5); flips; flips--)
			((uint8_t *)nlh)[sizeof(*nlh) + chance(size - sizeof(*nlh))] ^=
				(uint8_t)(1 << chance(8));
		if (!chance(4))
			nlh->nlmsg_len = sizeof(*nlh) + chance(size - sizeof(*nlh) + 1);
		ret = pw_request_internal(nlh, said, sizeof(said));
		taken += !ret;
		refused += ret < 0;
		/* Refused means in words. */
		assert_true(!ret || said[0]);
		if (round % 1000)
			continue;
		pw_resolve();
		pw_retire_drain();
		check_links();
		for (uint32_t index = P0_INDEX + 2; index < 2000; index++)
			if (pw_link_by_index(index)) {
				struct pw_link *link = pw_link_by_index(index);

				delete_link(link->name);
			}
	}
	assert_true(taken > 1000 && refused > 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_start, fixture_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_start),
		TEST(test_up_down),
		TEST(test_vlan),
		TEST(test_vrf),
		TEST(test_names),
		TEST(test_mtu),
		TEST(test_nothing_half_applied),
		TEST(test_kinds_refused),
		TEST(test_gre),
		TEST(test_gre_underlay),
		TEST(test_ip6gre),
		TEST(test_iptunnel),
		TEST(test_iptunnel_unique),
		TEST(test_addresses),
		TEST(test_address_flags),
		TEST(test_mirror),
		TEST(test_many),
		TEST(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
