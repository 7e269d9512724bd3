"""Whether an answer proves that a model is whole: the known word is in it, or nobody can tell."""

from collections.abc import Mapping

from domain.catalogue_types import KnownModel
from domain.plan import Plan
from launchers.readiness import Ready

WORD = "Paris"  # of launchers.readiness.QUESTION
# A smaller model may honestly miss it: for one of 135 M at 4 bits it depends on the build.
SURE_PARAMETERS = 3_000_000_000


def expected(catalogue: Mapping[str, KnownModel], plan: Plan) -> str | None:
    """The word that must be in the answer; ``None`` where no word can be demanded: of a model that is not
    in the catalogue, or of a small one, any text that is no garbage will do."""
    known = next((model for model in catalogue.values() if plan.weights.repo in _repos(model)), None)
    sure = known is not None and (known.parameters or 0) >= SURE_PARAMETERS
    return WORD if sure else None


def is_proved(ready: Ready) -> bool:
    """Whoever says the word knows it, demanded or not."""
    return WORD.casefold() in ready.answer.casefold()


def _repos(model: KnownModel) -> set[str]:
    return {*model.gguf_repos, *model.vllm_repos, *(quant.repo for quant in model.quants)}
