"""Which daemon node-ctl finds, and when it starts one: real daemons, in a home of their own."""

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config import instance
from ctl.autostart import connect_or_start
from ctl.client import Peer
from ctl.main import main
from daemon import instance_lock
from domain.errors import StateError
from domain.serialization import to_json
from launchers.process.procfs import identity
from tests.conftest import ROOT
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import serving
from tests.rigs.forked import WITHIN_S

UNIT = "etc/systemd/system/node-daemon.service"


@pytest.fixture
def home(ctl: Ctl) -> Iterator[Ctl]:
    """node-ctl in a home where a daemon that it starts is ended in the end."""
    ctl.env["NODE_DAEMON_OFFLINE"] = "1"
    yield ctl
    ctl("shutdown")


def daemons_started_by(done: subprocess.CompletedProcess[str]) -> list[int]:
    return [int(pid) for pid in re.findall(r"started node-daemon \(pid (\d+)\)", done.stderr)]


def install_unit(ctl: Ctl) -> None:
    unit = ctl.sysroot / UNIT
    unit.parent.mkdir(parents=True)
    unit.touch()


@pytest.mark.parametrize(
    "told",
    [
        pytest.param('socket = "{path}"\n', id="the settings file names the socket"),
        pytest.param('state_dir = "{folder}"\n', id="the settings file names the state"),
    ],
)
def test_a_daemon_is_found_where_its_settings_put_it(ctl: Ctl, tmp_path: Path, told: str) -> None:
    del ctl.env["XDG_RUNTIME_DIR"]
    path = tmp_path / "node-daemon.sock"
    config = tmp_path / "node.toml"
    config.write_text(told.format(path=path, folder=tmp_path))
    with serving(path) as fake:
        fake.on("GET /v1/status", answers.STATUS)
        assert ctl("status", NODE_DAEMON_CONFIG=str(config)).returncode == 0


def test_the_named_socket_is_the_only_one_tried(ctl: Ctl, tmp_path: Path) -> None:
    with serving(tmp_path / "node-daemon.sock") as fake:
        fake.on("GET /v1/status", answers.STATUS)
        assert ctl("status").returncode == 0
        assert ctl("--socket", str(tmp_path / "other.sock"), "status").returncode == 5


def test_a_question_starts_a_daemon_and_says_so_once(home: Ctl) -> None:
    first = home("probe", "--json")
    assert first.returncode == 0, first.stderr
    assert "cpu" in json.loads(first.stdout)
    [pid] = daemons_started_by(first)
    log = home.home / ".local/state/node-daemon/node-daemon.log"
    assert f"started node-daemon (pid {pid}), log: {log}" in first.stderr
    assert log.exists()

    again = home("status", "--json")
    assert (again.returncode, again.stderr) == (0, "")
    assert json.loads(again.stdout)["pid"] == pid
    assert os.getsid(pid) == pid, "a session of its own: no terminal takes it along"

    assert (log.parent / "autostart.lock").exists()
    assert log.parent.stat().st_mode & 0o007 == 0, "its state is closed to others"


def test_a_start_says_that_the_settings_file_is_not_used(home: Ctl, tmp_path: Path) -> None:
    assert home("probe", "--json").returncode == 0
    assert home("shutdown").returncode == 0
    config = tmp_path / "config.toml"
    config.write_text("port_frist = 1\n")
    done = home("probe", "--json", NODE_DAEMON_CONFIG=str(config))
    assert done.returncode == 0, done.stderr
    assert f"it does not use the settings file: {config}:1: unknown setting 'port_frist'" in done.stderr
    assert "node-ctl config check" in done.stderr


