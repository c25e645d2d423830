#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
L3VPN between Pewter and a real Linux router: Debian's kernel in a qemu guest, its only wire a TAP.

  CE 10.1.0.2 -- [guest: Linux PE 10.255.0.1] -- TAP -- [Pewter PE 10.255.0.2] -- CE 10.2.0.2
     (namespace in the guest)                                    (namespace pw-interop-ce)

test_linux_pe.py [--build FOLDER] [--driver af_packet|af_xdp] [CASE...]
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LAB = os.path.join(os.path.dirname(ROOT), "shared", "lab", "linux-pe")
PE, CE = "pw-interop-pe", "pw-interop-ce"
GUEST = "pwlinux"


def program(build, name):
    """A program of the build folder, wherever meson put it."""
    for folder in ("", "control/cli"):
        path = os.path.join(build, folder, name)
        if os.access(path, os.X_OK):
            return path
    return None


class Failed(Exception):
    """A case failed, and this is why."""


def run(*command, check=True, timeout=60, **more):
    done = subprocess.run(command, text=True, capture_output=True, timeout=timeout, check=False,
                          **more)
    if check and done.returncode != 0:
        said = (done.stderr + done.stdout).strip()
        raise Failed("%s: %s" % (" ".join(command)[:200], said[-800:]))
    return done


def script(*names, **variables):
    """A shell script out of files of this folder, with variables set."""
    text = "set -e\n" + "".join("%s='%s'\n" % item for item in variables.items())
    for name in names:
        with open(os.path.join(HERE, name), encoding="utf-8") as file:
            text += file.read()
    return text


class Linux:
    """The guest. Its agent runs shell scripts."""

    def __init__(self, cache):
        self.cache = cache
        self.lab = os.path.join(cache, "lab")
        self.environment = dict(os.environ, NS=PE, PE_RUN=os.path.join(cache, "run"), SNAP="1",
                                PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")

    def build(self):
        if os.path.exists(os.path.join(self.lab, "base.cpio")):
            return
        shutil.rmtree(self.lab, ignore_errors=True)
        shutil.copytree(LAB, self.lab)
        run("chmod", "-R", "u+w", self.lab)
        # The lab's list of modules has GRE but not ipip, which carries MPLS in IP.
        run("sed", "-i", "s/^ip_gre$/ip_gre\\nipip/", "mk-initramfs.sh", cwd=self.lab)
        run("./mk-initramfs.sh", cwd=self.lab, timeout=170)

    def boot(self):
        self.stop()
        run("./run.sh", GUEST, "core", "-", cwd=self.lab, env=self.environment, timeout=90)

    def stop(self):
        if os.path.exists(os.path.join(self.lab, "run.sh")):
            run("./run.sh", "-k", GUEST, cwd=self.lab, env=self.environment, check=False)

    def sh(self, text, check=True, timeout=60):
        done = run("/usr/bin/python3", os.path.join(self.lab, "vmctl.py"), GUEST, "-t",
                   str(timeout), input=text, env=self.environment, check=False,
                   timeout=timeout + 10)
        if check and done.returncode != 0:
            raise Failed("in the guest: " + (done.stdout + done.stderr).strip()[-800:])
        return done.stdout


class Pewter:
    """pewterd, in the namespace that has the TAP."""

    def __init__(self, build, cache, driver):
        self.build, self.driver = build, driver
        self.socket = os.path.join(cache, "pewter.sock")
        self.log = os.path.join(cache, "pewterd.log")
        self.process = None

    def start(self):
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", PE, program(self.build, "pewterd"), "-s", self.socket,
                 "-p", "core=%s:core" % self.driver, "-p", "ce0=%s:ce0" % self.driver],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        for _ in range(300):
            if self.ctl("show", "summary", check=False).returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        with open(self.log, encoding="utf-8") as log:
            raise Failed("pewterd did not start: " + log.read()[-1500:])

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return None if self.process is None else self.process.returncode
        self.process.terminate()
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "it did not end at SIGTERM"

    def sh(self, text):
        return run(program(self.build, "pewter-run"), "-s", self.socket, "sh", input=text).stdout

    def ctl(self, *words, check=True):
        return run(program(self.build, "pewterctl"), "-s", self.socket, *words, check=check)

    def counts(self):
        """{name: packets} of drops and events"""
        found = {}

        def walk(value):
            if isinstance(value, dict):
                name = value.get("name") or value.get("drop") or value.get("reason")
                count = value.get("packets", value.get("count"))
                if isinstance(name, str) and isinstance(count, int):
                    found[name] = found.get(name, 0) + count
                for each in value.values():
                    walk(each)
            elif isinstance(value, list):
                for each in value:
                    walk(each)

        for what in ("drops", "events"):
            walk(json.loads(self.ctl("-j", "show", what).stdout))
        return found


