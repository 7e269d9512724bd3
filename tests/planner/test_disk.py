"""Models larger than memory: refused with the speed they would have from the disk, planned if requested."""

from dataclasses import replace

import pytest

from domain import units
from domain.errors import DoesNotFitError
from domain.launches.plan import LaunchOptions, LlamaFlags, Plan
from domain.machine.hardware import Storage
from planner.choose.choose import plan
from planner.llama_cpp.estimate import estimate
from tests.planner import build

OSS = build.candidates("gpt-oss-120b", "MXFP4")
DENSE = build.candidates("qwen3-32b", "F16", "Q8_0", "Q4_K_M")
ASKED = LaunchOptions(from_disk=True)
CARD = build.hardware(build.gpu(24), ram_gib=32)


def rate(chosen: Plan) -> float:
    assert chosen.speed.decode_tokens_per_s is not None
    return chosen.speed.decode_tokens_per_s.expected


def test_a_refusal_offers_the_disk_with_its_speed() -> None:
    with pytest.raises(DoesNotFitError) as refused:
        plan("gpt-oss-120b", OSS, CARD, LaunchOptions())
    speed = rate(plan("gpt-oss-120b", OSS, CARD, ASKED))
    offered = f"with --from-disk MXFP4 would run from the disk, about {units.rate(speed)} tokens/s"
    assert offered in refused.value.hint


def test_asked_for_it_is_planned_mapped_and_says_what_stays_on_the_disk() -> None:
    chosen = plan("gpt-oss-120b", OSS, CARD, ASKED)
    flags = chosen.flags
    assert isinstance(flags, LlamaFlags)
    assert (flags.load_mode, flags.repack, chosen.fits) == ("mmap", False, False)
    assert flags.gpu_layers
    assert any("read from disk, as requested" in reason for reason in chosen.reasons)
    assert rate(chosen) < 5
    assert f"about {units.rate(rate(chosen))} tokens/s" in chosen.reasons[0]
    again = estimate(OSS[0].shape, flags, CARD)
    assert (again.memory, again.speed, again.fits) == (chosen.memory, chosen.speed, False)


def test_what_holds_in_memory_is_not_read_from_the_disk() -> None:
    machine = build.hardware(build.gpu(24), ram_gib=128)
    chosen = plan("gpt-oss-120b", OSS, machine, ASKED)
    assert chosen == plan("gpt-oss-120b", OSS, machine, LaunchOptions())
    assert (chosen.fits, chosen.weights.quant) == (True, "MXFP4")
    assert not any("disk" in reason for reason in chosen.reasons)


def test_a_faster_disk_and_more_memory_are_quicker() -> None:
    slow, quick = (
        rate(plan("m", OSS, replace(CARD, storage=Storage("/", read_bytes_per_s=speed)), ASKED))
        for speed in (0.5e9, 7e9)
    )
    more = rate(plan("m", OSS, replace(build.hardware(build.gpu(24), ram_gib=36)), ASKED))
    assert slow < quick
    assert rate(plan("m", OSS, CARD, ASKED)) < more


def test_an_unknown_disk_gives_a_plan_without_a_speed() -> None:
    machine = replace(CARD, storage=None)
    assert plan("m", OSS, machine, ASKED).speed.decode_tokens_per_s is None
    with pytest.raises(DoesNotFitError) as refused:
        plan("m", OSS, machine, LaunchOptions())
    assert "at an unknown speed" in refused.value.hint


def test_dense_weights_come_round_in_order_and_none_of_them_is_kept() -> None:
    """A mixture reads the experts that memory lacks, at random; a dense model all of its host weights."""
    small_machine = build.hardware(ram_gib=16)
    read_s = 1 / rate(plan("m", DENSE[2:], small_machine, ASKED))
    host = estimate(DENSE[2].shape, LlamaFlags(gpu_layers=0, context_tokens=4096), small_machine).memory[-1]
    assert read_s > 0.9 * host.weights_bytes / 1.5e9
