"""What plans are held to after memory ran out, as the planner makes them."""

from dataclasses import replace
from typing import Any

import pytest

from daemon.planning.computations import Choice
from daemon.planning.restrained import restrained
from domain.errors import NodeError
from domain.launches.plan import LaunchOptions, LlamaFlags, Plan, VllmFlags
from domain.launches.restraint import UNRESTRAINED, Restraint
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel
from planner.machine.budget import Reserve
from planner.machine.calibration import Calibration
from tests.planner import build

GIB, MODEL = 1 << 30, "llama-3.1-8b"
ON_GPU = build.CARD_24


def choice(machine: Hardware = ON_GPU, *models: ResolvedModel, **options: Any) -> Choice:
    found = models or (build.candidate(MODEL, "Q4_K_M"),)
    return Choice("m", found, machine, LaunchOptions(**options), Calibration(), Reserve())


def planned(chosen: Choice, **values: Any) -> Plan:
    return restrained(chosen, Restraint(**values)).plan()


def flags(plan: Plan) -> LlamaFlags:
    assert isinstance(plan.flags, LlamaFlags)
    return plan.flags


def test_without_a_restraint_nothing_changes() -> None:
    whole = choice()
    assert restrained(whole, UNRESTRAINED) is whole


def test_batches_are_as_small_as_told() -> None:
    assert flags(choice().plan()).ubatch > 128
    assert flags(planned(choice(), max_ubatch=128)).ubatch == 128


def test_the_cache_is_the_smaller_one() -> None:
    assert flags(choice().plan()).cache_type_k == "f16"
    small = flags(planned(choice(), small_cache=True))
    assert (small.cache_type_k, small.cache_type_v) == ("q8_0", "q8_0")


def test_more_of_a_gpu_is_left_free() -> None:
    before = choice(context_tokens=8192).plan()
    after = planned(choice(context_tokens=8192), gpu_margin_bytes=20 * GIB)
    assert after.memory[0].needed_bytes <= 4 * GIB
    assert after.memory[-1].weights_bytes > before.memory[-1].weights_bytes


def test_a_margin_is_added_on_each_device() -> None:
    held = restrained(choice(), Restraint(margin_bytes=GIB))
    assert held.reserve.gpu_bytes == Reserve().gpu_bytes + GIB
    usual = restrained(choice(), Restraint(max_ubatch=128)).reserve.host_bytes
    assert usual is None, "what the machine's kind needs"
    assert (held.reserve.host_bytes or 0) > GIB


def test_a_shorter_context_is_exactly_that() -> None:
    assert planned(choice(), context_tokens=4096).context_tokens == 4096


def test_only_smaller_weights_on_this_disk_unless_they_may_be_fetched() -> None:
    large, small = build.candidate(MODEL, "Q8_0"), build.candidate(MODEL, "Q4_K_M")
    here = replace(small, weights=replace(small.weights, location="/models"))
    below = large.weights.size_bytes
    assert planned(choice(ON_GPU, large, here), below_bytes=below).weights.quant == "Q4_K_M"
    with pytest.raises(NodeError):
        planned(choice(ON_GPU, large, small), below_bytes=below)
    fetched = planned(choice(ON_GPU, large, small), below_bytes=below, may_fetch=True)
    assert fetched.weights.quant == "Q4_K_M"


def test_vllm_is_held_to_smaller_batches_a_small_cache_and_no_graphs() -> None:
    model = build.folder(build.LARGE, 2 * GIB)
    box = build.hardware(replace(build.gpu(24), arch="sm_89"), ram_gib=32)

    def of_vllm(**values: Any) -> VllmFlags:
        flags = planned(choice(box, model, engine="vllm", parallel=2), **values).flags
        assert isinstance(flags, VllmFlags)
        return flags

    usual = of_vllm(margin_bytes=1)
    assert (usual.max_num_seqs, usual.max_num_batched_tokens, usual.kv_cache_dtype) == (8, None, "auto")
    assert not usual.enforce_eager
    less = of_vllm(max_ubatch=512, small_cache=True, few_sequences=True, no_graphs=True)
    assert (less.max_num_seqs, less.max_num_batched_tokens, less.kv_cache_dtype) == (2, 512, "fp8")
    assert less.enforce_eager


def test_the_least_quality_counts_by_a_quant_that_is_too_large_by_now() -> None:
    three = tuple(build.candidate(MODEL, quant) for quant in ("F16", "Q8_0", "Q4_K_M"))
    below = three[0].weights.size_bytes
    asked = choice(ON_GPU, *three, min_quality="F16")
    assert restrained(asked, Restraint(below_bytes=below, may_fetch=True)).candidates == ()
    assert asked.plan().weights.quant == "F16"
    eight = choice(ON_GPU, *three, min_quality="Q8_0")
    left = restrained(eight, Restraint(below_bytes=below, may_fetch=True)).candidates
    assert [model.weights.quant for model in left] == ["Q8_0"]
