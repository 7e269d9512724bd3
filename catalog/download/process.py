"""A download in a process of its own: a stop is a stop, and what hangs or is killed takes nothing with it."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from catalog.local import metadata
from domain.download import DownloadPolicy, DownloadProgress
from domain.errors import BadModelError, DiskFullError, DownloadError, NodeError
from domain.model import Source, Weights
from domain.serialization import from_json, to_json

log = logging.getLogger(__name__)
GRACE_S = 2.5
DEATHS = 5  # in a row that bring nothing
COMMAND = (sys.executable, "-m", "catalog.download.worker")


class _DiedError(Exception):
    """Without a word: it was killed, or it broke. Its own log lines say why."""


def fetch(
    weights: Weights, models_dir: Path, terms: DownloadPolicy, places: Sequence[Path] = ()
) -> Generator[DownloadProgress, None, None]:
    """As ``catalog.download.download.fetch``; closing it ends the process. One that is killed is started
    again and goes on where it stopped. Raises: DownloadError, DiskFullError, BadModelError."""
    task = {
        "weights": to_json(weights),
        "models_dir": str(models_dir),
        "terms": to_json(terms),
        "places": [str(place) for place in places],
    }
    deaths, most_bytes = 0, -1
    while True:
        try:
            yield from _run(task)
        except _DiedError as error:
            here_bytes = _here_bytes(weights, models_dir)
            deaths = 1 if here_bytes > most_bytes else deaths + 1
            most_bytes = max(most_bytes, here_bytes)
            log.warning("download process died: %s", error)
            if deaths >= DEATHS:
                raise DownloadError(
                    f"the process of the download died {deaths} times: {error}",
                    hint="ask for it again: what is here is kept; the log of node-daemon says more",
                ) from error
        else:
            return


def _here_bytes(weights: Weights, models_dir: Path) -> int:
    """Of all that lies where these weights go, whole or not: a process may die before it told of any."""
    folder = metadata.folder_of(weights, models_dir)
    place = folder.parents[1] / "blobs" if weights.source is Source.HUB else folder
    try:
        return sum(path.stat().st_size for path in place.iterdir() if path.is_file())
    except OSError:  # there is nothing yet, or a file got its final name meanwhile
        return 0


def _run(task: dict[str, Any]) -> Iterator[DownloadProgress]:
    """One process, from its start to its end."""
    child = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",  # holds no mount, and no folder of the owner's is on its import path
        start_new_session=True,  # a Ctrl-C at the daemon's terminal is the daemon's business
    )
    log.info("download process: pid=%d", child.pid)
    try:
        yield from _told(child, task)
    finally:
        _end(child)


def _told(child: subprocess.Popen[bytes], task: dict[str, Any]) -> Iterator[DownloadProgress]:
    orders, words = _pipes(child)
    with contextlib.suppress(BrokenPipeError):  # it ended already, and its status says how
        orders.write(json.dumps(task).encode() + b"\n")
        orders.flush()
    while line := words.readline():
        told = json.loads(line)
        if "error" in told:
            raise _error(told["error"])
        step = from_json(DownloadProgress, told)
        yield step
        if step.weights is not None:
            return
    status = child.wait()
    raise _DiedError(f"signal {-status}" if status < 0 else f"status {status}")


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if child.stdin is None or child.stdout is None:
        raise RuntimeError("the child was started without pipes")
    return child.stdin, child.stdout


def _end(child: subprocess.Popen[bytes]) -> None:
    """The end of its input asks it to stop; its whole session is killed where it does not."""
    orders, words = _pipes(child)
    with contextlib.suppress(BrokenPipeError):
        orders.close()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        log.warning("download process is killed: pid=%d", child.pid)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    words.close()


def error_json(error: NodeError) -> dict[str, Any]:
    told: dict[str, Any] = {"code": error.code, "message": str(error), "hint": error.hint}
    if isinstance(error, DiskFullError):
        told |= {
            "path": error.path,
            "needs_bytes": error.needs_bytes,
            "free_bytes": error.free_bytes,
            "reserve_bytes": error.reserve_bytes,
        }
    return told


def _error(told: dict[str, Any]) -> NodeError:
    if told["code"] == DiskFullError.code:
        return DiskFullError(
            told["path"],
            needs_bytes=told["needs_bytes"],
            free_bytes=told["free_bytes"],
            reserve_bytes=told["reserve_bytes"],
        )
    kind = BadModelError if told["code"] == BadModelError.code else DownloadError
    return kind(told["message"], hint=told["hint"])
