"""What opens doors in an address, a password or a signature, is shown nowhere."""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.daemon.conftest import Api
from tests.daemon.weights.pulling import ended, moving
from tests.rigs.hub import Hub

SECRETS = ("alice", "s3cret", "t0ken")


def with_secrets(url: str) -> str:
    return url.replace("http://", "http://alice:s3cret@") + "?token=t0ken"


async def shown(api: Api) -> str:
    """All that the daemon says of launches, pulls, weights and events."""
    paths = [f"/v1/{path}" for path in ("pulls", "launches", "models", "events", "status")]
    paths += [f"/v1/pulls/{row['id']}/progress" for row in await api.get("/v1/pulls")]
    for row in await api.get("/v1/launches"):
        paths += [f"/v1/launches/{row['name']}", f"/v1/launches/{row['name']}/progress"]
    return "\n".join([(await api.http.get(path)).text for path in paths])


def arguments() -> str:
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found += child.cmdline()
    return " ".join(found)


def clean(text: str) -> None:
    for secret in SECRETS:
        assert secret not in text, text[max(0, text.index(secret) - 300) : text.index(secret) + 100]


async def test_of_a_model_at_an_address(
    api: Api, hub: Hub, smollm2: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for logger in ("httpx", "httpcore", "huggingface_hub", "urllib3", "asyncio"):
        caplog.set_level(logging.WARNING, logger)
    hub.add("o/smol", {"smol-Q4_1.gguf": await asyncio.to_thread(smollm2.read_bytes)})
    url = with_secrets(f"{hub.url}/o/smol/resolve/main/smol-Q4_1.gguf")
    hub.faults.hold_after_bytes = [1 << 20]
    pull = (await api.post("/v1/pulls", model=url, limit="30MB/s")).json()
    await moving(api)
    assert "catalog.download.worker" in arguments()
    clean(arguments())
    hub.go_on()
    last = await ended(api, pull["id"])
    assert last["step"] == "done", last
    await api.launched(url, name="x", context_tokens=512)
    clean(await shown(api))
    clean(caplog.text)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("http://127.0.0.1:9/x-Q4_1.gguf", id="nobody answers"),
        pytest.param("{hub}/o/none/resolve/main/x-Q4_1.gguf", id="no such file"),
        pytest.param("{hub}/o/bad/resolve/main/x-Q4_1.gguf", id="no GGUF"),
        pytest.param("{hub}/o/bad/resolve/main/x.txt", id="no model"),
        pytest.param("http://127.0.0.1:99999/x-Q4_1.gguf", id="no port"),
        pytest.param("http://[::1/x-Q4_1.gguf", id="no address"),
    ],
)
async def test_of_an_address_that_has_no_model(
    api: Api, hub: Hub, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for logger in ("httpx", "httpcore", "huggingface_hub", "urllib3", "asyncio"):
        caplog.set_level(logging.WARNING, logger)
    hub.add("o/bad", {"x-Q4_1.gguf": b"no GGUF at all" * 100})
    url = with_secrets(address.format(hub=hub.url))
    pull = (await api.post("/v1/pulls", model=url)).json()
    assert (await ended(api, pull["id"]))["step"] == "failed"
    with suppress(AssertionError):
        await api.launched(url, name="x")
    for path in ("plan", "estimate", "models/remove", "models/pin"):
        clean((await api.post(f"/v1/{path}", model=url)).text)
    clean((await api.http.get("/v1/models/verify", params={"model": url})).text)
    clean(await shown(api))
    clean(caplog.text)
