"""The parent's side of a download: a child process for each set of files, followed without a thread.

A child that hangs or is killed takes nothing else with it, and ends with its parent, however that ends.
"""

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

from catalog.download import messages
from catalog.download.messages import GRACE_S, LINE_BYTES, MessageError, Task
from catalog.local import layout
from domain.download import DownloadPolicy, DownloadProgress
from domain.errors import DownloadError
from domain.models.model import Weights

log = logging.getLogger(__name__)
DEATHS = 5  # in a row that bring nothing
KILL_S = 20.0  # for the kernel to end what was killed: a disk that hangs can hold it
COMMAND = (sys.executable, "-m", "catalog.download.worker")


class _DiedError(Exception):
    """The child ended, or can't be understood, before it reported an end. Its own log lines say why."""


async def fetch(
    weights: Weights, models_dir: Path, policy: DownloadPolicy, places: Sequence[Path] = ()
) -> AsyncGenerator[DownloadProgress, None]:
    """As ``catalog.download.download.fetch``; closing or cancelling it ends the process. One that dies is
    started again at once and resumes, unless it dies again and again and brings nothing.

    Raises: DownloadError, DiskFullError, BadModelError; WindowClosedError, to be called again later."""
    task = Task.of(weights, models_dir, policy, places)
    deaths, most_bytes = 0, -1
    while True:
        try:
            async with aclosing(_run(task)) as steps:
                async for step in steps:
                    yield step
        except _DiedError as error:
            # bytes on the disk count, not those reported: a process may die before it reports any
            here_bytes = await asyncio.to_thread(layout.bytes_here, weights, models_dir)
            deaths = 1 if here_bytes > most_bytes else deaths + 1
            most_bytes = max(most_bytes, here_bytes)
            log.warning("download process died: %s", error)
            if deaths >= DEATHS:
                raise DownloadError(
                    f"the process of the download died {deaths} times: {error}",
                    hint="ask for it again: what was fetched is kept; the log of node-daemon says more",
                ) from error
        else:
            return


async def _run(task: Task) -> AsyncGenerator[DownloadProgress, None]:
    """One process, from its start to its end."""
    try:
        child = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=PIPE,
            stdout=PIPE,
            limit=LINE_BYTES,
            cwd="/",  # holds no mount, and no folder of the owner's is on its import path
            start_new_session=True,  # a Ctrl-C at the daemon's terminal is the daemon's business
        )
    except OSError as error:
        raise _DiedError(f"it can't be started: {error.strerror}") from error
    log.info("download process: pid=%d", child.pid)
    try:
        await _send(child, task)
        async with aclosing(_received(child)) as steps:
            async for step in steps:
                yield step
    finally:
        await _end(child)


async def _send(child: Process, task: Task) -> None:
    stdin, _ = _pipes(child)
    with suppress(BrokenPipeError, ConnectionResetError):  # it ended already, and its status says how
        stdin.write(messages.encode(task))
        await stdin.drain()


async def _received(child: Process) -> AsyncGenerator[DownloadProgress, None]:
    """Until the last line. A line that is cut off, too long or no message counts as the child's death."""
    _, stdout = _pipes(child)
    try:
        while (line := await stdout.readline()).endswith(b"\n"):
            step = messages.decode(line)
            yield step
            if step.weights is not None:
                return
    except MessageError as error:
        raise _DiedError(str(error)) from error
    except ValueError as error:  # of readline: there is no end of a line within LINE_BYTES
        raise _DiedError(f"it wrote a line longer than {LINE_BYTES} bytes") from error
    try:
        async with asyncio.timeout(GRACE_S):
            status = await child.wait()
    except TimeoutError:
        raise _DiedError("it closed its output and went on running") from None
    raise _DiedError(f"signal {-status}" if status < 0 else f"status {status}")


async def _end(child: Process) -> None:
    """The end of its input asks it to stop; after the grace, or if this is cancelled, its group is killed."""
    _pipes(child)[0].close()
    try:
        async with asyncio.timeout(GRACE_S):
            await _ended(child)
    except TimeoutError:
        log.warning("download process is killed: pid=%d", child.pid)
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode is None:
        try:
            async with asyncio.timeout(KILL_S):
                await _ended(child)
        except TimeoutError:
            log.warning("download process does not end, not even killed: pid=%d", child.pid)


async def _ended(child: Process) -> None:
    _, stdout = _pipes(child)
    while await stdout.read(LINE_BYTES):  # what it still writes must not hold it up
        pass
    await child.wait()


def _pipes(child: Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    if child.stdin is None or child.stdout is None:
        raise RuntimeError("the child was started without pipes")
    return child.stdin, child.stdout
