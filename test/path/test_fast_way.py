# SPDX-License-Identifier: BSD-3-Clause
"""
The fast ways against the general one. Two PEs are configured alike and get the same bursts, made at
random. One may use every short cut. With the other somebody watches, so that lookups and labels go
by the general stages; its buffers have too little room before the frame for ready-made headers; and
now and then it gets the packets of a burst one by one. What leaves, why the rest does not, and all
counters must be the same.
"""

import os
import random
import re
import struct
import sys
from collections import Counter

from fast_way_packets import (CE_MACS, ESP_IN, ESP_OUT, SITE, VLANS, Generator, sum_of)
from ipsec import BadIcv
from pewter import describe, main
from topology import BASE, CORE, MGRE, PE1, PORTS, STARTED, Pewter

ROUNDS = int(os.environ.get("PW_ROUNDS", "600"))
SEED = int(os.environ.get("PW_SEED", "6"))

PEERS = "\n".join(f"route add 10.255.0.{n}/32 via 192.0.2.{2 + n % 2}" for n in range(4, 15))
PEERS += "".join(f"""
neigh add 172.16.0.{n} lladdr 10.255.0.{n} dev mgre0 nud permanent""" for n in (4, 5, 11, 13))

CUSTOMERS = "".join(f"""
link add link core2 name v{vlan} type vlan id {vlan}
link set v{vlan} master {vrf} up
addr add 10.{vlan // 100}.200.1/24 dev v{vlan}
neigh add 10.{vlan // 100}.200.2 lladdr {CE_MACS[vlan]} dev v{vlan} nud permanent
""" for vlan, vrf in VLANS.items())

TUNNELS = f"""
link add fixed type gre local {PE1} remote 10.255.0.6 ttl 77 tos 0x28 nopmtudisc
link set fixed up
link add inherit type gre local {PE1} remote 10.255.0.7 tos inherit
link set inherit up
link add keyed type gre local {PE1} remote 10.255.0.8 ttl 64 key 7
link set keyed master red up
link add six type sit mode ip6ip local {PE1} remote 10.255.0.9 ttl 64
link set six master red up
link add uniform type gre local {PE1} remote 10.255.0.10 ttl 64
link set uniform up
link add mip type ipip mode mplsip local {PE1} remote 10.255.0.12 ttl 64
link set mip up
link add loose type gre local {PE1} remote 10.255.0.14 ttl 64 nopmtudisc
link set loose up
neigh add 2001:db8:172::4 lladdr 10.255.0.4 dev mgre0 nud permanent
link add mgre6 type ip6gre local 2001:db8:ff::1 hoplimit 61
link set mgre6 up
addr add 172.18.0.1/24 dev mgre6
neigh add 172.18.0.2 lladdr 20:01:0d:b8:00:ff:00:00:00:00:00:00:00:00:00:02 dev mgre6 nud permanent
route add {SITE}/32 via 192.0.2.3
link add ipsec42 type xfrm if_id 42
link set ipsec42 master red up
"""

