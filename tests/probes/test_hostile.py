"""No content of any file makes a probe raise."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain import validation
from domain.hardware import Hardware
from domain.serialization import to_json
from probes import identifiers, snapshot, storage
from probes.benchmarks import memory as bandwidth
from probes.context import ProbeState
from probes.cpu import core_types, numa, processor
from probes.gpus.amd import kfd
from probes.memory import cgroup, dimms, ram, swap
from probes.runtimes import versions
from probes.sensors.power import Meter
from probes.system import boot_id as boot
from probes.system import setup, systemd
from tests.probes.table import TABLE
from tests.rigs.trees import plant, plant_machine

NUMBERS = st.integers(-(2**70), 2**70).map(str)
WORDS = st.sampled_from(
    [
        "0::/a/b\n4:memory:/c", "max 100000", "0-3,99", "suspended", "D3cold", "0x1002", "0x10de", "16 GT",
        "MemTotal: -1 kB", "gfx_target_version 99999999999", "simd_per_cu 0\nsimd_count 1", "location_id -1",
        "a\0b", "../../..", "connected", "Max locked memory  9e9 bytes", "processor: 0\nflags", "0", "",
    ]
)  # fmt: skip
METER = Meter()  # one for all examples: the first look with another one waits
CONTENT = st.one_of(st.binary(max_size=200), st.text(max_size=200), NUMBERS, WORDS)
CHIP, ZONE, NODE = (
    "sys/class/hwmon/hwmon3",
    "sys/class/powercap/intel-rapl:0",
    "sys/devices/system/node/node0",
)
CPU = "sys/devices/system/cpu/cpu0"
CROWD = {  # what one machine has of each kind of host file that the recorded ones lack
    f"{CHIP}/name": "amdgpu", f"{CHIP}/temp1_input": "40000", f"{CHIP}/temp1_label": "edge",
    f"{CHIP}/temp1_max": "90000", f"{CHIP}/temp1_crit": "100000", f"{CHIP}/temp1_emergency": "105000",
    f"{CHIP}/fan1_input": "900", f"{CHIP}/power1_average": "9000000", f"{CHIP}/power1_cap": "90000000",
    f"{CHIP}/energy1_input": "1", f"{ZONE}/name": "package-0", f"{ZONE}/energy_uj": "1",
    f"{ZONE}/max_energy_range_uj": "262143328850", f"{ZONE}/constraint_0_power_limit_uw": "65000000",
    "sys/class/thermal/thermal_zone0/type": "acpitz", "sys/class/thermal/thermal_zone0/temp": "27800",
    f"{NODE}/cpulist": "0-19", f"{NODE}/meminfo": "Node 0 MemTotal:  32000000 kB",
    f"{CPU}/thermal_throttle/core_throttle_count": "3", f"{CPU}/thermal_throttle/package_throttle_count": "4",
    f"{CPU}/topology/physical_package_id": "0", f"{CPU}/cpu_capacity": "1024",
    "sys/devices/cpu_core/cpus": "0-11", "sys/devices/cpu_atom/cpus": "12-19",
    "proc/swaps": "Filename Type Size Used Priority\n/dev/zram0 partition 4096 1024 100",
    "proc/self/mountinfo": "21 1 8:2 / / rw - ext4 /dev/sda2 rw", "proc/self/uid_map": "0 0 4294967295",
    "run/udev/data/+dmi:id": "E:MEMORY_DEVICE_0_SIZE=17179869184\nE:MEMORY_DEVICE_0_DATA_WIDTH=64",
    "sys/fs/cgroup/memory.max": "1073741824", "sys/fs/cgroup/memory.stat": "inactive_file 4096",
    "sys/fs/cgroup/memory.current": "4096", "sys/fs/cgroup/cpu.max": "100000 100000",
}  # fmt: skip
MACHINES = ("strix-halo-128", "rx-7900-xtx", "arc-b580", "i7-1370p", "strix-point-apu")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, bytes]]]:
    """Every machine without NVML, and the files it has."""
    result = {}
    for name in MACHINES:
        root = plant_machine(tmp_path_factory.mktemp(name), name)
        paths = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        result[name] = root, {str(path.relative_to(root)): path.read_bytes() for path in paths}
    root = plant(plant_machine(tmp_path_factory.mktemp("crowded"), "i7-1370p"), CROWD)
    result["crowded"] = root, {name: text.encode() for name, text in CROWD.items()}
    return result


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_machine_with_other_contents_is_still_seen(trees, data):
    root, files = trees[data.draw(st.sampled_from([*MACHINES, *["crowded"] * 3]))]
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(files)), CONTENT, min_size=1, max_size=6))
    plant(root, changed)
    try:
        state = ProbeState(meter=METER)
        hardware = snapshot.probe(root=root, models_dir=root, known_gpus=TABLE, state=state)
    finally:
        plant(root, {name: files[name] for name in changed})
    assert isinstance(hardware, Hardware)
    assert [problem for problem in hardware.problems if "the probe failed" in problem.what] == []
    json.dumps(to_json(hardware), allow_nan=False)
    validation.check_figures(
        replace(hardware.memory, total_bytes=None)
    )  # the kernel's own total may be made 0 here
    validation.check_figures((*hardware.fans, *hardware.power, *hardware.cpu.kinds, *hardware.cpu.numa))
    for gpu in hardware.gpus:
        assert gpu.memory_total_bytes is None or gpu.memory_total_bytes > 0
        assert gpu.memory_free_bytes is None or 0 <= gpu.memory_free_bytes <= gpu.memory_total_bytes
        assert gpu.bandwidth_bytes_per_s is None or gpu.bandwidth_bytes_per_s > 0


@settings(deadline=None)
@given(text=st.one_of(st.text(), WORDS, NUMBERS))
def test_parsers_take_any_text(text):
    cgroup.parse_membership(text)
    cgroup.parse_mounts(text)
    cgroup.parse_cpu_max(text)
    processor.parse_cpuinfo(text)
    core_types.parse_cpu_list(text)
    ram.parse_meminfo(text)
    kfd.parse_bank(text)
    dimms.parse_udev(text)
    numa.parse_meminfo(text)
    storage.mount_of(text, 0, Path("/"))
    swap.parse(text)
    versions.parse_header(text)
    systemd.parse_unit("a.service", text)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=CONTENT)
def test_sources_outside_of_the_snapshot_take_any_content(tmp_path, content):
    cache = "sys/devices/system/cpu/cpu0/cache/index0"
    plant(tmp_path, {f"{cache}/level": content, f"{cache}/size": content})
    plant(tmp_path, {"proc/sys/kernel/random/boot_id": content})
    plant(tmp_path, dict.fromkeys(("proc/loadavg", "proc/meminfo", "proc/1/comm", "etc/hostname"), content))
    plant(tmp_path, {"sys/class/dmi/id/product_serial": content, "sys/module/ttm/parameters/a": content})
    dimms.parse_table(content if isinstance(content, bytes) else content.encode())
    bandwidth.last_level_cache_bytes(tmp_path)
    boot.read_boot_id(tmp_path)
    setup.probe(tmp_path)
    identifiers.read_identifiers(tmp_path)
