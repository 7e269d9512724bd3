"""All checks, one after the other: what is in the way of serving, why, and what to do about it."""

import asyncio
import logging
from datetime import datetime

from daemon.app import App
from daemon.doctor import collect
from daemon.doctor.checks import (
    clock,
    cuda,
    daemon,
    disk,
    driver,
    early_oom,
    engine,
    groups,
    heat,
    hub,
    huge_pages,
    launches,
    memlock,
    memory,
    page_cache,
    pcie,
    power,
    problems,
    rocm,
    sandbox,
    shared_memory,
    swap,
    versions,
)
from daemon.doctor.checks.finding import Check, Finding, NamedFinding, Verdict, not_known
from daemon.doctor.checks.input import Daemon, DoctorInput, LaunchHealth
from daemon.launches.launch import Launch
from daemon.machine import snapshot
from daemon.state.records import now
from domain.errors import UsageError
from domain.launch import LaunchState

CHECKS: dict[str, Check] = {
    "daemon": daemon.check,
    "launches": launches.check,
    "engine": engine.check,
    "driver": driver.check,
    "sandbox": sandbox.check,
    "groups": groups.check,
    "versions": versions.check,
    "rocm": rocm.check,
    "cuda": cuda.check,
    "memory": memory.check,
    "shared-memory": shared_memory.check,
    "huge-pages": huge_pages.check,
    "page-cache": page_cache.check,
    "early-oom": early_oom.check,
    "swap": swap.check,
    "memlock": memlock.check,
    "disk": disk.check,
    "power": power.check,
    "pcie": pcie.check,
    "heat": heat.check,
    "clock": clock.check,
    "hub": hub.check,
    "problems": problems.check,
}
HUB = "hub"

log = logging.getLogger(__name__)


async def facts(app: App, *, caller_uid: int | None, ask_hub: bool) -> DoctorInput:
    up = datetime.fromisoformat(now()) - datetime.fromisoformat(app.since)
    seen = await snapshot.probe_now(app)
    return await asyncio.to_thread(
        lambda: collect.read(
            app.settings,
            seen,
            Daemon(uptime_s=up.total_seconds()),
            launches=tuple(_watched(launch) for launch in app.launches.values()),
            events=app.store.events.since(),
            caller_uid=caller_uid,
            ask_hub=ask_hub,
        )
    )


def findings(seen: DoctorInput, only: str | None = None) -> tuple[NamedFinding, ...]:
    """Of all checks in their order, or of one. A check that has nothing to look at here tells nothing."""
    return tuple(
        NamedFinding(name, one.status, one.found, one.why, one.fix, recheck(name) if _bad(one.status) else "")
        for name, check in CHECKS.items()
        if only in (None, name)
        for one in guarded(check, seen)
    )


def guarded(check: Check, seen: DoctorInput) -> tuple[Finding, ...]:
    try:
        return check(seen)
    except Exception as bug:  # what one check didn't foresee of a machine must not hide what the others find
        log.exception("check broke: %s", check.__module__)
        return not_known(f"the check broke: {bug!r}", fix="it is a bug worth a report: --report FILE")


def recheck(name: str) -> str:
    return f"node-ctl doctor --check {name}"


def known(name: str) -> str:
    """Raises: UsageError for what is the name of no check."""
    if name not in CHECKS:
        raise UsageError(f"no check is called {name!r}", hint=f"there are: {', '.join(CHECKS)}")
    return name


def _bad(status: Verdict) -> bool:
    return status is not Verdict.OK


def _watched(launch: Launch) -> LaunchHealth:
    attempts = launch.attempts
    stuck = launch.state is LaunchState.STOPPING and attempts.last_error is not None
    return LaunchHealth(
        name=launch.name,
        state=launch.state,
        wanted=launch.lifecycle.desired,
        restarts=attempts.restarts,
        last_error=attempts.last_error,
        stuck_pid=launch.pid if stuck else None,
    )
