"""Which quants and contexts a search looks at, and which it leaves out since they can't win."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from domain.errors import UsageError
from domain.launches.plan import LLAMA_CPP, LaunchOptions
from domain.machine.hardware import Hardware
from domain.models.kinds import Kind
from domain.models.model import ResolvedModel
from domain.units import GIB
from planner.choose import choose
from planner.choose.candidates import Candidate
from planner.choose.context import SearchContext
from planner.engine import ENGINES
from planner.machine.budget import DEFAULT_RESERVE
from planner.machine.calibration import UNCALIBRATED
from planner.machine.gpu_budgets import gpu_budgets
from tests.planner import build
from tests.planner.choose.priced import LOSS_PERCENT, candidate, model

CARD = build.hardware(build.gpu(24))
NO_CARD = build.hardware()


@dataclass
class Engine:
    """Runs quants at ``speeds``, whole in GPUs but those in ``on_host``, with up to ``holds_tokens``."""

    speeds: Mapping[str, float | None]
    on_host: tuple[str, ...] = ()
    holds_tokens: int = 1 << 20
    asked: list[tuple[str, int]] = field(default_factory=list)

    def quality_loss(self, one: ResolvedModel) -> float:
        return LOSS_PERCENT[one.weights.quant]

    def find_candidates(self, one: ResolvedModel, tokens: int, _: SearchContext) -> tuple[Candidate, ...]:
        quant = one.weights.quant
        self.asked.append((quant, tokens))
        if tokens > self.holds_tokens:
            return ()
        whole = quant not in self.on_host
        found = candidate(quant, self.speeds[quant])
        return (replace(found, model=one, context_tokens=tokens, is_offloaded=whole),)


def search_for(machine: Hardware, options: LaunchOptions) -> SearchContext:
    return SearchContext(machine, options, UNCALIBRATED, DEFAULT_RESERVE)


def looked_at(
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    sizes: Mapping[str, int],
    options: LaunchOptions,
    machine: Hardware = CARD,
) -> list[str]:
    """None for its price alone."""
    monkeypatch.setitem(ENGINES, LLAMA_CPP, engine)
    monkeypatch.setattr(choose, "EXTRA_MODELS", 0)
    models = [model(quant, size) for quant, size in sizes.items()]
    choose.search_engines(models, 4096, search_for(machine, options))
    return [quant for quant, _ in engine.asked]


@pytest.mark.parametrize(
    ("size", "is_looked_at"),
    [pytest.param(985, False, id="about as small"), pytest.param(900, True, id="a tenth smaller")],
)
def test_a_quant_that_loses_more_and_is_about_as_large_as_another_is_left_out(
    monkeypatch: pytest.MonkeyPatch, size: int, is_looked_at: bool
) -> None:
    engine = Engine({"F16": 10.0, "Q8_0": 30.0, "Q6_K": 33.0})
    options = LaunchOptions(min_decode_tokens_per_s=1)  # any speed may be what is asked for
    asked = looked_at(monkeypatch, engine, {"F16": 3000, "Q8_0": 1000, "Q6_K": size}, options)
    assert asked == (["F16", "Q8_0", "Q6_K"] if is_looked_at else ["F16", "Q8_0"])


@pytest.mark.parametrize(
    ("machine", "is_looked_at"),
    [pytest.param(CARD, True, id="it may be whole on the card"), pytest.param(NO_CARD, False, id="no card")],
)
def test_beside_one_that_is_split_a_smaller_quant_may_be_faster_than_its_bytes(
    monkeypatch: pytest.MonkeyPatch, machine: Hardware, is_looked_at: bool
) -> None:
    engine = Engine({"Q8_0": 5.0, "Q5_K_M": 5.2}, on_host=("Q8_0",))
    asked = looked_at(monkeypatch, engine, {"Q8_0": 100, "Q5_K_M": 95}, LaunchOptions(), machine)
    assert ("Q5_K_M" in asked) is is_looked_at


def test_the_quickest_that_is_whole_bounds_what_fewer_bytes_can_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine({"F16": 12.0, "Q8_0": 30.0, "Q5_K_M": 36.0})
    sizes = {"F16": 300, "Q8_0": 100, "Q5_K_M": 80}
    assert looked_at(monkeypatch, engine, sizes, LaunchOptions()) == ["F16", "Q8_0"]


def contexts_looked_at(
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    size: int,
    options: LaunchOptions,
    machine: Hardware = CARD,
) -> list[int]:
    monkeypatch.setitem(ENGINES, LLAMA_CPP, engine)
    choose.search_contexts([model("Q8_0", size)], 32768, search_for(machine, options))
    return [tokens for _, tokens in engine.asked]


ROOM = sum(budget.available_bytes for budget in gpu_budgets(CARD, DEFAULT_RESERVE))


@pytest.mark.parametrize(
    ("engine", "size", "machine", "tokens"),
    [
        pytest.param(Engine({"Q8_0": 9}), GIB, CARD, [32768], id="whole at once"),
        pytest.param(Engine({"Q8_0": 9}, ("Q8_0",)), GIB, CARD, [32768, 16384, 8192], id="may be whole yet"),
        pytest.param(Engine({"Q8_0": 9}, ("Q8_0",)), ROOM, CARD, [32768], id="weights alone fill the card"),
        pytest.param(
            Engine({"Q8_0": 9}, ("Q8_0",)), ROOM - 1, CARD, [32768, 16384, 8192], id="they nearly fill it"
        ),
        pytest.param(Engine({"Q8_0": 9}, ("Q8_0",)), GIB, NO_CARD, [32768], id="no card to be whole on"),
        pytest.param(Engine({"Q8_0": 9}, (), 16384), GIB, NO_CARD, [32768, 16384], id="the first that fits"),
    ],
)
def test_shorter_contexts_are_looked_at_where_they_may_help(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, size: int, machine: Hardware, tokens: list[int]
) -> None:
    assert contexts_looked_at(monkeypatch, engine, size, LaunchOptions(), machine) == tokens


@pytest.mark.parametrize(
    ("tokens_per_s", "least", "tokens"),
    [
        pytest.param(0.5, None, [32768], id="the longest, however slow"),
        pytest.param(None, None, [32768], id="of unknown speed"),
        pytest.param(9.0, 9.0, [32768], id="as fast as was asked for"),
        pytest.param(9.0, 9.5, [32768, 16384, 8192, 4096, 2048, 1024], id="too slow at each length"),
    ],
)
def test_the_longest_context_is_the_first_that_is_as_fast_as_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tokens_per_s: float | None, least: float | None, tokens: list[int]
) -> None:
    options = LaunchOptions(max_context=True, min_decode_tokens_per_s=least)
    engine = Engine({"Q8_0": tokens_per_s}, on_host=("Q8_0",))
    assert contexts_looked_at(monkeypatch, engine, GIB, options) == tokens


def test_a_model_that_generates_nothing_has_no_speed_to_ask_for() -> None:
    found = candidate("Q8_0", 5.0)
    weights = replace(found.model.weights, kind=Kind.EMBEDDING)
    pooled = replace(found, model=replace(found.model, weights=weights))
    choose.check_speed("m", pooled, LaunchOptions())
    with pytest.raises(UsageError, match="m is an embedding model: it generates no tokens"):
        choose.check_speed("m", pooled, LaunchOptions(min_decode_tokens_per_s=1))


@pytest.mark.parametrize("options", [LaunchOptions(context_tokens=131072), LaunchOptions(max_context=True)])
def test_a_context_that_was_asked_for_is_told_with_what_would_be_chosen_without(
    options: LaunchOptions,
) -> None:
    models = build.candidates("llama-3.1-8b", "Q8_0", "Q4_K_M")
    asked, free = (choose.plan("m", models, build.CARD_9, one) for one in (options, LaunchOptions()))
    words = (
        f"{asked.context_tokens} tokens of context cost, compared with {free.context_tokens} that would be"
    )
    assert asked.context_tokens > free.context_tokens
    assert any(reason.startswith(words) for reason in asked.reasons), asked.reasons
    assert not any("tokens of context cost" in reason for reason in free.reasons)
