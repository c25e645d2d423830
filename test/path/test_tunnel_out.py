# SPDX-License-Identifier: BSD-3-Clause
"""From a VRF to the core: labels, TTL models, the outer header's knobs, ECMP, underlays."""

import struct
import sys

from icmp import check4, ones_complement
from pewter import main, port_mac
from topology import (BLUE, CORE, GRE, IP, MGRE, MPLS, P2, P3, PE1, PE1_6, PE2, PE2_6, PE3, RED,
                      STARTED, TCP, UDP, VPN, AnyId, Ether, IPv6, Lazy, Raw, from_blue, from_red,
                      hop, label, to_core, tunnelled, udp, udp6)

MORE = """
route add 10.255.0.5/32 via 192.0.2.2
route add 10.255.0.6/32 via 192.0.2.2
route add 10.255.0.7/32 via 192.0.2.2
route add 10.255.0.8/32 via 192.0.2.2
route add table 10 10.20.0.0/16 encap mpls 100/200/300/400 via 172.16.0.2 dev mgre0
route add table 10 10.21.0.0/16 encap mpls 100 ttl 17 via 172.16.0.2 dev mgre0
link add fixed type gre local 10.255.0.1 remote 10.255.0.5 ttl 77 tos 0x28 nopmtudisc
link set fixed up
route add table 10 10.22.0.0/16 encap mpls 122 dev fixed
link add inherit type gre local 10.255.0.1 remote 10.255.0.6 tos inherit
link set inherit up
route add table 10 10.23.0.0/16 encap mpls 123 dev inherit
link add keyed type gre local 10.255.0.1 remote 10.255.0.7 ttl 64 key 0x01020304 csum
link set keyed up
route add table 10 10.24.0.0/16 encap mpls 124 dev keyed
link add mip type ipip mode mplsip local 10.255.0.1 remote 10.255.0.3 ttl 64
link set mip up
route add table 10 10.25.0.0/16 encap mpls 125 dev mip
link add mgre6 type ip6gre local 2001:db8:ff::1 hoplimit 61
link set mgre6 up
addr add 172.18.0.1/24 dev mgre6
neigh add 172.18.0.2 lladdr 20:01:0d:b8:00:ff:00:00:00:00:00:00:00:00:00:02 dev mgre6 nud permanent
route add table 10 10.26.0.0/16 encap mpls 126 via 172.18.0.2 dev mgre6
route add table 10 10.30.0.0/16 nexthop encap mpls 130 via 172.16.0.2 dev mgre0 nexthop encap mpls 131 via 172.16.0.3 dev mgre0
route add table 10 2001:db8:30::/48 nexthop encap mpls 130 via 2001:db8:172::2 dev mgre0 nexthop encap mpls 131 via 2001:db8:172::3 dev mgre0
link add far1 type gre local 10.255.0.1 remote 10.99.0.1 ttl 64
link set far1 up
route add table 10 10.31.0.0/16 encap mpls 140 dev far1
link add plain type gre local 10.255.0.1 remote 10.255.0.8 ttl 64
link set plain master red up
route add table 10 10.27.0.0/16 dev plain
link add small type gre local 10.255.0.1 remote 10.255.0.8 key 5 ttl 64
link set small up mtu 600
route add table 10 10.28.0.0/16 encap mpls 128/129 dev small
"""

NBMA6 = "neigh add 2001:db8:172::3 lladdr 10.255.0.3 dev mgre0 nud permanent"

pe = Lazy(MGRE, NBMA6, VPN, MORE)


def out(packet, wanted):
    pe().expect(RED, from_red(packet), [wanted])


def test_label_and_outer_header():
    packet = udp()
    out(packet, tunnelled(hop(packet)))
    packet = udp6()
    out(packet, tunnelled(hop(packet)))


