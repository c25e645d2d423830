# SPDX-License-Identifier: BSD-3-Clause
"""SAs in tunnel mode, inward: what an off-net site sends reaches the VRF of its SA's interface, and
nothing else does. The other end is scapy's SecurityAssociation with a tunnel header.
"""

import itertools
import random
import sys

from scapy.layers.inet import fragment
from scapy.layers.ipsec import ESP, SecurityAssociation

from ipsec import HMACS, KINDS, GCM, TUNNELS, Sa, Suite, from_core, statistics
from pewter import Refused, main
from topology import (CORE, CORE2, GRE, ICMP, IP, P2, P3, PE1, PE1_6, RED, STARTED, TCP, UDP,
                      Ether, IPv6, Lazy, Raw, hop, label, port_mac, to_blue, to_core, to_red, udp,
                      udp6)

SITE, SITE6 = "203.0.113.7", "2001:db8:203::7"  # the sites' public addresses
OTHER = "203.0.113.8"
HOST, HOST6 = "10.66.0.9", "2001:db8:66::9"  # inside the site, the same in every VPN
HERE, HERE6 = "10.1.0.2", "2001:db8:1::2"
NATT = (4500, 4500)

LINKS = """
link add ipsec42 type xfrm if_id 42
link add ipsec43 type xfrm if_id 43
link add vti7 type vti local 10.255.0.1 remote 203.0.113.7 key 7
link add vti8 type vti6 local 2001:db8:ff::1 remote 2001:db8:203::7 ikey 8 okey 9
link set ipsec42 master red
link set ipsec43 master blue
link set vti7 master blue
link set vti8 master red
link set ipsec42 up
link set ipsec43 up
link set vti7 up
link set vti8 up
"""


def policies(scope, reqid, pairs=((SITE, PE1), (SITE6, PE1_6)), verb="add", what=None,
             priority=100):
    """Inward, for the site's prefixes, both families, in tunnels between each pair."""
    lines = []
    for n, (remote, local) in enumerate(pairs):
        for source, destination in what or (("10.66.0.0/16", "10.1.0.0/16"),
                                            ("2001:db8:66::/48", "2001:db8:1::/48")):
            words = (scope, "dir in") if scope.startswith("dev") else ("dir in", scope)
            line = "xfrm policy %s src %s dst %s %s %s" % (verb, source, destination, *words)
            if verb != "delete":
                line += " priority %d tmpl src %s dst %s proto esp reqid %d mode tunnel" % (
                    priority + n, remote, local, reqid)
            lines.append(line)
    return "\n".join(lines)


pe = Lazy(TUNNELS, LINKS,
          policies("if_id 42", 42, ((SITE, PE1),)),
          policies("if_id 43", 43, ((SITE, PE1),)),
          policies("mark 7 mask 0xffffffff", 7, ((SITE, PE1),)),
          policies("mark 8 mask 0xffffffff", 8, ((SITE6, PE1_6),)), exact=True)


class Site:
    """An off-net site with a fresh SA to the PE; its sequence numbers go up by themselves."""

    spis = itertools.count(0x5000)

    def __init__(self, scope="if_id 42", reqid=42, suite=GCM, v6=False, both=True, flags="",
                 source=None, local=None, number=0, **options):
        self.number = number
        pair = (SITE6, PE1_6) if v6 else (SITE, PE1)
        spi = next(self.spis)
        flags = ["af-unspec"] * both + flags.split()
        more = scope + (" flag " + " flag ".join(flags) if flags else "")
        self.sa = Sa(suite, source or pair[0], local or pair[1], spi, reqid=reqid, seed=spi,
                     mode="tunnel", more=more + " " + options.pop("more", ""), **options)
        pe().ip(self.sa.words())

    def frame(self, inner, next_header=None, router=P2, port=CORE, **fields):
        """By the primitives."""
        self.number += 1
        inner = bytes(inner)
        if next_header is None:
            next_header = 41 if inner[0] >> 4 == 6 else 4
        options = {name: fields.pop(name) for name in ("hidden", "iv") if name in fields}
        packet = self.sa.packet(inner, self.number, next_header, **options, **fields)
        return Ether(src=router, dst=port_mac(port)) / packet

    def scapy(self, inner, **fields):
        """By scapy, or None."""
        sa, suite = self.sa, self.sa.suite
        if not suite.scapy or (sa.esn and suite.auth):
            return None
        self.number += 1
        there = SecurityAssociation(
            ESP, spi=sa.spi, crypt_algo=suite.scapy, crypt_key=sa.key,
            auth_algo=HMACS[suite.auth][4] if suite.auth else None,
            auth_key=sa.auth_key if suite.auth else None, tunnel_header=sa.outer(50, **fields),
            nat_t_header=UDP(sport=sa.natt[0], dport=sa.natt[1]) if sa.natt else None,
            esn_en=sa.esn, esn=self.number >> 32)
        there.seq_num = low = self.number & 0xFFFFFFFF
        packet = there.encrypt(inner, seq_num=low)
        if sa.natt:  # it counts UDP's length and checksum before ESP is there
            packet[UDP].len = None
            packet[UDP].chksum = None if ":" in sa.source else 0
        return from_core(packet)

    def delete(self):
        pe().ip("xfrm state delete " + self.sa.name() + " " + self.mark())

    def mark(self):
        words = self.sa.more.split()
        return " ".join(words[words.index("mark"):][:4]) if "mark" in words else ""


