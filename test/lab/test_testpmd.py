# SPDX-License-Identifier: BSD-3-Clause
"""dpdk-testpmd as the traffic generator that users know: one makes packets for the customer's port,
another counts what leaves the core port, over memif and vhost-user. Seconds, no threshold."""
import os
import re
import shutil
import sys

from lab import Lab, Results, Skip, expect, wait_for

PORTS = {
    'memif': ('memif:{},mac={}', 'net_memif0,role=client,id=0,socket={},socket-abstract=no'),
    'vhost': ('vhost:{}', 'net_virtio_user0,path={},queue_size=1024'),
}
CORE_MAC = '02:00:00:00:00:01'
# Where testpmd's flowgen sends to, whatever --eth-peer says; a vhost port cannot take it.
PORT_MACS = {'ce': '00:01:02:03:04:01', 'core': '02:00:00:00:00:03'}
CONFIG = f"""
link add red type vrf table 10
link set red up
link set ce master red up
address add 10.0.0.1/30 dev ce
neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev ce nud permanent
address add 192.0.2.1/30 dev core
neigh add 192.0.2.2 lladdr {CORE_MAC} dev core nud permanent
address add 10.255.0.1/32 dev lo
route add 10.255.0.2/32 via 192.0.2.2
link add gre1 type gre local 10.255.0.1 ttl 255
link set gre1 up
route add 10.2.0.0/16 table 10 encap mpls 202 via 10.255.0.2 dev gre1
route add 10.253.0.0/16 table 10 encap mpls 202 via 10.255.0.2 dev gre1
"""
SEAL = """
xfrm state add src 10.255.0.1 dst 10.255.0.2 proto esp spi 0x1001 reqid 1 mode transport \
aead rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128
xfrm policy add src 10.255.0.1/32 dst 10.255.0.2/32 proto gre dir out \
tmpl src 10.255.0.1 dst 10.255.0.2 proto esp reqid 1 mode transport
"""


class Testpmd:
    """One dpdk-testpmd on one of Pewter's sockets."""

    def __init__(self, lab, node, name, kind, *options):
        self.log = os.path.join(lab.folder, f'{name}.testpmd.log')
        device = PORTS[kind][1].format(os.path.join(lab.folder, f'{name}.sock'))
        with open(self.log, 'w') as log:
            self.process = node.start(
                'dpdk-testpmd', '--in-memory', '--no-pci', '--no-telemetry',
                '--single-file-segments', '-m', '128', '-l', '0-1',
                f'--file-prefix={name}{os.getpid()}', '--vdev', device, '--', '--auto-start',
                '--stats-period=1', '--total-num-mbufs=8192', *options, stdout=log, stderr=log)

    def written(self):
        return os.path.getsize(self.log)

    def most(self, counter, since=0):
        """The highest figure so far, as testpmd prints it: 'Tx-pps:      1234'."""
        with open(self.log, errors='replace') as log:
            log.seek(since)
            return max((int(value) for value in re.findall(rf'{counter}:\s+(\d+)', log.read())),
                       default=0)

    def stop(self):
        self.process.terminate()
        self.process.wait(15)


def build(lab, kind):
    if not shutil.which('dpdk-testpmd'):
        raise Skip('dpdk-testpmd is not installed')
    if not lab.hugepages:
        raise Skip('no hugepages, which the generator shares its memory by')
    node = lab.node('pe')
    lab.pe = lab.daemon(node, [f'{name}=' + PORTS[kind][0].format(
        os.path.join(lab.folder, f'{name}.sock'), mac) for name, mac in PORT_MACS.items()])
    lab.sink = Testpmd(lab, node, 'core', kind, '--forward-mode=rxonly')
    configure(lab, 'link set core up')
    wait_for(lambda: 'LOWER_UP' in lab.pe.ip('link', 'show', 'dev', 'core').stdout, 30,
             "the core port's carrier")


def configure(lab, text):
    for line in text.strip().splitlines():
        lab.pe.ip(*line.split())


def mac_of(lab, port):
    return re.search(r'link/ether (\S+)', lab.pe.ip('link', 'show', 'dev', port).stdout).group(1)


def drops(lab):
    return lab.pe.ctl('show', 'drops').stdout


def generate(lab, kind, *options):
    """Runs a generator for some seconds: what it sent and the sink got, packets a second."""
    before, since = lab.sink.most('RX-packets'), lab.sink.written()
    source = Testpmd(lab, lab.nodes['pe'], 'ce', kind, f'--eth-peer=0,{mac_of(lab, "ce")}', *options)
    try:
        wait_for(lambda: lab.sink.most('RX-packets') > before + 10000, 40,
                 'ten thousand packets at the sink')
        wait_for(lambda: source.most('Tx-pps') > 0 and lab.sink.most('Rx-pps', since) > 0, 20,
                 "testpmd's figures")
    except AssertionError as error:
        with open(source.log, errors='replace') as log:
            raise AssertionError(f'{error}\n{log.read()[-1500:]}\n{drops(lab)}') from None
    finally:
        source.stop()
    print(f'   {kind} {" ".join(options)}: Tx-pps {source.most("Tx-pps")}, '
          f'Rx-pps {lab.sink.most("Rx-pps", since)}')


def clear(lab, kind):
    configure(lab, CONFIG)
    # 78 bytes of frame are 64 of IP.
    generate(lab, kind, '--forward-mode=txonly', '--txpkts=78', '--tx-ip=10.0.0.2,10.2.0.2')


def sealed(lab, kind):
    configure(lab, SEAL)
    generate(lab, kind, '--forward-mode=txonly', '--txpkts=78', '--tx-ip=10.0.0.2,10.2.0.2')
    state = lab.pe.ip('-s', 'xfrm', 'state').stdout
    packets = int(re.search(r'(\d+)\(packets\)', state).group(1))
    expect(packets > 10000, f'the SA sealed {packets} packets\n{state}')


def flows(lab, kind):
    """Many flows: flowgen's packets are for 10.253.0.0 and on."""
    generate(lab, kind, '--forward-mode=flowgen', '--txpkts=78', '--flowgen-flows=64')


def main():
    results = Results()
    for kind in PORTS:
        with Lab() as lab:
            before = results.failed
            results.check(f'{kind}: pewterd and a sink', build, lab, kind)
            if results.failed > before or not hasattr(lab, 'sink'):
                continue
            results.check(f'{kind}: txonly, in clear', clear, lab, kind)
            results.check(f'{kind}: txonly, sealed', sealed, lab, kind)
            if kind == 'memif':
                results.check(f'{kind}: flowgen, sealed', flows, lab, kind)
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
