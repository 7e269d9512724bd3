"""The quality of quants: how much they lose, and which are acceptable."""

from math import prod

from domain.errors import UnknownModelError, UsageError
from domain.models.model import ResolvedModel
from domain.suggestions import near, quants_by_size
from domain.units import percent
from planner.choose.sensitivity import loss_percent
from planner.engine import ENGINES

# In percent of perplexity (``llama_cpp/quality.py``). Below this difference two quants answer alike, and the
# smaller one is better: Q8_0 loses at most 0.046 (``sensitivity.MAX_FACTOR``).
INDISTINGUISHABLE_LOSS = 0.06
# The most that an 8-bit quant loses (int8 of vllm/quality.py): speed decides where many sequences are served.
INDISTINGUISHABLE_LOSS_IN_BATCH = 0.2
UNBOUNDED_LOSS = float("inf")
# The most that a quant of the level may lose: that of Q8_0, Q5_K_M and IQ4_XS on Llama-3-8B, and any.
QUALITY_LEVELS = {
    "best": 0.1,
    "high": 1.0,
    "balanced": 5.0,
    "fast": UNBOUNDED_LOSS,
    "small": UNBOUNDED_LOSS,
}


def loss(model: ResolvedModel) -> float:
    """Added perplexity, in percent of that of the model at full precision."""
    return ENGINES[model.engine].quality_loss(model)


def filter_by_quality(models: tuple[ResolvedModel, ...], quality: str | None) -> tuple[ResolvedModel, ...]:
    """The models with the named quant, or of at least the named level.

    Raises: UnknownModelError with the quants that there are, as for one that follows the model's name."""
    if quality is None:
        return models
    if quality.lower() in QUALITY_LEVELS:
        limit = QUALITY_LEVELS[quality.lower()]
        matching = tuple(model for model in models if loss(model) <= limit)
        return matching or (min(models, key=loss),)
    matching = tuple(model for model in models if model.weights.quant.upper() == quality.upper())
    if not matching:
        raise _unknown_quality(models, quality)
    return matching


def filter_by_least(models: tuple[ResolvedModel, ...], least: str | None) -> tuple[ResolvedModel, ...]:
    """The models that lose no more than ``least``, a level or a quant: one that is not among them counts by
    its name.

    Raises: UsageError if none is as good; UnknownModelError if that is no quality."""
    if least is None or not models:
        return models
    limit = _most_loss(models, least)
    good = tuple(model for model in models if loss(model) <= limit)
    if not good:
        best = min(models, key=loss)
        raise UsageError(
            f"no quant here is as good as {least}: the best, {best.weights.quant}, adds about "
            f"{percent(loss(best))} to the perplexity, {least} at most {percent(limit)}",
            hint=f"give --min-quality {best.weights.quant}, or a smaller model",
        )
    return good


def _most_loss(models: tuple[ResolvedModel, ...], least: str) -> float:
    named = [loss(model) for model in models if model.weights.quant.upper() == least.upper()]
    if named:
        return max(named)
    if least.lower() in QUALITY_LEVELS:
        return QUALITY_LEVELS[least.lower()]
    references = [engine.named_loss(least) for engine in ENGINES.values()]
    known = [reference for reference in references if reference is not None]
    if not known:
        raise _unknown_quality(models, least)
    parameters = max(sum(prod(tensor.shape) for tensor in model.shape.tensors) for model in models)
    return loss_percent(known[0], parameters)


def _unknown_quality(models: tuple[ResolvedModel, ...], quality: str) -> UnknownModelError:
    sizes = {model.weights.quant: model.weights.size_bytes for model in models}
    meant = near(quality, (*sizes, *QUALITY_LEVELS))
    guess = f"did you mean {', '.join(meant)}? " if meant else ""
    hint = (
        f"{guess}{'Give' if meant else 'give'} one of {quants_by_size(sizes)}, or {', '.join(QUALITY_LEVELS)}"
    )
    what = f"{models[0].weights.repo}: there is no quant {quality}"
    error = UnknownModelError(quality, near=meant, what=what)
    error.hint = hint
    return error
