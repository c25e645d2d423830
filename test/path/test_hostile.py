# SPDX-License-Identifier: BSD-3-Clause
"""
Every truncation of every kind of packet, every bit flip of its headers: nothing crashes, every
packet that came in is accounted for, and none reaches a customer it does not belong to.
"""

import sys
import time

from pewter import difference, main, port_mac
from topology import (BLUE, BLUE_CE, CORE, CORE2, GRE, ICMP, IP, MGRE, MPLS, P2, PE1, PE1_6, PE2,
                      PE2_6, PE3, RED, RED_CE, STARTED, TCP, VPN, Dot1Q, Ether, ICMPv6EchoRequest,
                      IPv6, Lazy, ether, from_core, from_red, gre_from, hop, label, to_red, udp,
                      udp6)
from scapy.layers.inet6 import IPv6ExtHdrFragment

MORE = """
link add gre7 type gre local 10.255.0.1 remote 10.255.0.2 key 7 ttl 64
link set gre7 up
link add mgre6 type ip6gre local 2001:db8:ff::1 hoplimit 64
link set mgre6 up
addr add 172.18.0.1/24 dev mgre6
neigh add 172.18.0.2 lladdr 20:01:0d:b8:00:ff:00:00:00:00:00:00:00:00:00:02 dev mgre6 nud permanent
link add mip type ipip mode mplsip local 10.255.0.1 remote 10.255.0.3 ttl 64
link set mip up
link add six type sit mode any local 10.255.0.1 remote 10.255.0.2 ttl 64
link set six master red up
link add over6 type ip6tnl mode any local 2001:db8:ff::1 remote 2001:db8:ff::2 hoplimit 64
link set over6 master red up
link add link core2 name v100 type vlan id 100
link set v100 master red up
mpls route add 230 as 3000 via inet 192.0.2.3 dev core
mpls route add 220 via inet 10.1.0.2 dev red0
"""

pe = Lazy(MGRE, VPN, MORE, exact=True)

IN4 = udp(source="10.2.0.2", destination="10.1.0.2", size=24)
IN6 = udp6(source="2001:db8:2::2", destination="2001:db8:1::2", size=24)
ECHO = IP(src="10.1.0.2", dst="10.1.0.1", id=1) / ICMP(id=1, seq=1) / b"01234567"
ECHO6 = IPv6(src="2001:db8:1::2", dst="2001:db8:1::1") / ICMPv6EchoRequest(data=b"01234567")

# name: port, frame, bytes of headers, so many bytes of it belong to fields of the wire
PACKETS = {
    "ipv4 out": (RED, from_red(udp(size=24)), 14 + 28),
    "ipv4 options out": (RED, from_red(IP(src="10.1.0.2", dst="10.2.0.2",
                                          options=b"\x44\x0c\x05\0" + bytes(8)) / TCP()), 14 + 32),
    "ipv4 fragment out": (RED, from_red(udp(size=24, flags="MF", frag=7)), 14 + 28),
    "ipv4 ttl 1": (RED, from_red(udp(size=24, ttl=1)), 14 + 28),
    "ipv6 out": (RED, from_red(udp6(size=24)), 14 + 48),
    "ipv6 hop limit 1": (RED, from_red(udp6(size=24, hlim=1)), 14 + 48),
    "vlan": (CORE2, Ether(src=RED_CE, dst=port_mac(CORE2)) / Dot1Q(vlan=100) / udp(size=24),
             18 + 28),
    "echo": (RED, ether(RED, RED_CE, ECHO), 14 + 28),
    "echo ipv6": (RED, ether(RED, RED_CE, ECHO6), 14 + 48),
    "mpls in gre": (CORE, from_core(gre_from(label(200, IN4))), 14 + 20 + 8 + 28),
    "mpls in gre ipv6": (CORE, from_core(gre_from(label(200, IN6))), 14 + 20 + 8 + 48),
    "mpls ttl 1": (CORE, from_core(gre_from(label(200, IN4, ttl=1))), 14 + 20 + 8 + 28),
    "label stack": (CORE, from_core(gre_from(MPLS(label=0, s=0, ttl=9) / MPLS(label=2, s=0, ttl=9)
                                             / label(201, IN4))), 14 + 20 + 16 + 28),
    "gre all options": (CORE, from_core(gre_from(label(200, IN4), gre=GRE(
        chksum_present=1, key_present=1, seqnum_present=1, key=7, sequence_number=1,
        proto=0x8847))), 14 + 20 + 20 + 28),
    "swap": (CORE, from_core(gre_from(label(230, IN4))), 14 + 20 + 8 + 20),
    "pop": (CORE, from_core(gre_from(label(220, IN4))), 14 + 20 + 8 + 28),
    "mpls in ip": (CORE, from_core(IP(src=PE3, dst=PE1, proto=137) / label(200, IN4)), 14 + 52),
    "ipv6 underlay": (CORE, from_core(IPv6(src=PE2_6, dst=PE1_6, nh=47) / GRE(proto=0x8847)
                                      / label(200, IN4)), 14 + 48 + 28),
    "ipv6 in ip": (CORE, from_core(IP(src=PE2, dst=PE1, proto=41) / IN6), 14 + 20 + 48),
    "ipv4 in ip": (CORE, from_core(IP(src=PE2, dst=PE1, proto=4) / IN4), 14 + 20 + 28),
    "ipv4 in ipv6": (CORE, from_core(IPv6(src=PE2_6, dst=PE1_6, nh=4) / IN4), 14 + 40 + 28),
    "ipv6 in ipv6": (CORE, from_core(IPv6(src=PE2_6, dst=PE1_6, nh=41) / IN6), 14 + 40 + 48),
    "ip in ip fragment": (CORE, from_core(IP(src=PE2, dst=PE1, proto=41, id=9, flags="MF")
                                          / IN6), 14 + 20 + 48),
    "outer fragment": (CORE, from_core(IP(src=PE2, dst=PE1, proto=47, id=9, flags="MF")
                                       / GRE(proto=0x8847) / label(200, IN4)), 14 + 28 + 28),
    "outer fragment ipv6": (CORE, from_core(IPv6(src=PE2_6, dst=PE1_6)
                                            / IPv6ExtHdrFragment(nh=47, m=1, id=9)
                                            / GRE(proto=0x8847) / label(200, IN4)), 14 + 56 + 28),
}

