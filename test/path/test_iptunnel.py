# SPDX-License-Identifier: BSD-3-Clause
"""IP in IP: kinds sit (RFC 4213), ipip (RFC 2003) and ip6tnl (RFC 2473), in VRFs, both ways, in
clear and in ESP in transport mode; and GRE spokes: several keys on one address."""

import sys

from icmp import check4, check6
from ipsec import FLUSH, Sa, GCM
from pewter import main, port_mac
from topology import (BLUE, CORE, GRE, IP, MPLS, P2, P3, PE1, PE1_6, PE2, PE2_6, PE3, RED,
                      STARTED, AnyId, Ether, IPv6, Lazy, Raw, ether, from_blue, from_core,
                      from_red, hop, to_blue, to_core, to_red, udp, udp6)

PE4, PE5, PE6, PE7 = ("10.255.0.%d" % n for n in range(4, 8))

TUNNELS = f"""
route add {PE4}/32 via 192.0.2.2
route add {PE5}/32 via 192.0.2.2
route add {PE6}/32 via 192.0.2.2
route add {PE7}/32 via 192.0.2.2
link add six type sit local {PE1} remote {PE2} ttl 64 mode ip6ip
link set six master red up
route add table 10 2001:db8:2::/48 dev six
route add table 10 10.2.0.0/16 dev six
link add any type sit local {PE1} remote {PE3} ttl 33 tos 0x28 mode any
link set any master blue up
route add table 20 2001:db8:2::/48 dev any
route add table 20 10.2.0.0/16 dev any
link add four type ipip local {PE1} remote {PE4} ttl inherit tos inherit nopmtudisc mode ipip
link set four master red up
route add table 10 10.4.0.0/16 dev four
link add over6 type ip6tnl local {PE1_6} remote {PE2_6} hoplimit 61 mode any
link set over6 master red up
route add table 10 10.6.0.0/16 dev over6
route add table 10 2001:db8:6::/48 dev over6
link add loose type sit local {PE1} remote {PE5} nopmtudisc
link set loose master red up
route add table 10 2001:db8:5::/48 dev loose
link add moving type sit local {PE1} remote {PE6} ttl 64
link set moving master red up
route add table 10 2001:db8:7::/48 dev moving
"""

pe = Lazy(TUNNELS)


def in_ip(packet, remote=PE2, ttl=64, tos=0, df=True):
    """The frame to the core with the packet in IPv4."""
    outer = IP(src=PE1, dst=remote, proto=41 if packet.version == 6 else 4, ttl=ttl, tos=tos,
               flags="DF" if df else 0, id=0)
    port, frame = to_core(outer / packet, P3 if remote == PE3 else P2)
    return (port, frame) if df else (port, AnyId(frame))


def from_remote(packet, remote=PE2, proto=None, **fields):
    fields.setdefault("ttl", 60)
    proto = proto or (41 if packet.version == 6 else 4)
    return from_core(IP(src=remote, dst=PE1, proto=proto, **fields) / packet)


def far(**fields):
    return udp(source="10.2.0.2", destination="10.1.0.2", **fields)


def far6(**fields):
    fields.setdefault("source", "2001:db8:2::2")
    fields.setdefault("destination", "2001:db8:1::2")
    return udp6(**fields)


def tos(packet, value):
    """The packet with its DSCP and ECN fields so."""
    packet = packet.copy()
    if packet.version == 6:
        packet.tc = value
        return IPv6(bytes(packet))
    packet.tos = value
    del packet.chksum
    return IP(bytes(packet))


# ---- outward ------------------------------------------------------------------------------------


def test_ip6ip():
    for size in (0, 1, 40, 1000):
        packet = udp6(size=size)
        pe().expect(RED, from_red(packet), [in_ip(hop(packet))])


def test_ip6ip_carries_no_ipv4():
    pe().refuses(RED, from_red(udp()), "tunnel-payload")


