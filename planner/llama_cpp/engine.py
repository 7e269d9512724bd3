"""llama.cpp in the planner: the functions of ``planner.engine.EnginePlanner``."""

from domain.machine.hardware import Hardware
from domain.models.model import ModelShape, ResolvedModel
from planner.choose.support import EngineChoice, Support
from planner.llama_cpp.cache_types import accepted_types
from planner.llama_cpp.limits import max_context_tokens, min_bytes, nearest_placement, shortage
from planner.llama_cpp.quality import named_loss, quality_loss
from planner.llama_cpp.reasons import describe
from planner.llama_cpp.search import find_candidates, tune, with_batch_of
from planner.model.hparams import read_hparams

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

CAN_READ_FROM_DISK: bool = True


def support(model: ResolvedModel, hardware: Hardware) -> Support:
    """llama.cpp runs on any CPU, and reads every GGUF quant."""
    return Support()


def as_alternative(models: tuple[ResolvedModel, ...], hardware: Hardware) -> EngineChoice:
    return EngineChoice(models)


def cache_types(model: ResolvedModel) -> tuple[str, ...]:
    return accepted_types(read_hparams(model.shape))


def trained_context_tokens(shape: ModelShape) -> int:
    return read_hparams(shape).trained_context_tokens
