"""The memory of a draft model, in addition to the model that it drafts for.

Source: llama.cpp ``common_base_params_to_speculative``, ``common_speculative_init_result``.
"""

from dataclasses import replace

from domain.hardware import Hardware
from domain.model import ModelShape
from domain.plan import LlamaFlags
from planner.llama_cpp import context_params
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.memory import compute_buffers, host_memory, kv_cache
from planner.llama_cpp.memory.components import ComponentMemory
from planner.llama_cpp.placement import place_tensors
from planner.machine.devices import llama_cpp_build, visible_devices
from planner.model.hparams import read_hparams


def draft_flags(flags: LlamaFlags, main_cparams: ContextParams) -> LlamaFlags:
    """The flags that the draft model runs with: as many cells as the model has, its devices by default."""
    return replace(
        flags,
        gpu_layers=flags.draft_gpu_layers,
        devices=flags.draft_devices or flags.devices,
        overrides=(),
        cpu_moe=False,
        n_cpu_moe=None,
        context_tokens=main_cparams.context,
        cache_type_k=flags.draft_cache_type_k or "f16",
        cache_type_v=flags.draft_cache_type_v or "f16",
        draft_model=None,
        speculative=(),
    )


def draft_memory(
    shape: ModelShape, main_flags: LlamaFlags, main_cparams: ContextParams, hardware: Hardware
) -> ComponentMemory:
    flags = draft_flags(main_flags, main_cparams)
    hparams = read_hparams(shape)
    cparams = context_params.resolve(flags, hparams, build=llama_cpp_build(hardware))
    placement = place_tensors(shape, hparams, flags, visible_devices(hardware, flags))
    cparams = compute_buffers.resolve_flash_attention(shape, hparams, cparams, placement)
    flags = replace(flags, cache_ram_mib=_cache_ram_mib(main_flags))
    overhead_bytes = host_memory.overhead_bytes(shape, hparams, cparams, flags)
    return ComponentMemory(
        placement.devices,
        placement.weights,
        kv_cache.bytes_per_device(hparams, cparams, placement),
        compute_buffers.bytes_per_device(shape, hparams, cparams, placement),
        overhead_bytes - host_memory.BASE_HEAP_BYTES,
    )


def _cache_ram_mib(flags: LlamaFlags) -> int:
    """What a draft's state adds to saved prompts: nothing if their sum is limited."""
    return -1 if (flags.cache_ram_mib or 0) < 0 else 0
