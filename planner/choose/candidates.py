"""One complete choice: a quant with every flag, and what it takes and gives."""

from dataclasses import dataclass

from domain.model import ResolvedModel
from domain.plan import Estimate, LlamaFlags, VllmFlags
from planner.choose import quality
from planner.llama_cpp.context_params import ALL_LAYERS

# A turn of a chat or an agent: what is new since the cached prefix, and the answer.
TURN_PROMPT_TOKENS = 1024
TURN_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Candidate:
    """``context_tokens`` is what one sequence gets; ``together`` the tokens/s of all sequences at once,
    where several were asked for. ``loss``: see ``quality``."""

    candidate: ResolvedModel
    flags: LlamaFlags | VllmFlags
    estimate: Estimate
    context_tokens: int
    parallel: int = 1
    together: float | None = None

    @property
    def loss(self) -> float:
        return quality.loss(self.candidate)

    @property
    def engine(self) -> str:
        return self.candidate.engine

    @property
    def decode(self) -> float | None:
        found = self.estimate.speed.decode_tokens_per_s
        return found.expected if found else None

    @property
    def pace(self) -> float | None:
        """Tokens/s that each sequence gets while all are served."""
        return self.decode if self.together is None else self.together / self.parallel

    @property
    def quickness(self) -> float | None:
        """What options of one quality are compared by: turns per second, or tokens of all at once."""
        if self.together is not None:
            return self.together
        if not self.decode:
            return None
        prompt_s = TURN_PROMPT_TOKENS / self.prefill if self.prefill else 0.0
        return 1.0 / (prompt_s + TURN_TOKENS / self.decode)

    @property
    def has_host_weights(self) -> bool:
        """Whether a GPU works with weights that stay on the host: it pulls them over for each batch."""
        flags = self.flags
        if isinstance(flags, VllmFlags) or not flags.gpu_layers:
            return False
        return bool(flags.n_cpu_moe) or flags.gpu_layers != ALL_LAYERS

    @property
    def prefill(self) -> float | None:
        found = self.estimate.speed.prefill_tokens_per_s
        return found.expected if found else None

    @property
    def needed_bytes(self) -> int:
        return sum(row.needed_bytes for row in self.estimate.memory)

    @property
    def is_offloaded(self) -> bool:
        """Whether GPUs hold all layers, experts included."""
        flags = self.flags
        return isinstance(flags, VllmFlags) or (flags.gpu_layers == ALL_LAYERS and not flags.n_cpu_moe)

    @property
    def cache_type(self) -> str:
        flags = self.flags
        if isinstance(flags, VllmFlags):
            return flags.kv_cache_dtype
        return "/".join(sorted({flags.cache_type_k, flags.cache_type_v}))

    @property
    def quant(self) -> str:
        return self.candidate.weights.quant
