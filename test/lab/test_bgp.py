# SPDX-License-Identifier: BSD-3-Clause
"""pewter-bgp with the BGP speakers of Debian: two PEs learn each other's VPN routes through a
route reflector, which is FRR's bgpd, GoBGP or BIRD in turn, and forward while routes and
processes come and go. docs/bgp.md shows the configurations that are used here.

    test_bgp.py [frr | gobgp | bird | local-frr | local-gobgp | local-bird | many] ...
"""
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from lab import BUILD, Lab, Results, core, customer, expect, run, wait_for

BGP = os.path.join(BUILD, 'control', 'bgp', 'pewter-bgp')
PASSWORD = 'between-us'  # TCP MD5 (RFC 2385)
SWEEP = 4  # seconds from a neighbour's End-of-RIB to the sweep, in these labs

PE = """
link set core up mtu 1600
address add {core}/30 dev core
address add {loopback}/32 dev lo
address add {second}/32 dev lo
route add {others} via {p}
link add gre1 type gre local {loopback} ttl 255
link set gre1 mtu 1576 up
link add gre2 type gre local {second} ttl 255
link set gre2 mtu 1576 up
link add red type vrf table 10
link set red up
link set ce-red master red up
address add 10.{n}.0.1/24 dev ce-red
address add 2001:db8:{n}::1/64 dev ce-red
link add blue type vrf table 1020
link set blue up
link set ce-blue master blue up
address add 10.{n}.0.1/24 dev ce-blue
address add 2001:db8:{n}::1/64 dev ce-blue
"""

CONFIG = """
local-as 65000
router-id {loopback}
neighbor {p} remote-as 65000 hold-time {hold} {neighbor}
tunnel gre1
vrf red rd 65000:{n}1 import 65000:1 export 65000:1 redistribute connected static {red}
vrf blue rd 65000:{n}2 import 65000:2 export 65000:2 redistribute connected static
sweep-delay {sweep}
state {folder}/pe{n}.labels
socket {folder}/pe{n}.sock
control {folder}/pe{n}.bgp
"""

# ---- route reflectors ------------------------------------------------------------------------

FRR = """
router bgp 65000
 bgp router-id 10.0.0.50
 no bgp default ipv4-unicast
 no bgp suppress-duplicates
 coalesce-time 100
{neighbors} address-family ipv4 vpn
{vpn} exit-address-family
 address-family ipv6 vpn
{vpn} exit-address-family
"""

GOBGP = """
[global.config]
  as = 65000
  router-id = "10.0.0.50"
"""

GOBGP_NEIGHBOR = """
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{address}"
    peer-as = 65000
  [neighbors.timers.config]
    connect-retry = 1
  [neighbors.transport.config]
    passive-mode = true
  [neighbors.route-reflector.config]
    route-reflector-client = true
    route-reflector-cluster-id = "10.0.0.50"
  [neighbors.graceful-restart.config]
    enabled = true
    restart-time = 120
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "l3vpn-ipv4-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
    [neighbors.afi-safis.add-paths.config]
      send-max = 8
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "l3vpn-ipv6-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
"""

BIRD = """
router id 10.0.0.50;
vpn4 table vpntab4;
vpn6 table vpntab6;
protocol device { }
protocol static { ipv4; route 10.255.0.0/24 via 192.0.2.1; }
template bgp vpn_client {
  local as 65000;
  rr client;
  rr cluster id 10.0.0.50;
  graceful restart on;
  connect delay time 1;
  error wait time 1, 5;
  vpn4 mpls { table vpntab4; import all; export all; next hop keep; add paths tx; };
  vpn6 mpls { table vpntab6; import all; export all; next hop keep; extended next hop on;
    igp table master4; igp table master6; };
}
"""


class Speaker:
    """A BGP daemon in a node. Processes are ended by their id."""
    log = None

    def __init__(self, node, neighbors, signed=()):
        self.node, self.neighbors, self.process = node, neighbors, None
        self.signed = signed
        self.folder = os.path.join(node.lab.folder, f'{self.name}-{node.name}')
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(node.lab.folder, 0o755)
        os.chmod(self.folder, 0o777)
        self.config = os.path.join(self.folder, 'config')
        with open(self.config, 'w') as file:
            file.write(self.text())
        self.log = os.path.join(self.folder, 'log')

    def start(self):
        with open(self.log, 'a') as log:
            self.process = self.node.start(*self.command(), stdout=log, stderr=log)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def version(self):
        return re.search(r'[\d.]+\d', run(*self.version_command, check=False).stdout).group()


class Frr(Speaker):
    name = 'frr'
    guard = f'password {PASSWORD}'  # how a PE that is signed for says it
    program = '/usr/lib/frr/bgpd'
    version_command = (program, '--version')

    def text(self):
        neighbors = ''.join(f' neighbor {a} remote-as 65000\n neighbor {a} timers connect 1\n'
                            f' neighbor {a} advertisement-interval 0\n' for a in self.neighbors)
        neighbors += ''.join(f' neighbor {a} password {PASSWORD}\n' for a in self.signed)
        vpn = ''.join(f'  neighbor {a} activate\n  neighbor {a} route-reflector-client\n'
                      f'  neighbor {a} addpath-tx-all-paths\n' for a in self.neighbors)
        return FRR.format(neighbors=neighbors, vpn=vpn)

    def command(self):
        return (self.program, '-Z', '-f', self.config, '-i', f'{self.folder}/pid',
                '--vty_socket', self.folder, '-P', 0, '--log', 'stdout')

    def refresh(self):
        """Asks its neighbours for their routes (RFC 2918)."""
        for family in ('ipv4', 'ipv6'):
            self.node.run('vtysh', '--vty_socket', self.folder, '-c',
                          f'clear bgp {family} vpn * soft in')


