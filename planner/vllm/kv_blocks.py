"""The KV cache in blocks: what one token takes on a rank, how many tokens given bytes hold.

Source: vLLM ``v1/kv_cache_interface.py`` and ``v1/core/kv_cache_utils.py``. Blocks of one kind make a
group; a group of more layers than the smallest is cut into groups of that size; all groups draw pages of
one size from one pool. A recurrent state takes a page of its own: pages of attention grow until they are
as large.
"""

from dataclasses import dataclass
from math import ceil

from domain.errors import UsageError
from planner.vllm.model_config import Config, Kind
from planner.vllm.weights import DTYPE_BYTES, served_dtype

GPU_BLOCK_TOKENS = 16
CPU_BLOCK_TOKENS = 128  # of latent attention 16 there, too (``platforms/cpu.py``)
STATE_VALUE_BYTES = 4  # of the state itself; the model's own dtype is the least
MANY_MORE = 1.5
# Bytes of a cached value; those per head and token carry a scale of 4 bytes for each head.
DTYPES = {
    "bfloat16": 2.0, "float16": 2.0, "fp8": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0, "fp8_inc": 1.0,
    "fp8_per_token_head": 1.0, "int8_per_token_head": 1.0, "int4_per_token_head": 0.5, "nvfp4": 0.5625,
}  # fmt: skip
SCALED = ("fp8_per_token_head", "int8_per_token_head", "int4_per_token_head")
LATENT_BYTES = {"fp8_ds_mla": 656}  # a token of a layer, whatever its width


@dataclass(frozen=True, slots=True)
class Cache:
    """On one rank. ``groups``: a kind and how many times it stands in the pool; ``group_layers`` share a
    block of ``block_tokens`` tokens and ``page_bytes`` each. ``in_flight_tokens``: scheduled and not done;
    ``states`` of a recurrent layer are kept for each sequence."""

    groups: tuple[tuple[Kind, int], ...]
    group_layers: int
    block_tokens: int
    page_bytes: int
    window: int
    in_flight_tokens: int
    states: int = 1

    @property
    def block_bytes(self) -> int:
        return self.group_layers * self.page_bytes

    def blocks(self, kind: Kind, tokens: int) -> int:
        """That one sequence of ``tokens`` may hold."""
        if kind is Kind.STATE:
            return self.states
        if kind is Kind.WINDOW:
            held = min(self.window - 1 + self.in_flight_tokens, tokens)
            return ceil(held / self.block_tokens) + 1
        return ceil(tokens / self.block_tokens)

    def sequence_blocks(self, tokens: int) -> int:
        return sum(count * self.blocks(kind, tokens) for kind, count in self.groups)

    def sequence_bytes(self, tokens: int) -> int:
        return self.sequence_blocks(tokens) * self.block_bytes

    def needed_bytes(self, tokens: int, sequences: int) -> int:
        """Of ``sequences`` at once, with the block that the pool keeps for itself."""
        return self.sequence_bytes(tokens) * sequences + self.block_bytes

    def tokens(self, count_bytes: int, context_tokens: int) -> int:
        """That ``count_bytes`` hold in sequences of ``context_tokens``, as vLLM logs it."""
        if not self.groups:
            return context_tokens
        pool = count_bytes // self.block_bytes
        return int(pool / self.sequence_blocks(context_tokens) * context_tokens)

    def longest(self, count_bytes: int, most_tokens: int) -> int:
        """The longest context of one sequence that ``count_bytes`` hold; 0 where none."""
        low, high = 0, most_tokens
        while low < high:
            middle = (low + high + 1) // 2
            holds = self.needed_bytes(middle, 1) <= count_bytes
            low, high = (middle, high) if holds else (low, middle - 1)
        return low


def lay_out(
    config: Config,
    *,
    ranks: int,
    dtype: str,
    cache_dtype: str,
    on_gpu: bool,
    in_flight_tokens: int,
    block_tokens: int | None = None,
    keeps_prefixes: bool = True,
) -> Cache:
    """Raises: UsageError for a type of cache that is not known."""
    kept = [kind for kind in config.blocks if kind is not Kind.NOTHING]
    counts = {kind: kept.count(kind) for kind in dict.fromkeys(kept)}
    layers = _group_layers(list(counts.values()))
    tokens = block_tokens or _default_block(config, on_gpu=on_gpu)
    row = _token_bytes(config, ranks, dtype, cache_dtype)
    state = _state_bytes(config, ranks, dtype)
    if Kind.STATE in counts and len(counts) > 1:
        tokens = max(tokens, ceil(state / (tokens * row)) * tokens)
        page = int(tokens * row)
    elif Kind.STATE in counts:
        page = state
    else:
        page = int(tokens * row)
    states = config.state.kept if config.state and keeps_prefixes else 1
    groups = tuple((kind, ceil(count / layers)) for kind, count in counts.items())
    return Cache(groups, layers, tokens, page, config.window, in_flight_tokens, states)


def _group_layers(counts: list[int]) -> int:
    if not counts:
        return 0
    least, most = min(counts), max(counts)
    return most if most < MANY_MORE * least else least


def _default_block(config: Config, *, on_gpu: bool) -> int:
    return GPU_BLOCK_TOKENS if on_gpu or config.latent else CPU_BLOCK_TOKENS


def _token_bytes(config: Config, ranks: int, dtype: str, cache_dtype: str) -> float:
    """Of one layer: latent rows stand whole on each rank, heads are shared, and copied where they are fewer
    than ranks."""
    if config.latent and cache_dtype in LATENT_BYTES:
        return LATENT_BYTES[cache_dtype]
    value = value_bytes(config, dtype, cache_dtype)
    if config.latent:
        return config.latent * value
    heads = max(1, config.kv_heads // ranks)
    scales = 2 * 4 if cache_dtype in SCALED else 0
    return heads * (2 * config.head_dim * value + scales)


def value_bytes(config: Config, dtype: str, cache_dtype: str) -> float:
    """Raises: UsageError."""
    if cache_dtype == "auto":
        return DTYPE_BYTES.get(served_dtype(config, dtype), 2)
    if cache_dtype not in DTYPES:
        known = ", ".join(["auto", *DTYPES, *LATENT_BYTES])
        raise UsageError(f"--kv-cache-dtype {cache_dtype} is not known here", hint=f"known are {known}")
    return DTYPES[cache_dtype]


def _state_bytes(config: Config, ranks: int, dtype: str) -> int:
    if config.state is None:
        return 0
    own = DTYPE_BYTES.get(served_dtype(config, dtype), 2)
    return (config.state.conv_values * own + config.state.values * STATE_VALUE_BYTES) // ranks