def inside4(size=40, **fields):
    return udp(HOST, HERE, size=size, **fields)


def inside6(size=40, **fields):
    return udp6(HOST6, HERE6, size=size, **fields)


def exercise(site, sizes, to=to_red):
    for make in (inside4, inside6):  # each in one burst; the two families are not kept in order
        frames, wanted = [], []
        for packet in map(make, sizes):
            made = [frame for frame in (site.frame(packet), site.scapy(packet)) if frame]
            frames += made
            wanted += [to(hop(packet))] * len(made)
        sent, drops = pe().exchange(CORE, *frames)
        assert not drops, "%s: %s" % (site.sa.suite, drops)
        assert sent == wanted, "%s: %d of %d packets" % (site.sa.suite, len(sent), len(wanted))


# ---- links ---------------------------------------------------------------------------------------


def test_links():
    """`ip -d link` reads as on Linux; what Linux refuses is refused, in words."""
    pe().ip("link add la type xfrm dev core if_id 0x99\n"
            "link add lb type vti local 10.255.0.1 remote 203.0.113.9 ikey 90 okey 91\n"
            "link add lc type vti6 local 2001:db8:ff::1 remote 2001:db8:203::9 key 92 dev core")
    for name, words in (
            ("la", ("la@core: <NOARP>", "link/none ", "mtu 1500", "xfrm if_id 0x99 ")),
            ("lb", ("lb@NONE: <POINTOPOINT,NOARP>", "mtu 1480", "link/ipip 10.255.0.1 peer 203.0.113.9",
                    "vti remote 203.0.113.9 local 10.255.0.1 ikey 0.0.0.90 okey 0.0.0.91")),
            ("lc", ("lc@core: <POINTOPOINT,NOARP>", "link/tunnel6", "dev core ikey 0.0.0.92"))):
        shown = pe().show("-d", "link", "show", "dev", name)
        for word in words:
            assert word in shown, (word, shown)
    for line, words in (
            ("link add lx type xfrm if_id 0x99", "la has if_id 0x99"),
            ("link add lx type xfrm if_id 98 dev la", "la is a tunnel"),
            ("link add lx type xfrm external", "collect metadata"),
            ("link add lx type vti local 10.255.0.1 remote 203.0.113.9 key 95", "lb has the same ends"),
            ("link add lx type vti local 10.255.0.1 remote 203.0.113.5 ikey 90 okey 1",
             "lb has the same"),
            ("link add lx type vti local 10.255.0.1 remote 203.0.113.5", "needs a key each way"),
            ("link add lx type vti local 10.255.0.1 remote 203.0.113.5 ikey 1", "a key each way"),
            ("link add lx type vti local 10.255.0.1 remote 224.0.0.5 key 1", "must be unicast"),
            ("link add lx type vti local 10.255.0.1 remote 10.255.0.1 key 1", "same address"),
            ("link add lx type vti local 10.255.0.1 key 1 fwmark 5", "fwmark is not supported"),
            ("link set la type xfrm dev core2 if_id 0x99", "(dev) of la cannot change"),
            ("link set la type xfrm if_id 0x99", "(dev) of la cannot change"),
            ("link set la type vti key 7", "cannot change"),
            ("link set la master la", "no VRF, so no master"),
            ("link set la mtu 65536", "greater than the device maximum"),
            ("route add table 10 10.91.0.0/16 encap mpls 700 dev la", "is not up")):
        try:
            pe().ip(line)
        except Refused as refused:
            assert words in str(refused), (line, refused)
        else:
            raise AssertionError(line + " was taken")
    pe().ip("link set la up\nroute add table 10 10.91.0.0/16 dev la\n"
            "link set lb type vti local 10.255.0.1 remote 203.0.113.10 ikey 90 okey 93")
    try:
        pe().ip("route add table 10 10.92.0.0/16 encap mpls 700 dev la")
    except Refused as refused:
        assert "without labels" in str(refused), refused
    else:
        raise AssertionError("a label into an IPsec interface")
    assert "10.91.0.0/16 dev la" in pe().show("route", "show", "table", "10")
    pe().ip("link delete la\nlink delete lb\nlink delete lc")
    assert "10.91.0.0/16" not in pe().show("route", "show", "table", "10")


