# SPDX-License-Identifier: BSD-3-Clause
"""From the core: outer header, GRE, labels; what is let in and what is refused, by name."""

import struct
import sys

from icmp import check4, check6, ones_complement
from pewter import main, port_mac
from topology import (BLUE, CORE, GRE, IP, MGRE, MPLS, P2, PE1, PE1_6, PE2, PE2_6, PE3, RED,
                      STARTED, VPN, AnyId, Ether, IPv6, Lazy, Raw, ether, from_core, from_red,
                      gre_from, hop, label, to_blue, to_core, to_red, udp, udp6)

MORE = """
mpls route add 210 dev red ttl-propagate enabled
mpls route add 211 dev red ttl-propagate disabled
mpls route add 220 via inet 10.1.0.2 dev red0
mpls route add 230 as 3000 via inet 192.0.2.3 dev core
mpls route add 231 as 3000/3001 via inet 192.0.2.3 dev core
mpls route add 232 as 3002 via inet 172.16.0.3 dev mgre0
link add gre7 type gre local 10.255.0.1 remote 10.255.0.2 key 7 ttl 64
link set gre7 up
link add mgre6 type ip6gre local 2001:db8:ff::1 hoplimit 64
link set mgre6 up
addr add 172.18.0.1/24 dev mgre6
neigh add 172.18.0.2 lladdr 20:01:0d:b8:00:ff:00:00:00:00:00:00:00:00:00:02 dev mgre6 nud permanent
link add mip type ipip mode mplsip local 10.255.0.1 remote 10.255.0.3 ttl 64
link set mip up
link add grey type gre local 10.255.0.1 remote 10.255.0.9 ttl 64
link set grey down
link add plain type gre local 10.255.0.1 remote 10.255.0.4 ttl 64
link set plain master blue up
link add plain6 type ip6gre local 2001:db8:ff::1 remote 2001:db8:ff::4 hoplimit 64
link set plain6 master blue up
"""

pe = Lazy(MGRE, VPN, MORE)


def inward(packet=None, labels=200, **fields):
    return from_core(gre_from(label(labels, packet or far(), **fields)))


def far(**fields):
    fields.setdefault("destination", "10.1.0.2")
    return udp(source="10.2.0.2", **fields)


def far6(**fields):
    return udp6(source="2001:db8:2::2", destination="2001:db8:1::2", **fields)


def gre_frame(flags, protocol=0x8847, optional=b"", payload=None, remote=PE2):
    payload = bytes(label(200, far())) if payload is None else payload
    data = struct.pack("!HH", flags, protocol) + optional + payload
    return from_core(IP(src=remote, dst=PE1, proto=47, ttl=60) / Raw(data))


def nowhere(port, frame, reason):
    """No customer gets it; what ICMP says of it has no way back either."""
    sent, drops = pe().exchange(port, frame)
    assert not sent, sent
    assert drops == {reason: 1 + pe().events.get("icmp-sent", 0)}, (drops, pe().events)


def test_label_names_the_vrf():
    pe().expect(CORE, inward(far(), 200), [to_red(hop(far()))])
    pe().expect(CORE, inward(far(), 201), [to_blue(hop(far()))])
    pe().expect(CORE, inward(far6(), 200), [to_red(hop(far6()))])
    pe().expect(CORE, inward(far6(), 201), [to_blue(hop(far6()))])


def test_label_unknown():
    pe().refuses(CORE, inward(labels=202), "mpls-label-unknown")
    pe().refuses(CORE, inward(labels=1048575), "mpls-label-unknown")
    pe().refuses(CORE, inward(labels=16), "mpls-label-unknown")


def test_label_deleted():
    pe().ip("mpls route add 240 dev red")
    pe().expect(CORE, inward(labels=240), [to_red(hop(far()))])
    pe().ip("mpls route del 240")
    pe().refuses(CORE, inward(labels=240), "mpls-label-unknown")


def test_label_reserved():
    for value in [1] + list(range(3, 16)):
        pe().refuses(CORE, inward(labels=value), "mpls-label-reserved")


def test_explicit_null_alone_names_no_vrf():
    """At the bottom, labels 0 and 2 mean the default VRF: no customer can be reached."""
    for value, packet in ((0, far()), (2, far6())):
        nowhere(CORE, inward(packet, value), "route-none")


def test_explicit_null_above_the_label():
    stack = MPLS(label=0, s=0, ttl=255) / label(200, far())
    pe().expect(CORE, from_core(gre_from(stack)), [to_red(hop(far()))])


