"""The best split of one model over the devices of one box: layers, experts on the CPU, proportions.

Decode time is the sum over devices, so bytes belong on the fastest memory that holds them: as few GPUs
as can, the faster one first; of a mixture of experts first the part that every token reads. GPUs of
like speed share evenly, so that prompts run through them in a pipeline.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from domain.hardware import Hardware
from domain.model import ModelShape
from domain.plan import LlamaFlags
from planner.llama_cpp.context_params import ALL_LAYERS, resolve
from planner.llama_cpp.estimate import lay_out
from planner.machine import budget
from planner.machine.budget import Reserve
from planner.machine.devices import Device, devices
from planner.model.hparams import Hparams
from planner.model.layer_sizes import LayerSizes, cache_per_layer, fill

TRIES = 5
ALIKE = 0.9  # GPUs with bandwidths this close are treated as equals


@dataclass(frozen=True, slots=True)
class Model:
    """One quant of a model, read once for a search."""

    shape: ModelShape
    hparams: Hparams
    sizes: LayerSizes


@dataclass(frozen=True, slots=True)
class Budget:
    """A device that a plan may use, and what it may take there."""

    device: Device
    room_bytes: int


def budgets(hardware: Hardware, reserve: Reserve) -> tuple[Budget, ...]:
    """GPUs of known size, the driver's own share taken off. A size that is not known is not used."""
    found = []
    for device in devices(hardware, LlamaFlags()):
        room = budget.room_bytes(device.gpu, hardware, reserve)
        if room is not None:
            found.append(Budget(device, max(0, room - device.backend.context_bytes)))
    return tuple(found)


# Bytes that earlier tries needed beside weights and cache, per device of a group, for a batch and a cache
# type: the first guess of the next quant of the same model.
Allocation = dict[tuple[object, ...], list[int]]


def total_room_bytes(hardware: Hardware, reserve: Reserve) -> int | None:
    """Over all memories that a plan may use, a shared pool once. ``None``: the host's is not known."""
    host = budget.host_room_bytes(hardware, reserve)
    if host is None:
        return None
    return host + sum(room.room_bytes for room in budgets(hardware, reserve) if not room.device.is_unified)


def splits(
    case: Model, base: LlamaFlags, hardware: Hardware, reserve: Reserve, taken: Allocation
) -> Iterator[LlamaFlags]:
    """Splits that hold on the GPUs by weights, cache and compute, best first; without a GPU last."""
    found = budgets(hardware, reserve)
    for group in _groups(found):
        flags = _on_group(group, found, case, base, hardware, taken)
        if flags is not None:
            yield flags
            if flags.gpu_layers == ALL_LAYERS and not flags.n_cpu_moe:
                break
    yield replace(base, gpu_layers=0, devices=("none",) if hardware.gpus else ())


def _groups(found: Sequence[Budget]) -> Iterator[tuple[Budget, ...]]:
    """One GPU, the fastest first; then two, and so on."""
    ranked = sorted(found, key=lambda room: (-(room.device.gpu.bandwidth_bytes_per_s or 0), -room.room_bytes))
    for count in range(1, len(ranked) + 1):
        yield tuple(sorted(ranked[:count], key=lambda room: room.device.index))


def _on_group(
    group: Sequence[Budget],
    found: Sequence[Budget],
    case: Model,
    base: LlamaFlags,
    hardware: Hardware,
    taken: Allocation,
) -> LlamaFlags | None:
    """The most of the model that this group holds: all, or all but experts, or the last layers. What
    one try needs beside weights and cache is taken off the room of the next."""
    flags = _single(base, group[0]) if len(group) == 1 else replace(base, split_mode="layer")
    key = (*(room.device.index for room in group), base.ubatch, base.context_tokens, base.cache_type_k)
    beside = taken.get(key, [0] * len(group))
    for _ in range(TRIES):
        space = [max(0, room.room_bytes - more) for room, more in zip(group, beside, strict=True)]
        tried = _fill_group(group, space, found, case, flags)
        if tried is None:
            return None
        lacking = _lacking(group, case, tried, hardware, beside)
        if lacking is None:
            taken[key] = beside
            return tried
        beside = lacking
    return None


