"""A real engine that the kernel kills for memory ends a step down, and serves."""

import asyncio
import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from signal import Signals

import pytest

from config.settings import Settings
from daemon.app import Adapters, real_adapters
from daemon.launches.ladder.climb import climb
from launchers.process import child
from launchers.registry import LAUNCHERS
from tests.daemon.conftest import FakeLauncher, Running, fake_adapters, fork_server
from tests.daemon.launches.health.test_sick_engines import served_again

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.slow]

MIB, GIB = 1 << 20, 1 << 30
MEMORY = Path("/sys/fs/cgroup/memory")
UNIFIED = Path("/sys/fs/cgroup")
IN_GROUP = """#!/bin/sh
echo $$ > {group}/cgroup.procs && exec {program} "$@"
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A memory cgroup without processes, of either version of the interface."""
    root = MEMORY if MEMORY.exists() else UNIFIED
    made = root / f"node-daemon-test-{os.getpid()}"
    made.mkdir()
    yield made
    made.rmdir()


def limit(group: Path, size_bytes: int) -> None:
    name = "memory.limit_in_bytes" if group.parent == MEMORY else "memory.max"
    while (error := _write(group / name, str(size_bytes))) is not None:
        assert error.errno == errno.EBUSY, "what was killed has not given its memory back yet"


def _write(path: Path, text: str) -> OSError | None:
    try:
        path.write_text(text)
    except OSError as error:
        return error
    return None


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(child, "TICK_S", 0.2)
    without = {"engine_sandbox": False, "health_canary_s": 0.0, "ladder_min_context": 1024}
    without |= {"restart_delay_s": 2.0, "restart_delay_max_s": 2.0}
    return settings.model_copy(update=without)


@pytest.fixture
def grouped(settings: Settings, group: Path, tmp_path: Path) -> Adapters:
    """The real llama-server, in that cgroup."""
    found = real_adapters(settings, fork_server())
    real = found.engine("llama.cpp")
    script = tmp_path / "llama-server"
    script.write_text(IN_GROUP.format(group=group, program=real.path))
    script.chmod(0o755)
    caps = replace(real, path=str(script))
    fakes = fake_adapters(settings, FakeLauncher())
    return replace(
        fakes, launchers=LAUNCHERS, engines=found.engines, engine=lambda _: caps, ask_memory=found.ask_memory
    )


async def test_an_oom_kill_costs_what_it_must_and_is_remembered(
    daemon: Running, grouped: Adapters, group: Path, smollm2: Path
) -> None:
    async with daemon(grouped) as api:
        row = await api.launched(smollm2, name="tiny")
        assert row["reduced"] is None
        os.kill(row["pid"], Signals.SIGKILL)
        await asyncio.to_thread(limit, group, 160 * MIB)
        again = await served_again(api, "tiny", row["pid"])
        assert again["reduced"].startswith("memory ran out: ")
        told = await api.app.store.run(api.app.store.events.since, 0)
        assert {"reduced", "ready"} <= {event.kind for event in told}
    async with daemon(grouped) as api:
        restored = await api.row("tiny", lambda row: row["state"] == "ready")
        assert restored["reduced"] == again["reduced"], "the next start begins there"
        launch = api.app.launches["tiny"]
        steps = launch.ladder.steps
        launch.ladder = replace(launch.ladder, climb_at_s=0.0)
        await asyncio.to_thread(limit, group, GIB)
        await climb(api.app)
        await served_again(api, "tiny", restored["pid"])
        assert launch.ladder.steps == steps[:-1]