def test_explicit_null_of_the_other_family():
    pe().refuses(CORE, inward(far6(), 0), "mpls-payload")
    pe().refuses(CORE, inward(far(), 2), "mpls-payload")


def test_stack_of_nulls_up_to_four():
    stack = label(200, far())
    for count in range(1, 4):
        stack = MPLS(label=0, s=0, ttl=255) / stack
        pe().expect(CORE, from_core(gre_from(stack)), [to_red(hop(far()))])
    stack = MPLS(label=0, s=0, ttl=255) / stack
    pe().refuses(CORE, from_core(gre_from(stack)), "mpls-stack")


def test_label_to_vrf_must_be_the_last():
    """S = 0 on a label that stands for a VRF: what is below would be looked up as IP."""
    stack = MPLS(label=200, s=0, ttl=255) / label(200, far())
    sent, drops = pe().exchange(CORE, from_core(gre_from(stack)))
    if sent:  # popping one label after the other is as good
        assert sent == [(p, bytes(f)) for p, f in [to_red(hop(far()))]] and not drops, sent
    else:
        assert drops == {"mpls-stack": 1}, drops


def test_bottom_missing():
    """No label with S: the IP header would be read as labels."""
    stack = MPLS(label=200, s=0, ttl=255) / Raw(bytes(far()))
    sent, drops = pe().exchange(CORE, from_core(gre_from(stack)))
    assert not sent and sum(drops.values()) == 1, (sent, drops)


def test_labels_truncated():
    for length in range(4):
        frame = gre_frame(0, payload=bytes(label(200, far()))[:length])
        pe().refuses(CORE, frame, "mpls-truncated")


def test_payload_missing_or_short():
    pe().refuses(CORE, inward(Raw(b"")), "mpls-payload")
    for length in (1, 19):
        sent, drops = pe().exchange(CORE, inward(Raw(bytes(far())[:length])))
        assert not sent and set(drops) <= {"ipv4-header", "mpls-payload"}, drops
        assert sum(drops.values()) == 1, drops
    sent, drops = pe().exchange(CORE, inward(Raw(bytes(far6())[:39])))
    assert not sent and set(drops) <= {"ipv6-length", "mpls-payload"}, drops
    assert sum(drops.values()) == 1, drops


def test_payload_neither_ipv4_nor_ipv6():
    for first in (0x00, 0x10, 0x35, 0x55, 0xF0):
        pe().refuses(CORE, inward(Raw(bytes([first]) + bytes(far())[1:])), "mpls-payload")


def test_inner_header_is_checked():
    data = bytearray(bytes(far()))
    data[12] ^= 1
    pe().refuses(CORE, inward(Raw(bytes(data))), "ipv4-checksum")
    pe().refuses(CORE, inward(Raw(bytes(far())[:-1])), "ipv4-length")
    pe().refuses(CORE, inward(Raw(bytes(far6())[:-1])), "ipv6-length")
    pe().refuses(CORE, inward(udp(source="127.0.0.1", destination="10.1.0.2")), "ipv4-address")


def test_label_ttl():
    sent, drops = pe().exchange(CORE, inward(ttl=0))
    assert drops == {"mpls-ttl": 1} and not [s for s in sent if s[0] != CORE], (sent, drops)
    pe().expect(CORE, inward(ttl=2), [to_red(hop(far()))])


def test_label_ttl_one():
    """Expires here: time exceeded, with the label stack that came (RFC 4950)."""
    original = far()
    sent, _ = pe().exchange(CORE, inward(original, ttl=1))
    assert len(sent) == 1 and sent[0][0] == CORE, sent
    outer = IP(sent[0][1][14:])
    assert (outer.src, outer.dst) == (PE1, PE2), outer.summary()
    check4(sent[0][1][42:], original, 11, 0, "10.1.0.1", labels=[200 << 12 | 1 << 8 | 1])
    original = far6()
    sent, _ = pe().exchange(CORE, inward(original, ttl=1))
    assert len(sent) == 1 and sent[0][0] == CORE, sent
    check6(sent[0][1][42:], original, 3, 0, "2001:db8:1::1", labels=[200 << 12 | 1 << 8 | 1])


