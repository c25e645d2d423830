# SPDX-License-Identifier: BSD-3-Clause
"""Debian's unmodified charon beside each pewterd, what the IKE tests look at, and how they run."""
import os
import re
import signal
import subprocess
import sys
import time

from lab import BUILD, Lab, Results, Skip, by_driver, expect, run, wait_for

CHARON = '/usr/sbin/charon-systemd'
DRIVERS = ['af_xdp', 'af_packet']
PLUGINS = ('random nonce openssl pem pkcs1 pkcs8 x509 pubkey constraints kdf hmac sha1 sha2 aes '
           'gcm chapoly gmp curve25519 drbg kernel-netlink socket-default vici')
STRONGSWAN_CONF = '''charon-systemd {
	load = %(plugins)s
	# routes are Pewter's business, and a tunnel's addresses are there already
	install_routes = no
	# reauthentication: the new SAs first
	make_before_break = yes
	# a dead peer is known after 0.5 + 0.75 + 1.1 + 1.7 seconds, not after three minutes
	retransmit_timeout = 0.5
	retransmit_base = 1.5
	retransmit_tries = 3
	%(options)s
	plugins {
		vici {
			socket = unix://%(socket)s
		}
	}
	filelog {
		main {
			path = %(log)s
			time_format = %%T
			flush_line = yes
			default = 1
			knl = 2
		}
	}
	syslog {
		daemon {
			default = -1
		}
		auth {
			default = -1
		}
	}
}
'''


def need_strongswan():
    if not os.path.exists(CHARON) or not os.path.exists('/usr/sbin/swanctl'):
        raise Skip('strongSwan is not installed (charon-systemd, strongswan-swanctl)')


def need_plugin(name, package):
    if not os.path.exists(f'/usr/lib/ipsec/plugins/libstrongswan-{name}.so'):
        raise Skip(f'strongSwan has no plugin {name} ({package})')


class Charon:
    """An IKE daemon of a PE: its SAs go to that PE's pewterd, its UDP is the kernel's."""

    def __init__(self, daemon, options='', plugins=''):
        lab = daemon.node.lab
        self.daemon, self.node = daemon, daemon.node
        self.folder = os.path.join(lab.folder, daemon.node.name + '-ike')
        os.makedirs(self.folder, exist_ok=True)
        self.socket = os.path.join(self.folder, 'vici')
        self.log = os.path.join(self.folder, 'log')
        self.config = os.path.join(self.folder, 'swanctl.conf')
        self.process = None
        with open(os.path.join(self.folder, 'strongswan.conf'), 'w') as file:
            file.write(STRONGSWAN_CONF % {'plugins': f'{PLUGINS} {plugins}', 'socket': self.socket,
                                          'log': self.log, 'options': options})
        self.environment = dict(os.environ, SWANCTL_DIR=self.folder,
                                STRONGSWAN_CONF=os.path.join(self.folder, 'strongswan.conf'))

    def start(self, seconds=20):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        words = open(os.path.join(self.folder, 'stderr'), 'a')
        self.process = self.node.start(
            os.path.join(BUILD, 'control', 'cli', 'pewter-run'), '-s', self.daemon.socket, '-P', 'xfrm', CHARON,
            env=self.environment, stdout=words, stderr=words)
        words.close()

        def ready():
            expect(self.process.poll() is None,
                   f'charon ended with {self.process.returncode}\n{self.tail()}')
            return os.path.exists(self.socket) and \
                self.swanctl('--stats', check=False).returncode == 0

        wait_for(ready, seconds, 'charon ready')
        return self

    def swanctl(self, command, *arguments, **options):
        return run('/usr/sbin/swanctl', command, '--uri', 'unix://' + self.socket, *arguments,
                   env=self.environment, **options)

    def load(self, text):
        with open(self.config, 'w') as file:
            file.write(text)
        return self.swanctl('--load-all', '--file', self.config, '--noprompt')

    def initiate(self, child='gre', check=True):
        """A packet may have asked for it before: then it is there."""
        done = self.swanctl('--initiate', '--child', child, '--timeout', '10', check=False)
        expect(not check or done.returncode == 0 or 'due to existing duplicate' in done.stdout,
               f'{self.socket}: no CHILD_SA {child}: {done.stdout}')
        return done

    def sas(self):
        return self.swanctl('--list-sas').stdout

    def children(self):
        """The CHILD_SAs as swanctl shows them: dictionaries."""
        found = []
        for part in re.split(r'\n  (?=\S+: #\d+, reqid)', self.sas())[1:]:
            number, state = re.match(r'\S+: #(\d+), reqid \d+, (\w+)', part).groups()
            one = {'number': int(number), 'state': state, 'text': part}
            for way in ('in', 'out'):
                m = re.search(rf'\n\s+{way}\s+(\w+)(?: \([^)]*\))?,\s+(\d+) bytes,\s+(\d+) packets'
                              r'(?:,\s+(\d+)s ago)?', part)
                if m:
                    one[way] = {'spi': int(m.group(1), 16), 'bytes': int(m.group(2)),
                                'packets': int(m.group(3)),
                                'ago': None if m.group(4) is None else int(m.group(4))}
            found.append(one)
        return found

    def installed(self):
        return [child for child in self.children() if child['state'] == 'INSTALLED']

    def tail(self, lines=40):
        text = ''
        for name in ('stderr', 'log'):
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                with open(path, errors='replace') as file:
                    text += ''.join(file.readlines()[-lines:])
        return text

    def said(self, pattern):
        with open(self.log, errors='replace') as file:
            return re.findall(pattern, file.read())

    def cpu_seconds(self):
        with open(f'/proc/{self.process.pid}/stat') as file:
            fields = file.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


