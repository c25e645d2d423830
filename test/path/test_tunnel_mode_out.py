# SPDX-License-Identifier: BSD-3-Clause
"""
Tunnel mode outward: a customer's packet goes into an IPsec interface of its VRF, by a route, or is
selected by a policy of the VRF, and leaves to an off-net site as ESP.
"""

import itertools
import json
import re
import struct
import subprocess
import sys

from icmp import check4, check6
from ipsec import AEADS, FLUSH, GCM, GRE4, KINDS, PAIRS, Monitor, Sa
from pewter import Refused, main
from topology import (BLUE, CORE, CORE2, ICMP, IP, MGRE, P2, P3, PE1, PE1_6, PE2, RED, STARTED, TCP, UDP,
                      VPN, Ether, IPv6, Lazy, from_blue, from_core, from_red, gre_from, hop, label, port_mac,
                      to_red, udp, udp6)

CE4, CE6 = "203.0.113.9", "2001:db8:cafe::9"
FAR4, FAR6 = "10.9.0.2", "2001:db8:9::2"
NATT = (4500, 4500)

LINKS = """
route add 203.0.113.0/24 via 192.0.2.3
route add 2001:db8:cafe::/48 via 2001:db8:c::2
link add ipsec42 type xfrm if_id 42
link set ipsec42 master red
link set ipsec42 up
link add ipsec43 type xfrm if_id 43
link set ipsec43 master blue
link set ipsec43 up
route add table 10 10.9.0.0/16 dev ipsec42
route add table 10 2001:db8:9::/48 dev ipsec42
route add table 20 10.9.0.0/16 dev ipsec43
route add table 20 2001:db8:9::/48 dev ipsec43
"""

pe = Lazy(MGRE, VPN, LINKS)


def policy(local=PE1, remote=CE4, if_id=42, verb="add", more="", source=None, far=None, v6=False,
           reqid=None, extra="", template=True, direction="out"):
    """A line for `ip`."""
    source = source or ("::/0" if v6 else "0.0.0.0/0")
    far = far or ("2001:db8:9::/48" if v6 else "10.9.0.0/16")
    text = "xfrm policy %s src %s dst %s %s dir %s %s" % (verb, source, far, more, direction, extra)
    if template:
        text += " tmpl src %s dst %s proto esp reqid %d mode tunnel" % (
            local, remote, if_id if reqid is None else reqid)
    return text + (" if_id %d" % if_id if if_id else "")


def tunnel(suite=GCM, v6=False, if_id=42, spi=0x4200, reqid=None, flags="", **options):
    """The SA to the off-net site; any family inside."""
    more = options.pop("more", "")
    return Sa(suite, PE1_6 if v6 else PE1, CE6 if v6 else CE4, spi, seed=spi,
              reqid=if_id if reqid is None else reqid, mode="tunnel",
              more="flag af-unspec %s %s %s" % (flags, more, "if_id %d" % if_id if if_id else ""),
              **options)


def configure(*lines):
    pe().ip("\n".join(["xfrm policy flush", FLUSH, *lines]))


def both(v6, if_id=42):
    """Policies of both families inside, to the off-net site's address of one family."""
    local, remote = (PE1_6, CE6) if v6 else (PE1, CE4)
    return [policy(local, remote, if_id), policy(local, remote, if_id, v6=True)]


def outer(frame, sa, ttl=64, tos=0, df=True):
    """The ESP behind the outer header, which is exactly as expected."""
    v6 = ":" in sa.source
    at, router = (54, P2) if v6 else (34, P3)
    protocol = 17 if sa.natt else 50
    assert frame[:14] == bytes(Ether(src=port_mac(CORE), dst=router,
                                     type=0x86DD if v6 else 0x800)), frame[:14].hex()
    if v6:
        flow = struct.unpack("!I", frame[14:18])[0] & 0xFFFFF  # RFC 6438: any
        header = IPv6(src=sa.source, dst=sa.destination, nh=protocol, hlim=ttl, tc=tos, fl=flow,
                      plen=len(frame) - 54)
    else:
        header = IP(src=sa.source, dst=sa.destination, proto=protocol, ttl=ttl, tos=tos,
                    flags="DF" if df else 0, len=len(frame) - 14,
                    id=struct.unpack("!H", frame[18:20])[0])
    assert frame[14:at] == bytes(header), "%s instead of %s" % (
        frame[14:at].hex(), bytes(header).hex())
    if not sa.natt:
        return frame[at:]
    assert frame[at : at + 4] == struct.pack("!HH", *sa.natt), frame[at : at + 8].hex()
    return frame[at + 8 :]


def opened(frame, sa, number=None, **fields):
    """The packet inside."""
    esp = outer(frame, sa, **fields)
    got, _, payload, next_header = sa.payload(esp)
    assert number is None or got == number, "sequence number %d instead of %d" % (got, number)
    assert next_header == {4: 4, 6: 41}[payload[0] >> 4], "next header %d" % next_header
    scapy = sa.scapy()
    if scapy and ":" not in sa.source:
        whole = scapy.decrypt(IP(frame[14:]))
        assert bytes(whole.payload) == payload, "scapy: %s" % bytes(whole.payload).hex()
    return payload


