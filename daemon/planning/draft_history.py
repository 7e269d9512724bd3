"""Whether drafting tokens gained anything here: measured at the first start, kept for all later plans."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from daemon.app import App
from daemon.planning.speed_history import draft_key
from domain.errors import EngineError
from domain.launches.plan import LLAMA_CPP
from domain.machine.hardware import Hardware
from domain.models.classification import mtp_layers_of
from domain.models.kinds import Kind
from domain.models.model import ResolvedModel
from domain.units import rate
from planner.llama_cpp.companions.draft_search import MIN_GAIN


@dataclass(frozen=True, slots=True)
class DraftTrial:
    """Tokens a second without and with ``what`` drafting. Stored under a key of the model's files, the engine
    build and the devices: on others it is measured again."""

    what: str
    plain: float
    drafted: float

    @property
    def pays(self) -> bool:
        return self.drafted >= MIN_GAIN * self.plain

    @property
    def summary(self) -> str:
        gain = self.drafted / self.plain - 1 if self.plain else 0.0
        rates = f"{rate(self.drafted)} tokens/s with it, {rate(self.plain)} without"
        return f"drafting with {self.what} gains {100 * gain:.0f} % ({rates})"


async def with_measured_drafts(
    app: App, candidates: Sequence[ResolvedModel], machine: Hardware
) -> tuple[ResolvedModel, ...]:
    """``candidates``, of which those don't draft that gained less than a tenth."""
    if not any(_can_draft(model) for model in candidates):
        return tuple(candidates)
    try:
        caps = await asyncio.to_thread(app.adapters.engine, LLAMA_CPP)
    except EngineError:  # none is installed: nothing was measured
        return tuple(candidates)
    found = []
    for model in candidates:
        key = draft_key(model.weights, machine, caps)
        trial = await app.store.recall(DraftTrial, key) if _can_draft(model) else None
        found.append(model if trial is None or trial.pays else _dropped(model, trial))
    return tuple(found)


def _dropped(model: ResolvedModel, trial: DraftTrial) -> ResolvedModel:
    note = f"no draft: as measured here, {trial.summary}"
    return replace(model, may_draft=False, notes=(*model.notes, note))


def _can_draft(model: ResolvedModel) -> bool:
    is_llama_cpp = model.engine == LLAMA_CPP
    has_draft = any(companion.role is Kind.DRAFT for companion in model.weights.beside)
    return is_llama_cpp and (has_draft or mtp_layers_of(model.shape) > 0)
