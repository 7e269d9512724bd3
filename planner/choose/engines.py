"""The engines that a choice may fall on: those that can run here, and of these the installed ones."""

from collections.abc import Sequence

from domain.errors import UnknownModelError, UsageError
from domain.launches.plan import LaunchOptions
from domain.machine.hardware import Hardware
from domain.models.model import ResolvedModel
from planner.choose.support import EngineChoice
from planner.engine import ENGINES


def choose_engines(
    name: str, models: Sequence[ResolvedModel], hardware: Hardware, options: LaunchOptions
) -> EngineChoice:
    """The requested engine; else the first of ``ENGINES`` that has weights, and others that can compete with
    it.

    Raises: UnknownModelError if there are no weights; UsageError if the only engine can't run here."""
    by_engine = {
        engine: tuple(model for model in models if model.engine == engine)
        for engine in ENGINES
        if any(model.engine == engine for model in models)
    }
    eligible = [engine for engine in by_engine if options.engine in (None, engine)]
    if not eligible:
        raise UnknownModelError(name, what=f"{name} has no weights for {options.engine or 'any engine'}")
    first, *others = eligible
    if not others:
        alternative = next((engine for engine in by_engine if engine != first), None)
        return EngineChoice(_supported(name, by_engine[first], hardware, alternative))
    choice = EngineChoice(by_engine[first])
    for engine in others:
        other = ENGINES[engine].as_alternative(by_engine[engine], hardware)
        choice = EngineChoice(
            (*choice.selectable, *other.selectable),
            (*choice.priced_only, *other.priced_only),
            (*choice.reasons, *(f"{first}: {reason}" for reason in other.reasons)),
        )
    return choice


def _supported(
    name: str, models: tuple[ResolvedModel, ...], hardware: Hardware, alternative: str | None
) -> tuple[ResolvedModel, ...]:
    engine = models[0].engine
    verdicts = [(model, ENGINES[engine].support(model, hardware)) for model in models]
    supported = tuple(model for model, verdict in verdicts if verdict)
    if supported:
        return supported
    if not (kind := models[0].weights.kind).is_served:
        raise UsageError(f"no engine here serves {name}: {verdicts[0][1].why_not}", hint=kind.hint)
    hint = f"leave --engine out: {alternative} can" if alternative else "name weights for another engine"
    raise UsageError(f"{engine} can't serve {name} here: {verdicts[0][1].why_not}", hint=hint)
