"""Steps of an installation: what each is, whether it is needed, how it is done. And the paths involved."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.errors import NodeError

UNIT = "node-daemon.service"
USER = "node-daemon"
ENGINE_UNIT = "node-daemon-engine@.service"
ENGINE_UNITS = "node-daemon-engine@*.service"
SLICE = "system-nodedaemon.slice"
RULES = "node-daemon.rules"
BOOTED = Path("/run/systemd/system")  # sd_booted(3)
HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Target:
    """``prefix`` is the path of the environment as the service sees it, below ``root``."""

    root: Path
    prefix: Path

    def at(self, path: Path | str) -> Path:
        return self.root / str(path).lstrip("/")

    @property
    def running(self) -> bool:
        """Whether this is the running system, not a tree for packages or tests."""
        return self.root == Path("/")

    @property
    def unit(self) -> Path:
        return self.at(f"/etc/systemd/system/{UNIT}")

    @property
    def engine_unit(self) -> Path:
        return self.at(f"/etc/systemd/system/{ENGINE_UNIT}")

    @property
    def slice(self) -> Path:
        return self.at(f"/etc/systemd/system/{SLICE}")

    @property
    def units(self) -> tuple[Path, ...]:
        return self.unit, self.engine_unit, self.slice

    @property
    def rules(self) -> Path:
        """Of polkit, which reads them again when they change."""
        return self.at("/etc/polkit-1/rules.d/60-node-daemon.rules")

    @property
    def sysusers(self) -> Path:
        return self.at("/etc/sysusers.d/node-daemon.conf")

    @property
    def tmpfiles(self) -> Path:
        return self.at("/etc/tmpfiles.d/node-daemon.conf")

    @property
    def link(self) -> Path:
        return self.at("/usr/local/bin/node-ctl")

    @property
    def state(self) -> Path:
        return self.at("/var/lib/node-daemon")

    def tool(self, name: str, *args: str) -> list[str]:
        """The command of a systemd tool for this tree."""
        return [name, *([] if self.running else [f"--root={self.root}"]), *args]


@dataclass(frozen=True, slots=True)
class Step:
    what: str
    needed: Callable[[], bool]
    do: Callable[[], None]


def run_all(steps: Sequence[Step], *, dry_run: bool) -> list[tuple[str, bool]]:
    """What each step is, and whether it was needed. Raises: NodeError; completed steps stay completed."""
    if dry_run:
        return [(step.what, step.needed()) for step in steps]
    if os.geteuid() != 0:
        raise NodeError(
            "this command needs root",
            hint=f"sudo {shlex.join([str(Path(sys.argv[0]).absolute()), *sys.argv[1:]])}",
        )
    done = []
    for step in steps:
        needed = step.needed()
        if needed:
            step.do()
        done.append((step.what, needed))
    return done


def packaged_file(name: str) -> str:
    """A file of systemd/, from the source tree or the installed distribution."""
    for folder in (HERE / "units", HERE.parent / "systemd"):
        if (folder / name).is_file():
            return (folder / name).read_text()
    raise NodeError(f"{name} is missing from this installation", hint="install node-daemon again")


def run(argv: Sequence[str], *, user: str | None = None) -> str:
    """Standard output. Raises: NodeError with the last lines of the command."""
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=user,
            group=user,
            extra_groups=[] if user else None,
            env={} if user else None,
        )
    except FileNotFoundError as error:
        raise NodeError(f"{argv[0]} is not installed", hint="the service needs systemd") from error
    except PermissionError as error:
        raise NodeError(f"{user or 'root'} has no permission to run {argv[0]}") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise NodeError(f"{shlex.join(argv[:3])} failed (exit {done.returncode}): {' | '.join(lines)}")
    return str(done.stdout)


def output_of(argv: Sequence[str]) -> str:
    """What a command prints, whatever its exit status; empty where it is not installed."""
    if shutil.which(argv[0]) is None:
        return ""
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def require_systemd(hint: str) -> None:
    """Raises: NodeError where systemd is not running."""
    if not BOOTED.is_dir():
        raise NodeError("systemd is not running on this machine", hint=hint)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.chmod(0o644)
    temporary.replace(path)


def differs(path: Path, text: str) -> bool:
    return not path.is_file() or path.read_text() != text


def user_exists(target: Target, name: str = USER) -> bool:
    passwd = target.at("/etc/passwd")
    return passwd.is_file() and f"\n{name}:" in f"\n{passwd.read_text()}"
