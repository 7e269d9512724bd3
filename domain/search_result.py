"""What a search of the hub finds. The names are the contract of ``node-ctl search --json``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A repository that an engine here could load. ``formats`` are ``gguf`` and ``safetensors``;
    ``size_bytes`` is told of safetensors alone: a GGUF repository has many quants. ``alias`` is what the
    catalogue calls the model. ``None`` is what the hub does not say."""

    repo: str
    formats: tuple[str, ...]
    downloads: int | None = None
    parameters: int | None = None
    size_bytes: int | None = None
    licence: str | None = None
    gated: bool | None = None
    alias: str | None = None
