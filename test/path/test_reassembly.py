# SPDX-License-Identifier: BSD-3-Clause
"""Outer packets that the core cut: in order, out of order, twice, never, too much."""

import random
import sys

from pewter import main
from topology import (CORE, GRE, IP, MGRE, PE1, PE1_6, PE2, PE2_6, PE3, RED, STARTED, VPN, IPv6,
                      Lazy, Raw, from_core, gre_from, hop, label, to_red, udp)
from scapy.layers.inet6 import IPv6ExtHdrFragment
from scapy.utils import checksum

MGRE6 = """
link add mgre6 type ip6gre local 2001:db8:ff::1 hoplimit 64
link set mgre6 up
addr add 172.18.0.1/24 dev mgre6
neigh add 172.18.0.2 lladdr 20:01:0d:b8:00:ff:00:00:00:00:00:00:00:00:00:02 dev mgre6 nud permanent
"""

pe = Lazy(MGRE, VPN, MGRE6)
IDENTITY = iter(range(1, 65536))


def cut(packet, size, identity=None, last_more=False):
    """IPv4 fragments of `size` bytes of payload."""
    data = bytes(packet)[20:]
    pieces = []
    for offset in range(0, len(data), size):
        part = data[offset : offset + size]
        head = IP(bytes(packet)[:20])
        head.id = identity or packet.id
        head.flags = 1 if offset + size < len(data) or last_more else 0
        head.frag, head.len = offset // 8, 20 + len(part)
        del head.chksum
        pieces.append(from_core(IP(bytes(head)) / Raw(part)))
    return pieces


def renumbered(frame, identity):
    """The Ethernet frame with another IPv4 identification. Scapy would take a millisecond."""
    head = bytearray(frame[14:34])
    head[4:6] = identity.to_bytes(2, "big")
    head[10:12] = b"\0\0"
    head[10:12] = checksum(bytes(head)).to_bytes(2, "big")
    return frame[:14] + bytes(head) + frame[34:]


def outer(size=1000, **fields):
    inner = udp(source="10.2.0.2", destination="10.1.0.2", size=size)
    return inner, IP(bytes(gre_from(label(200, inner), id=next(IDENTITY), **fields)))


def whole(order, size=1000, piece=256):
    inner, packet = outer(size)
    frames = order(cut(packet, piece))
    sent, drops = pe().exchange(CORE, *frames)
    wanted = to_red(hop(inner))
    assert sent == [(wanted[0], bytes(wanted[1]))], (len(sent), drops)
    assert not drops, drops


def test_in_order():
    whole(lambda frames: frames)


def test_reversed():
    whole(lambda frames: frames[::-1])


def test_any_order():
    generator = random.Random(1)
    for _ in range(20):
        whole(lambda frames: generator.sample(frames, len(frames)))