def test_any_carries_both():
    for packet in (udp(), udp6(), udp(size=0), udp6(size=0)):
        pe().expect(BLUE, from_blue(packet), [in_ip(hop(packet), PE3, ttl=33, tos=0x28)])


def test_both_in_one_burst():
    """Neighbours in a burst do not leave their protocol number behind."""
    packets = [udp(), udp6(), udp6(size=3), udp(size=3), udp6(), udp()]
    sent, drops = pe().exchange(BLUE, *[from_blue(p) for p in packets])
    assert not drops, drops
    wanted = [in_ip(hop(p), PE3, ttl=33, tos=0x28) for p in packets]
    assert sorted(sent) == sorted(wanted), sent


def test_ecn_goes_out():
    """RFC 6040 4.1: normal mode, whatever the DSCP is."""
    for ecn in range(4):
        packet = udp6(tc=0xb8 | ecn)
        pe().expect(RED, from_red(packet), [in_ip(hop(packet), tos=ecn)])
        packet = udp(tos=0xb8 | ecn)
        pe().expect(BLUE, from_blue(packet), [in_ip(hop(packet), PE3, ttl=33, tos=0x28 | ecn)])


def test_ipip_inherits():
    """TTL, TOS and (nopmtudisc) DF of what is inside, as Linux has it."""
    for ttl, tos_, flags in ((9, 0, 0), (200, 0xb9, "DF"), (64, 3, 0)):
        packet = udp(destination="10.4.0.1", ttl=ttl, tos=tos_, flags=flags)
        pe().expect(RED, from_red(packet),
                    [in_ip(hop(packet), PE4, ttl=ttl - 1, tos=tos_, df=bool(flags))])


def test_nopmtudisc():
    packet = udp6(destination="2001:db8:5::1", hlim=91)
    pe().expect(RED, from_red(packet), [in_ip(hop(packet), PE5, ttl=90, df=False)])


def test_over_ipv6():
    for packet in (udp(destination="10.6.0.1", tos=2), udp6(destination="2001:db8:6::1", tc=3)):
        sent, drops = pe().exchange(RED, from_red(packet))
        assert not drops and len(sent) == 1 and sent[0][0] == CORE, (sent, drops)
        frame = sent[0][1]
        flow = int.from_bytes(frame[14:18], "big") & 0xFFFFF
        assert flow, "RFC 6438: a flow label"
        inside = hop(packet)
        outer = IPv6(src=PE1_6, dst=PE2_6, hlim=61, nh=41 if packet.version == 6 else 4, fl=flow,
                     tc=packet.tc if packet.version == 6 else packet.tos, plen=len(inside))
        assert frame == to_core(outer / inside)[1], frame.hex()


def test_mtu():
    """The CE learns exactly what goes through: 1500 less the outer header."""
    for size, fits in ((1480 - 48, True), (1481 - 48, False)):
        packet = udp6(size=size)
        sent, drops = pe().exchange(RED, from_red(packet))
        if fits:
            assert not drops and sent == [in_ip(hop(packet))], drops
            continue
        assert drops == {"mtu-exceeded": 1} and len(sent) == 1 and sent[0][0] == RED, drops
        check6(sent[0][1][14:], packet, 2, 0, "2001:db8:1::1", 1480)
    packet = udp(size=1481 - 28, flags="DF")
    sent, drops = pe().exchange(BLUE, from_blue(packet))
    assert drops == {"mtu-exceeded": 1} and len(sent) == 1 and sent[0][0] == BLUE, drops
    check4(sent[0][1][14:], packet, 3, 4, "10.1.0.1", 1480)