def test_outer_header_is_sound():
    """Without the builder of the other tests: every field on its own."""
    sent, _ = pe().exchange(RED, from_red(udp(size=33)))
    frame = sent[0][1]
    outer = frame[14:34]
    assert frame[12:14] == b"\x08\0" and outer[0] == 0x45 and outer[1] == 0, outer.hex()
    assert struct.unpack("!H", outer[2:4])[0] == len(frame) - 14 == 20 + 4 + 4 + 28 + 33
    assert outer[6:8] == b"\x40\0" and outer[8:10] == bytes([64, 47]), outer.hex()
    assert ones_complement(outer) == 0xFFFF, outer.hex()
    assert outer[12:20] == bytes([10, 255, 0, 1, 10, 255, 0, 2]), outer.hex()
    assert frame[34:38] == b"\0\0\x88\x47" and frame[38:42] == bytes.fromhex("000641ff")


def test_four_labels():
    packet = udp(destination="10.20.0.1")
    out(packet, tunnelled(hop(packet), [100, 200, 300, 400]))


def test_traffic_class_from_dscp():
    """RFC 3270: the class selector bits of DSCP, on every label that is pushed."""
    for dscp in range(64):
        packet = udp(tos=dscp << 2)
        out(packet, tunnelled(hop(packet), cos=dscp >> 3))
        packet = udp6(tc=dscp << 2)
        out(packet, tunnelled(hop(packet), cos=dscp >> 3))
    packet = udp(destination="10.20.0.1", tos=46 << 2)
    out(packet, tunnelled(hop(packet), [100, 200, 300, 400], cos=5))


def test_ttl_pipe_is_the_default():
    packet = udp(ttl=9)
    out(packet, tunnelled(hop(packet), label_ttl=255))


def test_ttl_explicit():
    packet = udp(destination="10.21.0.1", ttl=9)
    out(packet, tunnelled(hop(packet), label_ttl=17))


def test_ttl_uniform():
    """RFC 3443: the labels' TTL is the packet's as it leaves here."""
    pe().ctl("tunnel", "mgre0", "ttl-model", "uniform")
    try:
        packet = udp(ttl=9)
        out(packet, tunnelled(hop(packet), label_ttl=8))
        packet = udp6(hlim=77)
        out(packet, tunnelled(hop(packet), label_ttl=76))
        packet = udp(destination="10.21.0.1", ttl=9)  # its route says 17
        out(packet, tunnelled(hop(packet), label_ttl=17))
    finally:
        pe().ctl("tunnel", "mgre0", "ttl-model", "pipe")
    pe().ctl("tunnel", "mgre0", "label-ttl", "99")
    packet = udp(ttl=9)
    out(packet, tunnelled(hop(packet), label_ttl=99))
    pe().ctl("tunnel", "mgre0", "label-ttl", "255")


def test_outer_fixed_knobs():
    for tos in (0, 0xB8):
        packet = udp(destination="10.22.0.1", tos=tos)
        out(packet, tunnelled(hop(packet), [122], remote="10.255.0.5", ttl=77, tos=0x28, df=False,
                              cos=tos >> 5))


def test_outer_inherits():
    """TTL and TOS of the payload as it goes into the tunnel."""
    for ttl, tos in ((9, 0), (200, 0xB8), (64, 0x02)):
        packet = udp(destination="10.23.0.1", ttl=ttl, tos=tos)
        out(packet, tunnelled(hop(packet), [123], remote="10.255.0.6", ttl=ttl - 1, tos=tos,
                              cos=tos >> 5))


def test_key_and_checksum():
    packet = udp(destination="10.24.0.1")
    sent, drops = pe().exchange(RED, from_red(packet))
    assert len(sent) == 1 and not drops, drops
    gre = sent[0][1][34:]
    assert gre[:4] == b"\xa0\0\x88\x47" and gre[6:8] == b"\0\0", gre[:12].hex()
    assert gre[8:12] == b"\1\2\3\4", gre[:12].hex()
    assert ones_complement(gre) == 0xFFFF, "GRE checksum"
    assert gre[12:] == bytes(label(124, hop(packet)))


