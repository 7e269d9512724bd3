"""The service where there is no systemd: a container, WSL, another init."""

from pathlib import Path

import pytest

from ctl.main import main
from ctl.service import steps


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        pytest.param(["status"], "for a node-daemon that was started by hand", id="status"),
        pytest.param(["install", "--dry-run"], "run node-daemon by hand", id="install"),
    ],
)
def test_without_systemd_the_owner_is_told_so(
    command: list[str],
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(steps, "BOOTED", tmp_path / "none")
    assert main(["service", *command]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"node-ctl: systemd is not running on this machine\nhint: {hint}")
