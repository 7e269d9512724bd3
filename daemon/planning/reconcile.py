"""The difference between the memory that the planner estimates and what an engine reports. Pure."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.launches.plan import HOST, Confidence, DeviceMemory, LlamaFlags, Plan
from domain.machine.hardware import Hardware, MemoryKind
from domain.serialization import to_json
from domain.units import MIB, gib
from launchers.base import Capabilities
from launchers.llama_cpp.dry_run import DeviceUsage

MAX_STORED = 32  # command lines per model, build and devices


@dataclass(frozen=True, slots=True)
class Difference:
    """Bytes on a device beyond the estimate, negative where it takes less; ``said_bytes`` is the total that
    the engine reported. Stored, as are the two classes below: renaming a field discards what is stored."""

    device: str
    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    said_bytes: int

    @property
    def more_bytes(self) -> int:
        return self.weights_bytes + self.kv_cache_bytes + self.compute_bytes


Differences = tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class CheckedFlags:
    """The result for one command line; ``flags`` is its ``digest``, ``how`` a dry run or a real start."""

    flags: str
    how: Confidence
    differences: Differences


@dataclass(frozen=True, slots=True)
class PlanHistory:
    """The results for one model, engine build and set of devices, the latest last."""

    found: tuple[CheckedFlags, ...] = ()

    def get(self, flags: LlamaFlags) -> CheckedFlags | None:
        key = digest(flags)
        return next((checked for checked in self.found if checked.flags == key), None)

    def nearest(self, flags: LlamaFlags) -> Differences:
        """Of this command line, else of the latest one: the estimate errs alike for both."""
        checked = self.get(flags) or next(iter(self.found[-1:]), None)
        return checked.differences if checked else ()

    def adding(self, checked: CheckedFlags) -> "PlanHistory":
        others = tuple(other for other in self.found if other.flags != checked.flags)
        return PlanHistory((*others, checked)[-MAX_STORED:])


def history_key(plan: Plan, caps: Capabilities, machine: Hardware) -> str:
    """Identifies the model's files, the engine build and the devices."""
    files = [(file.basename, file.size_bytes) for file in plan.weights.files]
    gpus = [(gpu.id, gpu.name, gpu.memory_total_bytes) for gpu in machine.gpus]
    facts = [plan.weights.quant, files, caps.path, caps.version, gpus, machine.cpu.model]
    return f"memory:{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def digest(flags: LlamaFlags) -> str:
    """Identifies the flags that change how many bytes tensors take. Threads, memory locks and the caches of
    the server do not."""
    mode = flags.load_mode.removesuffix("+mlock") if flags.load_mode else None
    same = replace(
        flags,
        threads=None,
        threads_batch=None,
        jinja=None,
        reasoning_format=None,
        fit=False,
        cache_ram_mib=None,
        ctx_checkpoints=None,
        load_mode=mode,
    )
    return hashlib.sha256(json.dumps(to_json(same)).encode()).hexdigest()[:16]


def differences(estimated: Sequence[DeviceMemory], reported: Sequence[DeviceUsage]) -> Differences | None:
    """Row by row of ``estimated``; ``None`` where the engine uses other devices. Engines report whole MiB, so
    less than a MiB for each reported row is no difference."""
    on_device = [usage for usage in reported if usage.is_device]
    rows = [row for row in estimated if row.device != HOST]
    if len(on_device) != len(rows):  # either side may leave out a device that holds nothing
        on_device = [usage for usage in on_device if (usage.model_bytes or 0) + usage.context_bytes]
        rows = [row for row in rows if row.weights_bytes + row.kv_cache_bytes]
    if len(on_device) != len(rows):
        return None
    by_device = {row.device: [usage] for row, usage in zip(rows, on_device, strict=True)}
    by_device[HOST] = [usage for usage in reported if not usage.is_device]
    return tuple(_difference(row, by_device[row.device]) for row in estimated if row.device in by_device)


def _difference(row: DeviceMemory, reported: Sequence[DeviceUsage]) -> Difference:
    parts = (
        _excess_bytes(row.weights_bytes, [usage.model_bytes for usage in reported]),
        _excess_bytes(row.kv_cache_bytes, [usage.context_bytes for usage in reported]),
        _excess_bytes(row.compute_bytes, [usage.compute_bytes for usage in reported]),
    )
    estimated_bytes = row.weights_bytes + row.kv_cache_bytes + row.compute_bytes
    return Difference(row.device, *parts, said_bytes=estimated_bytes + sum(parts))


