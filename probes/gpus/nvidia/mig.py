"""What a CUDA process sees of cards in MIG mode: one partition, and no whole card beside it. Pure.

docs.nvidia.com/datacenter/tesla/mig-user-guide/mig-device-names.html, "CUDA Device Enumeration": of several
partitions CUDA takes the first, or the one whose UUID CUDA_VISIBLE_DEVICES names first.
"""

from dataclasses import replace

from domain.machine.hardware import Gpu
from probes.result import VendorReading

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
OTHER_PARTITION = "a CUDA process sees one MIG partition, and not this one"
WHOLE_CARD = "a CUDA process that sees a MIG partition sees no other card"


def keep_visible_partition(reading: VendorReading, visible_devices: str | None) -> VendorReading:
    """``reading`` with the GPUs that an engine cannot use beside its partition set aside.

    ``visible_devices`` is the value of CUDA_VISIBLE_DEVICES; if it names none of these partitions, the first
    one is kept.
    """
    partitions = [gpu for gpu in reading.gpus if gpu.parent]
    if not partitions:
        return reading
    first_visible = (visible_devices or "").partition(",")[0].strip()
    kept = next((part for part in partitions if part.uuid and part.uuid == first_visible), partitions[0])
    others = tuple(_set_aside(gpu) for gpu in reading.gpus if gpu is not kept)
    return replace(reading, gpus=(kept,), set_aside=(*reading.set_aside, *others))


def _set_aside(gpu: Gpu) -> Gpu:
    if not gpu.parent:
        return replace(gpu, set_aside=WHOLE_CARD)
    choice = f" unless {VISIBLE_DEVICES}={gpu.uuid}" if gpu.uuid else ""
    return replace(gpu, set_aside=f"{OTHER_PARTITION}{choice}")
