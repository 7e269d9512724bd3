"""The real llama-server, killed as by a lack of memory once a prompt is longer than TOKENS, where its context
is longer than WINDOW: ``dies_at_depth.py TOKENS WINDOW LLAMA-SERVER ARGS``. Run it by ``sys.executable``."""

import os
import re
import signal
import subprocess
import sys

PROMPT = re.compile(r"task\.n_tokens = (\d+)")


def main() -> None:
    limit, window, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if int(argv[argv.index("--ctx-size") + 1]) <= window:
        os.execv(argv[0], argv)  # noqa: S606 - the engine, as the daemon starts it
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as engine:
        signal.signal(signal.SIGTERM, lambda *_: engine.terminate())
        for line in engine.stdout or ():
            print(line, end="", flush=True)
            found = PROMPT.search(line)
            if found and int(found[1]) > limit:
                engine.kill()
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
