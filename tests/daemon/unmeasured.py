"""``node-daemon`` for ``forked``, without the second of CPU in which it measures the RAM and the disk: see
tests/daemon/machine/test_bandwidth.py. Daemons that node-ctl starts measure, too."""

from daemon import main
from daemon.app import App
from daemon.machine import bandwidth


async def known_bandwidth(app: App) -> float:
    return 20e9


async def no_read_rate(app: App) -> None:
    pass


def run() -> int:
    bandwidth.stored_bandwidth = known_bandwidth
    bandwidth.measure_read_rate = no_read_rate
    return main.run()
