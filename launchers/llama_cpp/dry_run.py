"""Asks llama-server how much memory a command line would take, before it loads any weights.

While it fits a model to the devices it prints a table of bytes per device; the table is read and the
process is killed. Lines as printed by b10068 and b10434 (tests/captures/llama.cpp); sources b11434:
``common_memory_breakdown_print`` and, for llama-fit-params, ``common_fit_print`` (common/fit.cpp).
"""

import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals

from domain.errors import EngineError, NodeError
from domain.launches.plan import LlamaFlags
from domain.units import GIB, MIB
from launchers import query
from launchers.base import Capabilities
from launchers.failures import last_error_line
from launchers.llama_cpp.argv import VERBOSITY, arguments, rpc_ports
from launchers.llama_cpp.help import parse_help
from launchers.llama_cpp.refusals import GAVE_UP, find_refusal, gave_up
from launchers.sandbox.policy import Network, Sandbox

TIMEOUT_S = 10.0
# Enough for the largest vocabularies and the engine's threads (2.5 GiB were enough for 200k tokens), and
# less than a model that would do harm if it were loaded after all.
ADDRESS_SPACE_BYTES = 4 * GIB
FIT_PARAMS = "llama-fit-params"
SCRATCH = "engine"
HEADING = "memory breakdown [MiB]"
ROW = re.compile(
    r"\|\s+- (?P<name>[^|]+?)\s*\|(?P<device>\s*\d+ =\s*\d+ \+ \()?\s*\d+ ="
    r"\s*(?P<model>\d{1,15}) \+\s*(?P<context>\d{1,15}) \+\s*(?P<compute>\d{1,15})\b"
)
FIT_ROW = re.compile(
    r"^(?P<name>\S+) (?P<model>\d{1,15}) (?P<context>\d{1,15}) (?P<compute>\d{1,15}) *$", re.MULTILINE
)
PROJECTOR = re.compile(r"memory usage of mmproj is (?P<mib>\d{1,9}(?:\.\d{1,2})?) MiB")
NO_PROJECTOR = "failed to get memory usage of mmproj"
UNLOCKED_MODE = {"mlock": "none", "mmap+mlock": "mmap"}


@dataclass(frozen=True, slots=True)
class DeviceUsage:
    """Bytes, in whole MiB, under the engine's name of the device or buffer type (``CUDA0``, ``Host``,
    ``CPU_REPACK``). ``model_bytes`` is ``None`` where it reports what it maps, not what it reads of that."""

    name: str
    model_bytes: int | None
    context_bytes: int
    compute_bytes: int
    is_device: bool = False


@dataclass(frozen=True, slots=True)
class DryRunReport:
    """``program`` made the report: llama-server and llama-fit-params reserve different numbers of logits.
    ``devices`` have the model's share and that of its draft. ``projector_bytes`` is one figure: builds up to
    10434 count its weights alone. ``refuses_projector``: it can't load that, whatever the model."""

    program: str
    devices: tuple[DeviceUsage, ...]
    projector_bytes: int | None = None
    refuses_projector: bool = False


def run(
    flags: LlamaFlags,
    caps: Capabilities,
    replica: Path,
    *,
    timeout_s: float = TIMEOUT_S,
    sandbox: Sandbox | None = None,
) -> DryRunReport:
    """What the build of ``caps`` would allocate for the model whose header is in ``replica``; from
    llama-fit-params beside it where llama-server itself does not print it. The folder of ``replica`` is for
    this run alone: the engine's own files are made there. Blocks.

    Raises: EngineRefusedError where the build says that it can't load the model; EngineError where it does
    not say anything."""
    deadline_s = time.monotonic() + timeout_s
    own = sandbox and replace(sandbox, scratch=replica.parent / SCRATCH)
    commands = (build_command(flags, caps, replica), _fit_params_command(flags, caps, replica))
    attempts = [argv for argv in commands if argv is not None]
    drafts = any(spec_type.startswith("draft") for spec_type in flags.speculative)
    ended: list[str] = []

    def observe(argv: tuple[str, ...]) -> query.Observed:
        return query.read_until(
            argv,
            lambda text: is_complete(text, tables=1 + drafts) or gave_up(text),
            timeout_s=max(0.0, deadline_s - time.monotonic()),
            env=caps.env,
            address_space_bytes=_address_space_bytes(caps),
            sandbox=own,
            network=Network(bind=(0,), connect=rpc_ports(flags)),
        )

    for argv in attempts:
        observed = observe(argv)
        if _is_mute(observed):
            observed = observe(argv)
        has_file = flags.draft_model is not None
        devices = parse_breakdown(observed.text, with_draft=drafts, has_file=has_file)
        if not devices and not (drafts or flags.mmproj):  # which llama-fit-params has no options for
            devices = parse_fit_print(observed.text)
        if devices:
            return DryRunReport(
                Path(argv[0]).name, devices, parse_projector(observed.text), NO_PROJECTOR in observed.text
            )
        if refusal := find_refusal(observed.text):
            raise refusal
        ended.append(_how_ended(observed, timeout_s))
    if not attempts:
        raise EngineError(f"{caps.path} has no --fit to report its memory with", cause="no_answer")
    raise EngineError(f"{attempts[0][0]} {ended[0]}", cause="no_answer")


def _is_mute(observed: query.Observed) -> bool:
    """Whether it gave up without a word: builds write their log in a thread, and now and then lose the last
    lines of it where they exit at once."""
    said = HEADING in observed.text or gave_up(observed.text) or find_refusal(observed.text) is not None
    return observed.status is not None and observed.status > 0 and not said


