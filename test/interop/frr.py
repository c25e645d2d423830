# SPDX-License-Identifier: BSD-3-Clause
"""FRR's daemons in a namespace of a lab (test/lab/lab.py)."""
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'lab'))
from lab import expect, wait_for  # noqa: E402

FRR = '/usr/lib/frr'


def missing():
    """What is not installed, in words; None when everything is."""
    for program in ('zebra', 'ospfd', 'staticd'):
        if not os.access(os.path.join(FRR, program), os.X_OK):
            return f'no {FRR}/{program}: the package frr is not installed'
    return None if shutil.which('vtysh') else 'no vtysh'


def ospf(interface, address, redistribute, *networks):
    """What ospfd of a configuration needs: one neighbour, found in a second, lost in four."""
    return f'''
interface {interface}
 ip ospf hello-interval 1
 ip ospf dead-interval 4
 ip ospf network point-to-point
!
router ospf
 ospf router-id {address}
 timers throttle spf 0 50 200
 redistribute {redistribute}
''' + ''.join(f' network {network} area 0\n' for network in networks) + '!\n'


class Frr:
    """zebra and some other daemons with one configuration. FRR keeps to a folder of its own."""

    def __init__(self, node, configuration, daemons=('zebra', 'staticd'), modules=()):
        self.node, self.daemons, self.modules = node, daemons, modules
        self.folder = os.path.join(node.lab.folder, f'frr-{node.name}')
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(node.lab.folder, 0o755)
        self.processes = {}
        self.no_zebra = 'zebra' not in daemons
        with open(os.path.join(self.folder, 'frr.conf'), 'w') as file:
            file.write(configuration)

    def start(self):
        shutil.chown(self.folder, 'frr', 'frr')
        for daemon in self.daemons:
            self.start_one(daemon)
        return self

    def start_one(self, daemon):
        command = [os.path.join(FRR, daemon), '-f', os.path.join(self.folder, 'frr.conf'),
                   '-z', os.path.join(self.folder, 'zserv.api'), '--vty_socket', self.folder,
                   '-i', os.path.join(self.folder, f'{daemon}.pid'), '-A', '127.0.0.1', '-P', '0']
        if daemon == 'zebra':
            command += ['-s', '16000000']
            for module in self.modules:
                command += ['-M', module]
        if daemon == 'bgpd' and self.no_zebra:
            command.append('-Z')
        with open(self.log(daemon), 'a') as log:
            self.processes[daemon] = self.node.start(*command, '--log', 'stdout', stdout=log,
                                                     stderr=subprocess.STDOUT)
        socket = os.path.join(self.folder, f'{daemon}.vty')

        def up():
            expect(self.processes[daemon].poll() is None, f'{daemon} ended: {self.tail(daemon)}')
            return os.path.exists(socket)

        wait_for(up, 15, f'{daemon} to be up')

    def log(self, daemon):
        return os.path.join(self.folder, f'{daemon}.log')

    def tail(self, daemon):
        with open(self.log(daemon)) as log:
            return ''.join(log.readlines()[-15:])

    def vtysh(self, *commands, check=True):
        words = [word for command in commands for word in ('-c', command)]
        return self.node.run('vtysh', '--vty_socket', self.folder, *words, check=check).stdout

    def configure(self, *commands):
        return self.vtysh('configure terminal', *commands)

    def stop_one(self, daemon, signal=9):
        process = self.processes.pop(daemon)
        process.send_signal(signal)
        process.wait(15)
        for name in (f'{daemon}.vty', f'{daemon}.pid'):
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                os.unlink(path)

    def stop(self):
        for daemon in list(self.processes):
            self.stop_one(daemon, 15)


class Stream:
    """Packets from a node while something happens; what is lost is told by sequence number."""

    def __init__(self, node, address, interval=0.005):
        self.path = os.path.join(node.lab.folder, f'stream-{node.name}')
        with open(self.path, 'w') as file:
            self.child = node.start('ping', '-n', '-i', interval, address, stdout=file)
        time.sleep(0.5)

    def end(self):
        time.sleep(0.5)
        self.child.send_signal(2)
        self.child.wait(10)
        with open(self.path) as file:
            text = file.read()
        seen = {int(number) for number in re.findall(r'icmp_seq=(\d+) ttl=', text)}
        sent = int(re.search(r'(\d+) packets transmitted', text).group(1))
        # The last one may have been on its way when ping ended.
        lost = sorted(set(range(1, sent)) - seen)
        expect(not lost, f'{len(lost)} of {sent} packets lost: {lost[:20]}')
        return f'0 of {sent} packets lost'
