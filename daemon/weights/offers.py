"""Offers models of the hub where no alias has the name: what fits here, trusted publishers first."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from catalog import names
from config import data
from daemon.app import App
from daemon.machine import snapshot
from daemon.planning import plan as planning
from daemon.weights.hub_search import search
from domain.errors import DoesNotFitError, NodeError
from domain.launches.plan import LaunchOptions
from domain.machine.hardware import Hardware
from domain.models.catalogue_types import KnownModel
from domain.models.offer import Offer, Offers
from domain.models.search_result import SearchResult
from planner.machine.calibration import Calibration

log = logging.getLogger(__name__)

MAX_SEARCHED = 40
MAX_PLANNED = 6
PLANNED_WITHIN_S = 30.0
MAX_ALIASES = 6


async def offers(app: App, words: str, options: LaunchOptions) -> Offers:
    """Launches and reserves nothing. A hub that can't be asked is told in ``problem``."""
    if " " not in words and names.lookup(names.parse(words, app.catalogue), app.catalogue) is not None:
        return Offers(known=True)
    aliases = with_all(words, app.catalogue)
    try:
        found = await search(app, words, limit=MAX_SEARCHED, formats=("gguf",))
    except NodeError as error:
        return Offers(aliases=aliases, problem=str(error))
    publishers = await asyncio.to_thread(data.publishers)
    machine = await snapshot.latest(app)
    chosen = ranked(found, publishers)[:MAX_PLANNED]
    planned = await asyncio.gather(*(_offer(app, result, publishers, machine, options) for result in chosen))
    return Offers(aliases=aliases, hub=tuple(sorted(planned, key=lambda offer: bool(offer.why_not))))


def with_all(words: str, catalogue: Mapping[str, KnownModel]) -> tuple[str, ...]:
    """The aliases whose name or title has all ``words``, the shortest first."""
    wanted = words.lower().split()
    found = [alias for alias, model in catalogue.items() if _has(f"{alias} {model.title}".lower(), wanted)]
    return tuple(sorted(found, key=lambda alias: (len(alias), alias))[:MAX_ALIASES])


def _has(text: str, wanted: Sequence[str]) -> bool:
    return bool(wanted) and all(word in text for word in wanted)


def ranked(found: Sequence[SearchResult], publishers: Mapping[str, str]) -> list[SearchResult]:
    """Trusted publishers in their order, then the most downloaded; each model of a trusted one once."""
    order = list(publishers)

    def place(result: SearchResult) -> tuple[int, int]:
        owner = result.repo.split("/")[0]
        return (order.index(owner) if owner in publishers else len(order), -(result.downloads or 0))

    best: dict[str, SearchResult] = {}
    for result in sorted(found, key=place):
        best.setdefault(_model_of(result.repo), result)
    return list(best.values())


def _model_of(repo: str) -> str:
    """``bartowski/Qwen_Qwen3-8B-GGUF`` is of the same model as ``unsloth/Qwen3-8B-GGUF``."""
    name = repo.partition("/")[2].lower().removesuffix("-gguf")
    return name.rpartition("_")[2]


async def _offer(
    app: App, result: SearchResult, publishers: Mapping[str, str], machine: Hardware, options: LaunchOptions
) -> Offer:
    trusted = publishers.get(result.repo.split("/")[0], "")
    try:
        async with asyncio.timeout(PLANNED_WITHIN_S):
            most_bytes = planning.total_memory_bytes(machine)
            models = await planning.resolve_models(
                app, result.repo, options, (machine,), most_bytes=most_bytes
            )
            plan = await planning.choose_plan(app, result.repo, models, machine, options, Calibration())
    except DoesNotFitError as error:
        return Offer(result.repo, downloads=result.downloads, trusted=trusted, why_not=_short(error))
    except (NodeError, TimeoutError) as error:
        log.info("not offered: repo=%s why=%s", result.repo, error)
        why = _short(error) if str(error) else f"the hub took more than {PLANNED_WITHIN_S:.0f} s"
        return Offer(result.repo, downloads=result.downloads, trusted=trusted, why_not=why)
    speed = plan.speed.decode_tokens_per_s
    return Offer(
        result.repo,
        quant=plan.weights.quant,
        size_bytes=plan.weights.size_bytes,
        context_tokens=plan.context_tokens,
        decode_tokens_per_s=None if speed is None else speed.expected,
        downloads=result.downloads,
        trusted=trusted,
    )


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0]
