# SPDX-License-Identifier: BSD-3-Clause
"""Ports of the kernel's interfaces: which frames are Pewter's and which the kernel's, on real
wires; and that nothing stays behind, however a daemon ends."""
import ctypes
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

from lab import BUILD, Lab, Results, Skip, expect, run, wait_for

PROBE = os.path.join(BUILD, 'test', 'lab', 'steer_probe')
LIBC = ctypes.CDLL(None, use_errno=True)
AF_XDP, AF_PACKET = 0, 1
COPIES = 10


def packet_socket(node, interface):
    """A raw socket in a node's namespace."""
    here = os.open('/proc/self/ns/net', os.O_RDONLY)
    there = os.open(f'/run/netns/{node.ns}', os.O_RDONLY)
    try:
        if LIBC.setns(there, 0):
            raise OSError(ctypes.get_errno(), 'setns')
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        wire.bind((interface, 0))
        return wire
    finally:
        LIBC.setns(here, 0)
        os.close(here)
        os.close(there)


class Probe:
    """A steer_probe in a node: one port, shown."""
    running = []

    def __init__(self, node, *arguments, prefix=(), refused=False, workers=1):
        self.lines, self.buffer = [], b''
        self.log = open(os.path.join(node.lab.folder, 'probe.log'), 'a+', encoding='utf-8')
        self.log_start = self.log.seek(0, os.SEEK_END)
        self.child = subprocess.Popen(
            ['ip', 'netns', 'exec', node.ns, *prefix, PROBE, *arguments], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.log,
            env={**os.environ, 'PROBE_WORKERS': str(workers)})
        Probe.running.append(self)
        self.said('refused' if refused else 'port ', 15)

    def warnings(self):
        self.log.seek(self.log_start)
        return self.log.read()

    def read(self, seconds):
        if select.select([self.child.stdout], [], [], seconds)[0]:
            data = os.read(self.child.stdout.fileno(), 65536)
            if not data:
                raise AssertionError(f'steer_probe ended\n{self.warnings()}')
            self.buffer += data
            *lines, self.buffer = self.buffer.split(b'\n')
            self.lines += [line.decode() for line in lines]

    def said(self, start, seconds=3.0):
        """The first line that begins so, taken out."""
        end = time.monotonic() + seconds
        while True:
            for line in self.lines:
                if line.startswith(start):
                    self.lines.remove(line)
                    if start == 'port ':
                        self.port = dict(word.split('=') for word in line.split()[1:])
                    return line
            if time.monotonic() > end:
                raise AssertionError(f'no line "{start}...": {self.lines}\n{self.warnings()}')
            self.read(0.1)

    def order(self, text):
        """Gives an order; returns its result. (What the command line ordered is done before.)"""
        self.lines = [line for line in self.lines if not line.startswith('done ')]
        self.child.stdin.write(text.encode() + b'\n')
        self.child.stdin.flush()
        shown = text.split()[0] if 'tx ' in text else text
        start = f'done {shown}: '
        return int(self.said(start)[len(start):].split()[0])

    def received(self, seconds=0.3, count=0):
        """The frames that come in within a moment, as bytes; `count` of them are waited for."""
        end = time.monotonic() + seconds
        late = end + 5
        while True:
            frames = [line for line in self.lines if line.startswith('rx ')]
            now = time.monotonic()
            if now > late or (now > end and len(frames) >= count):
                break
            self.read(0.05)
        self.lines = [line for line in self.lines if line not in frames]
        return [bytes.fromhex(line.split()[1]) for line in frames]

    def send(self, frame):
        self.order(f'tx {frame.hex()}')

    def end(self):
        self.child.stdin.close()
        expect(self.child.wait(15) == 0, f'steer_probe: status {self.child.returncode}')

    def kill(self):
        """`ip netns exec` has become the probe itself."""
        self.child.kill()
        self.child.wait(10)

    @staticmethod
    def kill_all():
        for probe in Probe.running:
            probe.kill()
        Probe.running.clear()


# ---- frames ---------------------------------------------------------------------------------

def mac_bytes(text):
    return bytes.fromhex(text.replace(':', ''))


def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(source, destination, protocol, payload=b'', fragment=0):
    header = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    return header[:10] + struct.pack('!H', checksum(header)) + header[12:] + payload


def ipv6(source, destination, following, payload=b''):
    return struct.pack('!IHBB', 6 << 28, len(payload), following, 64) + \
        socket.inet_pton(socket.AF_INET6, source) + \
        socket.inet_pton(socket.AF_INET6, destination) + payload


