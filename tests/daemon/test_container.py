"""The daemon as the first process of a container: it reaps orphans, and signals reach it once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

# In a PID namespace of its own: a child that leaves an orphan behind and tells when that has ended.
INIT = """
import os, signal, sys, time
from daemon.isolation import container_init
if os.getpid() != 1:
    sys.exit("not process 1")
ended = container_init.fork()
if ended is not None:
    sys.exit(ended)
told = []
signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
orphan = int(os.popen("sleep 0.1 >/dev/null & echo $!").read())
while os.path.exists(f"/proc/{orphan}"):  # a zombie has its folder until it is reaped
    time.sleep(0.01)
print("reaped", flush=True)
while not told:
    time.sleep(0.01)
sys.exit(40 + len(told))
"""


def test_process_1_reaps_orphans_and_passes_signals_and_the_exit_status_on() -> None:
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", INIT]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as namespace:
        try:
            assert namespace.stdout is not None
            assert namespace.stdout.readline() == "reaped\n"
            (init,) = Path(f"/proc/{namespace.pid}/task/{namespace.pid}/children").read_text().split()
            os.kill(int(init), signal.SIGTERM)
            assert namespace.wait(timeout=60) == 41
        finally:
            namespace.kill()
