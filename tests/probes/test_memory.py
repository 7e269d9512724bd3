"""RAM, huge pages and the right to lock memory."""

import pytest

from domain.machine.hardware import BandwidthSource
from probes.memo import Memo
from probes.memory import ram
from probes.memory.cgroup import Limits
from probes.memory.ram import Meminfo
from probes.system import setup
from tests.rigs.trees import plant

MIB = 1024**2
LIMITS = "Limit                     Soft Limit           Hard Limit\nMax locked memory         "
FIRST_NAMESPACE = "         0          0 4294967295\n"
WITH_IPC_LOCK, WITHOUT = "CapEff:\t000001ffffffffff\n", "CapEff:\t00000000a80425fb\n"


def test_ram_of_a_dgx_spark(machine):
    root = machine("dgx-spark")
    reading = ram.probe(root, ram.read_meminfo(root), Limits(64 * MIB, 32 * MIB), Memo())
    memory, problems = reading.value, reading.problems
    assert (memory.total_bytes, memory.available_bytes) == (125508468 * 1024, 121737812 * 1024)
    assert (memory.swap_total_bytes, memory.swap_free_bytes) == (16777212 * 1024, 16541600 * 1024)
    assert (memory.cgroup_limit_bytes, memory.cgroup_available_bytes) == (64 * MIB, 32 * MIB)
    assert (memory.memlock_limit_bytes, memory.memlock_unlimited) == (8 * MIB, False)
    assert (memory.bandwidth_bytes_per_s, problems) == (None, ())


def test_lxc_never_has_more_available_than_there_is():
    assert ram.parse_meminfo("MemTotal: 100 kB\nMemAvailable: 900 kB\n").available_bytes == 100 * 1024


# TrueNAS with 62.7 GiB, 41.0 GiB of them in the ARC: ollama/ollama#5700, openzfs/zfs#10255
TRUENAS = {
    "proc/meminfo": "MemTotal: 65745000 kB\nMemAvailable: 9800000 kB\nAnonPages: 9000000 kB\nShmem: 1000 kB\n"
    "Cached: 2000000 kB\nBuffers: 10 kB\nSUnreclaim: 900000 kB\n",
    "proc/spl/kstat/zfs/arcstats": "13 1 0x01 147 39984 3968018600 1234567890\n"
    "name                            type data\nsize                            4    44023414784\n"
    "c                               4    44023414784\nc_min                           4    2102394880\n",
}


def test_what_zfs_gives_back_is_available(tmp_path):
    plant(tmp_path, TRUENAS)
    reading = ram.probe(tmp_path, ram.read_meminfo(tmp_path), Limits(), Memo())
    assert reading.value.arc_reclaimable_bytes == 44023414784 - 2102394880
    assert reading.value.available_bytes == 9800000 * 1024 + 44023414784 - 2102394880
    assert "ZFS" in reading.provenance["available_bytes"].note


def test_the_arc_of_the_host_is_not_that_of_its_container(tmp_path):
    mount = "9 1 0:9 /proc/meminfo /proc/meminfo rw - fuse.lxcfs lxcfs rw\n"
    plant(tmp_path, {**TRUENAS, "proc/self/mountinfo": mount})
    meminfo = ram.read_meminfo(tmp_path)
    assert (meminfo.available_bytes, meminfo.arc_reclaimable_bytes) == (9800000 * 1024, None)


@pytest.mark.parametrize("text", ["", "size 4 x\nc_min 4 1\n", "size 4 -5\nc_min 4 1\n", "c_min 4 1\n"])
def test_counters_of_zfs_that_say_nothing_change_nothing(tmp_path, text):
    plant(tmp_path, {**TRUENAS, "proc/spl/kstat/zfs/arcstats": text})
    assert ram.read_meminfo(tmp_path).available_bytes == 9800000 * 1024


def test_an_arc_larger_than_the_ram_gives_no_more_than_there_is(tmp_path):
    plant(tmp_path, {**TRUENAS, "proc/spl/kstat/zfs/arcstats": f"size 4 {2**60}\nc_min 4 0\n"})
    meminfo = ram.read_meminfo(tmp_path)
    assert meminfo.available_bytes == meminfo.total_bytes


def test_where_the_ram_is(tmp_path):
    plant(tmp_path, TRUENAS)
    assert [(use.name, use.size_bytes) for use in setup.probe(tmp_path).memory_uses] == [
        ("ZFS's cache (ARC)", 44023414784),
        ("programs", 9000000 * 1024),
        ("file cache", 1999010 * 1024),
        ("the kernel", 900000 * 1024),
        ("shared memory and tmpfs", 1000 * 1024),
    ]


