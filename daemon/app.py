"""The wiring: everything a use case may need, in one value that is passed to it."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Any

import tzlocal

from catalog.download import process
from catalog.local.leases import Leases
from catalog.request import ModelRequest
from config import data
from config.loading import Loaded
from config.settings import Settings
from daemon.events.broadcast import Broadcast
from daemon.events.event_log import EventLog
from daemon.events.gateway_state import Access, GatewayState
from daemon.events.guard_state import GuardState
from daemon.events.progress_log import ProgressLog
from daemon.events.samples import Samples
from daemon.events.schedule_state import ScheduleState
from daemon.isolation import models
from daemon.isolation.fork_server import ForkServer
from daemon.isolation.models import RESOLVING, KnownModels, ModelSources
from daemon.isolation.workers import Limits, Workers
from daemon.keyed_locks import KeyedLocks
from daemon.launches.launch import Launch
from daemon.launches.start.watch import Watch
from daemon.machine.cache import HardwareCache
from daemon.notifications.state import NotifyState
from daemon.quarantine.in_flight import InFlight
from daemon.resources.lease_holder import own_leases
from daemon.resources.ledger import Ledger
from daemon.state.records import now
from daemon.state.store import Store
from daemon.state.telemetry.telemetry import Telemetry
from daemon.weights.transfers import PLANNED_AT_ONCE, Downloads, Pull
from domain.download import DownloadPolicy, DownloadProgress
from domain.launches.plan import LlamaFlags
from domain.machine.hardware import Hardware, InstalledEngine
from domain.machine.sample import Sample
from domain.models.catalogue_types import KnownModel
from domain.models.model import ResolvedModel, Weights
from launchers.base import Capabilities, Launcher, SearchPaths
from launchers.command import Command
from launchers.llama_cpp import allocations, dry_run
from launchers.llama_cpp.dry_run import DeviceUsage, DryRunReport
from launchers.process import orphans, procfs, unit
from launchers.process.engine import EngineProcess
from launchers.process.procfs import Identity
from launchers.registry import LAUNCHERS, choose
from launchers.sandbox.policy import Sandbox
from probes import sample, snapshot
from probes.benchmarks import disk, memory
from probes.benchmarks.disk import ReadRate
from probes.context import ProbeState
from probes.cpu import pressure
from probes.cpu.pressure import Pressure
from probes.runtimes import probe as runtimes
from probes.runtimes.probe import Runtimes
from probes.system import boot_id as boot

HUB_THREADS = 8  # searches at a time; of their own, so that a slow hub blocks no other thread pool
ENGINE_THREADS = 4  # dry runs at a time
MEASURING = Limits(deadline_s=30.0, cpu_s=60, at_once=1)  # its 1 GiB is not the daemon's
IN_WORKERS = (
    "daemon.planning.computations",
    "daemon.planning.command_line",
    "probes.benchmarks.memory",
    "huggingface_hub.hf_api",  # 0.2 s, which each worker that asks the hub would take
)


@dataclass(frozen=True, slots=True)
class Adapters:
    """What the daemon calls in other packages. ``resolve``, ``write_replica`` and ``measure_bandwidth`` run
    in workers; processes of engines and downloads belong to the event loop; all else blocks and runs in
    threads."""

    probe: Callable[[], Hardware]
    probe_awake: Callable[[], Hardware]
    sample: Callable[[], Sample]
    boot_id: Callable[[], str | None]
    measure_bandwidth: Callable[[], Awaitable[float | None]]
    measure_read_rate: Callable[[], ReadRate | None]
    cpu_pressure: Callable[[], Pressure | None]
    ask_runtimes: Callable[[], Runtimes]
    workers: Workers
    resolve: Callable[[ModelSources, ModelRequest], Awaitable[tuple[ResolvedModel, ...]]]
    fetch: Callable[[Weights, Path, DownloadPolicy, Sequence[Path]], AsyncGenerator[DownloadProgress, None]]
    launchers: Mapping[str, Launcher]
    engines: Callable[[], tuple[InstalledEngine, ...]]
    engine: Callable[[str], Capabilities]
    write_replica: Callable[[Weights, Path], Awaitable[Path]]
    ask_memory: Callable[[LlamaFlags, Capabilities, Path], DryRunReport]
    read_memory: Callable[[str], tuple[DeviceUsage, ...]]
    find_process: Callable[[Command], Identity | None]
    find_engines: Callable[[str], tuple[Identity, ...]]
    new_process: Callable[[Command, Watch], EngineProcess]
    end_process: Callable[[Identity], Awaitable[None]]


@dataclass(slots=True)
class Control:
    """``socket`` is where the API listens: another path than that of the settings while that can't be had."""

    socket: Path | None = None


