"""``node-ctl shutdown``."""

import shutil
import subprocess
import time

from ctl.autostart import connect
from ctl.client import find_socket
from ctl.options import Json
from ctl.terminal import note, print_json
from domain.errors import NodeError, NotPermittedError
from launchers.process.procfs import identity

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl shutdown
"""

UNIT = "node-daemon.service"
# Engines are stopped one after the other, each with its grace period.
END_TIMEOUT_S = 300.0
POLL_S = 0.1


def command(*, as_json: Json = False) -> None:
    """Returns when the daemon and its engines have ended. Launches are served again when it is started.

    The system service is stopped by systemctl, which asks for what systemd's policy asks for.
    """
    running = connect()
    pid = running.get("/v1/status")["pid"]
    process = identity(pid)
    if pid == _service_pid():
        _stop_service()
        answer = {"stopping": True}
    else:
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


def _service_pid() -> int | None:
    """The main process of the system service, if it runs."""
    if shutil.which("systemctl") is None:
        return None
    argv = ["systemctl", "show", "--property=MainPID", "--value", UNIT]
    shown = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
    return int(shown) if shown.isdecimal() and int(shown) else None


def _stop_service() -> None:
    """Raises: NotPermittedError. Standard input is the terminal: polkit may ask for a password there."""
    note(f"stopping the system service: systemctl stop {UNIT}")
    done = subprocess.run(["systemctl", "stop", UNIT], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        said = " | ".join(done.stderr.strip().splitlines()[-3:])
        raise NotPermittedError(
            f"systemctl stop {UNIT} failed (exit {done.returncode}): {said}",
            hint="sudo systemctl stop node-daemon; node-ctl stop NAME stops a model",
        )
