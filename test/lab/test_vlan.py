# SPDX-License-Identifier: BSD-3-Clause
"""Customers on VLANs of one port: two VRFs with the same addresses on one wire.

This side's VLANs are made by vlan_shim.py, so the kernel needs no 8021q; neither does Pewter."""
import os
import sys

from lab import Lab, Results, customer, expect, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVERS = ['af_xdp', 'af_packet']

BATCH = '''
link set trunk up
link add link trunk name trunk.100 type vlan id 100
link add link trunk name trunk.200 type vlan id 200
link add red type vrf table 10
link add blue type vrf table 20
link set red up
link set blue up
link set trunk.100 master red up
link set trunk.200 master blue up
link set far master red up
address add 10.1.0.1/24 dev trunk.100
address add 10.1.0.1/24 dev trunk.200
address add 2001:db8:1::1/64 dev trunk.100
address add 2001:db8:1::1/64 dev trunk.200
address add 10.2.0.1/24 dev far
address add 2001:db8:2::1/64 dev far
'''


def build(lab, driver):
    for name in ('pe', 'trunk', 'red1', 'blue1', 'red2'):
        lab.node(name)
    nodes = lab.nodes
    lab.wire(nodes['pe'], 'trunk', nodes['trunk'], 'eth0', 1504)
    lab.wire(nodes['pe'], 'far', nodes['red2'], 'eth0')
    for name, vlan in (('red1', 100), ('blue1', 200)):
        nodes['trunk'].start('/usr/bin/python3', os.path.join(HERE, 'vlan_shim.py'), 'eth0', vlan,
                             name)
        wait_for(lambda: nodes['trunk'].ip('link', 'show', name, check=False).returncode == 0, 5,
                 f'TAP {name}')
        nodes['trunk'].ip('link', 'set', name, 'netns', nodes[name].ns, 'name', 'eth0')
        nodes[name].ip('link', 'set', 'eth0', 'up')
        customer(nodes[name], 1)
    customer(nodes['red2'], 2)
    path = os.path.join(lab.folder, 'pe.batch')
    with open(path, 'w') as file:
        file.write(BATCH)
    lab.pe = lab.daemon(nodes['pe'], [f'trunk={driver}:trunk', f'far={driver}:far'], batch=[path])


def gateway(lab):
    for name in ('red1', 'blue1'):
        lab.nodes[name].ping('10.1.0.1')
        lab.nodes[name].ping('2001:db8:1::1')


def red_talks(lab):
    for address in ('10.2.0.2', '2001:db8:2::2'):
        lab.nodes['red1'].ping(address)
    for address in ('10.1.0.2', '2001:db8:1::2'):
        lab.nodes['red2'].ping(address)


def blue_does_not(lab):
    before = lab.nodes['red2'].snmp()
    for address in ('10.2.0.2', '2001:db8:2::2'):
        done = lab.nodes['blue1'].ping(address, check=False)
        expect(done.returncode != 0, f'blue1 reached {address} of red')
    after = lab.nodes['red2'].snmp()
    for counter in ('IcmpInEchos', 'Icmp6InEchos'):
        expect(after[counter] == before[counter], f'red2 heard blue1 ({counter})')


def right_vlan(lab):
    """red2's pings reach the red VLAN's customer and not the blue one's."""
    before = [lab.nodes[name].snmp()['IcmpInEchos'] for name in ('red1', 'blue1')]
    lab.nodes['red2'].ping('10.1.0.2', count=5)
    after = [lab.nodes[name].snmp()['IcmpInEchos'] for name in ('red1', 'blue1')]
    expect([a - b for a, b in zip(after, before)] == [5, 0], f'{before} before, {after} after')


def full_size(lab):
    lab.nodes['red1'].ping('10.2.0.2', '-M', 'do', '-s', '1472')


def removed(lab):
    """Without the sub-interface its frames are dropped by name."""
    lab.pe.ip('link', 'del', 'trunk.200')
    lab.nodes['blue1'].ping('10.1.0.1', check=False)
    red_talks(lab)
    expect('trunk.200' not in lab.nodes['pe'].ip('link').stdout, 'its kernel face is still there')


def terminated(lab):
    status = lab.pe.stop()
    expect(status == 0, f'status {status}\n{lab.pe.tail()}')
    links = lab.nodes['pe'].ip('link').stdout
    expect('trunk.100' not in links, f'a kernel face is left\n{links}')


TESTS = [
    ('the PE answers on both VLANs', gateway),
    ('VLAN 100 talks to its VRF', red_talks),
    ('VLAN 200 does not', blue_does_not),
    ('packets leave with the right tag', right_vlan),
    ('packets of 1500 bytes pass', full_size),
    ('a sub-interface is removed', removed),
    ('SIGTERM: exit 0, no face left', terminated),
]


def main():
    results = Results()
    for driver in sys.argv[1:] or DRIVERS:
        with Lab() as lab:
            try:
                build(lab, driver)
            except Exception as error:
                print(f'FAIL {driver}: the lab did not come up: {error}', flush=True)
                results.failed += 1
                continue
            for name, function in TESTS:
                results.check(f'{driver}: {name}', function, lab)
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
