"""Keys: made once, stored as hashes, and what they open."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from config.listen import Address, parse_address
from config.settings import Settings
from daemon.access import keys, network, secret
from daemon.gateway.listener import admission, proof
from daemon.gateway.listener.admission import key_in
from domain.errors import UsageError
from tests.daemon.conftest import Api, Running
from tests.daemon.gateway.conftest import Rig

STRANGER = "192.168.7.9"


def bearer(key: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {key}".encode()}


def test_a_key_matches_its_own_hash_alone() -> None:
    made, other = secret.make(), secret.make()
    assert secret.matches(made.text, made.hash)
    assert not secret.matches(other.text, made.hash)
    assert made.text not in made.hash
    assert secret.id_in(made.text) == made.id
    assert secret.hash_of(made.text) != made.hash, "each has a salt of its own"
    for damaged in ("", "scrypt", made.hash[:-1], made.hash.replace("scrypt$4096", "scrypt$4095")):
        assert not secret.matches(made.text, damaged)
    for text in ("", "sk-none", made.text[:-1], f"{made.text}x", "nd-00000000-" + "é" * 43):
        assert secret.id_in(text) is None


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        (bearer("k"), "k"),
        ({b"authorization": b"bearer  k "}, "k"),
        ({b"x-api-key": b"k", b"authorization": b"Bearer other"}, "k"),
        ({b"authorization": b"Basic k"}, ""),
        ({}, ""),
    ],
)
def test_a_key_is_read_where_clients_send_it(headers: dict[bytes, bytes], key: str) -> None:
    assert key_in(headers) == key


async def test_who_is_not_on_this_machine_needs_a_key_that_was_not_revoked(gateway: Rig) -> None:
    app = gateway.app

    async def admitted(peer: str, headers: dict[bytes, bytes]) -> str | int | None:
        try:
            return await admission.admit(app, peer, headers)
        except admission.GatewayError as error:
            return error.status

    added = await keys.add(app, "laptop")
    host = {b"host": b"box.lan:8411"}
    assert await admitted(STRANGER, host) == 401
    assert await admitted(STRANGER, host | bearer("sk-none")) == 401
    assert await admitted(STRANGER, host | bearer(added.key[:-1] + "~")) == 401
    wrong = added.key[:-4] + ("AAAA" if not added.key.endswith("AAAA") else "BBBB")
    assert await admitted(STRANGER, host | bearer(wrong)) == 401
    for _ in range(2):  # the second time without a hash
        assert await admitted(STRANGER, host | bearer(added.key)) == "laptop"
    assert await admitted(STRANGER, host | {b"x-api-key": added.key.encode()}) == "laptop"
    assert await admitted(STRANGER, host | bearer(added.key) | {b"origin": b"https://evil.example"}) == 403
    assert await admitted("127.0.0.1", {b"host": b"localhost"} | bearer("sk-none")) is None
    assert await admitted("127.0.0.1", host) == 403, "a page whose name resolves to this machine"
    assert await admitted("127.0.0.1", host | bearer(added.key)) == "laptop"
    [row] = keys.rows(app)
    assert (row.name, row.last_used is not None) == ("laptop", True)
    await keys.revoke(app, "laptop")
    assert await admitted(STRANGER, host | bearer(added.key)) == 401


async def test_a_key_that_is_revoked_while_it_is_used_does_not_come_back(gateway: Rig) -> None:
    app = gateway.app
    added = await keys.add(app, "laptop")
    assert await keys.owner_of(app, added.key) == "laptop"
    [(number, record)] = app.access.keys.items()
    app.access.keys[number] = replace(record, last_used=None)  # the next use is stored
    await asyncio.gather(keys.revoke(app, "laptop"), keys.owner_of(app, added.key))
    assert await app.store.run(app.store.keys.all) == ()
    assert await keys.owner_of(app, added.key) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"x-forwarded-for": b"192.168.7.9"}, 401),
        ({b"x-forwarded-for": b"127.0.0.1, 192.168.7.9"}, 401),
        ({b"x-real-ip": b"192.168.7.9"}, 401),
        ({b"forwarded": b"for=192.168.7.9"}, 401),
        ({b"via": b"1.1 proxy"}, 401),
        ({b"x-forwarded-proto": b"https"}, 401),
        ({b"x-forwarded-for": b"127.0.0.1, ::1"}, None),
        ({b"x-forwarded-for": b"127.0.0.1", b"x-forwarded-proto": b"http"}, None),
    ],
)
async def test_a_proxy_on_this_machine_lets_nobody_in_without_a_key(
    gateway: Rig, headers: dict[bytes, bytes], status: int | None
) -> None:
    local = {b"host": b"127.0.0.1:8411", **headers}  # nginx names its upstream
    if status is None:
        assert await admission.admit(gateway.app, "127.0.0.1", local) is None
        return
    with pytest.raises(admission.GatewayError) as refused:
        await admission.admit(gateway.app, "127.0.0.1", local)
    assert refused.value.status == status


async def test_a_proxy_that_says_nothing_is_known_by_its_http(gateway: Rig) -> None:
    """nginx with ``proxy_pass`` alone: HTTP/1.0, and the gateway's own address as the host."""
    host, _, port = gateway.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /v1/models HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
    assert b" 401 " in await reader.readline()
    writer.close()


