"""What a search for vLLM tries: ranks, contexts, caches, the pool of several sequences, the headroom."""

from dataclasses import replace

import pytest

from domain.errors import DoesNotFitError
from domain.launches.plan import VLLM, LaunchOptions
from domain.machine.hardware import Gpu, MemoryKind
from domain.models.model import ResolvedModel
from domain.units import GIB, MIB
from planner.choose.choose import plan
from planner.vllm.ranks import most_weight_bytes
from tests.planner import build
from tests.planner.build import LARGE, SMOL, folder
from tests.planner.vllm.test_vllm import AWQ, EIGHT_B, FP8, card, planned


def test_tensor_parallel_takes_the_fewest_like_gpus_that_hold_it() -> None:
    four = build.hardware(*(build.gpu(48, name="L40S") for _ in range(4)), ram_gib=256)
    assert planned(folder(SMOL, 269 * MIB), four)[1].tensor_parallel == 1
    chosen, flags = planned(folder(LARGE, 141 * GIB), four, LaunchOptions(context_tokens=8192))
    assert flags.tensor_parallel == 4
    assert [row.device for row in chosen.memory] == ["GPU0", "GPU1", "GPU2", "GPU3", "host"]
    assert all(row.free_bytes is None or row.needed_bytes <= row.free_bytes for row in chosen.memory)


def test_more_ranks_are_taken_where_a_turn_gains() -> None:
    """Of 40 GiB four cards make twice the tokens of one; of 270 MiB they would gain nothing that is felt."""
    four = build.hardware(*(build.gpu(48, gb_per_s=864, name="L40S") for _ in range(4)), ram_gib=256)
    model = folder(LARGE, 36 * GIB, "awq", method="awq")
    assert planned(model, four, LaunchOptions(context_tokens=8192))[1].tensor_parallel == 4
    assert planned(folder(SMOL, 269 * MIB), four)[1].tensor_parallel == 1


def test_unlike_gpus_are_no_ranks_of_one_model() -> None:
    assert planned(folder(SMOL, 269 * MIB), build.UNEQUAL)[1].device_ids == (0,)
    with pytest.raises(DoesNotFitError):
        planned(folder(LARGE, 30 * GIB), build.UNEQUAL)


def test_a_pool_is_one_full_sequence_or_a_quarter_of_each_whichever_is_more() -> None:
    one, four, eight = (
        planned(folder(SMOL, 269 * MIB), build.SMALL_CPU, LaunchOptions(parallel=count))[
            1
        ].kv_cache_memory_bytes
        or 0
        for count in (1, 4, 8)
    )
    assert one <= four < 1.05 * one
    assert 1.9 * one < eight < 2.1 * one


def test_what_each_of_several_is_sure_of_is_said_with_the_pool() -> None:
    chosen, _ = planned(
        FP8, build.hardware(card()), LaunchOptions(engine=VLLM, parallel=16, context_tokens=8192)
    )
    pool, sure = chosen.pool_tokens or 0, chosen.guaranteed_tokens or 0
    assert pool >= 16 * 2048
    assert 2048 <= sure <= pool // 16
    said = f"16 at once share a pool of {pool} tokens: each is sure of {sure}, and may use all 8192"
    assert any(said in reason for reason in chosen.reasons)
    alone, _ = planned(FP8, build.hardware(card()), LaunchOptions(engine=VLLM, context_tokens=8192))
    assert (alone.pool_tokens, alone.guaranteed_tokens) == (None, None)


LONG = LaunchOptions(context_tokens=32768)


@pytest.mark.parametrize(
    ("model", "arch", "vendor", "cache"),
    [
        pytest.param(AWQ, "sm_89", "nvidia", "fp8", id="e4m3"),
        pytest.param(AWQ, "sm_86", "nvidia", "fp8_e5m2", id="Ampere has e5m2 alone"),
        pytest.param(AWQ, "sm_75", "nvidia", None, id="Turing has none"),
        pytest.param(AWQ, "gfx1201", "amd", "fp8", id="RDNA 4"),
        pytest.param(AWQ, "gfx1100", "amd", None, id="RDNA 3 has none"),
    ],
)
def test_a_smaller_cache_is_taken_where_the_gpu_computes_with_it_and_the_plain_one_does_not_fit(
    model: ResolvedModel, arch: str, vendor: str, cache: str | None
) -> None:
    machine = build.hardware(card(11.3, arch=arch, vendor=vendor))
    if cache is None:
        with pytest.raises(DoesNotFitError):
            planned(model, machine, LONG)
        return
    assert planned(model, machine, LONG)[0].kv_cache_type == cache
    assert planned(model, build.hardware(card(24, arch=arch, vendor=vendor)), LONG)[0].kv_cache_type == "bf16"


