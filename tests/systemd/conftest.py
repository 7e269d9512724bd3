"""A box with the service installed in it, as an owner would, and the weights already there."""

import json
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.systemd.box import ROOT, Box, wait_until

CTL = ROOT / ".venv/bin/node-ctl"
UNIT = "node-daemon.service"
ENGINE = "node-daemon-engine@{}.service"
GROUPS = "/sys/fs/cgroup/system.slice/system-nodedaemon.slice/*/cgroup.procs"
HERE = Path(__file__).parent
WEIGHTS = "/srv/weights.gguf"  # the box has no network


@dataclass
class Service:
    box: Box

    def ctl(self, *args: str) -> Any:
        """What the installed node-ctl answers with --json."""
        return json.loads(self.box.run("node-ctl", *args, "--json"))

    def as_user(self, user: str, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.box.attempt("runuser", "--login", user, "-c", shlex.join(argv))

    def install(self, *args: str, sudo_user: str = "owner") -> Sequence[dict[str, Any]]:
        told = self.box.run(CTL, "service", "install", *args, "--json", env={"SUDO_USER": sudo_user})
        return json.loads(told)["steps"]

    def pid(self) -> int:
        return int(self.box.property(UNIT, "MainPID"))

    def processes(self) -> set[int]:
        """All of the service's user and of its engines' units: the daemon and whatever it left."""
        own = self.box.run("pgrep", "-u", "node-daemon", check=False)
        return {int(pid) for pid in (own + self.box.run("sh", "-c", f"cat {GROUPS}", check=False)).split()}

    def engines(self) -> set[int]:
        """Those that serve a launch. A daemon that starts also asks the build for its version and devices."""
        serving = "^[^ ]*llama-server .*--alias "
        return {int(pid) for pid in self.box.run("pgrep", "-f", serving, check=False).split()}

    def launch(self, name: str) -> Any:
        return next((row for row in self.ctl("ps") if row["name"] == name), None)

    def wait_until_ready(self, name: str) -> Any:
        """As node-ctl shows it then. Until then the daemon is asked directly: starting a node-ctl for each
        look would take CPU time from the launch."""

        def ready() -> bool:
            try:
                rows = self.rows()
            except (OSError, HTTPException):  # not up yet
                return False
            row = next((row for row in rows if row["name"] == name), None)
            assert row is None or row["state"] != "failed", row
            return row is not None and row["state"] == "ready"

        wait_until(ready, f"{name} is ready", timeout_s=120)
        assert self.box.property(UNIT, "ActiveState") == "active"
        return self.launch(name)

    def rows(self) -> list[dict[str, Any]]:
        """What the daemon answers on its socket. Raises OSError, HTTPException."""
        with closing(HTTPConnection("daemon")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(10)
            connection.sock.connect(str(self.box.path("/run/node-daemon/node-daemon.sock")))
            connection.request("GET", "/v1/launches")
            return json.load(connection.getresponse())

    def chat(self, row: Any) -> str:
        """What a launch answers at its endpoint."""
        question = [{"role": "user", "content": "Name the capital of France."}]
        body = {"model": row["name"], "messages": question, "max_tokens": 20, "temperature": 0}
        code = (
            "import json,sys,urllib.request as u\n"
            "r = u.Request(sys.argv[1] + '/v1/chat/completions', sys.argv[2].encode(),"
            " {'Content-Type': 'application/json'})\n"
            "print(json.load(u.urlopen(r, timeout=60))['choices'][0]['message']['content'])"
        )
        return self.box.run("/usr/bin/python3", "-c", code, row["endpoint"], json.dumps(body))


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("systemd") / "box"
    folder.mkdir()
    assert os.geteuid() == 0, "a box needs root: sudo make test"
    with Box(folder, [(smollm2, WEIGHTS)]) as box:
        for user in ("owner", "stranger"):
            box.run("useradd", "--create-home", "--shell", "/bin/bash", user)
        yield box


@pytest.fixture(scope="module")
def service(box: Box) -> Service:
    return Service(box)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A box is one machine: the tests of a module are what happens to it, in the order in which they are
    written. Modules stay where the random order has put them."""
    places: dict[Path, list[int]] = {}
    for place, item in enumerate(items):
        if item.path.parent == HERE:
            places.setdefault(item.path, []).append(place)
    for own in places.values():
        written = sorted((items[place] for place in own), key=lambda item: item.location[1] or 0)
        for place, item in zip(own, written, strict=True):
            items[place] = item
