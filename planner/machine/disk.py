"""The speed of weights that are larger than memory and mapped from the disk.

The page cache holds as much as fits. Experts are chosen at random, so they hit the cache in proportion. Dense
matrices are read in order, and the oldest page, which is evicted, is always the next one needed: they never
hit. Page faults read at a lower rate than one sequential read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from domain.launches.plan import HOST, DeviceMemory, LlamaFlags, Range, Speed
from domain.machine.hardware import Hardware
from planner.llama_cpp.placement import HOST_ID
from planner.llama_cpp.speed.workload import Workload

# Of the rate of a sequential read. Assumed, as are the bounds of the range.
PAGE_FAULT_SHARE = 0.5
LOW, HIGH = 0.5, 2.0
FROM_DISK_MODES = (None, "auto", "mmap")


def bytes_not_in_memory(memory: Sequence[DeviceMemory], flags: LlamaFlags) -> int:
    """Host weights that can't stay in memory; 0 if all of them fit or the file is not mapped."""
    host = memory[-1]
    if host.device != HOST or host.free_bytes is None or flags.load_mode not in FROM_DISK_MODES:
        return 0
    return min(host.weights_bytes, max(0, host.needed_bytes - host.free_bytes))


def with_disk_reads(
    speed: Speed,
    memory: Sequence[DeviceMemory],
    workloads: Mapping[int, Workload],
    flags: LlamaFlags,
    hardware: Hardware,
) -> Speed:
    """``speed`` with the time spent waiting for the disk; unknown if the disk's rate is unknown."""
    missing_bytes = bytes_not_in_memory(memory, flags)
    if not missing_bytes:
        return speed
    disk_bytes_per_s = hardware.storage.read_bytes_per_s if hardware.storage else None
    if not disk_bytes_per_s:
        return replace(speed, decode_tokens_per_s=None, prefill_tokens_per_s=None)
    host = workloads[HOST_ID]
    missed_share = missing_bytes / memory[-1].weights_bytes
    fault_bytes_per_s = disk_bytes_per_s * PAGE_FAULT_SHARE
    dense_bytes = sum(host.dense_bytes.values()) * (1.0 if not host.expert_bytes else missed_share)
    expert_bytes = sum(host.expert_bytes.values()) * missed_share
    token_wait_s = (dense_bytes + expert_bytes * host.expert_share) / fault_bytes_per_s
    ubatch_wait_s = (dense_bytes + expert_bytes * host.touched_share(flags.ubatch)) / fault_bytes_per_s
    return replace(
        speed,
        decode_tokens_per_s=_slowed(speed.decode_tokens_per_s, token_wait_s),
        prefill_tokens_per_s=_slowed(speed.prefill_tokens_per_s, ubatch_wait_s / flags.ubatch),
    )


def _slowed(tokens_per_s: Range | None, wait_s: float) -> Range | None:
    if tokens_per_s is None:
        return None
    expected = tokens_per_s.expected / (1.0 + tokens_per_s.expected * wait_s)
    return Range(expected * LOW, expected, expected * HIGH)
