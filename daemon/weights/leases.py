"""The lease on the weights that this daemon uses, and what those of other daemons forbid."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from catalog.local import delete, layout
from catalog.local import verify as hashes
from catalog.local.leases import EXPIRES, Held, Holder
from daemon.app import App
from daemon.weights import usage
from domain.errors import BusyError
from domain.models.local_model import LocalModel
from domain.models.model import Weights

log = logging.getLogger(__name__)


async def renew(app: App) -> None:
    """A scheduled job, and before weights are used. Where it can't be written, weights are used all the
    same: another daemon could remove them."""
    async with app.lease_lock:
        used = await usage.current(app)
        try:
            await asyncio.to_thread(app.leases.hold, used.paths)
        except OSError as error:
            log.warning("no lease on the weights in use: folder=%s %s", app.settings.models_dir, error)


def error_of(app: App, model: str, held: Held, holder: Holder | None) -> BusyError:
    if holder is None:
        return BusyError(
            f"{model} may be in use: the lease {held.unreadable} of another node-daemon can't be read",
            hint=f"let this user read it; it expires {EXPIRES} after its daemon has ended",
        )
    return BusyError(
        f"{model} is in use by {holder.describe(app.boot_id)}",
        hint=holder.next_step(app.boot_id),
    )


def holders(app: App, models: Sequence[LocalModel]) -> tuple[Held, dict[str, Holder]]:
    """What other daemons hold, and those of ``models``, by name. Blocks."""
    held = app.leases.held()
    found = ((model.name, held.holder_of(app.leases.names(model))) for model in models)
    return held, {name: holder for name, holder in found if holder is not None}


def remove(app: App, model: LocalModel) -> int | None:
    """The bytes freed; None if another daemon holds it. Blocks. Raises: OSError."""
    try:
        with app.leases.removing() as held:
            if held.may_hold(app.leases.names(model)):
                return None
            return delete.remove(model)
    except TimeoutError as error:
        log.warning("not removed: model=%s %s", model.name, error)
        return None


def sweep(app: App, wanted: frozenset[Path], leftovers: tuple[Path, ...]) -> int:
    """The bytes freed of ``leftovers`` that are still nobody's. Blocks."""
    with app.leases.removing() as held:
        if held.unreadable is not None:
            return 0
        wanted |= parts_of(app, held)
        still = set(delete.leftovers(app.settings.models_dir, wanted))
        return delete.sweep([path for path in leftovers if path in still])


def parts_of(app: App, held: Held) -> frozenset[Path]:
    return frozenset(app.settings.models_dir / name for name in held.files)


def set_aside(app: App, model: LocalModel) -> None:
    """Unless another daemon holds it. Blocks. Raises: OSError."""
    with app.leases.removing() as held:
        if not held.may_hold(app.leases.names(model)):
            hashes.set_aside(model)


async def check_replaceable(app: App, weights: Weights) -> None:
    """A download replaces what is there with another size. Raises: BusyError where another daemon uses it."""
    folder = layout.folder_of(weights, app.settings.models_dir)

    def find() -> tuple[str, Held, Holder | None] | None:
        held = app.leases.held()
        for file in weights.files:
            path = folder / file.name
            if not path.exists() or layout.is_whole(path, file.size_bytes):
                continue
            names = (app.leases.name(path), app.leases.name(path.resolve()))
            if held.may_hold(names):
                return file.name, held, held.holder_of(names)
        return None

    if (found := await asyncio.to_thread(find)) is not None:
        raise error_of(app, *found)