def udp(port, payload):
    return struct.pack('!HHHH', 4500, port, 8 + len(payload), 0) + payload


def udp6(source, destination, port, payload):
    """With the checksum that IPv6 wants."""
    datagram = udp(port, payload)
    pseudo = socket.inet_pton(socket.AF_INET6, source) + \
        socket.inet_pton(socket.AF_INET6, destination) + struct.pack('!II', len(datagram), 17)
    return datagram[:6] + struct.pack('!H', checksum(pseudo + datagram)) + datagram[8:]


def echo(kind):
    data = struct.pack('!BBHHH', kind, 0, 0, 1, 1) + bytes(32)
    return data[:2] + struct.pack('!H', checksum(data)) + data[4:]


class Wire:
    """Node a with the port, node b that sends and hears."""

    def __init__(self, lab, number):
        self.a, self.b = lab.node(f'sa{number}'), lab.node(f'sb{number}')
        run('ip', 'link', 'add', 'core', 'netns', self.a.ns, 'type', 'veth', 'peer', 'name',
            'far', 'netns', self.b.ns)
        self.a.ip('address', 'add', '10.0.0.1/24', 'dev', 'core')
        self.b.ip('address', 'add', '10.0.0.2/24', 'dev', 'far')
        self.a.ip('address', 'add', '2001:db8::1/64', 'dev', 'core', 'nodad')
        self.b.ip('address', 'add', '2001:db8::2/64', 'dev', 'far', 'nodad')
        self.a.ip('link', 'set', 'core', 'up')
        self.b.ip('link', 'set', 'far', 'up')
        self.mine, self.theirs = mac_bytes(self.a.mac('core')), mac_bytes(self.b.mac('far'))
        self.socket = packet_socket(self.b, 'far')

    def frame(self, kind, payload, to=None, tag=None):
        middle = b'' if tag is None else struct.pack('!HH', 0x8100, tag)
        return (to or self.mine) + self.theirs + middle + struct.pack('!H', kind) + payload

    def heard(self, wanted, seconds=2.0):
        """Has b received this frame? (The kernel pads nothing on a veth.)"""
        end = time.monotonic() + seconds
        self.socket.settimeout(0.2)
        while time.monotonic() < end:
            try:
                if self.socket.recv(4096) == wanted:
                    return True
            except TimeoutError:
                pass
        return False

    def kernel_packets(self):
        counters = self.a.snmp()
        return counters['IpInReceives'] + counters['Ip6InReceives']


def left_behind(wire):
    """What of ours is still on the interface."""
    links = wire.a.ip('-d', 'link', 'show', 'dev', 'core').stdout
    qdiscs = wire.a.run('tc', 'qdisc', 'show', 'dev', 'core').stdout
    filters = wire.a.run('tc', 'filter', 'show', 'dev', 'core', 'ingress', check=False).stdout
    return [name for name, text in (('xdp', links), ('clsact', qdiscs), ('pewter', filters))
            if name in text]


# ---- tests ----------------------------------------------------------------------------------