class Gobgp(Speaker):
    name = 'gobgp'
    guard = 'ttl-security 1'
    program = '/usr/bin/gobgpd'
    version_command = (program, '--version')

    def text(self):
        text = GOBGP
        for address in self.neighbors:
            text += GOBGP_NEIGHBOR.format(address=address)
            if address in self.signed:  # RFC 5082
                text += '  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = 255\n'
        return text

    def command(self):
        return self.program, '-f', self.config, '--api-hosts', '127.0.0.1:50051'

    refresh = None  # it keeps what it was sent, and asks nobody again


class Bird(Speaker):
    name = 'bird'
    guard = f'password {PASSWORD} ttl-security 1'
    program = '/usr/sbin/bird'
    version_command = (program, '--version')

    def text(self):
        guarded = f'password "{PASSWORD}"; ttl security on; '
        return BIRD + ''.join(
            f'protocol bgp from vpn_client {{ neighbor {a} as 65000; '
            f'{guarded if a in self.signed else ""}}}\n' for a in self.neighbors)

    def command(self):
        return self.program, '-f', '-c', self.config, '-s', f'{self.folder}/ctl'

    def refresh(self):
        self.node.run('/usr/sbin/birdc', '-s', f'{self.folder}/ctl', 'reload', 'in', 'all')


# ---- speakers on the PE itself, between pewter-bgp and the reflector ---------------------------

class LocalFrr(Frr):
    name = 'local-frr'
    sweep = 6  # it says End-of-RIB first, and then asks its own neighbour

    def text(self):
        return FRR.format(
            neighbors=' neighbor 169.254.254.2 remote-as 65000\n'
                      ' neighbor 169.254.254.2 port 1790\n'
                      ' neighbor 169.254.254.2 update-source 169.254.254.1\n'
                      ' neighbor 169.254.254.2 timers connect 1\n'
                      ' neighbor 169.254.254.2 advertisement-interval 0\n'
                      ' neighbor 192.0.2.2 remote-as 65000\n'
                      ' neighbor 192.0.2.2 timers connect 1\n'
                      ' neighbor 192.0.2.2 advertisement-interval 0\n',
            vpn='  neighbor 169.254.254.2 activate\n'
                '  neighbor 169.254.254.2 route-reflector-client\n'
                '  neighbor 169.254.254.2 addpath-tx-all-paths\n'
                '  neighbor 192.0.2.2 activate\n').replace('10.0.0.50', '10.0.0.51')


class LocalGobgp(Gobgp):
    name = 'local-gobgp'
    sweep = 12  # it is idle for five seconds first

    def text(self):
        client = GOBGP_NEIGHBOR.format(address='169.254.254.2').replace(
            'passive-mode = true', 'remote-port = 1790\n    local-address = "169.254.254.1"')
        upstream = GOBGP_NEIGHBOR.format(address='192.0.2.2')
        upstream = re.sub(r'  \[neighbors.route-reflector.config\]\n.*\n.*\n', '', upstream)
        upstream = upstream.replace('passive-mode = true', 'passive-mode = false')
        return (GOBGP + client + upstream).replace('10.0.0.50', '10.0.0.51')


class LocalBird(Bird):
    name = 'local-bird'
    sweep = 8

    def text(self):
        template = BIRD.replace('10.0.0.50', '10.0.0.51').replace('via 192.0.2.1', 'via 192.0.2.2')
        upstream = re.sub(r'  rr .*\n', '', template[template.index('template'):])
        return (template + 'protocol bgp feed from vpn_client {\n  local 169.254.254.1 port 179;\n'
                '  neighbor 169.254.254.2 port 1790 as 65000;\n  connect retry time 2;\n}\n' +
                upstream.replace('vpn_client', 'vpn_reflector') +
                'protocol bgp from vpn_reflector {\n  neighbor 192.0.2.2 as 65000;\n}\n')


class Injector(Speaker):
    """A GoBGP that plays a further PE: what it announces is typed in."""
    name = 'injector'
    program = '/usr/bin/gobgpd'

    def text(self):
        # Its neighbour is the reflector; it is no reflector itself.
        neighbor = GOBGP_NEIGHBOR.format(address=self.neighbors[0])
        neighbor = re.sub(r'  \[neighbors.route-reflector.config\]\n.*\n.*\n', '', neighbor)
        neighbor = neighbor.replace('passive-mode = true', 'passive-mode = false')
        return GOBGP.replace('10.0.0.50', '10.255.0.9') + neighbor

    def command(self):
        return self.program, '-f', self.config, '--api-hosts', '127.0.0.1:50052'

    def rib(self, verb, family, prefix, label, rd, nexthop, target='65000:1', more=()):
        words = ['rt', target, 'nexthop', nexthop] if verb == 'add' else []
        self.node.run('/usr/bin/gobgp', '-p', 50052, 'global', 'rib', verb, '-a', family, prefix,
                      'label', label, 'rd', rd, *words, *more)

    def ready(self):
        wait_for(lambda: 'Establ' in self.node.run('/usr/bin/gobgp', '-p', 50052, 'neighbor',
                                                   check=False).stdout, 40, 'injector')


# ---- PEs -------------------------------------------------------------------------------------

