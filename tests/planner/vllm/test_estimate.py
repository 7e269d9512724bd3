"""What a ``vllm serve`` command line takes, compared with what vLLM logs; and what vLLM would refuse."""

import json
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

import pytest

from domain.errors import UsageError
from domain.launches.plan import VllmFlags
from domain.models.model import ModelShape, Tensor
from domain.units import GIB, MIB
from planner.vllm import model_config
from planner.vllm.estimate import estimate, memory_layout
from planner.vllm.memory.headroom import CUDA_HIDDEN_BYTES
from planner.vllm.model_config import LayerKind
from planner.vllm.weights import sharding
from planner.vllm.weights.tensors import loaded_tensors
from tests.conftest import ROOT
from tests.planner import build
from tests.planner.build import LARGE, SMOL, folder

CAPTURE = ROOT / "tests" / "captures" / "vllm" / "rank-memory.json"
LINE = VllmFlags(
    dtype="bfloat16", max_model_len=4096, kv_cache_memory_bytes=256 * MIB, enforce_eager=True, max_num_seqs=8
)
SMOL_SHAPE = folder(SMOL, 269 * MIB).shape


@lru_cache(maxsize=1)
def captured() -> dict[str, Any]:
    estimated: dict[str, Any] = json.loads(CAPTURE.read_text())["models"]
    return estimated


def shape(name: str) -> ModelShape:
    config = captured()[name]["config"]
    cache_type = config["model_type"]
    tensors = tuple(
        Tensor(pattern.format(number), "BF16", tuple(sizes), 2 * prod(sizes))
        for pattern, sizes, numbers in captured()[name].get("tensors", ())
        for number in numbers or [""]
    )
    with_layer_types = {
        key: tuple(value) if isinstance(value, list) else value for key, value in config.items()
    }
    metadata = {f"{cache_type}.{key}": value for key, value in with_layer_types.items() if value is not None}
    return ModelShape(
        cache_type, tensors, sum(tensor.size_bytes for tensor in tensors) or 100 * MIB, metadata
    )


@pytest.mark.parametrize("name", sorted(captured()))
def test_the_cache_holds_as_many_tokens_as_vllm_logs(name: str) -> None:
    """A mixture, sliding windows (one in two, five in six), latent attention, Mamba 2, gated delta nets."""
    assert (
        memory_layout(shape(name), LINE, build.SMALL_CPU).kv_capacity_tokens == captured()[name]["kv_tokens"]
    )


