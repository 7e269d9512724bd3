"""What every engine's launcher offers. The modules in ``registry`` satisfy ``Launcher``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from domain.errors import EngineError
from domain.hardware import EngineFound
from domain.plan import LlamaFlags, Plan, VllmFlags
from launchers.command import Command, Exit

EngineFlags = LlamaFlags | VllmFlags


@dataclass(frozen=True, slots=True)
class SearchPaths:
    """Where engines may lie, best first: the path of the settings, ``search_path`` (as ``PATH``),
    environments made for engines, and the wheel beside us (``embedded``). What engines say about
    themselves is kept in ``cache_dir`` across starts of the daemon."""

    llama_server: Path | None = None
    vllm: Path | None = None
    search_path: str = ""
    environments: tuple[Path, ...] = ()
    embedded: bool = True
    cache_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class EngineDevice:
    """A device by the name the engine gives it: ``Vulkan0``, ``CUDA1``, ``RPC0``."""

    name: str
    description: str = ""
    total_bytes: int | None = None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one binary can do, by its own word. ``values`` are the words a flag takes, where listed;
    ``problem`` says why it can't serve on this machine; ``env`` is what it needs to run at all."""

    engine: str
    path: str
    version: str | None = None
    flags: frozenset[str] = frozenset()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    devices: tuple[EngineDevice, ...] = ()
    backends: tuple[str, ...] = ()
    problem: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def first(self, names: Sequence[str]) -> str | None:
        """The first of ``names`` that this build has."""
        return next((name for name in names if name in self.flags), None)


class Launcher(Protocol):
    """One engine. ``find`` and ``ask`` start children and block; the rest is pure."""

    def find(self, places: SearchPaths) -> tuple[EngineFound, ...]:
        """Every binary there is, best first; one that gives no answer has no ``version``."""
        ...

    def ask(self, path: str, *, cache_dir: Path | None = None) -> Capabilities:
        """What the binary says it can do. Raises: EngineError when it can't be asked."""
        ...

    def assume(self) -> Capabilities:
        """What builds of today can do: for the plan of a box whose engine can't be asked."""
        ...

    def arguments(self, flags: EngineFlags, caps: Capabilities) -> tuple[str, ...]:
        """Engine flags without model, host and port. Raises: EngineError for a flag that the
        plan needs and the build lacks, UsageError for extra flags that are the daemon's own."""
        ...

    def parse(self, args: Sequence[str]) -> EngineFlags:
        """The opposite of ``arguments``, for what an owner typed. Raises: UsageError."""
        ...

    def command(self, plan: Plan, *, caps: Capabilities, port: int, name: str) -> Command:
        """The whole command line, on the loopback, serving the model as ``name``."""
        ...

    def diagnose(self, log_tail: str, ended: Exit) -> EngineError:
        """Why the engine ended, with its own line that says so."""
        ...

    def degraded(self, log: str, plan: Plan) -> EngineError | None:
        """What the log of a start says is less than planned, ``None`` when all is as planned."""
        ...
