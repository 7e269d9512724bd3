"""What an engine's own figures change in a plan: bytes that differ, what is stored, whether it fits."""

from dataclasses import replace

import pytest

from daemon.planning.reconcile import (
    MAX_STORED,
    CheckedFlags,
    Difference,
    PlanHistory,
    accumulated,
    corrected,
    differences,
    digest,
    history_key,
    summary,
    with_projector,
)
from domain.launches.plan import HOST, Confidence, DeviceMemory, LlamaFlags, Plan
from domain.machine.hardware import Cpu, Gpu, Hardware, MemoryKind
from domain.models.model import WeightFile
from domain.units import GIB, MIB
from launchers.base import Capabilities
from launchers.llama_cpp.dry_run import DeviceUsage
from tests.daemon.state.test_store import PLAN

FLAGS = LlamaFlags(gpu_layers=99, context_tokens=4096, threads=4, load_mode="mmap")
GPU = DeviceMemory("GPU0", 1000 * MIB, 200 * MIB, 100 * MIB, 50 * MIB, 1350 * MIB, 1400 * MIB)
ON_HOST = DeviceMemory(HOST, 300 * MIB, 0, 40 * MIB, 60 * MIB, 400 * MIB, 500 * MIB)


def plan_of(*rows: DeviceMemory) -> Plan:
    return replace(PLAN, memory=rows, fits=True)


def more(device: str, weights_mib: int = 0, cache_mib: int = 0, compute_mib: int = 0) -> Difference:
    return Difference(device, weights_mib * MIB, cache_mib * MIB, compute_mib * MIB, 0)


def box(*kinds: MemoryKind) -> Hardware:
    gpus = tuple(Gpu(f"pci:{number}", "amd", "X", memory_kind=kind) for number, kind in enumerate(kinds))
    return Hardware(gpus=gpus, cpu=Cpu(model="a CPU"))


def said(weights_mib: int | None, cache_mib: int, compute_mib: int, *, device: bool = True) -> DeviceUsage:
    weights = None if weights_mib is None else weights_mib * MIB
    return DeviceUsage("CUDA0" if device else "Host", weights, cache_mib * MIB, compute_mib * MIB, device)


def test_bytes_beyond_the_rules_count_part_by_part_and_can_make_it_unfit() -> None:
    done = corrected(plan_of(GPU, ON_HOST), (more("GPU0", 10, 20, 30),), box(MemoryKind.DEDICATED))
    gpu, host = done.memory
    assert (gpu.weights_bytes, gpu.kv_cache_bytes, gpu.compute_bytes) == (1010 * MIB, 220 * MIB, 130 * MIB)
    assert gpu.needed_bytes == (1010 + 220 + 130 + 50) * MIB
    assert not done.fits
    assert host == ON_HOST


def test_a_plan_that_fills_its_memory_to_the_last_byte_fits() -> None:
    assert corrected(plan_of(GPU, ON_HOST), (more("GPU0", 50),), box(MemoryKind.DEDICATED)).fits
    assert not corrected(plan_of(GPU, ON_HOST), (more("GPU0", 51),), box(MemoryKind.DEDICATED)).fits


def test_an_engine_that_takes_less_than_nothing_takes_nothing() -> None:
    (row,) = corrected(plan_of(ON_HOST), (more(HOST, -400, -1, -41),), box()).memory
    assert (row.weights_bytes, row.kv_cache_bytes, row.compute_bytes) == (0, 0, 0)
    assert row.needed_bytes == row.overhead_bytes


def test_what_a_unified_gpu_takes_beyond_the_rules_comes_off_what_the_host_has_free() -> None:
    done = corrected(plan_of(GPU, ON_HOST), (more("GPU0", 10, 20, 10),), box(MemoryKind.UNIFIED))
    assert done.memory[1].free_bytes == 460 * MIB
    assert done.memory[0].free_bytes == GPU.free_bytes
    assert done.fits
    crowded = corrected(
        plan_of(GPU, ON_HOST), (more("GPU0", 0, 0, 50), more(HOST, 60)), box(MemoryKind.UNIFIED)
    )
    assert not crowded.fits, "460 MiB are needed of the 450 MiB that the GPU leaves"


