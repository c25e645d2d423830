# SPDX-License-Identifier: BSD-3-Clause
"""The lab of test_l3vpn.py with its tunnels inside ESP, keys given by `ip xfrm` as an operator
gives them: what passes, what the core sees, rekeying under load, NAT-T, lifetimes, and that keys
are nowhere once they are gone. Arguments: drivers (af_xdp, af_packet); the first has all tests."""
import json
import os
import re
import secrets
import shutil
import struct
import subprocess
import sys
import time

import test_l3vpn as l3
from lab import Lab, Results, Skip, by_driver, expect, l3vpn, run, wait_for

PE = {1: '10.255.0.1', 2: '10.255.0.2'}
WAYS = ((1, 2), (2, 1))
REKEYS = 1000
KEPT = 64  # pairs of SAs that are still received with after a rekey
MARK = secrets.token_bytes(8)  # how every key begins: one search finds them all

# name: (cipher, key bytes, authenticator, key bytes, ICV bytes, IV bytes, alignment)
SUITES = {
    'gcm128': ('rfc4106(gcm(aes))', 20, None, 0, 16, 8, 4),
    'gcm256': ('rfc4106(gcm(aes))', 36, None, 0, 16, 8, 4),
    'chacha': ('rfc7539esp(chacha20,poly1305)', 36, None, 0, 16, 8, 4),
    'cbc128-sha256': ('cbc(aes)', 16, 'hmac(sha256)', 32, 16, 16, 16),
    'cbc256-sha512': ('cbc(aes)', 32, 'hmac(sha512)', 64, 32, 16, 16),
    'ctr128-sha1': ('rfc3686(ctr(aes))', 20, 'hmac(sha1)', 20, 12, 8, 4),
}

# Reasons that say that an SA was missing, wrong, or bypassed.
IPSEC_DROPS = ('sa-none', 'policy-clear', 'policy-sa', 'policy-block', 'esp-truncated', 'esp-spi',
               'esp-encapsulation', 'esp-source', 'esp-replay', 'esp-icv', 'esp-length',
               'esp-padding', 'esp-next-header', 'esp-sequence', 'esp-engine')


class Operator:
    """One `ip -batch` against a PE, kept open: hundreds of commands a second, each done when
    do() returns."""

    def __init__(self, lab, pe):
        program = os.path.join(pe.build, 'control', 'cli', 'pewter-run')
        self.child = subprocess.Popen([program, '-s', pe.socket, 'stdbuf', '-oL', 'ip', '-batch', '-'],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, bufsize=1)
        lab.children.append(self.child)

    def do(self, *commands):
        self.child.stdin.write('\n'.join(commands) + '\nxfrm state count\n')
        self.child.stdin.flush()
        said = ''
        while True:
            line = self.child.stdout.readline()
            if 'SAD count' in line:
                return int(re.search(r'SAD count (\d+)', line).group(1))
            said += line
            expect(line, f'ip ended: {commands}\n{said}')

    def close(self):
        self.child.stdin.close()
        self.child.wait(10)


