"""Recorded machines whose files are changed by tests and by the fuzzer, and all parsers of such files."""

from pathlib import Path

from probes import storage
from probes.cpu import core_types, numa, processor
from probes.gpus.amd import kfd
from probes.memory import cgroup, dimms, ram, swap
from probes.runtimes import versions
from probes.sensors.power import Meter
from probes.system import systemd
from tests.rigs.trees import plant, plant_machine

METER = Meter()  # one for all inputs: the first look with another one waits
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
CROWDED = "crowded"


def plant_files(folder: Path, name: str) -> tuple[Path, dict[str, bytes]]:
    """The root of a machine, and the files that it has; of CROWDED those of CROWD."""
    if name == CROWDED:
        root = plant(plant_machine(folder, "i7-1370p"), CROWD)
        return root, {path: text.encode() for path, text in CROWD.items()}
    root = plant_machine(folder, name)
    paths = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return root, {str(path.relative_to(root)): path.read_bytes() for path in paths}


def parse_all(text: str) -> None:
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
