"""No content of any file makes a probe raise."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.machine import validation
from domain.machine.hardware import Hardware
from domain.serialization import to_json
from probes import identifiers, snapshot
from probes.benchmarks import memory as bandwidth
from probes.context import ProbeState
from probes.memory import dimms
from probes.system import boot_id as boot
from probes.system import setup
from tests.probes.hostile import CROWDED, MACHINES, METER, parse_all, plant_files
from tests.probes.table import TABLE
from tests.rigs.trees import plant

NUMBERS = st.integers(-(2**70), 2**70).map(str)
WORDS = st.sampled_from(
    [
        "0::/a/b\n4:memory:/c", "max 100000", "0-3,99", "suspended", "D3cold", "0x1002", "0x10de", "16 GT",
        "MemTotal: -1 kB", "gfx_target_version 99999999999", "simd_per_cu 0\nsimd_count 1", "location_id -1",
        "a\0b", "../../..", "connected", "Max locked memory  9e9 bytes", "processor: 0\nflags", "0", "",
    ]
)  # fmt: skip
CONTENT = st.one_of(st.binary(max_size=200), st.text(max_size=200), NUMBERS, WORDS)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, bytes]]]:
    """Every machine without NVML, and the files it has."""
    return {name: plant_files(tmp_path_factory.mktemp(name), name) for name in (*MACHINES, CROWDED)}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_machine_with_other_contents_is_still_seen(trees, data):
    root, files = trees[data.draw(st.sampled_from([*MACHINES, *[CROWDED] * 3]))]
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
    parse_all(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
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
