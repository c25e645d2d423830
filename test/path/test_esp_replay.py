# SPDX-License-Identifier: BSD-3-Clause
"""Sequence numbers: the window of what came, the end of what may be sent."""

import random
import sys

from ipsec import FLUSH, GCM, GRE4, KINDS, TUNNELS, Monitor, from_core, statistics
from pewter import main
from topology import CORE, RED, STARTED, Lazy, from_red, hop, to_red, udp

pe = Lazy(TUNNELS, GRE4.policies())
WINDOWS = (1, 32, 64, 128, 1024, 4096)
HALF = 1 << 32
PACKET = udp(GRE4.far, "10.1.0.2", size=4)
INSIDE = GRE4.inside(PACKET, label=200)
GOOD = to_red(hop(PACKET))
BURST = 400


class Receiver:
    """A fresh SA, beside a plain model of RFC 4303 3.4.3: a set of what was seen."""

    def __init__(self, window, top=0, esn=False, suite=GCM):
        more = ""
        if top:
            more = "replay-seq %#x" % (top % HALF)
            more += " replay-seq-hi %#x" % (top >> 32) if esn else ""
        self.sa, _ = GRE4.sas(suite, spi=0x6000, window=window, esn=esn, more=more)
        pe().ip("\n".join([FLUSH, self.sa.words()]))
        self.window, self.top, self.seen = window, top, set()
        self.bottom = top  # what was before the test is unknown to the model

    def expects(self, number):
        """True when the number is good now; and then it is used."""
        if self.window == 0:
            return True
        if number == 0 or number in self.seen or number <= self.top - self.window:
            return False
        self.seen.add(number)
        self.top = max(self.top, number)
        return True

    def send(self, numbers):
        """All of them, and that just the good ones come through."""
        some = []
        for number in numbers:
            # Of packets that arrive together one may be taken that another has just made old: it
            # is no replay. So that the edge is sharp, an old one begins anew.
            if some and (len(some) == BURST or self.too_old(number, some)):
                self.send_together(some)
                some = []
            some.append(number)
        self.send_together(some)

    def too_old(self, number, some):
        return 0 < number <= max(some + [self.top]) - self.window and number not in self.seen

    def send_together(self, some):
        good = [self.expects(number) for number in some]
        frames = [from_core(self.sa.packet(INSIDE, number)) for number in some]
        sent, drops = pe().exchange(CORE, *frames)
        wanted = {"esp-replay": good.count(False)} if False in good else {}
        assert drops == wanted and sent == [GOOD] * good.count(True), (
            "window %d: %s instead of %s, numbers %d..%d, top %d" % (
                self.window, drops, wanted, some[0], some[-1], self.top))

    def check_counters(self):
        said = statistics(pe(), self.sa)
        if self.window:
            assert said["packets"] == len(self.seen), said
        return said


def test_off():
    """Window 0: anything goes, as often as it likes."""
    receiver = Receiver(0)
    receiver.send([5, 5, 1, 1, 4000, 2, 5, HALF - 1, 1])
    assert receiver.check_counters()["replay"] == 0


def test_zero():
    """No packet has number 0 (RFC 4303 3.3.3), and it is in no window."""
    for window in WINDOWS:
        Receiver(window).send([0, 1, 0])


def test_every_replay():
    """All 64 residues, in every window, right after and later."""
    for window in WINDOWS:
        receiver = Receiver(window)
        first = list(range(1, 131))
        receiver.send(n for number in first for n in (number, number))
        receiver.send(first)
        said = receiver.check_counters()
        assert said["replay"] == 2 * len(first), said


def test_both_edges():
    for window in WINDOWS:
        for top in (window, window + 1, 10 * window + 7, 5000, 70000):
            receiver = Receiver(window)
            receiver.send([top])
            edge = top - window  # the first that is too old
            receiver.send(n for n in (edge, edge - 1, edge + 1, edge + 2, edge + 1, top, top + 1,
                                      top, edge + 1, edge + 2, edge + 3) if n > 0)


def test_every_place_in_the_window():
    """From the newest to the oldest that still fits, then all of it again."""
    for window in WINDOWS:
        receiver = Receiver(window)
        top = 2 * window + 33
        numbers = range(top, max(top - window - 3, 0), -1)
        receiver.send(numbers)
        receiver.send(numbers)


def test_jumps():
    """Far ahead, by multiples of every size that a ring could have."""
    for window in WINDOWS:
        receiver = Receiver(window)
        top = 1
        for step in (1, 31, 32, 33, 63, 64, 65, window - 1, window, window + 1, 2 * window,
                     4096, 8192, 65536, 1 << 20, 1 << 31):
            top += step
            if top >= HALF:
                break
            receiver.send(n for n in (top, top, top - window, top - window + 1, top - 1, top - 1)
                          if n > 0)


