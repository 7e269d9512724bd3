"""vLLM plans: ranks that divide the heads, KV in bytes, the CPU's own rules."""

from dataclasses import replace

import pytest

from domain.errors import BadModelError, DoesNotFitError
from domain.hardware import Hardware
from domain.model import Candidate, Chat, ModelShape, Source, Tensor, WeightFile, Weights
from domain.plan import VLLM, Plan, VllmFlags, Wish
from domain.units import GIB, MIB
from planner.choose import plan
from tests.planner import build

SMOL = {
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "hidden_size": 576,
    "max_position_embeddings": 8192,
}
LARGE = {
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "hidden_size": 8192,
    "max_position_embeddings": 131072,
}


def folder(facts: dict[str, int], size_bytes: int, quant: str = "BF16") -> Candidate:
    shape = ModelShape(
        "llama",
        (Tensor("model.embed_tokens.weight", "BF16", (49152, 576), size_bytes),),
        size_bytes,
        {f"llama.{key}": value for key, value in facts.items()},
    )
    files = (WeightFile("model.safetensors", size_bytes),)
    return Candidate(
        Weights(Source.FILE, "here", None, files, quant, size_bytes, "/models/here"), shape, engine=VLLM
    )


def planned(candidate: Candidate, machine: Hardware, wish: Wish = Wish()) -> tuple[Plan, VllmFlags]:  # noqa: B008
    found = plan("a model", (candidate,), machine, wish)
    assert isinstance(found.flags, VllmFlags)
    return found, found.flags


def test_on_a_cpu_it_is_eager_bfloat16_on_one_rank_with_kv_in_bytes() -> None:
    found, flags = planned(folder(SMOL, 269 * MIB), build.SMALL_CPU)
    assert (flags.dtype, flags.enforce_eager, flags.tensor_parallel) == ("bfloat16", True, 1)
    assert flags.max_model_len == 8192
    token_bytes = 2 * 30 * 3 * 64 * 2
    assert flags.kv_cache_memory_bytes is not None
    assert 8192 * token_bytes < flags.kv_cache_memory_bytes < 1.3 * 8192 * token_bytes
    assert found.fits


def test_kv_grows_with_slots() -> None:
    one, four = (
        planned(folder(SMOL, 269 * MIB), build.SMALL_CPU, Wish(parallel=count))[1].kv_cache_memory_bytes
        for count in (1, 4)
    )
    assert one is not None
    assert four is not None
    assert 3.5 * one < four < 4.5 * one


def test_tensor_parallel_takes_the_fewest_like_gpus_that_hold_it() -> None:
    four = build.hardware(*(build.gpu(48, name="L40S") for _ in range(4)), ram_gib=256)
    assert planned(folder(SMOL, 269 * MIB), four)[1].tensor_parallel == 1
    found, flags = planned(folder(LARGE, 141 * GIB), four, Wish(context_tokens=8192))
    assert flags.tensor_parallel == 4
    assert [row.device for row in found.memory] == ["GPU0", "GPU1", "GPU2", "GPU3", "host"]
    assert all(row.free_bytes is None or row.needed_bytes <= row.free_bytes for row in found.memory)


def test_ranks_divide_the_heads() -> None:
    two = build.hardware(*(build.gpu(24, name="same") for _ in range(2)), ram_gib=16)
    with pytest.raises(DoesNotFitError):
        planned(folder({**SMOL, "num_attention_heads": 9}, 36 * GIB), two)


def test_a_refusal_names_the_context_that_would_fit() -> None:
    with pytest.raises(DoesNotFitError) as refused:
        planned(folder(LARGE, 10 * GIB), build.SMALL_CPU, Wish(context_tokens=131072))
    assert "--context" in refused.value.hint


def test_a_folder_that_says_nothing_is_refused() -> None:
    with pytest.raises(BadModelError, match="num_attention_heads"):
        planned(folder({"hidden_size": 4}, 1 * GIB), build.SMALL_CPU)


def test_weights_without_kernels_on_this_gpu_are_passed_over() -> None:
    box = build.hardware(replace(build.gpu(24, name="RTX 2080 Ti"), arch="sm_75"), ram_gib=64)
    native = replace(folder(SMOL, 2 * GIB, "mxfp4"), compute_capability=8.0)
    smaller = replace(folder(SMOL, 1 * GIB, "awq"), compute_capability=7.5)
    assert plan("m", (native, smaller), box, Wish()).weights == smaller.weights
    with pytest.raises(BadModelError, match=r"mxfp4 weights need compute capability 8.0, this GPU has 7.5"):
        plan("m", (native,), box, Wish())
    unknown = build.hardware(replace(build.gpu(24, name="?"), arch=None), ram_gib=64)
    assert plan("m", (native,), unknown, Wish()).weights == native.weights
    ada = build.hardware(replace(build.gpu(24, name="GB10"), arch="sm_121"), ram_gib=64)
    assert plan("m", (native,), ada, Wish()).weights == native.weights


def test_what_the_catalogue_says_of_chats_reaches_the_flags() -> None:
    chat = Chat(tool_call_parser="hermes", reasoning_parser="qwen3")
    flags = planned(replace(folder(SMOL, 269 * MIB), chat=chat), build.SMALL_CPU)[1]
    assert (flags.tool_call_parser, flags.auto_tool_choice, flags.reasoning_parser) == (
        "hermes",
        True,
        "qwen3",
    )
    plain = planned(folder(SMOL, 269 * MIB), build.SMALL_CPU)[1]
    assert (plain.tool_call_parser, plain.auto_tool_choice, plain.reasoning_parser) == (None, False, None)