@dataclass(frozen=True, slots=True)
class App:
    """One daemon. ``measuring_lock``: one measurement at a time loads the machine. ``verification_locks``: a
    plan is verified once for all concurrent callers. ``hub_threads`` search the hub, ``engine_threads`` wait
    for dry runs; ``pull_planning`` limits how many pulls are planned at a time. ``refused``: the progress of
    the last try, by name, of launches that failed before they had a plan. ``survivors_known``: the engines of
    the previous daemon are found, nothing of a launch begins before. ``loaded`` holds the origins of
    ``settings``, ``leases`` what other daemons use of the same folder of models; ``lease_lock``: the lease is
    renewed once at a time. ``is_service``: engines get units of their own. ``telemetry`` is
    ``None`` where it is off. ``zone`` is that of schedules."""

    settings: Settings
    store: Store
    adapters: Adapters
    known: KnownModels
    events: EventLog
    in_flight: InFlight
    loaded: Loaded
    leases: Leases
    lease_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    since: str = field(default_factory=now)
    boot_id: str | None = None
    is_service: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    returning: set["asyncio.Task[None]"] = field(default_factory=set)
    launches: dict[str, Launch] = field(default_factory=dict)
    survivors_known: asyncio.Event = field(default_factory=asyncio.Event)
    refused: dict[str, ProgressLog] = field(default_factory=dict)
    hardware_cache: HardwareCache = field(default_factory=HardwareCache)
    samples: Samples = field(default_factory=Samples)
    guards: GuardState = field(default_factory=GuardState)
    measuring_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    verification_locks: KeyedLocks = field(default_factory=KeyedLocks)
    downloads: Downloads = field(default_factory=Downloads)
    pulls: dict[int, Pull] = field(default_factory=dict)
    pull_planning: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PLANNED_AT_ONCE))
    hub_threads: Executor = field(default_factory=lambda: ThreadPoolExecutor(HUB_THREADS, "hub"))
    engine_threads: Executor = field(default_factory=lambda: ThreadPoolExecutor(ENGINE_THREADS, "engine"))
    hash_thread: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "hash"))
    stopping: Broadcast = field(default_factory=Broadcast)
    control: Control = field(default_factory=Control)
    gateway: GatewayState = field(default_factory=GatewayState)
    access: Access = field(default_factory=Access)
    notifications: NotifyState = field(default_factory=NotifyState)
    schedules: ScheduleState = field(default_factory=ScheduleState)
    telemetry: Telemetry | None = None
    zone: tzinfo = UTC

    @property
    def catalogue(self) -> Mapping[str, KnownModel]:
        return self.known.models

    @property
    def sources(self) -> ModelSources:
        return ModelSources.of(self.settings, self.catalogue)

    def log_path(self, launch: str) -> Path:
        return log_path(self.settings, launch)

    def scratch_path(self, launch: str) -> Path:
        """What its engine may write: its home, its caches and its temporary files."""
        return sandbox(self.settings).scratch / launch


def log_path(settings: Settings, launch: str) -> Path:
    return settings.state_dir / "logs" / f"{launch}.log"


def sandbox(settings: Settings) -> Sandbox:
    """Of engines, with a folder for all of their own folders: each gets one in there."""
    return Sandbox(
        settings.state_dir / "scratch",
        confined=settings.engine_sandbox,
        folders=settings.engine_folder_paths,
        variables=settings.engine_variables,
    )


