"""Why a model does not fit, and the ways out, as ``node-ctl plan --explain`` tells them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Sentences. ``short``: what each device would hold, has, and lacks; ``instead``: what fits on this
    machine, with what that gives up, the nearest first; ``holds``: what machines would hold it."""

    short: tuple[str, ...]
    instead: tuple[str, ...]
    holds: tuple[str, ...]
