"""Ports of the loopback that belong to this process: no other run of tests on this machine gets them.

A block of ports is lent by an abstract socket of its name (unix(7)). The kernel binds a name once, keeps
such names by network namespace as it does ports, and takes them back when the process ends, however it ends.
"""

import atexit
import socket
from collections.abc import Collection
from functools import cache

from launchers import ports

FIRST, LAST = 20000, 29999  # below net.ipv4.ip_local_port_range, from which clients get theirs
BLOCK = 100
NAME = "\0node-daemon-tests-port-{}"


@cache
def block() -> range:
    """The ports of this process, the same ones at every call."""
    for first in range(FIRST, LAST + 1, BLOCK):
        lease = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lease.bind(NAME.format(first))
        except OSError:  # another process has this block
            lease.close()
            continue
        atexit.register(lease.close)
        return range(first, first + BLOCK)
    raise AssertionError(f"all ports of {FIRST}-{LAST} are lent")


def free(*, taken: Collection[int] = ()) -> int:
    """A port of the block on which nothing listens: an earlier test's engine may not have ended yet."""
    return ports.free_port(block()[0], block()[-1], taken=taken)
