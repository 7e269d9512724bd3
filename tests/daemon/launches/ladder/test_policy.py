"""The next thing to give up: it ends, it never goes below the minimum, and no step takes anything back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.launches.ladder import policy
from daemon.launches.ladder.policy import Facts, GiveUp, Ladder, Minimum, Rung, Step
from domain.errors import DoesNotFitError, EngineError
from domain.launches.restraint import UNRESTRAINED, Restraint

MIB, GIB = 1 << 20, 1 << 30
FACTS = Facts(40 * GIB, 20 * GIB, 16384, 12 * GIB, ubatch=512, small_cache="q8_0")
MINIMUM = Minimum(4096, may_fetch=True)
OF_VLLM = replace(
    FACTS, ubatch=2048, least_ubatch=512, small_cache="fp8", movable=False, spare_sequences=7, has_graphs=True
)


def planned(facts: Facts, restraint: Restraint) -> Facts:
    """As a planner that keeps to ``restraint`` would have it."""
    weights = facts.weights_bytes
    if restraint.below_bytes is not None and weights >= restraint.below_bytes:
        weights = restraint.below_bytes - 1
    return replace(
        facts,
        ubatch=facts.ubatch and min(facts.ubatch, restraint.max_ubatch or facts.ubatch),
        small_cache=None if restraint.small_cache else facts.small_cache,
        spare_sequences=0 if restraint.few_sequences else facts.spare_sequences,
        has_graphs=facts.has_graphs and not restraint.no_graphs,
        context_tokens=min(facts.context_tokens, restraint.context_tokens or facts.context_tokens),
        weights_bytes=weights,
    )


def descend(facts: Facts, minimum: Minimum, *, quants: int = 2, fits: bool = True) -> list[Step]:
    """All steps until it gives up. There are ``quants`` smaller ones; then none is smaller than before."""
    ladder, taken = Ladder(), list[Step]()
    now, sizes = facts, [facts.weights_bytes]
    while True:
        step = policy.next_step(now, ladder, minimum, planned=fits)
        if isinstance(step, GiveUp):
            return taken
        taken.append(step)
        assert len(taken) < 200, "it never ends"
        ladder = policy.after_step(ladder, step, 0.0)
        now = planned(facts, step.restraint)
        if step.restraint.below_bytes is not None and len(sizes) <= quants:
            sizes.append(now.weights_bytes)
        now = replace(now, weights_bytes=max(now.weights_bytes, sizes[-1]))


def test_the_order_is_from_what_nobody_misses_to_what_everybody_does() -> None:
    rungs = [step.rung for step in descend(FACTS, MINIMUM)]
    assert list(dict.fromkeys(rungs)) == [rung for rung in Rung if rung not in {Rung.SEQUENCES, Rung.GRAPHS}]
    assert rungs[:9] == [
        Rung.MARGIN,
        Rung.UBATCH,
        Rung.UBATCH,
        Rung.CACHE,
        Rung.HOST,
        Rung.HOST,
        Rung.HOST,
        Rung.CONTEXT,
        Rung.CONTEXT,
    ]


def test_vllm_keeps_all_on_the_gpus_and_gives_up_what_its_batches_and_graphs_take() -> None:
    steps = descend(OF_VLLM, MINIMUM)
    assert [step.rung for step in steps[:8]] == [
        Rung.MARGIN,
        Rung.UBATCH,
        Rung.UBATCH,
        Rung.SEQUENCES,
        Rung.CACHE,
        Rung.GRAPHS,
        Rung.CONTEXT,
        Rung.CONTEXT,
    ]
    assert Rung.HOST not in {step.rung for step in steps}
    assert [step.what for step in steps[1:6]] == [
        "batches of 1024",
        "batches of 512",
        "7 fewer requests at once",
        "a KV cache of fp8",
        "no CUDA graphs",
    ]
    last = steps[7].restraint
    assert (last.max_ubatch, last.few_sequences, last.small_cache, last.no_graphs) == (512, True, True, True)
    assert (last.context_tokens, last.gpu_margin_bytes) == (4096, 0)


def test_vllm_on_a_cpu_has_no_graphs_and_no_small_cache_to_give_up() -> None:
    on_cpu = replace(OF_VLLM, gpu_bytes=0, small_cache=None, has_graphs=False, spare_sequences=0)
    rungs = {step.rung for step in descend(on_cpu, MINIMUM)}
    assert rungs == {Rung.MARGIN, Rung.UBATCH, Rung.CONTEXT, Rung.QUANT, Rung.FETCH}


def test_what_each_step_says_and_asks_for() -> None:
    steps = descend(FACTS, MINIMUM)
    assert [step.what for step in steps[:5]] == [
        "2.0 GiB more are left free",
        "batches of 256",
        "batches of 128",
        "a KV cache of q8_0",
        "3.0 GiB of the GPUs are left free",
    ]
    assert [step.what for step in steps[7:10]] == [
        "a context of 8192",
        "a context of 4096",
        "weights below 12.0 GiB",
    ]
    assert steps[-1].what.endswith(", downloaded")
    assert steps[4].restraint == Restraint(
        margin_bytes=2 * GIB, max_ubatch=128, small_cache=True, gpu_margin_bytes=3 * GIB
    )
    assert steps[6].restraint.gpu_margin_bytes == 9 * GIB
    assert steps[-1].restraint.may_fetch


def test_small_models_have_least_steps_in_bytes() -> None:
    steps = descend(Facts(GIB, GIB // 2, 4096, GIB, ubatch=200), Minimum(4096, keeps_quant=True))
    assert [step.restraint.margin_bytes for step in steps[:1]] == [512 * MIB]
    assert steps[1].restraint.max_ubatch == 128
    assert [step.restraint.gpu_margin_bytes for step in steps[2:]] == [256 * MIB, 512 * MIB, 768 * MIB]


facts = st.builds(
    Facts,
    needed_bytes=st.integers(0, 200 * GIB),
    gpu_bytes=st.integers(0, 100 * GIB),
    context_tokens=st.integers(512, 1 << 20),
    weights_bytes=st.integers(1, 100 * GIB),
    ubatch=st.none() | st.integers(1, 4096),
    least_ubatch=st.sampled_from((policy.LEAST_UBATCH, policy.LEAST_VLLM_BATCH)),
    small_cache=st.none() | st.sampled_from(("q8_0", "fp8")),
    movable=st.booleans(),
    spare_sequences=st.integers(0, 256),
    has_graphs=st.booleans(),
)
minimums = st.builds(Minimum, st.integers(512, 1 << 17), st.booleans(), st.booleans())


@given(facts, minimums, st.integers(0, 4), st.booleans())
def test_it_ends_keeps_the_minimum_and_takes_nothing_back(
    facts: Facts, minimum: Minimum, quants: int, fits: bool
) -> None:
    before = UNRESTRAINED
    for step in descend(facts, minimum, quants=quants, fits=fits):
        now = step.restraint
        assert now != before
        assert now.margin_bytes >= before.margin_bytes
        assert now.gpu_margin_bytes >= before.gpu_margin_bytes
        assert now.small_cache >= before.small_cache
        assert now.may_fetch >= before.may_fetch
        assert now.few_sequences >= before.few_sequences
        assert now.no_graphs >= before.no_graphs
        assert facts.movable or not now.gpu_margin_bytes
        for tighter, wider in (
            (now.max_ubatch, before.max_ubatch),
            (now.context_tokens, before.context_tokens),
            (now.below_bytes, before.below_bytes),
        ):
            assert wider is None or (tighter is not None and tighter <= wider)
        assert now.context_tokens is None or now.context_tokens >= minimum.context_tokens
        assert now.max_ubatch is None or now.max_ubatch >= policy.LEAST_UBATCH
        assert now.below_bytes is None or not minimum.keeps_quant
        assert not now.may_fetch or minimum.may_fetch
        before = now


def test_where_no_plan_fits_only_what_makes_the_model_smaller_is_given_up() -> None:
    rungs = {step.rung for step in descend(FACTS, MINIMUM, fits=False)}
    assert rungs == {Rung.CACHE, Rung.CONTEXT, Rung.QUANT, Rung.FETCH}


def test_nothing_left_says_why() -> None:
    least = Minimum(16384, keeps_quant=True)
    cached = replace(FACTS, ubatch=None, small_cache=None, gpu_bytes=0)
    ladder = Ladder((Step(Rung.MARGIN, Restraint(margin_bytes=1), "x"),))
    given_up = policy.next_step(cached, ladder, least)
    assert given_up == GiveUp("nothing is left to give up: a context of 16384 is the least")


@pytest.mark.parametrize(
    "cause", ["oom_killed", "out_of_host_memory", "out_of_device_memory", "kv_too_small"]
)
def test_memory_that_ran_out(cause: str) -> None:
    assert policy.is_out_of_memory(EngineError("it died", cause=cause))


def test_other_failures_are_none_of_memory() -> None:
    assert not policy.is_out_of_memory(EngineError("it died", cause="killed"))
    assert not policy.is_out_of_memory(DoesNotFitError("m", needs_bytes=2, has_bytes=1))


STEP = Step(Rung.MARGIN, Restraint(margin_bytes=1), "a little")
OTHER = Step(Rung.UBATCH, Restraint(margin_bytes=1, max_ubatch=128), "small batches")


def test_a_ladder_in_words_and_in_force() -> None:
    assert Ladder().in_words is None
    assert Ladder().restraint == UNRESTRAINED
    ladder = Ladder((STEP, OTHER))
    assert ladder.in_words == "memory ran out: a little, small batches"
    assert ladder.restraint == OTHER.restraint


def test_a_climb_that_fails_is_tried_later_each_time() -> None:
    ladder = policy.after_step(Ladder(), STEP, 100.0)
    assert ladder == Ladder((STEP,), climbs=0, climb_at_s=100.0 + 12 * 3600)
    assert not policy.may_climb(ladder, 100.0 + 12 * 3600 - 1)
    assert policy.may_climb(ladder, 100.0 + 12 * 3600)
    up = policy.after_climb(ladder, 0.0)
    assert up == Ladder((), climbs=0, climb_at_s=12 * 3600, climbed=True)
    assert not policy.may_climb(up, 1e12), "it is at the top"
    again = policy.after_step(up, STEP, 0.0)
    assert (again.climbs, again.climbed, again.climb_at_s) == (1, False, 24 * 3600)
    assert policy.after_step(replace(up, climbs=50), STEP, 0.0).climb_at_s == 30 * 86400
    assert policy.after_step(again, OTHER, 0.0).climbs == 1
