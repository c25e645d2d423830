# SPDX-License-Identifier: BSD-3-Clause
"""A remote PE goes: how soon Pewter sends packets over another one, and how soon the speaker does.

Live FRR (zebra, ospfd, bgpd) on pe1 is the route reflector of three remote PEs, which it knows by
`bgp listen range`, and of pewter-bgp, which waits to be connected; all of it with TCP MD5. Site
red2 hangs on all three; two announce each of its prefixes. FRR prefers one of the two, the other
one is the backup.

    red1 -- pe1 ---------------- pe2 -- red2       10.50.0.0/24: pe2, then pe3
             \\-- p (FRR, OSPF) -- pe3 --/
                        \\-------- pe4 --/          10.60.0.0/24: pe4, then pe3
"""
import os
import re
import signal
import sys
import time

from lab import TOP, Lab, Results, expect, wait_for
from test_bgp import PeBgp, Stream, hops

sys.path.insert(0, os.path.join(TOP, 'test', 'interop'))
import frr  # noqa: E402

HOLD = 3  # of the remote PEs' sessions, seconds

PE1 = '''
link set c2 up mtu 1600
link set core up mtu 1600
address add 192.0.2.1/30 dev c2
address add 192.0.2.5/30 dev core
address add 10.255.0.1/32 dev lo
route add 10.255.0.2/32 via 192.0.2.2
link add gre1 type gre local 10.255.0.1 ttl 255
link set gre1 mtu 1576 up
link add red type vrf table 10
link set red up
link set ce master red up
address add 10.1.0.1/24 dev ce
'''

REMOTE = '''
link set core up mtu 1600
address add {address}/30 dev core
address add 10.255.0.{n}/32 dev lo
route add 10.255.0.0/24 via {gateway}
link add gre1 type gre local 10.255.0.{n} ttl 255
link set gre1 mtu 1576 up
link add red type vrf table 10
link set red up
link set ce master red up
address add 10.{n}.0.1/24 dev ce
'''

CONFIG = '''
local-as 65000
router-id 10.255.0.{n}
{neighbor}
tunnel gre1
vrf red rd 65000:{n} import 65000:1 export 65000:1 redistribute connected static
sweep-delay 6
state {folder}/pe{n}.labels
socket {folder}/pe{n}.sock
control {folder}/pe{n}.bgp
'''

# docs/bgp.md shows this configuration.
SPEAKER = '''
router bgp 65000
 bgp router-id 10.255.0.100
 no bgp default ipv4-unicast
 no bgp suppress-duplicates
 bgp fast-convergence
 coalesce-time 100
 neighbor PES peer-group
 neighbor PES remote-as 65000
 neighbor PES password between-us
 neighbor PES timers 1 3
 neighbor PES advertisement-interval 0
 bgp listen range 192.0.2.0/24 peer-group PES
 neighbor 169.254.254.2 remote-as 65000
 neighbor 169.254.254.2 port 1790
 neighbor 169.254.254.2 password between-us
 neighbor 169.254.254.2 update-source 169.254.254.1
 neighbor 169.254.254.2 timers connect 1
 neighbor 169.254.254.2 advertisement-interval 0
 address-family ipv4 vpn
  neighbor PES activate
  neighbor PES route-reflector-client
  neighbor PES route-map PREFER in
  neighbor 169.254.254.2 activate
  neighbor 169.254.254.2 route-reflector-client
  neighbor 169.254.254.2 addpath-tx-all-paths
 exit-address-family
!
route-map PREFER permit 10
 match peer 192.0.2.2
 set local-preference 200
!
route-map PREFER permit 20
 match peer 192.0.2.14
 set local-preference 200
!
route-map PREFER permit 30
!
'''

P_ROUTES = '''
ip route 10.255.0.1/32 192.0.2.5
ip route 10.255.0.3/32 192.0.2.10
ip route 10.255.0.4/32 192.0.2.14
'''

REMOTES = {2: ('192.0.2.2', '192.0.2.1', '192.0.2.1'), 3: ('192.0.2.10', '192.0.2.9', '192.0.2.5'),
           4: ('192.0.2.14', '192.0.2.13', '192.0.2.5')}  # address, gateway, reflector


