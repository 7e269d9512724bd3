"""What quants lose, by the types of their tensors and the size of the model, beside what was published."""

import json
from collections.abc import Iterator
from itertools import combinations
from math import exp, log, prod
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from catalog.synthetic.header import tensor_table
from catalog.synthetic.quant_recipes import recipe_of
from catalog.synthetic.tensor_layouts import FAMILIES as LAYOUTS
from config.catalogue import catalogue
from domain.launches.plan import LaunchOptions
from domain.models.ggml import BY_NAME
from domain.models.model import ModelShape, ResolvedModel, Source, Tensor, Weights
from planner.choose.choose import plan
from planner.choose.quality import filter_by_quality
from planner.choose.sensitivity import sensitivity
from planner.llama_cpp.quality import TRAINED_TYPES, TYPE_LOSS, quality_loss
from tests.conftest import ROOT
from tests.planner import build

ROWS = json.loads((Path(__file__).parents[2] / "captures" / "quant-losses.json").read_text())["rows"]
HELD_OUT = [row for row in ROWS if not row["fitted"]]


def model(quant: str, *tensors: Tensor, architecture: str = "llama") -> ResolvedModel:
    size_bytes = sum(tensor.size_bytes for tensor in tensors)
    shape = ModelShape(architecture, tensors, size_bytes)
    return ResolvedModel(Weights(Source.HUB, "o/r", None, (), quant, size_bytes), shape)


