"""What a key allows: its models, its class, its rate."""

from aiohttp import web

from config.settings import Settings
from daemon.access import keys
from domain.priority import Priority
from tests.daemon.conftest import Running
from tests.daemon.gateway.conftest import Rig

CHAT = "/v1/chat/completions"


async def test_a_key_asks_its_models_alone_in_its_class_and_at_its_rate(gateway: Rig) -> None:
    for name in ("smol", "other"):
        await gateway.serve(name)
    limits = keys.KeyLimits(("smol",), Priority.BATCH, "2 / minute")
    added = await keys.add(gateway.app, "nightly", limits)
    [row] = keys.rows(gateway.app)
    assert (row.models, row.priority, row.rate) == (("smol",), "batch", "2/min")
    headers = {"authorization": f"Bearer {added.key}", "x-request-class": "interactive"}
    listed = await gateway.http.get("/v1/models", headers=headers)
    assert [model["id"] for model in listed.json()["data"]] == ["smol"]
    tags = await gateway.http.get("/api/tags", headers=headers)
    assert [model["name"] for model in tags.json()["models"]] == ["smol"]
    refused = await gateway.post(CHAT, headers, model="other")
    assert (refused.status_code, "may not ask other" in refused.text) == (403, True)
    for _ in range(2):
        assert (await gateway.post(CHAT, headers, model="smol")).is_success
    assert set(gateway.gateway.engines.turns.waits) == {("smol", "batch")}, "a header raises no class"
    late = await gateway.post(CHAT, headers, model="smol")
    assert (late.status_code, 1 <= int(late.headers["retry-after"]) <= 30) == (429, True)
    assert (await gateway.post(CHAT, model="other")).is_success, "without a key all is as before"


async def test_a_rate_of_tokens_counts_prompts_and_answers(gateway: Rig) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"usage": {"prompt_tokens": 900, "completion_tokens": 300}})

    await gateway.serve("smol", answer)
    added = await keys.add(gateway.app, "laptop", keys.KeyLimits(rate="1000 tokens/hour"))
    headers = {"x-api-key": added.key}
    assert (await gateway.post(CHAT, headers, model="smol")).is_success
    late = await gateway.post("/v1/messages", headers, model="smol")
    assert (late.status_code, late.json()["error"]["type"]) == (429, "rate_limit_error")
    assert 700 < int(late.headers["retry-after"]) <= 724


async def test_what_a_key_may_do_outlives_the_daemon_and_a_wrong_rate_is_refused(
    daemon: Running, settings: Settings
) -> None:
    async with daemon() as api:
        refused = await api.post("/v1/keys", name="laptop", rate="often")
        assert (refused.status_code, "60/min" in refused.text) == (422, True)
        assert (await api.post("/v1/keys", name="laptop", priority="urgent")).status_code == 422
        limits = {"models": ["smol"], "priority": "background", "rate": "5000 tokens/h"}
        answer = await api.post("/v1/keys", name="laptop", **limits)
        assert answer.status_code == 201, answer.text
    async with daemon() as api:
        [row] = await api.get("/v1/keys")
        assert (row["models"], row["priority"], row["rate"]) == (["smol"], "background", "5000 tokens/hour")
