"""What quantized safetensors lose: by how they are stored, and by the bits of packed integers."""

import pytest

from domain.units import GIB
from planner.vllm.quality import quality_loss
from tests.planner.build import LARGE, folder


def loss(quant: str, **config: int) -> float:
    facts = {**LARGE, **{f"quantization_config.{key}": value for key, value in config.items()}}
    return quality_loss(folder(facts, 8 * GIB, quant, method=quant))


@pytest.mark.parametrize("quant", ["gptq", "awq", "int4"])
def test_four_bits_are_what_the_method_says_and_others_what_their_number_says(quant: str) -> None:
    two, three, four, eight = (loss(quant, bits=bits) for bits in (2, 3, 4, 8))
    assert four == loss(quant)
    assert eight == pytest.approx(loss("int8"), rel=0.1)
    assert eight < 0.1 * four < four < three < two


def test_older_tools_and_groups_of_compressed_tensors_say_the_bits_elsewhere() -> None:
    assert loss("awq", w_bit=8) == loss("awq", bits=8)
    assert loss("int4", **{"config_groups.group_0.weights.num_bits": 3}) == loss("int4", bits=3)
    assert loss("gptq", bits=4000) == loss("gptq")


def test_floats_of_eight_bits_are_no_integers() -> None:
    assert loss("fp8", bits=2) == loss("fp8")
