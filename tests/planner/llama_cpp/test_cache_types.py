"""Types of the KV cache that llama.cpp refuses are neither planned nor offered."""

from dataclasses import replace

import pytest

from domain.launches.plan import LLAMA_CPP, LaunchOptions, LlamaFlags
from domain.models.model import ModelShape
from planner.choose.choose import plan
from planner.engine import ENGINES
from planner.llama_cpp.cache_types import accepted_types, why_refused
from planner.model.hparams import read_hparams
from tests.planner import build

QUANTIZED = LlamaFlags(cache_type_k="q8_0", cache_type_v="q8_0", flash_attention="on")


def with_heads(
    key_dim: int, value_dim: int | None = None, *, architecture: str = "", **keys: int
) -> ModelShape:
    """Qwen3 0.6B with heads of another size."""
    shape = build.shape("qwen3-0.6b", "Q8_0")
    name = architecture or shape.architecture
    metadata = {
        key.replace(f"{shape.architecture}.", f"{name}."): value for key, value in shape.metadata.items()
    }
    metadata |= {
        f"{name}.attention.key_length": key_dim,
        f"{name}.attention.value_length": key_dim if value_dim is None else value_dim,
        **{f"{name}.attention.{key}": value for key, value in keys.items()},
    }
    return replace(shape, architecture=name, metadata=metadata)


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (with_heads(128), ""),
        (with_heads(64), ""),
        (with_heads(96), ""),
        (with_heads(80), "q8_0 for K has blocks of 32 values, which do not divide heads of 80 values"),
        (with_heads(72), "heads of 72 values"),
        (with_heads(112), "heads of 112 values"),
        (with_heads(128, 80), "q8_0 for V has blocks of 32 values, which do not divide heads of 80 values"),
        (with_heads(128, architecture="grok"), "needs flash attention, which it turns off for grok"),
    ],
)
def test_blocks_have_to_divide_each_head(shape: ModelShape, why: str) -> None:
    hparams = read_hparams(shape)
    refused = why_refused(hparams, QUANTIZED)
    assert why in refused
    assert bool(why) == bool(refused)
    assert accepted_types(hparams) == (("f16",) if why else ("f16", "q8_0"))


def test_the_heads_of_layers_with_a_window_count_too() -> None:
    shape = with_heads(
        128, architecture="gpt-oss", sliding_window=128, key_length_swa=80, value_length_swa=64
    )
    assert "do not divide heads of 80" in why_refused(read_hparams(shape), QUANTIZED)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (LlamaFlags(cache_type_k="q8_0"), "for K"),  # automatic flash attention counts as on
        (LlamaFlags(cache_type_k="q8_0", flash_attention="off"), ""),  # then the engine looks at no head
        (LlamaFlags(cache_type_v="q4_0"), "for V"),
        (LlamaFlags(cache_type_v="q4_0", flash_attention="off"), "needs flash attention, which is off"),
        (LlamaFlags(cache_type_k="bf16", cache_type_v="f32"), ""),
    ],
)
def test_k_and_v_are_looked_at_alone(flags: LlamaFlags, why: str) -> None:
    refused = why_refused(read_hparams(with_heads(80)), flags)
    assert why in refused
    assert bool(why) == bool(refused)


def test_mla_takes_one_type_for_both() -> None:
    hparams = read_hparams(build.shape("deepseek-v2-lite", "Q4_K_M"))
    assert why_refused(hparams, QUANTIZED) == ""
    assert "takes one type for K and V" in why_refused(hparams, replace(QUANTIZED, cache_type_v="f16"))


def test_a_plan_keeps_f16_where_a_smaller_cache_is_refused() -> None:
    """The heads of layers differ in size alone: with 96 values q8_0 holds what f16 does not."""
    machine = build.hardware(ram_gib=8, available_gib=4)
    options = LaunchOptions(context_tokens=32768)
    plain, odd = [replace(build.candidate("qwen3-0.6b", "Q8_0"), shape=with_heads(size)) for size in (96, 72)]
    assert plan("m", (plain,), machine, options).kv_cache_type == "q8_0"
    refused = plan("m", (odd,), machine, options)
    assert refused.kv_cache_type == "f16"
    assert not [other for other in refused.alternatives if "cache" in other.what]
    assert ENGINES[LLAMA_CPP].cache_types(odd) == ("f16",)
