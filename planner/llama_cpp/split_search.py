"""The best split of one model over the devices of one machine: layers, experts on the CPU, proportions.

Decode time is the sum over devices, so bytes belong on the fastest memory that holds them: on as few GPUs as
possible, the fastest first; of a mixture of experts first the part that every token reads. GPUs of similar
speed share evenly, so that prompts run through them in a pipeline.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from domain.launches.plan import LlamaFlags
from domain.machine.hardware import Hardware
from domain.models.model import ModelShape
from planner.choose.context import OverheadHints
from planner.llama_cpp.context_params import ALL_LAYERS, resolve
from planner.llama_cpp.estimate import memory_layout
from planner.machine.budget import Reserve
from planner.machine.gpu_budgets import Budget, gpu_budgets
from planner.model.hparams import Hparams
from planner.model.layer_sizes import LayerSizes, assign_layers, kv_bytes_per_layer

MAX_TRIES = 5
SIMILAR_BANDWIDTH = 0.9  # GPUs whose bandwidths are this close are treated as equals
SHARE_STEPS = 12  # of a bisection between nothing and everything


@dataclass(frozen=True, slots=True)
class ParsedModel:
    """One quant of a model, read once for a search."""

    shape: ModelShape
    hparams: Hparams
    sizes: LayerSizes
    mmproj: ModelShape | None = None


def splits(
    model: ParsedModel,
    base: LlamaFlags,
    hardware: Hardware,
    reserve: Reserve,
    overhead_hints: OverheadHints,
) -> Iterator[LlamaFlags]:
    """Splits whose weights, cache and compute buffers fit the GPUs, best first; without a GPU last."""
    budgets = gpu_budgets(hardware, reserve)
    for group in _worthwhile_groups(budgets, model, base):
        flags = _split_over_group(group, budgets, model, base, hardware, overhead_hints)
        if flags is not None:
            yield flags
            if flags.gpu_layers == ALL_LAYERS and not flags.n_cpu_moe:
                break
    yield replace(base, gpu_layers=0, devices=("none",) if hardware.gpus else ())


def _worthwhile_groups(
    budgets: Sequence[Budget], model: ParsedModel, base: LlamaFlags
) -> Iterator[tuple[Budget, ...]]:
    """Of equal GPUs, those that may hold everything, else all of them: each that is added holds a part that
    the CPU would compute."""
    groups = list(_groups(budgets))
    if not _are_equals(budgets):
        yield from groups
        return
    gpu_bytes = model.sizes.weights_bytes - model.sizes.input_bytes
    if base.kv_offload:
        gpu_bytes += sum(kv_bytes_per_layer(model.hparams, resolve(base, model.hparams)))
    for group in groups:
        if group == groups[-1] or gpu_bytes <= sum(budget.available_bytes for budget in group):
            yield group


def _are_equals(budgets: Sequence[Budget]) -> bool:
    bandwidths = [budget.device.gpu.bandwidth_bytes_per_s or 0 for budget in budgets]
    return bool(bandwidths) and 0 < SIMILAR_BANDWIDTH * max(bandwidths) <= min(bandwidths)


def _groups(budgets: Sequence[Budget]) -> Iterator[tuple[Budget, ...]]:
    """One GPU, the fastest first; then two, and so on."""

    def fastest_first(budget: Budget) -> tuple[float, int]:
        return -(budget.device.gpu.bandwidth_bytes_per_s or 0), -budget.available_bytes

    ranked = sorted(budgets, key=fastest_first)
    for count in range(1, len(ranked) + 1):
        yield tuple(sorted(ranked[:count], key=lambda budget: budget.device.index))


def _split_over_group(
    group: Sequence[Budget],
    budgets: Sequence[Budget],
    model: ParsedModel,
    base: LlamaFlags,
    hardware: Hardware,
    overhead_hints: OverheadHints,
) -> LlamaFlags | None:
    """The most of the model that this group holds: all, or all but experts, or the last layers.

    What one try needs besides weights and cache is taken off the budget of the next."""
    flags = _on_single_gpu(base, group[0]) if len(group) == 1 else replace(base, split_mode="layer")
    key = (*(budget.device.index for budget in group), base.ubatch, base.context_tokens, base.cache_type_k)
    key = (*key, base.mmproj and base.mmproj_offload)
    overheads = overhead_hints.get(key, [0] * len(group))
    for _ in range(MAX_TRIES):
        available = [
            max(0, budget.available_bytes - overhead)
            for budget, overhead in zip(group, overheads, strict=True)
        ]
        tried = _assign_to_group(group, available, budgets, model, flags)
        if tried is None:
            return None
        larger = _larger_overheads(group, model, tried, hardware, overheads)
        if larger is None:
            overhead_hints[key] = overheads
            return tried
        overheads = larger
    return None


def _larger_overheads(
    group: Sequence[Budget],
    model: ParsedModel,
    flags: LlamaFlags,
    hardware: Hardware,
    overheads: Sequence[int],
) -> list[int] | None:
    """Bytes that each device needs besides weights and cache; ``None`` if ``flags`` fit as they are.

    Each device that overflows gets at least as much more as it overflows by: layers are large, so a smaller
    step would change nothing."""
    layout = memory_layout(model.shape, flags, hardware, hparams=model.hparams, mmproj=model.mmproj)
    by_device = {row.device: row for row in layout.memory}
    rows = [by_device[budget.device.name] for budget in group]
    excess = [
        row.needed_bytes - row.overhead_bytes - budget.available_bytes
        for row, budget in zip(rows, group, strict=True)
    ]
    if max(excess) <= 0:
        return None
    return [
        max(overhead + max(0, over), row.compute_bytes)
        for overhead, over, row in zip(overheads, excess, rows, strict=True)
    ]


def _assign_to_group(
    group: Sequence[Budget],
    available: Sequence[int],
    budgets: Sequence[Budget],
    model: ParsedModel,
    flags: LlamaFlags,
) -> LlamaFlags | None:
    sizes = model.sizes
    blocks = len(sizes.dense_bytes)
    kv_bytes: Sequence[int] = (0,) * blocks
    if flags.kv_offload:
        kv_bytes = kv_bytes_per_layer(model.hparams, resolve(flags, model.hparams))

    def counts(cpu_experts: int, layers: int) -> tuple[int, ...] | None:
        layer_bytes = [
            sizes.dense_bytes[block]
            + kv_bytes[block]
            + (sizes.expert_bytes[block] if block >= cpu_experts else 0)
            for block in range(blocks - layers, blocks)
        ]
        return _balance(layer_bytes, available, sizes.output_bytes, group)

    if sizes.has_experts:
        cpu_experts = _smallest(lambda number: counts(number, blocks) is not None, 0, blocks)
        if cpu_experts is not None:
            layers_each = counts(cpu_experts, blocks)
            return _with_split(flags, group, budgets, layers_each, layers=ALL_LAYERS, cpu_experts=cpu_experts)
    cpu_experts = blocks if sizes.has_experts else 0
    host_layers = _smallest(lambda number: counts(cpu_experts, blocks - number) is not None, 0, blocks)
    if host_layers is None:
        return None
    layers = ALL_LAYERS if host_layers == 0 else blocks - host_layers + 1
    layers_each = counts(cpu_experts, blocks - host_layers)
    return _with_split(flags, group, budgets, layers_each, layers=layers, cpu_experts=cpu_experts)


def _smallest(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number for which ``holds`` is true; it must stay true above that."""
    if not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _balance(
    layer_bytes: Sequence[int], available: Sequence[int], output_bytes: int, group: Sequence[Budget]
) -> tuple[int, ...] | None:
    """Similar GPUs share in proportion to what is available; of unequal ones the fastest is filled first."""
    if assign_layers(layer_bytes, available, output_bytes) is None:
        return None
    bandwidths = [budget.device.gpu.bandwidth_bytes_per_s for budget in group]
    known = [bandwidth for bandwidth in bandwidths if bandwidth]
    if len(known) < len(bandwidths) or min(known) >= SIMILAR_BANDWIDTH * max(known):
        return _equal_shares(layer_bytes, available, output_bytes)
    fastest = max(range(len(group)), key=lambda index: known[index])
    return _fastest_first(fastest, layer_bytes, available, output_bytes)


