"""Models, cores and instruction sets of hybrid and plain processors."""

import pytest

from domain.hardware import Cpu
from probes import cpu
from probes.cgroup import Limits
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
    answer = cpu.probe(machine(name), Limits())
    seen, problems = answer.value, answer.problems
    assert (seen.model, seen.physical_cores, seen.performance_cores) == (model, physical, performance)
    assert (seen.logical_cpus, seen.usable_cpus, seen.numa_nodes) == (logical, logical, 1)
    assert problems == ()


def test_without_pmu_folders_the_clocks_tell_the_kinds_apart(machine):
    root = machine("i7-1370p")
    (root / "sys/devices/cpu_core/cpus").unlink()
    (root / "sys/devices/cpu_atom/cpus").unlink()
    seen = cpu.probe(root, Limits()).value
    assert seen.performance_cores == 6


def test_instruction_sets_are_those_that_engines_ask_for(machine):
    seen = cpu.probe(machine("n100"), Limits()).value
    assert seen.isa == ("sse4_2", "avx", "f16c", "fma", "avx2", "bmi2", "avx_vnni")


def test_arm_instruction_sets(machine):
    seen = cpu.probe(machine("dgx-spark"), Limits()).value
    assert {"asimddp", "i8mm", "bf16", "sve2"} <= set(seen.isa)
    assert "aes" not in seen.isa


def test_only_what_every_core_has_counts():
    text = "processor: 0\nflags: avx2 avx512f\n\nprocessor: 1\nflags: avx2\n"
    assert cpu.parse_cpuinfo(text).isa == ("avx2",)


def test_affinity_and_quota_bound_what_is_usable(machine):
    root = machine("strix-halo-128")
    plant(root, {"proc/self/status": "Cpus_allowed_list:\t0-7,64-127\n"})
    seen = cpu.probe(root, Limits(quota_cpus=1.5)).value
    assert (seen.usable_cpus, seen.quota_cpus) == (8, 1.5)


def test_a_core_that_is_off_is_not_counted(machine):
    root = machine("strix-halo-128")
    plant(root, {"sys/devices/system/cpu/online": "0-3,16-19"})
    seen = cpu.probe(root, Limits()).value
    assert (seen.physical_cores, seen.logical_cpus, seen.usable_cpus) == (4, 8, 8)


def test_an_empty_tree_is_unknown_and_says_so(tmp_path):
    answer = cpu.probe(tmp_path, Limits())
    seen, problems = answer.value, answer.problems
    assert seen == Cpu()
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
    assert cpu.parse_cpu_list(text) == numbers
