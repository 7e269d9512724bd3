"""Files with secrets that every user can read."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from config import loading
from daemon.doctor.checks import secrets
from daemon.doctor.checks.input import SecretFile
from daemon.doctor.secret_files import read_secret_files
from tests.daemon.doctor.checks.build import (
    NOT_KNOWN,
    OK,
    OWNER,
    SERVICE,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)

TOKEN = "/home/ada/.cache/huggingface/token"
SETTINGS = "/etc/node-daemon/config.toml"

CASES = [
    Case("all are closed", inputs(secret_files=(SecretFile(TOKEN, "t", 0o600, "ada", False),)), (OK,)),
    Case("not looked at", inputs(secret_files=None), (NOT_KNOWN,)),
    Case("may not be looked at", inputs(secret_files=(SecretFile(TOKEN, "t"),)), (NOT_KNOWN,), (TOKEN,)),
    Case(
        "a token of the caller",
        inputs(
            runs_as=OWNER,
            caller=OWNER,
            secret_files=(SecretFile(TOKEN, "a token of the hub", 0o644, "ada", True),),
        ),
        (WARNING,),
        (TOKEN, "mode 0644, owner ada", f"chmod 600 {TOKEN}"),
    ),
    Case(
        "the settings of the service",
        inputs(
            runs_as=SERVICE,
            caller=OWNER,
            secret_files=(SecretFile(SETTINGS, "a token of the settings", 0o644, "root", True),),
        ),
        (WARNING,),
        ("owner root", f"sudo chgrp node-daemon {SETTINGS} && sudo chmod 640 {SETTINGS}"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_secrets(case: Case) -> None:
    judge(secrets.check, case)


def test_files_are_looked_at_with_the_folders_above_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nowhere/token")
    monkeypatch.setattr("huggingface_hub.constants.HF_STORED_TOKENS_PATH", "/nowhere/stored_tokens")
    monkeypatch.setenv("NETRC", "/nowhere/netrc")
    for variable in [name for name in os.environ if name.startswith("NODE_DAEMON_")]:
        monkeypatch.delenv(variable)
    with TemporaryDirectory() as name:
        folder = Path(name)
        state = folder / "state"
        state.mkdir(mode=0o755)
        file = folder / "config.toml"
        file.write_text("hub_token = 'secret'\n")
        (state / "state.db").touch()

        def opened() -> set[str]:
            loaded = loading.read(file, state_dir=state)
            return {Path(found.path).name for found in read_secret_files(loaded) if found.is_open}

        file.chmod(0o644)
        (state / "state.db").chmod(0o644)
        assert opened() == set(), "the folder of the test lets nobody pass"
        folder.chmod(0o755)
        assert opened() == {"config.toml", "state.db"}
        state.chmod(0o750)
        assert opened() == {"config.toml"}
        file.chmod(0o640)
        assert opened() == set()
        file.write_text("log_level = 'info'\n")
        file.chmod(0o644)
        assert opened() == set(), "without a secret everybody may read it"
