"""The known-answer check: whether the first answer of an engine proves that its model is intact."""

from collections.abc import Mapping

from domain.launches.plan import Plan
from domain.models.catalogue_types import KnownModel
from launchers.readiness import Ready

WORD = "Paris"  # of launchers.readiness.QUESTION
# Smaller models may get it wrong though intact: one of 135 M at 4 bits does with some builds.
MIN_PARAMETERS = 3_000_000_000


def expected(catalogue: Mapping[str, KnownModel], plan: Plan) -> str | None:
    """The word that must be in the answer. ``None`` for a small model or one that is not in the catalogue:
    any text that is not garbage passes."""
    entry = next((model for model in catalogue.values() if plan.weights.repo in _repos(model)), None)
    is_large = entry is not None and (entry.parameters or 0) >= MIN_PARAMETERS
    return WORD if is_large else None


def is_proved(ready: Ready) -> bool:
    """Whether the answer has the word, required or not, or was a known one of another kind."""
    return ready.proved or WORD.casefold() in ready.answer.casefold()


def _repos(model: KnownModel) -> set[str]:
    return {*model.gguf_repos, *model.vllm_repos, *(quant.repo for quant in model.quants)}
