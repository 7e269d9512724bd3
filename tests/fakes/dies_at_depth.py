"""The real llama-server, killed as by a lack of memory once a prompt is longer than TOKENS, where its context
is longer than WINDOW and the file ARMED exists: ``dies_at_depth.py TOKENS WINDOW ARMED LLAMA-SERVER ARGS``.
Run it by ``sys.executable``. The prompt that a start measures is long where the machine is fast."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

PROMPT = re.compile(r"task\.n_tokens = (\d+)")


def main() -> None:
    limit, window, armed, argv = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]
    if int(argv[argv.index("--ctx-size") + 1]) <= window:
        os.execv(argv[0], argv)  # noqa: S606 - the engine, as the daemon starts it
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as engine:
        signal.signal(signal.SIGTERM, lambda *_: engine.terminate())
        for line in engine.stdout or ():
            print(line, end="", flush=True)
            found = PROMPT.search(line)
            if found and int(found[1]) > limit and armed.exists():
                engine.kill()
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