def test_inner_ttl_one():
    """The customer's TTL ends here: the same, from the VRF's address."""
    original = far(ttl=1)
    sent, _ = pe().exchange(CORE, inward(original))
    assert len(sent) == 1 and sent[0][0] == CORE, sent
    check4(sent[0][1][42:], original, 11, 0, "10.1.0.1")
    reply = sent[0][1][14 + 20 + 4 :]
    assert struct.unpack("!I", reply[:4])[0] >> 12 == 100, "label of the way back"


def test_ttl_pipe_is_the_default():
    pe().expect(CORE, inward(far(ttl=33), 200, ttl=9), [to_red(hop(far(ttl=33)))])


def test_ttl_uniform():
    """RFC 3443 5.4: the label's TTL, less this hop, becomes the packet's."""
    pe().expect(CORE, inward(far(ttl=33), 210, ttl=9), [to_red(hop(far(ttl=9)))])
    pe().expect(CORE, inward(far6(hlim=33), 210, ttl=9), [to_red(hop(far6(hlim=9)))])


def test_ttl_uniform_never_increases():
    """RFC 4023 5.2 and 3443: a larger label TTL does not give the packet more."""
    pe().expect(CORE, inward(far(ttl=5), 210, ttl=200), [to_red(hop(far(ttl=5)))])


def test_ttl_propagate_disabled():
    pe().expect(CORE, inward(far(ttl=33), 211, ttl=9), [to_red(hop(far(ttl=33)))])


def test_pop_to_next_hop():
    """label -> via: no lookup, the label names the CE."""
    packet = far(destination="203.0.113.9")
    pe().expect(CORE, inward(packet, 220), [to_red(hop(packet))])


def swapped(stack, router, port=CORE):
    frame = Ether(src=port_mac(port), dst=router, type=0x8847) / stack
    return (port, frame)


def test_pop_to_next_hop_ttl():
    """Uniform or pipe, one router more; none left is time exceeded, in the VRF of the way out."""
    pe().ip("mpls route add 222 via inet 10.1.0.2 dev red0 ttl-propagate enabled")
    packet = far(ttl=33)
    pe().expect(CORE, inward(packet, 222, ttl=9), [to_red(hop(far(ttl=9)))])
    packet = far(ttl=1)
    sent, drops = pe().exchange(CORE, inward(packet, 220))
    assert drops == {"ip-ttl": 1} and len(sent) == 1 and sent[0][0] == CORE, (drops, sent)
    check4(sent[0][1][42:], packet, 11, 0, "10.1.0.1")


def test_ttl_model_of_the_tunnel():
    """What the tunnel says holds for labels that say nothing themselves."""
    pe().ctl("tunnel", "mgre0", "ttl-model", "uniform")
    try:
        pe().expect(CORE, inward(far(ttl=33), 200, ttl=9), [to_red(hop(far(ttl=9)))])
        pe().expect(CORE, inward(far(ttl=33), 211, ttl=9), [to_red(hop(far(ttl=33)))])
    finally:
        pe().ctl("tunnel", "mgre0", "ttl-model", "pipe")
    pe().expect(CORE, inward(far(ttl=33), 200, ttl=9), [to_red(hop(far(ttl=33)))])


def test_label_allowed_from_some():
    """A label that was given to one PE is refused from another."""
    pe().ip("mpls route add 250 dev red")
    other = from_core(gre_from(label(250, far()), remote=PE3))
    pe().expect(CORE, inward(labels=250), [to_red(hop(far()))])
    pe().expect(CORE, other, [to_red(hop(far()))])
    pe().ctl("label", "250", "allow", PE3)
    pe().refuses(CORE, inward(labels=250), "mpls-label-refused")
    pe().expect(CORE, other, [to_red(hop(far()))])
    pe().ctl("label", "250", "allow", "any")
    pe().expect(CORE, inward(labels=250), [to_red(hop(far()))])


def on_the_wire(value, packet=None, ttl=9):
    return (Ether(dst=port_mac(CORE), src=P2, type=0x8847)
            / MPLS(label=value, s=1, ttl=ttl) / (packet or far()))


def test_label_off_the_wire():
    """A port takes labels off the wire only when it was told to."""
    pe().refuses(CORE, on_the_wire(200), "mpls-disabled")
    pe().ctl("link", "core", "mpls", "on")
    pe().expect(CORE, on_the_wire(200), [to_red(hop(far()))])
    pe().expect(CORE, on_the_wire(230), [swapped(MPLS(label=3000, s=1, ttl=8) / far(),
                                                 "02:00:00:00:c0:03")])
    pe().refuses(CORE, on_the_wire(202), "mpls-label-unknown")
    pe().ctl("label", "200", "allow", PE2)
    pe().refuses(CORE, on_the_wire(200), "mpls-label-refused")
    pe().ctl("label", "200", "allow", "any")
    pe().ctl("link", "core", "mpls", "off")
    pe().refuses(CORE, on_the_wire(200), "mpls-disabled")


