"""Measured runs move the next prediction on a machine, by as much as they are worth and no more."""

from dataclasses import replace

import pytest

from domain.launches.plan import LlamaFlags, SpeedSource
from planner.llama_cpp.estimate import estimate
from planner.llama_cpp.speed.comparison import compare_run
from planner.machine.calibration import Calibration, Correction, Run, corrections, decode_key, prefill_key
from tests.planner import build

MODEL, LINE = 4_000_000_000, LlamaFlags(gpu_layers=0, threads=4)
SPREAD = 0.5


def run(ratio: float, model: int, flags: LlamaFlags = LINE) -> Run:
    return Run("cpu", model, decode_key(flags), prefill_key(flags), decode=ratio)


def decode_correction(*runs: Run, flags: LlamaFlags = LINE) -> Correction:
    decode, _ = corrections(
        Calibration(runs=runs), "cpu", MODEL, flags, decode_spread=SPREAD, prefill_spread=SPREAD
    )
    return decode


def test_without_runs_the_rules_stand() -> None:
    assert decode_correction() == Correction(1.0, SPREAD, SpeedSource.PREDICTED)


def test_runs_of_another_placement_say_nothing() -> None:
    assert decode_correction(replace(run(0.5, 1), kind="gpu")).source is SpeedSource.PREDICTED


def test_a_run_of_a_busy_machine_says_nothing_of_other_models() -> None:
    assert decode_correction(replace(run(0.3, 1), busy=True)).source is SpeedSource.PREDICTED
    assert decode_correction(replace(run(0.3, MODEL), busy=True)).source is SpeedSource.MEASURED


