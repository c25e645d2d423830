# SPDX-License-Identifier: BSD-3-Clause
"""PE2 behind a real NAT (the kernel's, nftables masquerade): charon finds it, ESP goes in UDP, and
when the NAT gives PE2 another port the traffic follows. Arguments: drivers; the first has all tests."""
import os
import re
import sys
import time

import ike
from ike import Charon, View, connection, xfrm_states
from ike_stream import Stream
from lab import Skip, customer, example, expect, wait_for

PUBLIC, PRIVATE = '192.0.2.5', '192.168.1.2'
BLOCK = 'xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 proto gre dir {} priority 4000000000 action block\n'
NAT = '''table ip nat {
	chain post {
		type nat hook postrouting priority 100
		oifname "outside" ip protocol udp masquerade to :%s
	}
}
'''


def batch(lab, number, replacements):
    """The start-up files of a PE, with these addresses changed; what blocks first."""
    block = os.path.join(lab.folder, 'block')
    with open(block, 'w') as file:
        file.write(BLOCK.format('in') + BLOCK.format('out'))
    source, labels = example(number)
    changed = os.path.join(lab.folder, f'pe{number}.batch')
    with open(source) as file:
        text = file.read()
    for old, new in replacements:
        expect(old in text, f'{source} has no {old}')
        text = text.replace(old, new)
    with open(changed, 'w') as file:
        file.write(text)
    return [block, changed, labels]


def up(lab, driver):
    for name in ('red1', 'blue1', 'pe1', 'p', 'nat', 'pe2', 'red2', 'blue2'):
        lab.node(name)
    nodes = lab.nodes
    nat, p = nodes['nat'], nodes['p']
    lab.wire(nodes['pe1'], 'core', p, 'pe1', 1600)
    lab.wire(nat, 'outside', p, 'pe2', 1600)
    lab.wire(nodes['pe2'], 'core', nat, 'inside', 1600)
    for number in (1, 2):
        for colour in ('red', 'blue'):
            lab.wire(nodes[f'pe{number}'], f'ce-{colour}', nodes[f'{colour}{number}'], 'eth0')
            customer(nodes[f'{colour}{number}'], number)
    p.ip('address', 'add', '192.0.2.2/30', 'dev', 'pe1')
    p.ip('address', 'add', '192.0.2.6/30', 'dev', 'pe2')
    p.ip('route', 'add', '10.255.0.1/32', 'via', '192.0.2.1')
    nat.ip('address', 'add', f'{PUBLIC}/30', 'dev', 'outside')
    nat.ip('address', 'add', '192.168.1.1/24', 'dev', 'inside')
    nat.ip('route', 'add', 'default', 'via', '192.0.2.6')
    for node in (p, nat):
        node.run('sysctl', '-qw', 'net.ipv4.ip_forward=1')
    done = nat.run('nft', '-f', '-', input=NAT % '10000-10100', check=False)
    if done.returncode:
        raise Skip(f'no NAT in this kernel: {done.stdout}')
    ports = [f'{name}={driver}:{name}' for name in ('core', 'ce-red', 'ce-blue')]
    lab.pe1 = lab.daemon(nodes['pe1'], ports, cpu=0, batch=batch(lab, 1, [('10.255.0.2', PUBLIC)]))
    lab.pe2 = lab.daemon(nodes['pe2'], ports, cpu=1 % os.cpu_count(), batch=batch(
        lab, 2, [('192.0.2.5/30', f'{PRIVATE}/24'), ('via 192.0.2.6', 'via 192.168.1.1'),
                 ('address add 10.255.0.2/32 dev lo\n', ''), ('local 10.255.0.2', f'local {PRIVATE}')]))
    nodes['pe1'].ip('route', 'add', f'{PUBLIC}/32', 'via', '192.0.2.2', 'src', '10.255.0.1')
    nodes['pe2'].ip('route', 'add', '10.255.0.1/32', 'via', '192.168.1.1')
    lab.charon = {1: Charon(lab.pe1).start(), 2: Charon(lab.pe2).start()}
    lab.charon[1].load(connection('10.255.0.1', '%any', local_id='pe1.example', remote_id='pe2.example'))
    lab.charon[2].load(connection('%any', '10.255.0.1', local_id='pe2.example', remote_id='pe1.example',
                                  start='trap'))
    return lab


def ports(daemon):
    """(source, destination) UDP ports of its SAs, by whether PE1 sends with them."""
    found = {}
    for state in xfrm_states(daemon):
        match = re.search(r'encap type espinudp sport (\d+) dport (\d+)', state['text'])
        expect(match or 'aead' not in state['text'], f'an SA without UDP:\n{state["text"]}')
        if match:
            found[state['src'] == '10.255.0.1'] = tuple(int(port) for port in match.groups())
    return found


def through(lab):
    """The first packet of PE2's side brings the SA up; all is UDP on the core."""
    with View(lab.nodes['p'], 'pe1') as view:
        wait_for(lambda: lab.nodes['red2'].ping('10.1.0.2', count=1, check=False).returncode == 0, 20,
                 'a first answer')
        for colour in ('red', 'blue'):
            lab.nodes[f'{colour}1'].ping('10.2.0.2')
            lab.nodes[f'{colour}2'].ping('2001:db8:1::2')
        lab.nodes['red1'].ping('10.2.0.2', '-M', 'do', '-s', '1400')
    expect(view.count('ip and not udp') + view.count('mpls') == 0, 'something else than UDP on the core')
    at = ports(lab.pe1)
    expect(at[True][0] == 4500 and 10000 <= at[True][1] <= 10100, f'PE1 sends from and to {at[True]}')
    expect(at[False] == at[True][::-1], f'{at}')
    return f'PE2 seen at port {at[True][1]}, {view.count("udp")} UDP packets on the core'


def another_mapping(lab):
    """The NAT forgets PE2 and gives it another port: the first packet from there moves the SAs."""
    nat = lab.nodes['nat']
    before = ports(lab.pe1)[True][1]
    with Stream(lab, '10.1.0.2', 'red2', 'red1') as stream:
        nat.run('nft', '-f', '-', input='flush ruleset\n' + NAT % '20000-20100')  # in one step
        nat.run('conntrack', '-F')
        wait_for(lambda: 20000 <= ports(lab.pe1).get(True, (0, 0))[1] <= 20100, 20, 'the SAs to move')
        time.sleep(0.5)
    lab.nodes['red1'].ping('10.2.0.2')
    expect(lab.charon[1].said('creating mapping update job|XFRM_MSG_MAPPING'), lab.charon[1].tail())
    said = f'port {before} became {ports(lab.pe1)[True][1]}, {stream.lost} of {stream.sent} packets lost'
    expect(stream.lost < 3000, f'{said}: {stream.where}')
    return said


def rekey(lab):
    with Stream(lab, '10.1.0.2', 'red2', 'red1') as stream:
        for n in (2, 1):
            lab.charon[n].swanctl('--rekey', '--child', 'gre')
            time.sleep(1)
    return stream.nothing_lost()


TESTS = [
    ('SAs through the NAT, in UDP', through),
    ('rekey behind the NAT', rekey),
    ('the NAT changes the port', another_mapping),
    ('rekey after it', rekey),
]
OF_PORTS = ('SAs through the NAT, in UDP', 'rekey behind the NAT')


def report(lab):
    return ike.text_of({n: getattr(lab, f'pe{n}') for n in (1, 2)}, lab.charon)


if __name__ == '__main__':
    sys.exit(ike.main(up, TESTS, report, OF_PORTS))
