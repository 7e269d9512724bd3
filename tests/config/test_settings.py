"""Settings: where they come from, and how a wrong one is blamed."""

import re
from pathlib import Path

import pytest

from config import paths
from config.loading import load
from config.settings import Settings
from domain.download import DownloadPolicy, Window
from domain.errors import ConfigError
from domain.units import GIB, MIB

ROOT = Path(__file__).parent.parent.parent


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


def test_targets_of_notifications_lie_beside_the_settings(
    home: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load().notify_file == home / ".config/node-daemon/notify.toml"
    file.write_text("offline = true\n")
    assert load(file).notify_file == file.parent / "notify.toml"
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", "/etc/node-daemon")
    assert load().notify_file == Path("/etc/node-daemon/notify.toml")


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
        pytest.param(
            "port_last = 2000\n",
            "port_last 2000 is below port_first 18100",
            "port_first to port_last is the range of engines' ports",
            id="no range",
        ),
        pytest.param(
            "offline = maybe\n", "Invalid value", "the settings file is TOML: key = value", id="not TOML"
        ),
        pytest.param(
            f"port_first = {'8' * 4400}\n",
            "a number has too many digits",
            "the settings file is TOML: key = value",
            id="a number that Python does not read",
        ),
        pytest.param(
            f"port_first = 0x{'f' * 4000}\n",
            "a number has too many digits",
            "the settings file is TOML: key = value",
            id="a number that Python does not print",
        ),
    ],
)
def test_a_wrong_file_is_named_with_its_key(file: Path, text: str, message: str, hint: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load(file)
    assert caught.value.hint == hint
    assert str(caught.value).startswith(f"{file}:1: ")


@pytest.mark.parametrize(
    ("line", "expected", "default"),
    [
        ('port_first = "x"', "a whole number from 1024 to 65535", ", 18100"),
        ("port_first = 80", "a whole number from 1024 to 65535", ", 18100"),
        ("restart_loop = 1.5", "a whole number, at least 1", ", 5"),
        ("restart_delay_s = 0", "a number above 0", ", 1"),
        ("restart_stable_s = -1", "a number, at least 0", ", 60"),
        ('offline = "maybe"', "true or false", ", false"),
        ('disk_low_bytes = "4 gallons"', "a size such as 4 GB, 4 GiB or 500 MB", ", 5.0 GiB"),
        ("log_max_bytes = 1", "a size such as 4 GB, 4 GiB or 500 MB, at least 65536 bytes", ", 10 MiB"),
        ("host_reserve_bytes = -1", "a size such as 4 GB, 4 GiB or 500 MB", ""),
        ("socket = 3", "a path in quotes", ""),
        ("download_window = 5", "text in quotes", ""),
        ('log_level = "loud"', "debug, info, warning or error", ", info"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_expected_and_what_holds_without_it(
    file: Path, line: str, expected: str, default: str
) -> None:
    file.write_text(f"{line}\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == f"{file}:1: {line}: expected {expected}"
    assert caught.value.hint == f"leave it out for the default{default}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('log_level = "inf"', "did you mean info?"),
        ('download_limit = "fast"', "'fast' is not a rate: give 20MB/s or 500KB/s"),
        ("hub_token = 7", "hub_token = ********: expected text in quotes"),
    ],
)
def test_what_a_wrong_value_may_have_meant_is_told_and_a_secret_is_not(
    file: Path, line: str, said: str
) -> None:
    file.write_text(f"{line}\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert said in f"{caught.value} {caught.value.hint}"


def test_a_wrong_variable_is_named_with_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DAEMON_OFLINE", "1")
    with pytest.raises(ConfigError, match="environment: unknown setting 'NODE_DAEMON_OFLINE'") as caught:
        load()
    assert caught.value.hint == "did you mean NODE_DAEMON_OFFLINE?"


def test_a_wrong_value_of_a_variable_is_blamed_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DAEMON_READY_TIMEOUT_S", "-3")
    with pytest.raises(ConfigError) as caught:
        load()
    assert str(caught.value) == 'environment: NODE_DAEMON_READY_TIMEOUT_S = "-3": expected a number above 0'


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DAEMON_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="no such file"):
        load()


@pytest.mark.parametrize("text", [f"offline = {'[' * 3000}", f"{'.'.join('a' * 3000)} = 1"])
def test_a_file_that_is_nested_too_deeply_is_told(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match="arrays or tables are nested too deeply"):
        load(file)


def test_a_file_that_can_t_be_read_is_named(file: Path) -> None:
    file.symlink_to("/proc/self/mem")  # opens, and answers EIO to whoever reads its first byte
    with pytest.raises(ConfigError, match=f"{file}: Input/output error") as caught:
        load(file)
    assert caught.value.hint == "node-daemon must be able to read it"


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DAEMON_PORT_FIRST", "")
    monkeypatch.setenv("NODE_DAEMON_LLAMA_SERVER", "")
    assert (load().port_first, load().llama_server) == (18100, None)


def test_settings_do_not_change_while_the_daemon_runs() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().offline = True


def test_downloads_have_the_owner_s_limits() -> None:
    assert load().download_policy == DownloadPolicy(None, None, GIB, 4)
    limited = load(
        download_limit="20MB/s", download_window="01:00-06:00", disk_reserve_bytes=5, download_files=2
    )
    assert limited.download_policy == DownloadPolicy(20_000_000, Window(60, 360), 5, 2)


@pytest.mark.parametrize(("name", "value"), [("download_limit", "fast"), ("download_window", "at night")])
def test_limits_of_downloads_that_nobody_can_read_are_refused_at_the_start(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"command line: {name} = \"{value}\": '{value}' is no"):
        load(**{name: value})


def test_weights_of_other_tools_are_looked_for_in_their_folders(home: Path, tmp_path: Path) -> None:
    cache, ollama = home / ".cache/huggingface/hub", home / ".ollama/models"
    assert load().places == (cache, ollama)
    assert load(models_dir=cache).places == (ollama,), "our own folder is no other tool's"


DEFAULTS = {
    "`127.0.0.1:8411`": "127.0.0.1:8411",
    "none": None,
    "the planner's": None,
    "`false`": False,
    "`true`": True,
    "`info`": "info",
    "`/`": Path("/"),
}


def settings_page() -> dict[str, str]:
    """The documented defaults by name."""
    rows = [line for line in (ROOT / "docs/settings.md").read_text().splitlines() if line.startswith("| `")]
    return {
        name: default.strip()
        for names, defaults in (row.split("|")[1:3] for row in rows)
        for name, default in zip(
            re.findall(r"`(\w+)`", names),
            defaults.split(",") if names.count("`") > 2 else [defaults],
            strict=True,
        )
    }


def test_every_setting_is_documented_and_nothing_else_is() -> None:
    assert set(settings_page()) == set(Settings.model_fields)


PATHS_OF_THE_USER = {
    "state_dir",
    "models_dir",
    "engines_dir",
    "socket",
    "hub_cache",
    "ollama_models",
    "notify_file",
}


def test_the_documented_defaults_are_those_that_hold() -> None:
    settings = load()
    documented = settings_page()
    for name in documented.keys() - PATHS_OF_THE_USER:
        figure, _, unit = documented[name].partition(" ")
        size = {"GiB": GIB, "MiB": MIB, "": 1}.get(unit)
        value = int(figure) * size if figure.isdigit() and size else DEFAULTS[documented[name]]
        assert getattr(settings, name) == value, name