def test_reserved_huge_pages_are_what_a_unified_gpu_gets():
    sizes = "MemTotal: 90000 kB\nMemAvailable: 9000 kB\n"
    text = f"{sizes}HugePages_Total: 20\nHugePages_Free: 15\nHugepagesize: 2048 kB\n"
    assert ram.parse_meminfo(text).unified_free_bytes == 15 * 2 * MIB
    assert ram.parse_meminfo(text.replace(" 20", " 0")).unified_free_bytes == 9000 * 1024


def test_reserved_huge_pages_are_shown_and_gone_from_what_is_available(machine):
    root = machine("dgx-spark")
    pages = "HugePages_Total: 4096\nHugePages_Free: 4000\nHugepagesize: 2048 kB\n"
    plant(root, {"proc/meminfo": f"MemTotal: 90000 kB\nMemAvailable: 9000 kB\n{pages}"})
    memory = ram.probe(root, ram.read_meminfo(root), Limits(), Memo()).value
    assert (memory.hugepages_total_bytes, memory.hugepages_free_bytes) == (8192 * MIB, 8000 * MIB)
    assert memory.available_bytes == 9000 * 1024


def test_swap_of_a_disk_and_swap_in_ram_are_kept_apart(tmp_path):
    table = (
        "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition 4096 1024 100\n"
        "/swap\\040file file 8192 8192 -2\n/dev/sda3 partition 1024 0 -3\nnonsense\n/x file y z -1\n"
    )
    plant(tmp_path, {"proc/swaps": table, "proc/meminfo": "SwapTotal: 13312 kB\nSwapFree: 4096 kB\n"})
    memory = ram.probe(tmp_path, ram.read_meminfo(tmp_path), Limits(), Memo()).value
    assert (memory.swap_total_bytes, memory.swap_free_bytes) == (9216 * 1024, 1024 * 1024)
    assert (memory.zram_total_bytes, memory.zram_free_bytes) == (4096 * 1024, 3072 * 1024)


def test_the_limit_of_locked_memory_names_the_unit_whose_engines_inherit_it(tmp_path):
    plant(tmp_path, {"proc/self/cgroup": "0::/system.slice/node-daemon.service"})
    plant(tmp_path, {"proc/self/limits": f"{LIMITS}8388608   8388608   bytes\n"})
    reading = ram.probe(tmp_path, ram.read_meminfo(tmp_path), Limits(), Memo())
    provenance = reading.sources("memory")["memory.memlock_limit_bytes"]
    assert provenance.note == "of node-daemon.service, whose engines inherit it"
    plant(tmp_path, {"proc/self/cgroup": "0::/user.slice"})
    assert ram.systemd_unit(tmp_path) == "this daemon"


def test_modules_give_what_is_installed_and_a_peak(tmp_path):
    copy = "E:MEMORY_DEVICE_{0}_SIZE=17179869184\nE:MEMORY_DEVICE_{0}_DATA_WIDTH=64\n"
    copy += "E:MEMORY_DEVICE_{0}_CONFIGURED_SPEED_MTS=3200\nE:MEMORY_DEVICE_{0}_LOCATOR=DIMM_{1}1\n"
    plant(tmp_path, {"run/udev/data/+dmi:id": copy.format(0, "A") + copy.format(1, "B")})
    memory = ram.probe(tmp_path, Meminfo(), Limits(), Memo()).value
    assert (memory.installed_bytes, memory.bus_bits) == (32768 * MIB, 128)
    assert (memory.peak_bandwidth_bytes_per_s, memory.bandwidth_source) == (51.2e9, BandwidthSource.PEAK)


def test_without_meminfo_ram_is_unknown_and_says_so(tmp_path):
    reading = ram.probe(tmp_path, ram.read_meminfo(tmp_path), Limits(), Memo())
    memory, problems = reading.value, reading.problems
    assert ram.read_meminfo(tmp_path) == Meminfo()
    assert (memory.total_bytes, memory.available_bytes) == (None, None)
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
    assert ram.memlock_limit(tmp_path) == expected


def test_memlock_that_cannot_be_read_is_unknown_and_not_unlimited(tmp_path):
    assert ram.memlock_limit(tmp_path) == (None, False)
