"""How many GPUs can share a model: whole heads, a whole vocabulary, whole blocks of quantized weights."""

from dataclasses import replace
from math import prod

import pytest

from domain.errors import DoesNotFitError, UsageError
from domain.launches.plan import VLLM, LaunchOptions, VllmFlags
from domain.machine.hardware import Hardware
from domain.models.model import MetadataValue, ModelShape, ResolvedModel, Source, Tensor, Weights
from domain.units import GIB
from planner.choose.choose import plan
from planner.vllm.estimate import memory_layout
from planner.vllm.model_config import read_config
from planner.vllm.weights.cuts import why_not_shared
from tests.planner import build
from tests.planner.vllm.test_vllm import card, engine

FACTS: dict[str, MetadataValue] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 48,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 2048,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "num_experts": 64,
    "num_experts_per_tok": 4,
}
DOWN = "model.layers.0.mlp.down_proj"
EXPERT = "model.layers.0.mlp.experts.0.down_proj"
BYTES = {"F8_E4M3": 1, "BF16": 2, "F16": 2, "I32": 4, "U8": 1, "F32": 4}
FP8 = {"quant_method": "fp8", "weight_block_size": (128, 128)}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128}
IN_GROUPS = {
    "quant_method": "compressed-tensors",
    "config_groups.group_0.weights.strategy": "group",
    "config_groups.group_0.weights.group_size": 128,
}
IN_BLOCKS = {
    "quant_method": "compressed-tensors",
    "config_groups.group_0.weights.strategy": "block",
    "config_groups.group_0.weights.block_structure": (128, 128),
}
NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4", "config_groups.group_0.weights.group_size": 16}


def shape(method: dict[str, MetadataValue], *tensors: tuple[str, str, tuple[int, ...]]) -> ModelShape:
    facts = {**FACTS, **{f"quantization_config.{key}": value for key, value in method.items()}}
    table = tuple(Tensor(name, kind, sizes, prod(sizes) * BYTES[kind]) for name, kind, sizes in tensors)
    metadata = {f"moe.{key}": value for key, value in facts.items()}
    return ModelShape("moe", table, sum(tensor.size_bytes for tensor in table), metadata)


def refused(model: ModelShape, *, divides: bool = False) -> list[int]:
    """The numbers of ranks up to 8 that can't share it, of those that can share the heads."""
    config = read_config(model)
    return [ranks for ranks in (2, 4, 8) if why_not_shared(model, config, ranks, divides=divides)]


@pytest.mark.parametrize(
    ("method", "tensor", "ranks"),
    [
        pytest.param(FP8, (f"{DOWN}.weight", "F8_E4M3", (2048, 1024)), [], id="FP8: 8 blocks"),
        pytest.param(FP8, (f"{DOWN}.weight", "F8_E4M3", (2048, 768)), [4, 8], id="FP8: 6 blocks"),
        pytest.param(FP8, (f"{DOWN}.weight", "BF16", (2048, 768)), [], id="FP8: a layer that is not"),
        pytest.param(FP8, (f"{EXPERT}.weight", "F8_E4M3", (2048, 320)), [2, 4, 8], id="FP8: narrow experts"),
        pytest.param(FP8, (f"{EXPERT}.weight", "F8_E4M3", (2048, 1536)), [8], id="FP8: 12 blocks an expert"),
        pytest.param(IN_BLOCKS, (f"{EXPERT}.weight", "F8_E4M3", (2048, 1536)), [8], id="compressed: blocks"),
        # Qwen2.5-72B: 231 groups of 128, for which its publisher padded the quants.
        pytest.param(GPTQ, (f"{DOWN}.scales", "F16", (231, 8192)), [2, 4, 8], id="GPTQ: 231 groups"),
        pytest.param(GPTQ, (f"{DOWN}.scales", "F16", (232, 8192)), [], id="GPTQ: 232 groups"),
        pytest.param(AWQ, (f"{DOWN}.scales", "F16", (4, 2048)), [8], id="AWQ: 4 groups"),
        pytest.param(AWQ, (f"{EXPERT}.scales", "F16", (6, 2048)), [], id="AWQ: divided for experts"),
        pytest.param(AWQ, ("model.layers.0.mlp.up_proj.scales", "F16", (3, 9)), [], id="AWQ: cut by outputs"),
        pytest.param(
            IN_GROUPS, (f"{EXPERT}.weight_scale", "BF16", (2048, 6)), [4, 8], id="compressed: groups"
        ),
        pytest.param(
            IN_GROUPS, (f"{DOWN}.weight_scale", "BF16", (2048, 1)), [], id="compressed: a scale for a row"
        ),
        pytest.param(NVFP4, (f"{DOWN}.weight_scale", "F8_E4M3", (2048, 68)), [8], id="NVFP4: 68 groups"),
        pytest.param({}, (f"{DOWN}.weight", "BF16", (2048, 1026)), [4, 8], id="an odd width"),
        pytest.param(
            {}, ("visual.blocks.0.mlp.down_proj.weight", "BF16", (1280, 3421)), [], id="a tower for images"
        ),
    ],
)
def test_only_cuts_between_blocks_are_possible(
    method: dict[str, MetadataValue], tensor: tuple[str, str, tuple[int, ...]], ranks: list[int]
) -> None:
    assert refused(shape(method, tensor)) == ranks


