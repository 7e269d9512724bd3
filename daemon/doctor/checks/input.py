"""The input of the checks: plain values, all read by ``daemon/doctor/collect.py``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.state.records import Event
from domain.errors import EngineError
from domain.launches.launch import LaunchState
from domain.machine.hardware import Hardware
from domain.models.catalogue_types import KnownIssue
from launchers.gpu_targets import Build
from launchers.sandbox.support import Support
from probes.system.accounts import Account
from probes.system.setup import System
from probes.system.systemd import Unit


@dataclass(frozen=True, slots=True)
class LaunchHealth:
    """A launch, and whether it is desired: one that is not may have failed before. ``stuck_pid`` is the
    process of an engine that cannot be killed, ``own_user_because`` why an engine of the service runs under
    the daemon's user."""

    name: str
    state: LaunchState
    desired: bool
    restarts: int = 0
    last_error: str | None = None
    stuck_pid: int | None = None
    own_user_because: EngineError | None = None


@dataclass(frozen=True, slots=True)
class Daemon:
    """``unreachable`` is why no daemon answers and ``hint`` how to start one; both are empty if one answers.
    ``as_service``: it is the main process of the unit. ``gateway_problem``: why the gateway does
    not listen."""

    unreachable: str = ""
    hint: str = ""
    as_service: bool = False
    uptime_s: float | None = None
    gateway_problem: str | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """``holds`` is what is stored on it: ``models`` or ``state``. Sizes that cannot be read are ``None``."""

    holds: str
    path: str
    free_bytes: int | None = None
    total_bytes: int | None = None
    writable: bool | None = None


@dataclass(frozen=True, slots=True)
class Hub:
    """A request to the hub; ``error`` is empty if it was answered. ``asked`` is false if the settings forbid
    network access."""

    address: str
    seconds: float | None = None
    error: str = ""
    asked: bool = True


@dataclass(frozen=True, slots=True)
class SecretFile:
    """``is_open``: every user can read or change it; ``None``, as ``mode`` and ``owner``, where this user may
    not look."""

    path: str
    holds: str
    mode: int | None = None
    owner: str | None = None
    is_open: bool | None = None


@dataclass(frozen=True, slots=True)
class DoctorInput:
    """``None`` is unknown; a ``hub`` of ``None`` was not requested. ``runs_as`` is the user of this process,
    ``unit_user`` that of the service, ``caller`` the one who typed the command; ``groups`` are names by id.
    ``builds`` has the GPU code in each engine, by the engine's path. ``disk_low_bytes`` and ``now``
    (ISO 8601) are what values are compared with. ``gfx_override`` is HSA_OVERRIDE_GFX_VERSION,
    ``overriding_variables`` are names of variables that engines do not get, because they would change a plan.
    ``rejected_settings`` are problems of the settings file at the daemon's start, which kept it from being
    used; ``settings_problems`` are those that it has now.
    ``engine_sandbox`` is the setting, ``sandbox_support`` what this kernel can limit.
    ``cuda_since`` is the first CUDA version that supports a GPU, by its architecture."""

    hardware: Hardware = field(default_factory=Hardware)
    system: System = field(default_factory=System)
    daemon: Daemon = field(default_factory=Daemon)
    unit: Unit | None = None
    launches: tuple[LaunchHealth, ...] | None = None
    events: tuple[Event, ...] | None = None
    runs_as: Account | None = None
    unit_user: Account | None = None
    caller: Account | None = None
    groups: Mapping[int, str] = field(default_factory=dict)
    disks: tuple[Disk, ...] = ()
    disk_low_bytes: int = 0
    builds: Mapping[str, Build] = field(default_factory=dict)
    clock_synchronised: bool | None = None
    kernel_log_denied: bool | None = None
    gfx_override: str | None = None
    overriding_variables: tuple[str, ...] | None = None
    known_issues: tuple[KnownIssue, ...] = ()
    rejected_settings: tuple[str, ...] = ()
    settings_problems: tuple[str, ...] = ()
    secret_files: tuple[SecretFile, ...] | None = None
    cuda_since: Mapping[str, str] = field(default_factory=dict)
    hub: Hub | None = None
    engine_sandbox: bool = True
    sandbox_support: Support | None = None
    now: str = ""