def in_ce(*command, check=True, timeout=60):
    return run("ip", "netns", "exec", CE, *command, check=check, timeout=timeout)


def ping(*words, count=3):
    """From Pewter's customer to Linux's; the output."""
    done = in_ce("ping", "-n", "-c", str(count), "-i", "0.2", "-W", "2", *words, check=False)
    return done.stdout + done.stderr


def arrived(text, count=3):
    if "%d received, 0%% packet loss" % count not in text:
        raise Failed("ping: " + " | ".join(text.strip().splitlines()[-4:]))


def increase(before, after):
    return {name: count - before.get(name, 0) for name, count in after.items()
            if count > before.get(name, 0)}


class Lab:
    """Both PEs and their customers."""

    def __init__(self, build, driver):
        self.cache = os.path.join(ROOT, "build", "linux-pe")
        os.makedirs(self.cache, exist_ok=True)
        self.linux = Linux(self.cache)
        self.pewter = Pewter(build, self.cache, driver)
        self.tunnel = None  # device
        self.made = None
        self.before = {}

    def counters(self, what):
        """`show drops` or `show events`"""
        text = self.pewter.ctl("show", what).stdout
        return {name: int(count) for name, count in re.findall(r"^(\S+)\s+(\d+)", text, re.M)}

    def mark(self):
        """From now on drops and events count."""
        self.before = {what: self.counters(what) for what in ("drops", "events")}

    def grown(self, what="drops"):
        """What Pewter has dropped since mark(), or what else happened there."""
        return increase(self.before[what], self.counters(what))

    def up(self):
        self.linux.build()
        self.down()
        for name in (PE, CE):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", "ce0", "netns", PE, "type", "veth",
            "peer", "name", "ce1", "netns", CE)
        for name, interface in ((PE, "ce0"), (CE, "ce1")):
            run("ip", "netns", "exec", name, "ethtool", "-K", interface, "tx", "off")
            run("ip", "-n", name, "link", "set", interface, "up")
        run("ip", "-n", CE, "addr", "add", "10.2.0.2/24", "dev", "ce1")
        run("ip", "-n", CE, "addr", "add", "2001:db8:2::2/64", "dev", "ce1", "nodad")
        run("ip", "-n", CE, "route", "add", "default", "via", "10.2.0.1")
        run("ip", "-n", CE, "route", "add", "default", "via", "2001:db8:2::1")
        self.linux.boot()
        self.linux.sh("""set -e
            ip netns add ce
            ip link add ce0 type veth peer name ce1
            ip link set ce1 netns ce
            ip -n ce link set lo up; ip -n ce link set ce1 up
            ip -n ce addr add 10.1.0.2/24 dev ce1
            ip -n ce addr add 2001:db8:1::2/64 dev ce1 nodad
            ip -n ce route add default via 10.1.0.1
            ip -n ce route add default via 2001:db8:1::1
        """)
        self.linux.sh(script("l3vpn.sh", me=1, you=2, core="eth0", ce="ce0"))
        self.pewter.start()
        self.pewter.sh(script("l3vpn.sh", me=2, you=1, core="core", ce="ce0"))

    def down(self):
        code = self.pewter.stop()
        self.linux.stop()
        for name in (PE, CE):
            run("ip", "netns", "del", name, check=False)
        return code

    def use(self, name, device, linux_more="", gre="", linux_gre=None):
        """Both PEs get this kind of tunnel, from one file, unless they have it."""
        wanted = (name, device, linux_more, gre, linux_gre)
        if self.made == wanted:
            return
        self.clear()
        self.tunnel, self.made = device, wanted
        self.linux.sh(script(name, me=1, you=2, gre=gre if linux_gre is None else linux_gre)
                      + "sysctl -qw net.mpls.conf.%s.input=1\n" % device + linux_more)
        self.pewter.sh(script(name, me=2, you=1, gre=gre))

    def clear(self):
        if self.tunnel:
            # a case that failed half-way may have left it on one side only
            self.linux.sh("ip link del %s" % self.tunnel, check=False)
            self.pewter.sh("ip link del %s 2>/dev/null || true" % self.tunnel)
        self.tunnel = self.made = None

    def from_linux(self, *words, count=3):
        return self.linux.sh("ip netns exec ce ping -n -c %d -i 0.2 -W 2 %s" % (
            count, " ".join(words)), check=False)

    def both_ways(self):
        arrived(ping("10.1.0.2"))
        arrived(self.from_linux("10.2.0.2"))
        arrived(ping("2001:db8:1::2"))
        arrived(self.from_linux("2001:db8:2::2"))


