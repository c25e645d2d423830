#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
ESP between Pewter and the XFRM of a real Linux kernel: the lab of test_linux_pe.py, sealed in
transport mode. Both PEs take the same `ip xfrm` lines.

test_linux_esp.py [--build FOLDER] [--driver af_packet|af_xdp] [CASE...]
"""

import base64
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import namedtuple

import test_linux_pe as base
from test_linux_pe import HERE, Failed, arrived, in_ce, increase, run

base.PE, base.CE, base.GUEST = "interop-esp-pe", "interop-esp-ce", "pwesp"
LINUX, PEWTER = "10.255.0.1", "10.255.0.2"
GRE = "ip proto 47 or ip proto 137"
REQID = 7

POLICY = """ip xfrm policy add src %s/32 dst %s/32 proto gre dir %s \
    tmpl src %s dst %s proto esp reqid %d mode transport
"""

ECHO = """
import hashlib, os, socket, sys, threading, time
for attempt in range(40):
    try:
        there = socket.create_connection(("10.1.0.2", 5001), 10)
        break
    except ConnectionRefusedError:  # the server is between two connections
        time.sleep(0.1)
data = os.urandom(int(sys.argv[1]))
threading.Thread(target=there.sendall, args=(data,), daemon=True).start()
got = b""
while len(got) < len(data):
    more = there.recv(65536)
    if not more:
        break
    got += more
print("same" if got == data else "differs: %d of %d bytes" % (len(got), len(data)))
"""

FLOOD = """
import select, socket, struct, sys, time
icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
icmp.connect(("10.1.0.2", 0))
sent, back, end = 0, set(), None
while end is None or (len(back) < sent and time.monotonic() < end):
    if end is None and select.select([sys.stdin], [], [], 0)[0]:
        end = time.monotonic() + 5
    elif end is None and sent - len(back) < 64:  # no queue on the way overflows
        total = 0x0800 + 0x77 + sent
        checksum = ~((total & 0xffff) + (total >> 16)) & 0xffff
        icmp.send(struct.pack("!BBHHH", 8, 0, checksum, 0x77, sent))
        sent += 1
    while select.select([icmp], [], [], 0.002)[0]:
        packet = icmp.recv(2048)
        if packet[20] == 0:
            back.add(packet[26:28])
print(sent, len(back))
"""

SINK = """
import hashlib, socket
with socket.create_server(("10.2.0.2", 5002)) as server:
    print("listening", flush=True)
    server.settimeout(20)
    there, _ = server.accept()
    there.settimeout(20)
    digest = hashlib.md5()
    while data := there.recv(65536):
        digest.update(data)
    print(digest.hexdigest())
"""


class Suite(namedtuple("Suite", "name words iv align icv")):
    """Algorithms as `ip xfrm` takes them, with keys in place of each {bytes}; what they cost."""

    def keyed(self, spi):
        return re.sub(r"\{(\d+)\}", lambda size: "0x" + hashlib.shake_128(
            b"%d %s" % (spi, size.group().encode())).hexdigest(int(size.group(1))), self.words)

    def largest(self, link=1500, udp=False):
        """The customer's biggest packet: outer IPv4, ESP, GRE, one label (RFC 4303 2, 2.4)."""
        room = link - 20 - (8 if udp else 0) - 8 - self.iv - self.icv
        return room - room % self.align - 2 - 4 - 4


GCM128 = Suite("gcm128", "aead 'rfc4106(gcm(aes))' {20} 128", 8, 4, 16)
GCM256 = Suite("gcm256", "aead 'rfc4106(gcm(aes))' {36} 128", 8, 4, 16)
CHACHA = Suite("chacha", "aead 'rfc7539esp(chacha20,poly1305)' {36} 128", 8, 4, 16)
CBC128 = Suite("cbc128-sha256", "enc 'cbc(aes)' {16} auth-trunc 'hmac(sha256)' {32} 128",
               16, 16, 16)
CBC256 = Suite("cbc256-sha512", "enc 'cbc(aes)' {32} auth-trunc 'hmac(sha512)' {64} 256",
               16, 16, 32)
WAYS = ((LINUX, PEWTER), (PEWTER, LINUX))


def policy_lines(first, second):
    """Policies with these directions for the two ways."""
    return "set -e\n" + "".join(POLICY % (source, to, direction, source, to, REQID)
                                for (source, to), direction in zip(WAYS, (first, second)))