async def test_this_machine_needs_no_key_at_an_address_of_both_families(gateway: Rig) -> None:
    assert await admission.admit(gateway.app, "::ffff:127.0.0.1", {b"host": b"127.0.0.1:8411"}) is None
    with pytest.raises(admission.GatewayError):
        await admission.admit(gateway.app, f"::ffff:{STRANGER}", {b"host": b"127.0.0.1:8411"})


async def test_a_key_outlives_the_daemon_and_is_stored_as_a_hash(daemon: Running, settings: Settings) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/keys", name="laptop")
        assert answer.status_code == 201
        key = answer.json()["key"]
        assert (await api.post("/v1/keys", name="laptop")).status_code == 422
        assert key not in str(await api.get("/v1/keys"))
    stored = b"".join(path.read_bytes() for path in files_of(settings.state_dir))
    assert b"scrypt$" in stored
    assert key.encode() not in stored
    async with daemon() as api:
        assert await keys.owner_of(api.app, key) == "laptop"
        assert (await api.post("/v1/keys/revoke", name="laptop")).json()["name"] == "laptop"
        refused = await api.post("/v1/keys/revoke", name="laptop")
        assert (refused.status_code, "keys add" in refused.json()["error"]["hint"]) == (422, True)
    async with daemon() as api:
        assert await api.get("/v1/keys") == []


def files_of(folder: Path) -> list[Path]:
    return list(folder.glob("state.db*"))


async def test_a_name_that_can_not_be_shown_is_none(gateway: Rig) -> None:
    for name in ("", " ", "a\nb", "x" * 64, "ключ"):
        with pytest.raises(UsageError):
            await keys.add(gateway.app, name)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address of this machine that is taken for one of a network: the machine may be in none."""
    monkeypatch.setattr(network, "own_address", lambda: "127.0.0.2")
    monkeypatch.setattr(admission, "is_loopback", lambda host: host == "127.0.0.1")
    return "127.0.0.2"


async def models(host: str, port: int, **headers: str) -> int:
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(local_address=host), trust_env=False, timeout=60
    ) as http:
        return (await http.get(f"http://{host}:{port}/v1/models", headers=headers)).status_code


async def switched(api: Api, *, on: bool) -> dict[str, object]:
    answer = await api.post("/v1/lan", on=on)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_the_network_is_let_in_with_a_key_after_a_stranger_was_refused(
    daemon: Running, settings: Settings, here: str
) -> None:
    object.__setattr__(settings, "listen", "127.0.0.1:0")
    async with daemon() as api:
        before = (await api.get("/v1/status"))["gateway"]
        state = await switched(api, on=True)
        assert (state["is_on"], state["keys"]) == (True, ["lan"])
        port = int(str(before).rpartition(":")[2])
        assert state["urls"] == [f"http://{here}:{port}"]
        assert (await api.get("/v1/status"))["gateway"] == before, "clients of this machine keep their URL"
        key = dict(state["added"])["key"]  # type: ignore[call-overload]
        assert await models(here, port) == 401
        assert await models(here, port, authorization=f"Bearer {key}") == 200
        assert await models("127.0.0.1", port) == 200
        again = await switched(api, on=True)
        assert again["added"] is None
    async with daemon() as api:
        state = await api.get("/v1/lan")
        assert state["is_on"], "it stays open over a restart"
        port = int(state["urls"][0].rpartition(":")[2])
        assert await models(here, port) == 401
        transport = httpx.AsyncHTTPTransport(local_address=here)
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=60) as kept:
            url, bearer = f"http://{here}:{port}/v1/models", {"authorization": f"Bearer {key}"}
            assert (await kept.get(url, headers=bearer)).status_code == 200
            assert not (await switched(api, on=False))["is_on"]
            with pytest.raises(httpx.HTTPError):  # its connection is not kept for it
                await kept.get(url, headers=bearer)
        with pytest.raises(httpx.ConnectError):
            await models(here, port)


async def test_an_address_that_answers_strangers_is_closed_again(
    daemon: Running, settings: Settings, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(settings, "listen", "127.0.0.1:0")

    async def anybody(*_: object) -> None:
        return None

    monkeypatch.setattr("daemon.gateway.listener.application.admit", anybody)
    async with daemon() as api:
        refused = await api.post("/v1/lan", on=True)
        assert "answered a request without a key" in refused.json()["error"]["message"]
        async with asyncio.timeout(30):
            while (await api.get("/v1/status"))["gateway"] is None:  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.01)
        assert not (await api.get("/v1/lan"))["is_on"]
        assert await api.get("/v1/keys") == [], "a key that nobody was told is none"


async def test_a_gateway_that_is_off_is_not_opened(daemon: Running) -> None:
    async with daemon() as api:
        refused = await api.post("/v1/lan", on=True)
        assert (refused.status_code, "listen" in refused.json()["error"]["hint"]) == (422, True)


async def test_a_machine_without_a_network_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "own_address", lambda: None)
    assert await proof.is_closed_to_strangers(Address("0.0.0.0", 1))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert await proof.is_closed_to_strangers(Address("127.0.0.1", closed.getsockname()[1]))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8411", Address("127.0.0.1", 8411)),
        ("localhost:1", Address("127.0.0.1", 1)),
        ("[::1]:8411", Address("::1", 8411)),
        (" OFF ", None),
    ],
)
def test_an_address_is_read_as_owners_write_it(text: str, address: Address | None) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["8411", "127.0.0.1", "127.0.0.1:70000", "box.lan:8411", "::1:8411", "", "http://x:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected an address|not an address in numbers"):
        parse_address(text)
