# SPDX-License-Identifier: BSD-3-Clause
"""
What might lead round the policies of a VRF: labels of a single next hop, routes from one VRF into
another, VRFs that go.
"""

import sys

from icmp import check4
from pewter import main
from test_tunnel_mode_in import HOST, SITE, Site, pe, policies
from topology import (STARTED, CORE, CORE2, PE1, RED, Ether, ether, from_core, from_red,  # noqa: F401
                      gre_from, hop, label, port_mac, to_blue, to_red, udp)

FAR = "10.80.0.9"
ENDS = "tmpl src %s dst %s proto esp reqid %d mode tunnel"
CLEAR = ("10.2.0.2", "10.1.0.2")  # from another site of the VPN to the customer


def of_vrf(vrf, direction, source, far, reqid=77, action=""):
    ends = (PE1, SITE) if direction == "out" else (SITE, PE1)
    return "xfrm policy add src %s dst %s dev %s dir %s %s" % (
        source, far, vrf, direction, action or ENDS % (*ends, reqid))


def test_label_of_a_next_hop():
    """Its packets are the VRF's as well: what policy protects or blocks does not leave in clear."""
    packet = udp(*CLEAR)
    frame = from_core(gre_from(label(230, packet)))
    pe().ip("mpls route add 230 via inet 10.1.0.2 dev red0")
    pe().expect(CORE, frame, [to_red(hop(packet))])
    for lines, drop in (((of_vrf("red", "out", "0.0.0.0/0", "10.1.0.0/24"),), "sa-none"),
                        ((of_vrf("red", "fwd", "10.2.0.0/16", "10.1.0.0/24"),), "policy-clear"),
                        ((of_vrf("red", "out", "0.0.0.0/0", "10.1.0.0/24", action="action block"),),
                         "policy-block")):
        pe().ip("\n".join(lines))
        try:
            pe().refuses(CORE, frame, drop)
        finally:
            pe().ip("\n".join(" ".join(line.replace(" add ", " delete ").split()[:11])
                              for line in lines))
        pe().expect(CORE, frame, [to_red(hop(packet))])
    pe().ip("mpls route delete 230")


def test_from_one_vrf_into_another():
    """An SA is what the policies of its own VRF ask for, not what those of another do."""
    site = Site()
    packet = udp(HOST, FAR)
    pe().ip("route add table 10 10.80.0.0/16 dev blue\n"
            "route add table 20 10.80.0.0/16 via 10.1.0.2 dev blue0\n"
            + policies("if_id 42", 42, ((SITE, PE1),), what=(("10.66.0.0/16", "10.80.0.0/16"),)))
    pe().expect(CORE, site.frame(packet), [to_blue(hop(packet))])
    for line, drop in ((of_vrf("blue", "fwd", "10.66.0.0/16", "10.80.0.0/16"), "policy-sa"),
                       (of_vrf("blue", "fwd", "10.66.0.0/16", "10.80.0.0/16", action="action block"),
                        "policy-block")):
        pe().ip(line)
        try:
            pe().refuses(CORE, site.frame(packet), drop)
        finally:
            pe().ip(" ".join(line.replace(" add ", " delete ").split()[:11]))
        pe().expect(CORE, site.frame(packet), [to_blue(hop(packet))])
    line = of_vrf("blue", "fwd", "10.66.0.0/16", "10.80.0.0/16", reqid=42)
    pe().ip(line)  # the same SA is what this one asks for
    pe().expect(CORE, site.frame(packet), [to_blue(hop(packet))])


def test_vrf_that_went():
    """Policies go with their VRF, not to the next one with its number; the default is of all."""
    add = "link add green type vrf table 30\nlink set green up\n"
    pe().ip(add + of_vrf("green", "out", "10.0.0.0/8", "10.30.0.0/16", action="action block"))
    try:
        pe().ip("link delete green")
        pe().wait(50)  # its number is free again
        pe().ip(add + "link set core2 master green\naddr add 10.30.0.1/24 dev core2\n"
                "neigh add 10.30.0.2 lladdr 02:00:00:00:30:02 dev core2 nud permanent")
        packet = udp("10.30.0.9", "10.30.0.2")
        frame = bytes(Ether(src=port_mac(CORE2), dst="02:00:00:00:30:02") / hop(packet))
        pe().expect(CORE2, ether(CORE2, "02:00:00:00:30:09", packet), [(CORE2, frame)])
        pe().ip("xfrm policy setdefault out block\nlink delete green")
        pe().wait(50)
        pe().ip(add + "link set core2 master green")
        pe().refuses(CORE2, ether(CORE2, "02:00:00:00:30:09", packet), "policy-block")
        pe().ip("xfrm policy setdefault out accept")
        pe().expect(CORE2, ether(CORE2, "02:00:00:00:30:09", packet), [(CORE2, frame)])
    finally:
        pe().ip("xfrm policy setdefault out accept\nlink delete green")


def test_error_about_what_another_vrf_took():
    """The sender hears of it, not who has its address in the VRF that the route leads into."""
    pe().ip("route replace table 10 10.80.0.0/16 dev blue\n"
            "route replace table 20 10.80.0.0/16 via 10.1.0.2 dev blue0")
    packet = udp(destination=FAR, ttl=1)
    sent, drops = pe().exchange(RED, from_red(packet))
    assert drops == {"ip-ttl": 1} and len(sent) == 1 and sent[0][0] == RED, (drops, sent)
    check4(sent[0][1][14:], packet, 11, 0, "10.1.0.1")
    # Where only a label said which VRF the sender is in, nobody hears of it.
    pe().refuses(CORE, from_core(gre_from(label(200, udp("10.1.0.2", FAR, ttl=1)))), "ip-ttl")


if __name__ == "__main__":
    main(sys.modules[__name__])
