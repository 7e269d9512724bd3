"""The first process of a container: it reaps orphans and passes signals on, while a child is the daemon.

The kernel gives orphans to process 1, and keeps each as a zombie until that asks for its end. The daemon
can't do that itself: it would take the ends of its own children from those who wait for them.
"""

import os
import signal
from types import FrameType

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def fork() -> int | None:
    """``None`` in the child, which is to be the daemon; in process 1 its exit status, once it ended."""
    child = os.fork()
    if child == 0:
        os.setsid()  # a Ctrl-C at a terminal reaches it once: passed on
        return None

    def pass_on(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