def test_large_ipv4_is_cut_before():
    packet = udp(size=2000 - 28)
    sent, drops = pe().exchange(BLUE, *[from_blue(packet)])
    assert not drops and len(sent) == 2, (sent, drops)
    pieces = [IP(IP(frame[14:]).payload.load if Raw in IP(frame[14:]) and
                 not isinstance(IP(frame[14:]).payload, IP) else bytes(IP(frame[14:]).payload))
              for _, frame in sent]
    for _, frame in sent:
        assert len(frame) <= 1514 and frame[23] == 4 and frame[20:22] == b"\x40\0", frame.hex()
    assert [(p.frag * 8, p.flags.MF) for p in pieces] == [(0, True), (1456, False)], pieces
    payload = b"".join(bytes(p)[20:] for p in pieces)
    assert payload == bytes(packet)[20:]


def test_the_endpoint_moves():
    packet = udp6(destination="2001:db8:7::1")
    pe().expect(RED, from_red(packet), [in_ip(hop(packet), PE6)])
    pe().expect(CORE, from_remote(far6(), PE6), [to_red(hop(far6()))])
    pe().ip(f"link change moving type sit local {PE1} remote {PE7} ttl 64")
    try:
        pe().expect(RED, from_red(packet), [in_ip(hop(packet), PE7)])
        pe().expect(CORE, from_remote(far6(), PE7), [to_red(hop(far6()))])
        pe().refuses(CORE, from_remote(far6(), PE6), "tunnel-source")
    finally:
        pe().ip(f"link change moving type sit local {PE1} remote {PE6} ttl 64")
    pe().expect(RED, from_red(packet), [in_ip(hop(packet), PE6)])


# ---- inward -------------------------------------------------------------------------------------


def test_the_tunnel_names_the_vrf():
    pe().expect(CORE, from_remote(far6()), [to_red(hop(far6()))])
    pe().expect(CORE, from_remote(far6(), PE3), [to_blue(hop(far6()))])
    pe().expect(CORE, from_remote(far(), PE3), [to_blue(hop(far()))])
    pe().expect(CORE, from_remote(far(), PE4), [to_red(hop(far()))])
    for packet in (far(), far6()):
        outer = IPv6(src=PE2_6, dst=PE1_6, nh=41 if packet.version == 6 else 4, hlim=60)
        pe().expect(CORE, from_core(outer / packet), [to_red(hop(packet))])


def test_only_known_ends():
    pe().refuses(CORE, from_remote(far6(), "10.255.0.99"), "tunnel-source")
    outer = IP(src=PE2, dst="192.0.2.1", proto=41, ttl=60)
    pe().refuses(CORE, from_core(outer / far6()), "tunnel-unknown")
    pe().refuses(CORE, from_core(IP(src=PE2, dst=PE1, proto=137, ttl=60) / MPLS(s=1) / far()),
                 "tunnel-unknown")


def test_only_what_it_carries():
    pe().refuses(CORE, from_remote(far()), "tunnel-payload")
    pe().refuses(CORE, from_remote(far6(), PE4), "tunnel-payload")
    pe().refuses(CORE, from_remote(far(), PE3, proto=41), "ipv6-version")
    pe().refuses(CORE, from_remote(far6(), PE3, proto=4), "ipv4-version")


def test_down():
    pe().ip("link set six down")
    try:
        pe().refuses(CORE, from_remote(far6()), "tunnel-down")
    finally:
        pe().ip("link set six up")
        pe().ip("route replace table 10 2001:db8:2::/48 dev six\n"
                "route replace table 10 10.2.0.0/16 dev six")
    pe().expect(CORE, from_remote(far6()), [to_red(hop(far6()))])


def test_martians():
    """RFC 4213 3.6, RFC 3964 5.1."""
    for source in ("::", "::1", "ff02::1", "ff0e::1", "::192.0.2.1", "::ffff:192.0.2.1",
                   "2002:0a00:0001::1", "2002:7f00:0001::1", "2002:c0a8:0101::1",
                   "2002:ac10:0001::1", "2002:a9fe:0001::1", "2002:e000:0001::1",
                   "2002:ffff:ffff::1", "2002::1"):
        pe().refuses(CORE, from_remote(far6(source=source)), "tunnel-martian")
        pe().refuses(CORE, from_remote(far6(source=source), PE3), "tunnel-martian")
    for destination in ("2002:0a00:0001::1", "2002:e000:0001::1"):
        pe().refuses(CORE, from_remote(far6(destination=destination)), "tunnel-martian")
    for source in ("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.5", "240.0.0.1", "255.255.255.255"):
        packet = udp(source=source, destination="10.1.0.2")
        pe().refuses(CORE, from_remote(packet, PE3), "tunnel-martian")