def _lacking(
    group: Sequence[Budget], case: Model, flags: LlamaFlags, hardware: Hardware, beside: Sequence[int]
) -> list[int] | None:
    """What each device of the group needs beside weights and cache, where one lacks room; at least as much
    more than was thought as it lacks: a layer weighs much, so that less would change nothing."""
    rows = {row.device: row for row in lay_out(case.shape, flags, hardware, model=case.hparams).rows}
    held = [rows[room.device.name] for room in group]
    over = [
        row.needed_bytes - row.overhead_bytes - room.room_bytes for row, room in zip(held, group, strict=True)
    ]
    if max(over) <= 0:
        return None
    return [
        max(old + max(0, more), row.compute_bytes) for old, more, row in zip(beside, over, held, strict=True)
    ]


def _fill_group(
    group: Sequence[Budget], space: Sequence[int], found: Sequence[Budget], case: Model, flags: LlamaFlags
) -> LlamaFlags | None:
    sizes = case.sizes
    blocks = len(sizes.dense)
    cache = cache_per_layer(case.hparams, resolve(flags, case.hparams)) if flags.kv_offload else (0,) * blocks

    def counts(cpu_experts: int, layers: int) -> tuple[int, ...] | None:
        costs = [
            sizes.dense[index] + cache[index] + (sizes.experts[index] if index >= cpu_experts else 0)
            for index in range(blocks - layers, blocks)
        ]
        return _even(costs, space, sizes.output, group)

    if sizes.has_experts:
        experts = _least(lambda number: counts(number, blocks) is not None, 0, blocks)
        if experts is not None:
            return _with(flags, group, found, counts(experts, blocks), layers=ALL_LAYERS, experts=experts)
    cpu_experts = blocks if sizes.has_experts else 0
    missing = _least(lambda number: counts(cpu_experts, blocks - number) is not None, 0, blocks)
    if missing is None:
        return None
    layers = ALL_LAYERS if missing == 0 else blocks - missing + 1
    given = counts(cpu_experts, blocks - missing)
    return _with(flags, group, found, given, layers=layers, experts=cpu_experts)


def _least(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number for which ``holds``, which stays true above it."""
    if not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _even(
    costs: Sequence[int], space: Sequence[int], last: int, group: Sequence[Budget]
) -> tuple[int, ...] | None:
    """Equal GPUs share in proportion to their room; of unequal ones the faster is filled first."""
    if fill(costs, space, last) is None:
        return None
    rates = [room.device.gpu.bandwidth_bytes_per_s for room in group]
    known = [rate for rate in rates if rate]
    if len(known) < len(rates) or min(known) >= ALIKE * max(known):
        return _tightest(costs, space, last)
    fastest = max(range(len(group)), key=lambda index: known[index])
    return _filling(fastest, costs, space, last)


def _tightest(costs: Sequence[int], space: Sequence[int], last: int) -> tuple[int, ...] | None:
    """The smallest equal share of every room that still holds all."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        part = [int(room * middle) for room in space]
        low, high = (low, middle) if fill(costs, part, last) else (middle, high)
    return fill(costs, [int(room * high) for room in space], last)


def _filling(fastest: int, costs: Sequence[int], space: Sequence[int], last: int) -> tuple[int, ...] | None:
    """As much as can on ``fastest``: the others get the smallest share that still holds all."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        part = [room if index == fastest else int(room * middle) for index, room in enumerate(space)]
        low, high = (low, middle) if fill(costs, part, last) else (middle, high)
    part = [room if index == fastest else int(room * high) for index, room in enumerate(space)]
    return fill(costs, part, last)


def _single(base: LlamaFlags, room: Budget) -> LlamaFlags:
    return replace(base, split_mode="none", main_gpu=room.device.index)


def _with(
    flags: LlamaFlags,
    group: Sequence[Budget],
    found: Sequence[Budget],
    counts: tuple[int, ...] | None,
    *,
    layers: int,
    experts: int,
) -> LlamaFlags:
    """``-ts`` in layers, a number for each GPU that the engine sees: exact at every boundary."""
    split: tuple[float, ...] = ()
    if len(group) > 1 and counts:
        given = {room.device.index: float(count) for room, count in zip(group, counts, strict=True)}
        last = max(room.device.index for room in found)
        split = tuple(given.get(index, 0.0) for index in range(last + 1))
    return replace(flags, gpu_layers=layers, tensor_split=split, n_cpu_moe=experts or None)
