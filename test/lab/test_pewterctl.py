# SPDX-License-Identifier: BSD-3-Clause
"""pewterctl against live PEs: what it shows, traces, captures, sets and refuses."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

from lab import Lab, Results, Skip, expect, l3vpn, run, wait_for

SHOWN = ('drops', 'events', 'ports', 'stages', 'workers', 'vrfs', 'neighbours', 'tunnels',
         'labels', 'summary')
NOWHERE = '10.77.0.1'  # no route in VRF red


def program(pe):
    return os.path.join(pe.build, 'control', 'cli', 'pewterctl')


def shown(pe, *arguments):
    return json.loads(pe.ctl('-j', 'show', *arguments).stdout)


def refused(pe, words, *arguments, status=2):
    """One line that says what is wrong, and the exit status."""
    done = pe.ctl(*arguments, check=False)
    expect(done.returncode == status, f'{arguments}: status {done.returncode}\n{done.stdout}')
    expect(words in done.stdout, f'{arguments}: no "{words}" in: {done.stdout}')


class Running:
    """A pewterctl that runs beside the test; its output when it has ended."""

    def __init__(self, pe, *arguments):
        self.process = subprocess.Popen([program(pe), '-s', pe.socket, *arguments],
                                        stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True)
        time.sleep(0.3)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def output(self, signum=None, seconds=15):
        if signum is not None:
            self.process.send_signal(signum)
        text, _ = self.process.communicate(timeout=seconds)
        expect(self.process.returncode == 0, f'status {self.process.returncode}: {text}')
        return text


def show(lab):
    """Every list as text and as JSON."""
    for what in SHOWN:
        for options in ((), ('-a', '-d')):
            lab.pe1.ctl('show', *options, what)
            json.loads(lab.pe1.ctl('-j', 'show', *options, what).stdout)
            json.loads(lab.pe1.ctl('show', '-j', what[:3]).stdout)


def show_tables(lab):
    pe = lab.pe1
    vrfs = {vrf['name']: vrf for vrf in shown(pe, 'vrfs')}
    expect(set(vrfs) == {'default', 'red', 'blue'}, str(vrfs))
    expect(vrfs['red']['table'] == 10 and vrfs['red']['interfaces'] == ['ce-red'], str(vrfs))
    expect(vrfs['red']['routes4'] >= 3, str(vrfs))
    labels = {label['label']: label for label in shown(pe, 'labels')}
    expect(set(labels) == {101, 102}, str(labels))
    expect(labels[101]['action'] == 'pop' and labels[101]['vrf'] == 'red', str(labels))
    tunnels = shown(pe, 'tunnels')
    expect(len(tunnels) == 1 and tunnels[0]['ifname'] == 'gre1', str(tunnels))
    expect(tunnels[0]['local'] == '10.255.0.1' and 'remote' not in tunnels[0], str(tunnels))
    endpoint = tunnels[0]['endpoints'][0]
    expect(endpoint['remote'] == '10.255.0.2', str(endpoint))
    expect(endpoint['underlay']['via'] == '192.0.2.2', str(endpoint))
    expect(endpoint['underlay']['state'] == 'reachable', str(endpoint))
    mac = lab.nodes['p'].mac('pe1')
    expect({'dst': '192.0.2.2', 'dev': 'core', 'lladdr': mac, 'state': 'reachable'}.items() <=
           next(n for n in shown(pe, 'neighbours') if n['dst'] == '192.0.2.2').items(),
           'neighbour 192.0.2.2')
    summary = shown(pe, 'summary')
    expect(summary['ports'] == 3 and summary['vrfs'] == 3 and summary['labels'] == 2, str(summary))
    expect(summary['pid'] > 0 and summary['uptime'] > 0, str(summary))


def show_counters(lab):
    def numbers():
        ports = {port['ifname']: port for port in shown(lab.pe1, 'ports')}
        stages = {stage['stage']: stage['packets'] for stage in shown(lab.pe1, 'stages')}
        return (ports['ce-red']['rx']['packets'], ports['core']['tx']['packets'],
                ports['ce-red']['interface']['rx_packets'], stages['ethernet-input'])

    before = numbers()
    lab.nodes['red1'].ping('10.2.0.2', count=5)
    after = numbers()
    for name, old, new in zip(('rx', 'tx', 'interface rx', 'ethernet-input'), before, after):
        expect(new - old >= 5, f'{name}: {old} -> {new}')


def show_drops(lab):
    before = lab.pe1.drop('route-none')
    lab.nodes['red1'].ping(NOWHERE, check=False)
    expect(lab.pe1.drop('route-none') - before == 3, 'route-none did not count 3')
    text = lab.pe1.ctl('show', 'drops', '-d').stdout
    expect('route-none' in text and 'no route in the VRF' in text, text)
    expect('gre-version' not in text, 'a reason that never occurred is shown')
    expect('gre-version' in lab.pe1.ctl('show', '-a', 'drops').stdout, 'not shown with -a')


def stats(lab):
    with Running(lab.pe1, '-j', 'stats', '0.5', '2') as running:
        lab.nodes['red1'].ping('10.2.0.2', count=5)
        lines = [json.loads(line) for line in running.output().splitlines()]
    expect(len(lines) == 2, f'{len(lines)} lines')
    red = [port['rx_packets_per_second'] for line in lines for port in line['ports']
           if port['port'] == 'ce-red']
    expect(max(red) >= 2, f'ce-red: {red} packets a second')
    expect(0 <= lines[0]['workers'][0]['busy_percent'] <= 100, str(lines[0]))
    expect('ce-red' in lab.pe1.ctl('stats', '0.1', '1').stdout, 'no ce-red in text')


def trace(lab, pe, arguments, address, count=1):
    """The packets of a trace, as JSON, while red1 pings."""
    with Running(pe, '-j', 'trace', '-c', str(count), *arguments) as running:
        lab.nodes['red1'].ping(address, check=False)
        return [json.loads(line) for line in running.output().splitlines()]


def trace_out(lab):
    packet, = trace(lab, lab.pe1, ('icmp and src host 10.1.0.2',), '10.2.0.2')
    stages = {stage['stage']: stage for stage in packet['stages']}
    names = [stage['stage'] for stage in packet['stages']]
    expect(names[0] == 'ethernet-input' and names[-1] == 'port-transmit', str(names))
    expect(stages['ethernet-input']['in_port'] == 'ce-red', str(packet))
    expect(stages['ipv4-lookup']['vrf'] == 'red', str(packet))
    nexthop = stages['tunnel-output']['nexthop']
    expect(nexthop['labels'] == [202] and nexthop['via'] == '10.255.0.2', str(nexthop))
    expect(stages['port-transmit']['out_port'] == 'core', str(packet))
    headers = [header['protocol'] for header in stages['port-transmit']['headers']]
    expect(headers == ['ethernet', 'ipv4', 'gre', 'mpls', 'ipv4', 'icmp'], str(headers))
    expect(stages['port-transmit']['headers'][4]['ttl'] == 63, 'inner TTL')
    times = [stage['time'] for stage in packet['stages']]
    expect(times == sorted(times) and abs(times[0] / 1e9 - time.time()) < 60, str(times))


def trace_in(lab):
    """The far end; and picked after the tunnel's headers are off."""
    packet, = trace(lab, lab.pe2, ('--port', 'core', 'ip', 'proto', '47'), '10.2.0.2')
    names = [stage['stage'] for stage in packet['stages']]
    for name in ('gre-input', 'mpls-input', 'ipv4-lookup'):
        expect(name in names, str(names))
    after = packet['stages'][names.index('mpls-input') + 1]
    expect(after['label'] == 202 and after['vrf'] == 'red', str(after))
    expect(after['tunnel']['via'] == '10.255.0.1', str(after))
    packet, = trace(lab, lab.pe2, ('--stage', 'ipv4-lookup', 'dst host 10.2.0.2'), '10.2.0.2')
    expect(packet['stages'][0]['stage'] == 'ipv4-lookup', str(packet))
    expect(packet['stages'][0]['headers'][0]['destination'] == '10.2.0.2', str(packet))


