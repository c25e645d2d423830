#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
Makes the seeds of corpus/: the packets of the path tests, and what the real `ip` writes.

make_corpus.py (with PW_BUILD set as for the path tests). Run it when a kind of packet or message
is added; the seeds are in the tree.
"""

import glob
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "path"))

# pylint: disable=wrong-import-position
from pewter import Pewter, program

COMMANDS = """
link show
link set core up mtu 1400
link add red type vrf table 10
link add g1 type gre local 10.0.0.1 remote 10.0.0.2 key 7 ttl 64 tos inherit csum
link add m1 type gre local 10.0.0.1 ttl 255 nopmtudisc
link add s1 type ip6gre local 2001:db8::1 remote 2001:db8::2 hoplimit 64
link add i1 type ipip mode mplsip local 10.0.0.1 remote 10.0.0.3
link add t1 type sit local 10.0.0.1 remote 10.0.0.4 ttl 64 mode ip6ip
link add t2 type ipip local 10.0.0.1 remote 10.0.0.5 tos inherit nopmtudisc mode ipip
link add t3 type ip6tnl local 2001:db8::1 remote 2001:db8::3 mode any
link add link core name v5 type vlan id 5
link set v5 master red
link set m1 up
link set red0 name red9
link show dev g1
addr add 10.0.0.1/24 dev core
addr add 2001:db8::1/64 dev core nodad
addr show
addr del 10.0.0.1/24 dev core
neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev core nud permanent
neigh add 172.16.0.2 lladdr 10.255.0.2 dev m1 nud permanent
neigh show
neigh del 10.0.0.2 dev core
route add 10.9.0.0/16 via 10.0.0.2
route add table 10 10.8.0.0/16 encap mpls 100/200 ttl 9 via 10.255.0.2 dev m1
route add table 10 2001:db8:8::/48 encap mpls 100 via inet 10.255.0.2 dev m1
route add table 10 blackhole 10.7.0.0/16
route add table 10 prohibit default metric 5
route replace 10.9.0.0/16 nexthop via 10.0.0.2 weight 3 nexthop via 10.0.0.3
route append 10.9.0.0/16 via 10.0.0.4
route get 10.9.1.1
route show table all
route del 10.9.0.0/16
route flush table 10
nexthop add id 1 via 10.0.0.2 dev core
nexthop add id 2 encap mpls 44 via 10.255.0.2 dev m1
nexthop add id 3 group 1,2/2,5
nexthop show
nexthop del id 3
-f mpls route add 100 dev red
-f mpls route add 101 as 3000/3001 via inet 10.0.0.2 dev core
-f mpls route add 102 via inet6 2001:db8::2 dev core
-f mpls route show
-f mpls route del 100
link del g1
"""

GCM = "aead rfc4106(gcm(aes)) 0x" + 36 * "5a" + " 128"
CBC = "enc cbc(aes) 0x" + 16 * "3c" + " auth-trunc hmac(sha256) 0x" + 32 * "a5" + " 128"
ONE = "src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1000"
TWO = "src 2001:db8::1 dst 2001:db8::2 proto esp spi 0x1001"
XFRM = f"""
state add {ONE} reqid 5 mode transport {GCM} replay-window 32 sel proto gre limit time-hard 3600
state add {ONE} mode transport {CBC} flag esn replay-window 1024 if_id 7 tfcpad 400 mark 5 mask 255
state add {TWO} mode transport {CBC} encap espinudp 4500 4501 0.0.0.0 limit byte-soft 10 limit packet-hard 9
state add {TWO} mode transport {GCM} offload dev core dir in
state add {ONE} mode tunnel {GCM} flag af-unspec extra-flag dont-encap-dscp output-mark 9
state update {ONE} reqid 5 mode transport {GCM} limit time-soft 1 limit time-hard 2
state allocspi src 192.0.2.2 dst 192.0.2.1 proto esp reqid 5 seq 9 min 0x2000 max 0x2010
state update src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x2000 reqid 5 seq 9 mode transport {GCM}
state get {ONE}
state list
state list src 192.0.2.0/24 proto esp
state count
state delete {ONE}
state deleteall reqid 5
state flush
policy add src 192.0.2.1 dst 192.0.2.2 proto gre dir out priority 5 tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 5 mode transport
policy add src 192.0.2.2 dst 192.0.2.1 proto gre dir in tmpl src 192.0.2.2 dst 192.0.2.1 proto esp reqid 5 mode transport level use
policy update src 192.0.2.1 dst 192.0.2.2 proto gre dir out if_id 7 mark 5 action block
policy get src 192.0.2.1 dst 192.0.2.2 proto gre dir out
policy list
policy count
policy delete src 192.0.2.1 dst 192.0.2.2 proto gre dir out
policy flush
"""


def write(folder, data):
    path = os.path.join(HERE, "corpus", folder)
    os.makedirs(path, exist_ok=True)
    name = hashlib.sha1(data).hexdigest()[:16]
    with open(os.path.join(path, name), "wb") as file:
        file.write(data)


def record(flags, data):
    return bytes([flags]) + len(data).to_bytes(2, "big") + data


def packets():
    import test_hostile

    for port, frame, _ in test_hostile.PACKETS.values():
        write("path", record(0x80 | port, bytes(frame)))


def texts():
    """What ESP may have in it: tunnels' packets with a right trailer, and whole texts."""
    from ipsec import GRE4, MIP4
    from topology import GRE, IP, PE1, PE3, Raw, label, udp, udp6

    packet = udp("10.2.0.9", "10.1.0.2", size=5)
    packet6 = udp6("2001:db8:2::9", "2001:db8:1::2", size=5)
    for sa in range(4):
        for inner in (packet, packet6, bytes(packet)[:19], b"", b"\x45"):
            write("esp", record(0x80 | sa, bytes(GRE(proto=0x8847) / label(200, inner))))
            write("esp", record(0x84 | sa, bytes(label(201, inner))))
        for inner in (GRE(proto=0x0800) / packet, GRE(proto=0x86DD) / packet6,
                      GRE(proto=0x8847, key_present=1, key=7, chksum_present=1)
                      / label(210, packet),
                      GRE(proto=0x8847) / label(220, packet), GRE(proto=0x8847) / label(230, packet),
                      GRE(proto=0x8847) / label(0, label(231, packet), s=0),
                      GRE(proto=0x0800) / IP(src=PE3, dst=PE1, proto=137) / label(200, packet)):
            write("esp", record(0x90 | sa, bytes(inner)) + record(0x80 | sa, bytes(inner)[:-3]))
        write("esp", record(0x8C | sa, b"dummy") + record(0x88 | sa, bytes(packet)))
    for sa in range(4):  # in tunnel mode
        for inner in (packet, udp("10.2.0.9", "10.2.0.8", size=5), bytes(packet)[:19], b"",
                      IP(src="10.2.0.9", dst="10.1.0.1", proto=50) / Raw(bytes(40)),
                      IP(src="10.2.0.9", dst="10.1.0.1", proto=47) / GRE(proto=0x8847)
                      / label(201, packet),
                      IP(src="10.2.0.9", dst="10.1.0.2", options=[b"\x94\x04\0\0"]) / b"1234",
                      IP(src="10.2.0.9", dst="10.1.0.2", flags="MF", frag=8) / b"12345678",
                      IP(src="10.2.0.9", dst="10.1.0.2", ttl=1) / b"1234"):
            write("esp", record(0xA0 | sa, bytes(inner)) + record(0xB0 | sa, bytes(inner)))
        for inner in (packet6, bytes(packet6)[:39], packet):
            write("esp", record(0xA4 | sa, bytes(inner)) + record(0xB4 | sa, bytes(inner)))
        write("esp", record(0xA8 | sa, b"dummy") + record(0xAC | sa, bytes(packet)))
        write("esp", record(0x20 | sa, bytes(packet) + b"\1\1\x04"))
    inside = GRE4.inside(packet, label=200)
    for text in (inside + b"\1\1\x2f", inside + b"\0\x2f", b"\0\x3b", b"\xff\x2f", b"\1",
                 inside + bytes(range(1, 256)) + b"\xff\x2f",
                 MIP4.inside(packet, label=200) + b"\1\2\2\x89"):
        write("esp", record(0, text) + record(1, text) + record(2, text) + record(3, text))