def cases(wire):
    """name -> (frame, is it Pewter's?)"""
    gre = b'\0\0\x88\x47' + bytes.fromhex('000111fe') + bytes(40)
    far = '192.0.2.9'
    return {
        'GRE to us': (wire.frame(0x800, ipv4(far, '10.0.0.1', 47, gre)), True),
        'MPLS in IP to us': (wire.frame(0x800, ipv4(far, '10.0.0.1', 137, gre[4:])), True),
        'first fragment of GRE': (wire.frame(0x800, ipv4(far, '10.0.0.1', 47, gre, 0x2000)), True),
        'last fragment of GRE': (wire.frame(0x800, ipv4(far, '10.0.0.1', 47, gre, 9)), True),
        'GRE in IPv6 to us': (wire.frame(0x86dd, ipv6('2001:db8:9::1', '2001:db8::1', 47, gre)),
                              True),
        'MPLS': (wire.frame(0x8847, gre[4:]), True),
        'transit': (wire.frame(0x800, ipv4(far, '203.0.113.1', 17, bytes(20))), True),
        'fragment in transit': (wire.frame(0x800, ipv4(far, '203.0.113.1', 17, bytes(24), 0x2000)),
                                True),
        'later fragment in transit': (wire.frame(0x800, ipv4(far, '203.0.113.1', 17, bytes(24), 3)),
                                      True),
        'IPv6 transit': (wire.frame(0x86dd, ipv6('2001:db8:9::1', '2001:db8:8::1', 17, bytes(20))),
                         True),
        'echo to an echo address': (wire.frame(0x800, ipv4(far, '10.77.0.1', 1, echo(8))), True),
        'VLAN 7': (wire.frame(0x806, bytes(46), b'\xff' * 6, 7), True),
        'VLAN 7 with priority': (wire.frame(0x800, ipv4(far, '10.0.0.1', 6), None, 0xa007), True),
        'ARP': (wire.frame(0x806, struct.pack('!HHBBH', 1, 0x800, 6, 4, 2) + bytes(20)), False),
        'LLDP': (wire.frame(0x88cc, bytes(46), bytes.fromhex('0180c200000e')), False),
        'TCP to us': (wire.frame(0x800, ipv4(far, '10.0.0.1', 6, bytes(20))), False),
        'ESP to us': (wire.frame(0x800, ipv4(far, '10.0.0.1', 50, bytes(40))), False),
        'echo reply': (wire.frame(0x800, ipv4(far, '10.77.0.1', 1, echo(0))), False),
        'OSPF': (wire.frame(0x800, ipv4('10.0.0.2', '224.0.0.5', 89, bytes(40)),
                            bytes.fromhex('01005e000005')), False),
        'somebody else\'s': (wire.frame(0x800, ipv4(far, '203.0.113.1', 17, bytes(20)),
                                        bytes.fromhex('020000000099')), False),
        'link-local': (wire.frame(0x86dd, ipv6('fe80::2', 'fe80::1', 6, bytes(20))), False),
        'VLAN 8': (wire.frame(0x800, ipv4(far, '203.0.113.1', 17, bytes(20)), None, 8), False),
    }


def test_steering(wire, driver, number):
    probe = Probe(wire.a, f'core={driver}:core', 'echo=10.77.0.1', 'vlan=7')
    expect(int(probe.port['driver']) == number, f'it is {probe.port}: {probe.warnings()}')
    expect(probe.port['face'] == '1:core', probe.port)
    expect(probe.port['mac'] == wire.a.mac('core'), probe.port)
    probe.received()
    for name, (frame, ours) in cases(wire).items():
        before = wire.kernel_packets()
        for _ in range(COPIES):
            wire.socket.send(frame)
        got = probe.received(seconds=0.15, count=COPIES if ours else 0)
        expect(got == ([frame] * COPIES if ours else []), f'{name}: {[f.hex() for f in got]}')
        # The kernel may have business of its own meanwhile (MLD), but not as much.
        kernel = wire.kernel_packets() - before
        expect(not ours or kernel < COPIES, f'{name}: the kernel saw {kernel} packets')
        if name in ('TCP to us', 'echo reply', 'ESP to us'):
            expect(kernel >= COPIES, f'{name}: the kernel saw only {kernel} packets')
    # An address that is taken back is transit again.
    tcp = wire.frame(0x800, ipv4('192.0.2.9', '10.88.0.1', 6, bytes(20)))
    probe.order('local=10.88.0.1')
    wire.socket.send(tcp)
    expect(probe.received() == [], 'TCP to a local address came in')
    probe.order('delete=10.88.0.1')
    wire.socket.send(tcp)
    expect(probe.received(count=1) == [tcp], 'transit did not come in')
    probe.end()
    expect(not left_behind(wire), f'left behind: {left_behind(wire)}')


ESP = struct.pack('!II', 0x1234, 1) + bytes(range(48))
IKE = bytes(4) + bytes(range(1, 29)) + bytes(8)


