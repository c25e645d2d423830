# SPDX-License-Identifier: BSD-3-Clause
"""Labs of network namespaces, wires and pewterd daemons, and how their tests report.

Namespaces are called pw-PID-NODE, so labs run side by side; a lab takes itself down however
its program ends. PW_BUILD names the build folder (build/release).
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('PW_BUILD') or os.path.join(TOP, 'build', 'release')
EXAMPLES = os.path.join(TOP, 'docs', 'examples')


class Skip(Exception):
    """This test cannot run here; says why."""


class Results:
    """Prints the line of each test, counts what failed."""

    def __init__(self):
        self.failed = 0

    def check(self, name, function, *arguments):
        try:
            said = function(*arguments)
        except Skip as why:
            print(f'skip {name}: {why}', flush=True)
        except Exception as error:  # whatever it is, the test failed
            self.failed += 1
            lines = str(error).strip().splitlines() or ['']
            print(f'FAIL {name}: {type(error).__name__}: {lines[0]}', flush=True)
            for line in lines[1:]:
                print(f'      {line}')
        else:
            print(f'ok {name}' + (f' ({said})' if said else ''), flush=True)

    def status(self):
        return 1 if self.failed else 0


def by_driver(drivers, tests, of_ports):
    """(driver, its tests): the first driver has them all, the others those with these names, in
    which a port has a part; what is behind the port is the same code."""
    unknown = set(of_ports) - {test[0] for test in tests}
    expect(not unknown, f'no such tests: {unknown}')
    for driver in drivers:
        yield driver, [test for test in tests if driver == drivers[0] or test[0] in of_ports]


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def wait_for(condition, seconds=10.0, what='the condition', interval=0.05):
    """Polls until condition() is true; returns what it returned."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'{what}: not within {seconds} s')
        time.sleep(interval)


def run(*command, check=True, timeout=60, **options):
    """A command's CompletedProcess, with its output as text (stderr with it)."""
    done = subprocess.run([str(word) for word in command], stdin=options.pop('stdin', subprocess.DEVNULL)
                          if 'input' not in options else None, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout, **options)
    if check and done.returncode != 0:
        words = ' '.join(str(word) for word in command)
        raise AssertionError(f'{words}: status {done.returncode}\n{done.stdout}')
    return done


class Node:
    """A network namespace."""

    def __init__(self, lab, name):
        self.lab, self.name, self.ns = lab, name, f'pw-{os.getpid()}-{name}'
        run('ip', 'netns', 'add', self.ns)
        self.run('sysctl', '-qw', 'net.ipv6.conf.all.accept_dad=0',
                 'net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.default.accept_ra=0')
        self.ip('link', 'set', 'lo', 'up')

    def run(self, *command, **options):
        return run('ip', 'netns', 'exec', self.ns, *command, **options)

    def ip(self, *arguments, **options):
        return run('ip', '-n', self.ns, *arguments, **options)

    def start(self, *command, **options):
        """A process that the lab ends when it is taken down."""
        options.setdefault('stdout', subprocess.DEVNULL)
        options.setdefault('stderr', subprocess.DEVNULL)
        child = subprocess.Popen(['ip', 'netns', 'exec', self.ns, *[str(w) for w in command]],
                                 stdin=subprocess.DEVNULL, **options)
        self.lab.children.append(child)
        return child

    def ping(self, address, *options, count=3, check=True, **more):
        """With check every single packet must be answered, however busy the machine is. For the
        last answers ping waits no longer than twice the worst round trip; the kernel counts those
        that come later too."""
        counter = 'Icmp6InEchoReplies' if ':' in address else 'IcmpInEchoReps'
        before = self.snmp()[counter] if check else 0
        done = self.run('ping', '-n', '-c', count, '-i', '0.05', '-W', '5' if check else '1',
                        *options, address, check=False, **more)
        if check and ' 0% packet loss' not in done.stdout:
            wait_for(lambda: self.snmp()[counter] - before >= count, 5,
                     f'{self.name}: ping {address} {" ".join(options)}\n{done.stdout}')
        return done

    def snmp(self):
        """The kernel's counters of IP, ICMP, UDP, as {'IcmpInEchos': n, 'Icmp6InEchos': n}."""
        counters = {}
        lines = self.run('cat', '/proc/net/snmp').stdout.splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            prefix = names.split(':')[0]
            for name, value in zip(names.split()[1:], values.split()[1:]):
                counters[prefix + name] = int(value)
        for line in self.run('cat', '/proc/net/snmp6').stdout.splitlines():
            name, value = line.split()
            counters[name] = int(value)
        return counters

    def mac(self, interface):
        text = self.ip('link', 'show', 'dev', interface).stdout
        return re.search(r'link/ether (\S+)', text).group(1)