def errors():
    """ICMP about ESP that the PE of configure_esp.sh has sent, and what is almost that."""
    from topology import ICMP, IP, PE1, PE1_6, PE2, PE2_6, UDP, IPv6, Raw
    from scapy.layers.inet6 import ICMPv6PacketTooBig

    far = "10.255.0.4"
    esp = [spi.to_bytes(4, "big") + (9).to_bytes(4, "big") + bytes(24)
           for spi in (0x2001, 0x2004, 0x2006)]
    bare = IP(src=PE1, dst=PE2, proto=50, flags="DF", len=1500, ttl=63) / Raw(esp[0])
    natt = IP(src=PE1, dst=far, flags="DF", len=1500) / UDP(sport=4500, dport=4500) / Raw(esp[1])
    six = IPv6(src=PE1_6, dst=PE2_6, nh=50, plen=1460, hlim=63) / Raw(esp[2])
    for quote in (bare, natt):
        for mtu in (1400, 0, 576, 68):
            write("esp", record(0x40, bytes(ICMP(type=3, code=4, nexthopmtu=mtu) / quote)))
        write("esp", record(0x40, bytes(ICMP(type=11) / quote)))
        write("esp", record(0x40, bytes(ICMP(type=3, code=4, nexthopmtu=1400) / quote)[:40]))
    for mtu in (1400, 0, 1280):
        write("esp", record(0x41, bytes(ICMPv6PacketTooBig(mtu=mtu) / six)))
    write("esp", record(0x41, bytes(ICMPv6PacketTooBig(mtu=1400) / six)[:60]))
    write("esp", record(0x41, bytes(ICMPv6PacketTooBig(mtu=1400) / bare)))


