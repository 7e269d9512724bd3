"""The first process of an engine: how it is signalled, and how it ended."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from signal import Signals

from domain.errors import EngineError
from launchers.process import procfs, unit
from launchers.process.procfs import Identity
from launchers.process.unit import Result


@dataclass(frozen=True, slots=True)
class Leader:
    """``unit`` is that of systemd in which it runs, under a user whom the daemon can't signal; ``None`` for a
    child of a daemon."""

    identity: Identity
    pidfd: int
    unit: str | None = None

    def signal(self, number: Signals) -> None:
        if self.unit is not None:
            unit.kill(self.unit, number, whom="main")
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def signal_all(self, number: Signals) -> None:
        """All living processes of the engine."""
        if self.unit is not None:
            unit.kill(self.unit, number, whom="all")
        else:
            procfs.signal_session(self.identity.pid, number)

    def result(self) -> Result:
        """How its unit ended: nothing is known of a child's before it is reaped. Blocks."""
        return Result() if self.unit is None else unit.result(self.unit)


@dataclass(frozen=True, slots=True)
class Started:
    """``log_start`` is where its lines begin. ``own_user_because`` is why an engine that was to run in a unit
    runs under the daemon's own user."""

    leader: Leader
    log_start: int
    own_user_because: EngineError | None = None


def reap(pidfd: int) -> int | None:
    """The exit status of an ended child, which is reaped here; ``None`` for an adopted engine."""
    try:
        info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if info is None:
        return None
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status
