# SPDX-License-Identifier: BSD-3-Clause
"""ESP inward: what scapy and `cryptography` sealed reaches the customer as it was; what only
passes by is left as it is."""

import itertools
import sys

from scapy.layers.inet import fragment
from scapy.layers.inet6 import IPv6ExtHdrFragment, fragment6

from ipsec import FLUSH, GCM, GRE4, KINDS, SUITES, TUNNELS, WAYS, Way, from_core, statistics
from pewter import main
from topology import (CORE, GRE, IP, P2, P3, PE1, PE2, PE3, RED, STARTED, UDP, IPv6, Lazy, Raw,
                      from_red, hop, label, to_core, to_red, udp, udp6)

MORE = "\n".join(way.policies() for way in WAYS) + """
route add table 10 10.60.0.0/16 via 10.1.0.2 dev red0
route add 10.255.0.6/32 via 192.0.2.2
route add 10.255.0.7/32 via 192.0.2.2
link add inherit type gre local 10.255.0.1 remote 10.255.0.6 tos inherit
link set inherit up
link add keyed type gre local 10.255.0.1 remote 10.255.0.7 ttl 64 key 0x01020304
link set keyed up
"""

pe = Lazy(TUNNELS, MORE)
NATT = (4500, 4500)
INHERIT = Way("inherit", PE1, "10.255.0.6", 47, 0, "2", P2)
KEYED = Way("keyed", PE1, "10.255.0.7", 47, 0, "2", P2)


def customers(way, sizes):
    return ([udp(way.far, "10.1.0.2", size=size) for size in sizes]
            + [udp6(way.far6, "2001:db8:1::2", size=size) for size in sizes])


def seal(way, sa, payload, number, by_scapy):
    scapy = by_scapy and sa.scapy(number >> 32)
    if scapy:
        scapy.seq_num = low = number & 0xFFFFFFFF  # it takes a 0 in encrypt() as none given
        packet = scapy.encrypt(sa.outer(way.protocol) / Raw(payload), seq_num=low)
        if sa.natt:  # and counts UDP's length and checksum before ESP is there
            packet[UDP].len = None
            packet[UDP].chksum = None if way.v6 else 0
        return packet
    return sa.packet(payload, number, way.protocol)


def exercise(suites, esn, natt, sizes):
    first = 0xFFFFFFF0 if esn else 1
    for suite in suites:
        sas = {way: way.sas(suite, spi=0x1000 + 16 * n, esn=esn, natt=natt,
                            more="replay-seq %#x" % (first - 1) if esn else "")[0]
               for n, way in enumerate(WAYS)}
        pe().ip("\n".join([FLUSH] + [sa.words() for sa in sas.values()]))
        for way in WAYS:
            sa, packets = sas[way], customers(way, sizes)
            frames = []
            for n, (packet, by_scapy) in enumerate(itertools.product(packets, (True, False))):
                inside = way.inside(packet, label=200)
                frames.append(from_core(seal(way, sa, inside, first + n, by_scapy), way.router))
            sent, drops = pe().exchange(CORE, *frames)
            what = "%s %s ESN %s NAT-T %s" % (suite, way, esn, natt)
            assert not drops, "%s: %s" % (what, drops)
            wanted = [to_red(hop(packet)) for packet in packets for _ in range(2)]
            assert sent == wanted, "%s: %d of %d packets" % (what, len(sent), len(wanted))


def test_every_algorithm():
    exercise(SUITES, False, None, range(17))


def test_every_algorithm_in_udp():
    exercise(SUITES, False, NATT, (0, 1, 2, 3, 40, 555, 1300))


def test_every_algorithm_extended_numbers():
    """Across 2^32."""
    exercise(SUITES, True, None, (0, 1, 2, 3, 40, 555, 1300))


def test_every_algorithm_extended_numbers_in_udp():
    exercise(SUITES, True, NATT, (0, 1, 7, 8, 1300))


class Sender:
    """The remote end of a fresh SA; numbers go up by themselves."""

    def __init__(self, way=GRE4, suite=GCM, **options):
        self.way, self.number = way, 0
        self.sa, out = way.sas(suite, spi=0x2000, **options)
        pe().ip("\n".join([FLUSH, self.sa.words(), out.words()]))

    def frame(self, payload, **options):
        self.number += 1
        options.setdefault("next_header", self.way.protocol)
        return from_core(self.sa.packet(payload, self.number, **options), self.way.router)


def test_counters():
    sender = Sender()
    packets = customers(GRE4, (0, 10, 1000))
    pe().exchange(CORE, *[sender.frame(GRE4.inside(p, label=200)) for p in packets])
    said = statistics(pe(), sender.sa)
    assert said == {"packets": 6, "bytes": sum(len(GRE4.inside(p)) for p in packets),
                    "replay": 0, "failed": 0}, said


