"""Hashes stored weights again: a disk can corrupt data silently."""

import hashlib
import logging
from collections.abc import Generator
from pathlib import Path

from domain.models.local_model import LocalModel, StoredFile, VerifyProgress
from domain.units import MIB

log = logging.getLogger(__name__)
READ_BYTES = 8 * MIB
REPORT_EVERY_BYTES = 256 * MIB


def check(model: LocalModel) -> Generator[VerifyProgress, None, None]:
    """A step every 256 MiB, and one at the end of each file with what is wrong with it: ``known`` is false if
    there is no digest to compare with. Closing the generator stops it."""
    done_bytes = 0
    for file in model.files:
        digest = _new_hash(file)
        try:
            with Path(file.path).open("rb") as data:
                while chunk := data.read(READ_BYTES):
                    digest.update(chunk)
                    done_bytes += len(chunk)
                    if done_bytes // REPORT_EVERY_BYTES > (done_bytes - len(chunk)) // REPORT_EVERY_BYTES:
                        yield VerifyProgress(model.name, file.name, done_bytes, model.size_bytes)
        except OSError as error:
            yield _end(model, file, done_bytes, f"{file.name} cannot be read: {error.strerror}")
            continue
        expected = file.sha256 or file.git_sha1
        is_wrong = expected is not None and digest.hexdigest() != expected
        kind = "sha256" if file.sha256 else "git id"
        yield _end(
            model,
            file,
            done_bytes,
            f"{file.name} has the {kind} {digest.hexdigest()} instead of {expected}" if is_wrong else None,
        )


def _new_hash(file: StoredFile) -> "hashlib._Hash":
    """With git's header for a git object id. Source: git-hash-object(1)."""
    if file.sha256 is None and file.git_sha1 is not None:
        return hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)
    return hashlib.sha256()


def _end(model: LocalModel, file: StoredFile, done_bytes: int, damaged: str | None) -> VerifyProgress:
    known = file.sha256 is not None or file.git_sha1 is not None
    return VerifyProgress(
        model.name, file.name, done_bytes, model.size_bytes, ended=True, known=known, damaged=damaged
    )


def set_aside(model: LocalModel) -> None:
    """Renames the files whose digest is wrong, so that a pull downloads them again. Hashes once more: only
    damaged files are renamed."""
    for step in check(model):
        if step.damaged:
            file = next(file for file in model.files if file.name == step.file)
            real = Path(file.real_path)
            real.replace(real.with_name(f"{real.name}.damaged"))
            log.warning("set aside: file=%s", real)
