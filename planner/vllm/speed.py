"""Tokens per second of one command line of vLLM: as ``speed_vllm`` has it for one stream, with the cache
that is read at a depth, and for many sequences at once."""

from dataclasses import replace

from domain.hardware import Gpu, Hardware
from domain.model import ModelShape
from domain.plan import Range, Speed
from planner.llama_cpp.speed.roofline import CORE_BYTES_PER_S, CPU_OF_PEAK, range_of
from planner.machine.threads import usable
from planner.vllm import roofline
from planner.vllm.kv_blocks import Cache
from planner.vllm.model_config import Config, Kind
from planner.vllm.roofline import Work

START_S = 35.0  # imports, profiling and graphs: 25 to 60 s seen on a CPU
CPU_SPREAD = 1.0
# RDNA has few tuned kernels: 7.5 tokens/s of gpt-oss-120b on a Strix Halo where llama.cpp has 50
# (github.com/vllm-project/vllm/issues/34579). Of NVIDIA's share.
OF_VENDOR = {"nvidia": 1.0, "amd": 0.15, "intel": 0.15}


def work_of(shape: ModelShape, config: Config, quant: str) -> Work:
    return roofline.work_of(shape, quant, layers=config.layers, hidden=config.hidden)


def predict(
    work: Work,
    ranks: tuple[int, ...],
    hardware: Hardware,
    *,
    cache: Cache,
    depth_tokens: int,
    file_bytes: int,
) -> Speed:
    """Nothing is predicted where a bandwidth is not known; no prompt of a CPU."""
    gpus = [hardware.gpus[index] for index in ranks]
    step = step_s(work, gpus, hardware, cache=cache, depth_tokens=depth_tokens)
    spread = roofline.DECODE_SPREAD if gpus else CPU_SPREAD
    prompt = roofline.prefill(work, gpus)
    disk = hardware.storage.read_bytes_per_s if hardware.storage else None
    return Speed(
        decode_tokens_per_s=range_of(1 / step, spread) if step else None,
        prefill_tokens_per_s=None if prompt is None else _of_vendor(prompt, gpus),
        load_s=START_S + file_bytes / disk if disk else None,
    )


def step_s(
    work: Work,
    gpus: list[Gpu],
    hardware: Hardware,
    *,
    cache: Cache,
    depth_tokens: int,
    sequences: int = 1,
) -> float | None:
    """Seconds in which each of ``sequences`` gets a token: experts are read that any of them chose, and the
    arithmetic of all is done."""
    touched = replace(work, share=1.0 - (1.0 - work.share) ** sequences)
    kv = sequences * kv_read_bytes(cache, depth_tokens)
    if not gpus:
        rate = _host_rate(hardware)
        return None if rate is None else (touched.active_bytes + kv) / rate
    alone = roofline.decode(touched, gpus)
    prompt = roofline.prefill(work, gpus)
    if alone is None or prompt is None:
        return None
    rates = [gpu.bandwidth_bytes_per_s or 0.0 for gpu in gpus]
    read = 1 / alone.expected + kv / (min(rates) * roofline.PLAIN_READ)
    return max(read, sequences / prompt.expected) / _share(gpus)


def kv_read_bytes(cache: Cache, depth_tokens: int) -> float:
    """On one rank, of one sequence."""
    total = 0.0
    for kind, count in cache.groups:
        layers = count * cache.group_layers
        if kind is Kind.STATE:
            total += layers * cache.page_bytes
        else:
            seen = min(depth_tokens, cache.window) if kind is Kind.WINDOW else depth_tokens
            total += layers * cache.page_bytes / cache.block_tokens * seen
    return total


def _share(gpus: list[Gpu]) -> float:
    return min(OF_VENDOR.get(gpu.vendor.lower(), 1.0) for gpu in gpus)


def _of_vendor(rate: Range, gpus: list[Gpu]) -> Range:
    share = _share(gpus)
    return Range(rate.low * share, rate.expected * share, rate.high * share)


def _host_rate(hardware: Hardware) -> float | None:
    found = hardware.memory.bandwidth_bytes_per_s
    return None if found is None else min(found * CPU_OF_PEAK, usable(hardware.cpu) * CORE_BYTES_PER_S)
