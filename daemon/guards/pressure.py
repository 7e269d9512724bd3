"""Gives memory back before the machine freezes: idle models are unloaded, then the largest is reduced."""

from daemon.app import App
from daemon.guards import pressure_policy as policy
from daemon.guards.pressure_policy import Memory, Pressure
from daemon.launches.demand.park import is_busy
from daemon.launches.eviction.policy import Occupant, least_valuable_first
from daemon.launches.ladder.descent import reduce
from daemon.launches.launch import Launch
from domain.events import EventKind
from domain.launches.launch import LaunchState
from domain.launches.plan import HOST
from domain.machine.hardware import Hardware, MemoryKind
from domain.machine.sample import Sample
from domain.units import MIB, gib

HOLDER = "memory"
WAITS_FOR = "memory to be free"
LEAST_BYTES = 256 * MIB  # of the RAM: to end one that has less helps nobody


class PressureGuard:
    def __init__(self, app: App) -> None:
        self._app = app
        self._pressure = Pressure()

    async def on_sample(self, sample: Sample) -> None:
        memory = self._memory(sample)
        if memory is None:
            return
        now_s = sample.monotonic_s
        self._pressure = policy.after_sample(self._pressure, memory, now_s)
        if policy.must_give_way(self._pressure, memory, now_s):
            if await self._relieve(memory, sample.hardware):
                self._pressure = policy.after_giving(self._pressure, now_s)
            return
        for launch in reversed(self._held()):
            needed_bytes = ram_bytes(launch, sample.hardware)
            if policy.may_return(self._pressure, memory, needed_bytes, now_s):
                launch.orders.release(HOLDER)
                self._pressure = policy.after_return(self._pressure, now_s)
                return

    def _memory(self, sample: Sample) -> Memory | None:
        found = sample.hardware.memory
        if found.total_bytes is None or found.available_bytes is None:
            return None
        stall = sample.stalls.get("memory")
        launches = self._app.launches.values()
        from_disk = any(one.engine and one.plan and not one.plan.fits for one in launches)
        full = None if stall is None or from_disk else stall.full
        return Memory(found.available_bytes, found.total_bytes, full)

    def _held(self) -> list[Launch]:
        return [one for one in self._app.launches.values() if HOLDER in one.orders.holds]

    async def _relieve(self, memory: Memory, machine: Hardware) -> bool:
        """Whether a model gave way."""
        running = {
            one.name: one
            for one in self._app.launches.values()
            if one.state is LaunchState.READY
            and not (one.orders.must_end or one.orders.restart or one.orders.holds)
            and ram_bytes(one, machine) >= LEAST_BYTES
        }
        if not running:
            return False
        stall = (
            "" if memory.full is None else f", {100 * memory.full:.0f} % of the time is spent waiting for it"
        )
        why = f"{gib(memory.available_bytes)} of {gib(memory.total_bytes)} are available{stall}"
        idle = [
            Occupant(
                name,
                {HOST: ram_bytes(one, machine)},
                priority=one.serving.priority,
                is_busy=await is_busy(one, untold=True),
            )
            for name, one in running.items()
        ]
        if first := least_valuable_first(idle):
            await self._hold(running[first[0].name], f"memory is short ({why}): it is idle, and unloaded")
            return True
        largest = max(running.values(), key=lambda one: ram_bytes(one, machine))
        if await reduce(self._app, largest, f"memory is short ({why})"):
            largest.orders.give_restart()
        elif memory.available_share < policy.LAST_SHARE:
            await self._hold(largest, f"memory is short ({why}), and it can't be reduced: it is unloaded")
        else:
            return False
        return True

    async def _hold(self, launch: Launch, why: str) -> None:
        await self._app.events.append(EventKind.MEMORY_SHORT, f"{launch.name}: {why}", launch=launch.name)
        launch.orders.hold(HOLDER, WAITS_FOR)


def ram_bytes(launch: Launch, machine: Hardware) -> int:
    """What its plan has in the RAM, on GPUs that share it, too."""
    if launch.plan is None:
        return 0
    kinds = {gpu.id: gpu.memory_kind for gpu in machine.gpus}
    ids = launch.gpu_ids or tuple(kinds)
    shared = {f"GPU{n}" for n, one in enumerate(ids) if kinds.get(one) is MemoryKind.UNIFIED}
    return sum(row.needed_bytes for row in launch.plan.memory if row.device in {HOST, *shared})
