# SPDX-License-Identifier: BSD-3-Clause
"""The off-net lab of docs/network-ipsec.md: sites of two customers behind one public address of PE1,
and behind one of each customer's, with the files of docs/examples/offnet. Every CE is a pewterd with a
charon, as the PEs are."""
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import ike
from ike import Charon
from lab import EXAMPLES, Skip, expect, wait_for

FILES = os.path.join(EXAMPLES, 'offnet')
HERE = os.path.dirname(os.path.abspath(__file__))
PUBLIC = '198.51.100.1'
CUSTOMERS = {'red1': 10, 'blue1': 10, 'red3': 20, 'red2': 2, 'blue2': 2, 'red4': 30, 'red5': 50, 'blue5': 50}
# Public addresses of PE1 for one customer each: VLAN, PE1's address, its gateway's
DOORS = {'red': (101, '198.51.100.5', '198.51.100.6'), 'blue': (102, '198.51.100.9', '198.51.100.10')}
NAT = '''table ip nat {
	chain post {
		type nat hook postrouting priority 100
		oifname "outside" ip protocol udp masquerade to :10000-10100
	}
}
'''


def batch(name):
    return [os.path.join(FILES, f'{name}.{kind}') for kind in ('batch', 'vlan.batch', 'public.batch', 'mpls')
            if os.path.exists(os.path.join(FILES, f'{name}.{kind}'))]


def text_of(name):
    with open(os.path.join(FILES, name)) as file:
        return file.read()


