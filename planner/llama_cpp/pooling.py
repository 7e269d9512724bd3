"""The flags of a model that answers with a vector or a score: an embedding or a reranking model.

Source: llama.cpp ``tools/server/server-context.cpp``, ``server_slot::can_split``, and ``server.cpp``.
"""

from dataclasses import replace

from domain.launches.plan import LlamaFlags
from domain.models.classification import has_kv_cache, pooling_of
from domain.models.kinds import Kind, Pooling
from domain.models.model import ResolvedModel


def pooled_flags(flags: LlamaFlags, model: ResolvedModel, context_tokens: int) -> LlamaFlags:
    """``flags`` for the kind of ``model``; unchanged for one that generates text."""
    kind = model.weights.kind
    if not kind.is_pooled:
        return flags
    flags = replace(
        flags,
        embedding=kind is Kind.EMBEDDING,
        reranking=kind is Kind.RERANKER,
        jinja=None,
        reasoning_format=None,
    )
    parallel = flags.parallel or 1  # texts fill their windows at once, so each has one to itself
    flags = replace(flags, context_tokens=context_tokens * parallel, kv_unified=False)
    if can_split(model):
        return flags
    return replace(flags, batch=context_tokens, ubatch=context_tokens)


def can_split(model: ResolvedModel) -> bool:
    """Whether a text may be longer than one batch. Else the server refuses what does not fit in a ubatch.
    Builds differ for rerankers with a cache: the stricter ones count."""
    return has_kv_cache(model.shape) and pooling_of(model.shape) is Pooling.LAST
