# SPDX-License-Identifier: BSD-3-Clause
"""ESP outward: every byte of what leaves, as scapy and `cryptography` read it."""

import struct
import sys

from scapy.layers.inet6 import in6_chksum
from scapy.layers.ipsec import ESP

from icmp import check4, check6, ones_complement
from ipsec import (FLUSH, GCM, GRE4, GRE6, KINDS, MIP4, SUITES, TUNNELS, WAYS, Way, from_core,
                   statistics)
from pewter import main, port_mac
from topology import (CORE, GRE, IP, P2, PE1, RED, STARTED, Ether, IPv6, Lazy, from_red, gre_from,
                      hop, label, udp, udp6)

MORE = "\n".join(way.policies() for way in WAYS) + """
route add 10.255.0.6/32 via 192.0.2.2
route add 10.255.0.7/32 via 192.0.2.2
route add 10.255.0.8/32 via 192.0.2.2
route add 10.255.0.9/32 nexthop via 192.0.2.2 nexthop via 192.0.2.3
link add inherit type gre local 10.255.0.1 remote 10.255.0.6 tos inherit nopmtudisc
link set inherit up
route add table 10 10.40.0.0/16 encap mpls 140 dev inherit
link add keyed type gre local 10.255.0.1 remote 10.255.0.7 ttl 64 key 0x01020304 ocsum oseq
link set keyed up
route add table 10 10.41.0.0/16 encap mpls 141 dev keyed
link add fixed type gre local 10.255.0.1 remote 10.255.0.8 ttl 77 tos 0x28
link set fixed up
route add table 10 10.42.0.0/16 encap mpls 142/143/144/145 dev fixed
link add many type gre local 10.255.0.1 remote 10.255.0.9 ttl 64
link set many up
route add table 10 10.43.0.0/16 encap mpls 146 dev many
"""

pe = Lazy(TUNNELS, MORE)
NATT = (4500, 4501)


def headers(way, sa, frame, ttl=64, tos=0, df=True):
    """Checks Ethernet, IP and UDP byte by byte; returns ESP."""
    ethertype = 0x86DD if way.v6 else 0x0800
    wanted = bytes(Ether(src=port_mac(CORE), dst=way.router, type=ethertype))
    assert frame[:14] == wanted, frame[:14].hex()
    length, protocol = len(frame) - 14, 17 if sa.natt else 50
    if way.v6:
        flow = struct.unpack("!I", frame[14:18])[0] & 0xFFFFF  # RFC 6438: any
        ip = IPv6(src=way.local, dst=way.remote, nh=protocol, hlim=ttl, tc=tos, plen=length - 40,
                  fl=flow)
        at = 14 + 40
    else:
        ip = IP(src=way.local, dst=way.remote, proto=protocol, ttl=ttl, tos=tos, len=length,
                flags="DF" if df else 0, id=0 if df else struct.unpack("!H", frame[18:20])[0])
        at = 14 + 20
    assert frame[14:at] == bytes(ip), "%s instead of %s" % (frame[14:at].hex(), bytes(ip).hex())
    if not sa.natt:
        return frame[at:]
    udp_header, esp = frame[at : at + 8], frame[at + 8 :]
    checksum = 0
    if way.v6:
        checksum = in6_chksum(17, IPv6(frame[14:at]), udp_header[:6] + b"\0\0" + esp) or 0xFFFF
    wanted = struct.pack("!HHHH", *sa.natt, len(frame) - at, checksum)
    assert udp_header == wanted, udp_header.hex()
    return esp


