# SPDX-License-Identifier: BSD-3-Clause
"""
The path MTU of an SA: learnt from ICMP errors that quote what it has just sent, and from no others;
what customers are told then; for how long; and what a new SA has of it.
"""

import json
import sys

from scapy.layers.inet6 import ICMPv6PacketTooBig, ICMPv6TimeExceeded

from icmp import check4, check6, ones_complement
from ipsec import FLUSH, GCM, GRE4, KINDS, TUNNELS, WAYS
from pewter import main
from test_tunnel_mode_out import FAR4, FAR6, LINKS, policy, tunnel
from topology import (BLUE, CORE, ICMP, IP, P2, PE1, PE1_6, RED, STARTED, UDP, IPv6,  # noqa: F401
                      Lazy, Raw, ether, from_blue, from_red, hop, udp, udp6)

NATT = (4500, 4501)
ROUTER4, ROUTER6 = "198.51.100.7", "2001:db8:c:7::7"
SECONDS = 600
WINDOW = 1 << 22

pe = Lazy(TUNNELS, "\n".join(way.policies() for way in WAYS), LINKS)


class Case:
    """An SA, and what customers send by it."""

    def __init__(self, sa, far4, far6, around, port=RED, by=from_red, lines=()):
        self.sa, self.far4, self.far6, self.around = sa, far4, far6, around
        self.port, self.by, self.lines = port, by, lines
        self.v6 = ":" in sa.source

    def __repr__(self):
        return "%s %s %s%s" % (self.sa.mode, self.sa.suite, "IPv6" if self.v6 else "IPv4",
                               " in UDP" if self.sa.natt else "")

    def configure(self):
        pe().ip("\n".join([FLUSH, "xfrm policy flush"] + [way.policies() for way in WAYS]
                          + list(self.lines) + [self.sa.words()]))
        return self

    def largest(self, mtu):
        """The customer's packet, by RFC 4303: not by what Pewter has computed."""
        suite = self.sa.suite
        room = mtu - (40 if self.v6 else 20) - (8 if self.sa.natt else 0) - 8 - suite.iv - suite.icv
        return room // suite.align * suite.align - 2 - self.around

    def packet(self, size, inside6=False, flags="DF"):
        if inside6:
            return udp6(destination=self.far6, size=size - 48)
        return udp(destination=self.far4, size=size - 28, flags=flags)

    def sends(self, size, **options):
        """The outer packet that carries a packet of this size."""
        sent, drops = pe().exchange(self.port, self.by(self.packet(size, **options)))
        assert not drops and len(sent) == 1, (self, size, drops, len(sent))
        return sent[0][1][14:]

    def exactly(self, mtu):
        """Customers' packets go out up to this MTU, and that is what they are told."""
        most = self.largest(mtu)
        for inside6 in (False, True) if most >= 1280 else (False,):
            outer = len(self.sends(most, inside6=inside6))
            assert mtu - self.sa.suite.align < outer <= mtu, "%s: %d" % (self, outer)
            over = self.packet(most + 1, inside6=inside6)
            sent, drops = pe().exchange(self.port, self.by(over))
            assert drops == {"mtu-exceeded": 1} and len(sent) == 1, (self, mtu, drops)
            if inside6:
                check6(sent[0][1][14:], over, 2, 0, "2001:db8:1::1", most)
            else:
                check4(sent[0][1][14:], over, 3, 4, "10.1.0.1", most)
        # what may be cut is cut before it is encrypted
        whole = self.packet(1480, flags=0)
        sent, drops = pe().exchange(self.port, self.by(whole))
        assert not drops and all(len(frame) - 14 <= mtu for _, frame in sent), (self, drops)
        assert (len(sent) > 1) == (most < len(whole)), (self, len(sent))

    def shown(self):
        """(path MTU, seconds left) or None."""
        for sa in json.loads(pe().ctl("-j", "show", "sas")):
            if int(str(sa["spi"]), 0) == self.sa.spi and sa["dst"] == self.sa.destination:
                return (sa["path_mtu"], sa["path_mtu_seconds"]) if "path_mtu" in sa else None
        raise AssertionError("%s is not shown" % self)

    def learns(self, mtu, told=None, **options):
        """A router with a link of this MTU says so."""
        before = self.sends(self.largest(1500) if self.shown() is None else 200)
        sent, drops = pe().exchange(CORE, error(before, mtu if told is None else told, **options))
        assert not sent and not drops and pe().events == {"path-mtu": 1}, (self, drops, pe().events)
        got, left = self.shown()
        assert got == mtu and SECONDS - 5 <= left <= SECONDS, (self, got, left)

    def refuses(self, frame, why, shown=None):
        """The error is dropped for this reason, and nothing has changed."""
        sent, drops = pe().exchange(CORE, frame)
        assert not sent and drops == {why: 1} and not pe().events, (self, why, drops, pe().events)
        got = self.shown()
        assert got == shown or got[0] == shown, (self, why, got)
        self.sends(self.largest(shown or 1500))