def passes(packet, sa, number=None, port=RED, by=from_red, **fields):
    sent, drops = pe().exchange(port, by(packet))
    assert not drops and len(sent) == 1 and sent[0][0] == CORE, (drops, sent)
    fields.setdefault("df", packet.version == 6 or bool(packet.flags & 2))
    payload = opened(sent[0][1], sa, number, **fields)
    assert payload == bytes(hop(packet)), "%s instead of %s" % (
        payload.hex(), bytes(hop(packet)).hex())


def inner(v6, **fields):
    return udp6(destination=FAR6, **fields) if v6 else udp(destination=FAR4, **fields)


# ---- the outer packet ---------------------------------------------------------------------------


def test_every_algorithm():
    for suite, v6, natt in itertools.product(AEADS + PAIRS, (False, True), (None, NATT)):
        sa = tunnel(suite, v6, natt=natt)
        configure(*both(v6), sa.words())
        number = 0
        for inside6 in (False, True):
            for size in (0, 1, 2, 3, 40, 555, 1200):
                number += 1
                passes(inner(inside6, size=size), sa, number)


def test_outer_header():
    """TTL, DSCP, ECN and DF as RFC 4301 5.1.2.1 and RFC 6040 have them, by the SA's flags."""
    for v6, inside6 in itertools.product((False, True), repeat=2):
        for flags, extra in itertools.product(("", "noecn", "nopmtudisc"),
                                              ("", "extra-flag dont-encap-dscp")):
            sa = tunnel(v6=v6, flags=flags, more=extra)
            configure(*both(v6), sa.words())
            for tos, df, ttl in itertools.product((0, 1, 2, 3, 0xB8, 0xBA, 0xBB, 0xFF), (0, 1),
                                                  (2, 64, 255)):
                if inside6:
                    packet = udp6(destination=FAR6, tc=tos, hlim=ttl)
                else:
                    packet = udp(destination=FAR4, tos=tos, ttl=ttl, flags="DF" if df else 0)
                dscp = 0 if extra else tos & 0xFC
                ecn = 0 if flags == "noecn" else tos & 3
                try:
                    passes(packet, sa, tos=dscp | ecn,
                           df=flags != "nopmtudisc" and bool(df or inside6))
                except AssertionError as error:
                    raise AssertionError("outer %d inner %d %s %s tos %#x df %d: %s" % (
                        6 if v6 else 4, 6 if inside6 else 4, flags, extra, tos, df,
                        error)) from error


def test_ttl_ends_before():
    configure(*both(False), tunnel().words())
    packet = inner(False, ttl=1)
    sent, drops = pe().exchange(RED, from_red(packet))
    assert drops == {"ip-ttl": 1} and len(sent) == 1 and sent[0][0] == RED, (drops, sent)
    check4(sent[0][1][14:], packet, 11, 0, "10.1.0.1")


# ---- MTU ----------------------------------------------------------------------------------------


def largest(suite, v6, natt, mtu):
    """Counted by hand: outer IP, UDP, SPI and number, IV, text in blocks, ICV."""
    room = mtu - (40 if v6 else 20) - (8 if natt else 0) - 8 - suite.iv - suite.icv
    return room // suite.align * suite.align - 2


def test_mtu_is_exact():
    for mtu in (1500, 1497, 1400):
        pe().ip("link set core mtu %d" % mtu)
        try:
            for suite, v6, natt in itertools.product(KINDS, (False, True), (None, NATT)):
                sa = tunnel(suite, v6, natt=natt)
                configure(*both(v6), sa.words())
                most = largest(suite, v6, natt, mtu)
                what = (suite, v6, natt, mtu)
                passes(udp(destination=FAR4, size=most - 28, flags="DF"), sa)
                passes(udp6(destination=FAR6, size=most - 48), sa)
                over = udp(destination=FAR4, size=most - 27, flags="DF")
                sent, drops = pe().exchange(RED, from_red(over))
                assert drops == {"mtu-exceeded": 1} and len(sent) == 1, (what, drops)
                check4(sent[0][1][14:], over, 3, 4, "10.1.0.1", most)
                over = udp6(destination=FAR6, size=most - 47)
                sent, drops = pe().exchange(RED, from_red(over))
                assert drops == {"mtu-exceeded": 1} and len(sent) == 1, (what, drops)
                check6(sent[0][1][14:], over, 2, 0, "2001:db8:1::1", most)
        finally:
            pe().ip("link set core mtu 1500")


def test_mtu_of_the_interface():
    sa = tunnel()
    configure(*both(False), sa.words())
    pe().ip("link set ipsec42 mtu 1300")
    try:
        passes(udp(destination=FAR4, size=1272, flags="DF"), sa)
        over = udp(destination=FAR4, size=1273, flags="DF")
        sent, drops = pe().exchange(RED, from_red(over))
        assert drops == {"mtu-exceeded": 1}, drops
        check4(sent[0][1][14:], over, 3, 4, "10.1.0.1", 1300)
    finally:
        pe().ip("link set ipsec42 mtu 1500")