def test_no_martians():
    for source in ("2002:0808:0808::1", "2002:ac20:0001::1", "2002:ac0f:0001::1",
                   "2002:c0a9:0101::1", "2002:dfff:ffff::1", "2003:0a00:0001::1",
                   "::1:0:0:0", "::fffe:192.0.2.1", "fd00::1"):
        packet = far6(source=source)
        pe().expect(CORE, from_remote(packet), [to_red(hop(packet))])


def test_what_no_router_forwards():
    pe().refuses(CORE, from_remote(far6(destination="ff0e::1")), "ipv6-address")
    pe().refuses(CORE, from_remote(far6(destination="::1")), "ipv6-address")
    packet = udp(source="10.2.0.2", destination="224.0.0.5")
    pe().refuses(CORE, from_remote(packet, PE3), "ipv4-address")
    pe().refuses(CORE, from_remote(far6(source="fe80::1")), "punt-no-face")


def test_broken_inside():
    whole = bytes(far6())
    for size, name in ((0, "ipv6-length"), (1, "ipv6-length"), (39, "ipv6-length"),
                       (len(whole) - 1, "ipv6-length")):
        pe().refuses(CORE, from_remote(Raw(whole[:size]), proto=41), name)
    whole = bytes(far())
    for size, name in ((0, "ipv4-header"), (19, "ipv4-header"), (len(whole) - 1, "ipv4-length")):
        pe().refuses(CORE, from_remote(Raw(whole[:size]), PE3, proto=4), name)
    spoilt = bytearray(whole)
    spoilt[10] ^= 1
    pe().refuses(CORE, from_remote(Raw(bytes(spoilt)), PE3, proto=4), "ipv4-checksum")


def test_trailing_bytes_are_cut():
    packet = far6(size=3)
    pe().expect(CORE, from_remote(Raw(bytes(packet) + b"trailer"), proto=41),
                [to_red(hop(packet))])


def test_ecn_comes_in():
    """RFC 6040 4.2, figure 4; CE outside of a packet that is not ECN-capable is a drop."""
    figure = {(0, 0): 0, (0, 1): 0, (0, 2): 0, (0, 3): None,
              (2, 0): 2, (2, 1): 1, (2, 2): 2, (2, 3): 3,
              (1, 0): 1, (1, 1): 1, (1, 2): 1, (1, 3): 3,
              (3, 0): 3, (3, 1): 3, (3, 2): 3, (3, 3): 3}
    for (inner, outer), wanted in figure.items():
        for packet, out in ((far6(tc=0x48 | inner), to_blue), (far(tos=0x48 | inner), to_blue)):
            frame = from_remote(packet, PE3, tos=0x90 | outer)
            if wanted is None:
                pe().refuses(CORE, frame, "tunnel-ecn")
            else:
                pe().expect(CORE, frame, [out(hop(tos(packet, 0x48 | wanted)))])


def test_fragments_outside():
    packet = far6(size=1400)
    whole = IP(src=PE2, dst=PE1, proto=41, ttl=60, id=77) / packet
    data = bytes(whole)[20:]
    first = IP(src=PE2, dst=PE1, proto=41, ttl=60, id=77, flags="MF") / Raw(data[:800])
    last = IP(src=PE2, dst=PE1, proto=41, ttl=60, id=77, frag=100) / Raw(data[800:])
    sent, drops = pe().exchange(CORE, from_core(last), from_core(first))
    assert not drops and sent == [to_red(hop(packet))], (sent, drops)


