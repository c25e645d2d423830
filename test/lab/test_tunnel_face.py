#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The kernel face of a tunnel: two PEs with a GRE spoke between them, and what their kernels and a
routing daemon (BIRD, OSPF) do over it."""
import os
import re
import sys

from lab import Lab, Results, Skip, expect, wait_for

BIRD = '/usr/sbin/bird'
OSPF = """
log stderr all;
router id 10.77.0.{me};
protocol device {{ scan time 1; }}
protocol kernel {{ ipv4 {{ export all; }}; }}
protocol direct {{ ipv4; interface "lo"; }}
protocol ospf v2 {{
  ipv4 {{ export where source = RTS_DEVICE; }};
  area 0 {{ interface "t0" {{ type ptp; hello 1; dead count 4; }}; }};
}}
"""


class Pair:
    """a and b: kernels with a Pewter each, tunnels t0 (default VRF) and t1 (VRF red)."""

    def __init__(self, lab):
        self.lab = lab
        self.nodes = [lab.node(name) for name in ('a', 'b')]
        lab.wire(self.nodes[0], 'core', self.nodes[1], 'core')
        self.daemons = []
        for me, node in enumerate(self.nodes, 1):
            daemon = lab.daemon(node, ['core=af_packet:core'])
            self.daemons.append(daemon)
            lines = ['link set core up', f'addr add 192.0.2.{me}/30 dev core',
                     'link add red type vrf table 10', 'link set red up']
            for n in (0, 1):
                lines += [f'link add t{n} type gre local 192.0.2.{me} remote 192.0.2.{3 - me} '
                          f'key {n + 1} ttl 64',
                          f'addr add 10.9.{n}.{me}/30 dev t{n}',
                          f'addr add 2001:db8:9{n}::{me}/64 dev t{n}']
            lines += ['link set t1 master red', 'link set t0 up', 'link set t1 up']
            daemon.ip('-batch', '-', input='\n'.join(lines) + '\n')

    def face(self, name, state):
        for daemon in self.daemons:
            daemon.ctl('tunnel', name, 'face', state)


def there(node, name):
    return f'{name}:' in node.ip('-br', 'link', 'show').stdout.replace(' ', ':')


def no_face_yet(pair):
    expect(not there(pair.nodes[0], 't0'), 'there is a kernel interface already')


def kernel_has_it(pair):
    pair.face('t0', 'on')
    for me, node in enumerate(pair.nodes, 1):
        text = node.ip('addr', 'show', 'dev', 't0').stdout
        for wanted in (f'inet 10.9.0.{me}/30', f'inet6 2001:db8:90::{me}/64', 'POINTOPOINT',
                       'mtu 1472', 'LOWER_UP'):
            expect(wanted in text, f'no {wanted}:\n{text}')
        expect('10.9.0.0/30' in node.ip('route', 'show', 'dev', 't0').stdout, 'no prefix route')


def ping(pair):
    a, b = pair.nodes
    before = a.snmp()['IcmpInEchos'], b.snmp()['IcmpInEchos']
    a.ping('10.9.0.2')
    b.ping('10.9.0.1')
    a.ping('2001:db8:90::2')
    a.ping('10.9.0.2', '-s', '1444', '-M', 'do')
    after = a.snmp()['IcmpInEchos'], b.snmp()['IcmpInEchos']
    expect(after[0] - before[0] >= 3 and after[1] - before[1] >= 6,
           f'the kernels did not see the pings: {before} {after}')


def link_local(pair):
    a, b = pair.nodes
    address = re.search(r'inet6 (fe80:[0-9a-f:]+)/64', b.ip('addr', 'show', 'dev', 't0').stdout)
    expect(address, 'no link-local address on the face')
    a.ping(address.group(1) + '%t0')
    text = a.run('ping', '-n', '-c', '2', '-i', '0.2', '-W', '2', 'ff02::1%t0', check=False).stdout
    expect(address.group(1) in text, f'the other end did not answer ff02::1:\n{text}')


def tcp(pair):
    a, b = pair.nodes
    server = b.start(sys.executable, '-c', 'import socket\n'
                     's = socket.create_server(("10.9.0.2", 7000))\n'
                     'c, peer = s.accept()\n'
                     'c.sendall((peer[0] + " " + "x" * 100000).encode())\n')
    client = ('import socket, time\n'
              'for i in range(50):\n'
              '    try:\n'
              '        c = socket.create_connection(("10.9.0.2", 7000), 5); break\n'
              '    except ConnectionRefusedError: time.sleep(0.1)\n'
              'data = b""\n'
              'while True:\n'
              '    more = c.recv(65536)\n'
              '    if not more: break\n'
              '    data += more\n'
              'print(data[:8].decode(), len(data))\n')
    said = a.run(sys.executable, '-c', client).stdout.strip()
    server.wait(10)
    expect(said == '10.9.0.1 100009', f'got {said}')


def ospf(pair):
    if not os.access(BIRD, os.X_OK):
        raise Skip('BIRD is not installed')
    birds = []
    for me, node in enumerate(pair.nodes, 1):
        node.ip('addr', 'add', f'10.77.0.{me}/32', 'dev', 'lo')
        folder = os.path.join(pair.lab.folder, f'bird{me}')
        os.mkdir(folder)
        with open(os.path.join(folder, 'conf'), 'w', encoding='utf-8') as file:
            file.write(OSPF.format(me=me))
        birds.append(node.start(BIRD, '-f', '-c', f'{folder}/conf', '-s', f'{folder}/ctl'))
    try:
        for me, node in enumerate(pair.nodes, 1):
            wait_for(lambda: f'via 10.9.0.{3 - me} dev t0' in
                     node.ip('route', 'show', f'10.77.0.{3 - me}').stdout, 60,
                     'the route that OSPF brings')
        pair.nodes[0].ping('10.77.0.2', '-I', '10.77.0.1')
        wait_for(lambda: 'via 10.9.0.2 dev t0' in
                 pair.daemons[0].ip('route', 'show', '10.77.0.2').stdout, 10,
                 'the route in Pewter')
    finally:
        for bird in birds:
            bird.terminate()
            bird.wait(10)


def in_a_vrf(pair):
    """Pewter itself answers pings there; multicast and TCP are the kernel's all the same."""
    pair.face('t1', 'on')
    a, b = pair.nodes
    expect('10.9.1.1/30' in a.ip('addr', 'show', 'dev', 't1').stdout, 'no address on t1')
    expect('10.9.1.0/30' not in a.ip('route', 'show').stdout, 'a VRF\'s prefix in the main table')
    a.ping('10.9.1.2', '-I', 't1')
    address = re.search(r'inet6 (fe80:[0-9a-f:]+)/64', b.ip('addr', 'show', 'dev', 't1').stdout)
    a.ping(address.group(1) + '%t1')


