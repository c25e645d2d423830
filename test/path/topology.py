# SPDX-License-Identifier: BSD-3-Clause
"""The provider edge that the path tests configure, and the packets that go through it.

  red CE  10.1.0.2 -- red0  [VRF red,  table 10]
                                                 PE 10.255.0.1 -- core -- 192.0.2.2 PE 10.255.0.2
  blue CE 10.1.0.2 -- blue0 [VRF blue, table 20]                       -- 192.0.2.3 PE 10.255.0.3

Both customers have the same addresses. Label 200 is red here, 201 is blue; the remote PEs gave
out 100 (red) and 101 (blue).
"""

import logging

logging.getLogger("scapy").setLevel(logging.ERROR)

# pylint: disable=wrong-import-position
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.packet import Raw

from pewter import Pewter, check_frames, port_mac  # noqa: F401

PORTS = ("core", "red0", "blue0", "core2")
CORE, RED, BLUE, CORE2 = range(4)

RED_CE, BLUE_CE = "02:00:00:00:01:02", "02:00:00:00:02:02"
P2, P3 = "02:00:00:00:c0:02", "02:00:00:00:c0:03"  # the core routers towards PE 2 and PE 3
PE1, PE2, PE3 = "10.255.0.1", "10.255.0.2", "10.255.0.3"
PE1_6, PE2_6 = "2001:db8:ff::1", "2001:db8:ff::2"

BASE = f"""
link set lo up
link set core up
link set core2 up
link set red0 up
link set blue0 up
addr add 192.0.2.1/24 dev core
addr add 2001:db8:c::1/64 dev core
addr add {PE1}/32 dev lo
addr add {PE1_6}/128 dev lo
neigh add 192.0.2.2 lladdr {P2} dev core nud permanent
neigh add 192.0.2.3 lladdr {P3} dev core nud permanent
neigh add 2001:db8:c::2 lladdr {P2} dev core nud permanent
route add {PE2}/32 via 192.0.2.2
route add {PE3}/32 via 192.0.2.3
route add {PE2_6}/128 via 2001:db8:c::2
link add red type vrf table 10
link add blue type vrf table 20
link set red up
link set blue up
link set red0 master red
link set blue0 master blue
addr add 10.1.0.1/24 dev red0
addr add 10.1.0.1/24 dev blue0
addr add 2001:db8:1::1/64 dev red0
addr add 2001:db8:1::1/64 dev blue0
neigh add 10.1.0.2 lladdr {RED_CE} dev red0 nud permanent
neigh add 10.1.0.2 lladdr {BLUE_CE} dev blue0 nud permanent
neigh add 2001:db8:1::2 lladdr {RED_CE} dev red0 nud permanent
neigh add 2001:db8:1::2 lladdr {BLUE_CE} dev blue0 nud permanent
"""

MGRE = """
link add mgre0 type gre local 10.255.0.1 ttl 64
link set mgre0 up
addr add 172.16.0.1/24 dev mgre0
addr add 2001:db8:172::1/64 dev mgre0
neigh add 172.16.0.2 lladdr 10.255.0.2 dev mgre0 nud permanent
neigh add 172.16.0.3 lladdr 10.255.0.3 dev mgre0 nud permanent
neigh add 2001:db8:172::2 lladdr 10.255.0.2 dev mgre0 nud permanent
"""

VPN = """
route add table 10 10.2.0.0/16 encap mpls 100 via 172.16.0.2 dev mgre0
route add table 20 10.2.0.0/16 encap mpls 101 via 172.16.0.2 dev mgre0
route add table 10 10.3.0.0/16 encap mpls 300 via 172.16.0.3 dev mgre0
route add table 10 2001:db8:2::/48 encap mpls 100 via 2001:db8:172::2 dev mgre0
route add table 20 2001:db8:2::/48 encap mpls 101 via 2001:db8:172::2 dev mgre0
mpls route add 200 dev red
mpls route add 201 dev blue
"""

STARTED = []


def provider_edge(*batches, exact=False):
    """A PE with BASE and further lines; closed when the test file ends."""
    pe = Pewter(*PORTS, exact=exact)
    STARTED.append(pe)
    pe.ip(BASE)
    for batch in batches:
        pe.ip(batch)
    return pe


