"""Reads the input of all checks, in one place. Blocks for about a second: call it in a thread."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

from catalog.hub import errors
from config import loading, versions
from config.loading import Loaded
from config.settings import Settings
from daemon.doctor.checks.input import Daemon, Disk, DoctorInput, Hub, LaunchHealth
from daemon.doctor.secret_files import read_secret_files
from daemon.machine.disk_space import existing_folder
from daemon.state.records import Event, now
from domain.errors import DownloadError
from domain.machine.hardware import Hardware
from launchers import gpu_targets
from launchers.environment import overriding
from launchers.sandbox.support import read_support
from probes import kernel_log
from probes.system import accounts, clock, setup, systemd

UNIT = "node-daemon.service"
HUB_TIMEOUT_S = 10.0
GPU_BACKENDS = frozenset({"cuda", "rocm", "hip"})


def collect_inputs(
    settings: Settings,
    hardware: Hardware,
    daemon: Daemon,
    *,
    launches: tuple[LaunchHealth, ...] | None,
    events: tuple[Event, ...] | None,
    loaded: Loaded,
    caller_uid: int | None = None,
    ask_hub: bool = False,
) -> DoctorInput:
    """Hardware, launches and events are passed in, because a daemon has them at hand. ``loaded`` is of its
    start."""
    is_this_machine = settings.sysroot == Path("/")
    unit = systemd.read_unit(UNIT) if is_this_machine else None
    own = accounts.by_uid(os.getuid())
    return DoctorInput(
        hardware=hardware,
        system=setup.probe(settings.sysroot),
        daemon=replace(daemon, as_service=unit is not None and unit.main_pid == os.getpid()),
        unit=unit,
        launches=launches,
        events=events,
        runs_as=own,
        unit_user=accounts.by_name(unit.user) if unit and unit.user else None,
        caller=own if caller_uid is None else accounts.by_uid(caller_uid),
        groups=accounts.group_names(),
        disks=read_disks(settings),
        disk_low_bytes=settings.disk_low_bytes,
        builds={
            engine.path: gpu_targets.read_build(Path(engine.path))
            for engine in hardware.engines
            if GPU_BACKENDS & set(engine.backends)
        },
        clock_synchronised=clock.is_synchronised() if is_this_machine else None,
        kernel_log_denied=kernel_log.is_denied(settings.sysroot),
        gfx_override=os.environ.get("HSA_OVERRIDE_GFX_VERSION"),
        overriding_variables=overriding(os.environ, passed=settings.engine_variables),
        known_issues=versions.known_issues(),
        rejected_settings=tuple(map(str, loaded.problems)),
        settings_problems=tuple(map(str, loading.read(loaded.file).file_problems)),
        secret_files=read_secret_files(loaded),
        cuda_since=versions.cuda_since(),
        hub=request_hub(offline=settings.offline) if ask_hub else None,
        engine_sandbox=settings.engine_sandbox,
        sandbox_support=read_support() if is_this_machine else None,
        now=now(),
    )


def read_disks(settings: Settings) -> tuple[Disk, ...]:
    folders = (("models", settings.models_dir), ("state", settings.state_dir))
    return tuple(_read_disk(holds, folder) for holds, folder in folders)


def _read_disk(holds: str, folder: Path) -> Disk:
    try:
        existing = existing_folder(folder)
        usage = shutil.disk_usage(existing)
    except OSError:
        return Disk(holds, str(folder))
    return Disk(holds, str(folder), usage.free, usage.total, os.access(existing, os.W_OK | os.X_OK))


def request_hub(*, offline: bool) -> Hub:
    """Any response of the hub counts, even one that denies access; a network's page in its place does not."""
    from huggingface_hub import get_session  # noqa: PLC0415  # 0.2 s of import, for those who go online

    address = errors.endpoint()
    if offline:
        return Hub(address, asked=False)
    started_s = time.monotonic()
    try:
        with errors.translate_errors(errors.Resource()):
            answer = get_session().get(
                f"{address}/api/models", params={"limit": 1}, timeout=HUB_TIMEOUT_S, follow_redirects=True
            )
    except DownloadError as error:
        return Hub(address, error=str(error))
    if answer.is_success and errors.is_page(answer.headers):
        return Hub(address, error=str(errors.no_data(errors.Resource())))
    return Hub(address, time.monotonic() - started_s)