def test_two_pieces():
    whole(lambda frames: frames, size=1400, piece=1400 // 8 * 8)


def test_one_by_one():
    inner, packet = outer()
    frames = cut(packet, 512)
    for frame in frames[:-1]:
        pe().expect(CORE, frame, [])
    pe().expect(CORE, frames[-1], [to_red(hop(inner))])


def test_tiny_first_fragment():
    """The GRE header itself is cut."""
    whole(lambda frames: frames, size=20, piece=16)


def test_interleaved():
    inner_a, a = outer(600)
    inner_b, b = outer(700)
    frames = [f for pair in zip(cut(a, 400), cut(b, 400)) for f in pair]
    sent, drops = pe().exchange(CORE, *frames)
    assert [f for _, f in sent] == [bytes(to_red(hop(i))[1]) for i in (inner_a, inner_b)], drops
    assert not drops, drops


def test_sources_are_kept_apart():
    """The same identification from two PEs."""
    inner, packet = outer(600)
    a = cut(packet, 400)
    other = IP(bytes(gre_from(label(200, inner), remote=PE3, id=packet.id)))
    b = cut(other, 400)
    sent, drops = pe().exchange(CORE, a[0], b[1])
    assert not sent, sent
    sent, drops = pe().exchange(CORE, b[0], a[1])
    assert len(sent) == 2 and not drops, (sent, drops)


def test_mpls_in_ip_is_kept_apart_from_gre():
    """RFC 791: protocol is part of what fragments are matched by."""
    inner, packet = outer(600)
    a = cut(packet, 400)
    other = packet.copy()
    other.proto = 137
    del other.chksum
    b = cut(IP(bytes(other)), 400)
    sent, _ = pe().exchange(CORE, a[0], b[1])
    assert not sent, sent


def test_duplicates():
    """The same piece again does no harm, or costs the packet; it makes no other one."""
    inner, packet = outer()
    frames = cut(packet, 256)
    sent, drops = pe().exchange(CORE, frames[0], frames[0], *frames[1:])
    wanted = to_red(hop(inner))
    assert sent in ([], [(wanted[0], bytes(wanted[1]))]), sent


def test_overlap():
    """RFC 5722's reason holds for IPv4: what overlaps is never put together."""
    inner, packet = outer(1000)
    for start, length in ((128, 256), (0, 512), (240, 800)):
        head = IP(bytes(packet)[:20])
        head.id = next(IDENTITY)
        frames = cut(packet, 256, identity=head.id)
        head.flags, head.frag, head.len = 1, start // 8, 20 + length
        del head.chksum
        evil = from_core(IP(bytes(head)) / Raw(b"\xee" * length))
        sent, _ = pe().exchange(CORE, frames[0], evil, *frames[1:])
        assert not [f for _, f in sent if b"\xee\xee" in f], "the overlapping piece was used"


def test_hole():
    inner, packet = outer()
    frames = cut(packet, 256)
    sent, _ = pe().exchange(CORE, *(frames[:1] + frames[2:]))
    assert not sent, sent


def test_timeout():
    inner, packet = outer()
    frames = cut(packet, 256)
    before = pe().drops().get("reassembly-timeout", 0)
    pe().exchange(CORE, *frames[:2])
    pe().wait(3500)
    gone = pe().drops().get("reassembly-timeout", 0) - before
    assert gone >= 2, "%d fragments were given up" % gone
    sent, _ = pe().exchange(CORE, *frames[2:])
    assert not sent, sent


def test_impossible_lengths():
    for frag, more, size in ((0, 1, 21), (8191, 0, 100), (8190, 1, 24), (1, 1, 0), (1, 0, 0)):
        head = IP(src=PE2, dst=PE1, proto=47, id=next(IDENTITY), frag=frag, flags=more)
        pe().refuses(CORE, from_core(head / Raw(b"x" * size)), "reassembly-length")


def test_too_big():
    """A packet larger than any port could bring in one piece."""
    inner = udp(source="10.2.0.2", destination="10.1.0.2", size=9300)
    packet = IP(bytes(gre_from(label(200, inner), id=next(IDENTITY))))
    sent, drops = pe().exchange(CORE, *cut(packet, 1480))
    assert not sent and drops, (sent, drops)
    assert set(drops) <= {"reassembly-too-big", "reassembly-timeout", "reassembly-full"}, drops


def test_bomb():
    """Thousands of first fragments: bounded memory, and the PE goes on."""
    before = pe().counters()["buffers"]
    _, packet = outer(600)
    first = bytes(cut(packet, 400)[0])
    for n in range(0, 3000, 300):
        sent, _ = pe().exchange(CORE, *[renumbered(first, next(IDENTITY)) for _ in range(300)])
        assert not sent
    held = pe().counters()["buffers"] - before
    assert held < 2500, "%d buffers held" % held
    pe().wait(3500)
    left = pe().counters()["buffers"] - before
    assert left <= 0, "%d buffers still held" % left
    whole(lambda frames: frames)


def test_many_fragments():
    """A packet in very many pieces is not worth a table's room: refused or whole."""
    inner, packet = outer(1000)
    sent, drops = pe().exchange(CORE, *cut(packet, 8))
    wanted = to_red(hop(inner))
    assert sent in ([], [(wanted[0], bytes(wanted[1]))]), sent
    assert sent or drops, drops


def test_fragments_in_transit_are_not_touched():
    """Only what is addressed to this PE is put together."""
    inner = udp(source="10.2.0.2", destination="10.1.0.2", size=64, flags="MF", frag=3)
    frame = from_core(gre_from(label(200, inner)))
    pe().expect(CORE, frame, [to_red(hop(inner))])


def cut6(packet, size, identity):
    data = bytes(packet)[40:]
    pieces = []
    for offset in range(0, len(data), size):
        part = data[offset : offset + size]
        more = int(offset + size < len(data))
        head = IPv6(src=packet.src, dst=packet.dst, hlim=packet.hlim)
        pieces.append(from_core(head / IPv6ExtHdrFragment(nh=47, offset=offset // 8, m=more,
                                                          id=identity) / Raw(part)))
    return pieces


def test_ipv6():
    for order in (lambda f: f, lambda f: f[::-1]):
        inner = udp(source="10.2.0.2", destination="10.1.0.2", size=1000)
        packet = IPv6(bytes(IPv6(src=PE2_6, dst=PE1_6, nh=47) / GRE(proto=0x8847)
                            / label(200, inner)))
        frames = order(cut6(packet, 256, next(IDENTITY)))
        sent, drops = pe().exchange(CORE, *frames)
        wanted = to_red(hop(inner))
        assert sent == [(wanted[0], bytes(wanted[1]))] and not drops, (sent, drops)


def marked(frames, fields):
    """The fragments with these ECN fields."""
    out = []
    for frame, ecn in zip(frames, fields):
        frame = frame.copy()
        if frame.payload.version == 6:
            frame.payload.tc = ecn
        else:
            frame.payload.tos = ecn
            del frame.payload.chksum
        out.append(frame)
    return out


def test_congestion_on_one_fragment():
    """RFC 3168 5.3: any fragment's mark is the packet's, and so (RFC 6040) what is inside has it."""
    inner = udp(source="10.2.0.2", destination="10.1.0.2", size=600, tos=2)
    for fields, wanted in (((2, 2, 2), 2), ((3, 2, 2), 3), ((2, 3, 2), 3), ((2, 2, 3), 3),
                           ((1, 2, 3), 3), ((2, 1, 2), 2), ((0, 0, 0), 2), ((0, 2, 0), 2),
                           ((3, 0, 2), None), ((2, 0, 3), None), ((0, 0, 3), None)):
        for order in (lambda f: f, lambda f: f[::-1]):
            packet = IP(bytes(gre_from(label(200, inner), id=next(IDENTITY))))
            packet6 = IPv6(bytes(IPv6(src=PE2_6, dst=PE1_6, nh=47) / GRE(proto=0x8847)
                                 / label(200, inner)))
            for frames in (cut(packet, 256), cut6(packet6, 256, next(IDENTITY))):
                assert len(frames) == 3
                sent, drops = pe().exchange(CORE, *order(marked(frames, fields)))
                if wanted is None:
                    assert not sent and drops == {"reassembly-ecn": 3}, (fields, sent, drops)
                else:
                    port, frame = to_red(hop(inner, tos=wanted))
                    assert sent == [(port, bytes(frame))] and not drops, (fields, sent, drops)


def test_ipv6_atomic_fragment():
    """RFC 6946: a fragment header on a whole packet."""
    inner = udp(source="10.2.0.2", destination="10.1.0.2")
    packet = IPv6(bytes(IPv6(src=PE2_6, dst=PE1_6, nh=47) / GRE(proto=0x8847) / label(200, inner)))
    frames = cut6(packet, 1400, next(IDENTITY))
    assert len(frames) == 1
    pe().expect(CORE, frames[0], [to_red(hop(inner))])


def test_echo_request_in_pieces():
    """A large ping to the VRF's address."""
    from scapy.layers.inet import ICMP

    request = IP(bytes(IP(src="10.1.0.2", dst="10.1.0.1", id=next(IDENTITY)) / ICMP(id=1)
                       / bytes(1000)))
    from topology import RED_CE, ether

    frames = [ether(RED, RED_CE, f.payload) for f in cut(request, 512)]
    sent, drops = pe().exchange(RED, *frames)
    assert len(sent) == 1 and not drops, (len(sent), drops)
    assert sent[0][1][14 + 20] == 0 and len(sent[0][1]) == 14 + 20 + 8 + 1000


if __name__ == "__main__":
    main(sys.modules[__name__])