class Keys:
    """Both PEs' SAs: what an IKE daemon would do."""

    def __init__(self, lab):
        self.lab, self.number = lab, 0
        self.all = []  # every key ever given
        self.live = []  # (from, to, SPI)
        self.operators = {}

    def do(self, number, *commands):
        if self.operators:
            return self.operators[number].do(*commands)
        pe = getattr(self.lab, f'pe{number}')
        return pe.ip('-batch', '-', input='\n'.join(commands) + '\n')

    def operate(self, on):
        for operator in self.operators.values():
            operator.close()
        self.operators = {n: Operator(self.lab, getattr(self.lab, f'pe{n}')) for n in (1, 2)} if on else {}

    def add(self, suite='gcm128', extra='', limits=''):
        """A new pair, receivers first."""
        cipher, key_bytes, auth, auth_bytes, icv, _, _ = SUITES[suite]
        self.number += 1
        commands = {}
        for way, (source, target) in enumerate(WAYS):
            spi = 0x10000 + 2 * self.number + way
            key, auth_key = (MARK + secrets.token_bytes(size - len(MARK)) if size else b''
                             for size in (key_bytes, auth_bytes))
            self.all += [key] + [auth_key] * bool(auth)
            algorithms = (f"enc '{cipher}' 0x{key.hex()} auth-trunc '{auth}' 0x{auth_key.hex()} {icv * 8}"
                          if auth else f"aead '{cipher}' 0x{key.hex()} {icv * 8}")
            commands[source, target] = (
                f'xfrm state add src {PE[source]} dst {PE[target]} proto esp spi {spi} reqid 1 '
                f'mode transport replay-window 1024 flag esn {algorithms} {extra} {limits}')
            self.live.append((source, target, spi))
        for source, target in WAYS:
            self.do(target, commands[source, target])
        for source, target in WAYS:
            self.do(source, commands[source, target])

    def delete(self, keep):
        """All pairs but the newest so many, on both PEs."""
        count = max(0, len(self.live) - 2 * keep)
        gone, self.live = self.live[:count], self.live[count:]
        lines = [f'xfrm state delete src {PE[s]} dst {PE[t]} proto esp spi {spi}' for s, t, spi in gone]
        if lines:
            for number in (1, 2):
                self.do(number, *lines)

    def replace(self, *arguments, **options):
        self.add(*arguments, **options)
        time.sleep(0.3)
        self.delete(1)

    def flush(self):
        for number in (1, 2):
            self.do(number, 'xfrm state flush')
        self.live = []

    def policies(self, number, action='add'):
        here, there = PE[number], PE[3 - number]
        if action == 'flush':
            self.do(number, 'xfrm policy flush')
            return
        for source, target, direction in ((here, there, 'out'), (there, here, 'in')):
            self.do(number, f'xfrm policy add src {source}/32 dst {target}/32 proto gre dir {direction} '
                            f'tmpl src {source} dst {target} proto esp reqid 1 mode transport')


class Capture:
    """Everything that passes a link of the core while the block runs."""

    def __init__(self, lab, link='pe1', node='p'):
        self.node, self.link = lab.nodes[node], link
        self.path = os.path.join(lab.folder, f'{time.monotonic_ns()}.pcap')

    def __enter__(self):
        said = open(self.path + '.said', 'w+')
        self.child = self.node.start('tcpdump', '--immediate-mode', '-U', '-i', self.link, '-w',
                                     self.path, stderr=said)
        wait_for(lambda: 'listening on' in open(self.path + '.said').read(), 10, 'tcpdump')
        return self

    def __exit__(self, *_):
        time.sleep(0.3)
        self.child.terminate()
        self.child.wait(10)

    def packets(self):
        """(seconds, bytes from the IP header on) of each IPv4 packet; others by EtherType."""
        with open(self.path, 'rb') as file:
            data = file.read()
        at, packets = 24, []
        while at + 16 <= len(data):
            seconds, fraction, size, _ = struct.unpack_from('<IIII', data, at)
            frame = data[at + 16:at + 16 + size]
            packets.append((seconds + fraction / 1e6, frame[12:14], frame[14:]))
            at += 16 + size
        return packets

    def kinds(self):
        """How many packets of each kind: IP protocols by number, fragments' too."""
        counts = {}
        for _, kind, data in self.packets():
            name = data[9] if kind == b'\x08\x00' else kind.hex()
            counts[name] = counts.get(name, 0) + 1
        return counts


def only_esp(capture, least, protocol=50):
    """ESP (or UDP, with NAT-T) and no other IP, no MPLS; ARP and neighbour discovery may be."""
    kinds = capture.kinds()
    count = kinds.pop(protocol, 0)
    for harmless in ('0806', '86dd'):
        kinds.pop(harmless, 0)
    expect(count >= least, f'{count} packets of protocol {protocol}, expected {least}; others {kinds}')
    expect(not kinds, f'in the core besides ESP: {kinds}')
    return count


def ipsec_drops(lab):
    return {f'pe{n} {name}': getattr(lab, f'pe{n}').drop(name) for n in (1, 2) for name in IPSEC_DROPS}


def new_drops(lab, before):
    return {name: count - before[name] for name, count in ipsec_drops(lab).items() if count != before[name]}


def sas(pe):
    return json.loads(pe.ctl('-j', 'show', 'sas').stdout)


