"""Models of the catalogue as the planner gets them, with headers made from what the catalogue knows."""

from functools import cache

from catalog.synthetic.header import shape_of
from config.data import catalogue
from domain.errors import NodeError
from domain.models.model import ResolvedModel, Source, WeightFile, Weights


def plannable() -> tuple[str, ...]:
    """Those of which sizes of quants are known and a header can be made."""
    return tuple(name for name, entry in catalogue().items() if entry.quants and resolved_models(name))


@cache
def resolved_models(name: str) -> tuple[ResolvedModel, ...]:
    """All quants of a model; empty where no header can be made."""
    entry, found = catalogue()[name], []
    for quant in entry.quants:
        try:
            shape = shape_of(entry, quant)
        except (NodeError, ValueError, KeyError):
            continue
        size_bytes = quant.size_bytes or shape.file_bytes
        file = WeightFile(f"{name}-{quant.quant}.gguf", size_bytes)
        weights = Weights(Source.HUB, quant.repo or name, "main", (file,), quant.quant, size_bytes)
        found.append(ResolvedModel(weights, shape))
    return tuple(found)
