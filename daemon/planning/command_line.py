"""The memory and speed of one exact command line: functions of plain data, which workers run."""

from dataclasses import replace
from pathlib import Path

from catalog.formats.gguf.reader import read_file
from daemon.planning.computations import Choice
from domain.errors import DoesNotFitError, UsageError
from domain.launches.plan import Estimate, LlamaFlags, VllmFlags
from domain.machine.hardware import Hardware
from domain.models.model import ModelShape, ResolvedModel
from planner.llama_cpp import cache_types
from planner.llama_cpp import estimate as llama_cpp
from planner.llama_cpp.context_params import EngineTool, resolve
from planner.machine.calibration import Calibration
from planner.model import hparams
from planner.vllm import estimate as vllm
from planner.vllm.loadable import why_not_loadable


def estimate_flags(
    candidate: ResolvedModel,
    flags: LlamaFlags | VllmFlags,
    machine: Hardware,
    depth_tokens: int,
    calibration: Calibration,
    tool: EngineTool,
) -> Estimate:
    """Raises: UsageError for a GPU or file that does not exist, a depth beyond the context, or types of the
    KV cache that the engine refuses."""
    check(candidate, flags, machine, depth_tokens)
    if isinstance(flags, VllmFlags):
        quant = candidate.weights.quant
        return vllm.estimate(candidate.shape, flags, machine, quant=quant, depth_tokens=depth_tokens)
    draft = read_second_model("--model-draft", flags.draft_model)
    check_cache_types(candidate.shape, flags)
    if draft is not None:
        types = (flags.draft_cache_type_k or "f16", flags.draft_cache_type_v or "f16")
        check_cache_types(
            draft, replace(flags, cache_type_k=types[0], cache_type_v=types[1]), "the draft model's "
        )
    result = llama_cpp.estimate(
        candidate.shape,
        flags,
        machine,
        depth_tokens=depth_tokens,
        calibration=calibration,
        tool=tool,
        mmproj=read_second_model("--mmproj", flags.mmproj),
        draft=draft,
    )
    return replace(result, notes=(*result.notes, *context_notes(candidate, flags)))


def check(
    candidate: ResolvedModel, flags: LlamaFlags | VllmFlags, machine: Hardware, depth_tokens: int
) -> None:
    """Raises: UsageError for weights that the engine can't load, a GPU that does not exist, or a depth beyond
    the context."""
    if isinstance(flags, VllmFlags):
        if why_not := why_not_loadable(candidate):
            raise UsageError(f"vLLM can't serve {candidate.weights.repo}: {why_not}")
        return
    if flags.split_mode == "none" and (flags.main_gpu or 0) >= max(1, len(machine.gpus)):
        raise UsageError(
            f"--main-gpu {flags.main_gpu} does not exist: {len(machine.gpus)} GPUs, numbered from 0"
        )
    most = resolve(flags, hparams.read_hparams(candidate.shape)).context_per_sequence
    if depth_tokens > most:
        raise UsageError(
            f"--depth {depth_tokens} is more than the context: each sequence has {most} tokens",
            hint=f"give --depth {most} or less, or a larger -c",
        )


def check_cache_types(shape: ModelShape, flags: LlamaFlags, whose: str = "the ") -> None:
    """Raises: UsageError for KV cache types that the engine refuses."""
    parsed = hparams.read_hparams(shape)
    if why := cache_types.why_refused(parsed, flags):
        accepted = " or ".join(cache_types.accepted_types(parsed))
        raise UsageError(
            f"llama-server refuses the types of {whose}KV cache: {why}",
            hint=f"a plan would choose {accepted}; f32, f16 and bf16 have no blocks",
        )


def context_notes(candidate: ResolvedModel, flags: LlamaFlags) -> tuple[str, ...]:
    """A note on a context that is longer than the model was trained for: llama.cpp accepts it. Empty if the
    header has no trained length."""
    trained = candidate.shape.get("context_length")
    if not flags.context_tokens or not isinstance(trained, int):
        return ()
    resolved = resolve(flags, hparams.read_hparams(candidate.shape))
    per_sequence = min(flags.context_tokens, resolved.context_per_sequence)
    if per_sequence <= trained:
        return ()
    return (
        f"the model was trained for a context of {trained} tokens, and each sequence gets {per_sequence}",
    )


def read_second_model(option: str, path: str | None) -> ModelShape | None:
    """The shape of the model in another file of the command line. Raises: UsageError if it does not exist."""
    if path is None:
        return None
    file = Path(path)
    if not file.is_absolute() or not file.is_file():
        raise UsageError(f"{option} {path}: there is no such file", hint="give its absolute path")
    return read_file(file)


def choose_quant(choice: Choice) -> tuple[ResolvedModel, str]:
    """The candidate that a plan would choose, and why in words; of those on this disk if there are any. The
    smallest if none fits."""
    model, candidates = choice.model, choice.candidates
    on_disk = [candidate for candidate in candidates if candidate.weights.location is not None]
    pool = on_disk or list(candidates)
    if len(pool) == 1:
        return pool[0], ", which is on this disk" if on_disk and len(candidates) > 1 else ""
    by_quant = f"; {model}:QUANT selects another" if ":" not in model else ""
    try:
        plan = replace(choice, candidates=pool).plan()
    except DoesNotFitError:
        return min(
            pool, key=lambda one: one.weights.size_bytes
        ), f", the smallest, because no plan fits{by_quant}"
    chosen = next(candidate for candidate in pool if candidate.weights == plan.weights)
    return chosen, f", which a plan would choose{by_quant}"
