"""The quant of a GGUF file, and what it may be for, by the names that publishers give them."""

import re
from pathlib import PurePosixPath

from domain.models.kinds import Kind
from domain.models.model import ModelShape

# Longest forms first; a UD- (dynamic) prefix and an _XL suffix belong to the name.
QUANT = re.compile(
    r"(?<![A-Za-z0-9])((?:UD-)?(?:"
    r"IQ[1-6]_(?:XXS|XS|NL|S|M|KSS|KS|KL|KT|K)(?:_R\d)?(?:_X?L)?"
    r"|Q[2-8]_K(?:_(?:XXL|XL|XS|S|M|L|P))?"
    r"|Q[1-8]_[01](?:_\d_\d)?(?:_X?L)?"
    r"|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|FP16|F16|FP32|F32))(?![A-Za-z0-9])",
    re.IGNORECASE,
)
FLOATS = frozenset({"BF16", "FP16", "F16", "FP32", "F32"})
_SHORT = re.compile(r"(?<![A-Za-z0-9])q[1-8](?![A-Za-z0-9_])", re.IGNORECASE)
SHARD = re.compile(r"-\d{5}-of-\d{5}$")
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


def kind_in_name(name: str) -> Kind | None:
    """What the name of a file says that it is, ``None`` for a model. An importance matrix has no quant: a
    name with both is that of a quant which was made with one."""
    stem = PurePosixPath(name).stem
    if _SIDECAR.match(stem):
        return Kind.DRAFT
    matches = [_HINTS[match["word"].lower()] for match in _HINT.finditer(stem)]
    kinds = [kind for kind in matches if kind is not Kind.IMATRIX or not QUANT.search(stem)]
    return kinds[0] if kinds else None


def quant_of(name: str) -> str:
    """By the name of the file or its folder; a name without a quant stands for itself."""
    return quant_in_name(name) or SHARD.sub("", PurePosixPath(name).stem)


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
    """The last one, but no float type beside a quant: that is of embeddings, or of what it was made from.
    Where publishers write only ``q6`` beside a float type, the header tells."""
    path = PurePosixPath(name)
    for text in (SHARD.sub("", path.stem), path.parent.name):
        matches = [str(match).upper() for match in QUANT.findall(text)]
        quants = [match for match in matches if match not in FLOATS]
        if quants or (matches and not _SHORT.search(text)):
            return (quants or matches)[-1]
    return None
