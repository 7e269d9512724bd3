"""Finds the launch that answers, by its name or as the only one that is ready."""

from ctl.client import Daemon
from ctl.options import launch_path
from ctl.show.formatting import decode
from ctl.show.launches import decode_rows
from domain.errors import NodeError, UnknownLaunchError, UsageError
from domain.launches.launch import LaunchRow, LaunchState

PENDING = frozenset({LaunchState.QUEUED, LaunchState.DOWNLOADING, LaunchState.STARTING})
ANSWERING = frozenset({LaunchState.READY, LaunchState.DEGRADED})


def find_served(daemon: Daemon, name: str | None, *, usage: str) -> LaunchRow:
    """It has an endpoint. Raises: NodeError where it does not answer now, UnknownLaunchError; UsageError
    without a ``name`` where several are ready, with ``usage`` as the way to name one."""
    if name is None:
        rows = decode_rows(daemon.get("/v1/launches"))
        ready = [row for row in rows if row.state in ANSWERING and row.endpoint is not None]
        if len(ready) == 1:
            return ready[0]
        if ready:
            names = ", ".join(row.name for row in ready)
            raise UsageError(f"{len(ready)} models are ready: {names}", hint=usage)
        raise UnknownLaunchError("no model is ready", hint="node-ctl launch MODEL, or see node-ctl ps")
    row = decode(LaunchRow, daemon.get(launch_path(name))["launch"])
    if row.state not in ANSWERING or row.endpoint is None:
        reason = f": {row.last_error}" if row.last_error else ""
        again = f"see node-ctl logs {name}, or serve it again: node-ctl start {name}"
        soon = "ask again when node-ctl ps shows it as ready"
        raise NodeError(f"{name} is {row.state}{reason}", hint=soon if row.state in PENDING else again)
    return row
