"""Rates and hours as owners write them."""

import pytest

from domain import download
from domain.download import Window


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("20MB/s", 20_000_000),
        ("20 MB", 20_000_000),
        ("1.5MiB/s", 1_572_864),
        ("500kB/s", 500_000),
        ("2GB/s", 2_000_000_000),
        ("800B/s", 800),
    ],
)
def test_a_rate_is_in_bytes(text: str, bytes_per_s: int) -> None:
    assert download.parse_rate(text) == bytes_per_s


@pytest.mark.parametrize("text", ["", "20", "20Mbit/s", "20Mb/s", "-1MB/s", "0MB/s", "fast", "1e9MB/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a rate|rate of zero"):
        download.parse_rate(text)


@pytest.mark.parametrize(
    ("text", "minute", "is_open"),
    [
        pytest.param("01:00-06:00", 60, True, id="from its first minute"),
        pytest.param("01:00-06:00", 359, True, id="to its last"),
        pytest.param("01:00-06:00", 360, False, id="and no longer"),
        pytest.param("22:30-06:00", 1439, True, id="before midnight"),
        pytest.param("22:30-06:00", 0, True, id="through midnight"),
        pytest.param("22:30-06:00", 720, False, id="not at noon"),
        pytest.param("22:30-00:00", 1439, True, id="to midnight"),
    ],
)
def test_a_window_is_open(text: str, minute: int, is_open: bool) -> None:
    assert download.parse_window(text).is_open(minute) is is_open


def test_a_window_reads_as_it_was_written() -> None:
    assert str(download.parse_window("01:00-06:30")) == "01:00-06:30"
    assert download.parse_window("22:00-06:00") == Window(1320, 360)


@pytest.mark.parametrize(
    "text", ["", "1-6", "01:00", "01:00-24:00", "1:00-6:00", "01:00-01:00", "01:00-06:60"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a window|at the same time"):
        download.parse_window(text)