def trace_drop(lab):
    packet, = trace(lab, lab.pe1, (f'dst host {NOWHERE}',), NOWHERE)
    reasons = [stage.get('reason') for stage in packet['stages']]
    expect('route-none' in reasons, str(packet))


def trace_many(lab):
    packets = trace(lab, lab.pe1, ('icmp',), '10.2.0.2', count=3)
    expect([packet['packet'] for packet in packets] == [1, 2, 3], str(packets))
    for packet in packets:
        expect(packet['stages'][-1]['stage'] == 'port-transmit', str(packet))
    with Running(lab.pe1, 'trace', 'icmp') as running:
        lab.nodes['red1'].ping('10.2.0.2')
        text = running.output()
    expect('tunnel-output' in text and 'encap mpls 202' in text and 'label 202' in text, text)


def trace_ends(lab):
    """By a signal, without a packet; when its client dies; one at a time."""
    with Running(lab.pe1, 'trace', 'host', '192.0.2.99') as first:
        refused(lab.pe1, 'another trace is running', 'trace')
        expect(first.output(signal.SIGINT) == '', 'records of nothing')
    with Running(lab.pe1, 'trace', 'host', '192.0.2.99') as first:
        first.process.kill()
        first.process.wait(10)

    def again():
        with Running(lab.pe1, 'trace', 'host', '192.0.2.99') as second:
            if second.process.poll() is not None:
                return False
            second.output(signal.SIGTERM)
            return True

    wait_for(again, 5, 'a trace after one whose client died')


