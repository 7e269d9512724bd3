"""Several models on several machines: a row each, the fastest first, and by how much it does not fit."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

from config import data
from daemon.app import Adapters
from domain.launches.plan import Plan
from domain.serialization import from_json, to_json
from domain.units import GIB
from launchers.registry import LAUNCHERS
from tests.daemon.conftest import Api, Running

BOXES = {name: to_json(data.profile(name)) for name in ("n100-8gb", "rtx-3090", "mac-m2-pro-32gb")}


def on(*names: str) -> list[Any]:
    return [BOXES[name] for name in names]


async def test_each_model_is_planned_for_each_box_the_fastest_first(daemon: Running) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/compare", models=["gpt-oss-20b", "qwen3-0.6b"], on=on(*BOXES))
        alone = await api.post("/v1/plan", model="gpt-oss-20b", on=on("rtx-3090")[0])
    rows = answer.json()
    assert [(row["model"], row["profile"]) for row in rows[:3]] == [
        ("gpt-oss-20b", "rtx-3090"),
        ("gpt-oss-20b", "mac-m2-pro-32gb"),
        ("gpt-oss-20b", "n100-8gb"),
    ]
    assert {row["model"] for row in rows[3:]} == {"qwen3-0.6b"}
    assert rows[0]["plan"] == alone.json()
    assert from_json(Plan, rows[0]["plan"]).fits
    assert [row["power_limit_w"] for row in rows[:3]] == [350, None, 6]


async def test_what_does_not_fit_is_a_row_with_both_figures(daemon: Running) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/compare", models=["gpt-oss-20b"], on=on("n100-8gb"))
    (row,) = answer.json()
    assert answer.status_code == 200
    assert row["plan"] is None
    assert row["error"]["code"] == "does_not_fit"
    assert row["error"]["needs_bytes"] > 11 * GIB > row["error"]["has_bytes"] > 5 * GIB
    assert "does not fit" in row["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        pytest.param({"models": ["gpt-os-20b"], "on": on("rtx-3090")}, 404, "gpt-os-20b", id="unknown model"),
        pytest.param({"models": [], "on": on("rtx-3090")}, 422, "models", id="no model"),
        pytest.param({"models": ["gpt-oss-20b"], "on": []}, 422, "on", id="no box"),
        pytest.param({"models": ["m"], "on": [{"gpus": 1}]}, 422, "Hardware.gpus", id="a box that is none"),
    ],
)
async def test_a_wrong_question_is_refused(
    daemon: Running, body: dict[str, Any], status: int, said: str
) -> None:
    async with daemon() as api:
        answer = await api.http.post("/v1/compare", json=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


async def test_the_command_of_another_box_starts_its_engine_by_the_plain_name(
    daemon: Callable[..., AbstractAsyncContextManager[Api]], adapters: Adapters
) -> None:
    """The path of the engine that is here says nothing of a machine that isn't."""
    async with daemon(replace(adapters, launchers=LAUNCHERS)) as api:
        there = (await api.post("/v1/plan", model="gpt-oss-20b", on=BOXES["rtx-3090"])).json()
    assert there["argv"][0] == "llama-server"
    assert not any("no llama.cpp" in reason for reason in there["reasons"])
