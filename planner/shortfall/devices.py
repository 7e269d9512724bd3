"""What is short where: the placement of a model that comes nearest to fitting, device by device."""

from domain.models.model import ResolvedModel
from domain.units import gib
from planner.choose.context import SearchContext
from planner.choose.support import Share
from planner.engine import ENGINES


def describe(
    model: ResolvedModel, context_tokens: int, search: SearchContext, *, is_smallest: bool
) -> list[str]:
    """First what is placed, then a sentence for each device."""
    size = gib(model.shape.file_bytes or model.weights.size_bytes)
    each = f" for each of {search.parallel} at once" if search.parallel > 1 else ""
    which = ", the smallest," if is_smallest else ""
    placed = f"{model.weights.quant} ({size}){which} with {context_tokens} tokens of context{each}"
    shares = ENGINES[model.engine].nearest_placement(model, context_tokens, search)
    return [f"{placed} on {model.engine}", *map(_share, shares)]


def missing_bytes(model: ResolvedModel, context_tokens: int, search: SearchContext) -> int:
    """Over all devices, of the placement that comes nearest."""
    shares = ENGINES[model.engine].nearest_placement(model, context_tokens, search)
    return sum(share.missing_bytes for share in shares)


def _share(share: Share) -> str:
    row = share.memory
    named = (
        ("weights", row.weights_bytes),
        ("KV cache", row.kv_cache_bytes),
        ("batches", row.compute_bytes),
        ("the engine itself", row.overhead_bytes),
    )
    parts = ", ".join(f"{gib(size)} {name}" for name, size in named if size)
    need = f"{share.where} would hold {gib(row.needed_bytes)} ({parts})"
    if share.has_bytes is None:
        return f"{need}; how much is free is not known"
    has = f"{gib(share.has_bytes)} can be used of {gib(row.free_bytes)} free"
    return f"{need}; {has}: {_verdict(share)}"


def _verdict(share: Share) -> str:
    return f"{gib(share.missing_bytes)} short" if share.missing_bytes else "enough"
