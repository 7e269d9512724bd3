"""What can go wrong with a download, each against a hub that behaves like the real one, by its own client."""

import errno
import json
import os
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from catalog.download import partial_file, throttle
from catalog.download.download import fetch
from catalog.download.partial_file import PartialFile
from catalog.download.throttle import Throttle, WindowClosedError
from catalog.hub import retry
from catalog.hub.retry import retry_after_s
from domain.download import DownloadPolicy, DownloadProgress, parse_window
from domain.errors import DownloadError
from domain.models.model import Source, WeightFile, Weights
from domain.units import GIB, MIB
from tests.catalog.fetched import BIG, Gate, blob, close, content, last, parts, plain, weights
from tests.rigs.hub import Hub, sha256

pytestmark = pytest.mark.usefixtures("quick")


def test_a_connection_that_drops_at_any_byte_loses_nothing(tmp_path: Path, hub: Hub) -> None:
    hub.faults.drop_after_bytes = [100_000, 1, 2_000_000]
    assert content(last(fetch(weights(hub, {"a.gguf": BIG}), tmp_path))) == BIG
    assert hub.sent_bytes == len(BIG)  # not one byte twice
    assert [item.headers.get("Range") for item in hub.gets("/cdn/")][:2] == [None, "bytes=100000-"]


def test_a_server_that_never_sends_a_byte_is_given_up(tmp_path: Path, hub: Hub) -> None:
    hub.faults.drop_after_bytes = [0] * 20
    with pytest.raises(DownloadError, match="broke off at 0 bytes, 5 times in a row"):
        list(fetch(weights(hub, {"a.gguf": BIG}), tmp_path))


@pytest.mark.parametrize("portal", ["page", "login", "json"])
def test_a_networks_page_never_becomes_a_file(tmp_path: Path, hub: Hub, portal: str) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    hub.faults.portal = portal
    with pytest.raises(DownloadError, match="5 times in a row: the hub sent something other than the file"):
        list(fetch(wanted, tmp_path))
    hub.faults.portal = ""
    assert content(last(fetch(wanted, tmp_path))) == BIG


def test_a_page_in_the_place_of_a_url_never_becomes_a_file(tmp_path: Path, hub: Hub) -> None:
    hub.faults.portal = "page"
    wanted = Weights(Source.URL, f"{hub.url}/x/a.gguf", None, (WeightFile("a.gguf", len(BIG)),), "", len(BIG))
    with pytest.raises(DownloadError, match="the server sent a page instead of the file"):
        list(fetch(wanted, tmp_path))


def test_a_busy_server_is_asked_again_when_it_said(tmp_path: Path, hub: Hub) -> None:
    hub.faults.answer_status = [429, 503, 500]
    hub.faults.retry_after = "1"
    steps = fetch(weights(hub, {"a.gguf": BIG}), tmp_path)
    said = {step.waiting for step in steps}
    assert "the hub answered 429, asked again in 1 s" in said
    assert content(last(fetch(weights(hub, {"a.gguf": BIG}), tmp_path))) == BIG


def test_a_date_to_come_back_counts_from_the_servers_clock() -> None:
    """This machine's may be an hour wrong."""
    then = time.time() - 3600
    headers = {"date": formatdate(then, usegmt=True), "retry-after": formatdate(then + 20, usegmt=True)}
    assert retry_after_s(headers) == 20
    assert retry_after_s({"retry-after": "7"}) == 7
    for value in ("soon", "²", "9" * 5000):
        assert retry_after_s({"retry-after": value}) is None
    assert retry_after_s({}) is None


def test_a_server_without_ranges_starts_from_the_beginning(tmp_path: Path, hub: Hub) -> None:
    hub.faults.drop_after_bytes = [100_000]
    hub.faults.ignore_ranges = True
    assert content(last(fetch(weights(hub, {"a.gguf": BIG}), tmp_path))) == BIG


def test_a_wrong_digest_is_set_aside_tried_once_more_and_told_with_both(tmp_path: Path, hub: Hub) -> None:
    hub.faults.damage = 2
    wrong = bytes([BIG[0] ^ 1]) + BIG[1:]
    with pytest.raises(
        DownloadError, match=f"sha256 {sha256(wrong)} instead of {sha256(BIG)}, and at a second try"
    ) as caught:
        list(fetch(weights(hub, {"a.gguf": BIG}), tmp_path))
    (aside,) = tmp_path.rglob("*.damaged")
    assert aside.read_bytes() == wrong
    assert str(aside) in caught.value.hint
    assert not list(tmp_path.rglob("a.gguf"))


