# SPDX-License-Identifier: BSD-3-Clause
"""The decision: routes, TTL, MTU, ICMP errors, echo, neighbours."""

import sys

from icmp import check4, check6, ones_complement
from pewter import main, port_mac
from topology import (BLUE, BLUE_CE, CORE, IP, MGRE, RED, RED_CE, UDP, VPN, ICMP, AnyId, Ether,
                      ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, Lazy, Raw, ether, from_blue,
                      from_core, from_red, gre_from, hop, label, to_blue, to_red, tunnelled, udp,
                      udp6, STARTED)

ROUTES = """
route add table 10 blackhole 10.66.0.0/16
route add table 10 unreachable 10.67.0.0/16
route add table 10 prohibit 10.68.0.0/16
route add table 10 10.69.0.0/16 via 10.1.0.2
route add table 10 10.69.7.0/24 encap mpls 107 via 172.16.0.2 dev mgre0
route add table 10 10.69.7.7/32 encap mpls 108 via 172.16.0.2 dev mgre0
route add table 10 blackhole 2001:db8:66::/48
route add table 10 unreachable 2001:db8:67::/48
route add table 10 prohibit 2001:db8:68::/48
route add table 10 2001:db8:69::/48 encap mpls 107 via 2001:db8:172::2 dev mgre0
route add table 10 2001:db8:69:7::/64 encap mpls 108 via 2001:db8:172::2 dev mgre0
"""

pe = Lazy(MGRE, VPN, ROUTES)
MTU = 1472  # 1500 less outer IPv4 and GRE, less one label


def answer(port, frame, ce=RED_CE):
    """The single frame that came back to where the offending one came from."""
    sent, drops = pe().exchange(port, frame)
    assert len(sent) == 1, "%d frames, drops %s" % (len(sent), drops)
    assert sent[0][0] == port, "sent to port %d" % sent[0][0]
    data = sent[0][1]
    source = bytes.fromhex(port_mac(port).replace(":", ""))
    assert data[:6] == bytes.fromhex(ce.replace(":", "")) and data[6:12] == source, data.hex()
    return data[14:], drops


def error4(reason, packet, kind, code, rest=0, port=RED, ce=RED_CE):
    data, drops = answer(port, ether(port, ce, packet), ce)
    check4(data, packet, kind, code, "10.1.0.1", rest)
    check_reason(drops, reason)


def error6(reason, packet, kind, code, rest=0):
    data, drops = answer(RED, from_red(packet))
    check6(data, packet, kind, code, "2001:db8:1::1", rest)
    check_reason(drops, reason)


def check_reason(drops, reason):
    """The packet itself was dropped for its reason, and that it was answered is noted."""
    assert drops == {reason: 1}, "drops %s, expected %s" % (drops, reason)
    assert pe().events == {"icmp-sent": 1}, pe().events


def unanswered(packet, reason):
    sent, drops = pe().exchange(RED, from_red(packet))
    assert not sent and drops == {reason: 1}, (sent, drops)
    assert pe().events == {"icmp-forbidden": 1}, pe().events


def test_longest_prefix_wins():
    for destination, value in (("10.69.7.7", 108), ("10.69.7.8", 107), ("10.2.9.9", 100)):
        packet = udp(destination=destination)
        pe().expect(RED, from_red(packet), [tunnelled(hop(packet), [value])])
    for destination, value in (("2001:db8:69:7::1", 108), ("2001:db8:69:8::1", 107)):
        packet = udp6(destination=destination)
        pe().expect(RED, from_red(packet), [tunnelled(hop(packet), [value])])


def test_same_address_two_vrfs():
    packet = udp()
    pe().expect(RED, from_red(packet), [tunnelled(hop(packet), [100])])
    pe().expect(BLUE, from_blue(packet), [tunnelled(hop(packet), [101])])


def test_via_a_neighbour():
    """Back out of the interface it came from: the CE is the next hop."""
    packet = udp(destination="10.69.1.1")
    pe().expect(RED, from_red(packet), [to_red(hop(packet))])


def test_no_route():
    error4("route-none", udp(destination="203.0.113.1"), 3, 0)
    error6("route-none", udp6(destination="2001:db8:ffff::1"), 1, 0)


def test_blackhole():
    pe().refuses(RED, from_red(udp(destination="10.66.1.1")), "route-blackhole")
    pe().refuses(RED, from_red(udp6(destination="2001:db8:66::1")), "route-blackhole")


