"""Groups of GPUs that can share a model, and the cache types that they compute with."""

from collections.abc import Iterator, Sequence

from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel
from planner.choose.context import SearchContext
from planner.machine.budget import gpu_budget_bytes
from planner.vllm import kernels
from planner.vllm.model_config import Config
from planner.vllm.weights.cuts import why_not_shared

CACHE_TYPES: tuple[str, ...] = ("auto", "fp8", "fp8_e5m2")


def rank_groups(config: Config, model: ResolvedModel, search: SearchContext) -> Iterator[tuple[int, ...]]:
    """Identical GPUs, in numbers that can share the model, the fewest first; of several kinds the fastest
    first."""
    for identical in _identical_gpus(model, search):
        for count in range(1, len(identical) + 1):
            if not _why_not_shared(config, model, identical[:count], search.hardware):
                yield tuple(identical[:count])


def why_not_more_ranks(config: Config, model: ResolvedModel, search: SearchContext) -> str:
    """Why not all identical GPUs share the model; empty if they could."""
    reasons = (
        _why_not_shared(config, model, identical[:count], search.hardware)
        for identical in _identical_gpus(model, search)
        for count in range(2, len(identical) + 1)
    )
    return next(filter(None, reasons), "")


def cache_dtypes(hardware: Hardware, ranks: tuple[int, ...], model: ResolvedModel) -> tuple[str, ...]:
    """The plain one, and one of half its size that the GPU has kernels for. Of NVIDIA's those before 8.9 have
    them for e5m2 alone, which vLLM refuses with weights in FP8."""
    gpu = hardware.gpus[ranks[0]]
    if kernels.has_fp8(gpu):
        return ("auto", "fp8")
    capability = kernels.compute_capability(gpu.arch)
    has_e5m2 = capability is not None and capability >= kernels.E5M2_CACHE_CAPABILITY
    return ("auto", "fp8_e5m2") if has_e5m2 and kernels.quant_family(model) != "fp8" else ("auto",)


def supported_gpus(model: ResolvedModel, hardware: Hardware) -> list[int]:
    return [
        index
        for index, gpu in enumerate(hardware.gpus)
        if kernels.gpu_support(gpu, hardware, model) and gpu.memory_total_bytes != 0
    ]


def runs_on_gpus(model: ResolvedModel, hardware: Hardware) -> bool:
    """Whether a GPU here may serve the model."""
    if not hardware.gpus or kernels.is_cpu_build(hardware):
        return False
    return bool(supported_gpus(model, hardware))


def most_weight_bytes(machines: Sequence[Hardware], most_bytes: int | None) -> int | None:
    """``most_bytes``, or less where no machine has GPUs of one kind that hold it: RAM keeps no weights."""
    known = [_largest_group_bytes(machine) for machine in machines]
    if most_bytes is None or None in known:
        return most_bytes
    return min(most_bytes, max((size for size in known if size is not None), default=most_bytes))


def _largest_group_bytes(hardware: Hardware) -> int | None:
    """``None`` if a size is not known, or without a GPU that vLLM may use."""
    sizes: dict[tuple[str, str | None], list[int | None]] = {}
    for gpu in hardware.gpus:
        if kernels.gpu_support(gpu, hardware):
            sizes.setdefault((gpu.name, gpu.arch), []).append(gpu.memory_total_bytes)
    groups = [[size for size in group if size is not None] for group in sizes.values()]
    if not groups or any(None in group for group in sizes.values()):
        return None
    return max(sum(group) for group in groups)


def _why_not_shared(config: Config, model: ResolvedModel, indices: Sequence[int], hardware: Hardware) -> str:
    divides = kernels.divides_blocks(hardware.gpus[indices[0]], hardware)
    return why_not_shared(model.shape, config, len(indices), divides=divides)


def _identical_gpus(model: ResolvedModel, search: SearchContext) -> list[list[int]]:
    """The fastest first."""
    hardware = search.hardware
    by_kind: dict[tuple[str, str | None], list[int]] = {}
    for index in supported_gpus(model, hardware):
        gpu = hardware.gpus[index]
        if gpu_budget_bytes(gpu, hardware, search.reserve):
            by_kind.setdefault((gpu.name, gpu.arch), []).append(index)
    return sorted(
        by_kind.values(), key=lambda indices: -(hardware.gpus[indices[0]].bandwidth_bytes_per_s or 0)
    )
