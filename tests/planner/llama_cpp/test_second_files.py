"""A plan uses what the model can do: its projector for images, and drafts where they are expected to gain."""

from dataclasses import replace

import pytest

from domain.errors import DoesNotFitError
from domain.launches.plan import LaunchOptions, LlamaFlags, Plan
from domain.machine.hardware import Hardware
from domain.models.kinds import Kind
from domain.models.model import Companion, ModelShape, ResolvedModel, Source, WeightFile, Weights
from launchers.llama_cpp.argv import command
from launchers.registry import LAUNCHERS
from planner.choose import choose
from planner.llama_cpp.context_params import ALL_LAYERS
from tests.planner import build
from tests.rigs.mtp import with_head
from tests.rigs.projector import projector

VISION = "mmproj-F16.gguf"
CARD = build.hardware(build.gpu(24))


def resolved(shape: ModelShape, **beside: tuple[str, ModelShape]) -> ResolvedModel:
    """With files beside it, by their role."""
    files = tuple(
        Companion(Kind(role), WeightFile(name, other.file_bytes)) for role, (name, other) in beside.items()
    )
    own = (WeightFile("m-Q4_K_M.gguf", shape.file_bytes),)
    weights = Weights(Source.HUB, "o/m-GGUF", "c0ffee", own, "Q4_K_M", shape.file_bytes, beside=files)
    return ResolvedModel(weights, shape, companion_shapes=dict(beside.values()))


def planned(model: ResolvedModel, machine: Hardware = CARD, **options: object) -> Plan:
    return choose.plan("m", [model], machine, LaunchOptions(**options))  # type: ignore[arg-type]


def flags(plan: Plan) -> LlamaFlags:
    assert isinstance(plan.flags, LlamaFlags)
    return plan.flags


SEEING = resolved(build.shape("llama-3.1-8b", "Q4_K_M"), mmproj=(VISION, projector("gemma3-4b")))
HEADED = resolved(with_head(build.published("qwen3.5-27b")))
DRAFTED = resolved(
    build.shape("qwen3-32b", "Q4_K_M"), draft=("draft-Q8_0.gguf", build.shape("qwen3-0.6b", "Q8_0"))
)
LARGE_CARD = build.hardware(build.gpu(48))


def test_a_vision_model_gets_its_projector_and_it_is_counted() -> None:
    seeing, blind = planned(SEEING, context_tokens=8192), planned(SEEING, context_tokens=8192, no_mmproj=True)
    assert (flags(seeing).mmproj, flags(seeing).mmproj_offload) == (VISION, True)
    more_bytes = seeing.memory[0].weights_bytes - blind.memory[0].weights_bytes
    assert more_bytes == pytest.approx(projector("gemma3-4b").file_bytes, rel=0.001)
    assert any(f"images through its projector {VISION}" in reason for reason in seeing.reasons)


def test_a_projector_can_be_declined() -> None:
    blind = planned(SEEING, no_mmproj=True)
    assert flags(blind).mmproj is None
    assert any("was declined" in reason for reason in blind.reasons)


def test_a_projector_leaves_a_gpu_to_layers_that_gain_more_by_it() -> None:
    """5.5 GiB hold the model alone; with the projector, layers would have to go to the CPU."""
    tight = build.hardware(build.gpu(6.6))
    plan = planned(SEEING, tight, context_tokens=4096)
    assert (flags(plan).mmproj, flags(plan).mmproj_offload) == (VISION, False)
    assert any("on the CPU: layers gain more" in reason for reason in plan.reasons)


def test_a_projector_goes_where_the_model_fits_at_all() -> None:
    """3 GiB of RAM hold the projector, but not the layers that would make room for it on the GPU."""
    small = build.hardware(build.gpu(6.6), ram_gib=8, available_gib=3)
    plan = planned(SEEING, small, context_tokens=4096)
    assert (flags(plan).mmproj, flags(plan).mmproj_offload) == (VISION, False)
    assert flags(plan).gpu_layers == ALL_LAYERS
    with pytest.raises(DoesNotFitError):
        planned(SEEING, build.hardware(build.gpu(4), ram_gib=4), context_tokens=4096)