def test_unreachable():
    error4("route-unreachable", udp(destination="10.67.1.1"), 3, 1)
    error6("route-unreachable", udp6(destination="2001:db8:67::1"), 1, 3)


def test_prohibit():
    error4("route-prohibit", udp(destination="10.68.1.1"), 3, 13)
    error6("route-prohibit", udp6(destination="2001:db8:68::1"), 1, 1)


def test_ttl_exceeded():
    for ttl in (1, 0):
        error4("ip-ttl", udp(ttl=ttl), 11, 0)
        error6("ip-ttl", udp6(hlim=ttl), 3, 0)


def test_ttl_two_is_enough():
    packet = udp(ttl=2)
    pe().expect(RED, from_red(packet), [tunnelled(hop(packet))])
    packet = udp6(hlim=2)
    pe().expect(RED, from_red(packet), [tunnelled(hop(packet))])


def test_icmp_goes_out_in_its_own_vrf():
    error4("ip-ttl", udp(ttl=1), 11, 0, port=BLUE, ce=BLUE_CE)


def test_no_icmp_about_icmp_errors():
    """RFC 1122 3.2.2, RFC 4443 2.4 (e)."""
    for kind in (3, 4, 5, 11, 12):
        packet = IP(bytes(IP(src="10.1.0.2", dst="10.2.0.2", ttl=1) / ICMP(type=kind) / udp()))
        unanswered(packet, "ip-ttl")
    for kind in (1, 2, 3, 4, 127):
        packet = IPv6(src="2001:db8:1::2", dst="2001:db8:2::2", hlim=1, nh=58) / Raw(
            bytes([kind]) + bytes(47))
        unanswered(packet, "ip-ttl")


def test_icmp_about_echo_is_sent():
    request = IP(src="10.1.0.2", dst="10.2.0.2", ttl=1) / ICMP() / (b"x" * 40)
    error4("ip-ttl", IP(bytes(request)), 11, 0)


def test_no_icmp_about_later_fragments():
    unanswered(udp(ttl=1, frag=10), "ip-ttl")


def test_icmp_quotes_at_most_576():
    error4("ip-ttl", udp(ttl=1, size=1400), 11, 0)
    error6("ip-ttl", udp6(hlim=1, size=1400), 3, 0)


def test_icmp_rate_limit():
    frames = [from_red(udp(ttl=1, id=i)) for i in range(20)]
    sent, drops = pe().exchange(RED, *frames, rate=3)
    events = pe().events
    assert drops == {"ip-ttl": 20}, drops
    assert 3 <= len(sent) <= 5, "%d answers" % len(sent)
    assert events == {"icmp-sent": len(sent), "icmp-rate": 20 - len(sent)}, events


def test_frag_needed():
    packet = udp(size=MTU + 1 - 28, flags="DF")
    error4("mtu-exceeded", packet, 3, 4, rest=MTU)


def test_fits_exactly():
    packet = udp(size=MTU - 28, flags="DF")
    assert len(packet) == MTU
    pe().expect(RED, from_red(packet), [tunnelled(hop(packet))])


def test_packet_too_big():
    packet = udp6(size=MTU + 1 - 48)
    error6("mtu-exceeded", packet, 2, 0, rest=MTU)
    packet = udp6(size=MTU - 48)
    assert len(packet) == MTU
    pe().expect(RED, from_red(packet), [tunnelled(hop(packet))])


def test_frag_needed_in_the_other_vrf():
    error4("mtu-exceeded", udp(size=1460, flags="DF"), 3, 4, rest=MTU, port=BLUE, ce=BLUE_CE)


def test_fragmented_before_encapsulation():
    packet = udp(size=1472, id=0x4242)
    assert len(packet) == 1500
    sent, drops = pe().exchange(RED, from_red(packet))
    assert len(sent) == 2 and not drops, (len(sent), drops)
    inner = hop(packet)
    data = bytes(inner)[20:]
    first = (MTU - 20) // 8 * 8
    pieces = []
    for offset, payload, more in ((0, data[:first], 1), (first, data[first:], 0)):
        head = IP(bytes(inner)[:20])
        head.len, head.flags, head.frag = 20 + len(payload), more, offset // 8
        del head.chksum
        pieces.append(tunnelled(IP(bytes(head)) / Raw(payload)))
    from pewter import check_frames

    check_frames(pe(), sent, pieces)


