"""Models, cores and instruction sets of hybrid and plain processors."""

import pytest

from domain.machine.hardware import Cpu
from domain.machine.host import NumaNode
from domain.machine.provenance import Certainty
from probes.cpu import core_types, numa, processor
from probes.cpu.core_types import parse_cpu_list
from probes.memo import Memo
from probes.memory.cgroup import Limits
from tests.rigs.trees import plant


@pytest.mark.parametrize(
    ("name", "model", "physical", "performance", "logical"),
    [
        pytest.param(
            "strix-halo-128", "AMD RYZEN AI MAX+ 395 w/ Radeon 8060S", 16, None, 32, id="SMT, one kind"
        ),
        pytest.param(
            "strix-point-apu", "AMD Ryzen AI 9 365 w/ Radeon 880M", 10, 4, 20, id="Zen 5 and Zen 5c"
        ),
        pytest.param("i7-1370p", "13th Gen Intel(R) Core(TM) i7-1370P", 14, 6, 20, id="Intel hybrid"),
        pytest.param("n100", "Intel(R) N100", 4, 4, 4, id="four efficiency cores are one kind"),
        pytest.param("dgx-spark", "Cortex-A725 + Cortex-X925", 20, 10, 20, id="ARM without a model name"),
    ],
)
def test_knows_the_cores_of(machine, name, model, physical, performance, logical):
    reading = processor.probe(machine(name), Limits(), Memo())
    cpu, problems = reading.value, reading.problems
    assert (cpu.model, cpu.physical_cores, cpu.performance_cores) == (model, physical, performance)
    assert (cpu.logical_cpus, cpu.usable_cpus, cpu.numa_nodes) == (logical, logical, 1)
    assert problems == ()


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        pytest.param(
            "i7-1370p",
            (("0-11", 6, "P-core", 5.2e9, True), ("12-19", 8, "E-core", 3.9e9, False)),
            id="Intel hybrid",
        ),
        pytest.param(
            "dgx-spark",
            (("5-9,15-19", 10, "Cortex-X925", 3.9e9, True), ("0-4,10-14", 10, "Cortex-A725", 2.808e9, False)),
            id="GB10",
        ),
        pytest.param("n100", (("0-3", 4, None, 3.4e9, True),), id="one kind"),
    ],
)
def test_kinds_of_cores(machine, name, kinds):
    cpu = processor.probe(machine(name), Limits(), Memo()).value
    assert (
        tuple((kind.cpus, kind.cores, kind.name, kind.max_hz, kind.is_performance) for kind in cpu.kinds)
        == kinds
    )


def hybrid(pmus: dict[str, str], clocks_khz: list[int]) -> dict[str, str]:
    """The files of a processor with one logical CPU per core."""
    files = {f"sys/devices/{pmu}/cpus": cpus for pmu, cpus in pmus.items()}
    for number, khz in enumerate(clocks_khz):
        files[f"{core_types.CPUS}/cpu{number}/topology/core_cpus_list"] = str(number)
        files[f"{core_types.CPUS}/cpu{number}/cpufreq/cpuinfo_max_freq"] = str(khz)
    return {**files, f"{core_types.CPUS}/online": f"0-{len(clocks_khz) - 1}"}


# Core Ultra 7 255H: open-mpi/hwloc#700
CLOCKS_255H = [5100000] * 6 + [4400000] * 8 + [2500000] * 2


@pytest.mark.parametrize(
    ("pmus", "kinds"),
    [
        pytest.param(
            {"cpu_core": "0-5", "cpu_atom": "6-13", "cpu_lowpower": "14-15"},
            [(6, "P-core", True), (8, "E-core", False), (2, "LP-E-core", False)],
            id="Linux 6.13",
        ),
        pytest.param(
            {"cpu_core": "0-5", "cpu_atom": "6-15"},
            [(6, "P-core", True), (8, "E-core", False), (2, "LP-E-core", False)],
            id="before: told by their clock",
        ),
        pytest.param(
            {"cpu_core": "0-5", "cpu_atom": "6-13", "cpu_dim": "14-15"},
            [(6, "P-core", True), (8, "E-core", False), (2, None, False)],
            id="a kind to come",
        ),
    ],
)
def test_every_core_belongs_to_a_kind(tmp_path, pmus, kinds):
    plant(tmp_path, hybrid(pmus, CLOCKS_255H))
    cpu = processor.probe(tmp_path, Limits(), Memo()).value
    assert [(kind.cores, kind.name, kind.is_performance) for kind in cpu.kinds] == kinds
    assert sum(kind.cores for kind in cpu.kinds) == cpu.physical_cores == 16


def test_an_arm_core_that_no_table_has_is_named_by_its_numbers():
    block = "processor\t: {}\nCPU implementer\t: 0x41\nCPU part\t: {}\nFeatures\t: asimd {}\n"
    info = processor.parse_cpuinfo(
        block.format(0, "0xd80", "") + "\n" + block.format(1, "0xdff", "sve") + "\n"
    )
    assert info.model == "Cortex-A520 + Arm core 0x41:0xdff"
    assert info.designs == {0: "Cortex-A520", 1: "Arm core 0x41:0xdff"}
    assert info.isa == ("asimd",), "an engine may run on any core"


