"""Installing and removing the service, with systemd looking on."""

import json

import pytest

from tests.rigs.systemd.box import Box
from tests.systemd.conftest import CTL, UNIT, Service

pytestmark = pytest.mark.systemd

LISTED = "find /etc /opt /usr/local /var/lib /var/cache -xdev ! -type d ! -name .pwd.lock | sort"


@pytest.fixture(scope="module")
def before(box: Box) -> str:
    return box.run("sh", "-c", LISTED)


@pytest.fixture(scope="module")
def installed(service: Service, before: str) -> Service:
    del before
    assert all(step["changed"] for step in service.install("--now"))
    return service


def test_systemd_has_nothing_to_say_against_the_unit(installed: Service):
    said = installed.box.attempt("systemd-analyze", "verify", UNIT)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_the_service_runs_as_its_own_user_out_of_its_own_environment(installed: Service):
    pid = installed.pid()
    assert installed.box.run("ps", "-o", "user=", "-p", str(pid)).split() == ["node-daemon"]
    assert "/opt/node-daemon/bin" in installed.box.run("ps", "-o", "args=", "-p", str(pid))


def test_it_says_how_it_is_and_feeds_the_watchdog(installed: Service):
    status = json.loads(installed.box.run("node-ctl", "service", "status", "--json"))
    assert status["active"] == "active"
    assert status["enabled"]
    assert status["says"]
    assert installed.box.property(UNIT, "WatchdogTimestamp")


def test_once_more_changes_nothing_and_disturbs_nobody(installed: Service):
    pid = installed.pid()
    assert not any(step["changed"] for step in installed.install("--now"))
    assert installed.pid() == pid


def test_who_called_sudo_may_use_node_ctl(installed: Service):
    told = installed.as_user("owner", "node-ctl", "status", "--json")
    assert json.loads(told.stdout)["pid"] == installed.pid()


def test_others_may_not_and_are_told_how(installed: Service):
    refused = installed.as_user("stranger", "node-ctl", "status")
    assert refused.returncode == 5
    assert "usermod -aG node-daemon" in refused.stderr


def test_the_state_of_the_service_is_closed_to_others(installed: Service):
    assert installed.box.run("stat", "-c", "%a %U", "/var/lib/node-daemon").split() == ["750", "node-daemon"]


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_without_root_it_says_the_line_to_type(installed: Service, command: str):
    refused = installed.as_user("owner", "/opt/node-daemon/bin/node-ctl", "service", command)
    assert refused.returncode == 1
    assert f"sudo /opt/node-daemon/bin/node-ctl service {command}" in refused.stderr


def test_a_dry_run_does_nothing(installed: Service):
    told = installed.box.run("node-ctl", "service", "uninstall", "--purge", "--dry-run")
    assert "would remove /var/lib/node-daemon" in told
    assert installed.box.property(UNIT, "ActiveState") == "active"


def test_uninstall_keeps_state_and_purge_leaves_nothing(installed: Service, before: str):
    box = installed.box
    box.run("node-ctl", "service", "uninstall")
    assert box.property(UNIT, "LoadState") == "not-found"
    assert installed.processes() == set()
    assert box.attempt("node-ctl", "--version").returncode == 127
    assert "models" in box.run("ls", "/var/lib/node-daemon")
    box.run(CTL, "service", "uninstall", "--purge")
    assert box.run("sh", "-c", LISTED) == before
    assert box.attempt("id", "node-daemon").returncode == 1
    assert "node-daemon" not in box.run("cat", "/etc/group")


def test_removing_what_is_not_there_is_no_error(box: Box):
    told = json.loads(box.run(CTL, "service", "uninstall", "--purge", "--json"))
    assert not any(step["changed"] for step in told["steps"])
