"""Problems of the settings file: all are found, and none takes down a daemon that ran before."""

from pathlib import Path

import pytest

from config import fallback
from config.loading import Loaded, effective, load, read
from domain.errors import ConfigError


def test_all_problems_are_found_with_their_lines_and_the_rest_is_used(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(
        "modles_dir = '/m'\n\nport_first = 'x'\nhub_token = 7\nrestart_loop = 3\n[log_levels]\na = 1\n"
        "[catalogue]\n"
    )
    monkeypatch.setenv("NODE_DAEMON_PORT_LAST", "19000")
    monkeypatch.setenv("NODE_DAEMON_OFLINE", "1")
    loaded = read(file)
    assert [(one.origin, one.line, one.key) for one in loaded.problems] == [
        (str(file), 1, "modles_dir"),
        (str(file), 3, "port_first"),
        (str(file), 4, "hub_token"),
        (str(file), 6, "log_levels"),
        (str(file), 8, "catalogue"),
        ("environment", None, "NODE_DAEMON_OFLINE"),
    ]
    assert "7" not in loaded.problems[2].message, "a secret is not shown"
    assert (loaded.settings.restart_loop, loaded.settings.port_last, loaded.settings.port_first) == (
        3,
        19000,
        18100,
    )
    origins = {row["name"]: row["origin"] for row in effective(loaded)}
    assert (origins["restart_loop"], origins["port_last"], origins["port_first"]) == (
        str(file),
        "environment",
        "default",
    )


def test_a_wrong_range_takes_both_of_its_ends(file: Path) -> None:
    file.write_text("port_first = 20000\nport_last = 19000\n")
    loaded = read(file)
    assert [one.line for one in loaded.problems] == [2]
    assert (loaded.settings.port_first, loaded.settings.port_last) == (18100, 18199)


def test_a_catalogue_that_can_not_be_used_is_a_problem_of_its_setting(file: Path) -> None:
    file.write_text('offline = true\ncatalogue = "/none.toml"\n')
    loaded = read(file)
    assert [(one.line, one.key) for one in loaded.problems] == [(2, "catalogue")]
    assert loaded.settings.catalogue is None
    assert loaded.settings.offline


@pytest.mark.parametrize(
    ("text", "count"),
    [("'4 GB'", 4_000_000_000), ("'500 MiB'", 500 * 1024**2), ("'1048576'", 1024**2), ("7", 7)],
)
def test_a_size_may_have_a_unit(file: Path, monkeypatch: pytest.MonkeyPatch, text: str, count: int) -> None:
    file.write_text(f"host_reserve_bytes = {text}\n")
    monkeypatch.setenv("NODE_DAEMON_DISK_LOW_BYTES", text.strip("'"))
    assert (load(file).host_reserve_bytes, load(file).disk_low_bytes) == (count, count)


def test_a_secret_is_masked_and_an_absent_one_is_absent(file: Path) -> None:
    def token() -> object:
        return next(row["value"] for row in effective(read(file)) if row["name"] == "hub_token")

    file.write_text("")
    assert token() is None
    file.write_text("hub_token = 'hf_secret'\n")
    assert token() == "********"


def started(file: Path) -> Loaded:
    """As a daemon starts, and is served with it."""
    loaded = fallback.load(file, {})
    fallback.remember(loaded, {}, at="2026-11-30T12:00:00+00:00")
    return loaded


def test_a_file_that_was_never_good_is_refused(file: Path) -> None:
    file.write_text("modles_dir = '/m'\n")
    with pytest.raises(ConfigError, match="modles_dir"):
        started(file)


@pytest.mark.parametrize(
    "bad", ["modles_dir = '/m'\n", "= no TOML", "state_dir = 5\nmodels_dir = '/other'\n"]
)
def test_a_bad_file_leaves_the_settings_of_the_last_good_start(file: Path, home: Path, bad: str) -> None:
    file.write_text(f"state_dir = '{home}/elsewhere'\nmodels_dir = '/srv/models'\nhub_token = 'hf_secret'\n")
    good = started(file).settings
    stored = home / ".local/state/node-daemon/settings-last-good.json"
    assert stored.stat().st_mode & 0o077 == 0, "it holds a token"
    file.write_text(bad)
    for _ in range(2):  # the bad one is not taken for good
        loaded = started(file)
        assert loaded.settings == good
        assert loaded.problems[0].origin == str(file)


def test_a_named_file_that_is_gone_counts_as_bad(file: Path) -> None:
    file.write_text("restart_loop = 3\n")
    started(file)
    file.unlink()
    assert started(file).settings.restart_loop == 3


def test_a_setting_that_this_version_does_not_know_costs_that_setting(file: Path, home: Path) -> None:
    file.write_text("restart_loop = 3\n")
    started(file)
    stored = home / ".local/state/node-daemon/settings-last-good.json"
    stored.write_text(stored.read_text().replace('"restart_loop": 3', '"restart_loop": 3, "gone": 1'))
    file.write_text("gone = 1\nrestart_loop = 3\n")
    assert started(file).settings.restart_loop == 3


def test_a_wrong_variable_is_refused_whatever_was_good(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("restart_loop = 3\n")
    started(file)
    monkeypatch.setenv("NODE_DAEMON_READY_TIMEOUT_S", "-3")
    with pytest.raises(ConfigError, match="environment"):
        started(file)
