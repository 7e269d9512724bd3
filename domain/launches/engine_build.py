"""A build of an engine on this machine, with all that is known of it."""

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """How a build was found."""

    SETTINGS = "settings"
    SEARCH_PATH = "PATH"
    ENVIRONMENT = "environment"
    INCLUDED = "included"  # the wheel that came with this program


@dataclass(frozen=True, slots=True)
class EngineDevice:
    """A device under the engine's own name for it: ``Vulkan0``, ``CUDA1``, ``RPC0``."""

    name: str
    description: str = ""
    total_bytes: int | None = None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class EngineProof:
    """What came of loading ``model`` with the build at ``path`` and asking it the known question, at ``at``
    (ISO 8601, UTC): its ``answer`` with how long it loaded and how fast it generated, or the ``error`` with
    the next step."""

    path: str
    version: str | None
    at: str
    model: str
    answer: str | None = None
    load_s: float | None = None
    decode_tokens_per_s: float | None = None
    error: str | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class EngineBuild:
    """``instructions``: what it was compiled to use of a CPU, in ggml's names. ``architectures``: of models,
    as GGUF files or config.json name them. Both are ``None`` where the build does not tell. ``is_default``:
    it serves what asks for no other build. ``used_by``: launches that it serves now. ``proof``: of the last
    check of this version, ``None`` if it was never checked."""

    engine: str
    path: str
    version: str | None
    origin: Origin
    backends: tuple[str, ...] = ()
    devices: tuple[EngineDevice, ...] = ()
    instructions: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None
    problem: str | None = None
    is_default: bool = False
    used_by: tuple[str, ...] = ()
    proof: EngineProof | None = None
