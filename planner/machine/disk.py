"""Weights larger than memory, mapped from the disk: how fast that would be.

The page cache keeps as much as fits. Experts are chosen at random, so that what is kept is hit in
proportion; whole matrices come round in order, and the oldest page, which is dropped, is the next that is
needed: nothing of them is hit. Page faults read less than the disk gives to one long read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from domain.hardware import Hardware
from domain.plan import HOST, DeviceMemory, LlamaFlags, Range, Speed
from planner.llama_cpp.placement import HOST_ID
from planner.llama_cpp.speed.traffic import Traffic

# Of the rate of a long read, by page faults. A bound on both sides, not measured here.
FAULT_SHARE = 0.5
LOW, HIGH = 0.5, 2.0
FROM_DISK_MODES = (None, "auto", "mmap")


def lacking_bytes(rows: Sequence[DeviceMemory], flags: LlamaFlags) -> int:
    """Of host weights, what can't stay in memory; 0 where all is held, or where nothing is mapped."""
    host = rows[-1]
    if host.device != HOST or host.free_bytes is None or flags.load_mode not in FROM_DISK_MODES:
        return 0
    return min(host.weights_bytes, max(0, host.needed_bytes - host.free_bytes))


def slowed(
    speed: Speed,
    rows: Sequence[DeviceMemory],
    traffic: Mapping[int, Traffic],
    flags: LlamaFlags,
    hardware: Hardware,
) -> Speed:
    """``speed`` with the time in which the disk is waited for; unknown where the disk's rate is."""
    lacking = lacking_bytes(rows, flags)
    if not lacking:
        return speed
    disk = hardware.storage.read_bytes_per_s if hardware.storage else None
    if not disk:
        return replace(speed, decode_tokens_per_s=None, prefill_tokens_per_s=None)
    one = traffic[HOST_ID]
    missed = lacking / rows[-1].weights_bytes
    rate = disk * FAULT_SHARE
    dense = sum(one.dense.values()) * (1.0 if not one.experts else missed)
    experts = sum(one.experts.values()) * missed
    return replace(
        speed,
        decode_tokens_per_s=_later(speed.decode_tokens_per_s, (dense + experts * one.share) / rate),
        prefill_tokens_per_s=_later(
            speed.prefill_tokens_per_s, (dense + experts * one.touched(flags.ubatch)) / rate / flags.ubatch
        ),
    )


def _later(rate: Range | None, wait_s: float) -> Range | None:
    if rate is None:
        return None
    expected = 1.0 / (1.0 / rate.expected + wait_s)
    return Range(expected * LOW, expected, expected * HIGH)
