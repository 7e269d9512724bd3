"""Settings: where they come from, and how a wrong one is blamed."""

import re
from pathlib import Path

import pytest

from config import paths
from config.settings import Settings, load
from domain.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and nothing of ours in the environment."""
    for variable in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CONFIGURATION_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(variable, raising=False)
    for field in (*Settings.model_fields, "config"):
        monkeypatch.delenv(f"NODE_DAEMON_{field.upper()}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_a_user_has_everything_below_the_home(home: Path) -> None:
    settings = load()
    assert settings.state_dir == home / ".local/state/node-daemon"
    assert settings.models_dir == home / ".local/share/node-daemon/models"
    assert settings.socket == home / ".local/state/node-daemon/node-daemon.sock"


def test_a_user_session_has_the_socket_in_its_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert load().socket == Path("/run/user/1000/node-daemon.sock")


def test_a_service_uses_the_folders_that_systemd_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/node-daemon")
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/node-daemon")
    settings = load()
    assert settings.state_dir == Path("/var/lib/node-daemon")
    assert settings.models_dir == Path("/var/lib/node-daemon/models")
    assert settings.socket == paths.SYSTEM_SOCKET


def test_a_service_ignores_the_settings_of_whoever_installed_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".config/node-daemon").mkdir(parents=True)
    (home / ".config/node-daemon/config.toml").write_text("offline = true\n")
    assert load().offline
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(home / "etc"))
    assert not load().offline


def test_the_command_line_goes_over_the_environment_and_that_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('state_dir = "/from/file"\nmodels_dir = "/from/file"\nsocket = "/from/file"\n')
    monkeypatch.setenv("NODE_DAEMON_MODELS_DIR", "/from/environment")
    monkeypatch.setenv("NODE_DAEMON_SOCKET", "/from/environment")
    settings = load(file, socket=Path("/from/line"), state_dir=None)
    assert (settings.state_dir, settings.models_dir, settings.socket) == (
        Path("/from/file"),
        Path("/from/environment"),
        Path("/from/line"),
    )


def test_a_tilde_is_the_home(home: Path, file: Path) -> None:
    file.write_text('models_dir = "~/models"\n')
    assert load(file).models_dir == home / "models"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        pytest.param(
            "modles_dir = '/m'\n", "unknown setting 'modles_dir'", "did you mean models_dir?", id="a typo"
        ),
        pytest.param(
            "zzz = 1\n", "unknown setting 'zzz'", "docs/settings.md lists all settings", id="nothing near"
        ),
        pytest.param("port_first = 'x'\n", r"port_first = 'x': .*valid integer", "", id="a wrong type"),
        pytest.param("port_last = 2000\n", "port_last 2000 is below port_first 18100", "", id="no range"),
        pytest.param(
            "offline = maybe\n", "Invalid value", "the settings file is TOML: key = value", id="not TOML"
        ),
        pytest.param("log_level = 'loud'\n", "log_level = 'loud': .*'debug'", "", id="none of the choices"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(file: Path, text: str, message: str, hint: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load(file)
    assert caught.value.hint == hint
    assert str(caught.value).startswith(f"{file}: ")


def test_a_wrong_variable_is_named_with_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DAEMON_OFLINE", "1")
    with pytest.raises(ConfigError, match="environment: unknown setting 'NODE_DAEMON_OFLINE'") as caught:
        load()
    assert caught.value.hint == "did you mean NODE_DAEMON_OFFLINE?"


def test_a_wrong_value_of_a_variable_is_blamed_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DAEMON_READY_TIMEOUT_S", "-3")
    with pytest.raises(ConfigError, match="environment: ready_timeout_s = '-3'"):
        load()


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DAEMON_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="no such file"):
        load()


def test_every_setting_is_documented_and_nothing_else_is() -> None:
    rows = [line for line in (ROOT / "docs/settings.md").read_text().splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert documented == set(Settings.model_fields)
