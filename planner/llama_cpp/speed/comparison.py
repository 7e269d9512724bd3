"""A measured run, compared with what the rules alone predict for its command line."""

from dataclasses import replace

from domain.launches.plan import LlamaFlags
from domain.machine.hardware import Hardware
from domain.models.model import ModelShape
from planner.llama_cpp.estimate import memory_layout
from planner.llama_cpp.speed import roofline
from planner.llama_cpp.speed.decode import decode_s
from planner.llama_cpp.speed.prefill import prefill_s
from planner.machine.calibration import Run, decode_key, prefill_key


def compare_run(
    shape: ModelShape,
    flags: LlamaFlags,
    hardware: Hardware,
    *,
    prompt_tokens: int,
    decode_tokens_per_s: float | None,
    prefill_tokens_per_s: float | None,
    depth_tokens: int = 0,
) -> Run:
    """The run was measured with a prompt of ``prompt_tokens``, behind ``depth_tokens`` that were in the
    context before. The rules are asked for a prompt of that length: one that does not fill a ubatch is slower
    on any machine."""
    prompt_flags = replace(flags, ubatch=max(1, min(flags.ubatch, prompt_tokens)))
    layout = memory_layout(shape, prompt_flags, hardware)
    prompt_depth = depth_tokens + (prompt_tokens - prompt_flags.ubatch) // 2  # of its ubatches, on average
    decode_workloads = layout.workloads(shape, depth_tokens + prompt_tokens)
    prefill_workloads = layout.workloads(shape, prompt_depth)
    machine = roofline.machine_model(prompt_flags, layout.placement, hardware)
    return Run(
        kind=roofline.hardware_class(roofline.speed_class(decode_workloads, machine)),
        model=shape.file_bytes,
        line=decode_key(flags),
        prompt_line=prefill_key(flags),
        decode=_ratio(decode_tokens_per_s, decode_s(decode_workloads, machine)),
        prefill=_ratio(prefill_tokens_per_s, prefill_s(prefill_workloads, machine, layout.cparams)),
        depth=depth_tokens + prompt_tokens if depth_tokens else 0,
        prompt_depth=prompt_depth if depth_tokens else 0,
    )


def _ratio(tokens_per_s: float | None, seconds: float | None) -> float | None:
    return tokens_per_s * seconds if tokens_per_s and seconds else None