LABS = []


def lab():
    return LABS[0]


def case_point_to_point():
    lab().use("p2p.sh", "gre1")
    lab().both_ways()


def case_far_gateway_answers():
    """The other PE's own address in the customer's VRF."""
    lab().use("p2p.sh", "gre1")
    arrived(ping("10.1.0.1"))
    arrived(ping("2001:db8:1::1"))
    arrived(lab().from_linux("10.2.0.1"))
    arrived(lab().from_linux("2001:db8:2::1"))


def case_mtu_df():
    """1500 - 20 - 4 - 4: what fits passes, one more is answered with that number."""
    lab().use("p2p.sh", "gre1")
    arrived(ping("-M", "do", "-s", str(1472 - 28), "10.1.0.2"))
    text = ping("-M", "do", "-s", str(1473 - 28), "10.1.0.2", count=1)
    if "mtu = 1472" not in text and "mtu=1472" not in text:
        raise Failed("no frag needed with 1472: " + text.strip())
    in_ce("ip", "route", "flush", "cache")


def case_mtu_packet_too_big():
    lab().use("p2p.sh", "gre1")
    text = ping("-M", "do", "-s", str(1473 - 48), "2001:db8:1::2", count=2)
    if "mtu=1472" not in text.replace(" ", ""):
        raise Failed("no packet too big with 1472: " + text.strip())
    # Now the customer knows, and cuts. Linux drops what is too big and tells its own customer
    # nothing, so that one is told here.
    lab().linux.sh("ip -n ce route change default via 2001:db8:1::1 mtu 1472")
    arrived(ping("-s", "3000", "2001:db8:1::2"))
    arrived(lab().from_linux("-s", "3000", "2001:db8:2::2"))


def case_mtu_without_df():
    lab().use("p2p.sh", "gre1")
    in_ce("ip", "route", "flush", "cache")
    for size in (1445, 1472, 4000):
        arrived(ping("-M", "dont", "-s", str(size), "10.1.0.2"))
        arrived(lab().from_linux("-M", "dont", "-s", str(size), "10.2.0.2"))


def case_ttl_pipe():
    """Labels carry their own TTL; the customer's goes down by one at each PE."""
    lab().use("p2p.sh", "gre1")
    text = ping("10.1.0.2", count=1)
    if "ttl=62" not in text:
        raise Failed("the answer took other than two hops: " + text.strip())
    lab().linux.sh("""
        ip netns exec ce timeout 6 tcpdump -n -v -c 1 -i ce1 'icmp[0] = 8' > /run/dump 2>/dev/null &
        sleep 1""")
    ping("-t", "40", "10.1.0.2", count=3)
    time.sleep(1)
    capture = lab().linux.sh("cat /run/dump")
    if "ttl 38" not in capture:
        raise Failed("expected TTL 38 at the far customer: " + capture.strip())


