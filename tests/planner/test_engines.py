"""The one extension point for engines: what holds for every row, and that a row is all an engine needs."""

from dataclasses import dataclass, replace

import pytest

from domain.errors import DoesNotFitError, UnknownModelError, UsageError
from domain.launches.plan import (
    HOST,
    VLLM,
    Confidence,
    DeviceMemory,
    Estimate,
    LaunchOptions,
    Range,
    Speed,
    VllmFlags,
)
from domain.machine.hardware import Hardware, Memory
from domain.models.model import ModelShape, ResolvedModel
from domain.units import GIB, MIB
from planner.choose.candidates import Candidate, CandidateDetails
from planner.choose.choose import plan
from planner.choose.context import SearchContext
from planner.choose.support import EngineChoice, Shortage, Support
from planner.engine import ENGINES
from planner.machine.budget import DEFAULT_RESERVE
from planner.machine.calibration import UNCALIBRATED
from tests.planner import build

GGUF = build.candidate("qwen3-0.6b", "Q8_0")
SAFETENSORS = build.folder(build.SMOL, 269 * MIB)
MODELS = {GGUF.engine: GGUF, SAFETENSORS.engine: SAFETENSORS}
CARD = build.hardware(replace(build.gpu(24), arch="sm_89"))


def search_on(hardware: Hardware) -> SearchContext:
    return SearchContext(hardware, LaunchOptions(), UNCALIBRATED, DEFAULT_RESERVE)


