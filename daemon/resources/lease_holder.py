"""Who this daemon is for those who share its models' folder."""

import os
import pwd
import socket
from contextlib import suppress
from pathlib import Path

from catalog.local.leases import Holder, Leases
from config.settings import Settings
from launchers.process import procfs


def own_leases(settings: Settings, boot_id: str | None) -> Leases:
    """Blocks. Nothing is written yet."""
    own, uid = procfs.stat(os.getpid()), os.getuid()
    namespace: str | None = None
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    user = str(uid)
    with suppress(KeyError):
        user = pwd.getpwuid(uid).pw_name
    holder = Holder(
        pid=os.getpid(),
        start_ticks=None if own is None else own.start_ticks,
        boot_id=boot_id,
        pid_namespace=namespace,
        host=socket.gethostname(),
        user=user,
        state_dir=str(settings.state_dir),
        socket=str(settings.socket),
    )
    return Leases(Path(settings.models_dir), holder, is_alive=_is_alive)


def _is_alive(pid: int, start_ticks: int | None) -> bool:
    process = procfs.stat(pid)
    return process is not None and not process.ended and start_ticks in (None, process.start_ticks)
