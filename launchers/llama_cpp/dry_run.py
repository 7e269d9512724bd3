"""What llama-server itself says that a command line would take, before it loads a byte of the weights.

While it fits a model to the devices it prints a table of bytes per device; that table is read and the
process ended. Lines as printed by b10068 and b10434 (tests/captures/llama.cpp); sources b11434:
``common_memory_breakdown_print`` and, for llama-fit-params, ``common_fit_print`` (common/fit.cpp).
"""

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from domain.errors import EngineError, NodeError
from domain.plan import LlamaFlags
from domain.units import GIB, MIB
from launchers import query
from launchers.base import Capabilities
from launchers.llama_cpp.argv import VERBOSITY, arguments
from launchers.llama_cpp.failures import buffers
from launchers.llama_cpp.help import options

TIMEOUT_S = 10.0
# Enough for the largest vocabularies and the engine's threads (2.5 GiB were seen to do for 200k tokens),
# and less than a model that would hurt if it were loaded after all.
ADDRESS_SPACE_BYTES = 4 * GIB
FIT_PARAMS = "llama-fit-params"
HEADING = "memory breakdown [MiB]"
ROW = re.compile(
    r"\|\s+- (?P<name>[^|]+?)\s*\|(?P<device>\s*\d+ =\s*\d+ \+ \()?\s*\d+ ="
    r"\s*(?P<model>\d+) \+\s*(?P<context>\d+) \+\s*(?P<compute>\d+)"
)
PRINTED = re.compile(r"^(?P<name>\S+) (?P<model>\d+) (?P<context>\d+) (?P<compute>\d+) *$", re.MULTILINE)
WHAT = {"model": "model", "KV": "context", "RS": "context", "compute": "compute"}
MAPPED = "_Mapped"
LOCKED = {"mlock": "none", "mmap+mlock": "mmap"}


@dataclass(frozen=True, slots=True)
class DeviceUsage:
    """Bytes by the name the engine gives the place (``CUDA0``, ``Host``, ``CPU_REPACK``), whole MiB.
    ``model_bytes`` is ``None`` where the engine says what it maps and not what it reads of that."""

    name: str
    model_bytes: int | None
    context_bytes: int
    compute_bytes: int
    is_device: bool = False


@dataclass(frozen=True, slots=True)
class DryRunReport:
    """``by``: the name of the program that told: the two keep room for different numbers of logits."""

    by: str
    held: tuple[DeviceUsage, ...]


def ask(
    flags: LlamaFlags, caps: Capabilities, replica: Path, *, timeout_s: float = TIMEOUT_S
) -> DryRunReport:
    """What ``caps`` would hold of the model whose header ``replica`` has; by llama-fit-params beside it
    where llama-server itself does not tell. Blocks. Raises: EngineError where neither tells."""
    deadline_s = time.monotonic() + timeout_s
    asked = [argv for argv in (command(flags, caps, replica), _beside(flags, caps, replica)) if argv]
    for argv in asked:
        said = query.read_until(
            argv,
            is_complete,
            timeout_s=max(0.0, deadline_s - time.monotonic()),
            env=caps.env,
            address_space_bytes=_address_space_bytes(caps),
        )
        found = parse(said) or printed(said)
        if found:
            return DryRunReport(Path(argv[0]).name, found)
    if not asked:
        raise EngineError(f"{caps.path} has no --fit, it can't tell what it would take", cause="no_answer")
    raise EngineError(f"{asked[0][0]} printed no memory table within {timeout_s:g} s", cause="no_answer")


def command(flags: LlamaFlags, caps: Capabilities, replica: Path) -> tuple[str, ...] | None:
    """``None`` for a build that doesn't fit models to devices: it would load the replica instead."""
    fit, verbosity = caps.first(("--fit", "-fit")), caps.first(("--verbosity", "--log-verbosity", "-lv"))
    if fit is None or verbosity is None:
        return None
    said = arguments(_harmless(flags), caps)
    more = tuple(name for name in ("--no-warmup", "--offline") if name in caps.flags)
    ours = ("--model", str(replica), "--host", "127.0.0.1", "--port", "0")
    return (caps.path, *ours, *said, verbosity, str(VERBOSITY), *more)


