"""Anthropic's Messages API, which both engines speak: messages, their count, models, and a hello."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from daemon.gateway.dialects.dialect import Dialect, Headers, Route
from daemon.gateway.errors import ContextExceededError, GatewayError, Reason
from daemon.gateway.forward import forward
from daemon.gateway.listener.exchange import Exchange, event
from daemon.gateway.served import Facts, find_launch, kind_of, served_launches
from daemon.launches.launch import Launch

TYPES = {
    Reason.UNAUTHORIZED: "authentication_error",
    Reason.FORBIDDEN: "permission_error",
    Reason.NOT_FOUND: "not_found_error",
    Reason.UNKNOWN_MODEL: "not_found_error",
    Reason.TOO_LARGE: "request_too_large",
    Reason.BUSY: "rate_limit_error",
    Reason.UNAVAILABLE: "overloaded_error",
    Reason.ENGINE_FAILED: "api_error",
    Reason.FAILED: "api_error",
}
DEFAULT_LIMIT, MOST = 20, 1000  # of a page of models, as Anthropic's


def error(refusal: GatewayError) -> dict[str, Any]:
    message = str(refusal)
    if isinstance(refusal, ContextExceededError) and refusal.prompt_tokens is not None:
        # Anthropic's own words, by which Claude Code knows that it has to compact
        message = f"prompt is too long: {refusal.prompt_tokens} tokens > {refusal.context_tokens} maximum"
    kind = TYPES.get(refusal.reason, "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def stream_error(refusal: GatewayError) -> bytes:
    return event(error(refusal), "error")


async def hello(exchange: Exchange) -> None:
    """Claude Code asks whether anybody is there."""
    await exchange.send_json({})


async def list_models(exchange: Exchange) -> None:
    """A page of models; ``after_id`` and ``before_id`` are names of this list."""
    app = exchange.gateway.app
    query = {key: values[-1] for key, values in parse_qs(exchange.query).items()}
    launches = [launch for launch in served_launches(app, exchange.key) if not kind_of(launch).is_pooled]
    names = [launch.name for launch in launches]
    first, last = 0, len(names)
    if query.get("after_id") in names:
        first = names.index(query["after_id"]) + 1
    if query.get("before_id") in names:
        last = names.index(query["before_id"])
    page = launches[first:last][: _limit(query.get("limit"))]
    facts = await asyncio.gather(*(exchange.gateway.facts.of(launch) for launch in page))
    rows = [_row(launch, fact) for launch, fact in zip(page, facts, strict=True)]
    await exchange.send_json(
        {
            "data": rows,
            "has_more": first + len(page) < last,
            "first_id": page[0].name if page else None,
            "last_id": page[-1].name if page else None,
        }
    )


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not text.isdecimal() or not 1 <= int(text[:6]) <= MOST:
        raise GatewayError(Reason.INVALID, f"limit: a number from 1 to {MOST}, not {text[:20]!r}")
    return int(text)


async def show_model(exchange: Exchange) -> None:
    launch = find_launch(exchange.gateway.app, exchange.rest)
    await exchange.send_json(_row(launch, await exchange.gateway.facts.of(launch)))


def _row(launch: Launch, facts: Facts) -> dict[str, Any]:
    """``max_input_tokens`` is Anthropic's name for the context, ``context_length`` everybody else's."""
    since = datetime.fromisoformat(launch.lifecycle.since).astimezone(UTC)
    return {
        "type": "model",
        "id": launch.name,
        "display_name": launch.name,
        "created_at": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "max_input_tokens": facts.context_tokens,
        "context_length": facts.context_tokens,
        "state": launch.state.value,
    }


def _sends_version(headers: Headers) -> bool:
    """What every client of Anthropic's sends, and no other."""
    return b"anthropic-version" in headers


ROUTES = (
    Route("GET", "/v1/models", list_models, when=_sends_version),
    Route("GET", "/v1/models/*", show_model, when=_sends_version),
    Route("POST", "/v1/messages", partial(forward, path="/v1/messages")),
    Route("POST", "/v1/messages/count_tokens", partial(forward, path="/v1/messages/count_tokens")),
    Route("GET", "/api/hello", hello),
)
DIALECT = Dialect("anthropic", ROUTES, error, stream_error, keep_alive=event({"type": "ping"}, "ping"))
