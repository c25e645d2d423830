# SPDX-License-Identifier: BSD-3-Clause
"""ESP inward: what must not pass, each by the name of its reason."""

import sys

from ipsec import FLUSH, GCM, GRE4, GRE6, KINDS, TUNNELS, WAYS, Sa, from_core, statistics
from pewter import main
from topology import (CORE, GRE, IP, PE1, PE2, PE3, RED, Lazy, Raw, STARTED, from_red, gre_from,
                      hop, label, to_red, udp)

pe = Lazy(TUNNELS, "\n".join(way.policies() for way in WAYS))
NATT = (4500, 4500)
PACKET = udp(GRE4.far, "10.1.0.2", size=20)
INSIDE = GRE4.inside(PACKET, label=200)
GOOD = [to_red(hop(PACKET))]


def fresh(suite=GCM, way=GRE4, **options):
    """The SAs of one way, new."""
    sa, out = way.sas(suite, spi=0x4000, **options)
    pe().ip("\n".join([FLUSH, sa.words(), out.words()]))
    return sa


def counts(sa):
    return {name: value for name, value in statistics(pe(), sa).items() if name != "bytes"}


def refuses(sa, packet, name):
    pe().refuses(CORE, from_core(packet), name)


def changed(esp, at, bit):
    return esp[:at] + bytes([esp[at] ^ 1 << bit]) + esp[at + 1 :]


def test_unknown_spi():
    sa = fresh()
    for way in WAYS:
        other = way.sas(spi=0x5000)[0]
        pe().refuses(CORE, from_core(other.packet(INSIDE, 1), way.router), "esp-spi")
    # the SPI of the SA that goes out names nothing here
    out = GRE4.sas(spi=0x4000)[1]
    out.source, out.destination = PE2, PE1
    refuses(sa, out.packet(INSIDE, 1), "esp-spi")


def test_spi_belongs_to_its_address():
    """The same SPI may be another SA at another address of this PE, of the other family too."""
    sa4 = GRE4.sas(spi=0x4000)[0]
    sa6 = GRE6.sas(spi=0x4000, seed=77)[0]
    pe().ip("\n".join([FLUSH, sa4.words(), sa6.words()]))
    packet = udp(GRE6.far, "10.1.0.2")
    pe().expect(CORE, from_core(sa4.packet(INSIDE, 1)), GOOD)
    pe().expect(CORE, from_core(sa6.packet(GRE6.inside(packet, label=200), 1)),
                [to_red(hop(packet))])
    refuses(sa4, Sa.packet(GRE4.sas(spi=0x4000, seed=77)[0], INSIDE, 2), "esp-icv")


def test_wrong_source():
    """RFC 4023 8.1: the SA is its two addresses', whoever else has learnt its key."""
    for way in (GRE4, GRE6):
        sa = fresh(way=way)
        inside = way.inside(PACKET, label=200)
        good = sa.packet(inside, 1)
        right, sa.source = sa.source, PE3 if way is GRE4 else "2001:db8:ff::3"
        refuses(sa, sa.packet(inside, 1), "esp-source")
        sa.source = right
        pe().expect(CORE, from_core(good), GOOD)


def test_moved_behind_a_nat():
    """Another port is told and taken; another address is told and refused (RFC 3948)."""
    sa = fresh(natt=NATT)
    pe().expect(CORE, from_core(sa.packet(INSIDE, 1)), GOOD)
    sa.natt = (33333, 4500)
    pe().expect(CORE, from_core(sa.packet(INSIDE, 2)), GOOD)
    right, sa.source = sa.source, "192.0.2.77"
    refuses(sa, sa.packet(INSIDE, 3), "esp-source")
    sa.source = right
    pe().expect(CORE, from_core(sa.packet(INSIDE, 4)), GOOD)


def test_encapsulation():
    for way in (GRE4, GRE6):
        inside = way.inside(PACKET, label=200)
        sa = fresh(way=way)
        sa.natt = NATT
        refuses(sa, sa.packet(inside, 1), "esp-encapsulation")
        sa.natt = None
        pe().expect(CORE, from_core(sa.packet(inside, 1)), GOOD)
        sa = fresh(way=way, natt=NATT)
        sa.natt = None
        refuses(sa, sa.packet(inside, 1), "esp-encapsulation")
        sa.natt = NATT
        pe().expect(CORE, from_core(sa.packet(inside, 1)), GOOD)