def expired_at(ttl, target):
    text = ping("-t", str(ttl), target, count=1)
    found = re.search(r"From ([0-9a-f.:]+?):? icmp_seq=\d+ Time (?:to live )?exceeded", text)
    return found.group(1) if found else text.strip()


def case_time_exceeded():
    """A traceroute by hand: each PE answers with its address in the customer's VRF."""
    lab().use("p2p.sh", "gre1")
    for target, wanted in (("10.1.0.2", "10.2.0.1"), ("2001:db8:1::2", "2001:db8:2::1")):
        if expired_at(1, target) != wanted:
            raise Failed("first hop to %s: %s" % (target, expired_at(1, target)))
    # Linux lets a packet that it pops into a VRF go on with TTL 0, so its hop shows one way only.
    for ttl, target, wanted in ((1, "10.2.0.2", "10.1.0.1"), (2, "10.2.0.2", "10.2.0.1"),
                                (2, "2001:db8:2::2", "2001:db8:2::1")):
        text = lab().from_linux("-t", str(ttl), target, count=1)
        if "From %s" % wanted not in text:
            raise Failed("from Linux's customer to %s, TTL %d: %s" % (target, ttl, text.strip()))


def case_outer_fragments():
    """Linux cuts the GRE packets themselves; Pewter puts them together."""
    lab().use("p2p.sh", "gre1", gre="nopmtudisc", linux_more="ip link set gre1 mtu 1600\n")
    before = lab().pewter.counts()
    arrived(lab().from_linux("-M", "dont", "-s", "1472", "10.2.0.2"))
    after = lab().pewter.counts()
    if after.get("reassembled", 0) < before.get("reassembled", 0) + 3:
        raise Failed("nothing was put together: %s" % after)


def case_gre_key():
    lab().use("p2p.sh", "gre1", gre="key 7")
    lab().both_ways()


def case_gre_key_differs():
    """Another key is refused by name, and nothing passes."""
    lab().use("p2p.sh", "gre1", gre="key 7", linux_gre="key 8")
    before = lab().pewter.counts().get("gre-key", 0)
    text = lab().from_linux("10.2.0.2", count=2)
    if "0 received" not in text:
        raise Failed("passed: " + text.strip())
    if lab().pewter.counts().get("gre-key", 0) < before + 2:
        raise Failed("gre-key did not count: %s" % lab().pewter.counts())


def case_gre_checksum():
    lab().use("p2p.sh", "gre1", gre="csum")
    lab().both_ways()


def case_gre_sequence():
    lab().use("p2p.sh", "gre1", gre="oseq")
    lab().both_ways()


def case_multipoint():
    lab().use("mgre.sh", "mgre0")
    lab().both_ways()


def case_multipoint_unknown_source():
    """A second PE that Pewter has no entry for: its packets are refused by name."""
    lab().use("mgre.sh", "mgre0")
    lab().linux.sh("""set -e
        ip addr add 10.255.0.9/32 dev lo
        ip link add stray type gre local 10.255.0.9 remote 10.255.0.2 ttl 64
        ip link set stray up
        ip addr add 172.16.9.1/30 dev stray
        ip route add 10.2.0.0/16 table 10 metric 5 encap mpls 200 via inet 172.16.9.2 dev stray
        ip route del 10.2.0.0/16 table 10 dev mgre0""")
    before = lab().pewter.counts().get("tunnel-source", 0)
    try:
        text = lab().from_linux("10.2.0.2", count=2)
        if "0 received" not in text:
            raise Failed("passed: " + text.strip())
        if lab().pewter.counts().get("tunnel-source", 0) < before + 2:
            raise Failed("tunnel-source did not count: %s" % lab().pewter.counts())
    finally:
        lab().linux.sh("""
            ip link del stray; ip addr del 10.255.0.9/32 dev lo
            ip route add 10.2.0.0/16 table 10 encap mpls 200 via inet 172.16.0.2 dev mgre0""")