def test_a_file_that_came_right_the_second_time_leaves_nothing_aside(tmp_path: Path, hub: Hub) -> None:
    hub.faults.damage = 1
    assert content(last(fetch(weights(hub, {"a.gguf": BIG}), tmp_path))) == BIG
    assert [path.name for path in blob(tmp_path, BIG).parent.iterdir()] == [sha256(BIG)]


@pytest.mark.parametrize("left", [b"garbage" * 1000, BIG + b"more"], ids=["damaged", "longer than the file"])
def test_a_part_that_is_wrong_is_found_out(tmp_path: Path, hub: Hub, left: bytes) -> None:
    path = blob(tmp_path, BIG).with_suffix(".incomplete")
    path.parent.mkdir(parents=True)
    path.write_bytes(left)
    assert content(last(fetch(weights(hub, {"a.gguf": BIG}), tmp_path))) == BIG


def begin(wanted: Weights, models_dir: Path) -> None:
    """Ends the fetch in its middle."""
    steps = fetch(wanted, models_dir, throttle=Gate())
    while not next(steps).bytes_done:
        pass
    close(steps)


def test_a_file_that_changed_at_its_address_is_fetched_anew(tmp_path: Path, hub: Hub) -> None:
    """A plain address has no digest; the server's tag tells that the rest belongs to another file."""
    wanted = plain(hub)
    begin(wanted, tmp_path)
    other = os.urandom(len(BIG))
    plain(hub, other)
    assert content(last(fetch(wanted, tmp_path))) == other


