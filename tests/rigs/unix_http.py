"""requests over a Unix socket, for tools that speak HTTP with it."""

import socket
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection


def session(path: Path, timeout_s: float = 120) -> requests.Session:
    """All requests to http://node-daemon go to the socket ``path``."""

    class Connection(HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout_s)
            self.sock.connect(str(path))

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class Adapter(HTTPAdapter):
        pool = Pool("node-daemon")

        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
            return self.pool

        def close(self) -> None:
            self.pool.close()
            super().close()

    made = requests.Session()
    made.mount("http://node-daemon", Adapter())
    return made