class Daemon:
    """A pewterd in a node. Its log goes to a file that is printed when something fails."""

    def __init__(self, node, ports, batch=(), options=(), cpu=0, build=BUILD):
        self.node, self.ports, self.cpu, self.build = node, list(ports), cpu, build
        self.batch, self.options = list(batch), list(options)
        self.socket = os.path.join(node.lab.folder, node.name + '.sock')
        self.log = os.path.join(node.lab.folder, node.name + '.log')
        self.process = None

    def start(self, seconds=30):
        command = [os.path.join(self.build, 'pewterd'), '-s', self.socket, '-w', str(self.cpu)]
        for port in self.ports:
            command += ['-p', port]
        for path in self.batch:
            command += ['-f', path]
        if not self.node.lab.hugepages:
            command.append('--no-huge')
        with open(self.log, 'w') as log:
            self.process = self.node.start(*command, *self.options, stdout=log, stderr=log)

        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f'pewterd ended with {self.process.returncode}\n{self.tail()}')
            return 'ready: ' in self.tail()

        try:
            wait_for(ready, seconds, 'pewterd ready')
        except AssertionError as error:
            raise AssertionError(f'{error}\n{self.tail()}') from None
        return self

    def tail(self, lines=25):
        with open(self.log) as log:
            return ''.join(log.readlines()[-lines:])

    def ip(self, *arguments, **options):
        return run(os.path.join(self.build, 'control', 'cli', 'pewter-run'), '-s', self.socket, 'ip', *arguments,
                   **options)

    def ctl(self, *arguments, **options):
        return run(os.path.join(self.build, 'control', 'cli', 'pewterctl'), '-s', self.socket, *arguments, **options)

    def drop(self, name):
        """The counter of a drop reason."""
        for entry in json.loads(self.ctl('-j', 'show', 'drops').stdout):
            if entry['name'] == name:
                return entry['packets']
        return 0

    def stop(self, seconds=15):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def alive(self):
        return self.process.poll() is None

    def cpu_seconds(self):
        with open(f'/proc/{self.process.pid}/stat') as file:
            fields = file.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Lab:
    def __init__(self):
        if os.getuid() != 0:
            print('skip all: needs root')
            sys.exit(0)
        self.folder = tempfile.mkdtemp(prefix='pw-lab-')
        self.nodes, self.children, self.daemons = {}, [], []
        with open('/proc/meminfo') as file:
            free = int(re.search(r'HugePages_Free:\s+(\d+)', file.read()).group(1))
        self.hugepages = free >= 512
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def node(self, name):
        self.nodes[name] = Node(self, name)
        return self.nodes[name]

    def wire(self, a, a_name, b, b_name, mtu=1500):
        """A veth pair, up, with checksums filled in by the sender."""
        run('ip', 'link', 'add', a_name, 'netns', a.ns, 'type', 'veth', 'peer', 'name', b_name,
            'netns', b.ns)
        for node, name in ((a, a_name), (b, b_name)):
            node.run('ethtool', '-K', name, 'tx', 'off', 'txvlan', 'off')
            node.ip('link', 'set', name, 'mtu', mtu, 'up')

    def write(self, name, text):
        """A file in the lab's folder; returns its path."""
        path = os.path.join(self.folder, name)
        with open(path, 'w') as file:
            file.write(text)
        return path

    def daemon(self, node, ports, **options):
        daemon = Daemon(node, ports, **options)
        self.daemons.append(daemon)
        return daemon.start()

    def close(self):
        for signum in (signal.SIGTERM, signal.SIGKILL):
            running = [child for child in self.children if child.poll() is None]
            for child in running:
                child.send_signal(signum)
            for child in running:
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    pass
        for node in self.nodes.values():
            run('ip', 'netns', 'del', node.ns, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


# ---- one PE, one customer ------------------------------------------------------------------

def tunnel_batch(local, remote):
    """The start-up file of a PE with a customer at port ce, whose other site is behind a GRE tunnel
    that ends at remote, and has label 200 there."""
    return f'''link set core up
address add {local}/32 dev lo
route add {remote}/32 via 192.0.2.2
link add gre1 type gre local {local} remote {remote} ttl 64
link set gre1 up
link add cust type vrf table 10
link set cust up
link set ce master cust up
address add 10.1.0.1/24 dev ce
route add 10.2.0.0/24 table 10 encap mpls 200 dev gre1
'''


# ---- the topology of scripts/quickstart ----------------------------------------------------

def customer(node, site, interface='eth0'):
    node.ip('address', 'add', f'10.{site}.0.2/24', 'dev', interface)
    node.ip('address', 'add', f'2001:db8:{site}::2/64', 'dev', interface, 'nodad')
    node.ip('route', 'add', 'default', 'via', f'10.{site}.0.1')
    node.ip('route', 'add', 'default', 'via', f'2001:db8:{site}::1')


def core(p):
    p.ip('address', 'add', '192.0.2.2/30', 'dev', 'pe1')
    p.ip('address', 'add', '192.0.2.6/30', 'dev', 'pe2')
    p.ip('route', 'add', '10.255.0.1/32', 'via', '192.0.2.1')
    p.ip('route', 'add', '10.255.0.2/32', 'via', '192.0.2.5')
    p.run('sysctl', '-qw', 'net.ipv4.ip_forward=1')


def example(number, sealed=False):
    """The start-up files of a PE of the demo."""
    kinds = ('xfrm', 'batch', 'mpls') if sealed else ('batch', 'mpls')
    return [os.path.join(EXAMPLES, f'pe{number}.{kind}') for kind in kinds]


def l3vpn(lab, driver, options=(), build=BUILD, sealed=False):
    """Two PEs, a plain Linux core, two customers with the same addresses; returns the nodes.
    Sealed: with the policies of IPsec, and without keys yet."""
    for name in ('red1', 'blue1', 'pe1', 'p', 'pe2', 'red2', 'blue2'):
        lab.node(name)
    nodes = lab.nodes
    for number in (1, 2):
        pe = nodes[f'pe{number}']
        lab.wire(pe, 'core', nodes['p'], f'pe{number}', 1600)
        for colour in ('red', 'blue'):
            lab.wire(pe, f'ce-{colour}', nodes[f'{colour}{number}'], 'eth0')
            customer(nodes[f'{colour}{number}'], number)
    core(nodes['p'])
    nodes['blue2'].ip('address', 'add', '10.99.0.1/32', 'dev', 'lo')
    ports = [f'{name}={driver}:{name}' for name in ('core', 'ce-red', 'ce-blue')]
    for number in (1, 2):
        daemon = lab.daemon(nodes[f'pe{number}'], ports, options=options, build=build,
                            cpu=(number - 1) % os.cpu_count(),
                            batch=example(number, sealed))
        setattr(lab, f'pe{number}', daemon)
    return nodes