def esp_cases(wire):
    """name -> (frame, is it Pewter's?); there are associations for 10.0.0.1 and 2001:db8::1 alone,
    the kernel has 10.0.0.3 and 2001:db8::3, too."""
    far, six = '192.0.2.9', '2001:db8:9::1'

    def four(to, protocol, payload, fragment=0, tag=None):
        return wire.frame(0x800, ipv4(far, to, protocol, payload, fragment), tag=tag)

    def six_to(to, following, payload):
        return wire.frame(0x86dd, ipv6(six, to, following, payload))

    def piece(following, payload, offset, more):
        return struct.pack('!BBHI', following, 0, offset | more, 7) + payload

    return {
        'ESP': (four('10.0.0.1', 50, ESP), True),
        'first fragment': (four('10.0.0.1', 50, ESP, 0x2000), True),
        'middle fragment': (four('10.0.0.1', 50, ESP, 0x2007), True),
        'last fragment': (four('10.0.0.1', 50, ESP, 14), True),
        'ESP to an address without associations': (four('10.0.0.3', 50, ESP), False),
        'fragment to an address without associations': (four('10.0.0.3', 50, ESP, 14), False),
        'in UDP': (four('10.0.0.1', 17, udp(4500, ESP)), True),
        'in UDP to an address without associations': (four('10.0.0.3', 17, udp(4500, ESP)), False),
        'IKE at port 4500': (four('10.0.0.1', 17, udp(4500, IKE)), False),
        'IKE at port 500': (four('10.0.0.1', 17, udp(500, IKE[4:])), False),
        'keepalive': (four('10.0.0.1', 17, udp(4500, b'\xff')), False),
        'padded keepalive': (four('10.0.0.1', 17, udp(4500, b'\xff')) + bytes(17), False),
        'first fragment of UDP': (four('10.0.0.1', 17, udp(4500, ESP), 0x2000), False),
        'later fragment of UDP': (four('10.0.0.1', 17, ESP, 8), False),
        'AH': (four('10.0.0.1', 51, ESP), False),
        'on VLAN 7': (four('10.0.0.3', 50, ESP, tag=7), True),
        'on VLAN 8': (four('10.0.0.1', 50, ESP, tag=8), False),
        'with priority tag': (four('10.0.0.1', 50, ESP, tag=0xa000), True),
        'in UDP with priority tag': (four('10.0.0.1', 17, udp(4500, ESP), tag=0xa000), True),
        'IKE with priority tag': (four('10.0.0.1', 17, udp(4500, IKE), tag=0xa000), False),
        'IPv6': (six_to('2001:db8::1', 50, ESP), True),
        'IPv6 behind options': (six_to('2001:db8::1', 60, b'\x32\0\x01\x04\0\0\0\0' + ESP), True),
        'first fragment, IPv6': (six_to('2001:db8::1', 44, piece(50, ESP, 0, 1)), True),
        'last fragment, IPv6': (six_to('2001:db8::1', 44, piece(50, ESP, 56, 0)), True),
        'IPv6 without associations': (six_to('2001:db8::3', 50, ESP), False),
        'IPv6 in UDP': (six_to('2001:db8::1', 17, udp6(six, '2001:db8::1', 4500, ESP)), True),
        'IPv6 IKE': (six_to('2001:db8::1', 17, udp6(six, '2001:db8::1', 4500, IKE)), False),
        'IPv6 keepalive': (six_to('2001:db8::1', 17, udp6(six, '2001:db8::1', 4500, b'\xff')),
                           False),
        'fragment of UDP, IPv6': (six_to('2001:db8::1', 44, piece(17, udp(4500, ESP), 0, 1)),
                                  False),
    }


def test_esp(wire, driver):
    """Only where there are security associations, and never IKE."""
    wire.a.ip('address', 'add', '10.0.0.3/24', 'dev', 'core')
    wire.a.ip('address', 'add', '2001:db8::3/64', 'dev', 'core', 'nodad')
    probe = Probe(wire.a, f'core={driver}:core', 'esp=10.0.0.1', 'esp=2001:db8::1', 'vlan=7')
    probe.received()
    for name, (frame, ours) in esp_cases(wire).items():
        before = wire.kernel_packets()
        for _ in range(COPIES):
            wire.socket.send(frame)
        got = probe.received(seconds=0.15, count=COPIES if ours else 0)
        expect(got == ([frame] * COPIES if ours else []), f'{name}: {[f.hex() for f in got]}')
        kernel = wire.kernel_packets() - before
        expect(not ours or kernel < COPIES, f'{name}: the kernel saw {kernel} packets')
        expect(ours or 'VLAN' in name or kernel >= COPIES, f'{name}: the kernel saw only {kernel}')
    # Associations come and go while packets do.
    frame, _ = esp_cases(wire)['ESP']
    probe.order('local=10.0.0.1')
    wire.socket.send(frame)
    expect(probe.received() == [], 'ESP after the last association')
    probe.order('esp=10.0.0.1')
    wire.socket.send(frame)
    got = probe.received(count=1)
    expect(got == [frame], f'ESP with an association again: {[f.hex() for f in got]}')
    probe.end()
    for address in ('10.0.0.3/24', '2001:db8::3/64'):
        wire.a.ip('address', 'del', address, 'dev', 'core')


