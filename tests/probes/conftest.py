"""What the tests of probes share: planted machines, threads without privileges, children with NVML."""

import ctypes
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.data import known_gpus
from domain.machine.hardware import Hardware
from domain.serialization import from_json
from probes import snapshot
from tests.probes.table import TABLE
from tests.rigs import nvml
from tests.rigs.trees import plant_machine

OPENED: list[str] | None = None
CHILD = """
import json, pathlib, sys
from domain.serialization import to_json
from probes import snapshot
from config.data import known_gpus
from tests.probes.table import TABLE
root = pathlib.Path(sys.argv[1])
table = known_gpus() if sys.argv[2] == "shipped" else TABLE
print(json.dumps(to_json(snapshot.probe(root=root, models_dir=root, known_gpus=table))))
"""


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Path]:
    """Plants a recorded machine and tells its root."""
    return lambda name: plant_machine(tmp_path, name)


@pytest.fixture
def see() -> Callable[[Path], Hardware]:
    return lambda root: snapshot.probe(root=root, models_dir=root, known_gpus=TABLE)


@pytest.fixture
def see_known() -> Callable[[Path], Hardware]:
    """With the table that ships, in the place of the short one of these tests."""
    return lambda root: snapshot.probe(root=root, models_dir=root, known_gpus=known_gpus())


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nvml.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def see_with_nvml(nvml_library: Path, tmp_path: Path) -> Callable[..., Hardware]:
    """A snapshot taken by a child that loads the stand-in library with ``answers``; "" for no library."""

    def see_it(root: Path, answers: str, *, on_the_path: bool = True, table: str = "short") -> Hardware:
        profile = tmp_path / "answers.nvml"
        profile.write_text(answers)
        changes = nvml.environment(nvml_library, profile) if answers else {}
        if not on_the_path:
            changes.pop("LD_LIBRARY_PATH")
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(root), table],
            env={**os.environ, **changes},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return from_json(Hardware, json.loads(done.stdout))

    return see_it


def unprivileged(call: Callable[[], Any]) -> Any:
    """What ``call`` returns in a thread that has given up root's way around file permissions."""
    reading: list[Any] = []

    def run() -> None:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
        assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0
        reading.append(call())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return reading[0]


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if OPENED is not None and event in ("open", "os.listdir", "os.scandir"):
        OPENED.append(str(arguments[0]))


sys.addaudithook(_note)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The paths that Python opens while the test runs."""
    global OPENED  # noqa: PLW0603 - an audit hook can't be taken away, so it stays and does nothing
    OPENED = []
    yield OPENED
    OPENED = None