def pings(lab):
    """Those of test_l3vpn.py; a failure says what was dropped meanwhile."""
    before = {n: getattr(lab, f'pe{n}').ctl('show', 'drops').stdout for n in (1, 2)}
    try:
        l3.pings(lab)
    except AssertionError as error:
        after = {n: getattr(lab, f'pe{n}').ctl('show', 'drops').stdout for n in (1, 2)}
        raise AssertionError(f'{error}\ndrops before {before}\nand after {after}') from None


# ---- without keys, and with them ---------------------------------------------------------------

def keyless(lab, keys):
    """Policies alone: nothing passes, nothing leaves PE1 by the core, IKE is asked once."""
    log = os.path.join(lab.folder, 'acquire')
    with open(log, 'w') as file:
        program = os.path.join(lab.pe1.build, 'control', 'cli', 'pewter-run')
        monitor = subprocess.Popen([program, '-s', lab.pe1.socket, 'stdbuf', '-oL', 'ip', 'xfrm',
                                    'monitor', 'acquire'], stdout=file, stderr=file)
    lab.children.append(monitor)
    time.sleep(0.5)
    before = lab.pe1.drop('sa-none')
    with Capture(lab) as capture:
        done = lab.nodes['red1'].ping('10.2.0.2', count=5, check=False)
    monitor.terminate()
    expect(done.returncode != 0, 'a ping was answered without keys')
    expect(lab.pe1.drop('sa-none') - before == 5, f"sa-none {lab.pe1.drop('sa-none') - before} of 5")
    kinds = capture.kinds()
    expect(set(kinds) <= {'0806', '86dd'}, f'on the core: {kinds}')
    said = open(log).read()
    expect(said.count('acquire proto esp') == 1, f'not one acquire:\n{said}')


def passes(lab, keys):
    keys.add()
    with Capture(lab) as capture:
        pings(lab)
    return f'{only_esp(capture, 48)} packets of ESP on the core, nothing else'


def words_hidden(lab, keys):
    """What the customers say is on their links and not on the core's."""
    words = secrets.token_hex(8).encode()
    with Capture(lab) as core, Capture(lab, 'eth0', 'red2') as customer:
        for address in ('10.2.0.2', '2001:db8:2::2'):
            lab.nodes['red1'].ping(address, '-p', words.hex(), '-s', '600')
    expect(words in open(customer.path, 'rb').read(), 'the words are not even on red2\'s link')
    expect(words not in open(core.path, 'rb').read(), 'the words are on the core')
    only_esp(core, 12)


def shown(lab, keys):
    for number in (1, 2):
        pe = getattr(lab, f'pe{number}')
        listed = sas(pe)
        expect(len(listed) == 2, listed)
        for sa in listed:
            inward = sa['dst'] == PE[number]
            expect(sa['direction'] == ('in' if inward else 'out') and sa['state'] == 'valid', sa)
            expect(sa['cipher'] == 'rfc4106(gcm(aes))' and sa['esn'] and sa['window'] == 1024, sa)
            expect(sa['packets'] > 0 and sa['bytes'] > 0 and sa['sequence'] >= sa['packets'], sa)
            expect(sa['replays'] == sa['icv_failures'] == sa['invalid'] == 0, sa)
            expect(('vrf' in sa) == inward and sa['idle'] <= sa['age'] + 1, sa)
        text = pe.ctl('show', 'sas').stdout
        for key in keys.all:
            expect(key.hex() not in text, 'a key is shown')
        policies = [line for line in pe.ctl('show', 'policies').stdout.splitlines() if line]
        expect(len(policies) == 2 and all('protect' in line for line in policies), policies)
        summary = pe.ctl('show', 'summary').stdout
        expect('SAs 2 policies 2' in summary, summary)
        expect('protection esp' in pe.ctl('show', 'tunnels').stdout, 'not said of the tunnel')
    expect(sas(lab.pe1)[0]['spi'] in [sa['spi'] for sa in sas(lab.pe2)], 'not the same SAs')