class PeBgp:
    """pewter-bgp beside a PE's pewterd."""

    def __init__(self, lab, number, config):
        self.lab, self.number = lab, number
        self.node = lab.nodes[f'pe{number}']
        self.path = os.path.join(lab.folder, f'pe{number}.conf')
        self.log = os.path.join(lab.folder, f'pe{number}.bgp.log')
        self.control = os.path.join(lab.folder, f'pe{number}.bgp')
        self.process = None
        self.write(config)

    def write(self, config):
        with open(self.path, 'w') as file:
            file.write(config)

    def start(self):
        with open(self.log, 'a') as log:
            self.process = self.node.start(BGP, '-c', self.path, stdout=log, stderr=log)
        wait_for(lambda: run(BGP, '-s', self.control, 'show', check=False).returncode == 0, 10,
                 'pewter-bgp')
        return self

    def reload(self, config):
        self.write(config)
        self.process.send_signal(signal.SIGHUP)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def show(self):
        return json.loads(run(BGP, '-s', self.control, '-j', 'show').stdout)

    def routes(self):
        return {(r['vrf'], r['prefix']): r
                for r in json.loads(run(BGP, '-s', self.control, '-j', 'show', 'routes').stdout)}

    def established(self):
        return all(n['state'] == 'established' for n in self.show()['neighbors'])

    def tail(self):
        with open(self.log) as log:
            return ''.join(log.readlines()[-15:])


def pe_values(lab, number, **more):
    return dict({'n': number, 'core': f'192.0.2.{4 * number - 3}', 'p': f'192.0.2.{4 * number - 2}',
                 'loopback': f'10.255.0.{number}', 'second': f'10.255.0.{20 + number}',
                 'others': '10.255.0.0/24', 'folder': lab.folder, 'red': '',
                 'sweep': getattr(lab, 'sweep', SWEEP) if number == 1 else SWEEP,
                 'hold': 3 if number == 1 else 30,
                 'neighbor': getattr(lab, 'neighbor', '')}, **more)


def pe_config(lab, number, **more):
    return CONFIG.format(**pe_values(lab, number, **more))


def pe_start(lab, number):
    values = pe_values(lab, number)
    batch = os.path.join(lab.folder, f'pe{number}.batch')
    with open(batch, 'w') as file:
        file.write(PE.format(**values))
    daemon = lab.daemon(lab.nodes[f'pe{number}'], [f'{name}=af_xdp:{name}' for name in
                                                   ('core', 'ce-red', 'ce-blue')],
                        batch=[batch], cpu=(number - 1) % os.cpu_count())
    setattr(lab, f'pe{number}', daemon)


def topology(lab):
    for name in ('red1', 'blue1', 'pe1', 'p', 'pe2', 'red2', 'blue2'):
        lab.node(name)
    for number in (1, 2):
        pe = lab.nodes[f'pe{number}']
        lab.wire(pe, 'core', lab.nodes['p'], f'pe{number}', 1600)
        for colour in ('red', 'blue'):
            lab.wire(pe, f'ce-{colour}', lab.nodes[f'{colour}{number}'], 'eth0')
            customer(lab.nodes[f'{colour}{number}'], number)
    core(lab.nodes['p'])
    for number in (1, 2):
        lab.nodes['p'].ip('route', 'add', f'10.255.0.{20 + number}/32', 'via',
                          f'192.0.2.{4 * number - 3}')
    for address in ('10.77.0.1/32', '10.88.0.1/32', '2001:db8:88::1/128'):
        lab.nodes['red2'].ip('address', 'add', address, 'dev', 'lo')
    # The injector is beside the reflector, with an address of its own.
    lab.node('x')
    lab.wire(lab.nodes['p'], 'x', lab.nodes['x'], 'eth0')
    lab.nodes['p'].ip('address', 'add', '192.0.2.18/30', 'dev', 'x')
    lab.nodes['x'].ip('address', 'add', '192.0.2.17/30', 'dev', 'eth0')


# ---- a stream of packets ---------------------------------------------------------------------

SEND = """
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 5000))
n, begin, refused = 0, time.monotonic(), 0
while not sys.stdin in __import__('select').select([sys.stdin], [], [], 0)[0]:
    while n < (time.monotonic() - begin) * 1000:
        try:
            s.send(struct.pack('!Q', n) + bytes(56))
        except OSError:  # an ICMP error of before: the packet is sent again, and counts once
            refused += 1
            continue
        n += 1
    time.sleep(0.001)
print(n, refused)
"""

RECEIVE = """
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE: seconds of it
s.bind((sys.argv[1], 5000))
s.settimeout(0.2)
seen = {}
print('ready', flush=True)
stop = False
while True:
    try:
        seen.setdefault(struct.unpack('!Q', s.recv(2048)[:8])[0], time.monotonic())
    except socket.timeout:
        if stop:
            break
    if sys.stdin in __import__('select').select([sys.stdin], [], [], 0)[0]:
        stop = True
gaps, last, longest, again = [], -1, 0, 0
for n in sorted(seen):
    if n != last + 1:
        gaps.append(f'{last + 1}-{n - 1}')
    if n - last - 1 > longest:
        longest, again = n - last - 1, seen[n]
    last = n
print(len(seen), again, last, *gaps[:8])
"""


WAITED, OVERRUN = 'ms without a CPU', 'dropped'


