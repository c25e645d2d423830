# SPDX-License-Identifier: BSD-3-Clause
"""
Stage `policy` under the policies of a VRF: long lists in the order of their priorities, what has no
ports, what comes in clear, what has no route.
"""

import random
import sys

from scapy.layers.inet6 import (IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PadN)

from pewter import main
from ipsec import GCM, Sa
from test_tunnel_mode_out import CE4, configure, opened, passes, pe, policy, tunnel
from topology import (BLUE, CORE, GRE, ICMP, IP, MPLS, PE1, PE2, RED, STARTED, TCP, UDP,  # noqa: F401
                      ICMPv6EchoRequest, IPv6, Raw, from_blue, from_core, from_red, hop, to_red, udp, udp6)

FAR4, FAR6 = "10.2.%d.%d", "2001:db8:2::%x:%x"


def bypassed(packet):
    """It leaves by the VRF's route, labelled in GRE."""
    sent, drops = pe().exchange(RED, from_red(packet))
    assert not drops and len(sent) == 1 and sent[0][0] == CORE and sent[0][1][23] == 47, (drops, sent)


def of_red(far, action="protect", direction="out", source=None, more="", **fields):
    """A policy of the VRF red."""
    v6 = ":" in far
    ends = {} if direction == "out" else dict(local=CE4, remote=PE1)
    if action == "block":
        fields["extra"] = fields.get("extra", "") + " action block"
    return policy(if_id=0, reqid=fields.pop("reqid", 1), more="dev red " + more, far=far, source=source,
                  v6=v6, template=action == "protect", direction=direction, **ends, **fields)


def long_list(rng, count):
    """[(policy, how it ends)] for hosts, of which each has a later policy as well that is not asked."""
    lines, wanted = [], {}
    for n in range(count):
        far = (FAR4, FAR6)[n % 2] % (n // 100, n % 100 + 2)
        action = rng.choice(("protect", "block", "bypass"))
        reqid = rng.choice((1, 2))
        length = 128 if ":" in far else 32
        wanted[far] = (action, reqid)
        lines.append(of_red("%s/%d" % (far, length), action, reqid=reqid,
                            extra="priority %d" % (100 + n)))
        lines.append(of_red("%s/%d" % (far, length - 1), rng.choice(("protect", "block")), reqid=3 - reqid,
                            more="proto udp", extra="priority %d" % (2000 + n)))
    rng.shuffle(lines)
    return lines, wanted


def test_long_lists():
    rng = random.Random(4)
    for count in (3, 16, 17, 300):
        lines, wanted = long_list(rng, count)
        sas = {reqid: tunnel(if_id=0, reqid=reqid, spi=0x4400 + reqid) for reqid in (1, 2)}
        configure(*[sa.words() for sa in sas.values()])
        # A /127 of two hosts may be there twice: the kernel's answer, too, is that there is one.
        seen = set()
        pe().ip("\n".join(line for line in lines
                          if not (key := line.split("priority")[0]) in seen and not seen.add(key)))
        number = {1: 0, 2: 0}
        for far, (action, reqid) in wanted.items():
            packet = udp6(destination=far) if ":" in far else udp(destination=far)
            if action == "block":
                pe().refuses(RED, from_red(packet), "policy-block")
            elif action == "bypass":
                bypassed(packet)
            else:
                number[reqid] += 1
                passes(packet, sas[reqid], number[reqid])
        bypassed(udp(destination="10.2.200.2"))
        configure()
        bypassed(udp())


def test_ports_that_are_not_there():
    """Later fragments and headers without end do not pass as what a policy before would have kept."""
    sa = tunnel(if_id=0, reqid=1)
    configure(of_red("10.2.0.0/16", more="proto udp dport 53"),
              of_red("2001:db8:2::/48", more="proto udp dport 53"), sa.words())
    passes(udp(dport=53, flags="MF"), sa, 1)
    pe().refuses(RED, from_red(IP(src="10.1.0.2", dst="10.2.0.2", proto=17, frag=8, ttl=60) / Raw(b"x" * 40)),
                 "policy-block")
    bypassed(IP(src="10.1.0.2", dst="10.2.0.2", proto=6, frag=8, ttl=60) / Raw(b"x" * 40))
    bypassed(udp(dport=54))
    head = IPv6(src="2001:db8:1::2", dst="2001:db8:2::2", hlim=60)
    tail = UDP(sport=1000, dport=53) / Raw(b"x" * 40)
    options = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 12)])
    passes(head / IPv6ExtHdrHopByHop() / options / tail, sa, 2)
    passes(head / options / IPv6ExtHdrFragment(offset=0, m=1) / tail, sa, 3)
    pe().refuses(RED, from_red(head / IPv6ExtHdrFragment(offset=8, nh=17) / Raw(b"x" * 40)), "policy-block")
    pe().refuses(RED, from_red(head / IPv6ExtHdrFragment(offset=8, nh=60) / Raw(b"x" * 40)), "policy-block")
    bypassed(head / IPv6ExtHdrFragment(offset=8, nh=6) / Raw(b"x" * 40))
    many = head
    for _ in range(9):
        many = many / options
    pe().refuses(RED, from_red(many / tail), "policy-block")
    cut = bytes(head / options / tail)[:50]
    cut = cut[:4] + (10).to_bytes(2, "big") + cut[6:]
    pe().refuses(RED, from_red(IPv6(cut)), "policy-block")


