"""What a plan says of a llama.cpp candidate: where the layers are, threads, prompt cache."""

from dataclasses import replace

from domain.launches.plan import HOST, LlamaFlags
from domain.models.classification import pooling_of
from domain.units import gib
from planner.choose.candidates import Candidate, CandidateDetails
from planner.choose.context import SearchContext
from planner.llama_cpp.companions import second_files
from planner.llama_cpp.context_params import ALL_LAYERS
from planner.llama_cpp.estimate import estimate
from planner.llama_cpp.memory.projectors import projector_gpu
from planner.llama_cpp.pooling import can_split
from planner.llama_cpp.search import holds_all_layers, llama_flags
from planner.model.hparams import read_hparams
from planner.model.layer_sizes import layer_sizes


def describe(candidate: Candidate, search: SearchContext) -> CandidateDetails:
    flags = llama_flags(candidate)
    layers = len(read_hparams(candidate.model.shape).layers) + 1  # as -ngl counts them
    return CandidateDetails(
        kv_cache_type=candidate.cache_type,
        placement=_placement(candidate, flags, layers),
        runtime="; ".join(filter(None, (_task(candidate, flags), _threads(flags, search)))),
        memory_note=f", up to {flags.cache_ram_mib} MiB of it as prompt cache" if flags.cache_ram_mib else "",
        pool_tokens=flags.context_tokens if flags.kv_unified else None,
        guaranteed_tokens=(flags.context_tokens or 0) // candidate.parallel if flags.kv_unified else None,
        layers=layers,
        second_files=(*_projector(candidate, flags, search), *_draft(candidate, flags, search)),
    )


def _task(candidate: Candidate, flags: LlamaFlags) -> str:
    if not flags.is_pooled:
        return ""
    pooling = pooling_of(candidate.model.shape)
    by = f", pooling {pooling.name.lower()} by its header" if pooling else ""
    longest = "" if can_split(candidate.model) else f", texts of at most {flags.ubatch} tokens in one batch"
    return f"{candidate.model.weights.kind.description}{by}{longest}"


def _projector(candidate: Candidate, flags: LlamaFlags, search: SearchContext) -> tuple[str, ...]:
    declined = second_files.projector(candidate.model, replace(search.options, no_mmproj=False))
    if flags.mmproj is None:
        return (f"no images: its projector {declined} was declined",) if declined else ()
    size = gib(candidate.model.companion_shapes[flags.mmproj].file_bytes)
    gpus = projector_gpu(flags, search.hardware)
    where = f"on {gpus[0].name}" if gpus else "on the CPU"
    why = "" if flags.mmproj_offload else ": layers gain more by its memory on the GPU"
    return (f"images through its projector {flags.mmproj} ({size}) {where}{why}",)


def _draft(candidate: Candidate, flags: LlamaFlags, search: SearchContext) -> tuple[str, ...]:
    found = second_files.drafts(candidate.model, search.options, search.hardware)
    if flags.speculative:
        plain = decode_expected(candidate, second_files.without_draft(flags), search)
        gain = (candidate.decode_tokens_per_s or 0.0) / plain - 1 if plain else 0.0
        what = flags.draft_model or second_files.HEAD_IN_WORDS
        tokens = "token" if flags.draft_max == 1 else "tokens"
        drafted = f"drafts {flags.draft_max} {tokens} at a time with {what}"
        return (f"{drafted}: expected to decode {100 * gain:.0f} % faster, measured at the first start",)
    if not found:
        return ()
    names = " and ".join(draft.name or second_files.HEAD_IN_WORDS for draft in found)
    return (f"{names} could draft, which is not expected to gain a tenth here",)


def decode_expected(candidate: Candidate, flags: LlamaFlags, search: SearchContext) -> float | None:
    """Tokens/s with other flags than its own."""
    speed = estimate(
        candidate.model.shape, flags, search.hardware, calibration=search.calibration
    ).speed.decode_tokens_per_s
    return speed.expected if speed else None


def _placement(candidate: Candidate, flags: LlamaFlags, layers: int) -> str:
    gpus = [row for row in candidate.estimate.memory if row.device != HOST and row.weights_bytes]
    if not gpus:
        return "all layers on the CPU"
    where = " and ".join(f"{row.device} {gib(row.weights_bytes)}" for row in gpus)
    if holds_all_layers(flags):
        return f"all {layers} layers on {where}"
    if flags.gpu_layers != ALL_LAYERS:
        return f"{flags.gpu_layers} of {layers} layers on {where}, the rest on the CPU"
    shape = candidate.model.shape
    expert_bytes = sum(layer_sizes(shape, read_hparams(shape)).expert_bytes[: flags.n_cpu_moe])
    blocks = f"{flags.n_cpu_moe} of {layers - 1} blocks"
    return f"{where}; the experts of {blocks} ({gib(expert_bytes)}) on the CPU"


def _threads(flags: LlamaFlags, search: SearchContext) -> str:
    why = "cores this process may use"
    if search.options.threads:
        why = "as requested"
    elif search.calibration.threads:
        why = "fastest here in measurements"
    elif search.hardware.cpu.quota_cpus:
        why = f"CPU quota {search.hardware.cpu.quota_cpus:g}"
    elif holds_all_layers(flags):
        why = "the GPU does the work"
    locked = ", weights locked in RAM" if "mlock" in (flags.load_mode or "") else ""
    unit = "thread" if flags.threads == 1 else "threads"
    return f"{flags.threads} {unit} ({why}){locked}"
