"""Ensures that the weights of a launch are on this disk."""

import asyncio
import logging
from dataclasses import replace

from catalog.local import inventory
from daemon.app import App
from daemon.launches.launch import Launch
from daemon.launches.state_machine import Event
from daemon.state.records import now
from daemon.weights import leases, second_files
from daemon.weights.downloads import download
from domain.anonymize import without_secrets
from domain.errors import DownloadError, StateError
from domain.launches.launch import LaunchState, Progress, Step
from domain.launches.plan import Plan
from domain.models.model import Weights
from domain.units import gib

log = logging.getLogger(__name__)


async def ensure_downloaded(app: App, launch: Launch, plan: Plan) -> Plan:
    """``plan`` with the location of its weights, downloaded if missing. Raises: DownloadError,
    DiskFullError."""
    weights = plan.weights
    if weights.location is not None:
        await leases.renew(app)
        launch.reuse("the weights on disk")
    elif app.settings.offline:
        raise DownloadError(
            f"{without_secrets(weights.repo)} is not on this disk, and offline is set",
            hint="set offline to false to fetch it",
        )
    else:
        launch.apply(Event.DOWNLOAD)
        launch.say(
            Step.DOWNLOAD,
            f"fetching {without_secrets(weights.repo)} {weights.quant}, {gib(weights.size_bytes)}",
        )
        await app.in_flight.begin(launch.key, f"beginning the download of {launch.name}")

        def follow(progress: Progress) -> None:
            app.in_flight.rest(launch.key)  # a process of its own fetches
            launch.progress.add(progress)

        weights = await download(app, weights, follow, is_urgent=True)
    await _ensure_second_files(app, launch, weights, plan)
    await _record_use(app, weights)
    return replace(plan, weights=weights)


async def _ensure_second_files(app: App, launch: Launch, weights: Weights, plan: Plan) -> None:
    """A projector and a draft of the plan."""
    companions = second_files.used(weights, plan.flags)
    lacking = await asyncio.to_thread(second_files.missing, weights, companions)
    if lacking is None:
        return
    if app.settings.offline:
        raise DownloadError(
            f"the {lacking.quant} of {without_secrets(weights.repo)} is not on this disk, and offline is set",
            hint="set offline to false to fetch it, or decline it: --no-mmproj, --no-draft",
        )
    if launch.state is not LaunchState.DOWNLOADING:
        launch.apply(Event.DOWNLOAD)
    launch.say(Step.DOWNLOAD, f"fetching its {lacking.quant}, {gib(lacking.size_bytes)}")

    def follow(progress: Progress) -> None:
        launch.progress.add(progress)

    await download(app, lacking, follow, is_urgent=True)


async def _record_use(app: App, weights: Weights) -> None:
    """A failure is only logged: the model is served all the same."""
    try:
        await app.store.run(app.store.models.update, inventory.name_of(weights), used_at=now())
    except StateError as error:
        log.warning("time of use not stored: %s", error)
