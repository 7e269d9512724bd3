"""Which candidate is the best, and which quants are looked at: by candidates with speeds of the test."""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import pytest

from domain.errors import UsageError
from domain.launches.plan import LLAMA_CPP, VLLM, LaunchOptions
from domain.machine.hardware import Hardware
from domain.models.model import ModelShape, ResolvedModel
from planner.choose import choose, contexts, value
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.engine import ENGINES
from planner.machine.budget import DEFAULT_RESERVE
from planner.machine.calibration import UNCALIBRATED
from tests.planner.choose.priced import LOSS_PERCENT, candidate, model


def best(speeds: Mapping[str, float | None], options: LaunchOptions | None = None) -> str:
    candidates = [candidate(quant, tokens_per_s) for quant, tokens_per_s in speeds.items()]
    return choose.select_best(candidates, options or LaunchOptions()).quant


@pytest.mark.parametrize(
    ("speeds", "quant"),
    [
        pytest.param({"Q8_0": 43, "Q5_K_M": 176}, "Q5_K_M", id="1 % for four times the speed"),
        pytest.param({"Q6_K": 100, "Q5_K_M": 104}, "Q6_K", id="nobody gives a percent for nothing"),
        pytest.param({"Q8_0": 12, "Q4_K_M": 37}, "Q4_K_M", id="3 % for three times the speed"),
        pytest.param({"Q8_0": 30, "Q4_K_M": 45}, "Q8_0", id="not for half as much again"),
        pytest.param({"Q8_0": 120, "Q5_K_M": 200}, "Q8_0", id="nor for more than anybody can read"),
        pytest.param({"Q4_K_M": 10, "Q3_K_M": 30}, "Q4_K_M", id="3 bits must gain fourfold"),
        pytest.param({"Q4_K_M": 3, "Q3_K_M": 40}, "Q3_K_M", id="if they do they are taken"),
        pytest.param({"Q3_K_M": 2, "Q2_K": 50}, "Q3_K_M", id="no speed excuses 39 %"),
        pytest.param({"Q2_K": 10, "IQ1_S": 90}, "Q2_K", id="of useless quants alone the least loss, too"),
        pytest.param({"Q8_0": None, "Q4_K_M": 3}, "Q4_K_M", id="an unknown speed is not fast"),
        pytest.param({"Q8_0": None, "Q4_K_M": None}, "Q8_0", id="where none is known the loss decides"),
    ],
)
def test_what_a_loss_of_quality_is_worth_in_speed(speeds: Mapping[str, float | None], quant: str) -> None:
    assert best(speeds) == quant
    assert best(dict(reversed(speeds.items()))) == quant


def test_the_low_end_of_the_range_decides() -> None:
    sure, unsure = candidate("Q8_0", 20), candidate("Q8_0", 30, low=10)
    assert choose.select_best([sure, unsure], LaunchOptions()) is sure
    assert choose.select_best([unsure, sure], LaunchOptions()) is sure


def test_speed_counts_for_more_where_the_owner_says_so() -> None:
    speeds: Mapping[str, float | None] = {"Q8_0": 30, "Q4_K_M": 45}
    assert best(speeds, LaunchOptions(quality="fast")) == "Q4_K_M"
    assert best(speeds, LaunchOptions(quality="balanced")) == "Q8_0"


def test_who_does_not_read_along_gains_from_any_speed() -> None:
    speeds: Mapping[str, float | None] = {"Q8_0": 120, "Q5_K_M": 200}
    assert best(speeds) == "Q8_0"
    assert best(speeds, LaunchOptions(use="batch")) == "Q5_K_M"


def test_twice_the_context_is_worth_a_tenth_of_a_doubling() -> None:
    long, short = candidate("Q8_0", 20.0), replace(candidate("Q8_0", 21.0), context_tokens=2048)
    assert choose.select_best([short, long], LaunchOptions()) is long
    faster = replace(short, estimate=candidate("Q8_0", 30.0).estimate)
    assert choose.select_best([long, faster], LaunchOptions()) is faster


def test_the_value_of_docs_planning_can_be_computed_by_hand() -> None:
    """The example of the page: 30B on an RTX 4090, whole in Q5_K_M or with experts on the CPU in Q8_0."""
    whole, split = candidate("Q5_K_M", 118, prefill=3800), candidate("Q8_0", 27, prefill=500)
    assert value.turn_s(whole, value.USES["chat"]) == pytest.approx(15.6, abs=0.1)
    assert value.turn_s(split, value.USES["chat"]) == pytest.approx(36.3, abs=0.1)
    gap = value.value(whole, LaunchOptions()) - value.value(split, LaunchOptions())
    assert gap == pytest.approx(1.22 - 0.22, abs=0.02)


