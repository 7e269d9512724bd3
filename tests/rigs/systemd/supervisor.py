"""The process that holds a box: makes its disk, boots it, as often as it reboots; ends with its stdin.

Usage: supervisor.py FOLDER [--show PATH]... [--copy SOURCE:TARGET]...
Prints a line of JSON for each boot: {"boot": 1, "leader": PID, "state": "running"}. All mounts are in its
own mount namespace, so nothing is left when it ends, even by kill -9; PID 1 of the box dies with it.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tty
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tests.rigs.systemd import disk, kernel, pid1

STATES = ("running", "degraded")


@dataclass
class Supervisor:
    folder: Path
    shown: tuple[Path, ...]
    copied: tuple[tuple[Path, str], ...]
    boots: int = 0
    outer: int | None = None
    leader: int | None = None
    cgroup: Path | None = None
    notify: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))

    def make(self) -> None:
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.make_mounts_private()
        kernel.mount("box", self.folder, "tmpfs", 0, "mode=755,size=8g")
        for part in ("upper", "work", "root", "host"):
            (self.folder / part).mkdir()
        upper = self.folder / "upper"
        disk.fill(upper)
        for source, target in self.copied:
            disk.copy(source, upper, target)
        layers = f"lowerdir=/,upperdir={upper},workdir={self.folder}/work"
        kernel.mount("box", self.folder / "root", "overlay", 0, layers)
        self.notify.bind(str(self.folder / "host/notify"))
        (self.folder / "host/notify").chmod(0o666)
        self.master, self.slave = os.openpty()  # the box's /dev/console
        tty.setraw(self.slave)

    def boot(self) -> None:
        self.boots += 1
        self.remove_cgroup()
        self.cgroup = kernel.cgroup2() / f"box-{os.getpid()}-{self.boots}"
        self.cgroup.mkdir()
        boot = pid1.Boot(self.folder / "root", self.folder / "host", self.cgroup, self.slave, self.shown)
        self.outer, self.leader = pid1.start(boot)

    def serve(self) -> str:
        """Until stdin ends or the box does; why."""
        assert self.outer is not None
        outer = os.pidfd_open(self.outer)
        with contextlib.closing(os.fdopen(outer, closefd=True)):
            while True:
                ready, _, _ = select.select([0, self.master, self.notify.fileno(), outer], [], [])
                if self.master in ready:
                    os.write(2, os.read(self.master, 65536))
                if self.notify.fileno() in ready and b"READY=1" in self.notify.recv(65536).splitlines():
                    self.tell_state()
                if outer in ready:
                    _, status = os.waitpid(self.outer, 0)
                    self.outer = self.leader = None
                    return pid1.ENDS.get(os.waitstatus_to_exitcode(status), "crash")
                if 0 in ready and not os.read(0, 4096):
                    return "told to end"

    def tell_state(self) -> None:
        command = [*enter(self.leader), "systemctl", "is-system-running", "--wait"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(
            json.dumps({"boot": self.boots, "leader": self.leader, "state": done.stdout.strip()}), flush=True
        )

    def remove_cgroup(self) -> None:
        if self.cgroup:
            kernel.remove_cgroup(self.cgroup)

    def end(self) -> None:
        if self.leader is not None and self.outer is not None:
            os.kill(self.leader, signal.SIGKILL)  # and with it its whole PID namespace
            os.waitpid(self.outer, 0)
        self.remove_cgroup()


def enter(leader: int | None) -> list[str]:
    """The command line that runs what follows it in the box of this PID 1."""
    return [
        "nsenter",
        "--target",
        str(leader),
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--cgroup",
        "--",
    ]


def prune() -> None:
    """Remove the cgroups of supervisors that were killed."""
    for cgroup in kernel.cgroup2().glob("box-*-*"):
        if not Path("/proc", cgroup.name.split("-")[1]).exists():
            kernel.remove_cgroup(cgroup)


def main() -> NoReturn:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--show", type=Path, action="append", default=[])
    parser.add_argument("--copy", action="append", default=[])
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a ^C is the test run's affair, which then closes our stdin
    prune()
    copied = tuple((Path(source), target) for source, target in (pair.split(":") for pair in options.copy))
    box = Supervisor(options.folder, tuple(options.show), copied)
    box.make()
    why = "reboot"
    try:
        while why == "reboot":
            box.boot()
            why = box.serve()
    finally:
        box.end()
    sys.exit(0 if why == "told to end" else f"the box ended: {why}")


if __name__ == "__main__":
    main()