class Tap:
    """Between a client and the daemon, on a socket of its own; keeps what clients write."""

    def __init__(self, upstream, path):
        self.upstream, self.seen = upstream, []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            server.connect(self.upstream)
            for source, target, keep in ((client, server, True), (server, client, False)):
                threading.Thread(target=self.pump, args=(source, target, keep), daemon=True).start()

    def pump(self, source, target, keep):
        while True:
            try:
                data = source.recv(1 << 18)
                if not data:
                    break
                if keep:
                    self.seen.append(data)
                target.send(data)
            except OSError:
                break
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def messages():
    pe = Pewter("core", "red0", "blue0", "core2")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tap")
        tap = Tap(pe.socket, path)
        for corpus, prefix, lines in (("netlink", [], COMMANDS), ("xfrm", ["xfrm"], XFRM)):
            for line in lines.strip().splitlines():
                tap.seen.clear()
                subprocess.run([program("pewter-run"), "-s", path, "ip", *prefix,
                                *line.split()], capture_output=True, check=False, timeout=20)
                if tap.seen:
                    write(corpus, b"".join(record(3, data) for data in tap.seen))
    pe.close()


def streams():
    """Recorded streams of zebra's: whole, and message by message."""
    for path in glob.glob(os.path.join(os.path.dirname(HERE), "vectors", "frr", "*.bin")):
        with open(path, "rb") as file:
            data = file.read()
        write("fpm", record(6, data) + record(10, data))
        messages_of = []
        while data:
            size = int.from_bytes(data[2:4], "big")
            messages_of.append(record(3, data[4:size]))
            data = data[size:]
        write("fpm", b"".join(messages_of))
        for one in messages_of:
            write("fpm", one)


if __name__ == "__main__":
    packets()
    texts()
    errors()
    messages()
    streams()