def sa_lines(suite, pair, esn=False, window=32, udp=False, more="", ways=(0, 1)):
    """The SAs of a pair, for either side; way 0 is Linux to Pewter. Their SPIs tell them apart."""
    text = "set -e\n"
    for way in ways:
        source, to = WAYS[way]
        spi = pair << 8 | way
        text += "ip xfrm state add src %s dst %s proto esp spi %#x reqid %d mode transport %s " % (
            source, to, spi, REQID, suite.keyed(spi))
        text += "replay-window %d %s %s %s\n" % (
            window, "flag esn" if esn else "",
            "encap espinudp 4500 4500 0.0.0.0" if udp else "", more)
    return text


def sa_delete(pair, way):
    source, to = WAYS[way]
    return "ip xfrm state delete src %s dst %s proto esp spi %#x\n" % (source, to, pair << 8 | way)


def sa_list(text):
    """`ip -s xfrm state`: {SPI: (bytes, packets, replays refused, ICVs refused)}, {SPI: text}"""
    counts, texts = {}, {}
    for one in re.split(r"^(?=src )", text, flags=re.M):
        spi = re.search(r"spi 0x([0-9a-f]+)", one)
        current = re.search(r"lifetime current:\s+(\d+)\(bytes\), (\d+)\(packets\)", one)
        stats = re.search(r"replay-window \d+ replay (\d+) failed (\d+)", one)
        if spi and current and stats:
            texts[int(spi.group(1), 16)] = one
            counts[int(spi.group(1), 16)] = tuple(map(int, current.groups() + stats.groups()))
    return counts, texts


def refusals(text):
    """What Linux's XFRM refused so far, by its own names."""
    return {name: int(count) for name, count in re.findall(r"^(Xfrm\S+)\s+(\d+)$", text, re.M)}


class Lab(base.Lab):
    """Both PEs; Linux watches the wire for what should have been in ESP."""

    def __init__(self, build, driver):
        super().__init__(build, driver)
        self.pewter.socket = os.path.join(self.cache, "pewter-esp.sock")
        self.pewter.log = os.path.join(self.cache, "pewterd-esp.log")
        self.pair = 0
        self.wire = None  # tcpdump
        self.capture = os.path.join(self.cache, "esp.pcap")

    def up(self):
        super().up()
        self.wire = subprocess.Popen(
            ["ip", "netns", "exec", base.PE, "tcpdump", "-i", "core", "-n", "-U", "-s", "64", "-w",
             self.capture, "ip proto 47 or ip proto 137 or ip proto 50 or udp port 4500"],
            stderr=subprocess.DEVNULL)
        self.linux.sh("""
            exec >/dev/null 2>&1
            ip netns exec ce sh -c 'while :; do busybox nc -l -p 5001 -e cat; done' &
            """)
        self.linux.sh(policy_lines("out", "in"))
        self.pewter.sh(policy_lines("in", "out"))

    def down(self):
        if self.wire:
            self.wire.terminate()
            self.wire.wait()
            self.wire = None
        return super().down()

    def seal(self, suite, tunnel="gre1", gre="", **options):
        """Both PEs have this tunnel, and one pair of SAs. Returns the pair."""
        self.use({"gre1": "p2p.sh", "mgre0": "mgre.sh"}[tunnel], tunnel, gre=gre)
        self.pair += 1
        # Linux does not count ESP in a GRE device's own MTU; as everywhere, its operator must.
        room = suite.largest(udp=options.get("udp", False)) + 4
        lines = sa_lines(suite, self.pair, **options)
        self.linux.sh("""ip link set %s mtu %d; ip xfrm state flush
            ip -n ce route flush cache; ip -n ce -6 route flush cache\n""" % (tunnel, room) + lines)
        self.pewter.sh("ip xfrm state flush\n" + lines)
        in_ce("ip", "route", "flush", "cache")
        in_ce("ip", "-6", "route", "flush", "cache")
        return self.pair

    def from_linux(self, *words, count=3):
        return super().from_linux(*burst(count), *words, count=count)

    def states(self):
        """Both sides' SAs, as sa_list() has them, and refusals()."""
        linux = self.linux.sh("ip -s xfrm state; cat /proc/net/xfrm_stat")
        return sa_list(linux), sa_list(self.pewter.sh("ip -s xfrm state")), refusals(linux)

    def seen(self, what):
        """How many packets of this kind the wire has seen."""
        return len(run("tcpdump", "-n", "-r", self.capture, what).stdout.splitlines())

    def mark(self):
        """From now on Linux's refusals count, too."""
        super().mark()
        self.before["linux"] = refusals(self.linux.sh("cat /proc/net/xfrm_stat"))


