"""A result of a search of the hub. The field names are the contract of ``node-ctl search --json``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A repository that an engine here could load. ``formats`` are ``gguf`` and ``safetensors``;
    ``downloads`` are those of the last month; ``size_bytes`` is known for safetensors alone, as a GGUF
    repository has many quants; ``alias`` is the catalogue's. ``None``: the hub does not say."""

    repo: str
    formats: tuple[str, ...]
    downloads: int | None = None
    parameters: int | None = None
    size_bytes: int | None = None
    licence: str | None = None
    gated: bool | None = None
    alias: str | None = None