# ---- in ------------------------------------------------------------------------------------------


def allow_ipv6_outside():
    """The same selectors in tunnels between the IPv6 addresses: an SPD of its own."""
    pe().ip("link add ipsec46 type xfrm if_id 46\nlink set ipsec46 master red\n"
            "link set ipsec46 up\n" + policies("if_id 46", 46, ((SITE6, PE1_6),)))


def test_families_and_algorithms():
    allow_ipv6_outside()
    for suite in KINDS:
        exercise(Site(suite=suite), (0, 1, 2, 3, 40, 555, 1300))
        exercise(Site("if_id 46", 46, suite=suite, v6=True), (0, 1, 2, 3, 40, 555, 1300))


def test_extended_numbers():
    """Across 2^32."""
    for suite in KINDS:
        exercise(Site(suite=suite, esn=True, number=0xFFFFFFF7,
                      more="replay-seq 0xfffffff7"), (0, 1, 40, 555, 1300))


def test_in_udp():
    for suite in (GCM, Suite("cbc", 128, "sha256")):
        exercise(Site(suite=suite, natt=NATT), (0, 1, 40, 1300))
        exercise(Site("if_id 46", 46, suite=suite, natt=NATT, v6=True), (0, 1, 40, 1300))


def test_nat_that_moves():
    """RFC 3948: the site's public address changes; what its SA protects is still its."""
    site = Site(natt=NATT, more="")
    pe().expect(CORE, site.frame(inside4()), [to_red(hop(inside4()))])
    site.number += 1
    text = site.sa.trailer(bytes(inside4()), 4)
    esp = site.sa.seal(text, site.number)
    moved = IP(src="198.51.100.77", dst=PE1) / UDP(sport=1025, dport=4500, chksum=0) / Raw(esp)
    pe().expect(CORE, from_core(moved), [to_red(hop(inside4()))])
    site.delete()


def test_whose_vpn():
    """The same packet by SAs to one public address: each into its own VRF, and no other."""
    sites = ((Site(), to_red, "ipsec42"), (Site("if_id 43", 43), to_blue, "ipsec43"),
             (Site("mark 7 mask 0xffffffff", 7), to_blue, "vti7"),
             (Site("mark 8 mask 0xffffffff", 8, v6=True), to_red, "vti8"))
    for site, to, _ in sites + sites[::-1]:
        pe().expect(CORE, site.frame(inside4()), [to(hop(inside4()))])
        pe().expect(CORE, site.frame(inside6()), [to(hop(inside6()))])
    frames, wanted = [], []
    for n in range(64):  # in one burst, mixed
        site, to, _ = sites[n * 7 % 4]
        packet = (inside4, inside6)[n & 1](size=n)
        frames.append(site.frame(packet))
        wanted.append(to(hop(packet)))
    sent, drops = pe().exchange(CORE, *frames)
    assert not drops and sorted(sent) == sorted(wanted), drops
    for site, _, _ in sites:
        site.delete()


def test_counters():
    index = int(pe().show("-o", "link", "show", "ipsec42").split(":")[0])
    before = pe().counters()["interfaces"].get(index, (0, 0, 0, 0))
    site = Site()
    packets = [inside4(size=n) for n in (0, 100, 1000)]
    pe().exchange(CORE, *[site.frame(packet) for packet in packets])
    after = pe().counters()["interfaces"][index]
    total = sum(len(packet) for packet in packets)
    assert (after[0] - before[0], after[1] - before[1]) == (3, total), (before, after)
    said = statistics(pe(), site.sa)
    assert said == {"packets": 3, "bytes": total, "replay": 0, "failed": 0}, said


def test_shown():
    """pewterctl: mode, and where it leads."""
    site, lost = Site(), Site("if_id 77", 77)
    lines = pe().ctl("show", "sas").splitlines()
    for sa, wanted in ((site.sa, "inside dev ipsec42 vrf red"), (lost.sa, "inside nowhere")):
        at = next(n for n, line in enumerate(lines) if "spi 0x%08x in" % sa.spi in line)
        assert "mode tunnel" in lines[at + 1] and wanted in lines[at + 1], lines[at:at + 2]
    shown = pe().show("xfrm", "state", "get", *site.sa.name().split())
    for words in ("mode tunnel", "if_id 0x2a", "flag af-unspec"):
        assert words in shown, shown
    lost.delete()


def test_rekey():
    """Both SAs of a rekey are taken until the old one is deleted."""
    old, new = Site(), Site()
    for site in (old, new, old, new):
        pe().expect(CORE, site.frame(inside4()), [to_red(hop(inside4()))])
    old.delete()
    pe().refuses(CORE, old.frame(inside4()), "esp-spi")
    pe().expect(CORE, new.frame(inside4()), [to_red(hop(inside4()))])
    pe().refuses(CORE, new.sa and from_core(new.sa.packet(bytes(inside4()), new.number, 4)),
                 "esp-replay")