def traced(lab, keys):
    """A trace says by which SA a packet leaves, and by which it came in."""
    for pe, stage, direction in ((lab.pe1, 'esp-output', 'out'), (lab.pe2, 'mpls-input', 'in')):
        spi = [sa['spi'] for sa in sas(pe) if sa['direction'] == direction][0]
        port = 'ce-red' if direction == 'out' else 'core'
        child = subprocess.Popen([os.path.join(pe.build, 'control', 'cli', 'pewterctl'), '-s', pe.socket,
                                  'trace', '-c', '1', '--port', port], stdout=subprocess.PIPE, text=True)
        lab.children.append(child)
        time.sleep(0.5)
        lab.nodes['red1'].ping('10.2.0.2', count=2)
        text = child.communicate(timeout=20)[0]
        lines = [line for line in text.splitlines() if line.strip().startswith(stage)]
        expect(lines and f'SA 0x{spi:08x}' in lines[0], f'SA 0x{spi:08x} not at {stage}\n{text}')


# ---- MTU ---------------------------------------------------------------------------------------

def largest(suite, mtu, udp=False):
    """The largest customer's packet whose ESP packet fits, from RFC 4303 2 and RFC 4023 alone."""
    _, _, _, _, icv, iv, align = SUITES[suite]
    for size in range(mtu, 0, -1):
        text = size + 4 + 4 + 2  # label, GRE; pad length and next header
        text += -text % align
        if 20 + 8 * udp + 8 + iv + text + icv <= mtu:
            return size
    return 0


class CoreMtu:
    """Both PEs' core ports with this MTU while the block runs."""

    def __init__(self, lab, mtu):
        self.lab, self.mtu = lab, mtu

    def set(self, mtu):
        for pe in (self.lab.pe1, self.lab.pe2):
            pe.ip('link', 'set', 'core', 'mtu', mtu)

    def __enter__(self):
        self.set(self.mtu)

    def __exit__(self, *_):
        self.set(1600)
        l3.forget_path(self.lab.nodes['red1'])


def exact_mtu(lab, keys, suite, extra=''):
    """A packet of the size that is told passes, one byte more is told of, at both families."""
    keys.replace(suite, extra)
    size, red1 = largest(suite, 1500, 'espinudp' in extra), lab.nodes['red1']
    with CoreMtu(lab, 1500):
        l3.forget_path(red1)
        done = red1.ping('10.2.0.2', '-M', 'do', '-s', str(size - 28 + 1), check=False)
        expect(f'mtu = {size}' in done.stdout, f'expected mtu = {size}\n{done.stdout}')
        done = red1.ping('2001:db8:2::2', '-M', 'do', '-s', str(size - 48 + 1), check=False)
        expect(re.search(rf'mtu ?= ?{size}\b', done.stdout), f'expected mtu = {size}\n{done.stdout}')
        with Capture(lab) as capture:
            red1.ping('10.2.0.2', '-M', 'do', '-s', str(size - 28))
            red1.ping('2001:db8:2::2', '-M', 'do', '-s', str(size - 48))
        sizes = [struct.unpack_from('>H', data, 2)[0] for _, kind, data in capture.packets()
                 if kind == b'\x08\x00']
        expect(max(sizes) <= 1500, f'{max(sizes)} bytes on the core')
        # As much as alignment allows: the next larger one would not have fit.
        expect(max(sizes) > 1500 - SUITES[suite][6], f'{max(sizes)} bytes on the core: too few')
    return f'{size} of 1500'


# ---- rekeying ----------------------------------------------------------------------------------

# Numbered packets and their echoes, no more than WINDOW of them on the way (0: any number): on a
# machine that is busy with something else for a second no queue overflows, so that whatever does
# not come back within 5 s was lost for another reason.
SENDER = '''
import collections, signal, socket, struct, sys, time
target, rate, window = (sys.argv[1], 9000), int(sys.argv[2]), int(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 32, 16 << 20)
s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
s.setblocking(False)
stop, way, number, answered, extra = [], collections.OrderedDict(), 0, 0, 0
signal.signal(signal.SIGINT, lambda *_: stop.append(time.monotonic()))
last = time.monotonic()
owed = 0.0
while not stop or (way and time.monotonic() - stop[0] < 6):
    now = time.monotonic()
    owed, last = min(owed + (now - last) * rate, 64), now
    while owed >= 1 and not stop and (not window or len(way) < window):
        s.sendto(struct.pack('>Q', number) + bytes(192), target)
        way[number] = now
        number, owed = number + 1, owed - 1
    try:
        while True:
            if way.pop(struct.unpack_from('>Q', s.recv(2048))[0], None) is None:
                extra += 1
            else:
                answered += 1
    except BlockingIOError:
        pass
    while way and now - next(iter(way.values())) > 5:
        way.popitem(last=False)
    time.sleep(0.001)
print(number, answered, extra, flush=True)
'''
ECHO = '''
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 32, 16 << 20)
s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
s.bind(('', 9000))
print('listening', flush=True)
while True:
    data, peer = s.recvfrom(2048)
    s.sendto(data, peer)
'''