def test_sequence_numbers():
    """RFC 2890: the last word of the header, one more for each packet."""
    pe().ip("""
        link add counted type gre local 10.255.0.1 remote 10.255.0.8 okey 9 ikey 9 oseq ttl 64
        link set counted up
        route add table 10 10.42.0.0/16 encap mpls 142 dev counted
    """)
    packet = udp(destination="10.42.0.1")
    numbers = []
    for _ in range(3):
        sent, _ = pe().exchange(RED, from_red(packet))
        gre = sent[0][1][34:]
        assert gre[:8] == bytes.fromhex("3000884700000009"), gre[:12].hex()
        assert gre[12:] == bytes(label(142, hop(packet)))
        numbers.append(int.from_bytes(gre[8:12], "big"))
    assert [n - numbers[0] for n in numbers] == [0, 1, 2], numbers


def test_path_mtu_wins():
    """RFC 4023 5.1: the smaller of what was configured and what the path takes, key included."""
    pe().ip("""
        link add large type gre local 10.255.0.1 remote 10.255.0.8 key 10 ttl 64 nopmtudisc
        link set large up mtu 1600
        route add table 10 10.43.0.0/16 encap mpls 143 dev large
    """)
    sent, drops = pe().exchange(RED, from_red(udp(destination="10.43.0.1", size=1472)))
    assert not drops and [IP(frame[14:]).len <= 1500 for _, frame in sent] == [True, True], drops
    packet = udp(destination="10.43.0.1", size=1472, flags="DF")
    sent, drops = pe().exchange(RED, from_red(packet))
    assert drops == {"mtu-exceeded": 1} and len(sent) == 1, (drops, sent)
    check4(sent[0][1][14:], packet, 3, 4, "10.1.0.1", 1500 - 20 - 8 - 4)
    pe().ip("link set core mtu 1400")
    try:
        sent, drops = pe().exchange(RED, from_red(packet))
        check4(sent[0][1][14:], packet, 3, 4, "10.1.0.1", 1400 - 20 - 8 - 4)
    finally:
        pe().ip("link set core mtu 1500")


def test_checksum_of_odd_lengths():
    for size in range(1, 8):
        sent, _ = pe().exchange(RED, from_red(udp(destination="10.24.0.1", size=size)))
        assert ones_complement(sent[0][1][34:]) == 0xFFFF, size


def test_mpls_in_ip():
    packet = udp(destination="10.25.0.1")
    outer = IP(src=PE1, dst=PE3, proto=137, ttl=64, flags="DF", id=0)
    port, frame = to_core(outer / label(125, hop(packet)), P3)
    out(packet, (port, AnyId(frame)))


def test_ipv6_underlay():
    packet = udp(destination="10.26.0.1")
    outer = IPv6(src=PE1_6, dst=PE2_6, nh=47, hlim=61)
    sent, drops = pe().exchange(RED, from_red(packet))
    assert len(sent) == 1 and not drops, drops
    wanted = to_core(outer / GRE(proto=0x8847) / label(126, hop(packet)))[1]
    frame = bytearray(sent[0][1])
    frame[15] &= 0xF0
    frame[16:18] = b"\0\0"  # the flow label may be the flow's (RFC 6438)
    assert bytes(frame) == wanted, "\n%s\n%s" % (frame.hex(), wanted.hex())


def test_ip_in_gre():
    packet = udp(destination="10.27.0.1")
    outer = IP(src=PE1, dst="10.255.0.8", proto=47, ttl=64, flags="DF", id=0)
    port, frame = to_core(outer / GRE(proto=0x0800) / hop(packet))
    out(packet, (port, AnyId(frame)))


def test_ip_id_when_it_may_be_cut():
    """RFC 6864: unique while DF is 0."""
    ids = [pe().exchange(RED, from_red(udp(destination="10.22.0.1")))[0][0][1][18:20]
           for _ in range(50)]
    assert len(set(ids)) == 50, ids


