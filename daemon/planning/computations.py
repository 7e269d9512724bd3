"""What is computed from headers that others wrote: functions of plain data, which workers run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog.formats.gguf.reader import read_file
from daemon.isolation.models import ModelSources
from daemon.isolation.workers import Limits
from daemon.planning.refusals import suggestions
from domain.errors import DoesNotFitError, UsageError
from domain.launches.plan import DeviceMemory, LaunchOptions, LlamaFlags, Plan, Speed
from domain.machine.hardware import Hardware
from domain.models.model import ModelShape, ResolvedModel
from planner.choose import choose
from planner.llama_cpp.companions.second_files import Shapes
from planner.llama_cpp.context_params import EngineTool
from planner.llama_cpp.estimate import estimate, memory_layout
from planner.llama_cpp.speed.comparison import compare_run
from planner.machine.budget import Reserve
from planner.machine.calibration import Calibration, Run

# A plan of a large model takes 0.6 s on two cores of a server, and several times that on an N100.
PLANNING = Limits(deadline_s=60.0, cpu_s=45, at_once=4)
# Of several machines one after the other, in as many workers as there are CPUs.
COMPARING = Limits(deadline_s=240.0, cpu_s=180, at_once=4)
# Restarts never wait for plans that others ask for.
STARTING = Limits(deadline_s=60.0, cpu_s=45, at_once=16)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a plan is chosen from, and by."""

    model: str
    candidates: Sequence[ResolvedModel]
    machine: Hardware
    options: LaunchOptions
    calibration: Calibration
    reserve: Reserve

    def plan(self) -> Plan:
        """Raises: as ``choose.plan``."""
        return choose.plan(
            self.model,
            self.candidates,
            self.machine,
            self.options,
            calibration=self.calibration,
            reserve=self.reserve,
        )


def plan_each(choices: Sequence[Choice]) -> list[Plan | DoesNotFitError | UsageError]:
    """Of each choice its plan, or why there is none. Those for similar machines share much of the work."""
    return [_plan_or_error(choice) for choice in choices]


def _plan_or_error(choice: Choice) -> Plan | DoesNotFitError | UsageError:
    try:
        return choice.plan()
    except (DoesNotFitError, UsageError) as error:
        return error


def choose_plan(choice: Choice, sources: ModelSources) -> Plan:
    """Raises: DoesNotFitError, whose hint names a model that fits instead."""
    try:
        return choice.plan()
    except DoesNotFitError as error:
        instead = suggestions.suggest(
            sources.resolve,
            sources.catalogue,
            choice.candidates,
            choice.machine,
            choice.options,
            calibration=choice.calibration,
            reserve=choice.reserve,
        )
        error.hint = "; ".join(part for part in (error.hint, instead) if part)
        raise


def predict_speed(path: Path, flags: LlamaFlags, machine: Hardware, calibration: Calibration) -> Speed:
    """Of the model in a file. Raises: BadModelError."""
    return estimate(read_file(path), flags, machine, calibration=calibration).speed


def compare_file(
    path: Path,
    flags: LlamaFlags,
    machine: Hardware,
    *,
    prompt_tokens: int,
    decode_tokens_per_s: float | None,
    prefill_tokens_per_s: float | None,
    depth_tokens: int = 0,
) -> Run:
    """A measured run of the model in a file, as ``compare_run``. Raises: BadModelError."""
    return compare_run(
        read_file(path),
        flags,
        machine,
        prompt_tokens=prompt_tokens,
        decode_tokens_per_s=decode_tokens_per_s,
        prefill_tokens_per_s=prefill_tokens_per_s,
        depth_tokens=depth_tokens,
    )


def estimate_memory(
    shape: ModelShape, flags: LlamaFlags, machine: Hardware, tool: EngineTool, second: Shapes
) -> tuple[DeviceMemory, ...]:
    """By the rules alone. ``second``: the files beside the model that are counted."""
    return memory_layout(shape, flags, machine, tool=tool, **second).memory