def wires(lab):
    for name in ('red1', 'pe1', 'p', 'pe2', 'pe3', 'pe4', 'red2'):
        lab.node(name)
    nodes = lab.nodes
    lab.wire(nodes['pe1'], 'c2', nodes['pe2'], 'core', 1600)
    lab.wire(nodes['pe1'], 'core', nodes['p'], 'pe1', 1600)
    lab.wire(nodes['pe1'], 'ce', nodes['red1'], 'eth0')
    nodes['red1'].ip('address', 'add', '10.1.0.2/24', 'dev', 'eth0')
    nodes['red1'].ip('route', 'add', 'default', 'via', '10.1.0.1')
    nodes['p'].ip('address', 'add', '192.0.2.6/30', 'dev', 'pe1')
    nodes['p'].run('sysctl', '-qw', 'net.ipv4.ip_forward=1')
    for number, (_, gateway, _) in REMOTES.items():
        if number > 2:
            lab.wire(nodes[f'pe{number}'], 'core', nodes['p'], f'pe{number}', 1600)
            nodes['p'].ip('address', 'add', f'{gateway}/30', 'dev', f'pe{number}')
        lab.wire(nodes[f'pe{number}'], 'ce', nodes['red2'], f'eth{number}')
        nodes['red2'].ip('address', 'add', f'10.{number}.0.2/24', 'dev', f'eth{number}')
    nodes['red2'].ip('route', 'add', 'default', 'via', '10.3.0.1')
    for address in ('10.50.0.1', '10.60.0.1'):
        nodes['red2'].ip('address', 'add', f'{address}/32', 'dev', 'lo')


def remote_bgp(lab, number):
    _, _, reflector = REMOTES[number]
    neighbor = f'neighbor {reflector} remote-as 65000 hold-time {HOLD} password between-us'
    return PeBgp(lab, number, CONFIG.format(n=number, neighbor=neighbor, folder=lab.folder)).start()


def remote(lab, number):
    address, gateway, _ = REMOTES[number]
    node = lab.nodes[f'pe{number}']
    batch = lab.write(f'pe{number}.batch',
                      REMOTE.format(n=number, address=address, gateway=gateway))
    daemon = lab.daemon(node, ['core=af_xdp:core', 'ce=af_xdp:ce'], batch=[batch],
                        cpu=number % os.cpu_count())
    setattr(lab, f'pe{number}', daemon)
    if number > 2:
        node.ip('route', 'add', '192.0.2.0/24', 'via', gateway)
    for prefix in {2: ('10.50.0.0/24',), 3: ('10.50.0.0/24', '10.60.0.0/24'),
                   4: ('10.60.0.0/24',)}[number]:
        daemon.ip('route', 'add', prefix, 'table', '10', 'via', f'10.{number}.0.2')
    setattr(lab, f'bgp{number}', remote_bgp(lab, number))


def pe1_config(lab):
    return CONFIG.format(n=1, folder=lab.folder, neighbor='listen 169.254.254.2:1790\n'
                         'neighbor 169.254.254.1 remote-as 65000 source 169.254.254.2 passive '
                         'password between-us')


def ospf(interface, address):
    return frr.ospf(interface, address, 'static', '192.0.2.4/30', '192.0.2.8/29')


def build(lab):
    wires(lab)
    pe1 = lab.nodes['pe1']
    lab.pe1 = lab.daemon(pe1, ['c2=af_xdp:c2', 'core=af_xdp:core', 'ce=af_xdp:ce'],
                         batch=[lab.write('pe1.batch', PE1)])
    pe1.ip('address', 'add', '169.254.254.1/30', 'dev', 'lo')
    # The kernel asks neighbours for Pewter: this often, so long, so many times.
    pe1.run('sysctl', '-qw', 'net.ipv4.neigh.c2.base_reachable_time_ms=300',
            'net.ipv4.neigh.c2.delay_first_probe_time=0', 'net.ipv4.neigh.c2.retrans_time_ms=100',
            'net.ipv4.neigh.c2.ucast_solicit=2', 'net.ipv4.neigh.c2.mcast_solicit=2')
    lab.p_frr = frr.Frr(lab.nodes['p'], ospf('pe1', '192.0.2.6') + P_ROUTES,
                        ('zebra', 'staticd', 'ospfd')).start()
    lab.frr = frr.Frr(pe1, ospf('core', '192.0.2.5') + SPEAKER,
                      ('zebra', 'staticd', 'ospfd', 'bgpd')).start()
    for number in REMOTES:
        remote(lab, number)
    lab.bgp1 = PeBgp(lab, 1, pe1_config(lab)).start()


