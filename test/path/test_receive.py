# SPDX-License-Identifier: BSD-3-Clause
"""From the wire to the VRF: Ethernet, VLAN, and what makes an IP header one."""

import sys

from pewter import main, port_mac
from topology import (BLUE, CORE2, IP, MGRE, RED, RED_CE, STARTED, UDP, VPN, Dot1Q, Ether, Lazy,
                      Raw, ether, from_blue, from_red, hop, to_blue, to_red, tunnelled, udp, udp6)

VLANS = """
link add link core2 name v100 type vlan id 100
link add link core2 name v200 type vlan id 200
link set v100 master red up
link set v200 master blue up
addr add 10.9.0.1/24 dev v100
addr add 10.9.0.1/24 dev v200
neigh add 10.9.0.2 lladdr 02:00:00:00:09:02 dev v100 nud permanent
neigh add 10.9.0.2 lladdr 02:00:00:00:0a:02 dev v200 nud permanent
"""

pe = Lazy(MGRE, VPN, VLANS)


def test_ethernet_forwards():
    packet = udp(destination="10.2.0.2")
    pe().expect(RED, from_red(packet), [tunnelled(hop(packet))])


def test_ethernet_truncated():
    pe().refuses(RED, bytes(from_red(udp()))[:13], "ethernet-truncated")
    pe().refuses(RED, bytes(from_red(udp()))[:6], "ethernet-truncated")


def test_ethernet_header_alone():
    sent, drops = pe().exchange(RED, bytes(from_red(udp()))[:14])
    assert not sent and sum(drops.values()) == 1, drops


def test_ethernet_not_for_me():
    frame = Ether(src=RED_CE, dst="02:50:00:00:00:63") / udp()
    pe().refuses(RED, frame, "ethernet-not-for-me")


def test_ethernet_for_another_port():
    frame = Ether(src=RED_CE, dst=port_mac(BLUE)) / udp()
    pe().refuses(RED, frame, "ethernet-not-for-me")


def test_ethernet_broadcast():
    pe().refuses(RED, Ether(src=RED_CE, dst="ff:ff:ff:ff:ff:ff") / udp(), "ethernet-multicast")


def test_ethernet_multicast():
    pe().refuses(RED, Ether(src=RED_CE, dst="01:00:5e:00:00:05") / udp(), "ethernet-multicast")


def test_ethernet_type_unknown():
    sent, drops = pe().exchange(RED, ether(RED, RED_CE, Raw(b"x" * 50), type=0x88B5))
    assert not sent and len(drops) == 1 and sum(drops.values()) == 1, drops
    assert set(drops) <= {"ethernet-type", "punt-no-face"}, drops


def test_ethernet_padding_is_cut():
    packet = udp(size=1)
    frame = bytes(from_red(packet)).ljust(60, b"\xaa")
    pe().expect(RED, frame, [tunnelled(hop(packet))])


def test_ethernet_padding_is_cut_ipv6():
    packet = udp6(size=1)
    frame = bytes(from_red(packet)) + b"\xaa" * 9
    pe().expect(RED, frame, [tunnelled(hop(packet))])


def test_ethernet_larger_than_a_buffer():
    pe().refuses(RED, from_red(udp(size=9000)), "ethernet-segments")


def test_vlan_in_and_out():
    packet = udp(source="10.9.0.2", destination="10.1.0.2")
    frame = Ether(src="02:00:00:00:09:02", dst=port_mac(CORE2)) / Dot1Q(vlan=100) / packet
    pe().expect(CORE2, frame, [to_red(hop(packet))])
    back = udp(source="10.1.0.2", destination="10.9.0.2")
    wanted = Ether(src=port_mac(CORE2), dst="02:00:00:00:09:02") / Dot1Q(vlan=100) / hop(back)
    pe().expect(RED, from_red(back), [(CORE2, wanted)])


def test_vlan_names_the_vrf():
    packet = udp(source="10.9.0.2", destination="10.1.0.2")
    frame = Ether(src="02:00:00:00:0a:02", dst=port_mac(CORE2)) / Dot1Q(vlan=200) / packet
    pe().expect(CORE2, frame, [to_blue(hop(packet))])
    back = udp(source="10.1.0.2", destination="10.9.0.2")
    wanted = Ether(src=port_mac(CORE2), dst="02:00:00:00:0a:02") / Dot1Q(vlan=200) / hop(back)
    pe().expect(BLUE, from_blue(back), [(CORE2, wanted)])