def case4(suite=GCM, way=GRE4, spi=0x2000, **options):
    around = 8 if way.protocol == 47 else 4
    return Case(way.sas(suite, spi=spi, **options)[1], way.far, way.far6, around)


def case_tunnel(suite=GCM, v6=False, **options):
    sa = tunnel(suite, v6, **options)
    return Case(sa, FAR4, FAR6, 0,
                lines=[policy(sa.source, sa.destination, v6=inside) for inside in (False, True)])


def cases():
    for natt in (None, NATT):
        for n, way in enumerate(WAYS):
            yield case4(KINDS[n], way, natt=natt)
        for n, v6 in enumerate((False, True)):
            yield case_tunnel(KINDS[3 * n], v6, natt=natt)


def quoted(outer):
    """As a router has it: one hop on."""
    packet = bytearray(outer)
    if packet[0] >> 4 == 6:
        packet[7] -= 1
        return bytes(packet)
    packet[8] -= 1
    packet[10:12] = b"\0\0"
    packet[10:12] = (ones_complement(packet[:20]) ^ 0xFFFF).to_bytes(2, "big")
    return bytes(packet)


def error(outer, mtu, size=None, source=None, to=None, spoil=None, by=None, **fields):
    """The frame by which a router says that the outer packet is too big."""
    quote = bytearray(quoted(outer))
    for at, data in (spoil or {}).items():
        quote[at : at + len(data)] = data
    if outer[0] >> 4 == 6:
        address = IPv6(bytes(quote[:40])).src
        packet = (IPv6(src=source or ROUTER6, dst=to or address)
                  / ICMPv6PacketTooBig(mtu=mtu, **fields) / Raw(bytes(quote[: size or 1232])))
    else:
        address = IP(bytes(quote[:20])).src
        packet = (IP(src=source or ROUTER4, dst=to or address)
                  / ICMP(type=3, code=4, nexthopmtu=mtu, **fields)
                  / Raw(bytes(quote[: 548 if size is None else size])))
    return (by or (lambda p: ether(CORE, P2, p)))(packet)


def header(case):
    """Bytes of the outer packet before ESP."""
    return (40 if case.v6 else 20) + (8 if case.sa.natt else 0)


# ---- what is believed --------------------------------------------------------------------------


def test_learns_and_tells_customers():
    for case in cases():
        case.configure().exactly(1500)
        for mtu in (1499, 1450, 1400, 1397, 1288):
            case.learns(mtu)
            case.exactly(mtu)


def test_least():
    for case, least in ((case4(), 576), (case_tunnel(), 576), (case4(way=WAYS[2]), 1280),
                        (case_tunnel(v6=True), 1280)):
        case.configure()
        before = case.sends(200)
        for mtu in (1, 68, 552, least - 1):
            case.refuses(error(before, mtu), "path-mtu-small")
        case.learns(least)
        case.exactly(least)


