"""How far what an engine says, or has taken, is from what the rules predict. Values only."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.hardware import Hardware, MemoryKind
from domain.plan import HOST, Confidence, DeviceMemory, LlamaFlags, Plan
from domain.serialization import to_json
from domain.units import MIB, gib
from launchers.base import Capabilities
from launchers.llama_cpp.dry_run import DeviceUsage

REMEMBERED = 32  # command lines per model, build and devices


@dataclass(frozen=True, slots=True)
class Difference:
    """Bytes that a device takes beyond what the rules say, part by part; ``said_bytes`` is what the
    engine itself said, all parts together."""

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
    """Of one command line."""

    flags: str
    how: Confidence
    differences: Differences


@dataclass(frozen=True, slots=True)
class PlanHistory:
    """Of one model, one engine build, one set of devices: the latest command line last."""

    found: tuple[CheckedFlags, ...] = ()

    def of(self, flags: LlamaFlags) -> CheckedFlags | None:
        wanted = digest(flags)
        return next((one for one in self.found if one.flags == wanted), None)

    def nearest(self, flags: LlamaFlags) -> Differences:
        """Of this command line, else of the latest: what the rules get wrong there, they do here."""
        found = self.of(flags) or next(iter(self.found[-1:]), None)
        return found.differences if found else ()

    def adding(self, found: CheckedFlags) -> "PlanHistory":
        others = tuple(one for one in self.found if one.flags != found.flags)
        return PlanHistory((*others, found)[-REMEMBERED:])


def fact_key(plan: Plan, caps: Capabilities, machine: Hardware) -> str:
    """Of the model's files, the build, and the devices."""
    files = [(file.basename, file.size_bytes) for file in plan.weights.files]
    gpus = [(gpu.id, gpu.name, gpu.memory_total_bytes) for gpu in machine.gpus]
    facts = [plan.weights.quant, files, caps.path, caps.version, gpus, machine.cpu.model]
    return f"memory:{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def digest(flags: LlamaFlags) -> str:
    """Of what changes the bytes of tensors: threads, locks and the server's own caches don't."""
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


def differences(rules: Sequence[DeviceMemory], held: Sequence[DeviceUsage]) -> Differences | None:
    """None of a byte where both agree, for an engine says whole MiB. ``None`` where the engine sees
    other devices than the rules."""
    on_device = [one for one in held if one.is_device]
    rows = [row for row in rules if row.device != HOST]
    if len(on_device) != len(rows):  # of those that hold nothing neither side need tell
        on_device = [one for one in on_device if (one.model_bytes or 0) + one.context_bytes]
        rows = [row for row in rows if row.weights_bytes + row.kv_cache_bytes]
    if len(on_device) != len(rows):
        return None
    beside = {row.device: [one] for row, one in zip(rows, on_device, strict=True)}
    beside[HOST] = [one for one in held if not one.is_device]
    return tuple(_difference(row, beside[row.device]) for row in rules if row.device in beside)


def _difference(row: DeviceMemory, held: Sequence[DeviceUsage]) -> Difference:
    parts = (
        _more(row.weights_bytes, [one.model_bytes for one in held]),
        _more(row.kv_cache_bytes, [one.context_bytes for one in held]),
        _more(row.compute_bytes, [one.compute_bytes for one in held]),
    )
    own = row.weights_bytes + row.kv_cache_bytes + row.compute_bytes
    return Difference(row.device, *parts, said_bytes=own + sum(parts))


def _more(own_bytes: int, said: Sequence[int | None]) -> int:
    known = [count_bytes for count_bytes in said if count_bytes is not None]
    if len(known) < len(said):
        return 0
    more = sum(known) - own_bytes
    return more if abs(more) > len(known) * MIB else 0


def accumulated(first: Differences, second: Differences) -> Differences:
    """``second`` as seen from where ``first`` was seen from."""
    before = {one.device: one for one in first}
    return tuple(_after(before.get(one.device), one) for one in second)


def _after(before: Difference | None, one: Difference) -> Difference:
    if before is None:
        return one
    return replace(
        one,
        weights_bytes=one.weights_bytes + before.weights_bytes,
        kv_cache_bytes=one.kv_cache_bytes + before.kv_cache_bytes,
        compute_bytes=one.compute_bytes + before.compute_bytes,
    )


def corrected(plan: Plan, found: Differences, machine: Hardware) -> Plan:
    """``plan`` as the engine has it, and whether that fits."""
    more = {one.device: one for one in found}
    memory = [_corrected(row, more[row.device]) if row.device in more else row for row in plan.memory]
    pool = {f"GPU{number}" for number, gpu in enumerate(machine.gpus) if _is_unified(gpu.memory_kind)}
    taken = sum(one.more_bytes for one in found if one.device in pool)
    memory = [_less_free(row, taken) if row.device == HOST else row for row in memory]
    fits = all(row.free_bytes is None or row.needed_bytes <= row.free_bytes for row in memory)
    return replace(plan, memory=tuple(memory), fits=fits)


def _corrected(row: DeviceMemory, more: Difference) -> DeviceMemory:
    weights = max(0, row.weights_bytes + more.weights_bytes)
    cache = max(0, row.kv_cache_bytes + more.kv_cache_bytes)
    compute = max(0, row.compute_bytes + more.compute_bytes)
    return replace(
        row,
        weights_bytes=weights,
        kv_cache_bytes=cache,
        compute_bytes=compute,
        needed_bytes=weights + cache + compute + row.overhead_bytes,
    )


def _is_unified(kind: MemoryKind | None) -> bool:
    return kind is MemoryKind.UNIFIED


def _less_free(row: DeviceMemory, less_bytes: int) -> DeviceMemory:
    free = None if row.free_bytes is None else max(0, row.free_bytes - less_bytes)
    return replace(row, free_bytes=free)


def summary(found: Differences) -> str:
    """``GPU0 10.1 GiB, 0.3 % from the rules; host 1.1 GiB, as the rules say``."""
    parts = []
    for one in found:
        predicted = one.said_bytes - one.more_bytes
        apart = abs(one.more_bytes) / predicted if predicted > 0 else 1.0
        words = f"{100 * apart:.1f} % from the rules" if one.more_bytes else "as the rules say"
        parts.append(f"{one.device} {gib(one.said_bytes)}, {words}")
    return "; ".join(parts)
