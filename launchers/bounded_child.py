"""A child that is read only until it has said what is wanted: bounded in time, output and memory."""

import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from domain.errors import EngineError
from domain.units import MIB

MOST_OUTPUT_BYTES = 4 * MIB
PIPE_BYTES = 65536


def run_until(
    argv: Sequence[str],
    enough: Callable[[str], bool],
    *,
    timeout_s: float,
    env: Mapping[str, str],
    address_space_bytes: int | None = None,
) -> str:
    """What ``argv`` says until it is ``enough``, until it ends, or until one of the limits. Nothing of
    it is left running, and a crash leaves no core file. ``env`` is the whole environment. Blocks.

    Raises: EngineError where it can't be started."""
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
            start_new_session=True,  # its own process group: what it started ends with it
        )
    except OSError as error:
        raise EngineError(f"{argv[0]} can't be started: {error.strerror}", cause="no_answer") from error
    try:
        _limit(child.pid, address_space_bytes)
        return _read(child, enough, time.monotonic() + timeout_s)
    finally:
        with suppress(ProcessLookupError):  # ended, with all of its group
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _limit(pid: int, address_space_bytes: int | None) -> None:
    """From outside, for code between fork and exec is not safe in a process with threads. Where it is
    not allowed, or the child has a lower limit already, the other bounds hold."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_AS: address_space_bytes}
    for kind, most in limits.items():
        if most is not None:
            with suppress(OSError, ValueError):
                resource.prlimit(pid, kind, (most, most))


def _read(child: subprocess.Popen[bytes], enough: Callable[[str], bool], deadline_s: float) -> str:
    if child.stdout is None:
        raise RuntimeError("a child without a pipe")
    said = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while (left_s := deadline_s - time.monotonic()) > 0 and len(said) < MOST_OUTPUT_BYTES:
            if not selector.select(left_s):
                break
            data = os.read(child.stdout.fileno(), PIPE_BYTES)
            said += data
            if not data or enough(_text(said)):
                break
    return _text(said)


def _text(said: bytearray) -> str:
    return said.decode("utf-8", errors="replace")
