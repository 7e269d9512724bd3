"""``python -m tests.fuzz``: fuzzes targets, each in a process of its own, some at a time."""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import ROOT
from tests.fuzz.target import NAMES

FOLDER = ROOT / ".cache" / "fuzz"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--inputs", type=int, default=0, help="ends after so many inputs of each target")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="ends after so many seconds of each target"
    )
    parser.add_argument("--seed", type=int, help="of the mutations; each run prints its own")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for findings and what reached new code")
    given = parser.parse_args()
    if wrong := set(given.targets) - set(NAMES):
        parser.error(f"unknown target {', '.join(sorted(wrong))}")
    if not given.inputs and not given.seconds:
        given.seconds = 60.0
    return given


def main() -> int:
    given = options()
    names = given.targets or NAMES
    seed = given.seed or int.from_bytes(os.urandom(3), "big") + 1
    if len(names) == 1:
        from tests.fuzz import engine  # noqa: PLC0415  # it instruments what is imported after it

        engine.run(engine.Order(names[0], seed, given.inputs, given.seconds, given.folder))

    def run(name: str) -> int:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz",
            name,
            "--seed",
            str(seed),
            "--folder",
            str(given.folder),
        ]
        command += ["--inputs", str(given.inputs), "--seconds", str(given.seconds)]
        return subprocess.run(command, check=False, cwd=ROOT).returncode

    with ThreadPoolExecutor(given.jobs) as pool:
        statuses = dict(zip(names, pool.map(run, names), strict=True))
    failed = [name for name, status in statuses.items() if status]
    print(f"findings in {', '.join(failed)}: {given.folder}/findings" if failed else "no findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