def test_updated():
    """XFRM_MSG_UPDSA gives an SA another if_id: from then on it is the other's."""
    site = Site()
    pe().expect(CORE, site.frame(inside4()), [to_red(hop(inside4()))])
    pe().ip(policies("if_id 43", 42, ((SITE, PE1),), what=(("10.66.0.9/32", "10.1.0.2/32"),),
                     priority=10))
    site.sa.more = "if_id 43 flag af-unspec"
    pe().ip(site.sa.words("update"))
    pe().expect(CORE, site.frame(inside4()), [to_blue(hop(inside4()))])
    pe().ip(policies("if_id 43", 42, ((SITE, PE1),), "delete",
                     what=(("10.66.0.9/32", "10.1.0.2/32"),)))
    pe().refuses(CORE, site.frame(inside4()), "policy-sa")


# RFC 6040 4.2: for each inner field (Not-ECT, ECT(1), ECT(0), CE) and each outer one; None: a drop.
COMBINED = ((0, 0, 0, None), (1, 1, 1, 3), (2, 1, 2, 3), (3, 3, 3, 3))


def test_congestion_and_dscp():
    for v6, (scope, reqid) in ((False, ("if_id 42", 42)), (True, ("if_id 46", 46))):
        for flags in ("", "noecn", "decap-dscp", "noecn decap-dscp"):
            site = Site(scope, reqid, flags=flags, v6=v6)
            field = "tc" if v6 else "tos"
            for inner, outer in itertools.product(range(4), range(4)):
                wanted = inner if "noecn" in flags else COMBINED[inner][outer]
                for make, name in ((inside4, "tos"), (inside6, "tc")):
                    packet = make(**{name: 0xB8 | inner})
                    frame = site.frame(packet, **{field: 0x28 | outer})
                    if wanted is None:
                        pe().refuses(CORE, frame, "tunnel-ecn")
                        continue
                    dscp = 0x28 if "decap-dscp" in flags else 0xB8
                    pe().expect(CORE, frame, [to_red(hop(packet, **{name: dscp | wanted}))])


def test_fragments():
    """Before ESP (of the inner packet) and after it (of the outer one)."""
    site = Site()
    whole = inside4(size=1200)
    pieces = fragment(whole, 400)
    assert len(pieces) > 2
    pe().expect(CORE, [site.frame(piece) for piece in pieces],
                [to_red(hop(IP(bytes(piece)))) for piece in pieces])
    frame = site.frame(whole, id=77)
    pieces = fragment(IP(bytes(frame[IP])), 400)
    pe().expect(CORE, [from_core(piece) for piece in pieces[::-1]], [to_red(hop(whole))])


def test_errors():
    """An ICMP error about the inner packet: of the inside VRF, from the interface's address."""
    site = Site()
    pe().ip("route add table 10 10.66.0.0/16 via 10.1.0.2 dev red0\n"
            "route add table 10 2001:db8:66::/48 via 2001:db8:1::2 dev red0")
    for packet, wanted in ((inside4(ttl=1), "10.1.0.1"), (inside6(hlim=1), "2001:db8:1::1")):
        for own in (None, "10.99.0.1" if packet.version == 4 else "2001:db8:99::1"):
            if own:
                pe().ip("addr add %s/%d dev ipsec42" % (own, 32 if packet.version == 4 else 128))
            sent, drops = pe().exchange(CORE, site.frame(packet))
            assert drops == {"ip-ttl": 1} and len(sent) == 1 and sent[0][0] == RED, (drops, sent)
            error = Ether(sent[0][1])[IP if packet.version == 4 else IPv6]
            assert (error.src, error.dst) == (own or wanted, packet.src), error.summary()
            assert bytes(packet)[:40] in bytes(error), "not about the inner packet"
            if own:
                pe().ip("addr flush dev ipsec42")
    pe().ip("route delete table 10 10.66.0.0/16\nroute delete table 10 2001:db8:66::/48")


def test_hidden_length():
    """RFC 4303 2.7: what is behind the inner packet is thrown away."""
    site = Site()
    for packet in (inside4(30), inside6(30)):
        for hidden in (1, 2, 100, 255, 256, 700):
            pe().expect(CORE, site.frame(packet, hidden=hidden), [to_red(hop(packet))])


# ---- refused -------------------------------------------------------------------------------------


