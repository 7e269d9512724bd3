"""Files that a llama-server loads beside the model: here a draft model.

Source: llama.cpp ``common_base_params_to_speculative``, ``common_speculative_init_result``.
"""

from dataclasses import dataclass, replace

from domain.hardware import Hardware
from domain.model import ModelShape
from domain.plan import LlamaFlags
from planner.llama_cpp import compute_buffers, context_params, host_memory, kv_cache, placement
from planner.llama_cpp.context_params import ContextParams, Reader
from planner.machine import devices
from planner.machine.devices import Device
from planner.model import hparams


@dataclass(frozen=True, slots=True)
class Companion:
    """Bytes by number in ``devices``; ``overhead_bytes`` on the host."""

    devices: tuple[Device, ...]
    weights: dict[int, int]
    cache: dict[int, int]
    work: dict[int, int]
    overhead_bytes: int = 0
    notes: tuple[str, ...] = ()


def draft_line(flags: LlamaFlags, main: ContextParams) -> LlamaFlags:
    """With as many cells as the model has (``main``), on its devices unless said otherwise."""
    return replace(
        flags,
        gpu_layers=flags.draft_gpu_layers,
        devices=flags.draft_devices or flags.devices,
        overrides=(),
        cpu_moe=False,
        n_cpu_moe=None,
        context_tokens=main.context,
        cache_type_k=flags.draft_cache_type_k or "f16",
        cache_type_v=flags.draft_cache_type_v or "f16",
        draft_model=None,
        speculative=(),
    )


def draft(shape: ModelShape, flags: LlamaFlags, main: ContextParams, hardware: Hardware) -> Companion:
    own = draft_line(flags, main)
    model = hparams.read(shape)
    run = context_params.resolve(own, model, reader=Reader.SERVER, build=devices.build_of(hardware))
    where = placement.place(shape, model, own, devices.devices(hardware, own))
    run = compute_buffers.settled(shape, model, run, where)
    return Companion(
        where.devices,
        where.weights,
        kv_cache.per_device(model, run, where),
        compute_buffers.per_device(shape, model, run, where),
        host_memory.overhead_bytes(shape, model, run, replace(own, cache_ram_mib=own_limit(flags)))
        - host_memory.BASE_HEAP_BYTES,
    )


def own_limit(flags: LlamaFlags) -> int:
    """What a draft's state adds to saved prompts: nothing where their sum is limited."""
    return -1 if (flags.cache_ram_mib or 0) < 0 else 0
