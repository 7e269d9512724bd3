"""A Mac, by what sysctl prints there; psutil's figure is given."""

import pytest

from config.data import known_gpus
from domain.machine.hardware import MemoryKind
from probes.benchmarks import disk
from probes.gpus.apple import macos
from tests.probes.test_provenance import values

GIB, MIB = 1024**3, 1024**2
# the form of sysctl(8): key, colon, value; iogpu.wired_limit_mb is 0 until an owner sets it
M2_PRO = """machdep.cpu.brand_string: Apple M2 Pro
hw.memsize: 34359738368
hw.physicalcpu: 10
hw.logicalcpu: 10
hw.perflevel0.physicalcpu: 6
kern.osproductversion: 15.5
iogpu.wired_limit_mb: 0
"""


def look(tmp_path, text, free=28 * GIB):
    asked = []

    def run(command):
        asked.append(command)
        return text

    hardware = macos.probe(tmp_path, known_gpus(), run, lambda: free)
    assert asked == [["sysctl", *macos.KEYS]]
    return hardware


def test_an_m2_pro_lends_two_thirds_of_its_ram(tmp_path):
    """llama.cpp prints 22906.50 MB of 32 GiB on such Macs."""
    hardware = look(tmp_path, M2_PRO)
    (gpu,) = hardware.gpus
    assert (gpu.name, gpu.driver, gpu.memory_kind) == ("Apple M2 Pro", "macOS 15.5", MemoryKind.UNIFIED)
    assert gpu.memory_total_bytes // 10_000 == 2290649
    assert (gpu.bandwidth_bytes_per_s, hardware.memory.bandwidth_bytes_per_s) == (200e9, 200e9)
    assert (hardware.cpu.physical_cores, hardware.cpu.performance_cores, hardware.cpu.usable_cpus) == (
        10,
        6,
        10,
    )
    assert (hardware.memory.total_bytes, hardware.memory.available_bytes) == (32 * GIB, 28 * GIB)
    assert hardware.problems == ()
    assert hardware.storage.free_bytes > 0


def test_every_value_of_a_mac_tells_its_source(tmp_path):
    hardware = look(tmp_path, M2_PRO)
    assert set(values(hardware)) == hardware.sources.keys()


def test_without_direct_io_no_disk_is_measured_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delattr(disk.os, "O_DIRECT")
    assert disk.measure(tmp_path, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_larger_one_lends_more_and_never_what_others_use(tmp_path):
    (gpu,) = look(tmp_path, M2_PRO.replace("34359738368", str(64 * GIB)), free=40 * GIB).gpus
    assert gpu.memory_total_bytes // 10_000 == 5153960
    assert gpu.memory_free_bytes == 40 * GIB


def test_a_limit_that_the_owner_set_counts(tmp_path):
    (gpu,) = look(tmp_path, M2_PRO.replace("wired_limit_mb: 0", "wired_limit_mb: 28672")).gpus
    assert gpu.memory_total_bytes == 28672 * MIB


def test_an_intel_mac_has_no_gpu_for_us(tmp_path):
    hardware = look(tmp_path, M2_PRO.replace("Apple M2 Pro", "Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz"))
    assert (hardware.gpus, hardware.memory.bandwidth_bytes_per_s) == ((), None)


@pytest.mark.parametrize("text", ["", "nonsense", "hw.memsize: much\nmachdep.cpu.brand_string: Apple M9\n"])
def test_what_sysctl_does_not_tell_is_unknown(tmp_path, text):
    hardware = look(tmp_path, text, free=None)
    assert (hardware.memory.total_bytes, hardware.memory.available_bytes) == (None, None)
    assert [gpu.memory_total_bytes for gpu in hardware.gpus] in ([], [None])
    assert hardware.problems[0].what.startswith("missing: ")


def test_a_program_that_is_missing_says_nothing():
    assert macos.run_text(["/nowhere/sysctl"]) == ""
    assert macos.run_text(["/bin/echo", "hw.memsize: 1"]) == "hw.memsize: 1\n"
    assert macos.available_bytes() > 0
