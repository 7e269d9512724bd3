"""The service's own environment: this program and what it needs, copied to where its user can read it.

A clone in a home (mode 0700) is closed to the service's user, and a service that runs from a clone changes
with each `git pull`. No network is needed: files are copied, and a Python of the same version is linked.
"""

import compileall
import hashlib
import importlib.util
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from ctl.service.steps import USER, Target, run, write
from domain.errors import NodeError

ROOMS = ("domain", "planner", "probes", "catalog", "launchers", "config", "daemon", "ctl")
EXTRAS = ("llama-cpp",)
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
# Holds the digest of what was copied; a folder without it is never removed.
STAMP = "copied-by-node-ctl"
UNFINISHED = "not complete\n"
SCRIPTS = {"node-daemon": "daemon.main", "node-ctl": "ctl.main"}
SCRIPT = "#!{prefix}/bin/python\nimport sys\n\nfrom {module} import run\n\nsys.exit(run())\n"


def runs_from(target: Target) -> bool:
    """Whether this very program is the one that the service would run."""
    return Path(sys.prefix).resolve() == target.at(target.prefix).resolve()


def is_current(target: Target) -> bool:
    stamp = target.at(target.prefix) / STAMP
    return stamp.is_file() and stamp.read_text() == digest(target)


def is_ours(target: Target) -> bool:
    return (target.at(target.prefix) / STAMP).is_file()


def digest(target: Target) -> str:
    """Of names, sizes and times of all files to copy, and of what else goes into the environment."""
    summed = hashlib.sha256(f"{interpreter()} {target.prefix} {SCRIPT}".encode())
    for source, name in sorted(files(), key=lambda pair: pair[1]):
        found = source.stat()
        summed.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return summed.hexdigest()


def copy(target: Target) -> None:
    """Make it beside, prove it, and move it into place: a daemon that runs from the old one is not disturbed.

    Raises NodeError; then the old one is still there.
    """
    final = target.at(target.prefix)
    new, old = (final.with_name(f".node-ctl-{final.name}.{end}") for end in ("new", "old"))
    for folder in (final, new, old):
        if os.path.lexists(folder) and not (folder / STAMP).is_file():
            raise NodeError(f"{folder} is there and was not made by node-ctl", hint="give another --prefix")
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    write(new / STAMP, UNFINISHED)  # first: what an installation that broke off leaves is ours, too
    _fill(new, target)
    if target.running:
        _prove(new)
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
    # All of it: the service may not write there and would compile at each start what uv, say, had not.
    # Files that other versions of Python read are no trouble of ours.
    compileall.compile_dir(site, quiet=2)
    _make_python(folder, target.prefix)
    write(folder / STAMP, digest(target))
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def _prove(folder: Path) -> None:
    """Raises NodeError where the service's user can't run the daemon from there."""
    try:
        run([str(folder / "bin/python"), "-c", "import daemon.main"], user=USER)
    except NodeError as error:
        shutil.rmtree(folder)
        hint = "give a --prefix that every user can read"
        raise NodeError(f"the user {USER} can't run the daemon: {error}", hint=hint) from error


def _make_python(environment: Path, prefix: Path) -> None:
    """What makes a folder a virtual environment, and the two commands."""
    found = interpreter()
    write(
        environment / "pyvenv.cfg",
        f"home = {found.parent}\ninclude-system-site-packages = false\n"
        f"version = {'.'.join(map(str, sys.version_info[:3]))}\n",
    )
    (environment / "bin").mkdir()
    (environment / "bin/python").symlink_to(found)
    for name, module in SCRIPTS.items():
        write(environment / "bin" / name, SCRIPT.format(prefix=prefix, module=module))
        (environment / "bin" / name).chmod(0o755)


def interpreter() -> Path:
    """A Python of this version that every user may run: this one, or the system's.

    Raises NodeError where there is none: pyenv and uv keep theirs in homes.
    """
    own = Path(sys.executable).resolve()
    for candidate in (own, Path("/usr/bin") / VERSION, Path("/usr/local/bin") / VERSION):
        if candidate.exists() and open_to_all(candidate):
            return candidate.resolve()
    raise NodeError(
        f"{own} is closed to other users, and there is no {VERSION} in /usr/bin",
        hint=f"apt-get install {VERSION}, or make the environment with a Python outside of homes",
    )


def open_to_all(path: Path) -> bool:
    real = path.resolve()
    way_is_open = all(folder.stat().st_mode & stat.S_IXOTH for folder in real.parents)
    return way_is_open and bool(real.stat().st_mode & stat.S_IXOTH)


def files() -> Iterator[tuple[Path, str]]:
    """Each file to copy, with its name below site-packages."""
    for found in distributions("node-daemon", EXTRAS).values():
        for file in found.files or ():
            source = Path(str(found.locate_file(file)))
            outside = file.parts[0] == ".." or file.suffix == ".pth"
            if not outside and file.parts[0] not in ROOMS and source.is_file():
                yield source, str(file)
    for room in ROOMS:
        yield from _room(room)
    units = Path(__file__).resolve().parents[2] / "systemd"
    for source in units.glob("node-daemon.*"):  # of a source tree; a wheel has them in ctl/units
        yield source, f"ctl/units/{source.name}"


def _room(name: str) -> Iterator[tuple[Path, str]]:
    """Of a room, wherever it is imported from: an editable installation lists no files of ours."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise NodeError(f"the package {name} is missing from this installation")
    folder = Path(spec.origin).parent
    for source in folder.rglob("*"):
        if source.is_file() and "__pycache__" not in source.parts:
            yield source, str(Path(name) / source.relative_to(folder))


def distributions(name: str, extras: tuple[str, ...] = ()) -> dict[str, Distribution]:
    """By name: it, and all that it requires and is installed here."""
    try:
        found = {name: distribution(name)}
    except PackageNotFoundError:
        return {}  # for another platform, or an extra that was not asked for
    waiting = list(_required(found[name], extras))
    while waiting:
        wanted = waiting.pop()
        if wanted in found:
            continue
        try:
            found[wanted] = distribution(wanted)
        except PackageNotFoundError:
            continue
        waiting += _required(found[wanted], ())
    return found


def _required(owner: Distribution, extras: tuple[str, ...]) -> Iterator[str]:
    for requirement in owner.requires or ():
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        named = re.match(r"[A-Za-z0-9._-]+", requirement)
        if named and (extra is None or extra[1] in extras):
            yield re.sub(r"[-_.]+", "-", named[0]).lower()
