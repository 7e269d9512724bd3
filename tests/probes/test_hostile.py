"""No content of any file makes a probe raise."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.hardware import Hardware
from probes import (
    bandwidth,
    boot,
    cgroup,
    cores,
    cpu,
    dmi,
    kfd,
    memory,
    numa,
    snapshot,
    stacks,
    storage,
    swaps,
)
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
CONTENT = st.one_of(st.binary(max_size=200), st.text(max_size=200), NUMBERS, WORDS)
MACHINES = ("strix-halo-128", "rx-7900-xtx", "arc-b580", "i7-1370p", "strix-point-apu")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, bytes]]]:
    """Every machine without NVML, and the files it has."""
    found = {}
    for name in MACHINES:
        root = plant_machine(tmp_path_factory.mktemp(name), name)
        paths = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        found[name] = root, {str(path.relative_to(root)): path.read_bytes() for path in paths}
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_machine_with_other_contents_is_still_seen(trees, data):
    root, kept = trees[data.draw(st.sampled_from(MACHINES))]
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(kept)), CONTENT, min_size=1, max_size=6))
    plant(root, changed)
    try:
        seen = snapshot.probe(root=root, models_dir=root, known_gpus=TABLE)
    finally:
        plant(root, {name: kept[name] for name in changed})
    assert isinstance(seen, Hardware)
    assert [problem for problem in seen.problems if "the probe broke" in problem.what] == []
    for gpu in seen.gpus:
        assert gpu.memory_total_bytes is None or gpu.memory_total_bytes > 0
        assert gpu.memory_free_bytes is None or 0 <= gpu.memory_free_bytes <= gpu.memory_total_bytes
        assert gpu.bandwidth_bytes_per_s is None or gpu.bandwidth_bytes_per_s > 0


@settings(deadline=None)
@given(text=st.one_of(st.text(), WORDS, NUMBERS))
def test_parsers_take_any_text(text):
    cgroup.parse_membership(text)
    cgroup.parse_mounts(text)
    cgroup.parse_cpu_max(text)
    cpu.parse_cpuinfo(text)
    cores.parse_cpu_list(text)
    memory.parse_meminfo(text)
    kfd.parse_bank(text)
    dmi.parse_udev(text)
    numa.parse_meminfo(text)
    storage.mount_of(text, 0, Path("/"))
    swaps.parse(text)
    stacks.parse_header(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=CONTENT)
def test_sources_outside_of_the_snapshot_take_any_content(tmp_path, content):
    cache = "sys/devices/system/cpu/cpu0/cache/index0"
    plant(tmp_path, {f"{cache}/level": content, f"{cache}/size": content})
    plant(tmp_path, {"proc/sys/kernel/random/boot_id": content})
    dmi.parse_table(content if isinstance(content, bytes) else content.encode())
    bandwidth.last_cache_bytes(tmp_path)
    boot.boot_id(tmp_path)