# ---- what is refused, and what is shown ---------------------------------------------------------


def refused(line, words):
    try:
        pe().ip(line)
    except Exception as error:  # pylint: disable=broad-except
        assert words in str(error), "%s, not: %s" % (error, words)
        return
    raise AssertionError("taken: " + line)


def test_refusals():
    base = f"link add no type sit local {PE1} remote 10.255.0.77 "
    refused(base + "6rd-prefix 2001:db8::/32", "6rd is not supported")
    refused(base + "isatap", "ISATAP is not supported")
    refused(base + "encap fou encap-sport auto encap-dport 5555", "fou, gue")
    refused(base + "mode mplsip", "mode mplsip")
    refused("link add no type sit external", "external")
    refused("link add no type ipip mode ipip remote 10.255.0.77", "needs a local address")
    refused(f"link add no type ipip mode any local {PE1} remote {PE2}", "same local, remote")
    refused("route add table 10 2001:db8:99::/48 encap mpls 100 dev six", "carries no labels")
    refused("link change six type gre local 10.255.0.1 remote 10.255.0.2", "cannot change")


def test_show():
    """As Linux's: link/sit, ip6ip, ttl, nopmtudisc."""
    text = pe().show("-d", "link", "show", "six")
    assert "link/sit 10.255.0.1 peer 10.255.0.2" in text, text
    assert "sit ip6ip remote 10.255.0.2 local 10.255.0.1 ttl 64 pmtudisc" in text, text
    assert "mtu 1480" in text, text
    text = pe().show("-d", "link", "show", "any")
    assert "sit any remote 10.255.0.3 local 10.255.0.1 ttl 33 tos 0x28" in text, text
    text = pe().show("-d", "link", "show", "four")
    assert "link/ipip 10.255.0.1 peer 10.255.0.4" in text, text
    assert "ipip ipip remote 10.255.0.4 local 10.255.0.1 ttl inherit tos inherit nopmtudisc" \
        in text, text
    text = pe().show("-d", "link", "show", "over6")
    assert "link/tunnel6" in text and "ip6tnl any remote" in text and "hoplimit 61" in text, text
    text = pe().show("link", "show", "type", "sit")
    assert all(name in text for name in ("six@", "any@", "loose@", "moving@")), text
    assert "four" not in text, text
    text = pe().ctl("show", "tunnels")
    assert "ip-in-ip" in text, text


def test_counters():
    def packets():
        lines = pe().show("-s", "link", "show", "six").splitlines()
        return [int(lines[i + 1].split()[n]) for i, line in enumerate(lines)
                for n in (0, 1) if line.split()[:1] in (["RX:"], ["TX:"])]

    before = packets()
    pe().expect(RED, from_red(udp6()), [in_ip(hop(udp6()))])
    pe().expect(CORE, from_remote(far6()), [to_red(hop(far6()))])
    after = packets()
    size = len(udp6())
    assert [b - a for a, b in zip(before, after)] == [size, 1, size, 1], (before, after)