def test_a_vocabulary_is_padded_to_64_rows_and_no_further() -> None:
    model = shape({}, (f"{DOWN}.weight", "BF16", (2048, 3072)))
    config = replace(read_config(model), kv_heads=48)
    assert why_not_shared(model, config, 3) == "a vocabulary of 151936 rows can't be shared by 3 devices"
    assert why_not_shared(model, replace(config, vocab_size=151_900), 4) == ""


NARROW = shape(FP8, (f"{EXPERT}.weight", "F8_E4M3", (2048, 320)), ("w", "BF16", (5 * GIB,)))


@pytest.mark.parametrize(
    ("version", "arch", "can_share"),
    [
        pytest.param("0.32.0", "sm_89", True, id="divides blocks"),
        pytest.param("0.33.1+cu130", "sm_120", True, id="a later one"),
        pytest.param("0.31.2", "sm_89", False, id="an earlier one"),
        pytest.param(None, "sm_89", False, id="of unknown version"),
        pytest.param("0.32.0", "sm_86", False, id="a GPU without FP8"),
    ],
)
def test_blocks_of_experts_are_cut_by_a_vllm_that_divides_them(
    version: str | None, arch: str, can_share: bool
) -> None:
    box = replace(pair(arch), engines=(replace(engine(VLLM, "cuda"), version=version),))
    flags = VllmFlags(tensor_parallel=2, max_model_len=4096)
    if can_share:
        assert memory_layout(NARROW, flags, box).ranks == (0, 1)
        return
    with pytest.raises(UsageError, match="2 devices would cut blocks of 128 x 128 weights with one scale"):
        memory_layout(NARROW, flags, box)


def pair(arch: str) -> Hardware:
    return build.hardware(*(replace(card(8, arch=arch), id=f"gpu:{number}") for number in range(2)))


def resolved(model: ModelShape) -> ResolvedModel:
    weights = Weights(Source.FILE, "here", None, (), "fp8", model.file_bytes)
    return ResolvedModel(weights, model, engine=VLLM)


def test_gpus_that_would_cut_blocks_are_not_taken_and_a_refusal_says_so() -> None:
    with pytest.raises(DoesNotFitError) as error:
        plan("m", (resolved(NARROW),), pair("sm_89"), LaunchOptions())
    assert str(error.value).startswith("m does not fit: it needs 1")
    assert "one a card has 6.9 GiB for it; its experts are 320 wide, and 2 devices would cut" in str(
        error.value
    )
    whole = shape(FP8, (f"{EXPERT}.weight", "F8_E4M3", (2048, 512)), ("w", "BF16", (5 * GIB,)))
    flags = plan("m", (resolved(whole),), pair("sm_89"), LaunchOptions(context_tokens=4096)).flags
    assert isinstance(flags, VllmFlags)
    assert flags.tensor_parallel == 2


def test_a_shortage_is_that_of_each_gpu() -> None:
    large = shape({}, ("w", "BF16", (10 * GIB,)))
    with pytest.raises(
        DoesNotFitError, match=r"each of 2 GPUs needs 11\.\d GiB, one a card has 6\.9 GiB"
    ) as error:
        plan("m", (resolved(large),), pair("sm_89"), LaunchOptions(context_tokens=4096))
    assert error.value.has_bytes == pytest.approx(6.9 * GIB, rel=0.001)
    assert 11 * GIB < error.value.needs_bytes < 12 * GIB
    small_host = replace(build.hardware(card(80), ram_gib=3), storage=None)
    with pytest.raises(DoesNotFitError, match=r"the host needs 3\.\d GiB, it has 512 MiB"):
        plan("m", (resolved(large),), small_host, LaunchOptions(context_tokens=4096))
