"""``node-ctl shutdown``."""

import time

from ctl.autostart import connect
from ctl.client import find_socket
from ctl.options import Json
from ctl.terminal import print_json
from domain.errors import NodeError
from launchers.process.procfs import identity

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl shutdown
"""

# Engines are stopped one after the other, each with its grace period.
END_TIMEOUT_S = 300.0
POLL_S = 0.1


def command(*, as_json: Json = False) -> None:
    """Returns when the daemon and its engines have ended. Launches are served again when it is started."""
    running = connect()
    process = identity(running.get("/v1/status")["pid"])
    answer = running.post("/v1/shutdown")
    deadline = time.monotonic() + END_TIMEOUT_S
    while find_socket() == running.socket or (process and identity(process.pid) == process):
        if time.monotonic() > deadline:
            raise NodeError(f"node-daemon is still running after {END_TIMEOUT_S:.0f} s", hint="see its log")
        time.sleep(POLL_S)
    if as_json:
        print_json(answer)
    else:
        print("node-daemon has stopped")
