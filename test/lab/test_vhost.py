# SPDX-License-Identifier: BSD-3-Clause
"""Ports to virtual machines: dpdk-testpmd plays a guest behind vhost-user and a peer behind memif,
and carries frames between that and a kernel's veth, whose pings cross Pewter both ways."""
import os
import shutil
import sys

from lab import Lab, Results, Skip, expect, wait_for

PORTS = {
    'vhost': ('vhost:{}', 'net_virtio_user0,path={},queue_size=256'),
    'memif': ('memif:{}', 'net_memif0,role=client,id=0,socket={},socket-abstract=no'),
}
GUEST_MAC = '02:00:00:00:aa:02'


def guest(lab, node, kind, path):
    """dpdk-testpmd between the kernel's veth `inner` and Pewter's socket."""
    device = PORTS[kind][1].format(path)
    log = open(os.path.join(lab.folder, f'{kind}.testpmd.log'), 'w')
    return node.start('dpdk-testpmd', '--in-memory', '--no-pci', '--no-telemetry',
                      '--single-file-segments', '-m', '256', '-l', '0-1',
                      f'--file-prefix=guest{kind}{os.getpid()}', '--vdev', device,
                      '--vdev', 'net_af_packet0,iface=inner',
                      '--', '--forward-mode=io', '--auto-start', '--stats-period=1',
                      '--total-num-mbufs=8192', stdout=log, stderr=log)


def build(lab, kind):
    pe, node = lab.node('pe'), lab.node('guest')
    path = os.path.join(lab.folder, f'{kind}.sock')
    lab.wire(node, 'eth0', node, 'inner')
    node.ip('link', 'set', 'eth0', 'address', GUEST_MAC)
    node.ip('address', 'add', '10.9.0.2/24', 'dev', 'eth0')
    lab.pe = lab.daemon(pe, [f'guest={PORTS[kind][0].format(path)}'])
    for line in ('link add vm type vrf table 30', 'link set vm up', 'link set guest master vm up',
                 'address add 10.9.0.1/24 dev guest',
                 f'neigh add 10.9.0.2 lladdr {GUEST_MAC} dev guest nud permanent'):
        lab.pe.ip(*line.split())
    text = lab.pe.ip('link', 'show', 'dev', 'guest').stdout
    mac = text.split('link/ether ')[1].split()[0]
    node.ip('neigh', 'add', '10.9.0.1', 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent')
    lab.guest = guest(lab, node, kind, path)
    wait_for(lambda: node.ping('10.9.0.1', count=1, check=False).returncode == 0, 30,
             f'a ping through {kind}')


def pings(lab, kind):
    lab.nodes['guest'].ping('10.9.0.1', '-s', '1400', count=5)


def carrier_follows(lab, kind):
    """The guest goes away: the port loses its carrier and the daemon runs on."""
    lab.guest.kill()
    lab.guest.wait(10)
    wait_for(lambda: 'LOWER_UP' not in lab.pe.ip('link', 'show', 'dev', 'guest').stdout, 10,
             'the carrier to go')
    expect(lab.pe.alive(), 'pewterd ended')


def comes_back(lab, kind):
    path = os.path.join(lab.folder, f'{kind}.sock')
    lab.guest = guest(lab, lab.nodes['guest'], kind, path)
    wait_for(lambda: lab.nodes['guest'].ping('10.9.0.1', count=1, check=False).returncode == 0, 30,
             f'a ping through {kind}')


def stops(lab, kind):
    expect(lab.pe.stop() == 0, f'exit status {lab.pe.process.returncode}')


def main():
    results = Results()
    for kind in PORTS:
        with Lab() as lab:
            def start():
                if not shutil.which('dpdk-testpmd'):
                    raise Skip('dpdk-testpmd is not installed')
                if not lab.hugepages:
                    raise Skip('no hugepages, which a guest shares its memory by')
                build(lab, kind)

            before = results.failed
            results.check(f'{kind}: a guest reaches the PE', start)
            if results.failed > before or not hasattr(lab, 'guest'):
                continue
            for name, check in (('large packets both ways', pings),
                                ('carrier follows the guest', carrier_follows),
                                ('the guest comes back', comes_back),
                                ('the daemon stops', stops)):
                results.check(f'{kind}: {name}', check, lab, kind)
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
