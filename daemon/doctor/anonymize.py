"""Makes a ``Hardware`` anonymous: it keeps all that plans and bug reports need."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from daemon.state.records import now
from daemon.status import VERSION
from domain.anonymize import Identifiers, anonymize_text
from domain.machine.hardware import Gpu, Hardware, Storage
from domain.serialization import from_json, to_json


def build_profile(hardware: Hardware, identifiers: Identifiers) -> Hardware:
    """For ``--on`` on another machine: without other programs and without problems, which are momentary."""
    gpus = tuple(replace(gpu, tenants=()) for gpu in hardware.gpus)
    source = f"node-ctl probe --save of node-daemon {VERSION}, {now()[:10]}"
    return anonymize_hardware(replace(hardware, gpus=gpus, problems=(), source=source), identifiers)


def anonymize_hardware(hardware: Hardware, identifiers: Identifiers) -> Hardware:
    """Paths start at ``~``; UUIDs of devices, and for brevity the provenance of each value, are left out."""
    bare = replace(
        hardware,
        gpus=tuple(_anonymize_gpu(index, gpu) for index, gpu in enumerate(hardware.gpus)),
        set_aside=tuple(_anonymize_gpu(index, gpu) for index, gpu in enumerate(hardware.set_aside)),
        storage=_anonymize_storage(hardware.storage),
        sources={},
    )
    return from_json(Hardware, _each_text(to_json(bare), lambda text: anonymize_text(text, identifiers)))


def _anonymize_gpu(index: int, gpu: Gpu) -> Gpu:
    """The id of a partition is its UUID, which is replaced by a number."""
    return replace(gpu, uuid=None, id=f"mig:{index}" if gpu.id.startswith("mig:") else gpu.id)


def _anonymize_storage(storage: Storage | None) -> Storage | None:
    """The device of a network mount contains a host name."""
    return storage and replace(storage, device=None, mounted_at=None)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    return value