ROUTES = """
route add table 10 10.2.0.0/16 encap mpls 102 via 172.16.0.2 dev mgre0
route add table 10 10.3.0.0/16 encap mpls 103 via 172.16.0.3 dev mgre0
route add table 10 10.4.0.0/16 encap mpls 104 via 172.16.0.4 dev mgre0
route add table 10 10.5.0.0/16 encap mpls 105 via 172.16.0.5 dev mgre0
route add table 10 10.6.0.0/16 encap mpls 106 dev fixed
route add table 10 10.7.0.0/16 encap mpls 107 dev inherit
route add table 10 10.8.0.0/16 dev keyed
route add table 10 10.9.0.0/16 dev six
route add table 10 10.10.0.0/16 encap mpls 110 dev uniform
route add table 10 10.11.0.0/16 encap mpls 111 via 172.16.0.11 dev mgre0
route add table 10 10.12.0.0/16 encap mpls 112 dev mip
route add table 10 10.13.0.0/16 encap mpls 113 via 172.16.0.13 dev mgre0
route add table 10 10.14.0.0/16 encap mpls 114 dev loose
route add table 10 10.20.0.0/16 encap mpls 120/121 via 172.16.0.2 dev mgre0
route add table 10 10.21.0.0/16 encap mpls 122 ttl 17 via 172.16.0.2 dev mgre0
route add table 10 10.22.0.0/16 encap mpls 123/124 via 172.16.0.3 dev mgre0
route add table 10 10.23.0.0/16 encap mpls 125/126/127 via 172.16.0.4 dev mgre0
route add table 10 10.26.0.0/16 encap mpls 128 via 172.18.0.2 dev mgre6
route add table 10 10.30.0.0/16 nexthop encap mpls 130 via 172.16.0.2 dev mgre0 nexthop encap mpls 131 via 172.16.0.3 dev mgre0
route add table 10 10.42.0.0/16 dev ipsec42
route add table 10 10.60.0.0/16 via 10.1.0.2 dev red0
route add table 10 blackhole 10.66.0.0/16
route add table 10 unreachable 10.67.0.0/16
route add table 10 prohibit 10.68.0.0/16
route add table 10 10.80.0.0/16 dev blue
route add table 10 10.81.0.0/16 dev green
route add table 20 10.2.0.0/16 encap mpls 202 via 172.16.0.3 dev mgre0
route add table 20 10.3.0.0/16 encap mpls 203 via 172.16.0.2 dev mgre0
route add table 20 10.4.0.0/16 via 10.1.0.2 dev blue0
route add table 20 10.66.0.0/16 encap mpls 204 via 172.16.0.4 dev mgre0
route add table 20 10.80.0.0/16 encap mpls 205 via 172.16.0.5 dev mgre0
route add table 30 10.2.0.0/16 encap mpls 302 via 172.16.0.2 dev mgre0
route add table 30 10.3.0.0/16 encap mpls 303 via 172.16.0.3 dev mgre0
route add table 30 10.4.0.0/16 encap mpls 304 via 172.16.0.4 dev mgre0
route add table 30 10.81.0.0/16 encap mpls 305 via 172.16.0.2 dev mgre0
route add table 10 2001:db8:2::/48 encap mpls 102 via 2001:db8:172::2 dev mgre0
route add table 20 2001:db8:2::/48 encap mpls 202 via 2001:db8:172::4 dev mgre0
route add table 10 2001:db8:4::/48 encap mpls 104/105 via 2001:db8:172::4 dev mgre0
route add table 10 2001:db8:6::/48 encap mpls 106 dev fixed
route add table 10 2001:db8:7::/48 encap mpls 107 dev inherit
route add table 10 2001:db8:8::/48 dev keyed
route add table 10 2001:db8:9::/48 dev six
route add table 10 2001:db8:60::/48 via 2001:db8:1::2 dev red0
route add table 10 blackhole 2001:db8:66::/48
route add table 10 2001:db8:80::/48 dev blue
route add table 20 2001:db8:80::/48 via 2001:db8:1::2 dev blue0
mpls route add 200 dev red
mpls route add 201 dev blue
mpls route add 203 dev green
mpls route add 210 dev red ttl-propagate enabled
mpls route add 211 dev red ttl-propagate disabled
mpls route add 220 via inet 10.1.0.2 dev red0
mpls route add 221 via inet 192.0.2.2 dev core
mpls route add 230 as 3000/3001 via inet 192.0.2.3 dev core
mpls route add 231 as 3002 via inet 172.16.0.3 dev mgre0
mpls route add 250 dev red
mpls route add 260 dev blue
"""

# Peers whose traffic must be sealed; 13 has no SA.
PROTECTED = "".join("xfrm policy add src %s/32 dst %s/32 proto 47 dir %s tmpl src %s dst %s proto esp "
                    "reqid %d mode transport\n" % (a, b, way, a, b, n)
                    for n in (3, 4, 5, 11, 13)
                    for a, b, way in ((PE1, "10.255.0.%d" % n, "out"),
                                      ("10.255.0.%d" % n, PE1, "in")))

POLICIES = f"""
xfrm policy add src 0.0.0.0/0 dst 10.3.0.0/16 dev green dir out action block
xfrm policy add src 0.0.0.0/0 dst 10.4.0.0/17 dev green dir out action block priority 7
xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dev green dir out priority 4000
xfrm policy add src 10.2.0.0/17 dst 0.0.0.0/0 dev green dir in action block
xfrm policy add src 0.0.0.0/0 dst 10.42.0.0/16 dir out tmpl src {PE1} dst {SITE} proto esp reqid 42 mode tunnel if_id 42
xfrm policy add src 10.42.0.0/16 dst 0.0.0.0/0 dir in tmpl src {SITE} dst {PE1} proto esp reqid 42 mode tunnel if_id 42
xfrm policy add src 10.42.0.0/16 dst 0.0.0.0/0 dir fwd tmpl src {SITE} dst {PE1} proto esp reqid 42 mode tunnel if_id 42
"""