def _how_ended(observed: query.Observed, timeout_s: float) -> str:
    """Of a build that neither reports its memory nor refuses the model."""
    if gave_up(observed.text):
        return f"could not try the model: {last_error_line(observed.text.partition(GAVE_UP)[0])}"
    if observed.status is None:
        return f"printed no memory table within {timeout_s:g} s"
    if observed.status < 0:
        return f"was killed by {Signals(-observed.status).name} before it printed its memory table"
    return f"exited {observed.status} and printed no memory table"


def build_command(flags: LlamaFlags, caps: Capabilities, replica: Path) -> tuple[str, ...] | None:
    """``None`` for a build without --fit: it would load the replica instead."""
    fit, verbosity = caps.first(("--fit", "-fit")), caps.first(("--verbosity", "--log-verbosity", "-lv"))
    if fit is None or verbosity is None:
        return None
    switches = tuple(name for name in ("--no-warmup", "--offline") if name in caps.flags)
    model = ("--model", str(replica), "--host", "127.0.0.1", "--port", "0")
    return (
        caps.path,
        *model,
        *arguments(_without_locks(flags), caps),
        verbosity,
        str(VERBOSITY),
        *switches,
    )


def is_complete(output: str, *, tables: int = 1) -> bool:
    """Whether so many tables have started and another line has followed the last."""
    _, *printed = output.split(HEADING)
    if len(printed) < tables:
        return False
    lines = printed[tables - 1].split("\n")[1:-1]  # the heading's own line; a last line without its end
    return any(ROW.search(line) is None for line in lines)


def parse_breakdown(
    output: str, *, with_draft: bool = False, has_file: bool = False
) -> tuple[DeviceUsage, ...]:
    """The first table, of the flags as given, before any is fitted. Empty where none was printed.

    ``with_draft``: the first table is that of the draft then, and the second is the model's. Of the model's
    own head the first has the model's weights, which the sum has once; one in a file of its own
    (``has_file``) has its own."""
    _, *printed = output.split(HEADING)
    tables = [_rows(table) for table in printed[:2]]
    if not with_draft:
        return tables[0] if tables else ()
    if len(tables) < 2:
        return ()
    drafts = {usage.name: usage for usage in tables[0]}
    return tuple(_with_draft(usage, drafts.get(usage.name), has_file=has_file) for usage in tables[1])


def parse_projector(output: str) -> int | None:
    match = PROJECTOR.search(output)
    return int(float(match["mib"]) * MIB) if match else None


def _rows(table: str) -> tuple[DeviceUsage, ...]:
    rows: list[DeviceUsage] = []
    for line in table.split("\n")[1:]:
        row = ROW.search(line)
        if row is None:
            break
        rows.append(_usage(row, is_device=row["device"] is not None))
    return tuple(rows)


def _with_draft(usage: DeviceUsage, draft: DeviceUsage | None, *, has_file: bool) -> DeviceUsage:
    if draft is None:
        return usage
    own_bytes = draft.model_bytes if has_file else 0
    known = usage.model_bytes is not None and own_bytes is not None
    return replace(
        usage,
        model_bytes=(usage.model_bytes or 0) + (own_bytes or 0) if known else None,
        context_bytes=usage.context_bytes + draft.context_bytes,
        compute_bytes=usage.compute_bytes + draft.compute_bytes,
    )


def parse_fit_print(output: str) -> tuple[DeviceUsage, ...]:
    """``CUDA0 4403 1024 290`` ... ``Host 281 0 40``, as llama-fit-params --fit-print prints them. Its host
    weights lack those that are repacked, so they are unknown here."""
    rows = [_usage(row, is_device=row["name"] != "Host") for row in FIT_ROW.finditer(output)]
    if not rows or rows[-1].name != "Host":
        return ()
    return (*rows[:-1], replace(rows[-1], model_bytes=None))


def _usage(row: re.Match[str], *, is_device: bool) -> DeviceUsage:
    name = row["name"].partition(" (")[0]
    model, context, compute = (int(row[part]) * MIB for part in ("model", "context", "compute"))
    return DeviceUsage(name, model, context, compute, is_device)


def _without_locks(flags: LlamaFlags) -> LlamaFlags:
    """Flags that take the same bytes, and lock none in case it starts to load before it is killed."""
    mode = flags.load_mode
    return replace(flags, fit=True, load_mode=UNLOCKED_MODE.get(mode, mode) if mode else None)


def _fit_params_command(flags: LlamaFlags, caps: Capabilities, replica: Path) -> tuple[str, ...] | None:
    """For llama-fit-params beside the build, ``None`` where it can't be used. It has fewer options: those of
    the server alone change no bytes."""
    path = Path(caps.path).with_name(FIT_PARAMS)
    if not os.access(path, os.X_OK):
        return None
    try:
        options = parse_help(query.answer(str(path), ("--help",), env=caps.env))
        names = frozenset(name for option in options for name in option.names)
        reduced = replace(
            _without_locks(flags), jinja=None, kv_unified=None, cache_ram_mib=None, ctx_checkpoints=None
        )
        args = arguments(reduced, replace(caps, path=str(path), flags=names))
    except (NodeError, OSError):
        return None  # it does not answer, or lacks what the plan needs
    return (str(path), "--model", str(replica), *args, "--fit-print", "on")


def _address_space_bytes(caps: Capabilities) -> int | None:
    """No limit with a GPU, whose driver reserves more addresses than any limit that would help."""
    local = [device for device in caps.devices if not device.name.startswith("RPC")]
    return None if local else ADDRESS_SPACE_BYTES
