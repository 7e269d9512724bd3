"""The KV cache in blocks: bytes per token on a rank, and the tokens that a number of bytes holds.

Source: vLLM ``v1/kv_cache_interface.py`` and ``v1/core/kv_cache_utils.py``. Layers of one kind form a group;
a group with more layers than the smallest is divided into groups of that size; all groups draw pages of one
size from one pool. A recurrent state takes a page of its own: pages of attention grow to its size."""

from dataclasses import dataclass
from math import ceil

from domain.errors import UsageError
from planner.vllm.model_config import Config, LayerKind
from planner.vllm.weights.quantization import DTYPE_BYTES, served_dtype

GPU_BLOCK_TOKENS = 16
CPU_BLOCK_TOKENS = 128  # 16 for latent attention (``platforms/cpu.py``)
STATE_VALUE_BYTES = 4  # of the state itself, an upper bound; the model's own dtype is the lower one
MAX_GROUP_RATIO = 1.5
SCALE_BYTES = 4
# Bytes of a cached value. The types per token and head also store a scale for each.
BYTES_PER_VALUE = {
    "bfloat16": 2.0, "float16": 2.0, "fp8": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0, "fp8_inc": 1.0,
    "fp8_per_token_head": 1.0, "int8_per_token_head": 1.0, "int4_per_token_head": 0.5, "nvfp4": 0.5625,
}  # fmt: skip
PER_HEAD_SCALED = ("fp8_per_token_head", "int8_per_token_head", "int4_per_token_head")
MLA_ROW_BYTES = {"fp8_ds_mla": 656}  # of a token in a layer, whatever its width


@dataclass(frozen=True, slots=True)
class KvBlockLayout:
    """The block pool of one rank.

    ``groups``: a kind of layer, and the number of its groups. ``group_layers``: layers that share a block of
    ``block_tokens`` tokens, each with a page of ``page_bytes``. ``in_flight_tokens``: scheduled and not yet
    computed. ``states_per_sequence``: states that a recurrent layer keeps of each sequence."""

    groups: tuple[tuple[LayerKind, int], ...]
    group_layers: int
    block_tokens: int
    page_bytes: int
    window: int
    in_flight_tokens: int
    states_per_sequence: int = 1

    @property
    def block_bytes(self) -> int:
        return self.group_layers * self.page_bytes

    def sequence_blocks(self, tokens: int) -> int:
        """Blocks of one sequence of ``tokens``."""
        return sum(count * self._group_blocks(kind, tokens) for kind, count in self.groups)

    def _group_blocks(self, kind: LayerKind, tokens: int) -> int:
        if kind is LayerKind.STATE:
            return self.states_per_sequence
        if kind is LayerKind.WINDOW:
            held_tokens = min(self.window - 1 + self.in_flight_tokens, tokens)
            return ceil(held_tokens / self.block_tokens) + 1
        return ceil(tokens / self.block_tokens)

    def sequence_bytes(self, tokens: int) -> int:
        return self.sequence_blocks(tokens) * self.block_bytes

    def needed_bytes(self, tokens: int, sequences: int) -> int:
        """Of ``sequences`` at once, including the block that the pool reserves."""
        return self.sequence_bytes(tokens) * sequences + self.block_bytes

    def capacity_tokens(self, count_bytes: int, context_tokens: int) -> int:
        """The tokens that ``count_bytes`` hold in sequences of ``context_tokens``, as vLLM logs it."""
        if not self.groups:
            return context_tokens
        pool_blocks = count_bytes // self.block_bytes
        return int(pool_blocks / self.sequence_blocks(context_tokens) * context_tokens)

    def max_context_tokens(self, count_bytes: int, limit_tokens: int) -> int:
        """The longest context of one sequence that ``count_bytes`` hold, up to the limit; 0 if none."""
        low, high = 0, limit_tokens
        while low < high:
            middle = (low + high + 1) // 2
            holds = self.needed_bytes(middle, 1) <= count_bytes
            low, high = (middle, high) if holds else (low, middle - 1)
        return low


def kv_block_layout(
    config: Config,
    *,
    ranks: int,
    dtype: str,
    cache_dtype: str,
    on_gpu: bool,
    in_flight_tokens: int,
    block_tokens: int | None = None,
    caches_prefixes: bool = True,
) -> KvBlockLayout:
    """Raises: UsageError for an unknown cache type."""
    cached = [kind for kind in config.layer_kinds if kind is not LayerKind.NOTHING]
    layers_by_kind = {kind: cached.count(kind) for kind in dict.fromkeys(cached)}
    group_layers = _group_layers(list(layers_by_kind.values()))
    tokens = block_tokens or _default_block_tokens(config, on_gpu=on_gpu)
    token_bytes = _token_bytes(config, ranks, dtype, cache_dtype)
    state_bytes = _state_bytes(config, ranks, dtype)
    if LayerKind.STATE in layers_by_kind and len(layers_by_kind) > 1:
        tokens = max(tokens, ceil(state_bytes / (tokens * token_bytes)) * tokens)
        page_bytes = int(tokens * token_bytes)
    elif LayerKind.STATE in layers_by_kind:
        page_bytes = state_bytes
    else:
        page_bytes = int(tokens * token_bytes)
    return KvBlockLayout(
        groups=tuple((kind, ceil(count / group_layers)) for kind, count in layers_by_kind.items()),
        group_layers=group_layers,
        block_tokens=tokens,
        page_bytes=page_bytes,
        window=config.window,
        in_flight_tokens=in_flight_tokens,
        states_per_sequence=config.state.states_kept if config.state and caches_prefixes else 1,
    )


def _group_layers(counts: list[int]) -> int:
    if not counts:
        return 0
    smallest, largest = min(counts), max(counts)
    return largest if largest < MAX_GROUP_RATIO * smallest else smallest


def _default_block_tokens(config: Config, *, on_gpu: bool) -> int:
    return GPU_BLOCK_TOKENS if on_gpu or config.mla_width else CPU_BLOCK_TOKENS


def _token_bytes(config: Config, ranks: int, dtype: str, cache_dtype: str) -> float:
    """Of one layer. Each rank holds whole latent rows; heads are shared, and replicated if there are fewer
    than ranks."""
    if config.mla_width and cache_dtype in MLA_ROW_BYTES:
        return MLA_ROW_BYTES[cache_dtype]
    own_value_bytes = value_bytes(config, dtype, cache_dtype)
    if config.mla_width:
        return config.mla_width * own_value_bytes
    heads = max(1, config.kv_heads // ranks)
    scales_bytes = 2 * SCALE_BYTES if cache_dtype in PER_HEAD_SCALED else 0
    return heads * (2 * config.head_dim * own_value_bytes + scales_bytes)


def value_bytes(config: Config, dtype: str, cache_dtype: str) -> float:
    """Raises: UsageError for an unknown cache type."""
    if cache_dtype == "auto":
        return DTYPE_BYTES.get(served_dtype(config, dtype), 2)
    if cache_dtype not in BYTES_PER_VALUE:
        known = ", ".join(["auto", *BYTES_PER_VALUE, *MLA_ROW_BYTES])
        raise UsageError(f"--kv-cache-dtype {cache_dtype} is not known", hint=f"give one of {known}")
    return BYTES_PER_VALUE[cache_dtype]


def _state_bytes(config: Config, ranks: int, dtype: str) -> int:
    if config.state is None:
        return 0
    dtype_bytes = DTYPE_BYTES.get(served_dtype(config, dtype), 2)
    return (config.state.conv_values * dtype_bytes + config.state.values * STATE_VALUE_BYTES) // ranks