# One of two, now and then, while packets come: what was made ready before is out of date.
CHANGES = [
    ("route replace table 10 10.2.0.0/16 encap mpls 102 via 172.16.0.2 dev mgre0",
     "route replace table 10 10.2.0.0/16 encap mpls 142 via 172.16.0.3 dev mgre0"),
    ("route replace table 20 10.4.0.0/16 via 10.1.0.2 dev blue0",
     "route replace table 20 10.4.0.0/16 encap mpls 244 via 172.16.0.4 dev mgre0"),
    ("route replace table 10 10.60.0.0/16 via 10.1.0.2 dev red0",
     "route replace table 10 unreachable 10.60.0.0/16"),
    ("neigh replace 10.1.0.2 lladdr 02:00:00:00:01:02 dev red0 nud permanent",
     "neigh replace 10.1.0.2 lladdr 02:00:00:00:01:77 dev red0 nud permanent"),
    ("link set core mtu 1500", "link set core mtu 1400"),
    ("link set red0 mtu 1500", "link set red0 mtu 1300"),
    ("link set v200 master blue", "link set v200 master red"),
    ("link set v100 up", "link set v100 down"),
    ("link set fixed up", "link set fixed down"),
    ("link set inherit type gre local 10.255.0.1 remote 10.255.0.7 tos inherit",
     "link set inherit type gre local 10.255.0.1 remote 10.255.0.7 tos inherit ttl 9"),
    ("mpls route replace 211 dev red ttl-propagate disabled",
     "mpls route replace 211 dev blue ttl-propagate disabled"),
    ("xfrm policy delete src 0.0.0.0/0 dst 0.0.0.0/0 dev blue dir out",
     "xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dev blue dir out action block"),
    ("xfrm policy delete src 10.255.0.1/32 dst 10.255.0.2/32 proto 47 dir out",
     "xfrm policy add src 10.255.0.1/32 dst 10.255.0.2/32 proto 47 dir out action block"),
]

PROTECTED_PEERS = [bytes((10, 255, 0, n)) for n in (3, 4, 5, 11, 13)]
# Of VRF green's routes, those that its policies block; and that to the peer without an SA.
HELD_BACK = (303, 113)

MARK = re.compile(rb"PwF(.{6})", re.DOTALL)


def configure(pe):
    pe.ip(BASE + MGRE + "link add green type vrf table 30\nlink set green up")
    pe.ip(PEERS + CUSTOMERS)
    pe.ip(TUNNELS)
    pe.ip(ROUTES)
    pe.ip(PROTECTED + POLICIES)
    pe.ip("\n".join(sa.words() for sa in list(ESP_IN.values()) + list(ESP_OUT.values())))
    pe.ctl("tunnel", "uniform", "ttl-model", "uniform")
    pe.ctl("label", "250", "allow", "10.255.0.3")
    pe.ctl("label", "260", "protect", "on")
    pe.ctl("link", "core", "mpls", "on")


class Pair:
    """The one that may take short cuts, and the one that may not."""

    def __init__(self, exact):
        self.exact = exact
        self.fast, self.general = Pewter(*PORTS, exact=exact), Pewter(*PORTS, exact=exact)
        STARTED.extend((self.fast, self.general))
        for pe in (self.fast, self.general):
            configure(pe)
        self.general.process.stdin.write("watch 1\n")

    def ip(self, line):
        for pe in (self.fast, self.general):
            pe.ip(line)

    def send(self, rng, burst):
        self.room = rng.choice((128, 128, 128, 128, 114, 60, 20))
        self.fast.process.stdin.write("headroom %d\n" % self.room)
        self.general.process.stdin.write("headroom %d\n" % min(self.room, 60))
        self.fast.rate(100)
        fast = self.fast.send_many(burst)
        if rng.random() < 0.5:
            self.general.rate(100)
            return fast, self.general.send_many(burst)
        text = "".join("rate 100\nsend %d %s\nrun\n" % (port, frame.hex())
                       for port, frame in burst)
        self.general.process.stdin.write(text)
        frames = []
        for _ in burst[1:]:
            frames += self.general._frames(self.general._ask(""))
        return fast, frames + self.general._frames(self.general._ask(""))