def first_candidate(engine: str, hardware: Hardware = CARD) -> Candidate:
    return ENGINES[engine].find_candidates(MODELS[engine], 4096, search_on(hardware))[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_candidate_fits_and_keeps_the_margins(engine: str) -> None:
    candidate = first_candidate(engine)
    assert candidate.context_tokens == 4096
    assert search_on(CARD).has_room(candidate.estimate.memory)


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_found_where_nothing_fits(engine: str) -> None:
    tiny = build.hardware(build.gpu(0.1), ram_gib=2.2, available_gib=0.2)
    assert ENGINES[engine].find_candidates(MODELS[engine], 4096, search_on(tiny)) == ()


def test_a_refusal_on_a_machine_of_unknown_ram_names_no_total() -> None:
    large = build.folder(build.SMOL, 40 * GIB)
    with pytest.raises(DoesNotFitError, match=r"needs 41\.4 GiB, one a GPU has 22\.9 GiB for it"):
        plan("a model", (large,), replace(CARD, memory=Memory()), LaunchOptions())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_candidate_needs_at_least_the_minimum(engine: str) -> None:
    least = ENGINES[engine].min_bytes(MODELS[engine], 4096, search_on(CARD))
    assert 0 < least <= 1.01 * first_candidate(engine).needed_bytes


@pytest.mark.parametrize("engine", ENGINES)
def test_the_longest_context_is_no_shorter_than_one_that_fits(engine: str) -> None:
    longest = ENGINES[engine].max_context_tokens(first_candidate(engine), search_on(CARD))
    assert 4096 <= longest <= ENGINES[engine].trained_context_tokens(MODELS[engine].shape)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_names_the_cache_type_and_the_placement(engine: str) -> None:
    details = ENGINES[engine].describe(first_candidate(engine), search_on(CARD))
    assert details.kv_cache_type in ("f16", "bf16")
    assert details.placement


def test_flags_of_another_engine_are_a_bug_and_not_a_plan() -> None:
    candidate = first_candidate(GGUF.engine)
    with pytest.raises(TypeError, match="vLLM"):
        ENGINES[VLLM].max_context_tokens(candidate, search_on(CARD))


@dataclass(frozen=True)
class Painter:
    """A third engine, without an installation: 2 GiB on the host, ten images' worth of speed."""

    is_alternative: bool = True
    CAN_READ_FROM_DISK: bool = False

    def support(self, model: ResolvedModel, hardware: Hardware) -> Support:
        return Support("" if hardware.memory.total_bytes else "a painter needs RAM")

    def as_alternative(self, models: tuple[ResolvedModel, ...], hardware: Hardware) -> EngineChoice:
        return EngineChoice(models) if self.is_alternative else EngineChoice((), models, ("it only paints",))

    def cache_types(self, model: ResolvedModel) -> tuple[str, ...]:
        return ("none",)

    def trained_context_tokens(self, shape: ModelShape) -> int:
        return 8192

    def quality_loss(self, model: ResolvedModel) -> float:
        return 0.0

    def find_candidates(
        self, model: ResolvedModel, context_tokens: int, search: SearchContext
    ) -> tuple[Candidate, ...]:
        host = DeviceMemory(HOST, 2 * GIB, 0, 0, 0, 2 * GIB, search.hardware.memory.available_bytes)
        speed = Speed(decode_tokens_per_s=Range(900.0, 1000.0, 1100.0))
        estimate = Estimate("painter", (host,), speed, fits=True, confidence=Confidence.ESTIMATED)
        return (Candidate(model, VllmFlags(), estimate, context_tokens, "none", 0.0),)

    def tune(self, chosen: Candidate, search: SearchContext) -> Candidate:
        return replace(chosen, flags=VllmFlags(max_num_seqs=1))

    def with_batch_of(self, candidate: Candidate, chosen: Candidate, search: SearchContext) -> Candidate:
        return candidate

    def min_bytes(self, model: ResolvedModel, context_tokens: int, search: SearchContext) -> int:
        return 2 * GIB

    def shortage(self, model: ResolvedModel, context_tokens: int, search: SearchContext) -> Shortage:
        return Shortage(2 * GIB, search.hardware.memory.available_bytes)

    def max_context_tokens(
        self, candidate: Candidate, search: SearchContext, cache_type: str | None = None
    ) -> int:
        return 8192

    def describe(self, candidate: Candidate, search: SearchContext) -> CandidateDetails:
        return CandidateDetails(kv_cache_type="none", placement="all on the easel", layers=7)


CANVAS = replace(SAFETENSORS, engine="painter")


def test_a_row_in_the_registry_is_all_that_a_new_engine_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "painter", Painter())
    chosen = plan("a model", (CANVAS,), build.SMALL_CPU, LaunchOptions())
    assert (chosen.engine, chosen.layers, chosen.kv_cache_type) == ("painter", 7, "none")
    assert chosen.flags == VllmFlags(max_num_seqs=1)
    assert "all on the easel" in chosen.reasons


def test_a_new_engine_competes_with_the_others_by_quality_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "painter", Painter())
    chosen = plan("a model", (GGUF, CANVAS), build.SMALL_CPU, LaunchOptions())
    assert chosen.engine == "painter"
    assert chosen.alternatives[-1].what == "llama.cpp with Q8_0"


def test_an_engine_that_can_t_be_chosen_is_priced_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "painter", Painter(is_alternative=False))
    chosen = plan("a model", (GGUF, CANVAS), build.SMALL_CPU, LaunchOptions())
    assert chosen.engine == GGUF.engine
    assert "llama.cpp: it only paints" in chosen.reasons
    assert chosen.alternatives[-1].what == "painter with BF16"


def test_a_requested_engine_that_can_t_run_is_refused_with_one_that_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ENGINES, "painter", Painter())
    blind = replace(build.SMALL_CPU, memory=replace(build.SMALL_CPU.memory, total_bytes=None))
    with pytest.raises(UsageError, match="painter can't serve a model here: a painter needs RAM") as refused:
        plan("a model", (GGUF, CANVAS), blind, LaunchOptions(engine="painter"))
    assert "llama.cpp can" in refused.value.hint


def test_an_engine_without_weights_for_the_model_is_said() -> None:
    with pytest.raises(UnknownModelError, match="no weights for vllm"):
        plan("a model", (GGUF,), CARD, LaunchOptions(engine=VLLM))