def _excess_bytes(estimated_bytes: int, reported: Sequence[int | None]) -> int:
    """0 also where a figure is missing: the estimate stands then."""
    known = [count_bytes for count_bytes in reported if count_bytes is not None]
    if len(known) < len(reported):
        return 0
    excess_bytes = sum(known) - estimated_bytes
    return excess_bytes if abs(excess_bytes) > len(known) * MIB else 0


def with_projector(
    found: Differences,
    without: Sequence[DeviceMemory],
    estimated: Sequence[DeviceMemory],
    said_bytes: int,
) -> Differences:
    """``found`` with that of a projector, of which an engine says one figure: its weights, in later builds
    with its compute. ``estimated`` is ``without`` and the projector."""
    parts = {
        row.device: (row.weights_bytes - old.weights_bytes, row.compute_bytes - old.compute_bytes)
        for row, old in zip(estimated, without, strict=True)
    }
    holder = max(parts, key=lambda device: parts[device][0])
    weights_bytes, compute_bytes = parts[holder]
    excess_bytes = min(said_bytes - weights_bytes, said_bytes - weights_bytes - compute_bytes, key=abs)
    more = {holder: excess_bytes if abs(excess_bytes) > MIB else 0}
    return tuple(
        replace(
            difference,
            weights_bytes=difference.weights_bytes + more.get(difference.device, 0),
            said_bytes=difference.said_bytes + sum(parts[difference.device]) + more.get(difference.device, 0),
        )
        for difference in found
    )


def accumulated(first: Differences, second: Differences) -> Differences:
    """``first`` relative to the estimate, ``second`` to a plan corrected by ``first``: both together."""
    earlier = {difference.device: difference for difference in first}
    return tuple(_added(earlier.get(difference.device), difference) for difference in second)


def _added(earlier: Difference | None, later: Difference) -> Difference:
    if earlier is None:
        return later
    return replace(
        later,
        weights_bytes=later.weights_bytes + earlier.weights_bytes,
        kv_cache_bytes=later.kv_cache_bytes + earlier.kv_cache_bytes,
        compute_bytes=later.compute_bytes + earlier.compute_bytes,
    )


def corrected(plan: Plan, differences: Differences, machine: Hardware) -> Plan:
    """``plan`` with the engine's figures, and whether it fits by them. What GPUs with unified memory take is
    no longer free for the host."""
    by_device = {difference.device: difference for difference in differences}
    memory = [
        _corrected(row, by_device[row.device]) if row.device in by_device else row for row in plan.memory
    ]
    unified = {
        f"GPU{index}" for index, gpu in enumerate(machine.gpus) if gpu.memory_kind is MemoryKind.UNIFIED
    }
    taken_bytes = sum(item.more_bytes for item in differences if item.device in unified)
    memory = [_less_free(row, taken_bytes) if row.device == HOST else row for row in memory]
    fits = all(row.free_bytes is None or row.needed_bytes <= row.free_bytes for row in memory)
    return replace(plan, memory=tuple(memory), fits=fits)


def _corrected(row: DeviceMemory, difference: Difference) -> DeviceMemory:
    weights_bytes = max(0, row.weights_bytes + difference.weights_bytes)
    kv_cache_bytes = max(0, row.kv_cache_bytes + difference.kv_cache_bytes)
    compute_bytes = max(0, row.compute_bytes + difference.compute_bytes)
    return replace(
        row,
        weights_bytes=weights_bytes,
        kv_cache_bytes=kv_cache_bytes,
        compute_bytes=compute_bytes,
        needed_bytes=weights_bytes + kv_cache_bytes + compute_bytes + row.overhead_bytes,
    )


def _less_free(row: DeviceMemory, less_bytes: int) -> DeviceMemory:
    free_bytes = None if row.free_bytes is None else max(0, row.free_bytes - less_bytes)
    return replace(row, free_bytes=free_bytes)


def summary(differences: Differences) -> str:
    """``GPU0 10.1 GiB, 0.3 % more than estimated; host 1.1 GiB, as estimated``."""
    return "; ".join(
        f"{difference.device} {gib(difference.said_bytes)}, {_deviation(difference)}"
        for difference in differences
    )


def _deviation(difference: Difference) -> str:
    if not difference.more_bytes:
        return "as estimated"
    estimated_bytes = difference.said_bytes - difference.more_bytes
    share = abs(difference.more_bytes) / estimated_bytes if estimated_bytes > 0 else 1.0
    return f"{100 * share:.1f} % {'more' if difference.more_bytes > 0 else 'less'} than estimated"
