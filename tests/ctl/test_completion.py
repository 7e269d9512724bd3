"""Completion in a real bash: the script that node-ctl prints is sourced and asked."""

import os
import sys
import time
from pathlib import Path

import pytest

from domain.serialization import to_json
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import FakeDaemon

BIN = Path(sys.executable).parent
ASK = r"""
source <(node-ctl completion bash)
complete -p node-ctl >/dev/null || exit 1
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_node_ctl_completion node-ctl
printf '%s\n' "${COMPREPLY[@]}"
"""


def completed(ctl: Ctl, *words: str) -> list[str]:
    """What bash offers for the last of ``words``."""
    path = f"{BIN}{os.pathsep}{ctl.env['PATH']}"
    done = ctl.run(["bash", "--norc", "-c", ASK, "bash", "node-ctl", *words], PATH=path)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_commands_are_completed(ctl: Ctl) -> None:
    assert completed(ctl, "s") == [
        "show",
        "start",
        "stop",
        "search",
        "status",
        "schedule",
        "shutdown",
        "service",
    ]


def test_options_of_a_command_are_completed(ctl: Ctl) -> None:
    assert completed(ctl, "launch", "--n") == ["--name", "--no-mmproj", "--no-draft", "--no-pin", "--no-wait"]


def test_commands_of_a_group_are_completed(ctl: Ctl) -> None:
    assert completed(ctl, "service", "un") == ["uninstall"]


def test_launches_are_completed_from_the_daemon(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/launches", [to_json(answers.ROW), to_json(answers.FAILED_ROW)])
    end = time.monotonic() + 120
    while not (offered := completed(ctl, "stop", "s")):  # none where the daemon takes a second
        assert time.monotonic() < end
    assert offered == ["smol"]


def test_without_a_daemon_nothing_is_completed_or_printed(ctl: Ctl) -> None:
    assert completed(ctl, "stop", "s") == []


def test_models_are_completed_from_the_catalogue(ctl: Ctl) -> None:
    assert "smollm2-135m" in completed(ctl, "launch", "smol")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(ctl: Ctl, shell: str) -> None:
    done = ctl("completion", shell)
    assert done.returncode == 0
    assert f"complete_{shell}" in done.stdout


def test_there_is_one_way_to_get_it(ctl: Ctl) -> None:
    assert "--install-completion" not in ctl("--help").stdout
    assert ctl("--show-completion").returncode == 2
