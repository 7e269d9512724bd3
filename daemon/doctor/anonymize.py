"""A machine as others may see it: all that plans and bug reports need, and nothing of whose it is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from daemon.state.records import now
from daemon.status import VERSION
from domain.hardware import Gpu, Hardware, Storage
from domain.redact import Private, anonymize
from domain.serialization import from_json, to_json


def profile(box: Hardware, private: Private) -> Hardware:
    """For ``--on`` elsewhere: without programs of others, and without problems, which are of this box now."""
    gpus = tuple(replace(gpu, tenants=()) for gpu in box.gpus)
    source = f"node-ctl probe --save of node-daemon {VERSION}, {now()[:10]}"
    return anonymize_machine(replace(box, gpus=gpus, problems=(), source=source), private)


def anonymize_machine(box: Hardware, private: Private) -> Hardware:
    """Paths begin at ``~``, identities of devices are left out, and who told each value, for it is long."""
    bare = replace(
        box,
        gpus=tuple(_gpu(index, gpu) for index, gpu in enumerate(box.gpus)),
        set_aside=tuple(_gpu(index, gpu) for index, gpu in enumerate(box.set_aside)),
        storage=_storage(box.storage),
        sources={},
    )
    return from_json(Hardware, _each_text(to_json(bare), lambda text: anonymize(text, private)))


def _gpu(index: int, gpu: Gpu) -> Gpu:
    """A partition is known by its UUID alone: it gets a number."""
    return replace(gpu, uuid=None, id=f"mig:{index}" if gpu.id.startswith("mig:") else gpu.id)


def _storage(storage: Storage | None) -> Storage | None:
    """What is mounted over a network names its host."""
    return storage and replace(storage, device=None, mounted_at=None)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    return value
