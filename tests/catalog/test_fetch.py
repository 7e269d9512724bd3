"""Downloads: resumed, checked, refused before the first byte, cancelled without loss."""

import contextlib
import errno
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import transfer
from catalog.fetch import Fetched, fetch
from domain.errors import BadModelError, DiskFullError, DownloadError
from domain.model import Source, WeightFile, Weights
from domain.units import GIB, MIB
from tests.rigs.hub import Hub, sha256

BIG = os.urandom(3 * MIB + 17)
SMALL = b'{"model_type": "llama"}'


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "RETRY_AFTER_S", 0.01)
    monkeypatch.setattr(transfer, "RETRY_AFTER_MAX_S", 0.01)
    monkeypatch.setattr(transfer, "REPORT_EVERY_S", 0.0)


def weights(hub: Hub, files: dict[str, bytes] | None = None, *, digest: str | None = None) -> Weights:
    files = files or {"a.gguf": BIG, "config.json": SMALL}
    commit = hub.add("o/r", files)
    listed = tuple(
        WeightFile(name, len(data), digest or (sha256(data) if len(data) > 1000 else None))
        for name, data in files.items()
    )
    return Weights(Source.HUB, "o/r", commit, listed, "Q8_0", sum(map(len, files.values())))


def last(steps: Iterator[Fetched]) -> Weights:
    done = list(steps)[-1]
    assert done.weights is not None
    assert done.bytes_done == done.bytes_total
    return done.weights


def parts(models_dir: Path) -> list[Path]:
    return list(models_dir.rglob("*.incomplete"))


def test_files_lie_as_the_hubs_own_cache_lays_them(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub)
    done = last(fetch(wanted, tmp_path))
    assert done.location == str(tmp_path / "models--o--r" / "snapshots" / str(wanted.revision))
    assert done.first_path is not None
    assert Path(done.first_path).read_bytes() == BIG
    blobs = {path.name for path in (tmp_path / "models--o--r" / "blobs").iterdir()}
    git_id = hashlib.sha1(b"blob %d\0" % len(SMALL) + SMALL, usedforsecurity=False).hexdigest()
    assert blobs == {sha256(BIG), git_id}
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  # an import that costs 0.2 s

    assert (
        try_to_load_from_cache("o/r", "a.gguf", cache_dir=tmp_path, revision=wanted.revision)
        == done.first_path
    )


def test_progress_goes_up_and_names_the_total(tmp_path: Path, hub: Hub) -> None:
    steps = list(fetch(weights(hub), tmp_path))
    done = [step.bytes_done for step in steps]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert {step.bytes_total for step in steps} == {len(BIG) + len(SMALL)}
    assert [step.weights for step in steps[:-1]] == [None] * (len(steps) - 1)


def test_a_second_fetch_asks_nobody(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub)
    first = last(fetch(wanted, tmp_path))
    hub.requests.clear()
    assert last(fetch(wanted, tmp_path)) == first
    assert hub.requests == []


def test_a_dropped_connection_goes_on_where_it_stopped(tmp_path: Path, hub: Hub) -> None:
    hub.faults.drop_after_bytes = [100_000, 1, 2_000_000]
    wanted = weights(hub, {"a.gguf": BIG})
    done = last(fetch(wanted, tmp_path))
    assert done.first_path is not None
    assert Path(done.first_path).read_bytes() == BIG
    assert hub.sent_bytes == len(BIG)  # not one byte twice
    assert [item.headers.get("Range") for item in hub.gets("/cdn/")][:2] == [None, "bytes=100000-"]


def test_a_server_that_never_sends_a_byte_is_given_up(tmp_path: Path, hub: Hub) -> None:
    hub.faults.drop_after_bytes = [0] * 20
    with pytest.raises(DownloadError, match="broke off at 0 bytes, 5 times"):
        list(fetch(weights(hub, {"a.gguf": BIG}), tmp_path))


def test_a_busy_server_is_asked_again(tmp_path: Path, hub: Hub) -> None:
    hub.faults.answer_status = [429, 503, 500]
    last(fetch(weights(hub, {"a.gguf": BIG}), tmp_path))


def test_a_server_without_ranges_starts_from_the_beginning(tmp_path: Path, hub: Hub) -> None:
    hub.faults.drop_after_bytes = [100_000]
    hub.faults.ignore_ranges = True
    done = last(fetch(weights(hub, {"a.gguf": BIG}), tmp_path))
    assert done.first_path is not None
    assert Path(done.first_path).read_bytes() == BIG