@pytest.mark.parametrize("name", sorted(name for name, row in captured().items() if "rank_bytes" in row))
def test_a_rank_holds_the_bytes_that_vllm_s_parameters_have(name: str) -> None:
    model = shape(name)
    config = model_config.read_config(model)
    bytes_of_rank = sharding.rank_bytes(model, config, 2, dtype="bfloat16")
    if config.mla_width:  # a second copy of this projection is made after loading
        bytes_of_rank -= sum(t.size_bytes // 2 for t in model.tensors if t.name.endswith("kv_b_proj.weight"))
    assert bytes_of_rank == pytest.approx(captured()[name]["rank_bytes"], rel=0.01)


def test_what_is_cut_padded_and_copied_among_ranks() -> None:
    config = replace(model_config.read_config(SMOL_SHAPE), kv_heads=2)
    tensors = {
        "model.embed_tokens.weight": (1000, 64),  # rows padded to 1024
        "model.layers.0.self_attn.q_proj.weight": (64, 64),
        "model.layers.0.self_attn.k_proj.weight": (32, 64),  # two heads for four ranks: copied in pairs
        "model.layers.0.self_attn.o_proj.weight": (64, 64),
        "model.layers.0.self_attn.o_proj.bias": (64,),  # added once, whole
        "model.layers.0.mlp.gate.weight": (8, 64),  # a router
        "model.layers.0.input_layernorm.weight": (64,),
        "model.layers.30.mtp.weight": (64, 64),  # beyond the model's own layers
        "model.layers.0.self_attn.rotary_emb.inv_freq": (32,),
    }
    own_tensors = tuple(Tensor(name, "BF16", sizes, 2 * prod(sizes)) for name, sizes in tensors.items())
    held_bytes = sharding.rank_bytes(replace(SMOL_SHAPE, tensors=own_tensors), config, 4)
    values = 1024 * 64 // 4 + 64 * 64 // 4 + 32 * 64 // 2 + 64 * 64 // 4 + 64 + 8 * 64 + 64
    assert held_bytes == 2 * values


def test_tensors_that_differ_in_numbers_alone_are_summed_together() -> None:
    """48 layers of 512 experts: 150,000 tensors in a few groups, with layers beyond the model's left out."""
    config = model_config.read_config(SMOL_SHAPE)  # of 30 layers
    names = [
        f"model.layers.{layer}.mlp.experts.{expert}.{name}.weight"
        for layer in (0, 29, 30)
        for expert in (0, 1, 15)
        for name in ("up_proj", "down_proj")
    ]
    experts = tuple(Tensor(name, "BF16", (64, 64), 8192) for name in names)
    odd = Tensor("model.layers.1.mlp.experts.0.up_proj.weight", "BF16", (64, 32), 4096)
    shape = replace(SMOL_SHAPE, tensors=(*experts, odd))
    groups = {(group.name, group.count): group.size_bytes for group in loaded_tensors(shape, config)}
    assert groups == {
        ("model.layers.0.mlp.experts.0.up_proj.weight", 6): 6 * 8192,
        ("model.layers.0.mlp.experts.0.down_proj.weight", 6): 6 * 8192,
        ("model.layers.1.mlp.experts.0.up_proj.weight", 1): 4096,
    }
    assert sharding.rank_bytes(shape, config, 2) == (12 * 8192 + 4096) // 2


def test_a_dtype_changes_what_plain_weights_take_and_packed_ones_keep_theirs() -> None:
    config = model_config.read_config(SMOL_SHAPE)
    plain = (Tensor("model.layers.0.mlp.up_proj.weight", "BF16", (64, 64), 8192),)
    packed = (Tensor("model.layers.0.mlp.up_proj.qweight", "I32", (64, 8), 2048),)
    held = [
        sharding.rank_bytes(replace(SMOL_SHAPE, tensors=tensors), config, 1, dtype="float32")
        for tensors in (plain, packed)
    ]
    assert held == [16384, 2048]
    assert sharding.rank_bytes(replace(SMOL_SHAPE, tensors=plain), config, 1, online_method="fp8") == 4096


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        pytest.param(VllmFlags(tensor_parallel=2), "9 attention heads", id="heads that can't be shared"),
        pytest.param(
            VllmFlags(max_model_len=16384), "16384 tokens was asked for, the model has 8192", id="a context"
        ),
        pytest.param(VllmFlags(quantization="awq"), "not quantized with awq", id="a method of other files"),
        pytest.param(VllmFlags(kv_cache_dtype="int3"), "int3 is not known", id="a type of cache"),
        pytest.param(VllmFlags(tensor_parallel=4), "4 ranks need as many GPUs", id="more ranks than GPUs"),
        pytest.param(VllmFlags(device_ids=(7,)), "there is no GPU 7", id="a GPU that is not there"),
    ],
)
def test_what_vllm_refuses_at_once_is_refused(flags: VllmFlags, says: str) -> None:
    machine = build.hardware(build.gpu(24, name="a"), build.gpu(24, name="b"))
    with pytest.raises(UsageError, match=says):
        estimate(SMOL_SHAPE, flags, machine)


def test_a_cache_that_is_too_small_does_not_fit_and_says_what_it_holds() -> None:
    """vLLM's own words for these 10 MiB: 2048 tokens need 0.04 GiB, its estimated maximum is 256."""
    estimated = estimate(
        SMOL_SHAPE, replace(LINE, max_model_len=2048, kv_cache_memory_bytes=10 * MIB), build.SMALL_CPU
    )
    assert not estimated.fits
    assert any("2048 tokens need" in note and "hold 256 tokens" in note for note in estimated.notes)


