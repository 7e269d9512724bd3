"""Builds of llama.cpp are proved by a model that they load and answer with, and not by their version."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from daemon.app import Adapters, real_adapters
from domain.launches.plan import LLAMA_CPP
from launchers.base import SearchPaths
from launchers.registry import choose
from tests.daemon.conftest import Api, Running, fork_server

ROUTE = "/v1/engines/check"
# It says who it is and what it can do, as the real one that it calls, and can serve nothing.
TALKS_ONLY = """#!/bin/sh
case " $* " in
*" --model "*) echo "E main: error: the wrong library was found" >&2; exit 1;;
esac
exec {engine} "$@"
"""


@pytest.fixture
def talks_only(tmp_path: Path) -> Path:
    real = choose(LLAMA_CPP, SearchPaths()).path
    build = tmp_path / "bin" / "llama-server"
    build.parent.mkdir()
    build.write_text(TALKS_ONLY.format(engine=real))
    build.chmod(0o755)
    return build


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"llama_server": tmp_path / "bin" / "llama-server"})


@pytest.fixture
def with_engines(settings: Settings, adapters: Adapters, talks_only: Path) -> Adapters:
    real = real_adapters(settings, fork_server())
    return replace(adapters, launchers=real.launchers, engines=real.engines, engine=real.engine)


async def proofs(api: Api, **body: object) -> list[dict[str, Any]]:
    answer = await api.http.post(ROUTE, json=body, timeout=300)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.engine
async def test_a_build_is_proved_by_what_it_answers_and_that_is_kept(
    daemon: Running, with_engines: Adapters, talks_only: Path, smollm2: Path
) -> None:
    async with daemon(with_engines) as api:
        found = {proof["path"]: proof for proof in await proofs(api, model=str(smollm2))}
        failed = found.pop(str(talks_only))
        assert "the wrong library was found" in failed["error"]
        assert failed["answer"] is None
        (proved,) = found.values()
        assert proved["error"] is None
        assert proved["answer"]
        assert proved["decode_tokens_per_s"] > 0
        rows = {row["path"]: row["proof"] for row in await api.get("/v1/engines") if row["proof"]}
        assert rows == {failed["path"]: failed, proved["path"]: proved}
        assert await api.get("/v1/launches") == []
        one = await proofs(api, model=str(smollm2), path=proved["path"])
        assert [proof["path"] for proof in one] == [proved["path"]]
        runs = await api.app.store.run(api.app.store.runs.unfinished)
        assert runs == (), "no engine of it is left"


async def test_without_a_model_or_a_build_it_says_what_to_do(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        nothing = (await api.post(ROUTE)).json()["error"]
        assert nothing["message"] == "no model is on this disk that an engine could load"
        assert "node-ctl pull smollm2-135m" in nothing["hint"]
        body = {"path": "/nowhere", "model": str(smollm2)}
        large = (await api.post(ROUTE, model="gpt-oss-120b")).json()["error"]
        assert large["code"] in ("does_not_fit", "download_failed", "bad_usage"), "no fault of a build"
        elsewhere = (await api.http.post(ROUTE, json=body)).json()["error"]
        assert elsewhere["message"] == "no build of llama.cpp is /nowhere"
        assert "node-ctl engines" in elsewhere["hint"]