def test_icmp_types():
    sa = tunnel(if_id=0, reqid=1)
    configure(of_red("10.2.0.0/16", more="proto icmp type 8 code 0"),
              of_red("2001:db8:2::/48", more="proto ipv6-icmp type 128 code 0"), sa.words())
    echo = IP(src="10.1.0.2", dst="10.2.0.2", ttl=60)
    passes(echo / ICMP(type=8) / Raw(b"x" * 40), sa, 1)
    bypassed(echo / ICMP(type=0) / Raw(b"x" * 40))
    bypassed(echo / TCP(sport=8, dport=0))
    passes(IPv6(src="2001:db8:1::2", dst="2001:db8:2::2", hlim=60) / ICMPv6EchoRequest(), sa, 2)


ALL = "src 0.0.0.0/0 dst 0.0.0.0/0 dev %s dir %s"
PING = IP(src="10.1.0.2", dst="10.1.0.1", ttl=60) / ICMP() / Raw(b"x" * 40)


def answered(by=RED):
    sent, drops = pe().exchange(by, (from_red if by == RED else from_blue)(PING))
    assert not drops and len(sent) == 1 and sent[0][0] == by and IP(sent[0][1][14:])[ICMP].type == 0


def to_customer():
    """A packet from a remote PE, by its label red's."""
    packet = IP(src="10.2.0.2", dst="10.1.0.2", ttl=60) / UDP(sport=1, dport=2) / Raw(b"x" * 40)
    return (from_core(IP(src=PE2, dst=PE1, ttl=60) / GRE(proto=0x8847) / MPLS(label=200, s=1, ttl=60)
                      / packet), [to_red(hop(packet))])


def test_default_outward():
    """`setdefault out block` closes VRFs that have policies, and those that have none."""
    sa = tunnel(if_id=0, reqid=1)
    in_interface = tunnel(spi=0x4299)
    configure(of_red("10.2.9.0/24"), sa.words(), policy(), in_interface.words())
    labelled = to_customer()
    pe().expect(CORE, *labelled)
    pe().ip("xfrm policy setdefault out block")
    try:
        passes(udp(destination="10.2.9.2"), sa, 1)
        passes(udp(destination="10.9.0.2"), in_interface, 1)  # its own policies say so
        for by, frame in ((RED, from_red(udp())), (BLUE, from_blue(udp())), (CORE, labelled[0]),
                          (RED, from_red(PING))):
            pe().refuses(by, frame, "policy-block")
        pe().ip("link add late type vrf table 77\nlink set late up\nlink set blue0 master late")
        pe().refuses(BLUE, from_blue(udp()), "policy-block")
        pe().ip("link set blue0 master blue\nlink delete late")
        # The tunnel between the PEs is closed as well: it takes what is protected, or a bypass.
        pe().ip("xfrm policy add %s" % ALL % ("red", "out"))
        pe().refuses(RED, from_red(udp()), "policy-block")
        pe().ip("xfrm policy add src %s dst %s proto gre dir out" % (PE1, PE2))
        bypassed(udp())
        answered()
        pe().expect(CORE, *labelled)
        # The last policy of a VRF does not take the default along.
        pe().ip("xfrm policy delete %s\nxfrm policy delete src 0.0.0.0/0 dst 10.2.9.0/24 dev red dir out"
                % ALL % ("red", "out"))
        pe().refuses(CORE, labelled[0], "policy-block")
    finally:
        pe().ip("xfrm policy setdefault out accept")
    configure()
    bypassed(udp())
    pe().expect(CORE, *labelled)