class Stream:
    """Numbered UDP packets from one site of a customer to the other and back while the block runs."""

    def __init__(self, lab, source, target, address, rate, window=200):
        self.source, self.target = lab.nodes[source], lab.nodes[target]
        self.arguments = [address, rate, window]

    def __enter__(self):
        options = {'stdout': subprocess.PIPE, 'text': True}
        self.echo = self.target.start('/usr/bin/python3', '-c', ECHO, **options)
        self.echo.stdout.readline()
        self.sender = self.source.start('/usr/bin/python3', '-c', SENDER, *self.arguments, **options)
        return self

    def __exit__(self, *_):
        self.sender.send_signal(2)
        self.sent, self.answered, self.extra = map(int, self.sender.stdout.readline().split())
        self.echo.kill()
        self.echo.wait(10)


def rekey(keys, count):
    keys.operate(True)
    try:
        for _ in range(count):
            keys.add()
            time.sleep(0.005)
            keys.delete(KEPT)
    finally:
        time.sleep(0.5)
        keys.delete(1)
        keys.operate(False)


def rekey_stream(lab, keys):
    """Whatever does not come back, rekeying lost."""
    before, begin = ipsec_drops(lab), time.monotonic()
    with Stream(lab, 'red1', 'red2', '10.2.0.2', 3000) as red, \
            Stream(lab, 'blue2', 'blue1', '10.1.0.2', 3000) as blue:
        time.sleep(0.5)
        rekey(keys, REKEYS)
        seconds = time.monotonic() - begin
    for stream in (red, blue):
        expect(stream.sent > REKEYS, f'only {stream.sent} packets were sent')
        expect(stream.answered == stream.sent and not stream.extra,
               f'{stream.answered} of {stream.sent} came back, {stream.extra} too often or late; '
               f"new drops {new_drops(lab, before)}\n{lab.pe1.ctl('show', 'drops').stdout}"
               f"{lab.pe1.ctl('show', 'ports').stdout}{lab.pe2.ctl('show', 'drops').stdout}"
               f"{lab.pe2.ctl('show', 'ports').stdout}")
    expect(not new_drops(lab, before), new_drops(lab, before))
    expect(len(sas(lab.pe1)) == 2, 'old SAs are left')
    return (f'{REKEYS} rekeys of both ways in {seconds:.0f} s, {red.sent + blue.sent} packets there and '
            f'back, 0 lost')


def rekey_full_load(lab, keys):
    """TCP as fast as it goes: queues may overflow then, but no packet meets a wrong SA or none."""
    lab.nodes['red2'].start('iperf3', '-s', '-1')
    wait_for(lambda: ':5201' in lab.nodes['red2'].run('ss', '-ltn').stdout, 5, 'iperf3')
    before = ipsec_drops(lab)
    output = os.path.join(lab.folder, 'iperf')
    with open(output, 'w') as file:
        load = lab.nodes['red1'].start('iperf3', '-c', '10.2.0.2', '-t', '300', '-f', 'm', '--forceflush',
                                       stdout=file, stderr=file)
        time.sleep(1)
        begin = time.monotonic()
        rekey(keys, REKEYS)
        seconds = time.monotonic() - begin
        load.send_signal(2)
        load.wait(20)
    rates = [float(rate) for rate in re.findall(r'([\d.]+) Mbits/sec', open(output).read())]
    expect(not new_drops(lab, before), new_drops(lab, before))
    expect(len(rates) > 3 and min(rates[1:-2]) > 0, f'TCP stood still: {rates}')
    sent = sum(rates[:-2]) / max(1, len(rates) - 2)
    return f'{REKEYS} rekeys in {seconds:.0f} s at {sent:.0f} Mbit/s, no packet met a wrong SA'


