"""The process of a download: reads its task from standard input, writes its progress to standard output.

The end of its input is its order to stop: it ends with the daemon that started it, however that ends.
"""

import logging
import os
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from catalog.download import messages
from catalog.download.download import fetch
from catalog.download.messages import GRACE_S, Task
from catalog.download.throttle import StoppedError, Throttle, WindowClosedError
from domain.download import DownloadProgress
from domain.errors import NodeError

STOPPED = 3


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)  # they log addresses, signatures and all
    task = messages.decode_task(sys.stdin.buffer.readline())
    throttle = Throttle(task.policy)
    threading.Thread(target=_end_with_input, args=(throttle,), daemon=True).start()
    try:
        return _run(task, throttle)
    except StoppedError:
        return STOPPED
    except (NodeError, WindowClosedError) as error:  # this process's edge: the parent raises it again
        _write(error)
        return 0


def _run(task: Task, throttle: Throttle) -> int:
    places = [Path(place) for place in task.places]
    steps = fetch(task.weights, Path(task.models_dir), task.policy, places=places, throttle=throttle)
    with closing(steps):
        for step in steps:
            if throttle.stopped.is_set() and step.weights is None:
                return STOPPED
            _write(step)
    return 0


def _write(message: DownloadProgress | NodeError | WindowClosedError) -> None:
    """Ends this process if nobody reads any more."""
    try:
        sys.stdout.buffer.write(messages.encode(message))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(STOPPED)


def _end_with_input(throttle: Throttle) -> None:
    while os.read(sys.stdin.fileno(), 1):  # unbuffered: at exit, nobody may hold the buffer's lock
        pass
    throttle.stopped.set()
    time.sleep(GRACE_S / 2)  # a read that hangs must not hold up the end
    os._exit(STOPPED)


if __name__ == "__main__":
    sys.exit(main())
