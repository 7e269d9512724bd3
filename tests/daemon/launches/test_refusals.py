"""Wrong wishes end before anything starts, and say what to give instead."""

from pathlib import Path

from tests.daemon.conftest import Running


async def test_a_context_beyond_the_models_own_starts_no_engine(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        name = await api.launch(smollm2, name="long", context_tokens=1_000_192)
        steps = await api.progress(name)
        row = (await api.get("/v1/launches/long"))["launch"]
    assert [step["step"] for step in steps if step["step"] in ("start", "check")] == []
    assert steps[-1]["code"] == "bad_usage"
    assert "8192 tokens, 1000192 were asked for" in steps[-1]["message"]
    assert steps[-1]["hint"] == "give --context 8192 or less"
    assert (row["state"], row["pid"]) == ("failed", None)


async def test_a_second_stop_is_no_second_event(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
        rows = [(await api.post("/v1/launches/tiny/stop")).json()["state"] for _ in range(2)]
        events = (await api.http.get("/v1/events")).text
    assert rows == ["stopped", "stopped"]
    assert events.count('"kind": "stopped"') == 1


async def test_an_address_without_a_file_is_bad_usage(daemon: Running) -> None:
    async with daemon() as api:
        answers = [await api.post("/v1/plan", model=url) for url in ("https://", "https://h/")]
    assert [answer.json()["error"]["code"] for answer in answers] == ["bad_usage", "bad_usage"]
    assert "https://h/ is not the address of a .gguf file" in answers[1].json()["error"]["message"]


async def test_two_names_for_one_model_are_two_launches(daemon: Running, smollm2: Path) -> None:
    async with daemon() as api:
        first = await api.launched(smollm2, name="one")
        second = await api.launched(smollm2, name="two")
        await api.post("/v1/launches/one/stop")
        left = (await api.get("/v1/launches/two"))["launch"]
    assert first["endpoint"] != second["endpoint"]
    assert left["state"] == "ready"