def waited(pid):
    """How long the threads of a process wanted to run and could not, the longest of them, ms."""
    longest = 0
    for task in os.listdir(f'/proc/{pid}/task') if os.path.exists(f'/proc/{pid}') else ():
        with open(f'/proc/{pid}/task/{task}/schedstat') as file:
            longest = max(longest, int(file.read().split()[1]) // 1000000)
    return longest


class Stream:
    """1,000 packets a second from red1 to an address of red2 while the block runs."""

    def __init__(self, lab, address='10.2.0.2'):
        self.lab, self.address = lab, address
        self.lost, self.sent, self.again = None, 0, 0.0

    def python(self, node, code):
        return subprocess.Popen(['ip', 'netns', 'exec', node.ns, '/usr/bin/python3', '-c', code,
                                 self.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                text=True)

    def drops(self):
        """What the PEs and the kernels have counted, by name."""
        counters = {}
        for name in filter(lambda name: name.startswith('pe'), self.lab.nodes):
            daemon = getattr(self.lab, name)
            counters[f'{name} {WAITED}'] = waited(daemon.process.pid)
            shown = daemon.ctl('-j', 'show', 'drops', check=False)
            if shown.returncode == 0:
                counters.update({f'{name} {entry["name"]}': entry['packets']
                                 for entry in json.loads(shown.stdout)})
            shown = daemon.ctl('-j', 'show', 'ports', check=False)
            for port in json.loads(shown.stdout) if shown.returncode == 0 else ():
                counters.update({f'{name} {port["name"]} {key}': value
                                 for key, value in port.items()
                                 if isinstance(value, int) and
                                 any(word in key for word in ('missed', 'error', 'no_buffer'))})
        for name in self.lab.nodes:
            for line in self.lab.nodes[name].run('cat', '/proc/net/dev').stdout.splitlines()[2:]:
                device, values = line.split(':')
                values = [int(value) for value in values.split()]
                counters[f'{name} {device.strip()} {OVERRUN}'] = values[3] + values[11]
            counters[f'{name} IpOutNoRoutes'] = self.lab.nodes[name].snmp()['IpOutNoRoutes']
        counters['red2 UdpRcvbufErrors'] = self.lab.nodes['red2'].snmp()['UdpRcvbufErrors']
        return counters

    def __enter__(self):
        self.before = self.drops()
        self.receiver = self.python(self.lab.nodes['red2'], RECEIVE)
        expect(self.receiver.stdout.readline() == 'ready\n', 'the receiver did not start')
        self.sender = self.python(self.lab.nodes['red1'], SEND)
        self.lab.children += [self.sender, self.receiver]
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        time.sleep(0.5)
        self.sent, _ = (int(n) for n in self.sender.communicate('stop\n', timeout=10)[0].split())
        time.sleep(0.3)
        said = self.receiver.communicate('stop\n', timeout=10)[0].split()
        received, again, last, *gaps = said
        self.lost = self.sent - int(received)
        self.again = float(again)  # when packets arrived again after most were lost
        self.where = f'numbers {", ".join(gaps)}, the last one {last} of {self.sent - 1}'

    def nothing_lost(self):
        """
        Not one. A machine that runs something else for so long that a PE's rings overflow is no
        fault of the PE's: the kernel has counted both, the packets and the time.
        """
        expect(self.sent > 500, f'only {self.sent} packets were sent')
        if not self.lost:
            return f'0 of {self.sent} packets lost'
        counted = {name: value - self.before.get(name, 0) for name, value in self.drops().items()
                   if value != self.before.get(name, 0)}
        for name in filter(lambda name: name.startswith('pe'), self.lab.nodes):
            overrun = sum(value for key, value in counted.items()
                          if key.startswith(name) and key.endswith(OVERRUN))
            if self.lost <= overrun and self.lost <= counted.get(f'{name} {WAITED}', 0):
                return (f'0 of {self.sent} packets lost, but {self.lost} at {name}\'s rings, '
                        f'which had no CPU for {counted[f"{name} {WAITED}"]} ms')
        raise AssertionError(f'{self.lost} of {self.sent} packets lost: {self.where}; '
                             f'counted: {counted}')


# ---- tests -----------------------------------------------------------------------------------

def converged(lab):
    """Both PEs have both customers' routes of the other one, in Pewter, with its labels."""
    def there():
        for number, bgp in ((1, lab.bgp1), (2, lab.bgp2)):
            routes = bgp.routes()
            for vrf in ('red', 'blue'):
                for prefix in (f'10.{3 - number}.0.0/24', f'2001:db8:{3 - number}::/64'):
                    route = routes.get((vrf, prefix))
                    if not route or route['stale'] or route['held'] or not route['hops']:
                        return False
        return True
    wait_for(there, 40, 'routes on both PEs')


def pings(lab):
    def one(colour, source, target):
        node = lab.nodes[f'{colour}{source}']
        node.ping(f'10.{target}.0.2')
        node.ping(f'2001:db8:{target}::2')

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(one, colour, source, target) for colour in ('red', 'blue')
                     for source, target in ((1, 2), (2, 1))]:
            done.result()


def delivery(lab):
    """The same addresses in both VPNs: each request reaches its own customer only."""
    before = [lab.nodes[name].snmp()['IcmpInEchos'] for name in ('red2', 'blue2')]
    lab.nodes['red1'].ping('10.2.0.2', count=5)
    after = [lab.nodes[name].snmp()['IcmpInEchos'] for name in ('red2', 'blue2')]
    expect(after[0] - before[0] == 5 and after[1] == before[1], f'{before} then {after}')


def withdraw(lab):
    red1 = lab.nodes['red1']
    with Stream(lab) as stream:
        lab.pe2.ip('route', 'add', '10.77.0.0/24', 'table', '10', 'via', '10.2.0.2')
        wait_for(lambda: ('red', '10.77.0.0/24') in lab.bgp1.routes(), 10, 'the new route')
        expect(('blue', '10.77.0.0/24') not in lab.bgp1.routes(), 'blue has a route of red')
        wait_for(lambda: red1.ping('10.77.0.1', count=1, check=False).returncode == 0, 5, 'ping')
        lab.pe2.ip('route', 'del', '10.77.0.0/24', 'table', '10')
        wait_for(lambda: ('red', '10.77.0.0/24') not in lab.bgp1.routes(), 10, 'the withdrawal')
        shown = lab.pe1.ip('route', 'show', 'table', '10').stdout
        expect('10.77.0.0/24' not in shown, shown)
        expect(red1.ping('10.77.0.1', count=1, check=False).returncode != 0, 'still forwarded')
    return stream.nothing_lost()


def label_change(lab):
    old = lab.bgp1.routes()['red', '10.2.0.0/24']['hops'][0]['label']
    with Stream(lab) as stream:
        lab.bgp2.reload(pe_config(lab, 2, red='label 5000'))
        wait_for(lambda: lab.bgp1.routes()['red', '10.2.0.0/24']['hops'][0]['label'] == 5000, 10,
                 'the new label')
        time.sleep(0.5)
        lab.bgp2.reload(pe_config(lab, 2))
        wait_for(lambda: lab.bgp1.routes()['red', '10.2.0.0/24']['hops'][0]['label'] == old, 10,
                 'the old label')
        time.sleep(0.5)
    return stream.nothing_lost()


def red_label(lab):
    return next(v['label'] for v in lab.bgp2.show()['vrfs'] if v['vrf'] == 'red')


def hops(lab, prefix):
    route = lab.bgp1.routes().get(('red', prefix), {'hops': []})
    return sorted(hop['via'] for hop in route['hops'])


def next_hop_move(lab):
    """A route of a third speaker moves between two tunnel ends; both are PE2's."""
    label, injector = red_label(lab), lab.injector
    injector.ready()
    lab.pe2.ip('neighbor', 'replace', '10.255.0.1', 'lladdr', '10.255.0.1', 'dev', 'gre2', 'nud',
               'permanent')
    lab.pe2.ip('route', 'add', '10.88.0.0/24', 'table', '10', 'proto', '99', 'via', '10.2.0.2')
    injector.rib('add', 'vpnv4', '10.88.0.0/24', label, '65000:91', '10.255.0.2')
    wait_for(lambda: hops(lab, '10.88.0.0/24') == ['10.255.0.2'], 15, 'the route')
    with Stream(lab, '10.88.0.1') as stream:
        for via in ('10.255.0.22', '10.255.0.2', '10.255.0.22'):
            injector.rib('add', 'vpnv4', '10.88.0.0/24', label, '65000:91', via)
            wait_for(lambda via=via: hops(lab, '10.88.0.0/24') == [via], 15, f'next hop {via}')
            time.sleep(0.5)
    return stream.nothing_lost()


def multipath(lab):
    """Another RD for the same prefix: the traffic is shared, and all of it arrives."""
    label, injector = red_label(lab), lab.injector
    injector.rib('add', 'vpnv4', '10.88.0.0/24', label, '65000:92', '10.255.0.2')
    wait_for(lambda: hops(lab, '10.88.0.0/24') == ['10.255.0.2', '10.255.0.22'], 15, 'two hops')
    shown = lab.pe1.ip('route', 'show', 'table', '10', '10.88.0.0/24').stdout
    expect(shown.count('nexthop') == 2, shown)
    with Stream(lab, '10.88.0.1') as stream:
        injector.rib('del', 'vpnv4', '10.88.0.0/24', label, '65000:91', '')
        wait_for(lambda: hops(lab, '10.88.0.0/24') == ['10.255.0.2'], 15, 'one hop')
        time.sleep(0.5)
    lost = stream.nothing_lost()
    injector.rib('del', 'vpnv4', '10.88.0.0/24', label, '65000:92', '')
    wait_for(lambda: not hops(lab, '10.88.0.0/24'), 15, 'the withdrawal')
    return lost


def known_pe(lab):
    """A PE whose path is not the best one may send all the same."""
    label, injector = red_label(lab), lab.injector
    injector.rib('add', 'vpnv4', '10.88.0.0/24', label, '65000:91', '10.255.0.2')
    injector.rib('add', 'vpnv4', '10.88.0.0/24', label, '65000:92', '10.255.0.33',
                 more=('local-pref', 50))

    def known():
        tunnels = json.loads(lab.pe1.ctl('-j', 'show', 'tunnels', '-d').stdout)
        return '10.255.0.33' in json.dumps(tunnels)

    wait_for(lambda: hops(lab, '10.88.0.0/24') == ['10.255.0.2'] and known(), 15, 'the other PE')
    shown = lab.pe1.ip('nexthop', 'show').stdout
    expect('via 10.255.0.33' in shown and 'proto bgp' in shown, shown)
    injector.rib('del', 'vpnv4', '10.88.0.0/24', label, '65000:91', '')
    wait_for(lambda: hops(lab, '10.88.0.0/24') == ['10.255.0.33'], 15, 'the other path')
    injector.rib('del', 'vpnv4', '10.88.0.0/24', label, '65000:92', '')
    wait_for(lambda: not hops(lab, '10.88.0.0/24'), 15, 'the withdrawal')


def swept(lab):
    """Everything is there, and still is when what was stale or held has been swept."""
    converged(lab)
    time.sleep(getattr(lab, 'sweep', SWEEP) + 1)
    converged(lab)
    for bgp in (lab.bgp1, lab.bgp2):
        neighbor = bgp.show()['neighbors'][0]
        expect(neighbor['stale'] == 0, 'stale routes are left')
        expect(neighbor['end_of_rib'] == [True, True], f'End-of-RIB: {neighbor["end_of_rib"]}')


def reflector_restart(lab):
    """SIGKILL, two seconds without it, a new one that knows nothing at first."""
    with Stream(lab) as stream:
        lab.reflector.kill()
        wait_for(lambda: not lab.bgp1.established(), 15, 'the loss of the session')
        expect(lab.bgp1.show()['neighbors'][0]['stale'] > 0, 'no route is stale')
        time.sleep(2)
        lab.reflector.start()
        began = time.monotonic()
        wait_for(lambda: lab.bgp1.established() and lab.bgp2.established(), 60, 'sessions')
        seconds = time.monotonic() - began
        swept(lab)
    pings(lab)
    return f'{stream.nothing_lost()}, sessions back after {seconds:.1f} s'


def reflector_hangs(lab):
    """It stops and says nothing: the hold timer ends the session, forwarding goes on."""
    with Stream(lab) as stream:
        lab.reflector.process.send_signal(signal.SIGSTOP)
        try:
            wait_for(lambda: 'hold timer' in lab.bgp1.show()['neighbors'][0]['reason'], 10,
                     'the hold timer')
        finally:
            lab.reflector.process.send_signal(signal.SIGCONT)
        wait_for(lab.bgp1.established, 60, 'the session')
        converged(lab)
    return stream.nothing_lost()


def stale_time(lab):
    """A reflector that stays away: its routes are deleted after the time that was set."""
    lab.bgp1.reload(pe_config(lab, 1) + 'stale-time 3\n')
    expect(lab.bgp1.established(), 'a session ended that was not changed')
    lab.reflector.kill()
    wait_for(lambda: not lab.bgp1.established(), 15, 'the loss of the session')
    began = time.monotonic()
    expect(hops(lab, '10.2.0.0/24'), 'not kept')
    wait_for(lambda: '10.2.0.0/24' not in lab.pe1.ip('route', 'show', 'table', '10').stdout, 15,
             'the end of the stale time')
    seconds = time.monotonic() - began
    lab.reflector.start()
    lab.bgp1.reload(pe_config(lab, 1))
    wait_for(lambda: lab.bgp1.established() and lab.bgp2.established(), 60, 'sessions')
    converged(lab)
    expect(seconds > 2.5, f'deleted after {seconds:.1f} s')
    return f'deleted after {seconds:.1f} s'


def feed_restart(lab):
    """pewter-bgp of each PE in turn: SIGKILL, a second without it, a new one."""
    def labels():
        return [vrf['label'] for bgp in (lab.bgp1, lab.bgp2) for vrf in bgp.show()['vrfs']]

    before = labels()
    with Stream(lab) as stream:
        for bgp in (lab.bgp1, lab.bgp2):
            bgp.kill()
            time.sleep(1)
            bgp.start()
        wait_for(lambda: lab.bgp1.established() and lab.bgp2.established(), 60, 'sessions')
        swept(lab)
    expect(labels() == before, 'labels changed')
    pings(lab)
    return stream.nothing_lost()


def gone_meanwhile(lab):
    """A route that is withdrawn while pewter-bgp is away is deleted once the neighbour is done."""
    lab.pe2.ip('route', 'add', '10.77.0.0/24', 'table', '10', 'via', '10.2.0.2')
    wait_for(lambda: ('red', '10.77.0.0/24') in lab.bgp1.routes(), 10, 'the new route')
    lab.bgp1.kill()
    lab.pe2.ip('route', 'del', '10.77.0.0/24', 'table', '10')
    time.sleep(1)
    expect('10.77.0.0/24' in lab.pe1.ip('route', 'show', 'table', '10').stdout, 'not kept')
    lab.bgp1.start()
    wait_for(lambda: '10.77.0.0/24' not in lab.pe1.ip('route', 'show', 'table', '10').stdout,
             SWEEP + 30, 'the sweep')
    converged(lab)


def dataplane_restart(lab):
    """pewterd of PE1 is killed: its successor is given everything again."""
    lab.pe1.kill()
    began = time.monotonic()
    lab.pe1.start()
    ready = time.monotonic() - began
    wait_for(lambda: lab.nodes['red1'].ping('10.2.0.2', count=1, check=False).returncode == 0, 20,
             'forwarding')
    seconds = time.monotonic() - began
    pings(lab)
    return f'ready after {ready:.1f} s, forwarding after {seconds:.1f} s'


def refresh(lab):
    """RFC 2918: asking, without a new session."""
    injector, sessions = lab.injector, lab.bgp1.show()['neighbors'][0]['sessions']
    injector.rib('add', 'vpnv4', '10.99.0.0/24', 4000, '65000:93', '10.255.0.2',
                 target='65000:9')
    time.sleep(0.5)
    expect(('red', '10.99.0.0/24') not in lab.bgp1.routes(), 'imported, whatever its target is')
    # What no VRF imports is not kept: a new import target asks for everything.
    lab.bgp1.reload(pe_config(lab, 1, red='import 65000:9'))
    wait_for(lambda: hops(lab, '10.99.0.0/24') == ['10.255.0.2'], 10, 'the route to be sent again')
    lab.bgp1.reload(pe_config(lab, 1))
    wait_for(lambda: not hops(lab, '10.99.0.0/24'), 10, 'its end')
    injector.rib('del', 'vpnv4', '10.99.0.0/24', 4000, '65000:93', '', target='65000:9')
    expect(lab.bgp1.show()['neighbors'][0]['sessions'] == sessions, 'there was a new session')
    converged(lab)


def refreshed(lab):
    """RFC 2918: being asked, without a new session."""
    before = lab.bgp1.show()['neighbors'][0]
    lab.reflector.refresh()
    wait_for(lambda: lab.bgp1.show()['neighbors'][0]['updates_sent'] >=
             before['updates_sent'] + 4, 10, 'the answer to a route refresh')
    expect(lab.bgp1.show()['neighbors'][0]['sessions'] == before['sessions'],
           'there was a new session')
    converged(lab)


def bad_configuration(lab):
    """A file that is wrong is said and not used; then a guard that is missing costs the session
    (TCP MD5, RFC 5082), and nothing else."""
    lab.bgp1.reload(pe_config(lab, 1) + 'neighbour 192.0.2.2\n')
    wait_for(lambda: 'unknown statement "neighbour"; the old configuration stays' in
             lab.bgp1.tail(), 5, 'what is wrong')
    expect(lab.bgp1.established(), 'the session ended')
    with Stream(lab) as stream:
        lab.bgp1.reload(pe_config(lab, 1, neighbor=''))
        wait_for(lambda: not lab.bgp1.established(), 10, 'the end of the session')
        time.sleep(3)
        expect(not lab.bgp1.established(), 'a session without its guard')
        lab.bgp1.reload(pe_config(lab, 1))
        wait_for(lab.bgp1.established, 40, 'the session')
        converged(lab)
    return stream.nothing_lost()


def tunnel_key(lab):
    """RFC 9012: a PE whose tunnel has a key says so, and packets to it leave by that tunnel."""
    for number in (1, 2):
        pe = getattr(lab, f'pe{number}')
        pe.ip('link', 'add', 'gre9', 'type', 'gre', 'local', f'10.255.0.{20 + number}', 'ttl',
              '255', 'key', '9')
        pe.ip('link', 'set', 'gre9', 'mtu', '1572', 'up')
        getattr(lab, f'bgp{number}').reload(
            pe_config(lab, number).replace('tunnel gre1', 'tunnel gre9\ntunnel gre1'))
    try:
        wait_for(lambda: hops(lab, '10.2.0.0/24') == ['10.255.0.22'], 10, 'the keyed tunnel')
        shown = lab.pe1.ip('route', 'show', 'table', '10', '10.2.0.0/24').stdout
        expect(f'{red_label(lab)} via 10.255.0.22 dev gre9' in shown, shown)
        pings(lab)
    finally:
        for number in (1, 2):
            getattr(lab, f'bgp{number}').reload(pe_config(lab, number))
        wait_for(lambda: hops(lab, '10.2.0.0/24') == ['10.255.0.2'], 10, 'the plain tunnel')
        for number in (1, 2):
            getattr(lab, f'pe{number}').ip('link', 'del', 'gre9')
    converged(lab)


def terminated(lab):
    """SIGTERM ends it with status 0 and leaves forwarding alone."""
    with Stream(lab) as stream:
        for bgp in (lab.bgp1, lab.bgp2):
            bgp.process.terminate()
            status = bgp.process.wait(10)
            expect(status == 0, f'status {status}\n{bgp.tail()}')
        time.sleep(1)
    return stream.nothing_lost()


TESTS = [
    ('both PEs learn the other one\'s routes', converged),
    ('customers\' pings, IPv4 and IPv6, both ways', pings),
    ('each VPN to its own customer', delivery),
    ('a route comes and is withdrawn', withdraw),
    ('a label changes', label_change),
    ('a next hop moves', next_hop_move),
    ('two route distinguishers share the traffic', multipath),
    ('a PE that is not the best is known', known_pe),
    ('route refresh for a new import target', refresh),
    ('route refresh, asked by the reflector', refreshed),
    ('a tunnel with a key', tunnel_key),
    ('the reflector is killed and restarted', reflector_restart),
    ('the reflector hangs', reflector_hangs),
    ('the reflector stays away', stale_time),
    ('a configuration that is wrong, and one without its guard', bad_configuration),
    ('pewter-bgp is killed and restarted', feed_restart),
    ('a route goes while pewter-bgp is away', gone_meanwhile),
    ('pewterd is killed and restarted', dataplane_restart),
    ('pewter-bgp ends, forwarding goes on', terminated),
]


def local_restart(lab):
    """The PE's own speaker: SIGKILL, two seconds without it, a new one that knows nothing."""
    with Stream(lab) as stream:
        lab.local.kill()
        wait_for(lambda: not lab.bgp1.established(), 15, 'the loss of the session')
        time.sleep(2)
        lab.local.start()
        wait_for(lab.bgp1.established, 60, 'the session')
        swept(lab)
    pings(lab)
    return stream.nothing_lost()


LOCAL_TESTS = TESTS[:5] + [
    ('the PE\'s speaker is killed and restarted', local_restart),
    ('pewter-bgp is killed and restarted', feed_restart),
    ('pewter-bgp ends, forwarding goes on', terminated),
]


def local_config(lab):
    return re.sub(r'neighbor .*', 'listen 169.254.254.2:1790\n'
                  'neighbor 169.254.254.1 remote-as 65000 source 169.254.254.2', pe_config(lab, 1))


def local_lab(results, kind):
    """PE1 has a speaker of its own; PE2 is a client of the reflector, which is FRR's."""
    if not os.path.exists(kind.program) or not os.path.exists(Frr.program):
        print(f'skip {kind.name}: {kind.program} or {Frr.program} is not installed')
        return
    with Lab() as lab:
        topology(lab)
        lab.sweep = kind.sweep
        lab.reflector = Frr(lab.nodes['p'], ('192.0.2.1', '192.0.2.5')).start()
        lab.nodes['pe1'].ip('address', 'add', '169.254.254.1/30', 'dev', 'lo')
        for number in (1, 2):
            pe_start(lab, number)
        lab.local = kind(lab.nodes['pe1'], ()).start()
        lab.bgp1 = PeBgp(lab, 1, local_config(lab)).start()
        lab.bgp2 = PeBgp(lab, 2, pe_config(lab, 2)).start()
        check_all(results, lab, f'{kind.name} {lab.local.version()}', LOCAL_TESTS)


# ---- many routes -----------------------------------------------------------------------------

MANY = 100000


class BirdMany(Bird):
    """A reflector that has so many routes itself."""
    name = 'bird-many'
    label = 0

    def text(self):
        routes = ''.join(f'  route 65000:9 {20 + (n >> 16)}.{n >> 8 & 255}.{n & 255}.0/24 via '
                         f'10.255.0.2 mpls {self.label} '
                         '{ bgp_ext_community.add((rt, 65000, 1)); };\n' for n in range(MANY))
        return super().text() + ('protocol static {\n  vpn4 { table vpntab4; };\n'
                                 f'{routes}}}\n')


def many_routes(lab):
    last = MANY - 1
    address = f'{20 + (last >> 16)}.{last >> 8 & 255}.{last & 255}.1'
    lab.nodes['red2'].ip('address', 'add', f'{address}/32', 'dev', 'lo')
    lab.pe2.ip('route', 'add', '20.0.0.0/7', 'table', '10', 'proto', '99', 'via', '10.2.0.2')
    BirdMany.label = red_label(lab)
    # BIRD believes in a static route's gateway when it is in an interface's own prefix.
    lab.nodes['p'].ip('address', 'add', '10.255.0.254/24', 'dev', 'x')
    reflector = BirdMany(lab.nodes['p'], ('192.0.2.1', '192.0.2.5'))
    before = lab.bgp1.show()
    reflector.start()
    began = time.monotonic()

    def imported():
        return next(v['imported'] for v in lab.bgp1.show()['vrfs'] if v['vrf'] == 'red')

    def installed():
        shown = json.loads(lab.pe1.ctl('-j', 'show', 'vrfs').stdout)
        return next(v for v in shown if v.get('name') == 'red')['routes4']

    wait_for(lab.bgp1.established, 40, 'the session')
    session = time.monotonic() - began
    wait_for(lambda: imported() >= MANY and installed() >= MANY, 120, f'{MANY} routes')
    wait_for(lambda: lab.nodes['red1'].ping(address, count=1, check=False).returncode == 0, 20,
             'the last route')
    seconds = time.monotonic() - began
    after = lab.bgp1.show()
    expect(after['refused'] == before['refused'], f'{after["refused"]} routes were refused')
    return (f'{MANY} routes: session {session:.1f} s after the speaker\'s start, the last route '
            f'forwards {seconds:.1f} s after it')


def many_resync(lab):
    """pewter-bgp is killed: its successor reads what is there, and sends nothing twice."""
    lab.bgp1.kill()
    began = time.monotonic()
    lab.bgp1.start()
    wait_for(lambda: lab.bgp1.show()['pewterd'] == 'ready', 30, 'the dump')
    seconds = time.monotonic() - began
    wait_for(lab.bgp1.established, 40, 'the session')
    time.sleep(SWEEP + 5)
    show = lab.bgp1.show()
    expect(show['added'] == 0 and show['deleted'] == 0,
           f'{show["added"]} routes were added and {show["deleted"]} deleted')
    return f'{MANY} routes read in {seconds:.1f} s, none sent again'


def many_again(lab):
    """pewterd is killed: its successor is given everything."""
    lab.pe1.kill()
    lab.pe1.start()
    began = time.monotonic()

    def installed():
        shown = json.loads(lab.pe1.ctl('-j', 'show', 'vrfs').stdout)
        return next(v for v in shown if v.get('name') == 'red')['routes4']

    wait_for(lambda: installed() >= MANY, 60, f'{MANY} routes')
    return f'{MANY} routes {time.monotonic() - began:.1f} s after pewterd was ready'


def many_lab(results):
    if not os.path.exists(Bird.program):
        print(f'skip many: {Bird.program} is not installed')
        return
    with Lab() as lab:
        topology(lab)
        for number in (1, 2):
            pe_start(lab, number)
            setattr(lab, f'bgp{number}', PeBgp(lab, number, pe_config(lab, number)).start())
        check_all(results, lab, 'many', [
            ('routes of a BIRD that starts', many_routes),
            ('pewter-bgp starts again', many_resync),
            ('pewterd starts again', many_again),
        ])


def check_all(results, lab, label, tests):
    for name, function in tests:
        before = results.failed
        results.check(f'{label}: {name}', function, lab)
        if results.failed > before:
            for bgp in (lab.bgp1, lab.bgp2):
                print(f'      {bgp.path}\n' + bgp.tail())


def reflector_lab(results, kind):
    if not os.path.exists(kind.program):
        print(f'skip {kind.name}: {kind.program} is not installed')
        return
    with Lab() as lab:
        topology(lab)
        signed = ('192.0.2.1', '192.0.2.5')
        lab.neighbor = kind.guard
        lab.reflector = kind(lab.nodes['p'], ('192.0.2.1', '192.0.2.5', '192.0.2.17'),
                             signed).start()
        lab.injector = Injector(lab.nodes['x'], ('192.0.2.18',)).start()
        for number in (1, 2):
            pe_start(lab, number)
            setattr(lab, f'bgp{number}',
                    PeBgp(lab, number, pe_config(lab, number)).start())
        check_all(results, lab, f'{kind.name} {lab.reflector.version()}',
                  [test for test in TESTS if kind.refresh or test[1] is not refreshed])


def side_by_side(names):
    """Each lab in a process of its own: they mostly wait. The next one begins when the daemons of
    the one before are there, so that it sees what is left of the huge pages."""
    children, status = [], 0
    for name in names:
        child = subprocess.Popen([sys.executable, os.path.abspath(__file__), name],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        children.append((child, child.stdout.readline()))
    for child, line in children:
        print(line + child.communicate()[0], end='', flush=True)
        status |= child.returncode != 0
    return status


def main(words):
    results = Results()
    labs = {
        'frr': lambda: reflector_lab(results, Frr),
        'gobgp': lambda: reflector_lab(results, Gobgp),
        'bird': lambda: reflector_lab(results, Bird),
        'local-frr': lambda: local_lab(results, LocalFrr),
        'local-gobgp': lambda: local_lab(results, LocalGobgp),
        'local-bird': lambda: local_lab(results, LocalBird),
        'many': lambda: many_lab(results),
    }
    for word in words:
        labs[word]()
    return results.status()


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else side_by_side(('frr', 'gobgp', 'bird')))
