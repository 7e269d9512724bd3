"""The processes of one engine: a leader in a session of its own, watched by pidfd, stopped as a whole.

An engine started by an earlier daemon is not our child: it is watched and stopped the same way, only its
exit status stays unknown. One in a unit of systemd is not our child either: systemd signals it and keeps its
status.
"""

import asyncio
import logging
import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from signal import Signals

from domain.errors import EngineError
from launchers.command import Command, Exit, StopPolicy
from launchers.process import logfile, procfs, unit
from launchers.process.leader import Leader, Started, reap
from launchers.process.procfs import Identity
from launchers.process.spawn import spawn
from launchers.sandbox.policy import Sandbox

log = logging.getLogger(__name__)

TICK_S = 5.0  # how often the kernel's counter of OOM kills is checked
LOG_TICK_S = 1.0  # and how often the log's size: an engine can write gigabytes a second
OOM_WINDOW_S = 30.0  # an OOM kill of one process ends the whole engine within that time (vLLM: 5 s)
STRAGGLE_S = 2.0  # after the leader's end, for the others to end by themselves
CLEAR_POLL_S = (0.05, 1.0)  # the first and the longest pause between looks at what the leader left
KILL_S = 20.0  # for the kernel to end what was killed: freeing that much memory takes a while


class Child:
    """``served`` is set by the owner once the engine has answered."""

    def __init__(self, started: Started, command: Command, log_path: Path, *, limit: int) -> None:
        self.identity = started.leader.identity
        self.command = command
        self.log_path = log_path
        self.log_start = started.log_start
        self.own_user_because = started.own_user_because
        self.served = False
        self._limit_bytes = limit
        self._leader: Leader | None = started.leader  # until nothing is left of it
        self._pid_lock = asyncio.Lock()  # held to signal, and to release pid and pidfd
        self._stop_requested = False
        self._stop: asyncio.Task[None] | None = None
        self._leftovers: frozenset[Path] = frozenset()
        self._oom_kills: deque[tuple[Path | None, int | None]] = deque(maxlen=int(OOM_WINDOW_S / TICK_S) + 1)
        self._dead = asyncio.Event()
        self._unkillable = asyncio.Event()
        asyncio.get_running_loop().add_reader(started.leader.pidfd, self._note_end)
        self._watch = asyncio.create_task(
            self._watch_until_gone(started.leader), name=f"watch {self.identity.pid}"
        )

    @classmethod
    async def start(
        cls,
        command: Command,
        log_path: Path,
        *,
        limit_bytes: int = logfile.LIMIT_BYTES,
        sandbox: Sandbox | None = None,
    ) -> "Child":
        """Raises: EngineError when the binary can't be started."""
        started = await asyncio.to_thread(spawn, command, log_path, limit_bytes, sandbox)
        return cls(started, command, log_path, limit=limit_bytes)

    @classmethod
    async def adopt(
        cls,
        identity: Identity,
        command: Command,
        log_path: Path,
        *,
        limit_bytes: int = logfile.LIMIT_BYTES,
    ) -> "Child | None":
        """The engine that an earlier daemon started; ``None`` when the pid is free or another's by now.
        Its log starts here: what the file holds may be of an earlier engine that failed."""
        try:
            pidfd = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return None
        if not await asyncio.to_thread(_is_engine, identity, command):
            os.close(pidfd)
            return None
        log_start = await asyncio.to_thread(logfile.size_bytes, log_path)
        leader = Leader(identity, pidfd, await asyncio.to_thread(unit.of_engine, identity.pid))
        return cls(Started(leader, log_start), command, log_path, limit=limit_bytes)

    @property
    def alive(self) -> bool:
        """True until no process of the engine is left, also after a stop that failed."""
        return self._leader is not None

    @property
    def in_unit(self) -> bool:
        return self._leader is not None and self._leader.unit is not None

    @property
    def unkillable(self) -> EngineError | None:
        """The error of the last stop, while the engine that it could not end is still there."""
        return _unkillable(self.identity.pid) if self.alive and self._unkillable.is_set() else None

    async def wait(self) -> Exit:
        """Returns when no process of the engine is left."""
        return await asyncio.shield(self._watch)

    async def wait_unkillable(self) -> None:
        """Returns when a stop has failed."""
        await self._unkillable.wait()

    async def stop(self) -> Exit:
        """Signals as the command's stop policy says, and after its grace SIGKILL to all. Callers share one
        stop; after one that failed the next call tries again.

        Raises: EngineError when the kernel can't end it; then it stays ``alive``, and ``wait`` returns
        once it is gone after all.
        """
        if self._stop is None or _failed(self._stop):
            self._stop_requested = True
            self._unkillable.clear()
            self._stop = asyncio.create_task(self._end())
            self._stop.add_done_callback(_retrieve)
        await asyncio.shield(self._stop)
        return await self.wait()

    def _note_end(self) -> None:
        """The pidfd stays readable from now on: watched any longer, it would keep the loop busy."""
        if self._leader is not None:
            asyncio.get_running_loop().remove_reader(self._leader.pidfd)
        self._dead.set()

    async def _end(self) -> None:
        if not self.alive:
            return
        policy = self.command.stop
        await asyncio.to_thread(self._check)
        await self._signal(policy)
        if await self._is_gone(policy.grace_s):
            return
        log.warning("engine killed: pid=%d grace_s=%g", self.identity.pid, policy.grace_s)
        await asyncio.to_thread(self._check)
        await self._signal_all(Signals.SIGKILL)
        if not await self._is_gone(KILL_S):
            self._unkillable.set()
            raise _unkillable(self.identity.pid)

    async def _signal(self, policy: StopPolicy) -> None:
        if policy.starting_to_all and not self.served:
            await self._signal_all(policy.starting_signal)
            return
        number = policy.serving_signal if self.served else policy.starting_signal
        async with self._pid_lock:
            if self._leader is not None:
                await asyncio.to_thread(self._leader.signal, number)

    async def _signal_all(self, number: Signals) -> None:
        async with self._pid_lock:
            if self._leader is not None:
                await asyncio.to_thread(self._leader.signal_all, number)

    async def _is_gone(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._dead.wait()
                await asyncio.wait({self._watch})
        except TimeoutError:
            return False
        return True

    async def _watch_until_gone(self, leader: Leader) -> Exit:
        while not self._dead.is_set():
            await asyncio.to_thread(self._check)
            await self._until_next_check()
        oom_killed = await asyncio.to_thread(self._oom_killed)
        await self._clear_session(leader)
        result = await asyncio.to_thread(leader.result)
        async with self._pid_lock:
            status = self._release()  # last: until it is reaped, its pid is not reused
        await asyncio.to_thread(_unlink, self._leftovers)
        ended = Exit(
            status=result.status if status is None else status,
            stop_requested=self._stop_requested,
            served=self.served,
            oom_killed=oom_killed or result.oom_killed,
        )
        log.info("engine ended: pid=%d %s", self.identity.pid, ended)
        return ended

    async def _until_next_check(self) -> None:
        for _ in range(max(1, round(TICK_S / LOG_TICK_S))):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._dead.wait(), min(TICK_S, LOG_TICK_S))
                return
            await asyncio.to_thread(self._bound_log)

    async def _clear_session(self, leader: Leader) -> None:
        """Kills what the leader left, because a worker holds gigabytes that nobody would free. Returns when
        nothing is left, however long the kernel takes."""
        deadline_s = time.monotonic() + STRAGGLE_S
        killed: tuple[int, ...] = ()
        pause_s, longest_s = CLEAR_POLL_S
        while members := await asyncio.to_thread(procfs.members, self.identity.pid):
            await asyncio.to_thread(self._note_leftovers)
            if time.monotonic() > deadline_s:
                await asyncio.to_thread(leader.signal_all, Signals.SIGKILL)
                if members != killed:
                    log.warning("engine left processes, killed: leader=%d %s", self.identity.pid, members)
                killed = members
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, longest_s)

    def _check(self) -> None:
        """Blocking: bounds the log and notes what can't be read after the end: the count of OOM kills, and
        the shared memory that a killed engine would leave. Errors do not end the watch."""
        self._bound_log()
        try:
            self._note_leftovers()
            counter = procfs.oom_counter(self.identity.pid)
            self._oom_kills.append((counter, None if counter is None else procfs.oom_kills(counter)))
        except OSError as error:
            log.warning("engine not checked: pid=%d error=%s", self.identity.pid, error)

    def _bound_log(self) -> None:
        try:
            if logfile.bound(self.log_path, self._limit_bytes):
                self.log_start = 0
        except OSError as error:
            log.warning("log not bounded: pid=%d file=%s error=%s", self.identity.pid, self.log_path, error)

    def _note_leftovers(self) -> None:
        if patterns := self.command.stop.shared_memory:
            self._leftovers |= procfs.shared_memory(procfs.members(self.identity.pid), patterns)

    def _oom_killed(self) -> bool:
        """Whether the count rose since the oldest check; a leader that ended is in no cgroup any more."""
        counter = self._oom_kills[-1][0] if self._oom_kills else None
        if counter is None:
            return False
        before = next((count for file, count in self._oom_kills if file == counter), None)
        now = procfs.oom_kills(counter)
        return now is not None and before is not None and now > before

    def _release(self) -> int | None:
        """The exit status. From here on the kernel may reuse the numbers of pid and pidfd."""
        leader, self._leader = self._leader, None
        if leader is None:
            return None
        asyncio.get_running_loop().remove_reader(leader.pidfd)
        try:
            return reap(leader.pidfd)
        finally:
            os.close(leader.pidfd)


def _is_engine(identity: Identity, command: Command) -> bool:
    return procfs.identity(identity.pid) == identity and procfs.runs(identity.pid, command.argv)


def _unlink(paths: frozenset[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("shared memory of an engine not removed: file=%s error=%s", path, error)


def _unkillable(pid: int) -> EngineError:
    return EngineError(
        f"process {pid} is still there after SIGKILL",
        hint="the kernel holds it, most often because a GPU or a disk hangs; see dmesg",
        cause="unkillable",
    )


def _retrieve(task: "asyncio.Task[None]") -> None:
    """A stop that fails after all callers gave up raises nowhere else."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("engine not stopped: %s", error)


def _failed(task: "asyncio.Task[None]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
