#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
IPsec interfaces against a real Linux kernel's: xfrm with an if_id and vti with a mark, in a VRF,
tunnel mode. The lab of test_linux_pe.py; the guest is the off-net site, and both get the same
commands (tunnel.sh).

test_linux_tunnel.py [--build FOLDER] [--driver af_packet|af_xdp] [CASE...]
"""

import os
import subprocess
import sys
import time

import test_linux_esp as esp
import test_linux_pe as base
from test_linux_esp import CBC128, CHACHA, FLOOD, GCM128, GCM256, WAYS, both_ways, ping, same_counts, tcp
from test_linux_pe import Failed, arrived, in_ce, script

base.PE, base.CE, base.GUEST = "interop-tun-pe", "interop-tun-ce", "pwtunnel"
CLEAR = "net 10.1.0.0/24 or net 2001:db8:1::/64"
IDS = {"xfrm": "if_id 42", "vti": "mark 42 mask 0xffffffff"}


def sa_lines(suite, pair, kind, esn=False, window=32, udp=False, more="", ways=(0, 1)):
    """The SAs of a pair, for either side; way 0 is Linux to Pewter."""
    text = "set -e\n"
    for way in ways:
        source, to = WAYS[way]
        spi = pair << 8 | way
        text += "ip xfrm state add src %s dst %s proto esp spi %#x reqid 42 mode tunnel %s " % (
            source, to, spi, suite.keyed(spi))
        text += "replay-window %d flag af-unspec%s %s %s %s\n" % (
            window, " esn" if esn else "", IDS[kind],
            "encap espinudp 4500 4500 0.0.0.0" if udp else "", more)
    return text


def largest(suite, link=1500, udp=False):
    """The customer's biggest packet: esp.Suite's, without GRE and label."""
    return suite.largest(link, udp) + 8


def sa_delete(pair, way, kind):
    """A key of an SA in Linux has its mark in it, and not its if_id."""
    return esp.sa_delete(pair, way).rstrip() + (" %s\n" % IDS[kind] if kind == "vti" else "\n")


class Lab(esp.Lab):
    """Both have an IPsec interface of one kind."""

    def __init__(self, build, driver):
        super().__init__(build, driver)
        self.pewter.socket = os.path.join(self.cache, "pewter-tunnel.sock")
        self.pewter.log = os.path.join(self.cache, "pewterd-tunnel.log")
        self.kind = None

    def up(self):
        base.Lab.up(self)
        self.linux.sh("""
            exec >/dev/null 2>&1
            # Linux counts what it cuts after its SA took it as one packet
            ip netns exec ce ethtool -K ce1 tso off gso off
            ip netns exec ce sh -c 'while :; do busybox nc -l -p 5001 -e cat; done' &
            ethtool -K eth0 gro off  # or ESP is opened before tcpdump sees it
            tcpdump --immediate-mode -i eth0 -n -U -s 96 -w /run/wire 'ip or ip6' &
            """)

    def seen(self, what):
        """How many packets of this kind the guest has seen on the wire, from and to it."""
        time.sleep(0.3)
        return int(self.linux.sh("tcpdump -n -r /run/wire '%s' 2>/dev/null | wc -l" % what))

    def interface(self, kind, mtu):
        if self.kind:
            for side in (self.linux, self.pewter):
                side.sh("ip xfrm state flush; ip xfrm policy flush; ip link del ipsec0")
        self.kind = kind
        # Linux finds out about the MTU of a path on its own, its interface has the operator's.
        for side, me, core in ((self.linux, 1, "eth0"), (self.pewter, 2, "core")):
            side.sh(script("tunnel.sh", me=me, you=3 - me, core=core, kind=kind, id=IDS[kind], mtu=mtu))

    def seal(self, suite, kind="xfrm", link=1500, **options):
        """An interface of this kind on both sides, and one pair of SAs. Returns the pair."""
        self.interface(kind, largest(suite, link, options.get("udp", False)))
        self.pair += 1
        lines = sa_lines(suite, self.pair, kind, **options)
        self.linux.sh("ip -n ce route flush cache; ip -n ce -6 route flush cache\n" + lines)
        self.pewter.sh(lines)
        in_ce("ip", "route", "flush", "cache")
        in_ce("ip", "-6", "route", "flush", "cache")
        return self.pair


def lab():
    return base.LABS[0]


def passes(suite, kind, **options):
    """One pair of SAs carries both families and TCP both ways, and both sides count the same."""
    pair = lab().seal(suite, kind, **options)
    both_ways()
    arrived(ping("2001:db8:1::2"))
    arrived(lab().from_linux("2001:db8:2::2"))
    tcp()
    same_counts(pair, 70)
    drops = lab().grown()
    drops.pop("mtu-exceeded", None)  # how TCP finds its MTU
    if drops:
        raise Failed("Pewter dropped %s" % drops)


def suite_cases():
    cases = {}

    def add(suite, kind, **options):
        name = "-".join([kind, suite.name] + [key + ("" if value is True else str(value))
                                              for key, value in options.items() if value])
        cases[name] = lambda: passes(suite, kind, **options)

    for kind in IDS:
        add(GCM128, kind, esn=True, window=128)
        add(GCM256, kind, window=32)
        add(CBC128, kind, esn=True, window=64)
    add(CHACHA, "xfrm", esn=True, window=1024)
    add(GCM128, "xfrm", esn=True, window=128, udp=True)
    return cases


def limit(suite, kind, **options):
    """What fits passes with DF, both ways; one byte more, and Pewter says what would fit."""
    lab().seal(suite, kind, window=128, **options)
    most = largest(suite, udp=options.get("udp", False))
    arrived(ping("-M", "do", "-s", str(most - 28), "10.1.0.2"))
    arrived(lab().from_linux("-M", "do", "-s", str(most - 28), "10.2.0.2"))
    text = ping("-M", "do", "-s", str(most + 1 - 28), "10.1.0.2", count=1)
    if "mtu = %d)" % most not in text:
        raise Failed("no frag needed with %d: %s" % (most, text.strip()))
    text = ping("-M", "do", "-s", str(most + 1 - 48), "2001:db8:1::2", count=1)
    if "mtu=%d" % most not in text.replace(" ", ""):
        raise Failed("no packet too big with %d: %s" % (most, text.strip()))


def case_limit_gcm():
    limit(GCM128, "xfrm", esn=True)


def case_limit_cbc_vti():
    limit(CBC128, "vti")


def case_limit_udp():
    limit(GCM256, "xfrm", udp=True)


def case_fragments_before_esp():
    """What is too big and may be cut is, before it is sealed: there is no fragment of ESP."""
    lab().seal(GCM128, esn=True, window=128)
    before = esp.reassembled_by_linux()
    for size in (largest(GCM128) + 1 - 28, 1472, 4000):
        arrived(ping("-M", "dont", "-s", str(size), "10.1.0.2"))
        arrived(lab().from_linux("-M", "dont", "-s", str(size), "10.2.0.2"))
    after = esp.reassembled_by_linux()
    if after[0] != before[0] or after[1] < before[1] + 18:
        raise Failed("Linux put together %s, before %s (PE, customer)" % (after, before))
    grown = lab().grown("events")
    if grown.get("fragmented", 0) < 9 or "reassembled" in grown:
        raise Failed("Pewter's events: %s" % grown)


def case_fragments_of_esp():
    """Linux, whose link is narrower than its tunnel, cuts what it has sealed; Pewter puts it together first."""
    pair = lab().seal(GCM128, window=128, more="flag nopmtudisc")
    lab().linux.sh("ip link set eth0 mtu 700; ip link set ipsec0 mtu 1400")
    try:
        for size in (1000, 1300):
            arrived(lab().from_linux("-M", "dont", "-s", str(size), "10.2.0.2", count=5), 5)
        grown = lab().grown("events")
        if grown.get("reassembled", 0) < 10:
            raise Failed("Pewter's events: %s" % grown)
        same_counts(pair, 10)
    finally:
        lab().linux.sh("ip link set eth0 mtu 1500")


def case_outer_header():
    """TTL 64, DSCP and ECN of what is inside; DF as there (RFC 4301 5.1.2.1, RFC 6040)."""
    lab().seal(GCM128, esn=True, window=128)
    for tos, fragment, df in (("0xba", "do", "!="), ("0x28", "dont", "=")):
        what = "esp and src 10.255.0.2 and ip[1] = %s and ip[8] = 64 and ip[6] & 0x40 %s 0" % (tos, df)
        before = lab().seen(what)
        arrived(ping("-Q", tos, "-M", fragment, "10.1.0.2"))
        if lab().seen(what) - before != 3:
            raise Failed("%d of 3 with TOS %s, TTL 64, DF %s 0" % (lab().seen(what) - before, tos, df))


def case_hops():
    """The tunnel is one hop: each end takes one off the TTL, and says so with an address in the VRF."""
    lab().seal(GCM128)
    text = ping("10.1.0.2", count=1)
    if "ttl=62" not in text:
        raise Failed("the answer took other than two hops: " + text.strip())
    for target, wanted in (("10.1.0.2", "10.2.0.1"), ("2001:db8:1::2", "2001:db8:2::1")):
        found = base.expired_at(1, target)
        if found != wanted:
            raise Failed("first hop to %s: %s" % (target, found))


def case_rekey_under_load():
    """Three times while a flood of pings goes on: nothing is lost, nothing is refused."""
    options = {"esn": True, "window": 128}
    linux, pewter = lab().linux, lab().pewter
    pair = lab().seal(GCM128, **options)
    with subprocess.Popen(["ip", "netns", "exec", base.CE, "/usr/bin/python3", "-c", FLOOD],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
        try:
            for _ in range(3):
                old, lab().pair = pair, lab().pair + 1
                pair = lab().pair
                way = [sa_lines(GCM128, pair, "xfrm", ways=(way,), **options) for way in (0, 1)]
                linux.sh(way[1])
                pewter.sh(way[0])
                linux.sh(way[0])
                pewter.sh(way[1])
                time.sleep(0.3)  # what is on its way
                both = "".join(sa_delete(old, way, "xfrm") for way in (0, 1))
                linux.sh(both)
                pewter.sh(both)
        finally:
            sent, back = map(int, flood.communicate(timeout=20)[0].split())
    if sent < 300 or back != sent:
        raise Failed("%d sent, %d came back" % (sent, back))
    same_counts(pair, 20)
    if lab().grown():
        raise Failed("Pewter dropped %s" % lab().grown())


def narrow(side, direction, source, to):
    """This side's policy for the direction, of IPv4, is for these addresses only."""
    tail = "tmpl src %s dst %s proto esp reqid 42 mode tunnel\n" % WAYS[direction != "in"]
    side.sh("set -e\nip xfrm policy delete src 0.0.0.0/0 dst 0.0.0.0/0 dir %s if_id 42\n" % direction
            + "ip xfrm policy add src %s dst %s dir %s if_id 42 " % (source, to, direction) + tail)