# What is held and comes out later (or is given up) is no packet lost: let it settle.
SETTLE_SECONDS = 5


class Account:
    """Frames for the PE: every one must be sent on, dropped by name, or held for something."""

    def __init__(self, customer=None):
        self.customer = customer
        self.before = pe().counters()
        self.received, self.sent, self.late = 0, 0, []

    def send(self, name, port, frames):
        for start in range(0, len(frames), 250):
            pe().rate(1000)
            self.came(name, pe().send(port, *frames[start : start + 250]))
        self.received += len(frames)
        if not self.settled(pe().counters()):
            self.late.append(name)

    def came(self, name, sent):
        self.sent += len(sent)
        for where, frame in sent:
            if where in (RED, BLUE) and self.customer is not None:
                assert where in self.customer, "%s: sent to port %d: %s" % (
                    name, where, frame.hex())

    def settled(self, after):
        return (balanced(self.received, self.sent, self.before, after)
                and not held(self.before, after))

    def settle(self):
        end, after = time.monotonic() + SETTLE_SECONDS, pe().counters()
        while not self.settled(after) and time.monotonic() < end:
            self.came("late", pe().wait(100))
            after = pe().counters()
        what = "%d in, %d sent, %s, %s, since %s" % (
            self.received, self.sent, difference(self.before["drops"], after["drops"]),
            difference(self.before["events"], after["events"]), self.late[:1])
        assert balanced(self.received, self.sent, self.before, after), what
        assert not held(self.before, after), "buffers: %d before, %d after, since %s" % (
            self.before["buffers"], after["buffers"], self.late[:1])


def account_all(change):
    """What change(data, bytes of headers) makes of every kind of packet. Kinds that the same
    customers may receive settle together."""
    for customer in ((RED,), None):
        account = Account(customer)
        for name, (port, frame, size) in PACKETS.items():
            data = bytes(frame)
            if allowed(name) == customer:
                account.send(name, port, change(data, min(size, len(data))))
        account.settle()


def held(before, after):
    return after["buffers"] > before["buffers"]


def balanced(received, sent, before, after):
    """Came in = dropped + sent, less what the PE itself said (ICMP) or put together."""
    dropped = sum(difference(before["drops"], after["drops"]).values())
    said = difference(before["events"], after["events"]).get("icmp-sent", 0)
    return received == dropped + sent - said


def allowed(name):
    """Customers that a damaged packet may reach: a flipped label bit may make 201 of 200."""
    return None if "label" in name or "mpls" in name or "gre" in name or name in (
        "swap", "pop", "ipv6 underlay") or "fragment" in name else (RED,)


def test_as_they_are():
    account_all(lambda data, size: [data])


def test_truncations():
    account_all(lambda data, size: [data[:n] for n in range(1, len(data))])


def fixed(data, at):
    """The frame with the IPv4 header at this place given its right checksum."""
    data = bytearray(data)
    size = (data[at] & 15) * 4
    if data[at] >> 4 != 4 or size < 20 or at + size > len(data):
        return bytes(data)
    data[at + 10 : at + 12] = b"\0\0"
    value = sum(int.from_bytes(data[i : i + 2], "big") for i in range(at, at + size, 2))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    data[at + 10 : at + 12] = (value ^ 0xFFFF).to_bytes(2, "big")
    return bytes(data)


def flips(data, count):
    for bit in range(count * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 0x80 >> bit % 8
        yield bytes(changed)


def test_bit_flips():
    account_all(lambda data, size: list(flips(data, size)))


def flips_with_good_checksums(data, size):
    places = [at for at in (14, 18, 42, 46, 50, 54, 66, 70) if at < len(data) - 20]
    frames = []
    for changed in flips(data, size):
        for at in places:
            changed = fixed(changed, at) if data[at] >> 4 == 4 else changed
        frames.append(changed)
    return frames


def test_bit_flips_with_good_checksums():
    """So that the damage gets past the first check."""
    account_all(flips_with_good_checksums)


def test_lengths_that_lie():
    """Total and payload lengths of every value near the edges, checksums right."""
    frames = []
    for port, frame, at in ((RED, PACKETS["ipv4 out"][1], 14),
                            (CORE, PACKETS["mpls in gre"][1], 42),
                            (CORE, PACKETS["mpls in gre"][1], 14)):
        data = bytes(frame)
        for value in list(range(0, 100)) + [255, 256, 1500, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF]:
            changed = bytearray(data)
            changed[at + 2 : at + 4] = value.to_bytes(2, "big")
            frames.append((port, fixed(changed, at)))
    account = Account()
    for port in (RED, CORE):
        account.send("length", port, [f for p, f in frames if p == port])
    account.settle()


def test_it_still_works():
    packet = udp(source="10.2.0.2", destination="10.1.0.2")
    pe().expect(CORE, from_core(gre_from(label(200, packet))), [to_red(hop(packet))])


if __name__ == "__main__":
    main(sys.modules[__name__])
