"""Who holds memory of a card: by the descriptors of processes, by KFD, and whose child a process is."""

import os
from pathlib import Path

import pytest

from domain.machine.accelerator import GpuProcess
from probes.gpus import drm_clients
from probes.gpus import processes as tenants
from probes.gpus.amd import kfd
from probes.gpus.amd.kfd import Node
from tests.rigs.trees import plant

MIB = 1024**2
SLOT = "0000:03:00.0"

# The form of amdgpu's fdinfo: Documentation/gpu/drm-usage-stats.rst and amdgpu-usage-stats of the kernel
AMDGPU = (
    "pos:\t0\nflags:\t02100002\nmnt_id:\t26\nino:\t571\ndrm-driver:\tamdgpu\ndrm-client-id:\t{client}\n"
    "drm-pdev:\t0000:03:00.0\npasid:\t32770\ndrm-total-vram:\t2100 MiB\ndrm-memory-vram:\t{vram} KiB\n"
    "drm-memory-gtt: \t{gtt} KiB\ndrm-memory-cpu: \t0 KiB\ndrm-engine-gfx:\t123456 ns\n"
)


def held(pid: int, number: int, text: str, target: str = "/dev/dri/renderD128"):
    return {f"proc/{pid}/fdinfo/{number}": text}, {f"proc/{pid}/fd/{number}": target}


def planted(root, *descriptors):
    for written, links in descriptors:
        plant(root, written, links)
    return root


def test_a_game_is_a_tenant_with_the_memory_of_all_its_clients(machine, see):
    root = planted(
        machine("rx-7900-xtx"),
        held(900, 5, AMDGPU.format(client=7, vram=6 * 1024**2, gtt=0)),
        held(900, 6, AMDGPU.format(client=7, vram=6 * 1024**2, gtt=0)),  # the same client, duplicated
        held(900, 9, AMDGPU.format(client=8, vram=1024, gtt=1024)),
        held(901, 3, "pos: 0\n", "/home/me/file"),
        held(902, 3, AMDGPU.format(client=9, vram=0, gtt=0)),
    )
    plant(root, {"proc/900/cmdline": "/games/doom\0", "proc/900/comm": "doom\n"})
    (gpu,) = see(root).gpus
    assert gpu.tenants == (GpuProcess(900, "doom", (6 * 1024 + 1) * MIB),), (
        "RAM that it mapped is none of the card's"
    )


def test_what_an_apu_has_mapped_is_its_memory(machine, see):
    text = AMDGPU.format(client=7, vram=1024, gtt=2048).replace(SLOT, "0000:c3:00.0")
    (gpu,) = see(planted(machine("strix-halo-128"), held(900, 5, text))).gpus
    assert gpu.tenants == (GpuProcess(900, None, 3 * MIB),)


def test_kfd_counts_what_nobody_else_may_look_into(machine, see):
    """Its files may be read by any user, the descriptors of another's process may not."""
    processes = "sys/class/kfd/kfd/proc"
    root = plant(
        machine("rx-7900-xtx"),
        {f"{processes}/4242/vram_21987": "9000000000\n", f"{processes}/4243/vram_1": "5\n"},
    )
    planted(root, held(4242, 5, AMDGPU.format(client=7, vram=1024, gtt=0)))
    (gpu,) = see(root).gpus
    assert gpu.tenants == (GpuProcess(4242, None, 9000000000),)


def test_a_card_that_nobody_uses_has_no_tenants_and_one_asleep_is_not_known(machine, see):
    root = machine("rx-7900-xtx")
    assert see(root).gpus[0].tenants == ()
    plant(root, {f"sys/bus/pci/devices/{SLOT}/power_state": "D3cold"})
    assert see(root).gpus[0].tenants is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("drm-pdev: 0000:03:00.0\ndrm-client-id: 1\ndrm-resident-vram0:\t12 MiB\n", 12 * MIB),  # xe
        ("drm-pdev: 0000:03:00.0\ndrm-client-id: 1\ndrm-resident-local0:\t4096\n", 4096),  # i915
        ("drm-pdev: 0000:03:00.0\ndrm-memory-vram: 9 KiB\ndrm-resident-vram: 9 KiB\n", 9 * 1024),  # both keys
        ("drm-pdev: 0000:03:00.0\ndrm-memory-vram: much KiB\n", 0),
        ("", 0),
    ],
)
def test_other_drivers_and_nonsense(text, size):
    assert drm_clients.parse(text)[2] == size


def test_without_a_card_that_counts_nothing_is_read(tmp_path, opened):
    plant(tmp_path, {"proc/1/cmdline": "init\0"})
    opened.clear()
    assert drm_clients.probe(tmp_path, ()) == {}
    assert [path for path in opened if str(tmp_path) in path] == []


def test_own_descriptors_are_read_from_the_real_kernel():
    """A process of this machine has no GPU open; its files must be walked without a hitch all the same."""
    assert drm_clients.probe(Path("/"), [SLOT]) == {SLOT: {}}


def test_a_worker_belongs_to_the_engine_that_started_it(tmp_path):
    plant(
        tmp_path,
        {
            "proc/30/stat": "30 (VLLM::Worker (0)) S 20 30 30 0",
            "proc/20/stat": "20 (VLLM::EngineCor) S 10 20 20 0",
            "proc/10/stat": "10 (vllm) S 1 10 10 0",
            "proc/40/stat": "40 (python3) S 1 40 40 0",
            "proc/50/stat": "torn",
        },
    )
    assert tenants.descends_from(tmp_path, 30, {10})
    assert tenants.descends_from(tmp_path, 10, {10})
    assert not any(tenants.descends_from(tmp_path, pid, {10}) for pid in (40, 50, 60))


def test_a_process_of_this_machine_belongs_to_its_parent():
    assert tenants.descends_from(Path("/"), os.getpid(), {os.getppid()})


@pytest.mark.parametrize(
    ("cmdline", "name"),
    [
        ("/usr/bin/python3.12\0-u\0/opt/ComfyUI/main.py\0--listen\0", "python3.12 ComfyUI/main.py"),
        ("python3\0-m\0vllm.entrypoints.openai.api_server\0--api-key\0x\0", "python3 vllm.entrypoints"),
        ("/usr/local/bin/llama-server\0--api-key\0secret\0", "llama-server"),
        ("python3\0-c\0import secrets; key = 'x'\0", "python3"),
        ("python3\0", "python3"),
    ],
)
def test_of_a_command_line_the_program_is_told_and_no_secret(tmp_path, cmdline, name):
    plant(tmp_path, {"proc/5/cmdline": cmdline})
    provenance = tenants.program_name(tmp_path, 5)
    assert provenance is not None
    assert provenance.startswith(name)
    assert "secret" not in provenance


def test_kfd_s_nonsense_is_nobody(tmp_path):
    plant(tmp_path, {"sys/class/kfd/kfd/proc/x/vram_1": "5", "sys/class/kfd/kfd/proc/7/vram_1": "-3"})
    assert kfd.process_memory(tmp_path, Node(SLOT, gpu_id=1)) == {}
