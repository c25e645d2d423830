# SPDX-License-Identifier: BSD-3-Clause
"""
Isolation as a property: whatever routes and labels there are, no packet leaves in a VRF that its
label or port does not name.

Every packet's payload names the VRF it belongs to; every VRF's labels outward and CEs' addresses
inward are its own. A model of the PE (longest prefix over the configured routes, in Python) says
where each packet must go.
"""

import ipaddress
import os
import random
import sys

from pewter import main, port_mac
from topology import (CORE, CORE2, GRE, IP, P2, PE1, PE2, STARTED, Dot1Q, Ether, Lazy, MPLS, Raw,
                      UDP, gre_from, label)

SEED = int(os.environ.get("PW_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
VRFS = 24
ROUTES = 40
PACKETS = 3000

MGRE = """
link add mgre0 type gre local 10.255.0.1 ttl 64
link set mgre0 up
addr add 172.16.0.1/24 dev mgre0
neigh add 172.16.0.2 lladdr 10.255.0.2 dev mgre0 nud permanent
"""


class Vrf:
    """What the model knows of one VRF."""

    def __init__(self, number):
        self.number, self.table, self.vlan = number, 100 + number, 100 + number
        self.label = None  # own, inward
        self.routes = {}  # network -> ("tunnel", label) or ("ce", mac) or ("blackhole",)
        self.ce = "02:00:00:01:%02x:02" % number

    def lookup(self, address):
        best = None
        for network in self.routes:
            if address in network and (best is None or network.prefixlen > best.prefixlen):
                best = network
        return self.routes.get(best)


def network(generator):
    """From a small space, so that VRFs overlap and prefixes nest."""
    length = generator.choice((8, 12, 16, 17, 20, 24, 25, 30, 32))
    address = 10 << 24 | generator.randrange(0, 4) << 16 | generator.getrandbits(2) << 14
    address |= generator.getrandbits(3) << 8 | generator.getrandbits(3)
    return ipaddress.ip_network((address >> (32 - length) << (32 - length), length))


def configure(pe, generator):
    """Random VRFs, routes and labels, on the PE and in the model."""
    vrfs, lines = [], []
    own = generator.sample(range(1000, 1 << 20), VRFS)
    outward = iter(generator.sample(range(16, 1 << 20), VRFS * ROUTES))
    for n in range(VRFS):
        vrf = Vrf(n)
        vrf.label = own[n]
        vrfs.append(vrf)
        lines += [
            f"link add v{n} type vrf table {vrf.table}",
            f"link set v{n} up",
            f"link add link core2 name c{n} type vlan id {vrf.vlan}",
            f"link set c{n} master v{n} up",
            f"addr add 192.168.0.1/24 dev c{n}",
            f"neigh add 192.168.0.2 lladdr {vrf.ce} dev c{n} nud permanent",
            f"mpls route add {vrf.label} dev v{n}",
        ]
        vrf.routes[ipaddress.ip_network("192.168.0.2/32")] = ("ce", vrf.ce)
        for _ in range(generator.randrange(ROUTES)):
            prefix, kind = network(generator), generator.random()
            if prefix in vrf.routes:
                continue
            if kind < 0.6:
                value = next(outward)
                vrf.routes[prefix] = ("tunnel", value)
                lines.append(f"route add table {vrf.table} {prefix} encap mpls {value} "
                             "via 172.16.0.2 dev mgre0")
            elif kind < 0.9:
                vrf.routes[prefix] = ("ce", vrf.ce)
                lines.append(f"route add table {vrf.table} {prefix} via 192.168.0.2 dev c{n}")
            else:
                vrf.routes[prefix] = ("blackhole",)
                lines.append(f"route add table {vrf.table} blackhole {prefix}")
    pe.ip("\n".join(l for l in lines if not l.startswith("mpls")))
    pe.ip("\n".join(l for l in lines if l.startswith("mpls")))
    return vrfs


def packet_for(generator, vrf, serial):
    if generator.random() < 0.7 and len(vrf.routes) > 1:
        prefix = generator.choice(list(vrf.routes))
        address = prefix.network_address + generator.randrange(min(prefix.num_addresses, 4))
    else:
        address = network(generator).network_address
    payload = b"vrf %3d packet %6d" % (vrf.number, serial)
    packet = IP(bytes(IP(src="172.31.0.9", dst=str(address), id=serial & 0xFFFF)
                      / UDP(sport=9, dport=9) / payload))
    return packet, ipaddress.ip_address(address)


def frames_for(vrf, packet):
    """The packet, as it comes from the VRF's own CE and by the VRF's own label."""
    ce = Ether(src=vrf.ce, dst=port_mac(CORE2)) / Dot1Q(vlan=vrf.vlan) / packet
    core = Ether(src=P2, dst=port_mac(CORE)) / gre_from(label(vrf.label, packet))
    return [(CORE2, bytes(ce)), (CORE, bytes(core))]


def where(frame):
    """(kind, label or VRF's number, payload's VRF or None) of a frame that was sent."""
    port, data = frame
    if port == CORE:
        value = int.from_bytes(data[38:42], "big")
        assert data[23] == 47 and value >> 8 & 1, data.hex()
        inner, place = data[42:], ("tunnel", value >> 12)
    elif port == CORE2:
        inner, place = data[18:], ("vlan", int.from_bytes(data[14:16], "big") & 0xFFF)
    else:
        raise AssertionError("sent to port %d: %s" % (port, data.hex()))
    text = inner[28:50]
    return place, (int(text[4:7]) if inner[9] == 17 and text.startswith(b"vrf ") else None), inner


def check(vrfs, outward, sent, wanted):
    """Each packet where the model says, and everything else (ICMP errors) in its own VRF."""
    seen = []
    for frame in sent:
        place, number, inner = where(frame)
        vrf_of_place = (outward[place[1]] if place[0] == "tunnel"
                        else next(v.number for v in vrfs if v.vlan == place[1]))
        if number is None:
            assert inner[9] == 1, "seed %d: neither a packet nor ICMP: %s" % (SEED, inner.hex())
            quoted = inner[28:]
            number = int(quoted[28 + 4 : 28 + 7])
        else:
            seen.append((place, bytes(inner[28:])))
        assert vrf_of_place == number, "seed %d: VRF %d's packet left in VRF %d: %s" % (
            SEED, number, vrf_of_place, frame[1].hex())
    assert sorted(seen) == sorted(wanted), "seed %d: %s" % (
        SEED, "; ".join("%s only %s" % (n, sorted(set(a) - set(b))[:3])
                        for n, a, b in (("sent", seen, wanted), ("expected", wanted, seen))))


pe = Lazy(MGRE)
STATE = {}


def prepared():
    if not STATE:
        generator = random.Random(SEED)
        STATE["generator"] = generator
        STATE["vrfs"] = configure(pe(), generator)
    outward = {r[1]: v.number for v in STATE["vrfs"] for r in v.routes.values() if r[0] == "tunnel"}
    return STATE["generator"], STATE["vrfs"], outward


def exercise(count):
    generator, vrfs, outward = prepared()
    for start in range(0, count, 200):
        frames, wanted = [], []
        for serial in range(start, start + 200):
            vrf = generator.choice(vrfs)
            packet, address = packet_for(generator, vrf, serial)
            frame = generator.choice(frames_for(vrf, packet))
            frames.append(frame)
            route = vrf.lookup(address)
            if route and route[0] == "tunnel":
                wanted.append((route, bytes(packet)[28:]))
            elif route and route[0] == "ce":
                wanted.append((("vlan", vrf.vlan), bytes(packet)[28:]))
        pe().rate(1000)
        check(vrfs, outward, pe().send_many(frames), wanted)


def test_random_vrfs():
    print("seed %d" % SEED, flush=True)
    exercise(PACKETS)


def test_after_changes():
    """Routes and labels come and go; what stands is what counts."""
    generator, vrfs, _ = prepared()
    for _ in range(5):
        lines = []
        for vrf in generator.sample(vrfs, 8):
            for prefix in list(vrf.routes):
                if prefix.network_address == ipaddress.ip_address("192.168.0.2"):
                    continue
                if generator.random() < 0.3:
                    del vrf.routes[prefix]
                    lines.append(f"route del table {vrf.table} {prefix}")
            old = vrf.label
            vrf.label = generator.choice([l for l in range(500000, 500200)
                                          if l not in [v.label for v in vrfs]])
            lines += [f"mpls route del {old}", f"mpls route add {vrf.label} dev v{vrf.number}"]
        pe().ip("\n".join(l for l in lines if not l.startswith("mpls")) or "link show")
        pe().ip("\n".join(l for l in lines if l.startswith("mpls")))
        exercise(400)


def test_labels_of_nobody():
    generator, vrfs, _ = prepared()
    mine = {v.label for v in vrfs}
    frames = []
    for _ in range(500):
        value = generator.choice([x + d for x in mine for d in (-1, 1, 256, 4096)]
                                 + [generator.randrange(1 << 20)])
        value &= 0xFFFFF
        if value in mine:
            continue
        packet, _ = packet_for(generator, generator.choice(vrfs), 1)
        frames.append((CORE, bytes(Ether(src=P2, dst=port_mac(CORE))
                                   / gre_from(label(value, packet)))))
    sent = pe().send_many(frames)
    assert not sent, "seed %d: %s" % (SEED, sent[0][1].hex())


def test_vlans_of_nobody():
    generator, vrfs, _ = prepared()
    mine = {v.vlan for v in vrfs}
    frames = []
    for vlan in range(1, 4095):
        if vlan in mine:
            continue
        packet, _ = packet_for(generator, generator.choice(vrfs), 1)
        frame = Ether(src=P2, dst=port_mac(CORE2)) / Dot1Q(vlan=vlan) / packet
        frames.append((CORE2, bytes(frame)))
    for start in range(0, len(frames), 500):
        sent = pe().send_many(frames[start : start + 500])
        assert not sent, sent[0][1].hex()


def test_deleted_vrf():
    """Its label and its port lead nowhere, not to whoever has its place."""
    generator, vrfs, _ = prepared()
    vrf = vrfs.pop()
    packet, _ = packet_for(generator, vrf, 1)
    frames = frames_for(vrf, packet)
    pe().ip(f"link del v{vrf.number}")
    sent, _ = pe().exchange(CORE, frames[1][1])
    assert not sent, sent
    pe().ip(f"link add fresh type vrf table {vrf.table + 1000}\nlink set fresh up")
    sent, _ = pe().exchange(CORE, frames[1][1])
    assert not sent, sent
    exercise(400)


if __name__ == "__main__":
    main(sys.modules[__name__])
