"""Leases on weights in a folder that daemons share: who is alive keeps them, who is gone does not."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from catalog.local import leases
from catalog.local.leases import FOLDER, Holder, Leases

OWN = Holder(1, 2, "boot", "pid:[1]", "here", "ada", "/home/ada/state", "/run/ada")
OTHER = replace(OWN, pid=7, user="node-daemon", state_dir="/var/lib/node-daemon", socket="/run/nd")
ELSEWHERE = replace(OTHER, boot_id="another", host="nas")
BLOB = "models--o--r/blobs/0123"
HOLD = """
import json, sys
from pathlib import Path
from catalog.local.leases import Holder, Leases
leases = Leases(Path(sys.argv[1]), Holder(**json.loads(sys.argv[2])), is_alive=lambda *_: True)
leases.hold([Path(sys.argv[1], name) for name in sys.argv[3:]])
print("held", flush=True)
sys.stdin.read()
leases.release()
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def ours(models: Path) -> Leases:
    return Leases(models, OWN, is_alive=lambda pid, _: pid == OTHER.pid)


@contextmanager
def another(models: Path, holder: Holder = OTHER) -> Iterator["subprocess.Popen[bytes]"]:
    argv = [sys.executable, "-c", HOLD, str(models), json.dumps(asdict(holder)), BLOB]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child


def written(models: Path, holder: Holder, *, age_s: float = 0) -> Path:
    """A lease that nobody has locked."""
    lease = models / FOLDER / "left.lease"
    lease.parent.mkdir(parents=True, exist_ok=True)
    (lease.parent / "lock").touch()
    lease.write_text(json.dumps({**asdict(holder), "files": [BLOB]}))
    then = time.time() - age_s
    os.utime(lease, (then, then))
    return lease


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_what_a_living_daemon_holds_is_known_and_by_whom(models: Path, ours: Leases) -> None:
    with another(models), ours.removing() as held:
        holder = held.holder_of([ours.name(models / BLOB)])
        assert holder == OTHER
        assert holder.describe("boot") == (
            "the node-daemon of node-daemon, pid 7, state in /var/lib/node-daemon"
        )
        assert held.holder_of([ours.name(models / "models--o--r/blobs/4567")]) is None
    assert ours.held().files == {}, "it ended, and gave it back"


def test_the_lease_of_a_daemon_that_was_killed_is_void_and_goes(models: Path, ours: Leases) -> None:
    with another(models) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert list((models / FOLDER).glob("*.lease"))
    assert ours.held().files == {}
    assert not list((models / FOLDER).glob("*.lease"))


def test_our_own_is_not_against_us_and_all_of_it_can_be_given_back(models: Path, ours: Leases) -> None:
    ours.hold([models / BLOB])
    assert ours.held().files == {}
    theirs = Leases(models, OTHER, is_alive=lambda *_: True)
    assert theirs.held().files == {BLOB: OWN}
    ours.hold([])
    assert theirs.held().files == {}
    ours.release()
    assert not list((models / FOLDER).glob("*.lease"))


def test_without_weights_in_use_nothing_is_written(models: Path, ours: Leases) -> None:
    ours.hold([])
    assert list(models.iterdir()) == []


def test_a_lease_that_somebody_deleted_is_written_again(models: Path, ours: Leases) -> None:
    ours.hold([models / BLOB])
    next((models / FOLDER).glob("*.lease")).unlink()
    ours.hold([models / BLOB])
    assert Leases(models, OTHER, is_alive=lambda *_: True).held().files == {BLOB: OWN}


def test_the_lease_of_another_machine_counts_until_it_is_not_renewed(models: Path, ours: Leases) -> None:
    written(models, ELSEWHERE, age_s=leases.EXPIRES_S - 60)
    holder = ours.held().holder_of([BLOB])
    assert holder == ELSEWHERE
    assert " on nas, pid 7" in holder.describe("boot")
    assert holder.next_step("boot") == "stop it on nas first; without that daemon, wait 15 minutes"
    lease = written(models, ELSEWHERE, age_s=leases.EXPIRES_S + 60)
    assert ours.held().files == {}
    assert not lease.exists()


@pytest.mark.usefixtures("no_flock")
@pytest.mark.parametrize(
    ("holder", "age_s", "counts"),
    [
        pytest.param(OTHER, 10**6, True, id="its process lives, however old"),
        pytest.param(replace(OTHER, pid=8), 0, False, id="its process is gone"),
        pytest.param(replace(OTHER, pid=8, pid_namespace="pid:[2]"), 0, True, id="of another container"),
        pytest.param(replace(OTHER, pid_namespace="pid:[2]"), 10**6, False, id="of one that is long gone"),
        pytest.param(ELSEWHERE, 0, True, id="of another machine"),
    ],
)
def test_without_locks_processes_are_looked_at(
    models: Path, ours: Leases, holder: Holder, age_s: float, counts: bool
) -> None:
    written(models, holder, age_s=age_s)
    assert bool(ours.held().files) == counts
    ours.hold([models / BLOB])
    with ours.removing() as held:
        assert bool(held.files) == counts


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 7}', '{"files": []}', "[" * 99_999])
def test_a_lease_that_can_not_be_read_may_hold_anything_until_it_expires(
    models: Path, ours: Leases, text: str
) -> None:
    lease = written(models, OTHER)
    lease.write_text(text)
    assert ours.held().unreadable == lease
    written(models, OTHER, age_s=leases.EXPIRES_S + 60)
    stamp = lease.stat().st_mtime
    lease.write_text(text)
    os.utime(lease, (stamp, stamp))
    assert ours.held().unreadable is None


def test_nobody_takes_a_lease_while_one_removes(models: Path, ours: Leases, monkeypatch) -> None:
    monkeypatch.setattr(leases, "LOCK_TIMEOUT_S", 0.1)
    theirs = Leases(models, OTHER, is_alive=lambda *_: True)
    with ours.removing(), pytest.raises(TimeoutError):
        theirs.hold([models / BLOB])
    theirs.hold([models / BLOB])
    assert ours.held().files == {BLOB: OTHER}


def test_another_user_may_read_and_lock(models: Path, ours: Leases) -> None:
    """The umask of the daemon's unit is 0027, say; the folder's own mode decides who shares it."""
    models.chmod(0o2770)
    umask = os.umask(0o077)
    try:
        ours.hold([models / BLOB])
    finally:
        os.umask(umask)

    def mode(path: Path) -> int:
        return path.stat().st_mode & 0o777

    assert mode(models / FOLDER) == 0o770
    assert mode(models / FOLDER / "lock") == 0o660
    assert mode(next((models / FOLDER).glob("*.lease"))) == 0o644
