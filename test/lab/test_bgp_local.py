# SPDX-License-Identifier: BSD-3-Clause
"""pewter-bgp with a BGP speaker on the PE itself, and with 100,000 routes: the labs of test_bgp.py
that its own run leaves out."""
import sys

from test_bgp import main, side_by_side

if __name__ == '__main__':
    sys.exit(side_by_side(('local-frr', 'local-gobgp', 'local-bird')) | main(('many',)))
