"""Whether an engine can run in a unit under a user of its own: what it opens must be open to that user."""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from domain.errors import EngineError
from launchers.command import Command
from launchers.sandbox import folders, in_unit
from launchers.sandbox.policy import NO_PATHS, Sandbox

# As systemd/node-daemon-engine@.service says: what the unit hides, and what it shows of that.
HIDDEN = (
    "/var/lib/node-daemon",
    "/run/node-daemon",
    "/etc/node-daemon",
    "/var/cache/node-daemon",
    "/tmp",  # noqa: S108 - nothing is created there
    "/var/tmp",  # noqa: S108
)
SHOWN = in_unit.SHOWN
MOVE = "keep weights in /var/lib/node-daemon/models, or open the file and the folders above it to all users"


def why_not(command: Command, environment: Mapping[str, str], sandbox: Sandbox) -> EngineError | None:
    """Blocks."""
    if command.connects != ():
        return _error("it opens connections of its own, which the unit does not allow", "")
    if command.writes:
        return _error(f"its options have it write to {command.writes[0]}", "leave out that option")
    values = (value for name, value in environment.items() if name not in NO_PATHS and _is_path(name))
    named = folders.named((*command.argv, *values))
    paths = (part for path in (*named, *sandbox.folders) for part in folders.with_parts(path))
    closed = next((path for path in paths if not is_open(path)), None)
    return None if closed is None else _error(f"{closed} is not open to other users", MOVE)


def is_open(path: Path) -> bool:
    """To a user of no group but the daemon's, by its modes; access control lists are not read."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links are followed separately
    return all(_is_shown(each) and _is_reachable(each) for each in (absolute, absolute.resolve()))


def _is_path(name: str) -> bool:
    return not name.startswith("NODE_DAEMON_")


def _is_shown(path: Path) -> bool:
    return _is_below(path, SHOWN) or not _is_below(path, HIDDEN)


def _is_below(path: Path, tops: Iterable[str]) -> bool:
    return any(path.is_relative_to(top) for top in tops)


def _is_reachable(path: Path) -> bool:
    """Folders above those that the unit shows count too little: it shows them by themselves."""
    above = [folder for folder in path.parents if str(folder) not in HIDDEN]
    try:
        return _allows(path, stat.S_IROTH) and all(_allows(folder, stat.S_IXOTH) for folder in above)
    except OSError:
        return False


def _allows(path: Path, right: int) -> bool:
    """``right`` as for others; a folder to be read must be searched, too."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        right |= stat.S_IXOTH
    mode = found.st_mode >> 3 if found.st_gid == os.getegid() else found.st_mode
    return mode & right == right


def _error(why: str, hint: str) -> EngineError:
    return EngineError(why, hint=hint, cause="no_unit")
