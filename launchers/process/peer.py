"""Who is at the other end of a Unix socket, as the kernel says: unix(7), SO_PEERCRED."""

import socket
import struct
from typing import NamedTuple

_UCRED = struct.Struct("3i")  # pid, uid, gid


class Credentials(NamedTuple):
    """``pid`` is 0 for a process of another PID namespace."""

    pid: int
    uid: int
    gid: int


def credentials(connection: socket.socket) -> Credentials:
    """Of the process that connected, or that listens. Raises: OSError."""
    return Credentials(
        *_UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    )