def real_adapters(settings: Settings, fork_server: ForkServer | None = None) -> Adapters:
    known_gpus, workers = data.known_gpus(), Workers(fork_server or ForkServer(IN_WORKERS))

    async def resolve(sources: ModelSources, request: ModelRequest) -> tuple[ResolvedModel, ...]:
        what = f"reading {request.name.text}"
        return await workers.run(what, ModelSources.resolve, sources, request, limits=RESOLVING)

    async def write_replica(weights: Weights, folder: Path) -> Path:
        what = f"reading {weights.repo}"
        return await workers.run(what, models.write_replica, weights, folder, limits=RESOLVING)

    machine: dict[str, Any] = {
        "root": settings.sysroot,
        "models_dir": settings.models_dir,
        "known_gpus": known_gpus,
    }
    probe = partial(snapshot.probe, **machine, state=ProbeState())
    return Adapters(
        probe=probe,
        probe_awake=partial(probe, wake=True),
        sample=partial(sample.probe, **machine, state=ProbeState()),
        boot_id=lambda: boot.read_boot_id(settings.sysroot),
        measure_bandwidth=lambda: workers.run(
            "measuring the RAM", memory.measure, settings.sysroot, limits=MEASURING
        ),
        measure_read_rate=lambda: disk.measure(settings.sysroot, settings.models_dir),
        cpu_pressure=lambda: pressure.probe(settings.sysroot),
        ask_runtimes=lambda: runtimes.probe(settings.sysroot),
        workers=workers,
        resolve=resolve,
        fetch=process.fetch,
        launchers=LAUNCHERS,
        engines=lambda: tuple(
            found for launcher in LAUNCHERS.values() for found in launcher.find(search_paths(settings))
        ),
        engine=lambda name: choose(name, search_paths(settings)),
        write_replica=write_replica,
        ask_memory=partial(dry_run.run, sandbox=sandbox(settings)),
        read_memory=allocations.parse,
        find_process=lambda command: procfs.find(command.argv),
        find_engines=orphans.engines_of,
        new_process=_new_process,
        end_process=orphans.end,
    )


def _new_process(command: Command, watch: Watch) -> EngineProcess:
    return EngineProcess(
        command,
        log_path=watch.log_path,
        diagnose=watch.diagnose,
        find_degradation=watch.find_degradation,
        expect=watch.expect,
        log_limit_bytes=watch.log_limit_bytes,
        sandbox=watch.sandbox,
    )


def build_app(settings: Settings, store: Store, adapters: Adapters, loaded: Loaded | None = None) -> App:
    """Blocks. Raises: ConfigError for a catalogue file that can't be used."""
    catalogue, boot_id = data.catalogue(settings.catalogue), adapters.boot_id()
    return App(
        settings=settings,
        store=store,
        adapters=adapters,
        known=KnownModels.built_in(catalogue),
        events=EventLog(store),
        in_flight=InFlight(store, boot_id),
        loaded=loaded or Loaded(settings),
        leases=own_leases(settings, boot_id),
        boot_id=boot_id,
        is_service=unit.is_service(),
        telemetry=Telemetry(settings.state_dir / "telemetry.db") if settings.telemetry else None,
        zone=local_zone(),
    )


def local_zone() -> tzinfo:
    """With its changes of the clocks, if this machine says which zone that is. Blocks."""
    try:
        return tzlocal.get_localzone()
    except (LookupError, ValueError, OSError):  # as where TZ has an unknown name: then without the changes
        return datetime.now().astimezone().tzinfo or UTC


def search_paths(settings: Settings) -> SearchPaths:
    """Where to look for engines, read at each call: one that is installed meanwhile is found, too."""
    return SearchPaths(
        llama_server=settings.llama_server,
        vllm=settings.vllm,
        search_path=os.environ.get("PATH", os.defpath),
        environments=environments(settings.engines_dir, Path(sys.prefix)),
        embedded=True,
        cache_dir=settings.state_dir / "answers",
    )


def environments(engines_dir: Path, own: Path) -> tuple[Path, ...]:
    """Those in ``engines_dir``, and siblings of ``own`` that are named after it: ``.venv-vllm`` for
    ``.venv``."""
    readable = os.access(engines_dir, os.R_OK | os.X_OK) and engines_dir.is_dir()
    made = engines_dir.iterdir() if readable else ()
    beside = (path for path in own.parent.glob(f"{own.name}-*") if path.is_dir())
    return (*sorted(made), *sorted(beside))
