"""node-ctl as a child process in a home of its own, and a fake daemon for it to talk to."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from domain.serialization import to_json
from tests.conftest import ROOT
from tests.ctl import answers
from tests.fakes.conversation import ConversationEngine
from tests.fakes.daemon_server import FakeDaemon, serving
from tests.rigs import forked


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
            "NODE_DAEMON_LISTEN": "off",  # tests at the same time would share one address
        }

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its environment becomes that of this process."""
        for name in [name for name in os.environ if name.startswith("NODE_DAEMON_")]:
            monkeypatch.delenv(name)
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)

    def argv(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "ctl.main", *args]

    def run(
        self, argv: list[str], *, stdin: bytes | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """``stdin`` is piped into it, else it has /dev/null."""
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env={**self.env, **env},
            capture_output=True,
            timeout=forked.WITHIN_S,
            check=False,
            **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}),
        )
        out, err = (text.decode().replace("\r\n", "\n") for text in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(argv, done.returncode, out, err)

    def __call__(
        self, *args: str, stdin: bytes | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        argv = self.argv(*args)
        if stdin is not None:
            return self.run(argv, stdin=stdin, **env)
        return subprocess.CompletedProcess(argv, *forked.node_ctl(args, {**self.env, **env}))


@pytest.fixture
def ctl(tmp_path: Path) -> Ctl:
    """node-ctl where no daemon runs."""
    return Ctl(tmp_path)


@pytest.fixture
def owner(ctl: Ctl) -> Iterator[Ctl]:
    """An owner of this very machine, with a real daemon on a socket of their own beside whatever is installed
    here."""
    ctl.env |= {
        "NODE_DAEMON_SYSROOT": "/",
        "NODE_DAEMON_SOCKET": str(ctl.home / "own.sock"),
        "NODE_DAEMON_OFFLINE": "1",
    }
    yield ctl
    ctl("shutdown")


@pytest.fixture
def daemon(ctl: Ctl) -> Iterator[FakeDaemon]:
    """A fake daemon on the socket that ``ctl`` finds."""
    socket = ctl.home / "d.sock"
    ctl.env["NODE_DAEMON_SOCKET"] = str(socket)
    with serving(socket) as fake:
        yield fake


@pytest.fixture
def engine(daemon: FakeDaemon) -> Iterator[ConversationEngine]:
    """``smol`` is served by it."""
    engine = ConversationEngine()
    thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    row = replace(answers.ROW, endpoint=f"http://127.0.0.1:{engine.server_port}")
    daemon.on("GET /v1/launches/smol", answers.DETAIL | {"launch": to_json(row)})
    daemon.on("GET /v1/launches", [to_json(row)])
    yield engine
    engine.shutdown()
    thread.join()
    engine.server_close()
