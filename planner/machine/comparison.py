"""A run that was measured, beside what the rules alone say of its command line."""

from dataclasses import replace

from domain.hardware import Hardware
from domain.model import ModelShape
from domain.plan import LlamaFlags
from planner.llama_cpp.estimate import lay_out
from planner.llama_cpp.speed import roofline
from planner.llama_cpp.speed.decode import decode_s
from planner.llama_cpp.speed.prefill import prefill_s
from planner.llama_cpp.speed.traffic import per_device
from planner.machine.calibration import Run, line_of, prompt_line_of


def run_of(
    shape: ModelShape,
    flags: LlamaFlags,
    hardware: Hardware,
    *,
    prompt_tokens: int,
    decode_tokens_per_s: float | None,
    prefill_tokens_per_s: float | None,
) -> Run:
    """Measured with a prompt of ``prompt_tokens`` in an empty context: one that does not fill a ubatch
    is slower than one that does, and that is no fault of the box."""
    short = replace(flags, ubatch=max(1, min(flags.ubatch, prompt_tokens)))
    laid = lay_out(shape, short, hardware)
    work = per_device(shape, laid.model, laid.run, laid.placement, prompt_tokens)
    prompt = per_device(shape, laid.model, laid.run, laid.placement, 0)
    box = roofline.machine_model(short, laid.placement, hardware)
    return Run(
        kind=roofline.broadly(roofline.class_of(work, box)),
        model=shape.file_bytes,
        line=line_of(flags),
        prompt_line=prompt_line_of(flags),
        decode=_ratio(decode_tokens_per_s, decode_s(work, box)),
        prefill=_ratio(prefill_tokens_per_s, prefill_s(prompt, box, laid.run)),
    )


def _ratio(tokens_per_s: float | None, seconds: float | None) -> float | None:
    return tokens_per_s * seconds if tokens_per_s and seconds else None