def test_ip_tunnel():
    """The older command, whose ioctls the preloaded library translates."""
    pe().ip(f"tunnel add old mode sit local {PE1} remote 10.255.0.21 ttl 70\n"
            "link set old master red up\n"
            "route add 10.255.0.21/32 via 192.0.2.2\n"
            "route add 10.255.0.22/32 via 192.0.2.2\n"
            "route add table 10 2001:db8:21::/48 dev old")
    packet = udp6(destination="2001:db8:21::1")
    pe().expect(RED, from_red(packet), [in_ip(hop(packet), "10.255.0.21", ttl=70)])
    pe().ip("tunnel change old remote 10.255.0.22")
    pe().expect(RED, from_red(packet), [in_ip(hop(packet), "10.255.0.22", ttl=70)])
    assert pe().show("tunnel", "show", "old").split("\n")[0].strip() == \
        f"old: ipv6/ip remote 10.255.0.22 local {PE1} ttl 70", pe().show("tunnel", "show", "old")
    text = pe().show("tunnel", "show")
    for line in (f"four: ip/ip remote {PE4} local {PE1} ttl inherit tos inherit nopmtudisc",
                 f"six: ipv6/ip remote {PE2} local {PE1} ttl 64"):
        assert line in text, text
    pe().ip("tunnel change old remote 10.255.0.22 tos 0x20")
    pe().expect(RED, from_red(packet), [in_ip(hop(packet), "10.255.0.22", ttl=70, tos=0x20)])
    refused("tunnel change nobody remote 10.255.0.22", "No such device")
    refused(f"tunnel add other mode sit local {PE1} remote {PE2}", "same local, remote")
    refused("tunnel del red0", "Invalid argument")
    pe().ip(f"tunnel add spoke mode gre local {PE1} remote 10.255.0.23 key 77 ttl 64")
    assert f"spoke: gre/ip remote 10.255.0.23 local {PE1} ttl 64 key 77" in \
        pe().show("tunnel", "show", "spoke"), pe().show("tunnel", "show", "spoke")
    pe().ip("tunnel del spoke\ntunnel del old")
    refused("tunnel change old remote 10.255.0.22", "No such device")


# ---- in ESP, transport mode ---------------------------------------------------------------------


def policies(remote, proto, verb="add"):
    tail = " tmpl src %s dst %s proto esp reqid 7 mode transport" if verb == "add" else ""
    lines = []
    for a, b, way in ((PE1, remote, "out"), (remote, PE1, "in")):
        lines.append("xfrm policy %s src %s/32 dst %s/32 proto %d dir %s%s" % (
            verb, a, b, proto, way, tail % (a, b) if tail else ""))
    return "\n".join(lines)


def sas(remote, spi=0x4000, **options):
    return (Sa(GCM, remote, PE1, spi + 1, reqid=7, seed=spi, **options),
            Sa(GCM, PE1, remote, spi + 2, reqid=7, seed=spi + 1, **options))


def esp_of(sa, frame, **outer):
    """(payload, next header) of a frame to the core."""
    outer.setdefault("ttl", 64)
    ip = IP(src=sa.source, dst=sa.destination, proto=50, len=len(frame) - 14, id=0, flags="DF",
            **outer)
    assert frame[14:34] == bytes(ip), "%s not %s" % (frame[14:34].hex(), bytes(ip).hex())
    _, _, payload, next_header = sa.payload(frame[34:])
    return payload, next_header


def test_protected():
    pe().ip(policies(PE2, 41))
    try:
        pe().refuses(RED, from_red(udp6()), "sa-none")
        pe().refuses(CORE, from_remote(far6()), "policy-clear")
        inward, outward = sas(PE2)
        pe().ip(inward.words() + "\n" + outward.words())
        for n, size in enumerate((0, 1, 2, 3, 64, 1000)):
            packet = udp6(size=size, tc=2)
            sent, drops = pe().exchange(RED, from_red(packet))
            assert not drops and len(sent) == 1, (sent, drops)
            assert esp_of(outward, sent[0][1], tos=2) == (bytes(hop(packet)), 41)
            packet = far6(size=size)
            pe().expect(CORE, from_core(inward.packet(packet, n + 1, 41)), [to_red(hop(packet))])
        pe().refuses(CORE, from_core(inward.packet(far(), 19, 4)), "tunnel-payload")
        other = f"xfrm policy %s src {PE2}/32 dst {PE1}/32 proto 4 dir in"
        pe().ip(other % "add" + f" tmpl src {PE2} dst {PE1} proto esp reqid 99 mode transport")
        pe().refuses(CORE, from_core(inward.packet(far(), 20, 4)), "policy-sa")
        pe().ip(other % "delete")
        pe().refuses(CORE, from_core(inward.packet(far6(source="::1"), 21, 41)), "tunnel-martian")
        pe().refuses(CORE, from_core(inward.packet(Raw(b"x" * 30), 22, 41)), "ipv6-length")
        pe().refuses(CORE, from_remote(far6()), "policy-clear")
        packet = udp6(size=1500)
        sent, drops = pe().exchange(RED, from_red(packet))
        assert drops == {"mtu-exceeded": 1} and len(sent) == 1, (sent, drops)
        # 1500 - 20 - 8 - 8 - 16 is 1448 for text, 2 of it the trailer's.
        check6(sent[0][1][14:], packet, 2, 0, "2001:db8:1::1", 1446)
        packet = udp6(size=1446 - 48)
        sent, drops = pe().exchange(RED, from_red(packet))
        assert not drops and len(sent[0][1]) == 1514, (len(sent[0][1]), drops)
    finally:
        pe().ip(FLUSH)
        pe().ip(policies(PE2, 41, "delete"))
    pe().expect(RED, from_red(udp6()), [in_ip(hop(udp6()))])