def test_fragments_before_encryption():
    """What is too big and may be cut is cut inside: each outer packet is whole (RFC 4303 3.3.4)."""
    for suite, v6 in itertools.product(KINDS, (False, True)):
        sa = tunnel(suite, v6)
        configure(*both(v6), sa.words())
        most = largest(suite, v6, None, 1500)
        packet = udp(destination=FAR4, size=most + 100, id=77)
        sent, drops = pe().exchange(RED, from_red(packet))
        assert not drops and len(sent) == 2, (suite, drops, len(sent))
        data = b""
        for n, (_, frame) in enumerate(sent):
            assert len(frame) - 14 <= 1500
            piece = IP(opened(frame, sa, n + 1, df=False))
            assert piece.frag * 8 == len(data) and piece.id == 77 and len(piece) <= most
            assert bool(piece.flags & 1) == (n < 1)
            data += bytes(piece.payload)
        assert data == bytes(packet.payload)


# ---- which SA -----------------------------------------------------------------------------------


def test_no_sa_and_one_acquire():
    configure(*both(False))
    monitor = Monitor(pe(), "acquire")
    for _ in range(3):
        frames = [from_red(inner(False)) for _ in range(20)]
        sent, drops = pe().exchange(RED, *frames)
        assert not sent and drops == {"sa-none": 20}, (drops, sent)
    said = monitor.text()
    assert said.count("acquire proto esp") == 1, said
    for words in ("sel src 0.0.0.0/0 dst 10.9.0.0/16", "policy src 0.0.0.0/0 dst 10.9.0.0/16",
                  "tmpl src %s dst %s" % (PE1, CE4), "reqid 42 mode tunnel", "if_id 0x2a"):
        assert words in said, (words, said)
    shown = pe().show("xfrm", "state")
    assert "src %s dst %s" % (PE1, CE4) in shown and "if_id 0x2a" in shown, shown
    sa = tunnel()
    pe().ip(sa.words())
    passes(inner(False), sa, 1)
    shown = pe().show("xfrm", "state")
    assert shown.count("proto esp") == 1, "the larva stays: " + shown


def test_only_what_the_template_asks_for():
    """Other reqid, if_id, mark, mode, SPI, addresses, selector: not this policy's."""
    for wrong in (tunnel(reqid=41), tunnel(if_id=43, reqid=42), tunnel(if_id=0, reqid=42),
                  tunnel(more="mark 7"),
                  tunnel(more="sel src 10.1.0.0/24 dst 10.9.1.0/24").words().replace(
                      "flag af-unspec", ""),
                  tunnel().words().replace("mode tunnel", "mode transport").replace(
                      "flag af-unspec", ""),
                  Sa(GCM, PE1, "203.0.113.10", 0x4200, reqid=42, mode="tunnel", more="if_id 42")):
        words = wrong if isinstance(wrong, str) else wrong.words()
        configure(*both(False), words)
        sent, drops = pe().exchange(RED, from_red(inner(False)))
        assert not sent and drops == {"sa-none": 1}, (words, drops, sent)
    sa = tunnel()
    configure(*both(False), tunnel(reqid=41, spi=0x4100).words(), sa.words())
    passes(inner(False), sa, 1)


def test_selector_of_the_sa():
    """Within its bounds an SA with a selector serves."""
    sa = tunnel(more="sel src 10.0.0.0/8 dst 10.0.0.0/8")
    configure(policy(source="10.1.0.0/24"), sa.words().replace("flag af-unspec", ""))
    passes(inner(False), sa, 1)


def test_rekey():
    """The newest SA takes over with the next packet, whatever its algorithm; the old one goes."""
    configure(*both(False))
    old = None
    for n, suite in enumerate(KINDS * 3):
        new = tunnel(suite, spi=0x5000 + n, natt=NATT if n % 3 == 2 else None)
        pe().ip(new.words())
        passes(inner(n % 2 == 1), new, 1)
        if old:
            pe().ip("xfrm state delete " + old.name())
        passes(inner(False), new, 2)
        old = new
    pe().ip("xfrm state delete " + old.name())
    pe().refuses(RED, from_red(inner(False)), "sa-none")


def test_rekey_many_times():
    configure(*both(False))
    old, lost = tunnel(spi=0x6000), 0
    pe().ip(old.words())
    for n in range(1, 200):
        new = tunnel(spi=0x6000 + n)
        pe().ip(new.words())
        pe().ip("xfrm state delete " + old.name())
        sent, drops = pe().exchange(RED, from_red(inner(False)))
        lost += sum(drops.values())
        assert len(sent) == 1 and opened(sent[0][1], new, 1, df=False), drops
        old = new
    assert lost == 0, lost


def test_expired():
    sa = tunnel(more="limit packet-hard 2")
    configure(*both(False), sa.words())
    passes(inner(False), sa, 1)
    passes(inner(False), sa, 2)
    for _ in range(30):
        pe().wait(100)
        sent, drops = pe().exchange(RED, from_red(inner(False)))
        if drops == {"sa-none": 1}:
            break
    assert not sent and drops == {"sa-none": 1}, (sent, drops)


# ---- which policy -------------------------------------------------------------------------------


def test_two_customers_one_peer():
    """The same prefixes in two VRFs, to the same address: each by its own SA."""
    red, blue = tunnel(), tunnel(if_id=43, spi=0x4300)
    configure(*both(False), *both(False, 43), red.words(), blue.words())
    for number in (1, 2):
        for v6 in (False, True):
            passes(inner(v6), red, 2 * number - (not v6))
            passes(inner(v6), blue, 2 * number - (not v6), port=BLUE, by=from_blue)
    pe().ip("xfrm state delete " + red.name())
    pe().refuses(RED, from_red(inner(False)), "sa-none")
    passes(inner(False), blue, 5, port=BLUE, by=from_blue)


