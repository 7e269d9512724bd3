"""``python -m tests.fuzz``: fuzzes targets, each in a process of its own, some at a time."""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import ROOT
from tests.fuzz.session import Order
from tests.fuzz.target import NAMES

FOLDER = ROOT / ".cache" / "fuzz"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--inputs", type=int, default=0, help="ends after so many inputs of each target")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="ends after so many seconds of each target"
    )
    parser.add_argument("--seed", type=int, help="the same inputs each time; by default coverage guides them")
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
    if len(names) == 1:
        _run_here(Order(names[0], given.seed, given.inputs, given.seconds, given.folder))

    def run(name: str) -> int:
        command = [sys.executable, "-m", "tests.fuzz", name, "--folder", str(given.folder)]
        command += ["--inputs", str(given.inputs), "--seconds", str(given.seconds)]
        command += [] if given.seed is None else ["--seed", str(given.seed)]
        return subprocess.run(command, check=False, cwd=ROOT).returncode

    with ThreadPoolExecutor(given.jobs) as pool:
        statuses = dict(zip(names, pool.map(run, names), strict=True))
    failed = [name for name, status in statuses.items() if status]
    print(f"findings in {', '.join(failed)}: {given.folder}/findings" if failed else "no findings")
    return 1 if failed else 0


def _run_here(order: Order) -> None:
    """Never returns. What the product and the fuzzer say goes to a log."""
    order.folder.mkdir(parents=True, exist_ok=True)
    os.dup2(os.open(order.folder / f"{order.name}.log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 2)
    if order.seed is None:
        from tests.fuzz import engine as how  # noqa: PLC0415  # it instruments what is imported after it
    else:
        from tests.fuzz import repeat as how  # noqa: PLC0415  # without the fuzzer
    how.run(order)


if __name__ == "__main__":
    sys.exit(main())
