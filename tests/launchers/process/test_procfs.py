"""What /proc says of processes: real ones where a test can make them, planted files for the rest."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from domain.units import MIB
from launchers.process import procfs

# Each holds 64 MiB and says so: the leader, a child made by its second thread, a child in another session.
HOLD = f"held = bytearray(64 * {MIB}); held[::4096] = bytes([1]) * len(held[::4096]); print('up', flush=True)"
FAMILY = f"""
import subprocess, sys, threading
def child(**kwargs):
    subprocess.Popen([sys.executable, "-c", {HOLD + "; import time; time.sleep(600)"!r}], **kwargs)
thread = threading.Thread(target=lambda: (child(), threading.Event().wait()), daemon=True)
thread.start()
child(start_new_session=True)
{HOLD}
thread.join()
"""


@contextmanager
def running(program: str, lines: int) -> Iterator[int]:
    """A process, once ``lines`` of output came of it and its children; all of them end with it."""
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        for _ in range(lines):
            assert child.stdout.readline()
        try:
            yield child.pid
        finally:
            for pid in procfs.process_tree(child.pid):
                os.kill(pid, signal.SIGKILL)


def test_a_process_is_known_by_its_start_and_its_session() -> None:
    program = "print(flush=True); import time; time.sleep(600)"
    with running(program, lines=1) as pid:  # it runs: the kernel shows a command line only then
        who = procfs.identity(pid)
        assert who is not None
        assert who.pid == pid
        assert procfs.members(pid) == (pid,)
        assert procfs.runs(pid, [sys.executable, "-c", program])
        assert not procfs.runs(pid, [sys.executable, "-c", "other"])
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert procfs.identity(pid) is None  # dead, and not yet reaped
        assert procfs.members(pid) == ()
    assert procfs.argv(pid) == ()


def test_memory_of_all_descendants_counts_whichever_thread_made_them() -> None:
    with running(FAMILY, lines=3) as pid:
        assert len(procfs.process_tree(pid)) == 3
        assert len(procfs.members(pid)) == 2
        alone = procfs._held_bytes(pid)
        assert 64 * MIB <= alone < 128 * MIB
        assert 3 * 64 * MIB <= procfs.held_bytes(pid) < 3 * 128 * MIB


def test_private_shared_and_locked_file_pages_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    locked = "Name:\ta: b\nVmLck:\t 30 kB\nRssAnon:\t 10 kB\nRssFile:\t 40 kB\nRssShmem:\t 5 kB\n"
    statuses = {
        10: locked,
        11: "VmLck:\t 9 kB\nRssAnon:\t 0 kB\nRssFile:\t 7 kB\nRssShmem:\t 0 kB\n",
        12: "Name:\tended\n",
        13: "RssAnon:\t 1000 kB\n",
    }
    parents = {10: 1, 11: 10, 12: 11, 13: 1}
    for pid, status in statuses.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(status)
        rest = " ".join(["0"] * 15)
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) b) S {parents[pid]} 1 1 {rest} 77 0")
    assert procfs.held_bytes(10) == (10 + 5 + 30 + 7) * 1024
    assert procfs.held_bytes(99) == 0


@pytest.mark.parametrize(
    ("groups", "file", "content"),
    [
        pytest.param("0::/box/engine\n", "box/engine/memory.events", "oom 3\noom_kill 2\n", id="v2"),
        pytest.param(
            "5:memory:/box\n0::/\n", "memory/box/memory.oom_control", "under_oom 0\noom_kill 2\n", id="v1"
        ),
        pytest.param("0::/of/the/host\n", "memory.events", "oom_kill 2\n", id="v2 seen from a container"),
    ],
)
def test_oom_kills_are_counted_in_the_cgroup_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, file: str, content: str
) -> None:
    monkeypatch.setattr(procfs, "PROC", tmp_path / "proc")
    monkeypatch.setattr(procfs, "CGROUPS", tmp_path / "cgroup")
    for path, text in ((tmp_path / "proc" / "7" / "cgroup", groups), (tmp_path / "cgroup" / file, content)):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    counter = procfs.oom_counter(7)
    assert counter is not None
    assert procfs.oom_kills(counter) == 2
    counter.write_text("no counter here")
    assert procfs.oom_kills(counter) is None
    assert procfs.oom_counter(8) is None