def case_selectors():
    """Linux seals what Pewter's policy does not let that SA carry: dropped after decryption."""
    lab().seal(GCM128, window=128)
    side = lab().pewter
    narrow(side, "in", "10.1.0.0/25", "10.2.0.0/24")
    side.sh("ip xfrm policy delete src 0.0.0.0/0 dst 0.0.0.0/0 dir fwd if_id 42")
    both_ways()
    lab().linux.sh("ip -n ce addr add 10.1.0.200/24 dev ce1")
    try:
        text = lab().from_linux("-W", "1", "-I", "10.1.0.200", "10.2.0.2")
    finally:
        lab().linux.sh("ip -n ce addr del 10.1.0.200/24 dev ce1")
    if " 0 received" not in text or lab().grown() != {"policy-selector": 3}:
        raise Failed("dropped %s: %s" % (lab().grown(), text.strip()))


def case_without_an_sa():
    """Neither side has an SA: Pewter drops, and nothing is in clear."""
    lab().seal(GCM128)
    lab().pewter.sh("ip xfrm state flush")
    text = ping("-W", "1", "10.1.0.2")
    if " 0 received" not in text or lab().grown() != {"sa-none": 3}:
        raise Failed("dropped %s: %s" % (lab().grown(), text.strip()))


def case_interface_gone():
    """Without the interface its SAs let nothing in; it comes back, and so does the traffic."""
    lab().seal(GCM128, window=128)
    both_ways()
    lab().pewter.sh("ip link del ipsec0")
    text = lab().from_linux("-W", "1", "10.2.0.2")
    if " 0 received" not in text or lab().grown().get("policy-none") != 3:
        raise Failed("dropped %s: %s" % (lab().grown(), text.strip()))
    lab().pewter.sh("""set -e
        ip link add ipsec0 type xfrm dev core if_id 42
        ip link set ipsec0 master cust
        ip link set ipsec0 up
        ip route add 10.1.0.0/24 table 10 dev ipsec0
        ip route add 2001:db8:1::/64 table 10 dev ipsec0""")
    both_ways()


def case_nothing_was_clear():
    """In all cases so far the wire has seen ESP, and no packet of the customers."""
    lab().seal(GCM128)
    both_ways()
    ways = [lab().seen("esp and src " + source) for source, _ in WAYS]
    clear = lab().seen(CLEAR)
    if min(ways) < 8 or clear != 0:
        raise Failed("%s packets of ESP, %d in clear" % (ways, clear))


if __name__ == "__main__":
    sys.exit(base.main("linux-tunnel", __doc__, {**suite_cases(), **base.cases_of(globals())}, Lab,
                       prepare=esp.prepare))
