"""Downloads: laid out as the hub's client does, side by side, refused before the first byte, never mixed."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir, try_to_load_from_cache

from catalog.download.download import fetch
from domain.download import DownloadPolicy
from domain.errors import BadModelError, DiskFullError, DownloadError
from domain.models.model import Source, WeightFile, Weights
from domain.units import MIB
from tests.catalog.fetched import BIG, SMALL, Gate, close, content, last, parts, plain, weights
from tests.rigs.hub import Hub, sha256

pytestmark = pytest.mark.usefixtures("quick")


def test_files_lie_as_the_hubs_own_client_lays_them(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub)
    done = last(fetch(wanted, tmp_path))
    assert done.location == str(tmp_path / "models--o--r" / "snapshots" / str(wanted.revision))
    assert content(done) == BIG
    blobs = {path.name for path in (tmp_path / "models--o--r" / "blobs").iterdir()}
    git_id = hashlib.sha1(b"blob %d\0" % len(SMALL) + SMALL, usedforsecurity=False).hexdigest()
    assert blobs == {sha256(BIG), git_id}
    found = try_to_load_from_cache("o/r", "a.gguf", cache_dir=tmp_path, revision=wanted.revision)
    assert found == done.first_path
    scanned = scan_cache_dir(tmp_path)
    assert not scanned.warnings
    assert {file.file_name for repo in scanned.repos for rev in repo.revisions for file in rev.files} == {
        "a.gguf",
        "config.json",
    }


def test_progress_goes_up_and_names_the_total(tmp_path: Path, hub: Hub) -> None:
    gate, steps = Gate(MIB), []
    for step in fetch(weights(hub), tmp_path, throttle=gate):
        steps.append(step)
        if step.bytes_done > MIB:
            gate.open()
    done = [step.bytes_done for step in steps]
    assert done == sorted(done)
    assert any(MIB < one < len(BIG) for one in done)
    assert {step.bytes_total for step in steps} == {len(BIG) + len(SMALL)}
    assert [step.weights for step in steps[:-1]] == [None] * (len(steps) - 1)


def test_a_second_fetch_asks_nobody(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub)
    first = last(fetch(wanted, tmp_path))
    hub.requests.clear()
    assert last(fetch(wanted, tmp_path)) == first
    assert hub.requests == []


def test_files_come_side_by_side_and_share_the_limit(tmp_path: Path, hub: Hub) -> None:
    files = {f"m-0000{part}-of-00003.gguf": os.urandom(MIB) for part in (1, 2, 3)}
    gate = Gate()
    for step in fetch(weights(hub, dict(files)), tmp_path, throttle=gate):
        if len(parts(tmp_path)) == 3:  # none can end before the gate is open
            gate.open()
        done = step.weights
    assert done is not None
    assert gate.passed_bytes == 3 * MIB
    for name, data in files.items():
        assert (Path(str(done.location)) / name).read_bytes() == data


def test_closing_keeps_what_is_here_and_the_next_fetch_resumes(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    steps = fetch(wanted, tmp_path, throttle=Gate(MIB))
    while next(steps).bytes_done < MIB:
        pass
    close(steps)
    (part,) = parts(tmp_path)
    kept_bytes = part.stat().st_size
    assert MIB <= kept_bytes < len(BIG)
    hub.requests.clear()
    assert content(last(fetch(wanted, tmp_path))) == BIG
    assert hub.gets("/cdn/")[0].headers["Range"] == f"bytes={kept_bytes}-"
    assert parts(tmp_path) == []


def test_a_full_disk_is_refused_before_the_first_byte(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(DiskFullError, match="free, the download needs") as caught:
        list(fetch(weights(hub), tmp_path, DownloadPolicy(reserve_bytes=10 * MIB), free=lambda _: MIB))
    assert caught.value.free_bytes == MIB
    assert caught.value.needs_bytes == len(BIG) + len(SMALL) + 64 * MIB + 10 * MIB
    assert "10 MiB of it kept in reserve" in str(caught.value)
    assert hub.requests == []


def test_what_is_here_already_needs_no_room(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    steps = fetch(wanted, tmp_path, throttle=Gate(2 * MIB))
    while next(steps).bytes_done < 2 * MIB:
        pass
    close(steps)
    last(fetch(wanted, tmp_path, free=lambda _: 64 * MIB + len(BIG) - 2 * MIB))


def test_a_file_of_unknown_size_does_not_count_as_downloaded(tmp_path: Path, hub: Hub) -> None:
    """What is planned from the catalogue has the size of all files, and not that of each."""
    wanted = weights(hub, {"a.gguf": BIG})
    wanted = replace(wanted, files=tuple(replace(file, size_bytes=None) for file in wanted.files))
    gate = Gate()
    steps = fetch(wanted, tmp_path, throttle=gate)
    first = next(steps)
    gate.open()
    assert first.bytes_done < len(BIG)
    assert first.bytes_total == len(BIG)
    last(steps)


def test_a_signed_address_is_not_logged(tmp_path: Path, hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    wanted = plain(hub)
    signed = Weights(Source.URL, f"{wanted.repo}?signature=secret", None, wanted.files, "", len(BIG))
    caplog.set_level("INFO", "catalog")
    last(fetch(signed, tmp_path))
    assert "weights complete" in caplog.text
    assert "secret" not in caplog.text


def test_the_owners_token_goes_to_the_hub_alone(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The hub redirects to another host, whose signed addresses need no token."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    caplog.set_level("DEBUG")
    hub.elsewhere = hub.url.replace("127.0.0.1", "localhost")
    last(fetch(weights(hub), tmp_path))
    assert all("Authorization" not in request.headers for request in hub.gets("/cdn/"))
    assert {request.headers.get("authorization") for request in hub.gets("/resolve/")} == {"Bearer hf_secret"}
    assert "hf_secret" not in caplog.text


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot be written"):
        list(fetch(weights(hub), tmp_path / "models"))


def test_two_fetches_of_one_file_do_not_mix_and_the_second_waits(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    gate = Gate()
    first, second = fetch(wanted, tmp_path, throttle=gate), fetch(wanted, tmp_path)
    while not next(first).bytes_done:
        pass
    assert next(step.waiting for step in second if step.waiting) == "another process fetches it"
    gate.open()
    assert content(last(first)) == BIG
    assert content(last(second)) == BIG
    assert hub.sent_bytes == len(BIG), "it came once"


@pytest.mark.parametrize("name", ["../escape.gguf", "/etc/cron.d/x", "a/../../b.gguf"])
def test_names_that_lead_out_are_refused(tmp_path: Path, hub: Hub, name: str) -> None:
    wanted = Weights(Source.HUB, "o/r", "0" * 40, (WeightFile(name, 10),), "Q8_0", 10)
    with pytest.raises(BadModelError, match="leads out"):
        list(fetch(wanted, tmp_path))
    assert hub.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["models--o--r", "models--o--r/blobs", "models--o--r/snapshots"])
def test_a_folder_of_the_store_that_leads_out_is_refused(tmp_path: Path, hub: Hub, folder: str) -> None:
    outside, store = tmp_path / "outside", tmp_path / "store"
    outside.mkdir()
    (store / folder).parent.mkdir(parents=True)
    (store / folder).symlink_to(outside)
    with pytest.raises(DownloadError, match="leads out of the store"):
        list(fetch(weights(hub), store))
    assert list(outside.iterdir()) == []


def test_a_file_of_the_store_that_leads_out_is_refused(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    (tmp_path / "precious").write_bytes(BIG)
    snapshot = tmp_path / "store" / "models--o--r" / "snapshots" / str(wanted.revision)
    snapshot.mkdir(parents=True)
    (snapshot / "a.gguf").symlink_to(tmp_path / "precious")
    with pytest.raises(DownloadError, match=r"a\.gguf leads out of the store"):
        list(fetch(wanted, tmp_path / "store"))


def test_bytes_are_written_through_no_link(tmp_path: Path, hub: Hub) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    wanted = weights(hub, {"a.gguf": BIG})
    part = tmp_path / "store" / "models--o--r" / "blobs" / f"{sha256(BIG)}.incomplete"
    part.parent.mkdir(parents=True)
    part.symlink_to(precious)
    with pytest.raises(DownloadError, match="is a link"):
        list(fetch(wanted, tmp_path / "store"))
    assert precious.read_text() == "mine"


def test_what_another_cache_has_is_linked_and_not_fetched(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    last(fetch(wanted, tmp_path / "theirs"))
    hub.requests.clear()
    done = last(fetch(wanted, tmp_path / "ours", places=[tmp_path / "nowhere", tmp_path / "theirs"]))
    assert content(done) == BIG
    assert hub.requests == []
    ours = tmp_path / "ours" / "models--o--r" / "blobs" / sha256(BIG)
    assert ours.samefile(tmp_path / "theirs" / "models--o--r" / "blobs" / sha256(BIG))


def test_a_blob_of_ollama_is_linked_by_its_digest(tmp_path: Path, hub: Hub) -> None:
    blobs = tmp_path / "ollama" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"sha256-{sha256(BIG)}").write_bytes(BIG)
    wanted = weights(hub, {"a.gguf": BIG})
    assert content(last(fetch(wanted, tmp_path / "ours", places=[tmp_path / "ollama"]))) == BIG
    assert hub.requests == []