def test_fragments_are_cut_again():
    """A fragment that is too big: offsets go on from its own, the last keeps 'more'."""
    packet = udp(size=1472, id=0x4243, flags="MF", frag=100)
    sent, drops = pe().exchange(RED, from_red(packet))
    assert len(sent) == 2 and not drops, (len(sent), drops)
    a, b = (IP(frame[14 + 20 + 4 + 4 :]) for _, frame in sent)
    assert a.frag == 100 and a.flags == "MF" and b.flags == "MF", (a.frag, a.flags, b.flags)
    assert b.frag == 100 + (a.len - 20) // 8, b.frag
    assert bytes(a)[20:] + bytes(b)[20:] == bytes(packet)[20:]


def test_echo_to_the_vrf_address():
    for port, ce in ((RED, RED_CE), (BLUE, BLUE_CE)):
        payload = bytes(range(56))
        request = IP(bytes(IP(src="10.1.0.2", dst="10.1.0.1", id=77, ttl=64)
                           / ICMP(id=9, seq=3) / payload))
        data, drops = answer(port, ether(port, ce, request), ce)
        reply = IP(data)
        assert not drops, drops
        assert ones_complement(data[:20]) == 0xFFFF and ones_complement(data[20:]) == 0xFFFF
        assert (reply.src, reply.dst, reply.ttl) == ("10.1.0.1", "10.1.0.2", 64), reply.summary()
        assert data[20:22] == b"\0\0" and data[24:] == bytes(request)[24:], data.hex()
        request = IPv6(bytes(IPv6(src="2001:db8:1::2", dst="2001:db8:1::1")
                             / ICMPv6EchoRequest(id=9, seq=3, data=payload)))
        data, drops = answer(port, ether(port, ce, request), ce)
        wanted = (IPv6(src="2001:db8:1::1", dst="2001:db8:1::2")
                  / ICMPv6EchoReply(id=9, seq=3, data=payload))
        assert not drops and data == bytes(wanted), (drops, data.hex())


def test_echo_with_ttl_one():
    """To the PE itself is not in transit."""
    request = IP(bytes(IP(src="10.1.0.2", dst="10.1.0.1", ttl=1) / ICMP(id=9) / b"abcdefgh"))
    data, drops = answer(RED, from_red(request))
    assert data[20:22] == b"\0\0" and not drops, drops


def test_echo_bad_checksum():
    request = bytearray(bytes(IP(src="10.1.0.2", dst="10.1.0.1") / ICMP(id=9) / b"abcdefgh"))
    request[-1] ^= 1
    pe().refuses(RED, ether(RED, RED_CE, Raw(bytes(request)), type=0x800), "local-icmp")


def test_echo_truncated():
    for length in range(8):
        request = Raw(b"\x08\0\xf7\xff\0\0\0\0"[:length])
        packet = IP(src="10.1.0.2", dst="10.1.0.1", proto=1) / request
        sent, drops = pe().exchange(RED, from_red(packet))
        assert not sent and sum(drops.values()) == 1, drops
        assert set(drops) <= {"local-icmp", "local-truncated"}, drops


def test_echo_from_the_far_site():
    """Through the tunnel and back: a remote site pings the PE's VRF address."""
    request = IP(bytes(IP(src="10.2.0.2", dst="10.1.0.1") / ICMP(id=5) / b"far away"))
    sent, drops = pe().exchange(CORE, from_core(gre_from(label(200, request))))
    assert len(sent) == 1 and sent[0][0] == CORE and not drops, (sent, drops)
    reply = IP(sent[0][1][42:])
    assert (reply.src, reply.dst) == ("10.1.0.1", "10.2.0.2") and reply[ICMP].type == 0


def test_local_protocol_and_port():
    sent, drops = pe().exchange(RED, from_red(udp(destination="10.1.0.1")))
    assert sum(drops.values()) == 1 and len(sent) <= 1, (sent, drops)
    assert drops == {"local-port": 1} and pe().events == {"icmp-sent": 1}, (drops, pe().events)
    check4(sent[0][1][14:], udp(destination="10.1.0.1"), 3, 3, "10.1.0.1")
    sent, drops = pe().exchange(RED, from_red(IP(src="10.1.0.2", dst="10.1.0.1", proto=253)))
    assert sum(drops.values()) == 1 and len(sent) <= 1, (sent, drops)
    assert drops == {"local-protocol": 1} and pe().events == {"icmp-sent": 1}, (drops, pe().events)


