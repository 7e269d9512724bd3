"""Takes a snapshot as soon as udev or the kernel reports that a device was added, removed or changed.

Without libudev or netlink the scheduled snapshots find the change, up to a minute later.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache

import pyudev

from daemon.app import App
from daemon.machine import snapshot
from domain.events import EventKind
from probes.gpus import pci

log = logging.getLogger(__name__)

SUBSYSTEMS = ("drm", "accel", "pci")
# udev reports later than the kernel, once the device node has its permissions; without udevd only the kernel
SOURCES = ("kernel", "udev")
SETTLE_S = 0.5  # one device causes a dozen events


@asynccontextmanager
async def watch_devices(app: App) -> AsyncIterator[None]:
    """Takes a snapshot after each change, while the block runs."""
    sockets = await asyncio.to_thread(open_sockets)
    monitor, loop = DeviceMonitor(), asyncio.get_running_loop()
    for socket in sockets:
        loop.add_reader(socket.fileno(), monitor.read_events, socket)
    task = asyncio.create_task(probe_on_change(app, monitor), name="hotplug")
    try:
        yield
    finally:
        for socket in sockets:
            loop.remove_reader(socket.fileno())
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@cache
def _context() -> pyudev.Context:
    """Once per process, because finding libudev runs ldconfig."""
    return pyudev.Context()


def open_sockets() -> Sequence[pyudev.Monitor]:
    """Blocks. Nothing if this machine has no libudev or listening is not permitted."""
    try:
        sockets = [pyudev.Monitor.from_netlink(_context(), source) for source in SOURCES]
        for socket in sockets:
            for subsystem in SUBSYSTEMS:
                socket.filter_by(subsystem)
            socket.start()
    except (ImportError, OSError) as error:
        log.info("no device events, so only scheduled snapshots find changes: %s", error)
        return ()
    return sockets


class DeviceMonitor:
    """Collects the events since the last snapshot. Used in the event loop only."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.wedged: dict[str, str] = {}

    def read_events(self, socket: pyudev.Monitor) -> None:
        try:
            while (device := socket.poll(timeout=0)) is not None:
                self._add(device)
        except OSError as error:  # ENOBUFS: more events than the socket's buffer holds
            log.info("device events were lost: %s", error)
            self.changed.set()

    def _add(self, device: pyudev.Device) -> None:
        log.debug("device event: action=%s path=%s", device.action, device.device_path)
        if not is_relevant(device.subsystem, device.properties.get("PCI_CLASS")):
            return
        methods, slots = device.properties.get("WEDGED"), pci.SLOT.findall(device.device_path)
        if methods and slots:
            self.wedged[slots[-1]] = methods
        self.changed.set()


def is_relevant(subsystem: str | None, pci_class: str | None) -> bool:
    """Of PCI devices only GPUs and accelerators, and those whose class is unknown."""
    try:
        number = int(pci_class or "", 16)
    except ValueError:
        return True
    return subsystem != "pci" or pci.is_accelerator_class(number)


async def probe_on_change(app: App, monitor: DeviceMonitor) -> None:
    while True:
        await monitor.changed.wait()
        await asyncio.sleep(SETTLE_S)
        monitor.changed.clear()
        wedged, monitor.wedged = monitor.wedged, {}
        try:
            for slot, methods in wedged.items():
                await app.events.append(EventKind.DEVICE_WEDGED, wedged_message(slot, methods))
            await snapshot.probe_now(app)
        except Exception:  # a failed snapshot must not end the watching
            log.exception("snapshot after a device event failed")


def wedged_message(slot: str, methods: str) -> str:
    """``methods`` are ``rebind,bus-reset``: Linux 6.15, Documentation/gpu/drm-uapi.rst "Device Wedging"."""
    recovery = {
        "none": "the driver has reset it",
        "rebind": "unbind and bind its driver again",
        "bus-reset": "unbind its driver, reset the bus, bind it again",
        "unknown": "power the machine off and on",
    }
    steps = [recovery.get(method, method) for method in methods.split(",")]
    return f"the driver gave up on the GPU at {slot}: {', or '.join(steps)}"
