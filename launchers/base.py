"""The interface of an engine's launcher. The modules in ``registry`` satisfy ``Launcher``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from domain.errors import EngineError
from domain.launches.engine_build import EngineDevice
from domain.launches.plan import EngineFlags, Plan
from domain.machine.hardware import InstalledEngine
from launchers.command import Command, Exit


@dataclass(frozen=True, slots=True)
class SearchPaths:
    """Where engines may be installed, best first: the path in the settings, ``search_path`` (like
    ``PATH``), environments made for engines, and the wheel in our own environment (``embedded``).
    ``cache_dir`` keeps what engines report about themselves across starts of the daemon."""

    llama_server: Path | None = None
    vllm: Path | None = None
    search_path: str = ""
    environments: tuple[Path, ...] = ()
    embedded: bool = True
    cache_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one binary reports that it can do. ``values`` are the words an option takes, where it lists
    them; ``instructions`` are those of the CPU that it was compiled to use, if it tells; ``problem`` says why
    it can't serve on this machine; ``env`` is what it needs to run at all."""

    engine: str
    path: str
    version: str | None = None
    flags: frozenset[str] = frozenset()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    devices: tuple[EngineDevice, ...] = ()
    backends: tuple[str, ...] = ()
    instructions: tuple[str, ...] | None = None
    problem: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def first(self, names: Sequence[str]) -> str | None:
        """The first of ``names`` that this build has as an option."""
        return next((name for name in names if name in self.flags), None)


class Launcher(Protocol):
    """One engine. ``find`` and ``inspect`` start children and block; the rest is pure."""

    def find(self, search_paths: SearchPaths) -> tuple[InstalledEngine, ...]:
        """Every installed binary, best first; one that does not answer has no ``version``."""
        ...

    def inspect(self, path: str, *, cache_dir: Path | None = None) -> Capabilities:
        """What the binary reports that it can do. Raises: EngineError when it does not answer."""
        ...

    def known_architectures(self, path: str) -> tuple[str, ...] | None:
        """Of models, as their files name them, read from the build at ``path``; ``None`` where it does not
        tell. Blocks."""
        ...

    def assume(self) -> Capabilities:
        """What current builds can do: for the plan of a machine that isn't here."""
        ...

    def arguments(self, flags: EngineFlags, caps: Capabilities) -> tuple[str, ...]:
        """Options of the engine without model, host and port. Raises: EngineError for an option that the
        plan needs and the build lacks, UsageError for extra options that the daemon sets itself."""
        ...

    def parse(self, args: Sequence[str]) -> EngineFlags:
        """The inverse of ``arguments``, for options that an owner typed. Raises: UsageError."""
        ...

    def command(self, plan: Plan, *, caps: Capabilities, port: int, name: str) -> Command:
        """The whole command line, on the loopback, serving the model as ``name``."""
        ...

    def diagnose(self, log_tail: str, ended: Exit) -> EngineError:
        """Why the engine ended, with the line of its log that says so."""
        ...

    def find_degradation(self, log: str, plan: Plan) -> EngineError | None:
        """What the log of a start shows to be less than planned; ``None`` when all is as planned."""
        ...
