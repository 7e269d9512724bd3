"""``node-ctl shutdown``."""

import time

from ctl.autostart import daemon
from ctl.client import find_socket
from ctl.options import Json
from ctl.terminal import print_json
from domain.errors import NodeError
from launchers.process.procfs import identity

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl shutdown
"""

# Engines are stopped one after the other, each with its grace.
END_TIMEOUT_S = 300.0
POLL_S = 0.1


def command(*, as_json: Json = False) -> None:
    """Returns once the daemon has stopped its engines and is gone: its socket goes first."""
    running = daemon()
    process = identity(running.get("/v1/status")["pid"])
    answer = running.post("/v1/shutdown")
    deadline = time.monotonic() + END_TIMEOUT_S
    while find_socket() == running.socket or (process and identity(process.pid) == process):
        if time.monotonic() > deadline:
            raise NodeError(f"node-daemon still runs after {END_TIMEOUT_S:.0f} s", hint="see its log")
        time.sleep(POLL_S)
    if as_json:
        print_json(answer)
    else:
        print("node-daemon has ended")
