#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""FRR's VPN routes, by FPM over the wire, into Pewter.

FRR's zebra shows VPN routes to FPM only where the kernel has VRFs and MPLS, so it runs in a guest
(Debian's kernel and FRR in qemu) and is the control plane of the Pewter outside:

  [guest: zebra, bgpd] -- TAP, FPM --> [pewterd pe] -- core -- [pewterd pe2] -- ce2
                        \\ BGP VPNv4 -- [bgpd of pe2]    \\ ce1

test_frr_guest.py [--make]: --make builds the guest's image in build/frr-guest (two minutes).
"""
import json
import os
import shutil
import subprocess
import sys
import time

import frr
from lab import TOP, Lab, Results, customer, expect, run, wait_for

DRIVER = os.environ.get('PW_LAB_DRIVER', 'af_packet')
LAB = os.path.join(os.path.dirname(TOP), 'shared', 'lab', 'linux-pe')
GUEST = os.environ.get('PW_FRR_GUEST') or os.path.join(TOP, 'build', 'frr-guest')
IMAGE = os.path.join(GUEST, 'pe-full.ext4')
NAME = 'pwfrr'
HOLD = 20

PE = '''
link set core up
address add 192.0.2.1/30 dev core
address add 10.0.0.1/32 dev lo
route add 10.0.0.2/32 via 192.0.2.2
route add 10.0.0.3/32 via 192.0.2.2
link add mgre0 type gre local 10.0.0.1 ttl 255
link set mgre0 up
neighbor add 10.0.0.2 lladdr 10.0.0.2 dev mgre0
link add cust type vrf table 10
link set cust up
link add far type vrf table 300
link set far up
link set ce master cust up
address add 10.1.0.1/24 dev ce
'''

PE2 = '''
link set core up
address add 192.0.2.2/30 dev core
address add 10.0.0.2/32 dev lo
address add 10.0.0.3/32 dev lo
route add 10.0.0.1/32 via 192.0.2.1
link add mgre0 type gre local 10.0.0.2 ttl 255
link set mgre0 up
link add mgre1 type gre local 10.0.0.3 ttl 255
link set mgre1 up
neighbor add 10.0.0.1 lladdr 10.0.0.1 dev mgre1
link add cust type vrf table 10
link set cust up
link set ce master cust up
address add 10.2.0.1/24 dev ce
route add 10.1.0.0/24 table 10 encap mpls 100 via 10.0.0.1 dev mgre0
'''
PE2_LABELS = 'route add 3001 dev cust\nroute add 3002 dev cust\n'

SETUP = '''
set -e
ip addr add 192.168.100.1/24 dev eth0
ip addr add 10.0.0.1/32 dev lo
ip link add cust type vrf table 10
ip link set cust up
ip link add far type vrf table 300
ip link set far up
ip link add ce0 type veth peer name ce1
ip link set ce0 master cust up
ip addr add 10.1.0.1/24 dev ce0
ip tunnel add mgre0 mode gre local 10.0.0.1 ttl 64
ip link set mgre0 up
sysctl -qw net.mpls.platform_labels=1048575 net.mpls.conf.mgre0.input=1
'''

# docs/fpm.md shows this configuration.
ZEBRA = '''
frr defaults traditional
fpm address 192.168.100.2
{groups}
ip route 10.0.0.2/32 mgre0
ip route 10.0.0.3/32 mgre0
router bgp 65000
 bgp router-id 10.0.0.1
 no bgp default ipv4-unicast
 neighbor 192.168.100.2 remote-as 65000
 neighbor 192.168.100.2 timers 3 9
 neighbor 192.168.100.2 timers connect 1
 address-family ipv4 vpn
  neighbor 192.168.100.2 activate
  neighbor 192.168.100.2 route-map GRE in
 exit-address-family
!
router bgp 65000 vrf cust
 address-family ipv4 unicast
  redistribute connected
  label vpn export 100
  rd vpn export 65000:1
  rt vpn both 65000:1
  export vpn
  import vpn
 exit-address-family
!
router bgp 65000 vrf far
 address-family ipv4 unicast
  label vpn export 101
  rd vpn export 65000:3
  rt vpn both 65000:3
  export vpn
  import vpn
 exit-address-family
!
route-map GRE permit 10
 set l3vpn next-hop encapsulation gre
!
'''

START = '''
mkdir -p /run/frr /var/log/frr; chown frr:frr /run/frr /var/log/frr
/usr/lib/frr/zebra -d -A 127.0.0.1 -s 90000000 -M dplane_fpm_nl
/usr/lib/frr/staticd -d -A 127.0.0.1
/usr/lib/frr/bgpd -d -A 127.0.0.1
n=0; while [ ! -S /run/frr/bgpd.vty ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
vtysh -b
'''

# The other PE's speaker, which has no use for a zebra.
SPEAKER = '''
frr defaults traditional
router bgp 65000
 bgp router-id 10.0.0.2
 no bgp default ipv4-unicast
 neighbor 192.168.100.1 remote-as 65000
 neighbor 192.168.100.1 timers 3 9
 neighbor 192.168.100.1 timers connect 1
 neighbor 192.168.100.1 advertisement-interval 0
 neighbor 192.168.100.1 passive
 address-family ipv4 vpn
  neighbor 192.168.100.1 activate
 exit-address-family
!
route-map ONE permit 10
 set extcommunity rt 65000:1
 set ipv4 vpn next-hop 10.0.0.2
!
route-map BETTER permit 10
 set extcommunity rt 65000:1
 set ipv4 vpn next-hop 10.0.0.2
 set local-preference 200
!
route-map MOVED permit 10
 set extcommunity rt 65000:1
 set ipv4 vpn next-hop 10.0.0.3
 set local-preference 200
!
route-map EQUAL permit 10
 set extcommunity rt 65000:1
 set ipv4 vpn next-hop 10.0.0.3
!
route-map FAR permit 10
 set extcommunity rt 65000:3
 set ipv4 vpn next-hop 10.0.0.2
!
'''


class Linux:
    """The guest, whose TAP is in a namespace of the lab."""

    def __init__(self, node):
        self.node = node
        self.environment = dict(os.environ, NS=node.ns, SNAP='1', ROOTFS=IMAGE,
                                PE_RUN=os.path.join(node.lab.folder, 'run'),
                                PATH=os.environ['PATH'] + ':/usr/sbin:/sbin')

    def boot(self):
        run('./run.sh', NAME, 'wire', '-', cwd=GUEST, env=self.environment, timeout=240)

    def stop(self):
        run('./run.sh', '-k', NAME, cwd=GUEST, env=self.environment, check=False)

    def sh(self, text, timeout=120):
        return run('/usr/bin/python3', os.path.join(GUEST, 'vmctl.py'), NAME, '-t', timeout,
                   input=text, env=self.environment, timeout=timeout + 10).stdout

    def ifindex(self, name):
        return int(self.sh(f'cat /sys/class/net/{name}/ifindex'))


def make():
    """The guest's image, out of the lab's scripts."""
    shutil.copytree(LAB, GUEST, dirs_exist_ok=True)
    run('chmod', '-R', 'u+w', GUEST)
    for script in ('mk-initramfs.sh', 'mk-rootfs.sh'):
        subprocess.run([os.path.join(GUEST, script)], cwd=GUEST, check=True)


def skip_reason():
    why = frr.missing()
    if why:
        return why
    if not shutil.which('qemu-system-x86_64'):
        return 'no qemu-system-x86_64'
    if not os.path.exists(IMAGE):
        return f'no image of a guest with FRR in {os.path.relpath(GUEST, TOP)} (--make makes one)'
    return None


def fpm(daemon):
    return json.loads(daemon.ctl('-j', 'show', 'fpm').stdout)


def routes(daemon, table=10):
    text = daemon.ip('route', 'show', 'table', table, 'proto', 'bgp').stdout
    return ' '.join(text.split())


def build(lab):
    for name in ('ce1', 'pe', 'pe2', 'ce2'):
        lab.node(name)
    nodes = lab.nodes
    lab.wire(nodes['pe'], 'core', nodes['pe2'], 'core', 1600)
    for number, pe in ((1, 'pe'), (2, 'pe2')):
        lab.wire(nodes[pe], 'ce', nodes[f'ce{number}'], 'eth0')
        customer(nodes[f'ce{number}'], number)
    ports = [f'{name}={DRIVER}:{name}' for name in ('core', 'ce')]
    lab.pe2 = lab.daemon(nodes['pe2'], ports, cpu=1 % os.cpu_count(), batch=[
        lab.write('pe2.batch', PE2), lab.write('pe2.mpls', PE2_LABELS)])
    lab.guest = Linux(nodes['pe'])
    lab.guest.boot()
    nodes['pe'].ip('address', 'add', '192.168.100.2/24', 'dev', 'wire')
    lab.guest.sh(SETUP)
    # FRR runs on another host: its interfaces are known by number only.
    maps = []
    for name in ('mgre0', 'cust', 'far'):
        maps += ['--fpm-interface', f'{lab.guest.ifindex(name)}={name}']
    lab.pe = lab.daemon(nodes['pe'], ports, batch=[lab.write('pe.batch', PE)], options=[
        '--fpm=192.168.100.2', '--fpm-hold', str(HOLD), *maps])
    lab.speaker = frr.Frr(nodes['pe'], SPEAKER, ('bgpd',))
    lab.speaker.start()


def network(lab, words, map_name):
    lab.speaker.configure('router bgp 65000', 'address-family ipv4 vpn',
                          f'network {words} route-map {map_name}')


def no_network(lab, words):
    lab.speaker.configure('router bgp 65000', 'address-family ipv4 vpn', f'no network {words}')


def start_frr(lab, groups):
    lab.guest.sh('cat > /etc/frr/frr.conf << EOF\n' +
                 ZEBRA.format(groups='' if groups else 'no fpm use-next-hop-groups') +
                 'EOF\nchown frr:frr /etc/frr/frr.conf\n' + START)


def stop_frr(lab, signal='TERM'):
    """zebra first, so that it does not hear of the others' end."""
    lab.guest.sh(f'''
for d in zebra bgpd staticd; do p=$(pidof $d) && kill -{signal} $p; done
n=0; while pidof zebra bgpd staticd > /dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
rm -f /run/frr/*''')


def learnt(lab, groups):
    network(lab, '10.2.0.0/24 rd 65000:2 label 3001', 'ONE')
    network(lab, '10.9.0.0/24 rd 65000:4 label 3009', 'FAR')
    start_frr(lab, groups)
    wait_for(lambda: 'encap mpls 3001 via 10.0.0.2 dev mgre0' in routes(lab.pe), 60,
             'the VPN route')
    wait_for(lambda: 'encap mpls 3009 via 10.0.0.2 dev mgre0' in routes(lab.pe, 300), 10,
             'the route of table 300')
    labels = lab.pe.ip('-f', 'mpls', 'route').stdout
    expect('100 dev cust' in labels and '101 dev far' in labels, labels)
    expect('10.0.0.2' not in lab.pe.ip('route', 'show', 'proto', '196').stdout,
           'the tunnel leads to its own end')
    lab.nodes['ce1'].ping('10.2.0.2')
    state = fpm(lab.pe)
    expect(state['refused'] == 0, state.get('last_refused'))
    return f'{state["messages"]} messages, {state["skipped"]} skipped'


def there_and_back(lab, label, map_name, *expected):
    """A second path of the same prefix comes and goes."""
    stream = frr.Stream(lab.nodes['ce1'], '10.2.0.2')
    network(lab, f'10.2.0.0/24 rd 65000:22 label {label}', map_name)
    wait_for(lambda: all(words in routes(lab.pe) for words in expected), 20, ' and '.join(expected))
    time.sleep(0.5)
    no_network(lab, f'10.2.0.0/24 rd 65000:22 label {label}')
    wait_for(lambda: not all(words in routes(lab.pe) for words in expected), 20, 'the first path')
    expect('encap mpls 3001 via 10.0.0.2 dev mgre0' in routes(lab.pe), routes(lab.pe))
    return stream.end()


def label_change(lab):
    return there_and_back(lab, 3002, 'BETTER', 'encap mpls 3002 via 10.0.0.2')


def nexthop_move(lab):
    return there_and_back(lab, 3001, 'MOVED', 'encap mpls 3001 via 10.0.0.3')


def multipath(lab):
    return there_and_back(lab, 3002, 'EQUAL', '3002 via 10.0.0.3', '3001 via 10.0.0.2')


def withdrawn(lab):
    no_network(lab, '10.9.0.0/24 rd 65000:4 label 3009')
    wait_for(lambda: not routes(lab.pe, 300), 20, 'the withdrawal')


def killed(lab, groups):
    """FRR dies, a route goes meanwhile, FRR comes again."""
    network(lab, '10.9.0.0/24 rd 65000:4 label 3009', 'FAR')
    wait_for(lambda: routes(lab.pe, 300), 20, 'the other route')
    stream = frr.Stream(lab.nodes['ce1'], '10.2.0.2')
    stop_frr(lab, 'KILL')
    wait_for(lambda: not fpm(lab.pe)['connected'], 20, 'the end of the connection')
    no_network(lab, '10.9.0.0/24 rd 65000:4 label 3009')
    expect(routes(lab.pe, 300), 'routes went with FRR')
    start_frr(lab, groups)
    wait_for(lambda: fpm(lab.pe)['connected'], 30, 'the new connection')
    wait_for(lambda: not routes(lab.pe, 300), HOLD + 30, 'the sweep')
    wait_for(lambda: fpm(lab.pe)['stale'] == 0, 10, 'nothing stale')
    return stream.end()


def ends_well(lab, groups):
    stop_frr(lab)
    expect(lab.pe.alive(), lab.pe.tail())


def main():
    if '--make' in sys.argv[1:]:
        make()
        return 0
    why = skip_reason()
    if why:
        print(f'skip FRR in a guest: {why}')
        return 0
    results = Results()
    with Lab() as lab:
        try:
            build(lab)
            for groups in (True, False):
                name = 'next-hop groups' if groups else 'no next-hop groups'
                results.check(f'{name}: VPN routes forward', learnt, lab, groups)
                results.check(f'{name}: a label changes', label_change, lab)
                results.check(f'{name}: a next hop moves', nexthop_move, lab)
                results.check(f'{name}: two next hops', multipath, lab)
                results.check(f'{name}: a route is withdrawn', withdrawn, lab)
                results.check(f'{name}: FRR is killed', killed, lab, groups)
                results.check(f'{name}: FRR ends', ends_well, lab, groups)
        except Exception as error:
            results.failed += 1
            print(f'FAIL the lab: {error}')
        finally:
            if hasattr(lab, 'guest'):
                lab.guest.stop()
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
