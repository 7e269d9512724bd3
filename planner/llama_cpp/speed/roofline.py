"""Tokens per second and load time of one command line on one machine: a roofline per device, as a range."""

from collections.abc import Mapping

from domain.launches.plan import LlamaFlags, Range, Speed
from domain.machine.hardware import Cpu, Hardware
from domain.models.model import ModelShape
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.placement import HOST_ID, Placement
from planner.llama_cpp.speed import speculation
from planner.llama_cpp.speed.decode import decode_s
from planner.llama_cpp.speed.load import load_s
from planner.llama_cpp.speed.prefill import prefill_s
from planner.llama_cpp.speed.speculation import Draft
from planner.llama_cpp.speed.workload import Workload, device_workloads
from planner.machine.calibration import Calibration, Correction, corrections
from planner.machine.efficiency import DECODE_SPREAD, PREFILL_SPREAD, speed_range
from planner.machine.model import MachineModel
from planner.model.hparams import Hparams


def thread_count(flags: LlamaFlags, cpu: Cpu) -> int:
    return flags.threads or cpu.physical_cores or cpu.usable_cpus or 1


def predict(
    shape: ModelShape,
    hparams: Hparams,
    cparams: ContextParams,
    flags: LlamaFlags,
    placement: Placement,
    hardware: Hardware,
    *,
    depth_tokens: int,
    calibration: Calibration,
    draft: Draft | None = None,
) -> Speed:
    machine = machine_model(flags, placement, hardware)
    workloads = device_workloads(shape, hparams, cparams, placement, depth_tokens)
    work_class = speed_class(workloads, machine)
    decode_correction, prefill_correction = corrections(
        calibration,
        hardware_class(work_class),
        shape.file_bytes,
        flags,
        decode_spread=DECODE_SPREAD[work_class],
        prefill_spread=PREFILL_SPREAD[work_class],
        depth_tokens=depth_tokens,
    )
    if draft is None:
        decode = _range(decode_s(workloads, machine), decode_correction)
    else:
        decode = speculation.decode(workloads, machine, draft, decode_correction)
    cold_s, warm_s = load_s(shape, placement, hardware, flags.load_mode)
    return Speed(
        decode_tokens_per_s=decode,
        prefill_tokens_per_s=_range(_prompt_token_s(workloads, machine, cparams, draft), prefill_correction),
        load_s=cold_s,
        load_warm_s=warm_s,
        decode_source=decode_correction.source,
        prefill_source=prefill_correction.source,
    )


def _prompt_token_s(
    workloads: Mapping[int, Workload], machine: MachineModel, cparams: ContextParams, draft: Draft | None
) -> float | None:
    """A draft model reads the prompt as well."""
    own_s = prefill_s(workloads, machine, cparams)
    if draft is None:
        return own_s
    draft_s = draft.prefill_s()
    return own_s + draft_s if own_s and draft_s else None


def machine_model(flags: LlamaFlags, placement: Placement, hardware: Hardware) -> MachineModel:
    threads = thread_count(flags, hardware.cpu)
    return MachineModel(hardware, placement.devices, threads, flags.threads_batch or threads)


def speed_class(workloads: Mapping[int, Workload], machine: MachineModel) -> str:
    """What does the work, which decides how far off a prediction may be."""
    uses_host = bool(workloads[HOST_ID].dense_bytes or workloads[HOST_ID].expert_bytes)
    busy_gpus = [device for device in range(len(machine.devices)) if not workloads[device].is_idle]
    if not busy_gpus:
        return "cpu"
    if uses_host:
        return "gpu + cpu"
    return machine.efficiency_class(busy_gpus[0])


def hardware_class(work_class: str) -> str:
    """``cpu``, ``gpu + cpu`` or ``gpu``: a machine uses one back end at a time."""
    return work_class if work_class in ("cpu", "gpu + cpu") else "gpu"


def _range(seconds: float | None, correction: Correction) -> Range | None:
    return speed_range(correction.ratio / seconds, correction.spread) if seconds else None