def of_type(kind: str, name: str = "blk.0.ffn_up.weight", values: int = 2**33) -> Tensor:
    return Tensor(name, kind, (values // 4096, 4096), BY_NAME[kind].row_bytes(values))


def of_bits(bits_per_weight: float, parameters: int) -> ResolvedModel:
    """All that a published row says of its file: the type is none that a table has."""
    rows = parameters // 4096
    size_bytes = int(bits_per_weight * parameters / 8)
    return model("?", Tensor("blk.0.ffn_up.weight", "?", (4096, rows), size_bytes))


def logarithm(percent: float) -> float:
    return 100 * log(1 + percent / 100)


def predicted(row: dict[str, Any]) -> float:
    return logarithm(quality_loss(of_bits(row["bits_per_weight"], row["parameters"])))


def errors(rows: list[dict[str, Any]]) -> list[float]:
    """Factors that the prediction is off by, of losses that are no noise."""
    measurable = [row for row in rows if row["bits_per_weight"] and row["loss"] >= 0.3]
    return sorted(exp(abs(log(predicted(row) / row["loss"]))) for row in measurable)


def test_models_that_were_held_out_lose_what_is_predicted_within_the_documented_factor() -> None:
    factors = errors(HELD_OUT)
    assert len(factors) >= 25
    assert median(factors) < 2.0
    assert factors[int(0.8 * len(factors))] < 3.5


def by_model(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for name in sorted({row["model"] for row in rows}):
        yield [row for row in rows if row["model"] == name and row["bits_per_weight"]]


def test_of_two_quants_of_a_held_out_model_the_better_one_is_predicted_to_be_better() -> None:
    pairs = [
        (one, other)
        for rows in by_model(HELD_OUT)
        for one, other in combinations(rows, 2)
        if max(one["loss"], other["loss"]) > 1.3 * min(one["loss"], other["loss"])
        and one["source"] == other["source"]
    ]
    right = sum((one["loss"] < other["loss"]) is (predicted(one) < predicted(other)) for one, other in pairs)
    assert len(pairs) > 50
    assert right / len(pairs) > 0.9


# Quants whose mix catalog/synthetic has; Q3_K_M and L give attn_output more than it does.
@pytest.mark.parametrize(
    "quant", ["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q4_0", "IQ3_XXS", "Q2_K", "IQ2_XXS"]
)
def test_the_reference_model_loses_what_was_measured(quant: str) -> None:
    tensors = tensor_table("llama", catalogue()["llama-3.1-8b"].shape, recipe_of(quant, "llama"))
    scale = sensitivity(sum(prod(tensor.shape) for tensor in tensors))
    loss = logarithm(quality_loss(model(quant, *tensors))) / scale
    rows = [row for row in ROWS if row["model"] == "Llama-3-8B" and row["quant"].upper() == quant]
    published = [row["loss"] - 0.02 for row in rows]  # F16 has that much there
    assert min(published) / 1.25 < loss < max(published) * 1.25


def test_a_small_model_loses_more_than_a_large_one() -> None:
    small, middle, large = (quality_loss(of_bits(2.6, parameters)) for parameters in (10**9, 10**10, 10**11))
    assert small > 2 * middle > 2 * large
    assert sensitivity(135e6) == sensitivity(1e6) == sensitivity(0) == 2.3


def test_the_name_of_a_quant_says_nothing_its_tensors_do() -> None:
    assert quality_loss(model("Q4_K_M", of_type("Q2_K"))) == quality_loss(model("UD-TQ1_0", of_type("Q2_K")))
    tiers = [model(f"APEX-{kind}", of_type(kind)) for kind in ("Q6_K", "Q5_K", "Q4_K", "Q2_K")]
    assert sorted(tiers, key=quality_loss) == tiers


def test_a_type_that_no_table_has_is_judged_by_its_bits() -> None:
    known = [quality_loss(model("?", of_type(kind))) for kind in ("Q8_0", "Q5_K", "IQ4_XS", "IQ2_S", "IQ1_S")]
    by_bits = [quality_loss(of_bits(bits, 2**33)) for bits in (8.5, 5.5, 4.25, 2.5625, 1.5625)]
    assert by_bits == pytest.approx(known, rel=0.01)
    assert quality_loss(of_bits(1.0, 2**33)) > quality_loss(of_bits(1.5, 2**33)) > known[-1]
    assert quality_loss(of_bits(32, 2**33)) == 0.0


def test_every_type_of_weights_has_a_loss_and_fewer_bits_never_help_within_a_kind() -> None:
    assert {name for name in BY_NAME if name[0] != "I" or name.startswith("IQ")} - {"Q8_1"} <= set(TYPE_LOSS)
    for kinds in (
        ("Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "Q1_0"),
        ("IQ4_XS", "IQ3_S", "IQ2_S", "IQ1_S"),
    ):
        losses = [TYPE_LOSS[kind] for kind in kinds]
        assert losses == sorted(losses)


@pytest.mark.parametrize("architecture", ["qwen3moe", "seed_oss", "llama"])
def test_mxfp4_loses_more_than_q4_where_the_model_was_not_trained_in_it(architecture: str) -> None:
    requantized, q4, q8 = (
        model(kind, of_type(kind, "blk.0.ffn_up_exps.weight"), architecture=architecture)
        for kind in ("MXFP4", "Q4_K", "Q8_0")
    )
    assert quality_loss(requantized) > quality_loss(q4) > quality_loss(q8)
    assert filter_by_quality((requantized, q4, q8), "best") == (q8,)


@pytest.mark.parametrize(("architecture", "kind"), [("gpt-oss", "MXFP4"), ("bitnet", "TQ2_0")])
def test_a_type_that_the_model_was_trained_in_loses_nothing(architecture: str, kind: str) -> None:
    assert kind in TRAINED_TYPES[architecture]
    assert quality_loss(model(kind, of_type(kind), architecture=architecture)) == 0.0
    assert quality_loss(model(kind, of_type("Q4_K"), architecture=architecture)) > 1.0


def test_a_value_projection_weighs_more_than_another_tensor() -> None:
    rest = of_type("Q6_K", values=2**32)
    in_value, in_up = of_type("Q3_K", "blk.0.attn_v.weight", 2**28), of_type("Q3_K", values=2**28)
    assert quality_loss(model("?", rest, in_value)) > 2 * quality_loss(model("?", rest, in_up))


def test_an_embedding_counts_only_where_it_is_the_output_too() -> None:
    rest, embedding = of_type("Q6_K"), of_type("Q2_K", "token_embd.weight", 2**30)
    output = of_type("Q6_K", "output.weight", 2**30)
    assert quality_loss(model("?", rest, embedding)) > quality_loss(model("?", rest, embedding, output))


def test_loss_is_in_percent_of_perplexity() -> None:
    chosen = plan("m", build.candidates("llama-3.1-8b", "Q4_K_M"), build.CARD_24, LaunchOptions())
    assert "adds about 1.5 % to the perplexity" in " ".join(chosen.reasons)


def documented(label: str) -> list[float]:
    """Rows, median, 80 % and bias, as docs/planning.md has them."""
    page = (ROOT / "docs" / "planning.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith(f"| {label} |"))
    return [float(cell) for cell in line.split("|")[2:-1]]


@pytest.mark.parametrize("label", ["models that set it", "held out"])
def test_the_page_has_the_errors_of_what_is_shipped(label: str) -> None:
    """Without the reference, of which the losses by type are."""
    rows = [
        row
        for row in ROWS
        if row["fitted"] is (label != "held out")
        and row["model"] != "Llama-3-8B"
        and row["bits_per_weight"]
        and row["loss"] >= 0.3
    ]
    factors = errors(rows)
    bias = exp(sum(log(predicted(row) / row["loss"]) for row in rows) / len(rows))
    found = [len(factors), median(factors), factors[int(0.8 * len(factors))], bias]
    assert documented(label) == pytest.approx(found, abs=0.05)


FAMILIES = {
    "K": "Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K Q8_0 BF16",
    "IQ": "IQ1 IQ2_XXS IQ2 IQ3_XXS IQ3 IQ4_XS IQ4_NL",
    "with one scale": "Q4_0 Q5_0 Q8_0",  # Q4_1 has a larger output: it is worse than a Q5_0 of its size
}
TWENTY = [alias for alias, entry in catalogue().items() if entry.shape and entry.architecture in LAYOUTS][
    ::4
][:20]


@pytest.mark.parametrize("alias", TWENTY)
@pytest.mark.parametrize("family", FAMILIES)
def test_more_bits_per_weight_never_lose_more_within_a_family(alias: str, family: str) -> None:
    entry = catalogue()[alias]
    rows = []
    for quant in FAMILIES[family].split():
        tensors = tensor_table(entry.architecture, entry.shape, recipe_of(quant, entry.architecture))
        bits = 8 * sum(one.size_bytes for one in tensors) / sum(prod(one.shape) for one in tensors)
        rows.append((bits, quality_loss(model(quant, *tensors, architecture=entry.architecture))))
    losses = [loss for _, loss in sorted(rows, key=lambda row: (row[0], -row[1]))]
    assert losses == sorted(losses, reverse=True)


def test_twenty_models_are_looked_at() -> None:
    assert len(TWENTY) == 20
    assert len({catalogue()[alias].architecture for alias in TWENTY}) >= 10
