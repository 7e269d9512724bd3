"""The process of one download: its task on standard input, how far it is on standard output, a line each.

The end of its input is its order to stop. So it ends with the daemon that started it, however that ends.
"""

import json
import logging
import os
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from catalog.download.download import fetch
from catalog.download.process import GRACE_S, error_json
from catalog.download.throttle import StoppedError, Throttle
from domain.download import DownloadPolicy
from domain.errors import NodeError
from domain.model import Weights
from domain.serialization import from_json, to_json

STOPPED = 3


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)  # they log addresses, signatures and all
    task = json.loads(sys.stdin.buffer.readline())
    policy = from_json(DownloadPolicy, task["terms"])
    throttle = Throttle(policy)
    threading.Thread(target=_end_with_input, args=(throttle,), daemon=True).start()
    steps = fetch(
        from_json(Weights, task["weights"]),
        Path(task["models_dir"]),
        policy,
        places=[Path(place) for place in task["places"]],
        throttle=throttle,
    )
    try:
        with closing(steps):  # type: ignore[type-var]  # a generator, behind its interface
            for step in steps:
                if throttle.stopped.is_set() and step.weights is None:
                    return STOPPED
                _tell(to_json(step))
    except StoppedError:
        return STOPPED
    except NodeError as error:  # this process's edge: the other side raises it again
        _tell({"error": error_json(error)})
    return 0


def _tell(words: dict[str, Any]) -> None:
    """A daemon that is gone hears nothing: then nobody wants this any more."""
    try:
        sys.stdout.buffer.write(json.dumps(words).encode() + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(STOPPED)


def _end_with_input(throttle: Throttle) -> None:
    while os.read(sys.stdin.fileno(), 1):  # unbuffered: at the exit nobody may hold the buffer's lock
        pass
    throttle.stopped.set()
    time.sleep(GRACE_S / 2)  # a read that hangs must not hold up the end
    os._exit(STOPPED)


if __name__ == "__main__":
    sys.exit(main())