def test_without_a_size_the_cache_takes_what_the_share_leaves() -> None:
    machine = build.hardware(build.gpu(24))
    half = estimate(SMOL_SHAPE, VllmFlags(gpu_memory_utilization=0.5), machine).memory[0]
    told_by_cuda = 24 * GIB - CUDA_HIDDEN_BYTES
    assert half.needed_bytes == pytest.approx(0.5 * told_by_cuda, rel=0.001)
    whole = estimate(SMOL_SHAPE, VllmFlags(), machine).memory[0]
    assert whole.needed_bytes == pytest.approx(0.92 * told_by_cuda, rel=0.001)
    none = estimate(folder(LARGE, 30 * GIB).shape, VllmFlags(), machine)
    assert not none.fits
    assert any("no memory is left" in note for note in none.notes)


def test_a_graph_less_start_and_offloaded_weights_leave_more_on_the_gpu() -> None:
    machine = build.hardware(build.gpu(24))
    plain, eager, offloaded = (
        estimate(SMOL_SHAPE, flags, machine).memory
        for flags in (VllmFlags(), VllmFlags(enforce_eager=True), VllmFlags(cpu_offload_gb=0.2))
    )
    assert eager[0].kv_cache_bytes > plain[0].kv_cache_bytes
    assert offloaded[0].weights_bytes < plain[0].weights_bytes
    assert offloaded[1].weights_bytes == plain[0].weights_bytes - offloaded[0].weights_bytes


def test_the_type_of_the_cache_and_the_depth_count() -> None:
    machine = build.hardware(build.gpu(24))
    line = VllmFlags(max_model_len=8192, kv_cache_memory_bytes=1 * GIB)
    plain, small = (
        memory_layout(SMOL_SHAPE, replace(line, kv_cache_dtype=cache_type), machine).kv_capacity_tokens
        for cache_type in ("auto", "fp8")
    )
    assert small == pytest.approx(2 * plain, rel=0.01)
    speeds = [
        estimate(SMOL_SHAPE, line, machine, depth_tokens=depth).speed.decode_tokens_per_s
        for depth in (0, 8000)
    ]
    assert speeds[0] is not None
    assert speeds[1] is not None
    assert speeds[1].expected < speeds[0].expected


def test_an_encoder_for_images_takes_memory_unless_it_is_left_out() -> None:
    tower = Tensor("visual.blocks.0.attn.qkv.weight", "BF16", (64, 64), 8192)
    seeing = replace(SMOL_SHAPE, tensors=(*SMOL_SHAPE.tensors, tower))
    machine = build.hardware(build.gpu(24))
    plain, with_encoder, left_out = (
        estimate(of, flags, machine).memory[0].compute_bytes
        for of, flags in (
            (SMOL_SHAPE, LINE),
            (seeing, LINE),
            (seeing, replace(LINE, extra=("--language-model-only",))),
        )
    )
    assert with_encoder - plain == pytest.approx(1.4 * GIB, rel=0.01)
    assert left_out == plain


def test_gpus_of_unknown_size_and_speed_give_bytes_and_no_speed() -> None:
    estimated = estimate(SMOL_SHAPE, VllmFlags(tensor_parallel=3), build.assumed_gpus(3))
    assert [row.free_bytes for row in estimated.memory] == [None] * 4
    assert estimated.memory[0].weights_bytes > 0
    assert estimated.speed.decode_tokens_per_s is None


def test_a_kind_of_layer_that_is_not_known_is_taken_for_the_dearest() -> None:
    with_layer_types = replace(
        SMOL_SHAPE, metadata={**SMOL_SHAPE.metadata, "llama.layer_types": ("a_new_kind",) * 30}
    )
    assert set(model_config.read_config(with_layer_types).layer_kinds) == {LayerKind.FULL}


def test_heads_that_differ_by_layer_count_as_the_most() -> None:
    """As DeciLM and OpenELM list them: a bound."""
    listed = replace(
        SMOL_SHAPE, metadata={**SMOL_SHAPE.metadata, "llama.num_key_value_heads": (1, 3, 2) * 10}
    )
    assert model_config.read_config(listed).kv_heads == 3


def test_options_that_take_memory_and_are_not_counted_are_named() -> None:
    estimated = estimate(SMOL_SHAPE, replace(LINE, extra=("-pp", "2")), build.SMALL_CPU)
    assert "not counted: -pp" in estimated.notes