def test_cut_at_every_length():
    for suite in KINDS:
        for natt in (None, NATT):
            sa = fresh(suite, natt=natt)
            esp = sa.seal(sa.trailer(INSIDE, 47), 1)
            around = 8 + suite.iv + suite.icv
            wanted = {}
            for length in range(len(esp)):
                if natt and length <= 8:
                    name = "local-port"  # too short to be told from IKE (RFC 3948)
                elif length < around + 2:
                    name = "esp-truncated"
                elif (length - around) % suite.align and suite.cipher == "cbc":
                    name = "esp-length"
                else:
                    name = "esp-icv"
                wanted[name] = wanted.get(name, 0) + 1
            frames = [from_core(sa.around(esp[:length])) for length in range(len(esp))]
            sent, drops = pe().exchange(CORE, *frames)
            assert drops == wanted, "%s: %s instead of %s" % (suite, drops, wanted)
            assert counts(sa)["packets"] == 0 and counts(sa)["failed"] == wanted["esp-icv"]
            pe().expect(CORE, from_core(sa.around(esp)), GOOD)


def test_every_bit():
    """Whatever bit is wrong, nothing passes, and the whole packet is still good after."""
    for suite in KINDS:
        for esn in (False, True):
            sa = fresh(suite, esn=esn)
            number = 40
            pe().expect(CORE, from_core(sa.packet(INSIDE, number - 1)), GOOD)
            esp = sa.seal(sa.trailer(INSIDE, 47), number)
            frames, wanted = [], {"esp-spi": 32}
            for bit in range(32, 8 * len(esp)):
                name = "esp-icv"
                if 32 <= bit < 64 and not esn:
                    name = "esp-replay" if number ^ 1 << (63 - bit) < number - 32 else name
                wanted[name] = wanted.get(name, 0) + 1
            for at in range(len(esp)):
                frames += [from_core(sa.around(changed(esp, at, bit))) for bit in range(8)]
            sent = []
            before = pe().counters()["drops"]
            for n in range(0, len(frames), 500):
                sent += pe().send(CORE, *frames[n : n + 500])
            after = pe().counters()["drops"]
            drops = {n: after[n] - before.get(n, 0) for n in after if after[n] != before.get(n, 0)}
            if esn:  # too old in this half is taken for the next half, or refused: never passes
                drops["esp-icv"] = drops["esp-icv"] + drops.pop("esp-replay", 0)
            assert not sent and drops == wanted, "%s: %s instead of %s" % (suite, drops, wanted)
            pe().expect(CORE, from_core(sa.around(esp)), GOOD)
            assert counts(sa)["packets"] == 2


def test_wrong_half_of_the_number():
    """With extended numbers the upper half is in the ICV, though not in the packet."""
    for suite in KINDS:
        sa = fresh(suite, esn=True, more="replay-seq 0x10 replay-seq-hi 0x5")
        for high in (4, 6, 0):
            text = sa.seal(sa.trailer(INSIDE, 47), high << 32 | 0x11)
            refuses(sa, sa.around(text), "esp-icv")
        pe().expect(CORE, from_core(sa.packet(INSIDE, 5 << 32 | 0x11)), GOOD)


def texts_with_bad_padding(align):
    for size in (align, 4 * align, 256):
        for pad in range(256):
            if pad + 2 > size:
                yield bytes(size - 2) + bytes([pad, 47])
    body = INSIDE + bytes(-(len(INSIDE) + 18) % align)
    right = bytes(range(1, 17))
    for at in range(16):
        for wrong in (0, right[at] ^ 0x80, right[at] + 1):
            yield body + right[:at] + bytes([wrong]) + right[at + 1 :] + bytes([16, 47])
    yield body + bytes(16) + bytes([16, 47])
    yield body + right[::-1] + bytes([16, 47])


def test_bad_padding():
    for suite in KINDS:
        sa = fresh(suite)
        texts = list(texts_with_bad_padding(suite.align))
        frames = [from_core(sa.around(sa.seal(text, n + 1))) for n, text in enumerate(texts)]
        sent, drops = [], {}
        for n in range(0, len(frames), 500):
            some, lost = pe().exchange(CORE, *frames[n : n + 500])
            sent += some
            for name, count in lost.items():
                drops[name] = drops.get(name, 0) + count
        assert not sent and drops == {"esp-padding": len(frames)}, (suite, drops)


def test_dummy_packets():
    """RFC 4303 2.6: thrown away whatever is in them."""
    for suite in KINDS:
        sa = fresh(suite)
        for n, payload in enumerate((b"", b"\0", INSIDE, bytes(1000))):
            refuses(sa, sa.packet(payload, n + 1, next_header=59), "esp-dummy")
        assert counts(sa)["packets"] == 4


def test_every_next_header():
    sa = fresh()
    frames = [from_core(sa.packet(INSIDE, n + 1, next_header=n)) for n in range(256)
              if n not in (47, 59, 137)]
    sent, drops = pe().exchange(CORE, *frames)
    # IPv4 and IPv6 in IP would be a tunnel's, and none ends here.
    assert not sent and drops == {"esp-next-header": 251, "tunnel-unknown": 2}, drops