def capture(lab, pe, arguments, address, count):
    path = os.path.join(lab.folder, 'capture.pcapng')
    with Running(pe, 'capture', '-w', path, '-c', str(count), *arguments) as running:
        lab.nodes['red1'].ping(address, check=False)
        text = running.output()
    expect(f'{count} packets captured, 0 lost' in text, text)
    return path


def tshark(path, *fields):
    if shutil.which('tshark') is None:
        raise Skip('no tshark')
    done = subprocess.run(['tshark', '-r', path, '-T', 'fields', '-E', 'separator=|',
                           *[word for field in fields for word in ('-e', field)]],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    expect(done.returncode == 0, done.stderr)
    expect('cut short' not in done.stderr and 'damaged' not in done.stderr, done.stderr)
    return [line.split('|') for line in done.stdout.splitlines()]


def capture_port(lab):
    path = capture(lab, lab.pe1, ('--port', 'core', 'ip', 'proto', '47'), '10.2.0.2', 6)
    rows = tshark(path, 'frame.interface_name', 'frame.packet_flags_direction', 'mpls.label',
                  'frame.time_epoch', 'frame.protocols')
    expect(len(rows) == 6, f'{len(rows)} packets')
    expect({row[0] for row in rows} == {'core'}, str(rows))
    directions = {(int(row[1], 0), row[2]) for row in rows}
    expect(directions == {(2, '202'), (1, '101')}, str(directions))
    for row in rows:
        expect(abs(float(row[3]) - time.time()) < 60, f'time {row[3]}')
        expect(row[4].endswith('gre:mpls:ip:icmp:data'), row[4])


def capture_drops(lab):
    path = capture(lab, lab.pe1, ('--stage', 'drop', 'dst', 'host', NOWHERE), NOWHERE, 2)
    rows = tshark(path, 'frame.comment', 'ip.dst', 'frame.interface_name')
    expect(len(rows) == 2, str(rows))
    for row in rows:
        expect(row[0].startswith('drop: '), str(row))
        expect(NOWHERE in row[1] and row[2] == 'drop', str(row))


def capture_labels(lab):
    """Packets that begin at their labels have a link type of their own."""
    path = capture(lab, lab.pe2, ('--stage', 'mpls-input'), '10.2.0.2', 2)
    rows = tshark(path, 'frame.protocols', 'mpls.label')
    expect(all(row[0].startswith('sll:ethertype:mpls:ip') and row[1] == '202' for row in rows), str(rows))


def capture_text(lab):
    with Running(lab.pe1, '-j', 'capture', '-c', '2', '--snaplen', '40', 'icmp') as running:
        lab.nodes['red1'].ping('10.2.0.2')
        lines = [json.loads(line) for line in running.output().splitlines()]
    expect(len(lines) == 2 and all(len(line['data']) == 80 for line in lines), str(lines))
    expect(lines[0]['direction'] == 'in' and lines[0]['port'] == 'ce-red', str(lines[0]))


def capture_pipe(lab):
    """Packets come through the pipe while the capture runs."""
    child = subprocess.Popen([program(lab.pe1), '-s', lab.pe1.socket,
                              'capture', '-w', '-', '--port', 'ce-red'],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    try:
        time.sleep(0.3)
        lab.nodes['red1'].ping('10.2.0.2', count=2)
        data = os.read(child.stdout.fileno(), 65536)
        expect(data[:4] == b'\x0a\x0d\x0d\x0a' and len(data) > 400, f'{len(data)} bytes so far')
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=10)
        expect(child.returncode == 0, f'status {child.returncode}')
    finally:
        child.kill()


def label_allow(lab):
    red1, pe = lab.nodes['red1'], lab.pe1
    pe.ctl('label', '101', 'allow', '10.9.9.9')
    try:
        label = next(label for label in shown(pe, 'labels') if label['label'] == 101)
        expect(label['allow'] == ['10.9.9.9'], str(label))
        before = pe.drop('mpls-label-refused')
        expect(red1.ping('10.2.0.2', check=False).returncode != 0, 'answers came in')
        expect(pe.drop('mpls-label-refused') - before == 3, 'mpls-label-refused did not count 3')
        lab.nodes['blue1'].ping('10.2.0.2')
        pe.ctl('label', '101', 'allow', '10.9.9.9', '10.255.0.2')
        red1.ping('10.2.0.2')
    finally:
        pe.ctl('label', '101', 'allow', 'any')
    red1.ping('10.2.0.2')
    label = next(label for label in shown(pe, 'labels') if label['label'] == 101)
    expect('allow' not in label, str(label))


def tunnel_ttl(lab):
    def label_ttl():
        packet, = trace(lab, lab.pe1, ('icmp and src host 10.1.0.2',), '10.2.0.2')
        return next(header['ttl'] for header in packet['stages'][-1]['headers']
                    if header['protocol'] == 'mpls')

    pe = lab.pe1
    expect(label_ttl() == 255, 'default is not 255')
    try:
        pe.ctl('tunnel', 'gre1', 'label-ttl', '77')
        expect(label_ttl() == 77, 'label-ttl 77')
        expect(shown(pe, 'tunnels')[0]['label_ttl'] == 77, 'not shown')
        pe.ctl('tunnel', 'gre1', 'ttl-model', 'uniform')
        expect(label_ttl() == 63, 'uniform')
        expect(shown(pe, 'tunnels')[0]['ttl_model'] == 'uniform', 'not shown')
    finally:
        pe.ctl('tunnel', 'gre1', 'ttl-model', 'short-pipe', 'label-ttl', '255')
    expect(label_ttl() == 255, 'not back to 255')


def batch(lab):
    path = os.path.join(lab.folder, 'batch')
    with open(path, 'w') as file:
        file.write('# comment\n\nshow summary\nlabel 101 allow any # again\nshow "labels"\n')
    text = lab.pe1.ctl('batch', path).stdout
    expect('pewterd' in text and '101 pop' in text, text)
    with open(path, 'w') as file:
        file.write('show labels\nshow nothing\nshow summary\n')
    done = lab.pe1.ctl('batch', path, check=False)
    expect(done.returncode == 1 and f'{path}:2: ' in done.stdout, done.stdout)
    expect('uptime' not in done.stdout and 'pid' not in done.stdout, 'it went on')
    done = lab.pe1.ctl('batch', '-f', path, check=False)
    expect(done.returncode == 1 and 'pid' in done.stdout, done.stdout)


def errors(lab):
    pe = lab.pe1
    refused(pe, 'there is no port "nope"', 'capture', '--port', 'nope')
    refused(pe, 'there is no stage "nope"', 'capture', '--stage', 'nope')
    refused(pe, 'packets are first seen', 'capture', '--stage', 'port-receive')
    refused(pe, 'not both', 'capture', '--stage', 'drop', '--port', 'core', status=1)
    refused(pe, 'syntax error', 'trace', 'host', 'host')
    refused(pe, 'begin at their IP header', 'capture', '--stage', 'ipv4-lookup', 'vlan', '3')
    refused(pe, 'label 999 has no route', 'label', '999', 'allow', 'any')
    refused(pe, 'no address', 'label', '101', 'allow', 'pe9', status=1)
    refused(pe, 'from 0 to 1048575', 'label', '1048576', 'allow', 'any', status=1)
    refused(pe, 'there is no link "nope"', 'tunnel', 'nope', 'label-ttl', '3')
    refused(pe, 'link "core" is no tunnel', 'tunnel', 'core', 'label-ttl', '3')
    refused(pe, 'uniform, pipe or short-pipe', 'tunnel', 'gre1', 'ttl-model', 'x', status=1)
    refused(pe, 'unknown command', 'frobnicate', status=1)
    refused(pe, 'cannot show', 'show', 'frobs', status=1)
    refused(pe, 'cannot open', 'capture', '-w', '/nonexistent/file')
    done = run(program(pe), '-s', '/nonexistent', 'show', check=False)
    expect(done.returncode == 2 and 'is pewterd running?' in done.stdout, done.stdout)


# What lib/pewter_netlink.h says, for messages that pewterctl would not send.
TRACE, CAPTURE, WATCH_STOP, RECORD = 0x438, 0x439, 0x43a, 0x43b
DROPS, ALLOW, TUNNEL_SET = 0x420, 0x430, 0x431
REQUEST, ACK, DUMP = 1, 4, 0x300


def attribute(kind, payload):
    return struct.pack('=HH', 4 + len(payload), kind) + payload + b'\0' * (-len(payload) % 4)


def instruction(code, true=0, false=0, k=0):
    return struct.pack('=HBBI', code, true, false, k)


class Raw:
    """A connection for hand-made messages."""

    def __init__(self, pe):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(5)
        self.socket.connect(pe.socket)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, kind, *attributes, flags=REQUEST | ACK, body=b'\0\0\0\0'):
        payload = body + b''.join(attributes)
        self.socket.send(struct.pack('=IHHII', 16 + len(payload), kind, flags, 7, 0) + payload)

    def error(self, *arguments, **options):
        """The errno and the words that a request is answered with."""
        self.send(*arguments, **options)
        answer = self.socket.recv(1 << 20)
        kind, = struct.unpack_from('=H', answer, 4)
        error, = struct.unpack_from('=i', answer, 16)
        expect(kind == 2, f'message type {kind} instead of an error')
        return -error, answer[36:].decode('latin-1')


