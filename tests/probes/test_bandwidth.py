"""The measured bandwidth: plausible, quick, and never at the cost of memory that is needed."""

import mmap
import os
from types import SimpleNamespace

import pytest

from probes.benchmarks import memory
from probes.benchmarks.memory import buffer_bytes
from tests.rigs.trees import plant

MIB, GIB = 1024**2, 1024**3


def test_the_rate_is_of_bytes_read_and_written_in_the_fastest_pass(monkeypatch, tmp_path):
    """By a clock that says a second for the first pass, and half of one for the others."""
    readings = iter((0.0, 10.0, 11.0, 10.1, 10.6, 20.0, 20.5))
    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: next(readings)))
    monkeypatch.setattr(memory, "BUDGET_S", 20.0)
    ram = {"proc/meminfo": "MemTotal: 99999999 kB\nMemAvailable: 99999999 kB\n", "proc/self/cgroup": "0::/"}
    size = buffer_bytes(None, 16 * GIB)
    copied = size - size % (len(os.sched_getaffinity(0)) * mmap.PAGESIZE)
    assert memory.measure(plant(tmp_path, ram)) == 2 * copied / 0.5


def test_a_process_in_a_small_control_group_does_not_measure(tmp_path):
    """Two buffers of 64 MiB in a group of 256 MiB would end in an OOM kill."""
    group = "sys/fs/cgroup/box"
    limit = {f"{group}/memory.max": f"{256 * MIB}", f"{group}/memory.current": "0"}
    ram = {"proc/meminfo": "MemTotal: 99999999 kB\nMemAvailable: 99999999 kB\n"}
    assert memory.measure(plant(tmp_path, {"proc/self/cgroup": "0::/box", **ram, **limit})) is None


@pytest.mark.parametrize(
    ("cache", "free", "size"),
    [
        (32 * MIB, 16 * GIB, 128 * MIB),
        (None, 16 * GIB, 128 * MIB),
        (4 * MIB, 16 * GIB, 64 * MIB),
        (128 * MIB, 16 * GIB, 512 * MIB),
        (128 * MIB, 7 * GIB, None),
        (32 * MIB, None, None),
    ],
)
def test_buffers_are_beyond_the_cache_and_leave_ram_to_others(cache, free, size):
    assert buffer_bytes(cache, free) == size


def test_the_last_cache_is_the_sum_of_its_instances(tmp_path):
    for cpu, shared in enumerate(("0-1", "0-1", "2-3", "2-3")):
        cache = f"sys/devices/system/cpu/cpu{cpu}/cache"
        plant(tmp_path, {f"{cache}/index0/level": "1", f"{cache}/index0/size": "48K"})
        plant(tmp_path, {f"{cache}/index3/level": "3", f"{cache}/index3/size": "98304K"})
        plant(tmp_path, {f"{cache}/index3/shared_cpu_list": shared})
    assert memory.last_level_cache_bytes(tmp_path) == 192 * MIB
