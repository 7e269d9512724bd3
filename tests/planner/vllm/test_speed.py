"""vLLM's speeds: errors against published runs, what a token reads, what ranks cost one another."""

from dataclasses import replace

import pytest

from domain.machine.accelerator import Peer
from domain.machine.hardware import Gpu, Hardware
from domain.models.model import ModelShape, Tensor
from planner.vllm.memory.kv_blocks import KvBlockLayout
from planner.vllm.model_config import Config, LayerKind
from planner.vllm.speed.roofline import prefill_speed, step_s
from planner.vllm.speed.workload import Workload, workload_of
from tests.planner import build
from tests.rigs import vllm_speed
from tests.rigs.vllm_speed import comparisons, coverage, folds, quantile, select

DENSE = Workload(
    "BF16", 140e9, 0, 1.0, 70e9, 0, layers=80, moe_layers=0, recurrent_layers=0, hidden_size=8192
)
NO_CACHE = KvBlockLayout((), 0, 16, 0, 0, 0)


def ranks(count: int, *, nvlinks: int = 0) -> list[Gpu]:
    """Each linked to the next."""
    return [
        replace(
            build.gpu(80, gb_per_s=2000),
            id=f"gpu:{number}",
            pcie_bytes_per_s=32e9,
            peers=(Peer(f"gpu:{number + 1}", nvlinks=nvlinks),),
        )
        for number in range(count)
    ]


def decode_rate(
    workload: Workload, gpus: list[Gpu], sequences: int = 1, *, is_eager: bool = False
) -> float | None:
    """Of all sequences together."""
    seconds = step_s(
        workload, gpus, Hardware(), kv_blocks=NO_CACHE, depth_tokens=0, sequences=sequences, is_eager=is_eager
    )
    return sequences / seconds if seconds else None


def prefill_rate(workload: Workload, gpus: list[Gpu], prompt: int = 4096) -> float:
    predicted = prefill_speed(workload, gpus, prompt_tokens=prompt, batch_tokens=2048)
    assert predicted is not None
    return predicted.expected


@pytest.mark.parametrize(
    ("phase", "median", "p90", "in_range"),
    [("decode", 0.12, 0.70, 0.85), ("many", 0.15, 0.55, 0.70), ("prefill", 0.25, 0.60, 0.85)],
)
def test_errors_of_boxes_that_were_left_out_are_bounded(
    phase: str, median: float, p90: float, in_range: float
) -> None:
    print(vllm_speed.table())
    found = select(folds(), phase)
    assert quantile(found, 0.5) <= median
    assert quantile(found, 0.9) <= p90
    assert coverage(found) >= in_range


@pytest.mark.parametrize(("kind", "median"), [("cuda", 0.2), ("cuda unified", 0.1)])
def test_single_streams_on_nvidia_are_near_to_what_was_published(kind: str, median: float) -> None:
    found = select(comparisons(), "decode", kind)
    assert quantile(found, 0.5) <= median
    assert coverage(found) >= 0.85


def test_ranks_gain_less_than_their_number_and_least_without_nvlink() -> None:
    single, linked, unlinked = (
        decode_rate(DENSE, gpus) or 0.0 for gpus in (ranks(1), ranks(4, nvlinks=4), ranks(4))
    )
    assert single < unlinked < linked < 4 * single


def test_a_small_model_gains_nothing_from_ranks_that_wait_for_one_another() -> None:
    small = replace(DENSE, dense_bytes=0.3e9, dense_values=0.15e9, layers=30, hidden_size=576)
    assert (decode_rate(small, ranks(4)) or 0.0) < (decode_rate(small, ranks(1)) or 0.0)


def test_many_sequences_share_a_reading_of_the_weights_and_each_costs_its_arithmetic() -> None:
    one, eight, many = (decode_rate(DENSE, ranks(4), count) or 0.0 for count in (1, 8, 256))
    assert 6 * one < eight < 8 * one
    assert eight < many < 256 * one / 2


def test_more_sequences_use_more_of_the_experts() -> None:
    dense = replace(DENSE, dense_bytes=4e9, dense_values=2e9)
    experts = replace(
        dense, dense_bytes=2e9, dense_values=1e9, expert_bytes=60e9, expert_values=30e9, expert_share=1 / 32
    )
    gain, gain_of_dense = (
        (decode_rate(workload, ranks(1), 16) or 0.0) / (decode_rate(workload, ranks(1)) or 1.0)
        for workload in (experts, dense)
    )
    assert gain < 0.6 * gain_of_dense


