"""Models on this disk, as ``node-ctl models`` lists them."""

from dataclasses import dataclass

from domain.models.model import Source


@dataclass(frozen=True, slots=True)
class StoredFile:
    """``path`` is its name in the store, ``real_path`` where its bytes are. ``sha256`` and ``git_sha1`` are
    the expected digests, if known."""

    name: str
    path: str
    real_path: str
    size_bytes: int
    sha256: str | None = None
    git_sha1: str | None = None


@dataclass(frozen=True, slots=True)
class LocalModel:
    """One quant of one repository. ``name`` is a name that it can be launched by. ``other_tool``: it is in
    the cache of another tool, and never removed. ``linked``: its bytes are in a folder of another tool."""

    name: str
    source: Source
    repo: str
    revision: str | None
    quant: str
    location: str
    files: tuple[StoredFile, ...]
    fetched_at: str | None = None
    other_tool: bool = False
    linked: bool = False

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class ModelNote:
    """What is recorded about weights by their name. Times are ISO 8601, UTC; ``None``: never."""

    name: str
    pinned: bool = False
    used_at: str | None = None
    verified_at: str | None = None
    damaged: str | None = None


@dataclass(frozen=True, slots=True)
class LocalModelRow:
    """One row of ``node-ctl models --json``. ``running`` names the launch that uses it, with the context that
    is planned and the one that its engine loaded; ``proven_context_tokens`` is the depth that node-ctl prove
    filled with the installed engine, on this machine."""

    model: str
    source: Source
    repo: str
    revision: str | None
    quant: str
    size_bytes: int
    files: tuple[str, ...]
    location: str
    fetched_at: str | None = None
    used_at: str | None = None
    pinned: bool = False
    verified_at: str | None = None
    damaged: str | None = None
    running: str | None = None
    other_tool: bool = False
    linked: bool = False
    planned_context_tokens: int | None = None
    loaded_context_tokens: int | None = None
    proven_context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """A step of hashing weights again. At the end of each file (``ended``), ``known`` is whether its digest
    was known, and ``damaged`` says what is wrong with it."""

    model: str
    file: str
    bytes_done: int
    bytes_total: int
    ended: bool = False
    known: bool = False
    damaged: str | None = None
