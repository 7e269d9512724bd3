"""The KV cache types that llama.cpp accepts for a model.

Source: ``llama_init_from_model`` of b11434; 10068 and 10434 print the same lines.
"""

from dataclasses import replace

from domain.launches.plan import LlamaFlags
from domain.models.ggml import BY_NAME
from planner.llama_cpp.context_params import WITHOUT_FLASH_ATTENTION
from planner.model.hparams import Hparams

CACHE_TYPES: tuple[str, ...] = ("f16", "q8_0")  # that a plan chooses from, the default first
ONE_CACHE_TYPE = frozenset({"deepseek4"})  # K and V alike, as under MLA


def accepted_types(hparams: Hparams) -> tuple[str, ...]:
    """Those of CACHE_TYPES that the engine takes for K and V of this model."""
    return tuple(
        kind for kind in CACHE_TYPES if not why_refused(hparams, with_cache_type(LlamaFlags(), kind))
    )


def types_to_try(hparams: Hparams, *, only: str | None, smallest: bool) -> tuple[str, ...]:
    """Of the accepted ones. ``only``: that one alone, if it is among them."""
    accepted = accepted_types(hparams)
    return accepted[-1:] if smallest else tuple(kind for kind in accepted if only in (None, kind))


def with_cache_type(flags: LlamaFlags, cache_type: str) -> LlamaFlags:
    """A quantized cache needs flash attention."""
    flash_attention = "auto" if cache_type == "f16" else "on"
    return replace(flags, cache_type_k=cache_type, cache_type_v=cache_type, flash_attention=flash_attention)


def why_refused(hparams: Hparams, flags: LlamaFlags) -> str:
    """Why the engine refuses the cache types of ``flags``; empty if it does not."""
    k_type, v_type = flags.cache_type_k, flags.cache_type_v
    if k_type != v_type and (hparams.is_mla or hparams.architecture in ONE_CACHE_TYPE):
        return f"{hparams.architecture} takes one type for K and V, not {k_type} and {v_type}"
    is_forced_off = hparams.architecture in WITHOUT_FLASH_ATTENTION
    if flags.flash_attention == "off" or is_forced_off:
        off = f"which it turns off for {hparams.architecture}" if is_forced_off else "which is off"
        return f"{v_type} for V needs flash attention, {off}" if _block(v_type) > 1 else ""
    layers = [layer for layer in hparams.layers[: hparams.main_blocks] if layer.heads]
    return _undivided("K", k_type, [layer.key_dim for layer in layers]) or _undivided(
        "V", v_type, [layer.value_dim for layer in layers]
    )


def _block(cache_type: str) -> int:
    return BY_NAME[cache_type.upper()].block


def _undivided(which: str, cache_type: str, head_dims: list[int]) -> str:
    """Heads are looked at one by one: layers with a window may have others."""
    block = _block(cache_type)
    odd = next((size for size in head_dims if size % block), None)
    if odd is None:
        return ""
    return f"{cache_type} for {which} has blocks of {block} values, which do not divide heads of {odd} values"
