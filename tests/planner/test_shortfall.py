"""What an owner is told of a model that does not fit: each figure is what a plan would find."""

import re
from dataclasses import replace

import pytest

from domain.errors import DoesNotFitError
from domain.launches.plan import VLLM, LaunchOptions
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel
from domain.units import GIB
from planner.choose.choose import plan
from planner.choose.context import SearchContext
from planner.engine import ENGINES
from planner.machine.budget import DEFAULT_RESERVE
from planner.machine.calibration import UNCALIBRATED
from planner.shortfall import devices
from planner.shortfall.machines import holding
from planner.shortfall.ways_out import from_disk, ways_out
from tests.planner import build
from tests.planner.build import LARGE, folder

OSS = build.candidates("gpt-oss-120b", "MXFP4")
DENSE = build.candidates("qwen3-32b", "F16", "Q8_0", "Q4_K_M")
SMALL = build.hardware(build.gpu(12), ram_gib=24)


def search(machine: Hardware, options: LaunchOptions | None = None) -> SearchContext:
    return SearchContext(machine, options or LaunchOptions(), UNCALIBRATED, DEFAULT_RESERVE)


def test_the_device_that_is_short_is_told_with_what_it_lacks() -> None:
    placed, gpu, host = devices.describe(OSS[0], 32768, search(SMALL), is_smallest=True)
    assert placed == "MXFP4 (59.0 GiB), the smallest, with 32768 tokens of context on llama.cpp"
    assert gpu.startswith("GPU0 (a GPU) would hold ")
    assert gpu.endswith("GiB free: enough")
    needed, usable, short = map(
        float, re.findall(r"hold ([\d.]+) GiB.*; ([\d.]+) GiB can.*: ([\d.]+) GiB short", host)[0]
    )
    assert needed - usable == pytest.approx(short, abs=0.11)
    assert short == pytest.approx(devices.missing_bytes(OSS[0], 32768, search(SMALL)) / GIB, abs=0.06)


def test_what_is_missing_is_what_it_takes_to_fit() -> None:
    missing = devices.missing_bytes(OSS[0], 32768, search(SMALL))
    for more_bytes, fits in ((missing + 64 * 1024**2, True), (missing - 64 * 1024**2, False)):
        free_bytes = (SMALL.memory.available_bytes or 0) + more_bytes
        machine = replace(SMALL, memory=replace(SMALL.memory, available_bytes=free_bytes))
        found = ENGINES["llama.cpp"].find_candidates(OSS[0], 32768, search(machine))
        assert bool(found) is fits


def test_memory_that_gpu_and_host_share_is_one() -> None:
    placed, pool = devices.describe(DENSE[0], 32768, search(small_pool()), is_smallest=False)
    assert ", the smallest," not in placed
    assert pool.startswith("all memory together would hold ")
    assert pool.endswith(" GiB short")


def small_pool() -> Hardware:
    gpu = replace(build.GB10.gpus[0], memory_total_bytes=48 * GIB, memory_free_bytes=40 * GIB)
    memory = replace(build.GB10.memory, total_bytes=48 * GIB, available_bytes=40 * GIB)
    return replace(build.GB10, gpus=(gpu,), memory=memory)


def test_of_vllm_each_gpu_of_the_nearest_group_is_told() -> None:
    model = folder(LARGE, 141 * GIB)
    two = build.hardware(build.gpu(24, name="a card"), build.gpu(24, name="a card"))
    placed, gpus, host = devices.describe(model, 8192, search(two), is_smallest=False)
    assert placed.endswith(" on vllm")
    assert re.match(r"each of 2 GPUs \(a card\) would hold 7\d\.\d GiB .* GiB short", gpus)
    assert host.endswith("enough")


def test_another_quant_is_told_with_both_losses() -> None:
    asked = search(build.hardware(build.gpu(24), ram_gib=24), LaunchOptions(quality="F16"))
    said = next(line for line in ways_out("qwen3-32b", DENSE, asked) if line.startswith("another quant"))
    assert "another quant: Q4_K_M on llama.cpp, " in said
    assert re.search(r"about [\d.]+ tokens/s; adds about [\d.]+ % to the perplexity, F16 0\.00 %$", said)