def test_the_more_models_agree_the_more_is_believed() -> None:
    ratios = [
        decode_correction(*(run(0.8, model) for model in range(count))).ratio for count in (1, 2, 5, 20)
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert 0.80 < ratios[0] < 0.9
    assert ratios[-1] == pytest.approx(0.8, rel=0.02)


def test_other_models_correct_and_only_this_very_line_is_measured() -> None:
    other_line = replace(LINE, threads=8)
    assert decode_correction(run(0.8, 1)).source is SpeedSource.CORRECTED
    assert decode_correction(run(0.8, MODEL), flags=other_line).source is SpeedSource.CORRECTED
    assert decode_correction(run(0.8, MODEL)).source is SpeedSource.MEASURED


def test_threads_for_prompts_do_not_make_another_line_of_decode() -> None:
    assert (
        decode_correction(run(0.8, MODEL), flags=replace(LINE, threads_batch=8)).source
        is SpeedSource.MEASURED
    )
    assert prefill_key(LINE) != prefill_key(replace(LINE, threads_batch=8))


def test_what_was_measured_of_this_line_counts_most() -> None:
    measured_run = decode_correction(
        *(run(1.2, model) for model in range(5)), run(0.8, MODEL), run(0.8, MODEL)
    )
    assert measured_run.ratio == pytest.approx(0.85, abs=0.04)


@pytest.mark.parametrize("noisy", [0.05, 20.0], ids=["a busy box", "a clock that jumped"])
def test_one_noisy_run_ruins_nothing(noisy: float) -> None:
    single = decode_correction(run(noisy, 1)).ratio
    assert 1 / (1 + SPREAD) < single < 1 + SPREAD
    with_one_other = decode_correction(run(noisy, 1), run(0.95, 2)).ratio
    assert with_one_other == pytest.approx(0.95, abs=0.05)
    among_five = decode_correction(*(run(0.9, model) for model in range(1, 5)), run(noisy, 9)).ratio
    assert among_five == pytest.approx(0.9, abs=0.1)
    again = decode_correction(run(0.9, MODEL), run(noisy, MODEL), run(0.9, MODEL)).ratio
    assert again == pytest.approx(0.9, abs=0.05)


def test_a_range_narrows_with_runs_and_never_widens() -> None:
    spreads = [
        decode_correction(*(run(0.9, model) for model in range(count))).spread for count in (0, 1, 3, 10)
    ]
    assert spreads == sorted(spreads, reverse=True)
    assert decode_correction(run(0.9, MODEL)).spread < spreads[1]
    assert decode_correction(run(0.4, 1), run(1.0, 2), run(2.0, 3)).spread == SPREAD


def test_old_runs_of_a_line_give_way_to_new_ones() -> None:
    old = [run(0.6, MODEL)] * 5
    assert decode_correction(*old, *[run(1.0, MODEL)] * 5).ratio == pytest.approx(1.0, abs=0.02)


def test_a_run_is_compared_with_the_rules_for_its_own_prompt() -> None:
    """20 tokens that read experts over the link are slow on any machine."""
    shape = build.shape("qwen3-30b-a3b", "Q4_K_M")
    flags = LlamaFlags(gpu_layers=999, n_cpu_moe=48, context_tokens=8192, parallel=1, ubatch=2048)
    speed = estimate(shape, replace(flags, ubatch=20), build.CARD_24).speed
    assert speed.prefill_tokens_per_s is not None
    measured_run = compare_run(
        shape,
        flags,
        build.CARD_24,
        prompt_tokens=20,
        decode_tokens_per_s=None,
        prefill_tokens_per_s=speed.prefill_tokens_per_s.expected,
    )
    assert measured_run == Run(
        "gpu + cpu", shape.file_bytes, decode_key(flags), prefill_key(flags), None, pytest.approx(1.0)
    )


def test_a_correction_between_two_measured_depths_is_between_theirs() -> None:
    """Also by the runs of another model: attention that is slower than the rules say is the box's or the
    build's."""
    for model, source in ((MODEL, SpeedSource.MEASURED), (1, SpeedSource.CORRECTED)):
        runs = tuple(replace(run(ratio, model), depth=depth) for depth, ratio in ((0, 1.0), (8000, 0.7)))
        at = {depth: correction_at(depth, runs) for depth in (0, 4000, 8000, 32000)}
        assert at[0].ratio == pytest.approx(1.0)
        assert at[8000].ratio < at[4000].ratio < at[0].ratio
        assert at[32000] == at[8000], "beyond the deepest nothing is known"
        assert {found.source for found in at.values()} == {source}


def correction_at(depth_tokens: int, runs: tuple[Run, ...]) -> Correction:
    decode, _ = corrections(
        Calibration(runs=runs),
        "cpu",
        MODEL,
        LINE,
        decode_spread=SPREAD,
        prefill_spread=SPREAD,
        depth_tokens=depth_tokens,
    )
    return decode


def test_a_run_at_a_depth_is_compared_with_the_rules_for_that_depth() -> None:
    shape, flags = build.shape("qwen3-32b", "Q4_K_M"), LlamaFlags(gpu_layers=999, context_tokens=32768)
    deep = estimate(shape, flags, build.CARD_24, depth_tokens=24000).speed.decode_tokens_per_s
    assert deep is not None
    found = compare_run(
        shape,
        flags,
        build.CARD_24,
        prompt_tokens=8000,
        decode_tokens_per_s=deep.expected,
        prefill_tokens_per_s=None,
        depth_tokens=16000,
    )
    assert (found.decode, found.depth) == (pytest.approx(1.0), 24000)


def test_a_measured_run_makes_the_same_plan_expect_what_was_measured() -> None:
    shape, flags = build.shape("qwen3-32b", "Q4_K_M"), LlamaFlags(gpu_layers=999, context_tokens=8192)
    before = estimate(shape, flags, build.CARD_24).speed
    assert before.decode_tokens_per_s is not None
    assert before.decode_source is SpeedSource.PREDICTED
    measured = 0.85 * before.decode_tokens_per_s.expected
    measured_run = compare_run(
        shape,
        flags,
        build.CARD_24,
        prompt_tokens=64,
        decode_tokens_per_s=measured,
        prefill_tokens_per_s=None,
    )
    after = estimate(
        shape, flags, build.CARD_24, calibration=Calibration(runs=(measured_run, measured_run))
    ).speed
    assert after.decode_tokens_per_s is not None
    assert after.decode_source is SpeedSource.MEASURED
    assert after.prefill_source is SpeedSource.PREDICTED
    assert after.decode_tokens_per_s.expected == pytest.approx(measured, rel=0.03)
