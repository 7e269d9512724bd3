"""Values: the command of an engine, how to stop it, how it ended."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from signal import Signals

from domain.models.kinds import Kind
from launchers.environment import child_environment
from launchers.sandbox.shim import KEY_FILE


@dataclass(frozen=True, slots=True)
class StopPolicy:
    """``grace_s`` after the signal the whole session is killed. ``shared_memory`` are patterns of
    names below /dev/shm that only this engine creates and may leave behind. ``starting_to_all``: the
    starting signal goes to every process of the session, the serving signal only to the leader."""

    starting_signal: Signals = Signals.SIGTERM
    starting_to_all: bool = False
    serving_signal: Signals = Signals.SIGTERM
    grace_s: float = 10.0
    shared_memory: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """``argv[0]`` is an absolute path; ``env`` are additions to what an engine gets of
    the daemon's environment. ``connects`` are the TCP ports that it opens connections to besides answering,
    ``None`` for any: then it may listen on any, too. ``writes`` are folders that its options have it write
    to. ``kind`` of the model: what it is asked to prove that it serves. ``key_option`` takes a file with the
    key that its clients must send; ``key`` is that, where it has one."""

    argv: tuple[str, ...]
    port: int
    served_name: str
    env: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    health_path: str = "/health"
    stop: StopPolicy = StopPolicy()
    connects: tuple[int, ...] | None = ()
    writes: tuple[str, ...] = ()
    kind: Kind = Kind.MODEL
    key_option: str | None = None
    key: str | None = field(default=None, repr=False)

    def with_key(self) -> "Command":
        """With a key of its own, if the engine can have one. It is in no file, command line or environment:
        the shim holds it open as KEY_FILE."""
        if self.key_option is None:
            return self
        return replace(self, argv=(*self.argv, self.key_option, KEY_FILE), key=secrets.token_urlsafe(32))

    @property
    def headers(self) -> dict[str, str]:
        """Of a request to the engine."""
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def environment(self, base: Mapping[str, str], passed: Iterable[str] = ()) -> dict[str, str]:
        return child_environment(base, self.env, passed=passed)


@dataclass(frozen=True, slots=True)
class Exit:
    """How an engine ended. ``status`` is negative for a signal, ``None`` for an adopted engine, whose
    parent we are not. ``stop_requested``: without it, a status of 0 is a crash too. ``served``: it had
    answered before. ``oom_killed``: the kernel killed a process in its cgroup for memory."""

    status: int | None
    stop_requested: bool = False
    served: bool = False
    oom_killed: bool = False
