"""The longest context that a choice would hold, its split and everything else kept."""

from dataclasses import replace

from domain.plan import LlamaFlags, VllmFlags
from planner.choose.candidates import Candidate
from planner.llama_cpp import search
from planner.llama_cpp.estimate import lay_out
from planner.llama_cpp.search import SearchContext
from planner.model import hparams
from planner.vllm import estimate as vllm_estimate
from planner.vllm import model_config as vllm_config

STEP_TOKENS = 1024


def longest(chosen: Candidate, case: SearchContext, kind: str | None = None) -> int:
    """Tokens of each sequence, in whole 1024, with a cache of ``kind`` (as it is if ``None``); 0 where not
    even the first 1024 hold. At most what the model was trained for."""
    flags = chosen.flags
    if isinstance(flags, VllmFlags):
        return _of_vllm(chosen, flags if kind is None else replace(flags, kv_cache_dtype=kind), case)
    model = hparams.read(chosen.candidate.shape)
    plain = replace(flags if kind is None else search.with_cache(flags, kind), cache_ram_mib=0)

    def holds(tokens: int) -> bool:
        tried = replace(plain, context_tokens=tokens * case.parallel)
        tried = search.with_checkpoints(model, tried)
        rows = lay_out(chosen.candidate.shape, tried, case.hardware, model=model).rows
        return search.holds(rows, case)

    low, high = 0, model.native_context // STEP_TOKENS
    if holds(model.native_context):
        return model.native_context
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle * STEP_TOKENS) else (low, middle - 1)
    return low * STEP_TOKENS


def _of_vllm(chosen: Candidate, flags: VllmFlags, case: SearchContext) -> int:
    laid = vllm_estimate.lay_out(chosen.candidate.shape, flags, case.hardware)
    native = vllm_config.read(chosen.candidate.shape).native_context
    room: int | None = None
    for row in laid.rows[: max(1, len(laid.ranks))]:
        if row.free_bytes is None:
            continue
        space = row.free_bytes - search.margin_bytes(row.device, case) - row.needed_bytes + row.kv_cache_bytes
        room = space if room is None else min(room, space)
    if room is None:
        return native
    found = laid.cache.longest(room // case.parallel, native)
    return found if found == native else found // STEP_TOKENS * STEP_TOKENS


def kinds(flags: LlamaFlags | VllmFlags) -> tuple[str, ...]:
    """The types of cache that a plan chooses among, with this engine."""
    return ("auto", "fp8") if isinstance(flags, VllmFlags) else search.KV_TYPES
