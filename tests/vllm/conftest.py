"""A daemon of its own, which knows the vLLM that ``make setup-vllm`` made."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.rigs import lent_ports

ROOT = Path(__file__).parents[2]
VLLM = ROOT / ".venv-vllm/bin/vllm"
MODELS = ROOT / ".cache/vllm-models"
READY_S = 240  # 25-60 s here; a machine that compiles at the same time takes longer


@dataclass(frozen=True)
class Daemon:
    process: subprocess.Popen[bytes]
    environ: dict[str, str]

    def ctl(self, *args: str) -> Any:
        """What node-ctl answers with --json. Fails the test with its words where it fails."""
        command = [sys.executable, "-m", "ctl.main", args[0], "--json", *args[1:]]
        done = subprocess.run(
            command, env=self.environ, capture_output=True, text=True, check=False, timeout=READY_S
        )
        assert done.returncode == 0, f"{args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def log(self, name: str) -> str:
        """What the engine of a launch said."""
        return (Path(self.environ["NODE_DAEMON_STATE_DIR"]) / "logs" / f"{name}.log").read_text()

    def launch(self, name: str) -> Any:
        return next(row for row in self.ctl("ps") if row["name"] == name)


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.2)


def session(leader: int) -> list[int]:
    """All processes of the session that this process leads or led."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):  # gone since, or no process
            continue
        if int(its_session) == leader and state != "Z":
            found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    assert VLLM.exists(), f"{VLLM} is missing: make setup-vllm"
    state = tmp_path_factory.mktemp("vllm")
    settings = {
        "STATE_DIR": state,
        "SOCKET": state / "socket",
        "MODELS_DIR": state / "models",
        "PORT_FIRST": lent_ports.block()[0],  # vLLM takes its port late: nobody else may have it meanwhile
        "PORT_LAST": lent_ports.block()[-1],
        "LISTEN": "off",
    }
    environ = os.environ | {f"NODE_DAEMON_{key}": str(value) for key, value in settings.items()}
    with (state / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.main"], env=environ, stdout=log, stderr=subprocess.STDOUT
        )
    wait_until((state / "socket").exists, "the daemon listens", 120)
    yield Daemon(process, environ)
    process.terminate()
    assert process.wait(60) == 0, (state / "daemon.log").read_text()[-4000:]
