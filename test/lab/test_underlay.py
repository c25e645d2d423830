# SPDX-License-Identifier: BSD-3-Clause
"""The same two customers over other tunnels and other cores: GRE with a key, MPLS in IP, IPv6
outside, an underlay of two equal paths, one of which breaks."""
import os
import re
import sys
import time

from lab import Lab, Results, customer, expect, run, wait_for

DRIVER = os.environ.get('PW_LAB_DRIVER', 'af_xdp')


def batch(number, tunnel):
    """A PE's start-up file; tunnel is its `link add` line and the other end's address."""
    other = 3 - number
    add, remote = tunnel
    family = 'inet6 ' if ':' in remote else 'inet '
    via4 = f'via {family if ":" in remote else ""}{remote}'
    via6 = f'via {remote}' if ':' in remote else f'via ::ffff:{remote}'
    return f'''
link set core up mtu 1600
link set core2 up mtu 1600
address add 192.0.2.{4 * number - 3}/30 dev core
address add 192.0.2.{4 * number + 5}/30 dev core2
address add 2001:db8:f{number}::1/64 dev core
address add 10.255.0.{number}/32 dev lo
address add 2001:db8:ff::{number}/128 dev lo
route add 10.255.0.{other}/32 nexthop via 192.0.2.{4 * number - 2} nexthop via 192.0.2.{4 * number + 6}
route add 2001:db8:ff::{other}/128 via 2001:db8:f{number}::2
link add name tun1 {add}
link set tun1 up
link add red type vrf table 10
link set red up
link set ce-red master red up
address add 10.{number}.0.1/24 dev ce-red
address add 2001:db8:{number}::1/64 dev ce-red
route add 10.{other}.0.0/24 table 10 encap mpls {100 + other} {via4} dev tun1
route add 2001:db8:{other}::/64 table 10 encap mpls {100 + other} {via6} dev tun1
'''


def v4(number, words):
    return f'type gre local 10.255.0.{number} ttl 255 {words}', f'10.255.0.{3 - number}'


TUNNELS = {
    'multipoint GRE': lambda n: v4(n, ''),
    'multipoint GRE with a key': lambda n: v4(n, 'key 4711'),
    'point-to-point GRE': lambda n: v4(n, f'remote 10.255.0.{3 - n}'),
    'GRE with checksum and sequence': lambda n: v4(n, 'ocsum oseq'),
    'GRE, TOS inherited, no DF': lambda n: v4(n, 'tos inherit nopmtudisc'),
    'MPLS in IP': lambda n: (f'type ipip mode mplsip local 10.255.0.{n} ttl 255',
                             f'10.255.0.{3 - n}'),
    'GRE over IPv6': lambda n: (f'type ip6gre local 2001:db8:ff::{n} hoplimit 64 encaplimit none',
                                f'2001:db8:ff::{3 - n}'),
}


def build(lab):
    """pe1 and pe2 joined by two routers, p1 (both families) and p2 (IPv4)."""
    for name in ('red1', 'pe1', 'p1', 'p2', 'pe2', 'red2'):
        lab.node(name)
    nodes = lab.nodes
    for number in (1, 2):
        pe, red = nodes[f'pe{number}'], nodes[f'red{number}']
        lab.wire(pe, 'core', nodes['p1'], f'pe{number}', 1600)
        lab.wire(pe, 'core2', nodes['p2'], f'pe{number}', 1600)
        lab.wire(pe, 'ce-red', red, 'eth0')
        customer(red, number)
        p1, p2 = nodes['p1'], nodes['p2']
        p1.ip('address', 'add', f'192.0.2.{4 * number - 2}/30', 'dev', f'pe{number}')
        p1.ip('address', 'add', f'2001:db8:f{number}::2/64', 'dev', f'pe{number}', 'nodad')
        p2.ip('address', 'add', f'192.0.2.{4 * number + 6}/30', 'dev', f'pe{number}')
        p1.ip('route', 'add', f'10.255.0.{number}/32', 'via', f'192.0.2.{4 * number - 3}')
        p1.ip('route', 'add', f'2001:db8:ff::{number}/128', 'via', f'2001:db8:f{number}::1')
        p2.ip('route', 'add', f'10.255.0.{number}/32', 'via', f'192.0.2.{4 * number + 5}')
    for p in ('p1', 'p2'):
        nodes[p].run('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')