def test_order():
    """Lower priority numbers first, among equals the older one."""
    one, two = tunnel(reqid=1, spi=0x4201), tunnel(reqid=2, spi=0x4202)
    configure(one.words(), two.words(), policy(reqid=1, extra="priority 20"))
    passes(inner(False), one)
    pe().ip(policy(reqid=2, extra="priority 10", far="10.9.0.0/24"))
    passes(inner(False), two)
    passes(udp(destination="10.9.1.2"), one)
    pe().ip(policy(reqid=2, extra="priority 20", far="10.9.0.0/24", verb="update"))
    passes(inner(False), one)
    pe().ip(policy(template=False, extra="priority 5 action block", more="proto udp dport 5678"))
    pe().refuses(RED, from_red(inner(False)), "policy-block")
    passes(inner(False, dport=5679), one)


def test_into_the_interface_or_not_at_all():
    """Without a policy, by a bypass, or by "use" without an SA, nothing leaves an interface."""
    configure(tunnel().words())
    pe().refuses(RED, from_red(inner(False)), "policy-none")
    pe().ip(policy(template=False))
    pe().refuses(RED, from_red(inner(False)), "policy-none")
    configure(policy().replace("mode tunnel", "mode tunnel level use"))
    pe().refuses(RED, from_red(inner(False)), "policy-none")
    sa = tunnel()
    pe().ip(sa.words())
    passes(inner(False), sa, 1)
    configure(policy(v6=True), sa.words())
    pe().refuses(RED, from_red(inner(False)), "policy-none")
    passes(inner(True), sa, 1)


def test_selectors():
    sa = tunnel()
    lines = [("proto udp dport 5678", udp(destination=FAR4), udp(destination=FAR4, dport=1)),
             ("proto udp sport 1234", udp(destination=FAR4), udp(destination=FAR4, sport=1)),
             ("proto tcp", IP(src="10.1.0.2", dst=FAR4) / TCP(dport=80), udp(destination=FAR4)),
             ("proto icmp type 8 code 0", IP(src="10.1.0.2", dst=FAR4) / ICMP(type=8),
              IP(src="10.1.0.2", dst=FAR4) / ICMP(type=13)),
             ("proto icmp type 3 code 1", IP(src="10.1.0.2", dst=FAR4) / ICMP(type=3, code=1),
              IP(src="10.1.0.2", dst=FAR4) / ICMP(type=3, code=2))]
    for words, selected, other in lines:
        configure(policy(more=words), sa.words())
        passes(IP(bytes(selected)), sa, 1)
        pe().refuses(RED, from_red(IP(bytes(other))), "policy-none")
    configure(policy(source="10.1.0.2/31"), sa.words())
    passes(inner(False, source="10.1.0.3"), sa, 1)
    pe().refuses(RED, from_red(inner(False, source="10.1.0.4")), "policy-none")


def test_policies_of_a_vrf():
    """Without an interface: what the VRF forwards, wherever its routes lead."""
    sa = tunnel(if_id=0, reqid=9)
    here = dict(if_id=0, reqid=9, far="10.2.0.0/16")
    configure(policy(more="dev red", extra="priority 30", **here), sa.words())
    passes(udp(), sa, 1)
    # blue's packets, and red's elsewhere, go as ever
    for port, packet in ((BLUE, from_blue(udp())), (RED, from_red(udp(destination="10.3.0.2")))):
        sent, drops = pe().exchange(port, packet)
        assert not drops and sent[0][1][23] == 47, (drops, sent)
    pe().ip(policy(more="dev red proto udp dport 53", template=False, extra="priority 10", **here))
    sent, drops = pe().exchange(RED, from_red(udp(dport=53)))
    assert not drops and sent[0][1][23] == 47, (drops, sent)
    pe().ip(policy(more="dev red proto udp dport 54", template=False,
                   extra="priority 10 action block", **here))
    pe().refuses(RED, from_red(udp(dport=54)), "policy-block")
    passes(udp(), sa, 2)
    pe().ip("xfrm state delete " + sa.name())
    pe().refuses(RED, from_red(udp()), "sa-none")
    configure()
    sent, drops = pe().exchange(RED, from_red(udp()))
    assert not drops and sent[0][1][23] == 47, (drops, sent)


# ---- what may change ----------------------------------------------------------------------------


def test_ways():
    """No route to the site, another one, none again: the packet follows, or is told."""
    sa = tunnel()
    configure(*both(False), sa.words())
    passes(inner(False), sa, 1)
    try:
        pe().ip("route del 203.0.113.0/24")
        sent, drops = pe().exchange(RED, from_red(inner(False)))
        assert drops == {"tunnel-no-route": 1}, drops
        check4(sent[0][1][14:], inner(False), 3, 0, "10.1.0.1")
        pe().ip("route add 203.0.113.0/24 via 192.0.2.2")
        sent, drops = pe().exchange(RED, from_red(inner(False)))
        assert not drops and sent[0][1][:6] == bytes.fromhex(P2.replace(":", "")), drops
        pe().ip("route add 203.0.113.9/32 dev ipsec42")
        sent, drops = pe().exchange(RED, from_red(inner(False)))
        assert drops == {"tunnel-no-route": 1}, drops
    finally:
        pe().ip("route replace 203.0.113.0/24 via 192.0.2.3\nroute del 203.0.113.9/32")
    passes(inner(False), sa, 3)


