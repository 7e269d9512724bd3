"""GPUs that sleep, as laptops' do by default: what they have is known without waking them, or unknown."""

import pytest

from config.data import known_gpus
from domain.machine.hardware import MemoryKind
from domain.units import GIB
from probes import snapshot
from probes.context import ProbeState
from tests.rigs.trees import plant

CARD = "sys/bus/pci/devices/0000:03:00.0"
NODE = "sys/class/kfd/kfd/topology/nodes/1"
# The RX 7600 XT of ROCm/rocm-systems#8024
KFD = {
    f"{NODE}/gpu_id": "12345",
    f"{NODE}/properties": "cpu_cores_count 0\nsimd_count 64\nsimd_per_cu 2\ngfx_target_version 110002\n"
    "location_id 768\ndomain 0\n",
    f"{NODE}/mem_banks/0/properties": "heap_type 1\nsize_in_bytes 17163091968\nwidth 128\nmem_clk_max 1124\n",
}


def sleeping(tmp_path, vendor, device, revision, driver):
    files = {"vendor": vendor, "device": device, "revision": revision, "class": "0x030000"}
    files |= {"power/runtime_status": "suspended", "power_state": "D3hot"}
    link = {f"{CARD}/driver": f"../../../bus/pci/drivers/{driver}"}
    return plant(tmp_path, {f"{CARD}/{name}": text for name, text in files.items()}, link)


@pytest.mark.parametrize(
    ("pci", "name", "memory_gib"),
    [
        (("0x10de", "0x28e0", "0xa1", "nvidia"), "NVIDIA GeForce RTX 4060 Laptop GPU", 8),
        (("0x10de", "0x2c58", "0xa1", "nvidia"), "NVIDIA GeForce RTX 5090 Laptop GPU", 24),
        (("0x10de", "0x249c", "0xa1", "nvidia"), "NVIDIA GeForce RTX 3080 Laptop GPU 16GB or 8GB", None),
        (("0x1002", "0x7480", "0xc0", "amdgpu"), "AMD Radeon RX 7600 XT", 16),
        (("0x1002", "0x7480", "0xcf", "amdgpu"), "AMD Radeon RX 7600", 8),
        (("0x1002", "0x7590", "0xc0", "amdgpu"), "AMD Radeon RX 9060 XT 16GB or 8GB", None),
        (("0x1002", "0x9999", "0xc0", "amdgpu"), "amd 1002:9999", None),
    ],
)  # fmt: skip
def test_the_table_knows_what_sleeps_and_never_assumes_the_larger_size(
    tmp_path, see_known, pci, name, memory_gib
):
    (gpu,) = see_known(sleeping(tmp_path, *pci)).gpus
    assert (gpu.name, gpu.asleep) == (name, True)
    assert gpu.memory_total_bytes == (None if memory_gib is None else memory_gib * GIB)


@pytest.mark.parametrize("device", ["0x7480", "0x7999"], ids=["in the table", "unknown to it"])
def test_kfd_tells_the_memory_of_a_card_that_sleeps(tmp_path, see_known, device):
    (gpu,) = see_known(plant(sleeping(tmp_path, "0x1002", device, "0xc0", "amdgpu"), KFD)).gpus
    assert (gpu.memory_total_bytes, gpu.memory_kind) == (17163091968, MemoryKind.DEDICATED)
    assert (gpu.arch, gpu.compute_units, gpu.is_integrated) == ("gfx1102", 32, False)
    assert gpu.memory_free_bytes is None


def test_a_card_that_the_table_knows_is_dedicated_without_the_files_of_newer_kernels(tmp_path, see_known):
    root = sleeping(tmp_path, "0x1002", "0x7550", "0xc0", "amdgpu")
    plant(
        root,
        {f"{CARD}/power/runtime_status": "active", f"{CARD}/power_state": "D0", "dev/dri/renderD128": ""},
    )
    plant(root, {f"{CARD}/mem_info_vram_total": "17095983104", f"{CARD}/mem_info_gtt_total": "16000000000"})
    (gpu,) = see_known(root).gpus
    assert (gpu.name, gpu.memory_kind) == ("AMD Radeon RX 9070 XT", MemoryKind.DEDICATED)
    assert (gpu.memory_total_bytes, gpu.is_integrated) == (17095983104, False)


def test_a_wake_reads_the_memory_and_the_next_snapshot_remembers_it(tmp_path, opened):
    root = sleeping(tmp_path, "0x1002", "0x7590", "0xc0", "amdgpu")
    plant(
        root, {f"{CARD}/drm/renderD128/dev": "", "dev/dri/renderD128": "", f"{CARD}/board_info": "type : cem"}
    )
    plant(root, {f"{CARD}/mem_info_vram_total": "8573157376", f"{CARD}/mem_info_vram_used": "73157376"})
    opened.clear()
    state = ProbeState()

    def see(*, wake: bool):
        (gpu,) = snapshot.probe(
            root=root, models_dir=root, known_gpus=known_gpus(), state=state, wake=wake
        ).gpus
        return gpu

    assert see(wake=False).memory_total_bytes is None
    assert str(root / "dev/dri/renderD128") not in opened, "nothing is woken unasked"
    awake = see(wake=True)
    assert str(root / "dev/dri/renderD128") in opened
    assert (awake.name, awake.asleep) == ("AMD Radeon RX 9060 XT 8GB", False)
    assert (awake.memory_total_bytes, awake.memory_free_bytes) == (8573157376, 8500000000)
    asleep = see(wake=False)
    assert (asleep.asleep, asleep.memory_total_bytes, asleep.memory_free_bytes) == (True, 8573157376, None)


def test_a_card_that_can_not_be_woken_stays_asleep(tmp_path):
    root = sleeping(tmp_path, "0x1002", "0x7590", "0xc0", "amdgpu")
    plant(root, {f"{CARD}/drm/renderD128/dev": ""})  # and no node below /dev
    (gpu,) = snapshot.probe(root=root, models_dir=root, known_gpus=known_gpus(), wake=True).gpus
    assert (gpu.asleep, gpu.memory_total_bytes) == (True, None)
