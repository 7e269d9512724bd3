"""How deep a context was filled on this machine, and how fast the engine was there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DepthFigures:
    """With ``depth_tokens`` in the context: the decode speed there, and the speed at which the tokens since
    the depth before it were read. ``None``: the engine did not tell."""

    depth_tokens: int
    decode_tokens_per_s: float | None = None
    prefill_tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class ContextProof:
    """What ``node-ctl prove`` found for one model, engine build and machine. Stored as JSON: its fields keep
    their names.

    ``proven_tokens``: the deepest context that the engine held. ``host_held_bytes``: RAM that it held then,
    ``host_planned_bytes`` what was planned. ``failed_tokens``: the depth at which it failed, and
    ``window_tokens`` the longest context that is planned since; ``failure`` says why."""

    at: str
    planned_tokens: int
    loaded_tokens: int | None = None
    proven_tokens: int | None = None
    figures: tuple[DepthFigures, ...] = ()
    host_held_bytes: int | None = None
    host_planned_bytes: int | None = None
    failed_tokens: int | None = None
    failure: str | None = None
    window_tokens: int | None = None