@pytest.mark.parametrize(
    ("wanted", "quant"), [(20.0, "Q8_0"), (20.1, "Q4_K_M"), (36.0, "Q2_K")], ids=["20", "20.1", "36"]
)
def test_a_speed_that_was_asked_for_is_kept_by_any_quant(wanted: float, quant: str) -> None:
    speeds = {"Q8_0": 20.0, "Q4_K_M": 35.0, "Q2_K": 60.0}
    assert best(speeds, LaunchOptions(min_decode_tokens_per_s=wanted)) == quant


def test_quants_that_nobody_can_tell_apart_are_chosen_by_speed() -> None:
    assert best({"F16": 20, "Q8_0": 40}) == "Q8_0"
    several = LaunchOptions(parallel=4)
    batch = [candidate("F16", 20, batch=80), candidate("Q8_0", 40, batch=160)]
    assert choose.select_best(batch, several).quant == "Q8_0"


def test_the_plainest_is_kept_unless_another_is_clearly_faster() -> None:
    first = candidate("Q8_0", 10.0)
    plain, same, fast = (replace(candidate("Q8_0", rate), model=first.model) for rate in (10.0, 11.4, 13.5))
    options = LaunchOptions()
    assert choose.select_best([plain, same], options) is plain
    assert choose.select_best([plain, fast, same], options) is fast


def test_a_turn_counts_its_prompt_too() -> None:
    decodes, reads = candidate("Q8_0", 20.0, prefill=100.0), candidate("Q8_0", 16.0, prefill=1000.0)
    assert choose.select_best([decodes, reads], LaunchOptions()) is reads


def test_contexts_are_halved_down_to_8192_only_where_none_was_asked_for() -> None:
    assert choose.contexts_to_try(32768, LaunchOptions()) == [32768, 16384, 8192]
    assert choose.contexts_to_try(8191, LaunchOptions()) == [8191]
    assert choose.contexts_to_try(32768, LaunchOptions(context_tokens=32768)) == [32768]


def check_speed(tokens_per_s: float | None, options: LaunchOptions) -> None:
    choose.check_speed("m", candidate("Q8_0", tokens_per_s), options)


def test_a_speed_that_nothing_reaches_is_refused_with_one_that_is_reached() -> None:
    check_speed(19.96, LaunchOptions())
    check_speed(None, LaunchOptions(min_decode_tokens_per_s=20))
    check_speed(20.0, LaunchOptions(min_decode_tokens_per_s=20))
    with pytest.raises(UsageError) as refused:
        check_speed(19.96, LaunchOptions(min_decode_tokens_per_s=20))
    assert str(refused.value) == "m does not reach 20 tokens/s here: Q8_0 is expected at 20.0"
    assert refused.value.hint == "give --min-decode 19.9 or less, or name a smaller model"
    for parallel, words in ((2, "20 tokens/s for each of 2 at once here"), (1, "20 tokens/s here")):
        with pytest.raises(UsageError, match=words):
            check_speed(19.0, LaunchOptions(min_decode_tokens_per_s=20, parallel=parallel))


class FakeEngine(SimpleNamespace):
    """An engine that runs every quant at the speed of ``speeds``, and keeps which it was asked for."""

    CAN_READ_FROM_DISK = True

    def __init__(self, speeds: Mapping[str, float]) -> None:
        super().__init__(speeds=speeds, asked=[], from_disk=[])

    def quality_loss(self, model: ResolvedModel) -> float:
        return LOSS_PERCENT[model.weights.quant]

    def trained_context_tokens(self, shape: ModelShape) -> int:
        return 16384

    def find_candidates(
        self, model: ResolvedModel, context_tokens: int, search: SearchContext
    ) -> tuple[Candidate, ...]:
        self.asked.append(model.weights.quant)
        self.from_disk.append(search.from_disk)
        if model.weights.quant not in self.speeds:
            return ()
        found = candidate(model.weights.quant, self.speeds[model.weights.quant])
        return (found, found)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine({})
    monkeypatch.setitem(ENGINES, LLAMA_CPP, engine)
    return engine


def search_for(options: LaunchOptions) -> SearchContext:
    return SearchContext(Hardware(), options, UNCALIBRATED, DEFAULT_RESERVE)


def looked_at(engine: FakeEngine, quants: tuple[str, ...], options: LaunchOptions | None = None) -> list[str]:
    engine.asked.clear()
    choose.search_engines([model(quant) for quant in quants], 4096, search_for(options or LaunchOptions()))
    return list(engine.asked)


QUANTS = ("Q2_K", "Q4_K_M", "F16", "Q8_0", "Q5_K_M", "Q6_K", "Q3_K_M")