def hostile_requests(lab):
    """Refused in words, nothing begun, the daemon runs on."""
    ret, back, bad = instruction(6, k=1), instruction(5, k=0xffffffff), instruction(0xffff)
    cases = [
        (TRACE, 'no valid BPF', attribute(5, back + ret)),      # a jump back: it would loop
        (TRACE, 'no valid BPF', attribute(5, instruction(5, k=7) + ret)),
        (TRACE, 'no valid BPF', attribute(5, bad + ret)),
        (TRACE, 'no valid BPF', attribute(5, instruction(0x0e) + ret)),  # return X: there is none
        (TRACE, 'no valid BPF', attribute(5, instruction(0x8f) + ret)),
        (TRACE, 'no valid BPF', attribute(6, instruction(0x20))),  # without a return
        (TRACE, 'whole instructions', attribute(5, ret + b'abcd')),
        (TRACE, '', attribute(5, ret * 3000)),
        (TRACE, '', attribute(77, b'abcd')),
        (TRACE, '', attribute(1, b'a')),
        (TRACE, '', attribute(1, b'abcd'), attribute(1, b'abcd')),
        (TRACE, 'no stage', attribute(2, b'nope\0')),
        (TRACE, 'no stage', attribute(2, b'drop-me\0')),
        (CAPTURE, 'no port', attribute(3, b'\xff\xfe\0')),
        (CAPTURE, 'at least 1', attribute(4, b'\0\0\0\0')),
        (TRACE, 'no snaplen', attribute(4, b'\1\0\0\0')),
        (WATCH_STOP, 'watches nothing'),
        (ALLOW, 'no label given'),
        (ALLOW, 'is above', attribute(1, b'\xff\xff\xff\xff')),
        (ALLOW, 'no remote given', attribute(1, struct.pack('=I', 101)), attribute(2, b'')),
        (ALLOW, '4 or 16 bytes', attribute(1, struct.pack('=I', 101)),
         attribute(2, attribute(3, b'abcde'))),
        (TUNNEL_SET, 'no tunnel given'),
        (TUNNEL_SET, 'nothing to set', attribute(1, b'gre1\0')),
        (TUNNEL_SET, 'unknown TTL model', attribute(1, b'gre1\0'), attribute(2, b'\x09')),
        (TUNNEL_SET, '1 to 255', attribute(1, b'gre1\0'), attribute(3, b'\0')),
        (DROPS, ''),  # no dump
    ]
    with Raw(lab.pe1) as raw:
        for kind, words, *attributes in cases:
            error, text = raw.error(kind, *attributes)
            expect(error > 0 and words in text, f'{kind:#x} {attributes}: {error} {text!r}')
        error, text = raw.error(TRACE, body=b'')
        expect(lab.pe1.alive(), 'pewterd ended')
    tunnel = shown(lab.pe1, 'tunnels')[0]
    expect(tunnel['ttl_model'] == 'pipe' and tunnel['label_ttl'] == 255, str(tunnel))