def test_esp_unanswered(wire, driver):
    """What Pewter takes the kernel does not call unreachable; what it does not take is answered."""
    counter = 'IcmpOutDestUnreachs'
    wire.a.run('sysctl', '-qw', 'net.ipv4.icmp_ratelimit=0', 'net.ipv4.icmp_msgs_per_sec=10000')
    probe = Probe(wire.a, f'core={driver}:core', 'esp=10.0.0.1')
    probe.received()
    packets = {50: ESP, 17: udp(4500, ESP)}
    for protocol, payload in packets.items():
        frame = wire.frame(0x800, ipv4('10.0.0.2', '10.0.0.1', protocol, payload))
        before = wire.a.snmp()[counter]
        wire.socket.send(frame)
        expect(probe.received(count=1) == [frame], f'protocol {protocol} did not come in')
        expect(wire.a.snmp()[counter] == before, f'protocol {protocol} was answered')
    probe.order('local=10.0.0.1')
    answered = []
    for protocol, payload in packets.items():
        before = wire.a.snmp()[counter]
        wire.socket.send(wire.frame(0x800, ipv4('10.0.0.2', '10.0.0.1', protocol, payload)))
        expect(probe.received() == [], f'protocol {protocol} came in')
        if wire.a.snmp()[counter] > before:
            answered.append(protocol)
    # A kernel with its own ESP says nothing to an unknown SPI.
    expect(17 in answered, f'the kernel answered {answered}')
    probe.end()


def test_kernel_lives(wire, driver):
    probe = Probe(wire.a, f'core={driver}:core')
    wire.b.ip('neigh', 'flush', 'dev', 'far')
    wire.b.ping('10.0.0.1')
    wire.b.ping('2001:db8::1')
    wire.a.ping('10.0.0.2')
    wire.a.ping('2001:db8::2')
    expect(probe.received() == [], 'the kernel\'s own packets came in')
    probe.end()


def test_sending(wire, driver):
    probe = Probe(wire.a, f'core={driver}:core')
    probe.received()
    for size in (60, 61, 500, 1514):
        frame = wire.theirs + wire.mine + b'\x88\xb5' + bytes(range(256)) * 6
        frame = frame[:size]
        probe.send(frame)
        expect(wire.heard(frame), f'{size} bytes were not heard')
    expect(probe.received() == [], 'it hears itself')
    expect('tx_errors=0' in stats(probe), 'errors')
    probe.end()


def stats(probe):
    probe.order('stats')
    return probe.said('stats')


def test_mtu(wire, driver):
    probe = Probe(wire.a, f'core={driver}:core')
    expect(probe.order('mtu 1400') == 0, 'mtu 1400')
    expect(' mtu 1400 ' in wire.a.ip('link', 'show', 'dev', 'core').stdout, 'the kernel\'s MTU')
    most = int(probe.port['mtu'].split('/')[1])
    expect(most >= 1600, f'mtu_max {most}')
    expect(probe.order(f'mtu {most}') == 0, f'mtu {most}')
    wire.b.ip('link', 'set', 'far', 'mtu', most)
    frame = wire.frame(0x800, ipv4('192.0.2.9', '203.0.113.1', 17, bytes(most - 20)))
    wire.socket.send(frame)
    expect(probe.received(count=1) == [frame], 'a frame of the MTU')
    expect(probe.order(f'mtu {most + 1}') == -22, 'more than the MTU it can have')
    expect(probe.order('mtu 1500') == 0, 'mtu 1500')
    wire.b.ip('link', 'set', 'far', 'mtu', 1500)
    probe.end()


def test_killed(wire, driver, number):
    probe = Probe(wire.a, f'core={driver}:core')
    probe.kill()
    probe = Probe(wire.a, f'core={driver}:core')
    expect(int(probe.port['driver']) == number, probe.warnings())
    frame, _ = cases(wire)['transit']
    wire.socket.send(frame)
    expect(probe.received(count=1) == [frame], 'after a restart')
    probe.end()
    expect(not left_behind(wire), f'left behind: {left_behind(wire)}')


