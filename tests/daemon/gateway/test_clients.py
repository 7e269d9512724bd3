"""The clients that people use, from PyPI, against the real daemon and the real llama-server.

Each check is what the client's own users do: list, ask, stream, and be told of a wrong name.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import anthropic
import ollama
import openai
import pytest

from config.settings import Settings
from daemon.app import real_adapters
from tests.daemon.conftest import Running, fork_server

QUESTION = "Name the capital of France."
CONTEXT_TOKENS = 2048


def check_ollama(base: str) -> None:
    with ollama.Client(base, trust_env=False) as client:
        assert [model.model for model in client.list().models] == ["smol"]
        [loaded] = client.ps().models
        assert loaded.context_length == CONTEXT_TOKENS
        shown = client.show("smol")
        assert dict(shown.modelinfo or {})["llama.context_length"] == CONTEXT_TOKENS
        assert shown.capabilities == ["completion"]
        assert client.pull("smol").status == "success"
        messages = [{"role": "user", "content": QUESTION}]
        options = {"temperature": 0, "num_predict": 16, "num_ctx": 1024}
        chunks = list(client.chat("smol:latest", messages, stream=True, options=options, keep_alive=-1))
        assert "Paris" in "".join(chunk.message.content or "" for chunk in chunks)
        end = chunks[-1]
        assert end.done
        assert min(end.prompt_eval_count or 0, end.eval_count or 0, end.eval_duration or 0) > 0
        whole = client.generate("smol", QUESTION, options=options | {"num_predict": 2})
        assert (whole.done_reason, whole.eval_count) == ("length", 2)
        raw = client.generate("smol", "The capital of France is", raw=True, options=options)
        assert raw.response
        schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
        told = client.chat("smol", messages, format=schema, options=options)
        assert told.message.content
        assert told.message.content.startswith("{")
        assert client.generate("smol").done_reason == "load"
        with pytest.raises(ollama.ResponseError) as unknown:
            client.chat("smoll", messages)
        assert unknown.value.status_code == 404
        with pytest.raises(ollama.ResponseError, match=f"{CONTEXT_TOKENS}") as refused:
            client.chat("smol", [{"role": "user", "content": "word " * 3000}])
        assert refused.value.status_code == 400


def check_openai(base: str) -> None:
    with openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["smol"]
        asked: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
        answer = client.chat.completions.create(model="smol", messages=asked, max_tokens=16, temperature=0)
        assert "Paris" in (answer.choices[0].message.content or "")
        chunks = client.chat.completions.create(
            model="smol", messages=asked, max_tokens=8, stream=True, stream_options={"include_usage": True}
        )
        assert [chunk.usage for chunk in chunks][-1] is not None
        response = client.responses.create(model="smol", input=QUESTION, max_output_tokens=16)
        assert response.output_text
        with pytest.raises(openai.NotFoundError, match="smol"):
            client.chat.completions.create(model="smoll", messages=asked)
        long: list[openai.types.chat.ChatCompletionMessageParam] = [
            {"role": "user", "content": "word " * 3000}
        ]
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(model="smol", messages=long)
        assert refused.value.code == "context_length_exceeded"


def check_anthropic(base: str) -> None:
    with anthropic.Anthropic(base_url=base, api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list(limit=1000)] == ["smol"]
        asked: list[anthropic.types.MessageParam] = [{"role": "user", "content": QUESTION}]
        assert client.messages.count_tokens(model="smol", messages=asked).input_tokens > 0
        with client.messages.stream(model="smol", messages=asked, max_tokens=16) as stream:
            assert "".join(stream.text_stream)
        with pytest.raises(anthropic.NotFoundError, match="smol"):
            client.messages.create(model="smoll", messages=asked, max_tokens=1)
        with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
            client.messages.create(
                model="smol", messages=[{"role": "user", "content": "word " * 3000}], max_tokens=1
            )


CHECKS: dict[str, Callable[[str], None]] = {
    "ollama": check_ollama,
    "openai": check_openai,
    "anthropic": check_anthropic,
}


@pytest.mark.engine
async def test_clients_from_pypi_are_served(daemon: Running, settings: Settings, smollm2: Path) -> None:
    object.__setattr__(settings, "listen", "127.0.0.1:0")
    async with daemon(real_adapters(settings, fork_server())) as api:
        row = await api.launched(smollm2, name="smol", context_tokens=CONTEXT_TOKENS)
        for check in CHECKS.values():
            await asyncio.to_thread(check, row["gateway"])
