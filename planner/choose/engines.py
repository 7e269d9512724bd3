"""Which engines a choice may fall on: those that can run here, and of these the ones that are at hand."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import BadModelError, UnknownModelError, UsageError
from domain.hardware import Hardware
from domain.model import ResolvedModel
from domain.plan import LLAMA_CPP, VLLM, LaunchOptions
from planner.vllm import kernels, model_config
from planner.vllm.kernels import Support


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """``selectable`` may be chosen; ``priced_only`` are for their price only, ``reasons`` why."""

    selectable: tuple[ResolvedModel, ...]
    priced_only: tuple[ResolvedModel, ...] = ()
    reasons: tuple[str, ...] = ()


def choose_engines(
    name: str, models: Sequence[ResolvedModel], hardware: Hardware, options: LaunchOptions
) -> EngineChoice:
    """The engine wished for; else both, where vLLM has kernels for a GPU here and is installed, or nothing
    is known of engines there. vLLM on a CPU only where no other engine can load the model.

    Raises: UnknownModelError where there is nothing to choose from, UsageError where vLLM can't run."""
    llama = tuple(model for model in models if model.engine == LLAMA_CPP)
    vllm = tuple(model for model in models if model.engine == VLLM)
    if not (vllm if options.engine == VLLM else llama if options.engine else models):
        raise UnknownModelError(name, what=f"{name} has no weights for {options.engine or 'any engine'}")
    if options.engine == LLAMA_CPP or not vllm:
        return EngineChoice(llama)
    if options.engine == VLLM or not llama:
        return EngineChoice(_that_run(name, vllm, hardware, has_other=bool(llama)))
    return _both(llama, vllm, hardware)


def _both(
    llama: tuple[ResolvedModel, ...], vllm: tuple[ResolvedModel, ...], hardware: Hardware
) -> EngineChoice:
    vllm, why_not = _readable(vllm)
    if why_not:
        return EngineChoice(llama, reasons=(f"llama.cpp: {why_not}",))
    if not hardware.gpus:
        return EngineChoice(llama, reasons=("llama.cpp: without a GPU vLLM is slower at its best",))
    verdicts = [(model, on_gpus(model, hardware)) for model in vllm]
    supported = tuple(model for model, verdict in verdicts if verdict)
    if not supported:
        return EngineChoice(llama, reasons=(f"llama.cpp: {verdicts[0][1].why_not}",))
    if lacking := not_at_hand(hardware):
        return EngineChoice(llama, supported, (f"llama.cpp: {lacking}",))
    confirmed = tuple(model for model, verdict in verdicts if verdict and verdict.is_known)
    if not confirmed:
        return EngineChoice(llama, supported, ("llama.cpp: whether vLLM runs on these GPUs is not known",))
    return EngineChoice((*llama, *confirmed))


def _readable(vllm: tuple[ResolvedModel, ...]) -> tuple[tuple[ResolvedModel, ...], str]:
    """Those whose config.json says enough; and why none does."""
    readable, reason = [], ""
    for model in vllm:
        try:
            model_config.read_config(model.shape)
        except BadModelError as error:
            reason = f"{model.weights.repo}: {error}"
        else:
            readable.append(model)
    return tuple(readable), "" if readable else reason


def _that_run(
    name: str, vllm: tuple[ResolvedModel, ...], hardware: Hardware, *, has_other: bool
) -> tuple[ResolvedModel, ...]:
    on_cpu = not hardware.gpus or kernels.is_cpu_build(hardware)
    verdicts = [
        (candidate, kernels.cpu_support(candidate) if on_cpu else on_gpus(candidate, hardware))
        for candidate in vllm
    ]
    supported = tuple(candidate for candidate, verdict in verdicts if verdict)
    if not supported:
        raise UsageError(
            f"vLLM can't serve {name} here: {verdicts[0][1].why_not}",
            hint="leave --engine out: llama.cpp can" if has_other else "name a GGUF repository for llama.cpp",
        )
    return supported


def may_use_gpus(hardware: Hardware) -> bool:
    """Whether vLLM could run some model on a GPU here."""
    return any(kernels.gpu_support(gpu, hardware) for gpu in hardware.gpus)


def on_gpus(model: ResolvedModel, hardware: Hardware) -> Support:
    """Of the GPU that suits vLLM best."""
    verdicts = [kernels.gpu_support(gpu, hardware, model) for gpu in hardware.gpus]
    return max(verdicts, key=lambda verdict: (bool(verdict), verdict.is_known))


def not_at_hand(hardware: Hardware) -> str:
    """Why no vLLM that uses GPUs can be started, empty where one can or nothing is known of engines."""
    if not hardware.engines:
        return ""
    builds = [engine for engine in hardware.engines if engine.engine == VLLM]
    usable = [engine for engine in builds if engine.problem is None]
    if not builds:
        return "vLLM is not installed here"
    if not usable:
        return f"vLLM can't be used here: {builds[0].problem}"
    return "the vLLM that is installed here is built for CPUs" if kernels.is_cpu_build(hardware) else ""