def test_link_down_and_up():
    sa = tunnel()
    configure(*both(False), sa.words())
    pe().ip("link set ipsec42 down")
    try:
        sent, drops = pe().exchange(RED, from_red(inner(False)))
        assert drops == {"route-none": 1}, drops
        # a backup takes over
        pe().ip("route add table 10 10.9.0.0/16 encap mpls 100 via 172.16.0.2 dev mgre0 metric 50")
        sent, drops = pe().exchange(RED, from_red(inner(False)))
        assert not drops and sent[0][1][23] == 47, drops
    finally:
        pe().ip("link set ipsec42 up")
    passes(inner(False), sa, 1)
    pe().ip("route del table 10 10.9.0.0/16 metric 50")


def test_multipath():
    """Two sites behind a multipath route: flows spread, and go on by the other when one is down."""
    one, two = tunnel(), tunnel(if_id=44, spi=0x4400)
    pe().ip("link add ipsec44 type xfrm if_id 44\nlink set ipsec44 master red\n"
            "link set ipsec44 up\nroute add table 10 10.50.0.0/16 nexthop dev ipsec42 "
            "nexthop dev ipsec44")
    configure(policy(far="10.50.0.0/16"), policy(if_id=44, far="10.50.0.0/16"),
              one.words(), two.words())
    frames = [from_red(udp(destination="10.50.0.2", sport=5000 + n)) for n in range(64)]
    try:
        sent, drops = pe().exchange(RED, *frames)
        spis = [struct.unpack("!I", frame[34:38])[0] for _, frame in sent]
        assert not drops and len(spis) == 64, drops
        assert 12 < spis.count(one.spi) < 52 and spis.count(two.spi) == 64 - spis.count(one.spi)
        pe().ip("link set ipsec44 down")
        sent, drops = pe().exchange(RED, *frames)
        spis = [struct.unpack("!I", frame[34:38])[0] for _, frame in sent]
        assert not drops and spis == [one.spi] * 64, (drops, spis)
    finally:
        pe().ip("route del table 10 10.50.0.0/16\nlink del ipsec44")


def test_vti():
    """By mark: the policies and SAs with the link's key."""
    sa = tunnel(if_id=0, reqid=8, spi=0x4700, more="mark 7")
    pe().ip("link add vti7 type vti local %s remote %s key 7\nlink set vti7 master blue\n"
            "link set vti7 up\nroute add table 20 10.70.0.0/16 dev vti7" % (PE1, CE4))
    packet = udp(destination="10.70.0.2")
    try:
        configure(tunnel(if_id=0, reqid=8, spi=0x4701, more="mark 9").words(),
                  policy(if_id=0, reqid=8, far="10.70.0.0/16", extra="mark 7"))
        pe().refuses(BLUE, from_blue(packet), "sa-none")
        pe().ip(sa.words())
        passes(packet, sa, port=BLUE, by=from_blue)
        pe().ip(policy(if_id=0, reqid=8, far="10.70.0.0/16", extra="mark 8"))
        pe().ip("xfrm policy delete src 0.0.0.0/0 dst 10.70.0.0/16 dir out mark 7")
        pe().refuses(BLUE, from_blue(packet), "policy-none")
    finally:
        pe().ip("link del vti7")


def test_links_come_and_go():
    """An interface that is made after its policies and SAs has them; another VRF's is another."""
    sa = tunnel(if_id=44, spi=0x4400)
    configure(policy(if_id=44), sa.words())
    pe().ip("link add ipsec44 type xfrm if_id 44\nlink set ipsec44 up\n"
            "link set ipsec44 master red\nroute add table 10 10.44.0.0/16 dev ipsec44")
    pe().ip(policy(if_id=44, far="10.44.0.0/16"))
    packet = udp(destination="10.44.0.2")
    try:
        passes(packet, sa, 1)
        pe().ip("link set ipsec44 type xfrm if_id 45")
        pe().refuses(RED, from_red(packet), "policy-none")
        pe().ip("link set ipsec44 type xfrm if_id 44")
        passes(packet, sa, 2)
    except Refused:
        pass  # Linux does not change the number of an interface either
    pe().ip("link del ipsec44")
    sent, drops = pe().exchange(RED, from_red(packet))
    assert drops == {"route-none": 1}, drops
    pe().ip("link add ipsec44 type xfrm if_id 44\nlink set ipsec44 up\n"
            "link set ipsec44 master blue\nroute add table 20 10.44.0.0/16 dev ipsec44")
    sent, drops = pe().exchange(RED, from_red(packet))
    assert drops == {"route-none": 1}, drops
    passes(packet, sa, port=BLUE, by=from_blue)
    pe().ip("link del ipsec44")


def test_a_device_that_goes():
    """Its policies do not become those of who gets its number next."""
    pe().ip("link add green type vrf table 30\nlink set green up")
    configure(policy(more="dev green", if_id=0, reqid=9, far="0.0.0.0/0"))
    pe().ip("link del green\nlink add grey type vrf table 31\nlink set grey up\n"
            "link set blue0 master grey\naddr replace 10.1.0.1/24 dev blue0\n"
            "route add table 31 10.2.0.0/16 encap mpls 101 via 172.16.0.2 dev mgre0")
    try:
        sent, drops = pe().exchange(BLUE, from_blue(udp()))
        assert not drops and sent[0][1][23] == 47, (drops, sent)
    finally:
        pe().ip("link set blue0 master blue\nlink del grey")
        configure()