# ---- from clear to sealed, and what is refused -----------------------------------------------

def no_clear_after_policy(lab, keys):
    """From the answer to `policy add` to the SAs: no packet in clear, though they keep coming."""
    for number in (1, 2):
        keys.policies(number, 'flush')
    keys.flush()
    lab.nodes['red1'].ping('10.2.0.2')
    with Capture(lab) as capture, Stream(lab, 'red1', 'red2', '10.2.0.2', 1000, 0):
        time.sleep(1)
        keys.policies(2)
        keys.policies(1)
        policy = time.time()
        time.sleep(1.5)
        keys.add()
        added = time.time()
        time.sleep(1)
    clear = [when for when, kind, data in capture.packets() if kind == b'\x08\x00' and data[9] == 47]
    sealed = [when for when, kind, data in capture.packets() if kind == b'\x08\x00' and data[9] == 50]
    expect(len(clear) > 200 and clear[0] < policy, f'{len(clear)} in clear before: nothing to compare with')
    # What was in the port's queue when the policy came is yet to pass the wire.
    late = [when for when in clear if when > policy + 0.05]
    expect(not late, f'{len(late)} packets in clear, up to {max(clear) - policy:.3f} s after the policy')
    expect(len(sealed) > 200 and sealed[0] > policy, f'{len(sealed)} packets of ESP')
    return (f'{len(clear)} in clear, the last {1000 * (max(clear) - policy):.1f} ms after the policy\'s '
            f'answer; {added - policy:.1f} s of silence; {len(sealed)} of ESP')


def clear_refused(lab, keys):
    """The other PE sends in clear: dropped here, by name."""
    keys.do(2, 'xfrm policy flush')
    before = lab.pe1.drop('policy-clear')
    done = lab.nodes['red2'].ping('10.1.0.2', count=3, check=False)
    expect(done.returncode != 0, 'it was answered')
    expect(lab.pe1.drop('policy-clear') - before == 3, lab.pe1.ctl('show', 'drops').stdout)
    keys.policies(2)
    lab.nodes['red2'].ping('10.1.0.2')


# ---- NAT-T, lifetimes ----------------------------------------------------------------------------

UDP = 'encap espinudp 4500 4500 0.0.0.0'


def nat_t(lab, keys):
    keys.replace('gcm128', UDP)
    with Capture(lab) as capture:
        pings(lab)
    count = only_esp(capture, 48, 17)
    ports = {data[20:24] for _, kind, data in capture.packets() if kind == b'\x08\x00'}
    expect(ports == {struct.pack('>HH', 4500, 4500)}, f'UDP ports {ports}')
    said = lab.pe1.ctl('show', 'sas').stdout
    expect('espinudp sport 4500 dport 4500' in said, said)
    return f'{count} packets to port 4500'


def bare_again(lab, keys):
    keys.replace()
    pings(lab)


def expiry(lab, keys):
    """Soft asks and goes on, hard stops; nothing goes in clear."""
    log = os.path.join(lab.folder, 'expire')
    with open(log, 'w') as file:
        program = os.path.join(lab.pe1.build, 'control', 'cli', 'pewter-run')
        monitor = subprocess.Popen([program, '-s', lab.pe1.socket, 'stdbuf', '-oL', 'ip', 'xfrm',
                                    'monitor', 'expire'], stdout=file, stderr=file)
    lab.children.append(monitor)
    time.sleep(0.5)
    keys.flush()
    keys.add(limits='limit time-soft 2 limit time-hard 5')
    lab.nodes['red1'].ping('10.2.0.2')
    left = [sa for sa in sas(lab.pe1) if sa['direction'] == 'out'][0]
    expect(left['hard']['seconds'] <= 5 and left.get('soft', {}).get('seconds', 0) <= 2, left)
    wait_for(lambda: open(log).read().count('hard 0') == 2, 10, 'both soft events')
    expect([sa['state'] for sa in sas(lab.pe1)] == ['dying'] * 2, sas(lab.pe1))
    lab.nodes['red1'].ping('10.2.0.2', count=2)
    wait_for(lambda: open(log).read().count('hard 1') == 2, 10, 'both hard events')
    wait_for(lambda: not sas(lab.pe2), 10, 'PE2 without SAs')
    keys.live = []
    # An acquire's larva may be there; it has no keys.
    expect(all(sa['state'] == 'larval' for sa in sas(lab.pe1)), sas(lab.pe1))
    before = lab.pe1.drop('sa-none')
    with Capture(lab) as capture:
        done = lab.nodes['red1'].ping('10.2.0.2', count=3, check=False)
    expect(done.returncode != 0 and lab.pe1.drop('sa-none') - before == 3, 'it goes on')
    expect(set(capture.kinds()) <= {'0806', '86dd'}, f'on the core: {capture.kinds()}')
    monitor.terminate()


