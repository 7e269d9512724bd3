"""RAM, huge pages and the right to lock memory."""

import pytest

from probes import memory
from probes.cgroup import Limits
from probes.memory import Meminfo
from tests.rigs.trees import plant

MIB = 1024**2
LIMITS = "Limit                     Soft Limit           Hard Limit\nMax locked memory         "
FIRST_NAMESPACE = "         0          0 4294967295\n"
WITH_IPC_LOCK, WITHOUT = "CapEff:\t000001ffffffffff\n", "CapEff:\t00000000a80425fb\n"


def test_ram_of_a_dgx_spark(machine):
    root = machine("dgx-spark")
    answer = memory.probe(root, memory.read_meminfo(root), Limits(64 * MIB, 32 * MIB))
    seen, problems = answer.value, answer.problems
    assert (seen.total_bytes, seen.available_bytes) == (125508468 * 1024, 121737812 * 1024)
    assert (seen.swap_total_bytes, seen.swap_free_bytes) == (16777212 * 1024, 16541600 * 1024)
    assert (seen.cgroup_limit_bytes, seen.cgroup_available_bytes) == (64 * MIB, 32 * MIB)
    assert (seen.memlock_limit_bytes, seen.memlock_unlimited) == (8 * MIB, False)
    assert (seen.bandwidth_bytes_per_s, problems) == (None, ())


def test_lxc_never_has_more_available_than_there_is():
    assert memory.parse_meminfo("MemTotal: 100 kB\nMemAvailable: 900 kB\n").available_bytes == 100 * 1024


def test_reserved_huge_pages_are_what_a_unified_gpu_gets():
    ram = "MemTotal: 90000 kB\nMemAvailable: 9000 kB\n"
    text = f"{ram}HugePages_Total: 20\nHugePages_Free: 15\nHugepagesize: 2048 kB\n"
    assert memory.parse_meminfo(text).unified_free_bytes == 15 * 2 * MIB
    assert memory.parse_meminfo(text.replace(" 20", " 0")).unified_free_bytes == 9000 * 1024


def test_without_meminfo_ram_is_unknown_and_says_so(tmp_path):
    answer = memory.probe(tmp_path, memory.read_meminfo(tmp_path), Limits())
    seen, problems = answer.value, answer.problems
    assert memory.read_meminfo(tmp_path) == Meminfo()
    assert (seen.total_bytes, seen.available_bytes) == (None, None)
    assert "total_bytes and available_bytes" in problems[0].what


@pytest.mark.parametrize(
    ("soft", "status", "uid_map", "expected"),
    [
        pytest.param("8388608", WITHOUT, FIRST_NAMESPACE, (8 * MIB, False), id="the default of 8 MiB"),
        pytest.param("unlimited", WITHOUT, FIRST_NAMESPACE, (None, True), id="LimitMEMLOCK=infinity"),
        pytest.param("8388608", WITH_IPC_LOCK, FIRST_NAMESPACE, (None, True), id="root passes any limit"),
        pytest.param(
            "8388608", WITH_IPC_LOCK, "0 1000 1\n", (8 * MIB, False), id="root of a rootless container"
        ),
    ],
)
def test_memlock(tmp_path, soft, status, uid_map, expected):
    files = {
        "limits": f"{LIMITS}{soft}              {soft}              bytes\n",
        "status": status,
        "uid_map": uid_map,
    }
    plant(tmp_path / "proc/self", files)
    assert memory.memlock(tmp_path) == expected


def test_memlock_that_cannot_be_read_is_unknown_and_not_unlimited(tmp_path):
    assert memory.memlock(tmp_path) == (None, False)
