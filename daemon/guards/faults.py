"""Sets a GPU that is lost aside, plans its models again onto the rest, and back once it returns; tells what
the kernel logs of faults."""

import asyncio
import time
from collections.abc import Callable

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.machine import snapshot
from daemon.machine.device_changes import planned_bytes
from domain.events import EventKind
from domain.launches.launch import LaunchState
from domain.machine.hardware import Hardware, ProblemKind
from domain.machine.sample import Sample
from domain.units import duration
from probes.kernel_log import FaultKind, KernelFault, KernelLog

CLOCK_JUMP_S = 60.0
TOLD_AGAIN_S = 600.0  # a fault of the same kind and device
KINDS = {
    FaultKind.OOM: (EventKind.OOM_KILL, "the kernel killed a process for memory"),
    FaultKind.HOT: (EventKind.THROTTLED, "the CPU is too hot"),
    FaultKind.XID: (EventKind.GPU_FAULT, "the NVIDIA driver reports a fault"),
    FaultKind.RESET: (EventKind.GPU_FAULT, "the amdgpu driver resets a GPU that hangs"),
}


def boottime_s() -> float:
    """Goes on while the machine sleeps, and nobody sets it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class FaultGuard:
    """``told_s``: when a fault of that kind and device was told; ``displaced``: the GPU that each launch
    lost."""

    def __init__(self, app: App, log: KernelLog, clock: Callable[[], float] = boottime_s) -> None:
        self._app, self._log, self._clock = app, log, clock
        self._told_s: dict[tuple[str, str | None], float] = {}
        self._displaced: dict[str, str] = {}
        self._clock_s: float | None = None

    async def on_sample(self, sample: Sample) -> None:
        await self._compare_clock(sample)
        for fault in await asyncio.to_thread(self._log.faults):
            await self._on_fault(fault, sample.monotonic_s)
        hardware = self._app.hardware_cache.hardware
        if hardware is not None:
            await self._displace(hardware)
            self._bring_back(hardware)

    async def _compare_clock(self, sample: Sample) -> None:
        """A machine that slept is the watchdog's: it tells that, and has engines checked."""
        before, self._clock_s = self._clock_s, sample.at_s - self._clock()
        if before is None or (jump_s := abs(self._clock_s - before)) < CLOCK_JUMP_S:
            return
        way = "forward" if self._clock_s > before else "back"
        words = f"the clock was set {way} by {duration(jump_s)}"
        await self._app.events.append(EventKind.CLOCK_JUMPED, words)

    async def _on_fault(self, fault: KernelFault, now_s: float) -> None:
        quarantined, device = self._app.guards.quarantined, fault.device
        if fault.kind is FaultKind.LOST and device is not None:
            if device not in quarantined:
                quarantined[device] = f"the kernel says that it is lost: {fault.line}"
                await snapshot.probe_now(self._app)
                await self._app.events.append(EventKind.GPU_LOST, f"{device} is set aside: {fault.line}")
        elif fault.kind is FaultKind.BACK and device is not None:
            if quarantined.pop(device, None) is not None:
                await snapshot.probe_now(self._app)
                await self._app.events.append(EventKind.GPU_BACK, f"{device} is used again: {fault.line}")
        elif now_s - self._told_s.get((fault.kind, device), -TOLD_AGAIN_S) >= TOLD_AGAIN_S:
            self._told_s[fault.kind, device] = now_s
            kind, what = KINDS[fault.kind]
            await self._app.events.append(kind, f"{what}: {fault.line}", launch=self._owner(fault.pid))

    def _owner(self, pid: int | None) -> str | None:
        launches = self._app.launches.values()
        return next((one.name for one in launches if pid is not None and one.pid == pid), None)

    async def _displace(self, hardware: Hardware) -> None:
        """An engine on a lost GPU may hang for ever: it is started again, by a new plan."""
        for launch in tuple(self._app.launches.values()):
            if launch.state is not LaunchState.READY or launch.plan is None or launch.orders.restart:
                continue
            launch.gpu_ids = launch.gpu_ids or tuple(gpu.id for gpu in hardware.gpus)
            for lost in [one for one in launch.gpu_ids if await self._is_lost(launch, one, hardware)][:1]:
                self._displaced[launch.name] = lost
                why = self._app.guards.quarantined.get(lost, "it is gone")
                message = f"{launch.name} is planned again without {lost}: {why}"
                await self._app.events.append(EventKind.DISPLACED, message, launch=launch.name)
                launch.orders.give_restart()

    async def _is_lost(self, launch: Launch, device: str, hardware: Hardware) -> bool:
        """A GPU that the driver's library does not report any more, as after an update of it, may still
        compute: it is lost if the driver or the kernel says so, or if it is off the bus."""
        if launch.plan is None or any(gpu.id == device for gpu in hardware.gpus):
            return False
        if not planned_bytes(launch.plan, launch.gpu_ids, hardware, device):
            return False
        slot = device.removeprefix("pci:")
        said = any(one.trouble is ProblemKind.LOST and slot in one.what for one in hardware.problems)
        if said or device in self._app.guards.quarantined:
            return True
        path = self._app.settings.sysroot / "sys/bus/pci/devices" / slot
        return device.startswith("pci:") and not await asyncio.to_thread(path.exists)

    def _bring_back(self, hardware: Hardware) -> None:
        there = {gpu.id for gpu in hardware.gpus}
        for name, device in tuple(self._displaced.items()):
            launch = self._app.launches.get(name)
            if launch is None or not launch.lifecycle.desired:
                del self._displaced[name]
            elif device in there:
                del self._displaced[name]
                if launch.state is LaunchState.READY:
                    launch.orders.give_restart()
                else:
                    launch.orders.give_retry()
