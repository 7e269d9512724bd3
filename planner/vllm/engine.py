"""vLLM in the planner: the functions of ``planner.engine.EnginePlanner``."""

from domain.model import ModelShape
from planner.choose.candidates import Candidate, CandidateDetails
from planner.choose.context import SearchContext
from planner.vllm.availability import as_alternative, support
from planner.vllm.limits import max_context_tokens, min_bytes
from planner.vllm.model_config import read_config
from planner.vllm.quality import quality_loss
from planner.vllm.reasons import details
from planner.vllm.search import CACHE_TYPES, find_candidates

__all__ = [
    "as_alternative",
    "cache_types",
    "can_read_from_disk",
    "describe",
    "find_candidates",
    "max_context_tokens",
    "min_bytes",
    "quality_loss",
    "support",
    "trained_context_tokens",
    "tune",
    "with_batch_of",
]


def trained_context_tokens(shape: ModelShape) -> int:
    return read_config(shape).trained_context_tokens


def tune(chosen: Candidate, search: SearchContext) -> Candidate:
    """Unchanged: vLLM sizes its batches itself."""
    return chosen


def with_batch_of(candidate: Candidate, chosen: Candidate, search: SearchContext) -> Candidate:
    """Unchanged: vLLM sizes its batches itself."""
    return candidate


def describe(candidate: Candidate, search: SearchContext) -> CandidateDetails:
    return details(candidate)


def can_read_from_disk() -> bool:
    return False


def cache_types() -> tuple[str, ...]:
    return CACHE_TYPES
