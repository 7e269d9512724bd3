"""A wall clock that jumps while the real process of a download runs: libfaketime sets it, the monotonic one
goes on, as both do where somebody sets the clock of a machine."""

import sysconfig
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.download import process
from catalog.download.throttle import WindowClosedError
from domain.download import DownloadPolicy, DownloadProgress, parse_window
from domain.units import MIB
from tests.catalog.fetched import BIG, content, last, parts, weights
from tests.rigs.hub import Hub

LIBRARY = Path("/usr/lib", str(sysconfig.get_config_var("MULTIARCH")), "faketime", "libfaketime.so.1")
NIGHT = DownloadPolicy(limit_bytes_per_s=MIB, window=parse_window("01:00-06:00"))
CRAWLING = replace(NIGHT, limit_bytes_per_s=MIB // 8)  # a piece in two seconds: it can't end before a jump


class Clock:
    """The wall clock of every process that starts from now on."""

    def __init__(self, file: Path, patch: pytest.MonkeyPatch) -> None:
        self._file = file
        assert LIBRARY.exists(), "scripts/system-packages installs libfaketime"
        patch.setenv("LD_PRELOAD", str(LIBRARY))
        patch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
        patch.setenv("FAKETIME_NO_CACHE", "1")
        patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        patch.setenv("TZ", "UTC")

    def jump(self, at: str) -> None:
        beside = self._file.with_suffix(".new")
        beside.write_text(f"@{at}\n")
        beside.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock(tmp_path / "clock", monkeypatch)
    found.jump("2026-03-10 02:00:00")
    return found


async def until_it_moves(steps: AsyncGenerator[DownloadProgress, None], beyond_bytes: int = 0) -> int:
    async for step in steps:
        if step.bytes_done > beyond_bytes and not step.waiting:
            return step.bytes_done
    raise AssertionError("it ended")


async def test_hours_follow_the_wall_clock_wherever_it_jumps(tmp_path: Path, hub: Hub, clock: Clock) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    for opens, closes in (("2026-03-10 02:00", "2026-03-10 06:30"), ("2026-03-09 01:01", "2027-03-10 00:59")):
        clock.jump(f"{opens}:00")
        async with aclosing(process.fetch(wanted, tmp_path, CRAWLING)) as steps:
            await until_it_moves(steps, sum(part.stat().st_size for part in parts(tmp_path)))
            clock.jump(f"{closes}:00")
            with pytest.raises(WindowClosedError):
                await until_it_moves(steps, beyond_bytes=len(BIG))
    clock.jump("2027-03-10 05:30:00")
    done = [step async for step in process.fetch(wanted, tmp_path, replace(NIGHT, limit_bytes_per_s=None))]
    assert content(last(done)) == BIG
    ranges = [item.headers.get("Range", "bytes=0-") for item in hub.gets("/cdn/")]
    starts = [int(one.removeprefix("bytes=").removesuffix("-")) for one in ranges]
    assert len(starts) == 3
    assert starts == sorted(set(starts)), "each time it went on where it stopped"


@pytest.mark.parametrize("to", ["2026-03-10 01:00:30", "2026-03-20 02:00:00"], ids=["back", "ahead"])
async def test_a_jump_within_the_hours_changes_no_wait(
    tmp_path: Path, hub: Hub, clock: Clock, to: str
) -> None:
    """Not that of the limit, and not the seconds that a busy server asks for."""
    wanted = weights(hub, {"a.gguf": BIG})
    hub.faults.answer_status = [503]
    hub.faults.retry_after = "3"
    steps = process.fetch(wanted, tmp_path, NIGHT)
    while (step := await anext(steps)).waiting is None:
        pass
    assert step.waiting == "the hub answered 503, asked again in 3 s"
    clock.jump(to)
    await until_it_moves(steps)
    clock.jump("2026-03-10 03:00:00")
    rest = [step async for step in steps]
    assert not any(step.waiting for step in rest)
    assert len(rest) > 3, "the limit held: there was time to report"
    assert rest[-1].weights is not None
