"""One boot of a box: an outer process that makes the namespaces, and in them PID 1, which becomes systemd."""

import os
import signal
import socket
import stat
import traceback
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tests.rigs.systemd import kernel

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEMD = "/lib/systemd/systemd"

# How it ends. reboot(2): in a PID namespace a restart ends init with SIGHUP, power-off with SIGINT.
ENDS = {101: "reboot", 102: "poweroff"}


@dataclass(frozen=True, slots=True)
class Boot:
    root: Path  # the mounted overlay
    host: Path  # shown as /run/host; has the notify socket
    cgroup: Path
    console: int  # the slave side of a pty
    shown: tuple[Path, ...]  # of this machine, read-only at the same place


def start(boot: Boot) -> tuple[int, int]:
    """The pids of the outer process and, as seen from here, of the box's PID 1. Raises OSError."""
    reader, writer = os.pipe()
    outer = os.fork()
    if outer == 0:
        os.close(reader)
        _outer(boot, writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read().splitlines()
    if len(told) != 1:  # the pid alone; a traceback follows if PID 1 could not become systemd
        os.waitpid(outer, 0)
        raise OSError("the box's PID 1 could not be started:\n" + "\n".join(told))
    return outer, int(told[0])


def _outer(boot: Boot, tell: int) -> NoReturn:
    """Unshare, fork PID 1, wait for it, end as it ended."""
    try:
        kernel.die_with_parent(signal.SIGKILL)
        os.setsid()
        home = kernel.own_cgroup()
        (boot.cgroup / "cgroup.procs").write_text("0")
        kernel.unshare(kernel.NAMESPACES_OF_A_BOX)
        go_read, go_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(go_write)
            os.read(go_read, 1)
            _become_systemd(boot)
        # Only now may PID 1 go on: systemd must find no stranger in its cgroup, it could not move it away.
        (home / "cgroup.procs").write_text("0")
        os.write(tell, f"{pid}\n".encode())
        os.close(tell)
        os.close(go_write)
        _, status = os.waitpid(pid, 0)
        by_signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        os._exit({1: 101, 2: 102}.get(by_signal or 0, 103))  # SIGHUP, SIGINT
    except BaseException:  # noqa: BLE001 - a forked child must not run on in its parent's code; all is told
        os.write(tell, traceback.format_exc().encode())
    os._exit(103)


def _become_systemd(boot: Boot) -> NoReturn:
    kernel.die_with_parent(signal.SIGKILL)
    kernel.make_mounts_private()
    os.umask(0o022)
    _mount_proc_and_sys(boot)
    _fill_dev(boot)
    plain = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_STRICTATIME
    kernel.mount("tmpfs", boot.root / "run", "tmpfs", plain, "mode=755")
    kernel.mount("tmpfs", boot.root / "tmp", "tmpfs", plain, "mode=1777")
    (boot.root / "run/host").mkdir()
    kernel.bind(boot.host, boot.root / "run/host", read_only=True)
    for path in boot.shown:
        inside = boot.root / path.relative_to("/")
        inside.mkdir(parents=True, exist_ok=True)
        kernel.bind(path, inside, read_only=True)
    kernel.change_root(boot.root)
    socket.sethostname("box")
    kernel.drop_capabilities()
    console = os.open("/dev/console", os.O_RDWR | os.O_NOCTTY)
    for number in (0, 1, 2):
        os.dup2(console, number)  # every other descriptor is close-on-exec
    environment = {
        "container": "box",
        "NOTIFY_SOCKET": "/run/host/notify",
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
    }
    argv = ["systemd", "systemd.unit=multi-user.target", "systemd.show_status=yes"]
    os.execve(SYSTEMD, argv, environment)  # noqa: S606 - no shell is meant


def _mount_proc_and_sys(boot: Boot) -> None:
    root = boot.root
    plain = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", root / "proc", "proc", plain)
    # A boot id of its own for every boot: the journal and the daemon tell boots apart by it.
    boot_id = boot.host / "boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n")
    kernel.bind(boot_id, root / "proc/sys/kernel/random/boot_id", read_only=True)
    for name in ("sys", "sysrq-trigger", "irq", "bus", "fs"):  # the kernel's, not the box's
        if (root / "proc" / name).exists():
            kernel.bind(root / "proc" / name, root / "proc" / name, read_only=True)
    kernel.mount("sysfs", root / "sys", "sysfs", plain | kernel.MS_RDONLY)
    kernel.mount("cgroup2", root / "sys/fs/cgroup", "cgroup2", plain)


def _fill_dev(boot: Boot) -> None:
    dev = boot.root / "dev"
    kernel.mount("tmpfs", dev, "tmpfs", kernel.MS_NOSUID | kernel.MS_STRICTATIME, "mode=755,size=4m")
    for name, major, minor in (
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ):
        os.mknod(dev / name, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        (dev / name).chmod(0o666)
    for name, where in (
        ("fd", "/proc/self/fd"),
        ("stdout", "fd/1"),
        ("ptmx", "pts/ptmx"),
    ):
        (dev / name).symlink_to(where)
    for name, kind, data in (
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=620,gid=5"),
        ("shm", "tmpfs", "mode=1777"),
    ):
        (dev / name).mkdir()
        kernel.mount(kind, dev / name, kind, kernel.MS_NOSUID, data)
    (dev / "console").touch()
    kernel.mount(os.ttyname(boot.console), dev / "console", "", kernel.MS_BIND)
