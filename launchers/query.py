"""Asks a binary about itself: a child bounded in time, output and memory, answers remembered per binary."""

import hashlib
import json
import logging
import os
import resource
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from domain.errors import EngineError
from domain.units import MIB, gib
from launchers.environment import child_environment
from launchers.sandbox import policy, scratch, shim
from launchers.sandbox.policy import Network, Sandbox

log = logging.getLogger(__name__)

OUTPUT_LIMIT_BYTES = 4 * MIB
PIPE_BYTES = 65536
NO_NETWORK = Network(())

EXIT_WITHIN_S = 0.5
# Builds write their log in a thread, and now and then lose its last lines where they exit at once.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Observed:
    """What a child printed until it was left, and how it had ended by then: ``None`` if it had not."""

    text: str
    status: int | None


_Key = tuple[str, int, int, str]
_answers: dict[_Key, str] = {}
_asked: dict[_Key, Future[str]] = {}
_lock = threading.Lock()


def answer(
    path: str,
    question: Sequence[str],
    *,
    timeout_s: float = 20.0,
    env: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
    statuses: Sequence[int] = (0,),
    is_whole: Callable[[str], bool] = bool,
) -> str:
    """What ``path question...`` prints. Asked again only when the binary's size or time changes, and a few
    times where the answer is not whole; empty if it never is.

    Without ``cache_dir`` the answer is remembered by this process alone: for answers that change
    with the machine, such as a list of devices. Raises: EngineError; OSError where ``path`` is missing.
    """
    binary = os.stat(path)  # noqa: PTH116 - the caller translates, path is a str throughout
    key = (path, binary.st_mtime_ns, binary.st_size, " ".join(question))
    file = None if cache_dir is None else cache_dir / f"{hashlib.sha256(repr(key).encode()).hexdigest()}.json"
    with _lock:
        if (output := _answers.get(key)) is not None:
            return output
        asked = _asked.get(key)
        mine = _asked[key] = asked or Future()
    if asked is not None:  # by another thread, whose answer or error is this one's, too
        return asked.result()
    output = None
    try:
        output = None if file is None else _load(file)
        if output is None:
            output = _ask((path, *question), timeout_s, env, statuses, is_whole)
            if file is not None:
                _save(file, output)
        mine.set_result(output)
    except BaseException as error:
        mine.set_exception(error)
        raise
    finally:
        with _lock:
            if _asked.get(key) is mine:  # not forgotten meanwhile
                del _asked[key]
                if output is not None:
                    _answers[key] = output
    return output


def _ask(
    argv: Sequence[str],
    timeout_s: float,
    env: Mapping[str, str] | None,
    statuses: Sequence[int],
    is_whole: Callable[[str], bool],
) -> str:
    attempts = (run(argv, timeout_s=timeout_s, env=env, statuses=statuses) for _ in range(ATTEMPTS))
    return next((text for text in attempts if is_whole(text)), "")


def forget() -> None:
    """Drops the answers in memory (not those on disk) and those under way: the machine's devices changed."""
    with _lock:
        _answers.clear()
        _asked.clear()


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    statuses: Sequence[int] = (0,),
) -> str:
    """Standard output and error of a child that must end with one of ``statuses``. ``env`` is added to
    what an engine gets of this process's environment. Blocks. Raises: EngineError."""
    deadline_s = time.monotonic() + timeout_s
    with _child(argv, env) as child:
        output = _read(child, deadline_s)
        if len(output) >= OUTPUT_LIMIT_BYTES:
            raise _no_answer(argv, f"printed more than {gib(OUTPUT_LIMIT_BYTES)}")
        try:
            status = child.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise _no_answer(argv, f"gave no answer in {timeout_s:g} s") from error
    text = _text(output)
    if status not in statuses:
        raise _no_answer(argv, f"exited {status}", next(iter(text.strip().splitlines()[-1:]), ""))
    return text


