"""Hears of devices at once: udev and the kernel tell that something came, went or changed, a look says what.

Where nobody can tell (no libudev, no netlink), the looks of the schedule find it, up to a minute later.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache

import pyudev

from daemon.app import App
from daemon.machine import snapshot
from probes.gpus import pci

log = logging.getLogger(__name__)

SUBSYSTEMS = ("drm", "accel", "pci")
# udev tells later, once the device's app may be opened; where its daemon is missing, the kernel tells
SOURCES = ("kernel", "udev")
SETTLE_S = 0.5  # a device comes as a dozen of events


@asynccontextmanager
async def watching(app: App) -> AsyncIterator[None]:
    """Looks at the machine whenever something is heard, while the block runs."""
    monitors = await asyncio.to_thread(open_monitors)
    ears, loop = DeviceMonitor(), asyncio.get_running_loop()
    for monitor in monitors:
        loop.add_reader(monitor.fileno(), ears.hear, monitor)
    looking = asyncio.create_task(look_when_heard(app, ears), name="hotplug")
    try:
        yield
    finally:
        for monitor in monitors:
            loop.remove_reader(monitor.fileno())
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


@cache
def _context() -> pyudev.Context:
    """Once a process: finding libudev asks ldconfig."""
    return pyudev.Context()


def open_monitors() -> Sequence[pyudev.Monitor]:
    """Blocks. None where this machine has no libudev or lets nobody listen."""
    try:
        monitors = [pyudev.Monitor.from_netlink(_context(), source) for source in SOURCES]
        for monitor in monitors:
            for subsystem in SUBSYSTEMS:
                monitor.filter_by(subsystem)
            monitor.start()
    except (ImportError, OSError) as error:
        log.info("no news of devices, so looks are compared: %s", error)
        return ()
    return monitors


class DeviceMonitor:
    """What was heard since the last look. Belongs to the event loop."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.wedged: dict[str, str] = {}

    def hear(self, monitor: pyudev.Monitor) -> None:
        try:
            while (device := monitor.poll(timeout=0)) is not None:
                self._note(device)
        except OSError as error:  # ENOBUFS: more came than the socket holds
            log.info("news of devices were lost: %s", error)
            self.news.set()

    def _note(self, device: pyudev.Device) -> None:
        log.debug("heard: action=%s path=%s", device.action, device.device_path)
        if not _matters(device.subsystem, device.properties.get("PCI_CLASS")):
            return
        methods, slots = device.properties.get("WEDGED"), pci.SLOT.findall(device.device_path)
        if methods and slots:
            self.wedged[slots[-1]] = methods
        self.news.set()


def _matters(subsystem: str | None, pci_class: str | None) -> bool:
    """Of the PCI bus only GPUs and accelerators; one that doesn't say its class may be either."""
    try:
        number = int(pci_class or "", 16)
    except ValueError:
        return True
    return subsystem != "pci" or pci.is_accelerator_class(number)


async def look_when_heard(app: App, ears: DeviceMonitor) -> None:
    while True:
        await ears.news.wait()
        await asyncio.sleep(SETTLE_S)
        ears.news.clear()
        wedged, ears.wedged = ears.wedged, {}
        try:
            for slot, methods in wedged.items():
                await app.events.append("device_wedged", wedged_words(slot, methods))
            await snapshot.probe_now(app)
        except Exception:  # whatever one look meets, the next news are looked at all the same
            log.exception("look after news of devices failed")


def wedged_words(slot: str, methods: str) -> str:
    """Linux 6.15 and later, Documentation/gpu/drm-uapi.rst "Device Wedging": ``rebind,bus-reset``."""
    recovery = {
        "none": "the driver has reset it",
        "rebind": "unbind and bind its driver again",
        "bus-reset": "unbind its driver, reset the bus, bind it again",
        "unknown": "power the machine off and on",
    }
    steps = [recovery.get(method, method) for method in methods.split(",")]
    return f"the driver gave up on the GPU at {slot}: {', or '.join(steps)}"
