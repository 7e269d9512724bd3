"""What machine would hold a model: this one with more memory, and others that are known."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

from domain.errors import NodeError
from domain.machine.hardware import Hardware, MemoryKind
from domain.models.model import ResolvedModel
from domain.units import GIB, gib
from planner.choose import choose
from planner.choose.candidates import Candidate
from planner.choose.context import READING_TOKENS_PER_S, SearchContext
from planner.machine.calibration import UNCALIBRATED
from planner.machine.gpu_budgets import total_budget_bytes
from planner.shortfall.ways_out import describe

MAX_MACHINES = 3


def holding(
    name: str,
    models: Sequence[ResolvedModel],
    missing_bytes: int,
    search: SearchContext,
    others: Sequence[Hardware],
) -> Iterator[str]:
    """First the machine itself with more RAM, where RAM can be added; then of ``others`` the smallest whose
    text comes as fast as one reads it."""
    larger = _with_more_ram(search.hardware, missing_bytes)
    if larger is not None and (best := _best(name, models, larger, search)) is not None:
        grown = replace(search, hardware=larger)
        more_bytes = (larger.memory.available_bytes or 0) - (search.hardware.memory.available_bytes or 0)
        yield f"this machine with {gib(more_bytes)} more RAM: {describe(best, grown)}"
    yield from _others(name, models, search, others)


def _others(
    name: str, models: Sequence[ResolvedModel], search: SearchContext, others: Sequence[Hardware]
) -> Iterator[str]:
    sized = [(total_budget_bytes(machine, search.reserve) or 0, machine) for machine in others]
    smallest = min(model.weights.size_bytes for model in models)
    large_enough = sorted((row for row in sized if row[0] > smallest), key=lambda row: row[0])
    shown, slow = 0, list[str]()
    for size, machine in large_enough:
        best = _best(name, models, machine, search)
        if best is None:
            continue
        there = replace(search, hardware=machine, calibration=UNCALIBRATED, overhead_hints={})
        line = f"{machine.name} ({gib(size)} in all for models): {describe(best, there)}"
        if (best.decode_tokens_per_s or 0.0) < READING_TOKENS_PER_S:
            slow.append(line)
            continue
        yield line
        shown += 1
        if shown == MAX_MACHINES:
            return
    if not shown and slow:
        yield slow[0]
    if not shown and not slow:
        largest = max(sized, key=lambda row: row[0], default=None)
        has = f", of which {largest[1].name} is the largest with {gib(largest[0])}" if largest else ""
        yield f"none of the {len(sized)} machines that node-ctl compare knows{has}"


def _best(
    name: str, models: Sequence[ResolvedModel], machine: Hardware, search: SearchContext
) -> Candidate | None:
    try:
        return choose.find_best(name, models, machine, search.options, reserve=search.reserve)
    except NodeError:
        return None


def _with_more_ram(machine: Hardware, missing_bytes: int) -> Hardware | None:
    """``None`` where RAM can't be added, since a GPU shares it, or where its size is not known."""
    memory = machine.memory
    if not missing_bytes or any(gpu.memory_kind is MemoryKind.UNIFIED for gpu in machine.gpus):
        return None
    if memory.total_bytes is None or memory.available_bytes is None or memory.cgroup_limit_bytes is not None:
        return None
    more_bytes = (ceil(missing_bytes / GIB) + 1) * GIB
    total_bytes, free_bytes = memory.total_bytes + more_bytes, memory.available_bytes + more_bytes
    grown = replace(memory, total_bytes=total_bytes, available_bytes=free_bytes)
    return replace(machine, memory=grown)