def test_selectors():
    """RFC 4301 5.2: what an SA carries must be what its policy selects."""
    site = Site()
    wrong = (udp("10.67.0.9", HERE), udp(HOST, "10.2.0.2"), udp(HERE, HOST), udp(HOST, "10.1.0.1",),
             udp6("2001:db8:67::9", HERE6), udp6(HOST6, "2001:db8:2::2"),
             udp6("2001:db8:66:ffff::1", "2001:db8:2::1"))
    for packet in wrong[:3] + wrong[4:]:
        pe().refuses(CORE, site.frame(packet), "policy-selector")
    for edge in ("10.66.0.0", "10.66.255.255"):
        packet = udp(edge, HERE)
        pe().expect(CORE, site.frame(packet), [to_red(hop(packet))])
    for beyond in ("10.65.255.255", "10.67.0.0"):
        pe().refuses(CORE, site.frame(udp(beyond, HERE)), "policy-selector")


def test_narrow_selectors():
    """Protocol, ports and ICMP types; a discard before a wider policy; levels of priority."""
    pe().ip("link add ipsec47 type xfrm if_id 47\nlink set ipsec47 master red\n"
            "link set ipsec47 up")
    tail = "tmpl src %s dst %s proto esp reqid 47 mode tunnel" % (SITE, PE1)
    pe().ip("""
xfrm policy add src 10.66.0.0/16 dst 10.1.0.0/16 proto udp dport 53 dir in priority 10 if_id 47 %s
xfrm policy add src 10.66.0.0/16 dst 10.1.0.0/16 proto icmp type 8 code 0 dir fwd priority 20 if_id 47 %s
xfrm policy add src 10.66.6.0/24 dst 10.1.0.0/16 dir in action block priority 5 if_id 47
xfrm policy add src 10.66.7.0/24 dst 10.1.0.0/16 dir in priority 6 if_id 47
xfrm policy add src 10.66.8.0/24 dst 10.1.0.0/16 dir in priority 6 if_id 47 tmpl src %s dst %s proto esp reqid 48 mode tunnel
""" % (tail, tail, SITE, PE1))
    site = Site("if_id 47", 47)
    echo = IP(bytes(IP(src=HOST, dst=HERE, id=5) / ICMP(type=8)))
    for packet in (udp(HOST, HERE, dport=53), echo):
        pe().expect(CORE, site.frame(packet), [to_red(hop(packet))])
    for packet in (udp(HOST, HERE, dport=54), udp(HOST, HERE, sport=53),
                   IP(bytes(IP(src=HOST, dst=HERE) / ICMP(type=0))),
                   IP(bytes(IP(src=HOST, dst=HERE) / TCP(dport=53)))):
        pe().refuses(CORE, site.frame(packet), "policy-selector")
    pe().refuses(CORE, site.frame(udp("10.66.6.1", HERE, dport=53)), "policy-block")
    pe().refuses(CORE, site.frame(udp("10.66.7.1", HERE, dport=53)), "policy-sa")
    pe().refuses(CORE, site.frame(udp("10.66.8.1", HERE, dport=53)), "policy-sa")


def test_selector_of_the_sa():
    """RFC 4301 5.2, step 4: the SA's own selector bounds what a wider policy lets it carry."""
    site = Site(both=False, more="sel src 10.66.1.0/24 dst 10.1.0.0/24 proto udp dport 53")
    packet = udp("10.66.1.9", HERE, dport=53)
    pe().expect(CORE, site.frame(packet), [to_red(hop(packet))])
    for packet in (udp(HOST, HERE, dport=53), udp("10.66.1.9", "10.1.1.1", dport=53),
                   udp("10.66.1.9", HERE, dport=54),
                   IP(bytes(IP(src="10.66.1.9", dst=HERE) / TCP(dport=53)))):
        pe().refuses(CORE, site.frame(packet), "policy-selector")


def test_next_headers():
    site = Site()
    for next_header in range(256):
        if next_header in (4, 41):
            continue
        name = "esp-dummy" if next_header == 59 else "esp-next-header"
        pe().refuses(CORE, site.frame(inside4(), next_header), name)
    pe().refuses(CORE, site.frame(inside4(), 41), "ipv6-version")
    pe().refuses(CORE, site.frame(inside6(), 4), "ipv4-version")


def test_one_family():
    """Without af-unspec an SA carries the family of its selector, or of its own addresses."""
    site = Site(both=False)
    pe().expect(CORE, site.frame(inside4()), [to_red(hop(inside4()))])
    pe().refuses(CORE, site.frame(inside6()), "esp-next-header")
    site = Site(both=False, more="sel src 2001:db8:66::/48 dst 2001:db8:1::/48")
    pe().expect(CORE, site.frame(inside6()), [to_red(hop(inside6()))])
    pe().refuses(CORE, site.frame(inside4()), "esp-next-header")


