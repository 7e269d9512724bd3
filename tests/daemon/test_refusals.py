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
