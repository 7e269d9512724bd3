"""Writes docs/cli.md from the real help of every command: ``python -m tests.ctl.cli_page``."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from ctl.exit_codes import EXIT_STATUS, INTERRUPTED
from ctl.main import COMMANDS, _load
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "cli.md"
COLUMNS = "100"
HEAD = """# node-ctl

Every command, as its own `--help` tells it. This page is written by `python -m tests.ctl.cli_page`; a test
fails where it and the commands differ.

## What holds for all

`--json` prints the daemon's answer and nothing else on standard output; notes and progress go to standard
error. An error is then an object, too: `{{"error": {{"code", "message", "hint", "line"}}}}`; `line` is the
engine's own. `logs` and `events` print one object a line. The shapes are those of the API, which the
daemon describes at `/openapi.json`.

| exit status | error codes |
|---|---|
{statuses}

The daemon is looked for at `--socket` or `NODE_DAEMON_SOCKET` alone, if given; else at the socket of the
user's settings, then at that of the system service. Where none answers, `launch`, `plan`, `compare`,
`estimate`, `probe`, `doctor`, `search`, `pull` and `adopt` start one for the user, and with it what was
desired; they don't where the system service is installed.
`NO_COLOR` is honoured, and in a pipe nothing is coloured, drawn over or wrapped.
"""
SECTION = """
## {title}

```console
$ {title} --help
{text}
```
"""


def pages() -> list[tuple[str, ...]]:
    """Every command that has a help page of its own, the program itself first."""
    found: list[tuple[str, ...]] = [()]
    for name in COMMANDS:
        found.append((name,))
        found += [(name, inner) for inner in getattr(_load(name), "commands", {})]
    return found


def help_of(page: tuple[str, ...]) -> str:
    argv = [sys.executable, "-m", "ctl.main", *page, "--help"]
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "COLUMNS": COLUMNS}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return done.stdout.rstrip()


def statuses() -> str:
    rows: dict[int, list[str]] = {0: ["done"]}
    for code, status in EXIT_STATUS.items():
        rows.setdefault(status, []).append(f"`{code}`")
    rows[INTERRUPTED] = ["Ctrl-C; what was launched goes on in the daemon"]
    return "\n".join(f"| {status} | {', '.join(words)} |" for status, words in rows.items())


def text() -> str:
    with ThreadPoolExecutor(2) as pool:
        helps = list(pool.map(help_of, pages()))
    sections = [
        SECTION.format(title=" ".join(("node-ctl", *page)), text=told)
        for page, told in zip(pages(), helps, strict=True)
    ]
    return HEAD.format(statuses=statuses()) + "".join(sections)


if __name__ == "__main__":
    PAGE.write_text(text())
