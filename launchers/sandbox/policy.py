"""The rules of one engine, from its command line and environment, for the shim that sets them."""

import marshal
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from launchers.environment import LIBRARY_PATH
from launchers.sandbox import folders
from launchers.sandbox.limits import Limits

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - of vLLM's workers, who make it themselves
NO_PATHS = frozenset(("PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME"))  # variables that name nothing to read
MODPROBE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """``scratch`` is for the engine's own files. ``confined``: only what it needs is allowed; else it gets
    those files and an environment without secrets. ``folders`` may be read, and programs in them executed,
    in addition; ``variables`` are passed on. ``unit`` is the launch whose unit of systemd it is to run in,
    ``None`` for a child of the daemon. Of ``limits`` a child gets those that a process has."""

    scratch: Path
    confined: bool = True
    folders: tuple[Path, ...] = ()
    variables: tuple[str, ...] = ()
    unit: str | None = None
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """TCP ports, ``None`` for any. An engine that connects to none can open no connection at all."""

    bind: tuple[int, ...] | None
    connect: tuple[int, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """What the shim sets. ``paths`` by a name of ``landlock.RIGHTS``. ``report``: it has a pipe to say why it
    could not. ``key``: it opens it for the engine as KEY_FILE."""

    confined: bool = True
    report: bool = False
    paths: Mapping[str, Sequence[str]] = field(default_factory=dict)
    network: Network = Network(())
    key: str | None = field(default=None, repr=False)
    memlock_bytes: int | None = None

    def open(self) -> BinaryIO:
        """As a file in memory, for the shim's standard input."""
        file = os.fdopen(os.memfd_create("rules"), "w+b")
        file.write(self._encoded())
        file.seek(0)
        return file

    def _encoded(self) -> bytes:
        bind, connect = self.network.bind, self.network.connect
        return marshal.dumps(
            {
                "confined": self.confined,
                "report": self.report,
                "key": self.key,
                "paths": {name: list(paths) for name, paths in self.paths.items()},
                "bind": None if bind is None else list(bind),
                "connect": None if connect is None else list(connect),
                "memlock_bytes": self.memlock_bytes,
            }
        )


def rules_for(
    argv: Sequence[str],
    environment: Mapping[str, str],
    sandbox: Sandbox,
    *,
    network: Network,
    writes: Iterable[str] = (),
    report: bool = False,
    key: str | None = None,
) -> Rules:
    """``environment`` is the engine's, ``writes`` what its options name to be written. Blocks."""
    if not sandbox.confined:
        return Rules(confined=False, report=report, key=key)
    values = [value for name, value in environment.items() if name not in NO_PATHS and not _is_mark(name)]
    named = _narrow(folders.named((*argv[1:], *values)), sandbox)
    libraries = map(Path, filter(None, environment.get(LIBRARY_PATH, "").split(":")))
    programs = _narrow((*folders.of_program(argv[0]), *libraries), sandbox)
    own = [environment[name] for name in ("HOME", "TMPDIR") if environment.get(name)]
    paths = {
        "execute": [*folders.PROGRAMS, *_texts((*programs, *sandbox.folders))],
        "read": [*folders.settings(), *folders.KERNEL, *_texts(chain(*map(folders.with_parts, named)))],
        "write": [SHARED_MEMORY, *own, *writes],
        "devices": [*folders.devices(), "/proc/self"],
    }
    memlock_bytes = None if sandbox.limits is None else sandbox.limits.memlock_bytes
    return Rules(report=report, paths=paths, network=network, key=key, memlock_bytes=memlock_bytes)


def load_nvidia_module() -> None:
    """CUDA has a setuid program make the node of its memory module, which an engine without privileges can't
    run: it is made before. Blocks."""
    tool = shutil.which("nvidia-modprobe")
    if tool and Path("/proc/driver/nvidia/version").exists() and not Path("/dev/nvidia-uvm").exists():
        with suppress(OSError, subprocess.TimeoutExpired):  # CUDA then says what is missing
            subprocess.run((tool, "-u", "-c", "0"), timeout=MODPROBE_TIMEOUT_S, check=False)


def _is_mark(name: str) -> bool:
    """Ours name the daemon's state folder."""
    return name.startswith("NODE_DAEMON_")


def _narrow(paths: Iterable[Path], sandbox: Sandbox) -> list[Path]:
    """Without folders that hold more than an engine needs: a binary may lie in somebody's home."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - a user of a container may have none
    homes = (home, sandbox.scratch)
    wide = {*homes, *(parent for home in homes for parent in home.parents)}
    return [path for path in paths if path.resolve() not in wide]


def _texts(paths: Iterable[Path]) -> list[str]:
    return list(dict.fromkeys(map(os.fspath, paths)))