class Offnet:
    def __init__(self, lab, driver):
        self.lab, self.driver = lab, driver
        self.nodes, self.pewter, self.charon = lab.nodes, {}, {}
        for name in ('p', 'inet', 'nat', 'pe1', 'pe2', 'ce1', 'ce2', 'ce3', 'ce5', 'rw', 'trunk',
                     *CUSTOMERS, 'laptop'):
            lab.node(name)
        self.wires()
        self.routers()
        self.customers()
        self.daemons()
        self.keys()

    # ---- wires and plain Linux --------------------------------------------------------------

    def wires(self):
        nodes, wire = self.nodes, self.lab.wire
        wire(nodes['pe1'], 'core', nodes['p'], 'pe1', 1600)
        wire(nodes['pe2'], 'core', nodes['p'], 'pe2', 1600)
        wire(nodes['pe1'], 'net', nodes['inet'], 'pe1')
        for name in ('ce1', 'ce2', 'ce5', 'rw'):
            wire(nodes[name], 'net', nodes['inet'], name)
        wire(nodes['nat'], 'outside', nodes['inet'], 'nat')
        wire(nodes['ce3'], 'net', nodes['nat'], 'inside')
        wire(nodes['pe1'], 'trunk', nodes['trunk'], 'eth0', 1504)
        for ce, host in (('ce1', 'red1'), ('ce2', 'blue1'), ('ce3', 'red3'), ('rw', 'laptop')):
            wire(nodes[ce], 'lan', nodes[host], 'eth0')
        for colour in ('red', 'blue'):
            wire(nodes['ce5'], f'lan-{colour}', nodes[f'{colour}5'], 'eth0')
            wire(nodes['pe2'], f'ce-{colour}', nodes[f'{colour}2'], 'eth0')

    def routers(self):
        """P, the Internet, the NAT; and routes for IKE, which is the kernel's."""
        nodes = self.nodes
        for name, interface, address in (
                ('p', 'pe1', '192.0.2.2/30'), ('p', 'pe2', '192.0.2.6/30'),
                ('inet', 'pe1', '198.51.100.2/30'), ('inet', 'ce1', '203.0.113.2/30'),
                ('inet', 'ce2', '203.0.113.6/30'), ('inet', 'nat', '203.0.113.10/30'),
                ('inet', 'rw', '203.0.113.14/30'), ('inet', 'ce5', '203.0.113.18/30'),
                ('nat', 'outside', '203.0.113.9/30'), ('nat', 'inside', '192.168.1.1/24')):
            nodes[name].ip('address', 'add', address, 'dev', interface)
        nodes['p'].ip('route', 'add', '10.255.0.1/32', 'via', '192.0.2.1')
        nodes['p'].ip('route', 'add', '10.255.0.2/32', 'via', '192.0.2.5')
        nodes['nat'].ip('route', 'add', 'default', 'via', '203.0.113.10')
        for name in ('p', 'inet', 'nat'):
            nodes[name].run('sysctl', '-qw', 'net.ipv4.ip_forward=1')
        done = nodes['nat'].run('nft', '-f', '-', input=NAT, check=False)
        if done.returncode:
            raise Skip(f'no NAT in this kernel: {done.stdout}')

    def customers(self):
        nodes = self.nodes
        self.vlan(30, 'red4', 'eth0')
        for colour, (vlan, _, gateway) in DOORS.items():
            self.vlan(vlan, 'inet', f'{colour}-door')
            nodes['inet'].ip('address', 'add', f'{gateway}/30', 'dev', f'{colour}-door')
        for name, site in CUSTOMERS.items():
            node = nodes[name]
            node.ip('address', 'add', f'10.{site}.0.2/24', 'dev', 'eth0')
            node.ip('address', 'add', f'2001:db8:{site}::2/64', 'dev', 'eth0', 'nodad')
            node.ip('route', 'add', 'default', 'via', f'10.{site}.0.1')
            node.ip('route', 'add', 'default', 'via', f'2001:db8:{site}::1')

    def vlan(self, number, name, interface):
        """A VLAN of PE1's trunk is this interface of the node."""
        trunk, tap = self.nodes['trunk'], f'vlan{number}'
        trunk.start('/usr/bin/python3', os.path.join(HERE, 'vlan_shim.py'), 'eth0', number, tap)
        wait_for(lambda: trunk.ip('link', 'show', tap, check=False).returncode == 0, 5, 'the VLAN')
        trunk.ip('link', 'set', tap, 'netns', self.nodes[name].ns, 'name', interface)
        self.nodes[name].ip('link', 'set', interface, 'up')

    # ---- daemons ----------------------------------------------------------------------------

    def daemon(self, number, name, ports):
        files = batch(name if name != 'rw' else 'laptop')
        if name.startswith('pe'):
            files.insert(0, os.path.join(EXAMPLES, 'ike.xfrm'))
        return self.lab.daemon(self.nodes[name], [f'{port}={self.driver}:{port}' for port in ports], batch=files,
                               cpu=number % os.cpu_count())

    def daemons(self):
        ports = {name: ('net', 'lan') for name in ('ce1', 'ce2', 'ce3', 'rw')}
        ports.update(ce5=('net', 'lan-red', 'lan-blue'), pe1=('core', 'net', 'trunk'), pe2=('core', 'ce-red', 'ce-blue'))
        with ThreadPoolExecutor(3) as pool:
            started = pool.map(self.daemon, range(len(ports)), ports, ports.values())
            self.pewter = dict(zip(ports, started))
        nodes = self.nodes
        nodes['pe1'].ip('route', 'add', '10.255.0.2/32', 'via', '192.0.2.2', 'src', '10.255.0.1')
        nodes['pe2'].ip('route', 'add', '10.255.0.1/32', 'via', '192.0.2.6', 'src', '10.255.0.2')
        for name, gateway in (('pe1', '198.51.100.2'), ('ce1', '203.0.113.2'), ('ce2', '203.0.113.6'),
                              ('ce3', '192.168.1.1'), ('ce5', '203.0.113.18'), ('rw', '203.0.113.14')):
            # PE1's kernel has no prefix for a port in a VRF
            nodes[name].ip('route', 'add', 'default', 'via', gateway, 'dev', 'net', 'onlink')
        for vlan, address, _ in DOORS.values():
            nodes['pe1'].ip('rule', 'add', 'from', address, 'lookup', vlan)
        self.pe1_ready()

    def pe1_ready(self):
        """What PE1 needs beside its start-up files, whenever its pewterd has begun: IKE from an address of a
        VLAN leaves by it (its kernel face is new), and reverse routes."""
        for vlan, _, gateway in DOORS.values():
            self.nodes['pe1'].ip('route', 'add', 'default', 'via', gateway, 'dev', f'trunk.{vlan}', 'onlink',
                                 'table', vlan)
        for link in ('red', 'blue', 'red5', 'blue5'):
            self.pewter['pe1'].ctl('link', f'ipsec-{link}', 'reverse-route', 'on')

    def keys(self):
        self.certificates()
        for name in self.pewter:
            self.charon[name] = Charon(self.pewter[name], options='install_virtual_ip = no',
                                       plugins='eap-identity eap-mschapv2' if name in ('pe1', 'rw') else '')
            self.credentials(name)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(Charon.start, self.charon.values()))
        for name in ('pe2', 'pe1', 'ce1', 'ce2', 'ce3', 'ce5', 'rw'):  # who is asked first
            self.load(name)

    def load(self, name):
        """The documented files; a dead peer is known sooner."""
        text = text_of(f'{name if name != "rw" else "laptop"}.swanctl.conf')
        if name == 'pe1':
            text += ''.join(text_of(f'pe1.{more}.conf') for more in ('roaming', 'eap', 'public'))
        if name in ('pe1', 'ce1'):
            expect('dpd_delay = 10s' in text, 'no dpd_delay')
            text = text.replace('dpd_delay = 10s', 'dpd_delay = 2s')
        self.charon[name].load(text)

    def certificates(self):
        self.pki = os.path.join(self.lab.folder, 'pki')
        os.makedirs(self.pki)

        def pki(out, *arguments):
            done = subprocess.run(['pki', *arguments], capture_output=True, check=True, cwd=self.pki)
            with open(os.path.join(self.pki, out), 'wb') as file:
                file.write(done.stdout)

        for name in ('ca', 'pe1', 'laptop'):
            pki(name + '.key', '--gen', '--type', 'ecdsa', '--size', '256', '--outform', 'pem')
        pki('ca.pem', '--self', '--ca', '--in', 'ca.key', '--type', 'ecdsa', '--dn', 'C=CH, O=Pewter, CN=CA',
            '--outform', 'pem')
        for name, dn in (('pe1', 'C=CH, O=Pewter, CN=pe1.example'), ('laptop', 'C=CH, O=Pewter, OU=red, CN=laptop')):
            pki(f'{name}.pub', '--pub', '--in', f'{name}.key', '--type', 'ecdsa', '--outform', 'pem')
            pki(f'{name}.pem', '--issue', '--cacert', 'ca.pem', '--cakey', 'ca.key', '--in', f'{name}.pub',
                '--dn', dn, '--san', f'{name}.example', '--outform', 'pem')

    def credentials(self, name):
        own = {'pe1': 'pe1', 'rw': 'laptop'}.get(name)
        if not own:
            return
        for kind, file in (('x509', f'{own}.pem'), ('x509ca', 'ca.pem'), ('private', f'{own}.key')):
            target = os.path.join(self.charon[name].folder, kind)
            os.makedirs(target, exist_ok=True)
            with open(os.path.join(self.pki, file)) as source, open(os.path.join(target, file), 'w') as copy:
                copy.write(source.read())

    # ---- what tests look at -----------------------------------------------------------------

    def routes(self, table=10, family='-4'):
        """The reverse routes of a VRF of PE1."""
        text = self.pewter['pe1'].ip(family, 'route', 'show', 'table', table).stdout
        return re.findall(r'^(\S+) dev ipsec-\w+', text, re.M)

    def echoes(self, name):
        counters = self.nodes[name].snmp()
        return counters['IcmpInEchos'] + counters['Icmp6InEchos']

    def report(self):
        return ike.text_of(self.pewter, self.charon)


def need_nft():
    if not shutil.which('nft', path='/usr/sbin:/sbin:/usr/bin'):
        raise Skip('nftables is not installed')