def is_complete(said: str) -> bool:
    """Whether the table has begun, and a line that is no row of it has followed."""
    _, heading, after = said.partition(HEADING)
    lines = after.split("\n")[1:-1]  # the rest of the heading's own line; a last line without its end
    return bool(heading) and any(ROW.search(line) is None for line in lines)


def parse(said: str) -> tuple[DeviceUsage, ...]:
    """The first table: of the flags as given, before any is fitted. Empty: none was printed."""
    _, _, after = said.partition(HEADING)
    found: list[DeviceUsage] = []
    for line in after.split("\n")[1:]:
        row = ROW.search(line)
        if row is None:
            break
        found.append(_held(row, is_device=row["device"] is not None))
    return tuple(found)


def printed(said: str) -> tuple[DeviceUsage, ...]:
    """``CUDA0 4403 1024 290`` ... ``Host 281 0 40``, as llama-fit-params --fit-print has them; of the
    host's weights it leaves out those that are repacked."""
    rows = [_held(row, is_device=row["name"] != "Host") for row in PRINTED.finditer(said)]
    if not rows or rows[-1].name != "Host":
        return ()
    return (*rows[:-1], replace(rows[-1], model_bytes=None))


def allocated(log: str) -> tuple[DeviceUsage, ...]:
    """What an engine that runs has allocated, from the log of its start."""
    found: dict[str, DeviceUsage] = {}
    for buffer in buffers(log):
        name = buffer.device.removesuffix(MAPPED)
        part = WHAT.get(buffer.what)
        if part is None:
            continue
        held = found.get(name) or DeviceUsage(name, 0, 0, 0, is_device=not buffer.on_host)
        if part == "context":
            held = replace(held, context_bytes=held.context_bytes + buffer.size_bytes)
        elif part == "compute":
            held = replace(held, compute_bytes=held.compute_bytes + buffer.size_bytes)
        elif buffer.device.endswith(MAPPED) or held.model_bytes is None:
            held = replace(held, model_bytes=None)
        else:
            held = replace(held, model_bytes=held.model_bytes + buffer.size_bytes)
        found[name] = held
    return tuple(found.values())


def _held(row: re.Match[str], *, is_device: bool) -> DeviceUsage:
    name = row["name"].partition(" (")[0]
    model, context, compute = (int(row[part]) * MIB for part in ("model", "context", "compute"))
    return DeviceUsage(name, model, context, compute, is_device)


def _harmless(flags: LlamaFlags) -> LlamaFlags:
    """The same bytes, and nothing locked should it begin to load before it is ended."""
    mode = flags.load_mode
    return replace(flags, fit=True, load_mode=LOCKED.get(mode, mode) if mode else None)


def _beside(flags: LlamaFlags, caps: Capabilities, replica: Path) -> tuple[str, ...] | None:
    """llama-fit-params, which has fewer options: those of the server alone change no byte there."""
    path = Path(caps.path).with_name(FIT_PARAMS)
    if not os.access(path, os.X_OK):
        return None
    try:
        found = options(query.answer(str(path), ("--help",), env=caps.env))
        known = replace(caps, path=str(path), flags=_names(option.names for option in found))
        plain = replace(
            _harmless(flags), jinja=None, kv_unified=None, cache_ram_mib=None, ctx_checkpoints=None
        )
        said = arguments(plain, known)
    except (NodeError, OSError):
        return None  # a tool that can't be asked, or lacks what the plan needs
    return (str(path), "--model", str(replica), *said, "--fit-print", "on")


def _names(options_names: Iterable[Iterable[str]]) -> frozenset[str]:
    return frozenset(name for names in options_names for name in names)


def _address_space_bytes(caps: Capabilities) -> int | None:
    """Drivers of GPUs reserve more addresses than any limit that would help leaves them."""
    local = [device for device in caps.devices if not device.name.startswith("RPC")]
    return None if local else ADDRESS_SPACE_BYTES
