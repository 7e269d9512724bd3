"""AMD GPUs: cards, APUs with their two pools, and what may not be touched or read."""

import pytest

from domain.machine.hardware import BandwidthSource, MemoryKind, ProblemKind
from probes.gpus.amd import kfd
from tests.probes.conftest import unprivileged
from tests.rigs.trees import plant

GIB = 1024**3
HALO = "sys/bus/pci/devices/0000:c3:00.0"
XTX = "sys/bus/pci/devices/0000:03:00.0"
KFD = "sys/class/kfd/kfd/topology/nodes/1"
PAGES = "sys/module/ttm/parameters/pages_limit"
BANK = f"{KFD}/mem_banks/0/properties"


def test_strix_halo_with_default_settings(machine, see):
    hardware = see(machine("strix-halo-128"))
    (gpu,) = hardware.gpus
    assert (gpu.id, gpu.name, gpu.arch) == ("pci:0000:c3:00.0", "AMD Radeon 8060S", "gfx1151")
    assert (gpu.vendor, gpu.driver) == ("amd", "amdgpu 6.16.6")
    assert (gpu.memory_kind, gpu.memory_total_bytes) == (MemoryKind.UNIFIED, 67077001216)
    assert gpu.memory_free_bytes == 67077001216 - 25165824
    assert (gpu.bandwidth_bytes_per_s, gpu.bandwidth_source) == (256e9, BandwidthSource.PEAK)
    assert (hardware.memory.bandwidth_bytes_per_s, hardware.memory.bandwidth_source) == (
        256e9,
        BandwidthSource.PEAK,
    )
    assert (gpu.temperature_c, gpu.power_w, gpu.pcie_bytes_per_s) == (38, 11.023, None)
    assert hardware.problems == ()


def test_strix_point_shares_ram_that_others_use(machine, see):
    (gpu,) = see(machine("strix-point-apu")).gpus
    assert (gpu.arch, gpu.memory_kind, gpu.memory_total_bytes) == ("gfx1150", MemoryKind.UNIFIED, 16441004032)
    assert gpu.memory_free_bytes == 8 * GIB, "MemAvailable is less than GTT has left"
    assert gpu.bandwidth_bytes_per_s == 128e9, "8000 MT/s x 128 bit / 8, from KFD's two banks"


def halo(root, *, vram, gtt, bank, pages=None, ram_gib=None, available_gib=None):
    """A Strix Halo of the same board with other settings of BIOS and kernel."""
    files = {f"{HALO}/mem_info_vram_total": str(vram), f"{HALO}/mem_info_gtt_total": str(gtt)}
    if bank is None:
        (root / BANK).unlink()
    else:
        files[BANK] = f"heap_type 1\nsize_in_bytes {bank}\nflags 0\nwidth 256\nmem_clk_max 1000\n"
    if pages:
        files[PAGES] = str(pages)
    if ram_gib:
        ram, free = int(ram_gib * 1024**2), int((available_gib or ram_gib) * 1024**2)
        files["proc/meminfo"] = f"MemTotal: {ram} kB\nMemAvailable: {free} kB\n"
    return plant(root, files)