def test_neighbour_is_waited_for():
    packets = [udp(source="10.2.0.2", destination="10.1.0.9", id=i) for i in range(3)]
    frames = [from_core(gre_from(label(200, p))) for p in packets]
    sent, drops = pe().exchange(CORE, *frames)
    assert not sent and not drops, (sent, drops)
    pe().ip("neigh add 10.1.0.9 lladdr 02:00:00:00:01:09 dev red0 nud permanent")
    sent = pe().run()
    wanted = [bytes(Ether(src=port_mac(RED), dst="02:00:00:00:01:09") / hop(p)) for p in packets]
    assert sent == [(RED, w) for w in wanted], sent
    # and from now on directly
    pe().expect(CORE, frames[0], [(RED, wanted[0])])


def test_neighbour_is_waited_for_ipv6():
    packet = udp6(source="2001:db8:2::2", destination="2001:db8:1::9")
    frame = from_core(gre_from(label(200, packet)))
    pe().expect(CORE, frame, [])
    pe().ip("neigh add 2001:db8:1::9 lladdr 02:00:00:00:01:09 dev red0 nud permanent")
    wanted = Ether(src=port_mac(RED), dst="02:00:00:00:01:09") / hop(packet)
    assert pe().run() == [(RED, bytes(wanted))]


def test_neighbour_hold_is_bounded():
    count = 400
    packet = udp(source="10.2.0.2", destination="10.1.0.8")
    sent, drops = pe().exchange(CORE, *[from_core(gre_from(label(200, packet)))] * count)
    assert not sent and set(drops) == {"neighbour-hold"}, (len(sent), drops)
    dropped = drops["neighbour-hold"]
    assert 0 < dropped < count, dropped
    pe().ip("neigh add 10.1.0.8 lladdr 02:00:00:00:01:08 dev red0 nud permanent")
    released = pe().run()
    assert len(released) + dropped == count, (len(released), dropped)


def test_neighbour_that_nobody_is():
    """Given up after a while: host unreachable, and every packet accounted for."""
    packet = udp(source="10.2.0.2", destination="10.1.0.6")
    frame = from_core(gre_from(label(200, packet)))
    sent, drops = pe().exchange(CORE, frame, frame)
    assert not sent and not drops, (sent, drops)
    before = pe().drops().get("neighbour-failed", 0)
    sent = pe().wait(6000)
    failed = pe().drops().get("neighbour-failed", 0) - before
    assert failed == 2, "%d given up" % failed
    assert len(sent) == 2 and {p for p, _ in sent} == {CORE}, sent
    check4(sent[0][1][42:], packet, 3, 1, "10.1.0.1")


def test_neighbour_gone():
    packet = udp(source="10.2.0.2", destination="10.1.0.7")
    pe().ip("neigh add 10.1.0.7 lladdr 02:00:00:00:01:07 dev red0 nud permanent")
    wanted = (RED, Ether(src=port_mac(RED), dst="02:00:00:00:01:07") / hop(packet))
    pe().expect(CORE, from_core(gre_from(label(200, packet))), [wanted])
    pe().ip("neigh replace 10.1.0.7 lladdr 02:00:00:00:01:77 dev red0 nud permanent")
    wanted = (RED, Ether(src=port_mac(RED), dst="02:00:00:00:01:77") / hop(packet))
    pe().expect(CORE, from_core(gre_from(label(200, packet))), [wanted])
    pe().ip("neigh del 10.1.0.7 dev red0")
    sent, _ = pe().exchange(CORE, from_core(gre_from(label(200, packet))))
    assert not sent, sent


def test_interface_counters():
    import json

    before = pe().counters()["interfaces"]
    index = {l["ifname"]: l["ifindex"] for l in json.loads(pe().show("-j", "link", "show"))}
    packet = udp(size=100)
    pe().send(RED, from_red(packet), from_red(packet))
    after = pe().counters()["interfaces"]
    change = {name: tuple(a - b for a, b in zip(after.get(i, (0,) * 4), before.get(i, (0,) * 4)))
              for name, i in index.items()}
    assert change["red0"][0] == 2 and change["red0"][2] == 0, change
    assert change["core"][2] == 2 and change["core"][0] == 0, change
    assert change["mgre0"][2] == 2, change
    assert not any(change["blue0"]), change


if __name__ == "__main__":
    main(sys.modules[__name__])
