"""The environment of the service: this program and its dependencies, copied to where its user can read them.

A clone in a home directory (mode 0700) is not readable for the user of the service, and a service that runs
from a clone changes with each `git pull`. Needs no network: files are copied, and a Python of the same
version is linked.
"""

import compileall
import hashlib
import importlib.util
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ctl.service.steps import USER, Target, run, write
from domain.errors import NodeError

ROOMS = ("domain", "planner", "probes", "catalog", "launchers", "config", "daemon", "ctl")
EXTRAS = ("llama-cpp",)
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
# Contains the digest of what was copied; a folder without it is never removed.
STAMP = "copied-by-node-ctl"
UNFINISHED = "not complete\n"
SCRIPTS = {"node-daemon": "daemon.main", "node-ctl": "ctl.main"}
SCRIPT = "#!{prefix}/bin/python\nimport sys\n\nfrom {module} import run\n\nsys.exit(run())\n"


def runs_from(target: Target) -> bool:
    """Whether this program is the one that the service runs."""
    return Path(sys.prefix).resolve() == target.at(target.prefix).resolve()


def is_current(target: Target) -> bool:
    stamp = target.at(target.prefix) / STAMP
    return stamp.is_file() and stamp.read_text() == digest(target)


def is_ours(target: Target) -> bool:
    return (target.at(target.prefix) / STAMP).is_file()


def digest(target: Target) -> str:
    """Of names, sizes and times of all files to copy, and of what else the environment consists of."""
    hashed = hashlib.sha256(f"{interpreter()} {target.prefix} {SCRIPT}".encode())
    for source, name in sorted(files(), key=lambda pair: pair[1]):
        stat_result = source.stat()
        hashed.update(f"{name} {stat_result.st_size} {stat_result.st_mtime_ns}\n".encode())
    return hashed.hexdigest()


def copy(target: Target) -> None:
    """Builds it beside, tests it, and moves it into place, so that a daemon running from the old one goes on.

    Raises: NodeError; then the old one is still there.
    """
    final = target.at(target.prefix)
    new, old = (final.with_name(f".node-ctl-{final.name}.{end}") for end in ("new", "old"))
    for folder in (final, new, old):
        if os.path.lexists(folder) and not (folder / STAMP).is_file():
            raise NodeError(f"{folder} exists and was not made by node-ctl", hint="use another --prefix")
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    write(new / STAMP, UNFINISHED)  # first, to recognise what an interrupted installation leaves
    _fill(new, target)
    if target.running:
        _test(new)
    if final.exists():
        final.rename(old)
    new.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def _fill(folder: Path, target: Target) -> None:
    site = folder / "lib" / VERSION / "site-packages"
    for source, name in files():
        to = site / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to)
        to.chmod(0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)
    # All of it: the service can't write there, and would compile at each start what for example uv had not.
    # Errors in files for other versions of Python don't matter.
    compileall.compile_dir(site, quiet=2)
    _make_python(folder, target.prefix)
    write(folder / STAMP, digest(target))
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def _test(folder: Path) -> None:
    """Raises: NodeError where the user of the service can't run the daemon from there."""
    try:
        run([str(folder / "bin/python"), "-c", "import daemon.main"], user=USER)
    except NodeError as error:
        shutil.rmtree(folder)
        hint = "use a --prefix that every user can read"
        raise NodeError(f"the user {USER} can't run the daemon: {error}", hint=hint) from error


def _make_python(environment: Path, prefix: Path) -> None:
    """The files of a virtual environment, and the two commands."""
    python = interpreter()
    write(
        environment / "pyvenv.cfg",
        f"home = {python.parent}\ninclude-system-site-packages = false\n"
        f"version = {'.'.join(map(str, sys.version_info[:3]))}\n",
    )
    (environment / "bin").mkdir()
    (environment / "bin/python").symlink_to(python)
    for name, module in SCRIPTS.items():
        write(environment / "bin" / name, SCRIPT.format(prefix=prefix, module=module))
        (environment / "bin" / name).chmod(0o755)


def interpreter() -> Path:
    """A Python of this version that every user can run: this one, or the system's.

    Raises: NodeError where there is none: pyenv and uv keep theirs in home directories.
    """
    own = Path(sys.executable).resolve()
    for candidate in (own, Path("/usr/bin") / VERSION, Path("/usr/local/bin") / VERSION):
        if candidate.exists() and is_open_to_all(candidate):
            return candidate.resolve()
    raise NodeError(
        f"other users can't run {own}, and there is no {VERSION} in /usr/bin",
        hint=f"apt-get install {VERSION}, or use a Python outside of home directories",
    )


def is_open_to_all(path: Path) -> bool:
    real = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (real, *real.parents))


def files() -> Iterator[tuple[Path, str]]:
    """Each file to copy, with its name below site-packages."""
    for installed in distributions("node-daemon", EXTRAS).values():
        for file in installed.files or ():
            source = Path(str(installed.locate_file(file)))
            outside = file.parts[0] == ".." or file.suffix == ".pth"
            if not outside and file.parts[0] not in ROOMS and source.is_file():
                yield source, str(file)
    for room in ROOMS:
        yield from _room(room)
    units = Path(__file__).resolve().parents[2] / "systemd"
    for source in units.glob("*node*daemon*"):  # in a source tree; a wheel has them in ctl/units
        yield source, f"ctl/units/{source.name}"


def _room(name: str) -> Iterator[tuple[Path, str]]:
    """The files of a room, wherever it is imported from: an editable installation does not list them."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise NodeError(f"the package {name} is missing from this installation")
    folder = Path(spec.origin).parent
    for source in folder.rglob("*"):
        if source.is_file() and "__pycache__" not in source.parts:
            yield source, str(Path(name) / source.relative_to(folder))


def distributions(name: str, extras: Iterable[str] = ()) -> dict[str, Distribution]:
    """By name: ``name``, and everything that it requires here and that is installed."""
    installed: dict[str, Distribution] = {}
    pending = [Requirement(f"{name}[{','.join(extras)}]")]
    done: set[tuple[str, frozenset[str]]] = set()
    while pending:
        requirement = pending.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in done:
            continue
        done.add(key)
        with suppress(PackageNotFoundError):  # an extra that was not installed
            installed[key[0]] = distribution(requirement.name)
            pending += _required(installed[key[0]], requirement.extras)
    return installed


def _required(owner: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    """The requirements of ``owner`` whose markers hold on this machine, without or with its ``extras``."""
    for requirement in map(Requirement, owner.requires or ()):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement
