"""What checks look at: values only, read in one place (``daemon/doctor/collect.py``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.state.records import Event
from domain.catalogue_types import KnownIssue
from domain.hardware import Hardware
from domain.launch import LaunchState
from launchers.gpu_targets import Build
from probes.system.accounts import Account
from probes.system.setup import System
from probes.system.systemd import Unit


@dataclass(frozen=True, slots=True)
class LaunchHealth:
    """A launch, and whether it is wanted: one that nobody wants may lie there failed. ``stuck_pid`` is the
    process of an engine that can't be killed."""

    name: str
    state: LaunchState
    wanted: bool
    restarts: int = 0
    last_error: str | None = None
    stuck_pid: int | None = None


@dataclass(frozen=True, slots=True)
class Daemon:
    """``silent`` says why no daemon answers and ``hint`` what starts it; both are empty where one does.
    ``as_service``: it is the main process of the unit."""

    silent: str = ""
    hint: str = ""
    as_service: bool = False
    uptime_s: float | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """``holds`` is what lies on it: ``models``, ``state``. Sizes are ``None`` where it can't be asked."""

    holds: str
    path: str
    free_bytes: int | None = None
    total_bytes: int | None = None
    writable: bool | None = None


@dataclass(frozen=True, slots=True)
class Hub:
    """The answer of the hub; ``error`` is empty where it came. ``asked`` is false where the settings say
    that nothing is asked of the network."""

    address: str
    seconds: float | None = None
    error: str = ""
    asked: bool = True


@dataclass(frozen=True, slots=True)
class DoctorInput:
    """``None`` is "not known", ``hub`` "not asked". ``runs_as`` is the user of the process that looked,
    ``unit_user`` that of the service, ``caller`` who typed the command; ``groups`` are names by number.
    ``builds`` tells of the GPU code in an engine, by the engine's path. ``disk_low_bytes`` and ``now``
    (ISO 8601) are what findings are measured by. ``gfx_override`` is HSA_OVERRIDE_GFX_VERSION.
    ``cuda_since`` has the CUDA version that knows a GPU first, by its architecture."""

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
    gfx_override: str | None = None
    known_troubles: tuple[KnownIssue, ...] = ()
    cuda_since: Mapping[str, str] = field(default_factory=dict)
    hub: Hub | None = None
    now: str = ""