def test_reordering_within_the_window():
    """At random, but never later than the window allows: all of it comes through."""
    rng = random.Random(4303)
    for window in WINDOWS:
        receiver = Receiver(window)
        numbers = list(range(1, 1501))
        for _ in range(3):  # blocks of at most the window, each in an order of its own
            if window > 1:
                size = min(window, 400)
                numbers = [n for at in range(0, 1500, size)
                           for n in rng.sample(range(at + 1, min(at + size, 1500) + 1),
                                               min(size, 1500 - at))]
        receiver.send(numbers)
        said = receiver.check_counters()
        assert said["packets"] == 1500 and said["replay"] == 0, said


def test_at_random():
    """Anything within and around the window, against the model."""
    rng = random.Random(6479)
    for window in WINDOWS:
        receiver = Receiver(window)
        for _ in range(4):
            receiver.send(max(0, rng.randint(receiver.top - window - 70, receiver.top + 70))
                          for _ in range(BURST))
        receiver.check_counters()


def test_across_the_half():
    """Extended numbers: 2^32 is one more than 2^32 - 1, in and out of order."""
    for window in WINDOWS:
        for half in (1, 2, 7):
            top = half * HALF - 40
            receiver = Receiver(window, top=top, esn=True)
            receiver.send(range(top + 1, top + 80))
            receiver.send(range(top + 79, max(top, top + 79 - window), -1))
    rng = random.Random(2)
    for suite in KINDS:
        receiver = Receiver(64, top=HALF - 300, esn=True, suite=suite)
        numbers = []
        for at in range(HALF - 299, HALF + 300, 60):
            numbers += rng.sample(range(at, at + 60), 60)
        receiver.send(numbers)
        receiver.send(numbers[-60:])


def test_late_across_the_half():
    """The last of the old half, when the window has gone into the new one."""
    receiver = Receiver(64, top=HALF - 100, esn=True)
    receiver.send([HALF - 10, HALF + 20, HALF - 9, HALF - 1, HALF, HALF - 10, HALF + 20, HALF - 43])


def test_forged_number_moves_nothing():
    """RFC 4303 3.4.3: the window follows the integrity check, never goes before it."""
    for suite in KINDS:
        receiver = Receiver(32, suite=suite)
        receiver.send([1])
        esp = receiver.sa.seal(receiver.sa.trailer(INSIDE, 47), 1000)
        pe().refuses(CORE, from_core(receiver.sa.around(esp[:-1] + bytes([esp[-1] ^ 1]))),
                     "esp-icv")
        receiver.send([2, 3, 1000])


def test_window_is_shown():
    receiver = Receiver(64, top=HALF + 5, esn=True)
    receiver.send([HALF + 8])
    text = pe().show("xfrm", "state", "get", *receiver.sa.name().split())
    assert "seq-hi 0x1, seq 0x8" in text and "replay_window 64" in text, text


# ---- outward ------------------------------------------------------------------------------------


def send_many(count):
    return pe().exchange(RED, *[from_red(udp(size=4))] * count)


def test_last_number():
    """Without extended numbers the last one is 2^32 - 1; then nothing, and one event."""
    for suite in KINDS[:4]:
        _, out = GRE4.sas(suite, spi=0x7000, more="replay-oseq 0xfffffffb")
        pe().ip("\n".join([FLUSH, out.words()]))
        monitor = Monitor(pe(), "expire")
        sent, drops = send_many(10)
        assert drops == {"esp-sequence": 6} and len(sent) == 4, (drops, len(sent))
        numbers = [out.payload(frame[34:])[0] for _, frame in sent]
        assert numbers == list(range(HALF - 4, HALF)), numbers
        pe().wait(100)
        sent, drops = send_many(3)
        assert not sent and set(drops) <= {"esp-sequence", "sa-none"}, drops
        said = monitor.text()
        assert said.count("Expired") == 1 and "hard 1" in said, said


def test_extended_numbers_go_on():
    for half in (1, 3):
        _, out = GRE4.sas(spi=0x7000, esn=True,
                          more="replay-oseq 0xfffffffb replay-oseq-hi %#x" % (half - 1))
        pe().ip("\n".join([FLUSH, out.words()]))
        sent, drops = send_many(10)
        assert not drops and len(sent) == 10, drops
        numbers = []
        for n, (_, frame) in enumerate(sent):
            high = half - 1 if n < 4 else half
            numbers.append(out.payload(frame[34:], high)[0])
        assert numbers == list(range(half * HALF - 4, half * HALF + 6)), numbers


if __name__ == "__main__":
    main(sys.modules[__name__])
