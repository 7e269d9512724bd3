"""What a CUDA process sees of cards that are cut by MIG: one partition, and no whole card beside it. Pure.

docs.nvidia.com/datacenter/tesla/mig-user-guide/mig-device-names.html, "CUDA Device Enumeration": of several
partitions CUDA takes the first, or the one whose UUID CUDA_VISIBLE_DEVICES names first.
"""

from dataclasses import replace

from domain.hardware import Gpu
from probes.result import VendorReading

CHOOSING = "CUDA_VISIBLE_DEVICES"
OTHER = "a CUDA process sees one partition, and not this one"
WHOLE = "a CUDA process sees no card beside a partition (MIG) of another"


def of_one_process(found: VendorReading, visible: str | None) -> VendorReading:
    """``found`` with what an engine can't use beside its partition set aside. ``visible`` is the value of
    CUDA_VISIBLE_DEVICES; what names no partition that is here chooses none."""
    parts = [gpu for gpu in found.gpus if gpu.parent]
    if not parts:
        return found
    named = (visible or "").partition(",")[0].strip()
    chosen = next((part for part in parts if part.uuid and part.uuid == named), parts[0])
    others = tuple(_unused(gpu) for gpu in found.gpus if gpu is not chosen)
    return replace(found, gpus=(chosen,), set_aside=(*found.set_aside, *others))


def _unused(gpu: Gpu) -> Gpu:
    if not gpu.parent:
        return replace(gpu, set_aside=WHOLE)
    return replace(gpu, set_aside=f"{OTHER} unless {CHOOSING}={gpu.uuid}" if gpu.uuid else OTHER)
