#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""FRR beside Pewter.

In namespaces, on whatever kernel is here: zebra, staticd and ospfd next to a pewterd; their
routes by FPM, and by the kernel's main table.
"""
import json
import os
import sys
import time

import frr
from frr import Frr
from lab import Lab, Results, expect, wait_for

DRIVER = os.environ.get('PW_LAB_DRIVER', 'af_packet')
HOLD = 20

BATCH = '''
link set core up
address add 192.0.2.1/30 dev core
link set ce up
address add 10.1.0.1/24 dev ce
'''

# The part that docs/fpm.md shows.
FPM = '''
fpm address 127.0.0.1
'''


def configuration(name, interface, address, more=''):
    return (f'frr defaults traditional\nhostname {name}\n{more}' +
            frr.ospf(interface, address, 'connected', '192.0.2.0/30'))


def hops(daemon, prefix):
    found = []
    for entry in json.loads(daemon.ip('-j', 'route', 'show', 'exact', prefix).stdout or '[]'):
        found.append((entry.get('protocol'), entry.get('gateway'), entry.get('dev')))
    return found


def ways(daemon, prefix):
    """[(gateway, dev)] of a route that may have several."""
    entries = json.loads(daemon.ip('-j', 'route', 'show', 'exact', prefix).stdout or '[]')
    return sorted((hop.get('gateway'), hop.get('dev'))
                  for entry in entries for hop in entry.get('nexthops', [entry]))


def fpm(daemon):
    return json.loads(daemon.ctl('-j', 'show', 'fpm').stdout)


def build(lab):
    for name in ('ce', 'pe', 'p'):
        lab.node(name)
    nodes = lab.nodes
    lab.wire(nodes['pe'], 'core', nodes['p'], 'pe')
    lab.wire(nodes['pe'], 'ce', nodes['ce'], 'eth0')
    nodes['p'].ip('address', 'add', '192.0.2.2/30', 'dev', 'pe')
    nodes['p'].ip('address', 'add', '198.51.100.1/32', 'dev', 'lo')
    nodes['p'].run('sysctl', '-qw', 'net.ipv4.ip_forward=1')
    # The way back does not depend on the FRR that is killed.
    nodes['p'].ip('route', 'add', '10.1.0.0/24', 'via', '192.0.2.1', 'metric', '500')
    nodes['ce'].ip('address', 'add', '10.1.0.2/24', 'dev', 'eth0')
    nodes['ce'].ip('route', 'add', 'default', 'via', '10.1.0.1')
    lab.p = Frr(nodes['p'], configuration('p', 'pe', '192.0.2.2'),
                ('zebra', 'staticd', 'ospfd')).start()
    return lab.write('pe.batch', BATCH)


def start(lab, path, *options):
    return lab.daemon(lab.nodes['pe'], [f'{name}={DRIVER}:{name}' for name in ('core', 'ce')],
                      batch=[path], options=options)


def pe_frr(lab, fpm_on=True, more=''):
    return Frr(lab.nodes['pe'], configuration('pe', 'core', '192.0.2.1',
                                              (FPM if fpm_on else '') + more),
               ('zebra', 'staticd', 'ospfd'), ('dplane_fpm_nl',) if fpm_on else ()).start()


P = ('ospf', '192.0.2.2', 'core')


def by_kernel(lab, path):
    """OSPF's routes stand in the kernel, and so in Pewter."""
    daemon = start(lab, path)
    speaker = pe_frr(lab, fpm_on=False)
    try:
        wait_for(lambda: hops(daemon, '198.51.100.1/32') == [P], 40, 'OSPF\'s route')
        lab.nodes['ce'].ping('198.51.100.1')
        lab.p.configure('ip route 203.0.113.0/24 blackhole', 'router ospf', 'redistribute static')
        wait_for(lambda: hops(daemon, '203.0.113.0/24') == [P], 10, 'a route that came later')
        lab.p.configure('no ip route 203.0.113.0/24 blackhole')
        wait_for(lambda: not hops(daemon, '203.0.113.0/24'), 10, 'its end')
        speaker.configure('ip route 0.0.0.0/0 192.0.2.2')
        wait_for(lambda: len(hops(daemon, 'default')) == 1, 10, 'a default route of staticd\'s')
        return f'{len(json.loads(daemon.ip("-j", "route", "show", "proto", "ospf").stdout))} routes'
    finally:
        speaker.stop()
        expect(daemon.stop() == 0, daemon.tail())