def test_a_file_that_changed_on_the_hub_is_told_with_both_digests(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    begin(wanted, tmp_path)
    other = os.urandom(len(BIG))
    hub.add("o/r", {"a.gguf": other})
    with pytest.raises(
        DownloadError, match=f"changed on the hub: {sha256(other)} .* instead of {sha256(BIG)}"
    ):
        list(fetch(wanted, tmp_path))


def test_a_repository_that_vanishes_is_told_and_what_is_here_is_kept(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    begin(wanted, tmp_path)
    del hub.repos["o/r"]
    with pytest.raises(DownloadError, match=r"o/r has no a\.gguf at .* any more"):
        list(fetch(wanted, tmp_path))
    assert parts(tmp_path)


def test_a_gated_repository_says_what_to_accept_and_where(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub)
    hub.faults.gated = {"o/r"}
    with pytest.raises(DownloadError, match="o/r is gated") as caught:
        list(fetch(wanted, tmp_path))
    assert f"accept it at {hub.url}/o/r" in caught.value.hint
    assert "HF_TOKEN" in caught.value.hint


def test_a_hub_that_does_not_answer_is_told(tmp_path: Path, hub: Hub, silent_hub: None) -> None:
    with pytest.raises(DownloadError, match="the hub does not answer"):
        list(fetch(weights(hub, {"a.gguf": BIG}), tmp_path))


class Disk:
    """Room for so many bytes; the file system says no to what does not fit, as ENOSPC."""

    def __init__(self, room_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room_bytes = room_bytes
        self._write = os.write
        monkeypatch.setattr(partial_file.os, "write", self.write)

    def write(self, file: int, data: bytes) -> int:
        if Path(f"/proc/self/fd/{file}").readlink().suffix != ".incomplete":
            return self._write(file, data)
        fitting = data[: self.room_bytes]
        if not fitting:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room_bytes -= len(fitting)
        return self._write(file, fitting)

    def free(self, folder: Path) -> int:
        return self.room_bytes


def test_a_disk_that_fills_up_pauses_it_and_it_goes_on_when_there_is_room(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(GIB, monkeypatch)
    gate = Gate()
    steps = fetch(weights(hub, {"a.gguf": BIG}), tmp_path, free=disk.free, throttle=gate)
    while not next(steps).bytes_done:
        pass
    disk.room_bytes = 1000  # something else took the rest
    gate.open()
    for step in steps:
        if step.waiting:
            break
    assert "the disk is full" in str(step.waiting)
    assert step.weights is None
    kept_bytes = parts(tmp_path)[0].stat().st_size
    disk.room_bytes = GIB
    assert content(last(steps)) == BIG
    assert hub.gets("/cdn/")[-1].headers["Range"] == f"bytes={kept_bytes}-", "nothing was lost"


def test_each_file_waits_for_room_of_its_own(tmp_path: Path, hub: Hub) -> None:
    """The whole set had room before the first byte; then something else filled the disk."""
    looks = iter([GIB])
    rooms = [0]
    steps = fetch(weights(hub, {"a.gguf": BIG}), tmp_path, free=lambda _: next(looks, rooms[0]))
    said = next(step.waiting for step in steps if step.waiting)
    assert said == "the disk is full: a.gguf needs 3 MiB, 0 MiB free"
    assert parts(tmp_path) == []
    rooms[0] = GIB
    assert content(last(steps)) == BIG


def test_out_of_hours_it_ends_and_at_the_hour_it_is_resumed(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "CHECK_EVERY_S", 0.0)
    minutes = [90]
    policy = DownloadPolicy(window=parse_window("01:00-06:00"))
    gate = Gate(0, policy, minute=lambda: minutes[0])

    def fetched() -> Iterator[DownloadProgress]:
        limits = Throttle(policy, minute=lambda: minutes[0]) if gate.passed_bytes else gate
        return fetch(weights(hub, {"a.gguf": BIG}), tmp_path, policy, throttle=limits)

    steps = fetched()
    while not next(steps).bytes_done:
        pass
    minutes[0] = 360
    gate.open()
    with pytest.raises(WindowClosedError):
        list(steps)
    kept_bytes = parts(tmp_path)[0].stat().st_size
    with pytest.raises(WindowClosedError):
        list(fetched())
    assert len(hub.gets("/cdn/")) == 1
    minutes[0] = 60
    assert content(last(fetched())) == BIG
    assert hub.gets("/cdn/")[-1].headers["Range"] == f"bytes={kept_bytes}-"


def test_after_a_power_cut_only_what_was_on_the_disk_counts(tmp_path: Path, hub: Hub) -> None:
    """The file kept its length and lost its last blocks: they are zeros now."""
    wanted = weights(hub, {"a.gguf": BIG})
    path = blob(tmp_path, BIG).with_suffix(".incomplete")
    path.parent.mkdir(parents=True)
    path.write_bytes(BIG[:MIB] + bytes(MIB))
    notes = {"tag": None, "synced_bytes": MIB, "boot_id": "of another boot"}
    path.with_name(f"{path.name}.json").write_text(json.dumps(notes))
    assert content(last(fetch(wanted, tmp_path))) == BIG
    assert [item.headers.get("Range") for item in hub.gets("/cdn/")] == [f"bytes={MIB}-"]


def test_bytes_are_known_to_be_on_the_disk_while_they_come(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_file, "SYNC_EVERY_BYTES", MIB // 2)
    steps = fetch(weights(hub, {"a.gguf": BIG}), tmp_path, throttle=Gate(2 * MIB))
    while next(steps).bytes_done < 2 * MIB:
        pass
    close(steps)
    (path,) = parts(tmp_path)
    notes = path.with_name(f"{path.name}.json").read_text()
    assert '"synced_bytes": 0' not in notes


def test_two_threads_write_the_notes_of_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The download's own, after each reconnect, and the one that syncs."""
    monkeypatch.setattr(partial_file, "SYNC_EVERY_BYTES", 1)
    with PartialFile(tmp_path / "a.incomplete") as part:
        for number in range(500):
            part.write(b"x")  # begins a sync wherever the last one is over
            part.set_tag(str(number))
    notes = json.loads((tmp_path / "a.incomplete.json").read_text())
    assert notes["tag"] == "499"
    assert 0 < notes["synced_bytes"] <= 500
    assert {path.name for path in tmp_path.iterdir()} == {"a.incomplete", "a.incomplete.json"}
    assert "not synced" not in caplog.text


def test_waits_double_and_end() -> None:
    backoff = retry.Backoff()
    error = retry.TryAgainError("no")
    waits = [backoff.wait_s(error, brought_bytes=False) for _ in range(5)]
    first = retry.FIRST_WAIT_S
    assert waits == [first, 2 * first, 4 * first, 8 * first, None]
    assert backoff.wait_s(error, brought_bytes=True) == first
