"""The quants and companion files in a list of GGUF files, by the names that publishers give them."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from catalog.formats.base import QuantFiles
from catalog.formats.gguf.reader import each_part, part_names
from domain.kinds import Kind
from domain.model import Companion, ModelShape, WeightFile

# Longest forms first; a UD- (dynamic) prefix and an _XL suffix belong to the name.
_QUANT = re.compile(
    r"(?<![A-Za-z0-9])((?:UD-)?(?:"
    r"IQ[1-6]_(?:XXS|XS|NL|S|M|KSS|KS|KL|KT|K)(?:_R\d)?(?:_X?L)?"
    r"|Q[2-8]_K(?:_(?:XXL|XL|XS|S|M|L|P))?"
    r"|Q[1-8]_[01](?:_\d_\d)?(?:_X?L)?"
    r"|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|FP16|F16|FP32|F32))(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
# What a name suggests while the header is not read: words of publishers, at a boundary.
_HINTS: dict[str, Kind] = {
    "mmproj": Kind.PROJECTOR,
    **dict.fromkeys(("draft", "drafter", "eagle", "eagle3", "dflash", "dflash2", "dspark"), Kind.DRAFT),
    "lora": Kind.ADAPTER,
    **dict.fromkeys(("control-vector", "controlvector", "cvector"), Kind.CONTROL_VECTOR),
    "imatrix": Kind.IMATRIX,
}
_HINT = re.compile(rf"(^|[-_.])(?P<word>{'|'.join(_HINTS)})([-_.]|$)", re.IGNORECASE)
_SIDECAR = re.compile(r"mtp[-_.]", re.IGNORECASE)  # in the middle of a name: a model with such heads
# Of several projectors the first of these is used: most are made for F16, F32 gains nothing.
_PREFERRED_TYPES = ("F16", "BF16", "Q8_0")

# general.file_type of a header. Source: llama.cpp include/llama.h, enum llama_ftype.
FILE_TYPES: dict[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}


@dataclass(frozen=True, slots=True)
class Contents:
    """The GGUF files of one repository or folder. ``quants`` are complete, the smallest first. ``incomplete``
    has the first missing part of others, ``ambiguous`` two files at the same depth that are the same quant of
    differently named models, or whose names differ in case alone."""

    quants: tuple[QuantFiles, ...] = ()
    incomplete: Mapping[str, str] = field(default_factory=dict)
    ambiguous: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    companions: tuple[Companion, ...] = ()


def group_files(files: Iterable[WeightFile]) -> Contents:
    """Of a quant in several folders the one nearest to the top counts. A file whose name says that it is a
    companion is one only if there is a model for it."""
    by_name = {file.name: file for file in files if file.name.lower().endswith(".gguf")}
    names = sorted(by_name, key=lambda name: (name.count("/"), name))
    roles = {name: role for name in names if (role := kind_in_name(name)) is not None}
    models = [name for name in names if name not in roles]
    if not models:  # a repository of drafts, or of models with odd names
        models = [name for name, role in roles.items() if role not in (Kind.PROJECTOR, Kind.IMATRIX)]
        roles = {name: role for name, role in roles.items() if name not in models}
    companions = sorted((Companion(role, by_name[name]) for name, role in roles.items()), key=_preference)
    return dataclasses.replace(_group_by_quant(models, by_name), companions=tuple(companions))


def _group_by_quant(names: Iterable[str], by_name: Mapping[str, WeightFile]) -> Contents:
    complete: dict[str, QuantFiles] = {}
    incomplete: dict[str, str] = {}
    ambiguous: dict[str, tuple[str, str]] = {}
    for first in dict.fromkeys(_first_part(name) for name in names):
        quant = quant_of(first)
        missing = next((part for part in each_part(first) if part not in by_name), None)
        if missing is not None:
            incomplete.setdefault(quant.upper(), missing)
            continue
        files = QuantFiles(quant, tuple(by_name[part] for part in part_names(first)))
        earlier = complete.setdefault(quant.upper(), files).names[0]
        if earlier.count("/") == first.count("/") and _are_two(earlier, first):
            ambiguous.setdefault(quant.upper(), (earlier, first))
    quants = tuple(sorted(complete.values(), key=lambda files: files.size_bytes))
    incomplete = {quant: part for quant, part in incomplete.items() if quant not in complete}
    return Contents(quants, incomplete, ambiguous)


def _are_two(earlier: str, name: str) -> bool:
    """Whether neither may stand for the other: of names that differ in case alone, one hides the other on
    some disks."""
    if earlier != name and earlier.lower() == name.lower():
        return True
    return _model_name(earlier) != _model_name(name)


def _model_name(name: str) -> str:
    """The name of a file without quant and part number."""
    stem = _QUANT.sub("", _SHARD.sub("", PurePosixPath(name).stem))
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")


def _first_part(name: str) -> str:
    return re.sub(r"-\d{5}(-of-\d{5}\.gguf)$", r"-00001\1", name)


def kind_in_name(name: str) -> Kind | None:
    """What the name of a file says that it is, ``None`` for a model. An importance matrix has no quant: a
    name with both is that of a quant which was made with one."""
    stem = PurePosixPath(name).stem
    if _SIDECAR.match(stem):
        return Kind.DRAFT
    matches = [_HINTS[match["word"].lower()] for match in _HINT.finditer(stem)]
    kinds = [kind for kind in matches if kind is not Kind.IMATRIX or not _QUANT.search(stem)]
    return kinds[0] if kinds else None


def _preference(companion: Companion) -> tuple[str, int, str]:
    quant = quant_in_name(companion.file.name) or ""
    rank = _PREFERRED_TYPES.index(quant) if quant in _PREFERRED_TYPES else len(_PREFERRED_TYPES)
    return companion.role, rank, companion.file.name


def quant_of(name: str) -> str:
    """By the name of the file or its folder; a name without a quant stands for itself."""
    return quant_in_name(name) or _SHARD.sub("", PurePosixPath(name).stem)


def quant_of_shape(shape: ModelShape, name: str) -> str:
    """By the file's name, which can say more (UD-Q4_K_XL is no type of llama.cpp), else by its header: the
    type that it states, or the one of most of its bytes."""
    if named := quant_in_name(name):
        return named
    kind = shape.metadata.get("general.file_type")
    stated = FILE_TYPES.get(kind) if isinstance(kind, int) else None
    return stated or _main_type(shape) or quant_of(name)


def _main_type(shape: ModelShape) -> str | None:
    bytes_by_type: dict[str, int] = {}
    for tensor in shape.tensors:
        bytes_by_type[tensor.type] = bytes_by_type.get(tensor.type, 0) + tensor.size_bytes
    return max(bytes_by_type, key=lambda kind: bytes_by_type[kind], default=None)


def quant_in_name(name: str) -> str | None:
    path = PurePosixPath(name)
    for text in (_SHARD.sub("", path.stem), path.parent.name):
        if matches := _QUANT.findall(text):
            return str(matches[-1]).upper()
    return None