def test_shortest_quotes():
    """RFC 792: eight bytes behind the header: SPI and sequence number; in UDP it takes more."""
    for case in cases():
        case.configure()
        case.learns(1400, size=header(case) + 8)
        case.exactly(1400)


def test_numbers_extended():
    """The quoted half belongs to the last number that has it."""
    for way in (GRE4, WAYS[2]):
        case = case4(way=way, esn=True, more="replay-oseq 0xfffffffd").configure()
        frames = [case.sends(200) for _ in range(4)]  # 0xfffffffe to 0x100000001
        at = header(case) + 4
        for low in (2, 0x7FFFFFFF, 0xFFFFFFFE - WINDOW):
            case.refuses(error(frames[3], 1400, spoil={at: low.to_bytes(4, "big")}),
                         "path-mtu-sequence")
            case = case4(way=way, esn=True, more="replay-oseq 0xfffffffd").configure()
            frames = [case.sends(200) for _ in range(4)]
        for mtu, frame in zip((1400, 1390, 1380, 1370), frames):
            sent, drops = pe().exchange(CORE, error(frame, mtu))
            assert not sent and not drops and case.shown()[0] == mtu, (mtu, drops)


def test_old_routers():
    """RFC 1191 7.1: without an MTU the next of the table, once for all that were under way."""
    case = case4().configure()
    on_the_way = [case.sends(case.largest(1500)) for _ in range(3)]
    for n, (outer, mtu) in enumerate(((on_the_way[0], 1492), (None, 1006))):
        outer = outer or case.sends(case.largest(mtu + 486))
        sent, drops = pe().exchange(CORE, error(outer, 0))
        assert not sent and not drops and case.shown()[0] == mtu, (mtu, drops, case.shown())
        for late in on_the_way[1:]:
            case.refuses(error(late, 0), "path-mtu-known", mtu)
        case.exactly(mtu)
    case.refuses(error(case.sends(case.largest(1006)), 0), "path-mtu-small", 1006)
    # IPv6 has no such routers
    case = case4(way=WAYS[2]).configure()
    case.refuses(error(case.sends(200), 0), "path-mtu-small")


def test_only_that_sa():
    one, other = case4().configure(), case4(way=WAYS[1], spi=0x2100)
    pe().ip(other.sa.words())
    one.learns(1400)
    assert other.shown() is None
    other.exactly(1500)
    other.learns(1300)
    one.exactly(1400)
    other.exactly(1300)


def test_with_the_links_own():
    """The smaller of both counts."""
    case = case4().configure()
    case.learns(1400)
    try:
        for mtu in (1450, 1350, 1500):
            pe().ip("link set core mtu %d" % mtu)
            case.exactly(min(mtu, 1400))
    finally:
        pe().ip("link set core mtu 1500")


def test_changed_sa_keeps_it():
    case = case4(natt=NATT).configure()
    case.learns(1400)
    pe().ip(case.sa.words("update"))
    assert case.shown()[0] == 1400
    case.exactly(1400)


def test_interface_mtu_stays():
    """An IPsec interface's own limit is as it was."""
    case = case_tunnel().configure()
    case.learns(1450)
    pe().ip("link set ipsec42 mtu 1300")
    try:
        case.sends(1300)
        _, drops = pe().exchange(RED, from_red(case.packet(1301)))
        assert drops == {"mtu-exceeded": 1}, drops
    finally:
        pe().ip("link set ipsec42 mtu 1500")
    case.exactly(1450)