# ---- what is there ---------------------------------------------------------------------------

def backup(lab, prefix):
    route = lab.bgp1.routes().get(('red', prefix), {'backup': []})
    return [hop['via'] for hop in route['backup']]


def preferred(lab):
    return (hops(lab, '10.50.0.0/24') == ['10.255.0.2'] and
            backup(lab, '10.50.0.0/24') == ['10.255.0.3'] and
            hops(lab, '10.60.0.0/24') == ['10.255.0.4'] and
            backup(lab, '10.60.0.0/24') == ['10.255.0.3'])


def arrives(lab, address):
    """Each of five packets is answered for: red2's counter, whatever way its answers take."""
    before = lab.nodes['red2'].snmp()['IcmpInEchos']
    lab.nodes['red1'].ping(address, count=5, check=False)
    return lab.nodes['red2'].snmp()['IcmpInEchos'] - before == 5


def converged(lab):
    wait_for(lambda: preferred(lab), 40, 'routes and backups')
    wait_for(lambda: arrives(lab, '10.50.0.1') and arrives(lab, '10.60.0.1'), 20, 'forwarding')


def learnt(lab):
    """Remote PEs that FRR was told nothing of, and a route with a backup behind it."""
    began = time.monotonic()
    converged(lab)
    seconds = time.monotonic() - began
    shown = lab.frr.vtysh('show bgp ipv4 vpn summary')
    dynamic = re.findall(r'^\*(192\.0\.2\.\d+) .*', shown, re.M)
    expect(len(dynamic) == 3, shown)
    shown = lab.pe1.ip('route', 'show', 'table', '10', '10.50.0.0/24').stdout
    expect('metric 2000' in shown and 'metric 2001' in shown, shown)
    return f'{len(dynamic)} dynamic neighbours, {seconds:.1f} s'


def without(lab):
    """Backups are taken out and put back; the routes before them stay."""
    with Stream(lab, '10.50.0.1') as stream:
        lab.bgp1.reload(pe1_config(lab) + 'backup off\n')
        wait_for(lambda: not backup(lab, '10.50.0.0/24'), 10, 'no backup')
        wait_for(lambda: 'metric 2001' not in lab.pe1.ip('route', 'show', 'table', '10').stdout, 5,
                 'no backup in Pewter')
        expect(hops(lab, '10.50.0.0/24') == ['10.255.0.2'], 'the route went with its backup')
        lab.bgp1.reload(pe1_config(lab))
        wait_for(lambda: preferred(lab), 10, 'backups')
    return stream.nothing_lost()


# ---- events ----------------------------------------------------------------------------------

def away(lab, prefix, event, most, sooner=True):
    """
    The preferred PE of a prefix goes by event(). Pewter's time is from the event to the first
    packet that arrives again; the speaker's to the route that no longer has the PE. Sooner: the
    two are not close to each other.
    """
    address = prefix.replace('.0/24', '.1')
    with Stream(lab, address) as stream:
        began = time.monotonic()
        event()
        wait_for(lambda: hops(lab, prefix) == ['10.255.0.3'], 30, 'the speaker')
        speaker = time.monotonic() - began
        time.sleep(0.5)
    pewter = max(0.0, stream.again - began)
    said = (f'Pewter after {pewter * 1000:.0f} ms, {stream.lost} of {stream.sent} packets lost; '
            f'the speaker after {speaker:.2f} s')
    expect(stream.lost < most * 1000 and pewter < most, said)
    expect(not sooner or lab.named or pewter < speaker, said)
    return said


def returned(lab, address):
    """It comes back while packets are sent over the backup."""
    with Stream(lab, address) as stream:
        lab.back()
        wait_for(lambda: preferred(lab), 60, 'the first path')
        time.sleep(1)
    return stream.nothing_lost()


