"""Engines for these tests: the real one, and the child that misbehaves on demand."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from domain.launches.plan import LLAMA_CPP
from launchers import llama_cpp
from launchers.base import Capabilities, SearchPaths
from launchers.command import Command, StopPolicy
from launchers.process.engine import EngineProcess
from launchers.registry import choose
from tests.rigs import lent_ports

ROOT = Path(__file__).parent.parent.parent
FAKE = ROOT / "tests" / "fakes" / "engine_server.py"
CAPTURES = ROOT / "tests" / "captures"
IMPATIENT = StopPolicy(grace_s=0.5)
MakeProcess = Callable[..., EngineProcess]


async def until(holds: Callable[[], bool]) -> None:
    while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - /proc and files send no events
        await asyncio.sleep(0.01)


def has_lines(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


@pytest.fixture
def port() -> int:
    return lent_ports.free()


@pytest.fixture(scope="session")
def engine() -> Capabilities:
    """The real llama-server that this machine would use."""
    return choose(LLAMA_CPP, SearchPaths(search_path=os.environ["PATH"]))


@pytest_asyncio.fixture
async def engine_with(tmp_path: Path, port: int) -> AsyncIterator[MakeProcess]:
    """A process of the fake server with its options; whatever is left of it in the end is ended."""
    made: list[EngineProcess] = []

    def make(*args: str, stop: StopPolicy = IMPATIENT, **kwargs: object) -> EngineProcess:
        argv = (sys.executable, str(FAKE), "--port", str(port), *args)
        command = Command(argv=argv, port=port, served_name="smollm2-135m", stop=stop)
        chosen = {"diagnose": llama_cpp.diagnose, "log_path": tmp_path / "engine.log", **kwargs}
        process = EngineProcess(command, **chosen)  # type: ignore[arg-type]
        made.append(process)
        return process

    yield make
    for process in made:
        await process.stop()