def test_front_door():
    """Where the outer packets are in a VRF of their own, errors come there, and nowhere else."""
    pe().ip("""
        link add ipsec44 type xfrm dev blue0 if_id 44
        link set ipsec44 master red
        link set ipsec44 up
        addr add %s/32 dev blue
        route add table 20 203.0.113.44/32 via 10.1.0.2
        route add table 10 10.44.0.0/16 dev ipsec44
        """ % PE1)
    try:
        sa = tunnel(if_id=44, spi=0x4400)
        sa.destination = "203.0.113.44"
        case = Case(sa, "10.44.0.2", None, 0, lines=[
            policy(remote="203.0.113.44", if_id=44, far="10.44.0.0/16")]).configure()
        sent, drops = pe().exchange(RED, from_red(case.packet(1000)))
        assert not drops and sent[0][0] == BLUE, (drops, sent)
        outer = sent[0][1][14:]
        case.refuses(error(outer, 1400), "path-mtu-sa")
        sent, drops = pe().exchange(BLUE, error(outer, 1400, by=from_blue))
        assert not sent and not drops and case.shown()[0] == 1400, drops
    finally:
        pe().ip("link delete ipsec44\naddr delete %s/32 dev blue" % PE1)


# ---- what is not --------------------------------------------------------------------------------


def test_other_sas():
    for case in cases():
        case.configure()
        outer = case.sends(200)
        at = header(case)
        source, destination = (8, 24) if case.v6 else (12, 16)
        size = 16 if case.v6 else 4
        ours = "2001:db8:c::1" if case.v6 else "192.0.2.1"
        address = bytes((IPv6 if case.v6 else IP)(src=ours))[source : source + size]
        other = bytes(outer[destination : destination + size - 1]) + b"\x77"
        for what in (dict(spoil={at: b"\0\0\x20\x77"}), dict(spoil={at: b"\xff\xff\xff\xff"}),
                     dict(spoil={source: address}), dict(to=ours),
                     dict(spoil={destination: other})):
            case.refuses(error(outer, 1400, **what), "path-mtu-sa")
        case.learns(1400)  # as it is, it would have been believed


def test_udp_or_not():
    bare, natt = case4(), case4(natt=NATT)
    for case, how in ((bare, {9: b"\x11"}), (natt, {9: b"\x32"})):
        case.configure()
        outer = case.sends(200)
        if case is bare:  # the quote of its like in UDP
            ports = UDP(sport=4500, dport=4501, len=len(outer) - 12)
            outer = outer[:20] + bytes(ports) + outer[20:]
        else:
            outer = outer[:20] + outer[28:]
        case.refuses(error(outer, 1400, spoil=how), "path-mtu-sa")
    for way in (GRE4, WAYS[2]):
        case = case4(way=way, natt=NATT).configure()
        outer, at = case.sends(200), header(case) - 8
        case.refuses(error(outer, 1400, spoil={at + 2: b"\x11\x94"}), "path-mtu-sa")
        # from another port it is none of ours, and with an SPI of 0 it is IKE
        case.refuses(error(outer, 1400, spoil={at: b"\x11\x95"}), "local-icmp")
        case.refuses(error(outer, 1400, spoil={at + 8: b"\0\0\0\0"}), "local-icmp")


def test_sequence():
    """Never sent, or longer ago than the window."""
    for way in (GRE4, WAYS[2]):
        case = case4(way=way).configure()
        outer, at = case.sends(200), header(case) + 4
        number = int.from_bytes(outer[at : at + 4], "big")
        assert number == 1
        for n, wrong in enumerate((0, 2, 0x10000, 0x80000000, 0xFFFFFFFF)):
            case.refuses(error(outer, 1400, spoil={at: (wrong + n if 0 < wrong < 3 else wrong)
                                                   .to_bytes(4, "big")}), "path-mtu-sequence")
        case = case4(way=way, more="replay-oseq %d" % (WINDOW + 1000)).configure()
        outer = case.sends(200)
        last = int.from_bytes(outer[at : at + 4], "big")
        assert last == WINDOW + 1001
        for n, wrong in enumerate((last - WINDOW, 1, 0)):  # each refusal is followed by a packet
            case.refuses(error(outer, 1400, spoil={at: (wrong + (n if wrong > 1 else 0))
                                                   .to_bytes(4, "big")}), "path-mtu-sequence")
        last += 3
        sent, drops = pe().exchange(CORE, error(outer, 1400, spoil={
            at: (last - WINDOW + 1).to_bytes(4, "big")}))
        assert not sent and not drops and case.shown()[0] == 1400, drops