def xfrm_states(daemon):
    """The SAs of a pewterd, from `ip xfrm state`."""
    found = []
    for part in re.split(r'(?m)^(?=src )', daemon.ip('-s', 'xfrm', 'state').stdout)[1:]:
        source, destination = re.match(r'src (\S+) dst (\S+)', part).groups()
        found.append({'src': source, 'dst': destination, 'text': part,
                      'spi': int(re.search(r'spi (0x\w+)', part).group(1), 16)})
    return found


class View:
    """What is on a node's interface while the block runs."""

    def __init__(self, node, interface):
        self.node, self.interface = node, interface
        self.file = os.path.join(node.lab.folder, f'{node.name}-{interface}.pcap')

    def __enter__(self):
        self.process = self.node.start('tcpdump', '--immediate-mode', '-U', '-ni', self.interface, '-w', self.file,
                                       stderr=subprocess.PIPE)
        while b'listening on' not in self.process.stderr.readline():
            expect(self.process.poll() is None, 'tcpdump ended')
        return self

    def __exit__(self, *_):
        time.sleep(0.3)
        self.process.terminate()
        self.process.wait(10)

    def count(self, words):
        done = subprocess.run(['tcpdump', '-nnr', self.file, words], capture_output=True, text=True)
        return len(done.stdout.splitlines())

    def sealed(self):
        """The number of packets with ESP; there must be some, and nothing else but IKE."""
        esp = self.count('ip proto 50 or (udp port 4500 and udp[8:4] != 0)')
        # "mpls" moves the offsets of what stands behind it, so it is asked apart.
        others = self.count('mpls') + self.count('ip6 and not icmp6 and not ip6 proto 0') + \
            self.count('ip and not ip proto 50 and not udp port 500 and not udp port 4500')
        expect(esp > 0, f'no ESP on {self.interface} of {self.node.name}')
        expect(others == 0, f'{others} packets on {self.interface} of {self.node.name} are neither ESP nor IKE')
        return esp


def connection(local, remote, **more):
    """A swanctl connection of a PE for one other, in the form that docs/ike.md shows."""
    values = {'name': 'pe', 'local': local, 'remote': remote, 'auth': 'psk', 'certs': '',
              'proposals': 'aes128gcm16-prfsha256-ecp256', 'esp': 'aes128gcm16-esn',
              'connection': '', 'child': '', 'start': 'none', 'local_id': local,
              'remote_id': remote, 'secret': 'of the test and of nobody else'}
    values.update(more)
    if values['auth'] == 'psk':
        values['secrets'] = '''secrets {
	ike-%(name)s {
		id-1 = %(local_id)s
		id-2 = %(remote_id)s
		secret = "%(secret)s"
	}
}
''' % values
    else:
        values['secrets'] = ''
    return '''connections {
	%(name)s {
		version = 2
		local_addrs = %(local)s
		remote_addrs = %(remote)s
		proposals = %(proposals)s
		%(connection)s
		local {
			auth = %(auth)s
			id = %(local_id)s
			%(certs)s
		}
		remote {
			auth = %(auth)s
			id = %(remote_id)s
		}
		children {
			gre {
				mode = transport
				local_ts = dynamic[gre]
				remote_ts = dynamic[gre]
				esp_proposals = %(esp)s
				start_action = %(start)s
				%(child)s
			}
		}
	}
}
%(secrets)s''' % values


def text_of(daemons, charons, lines=15):
    """What a lab's charons said last, and what its pewterds dropped."""
    return ''.join(f'--- charon {name}\n{charons[name].tail(lines)}--- drops {name}\n'
                   f'{daemons[name].ctl("show", "drops", check=False).stdout}' for name in charons)


def main(build, tests, report, of_ports=None, always=()):
    """Builds a lab for each driver and runs the tests in it: (name, function, argument...). The program's
    arguments are drivers, or words of the names of tests to run; the functions of always run with any words.
    The first driver has all tests, others those of of_ports; without these only the first is run."""
    results = Results()
    drivers = [word for word in sys.argv[1:] if word in DRIVERS]
    words = [word for word in sys.argv[1:] if word not in DRIVERS]
    if not of_ports:
        drivers, of_ports = drivers or DRIVERS[:1], [test[0] for test in tests]
    for driver, chosen in by_driver(drivers or DRIVERS, tests, of_ports):
        with Lab() as lab:
            try:
                need_strongswan()
                built = build(lab, driver)
            except Skip as why:
                print(f'skip {driver}: {why}', flush=True)
                continue
            except Exception as error:
                print(f'FAIL {driver}: the lab did not come up: {error}', flush=True)
                results.failed += 1
                continue
            for name, function, *arguments in chosen:
                if words and function not in always and not any(word in name for word in words):
                    continue
                before = results.failed
                results.check(f'{driver}: {name}', function, built, *arguments)
                if results.failed > before:
                    print(report(built), flush=True)
    return results.status()
