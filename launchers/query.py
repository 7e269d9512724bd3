"""Asking a binary about itself: a child with a time limit, once per binary, remembered on disk."""

import hashlib
import json
import logging
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from domain.errors import EngineError
from launchers.command import without_secrets

log = logging.getLogger(__name__)

_remembered: dict[tuple[str, int, int, str], str] = {}
_lock = threading.Lock()


def answer(
    path: str,
    question: Sequence[str],
    *,
    timeout_s: float = 20.0,
    env: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
    statuses: Sequence[int] = (0,),
) -> str:
    """What ``path question...`` prints. Asked again only when the binary's size or time changes.

    Without ``cache_dir`` the answer is remembered by this process alone: for answers that change
    with the machine, as a list of devices does. Raises: EngineError.
    """
    seen = os.stat(path)  # noqa: PTH116 - the caller translates, path is a str throughout
    key = (path, seen.st_mtime_ns, seen.st_size, " ".join(question))
    file = None if cache_dir is None else cache_dir / f"{hashlib.sha256(repr(key).encode()).hexdigest()}.json"
    with _lock:
        known = _remembered.get(key)
    if known is None and file is not None:
        known = _read(file)
    if known is None:
        known = run((path, *question), timeout_s=timeout_s, env=env, statuses=statuses)
        if file is not None:
            _write(file, known)
    with _lock:
        _remembered[key] = known
    return known


def forget() -> None:
    """Forgets what this process remembers (not what is on disk): the machine's devices changed."""
    with _lock:
        _remembered.clear()


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    statuses: Sequence[int] = (0,),
) -> str:
    """Standard output and error of a child that must end with one of ``statuses``. Raises: EngineError."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            env={**without_secrets(os.environ), **(env or {})},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unanswered(argv, f"gave no answer in {timeout_s:g} s") from error
    except OSError as error:
        raise _unanswered(argv, f"can't be started: {error.strerror}") from error
    said = done.stdout.decode("utf-8", errors="replace")
    if done.returncode not in statuses:
        line = next(iter(said.strip().splitlines()[-1:]), "")
        raise _unanswered(argv, f"exited {done.returncode}", line)
    return said


def _unanswered(argv: Sequence[str], what: str, line: str = "") -> EngineError:
    return EngineError(
        f"{' '.join(argv)} {what}",
        hint="set another path in the settings, or install the engine again",
        cause="no_answer",
        line=line,
    )


def _read(file: Path) -> str | None:
    try:
        known = json.loads(file.read_text())["answer"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent or damaged: the binary is asked again
    return known if isinstance(known, str) else None


def _write(file: Path, said: str) -> None:
    beside = file.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps({"answer": said}))
        beside.replace(file)
    except OSError as error:
        log.warning("an engine's answer is not kept: file=%s error=%s", file, error)
