"""Engines that outlived a daemon which could not record them, found by a variable in their environment, or in
their units: nobody may read the environment of another user's process."""

import asyncio
import os
from pathlib import Path

from launchers.command import Command
from launchers.process import procfs, unit
from launchers.process.child import Child
from launchers.process.procfs import Identity

OWNER = "NODE_DAEMON_ENGINE_OF"  # its value is the state directory of the daemon that started it


def engines_of(owner: str) -> tuple[Identity, ...]:
    """The leaders of sessions that a daemon with that state directory started; in the service also those in
    units. Blocks."""
    wanted = f"{OWNER}={owner}".encode()
    children = (pid for pid in procfs.pids() if wanted in procfs.environment(pid) and _leads_its_session(pid))
    own = tuple(identity for pid in children if (identity := procfs.identity(pid)) is not None)
    return (*own, *unit.engines())


async def end(identity: Identity) -> None:
    """Stops one of them with its whole session. Raises: EngineError if it can't be killed."""
    argv = await asyncio.to_thread(procfs.argv, identity.pid)
    if argv:
        child = await Child.adopt(identity, Command(argv, 0, "orphan"), Path(os.devnull))
        if child is not None:
            await child.stop()


def _leads_its_session(pid: int) -> bool:
    stat = procfs.stat(pid)
    return stat is not None and stat.session == pid