def test_the_longest_context_that_fits_is_told_with_what_is_given_up() -> None:
    model = build.candidates("llama-3.1-8b", "Q4_K_M")
    machine = build.hardware(ram_gib=16, available_gib=12)
    asked = LaunchOptions(context_tokens=131072)
    with pytest.raises(DoesNotFitError):
        plan("a model", model, machine, asked)
    (said,) = ways_out("a model", model, search(machine, asked))
    tokens = int(
        re.findall(r"^--context (\d+), the longest with all else: .* \1 tokens of context, all", said)[0]
    )
    assert said.endswith(f"; {131072 - tokens} of 131072 tokens of context are given up")
    assert plan("a model", model, machine, LaunchOptions(context_tokens=tokens)).fits
    with pytest.raises(DoesNotFitError):
        plan("a model", model, machine, LaunchOptions(context_tokens=tokens + 1024))


def test_one_request_at_a_time_is_told_where_several_do_not_fit() -> None:
    model = build.candidates("llama-3.1-8b", "Q4_K_M")
    asked = LaunchOptions(context_tokens=32768, parallel=4)
    said = list(ways_out("a model", model, search(build.hardware(ram_gib=16, available_gib=11), asked)))
    assert any(line.startswith("--parallel 1: Q4_K_M on llama.cpp, 32768 tokens") for line in said)


def test_another_engine_is_told_where_the_asked_one_lacks_memory() -> None:
    models: tuple[ResolvedModel, ...] = (folder(LARGE, 141 * GIB), DENSE[2])
    asked = search(build.hardware(build.gpu(24)), LaunchOptions(engine=VLLM))
    said = list(ways_out("a model", models, asked))
    assert any(line.startswith("another engine: Q4_K_M on llama.cpp, ") for line in said)


def test_all_that_was_asked_for_is_left_out_where_one_thing_is_not_enough() -> None:
    machine = build.hardware(ram_gib=24, available_gib=21.5)
    asked = LaunchOptions(context_tokens=40960, quality="Q8_0")
    (said,) = ways_out("qwen3-32b", DENSE, search(machine, asked))
    assert said.startswith("with all of these left out: Q4_K_M on llama.cpp, ")
    assert "of 40960 tokens of context are given up; adds about" in said


def test_the_disk_is_offered_unless_it_was_asked_for() -> None:
    (said,) = from_disk(OSS, 32768, search(SMALL))
    assert said.startswith("--from-disk: MXFP4, 32768 tokens of context, read from the disk for each token")
    assert not list(from_disk(OSS, 32768, search(SMALL, LaunchOptions(from_disk=True))))


def test_the_ram_that_is_told_holds_it() -> None:
    missing = devices.missing_bytes(OSS[0], 32768, search(SMALL))
    said = next(holding("m", OSS, missing, search(SMALL), ()))
    more = float(re.findall(r"^this machine with ([\d.]+) GiB more RAM: MXFP4 on llama.cpp, ", said)[0])
    assert missing / GIB < more < missing / GIB + 2


def test_the_smallest_machine_that_holds_it_is_told_first() -> None:
    large, larger = (
        replace(build.hardware(ram_gib=ram, gb_per_s=200), name=f"box-{ram}") for ram in (96, 192)
    )
    tight = replace(build.hardware(ram_gib=60), name="tight")
    asked = search(small_pool())  # no RAM can be added to it
    said = list(holding("m", OSS, 20 * GIB, asked, (larger, tight, large)))
    assert [line.partition(" ")[0] for line in said] == ["box-96", "box-192"]


def test_a_machine_that_holds_it_slower_than_one_reads_is_told_only_if_no_other_does() -> None:
    slow = replace(build.hardware(ram_gib=96, gb_per_s=5), name="slow")
    quick = replace(build.hardware(ram_gib=192, gb_per_s=200), name="quick")
    asked = search(small_pool())
    assert next(holding("m", OSS, 20 * GIB, asked, (slow, quick))).startswith("quick ")
    assert next(holding("m", OSS, 20 * GIB, asked, (slow,))).startswith("slow ")


def test_where_no_machine_holds_it_the_largest_is_told() -> None:
    small = replace(build.hardware(ram_gib=32), name="small")
    (said,) = holding("m", OSS, 20 * GIB, search(small_pool()), (small,))
    assert said.startswith("none of the 1 machines ")
    assert said.endswith("of which small is the largest with 29.0 GiB")
