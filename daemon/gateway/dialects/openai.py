"""OpenAI's API, which both engines speak: models, chat, completions, responses, embeddings, rerank."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from daemon.gateway.dialects.dialect import Dialect, Handler, Route
from daemon.gateway.errors import ContextExceededError, GatewayError, Reason
from daemon.gateway.exposition import metrics
from daemon.gateway.forward import forward, relay
from daemon.gateway.holding import unavailable
from daemon.gateway.listener.exchange import Exchange, event
from daemon.gateway.served import Facts, find_launch, kind_of, served_launches
from daemon.launches.launch import Launch
from domain.launches.launch import LaunchState
from domain.models.kinds import Kind

CODES = {
    Reason.UNKNOWN_MODEL: "model_not_found",
    Reason.CONTEXT_EXCEEDED: "context_length_exceeded",
    Reason.UNAUTHORIZED: "invalid_api_key",
    Reason.BUSY: "rate_limit_exceeded",
}
TYPES = {
    Reason.UNAUTHORIZED: "authentication_error",
    Reason.FORBIDDEN: "permission_error",
    Reason.BUSY: "rate_limit_error",
    Reason.NOT_SUPPORTED: "not_supported_error",
    Reason.UNAVAILABLE: "unavailable_error",
    Reason.ENGINE_FAILED: "server_error",
    Reason.FAILED: "server_error",
}


def error(refusal: GatewayError) -> dict[str, Any]:
    """OpenAI's error object. The numbers of a context are named as llama-server names them."""
    numbers: dict[str, Any] = {}
    message = str(refusal)
    if isinstance(refusal, ContextExceededError):
        # OpenAI's own words, by which clients know that they have to shorten the conversation
        message = f"This model's maximum context length is {refusal.context_tokens} tokens: {message}"
        numbers = {"n_prompt_tokens": refusal.prompt_tokens, "n_ctx": refusal.context_tokens}
    kind = TYPES.get(refusal.reason, "invalid_request_error")
    code = CODES.get(refusal.reason)
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **numbers}}


def stream_error(refusal: GatewayError) -> bytes:
    return event(error(refusal))


async def list_models(exchange: Exchange) -> None:
    launches = served_launches(exchange.gateway.app, exchange.key)
    facts = await asyncio.gather(*(exchange.gateway.facts.of(launch) for launch in launches))
    rows = [model_row(launch, fact) for launch, fact in zip(launches, facts, strict=True)]
    await exchange.send_json({"object": "list", "data": rows})


async def show_model(exchange: Exchange) -> None:
    launch = find_launch(exchange.gateway.app, exchange.rest)
    await exchange.send_json(model_row(launch, await exchange.gateway.facts.of(launch)))


def model_row(launch: Launch, facts: Facts) -> dict[str, Any]:
    """OpenAI's model object, with the context under each of the names that clients read: ``context_length``
    (OpenRouter, LiteLLM), ``max_model_len`` (vLLM), ``meta.n_ctx`` (llama-server)."""
    taken = ["text", *(["image"] if facts.vision else []), *(["audio"] if facts.audio else [])]
    kind = kind_of(launch)
    given = {Kind.EMBEDDING: "embeddings", Kind.RERANKER: "rerank"}.get(kind, "text")
    return {
        "id": launch.name,
        "object": "model",
        "created": int(datetime.fromisoformat(launch.lifecycle.since).timestamp()),
        "owned_by": "node-daemon",
        "name": launch.name,
        "state": launch.state.value,
        "status": {"value": _status(launch)},
        "context_length": facts.context_tokens,
        "max_model_len": facts.context_tokens,
        "meta": {"n_ctx": facts.context_tokens},
        "architecture": {"input_modalities": taken, "output_modalities": [given]},
        "quant": None if launch.plan is None else launch.plan.weights.quant,
    }


def _status(launch: Launch) -> str:
    """In the words of llama-server's router."""
    if launch.parked:
        return "unloaded"
    return "loaded" if launch.state == "ready" else "loading"


async def health(exchange: Exchange) -> None:
    """As both engines answer those who only ask whether anybody is there."""
    await exchange.send_json({"status": "ok"})


async def props(exchange: Exchange) -> None:
    """llama-server's own, of the launch that ``?model=`` names. It loads nothing."""
    asked = parse_qs(exchange.query).get("model")
    launch = find_launch(exchange.gateway.app, asked[-1] if asked else None)
    exchange.count_as(launch.name, computes=False)
    if launch.state is not LaunchState.READY:
        raise unavailable(launch, "its properties are known once it serves")
    answer = await exchange.gateway.engines.ask(launch, "GET", "/props")
    try:
        await relay(exchange, answer)
    finally:
        answer.close()


def to(path: str, *kinds: Kind) -> Handler:
    return partial(forward, path=path, kinds=kinds or (Kind.MODEL,))


async def no_audio(exchange: Exchange) -> None:
    """Neither engine has an audio API of its own."""
    message = f"{exchange.path} is not answered: neither llama.cpp nor vLLM serves audio here"
    raise GatewayError(Reason.NOT_SUPPORTED, message)


def _routes() -> tuple[Route, ...]:
    posts: Mapping[str, Handler] = {
        "/chat/completions": to("/v1/chat/completions"),
        "/completions": to("/v1/completions"),
        "/responses": to("/v1/responses"),
        "/embeddings": to("/v1/embeddings", Kind.EMBEDDING),
        "/rerank": to("/v1/rerank", Kind.RERANKER),
        "/audio/*": no_audio,
    }
    gets: Mapping[str, Handler] = {"/models": list_models, "/models/*": show_model}
    # Without /v1, too: some clients leave it out of the base URL, and llama-server answers both.
    models = tuple(
        Route(method, f"{prefix}{path}", handle)
        for prefix in ("/v1", "")
        for method, table in (("GET", gets), ("POST", posts))
        for path, handle in table.items()
    )
    return (
        *models,
        Route("GET", "/health", health),
        Route("GET", "/metrics", metrics),
        Route("GET", "/props", props),
    )


DIALECT = Dialect("openai", _routes(), error, stream_error, keep_alive=b":\n\n")