def packets_limit(lab, keys):
    keys.add(limits='limit packet-soft 20 limit packet-hard 40')
    done = lab.nodes['red1'].run('ping', '-n', '-q', '-c', '150', '-i', '0.02', '-W', '1', '10.2.0.2',
                                 check=False)
    received = int(re.search(r'(\d+) received', done.stdout).group(1))
    expect(20 <= received < 100, f'{received} of 150 passed with a limit of 40')
    wait_for(lambda: all(sa['state'] == 'larval' for sa in sas(lab.pe1)), 5, 'the SAs ended')
    keys.flush()
    keys.add()
    lab.nodes['red1'].ping('10.2.0.2')
    return f'{received} of 150 with a limit of 40'


def killed(lab, keys):
    """A new daemon has the policies from its start-up files and no keys: sealed or nothing."""
    with Capture(lab) as capture:
        lab.pe1.kill()
        lab.pe1.start()
        done = lab.nodes['red1'].ping('10.2.0.2', count=3, check=False)
        expect(done.returncode != 0, 'it passes without keys')
        keys.do(2, 'xfrm state flush')
        keys.live = []
        keys.add()
        pings(lab)
    only_esp(capture, 48)


# ---- keys in memory ------------------------------------------------------------------------------

def scan(pid, patterns):
    """How often each is in the readable memory of a process."""
    counts = [0] * len(patterns)
    step, overlap = 1 << 20, 64
    nothing = bytes(step + overlap)
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', buffering=0) as memory:
        for line in maps:
            area, mode = line.split()[:2]
            start, end = (int(x, 16) for x in area.split('-'))
            if mode[0] != 'r' or line.rstrip().endswith(('[vvar]', '[vsyscall]')):
                continue
            for at in range(start, end, step):
                try:
                    memory.seek(at)
                    data = memory.read(min(step + overlap, end - at))
                except (OSError, ValueError):
                    continue
                if data == nothing[:len(data)]:
                    continue
                for i, pattern in enumerate(patterns):
                    counts[i] += data.count(pattern)
    return counts


def in_core(lab, keys):
    """A core file of a daemon with live keys has none of them."""
    if not shutil.which('gcore'):
        raise Skip('gcore is not installed')
    pid = lab.pe1.process.pid
    pid = int(run('pgrep', '-x', '-P', pid, 'pewterd', check=False).stdout or pid)
    live = keys.all[-2:]
    expect(all(scan(pid, live)), 'the keys are not in the daemon: the search finds nothing')
    core = os.path.join(lab.folder, 'core')
    done = run('gcore', '-o', core, pid, check=False, timeout=180)
    path = f'{core}.{pid}'
    if not os.path.exists(path):
        raise Skip(f'no core file: {done.stdout.strip().splitlines()[-1:]}')
    counts, size = [0, 0, 0], os.path.getsize(path)
    patterns = live + [lab.pe1.socket.encode()]
    with open(path, 'rb') as file:
        while data := file.read(64 << 20):
            counts = [count + data.count(pattern) for count, pattern in zip(counts, patterns)]
    os.unlink(path)
    expect(counts[2] > 0, 'not even the socket\'s path is in the core file')
    expect(not any(counts[:2]), f'keys in the core file: {counts[:2]}')
    lab.nodes['red1'].ping('10.2.0.2')
    return f'{size >> 20} MiB'