def test_without_graphs_a_small_model_waits_for_the_core_that_launches() -> None:
    small = replace(DENSE, dense_bytes=1e9, dense_values=0.5e9, layers=30)
    assert (decode_rate(small, ranks(1), is_eager=True) or 0.0) < 0.3 * (decode_rate(small, ranks(1)) or 0.0)
    assert decode_rate(DENSE, ranks(1), is_eager=True) == decode_rate(DENSE, ranks(1))


def test_a_short_prompt_reads_all_weights_for_few_tokens_and_a_long_one_pays_for_attention() -> None:
    attentive = replace(DENSE, attention_width=80 * 8192)
    short, usual, long = (prefill_rate(attentive, ranks(1), tokens) for tokens in (128, 2048, 131072))
    assert short < 0.9 * usual
    assert long < 0.8 * usual


def test_a_narrow_link_slows_prompts() -> None:
    wide, narrow = ([replace(gpu, pcie_bytes_per_s=rate) for gpu in ranks(2)] for rate in (64e9, 4e9))
    assert prefill_rate(DENSE, narrow) < 0.8 * prefill_rate(DENSE, wide)
    assert prefill_rate(DENSE, wide) > prefill_rate(DENSE, wide[:1])


def test_a_rank_of_unknown_bandwidth_gives_no_speed() -> None:
    gpus = [*ranks(1), build.gpu(80, gb_per_s=None)]
    assert decode_rate(DENSE, gpus) is None
    assert prefill_speed(DENSE, gpus, prompt_tokens=512, batch_tokens=2048) is None


def test_work_is_what_a_token_passes() -> None:
    """Not the towers for images, not the table that is looked up, of the experts those that are used."""
    sizes = {
        "model.embed_tokens.weight": 100,
        "lm_head.weight": 100,
        "model.layers.0.self_attn.q_proj.weight": 10,
        "model.layers.0.mlp.experts.7.up_proj.weight": 640,
        "model.layers.0.mlp.shared_expert.up_proj.weight": 20,
        "visual.blocks.0.attn.qkv.weight": 1000,
    }
    tensors = tuple(Tensor(name, "BF16", (1, size), size) for name, size in sizes.items())
    facts = {"m.num_experts": 64, "m.num_experts_per_tok": 4}
    config = Config(
        (LayerKind.FULL,), heads=1, kv_heads=1, head_dim=8, hidden_size=8, trained_context_tokens=8
    )
    workload = workload_of(ModelShape("m", tensors, 1870, facts), config, "bf16")
    assert (workload.dense_bytes, workload.expert_bytes, workload.expert_share) == (130, 640, 4 / 64)
    assert (workload.dense_values, workload.expert_values) == (65, 320)
    tied = workload_of(ModelShape("m", tensors[:1] + tensors[2:], 1770, facts), config, "bf16")
    assert tied.dense_bytes == 130


@pytest.mark.parametrize(
    ("quant", "tensors", "values"),
    [
        ("awq", (("qweight", "I32", 400), ("scales", "F16", 12), ("qzeros", "I32", 3)), 800),
        (
            "nvfp4",
            (("weight", "U8", 400), ("weight_scale", "F8_E4M3", 50), ("weight_scale_2", "F32", 4)),
            800,
        ),
        ("fp8", (("weight", "F8_E4M3", 400), ("weight_scale_inv", "F32", 8)), 400),
        ("int8", (("weight", "I8", 400), ("weight_scale", "BF16", 8)), 400),
        ("gptq", (("qweight", "I32", 400), ("scales", "F16", 12), ("g_idx", "I32", 16)), 400),
        ("bf16", (("weight", "BF16", 400),), 200),
    ],
)
def test_packed_weights_are_counted_by_their_bits_and_scales_not_at_all(
    quant: str, tensors: tuple[tuple[str, str, int], ...], values: float
) -> None:
    shape = ModelShape(
        "m",
        tuple(
            Tensor(f"model.layers.0.mlp.up_proj.{name}", kind, (1, size), size)
            for name, kind, size in tensors
        ),
        0,
        {"m.quantization_config.bits": 8} if quant == "gptq" else {},
    )
    config = Config(
        (LayerKind.FULL,), heads=1, kv_heads=1, head_dim=8, hidden_size=8, trained_context_tokens=8
    )
    assert workload_of(shape, config, quant).dense_values == values