def by_fpm(lab, path, groups):
    daemon = start(lab, path, '--fpm', '--fpm-hold', str(HOLD), '--no-kernel-routes')
    more = '' if groups else 'no fpm use-next-hop-groups\n'
    speaker = pe_frr(lab, more=more)
    try:
        wait_for(lambda: hops(daemon, '198.51.100.1/32') == [P], 40, 'OSPF\'s route')
        lab.nodes['ce'].ping('198.51.100.1')
        speaker.configure('ip route 203.0.113.0/24 192.0.2.2')
        wait_for(lambda: hops(daemon, '203.0.113.0/24'), 10, 'a static route')
        one, two = ('192.0.2.2', 'core'), ('10.1.0.2', 'ce')
        expect(ways(daemon, '203.0.113.0/24') == [one], str(ways(daemon, '203.0.113.0/24')))
        speaker.configure('ip route 203.0.113.0/24 10.1.0.2')
        wait_for(lambda: ways(daemon, '203.0.113.0/24') == sorted([one, two]), 10, 'two next hops')
        speaker.configure('no ip route 203.0.113.0/24 192.0.2.2')
        wait_for(lambda: ways(daemon, '203.0.113.0/24') == [two], 10, 'the other next hop')
        speaker.configure('no ip route 203.0.113.0/24 10.1.0.2')
        wait_for(lambda: not hops(daemon, '203.0.113.0/24'), 10, 'its end')
        lost = killed(lab, daemon, speaker) if groups else ''
        state = fpm(daemon)
        return (f'{state["messages"]} messages, {state["skipped"]} skipped, '
                f'{state["refused"]} refused{lost}')
    finally:
        speaker.stop()
        expect(daemon.stop() == 0, daemon.tail())


def kept(speaker, prefix):
    return 'Known via' in speaker.vtysh(f'show ip route {prefix}')


def killed(lab, daemon, speaker):
    """FRR dies and comes again; a stream of packets does not notice."""
    speaker.configure('ip route 203.0.114.0/24 192.0.2.2')
    wait_for(lambda: hops(daemon, '203.0.114.0/24'), 10, 'a static route')
    stream = frr.Stream(lab.nodes['ce'], '198.51.100.1', 0.01)
    for name in ('zebra', 'staticd', 'ospfd'):
        speaker.stop_one(name)
    wait_for(lambda: not fpm(daemon)['connected'], 10, 'the connection\'s end')
    time.sleep(1)
    expect(hops(daemon, '198.51.100.1/32') == [P] and hops(daemon, '203.0.114.0/24'),
           'routes went with FRR')
    expect(fpm(daemon)['stale'] == fpm(daemon)['routes'] > 0, str(fpm(daemon)))
    for name in ('zebra', 'staticd', 'ospfd'):
        speaker.start_one(name)
    wait_for(lambda: fpm(daemon)['connected'], 15, 'the new connection')
    wait_for(lambda: fpm(daemon)['stale'] == 0, HOLD + 10, 'the sweep')
    expect(hops(daemon, '198.51.100.1/32') == [P], 'OSPF\'s route was swept')
    # The file of the configuration never had it. But zebra may find in the kernel what the killed one
    # left there, and keep it: then it says so by FPM, and so it is here.
    left = '203.0.114.0/24'
    wait_for(lambda: bool(hops(daemon, left)) == kept(speaker, left), 10, 'what zebra has of a lost route')
    print(f'# zebra {"kept" if kept(speaker, left) else "swept"} the lost route', flush=True)
    return f'; zebra, ospfd, staticd killed and started again: {stream.end()}'


def main():
    results = Results()
    why = frr.missing()
    if why:
        print(f'skip FRR: {why}')
        return 0
    with Lab() as lab:
        try:
            path = build(lab)
        except Exception as error:
            print(f'FAIL the lab: {error}')
            return 1
        results.check('OSPF by the kernel\'s table', by_kernel, lab, path)
        results.check('OSPF by FPM, next-hop groups', by_fpm, lab, path, True)
        results.check('OSPF by FPM, no next-hop groups', by_fpm, lab, path, False)
        lab.p.stop()
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