def forgotten(lab, keys):
    """After a flush no key that was ever given is in either daemon's memory."""
    daemons = (lab.pe1, lab.pe2)
    live = [scan(pe.process.pid, [MARK])[0] for pe in daemons]
    expect(all(live), f'live keys found in the daemons {live}: the search finds nothing')
    keys.flush()
    time.sleep(0.5)
    for pe in daemons:
        found, socket = scan(pe.process.pid, [MARK, pe.socket.encode()])
        expect(socket > 0, f'{pe.node.name}: not even its socket\'s path is found')
        expect(not found, f'{pe.node.name}: {found} keys found')
    given = len(keys.all)
    keys.add()
    lab.nodes['red1'].ping('10.2.0.2')
    return f'none of {given} keys; before it {live} in the daemons'


def alive(lab, keys):
    for daemon in (lab.pe1, lab.pe2):
        expect(daemon.alive(), daemon.tail())
        status = daemon.stop()
        expect(status == 0, f'status {status}\n{daemon.tail()}')


def plain(function, *arguments):
    """A test of test_l3vpn.py, sealed."""
    return lambda lab, keys: function(lab, *arguments)


TESTS = [
    ('policies without keys: nothing passes, one acquire', keyless),
    ('pings of both customers, IPv4 and IPv6, both ways', passes),
    ('the core sees ESP only, and none of the customers\' words', words_hidden),
    ('show sas, policies, summary', shown),
    ('a trace names the SA', traced),
    ('no packet reaches the other customer', plain(l3.isolation)),
    ('traceroute IPv4', plain(l3.traceroute, 4, '10.2.0.2', ['10.1.0.1', '10.2.0.1', '10.2.0.2'])),
    ('packets of 1500 bytes pass', plain(l3.full_size)),
    ('TCP over IPv4', plain(l3.tcp, 'red', '10.2.0.2')),
    ('TCP over IPv6', plain(l3.tcp, 'blue', '2001:db8:2::2')),
    ('too big without DF: cut before encryption', plain(l3.fragmented)),
    ('outer fragments are reassembled before ESP', plain(l3.outer_fragments)),
    *[(f'MTU to the byte, {suite}', exact_mtu, suite) for suite in SUITES],
    ('rekeying loses nothing', rekey_stream),
    ('rekeying at full load', rekey_full_load),
    ('nothing in clear from the policy on', no_clear_after_policy),
    ('the same in clear is refused', clear_refused),
    ('ESP in UDP', nat_t),
    ('MTU to the byte, ESP in UDP', exact_mtu, 'gcm128', UDP),
    ('bare ESP again', bare_again),
    ('soft and hard expiry', expiry),
    ('a limit of packets', packets_limit),
    ('a new daemon after SIGKILL', killed),
    ('no key in a core file', in_core),
    ('no key in memory after a flush', forgotten),
    ('SIGTERM: exit 0', alive),
]
# Frames of every size and ESP of both kinds taken off the wire, TCP, a port that is taken over.
OF_PORTS = ('policies without keys: nothing passes, one acquire',
            'pings of both customers, IPv4 and IPv6, both ways', 'packets of 1500 bytes pass',
            'TCP over IPv4', 'outer fragments are reassembled before ESP',
            'MTU to the byte, gcm128', 'rekeying loses nothing', 'ESP in UDP', 'bare ESP again',
            'a new daemon after SIGKILL', 'SIGTERM: exit 0')


def main():
    results = Results()
    for driver, tests in by_driver(sys.argv[1:] or ['af_xdp', 'af_packet'], TESTS, OF_PORTS):
        with Lab() as lab:
            try:
                l3vpn(lab, driver, sealed=True)
            except Exception as error:
                print(f'FAIL {driver}: the lab did not come up: {error}', flush=True)
                results.failed += 1
                continue
            keys = Keys(lab)
            for name, function, *arguments in tests:
                results.check(f'{driver}: {name}', function, lab, keys, *arguments)
            if results.failed:
                for daemon in lab.daemons:
                    print(f'--- {daemon.node.name}\n{daemon.tail()}')
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
