"""What one exact command line would take, and how fast it would be."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from catalog.gguf import read_file
from daemon import hardware, ledger
from daemon.calibrate import calibration
from daemon.node import Node
from daemon.plan import resolved
from domain.errors import UsageError
from domain.hardware import Gpu, Hardware, MemoryKind
from domain.model import Candidate, ModelShape
from domain.plan import Estimate, LlamaFlags, Wish
from planner import estimate as arithmetic
from planner.calibration import Calibration
from planner.resolved import Reader

MOST_GPUS = 64


async def estimate(
    node: Node,
    model: str,
    args: Sequence[str],
    *,
    on: Hardware | None = None,
    gpus: int | None = None,
    depth_tokens: int = 0,
    engine: str | None = None,
) -> Estimate:
    """Of ``args`` as the engine would take them. ``gpus`` replaces the machine's by as many dedicated
    ones without a stated size; the figures are then those that llama-fit-params of today prints.
    Raises: UsageError for arguments the engine would refuse."""
    candidates = await resolved(node, model, Wish(engine=engine), most_bytes=0)
    candidate = chosen(candidates, model)
    flags = node.rooms.launchers[candidate.engine].parse(args)
    if not isinstance(flags, LlamaFlags):
        raise UsageError(
            f"an estimate of a {candidate.engine} command line is not known",
            hint=f"node-ctl plan {model} --engine {candidate.engine} plans one",
        )
    machine = on or ledger.without(await hardware.look(node), node.ledger.others(""))
    known = Calibration() if on else await calibration(node, machine)
    if gpus is not None:
        machine = with_gpus(machine, gpus)
    found = await asyncio.to_thread(
        arithmetic.estimate,
        candidate.shape,
        flags,
        machine,
        depth_tokens=depth_tokens,
        calibration=known,
        reader=Reader.SERVER if gpus is None else Reader.FIT_PARAMS,
        mmproj=await beside("--mmproj", flags.mmproj),
        draft=await beside("--model-draft", flags.draft_model),
    )
    notes = [f"of {candidate.weights.repo} {candidate.weights.quant}"]
    if not candidate.exact:
        notes.append("the shape is the catalogue's: the file's own header could not be read")
    if candidate.as_of:
        notes.append(f"the hub could not be asked: as seen at {candidate.as_of}")
    return replace(found, notes=(*found.notes, *notes))


async def beside(option: str, path: str | None) -> ModelShape | None:
    """What a second file of the command line is made of. Raises: UsageError for one that is not there."""
    if path is None:
        return None
    file = Path(path)
    if not file.is_absolute() or not await asyncio.to_thread(file.is_file):
        raise UsageError(f"{option} {path} is no file here", hint="give its whole path")
    return await asyncio.to_thread(read_file, file)


def chosen(candidates: Sequence[Candidate], model: str) -> Candidate:
    """The one on this disk, else the first: a name without a quant leaves the choice to the catalogue."""
    if not candidates:
        raise UsageError(f"{model} has no weights that this engine loads")
    here = [candidate for candidate in candidates if candidate.weights.location is not None]
    return (here or list(candidates))[0]


def with_gpus(machine: Hardware, count: int) -> Hardware:
    """No engine is known of such a machine: its build is one of today.
    Raises: UsageError for a count that no machine has."""
    if not 0 <= count <= MOST_GPUS:
        raise UsageError(f"{count} GPUs: between 0 and {MOST_GPUS} are possible")
    gpu = Gpu(id="", vendor="", name="a GPU of unknown size", memory_kind=MemoryKind.DEDICATED)
    assumed = tuple(replace(gpu, id=f"assumed:{index}") for index in range(count))
    return replace(machine, gpus=assumed, engines=())
