"""Tokens per second and load time of one command line on one box: a roofline per device, as a range."""

from collections.abc import Mapping

from domain.hardware import Cpu, Hardware
from domain.model import ModelShape
from domain.plan import LlamaFlags, Range, Speed
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.placement import HOST_ID, Placement
from planner.llama_cpp.speed import speculation
from planner.llama_cpp.speed.decode import decode_s
from planner.llama_cpp.speed.load import load_s
from planner.llama_cpp.speed.prefill import prefill_s
from planner.llama_cpp.speed.speculation import Draft
from planner.llama_cpp.speed.traffic import Traffic, per_device
from planner.machine import efficiency
from planner.machine.calibration import Calibration, Correction, corrections
from planner.machine.model import MachineModel
from planner.model.hparams import Hparams

CPU_OF_PEAK = efficiency.CPU.read
CORE_BYTES_PER_S = 10e9  # of F16 and 8-bit weights


def threads_of(flags: LlamaFlags, cpu: Cpu) -> int:
    return flags.threads or cpu.physical_cores or cpu.usable_cpus or 1


def predict(
    shape: ModelShape,
    hparams: Hparams,
    run: ContextParams,
    flags: LlamaFlags,
    placement: Placement,
    hardware: Hardware,
    *,
    depth_tokens: int,
    calibration: Calibration,
    draft: Draft | None = None,
) -> Speed:
    box = machine_model(flags, placement, hardware)
    traffic = per_device(shape, hparams, run, placement, depth_tokens)
    kind = class_of(traffic, box)
    decode, prefill = corrections(
        calibration,
        broadly(kind),
        shape.file_bytes,
        flags,
        decode_spread=efficiency.DECODE_SPREAD[kind],
        prefill_spread=efficiency.PREFILL_SPREAD[kind],
    )
    cold_s, warm_s = load_s(shape, placement, hardware, flags.load_mode)
    prompt_s = prefill_s(traffic, box, run)
    if draft is not None:  # it reads the prompt, too
        own_s = draft.prefill_s()
        prompt_s = prompt_s + own_s if prompt_s and own_s else None
    return Speed(
        decode_tokens_per_s=(
            speculation.decode(traffic, box, draft, decode)
            if draft is not None
            else _range(decode_s(traffic, box), decode)
        ),
        prefill_tokens_per_s=_range(prompt_s, prefill),
        load_s=cold_s,
        load_warm_s=warm_s,
        decode_source=decode.source,
        prefill_source=prefill.source,
    )


def machine_model(flags: LlamaFlags, placement: Placement, hardware: Hardware) -> MachineModel:
    threads = threads_of(flags, hardware.cpu)
    return MachineModel(hardware, placement.devices, threads, flags.threads_batch or threads)


def class_of(traffic: Mapping[int, Traffic], box: MachineModel) -> str:
    """How far off a prediction may be: by what does the work."""
    host = bool(traffic[HOST_ID].dense or traffic[HOST_ID].experts)
    gpus = [device for device in range(len(box.devices)) if not traffic[device].is_idle]
    if not gpus:
        return "cpu"
    if host:
        return "gpu + cpu"
    return box.kind(gpus[0])


def broadly(kind: str) -> str:
    """``cpu``, ``gpu + cpu`` or ``gpu``: a box has one back end at a time."""
    return kind if kind in ("cpu", "gpu + cpu") else "gpu"


def range_of(expected: float, spread: float) -> Range:
    """``spread`` 0.3: from 1 / 1.3 to 1.3 times."""
    return Range(expected / (1 + spread), expected, expected * (1 + spread))


def _range(seconds: float | None, by: Correction) -> Range | None:
    return range_of(by.ratio / seconds, by.spread) if seconds else None