def test_protected_both_protocols():
    """A tunnel of both that is protected for one of them only sends nothing, rather than clear."""
    pe().ip(policies(PE3, 41))
    inward, outward = sas(PE3, 0x4100)
    pe().ip(inward.words() + "\n" + outward.words())
    try:
        pe().refuses(BLUE, from_blue(udp6()), "sa-none")
        pe().refuses(BLUE, from_blue(udp()), "sa-none")
        pe().ip(policies(PE3, 4))
        for packet, number in ((udp6(), 41), (udp(), 4)):
            sent, drops = pe().exchange(BLUE, from_blue(packet))
            assert not drops and len(sent) == 1, (sent, drops)
            assert esp_of(outward, sent[0][1], ttl=33, tos=0x28) == (bytes(hop(packet)), number)
        pe().expect(CORE, from_core(inward.packet(far(), 1, 4)), [to_blue(hop(far()))])
        pe().expect(CORE, from_core(inward.packet(far6(), 2, 41)), [to_blue(hop(far6()))])
        pe().ip(policies(PE3, 4, "delete"))
    finally:
        pe().ip(FLUSH)
        pe().ip(policies(PE3, 41, "delete"))


# ---- GRE spokes ---------------------------------------------------------------------------------

SPOKES = f"""
link add front type vrf table 30
link set front up
link set core2 master front
addr add 198.51.100.1/24 dev core2
neigh add 198.51.100.9 lladdr 02:00:00:00:f0:09 dev core2 nud permanent
neigh add 198.51.100.8 lladdr 02:00:00:00:f0:08 dev core2 nud permanent
link add spoke1 type gre local 198.51.100.1 remote 198.51.100.9 key 1 ttl 64 dev core2
link set spoke1 master red up
addr add 10.200.0.1/30 dev spoke1
route add table 10 10.50.0.0/16 dev spoke1
route add table 10 2001:db8:50::/48 dev spoke1
link add spoke2 type gre local 198.51.100.1 remote 198.51.100.9 key 2 ttl 64 dev core2
link set spoke2 master blue up
addr add 10.200.0.1/30 dev spoke2
route add table 20 10.50.0.0/16 dev spoke2
link add hub3 type gre local 198.51.100.1 key 3 ttl 64 dev core2
link set hub3 master red up
addr add 10.203.0.1/24 dev hub3
neigh add 10.203.0.8 lladdr 198.51.100.8 dev hub3 nud permanent
neigh add 10.203.0.9 lladdr 198.51.100.9 dev hub3 nud permanent
route add table 10 10.58.0.0/16 via 10.203.0.8 dev hub3
route add table 10 10.59.0.0/16 via 10.203.0.9 dev hub3
"""

FRONT, FRONT_MAC = "198.51.100.1", {8: "02:00:00:00:f0:08", 9: "02:00:00:00:f0:09"}
CORE2 = 3

spokes = Lazy(SPOKES)


