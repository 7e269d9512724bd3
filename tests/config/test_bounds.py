"""The bounds of settings: what lies beyond is refused, what lies on them is not."""

from pathlib import Path

import pytest

from config.loading import load
from domain.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("host_reserve_bytes", 0, None),
        ("gpu_margin_bytes", 0, None),
        ("disk_low_bytes", 0, None),
        ("port_first", 1024, 18199),
        ("port_last", 18100, 65535),
        ("restart_stable_s", 0, None),
        ("restart_loop", 1, None),
        ("download_files", 1, 32),
        ("disk_reserve_bytes", 0, None),
        ("log_max_bytes", 65536, None),
        ("ladder_min_context", 512, None),
        ("health_canary_s", 0, None),
        ("heat_soft_c", 30, 120),
        ("heat_hard_c", 30, 120),
    ],
)
def test_a_value_out_of_bounds_is_refused_and_the_last_in_bounds_is_not(
    name: str, least: int, most: int | None
) -> None:
    for value in (least, most if most is not None else least):
        assert getattr(load(**{name: value}), name) == value
    for value in (least - 1, *([most + 1] if most is not None else [])):
        with pytest.raises(ConfigError, match=f"command line: .*{name}"):
            load(**{name: value})


@pytest.mark.parametrize(
    "name",
    [
        *("ready_timeout_s", "restart_delay_s", "restart_delay_max_s", "probe_interval_s"),
        *("sample_interval_s", "on_demand_idle_s", "health_interval_s", "health_stall_s"),
    ],
)
def test_a_time_of_nothing_is_refused(name: str) -> None:
    assert getattr(load(**{name: 0.5}), name) == 0.5
    with pytest.raises(ConfigError, match=f"{name} = 0"):
        load(**{name: 0})


def test_folders_of_engines_are_absolute_or_below_the_home(home: Path) -> None:
    assert load().engine_folder_paths == ()
    assert load(engine_folders="~/a::/b").engine_folder_paths == (home / "a", Path("/b"))
    with pytest.raises(ConfigError, match="relative/path is not an absolute path"):
        load(engine_folders="/a:relative/path")


def test_ports_below_those_of_users_and_beyond_the_last_are_refused() -> None:
    assert load(port_first=40000, port_last=40000).port_last == 40000
    for port in (1023, 65536):
        with pytest.raises(ConfigError, match="port_first"):
            load(port_first=port, port_last=65535)
        with pytest.raises(ConfigError, match="port_last"):
            load(port_first=1024, port_last=port)