def burst(count):
    """All requests at once; for the last answers ping waits no longer than its interval."""
    return "-i", "2", "-l", str(count)


def ping(*words, count=3):
    return base.ping(*burst(count), *words, count=count)


def lab():
    return base.LABS[0]


def both_ways(count=4):
    arrived(ping("10.1.0.2", count=count), count)
    arrived(lab().from_linux("10.2.0.2", count=count), count)


def tcp(size=100000):
    said = in_ce("/usr/bin/python3", "-c", ECHO, str(size), check=False)
    if said.stdout.strip() != "same":
        raise Failed("TCP: " + (said.stdout + said.stderr).strip()[-300:])


def same_counts(pair, least):
    """Packets and bytes of each SA are what the other side says, and nothing was refused."""
    for _ in range(10):
        (linux, _), (pewter, _), errors = lab().states()
        if linux == pewter:
            break
        time.sleep(0.2)  # the last packets of a connection
    if linux != pewter:
        raise Failed("Linux counts %s, Pewter %s" % (linux, pewter))
    for way in (0, 1):
        count = linux.get(pair << 8 | way)
        if count is None or count[1] < least or count[2:] != (0, 0):
            raise Failed("SA %#x: %s" % (pair << 8 | way, count))
    if errors != lab().before["linux"]:
        raise Failed("Linux refused %s" % increase(lab().before["linux"], errors))


def passes(suite, tunnel="gre1", **options):
    """One pair of SAs carries ping and TCP both ways, and both sides count the same."""
    pair = lab().seal(suite, tunnel, **options)
    both_ways()
    tcp()
    same_counts(pair, 70)
    drops = lab().grown()
    drops.pop("mtu-exceeded", None)  # how TCP finds its MTU
    if drops:
        raise Failed("Pewter dropped %s" % drops)


def suite_cases():
    """{name: function}: each suite with what may go wrong with it."""
    cases = {}

    def add(suite, tunnel="gre1", **options):
        name = "-".join([suite.name] + [key + ("" if value is True else str(value))
                                        for key, value in options.items() if value])
        cases[name] = lambda: passes(suite, tunnel, **options)

    for suite in (GCM128, GCM256):
        for esn in (False, True):
            for window in (32, 128, 1024):
                add(suite, "mgre0", esn=esn, window=window)
    for suite in (CBC128, CBC256, CHACHA):
        for esn in (False, True):
            add(suite, esn=esn, window=64)
    for suite in (GCM128, CBC128):
        add(suite, esn=True, window=128, udp=True)
    return cases


def limit(suite, **options):
    """What fits passes with DF, both ways; one byte more, and Pewter says what would fit."""
    lab().seal(suite, window=128, **options)
    most = suite.largest(udp=options.get("udp", False))
    arrived(ping("-M", "do", "-s", str(most - 28), "10.1.0.2"))
    arrived(lab().from_linux("-M", "do", "-s", str(most - 28), "10.2.0.2"))
    text = ping("-M", "do", "-s", str(most + 1 - 28), "10.1.0.2", count=1)
    if "mtu = %d)" % most not in text:
        raise Failed("no frag needed with %d: %s" % (most, text.strip()))
    text = ping("-M", "do", "-s", str(most + 1 - 48), "2001:db8:1::2", count=1)
    if "mtu=%d" % most not in text.replace(" ", ""):
        raise Failed("no packet too big with %d: %s" % (most, text.strip()))


def case_limit_gcm():
    limit(GCM128)


def case_limit_cbc():
    limit(CBC128)


def case_limit_cbc_sha512():
    limit(CBC256, esn=True)


def case_limit_udp():
    limit(GCM256, udp=True)


def case_limit_udp_cbc():
    limit(CBC128, udp=True)


def case_limit_of_every_length():
    """Padding of each length, next to the largest packet of a block cipher."""
    lab().seal(CBC128, window=128)
    most = CBC128.largest()
    for size in range(most - 17, most + 1):
        arrived(ping("-M", "do", "-s", str(size - 28), "10.1.0.2", count=1), 1)


def reassembled_by_linux():
    """Packets that Linux itself, as the tunnel's end, and its customer put together."""
    text = lab().linux.sh("grep ^Ip: /proc/net/snmp; ip netns exec ce grep ^Ip: /proc/net/snmp")
    rows = [line.split() for line in text.splitlines()]
    at = rows[0].index("ReasmOKs")
    return int(rows[1][at]), int(rows[3][at])