def test_front_door():
    """Outer packets are routed in the VRF of the interface's `dev`."""
    sa = tunnel(if_id=46, spi=0x4600)
    pe().ip("link add front type vrf table 40\nlink set front up\nlink set core2 master front\n"
            "addr add 198.51.100.1/24 dev core2\n"
            "neigh add 198.51.100.2 lladdr %s dev core2 nud permanent\n"
            "route add table 40 203.0.113.0/24 via 198.51.100.2\n"
            "link add ipsec46 type xfrm dev core2 if_id 46\nlink set ipsec46 master red\n"
            "link set ipsec46 up\nroute add table 10 10.46.0.0/16 dev ipsec46" % P2)
    configure(policy(if_id=46, far="10.46.0.0/16"), sa.words())
    try:
        sent, drops = pe().exchange(RED, from_red(udp(destination="10.46.0.2")))
        assert not drops and len(sent) == 1 and sent[0][0] == CORE2, (drops, sent)
        assert sent[0][1][:6] == bytes.fromhex(P2.replace(":", ""))
        pe().ip("link set core2 nomaster\naddr replace 198.51.100.1/24 dev core2")
        passes(udp(destination="10.46.0.2"), sa, 2)  # by the default VRF's route
    finally:
        pe().ip("link del ipsec46\nlink set core2 nomaster\nlink del front")


def test_to_a_site_and_to_a_remote_pe():
    """Routes in the same VRF: off-net by ESP, on-net by label; policies do not touch the latter."""
    sa = tunnel()
    configure(*both(False), sa.words())
    sent, drops = pe().exchange(RED, from_red(udp()), from_red(inner(False)))
    assert not drops and sorted(f[1][23] for f in sent) == [47, 50], (drops, sent)


def test_from_a_site_to_a_remote_pe():
    """One pass: ESP in tunnel mode in, a label in sealed GRE out; and from one site to another."""
    site, peer = tunnel(), GRE4.sas(spi=0x8800)[1]
    back = Sa(GCM, CE4, PE1, 0x4300, reqid=42, mode="tunnel", seed=3,
              more="flag af-unspec if_id 42")
    configure(*both(False), policy(CE4, PE1, source="10.9.0.0/16", far="0.0.0.0/0",
                                   direction="in"),
              site.words(), back.words(), peer.words(), GRE4.policies())
    inside = udp("10.9.0.2", "10.2.0.2")
    frame = from_core(back.packet(inside, 1, 4), P3)
    sent, drops = pe().exchange(CORE, frame)
    assert not drops and len(sent) == 1 and sent[0][0] == CORE, (drops, sent)
    assert IP(sent[0][1][14:34]).dst == PE2
    assert peer.payload(sent[0][1][34:])[2] == GRE4.inside(hop(inside))
    # too big for label, GRE and ESP: the site's host is told, and the message is sealed
    most = (1500 - 20 - 8 - 8 - 16) // 4 * 4 - 2 - 4 - 4
    over = udp("10.9.0.2", "10.2.0.2", size=most - 27, flags="DF")
    sent, drops = pe().exchange(CORE, from_core(back.packet(over, 2, 4), P3))
    assert drops == {"mtu-exceeded": 1} and len(sent) == 1, (drops, sent)
    told = IP(opened(sent[0][1], site, 1, df=bool(sent[0][1][20] & 0x40), tos=sent[0][1][15]))
    assert (told.dst, told[ICMP].type, told[ICMP].code, told[ICMP].nexthopmtu) == (
        "10.9.0.2", 3, 4, most), told.summary()
    # another site of the VRF
    other = Sa(GCM, PE1, "203.0.113.10", 0x4900, reqid=49, mode="tunnel", seed=5, more="if_id 42")
    pe().ip(other.words() + "\n" + policy(remote="203.0.113.10", reqid=49, far="10.9.128.0/17",
                                          extra="priority 0", verb="update"))
    pe().ip(policy(verb="update", extra="priority 9"))
    inside = udp("10.9.0.2", "10.9.129.2")
    sent, drops = pe().exchange(CORE, from_core(back.packet(inside, 3, 4), P3))
    assert not drops and len(sent) == 1, (drops, sent)
    assert opened(sent[0][1], other, 1, df=False) == bytes(hop(inside))


def labelled(packet, value=210, ttl=255, **fields):
    return from_core(gre_from(label(value, packet, ttl=ttl, **fields)))


def told(packet, **fields):
    """What a remote PE's site hears, through the tunnel and with its label: the ICMP error."""
    sent, drops = pe().exchange(CORE, labelled(packet, **fields))
    assert sum(drops.values()) == 1 and len(sent) == 1 and sent[0][0] == CORE, (drops, sent)
    frame = sent[0][1]
    at = 14 + 20 + 4
    assert frame[23] == 47 and struct.unpack("!I", frame[at : at + 4])[0] >> 12 == 100, frame.hex()
    return drops, frame[at + 4 :]