def _equal_shares(
    layer_bytes: Sequence[int], available: Sequence[int], output_bytes: int
) -> tuple[int, ...] | None:
    """The smallest equal share of every budget that still holds everything."""
    low, high = 0.0, 1.0
    for _ in range(SHARE_STEPS):
        middle = (low + high) / 2
        shares = [int(size * middle) for size in available]
        low, high = (low, middle) if assign_layers(layer_bytes, shares, output_bytes) else (middle, high)
    return assign_layers(layer_bytes, [int(size * high) for size in available], output_bytes)


def _fastest_first(
    fastest: int, layer_bytes: Sequence[int], available: Sequence[int], output_bytes: int
) -> tuple[int, ...] | None:
    """As much as possible on ``fastest``: the others get the smallest share that still holds everything."""

    def shares(share: float) -> list[int]:
        return [size if index == fastest else int(size * share) for index, size in enumerate(available)]

    low, high = 0.0, 1.0
    for _ in range(SHARE_STEPS):
        middle = (low + high) / 2
        fits = assign_layers(layer_bytes, shares(middle), output_bytes)
        low, high = (low, middle) if fits else (middle, high)
    return assign_layers(layer_bytes, shares(high), output_bytes)


def _on_single_gpu(base: LlamaFlags, budget: Budget) -> LlamaFlags:
    return replace(base, split_mode="none", main_gpu=budget.device.index)


def _with_split(
    flags: LlamaFlags,
    group: Sequence[Budget],
    budgets: Sequence[Budget],
    layers_each: tuple[int, ...] | None,
    *,
    layers: int,
    cpu_experts: int,
) -> LlamaFlags:
    """``-ts`` counts layers, one number for each GPU that the engine sees: exact at every boundary."""
    tensor_split: tuple[float, ...] = ()
    if len(group) > 1 and layers_each:
        by_index = {
            budget.device.index: float(count) for budget, count in zip(group, layers_each, strict=True)
        }
        last = max(budget.device.index for budget in budgets)
        tensor_split = tuple(by_index.get(index, 0.0) for index in range(last + 1))
    return replace(flags, gpu_layers=layers, tensor_split=tensor_split, n_cpu_moe=cpu_experts or None)