def test_default_inward():
    """`fwd block` is about what passes through, `in block` about what is for the PE."""
    site = Sa(GCM, CE4, PE1, 0x4300, seed=9, reqid=42, mode="tunnel", more="flag af-unspec if_id 42")
    configure(policy(CE4, PE1, direction="in", source="10.9.0.0/16", far="0.0.0.0/0"), site.words())
    labelled = to_customer()
    from_site = IP(src="10.9.0.2", dst="10.1.0.2", ttl=60) / UDP(sport=1, dport=2) / Raw(b"x" * 40)
    pe().ip("xfrm policy setdefault fwd block")
    try:
        for by, frame in ((RED, from_red(udp())), (BLUE, from_blue(udp())), (CORE, labelled[0])):
            pe().refuses(by, frame, "policy-block")
        answered()
        answered(BLUE)
        # What an SA carries was let in by its interface's policies.
        pe().expect(CORE, from_core(site.packet(bytes(from_site), 1, next_header=4)), [to_red(hop(from_site))])
        pe().ip("xfrm policy add %s" % ALL % ("red", "fwd"))
        bypassed(udp())
        pe().expect(CORE, *labelled)
        pe().refuses(BLUE, from_blue(udp()), "policy-block")
        pe().ip("xfrm policy setdefault fwd accept in block")
        answered()  # directions in and fwd are one list
        pe().refuses(BLUE, from_blue(PING), "policy-block")
        pe().expect(CORE, from_core(site.packet(bytes(from_site), 2, next_header=4)), [to_red(hop(from_site))])
        pe().refuses(CORE, labelled[0], "policy-block")  # the tunnel is closed, by its own policies
        pe().ip("xfrm policy add src %s dst %s proto gre dir in" % (PE2, PE1))
        pe().expect(CORE, *labelled)
        sent, drops = pe().exchange(BLUE, from_blue(udp()))
        assert not drops and len(sent) == 1, (drops, sent)
    finally:
        pe().ip("xfrm policy setdefault in accept fwd accept")
    configure()
    answered(BLUE)


def test_in_clear():
    """What must come protected does not come in clear, to whomever it is addressed."""
    ping = IP(src="10.1.0.2", dst="10.1.0.1", ttl=60) / ICMP() / Raw(b"x" * 40)
    for direction in ("in", "fwd"):
        configure(of_red("0.0.0.0/0", direction=direction, source="10.1.0.2/32"))
        for packet in (udp(), udp(destination="10.9.9.9"), udp(ttl=1), ping):
            pe().refuses(RED, from_red(packet), "policy-clear")
        bypassed(udp(source="10.1.0.3"))
        configure(of_red("0.0.0.0/0", "block", direction=direction, source="10.1.0.2/32"))
        pe().refuses(RED, from_red(udp()), "policy-block")
        configure(of_red("0.0.0.0/0", direction=direction, source="10.1.0.2/32") + " level use")
        bypassed(udp())
    configure()
    sent, drops = pe().exchange(RED, from_red(ping))
    assert not drops and len(sent) == 1 and sent[0][0] == RED, (drops, sent)


def test_no_route():
    """A policy protects what no route leads to; a route that refuses is not got round."""
    sa = tunnel(if_id=0, reqid=1)
    configure(of_red("10.77.0.0/16"), of_red("10.78.0.0/16"), sa.words())
    pe().ip("route add table 10 blackhole 10.78.0.0/16")
    passes(udp(destination="10.77.0.2"), sa, 1)
    pe().refuses(RED, from_red(udp(destination="10.78.0.2")), "route-blackhole")
    configure()
    sent, _ = pe().exchange(RED, from_red(udp(destination="10.77.0.2")))
    assert len(sent) == 1 and sent[0][0] == RED and sent[0][1][23] == 1, sent
    pe().ip("route del table 10 blackhole 10.78.0.0/16")


def test_own_packets():
    """ICMP errors and answers of the PE are protected as well."""
    sa = tunnel(if_id=0, reqid=1)
    configure(of_red("10.1.0.2/32"), sa.words())
    ping = IP(src="10.1.0.2", dst="10.1.0.1") / ICMP() / Raw(b"x" * 40)
    for packet, kind, counted in ((udp(ttl=1), 11, {"ip-ttl": 1}), (ping, 0, {})):
        sent, drops = pe().exchange(RED, from_red(packet))
        assert drops == counted and len(sent) == 1 and sent[0][0] == CORE, (drops, sent)
        inner = opened(sent[0][1], sa, df=bool(IP(sent[0][1][14:]).flags.DF), tos=sent[0][1][15])
        assert inner[20] == kind, inner.hex()


def test_shown():
    configure(of_red("10.99.0.0/16"))
    bypassed(udp())
    lines = [line for line in pe().ctl("show", "stages").splitlines() if "policy" in line.split()]
    assert len(lines) == 1, pe().ctl("show", "stages")


if __name__ == "__main__":
    main(sys.modules[__name__])