def test_label_into_the_interface():
    """A label that a remote PE has for one site leads straight into its interface."""
    sa = tunnel()
    configure(*both(False), sa.words())
    pe().ip("mpls route add 210 dev ipsec42")
    elsewhere = udp("10.2.0.2", "10.77.0.2")  # the VRF has no route for it
    try:
        for packet in (udp("10.2.0.2", FAR4), udp6("2001:db8:2::2", FAR6)):
            passes(packet, sa, by=labelled, port=CORE)
        pe().refuses(CORE, labelled(elsewhere), "policy-none")
        pe().ip(policy(far="10.77.0.0/16"))
        passes(elsewhere, sa, by=labelled, port=CORE)
        # TTL: the packet's own, and the label's.
        assert "ip-ttl" in told(udp("10.2.0.2", FAR4, ttl=1))[0]
        drops, error = told(udp("10.2.0.2", FAR4, ttl=9), ttl=1)
        assert "mpls-ttl" in drops, drops
        check4(error, udp("10.2.0.2", FAR4, ttl=9), 11, 0, "10.1.0.1", labels=[210 << 12 | 0x101])
        # As large as the way of the ESP takes, and no larger.
        most = largest(GCM, False, None, 1500)
        whole = udp("10.2.0.2", FAR4, size=most - 28, flags="DF")
        passes(whole, sa, by=labelled, port=CORE)
        over = udp("10.2.0.2", FAR4, size=most - 27, flags="DF")
        drops, error = told(over)
        assert drops == {"mtu-exceeded": 1}, drops
        check4(error, over, 3, 4, "10.1.0.1", most)
        # It is one packet's label: another below it, or one in its place, is not for the site.
        pe().refuses(CORE, labelled(label(300, udp("10.2.0.2", FAR4)), s=0), "route-unreachable")
        # Without an SA nothing leaves, and nothing does while the interface is down.
        pe().ip(FLUSH)
        pe().refuses(CORE, labelled(udp("10.2.0.2", FAR4)), "sa-none")
        pe().ip("link set ipsec42 down")
        pe().refuses(CORE, labelled(udp("10.2.0.2", FAR4)), "route-unreachable")
        pe().ip("link set ipsec42 up\n" + sa.words())
        # The VRF's own policies come first, and with them its routes.
        pe().ip("xfrm policy add src 10.2.0.0/16 dst 10.9.0.0/16 dev red dir fwd action block")
        pe().refuses(CORE, labelled(udp("10.2.0.2", FAR4)), "policy-block")
    finally:
        configure()
        pe().ip("link set ipsec42 up\nmpls route delete 210")


def stage_packets(name):
    stages = json.loads(pe().ctl("-j", "show", "-a", "stages"))
    return sum(stage["packets"] for stage in stages if stage["stage"] == name)


def through_policy(packet, by=from_red, port=RED):
    """Whether stage `policy` sees it on its way."""
    before = stage_packets("policy")
    pe().exchange(port, by(packet))
    return stage_packets("policy") > before


def test_any_to_any():
    """One SA for all that goes into the interface: it is known without asking, and all else holds."""
    sa = tunnel()
    every = dict(source="0.0.0.0/0", far="0.0.0.0/0")
    configure(policy(**every), sa.words())
    packet = udp(destination=FAR4)
    passes(packet, sa, 1)
    assert not through_policy(packet)
    pe().refuses(RED, from_red(udp6(destination=FAR6)), "policy-none")  # of the other family nothing is said
    most = largest(GCM, False, None, 1500)
    passes(udp(destination=FAR4, size=most - 28, flags="DF"), sa)
    over = udp(destination=FAR4, size=most - 27, flags="DF")
    sent, drops = pe().exchange(RED, from_red(over))
    assert drops == {"mtu-exceeded": 1}, drops
    check4(sent[0][1][14:], over, 3, 4, "10.1.0.1", most)
    sent, drops = pe().exchange(RED, from_red(udp(destination=FAR4, size=most + 40)))
    assert not drops and len(sent) == 2 and all(len(frame) <= 1514 for _, frame in sent), drops
    sent, drops = pe().exchange(RED, from_red(udp(destination=FAR4, ttl=1)))
    assert drops == {"ip-ttl": 1}, drops
    check4(sent[0][1][14:], udp(destination=FAR4, ttl=1), 11, 0, "10.1.0.1")
    # Policies that change are met at once.
    pe().ip(policy(far="10.9.0.2/32", extra="action block priority 0", template=False))
    pe().ip(policy(extra="priority 9", verb="update", **every))
    pe().refuses(RED, from_red(packet), "policy-block")
    passes(udp(destination="10.9.0.3"), sa)
    assert through_policy(udp(destination="10.9.0.3"))
    pe().ip(policy(far="10.9.0.2/32", verb="delete", template=False))
    passes(packet, sa)
    assert not through_policy(packet)
    # The VRF's own come first, and its default leaves the interface to its own.
    pe().ip("xfrm policy setdefault out block")
    try:
        passes(packet, sa)
        pe().ip("xfrm policy add src 0.0.0.0/0 dst 10.9.0.0/16 dev red dir out action block")
        pe().refuses(RED, from_red(packet), "policy-block")
    finally:
        pe().ip("xfrm policy setdefault out accept")
    pe().ip("xfrm policy delete src 0.0.0.0/0 dst 10.9.0.0/16 dev red dir out\n" + FLUSH)
    monitor = Monitor(pe(), "acquire")
    for _ in range(2):
        pe().refuses(RED, from_red(packet), "sa-none")
    said = monitor.text()
    assert said.count("acquire proto esp") == 1, said
    again = tunnel(spi=0x4277)
    pe().ip(again.words())
    passes(packet, again, 1)
    pe().ip("link set ipsec42 down")
    sent, drops = pe().exchange(RED, from_red(packet))
    assert sum(drops.values()) == 1 and all(port == RED for port, _ in sent), (drops, sent)
    pe().ip("link set ipsec42 up\nxfrm policy flush")
    pe().refuses(RED, from_red(packet), "policy-none")
    configure()