def test_others_filters(wire):
    """The clsact qdisc stays when somebody else's filter has come into it."""
    for direction in ('ingress', 'egress'):
        probe = Probe(wire.a, 'core=af_packet:core')
        wire.a.run('tc', 'filter', 'add', 'dev', 'core', direction, 'bpf', 'bytecode',
                   '1,6 0 0 0,')
        probe.end()
        shown = wire.a.run('tc', 'filter', 'show', 'dev', 'core', direction).stdout
        expect('bytecode' in shown, f'{direction}: {shown}')
        expect('pewter' not in shown, f'{direction}: {shown}')
        wire.a.run('tc', 'qdisc', 'del', 'dev', 'core', 'clsact')


def test_killed_and_other_driver(wire):
    """What a killed daemon left does not bother a port of the other kind."""
    for driver, number in (('af_packet', AF_PACKET), ('af_xdp', AF_XDP)) * 2:
        probe = Probe(wire.a, f'core={driver}:core', 'local=10.88.0.1')
        expect(int(probe.port['driver']) == number, probe.warnings())
        expect(set(left_behind(wire)) == ({'clsact', 'pewter'} if number else {'xdp'}),
               f'{driver}: {left_behind(wire)}')
        if driver == 'af_xdp':
            tcp = wire.frame(0x800, ipv4('192.0.2.9', '10.88.0.1', 6, bytes(20)))
            before = wire.kernel_packets()
            for _ in range(COPIES):
                wire.socket.send(tcp)
            expect(probe.received() == [], 'TCP to a local address came in')
            expect(wire.kernel_packets() - before >= COPIES, 'the kernel did not see it')
        probe.kill()
    probe = Probe(wire.a, 'core=af_xdp:core')
    probe.end()
    expect(not left_behind(wire), f'left behind: {left_behind(wire)}')


def test_twice(wire, driver):
    probe = Probe(wire.a, f'core={driver}:core')
    other = Probe(wire.a, f'core={driver}:core', refused=True)
    expect(other.child.wait(5) == 1, 'status')
    frame, _ = cases(wire)['transit']
    wire.socket.send(frame)
    expect(probe.received(count=1) == [frame], 'the first one still works')
    probe.end()


def test_reopen(wire, driver, number):
    probe = Probe(wire.a, f'core={driver}:core')
    frame, _ = cases(wire)['transit']
    for _ in range(3):
        expect(probe.order('reopen') == 0, probe.warnings())
        probe.said('port ')
        expect(int(probe.port['driver']) == number, probe.warnings())
        probe.received()
        wire.socket.send(frame)
        expect(probe.received(count=1) == [frame], 'after it was opened again')
    probe.end()
    expect(not left_behind(wire), f'left behind: {left_behind(wire)}')


def test_down(wire, driver):
    probe = Probe(wire.a, f'core={driver}:core')
    frame, _ = cases(wire)['transit']
    probe.order('down')
    probe.order('up')
    probe.received()
    wire.socket.send(frame)
    expect(probe.received(count=1) == [frame], 'up again')
    probe.order('link')
    expect(probe.said('link') == 'link changed=0 carrier=1', 'carrier')
    wire.b.ip('link', 'set', 'far', 'down')
    time.sleep(0.2)
    probe.order('link')
    expect(probe.said('link') == 'link changed=1 carrier=0', 'carrier lost')
    wire.b.ip('link', 'set', 'far', 'up')
    wire.socket = packet_socket(wire.b, 'far')
    probe.end()


def test_vanishes(lab, driver):
    wire = Wire(lab, f'gone-{driver[3:6]}')
    probe = Probe(wire.a, f'core={driver}:core')
    wire.b.ip('link', 'del', 'far')
    time.sleep(0.3)
    probe.order('link')
    expect(probe.said('link') == 'link changed=1 carrier=0', 'carrier')
    expect('is gone' in probe.warnings(), probe.warnings())
    probe.send(bytes(60))
    expect(probe.order('mtu 1400') < 0, 'mtu of nothing')
    probe.end()


def test_somebody_elses_program(wire, lab):
    source, target = (os.path.join(lab.folder, 'other.' + end) for end in ('c', 'o'))
    with open(source, 'w', encoding='ascii') as file:
        file.write('__attribute__((section("xdp"))) int other(void *c) { return 2; }\n'
                   'char l[] __attribute__((section("license"))) = "GPL";\n')
    if run('clang', '-O2', '-target', 'bpf', '-c', source, '-o', target, check=False).returncode:
        raise Skip('no clang')
    wire.a.ip('link', 'set', 'dev', 'core', 'xdp', 'obj', target, 'sec', 'xdp')
    probe = Probe(wire.a, 'core=af_xdp:core')
    expect(int(probe.port['driver']) == AF_PACKET, probe.port)
    expect('has an XDP program of another owner' in probe.warnings(), probe.warnings())
    frame, _ = cases(wire)['transit']
    wire.socket.send(frame)
    expect(probe.received(count=1) == [frame], 'by AF_PACKET')
    probe.end()
    expect(left_behind(wire) == ['xdp'], f'the other program: {left_behind(wire)}')
    wire.a.ip('link', 'set', 'dev', 'core', 'xdp', 'off')


