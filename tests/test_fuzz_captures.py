"""What fuzzing found stays mended: every kept input, and the seeds of each target."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.fuzz.target import CORPUS, NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_fuzzing_found_is_told_within_its_limits(name: str) -> None:
    """In a process of its own: targets replace parts of the product, such as the client of the hub."""
    argv = [sys.executable, "-m", "tests.fuzz.replay", name]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_a_finding_is_noticed() -> None:
    argv = [sys.executable, "-m", "tests.fuzz.replay", "tests.fuzz.planted"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    kinds = [line.split(": ")[1].split()[0] for line in done.stdout.splitlines()]
    assert kinds == ["KeyError", "slow", "memory", "endless"]


def test_the_corpus_stays_small() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} <= set(NAMES)
    assert sum(path.stat().st_size for path in files) < 256 * 1024
