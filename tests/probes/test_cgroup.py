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
    plant(tmp_path, {"proc/self/cgroup": f"0::{path}", f"{V2}/memory.max": f"{64 * MIB}"})
    assert cgroup.probe(tmp_path).memory_limit_bytes == 64 * MIB