def case_multipoint_mtu():
    lab().use("mgre.sh", "mgre0")
    arrived(ping("-M", "do", "-s", str(1472 - 28), "10.1.0.2"))
    arrived(ping("-M", "dont", "-s", "4000", "10.1.0.2"))
    arrived(lab().from_linux("-M", "dont", "-s", "4000", "10.2.0.2"))


def linux_received(device):
    return int(lab().linux.sh("cat /sys/class/net/%s/statistics/rx_packets" % device))


def case_ecmp():
    """Linux is two PEs at once; flows to its customer take both, a flow takes one."""
    lab().use("mgre.sh", "mgre0")
    lab().linux.sh("""set -e
        ip addr add 10.255.0.3/32 dev lo
        ip link add mgre3 type gre local 10.255.0.3 ttl 64
        ip link set mgre3 up
        ip addr add 172.16.0.3/32 dev mgre3
        sysctl -qw net.mpls.conf.mgre3.input=1""")
    lab().pewter.sh("""set -e
        ip route add 10.255.0.3/32 via 192.168.100.1
        ip neigh add 172.16.0.3 lladdr 10.255.0.3 dev mgre0 nud permanent
        ip route replace 10.1.0.0/16 table 10 \
            nexthop encap mpls 100 via 172.16.0.1 dev mgre0 \
            nexthop encap mpls 100 via 172.16.0.3 dev mgre0""")
    lab().linux.sh("for i in $(seq 3 42); do ip -n ce addr add 10.1.0.$i/24 dev ce1; done")
    arrived(ping("10.1.0.2"))  # so that ARP is done with
    before = [linux_received(d) for d in ("mgre0", "mgre3")]
    lost = [i for i in range(3, 43)
            if in_ce("ping", "-n", "-c", "1", "-W", "2", "10.1.0.%d" % i, check=False).returncode]
    after = [linux_received(d) for d in ("mgre0", "mgre3")]
    counts = [b - a for a, b in zip(before, after)]
    if lost:
        raise Failed("no answer from 10.1.0.%s" % lost)
    if sum(counts) != 40 or min(counts) < 6:
        raise Failed("40 flows went %d and %d" % tuple(counts))
    before = after
    arrived(ping("10.1.0.17", count=10), 10)
    after = [linux_received(d) for d in ("mgre0", "mgre3")]
    if sorted(b - a for a, b in zip(before, after)) != [0, 10]:
        raise Failed("one flow went %s" % [b - a for a, b in zip(before, after)])
    lab().linux.sh("ip link del mgre3; ip addr del 10.255.0.3/32 dev lo")


def case_mpls_in_ip():
    """RFC 4023 protocol 137: an ipip tunnel of mode mplsip."""
    lab().clear()
    linux = """set -e
        ip link add mip type ipip mode mplsip local 10.255.0.%s remote 10.255.0.%s ttl 64
        ip link set mip up
        ip addr add 172.16.2.%s/30 dev mip
        ip route replace 10.%s.0.0/16 table 10 encap mpls %s00 via inet 172.16.2.%s dev mip
        """
    lab().linux.sh(linux % (1, 2, 1, 2, 2, 2) + "sysctl -qw net.mpls.conf.mip.input=1")
    lab().pewter.sh(linux % (2, 1, 2, 1, 1, 1))
    lab().tunnel = "mip"
    arrived(ping("10.1.0.2"))
    arrived(lab().from_linux("10.2.0.2"))


def case_ipv6_underlay():
    """ip6gre between IPv6 addresses of the PEs."""
    lab().clear()
    text = """set -e
        ip addr add 2001:db8:c::%s/64 dev %s nodad
        ip addr add 2001:db8:ff::%s/128 dev lo nodad
        ip route add 2001:db8:ff::%s/128 via 2001:db8:c::%s
        ip link add six type ip6gre local 2001:db8:ff::%s remote 2001:db8:ff::%s \\
            hoplimit 64 encaplimit none
        ip link set six up
        ip addr add 172.16.3.%s/30 dev six
        ip route replace 10.%s.0.0/16 table 10 encap mpls %s00 via inet 172.16.3.%s dev six
        """
    run("ip", "netns", "exec", PE, "sysctl", "-qw", "net.ipv6.conf.core.disable_ipv6=0")
    lab().linux.sh(text % (1, "eth0", 1, 2, 2, 1, 2, 1, 2, 2, 2)
                   + "sysctl -qw net.mpls.conf.six.input=1")
    lab().pewter.sh(text % (2, "core", 2, 1, 1, 2, 1, 2, 1, 1, 1))
    lab().tunnel = "six"
    arrived(ping("10.1.0.2"))
    arrived(lab().from_linux("10.2.0.2"))


