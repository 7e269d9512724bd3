"""One engine from its command to its end: started once for all callers, checked, watched, stopped."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from domain.errors import EngineError
from launchers import liveness, pooled_answers, ports, readiness
from launchers.answer_stream import Reply
from launchers.command import Command, Exit
from launchers.failures import UNEXPLAINED, last_error_line
from launchers.process import adoption, logfile
from launchers.process.child import Child
from launchers.process.procfs import Identity
from launchers.readiness import Ready
from launchers.sandbox.policy import Sandbox

log = logging.getLogger(__name__)

QUICK_S = 5.0
START_ATTEMPTS = 4
DENIED = "Permission denied"  # strerror(3) of what a sandbox says
DENIED_HINT = "if it needs a file that its sandbox does not open, set engine_folders (docs/security.md)"

STARTED_EARLIER = EngineError(
    "an earlier daemon started it", hint="node-ctl restart NAME starts it anew", cause="no_unit"
)

DiagnoseFailure = Callable[[str, Exit], EngineError]
FindDegradation = Callable[[str], EngineError | None]


class EngineProcess:
    """Owns at most one running engine.

    ``diagnose`` and ``find_degradation`` are the launcher's; ``expect`` is a word that the answer to the
    known question must contain. The log is appended to over restarts and stays below twice
    ``log_limit_bytes``. Without a ``sandbox`` it may do what the daemon may.
    """

    def __init__(
        self,
        command: Command,
        *,
        log_path: Path,
        diagnose: DiagnoseFailure,
        find_degradation: FindDegradation | None = None,
        expect: str | None = None,
        log_limit_bytes: int = logfile.LIMIT_BYTES,
        sandbox: Sandbox | None = None,
    ) -> None:
        self.command = command
        self.log_path = log_path
        self.ready: Ready | None = None
        self._diagnose = diagnose
        self._find_degradation = find_degradation
        self._expect = expect
        self._log_limit_bytes = log_limit_bytes
        self._sandbox = sandbox
        self._child: Child | None = None
        self._earlier: Ready | None = None
        self._start: asyncio.Task[Ready] | None = None
        self._stop: asyncio.Task[Exit | None] | None = None

    async def adopt(self, identity: Identity, earlier: Ready | None = None) -> bool:
        """Takes over an engine that outlived its daemon; false when it is gone, or the pid is another's.
        It is watched from here on; ``ensure_ready`` checks its answer without starting anything. ``earlier``
        is what it answered to that daemon."""
        self._earlier = earlier
        self._child = await Child.adopt(
            identity, self.command, self.log_path, limit_bytes=self._log_limit_bytes
        )
        return self._child is not None

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def pid(self) -> int | None:
        return self._child.identity.pid if self._child is not None and self._child.alive else None

    @property
    def identity(self) -> Identity | None:
        return self._child.identity if self._child is not None and self._child.alive else None

    @property
    def own_user_because(self) -> EngineError | None:
        """Why an engine that was to run in a unit is run by the daemon's own user."""
        if self._child is None or not self._child.alive or self._child.in_unit:
            return None
        if self._sandbox is None or self._sandbox.unit is None or not self._sandbox.confined:
            return None
        return self._child.own_user_because or STARTED_EARLIER

    async def ensure_ready(self, timeout_s: float) -> Ready:
        """Starts the engine if needed; returns once it has answered a known question.

        Callers share one start: a caller that gives up does not end it for the others.
        During stop() it waits, then starts the engine again.
        Raises: EngineError; then nothing is left running but an engine that can't be killed.
        """
        while self._stop is not None and not self._stop.done():
            await asyncio.wait({self._stop})
        if self._child is not None and (error := self._child.unkillable) is not None:
            raise error
        if self._start is None or (self._start.done() and not (self.ready and self.alive)):
            self._start = asyncio.create_task(
                self._bring_up(timeout_s), name=f"start {self.command.served_name}"
            )
            self._start.add_done_callback(_retrieve)
        return await asyncio.shield(self._start)

    async def stop(self) -> Exit | None:
        """Ends the engine as its stop policy says, then by force; ``None`` when none ran.

        No process of it is left. Callers share one stop; callers of ensure_ready get an EngineError.
        Raises: EngineError when the kernel can't end it; then ``alive`` and ``pid`` stay until it is gone,
        ``wait`` returns at that moment, and another stop tries again.
        """
        if self._stop is None or self._stop.done():
            self._stop = asyncio.create_task(self._end())
            self._stop.add_done_callback(_retrieve_exit)
        return await asyncio.shield(self._stop)

    async def wait(self) -> Exit:
        """Returns when no process of the engine is left. Raises: EngineError when none was started."""
        if self._child is None:
            raise EngineError(f"{self.command.served_name} was not started", cause="not_started")
        return await self._child.wait()

    async def why(self) -> EngineError:
        """Waits for the end of the engine; why it ended, as its log explains it."""
        return await self._explain(await self.wait())

    async def log_tail(self) -> str:
        """The last lines of this run."""
        since = 0 if self._child is None else self._child.log_start
        return await asyncio.to_thread(logfile.tail, self.log_path, since=since)

    async def log_head(self) -> str:
        """The first lines of this run. Raises: OSError when the file is gone."""
        since = 0 if self._child is None else self._child.log_start
        return await asyncio.to_thread(logfile.head, self.log_path, since=since)

    async def measure(self, tokens: int) -> float | None:
        """Decode speed of one more answer of ``tokens`` tokens, in tokens a second."""
        unknown = Reply("", None, None, None, None)
        async with readiness.client(self.command) as http:
            reply = await readiness.measure(http, self.command.served_name, like=unknown, tokens=tokens)
        return reply.decode_tokens_per_s

    async def _bring_up(self, timeout_s: float) -> Ready:
        """llama-server sometimes ends before its last lines, with the cause, are written: one crash in three
        on a busy machine (b10068). A quick end that nothing explains is tried again to learn the cause."""
        for _ in range(START_ATTEMPTS - 1):
            begun = asyncio.get_running_loop().time()
            try:
                return await self._attempt(timeout_s)
            except EngineError as error:
                lived_s = asyncio.get_running_loop().time() - begun
                if error.cause not in UNEXPLAINED or lived_s > QUICK_S:
                    raise
        return await self._attempt(timeout_s)

    async def _attempt(self, timeout_s: float) -> Ready:
        self.ready = None
        begun = None
        if self._child is None or not self._child.alive:
            begun = asyncio.get_running_loop().time()
            self._child = await self._spawn()
        child = self._child
        is_adopted = begun is None
        checking = asyncio.create_task(
            self._prove(child, timeout_s) if is_adopted else self._check(child, begun)
        )
        watching = asyncio.create_task(child.wait())
        stuck = asyncio.create_task(child.wait_unkillable())
        try:
            tasks = {checking, watching, stuck}
            await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            self.ready = await self._outcome(child, checking, watching, timeout_s)
        except Exception:  # whatever happened, nothing may be left running
            if child.alive and child.unkillable is None:
                await child.stop()
            raise
        finally:
            await _cancel(checking, watching, stuck)
        return self.ready

    async def _outcome(
        self, child: Child, checking: asyncio.Task[Ready], watching: asyncio.Task[Exit], timeout_s: float
    ) -> Ready:
        if watching.done():
            raise await self._ended(watching.result())
        if (error := child.unkillable) is not None:
            raise error
        if not checking.done():
            raise await self._not_ready(timeout_s)
        return checking.result()

    async def _spawn(self) -> Child:
        if not await asyncio.to_thread(ports.is_free, self.command.port, self.command.host):
            raise EngineError(
                f"port {self.command.port} is taken by another program",
                hint="launch again to use the next free port",
                cause="port_taken",
            )
        child = await Child.start(
            self.command, self.log_path, limit_bytes=self._log_limit_bytes, sandbox=self._sandbox
        )
        log.info("engine started: name=%s pid=%d", self.command.served_name, child.identity.pid)
        return child

    async def _check(self, child: Child, begun: float | None) -> Ready:
        async with readiness.client(self.command) as http:
            await readiness.wait_until_healthy(http, self.command.health_path)
            load_s = None if begun is None else asyncio.get_running_loop().time() - begun
            child.served = True  # from here on it is stopped by the signal for an engine that serves
            if self._find_degradation is not None and begun is not None:
                head = await asyncio.to_thread(logfile.head, self.log_path, since=child.log_start)
                if (degradation := self._find_degradation(head)) is not None:
                    raise degradation
            if self.command.kind.is_pooled:
                ready = await pooled_answers.check(http, self.command)
            else:
                ready = await readiness.check_answer(http, self.command, expect=self._expect)
        return replace(ready, load_s=load_s)

    async def _prove(self, child: Child, timeout_s: float) -> Ready:
        window_s = min(adoption.WINDOW_S, timeout_s / (adoption.WINDOWS + 1))
        ready = await adoption.prove(lambda: self._check(child, None), self.look, self._earlier, window_s)
        child.served = True
        return ready

    async def look(self) -> liveness.Look:
        """What it shows of itself now. Raises: EngineError when it is gone."""
        if (pid := self.pid) is None:
            raise EngineError(f"{self.command.served_name} has ended", cause="gone")
        return await liveness.look(self.command, pid, self.log_path)

    async def canary(self, tokens: int | None, expect: str | None, slot: int | None = None) -> Ready:
        """As ``liveness.canary``. Raises: EngineError."""
        return await liveness.canary(self.command, tokens=tokens, expect=expect, slot=slot)

    async def _ended(self, ended: Exit) -> EngineError:
        if ended.stop_requested:
            return EngineError(f"{self.command.served_name} was stopped while it started", cause="stopped")
        return await self._explain(ended)

    async def _explain(self, ended: Exit) -> EngineError:
        tail = await self.log_tail()
        error = self._diagnose(tail, ended)
        if self._sandbox is not None and self._sandbox.confined and DENIED in tail:
            error.hint = f"{error.hint}; {DENIED_HINT}" if error.hint else DENIED_HINT
        return error

    async def _not_ready(self, timeout_s: float) -> EngineError:
        return EngineError(
            f"{self.command.served_name} did not answer within {timeout_s:g} s",
            hint="node-ctl logs shows how far it got; for a slow disk, set ready_timeout_s higher",
            cause="timeout",
            engine_output=last_error_line(await self.log_tail()),
        )

    async def _end(self) -> Exit | None:
        await self._past_spawn()
        child = self._child
        if child is None:
            return None
        ended = await child.stop()
        if self._start is not None:
            await asyncio.wait({self._start})
        return ended

    async def _past_spawn(self) -> None:
        """Returns when a start in progress has a child to stop, or has ended."""
        while self._start is not None and not self._start.done() and not self.alive:
            await asyncio.wait({self._start}, timeout=0.01)


async def _cancel(*tasks: "asyncio.Task[object]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _retrieve_exit(task: "asyncio.Task[Exit | None]") -> None:
    """The child's own task has logged a stop that fails after all callers gave up."""
    if not task.cancelled():
        task.exception()


def _retrieve(task: "asyncio.Task[Ready]") -> None:
    """A start that fails after all callers gave up raises nowhere else."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("engine not started: %s", error)
