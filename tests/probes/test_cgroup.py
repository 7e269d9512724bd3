"""Limits of nested control groups: the tightest one above counts, not the process's own."""

import pytest

from probes.memory import cgroup
from tests.rigs.trees import plant

MIB = 1024**2
V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"
NONE_V1 = "9223372036854771712"


def test_a_limit_two_slices_above_is_found(tmp_path):
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-1.scope",
            f"{V2}/user.slice/memory.max": "max",
            f"{V2}/user.slice/cpu.max": "150000 100000",
            f"{V2}/user.slice/user-1000.slice/memory.max": f"{8192 * MIB}",
            f"{V2}/user.slice/user-1000.slice/memory.high": f"{6144 * MIB}",
            f"{V2}/user.slice/user-1000.slice/memory.current": f"{5120 * MIB}",
            f"{V2}/user.slice/user-1000.slice/memory.stat": f"anon 1\ninactive_file {3072 * MIB}\n",
            f"{V2}/user.slice/user-1000.slice/session-1.scope/memory.max": "max",
            f"{V2}/user.slice/user-1000.slice/session-1.scope/cpu.max": "max 100000",
        },
    )
    assert cgroup.probe(tmp_path) == cgroup.Limits(6144 * MIB, 4096 * MIB, 1.5)


def test_headroom_is_the_least_of_all_groups_not_that_of_the_tightest(tmp_path):
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b",
            f"{V2}/a/memory.max": f"{1000 * MIB}",
            f"{V2}/a/memory.current": f"{990 * MIB}",
            f"{V2}/a/b/memory.max": f"{500 * MIB}",
            f"{V2}/a/b/memory.current": f"{100 * MIB}",
        },
    )
    assert cgroup.probe(tmp_path) == cgroup.Limits(500 * MIB, 10 * MIB, None)


def test_version_1_is_walked_up_too(tmp_path):
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/boxes/one\n2:cpu,cpuacct:/boxes/one\n1:name=systemd:/",
            "proc/self/mountinfo": (
                "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
            ),
            f"{V1}/memory.limit_in_bytes": NONE_V1,
            f"{V1}/boxes/memory.limit_in_bytes": f"{2048 * MIB}",
            f"{V1}/boxes/memory.usage_in_bytes": f"{2000 * MIB}",
            f"{V1}/boxes/memory.stat": f"inactive_file 0\ntotal_inactive_file {500 * MIB}\n",
            f"{V1}/boxes/one/memory.limit_in_bytes": NONE_V1,
            "sys/fs/cgroup/cpu,cpuacct/boxes/one/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu,cpuacct/boxes/one/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu,cpuacct/boxes/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu,cpuacct/boxes/cpu.cfs_period_us": "100000",
        },
    )
    assert cgroup.probe(tmp_path) == cgroup.Limits(2048 * MIB, 548 * MIB, 0.5)


def test_a_container_sees_its_own_group_as_the_top_of_the_mount(tmp_path):
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/abc",
            "proc/self/mountinfo": "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup c rw,memory\n",
            f"{V1}/memory.limit_in_bytes": f"{64 * MIB}",
            f"{V1}/memory.usage_in_bytes": f"{4 * MIB}",
        },
    )
    assert cgroup.probe(tmp_path) == cgroup.Limits(64 * MIB, 60 * MIB, None)


def test_no_limit_anywhere_is_unknown_not_zero(machine):
    assert cgroup.probe(machine("dgx-spark")) == cgroup.Limits(None, None, None)


def test_a_limit_without_a_usage_has_no_known_headroom(tmp_path):
    plant(tmp_path, {"proc/self/cgroup": "0::/a", f"{V2}/a/memory.max": f"{64 * MIB}"})
    assert cgroup.probe(tmp_path) == cgroup.Limits(64 * MIB, None, None)


