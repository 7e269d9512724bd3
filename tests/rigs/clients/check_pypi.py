"""Clients from PyPI that are too large for every developer, against the gateway that the argument names."""

import sys
from collections.abc import Callable

import litellm
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI

PROMPT = "Name the capital of France."
MESSAGES = [{"role": "user", "content": PROMPT}]


def check_litellm(base: str) -> None:
    litellm.suppress_debug_info = True
    ways = (
        {"model": "openai/smol", "api_base": f"{base}/v1", "api_key": "none"},
        {"model": "anthropic/smol", "api_base": base, "api_key": "none"},
        {"model": "ollama_chat/smol", "api_base": base},
    )
    for way in ways:
        answer = litellm.completion(messages=MESSAGES, temperature=0, max_tokens=16, **way)
        assert "Paris" in answer.choices[0].message.content, way
        assert answer.usage.completion_tokens > 0, way
        chunks = litellm.completion(messages=MESSAGES, temperature=0, max_tokens=16, stream=True, **way)
        assert "Paris" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks), way


def check_langchain_openai(base: str) -> None:
    check_langchain(ChatOpenAI(model="smol", base_url=f"{base}/v1", api_key="none", temperature=0))


def check_langchain_ollama(base: str) -> None:
    check_langchain(ChatOllama(model="smol", base_url=base, temperature=0, validate_model_on_init=True))


def check_langchain(model) -> None:
    answer = model.invoke(PROMPT)
    assert "Paris" in answer.content
    assert answer.usage_metadata["output_tokens"] > 0
    assert "Paris" in "".join(chunk.content for chunk in model.stream(PROMPT))


CHECKS: dict[str, Callable[[str], None]] = {
    "litellm": check_litellm,
    "langchain-openai": check_langchain_openai,
    "langchain-ollama": check_langchain_ollama,
}

if __name__ == "__main__":
    for name, check in CHECKS.items():
        check(sys.argv[1])
        print(f"ok {name}", flush=True)
