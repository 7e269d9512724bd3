"""The work that a plan takes, counted: a search over many quants must stay a fraction of a second."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType

import pytest

from catalog.synthetic.header import shape_of
from config.data import catalogue
from domain.errors import DoesNotFitError
from domain.launches.plan import LaunchOptions
from domain.machine.hardware import Hardware
from domain.models.catalogue_types import KnownQuant
from domain.models.model import ResolvedModel, Source, Tensor, WeightFile, Weights
from domain.units import GIB
from planner.choose.choose import plan
from planner.llama_cpp import search, split_search
from planner.llama_cpp.memory import compute_buffers
from tests.planner import build

BITS = {
    "Q3_K_M": 3.9, "Q3_K_L": 4.2, "IQ4_XS": 4.3, "Q4_K_S": 4.6, "Q4_K_M": 4.9, "Q5_K_S": 5.5, "Q5_K_M": 5.7,
    "Q6_K": 6.56, "Q8_0": 8.5, "F16": 16.0,
}  # fmt: skip
PARAMETERS = 32.8e9
UBATCHES = 3  # that are tried for what was chosen
SLOW_CPU = build.hardware(ram_gib=64, gb_per_s=40)


def qwen_32b(quant: str) -> ResolvedModel:
    size_bytes = int(BITS[quant] * PARAMETERS / 8)
    shape = shape_of(catalogue()["qwen3-32b"], KnownQuant("", quant, size_bytes))
    weights = Weights(Source.HUB, "someone/it", "main", (WeightFile(quant),), quant, size_bytes)
    return ResolvedModel(weights, shape)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Counter[str]]]:
    """Plans the smallest quants of one model, and counts the steps that take nearly all of a plan's time."""
    calls: Counter[str] = Counter()

    def count(module: ModuleType, name: str, step: str) -> None:
        original = getattr(module, name)

        def counted(*args: object, **kwargs: object) -> object:
            calls[step] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    count(search, "estimate", "estimates")
    count(search, "memory_layout", "layouts")
    count(split_search, "memory_layout", "layouts")
    count(compute_buffers, "build", "graphs")

    def planned(machine: Hardware, quants: int, first: int = 0) -> Counter[str]:
        calls.clear()
        compute_buffers._buffer_sizes.cache_clear()
        models = [qwen_32b(quant) for quant in list(BITS)[first:quants]]
        chosen = plan("a model", models, machine, LaunchOptions())
        assert chosen.weights.quant in BITS
        return Counter(calls)

    yield planned
    compute_buffers._buffer_sizes.cache_clear()


@pytest.mark.parametrize(
    "machine",
    [
        pytest.param(build.CARD_9, id="layers split between a card and RAM"),
        pytest.param(
            build.hardware(
                build.gpu(24, gb_per_s=100, name="a"), build.gpu(16, gb_per_s=60, name="b"), gb_per_s=20
            ),
            id="two unequal cards",
        ),
    ],
)
def test_work_grows_with_the_number_of_quants_and_no_faster(
    work: Callable[..., Counter[str]], machine: Hardware
) -> None:
    two, four, eight = (work(machine, quants) for quants in (2, 4, 8))
    print(two, four, eight)
    for step in ("estimates", "layouts", "graphs"):
        assert 2 <= two[step] < four[step] < eight[step]
        assert eight[step] - four[step] <= 2 * (four[step] - two[step])
    assert eight["estimates"] <= 3 * 8
    assert eight["layouts"] <= 6 * 8
    assert eight["graphs"] <= 5 * 8


def test_quants_of_a_model_share_their_graphs(work: Callable[..., Counter[str]]) -> None:
    assert work(SLOW_CPU, 2)["graphs"] == work(SLOW_CPU, 9)["graphs"] > 0


def test_a_quant_that_all_memory_together_can_t_hold_costs_one_estimate_from_the_disk(
    work: Callable[..., Counter[str]],
) -> None:
    """Of the best four: of many, the three next to the chosen one are named."""
    assert work(SLOW_CPU, 10, 6)["estimates"] == work(SLOW_CPU, 9, 6)["estimates"] + 1


def test_quants_that_can_t_win_are_not_looked_at(work: Callable[..., Counter[str]]) -> None:
    """On a card that holds all of them: of those with three bits, two for their price."""
    large_card = build.hardware(build.gpu(96, gb_per_s=3000), ram_gib=128)
    assert work(large_card, 10)["estimates"] <= 9 < 10 + UBATCHES


def test_equal_cards_that_hold_a_model_only_together_cost_no_more_than_one(
    work: Callable[..., Counter[str]],
) -> None:
    one, four = (
        work(build.hardware(*(build.gpu(8) for _ in range(count)), ram_gib=128), 3) for count in (1, 4)
    )
    assert 0 < four["estimates"] <= one["estimates"]


class Counted(tuple[Tensor, ...]):
    """Tensors that count how often all of them are looked at."""

    __slots__ = ()
    passes = 0

    def __iter__(self) -> Iterator[Tensor]:
        Counted.passes += 1
        return super().__iter__()


def test_a_mixture_of_150_000_tensors_is_summed_once() -> None:
    """Each plan for vLLM weighs a dozen command lines and contexts."""
    model = build.folder(build.LARGE, 300 * GIB)
    shape = replace(model.shape, tensors=Counted(model.shape.tensors))
    box = build.hardware(*(build.gpu(48, gb_per_s=864, name="L40S") for _ in range(4)), ram_gib=256)
    with pytest.raises(DoesNotFitError):
        plan("a model", [replace(model, shape=shape)], box, LaunchOptions())
    assert Counted.passes <= 2
