"""Runs the checks of the doctor, in a fixed order. README.md says how to add one."""

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
    engine_sandbox,
    groups,
    heat,
    hub,
    huge_pages,
    kernel_log,
    launches,
    memlock,
    memory,
    page_cache,
    pcie,
    power,
    problems,
    rocm,
    sandbox,
    secrets,
    settings,
    shared_memory,
    state,
    swap,
    variables,
    versions,
)
from daemon.doctor.checks.finding import Check, Finding, NamedFinding, Verdict, not_known
from daemon.doctor.checks.input import Daemon, DoctorInput, LaunchHealth
from daemon.launches.launch import Launch
from daemon.machine import snapshot
from daemon.state.records import now
from domain.errors import UsageError
from domain.launches.launch import LaunchState
from domain.suggestions import did_you_mean

CHECKS: dict[str, Check] = {
    "daemon": daemon.check,
    "settings": settings.check,
    "variables": variables.check,
    "secrets": secrets.check,
    "state": state.check,
    "launches": launches.check,
    "engine": engine.check,
    "driver": driver.check,
    "sandbox": sandbox.check,
    "engine-sandbox": engine_sandbox.check,
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
    "kernel-log": kernel_log.check,
    "hub": hub.check,
    "problems": problems.check,
}
HUB = "hub"

log = logging.getLogger(__name__)


async def collect_inputs(app: App, *, caller_uid: int | None, ask_hub: bool) -> DoctorInput:
    uptime = datetime.fromisoformat(now()) - datetime.fromisoformat(app.since)
    hardware = await snapshot.displayed(app, fresh=True)
    return await asyncio.to_thread(
        lambda: collect.collect_inputs(
            app.settings,
            hardware,
            Daemon(uptime_s=uptime.total_seconds(), gateway_problem=app.gateway.problem),
            launches=tuple(_launch_health(launch) for launch in app.launches.values()),
            events=app.store.events.since(),
            loaded=app.loaded,
            caller_uid=caller_uid,
            ask_hub=ask_hub,
        )
    )


def run_checks(inputs: DoctorInput, only: str | None = None) -> tuple[NamedFinding, ...]:
    """All checks, or the one named ``only``. A check that does not apply to this machine returns nothing."""
    return tuple(
        NamedFinding(
            name,
            finding.status,
            finding.found,
            finding.why,
            finding.fix,
            "" if finding.status is Verdict.OK else recheck_command(name),
        )
        for name, check in CHECKS.items()
        if only in (None, name)
        for finding in _run_isolated(check, inputs)
    )


def _run_isolated(check: Check, inputs: DoctorInput) -> tuple[Finding, ...]:
    try:
        return check(inputs)
    except Exception as bug:  # a bug in one check must not hide the findings of the others
        log.exception("check failed: %s", check.__module__)
        fix = "this is a bug; node-ctl doctor --report FILE collects what a bug report needs"
        return not_known(f"the check failed: {bug!r}", fix=fix)


def recheck_command(name: str) -> str:
    return f"node-ctl doctor --check {name}"


def require_check(name: str) -> str:
    """Raises: UsageError if there is no check of this name."""
    if name not in CHECKS:
        raise UsageError(f"no check is called {name!r}", hint=did_you_mean(name, CHECKS))
    return name


def _launch_health(launch: Launch) -> LaunchHealth:
    attempts = launch.attempts
    is_stuck = launch.state is LaunchState.STOPPING and attempts.last_error is not None
    return LaunchHealth(
        name=launch.name,
        state=launch.state,
        desired=launch.lifecycle.desired,
        restarts=attempts.restarts,
        last_error=attempts.last_error,
        stuck_pid=launch.pid if is_stuck else None,
        own_user_because=None if launch.engine is None else launch.engine.process.own_user_because,
    )