def read_until(
    argv: Sequence[str],
    is_complete: Callable[[str], bool],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    address_space_bytes: int | None = None,
    sandbox: Sandbox | None = None,
    network: Network = NO_NETWORK,
) -> Observed:
    """Standard output and error of a child until they are complete, it ends, or a limit is reached; then
    it is killed. Blocks. Raises: EngineError where it can't be started."""
    with _child(argv, env, address_space_bytes, sandbox, network) as child:
        text = _text(_read(child, time.monotonic() + timeout_s, is_complete))
        with suppress(subprocess.TimeoutExpired):  # its output ends a moment before itself
            child.wait(0.0 if is_complete(text) else min(timeout_s, EXIT_WITHIN_S))
        return Observed(text, child.returncode)


@contextmanager
def _child(
    argv: Sequence[str],
    env: Mapping[str, str] | None,
    address_space_bytes: int | None = None,
    sandbox: Sandbox | None = None,
    network: Network = NO_NETWORK,
) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a process group of its own, which is killed at the end. A crash leaves no core file."""
    try:
        with _confined(tuple(argv), env or {}, sandbox, network) as (command, environment, stdin):
            child = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
    except OSError as error:
        raise _no_answer(argv, f"can't be started: {error.strerror}") from error
    try:
        _limit(child.pid, address_space_bytes)
        yield child
    finally:
        with suppress(ProcessLookupError):  # the whole group has ended
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


@contextmanager
def _confined(
    argv: tuple[str, ...], additions: Mapping[str, str], sandbox: Sandbox | None, network: Network
) -> Iterator[tuple[tuple[str, ...], dict[str, str], int | BinaryIO]]:
    """Command, environment and standard input of a child, in its sandbox if it has one. Raises: OSError."""
    if sandbox is None:
        yield argv, child_environment(os.environ, additions), subprocess.DEVNULL
        return
    environment = child_environment(os.environ, additions, passed=sandbox.variables)
    environment |= scratch.prepare(sandbox.scratch)
    with policy.rules_for(argv, environment, sandbox, network=network).open() as rules:
        yield (*shim.COMMAND, *argv), environment, rules


def _limit(pid: int, address_space_bytes: int | None) -> None:
    """From outside, because code between fork and exec is unsafe in a process with threads. Where it is
    not allowed, or the child has a lower limit already, the other bounds hold."""
    if sys.platform != "linux":
        return
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_AS: address_space_bytes}
    for kind, limit in limits.items():
        if limit is not None:
            with suppress(OSError, ValueError):
                resource.prlimit(pid, kind, (limit, limit))


def _read(
    child: subprocess.Popen[bytes], deadline_s: float, is_complete: Callable[[str], bool] | None = None
) -> bytearray:
    if child.stdout is None:
        raise RuntimeError("a child without a pipe")
    output = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while (left_s := deadline_s - time.monotonic()) > 0 and len(output) < OUTPUT_LIMIT_BYTES:
            if not selector.select(left_s):
                break
            data = os.read(child.stdout.fileno(), PIPE_BYTES)
            output += data
            if not data or (is_complete is not None and is_complete(_text(output))):
                break
    return output


def _text(output: bytearray) -> str:
    return output.decode("utf-8", errors="replace")


def _no_answer(argv: Sequence[str], what: str, engine_output: str = "") -> EngineError:
    return EngineError(
        f"{' '.join(argv)} {what}",
        hint="set another path in the settings, or install the engine again",
        cause="no_answer",
        engine_output=engine_output,
    )


def _load(file: Path) -> str | None:
    try:
        output = json.loads(file.read_text())["answer"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent or damaged: the binary is asked again
    return output if isinstance(output, str) else None


def _save(file: Path, output: str) -> None:
    temporary = file.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"answer": output}))
        temporary.replace(file)
    except OSError as error:
        log.warning("answer of an engine not cached: file=%s error=%s", file, error)
