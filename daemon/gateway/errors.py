"""What a request can be refused for. Each dialect writes it as its own clients expect."""

from collections.abc import Sequence
from enum import StrEnum


class Reason(StrEnum):
    """Stable words that dialects translate into their own codes."""

    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    UNKNOWN_MODEL = "unknown_model"
    TOO_LARGE = "too_large"
    CONTEXT_EXCEEDED = "context_exceeded"
    NOT_SUPPORTED = "not_supported"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    ENGINE_FAILED = "engine_failed"
    FAILED = "failed"


STATUS: dict[Reason, int] = {
    Reason.INVALID: 400,
    Reason.UNAUTHORIZED: 401,
    Reason.FORBIDDEN: 403,
    Reason.NOT_FOUND: 404,
    Reason.UNKNOWN_MODEL: 404,
    Reason.TOO_LARGE: 413,
    Reason.CONTEXT_EXCEEDED: 400,
    Reason.NOT_SUPPORTED: 501,
    Reason.BUSY: 429,
    Reason.UNAVAILABLE: 503,
    Reason.ENGINE_FAILED: 502,
    Reason.FAILED: 500,
}


class GatewayError(Exception):
    """``status`` is the reason's own unless an engine gave another. ``retry_after_s`` is set where the same
    request may succeed later."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status or STATUS[reason]
        self.retry_after_s = retry_after_s


class UnknownServedModelError(GatewayError):
    """``near`` are names that are served and may have been meant."""

    def __init__(self, message: str, *, near: Sequence[str] = ()) -> None:
        super().__init__(Reason.UNKNOWN_MODEL, message)
        self.near = tuple(near)


class ContextExceededError(GatewayError):
    """``prompt_tokens`` is ``None`` where the engine refused without saying how many there are."""

    def __init__(self, model: str, *, prompt_tokens: int | None, context_tokens: int) -> None:
        length = "" if prompt_tokens is None else f" of {prompt_tokens} tokens"
        super().__init__(
            Reason.CONTEXT_EXCEEDED,
            f"the request{length} does not fit in the context of {model}, {context_tokens} tokens",
        )
        self.model = model
        self.prompt_tokens = prompt_tokens
        self.context_tokens = context_tokens
