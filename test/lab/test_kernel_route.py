# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's main table as Pewter's underlay: every change that ip(8) can make to it, against
what Pewter has for the default table; packets over such a route."""
import json
import os
import sys
import time

from lab import Lab, Results, expect, wait_for

DRIVER = os.environ.get('PW_LAB_DRIVER', 'af_packet')

BATCH = '''
link set core up
link set core2 up
address add 192.0.2.1/30 dev core
address add 192.0.2.5/30 dev core2
address add 2001:db8:f1::1/64 dev core
address add 2001:db8:f2::1/64 dev core2
link set ce up
address add 10.1.0.1/24 dev ce
link add red type vrf table 10
link set red up
link set cered master red up
address add 10.1.0.1/24 dev cered
'''


def build(lab):
    for name in ('ce', 'red', 'pe', 'p', 'p2'):
        lab.node(name)
    nodes = lab.nodes
    pe, p, p2 = nodes['pe'], nodes['p'], nodes['p2']
    lab.wire(pe, 'core', p, 'pe')
    lab.wire(pe, 'core2', p2, 'pe')
    lab.wire(pe, 'ce', nodes['ce'], 'eth0')
    lab.wire(pe, 'cered', nodes['red'], 'eth0')
    lab.wire(pe, 'elsewhere', p2, 'management')
    pe.ip('address', 'add', '203.0.113.1/24', 'dev', 'elsewhere')
    p.ip('address', 'add', '192.0.2.2/30', 'dev', 'pe')
    p.ip('address', 'add', '2001:db8:f1::2/64', 'dev', 'pe', 'nodad')
    p2.ip('address', 'add', '192.0.2.6/30', 'dev', 'pe')
    p2.ip('address', 'add', '2001:db8:f2::2/64', 'dev', 'pe', 'nodad')
    for node in (p, p2):
        node.ip('address', 'add', '198.51.100.1/32', 'dev', 'lo')
        node.ip('route', 'add', '10.1.0.0/24', 'via', '192.0.2.1' if node is p else '192.0.2.5')
    nodes['ce'].ip('address', 'add', '10.1.0.2/24', 'dev', 'eth0')
    nodes['ce'].ip('route', 'add', 'default', 'via', '10.1.0.1')
    path = os.path.join(lab.folder, 'pe.batch')
    with open(path, 'w') as file:
        file.write(BATCH)
    # Before the daemon: what is there when it starts.
    pe.ip('address', 'add', '192.0.2.1/30', 'dev', 'core')
    pe.ip('route', 'add', '198.51.100.9/32', 'via', '192.0.2.2')
    daemon = lab.daemon(pe, [f'{name}={DRIVER}:{name}' for name in ('core', 'core2', 'ce', 'cered')],
                        batch=[path])
    return daemon


def hops(daemon, prefix, table='main', family='-4'):
    """[(gateway, dev)] of each route of the prefix in Pewter."""
    found = []
    for entry in json.loads(daemon.ip('-j', family, 'route', 'show', 'exact', prefix, 'table', table)
                            .stdout or '[]'):
        found.append(sorted((hop.get('gateway') or hop.get('via', {}).get('host'), hop['dev'])
                            for hop in entry.get('nexthops', [entry])))
    return found


def becomes(daemon, prefix, *expected, family='-4'):
    expected = [sorted(route) for route in expected]
    wait_for(lambda: hops(daemon, prefix, family=family) == expected, 5,
             f'{prefix} {expected} (last {hops(daemon, prefix, family=family)})')


P, P2 = ('192.0.2.2', 'core'), ('192.0.2.6', 'core2')


def at_start(lab, daemon):
    becomes(daemon, '198.51.100.9/32', [P])


def default_route(lab, daemon):
    pe = lab.nodes['pe']
    pe.ip('route', 'add', 'default', 'via', '192.0.2.2')
    becomes(daemon, 'default', [P])
    lab.nodes['ce'].ping('198.51.100.1')
    pe.ip('route', 'replace', 'default', 'via', '192.0.2.6')
    becomes(daemon, 'default', [P2])
    lab.nodes['ce'].ping('198.51.100.1')
    pe.ip('route', 'add', 'default', 'via', '192.0.2.2', 'metric', '50')
    becomes(daemon, 'default', [P2], [P])
    pe.ip('route', 'del', 'default', 'via', '192.0.2.6')
    becomes(daemon, 'default', [P])
    pe.ip('route', 'del', 'default')
    becomes(daemon, 'default')


def multipath(lab, daemon):
    pe = lab.nodes['pe']
    pe.ip('route', 'add', '10.50.0.0/16', 'nexthop', 'via', '192.0.2.2', 'nexthop', 'via', '192.0.2.6',
          'weight', '3')
    becomes(daemon, '10.50.0.0/16', [P, P2])
    text = daemon.ip('route', 'show', '10.50.0.0/16').stdout
    expect('weight 3' in text, text)
    # A leg that leaves where Pewter is not is left out; with none left there is no route.
    pe.ip('route', 'replace', '10.50.0.0/16', 'nexthop', 'via', '192.0.2.2', 'nexthop', 'via',
          '203.0.113.9')
    becomes(daemon, '10.50.0.0/16', [P])
    pe.ip('route', 'replace', '10.50.0.0/16', 'via', '203.0.113.9')
    becomes(daemon, '10.50.0.0/16')
    pe.ip('route', 'del', '10.50.0.0/16')


def nexthop_objects(lab, daemon):
    pe = lab.nodes['pe']
    for compatible in (1, 0):
        pe.run('sysctl', '-qw', f'net.ipv4.nexthop_compat_mode={compatible}')
        pe.ip('nexthop', 'add', 'id', '1', 'via', '192.0.2.2', 'dev', 'core')
        pe.ip('nexthop', 'add', 'id', '2', 'via', '192.0.2.6', 'dev', 'core2')
        pe.ip('nexthop', 'add', 'id', '3', 'group', '1/2')
        pe.ip('route', 'add', '10.51.0.0/16', 'nhid', '3')
        becomes(daemon, '10.51.0.0/16', [P, P2])
        pe.ip('nexthop', 'replace', 'id', '3', 'group', '2')
        becomes(daemon, '10.51.0.0/16', [P2])
        pe.ip('nexthop', 'replace', 'id', '2', 'via', '192.0.2.2', 'dev', 'core')
        becomes(daemon, '10.51.0.0/16', [P])
        pe.ip('nexthop', 'del', 'id', '3')
        becomes(daemon, '10.51.0.0/16')
        pe.ip('nexthop', 'flush')
    pe.run('sysctl', '-qw', 'net.ipv4.nexthop_compat_mode=1')


def ipv6(lab, daemon):
    pe = lab.nodes['pe']
    one, two = ('2001:db8:f1::2', 'core'), ('2001:db8:f2::2', 'core2')
    pe.ip('-6', 'route', 'add', '2001:db8:50::/48', 'via', one[0])
    becomes(daemon, '2001:db8:50::/48', [one], family='-6')
    pe.ip('-6', 'route', 'append', '2001:db8:50::/48', 'via', two[0])
    becomes(daemon, '2001:db8:50::/48', [one, two], family='-6')
    pe.ip('-6', 'route', 'del', '2001:db8:50::/48', 'via', one[0])
    becomes(daemon, '2001:db8:50::/48', [two], family='-6')
    link_local = lab.nodes['p'].ip('-j', '-6', 'address', 'show', 'dev', 'pe', 'scope', 'link').stdout
    link_local = next(address['local'] for link in json.loads(link_local)
                      for address in link.get('addr_info', ()) if address)
    pe.ip('-6', 'route', 'replace', '2001:db8:50::/48', 'via', link_local, 'dev', 'core')
    becomes(daemon, '2001:db8:50::/48', [(link_local, 'core')], family='-6')
    pe.ip('-6', 'route', 'del', '2001:db8:50::/48')
    becomes(daemon, '2001:db8:50::/48', family='-6')
    # RFC 8950: an IPv4 route by an IPv6 gateway.
    pe.ip('route', 'add', '10.52.0.0/16', 'via', 'inet6', one[0], 'dev', 'core')
    becomes(daemon, '10.52.0.0/16', [one])
    pe.ip('route', 'del', '10.52.0.0/16')
    becomes(daemon, '10.52.0.0/16')


def same_metric(lab, daemon):
    """IPv4 routes of one prefix and metric: the kernel uses the first, then the next."""
    pe = lab.nodes['pe']
    pe.ip('route', 'add', '10.53.0.0/16', 'via', '192.0.2.2')
    pe.ip('route', 'append', '10.53.0.0/16', 'via', '192.0.2.6')
    time.sleep(0.5)
    becomes(daemon, '10.53.0.0/16', [P])
    pe.ip('route', 'del', '10.53.0.0/16', 'via', '192.0.2.2')
    becomes(daemon, '10.53.0.0/16', [P2])
    pe.ip('route', 'prepend', '10.53.0.0/16', 'via', '192.0.2.2')
    becomes(daemon, '10.53.0.0/16', [P])
    pe.ip('route', 'del', '10.53.0.0/16', 'via', '192.0.2.2')
    becomes(daemon, '10.53.0.0/16', [P2])
    pe.ip('route', 'del', '10.53.0.0/16')
    becomes(daemon, '10.53.0.0/16')


def not_ours(lab, daemon):
    pe = lab.nodes['pe']
    pe.ip('route', 'add', '10.54.0.0/16', 'via', '203.0.113.9')
    pe.ip('route', 'add', '10.55.0.0/16', 'via', '192.0.2.2', 'table', '99')
    pe.ip('route', 'add', 'blackhole', '10.56.0.0/16')
    pe.ip('route', 'add', '10.57.0.0/16', 'dev', 'cered')  # its link is in a VRF
    pe.ip('route', 'add', '10.58.0.0/16', 'via', '192.0.2.2')
    becomes(daemon, '10.58.0.0/16', [P])
    for number in (54, 55, 56, 57):
        expect(not hops(daemon, f'10.{number}.0.0/16'), f'10.{number}.0.0/16 is in Pewter')
    for number, rest in ((54, ()), (55, ('table', '99')), (56, ()), (57, ()), (58, ())):
        pe.ip('route', 'del', f'10.{number}.0.0/16', *rest)
    becomes(daemon, '10.58.0.0/16')


def operator_first(lab, daemon):
    pe = lab.nodes['pe']
    pe.ip('route', 'add', '198.51.100.1/32', 'via', '192.0.2.6')
    becomes(daemon, '198.51.100.1/32', [P2])
    daemon.ip('route', 'add', '198.51.100.1/32', 'via', '192.0.2.2', 'metric', '500')
    text = daemon.ip('route', 'get', '198.51.100.1').stdout
    expect('192.0.2.2' in text, f'the kernel\'s route won:\n{text}')
    pe.ip('route', 'del', '198.51.100.1/32')
    becomes(daemon, '198.51.100.1/32', [P])
    pe.ip('route', 'add', '198.51.100.1/32', 'via', '192.0.2.6')
    becomes(daemon, '198.51.100.1/32', [P], [P2])
    daemon.ip('route', 'del', '198.51.100.1/32', 'metric', '500')
    becomes(daemon, '198.51.100.1/32', [P2])
    lab.nodes['ce'].ping('198.51.100.1')
    pe.ip('route', 'del', '198.51.100.1/32')
    becomes(daemon, '198.51.100.1/32')


def silent_flush(lab, daemon):
    """The kernel takes IPv4 routes of a link that goes down out without saying so."""
    pe = lab.nodes['pe']
    pe.ip('route', 'add', '10.60.0.0/16', 'via', '192.0.2.6')
    becomes(daemon, '10.60.0.0/16', [P2])
    pe.ip('link', 'set', 'core2', 'down')
    becomes(daemon, '10.60.0.0/16')
    pe.ip('link', 'set', 'core2', 'up')
    wait_for(lambda: pe.ip('route', 'show', '192.0.2.4/30').stdout or
             pe.ip('route', 'add', '192.0.2.4/30', 'dev', 'core2', check=False), 5, 'core2 to be up')
    pe.ip('route', 'add', '10.60.0.0/16', 'via', '192.0.2.6', 'dev', 'core2', 'onlink')
    becomes(daemon, '10.60.0.0/16', [P2])
    pe.ip('route', 'del', '10.60.0.0/16')
    becomes(daemon, '10.60.0.0/16')


def many(lab, daemon, count=20000):
    """More events than the socket holds would be read again; either way the tables agree."""
    pe = lab.nodes['pe']
    path = os.path.join(lab.folder, 'many')
    for verb in ('add', 'del'):
        with open(path, 'w') as file:
            for i in range(count):
                file.write(f'route {verb} 20.{i >> 8 & 255}.{i & 255}.0/24 via 192.0.2.2\n')
        began = time.monotonic()
        pe.ip('-batch', path)
        expected = count if verb == 'add' else 0

        def there():
            lines = daemon.ip('route', 'show', 'root', '20.0.0.0/8').stdout
            return lines.count('via 192.0.2.2') == expected

        wait_for(there, 60, f'{expected} routes')
        took = time.monotonic() - began
    return f'{count} routes, last deletion after {took:.1f} s'


def lost_events(lab, daemon):
    """While the daemon is stopped its socket overflows: it reads everything again."""
    pe = lab.nodes['pe']
    path = os.path.join(lab.folder, 'flaps')
    with open(path, 'w') as file:
        for i in range(60000):
            file.write(f'route {"del" if i % 2 else "add"} 21.0.0.0/24 via 192.0.2.2\n')
        file.write('route add 21.0.1.0/24 via 192.0.2.6\n')
    pe.ip('route', 'add', '21.0.2.0/24', 'via', '192.0.2.2')
    becomes(daemon, '21.0.2.0/24', [P])
    pid = daemon.process.pid
    os.kill(pid, 19)
    pe.ip('-batch', path)
    pe.ip('route', 'del', '21.0.2.0/24')
    os.kill(pid, 18)
    becomes(daemon, '21.0.1.0/24', [P2])
    becomes(daemon, '21.0.2.0/24')
    becomes(daemon, '21.0.0.0/24')
    with open(daemon.log) as log:
        lost = 'were lost' in log.read()
    pe.ip('route', 'del', '21.0.1.0/24')
    expect(lost, 'no event was lost: the test did not test it')


def ends_well(daemon):
    expect(daemon.stop() == 0, daemon.tail())


def off(lab):
    pe = lab.nodes['pe']
    daemon = lab.daemon(pe, [f'core={DRIVER}:core'], options=['--no-kernel-routes'])
    pe.ip('route', 'replace', '198.51.100.9/32', 'via', '192.0.2.2')
    time.sleep(0.5)
    expect(not hops(daemon, '198.51.100.9/32'), 'mirrored all the same')
    expect(daemon.stop() == 0, daemon.tail())


def main():
    results = Results()
    with Lab() as lab:
        try:
            daemon = build(lab)
        except Exception as error:
            print(f'FAIL the lab: {error}')
            return 1
        results.check('a route that was there at the start', at_start, lab, daemon)
        results.check('the default route', default_route, lab, daemon)
        results.check('several next hops', multipath, lab, daemon)
        results.check('next-hop objects', nexthop_objects, lab, daemon)
        results.check('IPv6', ipv6, lab, daemon)
        results.check('several routes of one metric', same_metric, lab, daemon)
        results.check('what is not the underlay\'s', not_ours, lab, daemon)
        results.check('what the operator configured', operator_first, lab, daemon)
        results.check('a link that goes down', silent_flush, lab, daemon)
        results.check('many routes', many, lab, daemon)
        results.check('lost events', lost_events, lab, daemon)
        results.check('the daemon ends well', ends_well, daemon)
        results.check('off by --no-kernel-routes', off, lab)
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