def test_padding_of_any_length():
    """RFC 4303 2.4: up to 255 bytes, whatever is needed."""
    packet = udp(GRE4.far, "10.1.0.2", size=30)
    for suite in KINDS:
        sender = Sender(suite=suite)
        inside = GRE4.inside(packet, label=200)
        frames = []
        for pad in range(-(len(inside) + 2) % suite.align, 256, suite.align):
            sender.number += 1
            text = inside + bytes(range(1, pad + 1)) + bytes([pad, 47])
            frames.append(from_core(sender.sa.around(sender.sa.seal(text, sender.number))))
        sent, drops = pe().exchange(CORE, *frames)
        assert not drops and sent == [to_red(hop(packet))] * len(frames), (suite, drops)


def test_hidden_length():
    """RFC 4303 2.7: what is behind the inner packet is thrown away, whatever it is."""
    for way in WAYS:
        sender = Sender(way)
        for packet in customers(way, (0, 30)):
            for hidden in (1, 2, 100, 255, 256, 700):
                inside = way.inside(packet, label=200) + bytes([0xA5]) * (hidden % 3)
                pe().expect(CORE, sender.frame(inside, hidden=hidden), [to_red(hop(packet))])


def test_keyed_tunnel():
    pe().ip(KEYED.policies())
    sender = Sender(KEYED)
    packet = udp(KEYED.far, "10.1.0.2")
    good = GRE(proto=0x8847, key_present=1, key=0x01020304) / label(200, packet)
    pe().expect(CORE, sender.frame(good), [to_red(hop(packet))])
    for wrong in (0, 0x01020305):
        bad = GRE(proto=0x8847, key_present=1, key=wrong) / label(200, packet)
        pe().refuses(CORE, sender.frame(bad), "gre-key")


# RFC 6040 4.2: for each inner field (Not-ECT, ECT(1), ECT(0), CE) and each outer one; None: a drop.
COMBINED = ((0, 0, 0, None), (1, 1, 1, 3), (2, 1, 2, 3), (3, 3, 3, 3))


def test_congestion():
    """The mark of the outer header goes inward, or the packet is dropped, in every tunnel."""
    pe().ip(INHERIT.policies())
    for way in WAYS + (INHERIT,):
        sender, outer_field = Sender(way), "tc" if way.v6 else "tos"
        for make, field in ((lambda ecn: udp(way.far, "10.1.0.2", tos=0xB8 | ecn), "tos"),
                            (lambda ecn: udp6(way.far6, "2001:db8:1::2", tc=0xB8 | ecn), "tc")):
            for inner, row in enumerate(COMBINED):
                for outer, wanted in enumerate(row):
                    packet = make(inner)
                    frame = sender.frame(way.inside(packet, label=200), **{outer_field: outer})
                    if wanted is None:
                        pe().refuses(CORE, frame, "tunnel-ecn")
                    else:
                        packet = hop(packet, **{field: 0xB8 | wanted})
                        pe().expect(CORE, frame, [to_red(packet)])


def orders(pieces):
    return pieces, pieces[::-1], pieces[1:] + pieces[:1]


def test_fragments_of_the_outer_packet():
    for way, suite in itertools.product(WAYS, KINDS):
        sender = Sender(way, suite)
        packet = udp(way.far, "10.1.0.2", size=900)
        for n in range(3):
            whole = sender.frame(way.inside(packet, label=200), **({} if way.v6 else {"id": n + 1}))
            if way.v6:
                ip = whole[IPv6]
                pieces = fragment6(IPv6(src=ip.src, dst=ip.dst, hlim=60)
                                   / IPv6ExtHdrFragment(id=n + 7, nh=50) / ip.payload, 500)
            else:
                pieces = fragment(IP(bytes(whole[IP])), 400)
            assert len(pieces) > 2
            frames = [from_core(piece, way.router) for piece in orders(pieces)[n]]
            pe().expect(CORE, frames, [to_red(hop(packet))])
        whole = sender.frame(way.inside(packet, label=200))  # and whole ones go on
        pe().expect(CORE, whole, [to_red(hop(packet))])


def test_old_inbound_sa_stays_until_deleted():
    old = Sender()
    new = Sender.__new__(Sender)
    new.way, new.number, new.sa = GRE4, 0, GRE4.sas(spi=0x2100)[0]
    pe().ip(new.sa.words())
    packet = udp(GRE4.far, "10.1.0.2")
    for sender in (old, new, old):
        pe().expect(CORE, sender.frame(GRE4.inside(packet, label=200)), [to_red(hop(packet))])
    pe().ip("xfrm state delete " + old.sa.name())
    pe().refuses(CORE, old.frame(GRE4.inside(packet, label=200)), "esp-spi")
    pe().expect(CORE, new.frame(GRE4.inside(packet, label=200)), [to_red(hop(packet))])