class Lazy:
    """Starts the module's PE when its first test needs it."""

    def __init__(self, *batches, exact=False):
        self.batches, self.exact, self.pe, self.error = batches, exact, None, None

    def __call__(self):
        if self.error is not None:
            raise self.error
        if self.pe is None:
            try:
                self.pe = provider_edge(*self.batches, exact=self.exact)
            except Exception as error:
                self.error = RuntimeError("the PE did not start")
                raise error
        return self.pe


def ether(port, source, packet, **fields):
    """A frame to the PE's port."""
    return Ether(src=source, dst=port_mac(port), **fields) / packet


def from_red(packet):
    return ether(RED, RED_CE, packet)


def from_blue(packet):
    return ether(BLUE, BLUE_CE, packet)


def from_core(packet, source=P2):
    return ether(CORE, source, packet)


def to_red(packet):
    return (RED, bytes(Ether(src=port_mac(RED), dst=RED_CE) / packet))


def to_blue(packet):
    return (BLUE, bytes(Ether(src=port_mac(BLUE), dst=BLUE_CE) / packet))


def to_core(packet, router=P2):
    return (CORE, bytes(Ether(src=port_mac(CORE), dst=router) / packet))


def udp(source="10.1.0.2", destination="10.2.0.2", size=40, sport=1234, dport=5678, **fields):
    """An IPv4 UDP packet with a payload whose bytes all differ from their neighbours."""
    payload = bytes((i * 7 + 3) & 255 for i in range(size))
    fields.setdefault("id", 0x1234)
    return IP(bytes(IP(src=source, dst=destination, **fields)
                    / UDP(sport=sport, dport=dport) / payload))


def udp6(source="2001:db8:1::2", destination="2001:db8:2::2", size=40, sport=1234, dport=5678,
         **fields):
    payload = bytes((i * 7 + 3) & 255 for i in range(size))
    return IPv6(bytes(IPv6(src=source, dst=destination, **fields)
                      / UDP(sport=sport, dport=dport) / payload))


def hop(packet, count=1, **fields):
    """The packet after that many routers: TTL or hop limit less, checksum right."""
    packet = packet.copy()
    if IP in packet and packet.version == 4:
        packet.ttl -= count
        for name, value in fields.items():
            setattr(packet, name, value)
        del packet.chksum
        return IP(bytes(packet))
    packet.hlim -= count
    for name, value in fields.items():
        setattr(packet, name, value)
    return IPv6(bytes(packet))


class AnyId:
    """A frame whose IPv4 identification (of the first IP header) may be any."""

    def __init__(self, frame, layer2=14):
        self.frame, self.layer2 = bytes(frame), layer2

    def like(self, other):
        at = self.layer2
        frame = bytearray(self.frame)
        frame[at + 4 : at + 6] = other[at + 4 : at + 6]
        frame[at + 10 : at + 12] = b"\0\0"
        total = sum(int.from_bytes(frame[i : i + 2], "big") for i in range(at, at + 20, 2))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        frame[at + 10 : at + 12] = (total ^ 0xFFFF).to_bytes(2, "big")
        return bytes(frame)

    def __bytes__(self):
        return self.frame


def gre_from(packet, remote=PE2, local=PE1, gre=None, **fields):
    """What a remote PE puts around a labelled packet."""
    fields.setdefault("ttl", 60)
    return IP(src=remote, dst=local, proto=47, **fields) / (gre or GRE(proto=0x8847)) / packet


def label(value, packet, ttl=255, cos=0, s=1):
    return MPLS(label=value, cos=cos, s=s, ttl=ttl) / packet


def tunnelled(packet, labels=(100,), remote=PE2, router=P2, ttl=64, tos=0, df=True, cos=0,
              label_ttl=255, gre=None):
    """The frame that Pewter makes of a packet for a remote PE; any IP id."""
    for n, value in enumerate(reversed(labels)):
        packet = MPLS(label=value, cos=cos, s=int(n == 0), ttl=label_ttl) / packet
    outer = IP(src=PE1, dst=remote, proto=47, ttl=ttl, tos=tos, flags="DF" if df else 0, id=0)
    port, frame = to_core(outer / (gre or GRE(proto=0x8847)) / packet, router)
    return (port, AnyId(frame))