def opened(way, sa, frame, number, inside, **outer):
    """One frame, whole; returns its IV."""
    esp = headers(way, sa, frame, **outer)
    got, iv, payload, next_header = sa.payload(esp, number >> 32)
    assert got == number, "sequence number %#x instead of %#x" % (got, number)
    assert next_header == way.protocol, "next header %d" % next_header
    assert payload == inside, "%s instead of %s" % (payload.hex(), inside.hex())
    assert esp[8 + len(iv) + len(payload) :] and len(esp) == (
        8 + len(iv) + -(-(len(payload) + 2) // sa.suite.align) * sa.suite.align + sa.suite.icv)
    scapy = sa.scapy(number >> 32)
    if scapy:
        # scapy cannot take UDP off IPv6: headers() has
        if way.v6:
            whole = scapy.decrypt(IPv6(src=way.local, dst=way.remote, nh=50) / ESP(esp))
        else:
            whole = scapy.decrypt(IP(frame[14:]))
        assert bytes(whole.payload) == inside, "scapy: %s" % bytes(whole.payload).hex()
        if way.v6:
            assert (whole.nh, whole.plen) == (way.protocol, len(inside))
    return iv


def customers(way, sizes):
    return ([udp(destination=way.far, size=size) for size in sizes]
            + [udp6(destination=way.far6, size=size) for size in sizes])


def exercise(suites, esn, natt, sizes):
    for suite in suites:
        sas = {way: way.sas(suite, spi=0x1000 + 16 * n, esn=esn, natt=natt,
                            more="replay-oseq 0xfffffffe" if esn else "")
               for n, way in enumerate(WAYS)}
        pe().ip("\n".join([FLUSH] + [sa.words() for pair in sas.values() for sa in pair]))
        for way in WAYS:
            sa = sas[way][1]
            packets = customers(way, sizes)
            sent, drops = pe().exchange(RED, *[from_red(p) for p in packets])
            assert not drops and len(sent) == len(packets), (suite, way, drops, len(sent))
            ivs = set()
            for n, (packet, (port, frame)) in enumerate(zip(packets, sent)):
                number = n + (0xFFFFFFFF if esn else 1)
                try:
                    assert port == CORE
                    ivs.add(opened(way, sa, frame, number, way.inside(hop(packet))))
                except Exception as error:
                    raise AssertionError("%s %s ESN %s NAT-T %s, %d bytes: %s %s" % (
                        suite, way, esn, natt, len(packet), type(error).__name__, error)) from error
            assert suite.iv == 0 or len(ivs) == len(packets), "%s: an IV twice" % suite


def test_every_algorithm():
    exercise(SUITES, False, None, range(17))


def test_every_algorithm_in_udp():
    exercise(SUITES, False, NATT, (0, 1, 2, 3, 40, 555, 1300))


def test_every_algorithm_extended_numbers():
    """They begin at 2^32 - 1, so the upper half is in the ICV from the second packet on."""
    exercise(SUITES, True, None, (0, 1, 2, 3, 40, 555, 1300))


def test_every_algorithm_extended_numbers_in_udp():
    exercise(SUITES, True, NATT, (0, 7, 1300))


def one_sa(suite=GCM, way=GRE4, spi=0x2000, **options):
    """Only this way has SAs."""
    sa_in, sa_out = way.sas(suite, spi=spi, **options)
    pe().ip("\n".join([FLUSH, sa_in.words(), sa_out.words()]))
    return sa_out


def test_numbers_and_ivs():
    """1, 2, 3 ... over many bursts; no IV twice; those of CBC follow from nothing seen before."""
    for suite in KINDS:
        sa = one_sa(suite)
        numbers, ivs, before = [], set(), b""
        for burst in (1, 2, 63, 64, 65, 300):
            sent, drops = pe().exchange(RED, *[from_red(udp())] * burst)
            assert not drops, drops
            for _, frame in sent:
                number, iv, _, _ = sa.payload(headers(GRE4, sa, frame))
                numbers.append(number)
                assert suite.cipher != "cbc" or iv != before, "%s: IV is the last block" % suite
                before = frame[-suite.icv - 16 : -suite.icv]
                ivs.add(iv)
        assert numbers == list(range(1, 496)), "%s: %s" % (suite, numbers)
        assert suite.iv == 0 or len(ivs) == 495, "%s: an IV twice" % suite
        if suite.cipher == "cbc":  # each bit of random IVs is 1 in about half of them
            ones = [sum(iv[bit // 8] >> bit % 8 & 1 for iv in ivs) for bit in range(128)]
            assert 150 < min(ones) and max(ones) < 345, ones


def test_counters():
    sa = one_sa()
    packets = [udp(size=size) for size in (0, 1, 100)]
    pe().exchange(RED, *[from_red(p) for p in packets])
    said = statistics(pe(), sa)
    assert said == {"packets": 3, "bytes": sum(len(GRE4.inside(p)) for p in packets),
                    "replay": 0, "failed": 0}, said


def fixed_way(name, remote, subnet, outlabel):
    return Way(name, PE1, remote, 47, outlabel, subnet, P2)


def protect(way, **options):
    sa = way.sas(spi=0x3000, **options)[1]
    pe().ip("\n".join([FLUSH, sa.words()]))
    if way.name not in protect.known:
        protect.known.add(way.name)
        pe().ip(way.policies())
    return sa


protect.known = set()


def test_outer_header_inherits():
    """TTL, TOS with its congestion bits (RFC 6040), and no DF: then each has an id."""
    way = fixed_way("inherit", "10.255.0.6", "40", 140)
    for natt in (None, NATT):
        sa = protect(way, natt=natt)
        ids = []
        for n, (ttl, tos) in enumerate(((9, 0), (200, 0xB8), (64, 2), (64, 1), (33, 3))):
            packet = udp(destination=way.far, ttl=ttl, tos=tos, size=n)
            sent, _ = pe().exchange(RED, from_red(packet))
            inside = way.inside(hop(packet), cos=tos >> 5)
            opened(way, sa, sent[0][1], n + 1, inside, ttl=ttl - 1, tos=tos, df=False)
            ids.append(sent[0][1][18:20])
        assert len(set(ids)) == len(ids), ids


def test_outer_header_fixed_and_four_labels():
    way = fixed_way("fixed", "10.255.0.8", "42", 142)
    sa = protect(way)
    packet = udp(destination=way.far, tos=0xB8)
    sent, _ = pe().exchange(RED, from_red(packet))
    inside = hop(packet)
    for n, value in enumerate((145, 144, 143, 142)):
        inside = label(value, inside, s=int(n == 0), cos=5)
    opened(way, sa, sent[0][1], 1, bytes(GRE(proto=0x8847) / inside), ttl=77, tos=0x28)


def test_gre_key_checksum_and_sequence():
    """GRE's checksum is of what GRE has, not of ESP's trailer."""
    way = fixed_way("keyed", "10.255.0.7", "41", 141)
    sa = protect(way)
    for n in range(9):
        packet = udp(destination=way.far, size=n)
        sent, drops = pe().exchange(RED, from_red(packet))
        assert not drops, drops
        number, _, gre, next_header = sa.payload(headers(way, sa, sent[0][1]))
        assert (number, next_header) == (n + 1, 47)
        assert gre[:4] == b"\xb0\0\x88\x47" and gre[8:12] == b"\1\2\3\4", gre[:16].hex()
        assert gre[12:16] == struct.pack("!I", n), gre[:16].hex()
        assert ones_complement(gre) == 0xFFFF, "GRE checksum"
        assert gre[16:] == bytes(label(141, hop(packet)))


def test_swapped_label():
    """A labelled packet that only passes through is protected like any other."""
    sa = one_sa()
    pe().ip("mpls route replace 220 as 320 via inet 172.16.0.2 dev mgre0")
    packet = udp()
    frame = from_core(gre_from(label(220, packet, ttl=9), remote="10.255.0.2"))
    pe().ip(GRE4.policies("delete").splitlines()[1])
    try:
        sent, drops = pe().exchange(CORE, frame)
    finally:
        pe().ip(GRE4.policies().splitlines()[1])
    assert not drops and len(sent) == 1, (drops, sent)
    opened(GRE4, sa, sent[0][1], 1, GRE4.inside(packet, label=320, ttl=8))


def test_several_ways_through_the_core():
    way = fixed_way("many", "10.255.0.9", "43", 146)
    sa = protect(way)
    packets = [udp(destination=way.far, sport=1000 + n) for n in range(32)]
    sent, drops = pe().exchange(RED, *[from_red(p) for p in packets])
    assert not drops and len(sent) == 32, drops
    routers = {frame[:6] for _, frame in sent}
    assert len(routers) == 2, routers
    got = {}
    for _, frame in sent:
        number, _, payload, _ = sa.payload(frame[34:])
        got[number] = payload
    assert sorted(got) == list(range(1, 33))
    assert sorted(got.values()) == sorted(way.inside(hop(p)) for p in packets)


def test_hidden_length():
    """TFC padding (RFC 4303 2.7): zeroes behind the packet, before the padding of ESP."""
    for suite in KINDS:
        for pad_to in (1, 40, 200, 777):
            sa = one_sa(suite, more="tfcpad %d" % pad_to)
            packets = [udp(size=size) for size in (0, 1, 2, 3, 4, 5, 150, 600, 900)]
            sent, drops = pe().exchange(RED, *[from_red(p) for p in packets])
            assert not drops and len(sent) == len(packets), drops
            for n, (packet, (_, frame)) in enumerate(zip(packets, sent)):
                inside = GRE4.inside(hop(packet))
                _, _, payload, _ = sa.payload(headers(GRE4, sa, frame))
                wanted = inside + bytes(max(0, pad_to - len(inside)))
                assert payload == wanted, "%s %d: %s" % (suite, pad_to, payload.hex())


def test_hidden_length_within_the_mtu():
    """Packets of more TFC padding than the path takes are as long as it takes."""
    for suite in KINDS:
        sa = one_sa(suite, more="tfcpad 3000")
        sent, drops = pe().exchange(RED, from_red(udp(size=40)), from_red(udp(size=1000)))
        assert not drops, drops
        lengths = [len(frame) - 14 for _, frame in sent]
        assert all(1500 - suite.align < length <= 1500 for length in lengths), (suite, lengths)
        for (_, frame), size in zip(sent, (40, 1000)):
            _, _, payload, _ = sa.payload(headers(GRE4, sa, frame))
            inside = GRE4.inside(hop(udp(size=size)))
            assert payload == inside + bytes(len(payload) - len(inside))


# ---- path MTU -----------------------------------------------------------------------------------


def largest(suite, way, natt, mtu):
    """The largest customer's packet, counted by hand: headers, IV, text in blocks, ICV."""
    room = mtu - (40 if way.v6 else 20) - (8 if natt else 0) - 8 - suite.iv - suite.icv
    return room // suite.align * suite.align - 2 - (4 if way.protocol == 47 else 0) - 4


def check_mtu(suite, way, natt, mtu):
    sa = one_sa(suite, way, natt=natt)
    most = largest(suite, way, natt, mtu)
    what = "%s %s NAT-T %s MTU %d" % (suite, way, natt, mtu)
    fits, over = [udp(destination=way.far, size=most - 28 + n, flags="DF") for n in (0, 1)]
    sent, drops = pe().exchange(RED, from_red(fits))
    assert not drops and len(sent) == 1, "%s: %d bytes: %s" % (what, len(fits), drops)
    length = len(sent[0][1]) - 14
    assert mtu - suite.align < length <= mtu, "%s: outer packet of %d" % (what, length)
    opened(way, sa, sent[0][1], 1, way.inside(hop(fits)))
    sent, drops = pe().exchange(RED, from_red(over))
    assert drops == {"mtu-exceeded": 1} and len(sent) == 1, "%s: %s" % (what, drops)
    check4(sent[0][1][14:], over, 3, 4, "10.1.0.1", most)
    fits, over = [udp6(destination=way.far6, size=most - 48 + n) for n in (0, 1)]
    sent, drops = pe().exchange(RED, from_red(fits))
    assert not drops and len(sent) == 1, "%s: %d bytes of IPv6: %s" % (what, len(fits), drops)
    if most >= 1280:
        sent, drops = pe().exchange(RED, from_red(over))
        assert drops == {"mtu-exceeded": 1} and len(sent) == 1, "%s: %s" % (what, drops)
        check6(sent[0][1][14:], over, 2, 0, "2001:db8:1::1", most)


def test_mtu_is_exact():
    for mtu in (1500, 1499, 1498, 1497, 1486, 1400):
        pe().ip("link set core mtu %d" % mtu)
        try:
            for suite in SUITES if mtu == 1500 else KINDS:
                check_mtu(suite, GRE4, None, mtu)
            check_mtu(GCM, GRE4, NATT, mtu)
            check_mtu(KINDS[3], MIP4, NATT, mtu)
            check_mtu(KINDS[4], GRE6, None, mtu)
        finally:
            pe().ip("link set core mtu 1500")


def test_fragments_before_encryption():
    """What is too big and may be cut is cut inside: each outer packet is whole (RFC 4303 3.3.4)."""
    for suite in KINDS:
        sa = one_sa(suite)
        most = largest(suite, GRE4, None, 1500)
        packet = udp(size=most + 100, id=77)
        sent, drops = pe().exchange(RED, from_red(packet))
        assert not drops and len(sent) == 2, (suite, drops, len(sent))
        data, offset = b"", 0
        for n, (_, frame) in enumerate(sent):
            assert len(frame) - 14 <= 1500
            number, _, payload, _ = sa.payload(headers(GRE4, sa, frame))
            piece = IP(payload[8:])
            assert number == n + 1 and piece.frag * 8 == offset and piece.id == 77
            assert bool(piece.flags & 1) == (n < 1) and len(piece) <= most
            assert ones_complement(payload[8:28]) == 0xFFFF
            data += bytes(piece.payload)
            offset += len(piece.payload)
        assert data == bytes(packet.payload)


def test_mtu_that_takes_nothing():
    """ESP around needs more than the link takes: nothing leaves, whole or in pieces."""
    for suite in KINDS:
        one_sa(suite, GRE4, natt=NATT)
        pe().ip("link set core mtu 68")
        try:
            for flags in (0, "DF"):
                packet = udp(destination=GRE4.far, size=400, flags=flags)
                sent, drops = pe().exchange(RED, from_red(packet))
                assert not [port for port, _ in sent if port == CORE], (suite, flags, sent)
                assert drops in ({"mtu-exceeded": 1}, {"fragment-failed": 1}), (suite, drops)
        finally:
            pe().ip("link set core mtu 1500")


if __name__ == "__main__":
    main(sys.modules[__name__])
