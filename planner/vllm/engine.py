"""vLLM in the planner: the functions of ``planner.engine.EnginePlanner``."""

from domain.models.model import ModelShape, ResolvedModel
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.vllm.availability import as_alternative, support
from planner.vllm.limits import max_context_tokens, min_bytes, nearest_placement, shortage
from planner.vllm.model_config import read_config
from planner.vllm.quality import named_loss, quality_loss
from planner.vllm.ranks import CACHE_TYPES
from planner.vllm.reasons import describe
from planner.vllm.search import find_candidates

__all__ = [
    "CAN_READ_FROM_DISK",
    "as_alternative",
    "cache_types",
    "describe",
    "find_candidates",
    "max_context_tokens",
    "min_bytes",
    "named_loss",
    "nearest_placement",
    "quality_loss",
    "shortage",
    "support",
    "trained_context_tokens",
    "tune",
    "with_batch_of",
]

CAN_READ_FROM_DISK: bool = False


def cache_types(model: ResolvedModel) -> tuple[str, ...]:
    del model  # its blocks hold whole heads of any size
    return CACHE_TYPES


def trained_context_tokens(shape: ModelShape) -> int:
    return read_config(shape).trained_context_tokens


def tune(chosen: Candidate, search: SearchContext) -> Candidate:
    """Unchanged: vLLM sizes its batches itself."""
    return chosen


def with_batch_of(candidate: Candidate, chosen: Candidate, search: SearchContext) -> Candidate:
    """Unchanged: vLLM sizes its batches itself."""
    return candidate
