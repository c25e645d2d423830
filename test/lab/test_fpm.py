# SPDX-License-Identifier: BSD-3-Clause
"""FRR's routes by FPM: recorded streams of zebra's dplane_fpm_nl (test/vectors/frr) over TCP into
a pewterd, after each frame its tables against the recording's decoded text; then connections that
break, sweeps, bad frames, and what the operator configured."""
import glob
import ipaddress
import json
import os
import re
import struct
import subprocess
import sys
import time

from lab import TOP, Lab, Results, expect, wait_for

DRIVER = os.environ.get('PW_LAB_DRIVER', 'af_packet')
VECTORS = os.path.join(TOP, 'test', 'vectors', 'frr')
HOLD = 3
# Numbers of interfaces where the streams were recorded (05's links, see the OIFs of the labels).
LINKS = {4: 'mgre0', 5: 'cust', 6: 'cust2'}

BATCH = '''
link set core up
address add 192.0.2.1/30 dev core
address add 10.0.0.1/32 dev lo
route add 10.0.0.0/24 via 192.0.2.2
link add mgre0 type gre local 10.0.0.1 ttl 255
link set mgre0 up
link add cust type vrf table 10
link set cust up
link add cust2 type vrf table 300
link set cust2 up
'''

# Joins standard input to a TCP connection, in whichever namespace it runs.
RELAY = '''
import os, socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while s.recv(4096):
        pass
    print("closed", flush=True)
    os._exit(0)
print("connected", flush=True)
threading.Thread(target=back, daemon=True).start()
while (data := os.read(0, 65536)):
    s.sendall(data)
'''


