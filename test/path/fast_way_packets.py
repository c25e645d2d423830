# SPDX-License-Identifier: BSD-3-Clause
"""Bursts for test_fast_way.py: packets of customers and of remote PEs, most of them good."""

import struct

from ipsec import GCM, Sa, Suite
from topology import BLUE, BLUE_CE, CORE, CORE2, PE1, RED, RED_CE, P2, port_mac

VLANS = {100: "red", 200: "blue", 300: "green"}
CE_MACS = {100: "02:00:00:00:09:02", 200: "02:00:00:00:0a:02", 300: "02:00:00:00:0b:02"}
SITE = "203.0.113.9"
CBC, NULL, CHACHA = Suite("cbc", 128, "sha256"), Suite("null", 0, "sha384"), Suite("chacha", 256)
NATT = (4500, 4500)
WINDOW = 128


def peer(n):
    return "10.255.0.%d" % n


def pair_of(n, suite, **options):
    """(in, out)"""
    more = options.pop("more_in", "")
    return (Sa(suite, peer(n), PE1, 0x1000 + n, reqid=n, seed=n, window=WINDOW, more=more, **options),
            Sa(suite, PE1, peer(n), 0x2000 + n, reqid=n, seed=100 + n, **options))


FIRST_ESN = 0xFFFFFF00
PAIRS = {3: pair_of(3, GCM, esn=True, more_in="replay-seq %#x" % (FIRST_ESN - 1)),
         4: pair_of(4, CBC), 5: pair_of(5, NULL), 11: pair_of(11, GCM, natt=NATT)}
# A second one from PE 3, as during a rekeying.
REKEYED = Sa(CHACHA, peer(3), PE1, 0x3003, reqid=3, seed=33, window=WINDOW)
TUNNEL = (Sa(GCM, SITE, PE1, 0x1042, reqid=42, seed=42, mode="tunnel", window=WINDOW, more="if_id 42"),
          Sa(GCM, PE1, SITE, 0x2042, reqid=42, seed=43, mode="tunnel", more="if_id 42"))
# PE 2 may send in clear as well.
OPTIONAL = Sa(GCM, peer(2), PE1, 0x1002, reqid=2, seed=2, window=WINDOW)
ESP_IN = {sa.spi: sa for sa in [p[0] for p in PAIRS.values()] + [REKEYED, OPTIONAL, TUNNEL[0]]}
ESP_OUT = {sa.spi: sa for sa in [p[1] for p in PAIRS.values()] + [TUNNEL[1]]}

FAR4 = ["10.%d" % n for n in (1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 20,
                              21, 22, 23, 26, 30, 30, 42, 60, 60, 66, 67, 68, 80, 80, 81, 90, 255)]
FAR4_OF = {"blue": ["10.%d" % n for n in (1, 2, 2, 3, 4, 66, 80, 90)],
           "green": ["10.%d" % n for n in (2, 2, 3, 4, 4, 81, 90)],
           "none": ["10.%d" % n for n in (1, 2, 60, 255, 255)]}  # the label says where to
FAR6 = ["2001:db8:%s" % n for n in (1, 1, 2, 2, 4, 6, 7, 8, 9, 60, 66, 80, 90)]
MARTIANS = [b"\0\1\2\3", b"\x7f\0\0\1", b"\xe0\0\0\5", b"\xff\xff\xff\xff"]


def sum_of(data):
    if len(data) & 1:
        data += b"\0"
    value = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def four(address):
    return bytes(int(part) for part in address.split("."))


def six(prefix, host):
    words = [int(part, 16) for part in prefix.split(":")] + [0] * 5
    return struct.pack("!8H", *(words[:7] + [host]))


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ip4(source, destination, protocol, payload, ttl=60, tos=0, identification=0, fragment=0,
        options=b"", total=0, error=0, first=0):
    """total, error: what is wrong with the length and the checksum."""
    size = 20 + len(options)
    head = struct.pack("!BBHHHBBH", first or 0x40 | size // 4, tos, size + len(payload) + total,
                       identification, fragment, ttl, protocol, 0) + source + destination + options
    check = ~sum_of(head) & 0xFFFF
    return head[:10] + struct.pack("!H", (check + error) & 0xFFFF) + head[12:] + payload


def ip6(source, destination, protocol, payload, hlim=60, tos=0, total=0):
    return struct.pack("!IHBB", 6 << 28 | tos << 20, len(payload) + total, protocol,
                       hlim) + source + destination + payload