def test_swap():
    frame = inward(far(), 230, ttl=9, cos=5)
    wanted = swapped(MPLS(label=3000, cos=5, s=1, ttl=8) / far(), "02:00:00:00:c0:03")
    pe().expect(CORE, frame, [wanted])


def test_swap_to_two():
    frame = inward(far(), 231, ttl=9, cos=5)
    stack = MPLS(label=3000, cos=5, s=0, ttl=8) / MPLS(label=3001, cos=5, s=1, ttl=8) / far()
    pe().expect(CORE, frame, [swapped(stack, "02:00:00:00:c0:03")])


def test_swap_keeps_what_is_below():
    inner = label(77, far(), ttl=3, cos=2)
    frame = from_core(gre_from(MPLS(label=230, s=0, ttl=9, cos=1) / inner))
    wanted = swapped(MPLS(label=3000, cos=1, s=0, ttl=8) / inner, "02:00:00:00:c0:03")
    pe().expect(CORE, frame, [wanted])


def test_swap_into_another_tunnel():
    port, frame = to_core(IP(src=PE1, dst=PE3, proto=47, ttl=64, flags="DF", id=0)
                          / GRE(proto=0x8847) / MPLS(label=3002, cos=0, s=1, ttl=8) / far(),
                          "02:00:00:00:c0:03")
    pe().expect(CORE, inward(far(), 232, ttl=9), [(port, AnyId(frame))])


def test_swap_ttl_exceeded():
    for ttl in (0, 1):
        sent, drops = pe().exchange(CORE, inward(far(), 230, ttl=ttl))
        assert not [s for s in sent if s[0] != CORE], sent
        assert sum(drops.values()) == 1, drops


def test_swap_waits_for_the_neighbour():
    """A labelled packet that is held goes to its neighbour as it is, by no lookup."""
    pe().ip("mpls route add 233 as 3003 via inet 192.0.2.9 dev core")
    pe().expect(CORE, inward(far(), 233, ttl=9), [])
    pe().ip("neigh add 192.0.2.9 lladdr 02:00:00:00:c0:09 dev core nud permanent")
    port, frame = swapped(MPLS(label=3003, cos=0, s=1, ttl=8) / far(), "02:00:00:00:c0:09")
    assert pe().run() == [(port, bytes(frame))]


def test_pop_waits_for_the_neighbour():
    """Held or not, it goes where its label says, not where its destination would lead."""
    packet = far(destination="203.0.113.9")
    pe().ip("mpls route add 221 via inet 10.1.0.9 dev red0")
    pe().expect(CORE, inward(packet, 221), [])
    pe().ip("neigh add 10.1.0.9 lladdr 02:00:00:00:01:09 dev red0 nud permanent")
    frame = Ether(src=port_mac(RED), dst="02:00:00:00:01:09") / hop(packet)
    assert pe().run() == [(RED, bytes(frame))]


def test_pop_too_big():
    """What the ICMP error says goes to the sender in the VRF of the way out."""
    packet = far(destination="203.0.113.9", size=1600 - 28, flags="DF")
    sent, drops = pe().exchange(CORE, inward(packet, 220))
    assert drops == {"mtu-exceeded": 1}, drops
    assert len(sent) == 1 and sent[0][0] == CORE, sent
    outer = IP(sent[0][1][14:])
    assert (outer.src, outer.dst) == (PE1, PE2), outer.summary()
    assert int.from_bytes(sent[0][1][38:42], "big") >> 12 == 100, sent[0][1][38:42].hex()
    check4(sent[0][1][42:], packet, 3, 4, "10.1.0.1", 1500)


def test_gre_version():
    for version in (1, 2, 7):
        pe().refuses(CORE, gre_frame(version), "gre-version")


def test_gre_reserved_flags():
    for flag in (0x4000, 0x0800, 0x0400):
        pe().refuses(CORE, gre_frame(flag), "gre-flags")


def test_gre_other_reserved_bits_are_ignored():
    """RFC 2784 2.3: bits 6 to 12."""
    for flag in (0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010, 0x0008):
        pe().expect(CORE, gre_frame(flag), [to_red(hop(far()))])