def test_without_bpf(wire):
    """CAP_NET_ADMIN and CAP_NET_RAW alone: it works, and says what is missing."""
    drop = ('setpriv', '--bounding-set', '-bpf,-sys_admin,-perfmon')
    if run(*drop, 'true', check=False).returncode:
        raise Skip('no setpriv')
    probe = Probe(wire.a, 'core=af_xdp:core', prefix=drop)
    expect(int(probe.port['driver']) == AF_PACKET, probe.port)
    expect('cannot be loaded' in probe.warnings(), probe.warnings())
    expect('AF_PACKET is used instead' in probe.warnings(), probe.warnings())
    expect('the kernel and Pewter both see' in probe.warnings(), probe.warnings())
    probe.received()
    frame, _ = cases(wire)['transit']
    wire.socket.send(frame)
    expect(frame in probe.received(count=1), 'by AF_PACKET')
    probe.end()


def test_too_large_for_xdp(wire):
    """A veth with jumbo frames takes no XDP program: the kernel's own words are passed on."""
    wire.b.ip('link', 'set', 'far', 'mtu', 9000)
    try:
        probe = Probe(wire.a, 'core=af_xdp:core')
        expect(int(probe.port['driver']) == AF_PACKET, probe.port)
        expect('core takes no XDP program: ' in probe.warnings(), probe.warnings())
        probe.end()
    finally:
        wire.b.ip('link', 'set', 'far', 'mtu', 1500)
    expect(not left_behind(wire), f'left behind: {left_behind(wire)}')


def test_checksums(wire):
    """The kernel leaves checksums on a veth to hardware; AF_PACKET's port finishes them."""
    probe = Probe(wire.a, 'core=af_packet:core')
    wire.b.ip('route', 'replace', '203.0.113.0/24', 'via', '10.0.0.1')
    wire.b.run('ethtool', '-K', 'far', 'tx', 'on')
    probe.received()
    wire.b.run('bash', '-c', 'echo -n some text > /dev/udp/203.0.113.1/9')
    frames = [f for f in probe.received(count=1) if f[23] == 17]
    expect(len(frames) == 1, f'{len(frames)} frames')
    datagram = frames[0][34:]
    pseudo = frames[0][26:34] + struct.pack('!HH', 17, len(datagram))
    expect(checksum(pseudo + datagram) == 0, f'UDP checksum of {frames[0].hex()}')
    probe.end()


def test_tap(lab):
    node = lab.node('stap')
    probe = Probe(node, 'red=tap:cust0')
    node.ip('address', 'add', '10.1.0.2/24', 'dev', 'cust0')
    kernel, ours = node.mac('cust0'), probe.port['mac']
    expect(kernel != ours, 'both ends have one MAC')
    node.ip('neigh', 'add', '10.1.0.1', 'lladdr', ours, 'dev', 'cust0')
    probe.received()
    node.ping('10.1.0.1', count=1, check=False)
    frames = [f for f in probe.received(seconds=1, count=1) if f[12:14] == b'\x08\x00']
    expect(len(frames) == 1 and frames[0][:6] == mac_bytes(ours), f'{frames}')
    request = frames[0]
    reply = bytearray(request[6:12] + request[:6] + request[12:])
    reply[26:34] = request[30:34] + request[26:30]
    reply[34:38] = b'\0\0' + struct.pack('!H', checksum(b'\0\0\0\0' + request[38:]))
    before = node.snmp()['IcmpInEchoReps']
    probe.send(bytes(reply))
    wait_for(lambda: node.snmp()['IcmpInEchoReps'] == before + 1, 2, 'the reply')
    expect(probe.order('mtu 1400') == 0, 'mtu')
    expect(' mtu 1400 ' in node.ip('link', 'show', 'dev', 'cust0').stdout, 'the kernel\'s MTU')
    probe.end()
    expect(node.ip('link', 'show', 'dev', 'cust0', check=False).returncode != 0, 'the TAP stays')


