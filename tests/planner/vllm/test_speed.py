"""vLLM's speeds: what a token reads on each rank, and what ranks cost one another."""

from dataclasses import replace

import pytest

from domain.accelerator import Peer
from domain.hardware import Gpu
from domain.model import ModelShape, Tensor
from domain.plan import Range
from planner.vllm.model_config import Config, LayerKind
from planner.vllm.speed import Workload, decode_speed, prefill_speed, workload_of
from tests.planner import build

GB10 = build.gpu(119, gb_per_s=273)
DENSE = Workload("BF16", 140e9, 0, 1.0, layers=80, hidden_size=8192)


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


def expected(predicted: Range | None) -> float:
    assert predicted is not None
    return predicted.expected


@pytest.mark.parametrize(
    ("workload", "gpu", "measured"),
    [
        pytest.param(
            Workload("NVFP4", 40.61e9, 0, 1.0, 80, 8192), GB10, 4.1, id="486: Llama 3.3 70B NVFP4 on a GB10"
        ),
        pytest.param(
            # attention, router and output in BF16: 1.5 G of values; 36 x 128 experts of 3 x 2880 x 2880.
            # Row 484 has 59.5: more than 273 GB/s would read of them.
            Workload("MXFP4", 3.1e9, 60.9e9, 4 / 128, 36, 2880), GB10, 33.5, id="485: gpt-oss-120b on a GB10"
        ),
        pytest.param(
            # 64 experts of 3 x 2048 x 1536 in 46 layers; all else, 1.3 G of values, in 4 bits, too
            Workload("AWQ", 0.9e9, 14.8e9, 4 / 64, 47, 2048),
            build.gpu(32, gb_per_s=1792),
            163.4,
            id="392: GLM-4.7-Flash AWQ on an RTX 5090",
        ),
    ],
)  # fmt: skip
def test_published_single_streams_are_in_the_range(workload: Workload, gpu: Gpu, measured: float) -> None:
    """Rows of tests/captures/bench.json; the others of vLLM are sums over many streams."""
    predicted = decode_speed(workload, [gpu])
    assert predicted is not None
    low, expected_rate, high = predicted.low, predicted.expected, predicted.high
    print(f"measured {measured}, expected {expected_rate:.1f} ({low:.1f} to {high:.1f})")
    assert predicted.low <= measured <= predicted.high


def test_ranks_gain_less_than_their_number_and_least_without_nvlink() -> None:
    single, linked, unlinked = (
        expected(decode_speed(DENSE, gpus)) for gpus in (ranks(1), ranks(4, nvlinks=4), ranks(4))
    )
    assert single < unlinked < linked < 4 * single


def test_a_small_model_gains_nothing_from_ranks_that_wait_for_one_another() -> None:
    small = Workload("BF16", 0.3e9, 0, 1.0, layers=30, hidden_size=576)
    assert expected(decode_speed(small, ranks(4))) < expected(decode_speed(small, ranks(1)))


def test_a_narrow_link_slows_prompts() -> None:
    wide, narrow = ([replace(gpu, pcie_bytes_per_s=rate) for gpu in ranks(2)] for rate in (64e9, 4e9))
    assert expected(prefill_speed(DENSE, narrow)) < 0.8 * expected(prefill_speed(DENSE, wide))
    assert expected(prefill_speed(DENSE, wide)) > expected(prefill_speed(DENSE, wide[:1]))


def test_a_rank_of_unknown_bandwidth_gives_no_speed() -> None:
    gpus = [*ranks(1), build.gpu(80, gb_per_s=None)]
    assert decode_speed(DENSE, gpus) is None
    assert prefill_speed(DENSE, gpus) is None


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
    tied = workload_of(ModelShape("m", tensors[:1] + tensors[2:], 1770, facts), config, "bf16")
    assert tied.dense_bytes == 130