def test_only_the_bytes_of_unified_gpus_come_off_the_host() -> None:
    second = replace(GPU, device="GPU1")
    found = (more("GPU0", 5), more("GPU1", 7), more(HOST, 11))
    done = corrected(plan_of(GPU, second, ON_HOST), found, box(MemoryKind.DEDICATED, MemoryKind.UNIFIED))
    assert done.memory[2].free_bytes == 493 * MIB


def test_a_host_can_t_have_less_than_nothing_free() -> None:
    done = corrected(plan_of(GPU, ON_HOST), (more("GPU0", 600),), box(MemoryKind.UNIFIED))
    assert done.memory[1].free_bytes == 0


def test_memory_of_unknown_size_stays_unknown_and_makes_nothing_unfit() -> None:
    blind = (replace(GPU, free_bytes=None), replace(ON_HOST, free_bytes=None))
    done = corrected(plan_of(*blind), (more("GPU0", 10**6),), box(MemoryKind.UNIFIED))
    assert [row.free_bytes for row in done.memory] == [None, None]
    assert done.fits


def test_a_difference_below_a_mib_for_each_figure_is_how_an_engine_rounds() -> None:
    held = (said(1001, 199, 102), said(300, 0, 39, device=False))
    found = differences((GPU, ON_HOST), held)
    assert found == (
        Difference("GPU0", 0, 0, 2 * MIB, 1302 * MIB),
        Difference(HOST, 0, 0, 0, 340 * MIB),
    )


def test_several_buffers_of_the_host_are_one_figure_and_may_round_each() -> None:
    held = (said(200, 0, 20, device=False), said(102, 0, 30, device=False))
    (found,) = differences((ON_HOST,), held) or ()
    assert (found.weights_bytes, found.compute_bytes) == (0, 10 * MIB)
    assert found.more_bytes == 10 * MIB


def test_weights_that_an_engine_does_not_tell_are_as_the_rules_say() -> None:
    held = (said(None, 0, 40, device=False), said(100, 0, 0, device=False))
    (found,) = differences((ON_HOST,), held) or ()
    assert found.weights_bytes == 0
    assert found.said_bytes == 340 * MIB


@pytest.mark.parametrize(
    ("says_mib", "excess_mib"),
    [
        pytest.param(80, 0, id="its weights"),
        pytest.param(110, 0, id="its weights and compute"),
        pytest.param(115, 5, id="more than both"),
        pytest.param(75, -5, id="less than its weights"),
        pytest.param(111, 0, id="a MiB more is rounding"),
    ],
)
def test_a_projector_takes_what_the_engine_says_where_it_lies(says_mib: int, excess_mib: int) -> None:
    """80 MiB of weights and 30 MiB of compute on the GPU, 7 MiB of compute on the host."""
    beside = replace(
        GPU, weights_bytes=GPU.weights_bytes + 80 * MIB, compute_bytes=GPU.compute_bytes + 30 * MIB
    )
    host = replace(ON_HOST, compute_bytes=ON_HOST.compute_bytes + 7 * MIB)
    found = (replace(more("GPU0", 3), said_bytes=1303 * MIB), replace(more(HOST), said_bytes=340 * MIB))
    gpu, other = with_projector(found, (GPU, ON_HOST), (beside, host), says_mib * MIB)
    assert (gpu.weights_bytes, gpu.said_bytes) == (
        (3 + excess_mib) * MIB,
        (1303 + 80 + 30 + excess_mib) * MIB,
    )
    assert (other.weights_bytes, other.said_bytes) == (0, (340 + 7) * MIB)


def test_devices_that_hold_nothing_need_not_be_told_by_either_side() -> None:
    idle = DeviceMemory("GPU1", 0, 0, 5 * MIB)
    found = differences((GPU, idle, ON_HOST), (said(1000, 210, 100), said(300, 0, 40, device=False)))
    assert found is not None
    assert [(one.device, one.more_bytes) for one in found] == [("GPU0", 10 * MIB), (HOST, 0)]
    silent = (said(0, 0, 7), said(None, 210, 100), said(300, 0, 40, device=False))
    assert [one.device for one in differences((GPU, ON_HOST), silent) or ()] == ["GPU0", HOST]
    other = (said(7, 7, 0), said(1000, 210, 100), said(300, 0, 40, device=False))
    assert differences((GPU, ON_HOST), other) is None, "it sees another device that holds something"
    cache_only = replace(idle, kv_cache_bytes=MIB)
    assert differences((GPU, cache_only, ON_HOST), (said(1000, 210, 100),)) is None