# github.com/ROCm/ROCm/issues/5444, github.com/antirez/ds4/issues/475, github.com/noamsto/nix-amd-ai/issues/42
CASES = [
    pytest.param(
        {"vram": 4 * GIB, "gtt": 96 * GIB, "bank": 96 * GIB, "pages": 25165824},
        96 * GIB,
        96 * GIB - 25165824,
        "",
        id="pages_limit of 96 GiB",
    ),
    pytest.param(
        {"vram": 96 * GIB, "gtt": 115 * GIB, "bank": 16364285952, "pages": 3995187, "ram_gib": 30},
        16364285952,
        16364285952 - 25165824,
        "carve-out of 96.0 GiB is unused",
        id="GTT larger than the carve-out: the carve-out is unused",
    ),
    pytest.param(
        {"vram": 96 * GIB, "gtt": 15860 * 1024**2, "bank": 96 * GIB, "ram_gib": 31, "available_gib": 20},
        96 * GIB,
        96 * GIB - 168820736,
        "",
        id="carve-out larger than GTT: its free bytes are not RAM's",
    ),
    pytest.param(
        {"vram": 96 * GIB, "gtt": 115 * GIB, "bank": 100663296000, "pages": 24576000, "ram_gib": 30},
        100663296000,
        30 * GIB,
        "filling it ends in an OOM kill",
        id="a total that is a fiction: free is the RAM there is",
    ),
    pytest.param(
        {"vram": GIB // 2, "gtt": 115 * GIB, "bank": None, "pages": 24576000},
        100663296000,
        100663296000 - 25165824,
        "",
        id="no KFD: GTT, and of it what TTM hands out",
    ),
    pytest.param(
        {"vram": 96 * GIB, "gtt": 15860 * 1024**2, "bank": None, "ram_gib": 31},
        96 * GIB,
        96 * GIB - 168820736,
        "",
        id="no KFD: the carve-out where it is the larger one",
    ),
]


@pytest.mark.parametrize(("settings", "total", "free", "problem"), CASES)
def test_the_pool_of_an_apu(machine, see, settings, total, free, problem):
    hardware = see(halo(machine("strix-halo-128"), **settings))
    (gpu,) = hardware.gpus
    assert (gpu.memory_total_bytes, gpu.memory_free_bytes) == (total, free)
    assert problem in " ".join(found.what for found in hardware.problems)
    assert {found.trouble for found in hardware.problems} == (
        {ProblemKind.SHARED_MEMORY} if problem else set()
    )


@pytest.mark.parametrize(
    ("version", "name"), [(110501, "gfx1151"), (90402, "gfx942"), (90010, "gfx90a"), (120001, "gfx1201")]
)
def test_steppings_are_hexadecimal(version, name):
    assert kfd.gfx_name(version) == name


def test_four_mi300a_share_a_location_and_differ_by_domain():
    assert [kfd.pci_slot(domain, 512) for domain in (0, 3)] == ["0000:02:00.0", "0003:02:00.0"]


def test_7900_xtx(machine, see):
    hardware = see(machine("rx-7900-xtx"))
    (gpu,) = hardware.gpus
    assert (gpu.id, gpu.name) == ("pci:0000:03:00.0", "AMD Radeon RX 7900 XTX")
    assert (gpu.memory_kind, gpu.memory_total_bytes) == (MemoryKind.DEDICATED, 25753026560)
    assert gpu.memory_free_bytes == 25753026560 - GIB
    assert (gpu.arch, gpu.driver, gpu.bandwidth_bytes_per_s) == ("gfx1100", "amdgpu 6.18.9", 960e9)
    assert gpu.pcie_bytes_per_s == pytest.approx(31.5e9, rel=1e-3)
    assert (gpu.temperature_c, gpu.power_w, gpu.display_attached) == (53, 68, True)


def test_two_cards_alike_keep_their_places_whatever_their_numbers(machine, see):
    """The first on the bus is card1 and renderD128 (a detector's dump of two RX 7800 XT)."""
    first, second = see(machine("rx-7800-xt-dual")).gpus
    assert (first.id, first.power_limit_w, first.temperature_c) == ("pci:0000:04:00.0", 236, 43)
    assert (second.id, second.power_limit_w, second.temperature_c) == ("pci:0000:07:00.0", 212, 44)
    assert first.uuid != second.uuid


def test_a_card_without_a_row_gets_its_bandwidth_from_kfd(machine, see):
    (gpu,) = see(plant(machine("rx-7900-xtx"), {f"{XTX}/device": "0x7777"})).gpus
    assert gpu.name == "amd 1002:7777"
    assert gpu.bandwidth_bytes_per_s == pytest.approx(959.2e9, rel=1e-3)


def test_kfd_that_denies_is_a_problem_and_no_absence(machine, see):
    """As in a unit with DeviceAllow=: the files open, and answer with a permission error."""
    root = machine("strix-halo-128")
    for name in ("gpu_id", "properties"):
        (root / KFD / name).unlink()
        (root / KFD / name).symlink_to("/proc/self/stack")
    hardware = unprivileged(lambda: see(root))
    (gpu,) = hardware.gpus
    assert gpu.memory_total_bytes == 67077001216, "by the kernel's rule, from sysfs"
    (problem,) = hardware.problems
    assert (problem.source, "hidden from this process" in problem.what) == ("kfd", True)
    assert "DeviceAllow=char-kfd" in problem.hint
    assert problem.trouble is ProblemKind.HIDDEN


def test_kfd_files_of_another_owner_are_a_problem(machine, see):
    root = machine("strix-halo-128")
    (root / KFD / "gpu_id").chmod(0)
    assert [problem.source for problem in unprivileged(lambda: see(root)).problems] == ["kfd"]


def test_a_user_outside_the_render_group_is_told(machine, see):
    root = plant(machine("strix-halo-128"), {"dev/kfd": "", "dev/dri/renderD128": "", "dev/dri/card1": ""})
    for node in ("dev/kfd", "dev/dri/renderD128", "dev/dri/card1"):
        (root / node).chmod(0)
    hardware = unprivileged(lambda: see(root))
    assert len(hardware.gpus) == 1
    assert hardware.problems[0].what.endswith("may not open /dev/kfd, /dev/dri/renderD128")
    assert "usermod -aG render" in hardware.problems[0].hint
    assert hardware.problems[0].trouble is ProblemKind.CLOSED


def test_the_display_output_of_a_desktop_ryzen_is_set_aside(machine, see):
    """It has 2 CUs; rocm-smi shows it as a second GPU (seen with 2 GiB beside a 7900 XTX)."""
    igpu = "sys/bus/pci/devices/0000:11:00.0"
    root = plant(
        machine("rx-7900-xtx"),
        {f"{igpu}/class": "0x030000", f"{igpu}/vendor": "0x1002", f"{igpu}/device": "0x164e"},
        {f"{igpu}/driver": "../../../../bus/pci/drivers/amdgpu"},
    )
    assert [gpu.name for gpu in see(root).gpus] == ["AMD Radeon RX 7900 XTX"]
    node = "sys/class/kfd/kfd/topology/nodes/2"
    properties = "simd_count 4\nsimd_per_cu 2\ngfx_target_version 100306\nlocation_id 4352\ndomain 0\n"
    plant(root, {f"{igpu}/device": "0x9999", f"{node}/gpu_id": "1", f"{node}/properties": properties})
    assert [gpu.name for gpu in see(root).gpus] == ["AMD Radeon RX 7900 XTX"]


@pytest.mark.parametrize(
    ("name", "content"), [("power/runtime_status", "suspended"), ("power_state", "D3cold")]
)
def test_a_suspended_card_is_not_touched(machine, see, opened, name, content):
    root = plant(machine("rx-7900-xtx"), {f"{XTX}/{name}": content, f"{XTX}/revision": "0xc8"})
    opened.clear()
    (gpu,) = see(root).gpus
    assert (gpu.name, gpu.arch, gpu.memory_total_bytes) == ("AMD Radeon RX 7900 XTX", "gfx1100", 25753026560)
    assert (gpu.memory_free_bytes, gpu.temperature_c, gpu.power_w) == (None, None, None)
    touched = {path.removeprefix(f"{root / XTX}/") for path in opened if path.startswith(f"{root / XTX}/")}
    assert touched <= {"class", "vendor", "device", "revision", "power/runtime_status", "power_state"}
    assert not [path for path in opened if "hwmon8/temp" in path]


def test_an_apu_that_does_not_tell_what_is_used_has_what_is_available_at_most(machine, see):
    root = machine("strix-halo-128")
    (root / HALO / "mem_info_gtt_used").unlink()
    assert see(root).gpus[0].memory_free_bytes == see(root).gpus[0].memory_total_bytes
    plant(root, {"proc/meminfo": "MemTotal: 131009772 kB\n"})
    assert see(root).gpus[0].memory_free_bytes is None, "nor what is available: unknown"
