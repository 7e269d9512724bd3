"""Hashes weights that lie here once more: a disk can lose bits without a word."""

import hashlib
import logging
from collections.abc import Generator
from pathlib import Path

from domain.local_model import LocalModel, StoredFile, VerifyProgress
from domain.units import MIB

log = logging.getLogger(__name__)
READ_BYTES = 8 * MIB
TELL_EVERY_BYTES = 256 * MIB


def check(one: LocalModel) -> Generator[VerifyProgress, None, None]:
    """A step every 256 MiB, and one at the end of each file with what is wrong with it. A file of which
    nobody said a digest ends with ``known`` false. Closing it stops."""
    done_bytes = 0
    for file in one.files:
        digest = _digest(file)
        try:
            with Path(file.path).open("rb") as data:
                while chunk := data.read(READ_BYTES):
                    digest.update(chunk)
                    done_bytes += len(chunk)
                    if done_bytes // TELL_EVERY_BYTES > (done_bytes - len(chunk)) // TELL_EVERY_BYTES:
                        yield VerifyProgress(one.name, file.name, done_bytes, one.size_bytes)
        except OSError as error:
            yield _end(one, file, done_bytes, f"{file.name} cannot be read: {error.strerror}")
            continue
        told = file.sha256 or file.git_sha1
        wrong = told is not None and digest.hexdigest() != told
        kind = "sha256" if file.sha256 else "git id"
        yield _end(
            one,
            file,
            done_bytes,
            f"{file.name} has the {kind} {digest.hexdigest()} instead of {told}" if wrong else None,
        )


def _digest(file: StoredFile) -> "hashlib._Hash":
    """Source of git's: git-hash-object(1)."""
    if file.sha256 is None and file.git_sha1 is not None:
        return hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)
    return hashlib.sha256()


def _end(one: LocalModel, file: StoredFile, done_bytes: int, damaged: str | None) -> VerifyProgress:
    known = file.sha256 is not None or file.git_sha1 is not None
    return VerifyProgress(
        one.name, file.name, done_bytes, one.size_bytes, ended=True, known=known, damaged=damaged
    )


def set_aside(one: LocalModel) -> None:
    """Files of ``one`` whose digest is wrong, out of the way: their names lead nowhere then, and a pull
    fetches them again. Hashes once more, so that only what is damaged goes."""
    for step in check(one):
        if step.damaged:
            file = next(file for file in one.files if file.name == step.file)
            real = Path(file.real_path)
            real.replace(real.with_name(f"{real.name}.damaged"))
            log.warning("set aside: file=%s", real)
