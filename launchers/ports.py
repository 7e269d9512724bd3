"""Finds a free port on the loopback."""

import socket
from collections.abc import Collection

from domain.errors import BusyError

LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether an engine could listen there. Closed connections in TIME_WAIT are ignored, as engines do."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)  # SO_REUSEADDR lets bind() succeed beside another bound socket, but not listen()
        except OSError:
            return False
    return True


def free_port(low: int, high: int, *, taken: Collection[int] = ()) -> int:
    """The lowest free port of ``low..high`` that isn't in ``taken``. Raises: BusyError."""
    for port in range(low, high + 1):
        if port not in taken and is_free(port):
            return port
    raise BusyError(f"no free port between {low} and {high}", hint="set port_last higher, or stop a model")