class Wire:
    """What was sent, in a form in which the two can be compared."""

    def __init__(self):
        self.frames = Counter()
        self.numbers = Counter()  # ESP's
        self.flows = {}

    @staticmethod
    def admissible(protocol, remote, inside):
        """Sealed where it must be, and not what a VRF's policy holds back, whichever way it went."""
        assert protocol == 50 or remote not in PROTECTED_PEERS, "in clear to %s" % remote.hex()
        if inside[:4] == b"\0\0\x88\x47":
            label = struct.unpack("!I", inside[4:8])[0] >> 12
            assert label not in HELD_BACK, "label %d" % label

    def opened(self, esp):
        sa = ESP_OUT[struct.unpack("!I", esp[:4])[0]]
        for high in (0, 1):
            try:
                number, _, payload, next_header = sa.payload(esp, high)
                break
            except BadIcv:
                if high or not sa.esn:
                    raise
        self.numbers[sa.spi, number] += 1
        self.admissible(50, b"", payload)
        return b"%x %d " % (sa.spi, next_header) + payload

    def add(self, port, frame):
        at = 18 if frame[12:14] == b"\x81\0" else 14
        text = frame
        if frame[at - 2 : at] == b"\x08\0":
            header = frame[at : at + (frame[at] & 15) * 4]
            assert sum_of(header) == 0xFFFF, "checksum: " + describe(frame)
            # identifications are given out in the order of sending
            if frame[at + 12 : at + 16] == bytes((10, 255, 0, 1)):
                text = frame[: at + 4] + frame[at + 6 : at + 10] + frame[at + 12 : at + 20]
                if frame[at + 9] == 50:
                    text += self.opened(frame[at + 20 :])
                elif frame[at + 9] == 17 and frame[at + 20 : at + 22] == b"\x11\x94":
                    text += frame[at + 20 : at + 28] + self.opened(frame[at + 28 :])
                else:
                    self.admissible(frame[at + 9], frame[at + 16 : at + 20], frame[at + 20 :])
                    text += frame[at + 20 :]
        self.frames[port, text] += 1
        found = MARK.search(text)
        if found:
            flow, number = struct.unpack(">HI", found[1])
            self.flows.setdefault((port, flow), []).append(number)


def ordered(wire, even, way):
    """Packets of a flow that are alike in all that is looked at leave as they came."""
    for flow, numbers in wire.flows.items():
        numbers = [n for n in numbers if n in even]
        assert numbers == sorted(numbers), "%s way: flow %s: %s" % (way, flow, numbers)


def compare(pair, sent, even):
    wires = []
    for frames in sent:
        wire = Wire()
        for port, frame in frames:
            wire.add(port, frame)
        ordered(wire, even, ("general", "fast")[not wires])
        wires.append(wire)
    fast, general = wires
    for title, one, other in (("only by the fast way", fast, general),
                              ("only by the general way", general, fast)):
        rest = one.frames - other.frames
        for port, text in list(rest)[:1]:
            raise AssertionError("%d frames %s: port %d %s" % (len(rest), title, port, text.hex()))
    assert all(n == 1 for n in (fast.numbers | general.numbers).values()), "a number used twice"
    if pair.room >= 60:  # else some are used by packets that find no room for Ethernet's header
        assert fast.numbers == general.numbers, "numbers"
    one, other = pair.fast.counters(), pair.general.counters()
    for what in ("drops", "events", "interfaces"):
        assert one[what] == other[what], "%s: %s" % (what, {
            name: (one[what].get(name), other[what].get(name))
            for name in set(one[what]) | set(other[what])
            if one[what].get(name) != other[what].get(name)})


def states(pe):
    """All of SAs and policies that is counted, without the times."""
    text = pe.show("-s", "xfrm", "state")
    return re.sub(r"(add|use|lastused) \d{4}-.*", "", text)


def exercise(seed, rounds, exact, wanted=()):
    rng = random.Random(seed)
    pair = Pair(exact)
    generator = Generator(rng)
    state = [0] * len(CHANGES)
    for n in range(rounds):
        if rng.random() < 0.3:
            which = rng.randrange(len(CHANGES))
            state[which] ^= 1
            pair.ip(CHANGES[which][state[which]])
        burst, even = generator.burst()
        try:
            compare(pair, pair.send(rng, burst), even)
        except AssertionError as error:
            raise AssertionError("seed %d round %d: %s" % (seed, n, error)) from error
    one, other = states(pair.fast), states(pair.general)
    assert one == other, "SAs: %s" % [p for p in zip(one.split("\n"), other.split("\n"))
                                      if p[0] != p[1]]
    drops = pair.fast.drops()
    assert set(wanted) <= set(drops), "never seen: %s" % (set(wanted) - set(drops))
    assert pair.fast.counters()["buffers"] == pair.general.counters()["buffers"]


def test_same_as_the_general_way():
    exercise(SEED, ROUNDS, False, wanted=(
        "esp-replay", "esp-icv", "esp-padding", "esp-spi", "ip-ttl", "ipv4-checksum", "ipv4-length",
        "ipv4-address", "mpls-label-unknown", "mpls-label-refused", "mpls-label-clear",
        "mpls-stack", "mpls-ttl", "mtu-exceeded", "policy-block", "policy-clear", "route-blackhole",
        "route-none", "route-unreachable", "sa-none", "tunnel-ecn", "vlan-unknown"))


def test_same_in_buffers_without_room_behind():
    """What reads behind a packet is seen by AddressSanitizer."""
    exercise(SEED + 1, ROUNDS // 4, True)


if __name__ == "__main__":
    main(sys.modules[__name__])