@pytest.mark.parametrize(
    ("online", "allowed", "mounts", "usable"),
    [
        pytest.param("0-3", "8-9,24-25", "", 4, id="a view with other numbers than the kernel's"),
        pytest.param(
            "0-3", "2-9", "9 1 0:9 / /sys/devices/system/cpu rw - fuse.lxcfs lxcfs rw", 4, id="lxcfs"
        ),
        pytest.param("0-5", "0-63", "", 6, id="offline CPUs"),
        pytest.param("8-9,24-25", "8-9,24-25", "", 4, id="a cpuset"),
        pytest.param("0-7", "2-3", "", 2, id="affinity"),
    ],
)
def test_usable_cpus(tmp_path, online, allowed, mounts, usable):
    files = {f"{core_types.CPUS}/online": online, "proc/self/mountinfo": f"{mounts}\n"}
    plant(tmp_path, {**files, "proc/self/status": f"Cpus_allowed_list:\t{allowed}\n"})
    assert processor.probe(tmp_path, Limits(), Memo()).value.usable_cpus == usable


def test_the_firmwares_ranks_tell_kinds_apart_only_where_no_clock_does():
    ranks = [
        core_types.LogicalCpu(n, frozenset({n}), highest_perf=rank) for n, rank in enumerate((196, 190, 120))
    ]
    result = core_types.classify(ranks, {})
    assert [(kind.cpus, kind.is_performance) for kind in result.kinds] == [("0-1", True), ("2", False)]
    assert result.source.certainty is Certainty.ASSUMED


def test_heat_is_counted_once_a_core_and_once_a_package(machine):
    root = machine("i7-1370p")
    for number in (0, 1, 2):  # 0 and 1 are one core
        folder = f"sys/devices/system/cpu/cpu{number}"
        plant(root, {f"{folder}/thermal_throttle/core_throttle_count": "3"})
        plant(root, {f"{folder}/thermal_throttle/package_throttle_count": "5"})
        plant(root, {f"{folder}/topology/physical_package_id": "0"})
    assert processor.probe(root, Limits(), Memo()).value.throttled_count == 3 + 3 + 5


def test_nothing_that_counts_heat_is_unknown_not_zero(machine):
    assert processor.probe(machine("strix-halo-128"), Limits(), Memo()).value.throttled_count is None


def test_numa_nodes_and_one_without_cpus(tmp_path):
    node = "sys/devices/system/node/node"
    text = "Node 0 MemTotal:       65794236 kB\nNode 0 MemFree:  1024 kB\nNode 0 Active(anon): 1 kB\n"
    plant(tmp_path, {f"{node}0/cpulist": "0-7,16-23", f"{node}0/meminfo": text, f"{node}10/cpulist": ""})
    assert numa.probe(tmp_path) == (
        NumaNode(0, "0-7,16-23", 65794236 * 1024, 1024 * 1024),
        NumaNode(10, "", None, None),
    )


def test_what_cannot_change_is_read_once(machine, opened):
    root, memo = machine("i7-1370p"), Memo()
    first = processor.probe(root, Limits(), memo)
    opened.clear()
    assert processor.probe(root, Limits(), memo) == first
    assert [path for path in opened if "topology" in path or "cpuinfo" in path] == []


def test_a_core_that_goes_off_is_seen_by_the_next_look(machine):
    root, memo = machine("strix-halo-128"), Memo()
    assert processor.probe(root, Limits(), memo).value.physical_cores == 16
    plant(root, {"sys/devices/system/cpu/online": "0-3,16-19"})
    assert processor.probe(root, Limits(), memo).value.physical_cores == 4


def test_without_pmu_folders_the_clocks_tell_the_kinds_apart(machine):
    root = machine("i7-1370p")
    (root / "sys/devices/cpu_core/cpus").unlink()
    (root / "sys/devices/cpu_atom/cpus").unlink()
    cpu = processor.probe(root, Limits(), Memo()).value
    assert cpu.performance_cores == 6


def test_instruction_sets_are_those_that_engines_ask_for(machine):
    cpu = processor.probe(machine("n100"), Limits(), Memo()).value
    assert cpu.isa == ("sse4_2", "avx", "f16c", "fma", "avx2", "bmi2", "avx_vnni")


def test_arm_instruction_sets(machine):
    cpu = processor.probe(machine("dgx-spark"), Limits(), Memo()).value
    assert {"asimddp", "i8mm", "bf16", "sve2"} <= set(cpu.isa)
    assert "aes" not in cpu.isa


def test_only_what_every_core_has_counts():
    text = "processor: 0\nflags: avx2 avx512f\n\nprocessor: 1\nflags: avx2\n"
    assert processor.parse_cpuinfo(text).isa == ("avx2",)


def test_affinity_and_quota_bound_what_is_usable(machine):
    root = machine("strix-halo-128")
    plant(root, {"proc/self/status": "Cpus_allowed_list:\t0-7,64-127\n"})
    cpu = processor.probe(root, Limits(quota_cpus=1.5), Memo()).value
    assert (cpu.usable_cpus, cpu.quota_cpus) == (8, 1.5)


def test_a_core_that_is_off_is_not_counted(machine):
    root = machine("strix-halo-128")
    plant(root, {"sys/devices/system/cpu/online": "0-3,16-19"})
    cpu = processor.probe(root, Limits(), Memo()).value
    assert (cpu.physical_cores, cpu.logical_cpus, cpu.usable_cpus) == (4, 8, 8)


def test_an_empty_tree_is_unknown_and_says_so(tmp_path):
    reading = processor.probe(tmp_path, Limits(), Memo())
    cpu, problems = reading.value, reading.problems
    assert cpu == Cpu()
    assert "model, physical_cores, usable_cpus" in problems[0].what


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0-3,8", {0, 1, 2, 3, 8}),
        ("", set()),
        (None, set()),
        ("3-1", set()),
        ("0-99999999", set()),
        ("x,2", {2}),
    ],
)
def test_cpu_lists(text, numbers):
    assert parse_cpu_list(text) == numbers
    assert parse_cpu_list(core_types.format_cpu_list(numbers)) == numbers