def watches_at_once(lab):
    """One a connection, four captures in all; those that go leave room."""
    raws = [Raw(lab.pe1) for _ in range(5)]
    try:
        for raw in raws[:4]:
            expect(raw.error(CAPTURE)[0] == 0, 'capture refused')
        expect(raws[0].error(TRACE)[0] == 16, 'two watches on one connection')
        expect(raws[4].error(CAPTURE)[0] == 16, 'a fifth capture')
        expect(raws[4].error(TRACE)[0] == 0, 'a trace beside four captures')
        lab.nodes['red1'].ping('10.2.0.2')
        raws[1].socket.close()
        with Raw(lab.pe1) as raw:
            wait_for(lambda: raw.error(CAPTURE)[0] == 0, 5, 'room for a capture')
    finally:
        for raw in raws:
            raw.socket.close()


def slow_reader(lab):
    """A client that never reads costs it records, not the daemon or the traffic."""
    with Raw(lab.pe1) as raw:
        raw.send(CAPTURE)
        done = lab.nodes['red1'].run('ping', '-q', '-f', '-s', '1400', '-c', '2000', '10.2.0.2',
                                     check=False)
        expect(' 0% packet loss' in done.stdout, done.stdout)
        summary = shown(lab.pe1, 'summary')
        expect(summary['drops'] >= 0, str(summary))
        raw.socket.setblocking(False)
        count = 0
        try:
            while True:
                answer = raw.socket.recv(1 << 20)
                count += struct.unpack_from('=H', answer, 4)[0] == RECORD
        except BlockingIOError:
            pass
        expect(count > 0, 'no record at all')
    expect(lab.pe1.alive(), 'pewterd ended')


