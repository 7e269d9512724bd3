"""A newer catalogue from a server on loopback: what is taken, and what is refused and changes nothing."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalog.feed.signed_file import MAX_BYTES
from config.settings import Settings
from daemon.weights.catalogue import record as catalogue_record
from daemon.weights.catalogue import update as catalogue_update
from domain.units import GIB
from tests.daemon.conftest import Api, Running
from tests.rigs.catalogue_server import PUBLIC, CatalogueServer, publishing, text_of

BAD = 422


@pytest.fixture
def server() -> Iterator[CatalogueServer]:
    with publishing() as server:
        yield server


@pytest.fixture
def online(settings: Settings, server: CatalogueServer) -> Settings:
    changes = {"offline": False, "catalogue_url": server.url, "catalogue_key": PUBLIC}
    return settings.model_copy(update=changes)


async def update(api: Api, *, check: bool = False) -> dict[str, Any]:
    return dict((await api.post("/v1/catalogue/update", check=check)).json())


async def origin(api: Api, alias: str) -> str | None:
    rows = {row["alias"]: row["origin"] for row in await api.get("/v1/catalogue")}
    return rows.get(alias)


async def test_a_newer_catalogue_is_taken_kept_and_given_back(
    daemon: Running, online: Settings, server: CatalogueServer
) -> None:
    server.publish(text_of(3, "brand-new-9b", "qwen3-8b"))
    async with daemon(of=online) as api:
        seen = await update(api, check=True)
        assert (seen["newer"], seen["changed"]) == (True, False)
        assert await origin(api, "brand-new-9b") is None
        taken = await update(api)
        assert (taken["version"], taken["added"], taken["altered"]) == (3, ["brand-new-9b"], ["qwen3-8b"])
        assert api.app.sources.catalogue["brand-new-9b"].gguf_repos == ("me/brand-new-9b-GGUF",)
        again = await update(api)
        assert (again["newer"], again["changed"]) == (False, False)
    async with daemon(of=online.model_copy(update={"offline": True})) as api:
        assert await origin(api, "brand-new-9b") == await origin(api, "qwen3-8b") == "update"
        assert await origin(api, "gpt-oss-20b") == "built-in"
        assert (await api.get("/v1/status"))["catalogue"]["version"] == 3
        assert (await api.post("/v1/catalogue/revert")).json() == {"reverted_version": 3}
        assert await origin(api, "brand-new-9b") is None
    async with daemon(of=online) as api:
        assert await origin(api, "qwen3-8b") == "built-in"
        server.publish(text_of(2, "old-one"))
        refused = await update(api)
        assert "older than version 3" in refused["error"]["message"], "a revert must not open the way back"


async def test_an_owners_own_file_stays_above_it(
    daemon: Running, online: Settings, server: CatalogueServer, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[brand-new-9b]\ntitle = "Mine"\narchitecture = "llama"\n[qwen3-8b]\ntitle = "My 8B"\n')
    server.publish(text_of(3, "brand-new-9b", "qwen3-8b"))
    async with daemon(of=online.model_copy(update={"catalogue": own})) as api:
        await update(api)
        rows = {row["alias"]: row for row in await api.get("/v1/catalogue")}
        assert (rows["brand-new-9b"]["title"], rows["brand-new-9b"]["origin"]) == ("Mine", "own")
        assert rows["qwen3-8b"]["title"] == "My 8B"
        assert rows["qwen3-8b"]["gguf_repos"] == ["me/qwen3-8b-GGUF"], "keys that it does not give are kept"


async def test_one_that_an_owners_own_file_does_not_fit_changes_nothing(
    daemon: Running, online: Settings, server: CatalogueServer, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.touch()
    server.publish(text_of(3, "brand-new-9b"))
    async with daemon(of=online.model_copy(update={"catalogue": own})) as api:
        await update(api)
        stored = catalogue_update._path(api.app).read_bytes()
        await asyncio.to_thread(own.write_text, '[brand-new-9b]\ntitle = "Mine"\n')
        server.publish(text_of(4, "qwen3-8b"))
        assert "brand-new-9b" in (await update(api))["error"]["message"]
        assert catalogue_update._path(api.app).read_bytes() == stored
        assert api.app.known.version == 3


def wrong_key(server: CatalogueServer) -> None:
    server.publish(text_of(9, "x"), seed=bytes(31) + b"\1")


def changed(server: CatalogueServer) -> None:
    server.publish(text_of(9, "x"))
    server.body = server.body.replace(b"me/x-GGUF", b"me/y-GGUF")


def page(server: CatalogueServer) -> None:
    server.body, server.headers = b"<html>log in</html>", {"Content-Type": "text/html; charset=utf-8"}


def gone(server: CatalogueServer) -> None:
    server.status, server.body = 404, b"no such file"


def elsewhere(server: CatalogueServer) -> None:
    server.status, server.headers = 302, {"Location": "http://203.0.113.7/catalogue.signed"}


def huge(server: CatalogueServer) -> None:
    server.headers = {"Content-Length": str(GIB)}


def endless(server: CatalogueServer) -> None:
    server.endless = True


def cut(server: CatalogueServer) -> None:
    server.publish(text_of(9, "x"))
    server.headers = {"Content-Length": str(len(server.body) + 10)}


def of(text: str) -> Callable[[CatalogueServer], None]:
    return lambda server: server.publish(text)


WRONG: list[tuple[Callable[[CatalogueServer], None], str]] = [
    (wrong_key, "its signature is wrong"),
    (changed, "its signature is wrong"),
    (page, "is a page (HTML), not a catalogue"),
    (gone, "the server answered 404"),
    (elsewhere, "redirects to 'http://203.0.113.7/catalogue.signed', which is not followed"),
    (huge, "is larger than 4 MiB"),
    (endless, "is larger than 4 MiB"),
    (cut, "can't be fetched"),
    (of(text_of(4, "x")), "older than version 5"),
    (of(text_of(5, "x", title="Other")), "another version 5"),
    (of("version = 9\ndate = 2026-12-01\n[x]\ntitle = 5"), "[x]: KnownModel.title: expected"),
    (of("version = 9\ndate = 2026-12-01\n[x\n"), "it is not TOML"),
    (of('version = "9"\ndate = 2026-12-01'), "version = '9': expected a whole number"),
    (of("version = 9"), "date and expires are dates"),
    (of(text_of(9, head="expires = 2020-01-01\n")), "was valid until 2020-01-01"),
    (of(text_of(9, head='[x]\ntitle = "X"\narchitecture = "llama"\ngpu_repos = []\n')), "unknown key"),
    (of("version = 9\ndate = 2026-12-01\n['../x']\n"), "letters, digits and . _ - only"),
    (of(text_of(9, "x").replace("me/x-GGUF", "../../etc/x")), "is not the name of a repository"),
    (of(text_of(9, head=f"x = {'[' * 5000}")), "nested too deeply"),
]


async def test_what_is_wrong_is_told_in_a_line_and_changes_nothing(
    daemon: Running, online: Settings, server: CatalogueServer
) -> None:
    server.publish(text_of(5, "good"))
    async with daemon(of=online) as api:
        await update(api)
        stored = catalogue_update._path(api.app).read_bytes()
        for does, says in WRONG:
            server.as_made()
            does(server)
            answer = await api.post("/v1/catalogue/update")
            error = answer.json()["error"]
            assert says in error["message"], error
            assert error["hint"]
            assert "\n" not in error["message"]
            assert answer.status_code in (BAD, 502)
            assert catalogue_update._path(api.app).read_bytes() == stored
            assert api.app.known.version == 5
        assert await origin(api, "good") == "update"
        assert await origin(api, "x") is None
    assert server.sent_bytes < 32 * MAX_BYTES, "the sender's buffers are full before"


async def test_what_can_not_be_read_any_more_is_set_aside_and_told(
    daemon: Running, online: Settings, server: CatalogueServer
) -> None:
    server.publish(text_of(3, "brand-new-9b"))
    async with daemon(of=online) as api:
        await update(api)
        path = catalogue_update._path(api.app)
    path.write_bytes(b"node-daemon-catalogue 2 ed25519 " + path.read_bytes()[32:])
    async with daemon(of=online) as api:
        assert await origin(api, "brand-new-9b") is None
        problems = (await api.get("/v1/status"))["problems"]
        assert any("it has form 2, this node-daemon reads form 1" in row["what"] for row in problems)
        assert not path.exists()
        assert path.with_name("newer.signed.rejected").exists()
        assert (await update(api))["changed"], "the same file can be taken again"
        assert await origin(api, "brand-new-9b") == "update"


async def test_without_an_address_it_says_what_to_set(daemon: Running) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/catalogue/update")
        assert answer.status_code == BAD
        assert "set catalogue_url" in answer.json()["error"]["hint"]


def asked(path: Path, at: str) -> None:
    catalogue_record.write(path, replace(catalogue_record.read(path), asked_at=at))


async def test_the_weekly_job_asks_once_a_week_and_takes_nothing_that_was_given_back(
    daemon: Running, online: Settings, server: CatalogueServer
) -> None:
    server.publish(text_of(3, "brand-new-9b"))
    async with daemon(of=online) as api:
        await catalogue_update.update_weekly(api.app)
        await catalogue_update.update_weekly(api.app)
        assert (server.asked, api.app.known.version) == (1, 3)
        await api.post("/v1/catalogue/revert")
        path = catalogue_update._record_path(api.app)
        old = (datetime.now(UTC) - timedelta(days=8)).isoformat()
        await asyncio.to_thread(asked, path, old)
        await catalogue_update.update_weekly(api.app)
        assert (server.asked, api.app.known.version) == (2, 1)
        server.publish(text_of(4, "brand-new-9b"))
        await asyncio.to_thread(asked, path, "no date")
        await catalogue_update.update_weekly(api.app)
        assert api.app.known.version == 4
