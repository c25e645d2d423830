#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
Tunnels without labels against a real Linux kernel's: sit (6in4, RFC 4213), ipip, and GRE spokes
told by their key, in a VRF over another, in clear and in ESP. The lab of test_linux_pe.py; both
PEs get the same commands (iptunnel.sh).

test_linux_iptunnel.py [--build FOLDER] [--driver af_packet|af_xdp] [CASE...]
"""

import os
import subprocess
import sys
import time

import test_linux_pe as base
from test_linux_pe import Failed, arrived, in_ce, ping

base.PE, base.CE, base.GUEST = "interop-ipt-pe", "interop-ipt-ce", "pwiptunnel"

KEY = "0x" + "5a" * 16 + "01020304"
ENDS = ("10.255.0.1", "10.255.0.2")


def lab():
    return base.LABS[0]


def use(kind):
    lab().use("iptunnel.sh", "ipt0", gre=kind)


def both_ways(v4=True, v6=True):
    if v4:
        arrived(ping("10.1.0.2"))
        arrived(lab().from_linux("10.2.0.2"))
    if v6:
        arrived(ping("2001:db8:1::2"))
        arrived(lab().from_linux("2001:db8:2::2"))


def exact_mtu(mtu, v4=True, v6=True):
    """What fits passes, one byte more is answered with that number; without DF all passes."""
    in_ce("ip", "route", "flush", "cache")
    in_ce("ip", "-6", "route", "flush", "cache")
    for wanted, header, address in ((v4, 28, "10.1.0.2"), (v6, 48, "2001:db8:1::2")):
        if not wanted:
            continue
        arrived(ping("-M", "do", "-s", str(mtu - header), address))
        text = ping("-M", "do", "-s", str(mtu + 1 - header), address, count=1).replace(" ", "")
        if "mtu=%d" % mtu not in text:
            raise Failed("no MTU of %d for %s: %s" % (mtu, address, text))
    if v4:
        in_ce("ip", "route", "flush", "cache")
        arrived(ping("-M", "dont", "-s", "4000", "10.1.0.2"))
        arrived(lab().from_linux("-M", "dont", "-s", "4000", "10.2.0.2"))


def case_sit():
    use("type sit")
    both_ways()
    exact_mtu(1480)


def case_sit_ipv6_only():
    use("type sit mode ip6ip")
    both_ways(v4=False)
    exact_mtu(1480, v4=False)


def case_ipip():
    use("type ipip mode ipip")
    both_ways(v6=False)
    exact_mtu(1480, v6=False)


def case_inherit():
    use("type sit tos inherit")
    both_ways()


def case_ecn():
    """RFC 6040: what Pewter puts outside leaves the customer's ECT(0) what it is."""
    use("type sit")
    lab().linux.sh("""
        ip netns exec ce timeout 8 tcpdump -n -v -c 1 -i ce1 'icmp[0] = 8' > /run/dump 2>&1 &
        sleep 1""")
    ping("-Q", "2", "10.1.0.2", count=3)
    time.sleep(1)
    text = lab().linux.sh("cat /run/dump")
    if "tos 0x2" not in text:
        raise Failed("ECT(0) is not ECT(0) at the far customer: " + text.strip())


def case_endpoint_moves():
    """`ip tunnel change` on both sides, while the route stays."""
    use("type sit mode ip6ip")
    lab().linux.sh("ip addr add 10.255.0.77/32 dev lo\n"
                   "ip tunnel change ipt0 local 10.255.0.77")
    try:
        text = lab().from_linux("2001:db8:2::2", count=1)
        if "0 received" not in text:
            raise Failed("a stranger's packets passed: " + text.strip())
        lab().pewter.sh("ip route add 10.255.0.77/32 via 192.168.100.1\n"
                        "ip tunnel change ipt0 remote 10.255.0.77")
        both_ways(v4=False)
    finally:
        lab().linux.sh("ip tunnel change ipt0 local 10.255.0.1\n"
                       "ip addr del 10.255.0.77/32 dev lo")
        lab().pewter.sh("ip tunnel change ipt0 remote 10.255.0.1\n"
                        "ip route del 10.255.0.77/32 2>/dev/null || true")
    both_ways(v4=False)


def sealed(protocols):
    """The same lines for both: transport mode between the two PEs, AES-GCM."""
    text = "set -e\n"
    for way, (source, to) in enumerate((ENDS, ENDS[::-1])):
        text += ("ip xfrm state add src %s dst %s proto esp spi %#x reqid 7 mode transport "
                 "replay-window 32 aead 'rfc4106(gcm(aes))' %s 128\n" % (
                     source, to, 0x700 + way, KEY))
    for side, shell in ((0, lab().linux.sh), (1, lab().pewter.sh)):
        lines = text
        for protocol in protocols:
            for source, to, direction in ((ENDS[side], ENDS[1 - side], "out"),
                                          (ENDS[1 - side], ENDS[side], "in")):
                lines += ("ip xfrm policy add src %s/32 dst %s/32 proto %d dir %s tmpl src %s "
                          "dst %s proto esp reqid 7 mode transport\n" % (
                              source, to, protocol, direction, source, to))
        shell(lines)


def unseal():
    for shell in (lab().linux.sh, lab().pewter.sh):
        shell("ip xfrm policy flush; ip xfrm state flush")


def clear_packets(count):
    """What the core saw of the tunnels in clear while that pinged."""
    command = ["ip", "netns", "exec", base.PE, "timeout", "4", "tcpdump", "-n", "-i", "core",
               "ip proto 4 or ip proto 41 or ip proto 47"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as capture:
        time.sleep(1)
        ping("10.1.0.2", count=count)
        return [line for line in capture.communicate()[0].splitlines() if line]


def case_sit_sealed():
    use("type sit")
    if not clear_packets(2):
        raise Failed("the capture sees nothing in clear: it would prove nothing")
    sealed((4, 41))
    try:
        both_ways()
        # 1500 - 20 - 8 - 8 - 16, a multiple of 4, of which 2 are the trailer's
        in_ce("ip", "-6", "route", "flush", "cache")
        arrived(ping("-M", "do", "-s", str(1446 - 48), "2001:db8:1::2"))
        text = ping("-M", "do", "-s", str(1447 - 48), "2001:db8:1::2", count=1).replace(" ", "")
        if "mtu=1446" not in text:
            raise Failed("no MTU of 1446: " + text)
        seen = clear_packets(2)
        if seen:
            raise Failed("in clear: " + " | ".join(seen))
    finally:
        unseal()


def case_spoke_keys():
    """GRE in the VRF without labels; the key tells it from others between the same addresses."""
    use("type gre key 7")
    lab().pewter.sh("ip link add other type gre local 10.255.0.2 remote 10.255.0.1 key 8 ttl 64\n"
                    "ip link set other up")
    try:
        both_ways()
        exact_mtu(1500 - 20 - 8)
    finally:
        lab().pewter.sh("ip link del other")


def case_spoke_sealed():
    use("type gre key 7")
    sealed((47,))
    try:
        both_ways()
        seen = clear_packets(2)
        if seen:
            raise Failed("in clear: " + " | ".join(seen))
    finally:
        unseal()


class Lab(base.Lab):
    """Others may run beside it."""

    def __init__(self, build, driver):
        super().__init__(build, driver)
        self.pewter.socket = os.path.join(self.cache, "pewter-iptunnel.sock")
        self.pewter.log = os.path.join(self.cache, "pewterd-iptunnel.log")


if __name__ == "__main__":
    sys.exit(base.main("linux-iptunnel", __doc__, base.cases_of(globals()), Lab))