def case_tcp():
    """A transfer each way. What still lay in socket buffers at the end is not counted."""
    lab().use("p2p.sh", "gre1")
    lab().linux.sh("ip netns exec ce iperf3 -s -D -I /run/iperf3.pid; sleep 0.5")
    for reverse in ([], ["-R"]):
        for _ in range(20):  # between two tests its server does not listen for a moment
            done = in_ce("iperf3", "-J", "-c", "10.1.0.2", "-n", "8M", *reverse, check=False)
            if done.returncode == 0:
                break
            time.sleep(1)
        try:
            total = json.loads(done.stdout)["end"]["sum_received"]["bytes"]
        except (KeyError, ValueError):
            raise Failed("iperf3: " + done.stdout[-300:] + done.stderr) from None
        if total < 4 << 20:
            raise Failed("only %d bytes arrived" % total)


def skip_reason(build, needs=()):
    if not os.path.isdir(LAB):
        return "../shared is absent"
    for need in ("qemu-system-x86_64", "cpio", "ip", "ethtool", "ping", *needs):
        if shutil.which(need, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            return "%s is not installed" % need
    if os.geteuid() != 0:
        return "needs root (network namespaces)"
    for name in ("pewterd", "pewter-run", "pewterctl"):
        if program(build, name) is None:
            return "there is no %s in %s" % (name, build)
    return None


def cases_of(module):
    """{name: function} of a module's case_* functions, in their order."""
    return {name[len("case_"):].replace("_", "-"): function
            for name, function in list(module.items()) if name.startswith("case_")}


def run_cases(label, cases, wanted, unable):
    failed = 0
    for name, function in cases.items():
        if wanted and name not in wanted:
            continue
        reason = unable(name)
        if reason:
            print("skip %s/%s %s" % (label, name, reason), flush=True)
            continue
        started = time.monotonic()
        lab().mark()
        try:
            function()
            print("ok %s/%s" % (label, name), flush=True)
        except (Failed, subprocess.TimeoutExpired) as error:
            failed += 1
            print("FAIL %s/%s %s" % (label, name, error), flush=True)
            print("    Pewter: %s, %s" % (lab().grown(), lab().grown("events")), flush=True)
        print("    %.1f s" % (time.monotonic() - started), flush=True)
    return failed


def main(label, description, cases, make_lab=None, needs=(), prepare=None):
    """
    Brings a lab up, runs its cases (all, or those that are named), takes it down. prepare() runs
    once the lab is up and returns what says of a case why it cannot be run, None if it can.
    """
    parser = argparse.ArgumentParser(description=description.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--build", default=os.environ.get("PW_BUILD") or
                        os.path.join(ROOT, "build", "release"))
    parser.add_argument("--driver", default="af_packet", choices=("af_packet", "af_xdp"))
    parser.add_argument("case", nargs="*")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    reason = skip_reason(options.build, needs)
    if reason:
        print("skip %s %s" % (label, reason))
        return 0
    LABS.append((make_lab or Lab)(options.build, options.driver))
    failed = 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is below tidies up
    try:
        lab().up()
        unable = prepare() if prepare else lambda _: None
        failed = run_cases(label, cases, options.case, unable)
    except (Failed, subprocess.TimeoutExpired) as error:
        failed += 1
        print("FAIL %s/lab %s" % (label, error), flush=True)
    finally:
        code = lab().down()
    if code not in (0, None):
        failed += 1
        print("FAIL %s/exit pewterd: %s" % (label, code))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main("linux-pe", __doc__, cases_of(globals())))
