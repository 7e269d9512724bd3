"""Which quants a list of files holds, and what lies beside them, by the names that publishers give."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from catalog.formats.base import QuantFiles
from catalog.formats.gguf.reader import part_names
from domain.model import Companion, Role, WeightFile

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
_BESIDE = re.compile(r"(^|[-_.])(?P<word>mmproj|imatrix|mtp|draft|eagle3?)([-_.]|$)", re.IGNORECASE)
# Of several projectors the first of these: F16 is what most of them are made for, F32 gains nothing.
_PREFERRED = ("F16", "BF16", "Q8_0")

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
}


@dataclass(frozen=True, slots=True)
class Contents:
    """The GGUF files of one place. ``quants`` are complete, the smallest first; of others ``lacking`` names
    the first part that is not there. ``twins`` are two files side by side that are called the same quant of
    differently named models."""

    quants: tuple[QuantFiles, ...] = ()
    lacking: Mapping[str, str] = field(default_factory=dict)
    twins: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    beside: tuple[Companion, ...] = ()


def contents(files: Iterable[WeightFile]) -> Contents:
    """Of a quant that is there twice, the one nearest to the top folder counts. A file is one to load
    beside the model by its name, as long as there is a model beside it."""
    by_name = {file.name: file for file in files if file.name.lower().endswith(".gguf")}
    names = sorted(by_name, key=lambda item: (item.count("/"), item))
    roles = {name: role for name in names if (role := _role(name)) is not None}
    models = [name for name in names if name not in roles and not _is_matrix(name)]
    if not models:  # a repository of one such file is about that file
        models = [name for name, role in roles.items() if role is Role.DRAFT]
        roles = {name: role for name, role in roles.items() if name not in models}
    beside = sorted((Companion(role, by_name[name]) for name, role in roles.items()), key=_preference)
    return dataclasses.replace(_quants(models, by_name), beside=tuple(beside))


def _quants(names: Iterable[str], by_name: Mapping[str, WeightFile]) -> Contents:
    found: dict[str, QuantFiles] = {}
    lacking: dict[str, str] = {}
    twins: dict[str, tuple[str, str]] = {}
    for first in dict.fromkeys(_first_part(name) for name in names):
        quant, parts = quant_of(first), part_names(first)
        missing = next((part for part in parts if part not in by_name), None)
        if missing is not None:
            lacking.setdefault(quant.upper(), missing)
            continue
        mine = QuantFiles(quant, tuple(by_name[part] for part in parts))
        taken = found.setdefault(quant.upper(), mine).files[0].name
        if taken.count("/") == first.count("/") and _model(taken) != _model(first):
            twins.setdefault(quant.upper(), (taken, first))
    complete = tuple(sorted(found.values(), key=lambda item: item.size_bytes))
    return Contents(complete, {quant: part for quant, part in lacking.items() if quant not in found}, twins)


def _model(name: str) -> str:
    """What the name of a file says of the model, without quant and part."""
    stem = _QUANT.sub("", _SHARD.sub("", PurePosixPath(name).stem))
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")


def _first_part(name: str) -> str:
    return re.sub(r"-\d{5}(-of-\d{5}\.gguf)$", r"-00001\1", name)


def _role(name: str) -> Role | None:
    match = _BESIDE.search(PurePosixPath(name).stem)
    if match is None or match["word"].lower() == "imatrix":
        return None
    return Role.PROJECTOR if match["word"].lower() == "mmproj" else Role.DRAFT


def _is_matrix(name: str) -> bool:
    """An importance matrix; a quant that was made with one says its quant, too."""
    stem = PurePosixPath(name).stem
    match = _BESIDE.search(stem)
    return match is not None and match["word"].lower() == "imatrix" and not _QUANT.search(stem)


def _preference(companion: Companion) -> tuple[str, int, str]:
    quant = said_by(companion.file.name) or ""
    rank = _PREFERRED.index(quant) if quant in _PREFERRED else len(_PREFERRED)
    return companion.role, rank, companion.file.name


def quant_of(name: str) -> str:
    """The quant that a file's name or its folder says; a name that says none stands for itself."""
    return said_by(name) or _SHARD.sub("", PurePosixPath(name).stem)


def said_by(name: str) -> str | None:
    path = PurePosixPath(name)
    for text in (_SHARD.sub("", path.stem), path.parent.name):
        if matches := _QUANT.findall(text):
            return str(matches[-1]).upper()
    return None