def test_two_commands_at_once_start_one_daemon(home: Ctl) -> None:
    argv = home.argv("doctor", "--json")
    both = [
        subprocess.Popen(argv, cwd=ROOT, env=home.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    told = [child.communicate(timeout=WITHIN_S) for child in both]
    assert all(json.loads(out) for out, _ in told), told
    assert sum(error.count(b"started node-daemon") for _, error in told) == 1


def test_a_daemon_that_can_not_start_is_5_with_the_end_of_its_log(ctl: Ctl, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text("modles_dir = '/m'\n")
    done = ctl("launch", "smollm2-135m", NODE_DAEMON_CONFIG=str(config))
    assert done.returncode == 5
    assert "exited with status 2 while starting" in done.stderr
    assert "models_dir" in done.stderr, "the daemon's own error, with its suggestion"


def test_an_installed_service_is_never_doubled(ctl: Ctl) -> None:
    install_unit(ctl)
    done = ctl("launch", "smollm2-135m")
    assert done.returncode == 5
    assert "hint: start it with: sudo systemctl start node-daemon" in done.stderr
    assert daemons_started_by(done) == []


def test_a_socket_of_its_own_is_served_beside_a_service_in_a_state_folder_named_from_here(home: Ctl) -> None:
    install_unit(home)
    home.env["NODE_DAEMON_SOCKET"] = str(home.home / "own.sock")
    home.env["NODE_DAEMON_STATE_DIR"] = os.path.relpath(home.home / "s", ROOT)
    assert home("probe").returncode == 0
    assert json.loads(home("status", "--json").stdout)["state_dir"] == str(home.home / "s")


def test_a_killed_daemon_is_started_again(home: Ctl) -> None:
    [pid] = daemons_started_by(home("probe"))
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.01)
    again = home("probe")
    assert again.returncode == 0
    assert daemons_started_by(again) != [pid]


def wait_for(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def listens_at(state: Path) -> Path:
    holder = instance.running(state)
    assert holder is not None
    assert holder.socket is not None
    return holder.socket


@pytest.fixture
def session() -> Iterator[Ctl]:
    """A user who is logged in: the runtime folder comes and goes with the session. The path of the home is
    short, because a socket's path in its state folder has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="nd-") as folder:
        user = Ctl(Path(folder))
        user.env |= {"NODE_DAEMON_OFFLINE": "1", "XDG_RUNTIME_DIR": str(user.home / "run")}
        (user.home / "run").mkdir()
        yield user
        user("shutdown")


def test_a_daemon_is_found_by_its_lock_after_a_logout_and_from_a_shell_without_the_runtime_folder(
    session: Ctl,
) -> None:
    """A logout removes the socket, and it listens again."""
    [pid] = daemons_started_by(session("probe"))
    log = session.home / ".local/state/node-daemon/node-daemon.log"
    runtime, before = session.home / "run", log.stat().st_ino
    shutil.rmtree(runtime)

    wait_for(lambda: listens_at(log.parent).is_socket())
    assert json.loads(session("status", "--json").stdout)["pid"] == pid, "while there is no folder"
    runtime.mkdir()
    again = session("probe")
    assert (again.returncode, daemons_started_by(again)) == (0, []), again.stderr
    wait_for((runtime / "node-daemon.sock").is_socket)
    assert json.loads(session("status", "--json").stdout)["pid"] == pid
    assert log.stat().st_ino == before, "the log of a living daemon is not moved"

    del session.env["XDG_RUNTIME_DIR"]  # su -, sudo -u and cron don't set it
    again = session("probe")
    assert (again.returncode, again.stderr) == (0, "")
    assert json.loads(session("status", "--json").stdout)["pid"] == pid
    assert session("shutdown").returncode == 0
    assert identity(pid) is None


def test_another_socket_is_refused_with_where_the_daemon_listens_and_shutdown_returns_when_it_is_gone(
    home: Ctl,
) -> None:
    [pid] = daemons_started_by(home("probe"))
    home.env["NODE_DAEMON_SOCKET"] = str(home.home / "other.sock")
    refused = [home("launch", "smollm2-135m"), home("ps")]
    del home.env["NODE_DAEMON_SOCKET"]
    for done in refused:
        assert done.returncode == 5
        assert f"(pid {pid}) listens on {home.home}/node-daemon.sock" in done.stderr
        assert "hint: leave out --socket" in done.stderr
        assert daemons_started_by(done) == []

    done = home("shutdown")
    assert (done.returncode, done.stdout) == (0, "node-daemon has stopped\n")
    assert identity(pid) is None
    assert home("ps").returncode == 5


def test_a_daemon_that_does_not_listen_is_told_of_by_its_pid(ctl: Ctl) -> None:
    """A hint to start one would lead to "already running"."""
    state = ctl.home / ".local/state/node-daemon"
    with instance_lock.hold(state):
        instance_lock.tell_socket(state, ctl.home / "gone.sock", ctl.home / "gone.sock")
        done = ctl("ps")
    assert done.returncode == 5
    pid = os.getpid()
    assert f"waiting for node-daemon (pid {pid})" in done.stderr
    assert f"node-daemon (pid {pid}) is running, but listens on no socket: {ctl.home}/gone.sock is gone" in (
        done.stderr
    )
    assert f"kill {pid} ends it" in done.stderr


def test_a_command_waits_for_a_daemon_that_is_starting(ctl: Ctl) -> None:
    state, socket = ctl.home / ".local/state/node-daemon", ctl.home / "node-daemon.sock"
    with instance_lock.hold(state):
        argv = ctl.argv("status", "--json")
        child = subprocess.Popen(
            argv, cwd=ROOT, env=ctl.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert child.stderr is not None
        assert child.stderr.readline().startswith(f"waiting for node-daemon (pid {os.getpid()})")
        with serving(socket, {"GET /v1/status": answers.STATUS}):
            out, _ = child.communicate(timeout=WITHIN_S)
    assert child.returncode == 0
    assert json.loads(out)["version"] == answers.STATUS["version"]


def test_where_two_daemons_run_each_answer_says_whose_it_is(
    ctl: Ctl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system = ctl.home / "system.sock"
    monkeypatch.setattr("config.paths.SYSTEM_SOCKET", system)
    monkeypatch.setattr("ctl.autostart.SYSTEM_SOCKET", system)
    ctl.enter(monkeypatch)
    own, row = ctl.home / "node-daemon.sock", to_json(answers.ROW)
    with serving(own) as fake, serving(system):
        fake.on("GET /v1/launches", [row])
        fake.on("GET /v1/status", answers.STATUS)
        # both are of this process: other_daemons would take them for one
        monkeypatch.setattr("ctl.client.peer_of", lambda path: Peer(path, path.stem, len(path.stem)))
        monkeypatch.setattr("ctl.commands.ps.peer_of", lambda path: Peer(path, "ada", 12))
        monkeypatch.setattr("ctl.commands.status.peer_of", lambda path: Peer(path, "ada", 12))
        assert main(["ps", "--json"]) == 0
        said = capsys.readouterr()
        assert main(["status", "--json"]) == 0
        status = json.loads(capsys.readouterr().out)
    (shown,) = json.loads(said.out)
    assert shown == {**row, "daemon": {"user": "ada", "pid": 12, "socket": str(own)}}
    assert said.err == (
        f"this is the node-daemon of the user ada, pid 12 ({own}); there is also the system service of the"
        f" user system, pid 6: node-ctl --socket {system} ps\n"
    )
    assert status["user"] == "ada"
    assert status["other_daemons"] == [{"user": "system", "pid": 6, "socket": str(system)}]


def test_a_single_daemon_says_nothing_of_others(ctl: Ctl) -> None:
    with serving(ctl.home / "node-daemon.sock") as fake:
        fake.on("GET /v1/launches", [])
        done = ctl("ps", "--json")
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_state_folder_without_locks_is_named(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    ctl.enter(monkeypatch)
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StateError, match="can't be locked: No locks available") as told:
        connect_or_start()
    assert "local disk" in told.value.hint
