"""What a plan says of a vLLM candidate: ranks, eager mode, the type of the cache."""

from dataclasses import replace

from domain.launches.plan import VllmFlags
from planner.choose.candidates import Candidate, CandidateDetails
from planner.choose.context import SearchContext
from planner.vllm.estimate import memory_layout
from planner.vllm.memory.pool import guaranteed_tokens
from planner.vllm.model_config import read_config
from planner.vllm.search import vllm_flags
from planner.vllm.weights.quantization import served_dtype

# llama.cpp's names for the dtypes that ``auto`` stands for.
_CACHE_TYPES = {"bfloat16": "bf16", "float16": "f16", "float32": "f32", "half": "f16", "float": "f32"}


def describe(candidate: Candidate, search: SearchContext) -> CandidateDetails:
    flags = vllm_flags(candidate)
    eager = "eager, bfloat16: compiled bfloat16 gave wrong text on a CPU" if flags.enforce_eager else ""
    details = CandidateDetails(
        kv_cache_type=_kv_cache_type(candidate, flags), placement=_placement(flags), runtime=eager
    )
    layout = memory_layout(candidate.model.shape, flags, search.hardware)
    if candidate.parallel == 1 or not layout.kv_blocks.groups:
        return details
    sure = guaranteed_tokens(
        layout.kv_blocks, layout.kv_cache_bytes, candidate.context_tokens, candidate.parallel
    )
    return replace(details, pool_tokens=layout.kv_capacity_tokens, guaranteed_tokens=sure)


def _placement(flags: VllmFlags) -> str:
    if flags.enforce_eager:
        return "all on the CPU"
    if flags.tensor_parallel == 1:
        return "all on one GPU"
    return f"all on {flags.tensor_parallel} GPUs, tensor-parallel"


def _kv_cache_type(candidate: Candidate, flags: VllmFlags) -> str:
    if candidate.cache_type != "auto":
        return candidate.cache_type
    dtype = served_dtype(read_config(candidate.model.shape), flags.dtype)
    return _CACHE_TYPES.get(dtype, dtype)
