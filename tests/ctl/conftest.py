"""node-ctl as a child process in a home of its own, and a fake daemon for it to talk to."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes.daemon_server import FakeDaemon, serving


class Ctl:
    """Runs node-ctl with an environment in which nothing of this machine's user is seen."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.sysroot = home / "root"
        self.sysroot.mkdir()
        self.env: dict[str, str] = {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),  # a socket's path has at most 107 bytes
            "PATH": os.environ["PATH"],
            "NODE_DAEMON_SYSROOT": str(self.sysroot),
            "COLUMNS": "100",
        }

    def argv(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "ctl.main", *args]

    def run(self, argv: list[str], **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=ROOT,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.argv(*args), **env)


@pytest.fixture
def ctl(tmp_path: Path) -> Ctl:
    """node-ctl where no daemon runs."""
    return Ctl(tmp_path)


@pytest.fixture
def daemon(ctl: Ctl) -> Iterator[FakeDaemon]:
    """A fake daemon on the socket that ``ctl`` finds."""
    socket = ctl.home / "d.sock"
    ctl.env["NODE_DAEMON_SOCKET"] = str(socket)
    with serving(socket) as fake:
        yield fake
