"""Which engines a choice may fall on: those that can run here, and of these the ones that are at hand."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import BadModelError, UnknownModelError, UsageError
from domain.hardware import Hardware
from domain.model import ResolvedModel
from domain.plan import LLAMA_CPP, VLLM, LaunchOptions
from planner.vllm import kernels, model_config
from planner.vllm.kernels import Verdict


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """``mine`` may be chosen; ``others`` are for their price only, ``said`` why."""

    mine: tuple[ResolvedModel, ...]
    others: tuple[ResolvedModel, ...] = ()
    said: tuple[str, ...] = ()


def weigh(
    model: str, candidates: Sequence[ResolvedModel], hardware: Hardware, wish: LaunchOptions
) -> EngineChoice:
    """The engine wished for; else both, where vLLM has kernels for a GPU here and is installed, or nothing
    is known of engines there. vLLM on a CPU only where no other engine can load the model.

    Raises: UnknownModelError where there is nothing to choose from, UsageError where vLLM can't run."""
    llama = tuple(one for one in candidates if one.engine == LLAMA_CPP)
    vllm = tuple(one for one in candidates if one.engine == VLLM)
    if not (vllm if wish.engine == VLLM else llama if wish.engine else candidates):
        raise UnknownModelError(model, what=f"{model} has no weights for {wish.engine or 'any engine'}")
    if wish.engine == LLAMA_CPP or not vllm:
        return EngineChoice(llama)
    if wish.engine == VLLM or not llama:
        return EngineChoice(_that_run(model, vllm, hardware, has_other=bool(llama)))
    return _both(llama, vllm, hardware)


def _both(
    llama: tuple[ResolvedModel, ...], vllm: tuple[ResolvedModel, ...], hardware: Hardware
) -> EngineChoice:
    vllm, why_not = _readable(vllm)
    if why_not:
        return EngineChoice(llama, said=(f"llama.cpp: {why_not}",))
    if not hardware.gpus:
        return EngineChoice(llama, said=("llama.cpp: without a GPU vLLM is slower at its best",))
    verdicts = [(one, on_gpus(one, hardware)) for one in vllm]
    running = tuple(one for one, verdict in verdicts if verdict)
    if not running:
        return EngineChoice(llama, said=(f"llama.cpp: {verdicts[0][1].why_not}",))
    if lacking := not_at_hand(hardware):
        return EngineChoice(llama, running, (f"llama.cpp: {lacking}",))
    known = tuple(one for one, verdict in verdicts if verdict and verdict.is_known)
    if not known:
        return EngineChoice(llama, running, ("llama.cpp: whether vLLM runs on these GPUs is not known",))
    return EngineChoice((*llama, *known))


def _readable(vllm: tuple[ResolvedModel, ...]) -> tuple[tuple[ResolvedModel, ...], str]:
    """Those whose config.json says enough; and why none does."""
    found, why = [], ""
    for one in vllm:
        try:
            model_config.read(one.shape)
        except BadModelError as error:
            why = f"{one.weights.repo}: {error}"
        else:
            found.append(one)
    return tuple(found), "" if found else why


def _that_run(
    model: str, vllm: tuple[ResolvedModel, ...], hardware: Hardware, *, has_other: bool
) -> tuple[ResolvedModel, ...]:
    on_cpu = not hardware.gpus or kernels.is_cpu_build(hardware)
    verdicts = [(one, kernels.of_cpu(one) if on_cpu else on_gpus(one, hardware)) for one in vllm]
    running = tuple(one for one, verdict in verdicts if verdict)
    if not running:
        raise UsageError(
            f"vLLM can't serve {model} here: {verdicts[0][1].why_not}",
            hint="leave --engine out: llama.cpp can" if has_other else "name a GGUF repository for llama.cpp",
        )
    return running


def may_use_gpus(hardware: Hardware) -> bool:
    """Whether vLLM could run some model on a GPU here."""
    return any(kernels.of_gpu(gpu, hardware) for gpu in hardware.gpus)


def on_gpus(candidate: ResolvedModel, hardware: Hardware) -> Verdict:
    """Of the GPU that suits vLLM best."""
    verdicts = [kernels.of_gpu(gpu, hardware, candidate) for gpu in hardware.gpus]
    return max(verdicts, key=lambda verdict: (bool(verdict), verdict.is_known))


def not_at_hand(hardware: Hardware) -> str:
    """Why no vLLM that uses GPUs can be started, empty where one can or nothing is known of engines."""
    if not hardware.engines:
        return ""
    builds = [one for one in hardware.engines if one.engine == VLLM]
    usable = [one for one in builds if one.problem is None]
    if not builds:
        return "vLLM is not installed here"
    if not usable:
        return f"vLLM can't be used here: {builds[0].problem}"
    return "the vLLM that is installed here is built for CPUs" if kernels.is_cpu_build(hardware) else ""