def key_gre(packet, key):
    return GRE(key_present=1, key=key, proto=0x86DD if packet.version == 6 else 0x800) / packet


def to_spoke(packet, key, number=9):
    outer = IP(src=FRONT, dst="198.51.100.%d" % number, proto=47, ttl=64, flags="DF", id=0)
    return (CORE2, bytes(Ether(src=port_mac(CORE2), dst=FRONT_MAC[number]) / outer
                         / key_gre(packet, key)))


def from_spoke(packet, key, number=9):
    outer = IP(src="198.51.100.%d" % number, dst=FRONT, proto=47, ttl=60)
    return ether(CORE2, FRONT_MAC[number], outer / key_gre(packet, key))


def test_spokes_outward():
    """Overlapping addresses behind one address: the VRF says the key."""
    packet = udp(destination="10.50.0.1")
    spokes().expect(RED, from_red(packet), [to_spoke(hop(packet), 1)])
    spokes().expect(BLUE, from_blue(packet), [to_spoke(hop(packet), 2)])
    packet = udp6(destination="2001:db8:50::1")
    spokes().expect(RED, from_red(packet), [to_spoke(hop(packet), 1)])
    for number in (8, 9):
        packet = udp(destination="10.5%d.0.1" % number)
        spokes().expect(RED, from_red(packet), [to_spoke(hop(packet), 3, number)])


def test_spokes_inward():
    """The key says the VRF."""
    packet = udp(source="10.50.0.1", destination="10.1.0.2")
    spokes().expect(CORE2, from_spoke(packet, 1), [to_red(hop(packet))])
    spokes().expect(CORE2, from_spoke(packet, 2), [to_blue(hop(packet))])
    spokes().expect(CORE2, from_spoke(packet, 3, 8), [to_red(hop(packet))])
    spokes().refuses(CORE2, from_spoke(packet, 4), "gre-key")
    spokes().refuses(CORE2, from_spoke(packet, 2, 8), "tunnel-source")
    # The same outer packet in another VRF is nobody's.
    outer = IP(src="198.51.100.9", dst=FRONT, proto=47, ttl=60)
    _, drops = spokes().exchange(CORE, ether(CORE, P2, outer / key_gre(packet, 1)))
    assert "tunnel-unknown" in drops or "route-none" in drops, drops


def test_spokes_protected():
    """All keys between two addresses share the SA."""
    spoke = "198.51.100.9"
    lines = []
    for a, b, way in ((FRONT, spoke, "out"), (spoke, FRONT, "in")):
        lines.append(f"xfrm policy add src {a}/32 dst {b}/32 proto gre dir {way} "
                     f"tmpl src {a} dst {b} proto esp reqid 9 mode transport")
    inward = Sa(GCM, spoke, FRONT, 0x5001, reqid=9, seed=0x5001)
    outward = Sa(GCM, FRONT, spoke, 0x5002, reqid=9, seed=0x5002)
    spokes().ip("\n".join(lines + [inward.words(), outward.words()]))
    number = 0
    for port, source, sink, key in ((RED, from_red, to_red, 1), (BLUE, from_blue, to_blue, 2)):
        packet = udp(destination="10.50.0.1")
        sent, drops = spokes().exchange(port, source(packet))
        assert not drops and len(sent) == 1 and sent[0][0] == CORE2, (sent, drops)
        assert esp_of(outward, sent[0][1]) == (bytes(key_gre(hop(packet), key)), 47)
        number += 1
        packet = udp(source="10.50.0.1", destination="10.1.0.2")
        frame = ether(CORE2, FRONT_MAC[9], inward.packet(key_gre(packet, key), number))
        spokes().expect(CORE2, frame, [sink(hop(packet))])
        spokes().refuses(CORE2, from_spoke(packet, key), "policy-clear")
    packet = udp(destination="10.58.0.1")
    spokes().expect(RED, from_red(packet), [to_spoke(hop(packet), 3, 8)])


if __name__ == "__main__":
    main(sys.modules[__name__])