def test_what_was_found_twice_adds_up_for_each_device() -> None:
    first = (more("GPU0", 1, 2, 3), more(HOST, 9))
    second = (replace(more("GPU0", 10, 20, 30), said_bytes=7), more("GPU1", 4))
    assert accumulated(first, second) == (replace(more("GPU0", 11, 22, 33), said_bytes=7), more("GPU1", 4))


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        pytest.param({"threads": 8, "threads_batch": 8}, True, id="threads"),
        pytest.param({"jinja": False, "reasoning_format": "none"}, True, id="templates"),
        pytest.param({"fit": True}, True, id="the order to fit"),
        pytest.param({"cache_ram_mib": 512, "ctx_checkpoints": 9}, True, id="the server's own caches"),
        pytest.param({"load_mode": "mmap+mlock"}, True, id="a lock"),
        pytest.param({"load_mode": "none"}, False, id="not mapped"),
        pytest.param({"load_mode": None}, False, id="mapped or not is not said"),
        pytest.param({"context_tokens": 8192}, False, id="another context"),
    ],
)
def test_command_lines_are_the_same_where_tensors_take_the_same(
    changes: dict[str, object], is_same: bool
) -> None:
    assert (digest(replace(FLAGS, **changes)) == digest(FLAGS)) is is_same  # type: ignore[arg-type]


def checked(number: int, how: Confidence = Confidence.ENGINE_CHECKED) -> CheckedFlags:
    flags = replace(FLAGS, context_tokens=256 * number)
    return CheckedFlags(digest(flags), how, (more(HOST, number),))


def test_a_command_line_has_its_own_figures_and_an_unknown_one_the_latest() -> None:
    history = PlanHistory().adding(checked(1)).adding(checked(2))
    assert history.get(replace(FLAGS, context_tokens=256)) == checked(1)
    assert history.nearest(replace(FLAGS, context_tokens=256)) == (more(HOST, 1),)
    assert history.get(FLAGS) is None
    assert history.nearest(FLAGS) == (more(HOST, 2),)
    assert PlanHistory().nearest(FLAGS) == ()


def test_the_latest_figures_take_the_place_of_those_before_and_the_oldest_are_forgotten() -> None:
    history = PlanHistory()
    for number in range(1, MAX_STORED + 3):
        history = history.adding(checked(number))
    history = history.adding(checked(5, Confidence.MEASURED))
    assert len(history.found) == MAX_STORED
    assert history.found[0] == checked(3)
    assert history.found[-1] == checked(5, Confidence.MEASURED)


def caps(path: str = "/opt/llama-server", version: str = "b1") -> Capabilities:
    return Capabilities("llama.cpp", path, version)


def test_figures_belong_to_one_model_one_build_and_one_set_of_devices() -> None:
    machine = box(MemoryKind.DEDICATED)
    larger_card = replace(machine, gpus=(replace(machine.gpus[0], memory_total_bytes=GIB),))
    other_files = replace(PLAN, weights=replace(PLAN.weights, files=(WeightFile("n.gguf", 5),)))
    keys = {
        history_key(PLAN, caps(), machine),
        history_key(PLAN, caps(version="b2"), machine),
        history_key(PLAN, caps(path="/usr/bin/llama-server"), machine),
        history_key(other_files, caps(), machine),
        history_key(PLAN, caps(), larger_card),
        history_key(PLAN, caps(), replace(machine, cpu=Cpu(model="another"))),
    }
    assert len(keys) == 6
    assert history_key(replace(PLAN, context_tokens=1), caps(), machine) in keys


def test_the_summary_says_how_far_each_device_is_from_the_estimate() -> None:
    found = (
        Difference("GPU0", 20 * MIB, 10 * MIB, 0, 1030 * MIB),
        Difference(HOST, 0, 0, 0, 400 * MIB),
        Difference("GPU1", 0, 0, -250 * MIB, 750 * MIB),
        Difference("GPU2", 0, 0, 5 * MIB, 5 * MIB),
    )
    assert summary(found) == (
        "GPU0 1.0 GiB, 3.0 % more than estimated; host 400 MiB, as estimated; "
        "GPU1 750 MiB, 25.0 % less than estimated; GPU2 5 MiB, 100.0 % more than estimated"
    )