def start(lab, tunnel):
    for number in (1, 2):
        paths = [os.path.join(lab.folder, f'pe{number}.{kind}') for kind in ('batch', 'mpls')]
        with open(paths[0], 'w') as file:
            file.write(batch(number, TUNNELS[tunnel](number)))
        with open(paths[1], 'w') as file:
            file.write(f'route add {100 + number} dev red\n')
        ports = [f'{name}={DRIVER}:{name}' for name in ('core', 'core2', 'ce-red')]
        setattr(lab, f'pe{number}', lab.daemon(lab.nodes[f'pe{number}'], ports, batch=paths,
                                               cpu=(number - 1) % os.cpu_count()))


def stop(lab):
    for daemon in (lab.pe1, lab.pe2):
        if daemon.alive():
            expect(daemon.stop() == 0, f'pewterd did not end well\n{daemon.tail()}')


def both_ways(lab):
    for source, target in ((1, 2), (2, 1)):
        lab.nodes[f'red{source}'].ping(f'10.{target}.0.2')
        lab.nodes[f'red{source}'].ping(f'2001:db8:{target}::2')


def other_tunnel(lab, tunnel):
    start(lab, tunnel)
    try:
        both_ways(lab)
    finally:
        stop(lab)


def received(node, interface):
    return int(node.run('cat', f'/sys/class/net/{interface}/statistics/rx_packets').stdout)


def flows(lab, count=200):
    """One datagram for each of many flows."""
    code = ('import socket\n'
            f'for port in range(20000, 20000 + {count}):\n'
            ' s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n'
            ' s.bind(("", port)); s.sendto(b"x" * 100, ("10.2.0.2", 9)); s.close()\n')
    lab.nodes['red1'].run('/usr/bin/python3', '-c', code)


def equal_paths(lab):
    """Flows are spread over both routers of the core, and each flow keeps to one."""
    lab.nodes['red1'].ping('10.2.0.2')
    before = [received(lab.nodes[p], 'pe1') for p in ('p1', 'p2')]
    flows(lab)
    time.sleep(0.5)
    after = [received(lab.nodes[p], 'pe1') for p in ('p1', 'p2')]
    seen = [a - b for a, b in zip(after, before)]
    expect(min(seen) > 40, f'{seen} packets of 200 flows over the two paths')


def broken_path(lab):
    """One path loses its carrier: within a second and a half all flows use the other."""
    p2 = lab.nodes['p2']
    p2.ip('link', 'set', 'pe1', 'down')
    try:
        time.sleep(1.5)
        before = lab.nodes['red2'].snmp()['UdpNoPorts']
        flows(lab)
        wait_for(lambda: lab.nodes['red2'].snmp()['UdpNoPorts'] - before >= 200, 5,
                 'all 200 datagrams at red2')
    finally:
        p2.ip('link', 'set', 'pe1', 'up')
        p2.ip('route', 'add', '10.255.0.1/32', 'via', '192.0.2.9')  # the kernel dropped it


def healed_path(lab):
    time.sleep(2)
    equal_paths(lab)


def unknown_source(lab):
    """A PE that nothing names is refused by name, however right its label is."""
    lab.pe2.ip('route', 'del', '10.1.0.0/24', 'table', '10')
    lab.pe2.ip('route', 'del', '2001:db8:1::/64', 'table', '10')
    before = lab.pe2.drop('tunnel-source')
    lab.nodes['red1'].ping('10.2.0.2', check=False)
    counted = lab.pe2.drop('tunnel-source') - before
    expect(counted >= 3, f'tunnel-source counted {counted}')
    seen = lab.nodes['red2'].snmp()
    lab.nodes['red1'].ping('10.2.0.2', check=False)
    expect(lab.nodes['red2'].snmp()['IcmpInEchos'] == seen['IcmpInEchos'], 'it got through')


def main():
    results = Results()
    with Lab() as lab:
        build(lab)
        for tunnel in TUNNELS:
            results.check(tunnel, other_tunnel, lab, tunnel)
        try:
            start(lab, 'multipoint GRE')
        except Exception as error:
            print(f'FAIL the lab for equal paths: {error}')
            return 1
        results.check('flows over two equal paths', equal_paths, lab)
        results.check('one of the paths breaks', broken_path, lab)
        results.check('and heals', healed_path, lab)
        results.check('an unknown source is refused by name', unknown_source, lab)
        results.check('both daemons end well', stop, lab)
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
