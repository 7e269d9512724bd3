"""What a module of ``targets/`` offers, and the list of them."""

import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from tests.conftest import ROOT

CORPUS = ROOT / "tests" / "captures" / "fuzz"  # a folder of inputs for each target
NAMES = (
    "gguf",
    "safetensors",
    "config_json",
    "hub",
    "engine",
    "nvml",
    "sysfs",
    "api",
    "settings",
    "catalogue",
    "plan",
    "gateway",
    "notify",
)
# Rooms whose coverage is not followed: it costs more inputs than it finds, as that target knows the keys.
UNFOLLOWED = {"plan": ("planner",)}


class Target(Protocol):
    """``ALLOWED`` are the exceptions that an owner is told of; any other is a finding, and so is an input
    that takes more CPU time or memory than the limits."""

    ALLOWED: tuple[type[Exception], ...]
    CPU_LIMIT_MS: int
    MEMORY_LIMIT_MIB: int
    MAX_BYTES: int

    def seeds(self) -> Iterable[bytes]:
        """Inputs as real files, servers, engines and drivers give them."""

    def mutate(self, data: bytes, rng: Any) -> bytes:
        """Another input, of the same kind where that can be said."""

    def run(self, data: bytes) -> None:
        """What the product does with such an input."""


def load(name: str) -> Target:
    """By the name of its module in ``targets/``, or of a module elsewhere."""
    module: ModuleType = importlib.import_module(name if "." in name else f"tests.fuzz.targets.{name}")
    return cast("Target", module)


def corpus(name: str) -> list[Path]:
    """The kept inputs of a target: those that once broke something, and those that reach far."""
    return sorted((CORPUS / name).glob("*"))