def test_label_of_several():
    """Its next hops are the interface and a remote PE: each flow has its own."""
    sa = tunnel()
    configure(*both(False), sa.words())
    pe().ip("mpls route add 211 nexthop dev ipsec42 nexthop via inet 172.16.0.3 dev mgre0")
    ways = set()
    try:
        for flow in range(40):
            sent, drops = pe().exchange(CORE, labelled(udp("10.2.0.2", FAR4, sport=flow), 211))
            assert not drops and len(sent) == 1, drops
            ways.add(sent[0][1][23])
        assert ways == {47, 50}, ways
    finally:
        configure()
        pe().ip("mpls route delete 211")


# ---- reverse routes -----------------------------------------------------------------------------


def routes(table=10):
    return [line.strip() for line in pe().show("route", "show", "table", str(table)).splitlines()
            if "proto 114" in line]


def test_reverse_routes():
    sa = tunnel()
    far = ["10.91.0.0/16", "10.92.0.0/16", "10.91.0.0/16"]
    configure(sa.words(), *[policy(far=f, more="proto %d" % (6 + 11 * (n > 1)))
                            for n, f in enumerate(far)])
    assert routes() == []
    pe().refuses_route = None
    monitor = subprocess.Popen(pe().runner + ["ip", "monitor", "route"], text=True,
                               stdout=subprocess.PIPE)
    pe().wait(300)
    pe().ctl("link", "ipsec42", "reverse-route", "on")
    pe().wait(200)
    monitor.terminate()
    said = monitor.communicate(timeout=10)[0]
    try:
        assert re.findall(r"10.9[12].0.0/16 dev ipsec42 table 10 proto 114", said) == [
            "10.9%d.0.0/16 dev ipsec42 table 10 proto 114" % n for n in (1, 2)], said
        assert routes() == ["10.91.0.0/16 dev ipsec42 proto 114 scope link",
                            "10.92.0.0/16 dev ipsec42 proto 114 scope link"], routes()
        passes(udp(destination="10.91.0.2"), sa, 1)
        pe().ip(policy(far="10.91.0.0/16", more="proto 6", verb="delete").split(" tmpl")[0]
                + " if_id 42")
        assert len(routes()) == 2, routes()
        pe().ip(policy(far="10.91.0.0/16", more="proto 17", verb="delete").split(" tmpl")[0]
                + " if_id 42")
        assert routes() == ["10.92.0.0/16 dev ipsec42 proto 114 scope link"], routes()
        pe().ip("link set ipsec42 master blue")
        assert routes() == [] and len(routes(20)) == 1, (routes(), routes(20))
        pe().ip("link set ipsec42 master red")
        assert len(routes()) == 1 and routes(20) == [], (routes(), routes(20))
        pe().ip(policy(far="10.93.0.0/16"))
        assert len(routes()) == 2, routes()
    finally:
        pe().ctl("link", "ipsec42", "reverse-route", "off")
    assert routes() == [], routes()
    # by a policy's own flag
    pe().ip(policy(far="10.94.0.0/16", extra="flag 0x80"))
    assert routes() == ["10.94.0.0/16 dev ipsec42 proto 114 scope link"], routes()
    # another interface of the VRF waits for its turn
    pe().ip("link set ipsec43 master red\n" + policy(far="10.94.0.0/16", if_id=43,
                                                      extra="flag 0x80"))
    assert routes() == ["10.94.0.0/16 dev ipsec42 proto 114 scope link"], routes()
    pe().ip(policy(far="10.94.0.0/16", verb="delete").split(" tmpl")[0] + " if_id 42")
    assert routes() == ["10.94.0.0/16 dev ipsec43 proto 114 scope link"], routes()
    pe().ip("link set ipsec43 master blue")
    configure()
    assert routes() == [] and routes(20) == []
    pe().ip("route replace table 20 10.9.0.0/16 dev ipsec43\n"
            "route replace table 20 2001:db8:9::/48 dev ipsec43\n"
            "route replace table 10 10.9.0.0/16 dev ipsec42\n"
            "route replace table 10 2001:db8:9::/48 dev ipsec42")


def test_shown():
    sa = tunnel()
    configure(*both(False), sa.words(), policy(more="dev red", if_id=0, reqid=9))
    shown = pe().ctl("show", "policies")
    assert re.search(r"dst 10.9.0.0/16 .*\n +dev ipsec42 vrf red local 10.255.0.1 remote %s "
                     r"spi 0x00004200" % re.escape(CE4), shown), shown
    assert re.search(r"dst 10.9.0.0/16 .*\n +vrf red local", shown), shown


if __name__ == "__main__":
    main(sys.modules[__name__])
