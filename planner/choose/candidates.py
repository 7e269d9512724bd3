"""One complete choice: a quant with every flag, and what it takes and gives."""

from dataclasses import dataclass

from domain.model import ResolvedModel
from domain.plan import Estimate, LlamaFlags, VllmFlags
from planner.choose import quality
from planner.llama_cpp.context_params import ALL_LAYERS

# A turn of a chat or an agent: what is new since the cached prefix, and the answer.
TURN_PROMPT_TOKENS = 1024
TURN_ANSWER_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Candidate:
    """``context_tokens`` is what one sequence gets; ``batch_tokens_per_s`` the tokens/s of all sequences at
    once, where several were asked for. ``loss``: see ``quality``."""

    model: ResolvedModel
    flags: LlamaFlags | VllmFlags
    estimate: Estimate
    context_tokens: int
    parallel: int = 1
    batch_tokens_per_s: float | None = None

    @property
    def loss(self) -> float:
        return quality.loss(self.model)

    @property
    def engine(self) -> str:
        return self.model.engine

    @property
    def decode_tokens_per_s(self) -> float | None:
        predicted = self.estimate.speed.decode_tokens_per_s
        return predicted.expected if predicted else None

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens/s that each sequence gets while all are served."""
        return (
            self.decode_tokens_per_s
            if self.batch_tokens_per_s is None
            else self.batch_tokens_per_s / self.parallel
        )

    @property
    def score(self) -> float | None:
        """What options of one quality are compared by: turns per second, or tokens of all at once."""
        if self.batch_tokens_per_s is not None:
            return self.batch_tokens_per_s
        if not self.decode_tokens_per_s:
            return None
        prompt_s = TURN_PROMPT_TOKENS / self.prefill_tokens_per_s if self.prefill_tokens_per_s else 0.0
        return 1.0 / (prompt_s + TURN_ANSWER_TOKENS / self.decode_tokens_per_s)

    @property
    def has_host_weights(self) -> bool:
        """Whether a GPU works with weights that stay on the host: it pulls them over for each batch."""
        flags = self.flags
        if isinstance(flags, VllmFlags) or not flags.gpu_layers:
            return False
        return bool(flags.n_cpu_moe) or flags.gpu_layers != ALL_LAYERS

    @property
    def prefill_tokens_per_s(self) -> float | None:
        predicted = self.estimate.speed.prefill_tokens_per_s
        return predicted.expected if predicted else None

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
        return self.model.weights.quant
