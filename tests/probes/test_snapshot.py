"""The whole look: quick, without children, and with no source able to fail the others."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from domain.machine.hardware import Hardware
from domain.serialization import from_json, to_json
from domain.units import GIB, MIB
from probes import snapshot
from probes.context import ProbeState
from probes.gpus.amd import probe as amd
from tests.rigs import nvml
from tests.rigs.trees import plant


def test_this_machine(see):
    hardware = see(Path("/"))
    assert hardware.cpu.usable_cpus == len(os.sched_getaffinity(0))
    assert hardware.memory.total_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < hardware.memory.available_bytes <= hardware.memory.total_bytes
    assert hardware.storage.free_bytes > 0


def test_a_snapshot_survives_json(machine, see):
    hardware = see(machine("strix-halo-128"))
    again = from_json(Hardware, json.loads(json.dumps(to_json(hardware))))
    assert (again, again.sources) == (hardware, hardware.sources)


def test_a_carve_out_is_told_beside_the_ram_that_the_kernel_has(machine, see):
    root = machine("strix-halo-128")
    card = "sys/bus/pci/devices/0000:c3:00.0/mem_info_vram_total"
    plant(root, {card: str(96 * GIB), "proc/meminfo": "MemTotal: 32000000 kB\nMemAvailable: 30000000 kB\n"})
    hardware = see(root).memory
    assert (hardware.total_bytes, hardware.carve_out_bytes) == (32000000 * 1024, 96 * GIB)


def test_huge_pages_that_are_reserved_on_a_gb10_are_all_its_gpu_gets(machine, see_with_nvml):
    root = machine("dgx-spark")
    pages = "HugePages_Total: 51200\nHugePages_Free: 50000\nHugepagesize: 2048 kB\n"
    plant(root, {"proc/meminfo": f"MemTotal: 125508468 kB\nMemAvailable: 9000000 kB\n{pages}"})
    hardware = see_with_nvml(root, nvml.profile("dgx-spark"))
    assert hardware.gpus[0].memory_free_bytes == hardware.memory.hugepages_free_bytes == 50000 * 2 * MIB
    assert hardware.memory.available_bytes == 9000000 * 1024


def test_a_limit_far_above_the_process_bounds_the_machine(machine, see):
    root = machine("n100")
    above = {"sys/fs/cgroup/a.slice/memory.max": str(4 * GIB), "sys/fs/cgroup/a.slice/memory.current": "0"}
    quota = {"sys/fs/cgroup/a.slice/b.slice/cpu.max": "250000 100000"}
    plant(root, {"proc/self/cgroup": "0::/a.slice/b.slice/c.service", **above, **quota})
    hardware = see(root)
    assert (hardware.memory.cgroup_limit_bytes, hardware.memory.cgroup_available_bytes) == (4 * GIB, 4 * GIB)
    assert hardware.cpu.quota_cpus == 2.5


def test_a_card_with_memory_of_its_own_has_no_carve_out(machine, see):
    assert see(machine("rx-7900-xtx")).memory.carve_out_bytes is None


def test_the_peak_of_a_soldered_chip_bounds_what_the_firmware_says(machine, see):
    root = machine("strix-halo-128")
    module = "E:MEMORY_DEVICE_{0}_SIZE=17179869184\nE:MEMORY_DEVICE_{0}_TYPE=LPDDR5\n"
    module += "E:MEMORY_DEVICE_{0}_DATA_WIDTH={1}\nE:MEMORY_DEVICE_{0}_CONFIGURED_SPEED_MTS=7500\n"
    for bits, peak in ((32, 240e9), (64, 256e9)):  # 240 of slower modules; 480 is more than the chip can
        plant(root, {"run/udev/data/+dmi:id": "".join(module.format(n, bits) for n in range(8))})
        assert see(root).memory.peak_bandwidth_bytes_per_s == peak


def test_the_second_look_reads_less_and_sees_the_same(machine, opened):
    root, state = machine("i7-1370p"), ProbeState()
    looks, counts = [], []
    for _ in range(3):
        looks.append(snapshot.probe(root=root, models_dir=root, known_gpus=(), state=state))
        counts.append(len(opened))
        opened.clear()
    assert replace(looks[0], storage=None) == replace(looks[1], storage=None)
    assert counts[1] == counts[2] < counts[0] / 2


def test_an_empty_root_gives_unknowns_and_says_which(tmp_path, see):
    hardware = see(tmp_path)
    assert (hardware.cpu.model, hardware.memory.total_bytes, hardware.gpus, hardware.thermals) == (
        None,
        None,
        (),
        (),
    )
    assert {problem.source for problem in hardware.problems} == {"cpu", "memory"}


def test_a_source_that_breaks_fails_no_other(machine, see, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(amd, "probe", broken)
    hardware = see(machine("strix-halo-128"))
    assert hardware.cpu.physical_cores == 16
    assert [(problem.source, problem.what) for problem in hardware.problems] == [
        ("amd", "the probe failed: RuntimeError('a bug')")
    ]


def test_it_is_quick_because_no_file_is_read_more_than_twice(machine, see, opened):
    root = machine("strix-halo-128")
    opened.clear()
    hardware = see(root)
    reads = Counter(opened)
    assert len(reads) > 100
    assert max(reads.values()) <= 2
    assert hardware.gpus


def test_it_starts_no_child(machine):
    """Counted by the kernel: a process that has waited for no child has used none."""
    code = (
        "import resource, pathlib, sys; from probes import snapshot; root = pathlib.Path(sys.argv[1]);"
        "snapshot.probe(root=root, models_dir=root, known_gpus=());"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, str(machine("dual-3090"))]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"


def test_a_disk_that_cannot_be_asked_is_unknown(machine):
    root = machine("n100")
    hardware = snapshot.probe(root=root, models_dir=root / "x\0y", known_gpus=())
    assert hardware.storage.free_bytes is None
    assert [problem.source for problem in hardware.problems] == ["storage"]
