"""Seconds until a llama-server has its weights: from the disk, and from the page cache.

Source: llama.cpp ``llama_mmap`` (a mapped file is populated as a whole, then copied to the GPUs) and
``llama_model_loader::load_all_data`` (without mapping, reads and copies overlap).
"""

from domain.machine.hardware import Hardware
from domain.models.model import ModelShape
from planner.llama_cpp.placement import HOST_ID, Placement
from planner.machine.devices import METAL, Device
from planner.machine.efficiency import PCIE_SHARE_OF_PEAK

# From the start of the process until it listens, without weights: 0.3 s with SmolLM2-135M on two virtual
# cores (README.md); a driver's context takes about half a second more.
PROCESS_START_S = 0.3
DRIVER_CONTEXT_S = 0.5
# Weights from the page cache to a GPU, by one thread that also faults the pages in: Mixtral 8x7B in 5.4 s
# onto an A100, in 4.4 s onto an H100 (tests/captures/bench.json, rows 602 and 603).
UPLOAD_BYTES_PER_S = 7.5e9
COPY_BYTES_PER_S = 8e9  # from the page cache to the engine's own memory, one thread


def load_s(
    shape: ModelShape, placement: Placement, hardware: Hardware, load_mode: str | None
) -> tuple[float | None, float]:
    """From the disk (``None`` if its rate is not known) and from the page cache."""
    is_mapped = "mmap" in (load_mode or "mmap")
    upload_s = sum(
        _upload_s(device, placement.weights.get(number, 0)) for number, device in enumerate(placement.devices)
    )
    start_s = PROCESS_START_S + (DRIVER_CONTEXT_S if upload_s else 0.0)
    copy_s = 0.0 if is_mapped else placement.weights.get(HOST_ID, 0) / COPY_BYTES_PER_S
    warm_s = start_s + upload_s + copy_s
    disk_bytes_per_s = None if hardware.storage is None else hardware.storage.read_bytes_per_s
    if not disk_bytes_per_s:
        return None, warm_s
    read_s = shape.file_bytes / disk_bytes_per_s
    if not is_mapped:
        return start_s + max(read_s, upload_s + copy_s), warm_s
    available_bytes = hardware.memory.available_bytes
    if available_bytes is None:
        available_bytes = hardware.memory.total_bytes
    if available_bytes is not None and shape.file_bytes > available_bytes:
        # The page cache has dropped the start of the file by the time it is copied: it is read twice.
        gpu_bytes = sum(placement.weights.get(number, 0) for number in range(len(placement.devices)))
        read_s += gpu_bytes / disk_bytes_per_s
    return warm_s + read_s, warm_s


def _upload_s(device: Device, count_bytes: int) -> float:
    """Metal computes on the mapped file itself and copies nothing."""
    if device.backend is METAL:
        return 0.0
    link_bytes_per_s = device.gpu.pcie_bytes_per_s
    if link_bytes_per_s is None:
        return count_bytes / UPLOAD_BYTES_PER_S
    return count_bytes / min(UPLOAD_BYTES_PER_S, link_bytes_per_s * PCIE_SHARE_OF_PEAK)