def test_of_quants_that_can_t_win_two_are_looked_at_for_their_price(engine: FakeEngine) -> None:
    """The engine says of each that GPUs hold it whole; all have the same size, so none can be faster."""
    engine.speeds = dict.fromkeys(QUANTS, 12.0)
    assert looked_at(engine, QUANTS) == ["F16", "Q8_0", "Q6_K"]
    engine.speeds = {"Q6_K": 13.0, "Q5_K_M": 14.0, "Q4_K_M": 15.0}
    assert looked_at(engine, QUANTS) == ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"]
    asked = LaunchOptions(min_decode_tokens_per_s=14)
    smaller = [model(quant, size) for quant, size in (("Q6_K", 60), ("Q4_K_M", 40), ("Q2_K", 20))]
    engine.asked.clear()
    choose.search_engines(smaller, 4096, search_for(asked))
    assert engine.asked == ["Q6_K", "Q4_K_M", "Q2_K"], "a speed that was asked for may need any of them"


def test_quants_alike_are_looked_at_from_the_smaller_one_up(engine: FakeEngine) -> None:
    same = [model("Q8_0", 300), model("Q8_0", 100), model("Q8_0", 200)]
    assert [one.weights.size_bytes for one in choose.sorted_by_quality(same)] == [100, 200, 300]


def test_each_engine_is_asked_for_its_own_weights(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FakeEngine({"Q8_0": 9.0})
    monkeypatch.setitem(ENGINES, VLLM, other)
    engine.speeds = {"F16": 9.0}
    models = [model("F16"), model("Q8_0", engine=VLLM)]
    found = choose.search_engines(models, 4096, search_for(LaunchOptions()))
    assert (engine.asked, other.asked) == (["F16"], ["Q8_0"])
    assert [one.quant for one in found] == ["F16", "F16", "Q8_0", "Q8_0"]


def from_disk(engine: FakeEngine, sizes: Mapping[str, int], *, asked_for: bool) -> list[str]:
    engine.speeds, engine.from_disk = dict.fromkeys(sizes, 1.0), []
    models = [model(quant, size) for quant, size in sizes.items()]
    options = LaunchOptions(from_disk=asked_for)
    found = choose.from_disk_candidates(models, 4096, search_for(options))
    assert all(engine.from_disk)
    return [one.quant for one in found]


def test_from_the_disk_every_usable_quant_is_tried_the_best_first(engine: FakeEngine) -> None:
    sizes = {"Q2_K": 30, "Q3_K_M": 40, "F16": 160, "Q4_K_M": 50}
    assert from_disk(engine, sizes, asked_for=True) == ["F16", "Q4_K_M", "Q3_K_M"]
    useless = {"IQ1_S": 20, "Q2_K": 30}
    assert from_disk(engine, useless, asked_for=True) == ["Q2_K"], "of useless ones the best"
    assert from_disk(engine, {}, asked_for=True) == []


def test_as_an_offer_the_smallest_usable_quant_is_read_from_the_disk(engine: FakeEngine) -> None:
    sizes = {"Q2_K": 30, "Q3_K_M": 40, "F16": 160, "Q4_K_M": 50}
    assert from_disk(engine, sizes, asked_for=False) == ["Q3_K_M"]
    alike = {"Q3_K_M": 40, "Q4_K_S": 42, "Q4_K_M": 43}
    assert from_disk(engine, alike, asked_for=False) == ["Q4_K_S"], "a better one of about that size"
    assert from_disk(engine, {}, asked_for=False) == []


def test_a_context_longer_than_a_model_was_trained_for_is_refused(engine: FakeEngine) -> None:
    models = (model("Q8_0"),)
    choose.check_context("m", models, LaunchOptions())
    choose.check_context("m", models, LaunchOptions(context_tokens=16384))
    with pytest.raises(UsageError, match="a context of 16384 tokens, 16385 were") as refused:
        choose.check_context("m", models, LaunchOptions(context_tokens=16385))
    assert refused.value.hint == "give --context 16384 or less"
    assert choose.wanted_context(models, LaunchOptions()) == 16384
    assert choose.wanted_context(models, LaunchOptions(context_tokens=512)) == 512


def test_of_engines_the_one_that_reads_more_sets_the_longest_context(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = FakeEngine({})
    longer.trained_context_tokens = lambda _: 65536
    monkeypatch.setitem(ENGINES, VLLM, longer)
    models = (model("Q8_0"), model("F16", engine=VLLM))
    assert contexts.trained_context_tokens(models) == 65536
    assert choose.wanted_context(models, LaunchOptions()) == 32768
    assert choose.wanted_context(models, LaunchOptions(use="agent")) == 65536