def test_gre_truncated():
    for length in range(4):
        frame = from_core(IP(src=PE2, dst=PE1, proto=47) / Raw(b"\0\0\x88\x47"[:length]))
        pe().refuses(CORE, frame, "gre-truncated")
    for flags in (0x8000, 0x2000, 0x1000):
        for length in range(4):
            data = struct.pack("!HH", flags, 0x8847) + bytes(length)
            pe().refuses(CORE, from_core(IP(src=PE2, dst=PE1, proto=47) / Raw(data)),
                         "gre-truncated")


def test_gre_checksum():
    body = struct.pack("!HH", 0x8000, 0x8847) + bytes(4) + bytes(label(200, far()))
    right = (0xFFFF ^ ones_complement(body)).to_bytes(2, "big")
    pe().expect(CORE, gre_frame(0x8000, optional=right + b"\0\0"), [to_red(hop(far()))])
    wrong = bytes([right[0] ^ 1, right[1]])
    pe().refuses(CORE, gre_frame(0x8000, optional=wrong + b"\0\0"), "gre-checksum")


def test_gre_sequence_is_accepted():
    pe().expect(CORE, gre_frame(0x1000, optional=b"\0\0\0\x05"), [to_red(hop(far()))])


def test_gre_key():
    """A tunnel with a key beside one without, between the same addresses."""
    pe().expect(CORE, gre_frame(0x2000, optional=struct.pack("!I", 7)), [to_red(hop(far()))])
    pe().refuses(CORE, gre_frame(0x2000, optional=struct.pack("!I", 8)), "gre-key")
    other = gre_frame(0x2000, optional=struct.pack("!I", 7), remote=PE3)
    pe().refuses(CORE, other, "tunnel-source")


def test_gre_protocol():
    for protocol in (0x0806, 0x88BE, 0x6558, 0x8848, 0):
        sent, drops = pe().exchange(CORE, gre_frame(0, protocol))
        assert not sent and drops == {"gre-protocol": 1}, (protocol, drops)


def test_source_is_no_endpoint():
    """RFC 4023 8.2: only from known PEs."""
    for source in ("10.255.0.66", "192.0.2.2", "10.2.0.2"):
        pe().refuses(CORE, gre_frame(0, remote=source), "tunnel-source")


def test_source_of_a_route_only():
    """A gateway that a route's next hop resolved to is an endpoint as much as a mapped one."""
    frame = gre_frame(0, remote=PE3)
    pe().expect(CORE, frame, [to_red(hop(far()))])


def test_no_tunnel_at_this_address():
    frame = from_core(IP(src=PE2, dst="192.0.2.1", proto=47) / GRE(proto=0x8847)
                      / label(200, far()))
    pe().refuses(CORE, frame, "tunnel-unknown")


def test_tunnel_in_a_customer_vrf():
    """The front-door VRF is where the tunnel lives: a customer cannot talk to it."""
    frame = from_red(IP(src=PE2, dst=PE1, proto=47) / GRE(proto=0x8847) / label(201, far()))
    nowhere(RED, frame, "route-none")
    frame = from_red(IP(src=PE2, dst="10.1.0.1", proto=47) / GRE(proto=0x8847)
                     / label(201, far()))
    pe().refuses(RED, frame, "tunnel-unknown")


def test_tunnel_down():
    pe().refuses(CORE, gre_frame(0, remote="10.255.0.9"), "tunnel-down")


def test_ip_in_gre():
    """IP without a label belongs to the tunnel's own VRF."""
    data = bytes(far())
    frame = gre_frame(0, 0x0800, payload=data, remote="10.255.0.4")
    pe().expect(CORE, frame, [to_blue(hop(far()))])
    frame = gre_frame(0, 0x86DD, payload=bytes(far6()), remote="10.255.0.4")
    pe().expect(CORE, frame, [to_blue(hop(far6()))])


def test_ip_in_gre_without_vrf_reaches_no_customer():
    nowhere(CORE, gre_frame(0, 0x0800, payload=bytes(far())), "route-none")


# RFC 6040 4.2, figure 4: what comes out, for each inner field (Not-ECT, ECT(1), ECT(0), CE) and
# each outer one, in the order of their bits. None is a drop.
COMBINED = ((0, 0, 0, None), (1, 1, 1, 3), (2, 1, 2, 3), (3, 3, 3, 3))