def test_no_news():
    for case in (case4(), case_tunnel(v6=True)):
        case.configure()
        outer = case.sends(200)
        for mtu in (1500, 1501, 9000, 65535):
            case.refuses(error(outer, mtu), "path-mtu-known")
        case.learns(1400)
        for mtu in (1400, 1401, 1499, 9000):
            case.refuses(error(outer, mtu), "path-mtu-known", 1400)
    case = case_tunnel(v6=True).configure()
    case.refuses(error(case.sends(200), 0xFFFFFFFF), "path-mtu-known")


def test_cut_off():
    """Too little of ESP is dropped; what does not even say that it is ESP is somebody else's."""
    for case in cases():
        case.configure()
        outer, at = case.sends(200), header(case)
        for size in range(at + (4 if case.sa.natt else 0), at + 8):
            case.refuses(error(outer, 1400, size=size), "local-truncated")
        for size in (1, 19, at - 1 if case.sa.natt else 19, at + 3 if case.sa.natt else 19):
            case.refuses(error(outer, 1400, size=size), "local-icmp")


def test_spoilt():
    for case in (case4(), case4(way=WAYS[2])):
        case.configure()
        outer = case.sends(200)
        kind = {"cksum": 0x1234} if case.v6 else {"chksum": 0x1234}
        case.refuses(error(outer, 1400, **kind), "local-icmp")
    case = case4().configure()
    outer = case.sends(200)
    # with options, a later fragment, of another version: not as we send it
    for spoil in ({0: b"\x46"}, {6: b"\0\1"}, {0: b"\x65"}, {9: b"\x33"}):
        case.refuses(error(outer, 1400, spoil=spoil), "local-icmp")
    case = case4(way=WAYS[2]).configure()
    outer = case.sends(200)
    for spoil in ({0: b"\x40"}, {6: b"\x2c"}):
        case.refuses(error(outer, 1400, spoil=spoil), "local-icmp")


def test_other_errors():
    """About ESP too, but not of its size."""
    case = case4().configure()
    outer = case.sends(200)
    for kind, code in ((3, 1), (3, 13), (11, 0), (12, 0), (4, 0)):
        case.refuses(ether(CORE, P2, IP(src=ROUTER4, dst=PE1) / ICMP(type=kind, code=code)
                           / Raw(quoted(outer))), "local-icmp")
    case = case4(way=WAYS[2]).configure()
    case.refuses(ether(CORE, P2, IPv6(src=ROUTER6, dst=PE1_6) / ICMPv6TimeExceeded()
                       / Raw(quoted(case.sends(200)))), "local-icmp")


def test_other_vrf():
    """A customer who can name the packet, and has the PE's address in its own VRF."""
    pe().ip("addr add %s/32 dev blue" % PE1)
    try:
        for case in (case4(), case_tunnel()):
            case.configure()
            outer = case.sends(200)
            sent, drops = pe().exchange(BLUE, error(outer, 1400, by=from_blue))
            assert not sent and drops == {"path-mtu-sa": 1} and case.shown() is None, (case, drops)
            case.learns(1400)
    finally:
        pe().ip("addr delete %s/32 dev blue" % PE1)


def test_switched_off():
    for case in (case4(more="flag nopmtudisc"), case_tunnel(flags="nopmtudisc"),
                 case_tunnel(v6=True, flags="nopmtudisc")):
        case.configure()
        outer = case.sends(200)
        case.refuses(error(outer, 1400), "path-mtu-off")
        if not case.v6:
            case.refuses(error(outer, 0), "path-mtu-off")