def flow(n, v6=False):
    if v6:
        return udp6(destination="2001:db8:30::%x" % (n % 50 + 1), sport=1000 + n, size=8)
    return udp(destination="10.30.0.%d" % (n % 50 + 1), sport=1000 + n, size=8)


def ways(packets):
    pe().rate(1000)
    result = []
    for n in range(0, len(packets), 200):
        for _, frame in pe().send(RED, *[from_red(p) for p in packets[n : n + 200]]):
            result.append((frame[38:42].hex(), frame[42:]))
    return result


def test_ecmp_spreads():
    for v6 in (False, True):
        packets = [flow(n, v6) for n in range(400)]
        values = [int(l[:5], 16) for l, _ in ways(packets)]
        first = values.count(130)
        assert len(values) == 400 and set(values) <= {130, 131}, set(values)
        assert 120 < first < 280, "%d of 400" % first


def test_ecmp_keeps_a_flow():
    """The same way for every packet of a flow, whatever else differs in it."""
    for n in range(40):
        packets = [udp(destination="10.30.0.9", sport=1000 + n, size=size, ttl=ttl, id=ttl, tos=tos)
                   for size, ttl, tos in ((8, 64, 0), (800, 30, 0xB8), (1, 2, 4))]
        assert len({l[:5] for l, _ in ways(packets)}) == 1, n


def test_ecmp_fragments_go_one_way():
    """The first fragment has ports, the others do not; all take one way."""
    for n in range(20):
        packets = [udp(destination="10.30.0.%d" % n, size=64, flags="MF", id=n),
                   udp(destination="10.30.0.%d" % n, size=64, frag=9, id=n)]
        assert len({l for l, _ in ways(packets)}) == 1, n


def test_ecmp_twice_uses_all_ways():
    """A VPN route with two PEs, each reached over two core routers: four ways, all of them used."""
    pe().ip("""
        neigh add 192.0.2.4 lladdr 02:00:00:00:c0:04 dev core nud permanent
        route replace 10.255.0.2/32 nexthop via 192.0.2.2 nexthop via 192.0.2.4
        route replace 10.255.0.3/32 nexthop via 192.0.2.2 nexthop via 192.0.2.4
    """)
    try:
        sent = pe().send(RED, *[from_red(flow(n)) for n in range(200)])
        counts = {}
        for _, frame in sent:
            way = (frame[5], int.from_bytes(frame[38:42], "big") >> 12)
            counts[way] = counts.get(way, 0) + 1
        assert len(counts) == 4 and min(counts.values()) > 15, counts
    finally:
        pe().ip("""
            route replace 10.255.0.2/32 via 192.0.2.2
            route replace 10.255.0.3/32 via 192.0.2.3
        """)


def test_nexthop_objects():
    """ip-nexthop(8): a route by id, a group, and what replacing an object moves."""
    pe().ip("""
        nexthop add id 11 encap mpls 1011 via 172.16.0.2 dev mgre0
        nexthop add id 12 encap mpls 1012 via 172.16.0.3 dev mgre0
        nexthop add id 20 group 11/12
        route add table 10 10.40.0.0/16 nhid 11
        route add table 10 10.41.0.0/16 nhid 20
    """)
    packet = udp(destination="10.40.0.1")
    out(packet, tunnelled(hop(packet), [1011]))
    flows = [udp(destination="10.41.0.1", sport=1000 + n) for n in range(100)]
    assert {int(l[:5], 16) for l, _ in ways(flows)} == {1011, 1012}
    pe().ip("nexthop replace id 11 encap mpls 1013 via 172.16.0.3 dev mgre0")
    out(packet, tunnelled(hop(packet), [1013], remote=PE3, router=P3))
    assert {int(l[:5], 16) for l, _ in ways(flows)} == {1012, 1013}
    pe().ip("nexthop replace id 20 group 12")
    assert {int(l[:5], 16) for l, _ in ways(flows)} == {1012}


