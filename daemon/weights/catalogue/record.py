"""The newest catalogue that was ever taken here: none that is older is taken after it."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum, auto
from pathlib import Path

from domain.errors import CatalogueError
from domain.serialization import from_json


@dataclass(frozen=True, slots=True)
class CatalogueRecord:
    """``sha256`` is that of the newest file; ``asked_at`` is ISO 8601; ``reverted`` is the version that its
    owner did not want."""

    version: int = 0
    sha256: str = ""
    asked_at: str = ""
    reverted: int = 0


class Verdict(Enum):
    NEWER = auto()
    SAME = auto()
    BUILT_IN_IS_NEWER = auto()


def judge(record: CatalogueRecord, version: int, digest: str, *, built_in: int) -> Verdict:
    """Raises: CatalogueError for one that is older than what was taken before, or that is another with its
    number."""
    if version < record.version:
        raise CatalogueError(
            f"the address offers version {version} of the catalogue, older than version {record.version},"
            " which was taken before",
            hint="nothing is changed; whoever publishes it may have put back an old file",
        )
    if version == record.version and digest != record.sha256:
        raise CatalogueError(
            f"the address offers another version {version} of the catalogue than that taken before",
            hint="nothing is changed; whoever publishes it has to give each file a number of its own",
        )
    if version <= built_in:
        return Verdict.BUILT_IN_IS_NEWER
    return Verdict.SAME if version == record.version else Verdict.NEWER


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read(path: Path) -> CatalogueRecord:
    """Empty where there is none, or none that can be read."""
    try:
        return from_json(CatalogueRecord, json.loads(path.read_text()))
    except (OSError, ValueError, RecursionError):
        return CatalogueRecord()


def write(path: Path, record: CatalogueRecord) -> None:
    write_whole(path, json.dumps(asdict(record)).encode())


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing, also if the power fails. Raises: OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """The aliases that ``after`` adds, and those that it changes."""
    added = sorted(set(after) - set(before))
    return added, sorted(alias for alias in after if alias in before and after[alias] != before[alias])
