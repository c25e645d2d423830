# SPDX-License-Identifier: BSD-3-Clause
"""Before there is an SA, and from one to the next."""

import sys

from ipsec import FLUSH, GRE4, KINDS, TUNNELS, WAYS, Monitor, from_core
from pewter import main
from topology import CORE, RED, STARTED, Lazy, from_red, hop, to_red, udp

pe = Lazy(TUNNELS, "\n".join(way.policies() for way in WAYS))


def test_nothing_in_clear_and_one_acquire():
    """Policy asks for an SA and there is none: dropped, counted, and asked for once each way."""
    pe().ip(FLUSH)
    monitor = Monitor(pe(), "acquire")
    for _ in range(3):
        for way in WAYS:
            frames = [from_red(udp(destination=way.far)) for _ in range(20)]
            sent, drops = pe().exchange(RED, *frames)
            assert not sent and drops == {"sa-none": 20}, (way, drops, sent)
    said = monitor.text()
    assert said.count("acquire proto esp") == len(WAYS), said
    for way in WAYS:
        assert "sel src %s/%d dst %s/%d proto" % (
            way.local, 128 if way.v6 else 32, way.remote, 128 if way.v6 else 32) in said, said
    shown = pe().show("xfrm", "state")
    assert shown.count("src ") >= len(WAYS), "no larval SAs: " + shown


def test_sa_comes_then_goes():
    """From the next packet on it is used; when it is gone, nothing passes, and one is asked for."""
    pe().ip(FLUSH)
    out = GRE4.sas(spi=0x8000)[1]
    pe().refuses(RED, from_red(udp()), "sa-none")
    pe().ip(out.words())
    for number in (1, 2):
        sent, drops = pe().exchange(RED, from_red(udp()))
        assert not drops and out.payload(sent[0][1][34:])[0] == number, drops
    monitor = Monitor(pe(), "acquire")
    pe().ip("xfrm state delete " + out.name())
    for _ in range(3):
        pe().refuses(RED, from_red(udp()), "sa-none")
    said = monitor.text()
    assert said.count("acquire proto esp") == 1, said


def test_other_reqid_does_not_serve():
    pe().ip("\n".join([FLUSH, GRE4.sas(spi=0x8000, reqid=9)[1].words()]))
    pe().refuses(RED, from_red(udp()), "sa-none")


def test_level_use():
    """Where policy only prefers protection, what has no SA goes in clear; with one it does not."""
    use = GRE4.policies().replace("mode transport", "mode transport level use")
    pe().ip("\n".join(["xfrm policy flush", FLUSH, use]))
    try:
        sent, drops = pe().exchange(RED, from_red(udp()))
        assert not drops and sent[0][1][34:] == GRE4.inside(hop(udp())), drops
        out = GRE4.sas(spi=0x8000)[1]
        pe().ip(out.words())
        sent, drops = pe().exchange(RED, from_red(udp()))
        assert not drops and out.payload(sent[0][1][34:])[2] == GRE4.inside(hop(udp())), drops
    finally:
        pe().ip("xfrm policy flush\n" + "\n".join(way.policies() for way in WAYS))


def test_rekey():
    """
    Receive first: the new inbound SA, then the new outbound one, which takes over with the next
    packet, though its algorithm and so its header differ; the old inbound one goes on.
    """
    for way in WAYS:
        pe().ip(FLUSH)
        packet, back = udp(destination=way.far), udp(way.far, "10.1.0.2")
        inward, outward, numbers = [], None, {}
        for n, suite in enumerate(KINDS * 2):
            natt = (4500, 4500) if n % 3 == 2 else None
            new_in, new_out = way.sas(suite, spi=0x9000 + 16 * n, natt=natt)
            pe().ip(new_in.words())
            inward.append(new_in)
            steps = [outward, new_out]
            for step, out in enumerate(steps):
                if out is None:
                    continue
                if step:
                    pe().ip(out.words())
                sent, drops = pe().exchange(RED, from_red(packet), from_red(packet))
                assert not drops and len(sent) == 2, (suite, drops)
                for _, frame in sent:
                    numbers[out.spi] = numbers.get(out.spi, 0) + 1
                    esp = frame[14 + (40 if way.v6 else 20) + (8 if out.natt else 0) :]
                    got, _, inside, _ = out.payload(esp)
                    assert got == numbers[out.spi] and inside == way.inside(hop(packet)), suite
            for sa in inward:
                numbers[sa.spi] = numbers.get(sa.spi, 0) + 1
                frame = sa.packet(way.inside(back, label=200), numbers[sa.spi], way.protocol)
                pe().expect(CORE, from_core(frame, way.router), [to_red(hop(back))])
            if outward:
                pe().ip("xfrm state delete " + outward.name())
            if len(inward) > 2:
                old = inward.pop(0)
                pe().ip("xfrm state delete " + old.name())
                frame = old.packet(way.inside(back, label=200), 1000, way.protocol)
                pe().refuses(CORE, from_core(frame, way.router), "esp-spi")
            outward = new_out


def test_rekey_many_times():
    """A thousand times, with packets all the while: each is opened by the SA of its SPI."""
    pe().ip(FLUSH)
    packet, back = udp(), udp(GRE4.far, "10.1.0.2")
    old = GRE4.sas(spi=0x10000)
    pe().ip("\n".join(sa.words() for sa in old))
    lost = 0
    for n in range(1, 1001):
        new = GRE4.sas(spi=0x10000 + 4 * n)
        pe().ip("\n".join([new[0].words(), new[1].words()]
                          + ["xfrm state delete " + sa.name() for sa in old]))
        if n % 10 == 0:
            sent, drops = pe().exchange(RED, from_red(packet))
            lost += sum(drops.values())
            assert len(sent) == 1 and new[1].payload(sent[0][1][34:])[0] == 1, drops
            frame = new[0].packet(GRE4.inside(back, label=200), 1)
            pe().expect(CORE, from_core(frame), [to_red(hop(back))])
        old = new
    assert lost == 0, lost
    shown = pe().show("xfrm", "state")
    assert shown.count("proto esp") == 2, shown


if __name__ == "__main__":
    main(sys.modules[__name__])
