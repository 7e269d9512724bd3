"""Lines for GPUs and the processes that use their memory; for NPUs and compute stacks."""

from collections.abc import Sequence

from domain.machine.accelerator import PcieLink, Peer, RuntimeDevice
from domain.machine.hardware import Gpu, Npu, Stacks
from domain.units import gb_per_s, gib


def gpu_lines(gpu: Gpu) -> list[str]:
    """The GPU, then the processes of others that hold its memory."""
    processes = [
        f"{process.name or 'a process'} (pid {process.pid}) holds {gib(process.memory_bytes)}"
        for process in gpu.tenants or ()
    ]
    return [", ".join([*_memory(gpu), *_identity(gpu), *_state(gpu), gpu.id]), *processes]


def set_aside_line(gpu: Gpu) -> str:
    return f"{gpu.name} ({gpu.id}): {gpu.set_aside}"


def npu_line(npu: Npu) -> str:
    firmware = f", firmware {npu.firmware}" if npu.firmware else ""
    return f"{npu.name} ({npu.id}){firmware}, unused: no supported engine runs on it"


def stacks_text(stacks: Stacks) -> str:
    """The versions of what is installed; "" for nothing."""
    versions = {
        "CUDA": stacks.cuda,
        "toolkit": stacks.cuda_toolkit,
        "ROCm": stacks.rocm,
        "Vulkan": _runtime(stacks.vulkan, stacks.vulkan_devices),
        "Level Zero": _runtime(stacks.level_zero, stacks.level_zero_devices),
        "amdgpu (DKMS)": stacks.amdgpu_dkms,
        "firmware": stacks.linux_firmware,
        "kernel": stacks.kernel,
    }
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def _runtime(version: str | None, devices: Sequence[RuntimeDevice]) -> str | None:
    return version if devices or version is None else f"{version} (no GPU)"


def _memory(gpu: Gpu) -> list[str]:
    words = [gpu.name, f"{gib(gpu.memory_free_bytes)} of {gib(gpu.memory_total_bytes)} free"]
    if gpu.memory_kind is not None:
        words.append(str(gpu.memory_kind))
    if gpu.bandwidth_bytes_per_s is not None:
        words.append(gb_per_s(gpu.bandwidth_bytes_per_s))
    return words


def _identity(gpu: Gpu) -> list[str]:
    words = [word for word in (gpu.arch, gpu.driver and f"driver {gpu.driver}") if word]
    words += [_link(gpu.link)] if gpu.link else []
    return words + [word for word in map(_peer, gpu.peers) if word]


def _state(gpu: Gpu) -> list[str]:
    words = ["asleep"] if gpu.asleep else []
    if gpu.temperature_c is not None:
        words.append(f"{gpu.temperature_c:.0f} °C")
    if gpu.power_w is not None or gpu.power_limit_w is not None:
        words.append(_power(gpu))
    if gpu.fan_rpm is not None:
        words.append(f"fan {gpu.fan_rpm} rpm")
    elif gpu.fan_percent is not None:
        words.append(f"fan {gpu.fan_percent:.0f} %")
    if gpu.throttled_by:
        words.append(f"throttled by {', '.join(gpu.throttled_by)}")
    if gpu.display_attached:
        words.append("display")
    return words


def _power(gpu: Gpu) -> str:
    """``"27 of 280 W (350 W by default)"``."""
    text = "?" if gpu.power_w is None else f"{gpu.power_w:.0f}"
    if gpu.power_limit_w is None:
        return f"{text} W"
    text += f" of {gpu.power_limit_w:.0f} W"
    if gpu.power_default_w is not None and gpu.power_default_w != gpu.power_limit_w:
        text += f" ({gpu.power_default_w:.0f} W by default)"
    return text


def _link(link: PcieLink) -> str:
    """``"PCIe 4.0 x4 of x16"``: highest generation of both ends, lanes in use, lanes of the card."""
    lanes = link.width_now or link.width_max
    text = f"PCIe {link.generation_max or '?'}.0 x{lanes or '?'}"
    if lanes and link.card_width and lanes < link.card_width:
        text += f" of x{link.card_width}"
    return f"external {text}" if link.external else text


def _peer(peer: Peer) -> str | None:
    if peer.nvlinks:
        return f"{peer.nvlinks} NVLinks to {peer.id}"
    return f"P2P with {peer.id}" if peer.p2p else None
