"""Files that hold secrets, and whether every user of this machine can read or change them."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from config import last_good
from config.loading import Loaded
from daemon.doctor.checks.input import SecretFile
from daemon.state.durability import recovery
from launchers.environment import SECRET_NAME
from probes.system import accounts

OTHERS = stat.S_IROTH | stat.S_IWOTH


def read_secret_files(loaded: Loaded) -> tuple[SecretFile, ...]:
    """Those that exist. Blocks."""
    found = (_read(path, holds) for path, holds in _candidates(loaded))
    return tuple(file for file in found if file is not None)


def _candidates(loaded: Loaded) -> Iterator[tuple[Path, str]]:
    from huggingface_hub import constants  # noqa: PLC0415  # 0.1 s of import, for the doctor alone

    if loaded.file is not None and any(SECRET_NAME.search(key) for key in loaded.file_values):
        yield loaded.file, "a token of the settings"
        yield last_good.place(loaded.settings.state_dir), "a token of the settings"
    yield Path(constants.HF_TOKEN_PATH), "a token of the hub"
    yield Path(constants.HF_STORED_TOKENS_PATH), "tokens of the hub"
    yield Path(os.environ.get("NETRC", "~/.netrc")).expanduser(), "passwords for servers"
    yield loaded.settings.notify_file, "addresses and tokens of notifications"
    state = loaded.settings.state_dir / "state.db"
    for path in (state, *recovery.sidecars(state), *recovery.copy_paths(state)):
        yield path, "the state: URLs of models may hold a password or token"


def _read(path: Path, holds: str) -> SecretFile | None:
    try:
        found = path.stat()
        is_open = bool(found.st_mode & OTHERS) and _can_be_reached(path)
    except FileNotFoundError:
        return None
    except OSError:
        return SecretFile(str(path), holds)
    owner = accounts.by_uid(found.st_uid)
    name = str(found.st_uid) if owner is None else owner.name
    return SecretFile(str(path), holds, stat.S_IMODE(found.st_mode), name, is_open)


def _can_be_reached(path: Path) -> bool:
    """Whether every folder above lets every user pass; one that can't be looked at does not."""
    with suppress(OSError):
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)
    return False
