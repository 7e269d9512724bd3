"""What the file of a served model says of it, read once: architecture, size, numbers and chat template."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from catalog.formats.gguf.reader import read_file
from catalog.local.models import read_folder
from daemon.app import App
from daemon.isolation.workers import Limits
from daemon.launches.launch import Launch
from domain.errors import NodeError
from domain.models.model import Scalar

log = logging.getLogger(__name__)

TEMPLATE = "tokenizer.chat_template"
READING = Limits(deadline_s=20.0, cpu_s=15, at_once=2)
AGAIN_S = 60.0  # a file that could not be read is read again then, such as one that was being replaced
WITHIN_S = 3.0  # a list of models is waited for: Open WebUI gives it 10 s, other clients less


@dataclass(frozen=True, slots=True)
class Header:
    """``numbers`` are the scalars of the file's header, by its own keys; ``parameters`` counts weights."""

    architecture: str | None = None
    parameters: int | None = None
    numbers: Mapping[str, Scalar] = field(default_factory=dict)
    chat_template: str = ""


class Headers:
    """A header is read once for each file. What is not read in time is known when it is asked for again."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._reading: dict[str, asyncio.Task[Header]] = {}

    async def of(self, launch: Launch, *, within_s: float | None = WITHIN_S) -> Header:
        """Nothing is known of a model that is not on the disk yet, and of a file that can't be read."""
        path = None if launch.plan is None else launch.plan.weights.first_path
        if path is None:
            return Header()
        if (task := self._reading.get(path)) is None:
            task = self._reading[path] = asyncio.create_task(self._read(path), name=f"header {path}")
        await asyncio.wait({task}, timeout=within_s)
        return task.result() if task.done() and not task.cancelled() else Header()

    async def _read(self, path: str) -> Header:
        try:
            told = await self._app.adapters.workers.run(f"reading {path}", read, path, limits=READING)
        except (NodeError, RuntimeError, OSError) as error:  # a list is answered without it
            log.info("header not read: path=%s why=%s", path, error)
            asyncio.get_running_loop().call_later(AGAIN_S, self._reading.pop, path, None)
            return Header()
        return Header(*told)

    async def close(self) -> None:
        for task in self._reading.values():
            task.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)


def read(path: str) -> tuple[str, int | None, dict[str, Scalar], str]:
    """In a worker: the fields of a Header, as plain data. Raises: BadModelError, OSError."""
    place = Path(path)
    shape = read_folder(place, None)[0].shape if place.is_dir() else read_file(place)
    scalars = {key: value for key, value in shape.metadata.items() if not isinstance(value, tuple)}
    template = scalars.pop(TEMPLATE, "")
    parameters = sum(prod(tensor.shape) for tensor in shape.tensors) or None
    return shape.architecture, parameters, scalars, str(template)
