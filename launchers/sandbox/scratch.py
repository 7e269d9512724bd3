"""The folders that an engine may write: its home with its caches, and its temporary files."""

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "node-daemon-engine-"
# Unix sockets below it must fit 107 bytes (unix(7)); vLLM's and multiprocessing's names take up to 45.
LONGEST = 62


def prepare(scratch: Path) -> dict[str, str]:
    """Makes them where they are missing; the variables that name them. ``scratch`` itself is not for the
    engine to write: it could make its temporary folder a link to another folder of ours. Raises: OSError."""
    home, cache = scratch / "home", scratch / "home" / ".cache"
    scratch.mkdir(parents=True, exist_ok=True)
    scratch.chmod(0o700)
    cache.mkdir(parents=True, exist_ok=True)
    return {"HOME": str(home), "XDG_CACHE_HOME": str(cache), "TMPDIR": str(_temporary(scratch / "tmp"))}


def remove(scratch: Path) -> None:
    """With everything in them."""
    link = scratch / "tmp"
    if link.is_symlink() and _is_ours(link.readlink()):
        shutil.rmtree(link.readlink(), ignore_errors=True)
    shutil.rmtree(scratch, ignore_errors=True)


def _temporary(folder: Path) -> Path:
    """``folder``, or where that is too long a link there to one that is short enough."""
    if len(os.fsencode(folder)) <= LONGEST:
        folder.mkdir(exist_ok=True)
        return folder
    if folder.is_symlink() and _is_ours(folder.readlink()):
        return folder.readlink()
    with suppress(FileNotFoundError):
        folder.unlink()
    short = Path(tempfile.mkdtemp(prefix=PREFIX))
    folder.symlink_to(short)
    return short


def _is_ours(folder: Path) -> bool:
    """It may have been removed since, and another user's be there."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and folder.name.startswith(PREFIX)
