# SPDX-License-Identifier: BSD-3-Clause
"""The configurations that docs/bgp.md and docs/fpm.md show are those that the labs run."""
import os
import sys
import types

from lab import TOP, Results, expect

sys.path.insert(0, os.path.join(TOP, 'test', 'interop'))
import test_bgp  # noqa: E402
import test_frr_guest  # noqa: E402
import test_nht  # noqa: E402

LAB = types.SimpleNamespace(folder='/tmp')


def block(document, heading, first):
    """The indented lines below a heading, from the block that begins with a line."""
    with open(os.path.join(TOP, 'docs', document)) as file:
        lines = file.read().split(f'\n{heading}\n')[1].splitlines()
    start = lines.index('    ' + first)
    end = next(n for n in range(start, len(lines) + 1)
               if n == len(lines) or (lines[n] and not lines[n].startswith('    ')))
    return [line.strip() for line in lines[start:end] if line.strip()]


def words(text):
    return [' '.join(line.split()) for line in text.splitlines() if line.strip()]


def speaker(kind):
    """What a daemon of a lab is given, with one neighbour and no guard."""
    one = object.__new__(kind)
    one.neighbors, one.signed = ('192.0.2.1',), ()
    return words(one.text())


def same(shown, run):
    for number, (left, right) in enumerate(zip([*shown, ''], [*run, ''])):
        expect(' '.join(left.split()) == right,
               f'line {number + 1}: "{left}" is shown, "{right}" is run')


def part(shown, run):
    """Each line shown is run, in this order."""
    rest = iter(run)
    for line in shown:
        expect(' '.join(line.split()) in rest, f'"{line}" is not run, or not in this place')


def pe_commands():
    part(block('bgp.md', '## A PE', 'link set core up mtu 1600'),
         words(test_bgp.PE.format(**test_bgp.pe_values(LAB, 1))))


def pe_config():
    part(block('bgp.md', '## A PE', 'local-as 65000'),
         words(test_bgp.pe_config(LAB, 1, hold=30, neighbor='')))


def reflector(kind, heading, first):
    same(block('bgp.md', heading, first), speaker(kind))


def local():
    part(block('bgp.md', '## A speaker on the PE itself', 'local-as 65000'),
         words(test_bgp.local_config(LAB)))
    part(block('bgp.md', '## A speaker on the PE itself',
               'neighbor 169.254.254.2 remote-as 65000'), speaker(test_bgp.LocalFrr))


def next_hop_tracking():
    same(block('bgp.md', '## When a PE dies', 'router bgp 65000'), words(test_nht.SPEAKER))


def fpm():
    part(block('fpm.md', '### L3VPN', 'fpm address 127.0.0.1'),
         words(test_frr_guest.ZEBRA.replace('fpm address 192.168.100.2', 'fpm address 127.0.0.1')))


def main():
    results = Results()
    results.check('a PE\'s start-up file', pe_commands)
    results.check('a PE\'s pewter-bgp', pe_config)
    results.check('FRR', reflector, test_bgp.Frr, '### FRR 8.4.4', 'router bgp 65000')
    results.check('GoBGP', reflector, test_bgp.Gobgp, '### GoBGP 3.10', '[global.config]')
    results.check('BIRD', reflector, test_bgp.Bird, '### BIRD 2.0.12',
                  'router id 10.0.0.50;')
    results.check('a speaker on the PE', local)
    results.check('next-hop tracking', next_hop_tracking)
    results.check('FPM', fpm)
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