def test_vlan_priority_bits_do_not_matter():
    packet = udp(source="10.9.0.2", destination="10.1.0.2")
    tag = Dot1Q(vlan=100, prio=5, id=1)
    frame = Ether(src="02:00:00:00:09:02", dst=port_mac(CORE2)) / tag / packet
    pe().expect(CORE2, frame, [to_red(hop(packet))])


def test_vlan_priority_tag_is_untagged():
    packet = udp()
    frame = Ether(src=RED_CE, dst=port_mac(RED)) / Dot1Q(vlan=0, prio=3) / packet
    pe().expect(RED, frame, [tunnelled(hop(packet))])


def test_vlan_unknown():
    frame = Ether(src=RED_CE, dst=port_mac(CORE2)) / Dot1Q(vlan=101) / udp()
    pe().refuses(CORE2, frame, "vlan-unknown")


def test_vlan_double_tag():
    frame = Ether(src=RED_CE, dst=port_mac(CORE2)) / Dot1Q(vlan=100) / Dot1Q(vlan=100) / udp()
    sent, drops = pe().exchange(CORE2, frame)
    assert not sent and sum(drops.values()) == 1, drops


def test_vlan_truncated():
    frame = bytes(Ether(src=RED_CE, dst=port_mac(CORE2)) / Dot1Q(vlan=100) / udp())
    for length in (14, 15, 16, 17):
        pe().refuses(CORE2, frame[:length], "ethernet-truncated")


def test_vlan_down():
    packet = udp(source="10.9.0.2", destination="10.1.0.2")
    frame = Ether(src="02:00:00:00:09:02", dst=port_mac(CORE2)) / Dot1Q(vlan=100) / packet
    pe().ip("link set v100 down")
    try:
        pe().refuses(CORE2, frame, "interface-down")
    finally:
        pe().ip("link set v100 up")
    pe().ip("neigh replace 10.9.0.2 lladdr 02:00:00:00:09:02 dev v100 nud permanent")
    pe().expect(CORE2, frame, [to_red(hop(packet))])


def broken(packet, at, value, fix=True):
    """The IPv4 packet with one header byte changed, its checksum right again if wanted."""
    data = bytearray(bytes(packet))
    data[at] = value
    if fix:
        size = max((data[0] & 15) * 4, 20)
        data[10:12] = b"\0\0"
        places = range(0, min(size, len(data)), 2)
        total = sum(int.from_bytes(data[i : i + 2], "big") for i in places)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        data[10:12] = (total ^ 0xFFFF).to_bytes(2, "big")
    return Raw(bytes(data))


def ipv4(raw):
    return from_red(raw) if not isinstance(raw, Raw) else ether(RED, RED_CE, raw, type=0x0800)


def test_ipv4_version():
    pe().refuses(RED, ipv4(broken(udp(), 0, 0x55)), "ipv4-version")
    pe().refuses(RED, ipv4(broken(udp(), 0, 0x65)), "ipv4-version")


def test_ipv4_header_length_short():
    for words in range(5):
        pe().refuses(RED, ipv4(broken(udp(), 0, 0x40 | words)), "ipv4-header")


def test_ipv4_header_beyond_packet():
    pe().refuses(RED, ipv4(broken(udp(size=0), 0, 0x4F)), "ipv4-header")


def test_ipv4_truncated_header():
    for length in (1, 10, 19):
        frame = bytes(from_red(udp()))[: 14 + length]
        sent, drops = pe().exchange(RED, frame)
        assert not sent and sum(drops.values()) == 1, drops
        assert set(drops) <= {"ipv4-header", "ethernet-truncated"}, drops


def test_ipv4_total_length_beyond_frame():
    pe().refuses(RED, ipv4(broken(udp(size=40), 3, 20 + 8 + 41)), "ipv4-length")
    pe().refuses(RED, bytes(from_red(udp(size=40)))[:-1], "ipv4-length")


def test_ipv4_total_length_below_header():
    pe().refuses(RED, ipv4(broken(udp(size=40), 3, 19)), "ipv4-length")


def test_ipv4_checksum():
    packet = udp()
    for at in (1, 4, 8, 10, 11, 12, 19):
        value = bytes(packet)[at] ^ 0x10
        pe().refuses(RED, ipv4(broken(packet, at, value, fix=False)), "ipv4-checksum")