def test_ecmp_dead_member():
    pe().ip("neigh del 172.16.0.3 dev mgre0")
    try:
        values = {l[:5] for l, _ in ways([flow(n) for n in range(100)])}
        assert values <= {"%05x" % 130}, values
    finally:
        pe().ip("neigh add 172.16.0.3 lladdr 10.255.0.3 dev mgre0 nud permanent")
    values = {l[:5] for l, _ in ways([flow(n) for n in range(100)])}
    assert values == {"%05x" % 130, "%05x" % 131}, values


def test_no_route_to_the_remote():
    sent, drops = pe().exchange(RED, from_red(udp(destination="10.31.0.1")))
    assert not [s for s in sent if s[0] == CORE] and sum(drops.values()) == 1, (sent, drops)
    pe().ip("route add 10.99.0.1/32 via 192.0.2.3")
    packet = udp(destination="10.31.0.1")
    out(packet, tunnelled(hop(packet), [140], remote="10.99.0.1", router=P3))
    pe().ip("route replace 10.99.0.1/32 via 192.0.2.2")
    out(packet, tunnelled(hop(packet), [140], remote="10.99.0.1", router=P2))
    pe().ip("route del 10.99.0.1/32")


def test_tunnel_mtu():
    """600 less two labels; reported in the VRF, and the customer's packet is cut to it."""
    packet = udp(destination="10.28.0.1", size=593 - 28, flags="DF")
    sent, drops = pe().exchange(RED, from_red(packet))
    assert len(sent) == 1 and sent[0][0] == RED, (sent, drops)
    check4(sent[0][1][14:], packet, 3, 4, "10.1.0.1", 592)
    packet = udp(destination="10.28.0.1", size=592 - 28, flags="DF")
    out(packet, tunnelled(hop(packet), [128, 129], remote="10.255.0.8",
                          gre=GRE(key_present=1, key=5, proto=0x8847)))
    sent, _ = pe().exchange(RED, from_red(udp(destination="10.28.0.1", size=1200)))
    pieces = [IP(frame[14 + 20 + 8 + 8 :]) for _, frame in sent]
    assert len(pieces) == 3 and all(p.len <= 592 for p in pieces), [p.len for p in pieces]
    packet = udp(destination="10.28.0.1", size=1200)
    assert b"".join(bytes(p)[20:] for p in pieces) == bytes(packet)[20:]


def test_route_follows_the_neighbour_map():
    packet = udp()
    pe().ip("neigh replace 172.16.0.2 lladdr 10.255.0.3 dev mgre0 nud permanent")
    try:
        out(packet, tunnelled(hop(packet), [100], remote=PE3, router=P3))
    finally:
        pe().ip("neigh replace 172.16.0.2 lladdr 10.255.0.2 dev mgre0 nud permanent")
    out(packet, tunnelled(hop(packet)))


def test_station_known_by_its_underlay_address():
    """Such a map makes the remote known and no route: the tunnel's packets keep out of the tunnel."""
    packet = udp(destination="10.77.0.1")
    pe().ip("route add 10.255.9.0/24 via 192.0.2.2")
    pe().ip("neigh add 10.255.9.1 lladdr 10.255.9.1 dev mgre0 nud permanent")
    pe().ip("route add table 10 10.77.0.0/16 encap mpls 100 via 10.255.9.1 dev mgre0")
    out(packet, tunnelled(hop(packet), [100], remote="10.255.9.1"))


def test_tunnel_down():
    pe().ip("link set small down")
    sent, drops = pe().exchange(RED, from_red(udp(destination="10.28.0.1")))
    assert not [s for s in sent if s[0] != RED] and sum(drops.values()) == 1, (sent, drops)
    pe().ip("link set small up")


if __name__ == "__main__":
    main(sys.modules[__name__])