def test_not_in_use():
    """An SA that another has followed, one that is gone, one that no policy chooses."""
    case = case4().configure()
    outer = case.sends(200)
    newer = case4(spi=0x2200)
    pe().ip(newer.sa.words())
    newer.refuses(error(outer, 1400), "path-mtu-sa")
    assert case.shown() is None
    pe().ip("xfrm state delete " + case.sa.name())
    newer.refuses(error(outer, 1400), "path-mtu-sa")
    unused = case4(reqid=99).configure()
    sent, drops = pe().exchange(CORE, error(outer, 1400))
    assert not sent and drops == {"path-mtu-sa": 1} and unused.shown() is None, drops


def test_rate():
    case = case4().configure()
    outer = case.sends(200)
    before = pe().drops()
    pe().send(CORE, *[error(outer, 1400)] * 3, rate=0)
    assert pe().drops().get("punt-rate", 0) - before.get("punt-rate", 0) == 3, pe().drops()
    assert case.shown() is None
    case.learns(1400)


def test_echo_as_before():
    ping = IP(src="10.1.0.2", dst="10.1.0.1") / ICMP(id=7, seq=9) / Raw(b"x" * 40)
    sent, drops = pe().exchange(RED, from_red(ping))
    assert not drops and IP(sent[0][1][14:])[ICMP].type == 0, drops


# ---- for how long -------------------------------------------------------------------------------


def test_ages():
    for case in (case4(), case_tunnel(KINDS[3], v6=True, natt=NATT)):
        case.configure()
        for _ in range(2):  # and may be learnt again
            case.learns(1400)
            pe().later(SECONDS - 10)
            case.exactly(1400)
            pe().later(SECONDS + 1)
            assert case.shown() is None
            case.exactly(1500)


def test_lower_one_begins_anew():
    case = case4().configure()
    case.learns(1400)
    pe().wait(1100)
    assert case.shown()[1] <= SECONDS - 1, case.shown()
    case.learns(1300)
    assert case.shown()[1] > SECONDS - 1, case.shown()


# ---- from one SA to the next --------------------------------------------------------------------


def test_rekey():
    """The new SA has it at once, exact for its own algorithm, and no longer than the old one."""
    for make in (case4, case_tunnel):
        case = make(KINDS[0]).configure()
        case.learns(1400)
        for n, suite in enumerate(KINDS[1:]):
            if make is case_tunnel and suite.name.startswith("gmac"):
                continue
            new = make(suite, spi=0x5000 + n)
            pe().ip(new.sa.words())
            pe().ip("xfrm state delete " + case.sa.name())
            case = new
            assert case.shown()[0] == 1400, case
            case.exactly(1400)
        pe().later(SECONDS + 1)
        assert case.shown() is None
        case.exactly(1500)
        new = make(spi=0x5100)
        pe().ip(new.sa.words())
        assert new.shown() is None
        new.exactly(1500)


def test_no_kin():
    """Another reqid, in UDP instead of bare, without path MTU discovery: another way."""
    case = case4().configure()
    case.learns(1400)
    for n, options in enumerate((dict(reqid=8), dict(natt=NATT), dict(more="flag nopmtudisc"),
                                 dict(more="if_id 9"), dict(mode="tunnel"))):
        other = case4(spi=0x6000 + n, **options)
        pe().ip(other.sa.words())
        assert other.shown() is None, options
        pe().ip("xfrm state delete " + other.sa.name())
    case.exactly(1400)


# ---- what is seen -------------------------------------------------------------------------------


def test_shown():
    case = case4().configure()
    assert "path-mtu" not in pe().ctl("show", "sas")
    case.learns(1400)
    text = pe().ctl("show", "sas")
    assert " path-mtu 1400 for 600s" in text or " path-mtu 1400 for 599s" in text, text
    tunnels = json.dumps(json.loads(pe().ctl("-j", "show", "tunnels")))
    assert '"mtu": %d' % (case.largest(1400) + 4) in tunnels, tunnels
    text = pe().ctl("show", "events")
    assert "path-mtu" in text, text


if __name__ == "__main__":
    main(sys.modules[__name__])