def speaker_restart(lab):
    """bgpd, not zebra: SIGKILL, a second without it, a new one that hears everything again."""
    with Stream(lab, '10.50.0.1') as stream:
        lab.frr.stop_one('bgpd')
        wait_for(lambda: not lab.bgp1.established(), 15, 'the loss of the session')
        time.sleep(1)
        lab.frr.start_one('bgpd')
        wait_for(lambda: all(bgp.established() for bgp in
                             (lab.bgp1, lab.bgp2, lab.bgp3, lab.bgp4)), 60, 'sessions')
        wait_for(lambda: preferred(lab) and lab.bgp1.show()['neighbors'][0]['stale'] == 0, 40,
                 'routes and backups')
    return stream.nothing_lost()


def named(lab):
    """
    The same PEs as neighbours with names: FRR 8.4.4 tracks the next hops of those (bgp
    fast-convergence), and waits for the hold timer of the ones behind a listen range.
    """
    lab.frr.configure('router bgp 65000', 'no bgp listen range 192.0.2.0/24 peer-group PES',
                      *[f'neighbor {address} peer-group PES' for address, _, _ in
                        REMOTES.values()])
    lab.named = True
    wait_for(lambda: lab.frr.vtysh('show bgp nexthop').count(' peer 192.0.2.') == len(REMOTES), 20,
             'FRR to track the PEs')
    converged(lab)


def tracked(lab, address):
    """What FRR ended the session for."""
    shown = lab.frr.vtysh(f'show bgp neighbors {address}')
    why = 'Waiting for NHT' if lab.named else 'No such neighbor'
    expect(why in shown, shown)


def cut(lab, name, interface, prefix, most, remote):
    """The node's link goes, and with it the remote PE that the prefix is behind."""
    node = lab.nodes[name]
    lab.back = lambda: node.ip('link', 'set', interface, 'up')
    said = away(lab, prefix, lambda: node.ip('link', 'set', interface, 'down'), most)
    tracked(lab, remote)
    return said


def link_cut(lab):
    return cut(lab, 'pe2', 'core', '10.50.0.0/24', 0.5, '192.0.2.2')


def far_link_cut(lab):
    return cut(lab, 'p', 'pe4', '10.60.0.0/24', 2, '192.0.2.14')


def silent(lab):
    """It no longer answers anything, ARP included, while its link stays up."""
    pe2, processes = lab.nodes['pe2'], (lab.bgp2.process, lab.pe2.process)

    def dies():
        pe2.ip('link', 'set', 'core', 'arp', 'off')
        for process in processes:
            process.send_signal(signal.SIGSTOP)

    def back():
        pe2.ip('link', 'set', 'core', 'arp', 'on')
        for process in processes:
            process.send_signal(signal.SIGCONT)

    lab.back = back
    try:
        return away(lab, '10.50.0.0/24', dies, HOLD + 2, sooner=False)
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


EVENTS = (('the link to a PE is cut', link_cut, '10.50.0.1'),
          ('a link behind a router is cut', far_link_cut, '10.60.0.1'),
          ('a PE is silent', silent, '10.50.0.1'))


def events(results, lab, label, which):
    for name, function, address in which:
        before = results.failed
        results.check(f'{label}: {name}', function, lab)
        results.check(f'{label}: {name}, and back', returned, lab, address)
        if results.failed > before:
            print(lab.bgp1.tail() + lab.frr.tail('bgpd'))


def main():
    why = frr.missing()
    if why:
        print(f'skip next-hop tracking: {why}')
        return 0
    results = Results()
    with Lab() as lab:
        lab.named = False
        try:
            build(lab)
        except Exception as error:
            print(f'FAIL the lab: {error}')
            return 1
        results.check('PEs behind a listen range, routes with backups', learnt, lab)
        results.check('backup off, and on again', without, lab)
        events(results, lab, 'listen range', EVENTS)
        results.check('bgpd is killed and restarted', speaker_restart, lab)
        results.check('the same PEs by name', named, lab)
        events(results, lab, 'by name', EVENTS[:2])
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
