"""One complete choice: a quant with every flag, what it takes, and how fast it would be."""

from dataclasses import dataclass

from domain.launches.plan import EngineFlags, Estimate
from domain.models.model import ResolvedModel


@dataclass(frozen=True, slots=True)
class Candidate:
    """``context_tokens``: of one sequence. ``cache_type``: as the engine's flags name it. ``loss``: added
    perplexity, in percent of that of the model at full precision. ``batch_tokens_per_s``: of all sequences
    together, if several are planned.

    ``is_offloaded``: whether GPUs hold all layers, including experts. ``has_host_weights``: whether a GPU
    computes with weights on the host, which it reads over its link for each batch."""

    model: ResolvedModel
    flags: EngineFlags
    estimate: Estimate
    context_tokens: int
    cache_type: str
    loss: float
    parallel: int = 1
    batch_tokens_per_s: float | None = None
    is_offloaded: bool = True
    has_host_weights: bool = False

    @property
    def engine(self) -> str:
        return self.model.engine

    @property
    def quant(self) -> str:
        return self.model.weights.quant

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Of a single sequence."""
        predicted = self.estimate.speed.decode_tokens_per_s
        return predicted.expected if predicted else None

    @property
    def prefill_tokens_per_s(self) -> float | None:
        predicted = self.estimate.speed.prefill_tokens_per_s
        return predicted.expected if predicted else None

    @property
    def tokens_per_s(self) -> float | None:
        """What each sequence gets while all are served: where that is not known, what it gets in turn."""
        together = self.decode_tokens_per_s if self.batch_tokens_per_s is None else self.batch_tokens_per_s
        return None if together is None else together / self.parallel

    @property
    def low_tokens_per_s(self) -> float | None:
        """``tokens_per_s`` at the low end of the predicted range."""
        predicted, expected = self.estimate.speed.decode_tokens_per_s, self.tokens_per_s
        if predicted is None or not expected or not predicted.expected:
            return None
        return expected * predicted.low / predicted.expected

    @property
    def needed_bytes(self) -> int:
        """Over all devices."""
        return sum(row.needed_bytes for row in self.estimate.memory)


@dataclass(frozen=True, slots=True)
class CandidateDetails:
    """What an engine says of a candidate in a plan.

    ``kv_cache_type``: the type that is really used. ``layers``: the layers of the model, if the engine can
    place them one by one. ``placement`` and ``runtime``: sentences for the reasons; empty: none.
    ``second_files``: sentences on a projector and a draft. ``memory_note``: what follows the memory of each
    device. ``pool_tokens``: of a cache that several sequences share, of which each is sure of
    ``guaranteed_tokens``."""

    kv_cache_type: str
    placement: str
    runtime: str = ""
    pool_tokens: int | None = None
    guaranteed_tokens: int | None = None
    memory_note: str = ""
    layers: int | None = None
    second_files: tuple[str, ...] = ()