def combinations(ways):
    """Every pair of fields, in both families, in every tunnel of @p ways: nobody said `inherit`."""
    for around, to in ways:
        for make, field, ethertype in ((far, "tos", 0x0800), (far6, "tc", 0x86DD)):
            for inner, row in enumerate(COMBINED):
                for outer, wanted in enumerate(row):
                    packet = make(**{field: 0xB8 | inner})
                    frame = from_core(around(packet, ethertype, outer | 0x68))
                    if wanted is None:
                        pe().refuses(CORE, frame, "tunnel-ecn")
                    else:
                        packet = hop(packet, **{field: 0xB8 | wanted})
                        pe().expect(CORE, frame, [to(packet)])


def test_congestion_marks():
    combinations((
        (lambda packet, ethertype, tos: IP(src="10.255.0.4", dst=PE1, proto=47, tos=tos)
         / GRE(proto=ethertype) / packet, to_blue),
        (lambda packet, ethertype, tos: gre_from(label(200, packet), tos=tos), to_red),
        (lambda packet, ethertype, tos: IP(src=PE3, dst=PE1, proto=137, tos=tos)
         / label(200, packet), to_red),
    ))


def test_congestion_marks_of_an_ipv6_underlay():
    combinations((
        (lambda packet, ethertype, tc: IPv6(src="2001:db8:ff::4", dst=PE1_6, nh=47, tc=tc)
         / GRE(proto=ethertype) / packet, to_blue),
        (lambda packet, ethertype, tc: IPv6(src=PE2_6, dst=PE1_6, nh=47, tc=tc)
         / GRE(proto=0x8847) / label(200, packet), to_red),
    ))


def test_congestion_marks_below_two_labels_and_towards_a_next_hop():
    """An explicit null above, and a label that is popped: the mark is still the outer header's."""
    for stack in (lambda packet: label(0, label(200, packet), s=0),
                  lambda packet: label(220, packet)):
        packet = far(tos=2)
        frame = from_core(gre_from(stack(packet), tos=3))
        pe().expect(CORE, frame, [to_red(hop(packet, tos=3))])
        pe().refuses(CORE, from_core(gre_from(stack(far()), tos=3)), "tunnel-ecn")


def test_congestion_marks_checksum():
    """Whatever the header's checksum is, what leaves is what the header sums up to."""
    for ident in range(0, 0x10000, 0x3A7):
        packet = far(tos=2, id=ident)
        for outer in (1, 3):
            frame = from_core(gre_from(label(200, packet), tos=outer))
            pe().expect(CORE, frame, [to_red(hop(packet, tos=outer))])


def test_mpls_in_ip():
    frame = from_core(IP(src=PE3, dst=PE1, proto=137) / label(200, far()))
    pe().expect(CORE, frame, [to_red(hop(far()))])
    frame = from_core(IP(src=PE2, dst=PE1, proto=137) / label(200, far()))
    pe().refuses(CORE, frame, "tunnel-source")


def test_mpls_in_ip_truncated():
    for length in range(4):
        frame = from_core(IP(src=PE3, dst=PE1, proto=137) / Raw(bytes(label(200, far()))[:length]))
        pe().refuses(CORE, frame, "mpls-truncated")


def test_ipv6_underlay():
    packet = IPv6(src=PE2_6, dst=PE1_6, nh=47) / GRE(proto=0x8847) / label(200, far())
    pe().expect(CORE, from_core(packet), [to_red(hop(far()))])
    packet = IPv6(src="2001:db8:ff::66", dst=PE1_6, nh=47) / GRE(proto=0x8847) / label(200, far())
    pe().refuses(CORE, from_core(packet), "tunnel-source")


def test_outer_options_are_skipped():
    outer = IP(src=PE2, dst=PE1, proto=47, options=b"\x01\x01\x01\x00")
    packet = outer / GRE(proto=0x8847) / label(200, far())
    pe().expect(CORE, from_core(packet), [to_red(hop(far()))])


def test_outer_ttl_does_not_matter():
    packet = gre_from(label(200, far()), ttl=1)
    pe().expect(CORE, from_core(packet), [to_red(hop(far()))])


def test_mpls_on_the_wire_is_refused():
    """Labels are accepted from tunnels; on Ethernet only where it is switched on."""
    for port in (RED, CORE):
        frame = Ether(src=P2, dst=port_mac(port), type=0x8847) / label(201, far())
        pe().refuses(port, frame, "mpls-disabled")


if __name__ == "__main__":
    main(sys.modules[__name__])