def test_without_a_gpu_the_projector_is_on_the_cpu() -> None:
    plan = planned(SEEING, build.hardware())
    assert flags(plan).mmproj == VISION
    assert [row.device for row in plan.memory] == ["host"]


def test_a_head_drafts_where_that_is_expected_to_gain() -> None:
    plan, plain = planned(HEADED, LARGE_CARD), planned(HEADED, LARGE_CARD, no_draft=True)
    assert flags(plan).speculative == ("draft-mtp",)
    assert flags(plan).draft_model is None
    assert plan.speed.decode_tokens_per_s is not None
    assert plain.speed.decode_tokens_per_s is not None
    assert plan.speed.decode_tokens_per_s.expected > 1.1 * plain.speed.decode_tokens_per_s.expected
    assert plan.memory[0].needed_bytes > plain.memory[0].needed_bytes
    assert any("its head for multi-token prediction: expected to" in reason for reason in plan.reasons)
    assert flags(plain).speculative == ()


def test_a_draft_model_beside_a_large_one_is_used() -> None:
    plan = planned(DRAFTED, LARGE_CARD)
    assert flags(plan).speculative == ("draft-simple",)
    assert flags(plan).draft_model == "draft-Q8_0.gguf"


@pytest.mark.parametrize(
    ("model", "machine", "options"),
    [
        pytest.param(HEADED, LARGE_CARD, {"no_draft": True}, id="declined"),
        pytest.param(replace(HEADED, may_draft=False), LARGE_CARD, {}, id="measured before: no gain"),
        pytest.param(HEADED, LARGE_CARD, {"parallel": 4, "context_tokens": 4096}, id="several at once"),
        pytest.param(
            resolved(
                build.shape("qwen3-0.6b", "F16"), draft=("draft.gguf", build.shape("qwen3-0.6b", "F16"))
            ),
            CARD,
            {},
            id="a draft as large as the model",
        ),
        pytest.param(
            resolved(
                build.shape("llama-3.1-8b", "F16"), draft=("draft.gguf", build.shape("qwen3-0.6b", "Q8_0"))
            ),
            CARD,
            {},
            id="another vocabulary",
        ),
    ],
)
def test_nothing_drafts_where_it_should_not(
    model: ResolvedModel, machine: Hardware, options: dict[str, object]
) -> None:
    assert flags(planned(model, machine, **options)).speculative == ()


def test_the_command_names_the_files_where_they_are() -> None:
    plan = planned(SEEING)
    caps = LAUNCHERS["llama.cpp"].assume()
    here = replace(plan, weights=replace(plan.weights, location="/models/snapshot"))
    for place, named in ((here, f"/models/snapshot/{VISION}"), (plan, VISION)):
        argv = command(place, caps=caps, port=1, name="m").argv
        assert argv[argv.index("--mmproj") + 1] == named


@pytest.mark.parametrize("ram_gib", [20, 24, 28])
def test_a_draft_that_gains_goes_before_a_longer_context(ram_gib: int) -> None:
    """On each of these cards the longest context leaves no room for the head."""
    card = build.hardware(build.gpu(ram_gib))
    plan, plain = planned(HEADED, card), planned(HEADED, card, no_draft=True)
    assert flags(plan).speculative == ("draft-mtp",)
    assert 32768 < plan.context_tokens < plain.context_tokens, "the longest that leaves it room"
    assert plan.speed.decode_tokens_per_s is not None
    assert plain.speed.decode_tokens_per_s is not None
    assert plan.speed.decode_tokens_per_s.expected > 1.5 * plain.speed.decode_tokens_per_s.expected


def test_a_context_that_was_asked_for_goes_before_a_draft() -> None:
    card = build.hardware(build.gpu(24))
    longest = planned(HEADED, card, no_draft=True).context_tokens
    plan = planned(HEADED, card, context_tokens=longest)
    assert (plan.context_tokens, flags(plan).speculative) == (longest, ())