def mpls(labels, ttl, cos, bottom=True):
    return b"".join(struct.pack("!I", value << 12 | cos << 9 | ttl
                                | (bottom and n == len(labels) - 1) << 8)
                    for n, value in enumerate(labels))


STACKS = [[200]] * 20 + [[201]] * 4 + [[260]] * 4 + [
    [203], [203], [210], [211], [220], [221], [221], [230], [231], [250], [250], [200, 201], [0, 200], [0],
    [2], [3], [999], [200, 0], [16]]


class Generator:
    def __init__(self, rng):
        self.rng = rng
        self.number = 0
        self.numbers = {spi: FIRST_ESN if sa.esn else 1 for spi, sa in ESP_IN.items()}
        self.accepted = {spi: [] for spi in ESP_IN}
        self.even = set()
        self.flows = {}
        self.spoilt = set()
        # of this burst
        self.ways, self.spis, self.stacks, self.first_flow, self.begun = [], [], [], 0, {}

    def odd(self, chance=0.02):
        return self.rng.random() < chance

    # ---- customers' packets

    def payload(self, flow, size):
        """UDP, by which a packet is known again."""
        self.number += 1
        text = b"PwF" + struct.pack(">HI", flow & 0xFFFF, self.number)
        text = (text + bytes((i * 7 + self.number) & 255 for i in range(size)))[:max(size, 9)]
        return struct.pack("!HHHH", 1000 + flow % 50, 2000, 8 + len(text), 0) + text

    def size(self):
        r = self.rng
        return r.choice((r.randrange(9, 200), r.randrange(9, 60), r.randrange(200, 1300),
                         r.randrange(1250, 1473)) if r.random() < 0.8 else (9, 10, 11, 12, 18))

    def customer(self, way, vrf="red"):
        """An IP packet of one of few flows of this way in."""
        r = self.rng
        flow = self.first_flow + r.randrange(3)
        shape = self.flows.setdefault((way, flow), {
            "v6": r.random() < 0.2, "tos": r.randrange(256), "df": r.random() < 0.5,
            "far": r.choice(FAR4_OF.get(vrf, FAR4)), "far6": r.choice(FAR6), "host": r.choice((1, 2, 2, 2, 3, 200)),
            "number": len(self.flows), "from": r.choice(("10.1", "10.1", "10.2", "10.42"))})
        if shape["far6" if shape["v6"] else "far"] in ("10.1", "2001:db8:1") and shape["host"] > 2:
            shape["host"] = 2  # nobody waits for a neighbour
        size, even = self.size(), True
        payload = self.payload(shape["number"], size)
        tos = shape["tos"]
        if shape["v6"]:
            packet, even = self.customer6(shape, payload, tos)
        else:
            packet, even = self.customer4(shape, payload, tos)
        if even and size < 1200:
            self.even.add(self.number)
        return packet

    def ttl(self):
        return self.rng.choice((0, 1, 2, 3, 255)) if self.odd(0.08) else 60

    def customer6(self, shape, payload, tos):
        r, ttl = self.rng, self.ttl()
        source, destination = six("2001:db8:1", 2), six(shape["far6"], shape["host"])
        if self.odd():
            return ip6(source, six("fe80:0:0", 9), 17, payload, ttl, tos), False
        if self.odd():
            return ip6(source, destination, 17, payload, ttl, tos,
                       total=r.choice((-9, -1, 1, 500))), False
        return ip6(source, destination, 17, payload, ttl, tos), ttl > 2

    def customer4(self, shape, payload, tos):
        r, ttl = self.rng, self.ttl()
        source = four(shape["from"] + ".0.2")
        destination = four("%s.%d.%d" % (shape["far"], 0 if shape["host"] < 100 else 200,
                                         shape["host"] % 199))
        fields = {"ttl": ttl, "tos": tos, "identification": self.number & 0xFFFF,
                  "fragment": 0x4000 if shape["df"] else 0}
        if not self.odd(0.15):
            return ip4(source, destination, 17, payload, **fields), ttl > 2
        what = r.randrange(8)
        if what == 0:
            fields["options"] = r.choice((b"\1\1\1\0", b"\x44\x0c\5\0" + bytes(8), b"\1" * 40))
        elif what == 1:
            fields["error"] = r.choice((1, 0x100, 0xFFFF, 0x8000, r.randrange(1, 0xFFFF)))
        elif what == 2:
            fields["total"] = r.choice((-len(payload), -len(payload) - 1, -1, 1, 4, 600,
                                        -len(payload) - 20))
        elif what == 3:
            fields["first"] = r.choice((0x44, 0x46, 0x55, 0x65, 0x35, 0x4F))
        elif what == 4:
            fields["fragment"] |= r.choice((0x2000, 0x2010, 0x10, 0x8000))
        elif what == 5:
            source = r.choice(MARTIANS)
        elif what == 6:
            destination = r.choice(MARTIANS)
        else:  # headers that only look like tunnels'
            return ip4(source, destination, r.choice((50, 47, 4, 41, 1, 6, 253)), payload,
                       **fields), False
        return ip4(source, destination, 17, payload, **fields), False

    def from_customer(self):
        r = self.rng
        way = r.choice(self.ways)
        port, source, tag = {RED: (RED, RED_CE, b""), BLUE: (BLUE, BLUE_CE, b"")}.get(
            way, (CORE2, CE_MACS.get(way), struct.pack("!HH", 0x8100, way if way > 99 else 0)))
        packet = self.customer(way, {RED: "red", BLUE: "blue"}.get(way) or VLANS[way])
        kind = struct.pack("!H", 0x86DD if packet[0] >> 4 == 6 else 0x800)
        target = mac(port_mac(port))
        if self.odd():
            tag = struct.pack("!HH", 0x8100, r.choice((0, 0xE000, 101, 0x6000 | 100, 256 + 100)))
            self.even.discard(self.number)
        if self.odd():
            kind = r.choice((b"\x88\x47", b"\x86\xdd", b"\x08\x06", b"\x81\0", b"\x08\0"))
        if self.odd():
            target = r.choice((b"\xff" * 6, b"\1\0\x5e\0\0\5", b"\2\x50\0\0\0\x63"))
        frame = target + mac(source) + tag + kind + packet
        if self.odd(0.01):
            frame = frame[: r.randrange(1, 60)]
        elif len(frame) < 60 or self.odd(0.05):
            frame += bytes(r.choice((1, 4, 18, 46)))
        return port, frame

    # ---- from the core

    def labelled(self, way):
        """What is in GRE."""
        r = self.rng
        stack = r.choice(self.stacks)
        ttl = r.choice((0, 1, 2, 3)) if self.odd(0.05) else r.choice((9, 64, 255))
        packet = self.customer((way, tuple(stack)), {201: "blue", 260: "blue", 203: "green", 220: "none", 221: "none"}.get(
            stack[-1], "red"))
        if ttl <= 3 or len(stack) > 1 or stack[0] == 210:
            self.even.discard(self.number)
        bottom = not self.odd(0.03)
        if not bottom:
            self.even.discard(self.number)
        if self.odd():
            packet = packet[: r.randrange(0, 28)]
        return mpls(stack, ttl, r.randrange(8), bottom) + packet

    def gre(self, way):
        r = self.rng
        if self.odd(0.05):
            packet = self.customer((way, "plain"))
            kind = 0x86DD if packet[0] >> 4 == 6 else 0x800
            return struct.pack("!HHI", 0x2000, kind, r.choice((7, 7, 7, 8))) + packet
        inside = self.labelled(way)
        if not self.odd():
            return b"\0\0\x88\x47" + inside
        self.even.discard(self.number)
        return r.choice((b"\0\0\x88\x48", b"\0\1\x88\x47", b"\x10\0\x88\x47\0\0\0\1",
                         b"\0\0")) + inside

    def outer(self, source, protocol, payload):
        """Congestion is marked whatever the flow; only what may be marked is marked by it."""
        tos = self.rng.choice((0, 0, 0, 0, 1, 2, 3, 0xB8))
        return ip4(four(source), four(PE1), protocol, payload, tos=tos)

    def clear(self):
        r = self.rng
        n = r.choice((2, 2, 2, 2, 7, 8, 10, 14, 6, 3, 99))
        if self.odd(0.1):
            packet = self.customer("six")
            return self.outer(peer(9), 41 if packet[0] >> 4 == 6 else 4, packet)
        if self.odd(0.1):
            return self.outer(peer(12), 137, self.labelled("mip"))
        return self.outer(peer(n), 47, self.gre(n))

    def next_number(self, spi):
        r = self.rng
        if self.accepted[spi] and self.odd(0.06):
            self.even.discard(self.number)
            return r.choice(self.accepted[spi][-60:]), False
        if self.odd(0.08):  # late, but not too late; or too late when the burst comes
            late = r.choice((self.numbers[spi] - r.randrange(1, 100),
                             self.begun[spi] - WINDOW - r.randrange(10, 60)))
            if late > 0 and (spi, late) not in self.spoilt:
                self.even.discard(self.number)
                return late, False
        self.numbers[spi] += 1 if r.random() < 0.9 else r.randrange(1, 4)
        return self.numbers[spi], True

    def trailer(self, sa, payload, next_header):
        r = self.rng
        if not self.odd(0.12):
            return sa.trailer(payload, next_header, r.choice((0, 0, 0, 0, 0, 1, 64, 100)))
        self.even.discard(self.number)
        align = sa.suite.align
        if self.odd(0.5):  # any padding, right or wrong
            pad = -(len(payload) + 2) % align + align * r.randrange(0, 256 // align - 1)
            text = bytearray(bytes(range(1, pad + 1)))
            if text and self.odd(0.4):
                text[r.randrange(len(text))] ^= 1 << r.randrange(8)
            return payload + bytes(text) + bytes([pad, next_header])
        text = bytearray(sa.trailer(payload, next_header))
        text[-2] = r.randrange(256)
        if self.odd(0.3):
            text[-1] = r.choice((4, 41, 47, 59, 137, 6, 50))
        return bytes(text)

    def sealed(self):
        r = self.rng
        spi = r.choice(self.spis)
        return self.sealed_by(ESP_IN[spi], spi)

    def sealed_by(self, sa, spi):
        r = self.rng
        if sa.mode == "tunnel":
            payload = self.customer("site")
            text = self.trailer(sa, payload, 41 if payload[0] >> 4 == 6 else 4)
        else:
            text = self.trailer(sa, self.gre(spi), 47)
        number, new = self.next_number(spi)
        esp = sa.seal(text, number)
        spoilt = new and self.odd(0.05)
        if spoilt:
            esp = bytearray(esp)
            esp[r.randrange(8, len(esp))] ^= 1 << r.randrange(8)
            esp = bytes(esp)
            self.spoilt.add((spi, number))
        elif new:
            self.accepted[spi].append(number)
        if spoilt:
            self.even.discard(self.number)
        if spoilt and self.odd(0.3):
            esp = esp[: r.choice((0, 1, 4, 7, 8, 12, 20, 40))]
        elif spoilt and self.odd(0.3):
            esp = struct.pack("!I", r.choice((0, 0x9999, 0x2003))) + esp[4:]
        source = sa.source if not self.odd(0.01) else peer(5)
        if sa.natt:
            esp = struct.pack("!HHHH", 4500, 4500, 8 + len(esp), 0) + esp
            return self.outer(source, 17, esp)
        return self.outer(source, 50, esp)

    def from_core(self):
        r = self.rng
        frame = mac(port_mac(CORE)) + mac(P2)
        if self.odd(0.04):
            return CORE, frame + b"\x88\x47" + self.labelled("wire")
        packet = self.sealed() if r.random() < 0.6 else self.clear()
        frame += b"\x08\0" + packet
        if len(frame) < 60 or self.odd(0.03):
            frame += bytes(r.choice((0, 0, 0, 1, 18, 46)))
        return CORE, frame

    def burst(self):
        """[(port, frame)], and which of them keep their order."""
        r = self.rng
        self.even.clear()
        self.ways = r.sample((RED, RED, BLUE, 100, 200, 300), r.randrange(1, 4))
        self.spis = r.sample([0x1003] * 4 + [0x1002, 0x1004, 0x1005, 0x3003] * 2 + [0x100B, 0x1042],
                             r.randrange(1, 5))
        self.stacks = r.sample(STACKS, r.randrange(1, 9))
        if self.odd(0.1):  # by a label for sealed packets, from one who need not seal them
            self.spis, self.stacks = [0x1002], [[260]]
        self.first_flow = 3 * r.randrange(8)
        self.begun = dict(self.numbers)
        # More than are looked at together; fewer than ICMP errors that may be sent at once.
        count = r.choice((1, 2, 3, r.randrange(1, 65), 64, r.randrange(65, 96)))
        core = r.choice((0, 0.5, 1))
        burst = []
        while len(burst) < count:
            if burst and self.odd(0.01):  # again, in the same burst
                again = r.choice(burst)
                self.even.discard(again[2])
                burst.append(again)
                continue
            burst.append((*(self.from_core() if r.random() < core else self.from_customer()),
                          self.number))
        for numbers in self.accepted.values():
            del numbers[:-100]
        return [(port, frame) for port, frame, _ in burst], set(self.even)
