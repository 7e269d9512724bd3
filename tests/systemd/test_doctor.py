"""What the doctor says of the service on a real systemd: as root, as its owner, and once it is down."""

import json
from typing import Any

import pytest

from tests.systemd.conftest import UNIT, Service

pytestmark = pytest.mark.systemd

LIMITS = "[Service]\nLimitMEMLOCK=64K\n"


@pytest.fixture(scope="module")
def installed(service: Service) -> Service:
    service.install("--now")
    return service


def of(found: list[dict[str, Any]], check: str) -> list[dict[str, Any]]:
    return [one for one in found if one["check"] == check]


def test_it_tells_the_limit_that_engines_get_and_the_unit_hides_no_device(installed: Service) -> None:
    """The unit asks for all; a box that itself may not raise the limit has to give less."""
    box = installed.box
    (memlock,) = of(installed.ctl("doctor"), "memlock")
    soft = box.run("sed", "-n", "s/^Max locked memory *//p", f"/proc/{installed.pid()}/limits").split()[0]
    assert box.property(UNIT, "LimitMEMLOCK") == "infinity"
    if soft == "unlimited":
        assert memlock["found"] == "unlimited for the service"
    else:
        assert memlock["found"].startswith(f"{int(soft) // 1024**2} MiB of ")
        assert "raise the memlock limit of the container" in memlock["fix"]
    assert box.property(UNIT, "DevicePolicy") == "auto"
    assert box.property(UNIT, "DeviceAllow") == "", "any entry would hide all other devices"
    assert box.property(UNIT, "PrivateDevices") == "no"


def test_who_may_use_node_ctl_is_told_the_same(installed: Service) -> None:
    done = installed.as_user("owner", "node-ctl", "doctor", "--json")
    found = json.loads(done.stdout)
    assert of(found, "daemon")[0]["status"] == "ok"
    assert of(found, "memlock") == of(installed.ctl("doctor"), "memlock")


def test_who_may_not_is_told_why_and_the_rest(installed: Service) -> None:
    done = installed.as_user("stranger", "node-ctl", "doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert of(found, "daemon")[0]["found"] == "no permission to open /run/node-daemon/node-daemon.sock"
    assert "usermod -aG node-daemon" in of(found, "daemon")[0]["fix"]
    assert of(found, "launches")[0]["status"] == "not_known"
    assert of(found, "memlock")[0]["found"] == "unlimited for the service"


def test_a_drop_in_that_takes_away_is_found(installed: Service) -> None:
    drop_in = installed.box.path(f"/etc/systemd/system/{UNIT}.d/less.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(LIMITS)
    installed.box.run("systemctl", "daemon-reload")
    installed.box.run("systemctl", "restart", UNIT)
    (memlock,) = installed.ctl("doctor", "--check", "memlock")
    drop_in.unlink()
    installed.box.run("systemctl", "daemon-reload")
    installed.box.run("systemctl", "restart", UNIT)
    assert memlock["status"] == "warning"
    assert memlock["found"].startswith("0 MiB of ")
    assert "LimitMEMLOCK=infinity" in memlock["fix"]
    assert memlock["recheck"] == "node-ctl doctor --check memlock"
    assert installed.ctl("doctor", "--check", "memlock")[0]["found"] != memlock["found"]


def test_a_service_that_is_down_is_examined_and_left_as_it_is(installed: Service) -> None:
    box = installed.box
    box.run("systemctl", "stop", UNIT)
    listed = box.run("find", "/var/lib/node-daemon", "/run/node-daemon", "-printf", "%p %u %m\n", check=False)
    done = box.attempt("node-ctl", "doctor", "--report", "/root/report.md", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    (daemon,) = of(found, "daemon")
    assert "installed as a service" in daemon["found"]
    assert "last result success" in daemon["found"]
    assert daemon["fix"] == "start it with: sudo systemctl start node-daemon"
    assert of(found, "launches")[0]["found"] == "nothing is launched"
    report = box.run("cat", "/root/report.md")
    assert 'state_dir = "/var/lib/node-daemon"' in report
    assert "Last lines of the journal" in report
    assert "serving: socket=/run/node-daemon/node-daemon.sock" in report
    after = box.run("find", "/var/lib/node-daemon", "/run/node-daemon", "-printf", "%p %u %m\n", check=False)
    assert after == listed
    box.run("systemctl", "start", UNIT)
