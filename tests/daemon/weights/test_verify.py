"""Verifying: a client that goes away ends it, without a verdict and without a trace."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from catalog.local import verify
from domain.units import MIB
from tests.daemon.conftest import Api
from tests.daemon.weights.pulling import NAME, ended, pulled


async def test_a_client_that_hangs_up_ends_it_without_a_verdict(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    noticed, submit = threading.Event(), api.app.hash_thread.submit

    class Hash:
        """Waits in its second piece until the daemon has noticed that the client is gone."""

        def __init__(self) -> None:
            self.pieces = 0

        def update(self, piece: bytes) -> None:
            self.pieces += 1
            assert self.pieces == 1 or noticed.wait(60)

        def hexdigest(self) -> str:
            return "another"

    def submitted(call: Callable[..., Any], *args: object) -> Any:
        if getattr(call, "__name__", "") == "close":
            noticed.set()
        return submit(call, *args)

    monkeypatch.setattr(verify, "READ_BYTES", MIB)
    monkeypatch.setattr(verify, "REPORT_EVERY_BYTES", MIB)
    monkeypatch.setattr(verify, "_new_hash", lambda file: Hash())
    monkeypatch.setattr(api.app.hash_thread, "submit", submitted)
    await ended(api, await pulled(api))
    async with api.http.stream("GET", "/v1/models/verify") as answer:
        assert await anext(answer.aiter_lines())
    assert await asyncio.to_thread(noticed.wait, 60)
    await asyncio.wrap_future(api.app.hash_thread.submit(lambda: None))
    (row,) = await api.get("/v1/models")
    assert (row["model"], row["verified_at"], row["damaged"]) == (NAME, None, None)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_three_who_verify_share_a_thread(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "READ_BYTES", MIB // 64)
    monkeypatch.setattr(verify, "REPORT_EVERY_BYTES", MIB // 64)
    await ended(api, await pulled(api))
    streams = [api.http.stream("GET", "/v1/models/verify") for _ in range(3)]
    answers = [await stream.__aenter__() for stream in streams]
    assert (await api.http.get("/v1/models")).status_code == 200
    for stream, answer in zip(streams, answers, strict=True):
        lines = [line async for line in answer.aiter_lines()]
        assert '"ended": true' in lines[-1]
        await stream.__aexit__(None, None, None)