@pytest.mark.parametrize("path", ["/../../etc", "/..", "/a/../../../../x"])
def test_a_group_outside_of_the_namespace_stays_below_the_mount(tmp_path, path):
    outside = {f"sys/{name}/memory.max": f"{MIB}" for name in (".", "fs", "etc", "x")}
    plant(tmp_path, {"proc/self/cgroup": f"0::{path}", f"{V2}/memory.max": f"{64 * MIB}", **outside})
    assert cgroup.probe(tmp_path).memory_limit_bytes == 64 * MIB


def test_version_1_without_a_limit_has_none_and_unknown_headroom(tmp_path):
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/box\n2:cpu:/box",
            f"{V1}/memory.limit_in_bytes": NONE_V1,
            f"{V1}/box/memory.limit_in_bytes": NONE_V1,
            f"{V1}/box/memory.usage_in_bytes": f"{MIB}",
            "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
        },
    )
    assert cgroup.probe(tmp_path) == cgroup.Limits(None, None, None)


def test_without_mountinfo_both_versions_are_looked_for_where_systemd_mounts_them(tmp_path):
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/box\n2:cpu:/box\n0::/box",
            f"{V1}/box/memory.limit_in_bytes": f"{64 * MIB}",
            "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
            f"{V2}/box/memory.max": f"{32 * MIB}",
        },
    )
    assert cgroup.probe(tmp_path) == cgroup.Limits(32 * MIB, None, 0.5)


def test_usage_over_the_limit_leaves_nothing_and_cached_files_leave_no_more_than_the_limit(tmp_path):
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a",
            f"{V2}/a/memory.max": f"{64 * MIB}",
            f"{V2}/a/memory.current": f"{80 * MIB}",
        },
    )
    assert cgroup.probe(tmp_path).memory_available_bytes == 0
    plant(tmp_path, {f"{V2}/a/memory.stat": f"inactive_file {90 * MIB}"})
    assert cgroup.probe(tmp_path).memory_available_bytes == 64 * MIB


def test_only_mounts_of_control_groups_count(tmp_path):
    """Version 1 stands on a tmpfs, which may be called anything; a cut line is none."""
    text = (
        "25 30 0:23 / /sys/fs/cgroup ro - tmpfs cgroup ro,mode=755\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup none rw,memory\n"
        "36 31 0:33 /box /sys/fs/cgroup/unified rw - cgroup2 none rw\n"
        "37 31 0:34 / /cut - cgroup2 none rw\n"
        "38 31 0:35 / /sys/fs/cgroup/cut rw - \n"
        "39 31 0:36 / /sys/fs/cgroup/cut rw cgroup2 none rw\n"
    )
    memory, unified = cgroup.parse_mounts(text)
    assert (memory.point, memory.root_group, memory.version) == ("/sys/fs/cgroup/memory", "/", 1)
    assert "memory" in memory.controllers
    assert unified == cgroup.Mount("/sys/fs/cgroup/unified", "/box", 2, frozenset())


@pytest.mark.parametrize("group", ["/docker/abc2", "/docker", "/other"])
def test_a_group_that_is_not_below_that_of_the_container_is_read_at_its_top(tmp_path, group):
    plant(
        tmp_path,
        {
            "proc/self/cgroup": f"0::{group}",
            "proc/self/mountinfo": "35 31 0:32 /docker/abc /sys/fs/cgroup ro - cgroup2 c rw\n",
            f"{V2}/memory.max": f"{64 * MIB}",
            f"{V2}/2/memory.max": f"{MIB}",
            f"{V2}/docker/memory.max": f"{MIB}",
            f"{V2}/other/memory.max": f"{MIB}",
        },
    )
    assert cgroup.probe(tmp_path).memory_limit_bytes == 64 * MIB


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("150000 100000", 1.5),
        ("1000 1000000", 0.001),
        ("max 100000", None),
        ("0 100000", None),
        ("-1 100000", None),
        ("100000 0", None),
        ("100000 -1", None),
        ("100000", None),
        ("", None),
    ],
)
def test_a_quota_that_is_none_is_unknown(text, cpus):
    assert cgroup.parse_cpu_max(text) == cpus
