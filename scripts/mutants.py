"""Mutation test: changes one thing in a module at a time, and tells which changes its own tests let pass.

mutants.toml lists the modules. A mutant is named by its scope and text, and a sample is taken by a digest of
that name: it stays the same while other parts of a module change. Runs in a copy of the working tree.
"""

import argparse
import hashlib
import importlib
import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import grimp
import pytest
from mutations import mutated

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("domain", "planner", "probes", "catalog", "launchers", "config", "daemon", "ctl")
OUTPUT = "output.txt"
OPTIONS = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]


def forked(call: Callable[[], int | None]) -> int:
    """The pid of a child that ends with what ``call`` returns."""
    if child := os.fork():
        return child
    try:
        os._exit(call() or 0)
    except BaseException:  # noqa: BLE001 - whatever it was must not run on as a second parent
        traceback.print_exc()
        os._exit(9)


def passes(tree: Path, tests: list[str], cpu_s: int, wall_s: float, *, unchanged: bool = False) -> bool:
    """Runs the tests in a forked child, which has the libraries imported and no module of the project."""
    child = forked(lambda: run_tests(tree, tests, cpu_s, unchanged))
    end = time.monotonic() + wall_s
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def run_tests(tree: Path, tests: list[str], cpu_s: int, unchanged: bool) -> int:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    output = os.open(tree / OUTPUT, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(tree)
    os.environ["PYTHONPATH"] = str(tree)  # of children that the tests start
    sys.path[:0] = [str(tree)]
    sys.dont_write_bytecode = not unchanged
    status = int(pytest.main([*OPTIONS, *tests]))
    (tree / "imported.txt").write_text("\n".join(sorted(sys.modules)))
    return status


def import_ahead(tree: Path, module: str) -> None:
    """Imports what the tests need and what does not need the module: each child has it at no cost."""
    sys.path[:0] = [str(tree)]
    graph = grimp.build_graph(*ROOMS, cache_dir=str(ROOT / ".cache" / "grimp"))
    todo, later = {module.removesuffix(".py").replace("/", ".")}, set()
    while todo:
        name = todo.pop()
        later.add(name)
        inside = {other for other in graph.modules if other.startswith(f"{name}.")}
        todo |= (graph.find_modules_that_directly_import(name) | inside) - later
    for name in (tree / "imported.txt").read_text().splitlines():
        if name not in later and name.split(".")[0] not in {"tests", "conftest", "__main__"}:
            with suppress(Exception):
                importlib.import_module(name)


def run(tree: Path, module: str, entry: dict, options: argparse.Namespace) -> None:
    path, tests = tree / module, entry["tests"]
    source = path.read_text()
    names = mutated(source)[1]
    equivalent = {one["mutant"] for one in entry.get("equivalent", [])}
    for name in equivalent - names.keys():
        print(f"{module}: listed as equivalent, and there is none: {name}")
    sample = sorted(names, key=lambda name: hashlib.sha256(f"{options.seed} {name}".encode()).digest())
    chosen = [name for name in sample[: options.count] if name not in equivalent]
    if options.again:
        survived = f"survived  {module}:"
        before = options.again.read_text().splitlines()
        survivors = [line.split("  ", 2)[2] for line in before if line.startswith(survived)]
        chosen = [name for name in survivors if name in names and name not in equivalent]
    if not passes(tree, tests, 600, 600, unchanged=True):
        print(f"{module}: its tests fail without a mutant:\n{(tree / OUTPUT).read_text()}", flush=True)
        return
    import_ahead(tree, module)
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
    began, before_s = time.monotonic(), os.times().children_user
    passes(tree, tests, 600, 600)
    wall_s, cpu_s = time.monotonic() - began, os.times().children_user - before_s
    killed = 0
    for name in chosen:
        path.write_text(mutated(source, name)[0])
        if passes(tree, tests, int(3 * cpu_s + 5), 4 * wall_s + 20):
            print(f"survived  {module}:{names[name]}  {name}", flush=True)
        else:
            killed += 1
    path.write_text(source)
    score = f"{100 * killed / len(chosen):.0f} %" if chosen else "no mutants"
    print(f"{module}: {killed} of {len(chosen)} killed, {score}; {len(names)} in all", flush=True)


def main() -> None:
    listed = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "modules", nargs="*", default=list(listed), help="default: all that mutants.toml lists"
    )
    parser.add_argument("--count", type=int, default=25, help="mutants of each module (25)")
    parser.add_argument("--seed", default="1", help="another seed is another sample (1)")
    parser.add_argument(
        "--again", type=Path, help="only those that survived the run whose output is in this file"
    )
    options = parser.parse_args()
    if unknown := set(options.modules) - set(listed):
        parser.error(f"not in mutants.toml: {', '.join(sorted(unknown))}")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        for file in filter(lambda file: (ROOT / file).is_file(), files):
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, tree / file)
        (tree / ".cache").symlink_to(ROOT / ".cache")
        for module in options.modules:
            child = forked(lambda module=module: run(tree, module, listed[module], options))
            os.waitpid(child, 0)  # what was imported ahead went with it


if __name__ == "__main__":
    main()
