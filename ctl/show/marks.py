"""The marks behind the figures of a plan, such as [estimated], and the legend of those that are shown."""

from domain.plan import Confidence, Speed, SpeedSource

MEMORY = {
    Confidence.ESTIMATED: "computed from model and machine",
    Confidence.ENGINE_CHECKED: "as the engine reports it for this command, with room for its caches",
    Confidence.MEASURED: "as the engine allocated it in a run here, with room for its caches",
}
SPEED = {
    SpeedSource.PREDICTED: "computed from model and machine",
    SpeedSource.CORRECTED: "computed, and corrected by runs of other models or options here",
    SpeedSource.MEASURED: "computed, and corrected by its own runs here",
}
RANGE = "(a to b): nine of ten runs are in between"


def speed_mark(source: SpeedSource) -> str:
    return f"[{source.mark}]"


def legend(confidence: Confidence, speed: Speed) -> str:
    """One line, docs/operations.md explains more."""
    sources = [source for value, source in _speeds(speed) if value is not None]
    meanings = {f"[{confidence}]": MEMORY[confidence]}
    for source in sources:
        meanings.setdefault(speed_mark(source), SPEED[source])
    parts = [f"{mark} {meaning}" for mark, meaning in meanings.items()]
    return f"legend    {'; '.join([*parts, RANGE] if sources else parts)}"


def _speeds(speed: Speed) -> tuple[tuple[object, SpeedSource], ...]:
    return (
        (speed.decode_tokens_per_s, speed.decode_source),
        (speed.prefill_tokens_per_s, speed.prefill_source),
    )
