"""Writes the transcript of docs/weights.md from a real run: ``python -m tests.rigs.pull_page``.

A daemon in a home of its own, and a hub on the loopback that has gpt-oss-120b as its publisher lists it, with
the true header and size and no weights; what is pulled is a small model with real ones.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from config.data import catalogue
from tests.conftest import ROOT, small_model
from tests.rigs import published
from tests.rigs.hub import Hub

PAGE = ROOT / "docs" / "weights.md"
BEGIN, END = "<!-- written by tests/rigs/pull_page.py -->\n", "<!-- end -->\n"
BIN = Path(sys.executable).parent
MODEL, PUBLISHED = "gpt-oss-120b", "MXFP4"


def commands() -> list[tuple[str, ...]]:
    return [
        ("plan", MODEL, "--on", "strix-halo-128gb"),
        ("pull", "owner/Tiny-GGUF", "--limit", "20MB/s"),
        ("models",),
        ("rm", "owner/Tiny-GGUF"),
    ]


def transcript() -> str:
    model = catalogue()[MODEL]
    with Hub() as hub, tempfile.TemporaryDirectory(prefix="node-daemon-page-") as home:
        hub.add(model.gguf_repos[0], published.quants(model, [PUBLISHED]))
        hub.add("owner/Tiny-GGUF", {"tiny-Q4_1.gguf": small_model().read_bytes()})
        env = {key: value for key, value in os.environ.items() if not key.startswith(("NODE_DAEMON_", "HF_"))}
        env |= {"HF_ENDPOINT": hub.url, "HOME": home, "XDG_RUNTIME_DIR": home, "COLUMNS": "110"}
        env |= {"NODE_DAEMON_LISTEN": "off"}
        daemon = subprocess.Popen(
            [BIN / "node-daemon"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        try:
            until_it_answers(env)
            told = [f"$ node-ctl {' '.join(words)}\n{run(words, env)}" for words in commands()]
        finally:
            daemon.terminate()
            daemon.wait()
        text = "\n".join(told).replace(home, "/home/you")
    return re.sub(r"[ \t]+\n", "\n", text)


def until_it_answers(env: dict[str, str]) -> None:
    while subprocess.run([BIN / "node-ctl", "status"], env=env, capture_output=True, check=False).returncode:
        time.sleep(0.1)


def run(words: tuple[str, ...], env: dict[str, str]) -> str:
    done = subprocess.run(
        [BIN / "node-ctl", *words],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def text() -> str:
    """The page with what is said now."""
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n```console\n{transcript()}```\n\n{END}{after}"


def main() -> None:
    PAGE.write_text(text())


if __name__ == "__main__":
    main()