def test_what_is_inside():
    """An authentic peer is not believed more than one in clear."""
    sa = fresh()
    inside = label(200, PACKET)
    cases = [
        (b"", "gre-truncated"), (b"\0", "gre-truncated"), (b"\0\0\x88", "gre-truncated"),
        (b"\0\0\x88\x47", "mpls-truncated"), (b"\0\0\x88\x47\0\x0c\x81", "mpls-truncated"),
        (b"\0\0\x88\x47\0\x0c\x81\x40", "mpls-payload"),
        (b"\0\1\x88\x47" + bytes(inside), "gre-version"),
        (b"\x40\0\x88\x47" + bytes(inside), "gre-flags"),
        (b"\x20\0\x88\x47", "gre-truncated"),
        (b"\x20\0\x88\x47\0\0\0\1" + bytes(inside), "gre-key"),
        (b"\x80\0\x88\x47\1\2\0\0" + bytes(inside), "gre-checksum"),
        (b"\0\0\x65\x58" + bytes(60), "gre-protocol"),
        (bytes(GRE(proto=0x8847) / label(999, PACKET)), "mpls-label-unknown"),
        (bytes(GRE(proto=0x8847) / label(3, PACKET)), "mpls-label-reserved"),
        (bytes(GRE(proto=0x8847) / label(200, PACKET, s=0)), "mpls-stack"),
        (bytes(GRE(proto=0x8847) / label(200, b"\x55" * 40)), "mpls-payload"),
        (bytes(GRE(proto=0x8847) / label(200, b"\x45")), "ipv4-length"),
    ]
    for n, (payload, name) in enumerate(cases):
        sent, drops = pe().exchange(CORE, from_core(sa.packet(payload, n + 1)))
        if name == "ipv4-length":
            assert list(drops) and list(drops)[0].startswith("ipv4-"), (payload, drops)
        else:
            assert not sent and drops == {name: 1}, "%s: %s instead of %s" % (payload, drops, name)


# ---- policy --------------------------------------------------------------------------------------


class Policies:
    """Other policies for a while."""

    def __init__(self, *lines):
        self.lines = lines

    def __enter__(self):
        pe().ip("xfrm policy flush\n" + "\n".join(self.lines))

    def __exit__(self, *what):
        pe().ip("xfrm policy flush\n" + "\n".join(way.policies() for way in WAYS))


IN = "xfrm policy add src %s/32 dst %s/32 proto %%d dir in " % (PE2, PE1)
TEMPLATE = " tmpl src %s dst %s proto esp reqid %%d mode transport" % (PE2, PE1)


def test_only_the_encapsulation_of_policy():
    """GRE out of an SA that may carry MPLS-in-IP only, and the reverse."""
    sa = fresh()
    mpls = bytes(label(200, PACKET))
    with Policies(IN % 137 + TEMPLATE % 7, IN % 47 + "action block"):
        refuses(sa, sa.packet(INSIDE, 1), "policy-sa")
        refuses(sa, sa.packet(mpls, 2, next_header=137), "tunnel-source")
    with Policies(IN % 47 + TEMPLATE % 7, IN % 137 + "action block"):
        pe().expect(CORE, from_core(sa.packet(INSIDE, 3)), GOOD)
        refuses(sa, sa.packet(mpls, 4, next_header=137), "policy-sa")
    sa = fresh(more="sel src %s dst %s proto 137" % (PE2, PE1))
    refuses(sa, sa.packet(INSIDE, 1), "policy-sa")
    sa = fresh(more="sel src %s dst %s proto 47" % (PE2, PE1))
    pe().expect(CORE, from_core(sa.packet(INSIDE, 1)), GOOD)
    refuses(sa, sa.packet(mpls, 2, next_header=137), "policy-sa")


def test_request_id():
    """What policy asks for by reqid only the SA with it may carry."""
    sa = fresh(reqid=8)
    refuses(sa, sa.packet(INSIDE, 1), "policy-sa")
    with Policies(IN % 47 + TEMPLATE % 8):
        pe().expect(CORE, from_core(sa.packet(INSIDE, 2)), GOOD)
    refuses(sa, sa.packet(INSIDE, 3), "policy-sa")
    with Policies(IN % 47 + TEMPLATE % 0):
        pe().expect(CORE, from_core(sa.packet(INSIDE, 4)), GOOD)


def test_source_of_anybody():
    """An SA without a source would be every remote end's, past the policy that is for each."""
    for more in ("", "sel src 0.0.0.0/0 dst %s" % PE1):
        sa = fresh(reqid=8)
        right, sa.source = sa.source, "0.0.0.0"
        sa.more = more
        pe().ip("\n".join([FLUSH, sa.words()]))
        sa.source = right
        pe().refuses(CORE, from_core(sa.packet(INSIDE, 1)), "policy-sa")


