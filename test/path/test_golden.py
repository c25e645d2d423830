# SPDX-License-Identifier: BSD-3-Clause
"""Packets that others made: a Cisco router's, byte for byte, and a Linux router's."""

import json
import os
import sys

from pewter import ROOT, main
from topology import (CORE, IP, P2, RED, RED_CE, STARTED, Ether, Lazy, Raw, ether, hop,
                      port_mac, provider_edge)

# Captured from a Cisco CSR: MPLS label 17 in GRE, 1.1.1.1 -> 2.2.2.2. Outer TTL 255, TOS 0, no
# DF, id 0; TC 0, S 1, label TTL 254. Inside a ping 100.100.100.1 -> 100.100.100.2.
OUTER = bytes.fromhex("4500008000000000ff2fb5490101010102020202")
GRE = bytes.fromhex("00008847")
LABEL = bytes.fromhex("000111fe")
INNER = bytes(IP(bytes(IP(src="100.100.100.1", dst="100.100.100.2", ttl=254, id=5, proto=1)
                       / Raw(bytes.fromhex("0800abcd00010000")
                             + bytes(range(72))))))

SENDER = f"""
addr add 1.1.1.1/32 dev lo
route add 2.2.2.2/32 via 192.0.2.2
link add cisco type gre local 1.1.1.1 remote 2.2.2.2 ttl 255 nopmtudisc
link set cisco up
route add table 10 100.100.100.2/32 encap mpls 17 ttl 254 dev cisco
route add table 10 100.100.100.1/32 via 10.1.0.2
mpls route add 17 dev red
"""

RECEIVER = """
addr add 2.2.2.2/32 dev lo
route add 1.1.1.1/32 via 192.0.2.2
link add cisco type gre local 2.2.2.2 remote 1.1.1.1 ttl 255 nopmtudisc
link set cisco up
route add table 10 100.100.100.2/32 via 10.1.0.2
mpls route add 17 dev red
"""

pe = Lazy(SENDER)
other = Lazy(RECEIVER)


def test_cisco_produced():
    assert len(INNER) == 100
    customers = IP(INNER).copy()
    customers.ttl = 255
    del customers.chksum
    pe().ip_id(0)
    sent, drops = pe().exchange(RED, ether(RED, RED_CE, IP(bytes(customers))))
    assert len(sent) == 1 and sent[0][0] == CORE and not drops, (sent, drops)
    frame = sent[0][1]
    assert frame[:14] == bytes(Ether(src=port_mac(CORE), dst=P2, type=0x800))
    wanted = OUTER + GRE + LABEL + INNER
    assert frame[14:] == wanted, "\n  sent   %s\n  wanted %s" % (frame[14:].hex(), wanted.hex())


def test_cisco_accepted():
    frame = ether(CORE, P2, Raw(OUTER + GRE + LABEL + INNER), type=0x800)
    wanted = Ether(src=port_mac(RED), dst=RED_CE) / hop(IP(INNER))
    other().expect(CORE, frame, [(RED, wanted)])


LINUX = """
addr add {dst}/32 dev lo
route add {src}/32 via 192.0.2.2
link add gre1 type gre local {dst} remote {src} ttl 64
link set gre1 up
addr add 10.2.3.1/24 dev red0
neigh add 10.2.3.4 lladdr 02:00:00:00:03:04 dev red0 nud permanent
mpls route add {label} dev red
"""


def test_linux_frames():
    path = os.path.join(os.path.dirname(ROOT), "shared", "vectors", "linux-pe-frames.json")
    if not os.path.exists(path):
        return "../shared is absent"
    with open(path, encoding="utf-8") as file:
        cases = [c for c in json.load(file) if c["case"] == "plain"]
    assert cases
    for case in cases:
        first = bytes.fromhex(case["frames"][0]["ethernet"])
        destination = IP(first[42:]).dst
        linux = provider_edge(LINUX.format(dst=case["outer_dst"], src=case["outer_src"],
                                           label=int.from_bytes(first[38:42], "big") >> 12)
                              .replace("10.2.3.1/24", destination.rsplit(".", 1)[0] + ".1/24")
                              .replace("10.2.3.4", destination))
        for frame in case["frames"]:
            data = bytes.fromhex(frame["ethernet"])
            assert data[34:] == bytes.fromhex(frame["gre"])
            packet = IP(data[42:])
            wanted = Ether(src=port_mac(RED), dst="02:00:00:00:03:04") / hop(packet)
            linux.expect(CORE, ether(CORE, P2, Raw(data[14:]), type=0x800), [(RED, wanted)])
    return None


if __name__ == "__main__":
    main(sys.modules[__name__])
