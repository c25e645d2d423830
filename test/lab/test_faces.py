# SPDX-License-Identifier: BSD-3-Clause
"""Hundreds of customers on VLANs of one port, each with a kernel face: the kernel answers ARP and
ND on them and finds customers out, names that are taken are refused, and workers still sleep."""
import os
import sys
import time

from lab import Lab, Results, expect, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVERS = ['af_xdp', 'af_packet']
VLANS = 300
CUSTOMERS = (1, VLANS)


def prefix(vlan):
    return f'10.{vlan // 256}.{vlan % 256}'


def batch():
    yield 'link set trunk up'
    for vlan in range(1, VLANS + 1):
        yield f'link add link trunk name trunk.{vlan} type vlan id {vlan}'
        yield f'link set trunk.{vlan} up'
        yield f'address add {prefix(vlan)}.1/24 dev trunk.{vlan}'
    for vlan in CUSTOMERS:
        yield f'address add 2001:db8:{vlan}::1/64 dev trunk.{vlan}'


def build(lab, driver):
    for name in ('pe', 'trunk', 'first', 'last'):
        lab.node(name)
    nodes = lab.nodes
    lab.wire(nodes['pe'], 'trunk', nodes['trunk'], 'eth0', 1504)
    for name, vlan in zip(('first', 'last'), CUSTOMERS):
        nodes['trunk'].start('/usr/bin/python3', os.path.join(HERE, 'vlan_shim.py'), 'eth0', vlan,
                             name)
        wait_for(lambda: nodes['trunk'].ip('link', 'show', name, check=False).returncode == 0, 5,
                 f'TAP {name}')
        nodes['trunk'].ip('link', 'set', name, 'netns', nodes[name].ns, 'name', 'eth0')
        nodes[name].ip('link', 'set', 'eth0', 'up')
        nodes[name].ip('address', 'add', f'{prefix(vlan)}.2/24', 'dev', 'eth0')
        nodes[name].ip('address', 'add', f'2001:db8:{vlan}::2/64', 'dev', 'eth0', 'nodad')
        nodes[name].ip('route', 'add', 'default', 'via', f'{prefix(vlan)}.1')
        nodes[name].ip('route', 'add', 'default', 'via', f'2001:db8:{vlan}::1')
    path = os.path.join(lab.folder, 'pe.batch')
    with open(path, 'w') as file:
        file.writelines(line + '\n' for line in batch())
    lab.pe = lab.daemon(nodes['pe'], [f'trunk={driver}:trunk'], batch=[path])


def faces(lab):
    """The TAPs that are there, by name."""
    return {line.split(': ')[1].split('@')[0] for line in
            lab.nodes['pe'].ip('-o', 'link', 'show').stdout.splitlines()} - {'lo', 'trunk'}


def made(lab):
    expect(faces(lab) == {f'trunk.{vlan}' for vlan in range(1, VLANS + 1)},
           f'{len(faces(lab))} faces')
    pe = lab.nodes['pe']
    text = pe.ip('link', 'show', 'dev', f'trunk.{VLANS}').stdout
    expect('mtu 1504 ' in text and 'LOWER_UP' in text, text)
    expect(pe.mac(f'trunk.{VLANS}') == pe.mac('trunk'), 'its MAC')


def gateways(lab):
    for name, vlan in zip(('first', 'last'), CUSTOMERS):
        lab.nodes[name].ping(f'{prefix(vlan)}.1')
        lab.nodes[name].ping(f'2001:db8:{vlan}::1')


def customers(lab):
    """The PE asks for both customers by ARP and ND on their own VLANs."""
    lab.nodes['first'].ping(f'{prefix(VLANS)}.2')
    lab.nodes['first'].ping(f'2001:db8:{VLANS}::2')
    lab.nodes['last'].ping(f'{prefix(1)}.2')


def counted(lab):
    events = lab.pe.ctl('show', 'events').stdout
    for name in ('punted', 'from-kernel'):
        line = [line for line in events.splitlines() if name in line.split()]
        expect(line and any(word.isdigit() and int(word) > 0 for word in line[0].split()),
               f'{name}\n{events}')


def sleeps(lab):
    """All is quiet: neither TAPs nor their number keep a CPU busy."""
    time.sleep(3)
    before = lab.pe.cpu_seconds()
    time.sleep(3)
    used = lab.pe.cpu_seconds() - before
    expect(used < 0.6, f'{used} CPU seconds in 3')
    return f'{used / 3:.0%} of a CPU'


def taken(lab):
    lab.nodes['pe'].ip('tuntap', 'add', 'taken', 'mode', 'tap')
    done = lab.pe.ip('link', 'add', 'link', 'trunk', 'name', 'taken', 'type', 'vlan', 'id', 4000,
                     check=False)
    expect(done.returncode != 0 and
           'TAP taken: the kernel has an interface of that name already' in done.stdout,
           done.stdout)
    lab.nodes['pe'].ip('link', 'delete', 'taken')
    lab.pe.ip('link', 'add', 'link', 'trunk', 'name', 'taken', 'type', 'vlan', 'id', 4000)
    lab.pe.ip('link', 'delete', 'taken')
    made(lab)


def follows(lab):
    """What happens to the port and to the link, the face shows. (The customers' shim ends when
    its wire goes down, so nothing is asked of them afterwards.)"""
    pe = lab.nodes['pe']

    def shows(text, wanted=True):
        wait_for(lambda: (text in pe.ip('link', 'show', 'dev', 'trunk.1').stdout) == wanted, 5,
                 f'{text} {wanted}')

    lab.pe.ip('link', 'set', 'trunk.1', 'mtu', 1400)
    shows('mtu 1400 ')
    lab.nodes['trunk'].ip('link', 'set', 'eth0', 'down')
    shows('NO-CARRIER')
    lab.nodes['trunk'].ip('link', 'set', 'eth0', 'up')
    shows('LOWER_UP')
    lab.pe.ip('link', 'set', 'trunk.1', 'down')
    shows('UP', False)


def removed(lab):
    path = os.path.join(lab.folder, 'delete.batch')
    with open(path, 'w') as file:
        file.writelines(f'link delete trunk.{vlan}\n' for vlan in range(2, VLANS))
    lab.pe.ip('-batch', path)
    expect(faces(lab) == {'trunk.1', f'trunk.{VLANS}'}, f'{sorted(faces(lab))[:5]} are there')
    customers(lab)


def killed(lab):
    lab.pe.kill()
    wait_for(lambda: not faces(lab), 10, 'the faces go')


TESTS = [
    (f'{VLANS} VLANs have a kernel face', made),
    ('the PE answers on the first and the last', gateways),
    ('their customers reach each other', customers),
    ('what goes through faces is counted', counted),
    ('an idle PE sleeps', sleeps),
    ('a name that the kernel has is refused', taken),
    ('sub-interfaces are removed', removed),
    ('a face follows its link', follows),
    ('SIGKILL: no face left', killed),
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
