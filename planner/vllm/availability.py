"""Whether vLLM can run a model here, and whether it may be chosen over an engine that runs everywhere."""

from domain.errors import BadModelError
from domain.launches.plan import VLLM
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel
from planner.choose.support import EngineChoice, Support
from planner.vllm import kernels
from planner.vllm.loadable import why_not_loadable
from planner.vllm.model_config import read_config


def support(model: ResolvedModel, hardware: Hardware) -> Support:
    if why_not := why_not_loadable(model):
        return Support(why_not)
    if not hardware.gpus or kernels.is_cpu_build(hardware):
        return kernels.cpu_support(model)
    return best_gpu_support(model, hardware)


def as_alternative(models: tuple[ResolvedModel, ...], hardware: Hardware) -> EngineChoice:
    """Selectable where it has kernels for a GPU here and is installed, or no engine is known to be.

    On a CPU it is slower than llama.cpp at its best, and left to be asked for."""
    readable, why_not = _loadable(models)
    if why_not:
        return EngineChoice((), reasons=(why_not,))
    if not hardware.gpus:
        return EngineChoice((), reasons=("without a GPU vLLM is slower",))
    verdicts = [(model, best_gpu_support(model, hardware)) for model in readable]
    supported = tuple(model for model, verdict in verdicts if verdict)
    if not supported:
        return EngineChoice((), reasons=(verdicts[0][1].why_not,))
    if why_unavailable := _why_unavailable(hardware):
        return EngineChoice((), supported, (why_unavailable,))
    confirmed = tuple(model for model, verdict in verdicts if verdict and verdict.is_known)
    if not confirmed:
        return EngineChoice((), supported, ("whether vLLM runs on these GPUs is not known",))
    return EngineChoice(confirmed)


def _loadable(models: tuple[ResolvedModel, ...]) -> tuple[tuple[ResolvedModel, ...], str]:
    """The models that vLLM can load, and whose config.json says enough; the reason if there is none."""
    loadable, reason = [], ""
    for model in models:
        why_not = why_not_loadable(model)
        try:
            read_config(model.shape)
        except BadModelError as error:
            why_not = why_not or str(error)
        if why_not:
            reason = f"{model.weights.repo}: {why_not}"
        else:
            loadable.append(model)
    return tuple(loadable), "" if loadable else reason


def may_use_gpus(hardware: Hardware) -> bool:
    """Whether vLLM could run some model on a GPU here."""
    return any(kernels.gpu_support(gpu, hardware) for gpu in hardware.gpus)


def best_gpu_support(model: ResolvedModel, hardware: Hardware) -> Support:
    """That of the GPU that suits vLLM best."""
    verdicts = [kernels.gpu_support(gpu, hardware, model) for gpu in hardware.gpus]
    return max(verdicts, key=lambda verdict: (bool(verdict), verdict.is_known))


def _why_unavailable(hardware: Hardware) -> str:
    """Why no vLLM that uses GPUs can be started; empty if one can, or if no installed engine is known."""
    if not hardware.engines:
        return ""
    builds = [build for build in hardware.engines if build.engine == VLLM]
    usable = [build for build in builds if build.problem is None]
    if not builds:
        return "vLLM is not installed here"
    if not usable:
        return f"vLLM can't be used here: {builds[0].problem}"
    return "the vLLM that is installed here is built for CPUs" if kernels.is_cpu_build(hardware) else ""