class Zebra:
    """A connection as zebra's: frames go in, nothing comes back. A test's ends with the test."""
    open = []

    def __init__(self, node, address='127.0.0.1', port=2620):
        self.child = subprocess.Popen(
            ['ip', 'netns', 'exec', node.ns, '/usr/bin/python3', '-c', RELAY, address, str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        expect(self.child.stdout.readline() == b'connected\n', 'cannot connect')
        node.lab.children.append(self.child)
        Zebra.open.append(self)

    @staticmethod
    def close_all():
        for zebra in Zebra.open:
            zebra.child.kill()
            zebra.child.wait()
        Zebra.open.clear()

    def send(self, data):
        self.child.stdin.write(data)
        self.child.stdin.flush()

    def close(self):
        self.child.stdin.close()
        self.child.wait(10)

    def closed_by_peer(self, seconds=5):
        expect(self.child.stdout.readline() == b'closed\n', 'the connection is still there')
        self.child.wait(seconds)
        self.child.stdin.close()


# ---- messages ------------------------------------------------------------------------------

def frame(*messages):
    body = b''.join(messages)
    return struct.pack('>BBH', 1, 1, 4 + len(body)) + body


def attribute(kind, data):
    size = 4 + len(data)
    return struct.pack('=HH', size, kind) + data + b'\0' * (-size % 4)


def route(prefix, gateway=None, oif=4, label=None, table=10, delete=False, nhid=None, proto=186):
    net = ipaddress.ip_network(prefix)
    family = 2 if net.version == 4 else 10
    body = struct.pack('=BBBBBBBBI', family, net.prefixlen, 0, 0, table if table < 256 else 0,
                       proto, 0, 0 if delete else 1, 4 if gateway and not delete else 0)
    body += attribute(1, net.network_address.packed) + attribute(6, struct.pack('=I', 20))
    if table >= 256:
        body += attribute(15, struct.pack('=I', table))
    if not delete:
        if nhid is not None:
            body += attribute(30, struct.pack('=I', nhid))
        else:
            if label is not None:
                body += attribute(21, struct.pack('=H', 1))
                body += attribute(22, attribute(1, struct.pack('>I', label << 12 | 0x100)))
            if gateway:
                body += attribute(5, ipaddress.ip_address(gateway).packed)
            body += attribute(4, struct.pack('=I', oif))
    return struct.pack('=IHHII', 16 + len(body), 25 if delete else 24, 0x401 if delete else 0x501,
                       0, 1) + body


def own_label(label, oif=5, delete=False):
    body = struct.pack('=BBBBBBBBI', 28, 20, 0, 0, 254, 0 if delete else 186, 0, 1, 0)
    body += attribute(1, struct.pack('>I', label << 12 | 0x100))
    body += attribute(4, struct.pack('=I', oif))
    return struct.pack('=IHHII', 16 + len(body), 25 if delete else 24, 0x401 if delete else 0x501,
                       0, 1) + body


def nexthop(ident, gateway=None, label=None, oif=4, group=None):
    body = struct.pack('=BBBBI', 0 if group else 2, 0, 11, 0, 0)
    body += attribute(1, struct.pack('=I', ident))
    if group:
        body += attribute(2, b''.join(struct.pack('=IBBH', member, 0, 0, 0) for member in group))
    else:
        if gateway:
            body += attribute(6, ipaddress.ip_address(gateway).packed)
        body += attribute(5, struct.pack('=I', oif))
        if label is not None:
            body += attribute(7, struct.pack('=H', 1))
            body += attribute(8, attribute(1, struct.pack('>I', label << 12 | 0x100)))
    return struct.pack('=IHHII', 16 + len(body), 104, 0x501, 0, 1) + body


# ---- what the recordings say ---------------------------------------------------------------

LABEL = re.compile(r'1:(\d+)\(s=1,ttl=0\)')


class Model:
    """The tables that a recording's text calls for."""

    def __init__(self):
        self.routes, self.labels, self.nexthops = {}, {}, {}

    def hops(self, words):
        """[(label, gateway)] of a message, None when it leads nowhere in Pewter."""
        if 'NH_ID' in words:
            one = self.nexthops[int(words['NH_ID'])]
            if isinstance(one, list):
                return sorted(self.nexthops[member] for member in one)
            return [one] if one else None
        if 'MULTIPATH' in words:
            parts = words['MULTIPATH'].strip('[]').strip('{}').split('}{')
            return sorted((int(LABEL.search(part).group(1)),
                           re.search(r'GATEWAY=(\S+)', part).group(1)) for part in parts)
        one = self.hop(words)
        return [one] if one else None

    @staticmethod
    def hop(words):
        """Without a gateway a labelled route has lost its PE, an unlabelled one is zebra's own."""
        if words.get('GATEWAY', '0.0.0.0') == '0.0.0.0' or 'ENCAP' not in words:
            return None
        return int(LABEL.search(words['ENCAP']).group(1)), words['GATEWAY']

    def message(self, line):
        kind = line.split()[0]
        line = re.sub(r'GROUP=((?:\d+ w\d+,?)+)', lambda m: 'GROUP=' + m.group(1).replace(' ', ':'),
                      line)
        line = re.sub(r'MULTIPATH=(\[.*\])', lambda m: 'MULTIPATH=' + m.group(1).replace(' ', ';'),
                      line)
        words = dict(word.split('=', 1) for word in line.split()[1:] if '=' in word)
        words = {key: value.replace(';', ' ') for key, value in words.items()}
        if kind == 'NEWNEXTHOP':
            ident = int(words['ID'])
            if 'GROUP' in words:
                self.nexthops[ident] = [int(m.split(':')[0]) for m in words['GROUP'].split(',')]
            else:
                self.nexthops[ident] = self.hop(words)
            return
        if words['fam'] == '28':
            label = int(words['DST'].split('(')[0])
            if kind == 'NEWROUTE':
                self.labels[label] = LINKS[int(words['OIF'])]
            else:
                self.labels.pop(label, None)
            return
        table = int(words.get('TABLE', words['table']))
        key = table, f'{words["DST"]}/{words["dlen"]}'
        hops = self.hops(words) if kind == 'NEWROUTE' and words['proto'] != 'kernel' else None
        if hops:
            self.routes[key] = hops
        else:
            self.routes.pop(key, None)


def recording(name):
    """[(frame, [text of each message])]"""
    with open(os.path.join(VECTORS, name + '.txt')) as file:
        lines = file.read().splitlines()
    with open(os.path.join(VECTORS, name + '.bin'), 'rb') as file:
        stream = file.read()
    frames = []
    for line in lines:
        if re.match(r'\+[\d.]+ FPM', line):
            size = struct.unpack('>H', stream[2:4])[0]
            frames.append((stream[:size], []))
            stream = stream[size:]
        elif re.match(r'\s+(NEW|DEL)', line):
            frames[-1][1].append(line.strip())
        elif line.strip().startswith('hex '):
            expect(frames[-1][0].hex() == line.split()[1], f'{name}: text and stream differ')
    expect(not stream, f'{name}: {len(stream)} bytes more in the stream than in the text')
    return frames


# ---- what pewterd says ---------------------------------------------------------------------

def fpm(daemon):
    return json.loads(daemon.ctl('-j', 'show', 'fpm').stdout)


def prefix_text(entry):
    text = entry['dst']
    if text == 'default':
        return text
    return text if '/' in text else f'{text}/{128 if ":" in text else 32}'


def entry_of(pairs):
    """ip(8) calls the labels of an encapsulation "dst", in the same object as the prefix."""
    entry = {}
    for key, value in pairs:
        entry['label' if key == 'dst' and 'encap' in entry else key] = value
    return entry


def hop_tuple(hop):
    return int(hop.get('label', 0)), hop.get('gateway')


def zebra_routes(daemon, protocol='bgp'):
    """{(table, prefix): [(label, gateway)]} of the routes of a protocol."""
    found = {}
    for family in ('-4', '-6'):
        for entry in json.loads(daemon.ip('-j', '-d', family, 'route', 'show', 'table', 'all',
                                          'proto', protocol).stdout or '[]',
                                object_pairs_hook=entry_of):
            table = {'main': 254}.get(entry.get('table', 'main'), entry.get('table'))
            hops = [hop_tuple(hop) for hop in entry.get('nexthops', [entry])]
            found[int(table), prefix_text(entry)] = sorted(hops)
    return found


def zebra_labels(daemon):
    found = {}
    for entry in json.loads(daemon.ip('-j', '-f', 'mpls', 'route').stdout or '[]'):
        found[int(entry['dst'])] = entry['dev']
    return found


def wait_frames(daemon, count):
    wait_for(lambda: fpm(daemon)['frames'] >= count, 10, f'{count} frames')


# ---- tests ---------------------------------------------------------------------------------

def start(lab, options=(), batch=BATCH):
    path = os.path.join(lab.folder, 'pe.batch')
    with open(path, 'w') as file:
        file.write(batch)
    maps = [word for number, link in LINKS.items()
            for word in ('--fpm-interface', f'{number}={link}')]
    return lab.daemon(lab.nodes['pe'], [f'core={DRIVER}:core'], batch=[path],
                      options=['--fpm', '--fpm-hold', HOLD, *maps, *options])


def replay(lab, name):
    daemon = start(lab)
    try:
        zebra, model, sent = Zebra(lab.nodes['pe']), Model(), 0
        for data, texts in recording(name):
            zebra.send(data)
            sent += 1
            for text in texts:
                model.message(text)
            wait_frames(daemon, sent)
            # A group of next hops comes before its members, and a route after both.
            found = zebra_routes(daemon), zebra_labels(daemon)
            expect(found == (model.routes, model.labels),
                   f'after frame {sent} ({"; ".join(texts)}):\n{found}\ninstead of\n'
                   f'{(model.routes, model.labels)}')
        state = fpm(daemon)
        zebra.close()
        return (f'{sent} frames, {state["messages"]} messages, {state["skipped"]} skipped, '
                f'{state["refused"]} refused')
    finally:
        daemon.stop()


def settled(lab):
    """A connection with two routes, a label, a route by a group of next hops."""
    zebra = Zebra(lab.nodes['pe'])
    zebra.send(frame(own_label(100)) + frame(route('10.1.1.0/24', '10.0.0.2', label=3001)) +
               frame(route('10.1.2.0/24', '10.0.0.3', label=3002)) +
               frame(nexthop(7, group=[8, 9])) + frame(nexthop(8, '10.0.0.2', 4001)) +
               frame(nexthop(9, '10.0.0.3', 4002)) + frame(route('10.1.3.0/24', nhid=7)))
    return zebra


KEPT = {(10, '10.1.1.0/24'): [(3001, '10.0.0.2')], (10, '10.1.2.0/24'): [(3002, '10.0.0.3')],
        (10, '10.1.3.0/24'): [(4001, '10.0.0.2'), (4002, '10.0.0.3')]}


def stale_and_sweep(lab, daemon):
    zebra = settled(lab)
    wait_for(lambda: zebra_routes(daemon) == KEPT, what='the first replay')
    zebra.child.kill()
    zebra.child.wait()
    wait_for(lambda: not fpm(daemon)['connected'], what='the end of the connection')
    time.sleep(HOLD + 2)
    expect(zebra_routes(daemon) == KEPT and zebra_labels(daemon) == {100: 'cust'},
           'routes went with the connection')
    expect(fpm(daemon)['stale'] == 4, f'stale: {fpm(daemon)["stale"]}')
    # zebra has started anew: one route is gone, and an id of a next hop means something else.
    zebra = Zebra(lab.nodes['pe'])
    zebra.send(frame(own_label(100)) + frame(nexthop(8, '10.0.0.3', 4444)) +
               frame(route('10.1.1.0/24', '10.0.0.2', label=3001)))
    wait_for(lambda: fpm(daemon)['stale'] == 2, what='refreshed routes')
    expect(zebra_routes(daemon) == KEPT, 'a stale route followed the new meaning of an id')
    began = time.monotonic()
    wait_for(lambda: fpm(daemon)['stale'] == 0, HOLD + 5, 'the sweep')
    took = time.monotonic() - began
    expect(took > HOLD - 2, f'swept after {took:.1f} s already')
    expect(zebra_routes(daemon) == {(10, '10.1.1.0/24'): [(3001, '10.0.0.2')]},
           f'after the sweep: {zebra_routes(daemon)}')
    expect(zebra_labels(daemon) == {100: 'cust'}, 'the label was swept')
    expect(fpm(daemon)['swept'] == 2, f'swept: {fpm(daemon)["swept"]}')
    zebra.send(frame(own_label(100, delete=True)) + frame(route('10.1.1.0/24', delete=True)))
    wait_for(lambda: not zebra_routes(daemon) and not zebra_labels(daemon), what='deletions')
    zebra.close()


def operator_first(lab, daemon):
    """A prefix of both: the operator's is used, stays, and is not swept."""
    zebra = Zebra(lab.nodes['pe'])
    before = fpm(daemon)['messages']
    daemon.ip('route', 'add', '10.2.0.0/24', 'encap', 'mpls', '500', 'via', '10.0.0.9', 'dev',
              'mgre0', 'table', '10', 'metric', '999')
    daemon.ip('-f', 'mpls', 'route', 'add', '200', 'dev', 'cust')
    zebra.send(frame(route('10.2.0.0/24', '10.0.0.2', label=600)) + frame(own_label(200, oif=6)))
    wait_for(lambda: fpm(daemon)['messages'] == before + 2, what='both messages')
    expect('operator' in fpm(daemon)['last_refused'], fpm(daemon)['last_refused'])
    expect(zebra_labels(daemon)[200] == 'cust', 'the operator\'s label was taken over')

    def used():
        text = daemon.ip('route', 'get', '10.2.0.1', 'vrf', 'cust').stdout
        return int(re.search(r'encap mpls\s+(\d+)', text).group(1))

    expect(used() == 500, f'label {used()} instead of the operator\'s')
    zebra.send(frame(route('10.2.0.0/24', delete=True)) + frame(own_label(200, delete=True)))
    wait_for(lambda: fpm(daemon)['messages'] == before + 4, what='deletions')
    expect(used() == 500 and 200 in zebra_labels(daemon), 'zebra deleted the operator\'s')
    zebra.send(frame(route('10.2.0.0/24', '10.0.0.2', label=600)))
    wait_for(lambda: zebra_routes(daemon), what='the route')
    daemon.ip('route', 'del', '10.2.0.0/24', 'table', '10', 'metric', '999')
    expect(used() == 600, 'zebra\'s route did not take over')
    zebra.send(frame(route('10.2.0.0/24', delete=True)))
    wait_for(lambda: not zebra_routes(daemon), what='the deletion')
    daemon.ip('-f', 'mpls', 'route', 'del', '200')
    zebra.close()


def replaced_without_a_gap(lab, daemon):
    """Subscribers hear of one replacement, and of no deletion."""
    zebra = Zebra(lab.nodes['pe'])
    zebra.send(frame(route('10.3.0.0/24', '10.0.0.2', label=700)))
    wait_for(lambda: zebra_routes(daemon), what='the route')
    monitor = subprocess.Popen(
        [os.path.join(daemon.build, 'control', 'cli', 'pewter-run'), '-s', daemon.socket, 'ip',
         'monitor', 'route'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    time.sleep(0.5)
    zebra.send(frame(route('10.3.0.0/24', delete=True), route('10.3.0.0/24', '10.0.0.3', label=701)))
    wait_for(lambda: zebra_routes(daemon) == {(10, '10.3.0.0/24'): [(701, '10.0.0.3')]},
             what='the change')
    time.sleep(0.3)
    monitor.terminate()
    heard = monitor.communicate()[0]
    expect('701' in heard and 'Deleted' not in heard, f'subscribers heard:\n{heard}')
    # What cannot be taken leaves no old route behind.
    zebra.send(frame(route('10.3.0.0/24', delete=True), route('10.3.0.0/24', '10.0.0.3', label=3)))
    wait_for(lambda: not zebra_routes(daemon), what='the old route to go')
    expect('10.3.0.0/24' in fpm(daemon)['last_refused'], fpm(daemon)['last_refused'])
    zebra.close()


def bad_frames(lab, daemon):
    good = route('10.4.0.0/24', '10.0.0.2', label=800)
    bad = {
        'version 2': b'\2\1\0\x20' + good,
        'protobuf': b'\1\2\0\x20' + good,
        'no message': b'\1\1\0\4',
        'a message longer than its frame': frame(struct.pack('=I', len(good) + 4) + good[4:]),
        'a message shorter than a header': frame(good, struct.pack('=IHHII', 12, 24, 0, 0, 0)),
        'half a header behind a message': frame(good, b'\0' * 8),
    }
    for name, data in bad.items():
        zebra = Zebra(lab.nodes['pe'])
        zebra.send(data)
        zebra.closed_by_peer()
        expect(not zebra_routes(daemon), f'{name}: its message was handled')
    with open(daemon.log) as log:
        lines = [line for line in log if 'a frame' in line or 'a message' in line]
    expect(len(lines) == len(bad), f'{len(lines)} lines for {len(bad)} frames:\n{"".join(lines)}')
    # A frame in two parts is one frame.
    zebra = Zebra(lab.nodes['pe'])
    data = frame(good) + frame(route('10.5.0.0/24', '10.0.0.2', label=801))
    for at in range(0, len(data), 7):
        zebra.send(data[at:at + 7])
        time.sleep(0.01)
    wait_for(lambda: len(zebra_routes(daemon)) == 2, what='both routes')
    zebra.send(frame(route('10.4.0.0/24', delete=True)) + frame(route('10.5.0.0/24', delete=True)))
    wait_for(lambda: not zebra_routes(daemon), what='deletions')
    zebra.close()


def one_at_a_time(lab, daemon):
    zebra = Zebra(lab.nodes['pe'])
    wait_for(lambda: fpm(daemon)['connected'], what='the connection')
    Zebra(lab.nodes['pe']).closed_by_peer()
    zebra.send(frame(route('10.6.0.0/24', '10.0.0.2', label=900)))
    wait_for(lambda: zebra_routes(daemon), what='a route of the first')
    zebra.send(frame(route('10.6.0.0/24', delete=True)))
    wait_for(lambda: not zebra_routes(daemon), what='the deletion')
    zebra.close()


def late_link(lab, daemon):
    """Routes over a link that comes later: zebra is made to say it all again."""
    zebra = Zebra(lab.nodes['pe'])
    data = frame(route('10.7.0.0/24', '10.0.0.2', oif=77, label=950))
    zebra.send(data)
    wait_for(lambda: 'number 77' in fpm(daemon).get('last_refused', ''), what='the refusal')
    daemon.ip('link', 'add', 'late0', 'type', 'gre', 'local', '10.0.0.11', 'ttl', '255')
    daemon.ip('link', 'set', 'late0', 'up')
    zebra.closed_by_peer()
    zebra = Zebra(lab.nodes['pe'])
    zebra.send(data)
    wait_for(lambda: zebra_routes(daemon) == {(10, '10.7.0.0/24'): [(950, '10.0.0.2')]},
             what='the route')
    zebra.send(frame(route('10.7.0.0/24', delete=True)))
    wait_for(lambda: not zebra_routes(daemon), what='the deletion')
    zebra.close()


def by_name(lab, daemon):
    """Interfaces that the kernel has: a face, a name that the configuration maps."""
    pe = lab.nodes['pe']
    pe.ip('tuntap', 'add', 'tun7', 'mode', 'tun')
    numbers = {link['ifname']: link['ifindex'] for link in json.loads(pe.ip('-j', 'link').stdout)}
    zebra = Zebra(pe)
    zebra.send(frame(route('10.8.0.0/24', '10.0.0.2', oif=numbers['tun7'], label=960)) +
               frame(route('198.51.100.0/24', '192.0.2.2', oif=numbers['core'], table=254)))
    wait_for(lambda: (10, '10.8.0.0/24') in zebra_routes(daemon), what='the route over tun7')
    entry = json.loads(daemon.ip('-j', 'route', 'show', '198.51.100.0/24').stdout)[0]
    expect(entry['dev'] == 'core' and entry['gateway'] == '192.0.2.2', str(entry))
    entry = json.loads(daemon.ip('-j', 'route', 'show', '10.8.0.0/24', 'table', '10').stdout)[0]
    expect(entry['dev'] == 'mgre0', str(entry))
    zebra.send(frame(route('10.8.0.0/24', delete=True)) +
               frame(route('198.51.100.0/24', table=254, delete=True)))
    wait_for(lambda: not fpm(daemon)['routes'], what='deletions')
    zebra.close()


def many(lab, daemon, count=20000):
    """A large replay, its loss, and the sweep."""
    prefixes = [f'{ipaddress.ip_address(0x14000000 + 256 * i)}/24' for i in range(count)]
    data = b''.join(frame(route(p, '10.0.0.2', label=3001)) for p in prefixes)
    zebra = Zebra(lab.nodes['pe'])
    began = time.monotonic()
    zebra.send(data)
    wait_for(lambda: fpm(daemon)['routes'] == count, 60, f'{count} routes')
    took = time.monotonic() - began
    zebra.close()
    zebra = Zebra(lab.nodes['pe'])
    wait_for(lambda: fpm(daemon)['routes'] == 0, HOLD + 20, 'the sweep')
    zebra.close()
    return f'{count} routes in {took:.2f} s'


def ends_well(daemon):
    expect(daemon.stop() == 0, daemon.tail())


def off(lab):
    path = os.path.join(lab.folder, 'pe.batch')
    daemon = lab.daemon(lab.nodes['pe'], [f'core={DRIVER}:core'], batch=[path])
    expect(fpm(daemon)['enabled'] is False, 'FPM is on')
    listening = lab.nodes['pe'].run('ss', '-Hltn').stdout
    expect('2620' not in listening, listening)
    daemon.stop()


def check(results, name, function, *arguments):
    results.check(name, function, *arguments)
    Zebra.close_all()


def main():
    results = Results()
    with Lab() as lab:
        pe, p = lab.node('pe'), lab.node('p')
        lab.wire(pe, 'core', p, 'pe')
        p.ip('address', 'add', '192.0.2.2/30', 'dev', 'pe')
        for path in sorted(glob.glob(os.path.join(VECTORS, '*.bin'))):
            name = os.path.splitext(os.path.basename(path))[0]
            check(results, f'recorded stream {name}', replay, lab, name)
        try:
            daemon = start(lab, ['--fpm-interface', '77=late0', '--fpm-interface', 'tun7=mgre0'])
        except Exception as error:
            print(f'FAIL the daemon: {error}')
            return 1
        check(results, 'stale routes forward on and are swept', stale_and_sweep, lab, daemon)
        check(results, 'what the operator configured', operator_first, lab, daemon)
        check(results, 'a change is one replacement', replaced_without_a_gap, lab, daemon)
        check(results, 'bad frames', bad_frames, lab, daemon)
        check(results, 'one connection at a time', one_at_a_time, lab, daemon)
        check(results, 'a link that comes later', late_link, lab, daemon)
        check(results, 'interfaces by name', by_name, lab, daemon)
        check(results, 'many routes', many, lab, daemon)
        check(results, 'the daemon ends well', ends_well, daemon)
        check(results, 'off without the option', off, lab)
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
