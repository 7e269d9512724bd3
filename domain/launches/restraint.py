"""What plans of a launch are held to after memory ran out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Restraint:
    """``margin_bytes`` more than usual stay free on each device, ``gpu_margin_bytes`` on GPUs besides that.
    ``max_ubatch``: tokens that are computed at once. ``small_cache``: the KV cache has 8 bits where the
    engine can. ``few_sequences``: no more requests at once than were asked for. ``no_graphs``: no CUDA
    graphs. ``below_bytes``: only weights smaller than that, and only those on this disk unless
    ``may_fetch``. ``None``: as the planner chooses."""

    margin_bytes: int = 0
    max_ubatch: int | None = None
    small_cache: bool = False
    gpu_margin_bytes: int = 0
    context_tokens: int | None = None
    below_bytes: int | None = None
    may_fetch: bool = False
    few_sequences: bool = False
    no_graphs: bool = False


UNRESTRAINED = Restraint()
