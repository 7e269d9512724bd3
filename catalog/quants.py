"""Which quants a list of files holds, by the names that publishers give them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from catalog.gguf import part_names
from domain.model import WeightFile

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
# Files beside the model: vision projectors, importance matrices, draft heads.
_BESIDE = re.compile(r"(^|[-_.])(mmproj|imatrix|mtp|draft|eagle3?)([-_.]|$)", re.IGNORECASE)

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
class QuantFiles:
    """One quant: all its parts, in order."""

    quant: str
    files: tuple[WeightFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes or 0 for file in self.files)


def quants_of(files: Iterable[WeightFile]) -> tuple[QuantFiles, ...]:
    """The quants that are complete among ``files``, smallest first. Of a quant that is there twice,
    the one nearest to the top folder counts."""
    by_name = {file.name: file for file in files if file.name.lower().endswith(".gguf")}
    found: dict[str, QuantFiles] = {}
    for name in sorted(by_name, key=lambda item: (item.count("/"), item)):
        parts = part_names(name)
        if name != parts[0] or _BESIDE.search(PurePosixPath(name).stem):
            continue
        if all(part in by_name for part in parts):
            quant = quant_of(name)
            found.setdefault(quant.upper(), QuantFiles(quant, tuple(by_name[part] for part in parts)))
    return tuple(sorted(found.values(), key=lambda item: item.size_bytes))


def quant_of(name: str) -> str:
    """The quant that a file's name or its folder says; a name that says none stands for itself."""
    return said_by(name) or _SHARD.sub("", PurePosixPath(name).stem)


def said_by(name: str) -> str | None:
    path = PurePosixPath(name)
    for text in (_SHARD.sub("", path.stem), path.parent.name):
        if matches := _QUANT.findall(text):
            return str(matches[-1]).upper()
    return None