def test_ipv4_checksum_ffff_and_zero():
    """Both representations of zero: a header that sums to zero is sent with checksum 0 or ffff."""
    packet = bytearray(bytes(udp(id=0)))
    checksum = int.from_bytes(packet[10:12], "big")
    packet[4:6] = checksum.to_bytes(2, "big")  # adding the complement makes the sum ffff
    packet[10:12] = b"\0\0"
    sent, drops = pe().exchange(RED, ether(RED, RED_CE, Raw(bytes(packet)), type=0x0800))
    assert len(sent) == 1 and not drops, drops
    inner = sent[0][1][14 + 20 + 4 + 4 :]
    assert bytes(inner) == bytes(hop(IP(bytes(packet)))), inner.hex()


def test_ipv4_source_no_router_forwards():
    for source in ("127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "240.0.0.1"):
        pe().refuses(RED, from_red(udp(source=source)), "ipv4-address")


def test_ipv4_destination_no_router_forwards():
    for destination in ("127.0.0.1", "0.0.0.0", "240.0.0.1"):
        pe().refuses(RED, from_red(udp(destination=destination)), "ipv4-address")


def test_ipv4_multicast_destination_stays():
    sent, drops = pe().exchange(RED, from_red(udp(destination="224.1.2.3")))
    assert not sent and sum(drops.values()) == 1, drops


def test_ipv4_options_are_carried():
    packet = IP(bytes(IP(src="10.1.0.2", dst="10.2.0.2", options=b"\x01\x01\x01\x00", id=7)
                      / UDP(sport=1, dport=2) / b"payload"))
    assert packet.ihl == 6
    pe().expect(RED, from_red(packet), [tunnelled(hop(packet))])


def ipv6(data):
    return ether(RED, RED_CE, Raw(bytes(data)), type=0x86DD)


def test_ipv6_forwards():
    packet = udp6(tc=0, fl=0x12345)
    pe().expect(RED, from_red(packet), [tunnelled(hop(packet))])


def test_ipv6_version():
    data = bytearray(bytes(udp6()))
    data[0] = 0x40
    pe().refuses(RED, ipv6(data), "ipv6-version")
    data[0] = 0x70
    pe().refuses(RED, ipv6(data), "ipv6-version")


def test_ipv6_truncated():
    frame = bytes(from_red(udp6(size=0)))
    for length in (1, 39):
        sent, drops = pe().exchange(RED, frame[: 14 + length])
        assert not sent and sum(drops.values()) == 1, drops
        assert set(drops) <= {"ipv6-length", "ethernet-truncated"}, drops


def test_ipv6_payload_length_beyond_frame():
    pe().refuses(RED, bytes(from_red(udp6()))[:-1], "ipv6-length")


def test_ipv6_addresses_no_router_forwards():
    for source in ("::1", "ff02::1", "::"):
        pe().refuses(RED, from_red(udp6(source=source)), "ipv6-address")
    for destination in ("::1", "::"):
        pe().refuses(RED, from_red(udp6(destination=destination)), "ipv6-address")


def test_ipv6_link_local_is_not_forwarded():
    """RFC 4291 2.5.6: never to another link, whatever the routes say."""
    pe().ip("route add table 10 default encap mpls 100 via 172.16.0.2 dev mgre0")
    pe().ip("route add table 10 ::/0 encap mpls 100 via 2001:db8:172::2 dev mgre0")
    try:
        for packet in (udp6(source="fe80::2"), udp6(destination="fe80::99")):
            sent, drops = pe().exchange(RED, from_red(packet))
            assert not [s for s in sent if s[0] != RED], sent
            assert sum(drops.values()) >= 1, drops
    finally:
        pe().ip("route del table 10 default\nroute del table 10 ::/0")


def test_garbage():
    """Random bytes on every port: counted, never sent on."""
    import random

    generator = random.Random(4)
    frames = []
    for n in range(400):
        port = n % 4
        head = bytes.fromhex(port_mac(port).replace(":", "")) + b"\2\0\0\0\1\2"
        kind = generator.choice((b"\x08\0", b"\x86\xdd", b"\x88\x47", b"\x81\0", b"\x08\x06"))
        frames.append((port, head + kind + generator.randbytes(generator.randrange(0, 200))))
    pe().rate(1000)
    before = sum(pe().drops().values())
    sent = pe().send_many(frames)
    after = sum(pe().drops().values())
    assert not sent, sent[0]
    assert after - before == len(frames), "%d of %d counted" % (after - before, len(frames))


if __name__ == "__main__":
    main(sys.modules[__name__])