def test_two_workers(wire, lab):
    """Each flow comes to one queue, each frame once."""
    probe = Probe(wire.a, 'core=af_packet:core', workers=2)
    expect(probe.port['queues'] == '2/2', probe.port)
    probe.received()
    frames = [wire.frame(0x800, ipv4(f'192.0.2.{i}', '203.0.113.1', 17,
                                     struct.pack('!HHHH', 1000 + i, 9, 12, 0) + bytes(4)))
              for i in range(64)]
    for frame in frames:
        wire.socket.send(frame)
    expect(sorted(probe.received(count=64)) == sorted(frames), 'frames lost or doubled')
    # Fragments stay fragments.
    datagram = ipv4('192.0.2.1', '203.0.113.1', 17, bytes(1400), 0x2000)
    rest = ipv4('192.0.2.1', '203.0.113.1', 17, bytes(1400), 175)
    for packet in (datagram, rest):
        wire.socket.send(wire.frame(0x800, packet))
    got = probe.received(count=2)
    expect(sorted(got) == sorted(wire.frame(0x800, p) for p in (datagram, rest)),
           f'{[len(f) for f in got]}')
    probe.end()
    node = lab.node('stap2')
    probe = Probe(node, 'red=tap:cust0', workers=2)
    expect(probe.port['queues'] == '2/2', probe.port)
    for i in range(8):
        node.ip('neigh', 'add', f'10.1.0.{i + 10}', 'lladdr', probe.port['mac'], 'dev', 'cust0')
    node.ip('address', 'add', '10.1.0.2/24', 'dev', 'cust0')
    probe.received()
    for i in range(8):
        node.run('bash', '-c', f'echo x > /dev/udp/10.1.0.{i + 10}/9')
    got = sorted(f[33] for f in probe.received(seconds=1, count=8) if f[12:14] == b'\x08\x00')
    expect(got == list(range(10, 18)), f'{got}')
    probe.end()


def test_memif(lab):
    node = lab.node('smemif')
    path = os.path.join(lab.folder, 'memif.sock')
    server = Probe(node, f'left=memif:{path}')
    client = Probe(node, f'right=memif:{path},role=client')

    def connected(probe):
        probe.order('link')
        return probe.said('link').endswith('carrier=1')

    wait_for(lambda: connected(server) and connected(client), 5, 'memif connected')
    for one, other in ((server, client), (client, server)):
        frame = mac_bytes(other.port['mac']) + mac_bytes(one.port['mac']) + b'\x88\xb5' + bytes(50)
        one.send(frame)
        expect(other.received(count=1) == [frame], 'frame over memif')
    client.end()
    server.end()


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    results = Results()

    def check(*arguments):
        try:
            results.check(*arguments)
        finally:
            Probe.kill_all()

    with Lab() as lab:
        if not os.access(PROBE, os.X_OK):
            print(f'skip all: {PROBE} is not built')
            return 0
        for driver, number in (('af_xdp', AF_XDP), ('af_packet', AF_PACKET)):
            wire = Wire(lab, number)
            for name, test, arguments in (
                    ('what is ours', test_steering, (wire, driver, number)),
                    ('ESP', test_esp, (wire, driver)),
                    ('ESP is not answered', test_esp_unanswered, (wire, driver)),
                    ('the kernel lives on', test_kernel_lives, (wire, driver)),
                    ('sending', test_sending, (wire, driver)),
                    ('MTU', test_mtu, (wire, driver)),
                    ('killed and started again', test_killed, (wire, driver, number)),
                    ('two daemons, one interface', test_twice, (wire, driver)),
                    ('closed and opened again', test_reopen, (wire, driver, number)),
                    ('down, up, carrier', test_down, (wire, driver)),
                    ('the interface vanishes', test_vanishes, (lab, driver))):
                check(f'{driver}: {name}', test, *arguments)
        check('af_xdp: somebody else\'s program', test_somebody_elses_program, wire, lab)
        check('af_xdp: without CAP_BPF', test_without_bpf, wire)
        check('af_xdp: too large for it', test_too_large_for_xdp, wire)
        check('killed, then the other driver', test_killed_and_other_driver, wire)
        check('af_packet: somebody else\'s filters', test_others_filters, wire)
        check('af_packet: checksums are finished', test_checksums, wire)
        check('tap', test_tap, lab)
        check('two workers', test_two_workers, wire, lab)
        check('memif', test_memif, lab)
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