def test_in_clear():
    """The same packets without ESP."""
    fresh()
    for way in WAYS:
        clear = way.sas()[0].outer(way.protocol) / Raw(way.inside(PACKET, label=200))
        pe().refuses(CORE, from_core(clear, way.router), "policy-clear")
    with Policies():
        pe().expect(CORE, from_core(gre_from(label(200, PACKET))), GOOD)
    with Policies(IN % 47 + TEMPLATE % 7 + " level use"):
        pe().expect(CORE, from_core(gre_from(label(200, PACKET))), GOOD)


def test_protected_label():
    """RFC 4023 8.1: a label can ask for protection whatever the tunnel's policy says."""
    sa = fresh()
    pe().ctl("label", "200", "protect", "on")
    try:
        with Policies():
            refuses(sa, gre_from(label(200, PACKET)), "mpls-label-clear")
            pe().expect(CORE, from_core(sa.packet(INSIDE, 1)), GOOD)
        pe().expect(CORE, from_core(sa.packet(INSIDE, 2)), GOOD)
    finally:
        pe().ctl("label", "200", "protect", "off")
    with Policies():
        pe().expect(CORE, from_core(gre_from(label(200, PACKET))), GOOD)


def test_block():
    sa = fresh()
    with Policies(IN % 47 + "action block"):
        refuses(sa, gre_from(label(200, PACKET)), "policy-block")
        refuses(sa, sa.packet(INSIDE, 1), "policy-sa")
    with Policies("xfrm policy add src %s/32 dst %s/32 proto 47 dir out action block" % (PE1, PE2)):
        pe().refuses(RED, from_red(udp()), "policy-block")
    pe().ip("xfrm policy setdefault in block out block")
    try:
        with Policies():
            refuses(sa, gre_from(label(200, PACKET)), "policy-block")
            refuses(sa, sa.packet(INSIDE, 2), "policy-sa")
            pe().refuses(RED, from_red(udp()), "policy-block")
    finally:
        pe().ip("xfrm policy setdefault in accept out accept")
    pe().expect(CORE, from_core(sa.packet(INSIDE, 3)), GOOD)


def test_one_peer_cannot_speak_for_another():
    """In clear inside its own SA: an IP packet that says it is another PE's tunnel."""
    sa = fresh()
    pe().ip("xfrm policy add src %s/32 dst %s/32 proto 47 dir in tmpl proto esp mode transport"
            % (PE3, PE1))
    for protocol, inside in ((47, INSIDE), (137, bytes(label(200, PACKET)))):
        spoofed = IP(src=PE3, dst=PE1, proto=protocol, ttl=60) / inside
        refuses(sa, spoofed, "policy-clear")
        refuses(sa, sa.packet(GRE(proto=0x0800) / spoofed, protocol), "policy-clear")
    pe().ip("xfrm policy delete src %s/32 dst %s/32 proto 47 dir in" % (PE3, PE1))
    pe().ip("mpls route replace 230 dev red")
    pe().ctl("label", "230", "protect", "on")
    spoofed = gre_from(label(230, PACKET), remote=PE3)
    refuses(sa, spoofed, "mpls-label-clear")
    refuses(sa, sa.packet(GRE(proto=0x0800) / spoofed, 500), "mpls-label-clear")


def test_expired():
    sa = fresh(more="limit packet-hard 3")
    for number in (1, 2, 3):
        pe().expect(CORE, from_core(sa.packet(INSIDE, number)), GOOD)
    pe().wait(400)
    sent, drops = pe().exchange(CORE, from_core(sa.packet(INSIDE, 4)))
    assert not sent and drops == {"esp-spi": 1}, drops


def test_shown():
    """Names and numbers as an operator sees them."""
    sa = fresh()
    esp = sa.seal(sa.trailer(INSIDE, 47), 1)
    for number in (1, 1):
        pe().send(CORE, from_core(sa.packet(INSIDE, number)))
    pe().send(CORE, from_core(sa.around(changed(esp, 20, 1))), from_core(sa.packet(INSIDE, 3)))
    pe().send(CORE, from_core(sa.around(changed(sa.seal(sa.trailer(INSIDE, 47), 4), 20, 1))))
    said = counts(sa)
    assert said == {"packets": 2, "replay": 2, "failed": 1}, said
    shown = pe().ctl("show", "drops")
    for name in ("esp-replay", "esp-icv", "esp-spi"):
        assert name in shown, shown


if __name__ == "__main__":
    main(sys.modules[__name__])
