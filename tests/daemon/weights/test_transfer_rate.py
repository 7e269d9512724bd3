"""Rates and remaining times of downloads."""

from daemon.weights.transfer_rate import TransferRate
from domain.download import DownloadProgress


def test_the_rate_and_the_time_left_come_four_times_a_second() -> None:
    rate = TransferRate()
    assert rate.progress(DownloadProgress(0, 1000), 10.0) is not None
    assert rate.progress(DownloadProgress(100, 1000), 10.1) is None
    progress = rate.progress(DownloadProgress(400, 1000), 11.0)
    assert progress is not None
    assert (progress.bytes_done, progress.rate_bytes_per_s, progress.eta_s) == (400, 400.0, 1.5)
    assert rate.progress(DownloadProgress(1000, 1000), 11.01) is not None, "the last one is always reported"


def test_a_wait_is_reported_at_once_and_has_no_rate() -> None:
    rate = TransferRate()
    rate.progress(DownloadProgress(100, 1000), 10.0)
    for waiting in ("queued", "the disk is full"):
        progress = rate.progress(DownloadProgress(100, 1000, waiting=waiting), 10.01)
        assert progress is not None
        assert (progress.waiting, progress.rate_bytes_per_s, progress.eta_s) == (waiting, None, None)
    assert rate.progress(DownloadProgress(100, 1000, waiting="the disk is full"), 10.02) is None
    assert rate.progress(DownloadProgress(200, 1000), 10.03) is not None


def test_of_an_unknown_size_no_time_left_is_known() -> None:
    rate = TransferRate()
    rate.progress(DownloadProgress(0, None), 10.0)
    progress = rate.progress(DownloadProgress(500, None), 11.0)
    assert progress is not None
    assert (progress.bytes_total, progress.rate_bytes_per_s, progress.eta_s) == (None, 500.0, None)
    assert progress.message == "0 MiB of ?"


def test_a_download_that_begins_again_has_no_negative_rate() -> None:
    rate = TransferRate()
    rate.progress(DownloadProgress(1000, 1000), 10.0)
    progress = rate.progress(DownloadProgress(900, 1000), 11.0)
    assert progress is not None
    assert (progress.rate_bytes_per_s, progress.eta_s) == (None, None)
    later = rate.progress(DownloadProgress(950, 1000), 12.0)
    assert later is not None
    assert (later.rate_bytes_per_s, later.eta_s) == (50.0, 1.0)