def follows(pair):
    pair.daemons[0].ip('link', 'set', 't0', 'mtu', '1300')
    wait_for(lambda: 'mtu 1300' in pair.nodes[0].ip('link', 'show', 'dev', 't0').stdout, 5, 'MTU')
    pair.daemons[0].ip('link', 'set', 't0', 'down')
    wait_for(lambda: 'state DOWN' in pair.nodes[0].ip('link', 'show', 'dev', 't0').stdout, 5,
             'down')
    pair.daemons[0].ip('link', 'set', 't0', 'up', 'mtu', '1472')
    wait_for(lambda: 'inet 10.9.0.1/30' in pair.nodes[0].ip('addr', 'show', 'dev', 't0').stdout, 5,
             'the address is back')
    pair.nodes[0].ping('10.9.0.2')


def refused(pair):
    daemon, node = pair.daemons[0], pair.nodes[0]
    daemon.ip('link', 'add', 'many', 'type', 'gre', 'local', '192.0.2.1')
    node.ip('link', 'add', 'taken', 'type', 'veth', 'peer', 'name', 'other')
    daemon.ip('link', 'add', 'taken', 'type', 'gre', 'local', '192.0.2.1', 'remote', '192.0.2.2',
              'key', '9')
    for name, words in (('many', 'one remote end'), ('taken', 'already'), ('core', 'no tunnel'),
                        ('nobody', 'no link')):
        done = daemon.ctl('tunnel', name, 'face', 'on', check=False)
        expect(done.returncode and words in done.stdout, f'{name}: {done.stdout}')
    expect('"taken"' in daemon.ip('-j', 'link', 'show', 'taken').stdout, 'the tunnel went')


def off(pair):
    """Without a face the tunnel carries customers' packets, and its own addresses are Pewter's."""
    pair.face('t0', 'off')
    a, b = pair.nodes
    expect(not there(a, 't0'), 'the interface stays')
    addresses = pair.daemons[0].ip('addr', 'show', 'dev', 't0').stdout
    expect('10.9.0.1/30' in addresses, f'the address went:\n{addresses}')
    expect('fe80:' not in addresses, f'the kernel\'s address stays:\n{addresses}')
    pair.face('t0', 'on')
    a.ping('10.9.0.2')
    pair.daemons[0].ip('link', 'del', 't0')
    expect(not there(a, 't0'), 'it outlives its tunnel')


def ends(pair):
    for daemon in pair.daemons:
        expect(daemon.stop() == 0, f'pewterd: {daemon.tail()}')


def main():
    results = Results()
    with Lab() as lab:
        pair = Pair(lab)
        for test in (no_face_yet, kernel_has_it, ping, link_local, tcp, ospf, in_a_vrf, follows,
                     refused, off, ends):
            results.check(f'tunnel_face/{test.__name__}', test, pair)
        if results.failed:
            for daemon in pair.daemons:
                print(daemon.tail())
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
