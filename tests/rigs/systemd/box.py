"""What a test sees of a box: boot it, run commands in it, reboot it, throw it away."""

import json
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.rigs.systemd.pid1 import PATH
from tests.rigs.systemd.supervisor import enter

ROOT = Path(__file__).resolve().parents[3]
BOOT_TIMEOUT_S = 240


@dataclass
class Box:
    """``folder`` is an empty one to mount on; ``copied`` are (source, path in the box) pairs."""

    folder: Path
    copied: Sequence[tuple[Path, str]] = ()
    boots: int = 0
    leader: int = 0
    state: str = ""

    def __enter__(self) -> Self:
        self.console = self.folder.parent / f"{self.folder.name}-console.log"
        command = [
            sys.executable,
            "-m",
            "tests.rigs.systemd.supervisor",
            str(self.folder),
            "--show",
            str(ROOT),
        ]
        command += [f"--copy={source}:{target}" for source, target in self.copied]
        with self.console.open("w") as console:
            self.supervisor = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=console, text=True
            )
        self.wait_for_boot()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.supervisor.stdin is not None
        assert self.supervisor.stdout is not None
        self.supervisor.stdin.close()
        self.supervisor.wait(BOOT_TIMEOUT_S)
        self.supervisor.stdout.close()

    def wait_for_boot(self) -> None:
        assert self.supervisor.stdout is not None
        ready, _, _ = select.select([self.supervisor.stdout], [], [], BOOT_TIMEOUT_S)
        line = self.supervisor.stdout.readline() if ready else ""
        assert line, f"the box did not boot:\n{self.console.read_text()[-4000:]}"
        told = json.loads(line)
        self.boots, self.leader, self.state = told["boot"], told["leader"], told["state"]

    def reboot(self) -> None:
        """In an orderly way, as ``systemctl reboot`` does it; returns when the next boot is over."""
        before = self.boots
        self.run("systemctl", "reboot")
        while self.boots == before:  # a reload of the manager says that it is ready, too
            self.wait_for_boot()

    def run(
        self, *argv: str | Path, check: bool = True, env: dict[str, str] | None = None, timeout_s: float = 120
    ) -> str:
        """What it prints on standard output; fails the test when it fails, unless ``check`` is False."""
        done = self.attempt(*argv, env=env, timeout_s=timeout_s)
        what = shlex.join(map(str, argv))
        assert done.returncode == 0 or not check, f"{what}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def attempt(
        self,
        *argv: str | Path,
        env: dict[str, str] | None = None,
        timeout_s: float = 120,
        typed: str = "",
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*enter(self.leader), *map(str, argv)],
            check=False,
            env={"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root", "SYSTEMD_PAGER": "", **(env or {})},
            input=typed,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def path(self, inside: str) -> Path:
        """Where a file of the box can be read from outside."""
        return Path(f"/proc/{self.leader}/root", inside.lstrip("/"))

    def property(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)
