"""Files that turn images into tokens for a model, as they were put before the engine."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from domain.models.model import ModelShape, Tensor

CAPTURE = Path(__file__).parent.parent / "captures" / "llamacpp-projectors.json"
TYPE_BYTES = {"F16": 2, "F32": 4}


@lru_cache(maxsize=1)
def recorded() -> dict[str, Any]:
    """Projectors of many kinds, and what the engine said of each."""
    found: dict[str, Any] = json.loads(CAPTURE.read_text())
    return found


def projector(model: str, *, blocks: int | None = None, out: int | None = None) -> ModelShape:
    """The one of ``model``; with fewer blocks, and for a model whose embedding is ``out`` wide (gemma3)."""
    found = recorded()["models"][model]
    metadata = {
        key: tuple(value) if isinstance(value, list) else value for key, value in found["metadata"].items()
    }
    count = blocks or metadata["clip.vision.block_count"]
    metadata["clip.vision.block_count"] = count
    shapes = {
        name.replace("*", str(number)): dims
        for name, dims in found["tensors"]
        for number in range(count if "*" in name else 1)
    }
    if out is not None:
        shapes["mm.input_projection.weight"] = [out, *shapes["mm.input_projection.weight"][1:]]
    tensors = tuple(tensor(name, *dims) for name, dims in shapes.items())
    return ModelShape(
        architecture="clip",
        tensors=tensors,
        file_bytes=sum(one.size_bytes for one in tensors),
        metadata=metadata,
    )


def tensor(name: str, *shape: int) -> Tensor:
    kind = "F32" if len(shape) == 1 or "position_embd" in name else "F16"
    values = 1
    for size in shape:
        values *= size
    return Tensor(name, kind, shape, values * TYPE_BYTES[kind])