def case_fragmentation_before_encryption():
    """A packet without DF is cut before it is sealed: the core sees no fragment of ESP."""
    lab().seal(GCM128, esn=True, window=128)
    before = reassembled_by_linux()
    for size in (1438 + 1 - 28, 1472, 4000):
        arrived(ping("-M", "dont", "-s", str(size), "10.1.0.2"))
        arrived(lab().from_linux("-M", "dont", "-s", str(size), "10.2.0.2"))
    after = reassembled_by_linux()
    if after[0] != before[0] or after[1] < before[1] + 18:
        raise Failed("Linux put together %s, before %s (PE, customer)" % (after, before))
    grown = lab().grown("events")
    if grown.get("fragmented", 0) < 18 or "reassembled" in grown:
        raise Failed("Pewter's events: %s" % grown)


def case_fragments_of_esp():
    """Linux, whose link is narrower, cuts what it has sealed; Pewter puts it together first."""
    pair = lab().seal(GCM128, window=128, gre="nopmtudisc")
    lab().linux.sh("ip link set eth0 mtu 700")
    try:
        for size in (1000, 1400):
            arrived(lab().from_linux("-M", "dont", "-s", str(size), "10.2.0.2", count=5), 5)
        tcp(50000)
        grown = lab().grown("events")
        if grown.get("reassembled", 0) < 20:
            raise Failed("Pewter's events: %s" % grown)
        same_counts(pair, 10)
    finally:
        lab().linux.sh("ip link set eth0 mtu 1500")


def case_ipv6_customer():
    lab().seal(GCM256, esn=True, window=128)
    arrived(ping("2001:db8:1::2"))
    arrived(lab().from_linux("2001:db8:2::2"))


def case_tcp_from_linux():
    """The connection is Linux's customer's."""
    lab().seal(GCM128, esn=True, window=1024)
    with subprocess.Popen(["ip", "netns", "exec", base.CE, "/usr/bin/python3", "-c", SINK],
                          stdout=subprocess.PIPE, text=True) as sink:
        try:
            sink.stdout.readline()
            wanted = lab().linux.sh("""head -c 400000 /dev/urandom > /run/data
                busybox md5sum < /run/data
                ip netns exec ce timeout 20 busybox nc 10.2.0.2 5002 < /run/data""").split()[0]
            got = sink.stdout.readline().strip()
        finally:
            sink.kill()
    if got != wanted:
        raise Failed("MD5 %s, sent was %s" % (got, wanted))


def rekey(old, **options):
    """New SAs for receiving, then for sending; then the old ones go. Returns the new pair."""
    linux, pewter = lab().linux, lab().pewter
    lab().pair += 1
    new = lab().pair
    way = [sa_lines(GCM128, new, ways=(way,), **options) for way in (0, 1)]
    linux.sh(way[1])
    pewter.sh(way[0])
    linux.sh(way[0])
    pewter.sh(way[1])
    time.sleep(0.3)  # what is on its way
    before = sa_list(pewter.sh("ip -s xfrm state"))[0]
    time.sleep(0.1)
    after = sa_list(pewter.sh("ip -s xfrm state"))[0]
    for way in (0, 1):
        if not after[new << 8 | way][1] > before[new << 8 | way][1] > 0:
            raise Failed("the new SAs are not used: %s" % after)
        if after[old << 8 | way] != before[old << 8 | way]:
            raise Failed("the old SAs are still used: %s" % after)
    linux.sh(sa_delete(old, 0) + sa_delete(old, 1))
    pewter.sh(sa_delete(old, 0) + sa_delete(old, 1))
    return new