# ---- not for this PE ----------------------------------------------------------------------------


def esp(source, destination, payload, **fields):
    if ":" in source:
        return IPv6(src=source, dst=destination, nh=50, **fields) / Raw(payload)
    return IP(bytes(IP(src=source, dst=destination, proto=50, **fields) / Raw(payload)))


def test_esp_that_passes_by():
    """In the default VRF and in a customer's: as it came, even with an SPI of ours or cut short."""
    sender = Sender()
    ours = bytes(sender.frame(GRE4.inside(udp(), label=200))[IP].payload)
    for payload in (ours, ours[:8], ours[:7], b"\0\0\0\1", b"", bytes(100)):
        packet = esp(PE2, PE3, payload)
        pe().expect(CORE, from_core(packet), [to_core(hop(packet), P3)])
        packet = esp("10.1.0.2", "10.60.0.9", payload)
        pe().expect(RED, from_red(packet), [to_red(hop(packet))])
        packet = UDP(sport=4500, dport=4500, chksum=0) / Raw(payload)
        packet = IP(bytes(IP(src="10.1.0.2", dst="10.60.0.9") / packet))
        pe().expect(RED, from_red(packet), [to_red(hop(packet))])
    packet = esp("2001:db8:c::9", "2001:db8:ff::2", ours)
    pe().expect(CORE, from_core(packet), [to_core(hop(packet))])


def test_customers_esp_in_the_tunnel():
    """A customer's own ESP is payload like any other."""
    sender = Sender()
    out = GRE4.sas(spi=0x2000)[1]
    packet = esp("10.1.0.2", GRE4.far, bytes(range(40)))
    sent, drops = pe().exchange(RED, from_red(packet))
    assert not drops, drops
    assert out.payload(sent[0][1][34:])[2] == GRE4.inside(hop(packet))
    packet = esp(GRE4.far, "10.1.0.2", bytes(range(40)))
    pe().expect(CORE, sender.frame(GRE4.inside(packet, label=200)), [to_red(hop(packet))])


def test_customers_cannot_reach_the_sas():
    """Right in every byte, but from a customer's port, or out of a customer's VRF."""
    sender = Sender()
    inside = GRE4.inside(udp(GRE4.far, "10.1.0.2"), label=200)
    frame = from_red(sender.frame(inside)[IP])
    sent, drops = pe().exchange(RED, frame)
    # the ICMP error to the stranger finds no route either
    assert drops == {"route-none": 2} and not sent, (drops, sent)
    stolen = sender.frame(inside)[IP]
    stolen.dst = "10.1.0.1"
    del stolen.chksum
    sent, drops = pe().exchange(RED, from_red(stolen))
    assert drops == {"esp-spi": 1} and not sent, (drops, sent)
    # the same through the tunnel, as the other site's customer might send it
    nested = sender.frame(GRE4.inside(IP(bytes(sender.frame(inside)[IP])), label=200))
    sent, drops = pe().exchange(CORE, nested)
    assert set(drops) == {"route-none"}, drops
    assert statistics(pe(), sender.sa)["packets"] == 1


def test_ike_and_keepalive():
    """RFC 3948: a zero marker is IKE, one byte 0xff keeps a mapping alive; neither is ESP."""
    sender = Sender(natt=NATT)
    packet = udp(GRE4.far, "10.1.0.2")
    for payload in (b"\xff", bytes(4) + b"IKE header and more than that", bytes(8), b"",
                    b"\1\2\3", b"\xff\xff\xff\xff"):
        outer = sender.sa.outer(17) / UDP(sport=4500, dport=4500) / Raw(payload)
        sent, drops = pe().exchange(CORE, from_core(outer))
        assert drops == {"local-port": 1}, (payload, drops)
    pe().expect(CORE, sender.frame(GRE4.inside(packet, label=200)), [to_red(hop(packet))])


def test_udp_length_counts():
    """Bytes behind the datagram are not ESP's; a datagram longer than its packet is not ESP."""
    sender = Sender(natt=NATT)
    packet = udp(GRE4.far, "10.1.0.2")
    whole = sender.frame(GRE4.inside(packet, label=200))[IP]
    longer = IP(bytes(whole) + b"junk!", chksum=None, len=None)
    longer[UDP].len = whole[UDP].len or len(bytes(whole[UDP]))
    longer = IP(bytes(longer))
    pe().expect(CORE, from_core(longer), [to_red(hop(packet))])
    whole = IP(bytes(sender.frame(GRE4.inside(packet, label=200))[IP]))
    whole[UDP].len += 1
    sent, drops = pe().exchange(CORE, from_core(IP(bytes(whole))))
    assert drops == {"local-port": 1}, drops


if __name__ == "__main__":
    main(sys.modules[__name__])
