"""Other programs on the GPUs: names them, and lets models yield to them that were launched so."""

import asyncio

from daemon.app import App
from daemon.guards.tenants_policy import GROWN_BYTES, Tenancy, Use, after_sample
from daemon.launches.launch import Launch
from daemon.machine import snapshot
from daemon.machine.device_changes import planned_bytes
from domain.events import EventKind
from domain.launches.launch import LaunchState
from domain.launches.serving import TenantPolicy
from domain.machine.accelerator import GpuProcess
from domain.machine.hardware import Gpu, Hardware
from domain.machine.sample import Sample
from domain.units import gib

HOLDER = "tenants"


class TenantsGuard:
    """``_tenancies`` by launch and GPU; ``_seen``: the programs that were told, by GPU and process id."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._tenancies: dict[tuple[str, str], Tenancy] = {}
        self._seen: dict[tuple[str, int], GpuProcess] = {}

    async def on_sample(self, sample: Sample) -> None:
        if not any(one.serving.tenants is not TenantPolicy.IGNORE for one in self._app.launches.values()):
            return
        machine = await self._with_tenants(sample.hardware)
        uses = {gpu.id: use for gpu in machine.gpus if (use := _use(gpu)) is not None}
        await self._tell(machine, uses)
        for launch in tuple(self._app.launches.values()):
            if launch.serving.tenants is TenantPolicy.YIELD:
                await self._yield(launch, machine, uses, sample.monotonic_s)

    async def _with_tenants(self, machine: Hardware) -> Hardware:
        """AMD's and Intel's are not in samples: a snapshot is taken where memory is short, or somebody was
        yielded to."""
        unknown = {gpu.id for gpu in machine.gpus if gpu.tenants is None and not gpu.asleep}
        last = self._app.hardware_cache.hardware
        if unknown and last is not None:
            yielded = any(tenancy.guests for tenancy in self._tenancies.values())
            if yielded or any(_is_short(gpu) for gpu in machine.gpus if gpu.id in unknown):
                last = await snapshot.probe_now(self._app)
            known = {gpu.id: gpu for gpu in last.gpus}
            gpus = tuple(known.get(gpu.id, gpu) if gpu.id in unknown else gpu for gpu in machine.gpus)
            machine = Hardware(gpus=gpus)
        own = [one.pid for one in self._app.launches.values() if one.pid is not None]
        root = self._app.settings.sysroot
        return await asyncio.to_thread(snapshot.without_own_processes, machine, own, root)

    async def _tell(self, machine: Hardware, uses: dict[str, Use]) -> None:
        names = {gpu.id: gpu.name for gpu in machine.gpus}
        now = {
            (gpu_id, one.pid): one
            for gpu_id, use in uses.items()
            for one in use.tenants
            if (one.memory_bytes or 0) >= GROWN_BYTES
        }
        still = {(gpu_id, one.pid) for gpu_id, use in uses.items() for one in use.tenants}
        for key in now.keys() - self._seen.keys():
            words = f"{_name(now[key])} uses {gib(now[key].memory_bytes)} of {names[key[0]]}"
            await self._app.events.append(EventKind.TENANT_CAME, words)
        gone = {key for key in self._seen if key[0] in uses and key not in still}
        for key in gone:
            words = f"{_name(self._seen[key])} has left {names[key[0]]}"
            await self._app.events.append(EventKind.TENANT_LEFT, words)
        self._seen = {key: one for key, one in (self._seen | now).items() if key not in gone}
        if gone:
            self._try_again()

    def _try_again(self) -> None:
        """Launches that wait for memory need not wait for the time of their next try."""
        for launch in self._app.launches.values():
            is_waiting = launch.state in (LaunchState.DEGRADED, LaunchState.FAILED)
            if is_waiting and launch.task is not None and launch.serving.tenants is not TenantPolicy.IGNORE:
                launch.orders.give_retry()

    async def _yield(self, launch: Launch, machine: Hardware, uses: dict[str, Use], now_s: float) -> None:
        used = [gpu for gpu in machine.gpus if gpu.id in uses and _uses(launch, machine, gpu.id)]
        names = []
        for gpu in used:
            key = (launch.name, gpu.id)
            tenancy = self._tenancies.get(key)
            if tenancy is None or not (tenancy.guests or launch.state is LaunchState.READY):
                tenancy = Tenancy.begin(uses[gpu.id])  # what is there before it is loaded is planned with
            tenancy = self._tenancies[key] = after_sample(tenancy, uses[gpu.id], now_s)
            names += [f"{tenancy.names} to leave {gpu.name}"] if tenancy.guests else []
        if not names:
            launch.orders.release(HOLDER)
        elif HOLDER not in launch.orders.holds:
            message = f"{launch.name} yields: it waits for {', '.join(names)}"
            await self._app.events.append(EventKind.YIELDED, message, launch=launch.name)
            launch.orders.hold(HOLDER, ", ".join(names))


def _uses(launch: Launch, machine: Hardware, gpu_id: str) -> bool:
    return launch.plan is not None and bool(planned_bytes(launch.plan, launch.gpu_ids, machine, gpu_id))


def _use(gpu: Gpu) -> Use | None:
    if gpu.tenants is None or gpu.memory_total_bytes is None or gpu.memory_free_bytes is None:
        return None
    return Use(gpu.memory_total_bytes, gpu.memory_free_bytes, gpu.tenants)


def _is_short(gpu: Gpu) -> bool:
    known = gpu.memory_total_bytes is not None and gpu.memory_free_bytes is not None
    return known and Use(gpu.memory_total_bytes or 0, gpu.memory_free_bytes or 0, ()).is_squeezed


def _name(one: GpuProcess) -> str:
    return f"{one.name or 'a process'} (pid {one.pid})"