def test_closing_keeps_what_is_here_and_the_next_fetch_resumes(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    steps = fetch(wanted, tmp_path)
    while next(steps).bytes_done < MIB:
        pass
    steps.close()  # type: ignore[attr-defined]  # a generator, behind its interface
    (part,) = parts(tmp_path)
    kept_bytes = part.stat().st_size
    assert kept_bytes >= MIB
    hub.requests.clear()
    last(fetch(wanted, tmp_path))
    assert hub.gets("/cdn/")[0].headers["Range"] == f"bytes={kept_bytes}-"
    assert parts(tmp_path) == []


def test_a_wrong_digest_is_never_given_its_name(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG}, digest="0" * 64)
    with pytest.raises(DownloadError, match=f"sha256 {sha256(BIG)} instead of {'0' * 64}"):
        list(fetch(wanted, tmp_path))
    assert parts(tmp_path) == []
    assert not list(tmp_path.rglob("a.gguf"))


def test_a_part_that_was_damaged_on_disk_is_found_out(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    part = tmp_path / "models--o--r" / "blobs" / f"{sha256(BIG)}.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"garbage" * 1000)
    with pytest.raises(DownloadError, match="instead of"):
        list(fetch(wanted, tmp_path))
    last(fetch(wanted, tmp_path))


def test_a_part_longer_than_the_file_is_found_out(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    part = tmp_path / "models--o--r" / "blobs" / f"{sha256(BIG)}.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(BIG + b"more")
    with pytest.raises(DownloadError, match="bytes instead of"):
        list(fetch(wanted, tmp_path))


def test_a_full_disk_is_refused_before_the_first_byte(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub)
    with pytest.raises(DiskFullError, match="free, the download needs") as caught:
        list(fetch(wanted, tmp_path, free=lambda _: MIB))
    assert caught.value.free_bytes == MIB
    assert caught.value.needs_bytes == len(BIG) + len(SMALL) + 64 * MIB
    assert hub.requests == []


def test_what_is_here_already_needs_no_room(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    steps = fetch(wanted, tmp_path)
    while next(steps).bytes_done < 2 * MIB:
        pass
    steps.close()  # type: ignore[attr-defined]  # as above
    last(fetch(wanted, tmp_path, free=lambda _: 64 * MIB + len(BIG) - 2 * MIB))


class FullDisk(io.BytesIO):
    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_in_the_middle_is_told(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_alone", lambda part: contextlib.nullcontext(FullDisk()))
    with pytest.raises(DiskFullError, match="free, the download needs") as caught:
        list(fetch(weights(hub, {"a.gguf": BIG}), tmp_path, free=lambda _: GIB))
    assert caught.value.needs_bytes == len(BIG) + 64 * MIB  # what is still to come, and the spare


def test_a_signed_address_is_not_logged(tmp_path: Path, hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    hub.add("o/r", {"a.gguf": BIG})
    url = f"{hub.url}/o/r/resolve/main/a.gguf?signature=secret"
    caplog.set_level("INFO", "catalog")
    last(fetch(Weights(Source.URL, url, None, (WeightFile("a.gguf", len(BIG)),), "", len(BIG)), tmp_path))
    assert "weights complete" in caplog.text
    assert "secret" not in caplog.text


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot be written"):
        list(fetch(weights(hub), tmp_path / "models"))


def test_two_fetches_of_one_file_do_not_mix(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    first = fetch(wanted, tmp_path)
    next(first)
    with pytest.raises(DownloadError, match="by another"):
        list(fetch(wanted, tmp_path))
    last(first)


@pytest.mark.parametrize("name", ["../escape.gguf", "/etc/cron.d/x", "a/../../b.gguf"])
def test_names_that_lead_out_are_refused(tmp_path: Path, hub: Hub, name: str) -> None:
    wanted = Weights(Source.HUB, "o/r", "0" * 40, (WeightFile(name, 10),), "Q8_0", 10)
    with pytest.raises(BadModelError, match="leads out"):
        list(fetch(wanted, tmp_path))
    assert hub.requests == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_under_its_address_is_fetched_anew(tmp_path: Path, hub: Hub) -> None:
    """A plain address has no digest; the server's tag tells that the rest belongs to another file."""
    hub.add("o/r", {"a.gguf": BIG})
    wanted = Weights(
        Source.URL,
        f"{hub.url}/o/r/resolve/main/a.gguf",
        None,
        (WeightFile("a.gguf", len(BIG)),),
        "",
        len(BIG),
    )
    steps = fetch(wanted, tmp_path)
    while next(steps).bytes_done < 1:
        pass
    steps.close()  # type: ignore[attr-defined]  # as above
    other = os.urandom(len(BIG))
    hub.add("o/r", {"a.gguf": other})
    done = list(fetch(wanted, tmp_path))[-1].weights
    assert done is not None
    assert done.first_path is not None
    assert Path(done.first_path).read_bytes() == other