def daemon_stops(lab):
    """SIGTERM while it is watched: it ends well, and pewterctl says so."""
    with Running(lab.pe2, 'capture') as running:
        expect(lab.pe2.stop() == 0, 'pewterd did not end with 0')
        text, _ = running.process.communicate(timeout=10)
        expect(running.process.returncode == 2 and 'closed the connection' in text, text)


def load(lab):
    """A capture that cannot keep up loses records, not packets, and says so."""
    with Running(lab.pe1, '-j', 'capture', '--snaplen', '64') as running:
        done = lab.nodes['red1'].run('ping', '-q', '-f', '-c', '3000', '10.2.0.2', check=False)
        expect(' 0% packet loss' in done.stdout, done.stdout)
        running.process.send_signal(signal.SIGINT)
        text, _ = running.process.communicate(timeout=20)
    lines = [line for line in text.splitlines() if line.startswith('{')]
    expect(len(lines) >= 1000, f'{len(lines)} of 12000 packets captured')
    json.loads(lines[-1])
    expect(lab.pe1.alive(), 'pewterd ended')


def main():
    results = Results()
    with Lab() as lab:
        l3vpn(lab, 'af_packet')
        lab.nodes['red1'].ping('10.2.0.2', count=5, check=False)
        for test in (show, show_tables, show_counters, show_drops, stats, trace_out, trace_in,
                     trace_drop, trace_many, trace_ends, capture_port, capture_drops,
                     capture_labels, capture_text, capture_pipe, label_allow, tunnel_ttl,
                     batch, errors, hostile_requests, watches_at_once, load, slow_reader):
            results.check('pewterctl_' + test.__name__, test, lab)
        results.check('pewterctl_leaves_pewterd_alive', lambda: expect(
            all(daemon.alive() for daemon in lab.daemons), 'a pewterd ended'))
        results.check('pewterctl_daemon_stops', daemon_stops, lab)
        if results.failed:
            print(lab.pe1.tail())
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