def test_truncated():
    """The inner packet cut at every place: nothing of it goes on."""
    site = Site(window=1024)
    for packet, allowed in (
            (inside4(24), {"ipv4-header", "ipv4-length"}),
            (inside6(24), {"ipv6-length"}),
            (IP(bytes(IP(src=HOST, dst=HERE, options=[b"\x94\x04\0\0"]) / UDP() / bytes(8))),
             {"ipv4-header", "ipv4-length"})):
        whole = bytes(packet)
        for length in range(len(whole)):
            frame = site.frame(whole[:length], 41 if packet.version == 6 else 4)
            sent, drops = pe().exchange(CORE, frame)
            assert not sent and len(drops) == 1 and set(drops) <= allowed, (length, drops, sent)


def damaged(packet, at, value):
    """A byte of an IPv4 header changed, its checksum right."""
    data = bytearray(bytes(packet))
    data[at] = value
    data[10:12] = b"\0\0"
    total = sum(int.from_bytes(data[i:i + 2], "big") for i in range(0, 20, 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    data[10:12] = (total ^ 0xFFFF).to_bytes(2, "big")
    return bytes(data)


def test_bad_headers():
    site = Site()
    whole = bytearray(bytes(inside4()))
    whole[10] ^= 1
    pe().refuses(CORE, site.frame(whole), "ipv4-checksum")
    for ihl in range(5):
        pe().refuses(CORE, site.frame(damaged(inside4(), 0, 0x40 | ihl)), "ipv4-header")
    pe().refuses(CORE, site.frame(damaged(inside4(), 2, 0x7F)), "ipv4-length")
    pe().refuses(CORE, site.frame(damaged(inside4(), 3, 19), 4), "ipv4-length")
    for source in ("127.0.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1"):
        pe().refuses(CORE, site.frame(udp(source, HERE)), "ipv4-address")
    for source in ("::", "::1", "ff02::1"):
        pe().refuses(CORE, site.frame(udp6(source, HERE6)), "ipv6-address")
    pe().refuses(CORE, site.frame(udp6("fe80::1", HERE6)), "punt-no-face")
    pe().refuses(CORE, site.frame(b"", 4), "ipv4-header")
    pe().refuses(CORE, site.frame(b"", 41), "ipv6-length")


# ---- interfaces come and go ----------------------------------------------------------------------


def test_interface_that_is_not_there():
    site = Site("if_id 99", 99)
    pe().refuses(CORE, site.frame(inside4()), "policy-none")
    pe().ip("link add ipsec99 type xfrm if_id 99\n" + policies("if_id 99", 99, ((SITE, PE1),)))
    pe().refuses(CORE, site.frame(inside4()), "tunnel-down")
    pe().ip("link set ipsec99 up")
    # it is in the default VRF, where 10.1/16 is nobody's
    sent, drops = pe().exchange(CORE, site.frame(inside4()), rate=0)
    assert not sent and drops.get("route-none"), drops
    for vrf, to in (("red", to_red), ("blue", to_blue)):
        pe().ip("link set ipsec99 master %s" % vrf)
        pe().expect(CORE, site.frame(inside4()), [to(hop(inside4()))])
    pe().ip("link set ipsec99 down")
    pe().refuses(CORE, site.frame(inside4()), "tunnel-down")
    pe().ip("link set ipsec99 up")
    pe().expect(CORE, site.frame(inside4()), [to_blue(hop(inside4()))])
    pe().ip("link set ipsec99 type xfrm if_id 98")
    pe().refuses(CORE, site.frame(inside4()), "policy-none")
    pe().ip("link set ipsec99 type xfrm if_id 99")
    pe().expect(CORE, site.frame(inside4()), [to_blue(hop(inside4()))])
    pe().ip("link delete ipsec99")
    pe().refuses(CORE, site.frame(inside4()), "policy-none")
    pe().ip("link add again type xfrm if_id 99\nlink set again master red\nlink set again up")
    pe().expect(CORE, site.frame(inside4()), [to_red(hop(inside4()))])
    pe().ip("link delete again")
    site.delete()


def test_vrf_that_goes():
    pe().ip("link add green type vrf table 30\nlink set green up\n"
            "link add ipsec60 type xfrm if_id 60\nlink set ipsec60 master green\n"
            "link set ipsec60 up\n" + policies("if_id 60", 60, ((SITE, PE1),)) +
            "\nroute add table 30 10.1.0.0/16 via 10.1.0.2 dev red0")
    site = Site("if_id 60", 60)
    pe().expect(CORE, site.frame(inside4()), [to_red(hop(inside4()))])
    pe().ip("link delete green")
    sent, drops = pe().exchange(CORE, site.frame(inside4()), rate=0)
    assert not sent and drops.get("route-none"), drops
    pe().ip("link delete ipsec60")
    pe().refuses(CORE, site.frame(inside4()), "policy-none")


def test_marks():
    """A vti takes what has its key as mark and goes between its ends."""
    good = Site("mark 7 mask 0xffffffff", 7)
    pe().expect(CORE, good.frame(inside4()), [to_blue(hop(inside4()))])
    masked = Site("mark 7 mask 0xff", 7)
    pe().expect(CORE, masked.frame(inside4()), [to_blue(hop(inside4()))])
    elsewhere = Site("mark 7 mask 0xffffffff", 7, source=OTHER)
    pe().refuses(CORE, elsewhere.frame(inside4()), "policy-none")
    ambiguous = Site("mark 0 mask 0x10", 7)  # both vtis' keys match
    pe().refuses(CORE, ambiguous.frame(inside4()), "policy-none")
    outward = Site("mark 9 mask 0xffffffff", 8, v6=True)  # the okey of one
    pe().refuses(CORE, outward.frame(inside4()), "policy-none")
    for site in (good, masked, elsewhere, ambiguous, outward):
        site.delete()


def test_front_doors():
    """One public address in two front-door VRFs: the interface's underlay device says which."""
    pe().ip("""
link add wan type vrf table 40
link set wan up
link set core2 master wan
addr add 10.255.0.1/32 dev core2
link add ipsec44 type xfrm dev core2 if_id 44
link set ipsec44 master blue
link set ipsec44 up
link add ipsec45 type xfrm dev core if_id 45
link set ipsec45 master red
link set ipsec45 up
""" + policies("if_id 44", 44, ((SITE, PE1),)) + "\n" + policies("if_id 45", 45, ((SITE, PE1),)))
    there, here = Site("if_id 44", 44), Site("if_id 45", 45)
    pe().expect(CORE2, there.frame(inside4(), port=CORE2), [to_blue(hop(inside4()))])
    pe().expect(CORE, here.frame(inside4()), [to_red(hop(inside4()))])
    pe().refuses(CORE, there.frame(inside4()), "esp-spi")
    pe().refuses(CORE2, here.frame(inside4(), port=CORE2), "esp-spi")
    pe().ip("link set core2 nomaster")
    pe().expect(CORE, there.frame(inside4()), [to_blue(hop(inside4()))])
    there.delete()
    here.delete()
    pe().ip("link delete ipsec44\nlink delete ipsec45\nlink delete wan")


def test_without_interface():
    """No if_id and no mark: the VRF of the policy's device, else the front door's own."""
    what = (("10.66.0.0/16", "10.1.0.0/16"),)
    site = Site("", 70)
    pe().refuses(CORE, site.frame(inside4()), "policy-selector")
    pe().ip(policies("dev red", 70, ((SITE, PE1),), what=what))
    pe().expect(CORE, site.frame(inside4()), [to_red(hop(inside4()))])
    pe().refuses(CORE, site.frame(udp("10.67.0.1", HERE)), "policy-selector")
    pe().refuses(CORE, site.frame(inside6()), "policy-selector")
    pe().ip(policies("dev red", 70, ((SITE, PE1),), "delete", what=what))
    pe().refuses(CORE, site.frame(inside4()), "policy-selector")
    pe().ip(policies("dev blue0", 70, ((SITE, PE1),), what=what))  # a link of the VRF
    pe().expect(CORE, site.frame(inside4()), [to_blue(hop(inside4()))])
    pe().ip("link set blue0 nomaster\nlink set blue0 master blue\n"
            "neigh replace 10.1.0.2 lladdr 02:00:00:00:02:02 dev blue0 nud permanent")
    pe().expect(CORE, site.frame(inside4()), [to_blue(hop(inside4()))])
    # two VRFs ask for the same SA: nobody's
    pe().ip(policies("dev red", 70, ((SITE, PE1),), what=what))
    pe().refuses(CORE, site.frame(inside4()), "policy-none")
    pe().ip(policies("dev blue0", 70, ((SITE, PE1),), "delete", what=what))
    pe().expect(CORE, site.frame(inside4()), [to_red(hop(inside4()))])
    pe().ip(policies("dev red", 70, ((SITE, PE1),), "delete", what=what))
    # a device that went takes the VRF with it; the next one with its number has none of its SAs
    green = ("link add green type vrf table 31\nlink set green up\n"
             "route add table 31 10.1.0.0/16 via 10.1.0.2 dev red0")
    pe().ip(green)
    pe().ip(policies("dev green", 70, ((SITE, PE1),), what=what))
    pe().expect(CORE, site.frame(inside4()), [to_red(hop(inside4()))])
    number = pe().show("-o", "link", "show", "green").split(":")[0]
    pe().ip("route flush table 31\nlink delete green")
    pe().refuses(CORE, site.frame(inside4()), "policy-none")
    pe().ip(green)
    assert pe().show("-o", "link", "show", "green").split(":")[0] == number, "not what is tested"
    pe().refuses(CORE, site.frame(inside4()), "policy-none")
    pe().ip(policies("dev green", 70, ((SITE, PE1),), "delete", what=what))
    pe().ip("route flush table 31\nlink delete green")
    # no device: the default VRF, to the other core router
    pe().ip(policies("", 70, ((SITE, PE1),), what=(("10.66.0.0/16", "192.0.2.0/24"),)))
    packet = udp(HOST, "192.0.2.3")
    pe().expect(CORE, site.frame(packet), [to_core(hop(packet), P3)])
    pe().refuses(CORE, site.frame(inside4()), "policy-selector")
    pe().ip(policies("", 70, ((SITE, PE1),), "delete", what=(("10.66.0.0/16", "192.0.2.0/24"),)))
    site.delete()


# ---- nothing that others could use ---------------------------------------------------------------


def test_another_customers_interface():
    """An SA's if_id is its VPN: with the policies of red and the SA of blue nothing passes."""
    site = Site("if_id 43", 42)
    pe().refuses(CORE, site.frame(inside4()), "policy-sa")
    site.delete()


def test_tunnels_within():
    """A tunnel-mode SA does not protect a tunnel between PEs, which policy says is protected."""
    pe().ip("addr add 10.255.7.1/32 dev red\n"
            "link add inner type gre local 10.255.7.1 remote 10.66.0.77 dev red ttl 64\n"
            "link set inner master red\nlink set inner up\n"
            "xfrm policy add src 10.66.0.77/32 dst 10.255.7.1/32 proto 47 dir in "
            "tmpl src 10.66.0.77 dst 10.255.7.1 proto esp mode transport\n"
            + policies("if_id 42", 42, ((SITE, PE1),), what=(("10.66.0.0/16", "10.255.7.1/32"),)))
    site = Site()
    gre = IP(bytes(IP(src="10.66.0.77", dst="10.255.7.1", proto=47) / GRE(proto=0x0800)
                   / udp(HOST, HERE)))
    pe().refuses(CORE, site.frame(gre), "policy-clear")
    pe().ip("xfrm policy delete src 10.66.0.77/32 dst 10.255.7.1/32 proto 47 dir in")
    pe().expect(CORE, site.frame(gre), [to_red(hop(udp(HOST, HERE)))])
    pe().ip("link delete inner\naddr delete 10.255.7.1/32 dev red")


def test_isolation():
    """Random interfaces, VRFs, SAs and packets: what comes out is in the SA's own VRF."""
    choice = random.Random(4301)
    pe().ip("xfrm state flush\nxfrm policy flush")
    names, vrfs, sites = {}, {}, []
    outside = {"red": to_red, "blue": to_blue}
    reached = set()
    for n in range(8):
        names[100 + n] = "iso%d" % n
        pe().ip("link add iso%d type xfrm if_id %d\nlink set iso%d up\n%s" % (
            n, 100 + n, n, policies("if_id %d" % (100 + n), 100 + n, ((SITE, PE1),))))
        vrfs[100 + n] = None
    for turn in range(60):
        if_id = choice.choice(list(names))
        action = choice.randrange(4)
        if action == 0:
            vrf = choice.choice(("red", "blue"))
            pe().ip("link set %s master %s" % (names[if_id], vrf))
            vrfs[if_id] = vrf
        elif action == 1 and len(sites) < 24:
            asked = choice.choice((if_id, if_id, choice.choice(list(names))))
            sites.append((if_id, asked, Site("if_id %d" % if_id, asked)))
        elif action == 2 and sites and choice.random() < 0.3:
            sites.pop(choice.randrange(len(sites)))[2].delete()
        elif action == 3 and choice.random() < 0.3:
            pe().ip("link delete %s\nlink add %s type xfrm if_id %d\nlink set %s up" % (
                names[if_id], names[if_id], if_id, names[if_id]))
            vrfs[if_id] = None
        frames, wanted = [], []
        for if_id, asked, site in sites:
            packet = choice.choice((inside4, inside6))(size=choice.randrange(64))
            if choice.random() < 0.2:
                packet = choice.choice((udp("10.65.0.1", HERE), udp6("2001:db8:65::1", HERE6)))
                frames.append(site.frame(packet))
                continue
            frames.append(site.frame(packet))
            if if_id == asked and vrfs[if_id]:
                wanted.append(outside[vrfs[if_id]](hop(packet)))
                reached.add(vrfs[if_id])
        sent, _ = pe().exchange(CORE, *frames, rate=0) if frames else ([], {})
        assert sorted(sent) == sorted(wanted), "turn %d: %d frames, not %d" % (
            turn, len(sent), len(wanted))
    assert reached == {"red", "blue"}, reached


if __name__ == "__main__":
    main(sys.modules[__name__])