def case_rekey_under_load():
    """Three times while a flood of pings goes on: nothing is lost, nothing is refused."""
    options = {"esn": True, "window": 128}
    pair = lab().seal(GCM128, "mgre0", **options)
    with subprocess.Popen(["ip", "netns", "exec", base.CE, "/usr/bin/python3", "-c", FLOOD],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
        try:
            for _ in range(3):
                pair = rekey(pair, **options)
        finally:
            sent, back = map(int, flood.communicate(timeout=20)[0].split())
    if sent < 300 or back != sent:
        raise Failed("%d sent, %d came back" % (sent, back))
    same_counts(pair, 20)
    if lab().grown():
        raise Failed("Pewter dropped %s" % lab().grown())


NEAR_END = "replay-seq 0xfffffff0 replay-oseq 0xfffffff0"


def case_rollover():
    """Extended numbers go past 2^32, both ways and on both sides (RFC 4303 A2)."""
    for suite in (GCM128, CBC128):
        pair = lab().seal(suite, esn=True, window=64,
                          more=NEAR_END + " replay-seq-hi 6 replay-oseq-hi 6")
        both_ways(count=20)
        for name, (_, texts) in zip(("Linux", "Pewter"), lab().states()):
            numbers = "".join(texts[pair << 8 | way] for way in (0, 1)).lower()
            # 40 each way, 16 of them up to the end of high half 6
            if len(re.findall(r"seq-hi 0x7, o?seq 0x18\b", numbers)) != 2:
                raise Failed("%s's numbers: %s" % (name, numbers))
        same_counts(pair, 40)


def case_numbers_end():
    """Without extended numbers 2^32 - 1 is the last; Pewter sends no more, and says why."""
    pair = lab().seal(GCM128, window=64)
    lab().pewter.sh(sa_delete(pair, 1)
                    + sa_lines(GCM128, pair, window=64, ways=(1,), more=NEAR_END))
    text = ping("-W", "1", "10.1.0.2", count=20)
    if "15 received" not in text:
        raise Failed("0xfffffff1 to 0xffffffff are 15: " + text.strip()[-200:])
    drops = lab().grown()  # the first is the SA's end
    if drops.pop("esp-sequence", 0) + drops.pop("sa-none", 0) != 5 or drops:
        raise Failed("dropped: %s" % lab().grown())


def case_nothing_was_clear():
    """In all cases so far the wire has seen ESP, and no GRE."""
    lab().seal(GCM128)
    both_ways()
    if lab().seen("esp") < 16 or lab().seen(GRE) != 0:
        raise Failed("%d packets of ESP, %d in clear" % (lab().seen("esp"), lab().seen(GRE)))


def case_without_an_sa():
    """Neither side has an SA: Pewter drops, and nothing is in clear."""
    lab().seal(GCM128)
    lab().pewter.sh("ip xfrm state flush")
    clear = lab().seen(GRE)
    text = ping("-W", "1", "10.1.0.2")
    if " 0 received" not in text or lab().grown() != {"sa-none": 3}:
        raise Failed("dropped %s: %s" % (lab().grown(), text.strip()))
    if lab().seen(GRE) != clear:
        raise Failed("there was GRE in clear")


def case_clear_is_refused():
    """A PE that forgets to seal is not heard; when it seals again, it is."""
    lab().seal(GCM128, window=128)
    lab().linux.sh("ip xfrm policy flush")
    try:
        text = lab().from_linux("-W", "1", "10.2.0.2")
    finally:
        lab().linux.sh(policy_lines("out", "in"))
    if " 0 received" not in text or lab().grown() != {"policy-clear": 3}:
        raise Failed("dropped %s: %s" % (lab().grown(), text.strip()))
    both_ways()


def start_encapsulation():
    """A socket for ESP in UDP, in the guest."""
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "espinudp")
        run("cc", "-Os", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector",
            "-fno-asynchronous-unwind-tables", "-Wl,--build-id=none,-s", "-o", program,
            os.path.join(HERE, "espinudp.c"))
        with open(program, "rb") as file:
            text = base64.b64encode(gzip.compress(file.read())).decode()
    lab().linux.sh("""set -e
        echo %s | busybox base64 -d | busybox gunzip > /run/espinudp
        chmod +x /run/espinudp
        /run/espinudp >/dev/null 2>&1 &
        sleep 0.2; kill -0 $!""" % text)


def prepare():
    """What tells of a case whether it can be run here."""
    udp = shutil.which("cc") is not None
    if udp:
        start_encapsulation()
    lines = sa_lines(CHACHA, 0xc0, ways=(0,))
    chacha = "RTNETLINK" not in lab().linux.sh(lines + sa_delete(0xc0, 0), check=False)

    def unable(name):
        if "chacha" in name and not chacha:
            return "this kernel has no ChaCha20-Poly1305"
        if "udp" in name and not udp:
            return "no compiler for the guest's UDP socket"
        if name == "nothing-was-clear" and lab().pewter.driver == "af_xdp":
            return "tcpdump does not see what AF_XDP takes and sends"
        return None

    return unable


if __name__ == "__main__":
    sys.exit(base.main("linux-esp", __doc__, {**suite_cases(), **base.cases_of(globals())}, Lab,
                       ("tcpdump",), prepare))
