"""The quality of quants: how much they lose, and which are acceptable."""

from domain.errors import UnknownModelError
from domain.model import ResolvedModel
from domain.suggestions import near, quants_by_size
from planner.engine import ENGINES

# Below this difference two quants answer alike, and the smaller one is better: F16 and Q8_0 lose 0.002 and
# 0.0026 (llama_cpp/quality.py).
INDISTINGUISHABLE_LOSS = 0.004
# The most that an 8-bit quant loses (int8 of vllm/quality.py): speed decides where many sequences are served.
INDISTINGUISHABLE_LOSS_IN_BATCH = 0.012
UNBOUNDED_LOSS = 1000.0
# The most that a quant of the level may lose: that of Q8_0, Q5_K_M and IQ4_XS, and any.
QUALITY_LEVELS = {"best": 0.01, "high": 0.06, "balanced": 0.3, "small": 20.0}


def loss(model: ResolvedModel) -> float:
    """Added perplexity, comparable between quants of one model only."""
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
