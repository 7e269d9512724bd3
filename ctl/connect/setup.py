"""What is told to a client: the address, the models, and files of settings, ready to print or to merge."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ctl.connect.formats import Format

NO_KEY = "none"  # no key is needed on the loopback, but most clients refuse to start without one
# A part of the context is the answer's: a quarter, and no more than agents ask for.
OUTPUT_SHARE = 4
MAX_OUTPUT_TOKENS = 32_768
# What users of coding agents ask for: their instructions and tools take some 16,000 tokens
AGENT_CONTEXT_TOKENS = 65_536


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that generates text, as clients see it at the gateway."""

    name: str
    context_tokens: int | None = None

    @property
    def output_tokens(self) -> int | None:
        """The longest answer that a client should ask for."""
        if self.context_tokens is None:
            return None
        return max(1, min(self.context_tokens // OUTPUT_SHARE, MAX_OUTPUT_TOKENS))


@dataclass(frozen=True, slots=True)
class Service:
    """``base`` is the gateway's URL without a path; ``model`` the one that a client is to use first, of all
    that are served (``models``). ``home`` is the owner's, below which clients keep their files. ``key`` is
    that of the gateway, for clients on other machines."""

    base: str
    models: tuple[ServedModel, ...]
    model: ServedModel
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    key: str = NO_KEY

    @property
    def given_key(self) -> str | None:
        """For clients that do without one on this machine."""
        return None if self.key == NO_KEY else self.key

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the address."""
        return urlsplit(self.base).hostname in ("127.0.0.1", "::1", "localhost")

    @property
    def openai_base(self) -> str:
        return f"{self.base}/v1"

    def folder(self, variable: str, default: str) -> Path:
        """Where a client keeps its files: as a variable of its own says, else below the home."""
        told = self.environment.get(variable)
        return Path(told) if told else self.home / default


@dataclass(frozen=True, slots=True)
class SettingsFile:
    path: Path
    format: Format
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Setup:
    """``variables`` are of the environment, ``steps`` for a person to take in the client."""

    files: tuple[SettingsFile, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """``source`` says where its settings are documented."""

    name: str
    title: str
    setup: Callable[[Service], Setup]
    source: str
    is_agent: bool = False


def without_unknown(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Without the members that are not known."""
    return {key: value for key, value in settings.items() if value is not None}


def context_note(client: Client, model: ServedModel) -> tuple[str, ...]:
    """For a coding agent whose own instructions leave little of the context."""
    if not client.is_agent or model.context_tokens is None or model.context_tokens >= AGENT_CONTEXT_TOKENS:
        return ()
    wanted = AGENT_CONTEXT_TOKENS
    note = (
        f"{model.name} is served with a context of {model.context_tokens} tokens, and coding agents want "
        f"{wanted}: launch it with --context {wanted // 1024}k if that fits"
    )
    return (note,)
