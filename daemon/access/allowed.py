"""What the key of a request allows: which models, of which class, and how many in a time."""

from daemon.access import keys
from daemon.app import App
from daemon.state.records import KeyRecord
from domain.priority import Priority, lowest
from domain.request_rate import Allowance


def may_ask(app: App, key: str | None, model: str) -> bool:
    """``key`` is the name of one, ``None`` for a request of this machine without; ``model`` of a launch."""
    record = _record(app, key)
    return record is None or not record.models or model in record.models


def priority_of(app: App, key: str | None, asked: Priority | None) -> Priority:
    record = _record(app, key)
    given = Priority.INTERACTIVE if record is None else record.priority
    return given if asked is None else lowest((given, asked))


def wait_s(app: App, key: str | None, now_s: float) -> float:
    """Until the rate of ``key`` lets its next request through; where it does now, that is counted."""
    allowance = _allowance(app, key)
    if allowance is None or (wait := allowance.wait_s(now_s)) == 0:
        if allowance is not None and not allowance.rate.of_tokens:
            allowance.take(1, now_s)
        return 0.0
    return wait


def spend_tokens(app: App, key: str | None, tokens: int, now_s: float) -> None:
    """Those of a prompt and its answer, once they are known."""
    allowance = _allowance(app, key)
    if allowance is not None and allowance.rate.of_tokens:
        allowance.take(tokens, now_s)


def _record(app: App, key: str | None) -> KeyRecord | None:
    return None if key is None else keys.named(app, key)


def _allowance(app: App, key: str | None) -> Allowance | None:
    record = _record(app, key)
    if record is None or record.rate is None:
        return None
    return app.access.allowances.setdefault(record.name, Allowance(record.rate))