def test_e5m2_is_not_taken_with_weights_in_fp8_which_vllm_refuses() -> None:
    ampere, ada = (build.hardware(card(14.5, arch=arch)) for arch in ("sm_86", "sm_89"))
    assert planned(FP8, ada, LONG)[0].kv_cache_type == "fp8"
    with pytest.raises(DoesNotFitError):
        planned(FP8, ampere, LONG)


def test_the_plain_cache_on_more_gpus_comes_before_a_smaller_one_on_fewer() -> None:
    two = build.hardware(*(card(11.3) for _ in range(2)))
    chosen, flags = planned(AWQ, two, LONG)
    assert (chosen.kv_cache_type, flags.tensor_parallel) == ("bf16", 2)


def test_a_context_that_nobody_asked_for_is_shortened_before_the_cache_is_made_smaller() -> None:
    chosen, flags = planned(AWQ, build.hardware(card(10.8)))
    assert 8192 <= chosen.context_tokens < 32768
    assert (chosen.kv_cache_type, flags.cpu_offload_gb) == ("bf16", 0)
    tight = planned(AWQ, build.hardware(card(8.3)))[0]
    assert (tight.kv_cache_type, tight.context_tokens >= 8192) == ("fp8", True)


def test_a_pool_that_the_host_shares_keeps_its_headroom() -> None:
    """What owners of a GB10 leave: at least an eighth."""
    unified = Gpu(
        "gpu:0", "nvidia", "GB10", MemoryKind.UNIFIED, 119 * GIB, bandwidth_bytes_per_s=273e9, arch="sm_121"
    )
    machine = build.hardware(unified, ram_gib=119, available_gib=116)
    chosen, flags = planned(folder(EIGHT_B, 60 * GIB), machine)
    assert chosen.memory[0].needed_bytes < 0.85 * 119 * GIB
    assert flags.gpu_memory_utilization is not None
    assert flags.gpu_memory_utilization < 0.86
    with pytest.raises(DoesNotFitError):
        planned(folder(EIGHT_B, 98 * GIB), machine)


def test_ram_holds_no_weights() -> None:
    machine = build.hardware(card(), ram_gib=512)
    with pytest.raises(DoesNotFitError, match="one a card has"):
        planned(folder(EIGHT_B, 40 * GIB, "fp8", method="fp8"), machine)
    cards = (card(), card(), replace(card(48), name="another"))
    boxes = build.hardware(*cards, ram_gib=512), build.hardware(card(None), ram_gib=512)
    assert most_weight_bytes(boxes[:1], 600 * GIB) == 48 * GIB
    assert most_weight_bytes(boxes, 600 * GIB) == 600 * GIB
    assert most_weight_bytes(boxes[:1], None) is None


def test_eight_bits_are_eight_bits() -> None:
    """FP8 and Q8_0 differ by a tenth of a percent: the quicker one is taken, by either engine."""
    dense = build.candidates("qwen3-32b", "Q8_0")
    own = folder({**EIGHT_B, "num_hidden_layers": 64, "hidden_size": 5120}, 33 * GIB, "fp8", method="fp8")
    four = build.hardware(*(replace(card(48), name="L40S") for _ in range(4)), ram_gib=256)
    chosen = plan("m", (*dense, own), four, LaunchOptions(context_tokens=8192))
    assert chosen.engine == VLLM
    slow = folder({**EIGHT_B, "num_hidden_layers": 64, "hidden_size": 5120}, 33 * GIB, "fp8", method="fp8")
    amd = build.hardware(card(48, arch="gfx1100", vendor="amd"), ram_gib=256)
    assert plan("m", (*dense, slow), amd, LaunchOptions(context_tokens=8192)).engine != VLLM
