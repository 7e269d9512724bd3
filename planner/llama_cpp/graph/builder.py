"""Builds the graph of one batch: its inputs, weights by name, caches, and the nodes made so far.

Source: llama.cpp ``llm_graph_context``.
"""

from collections.abc import Mapping

from domain.models.ggml import BY_NAME
from domain.models.model import MetadataValue, ModelShape
from planner.llama_cpp.context_params import ALL_LAYERS, ContextParams
from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.recipe import Recipe
from planner.llama_cpp.graph.tensor import F16, F32, I32, I64, Graph, Tensor, dims
from planner.llama_cpp.memory import kv_cache
from planner.llama_cpp.placement import HOST_ID, Placement
from planner.model.hparams import Hparams, Layer


class UnsupportedGraphError(Exception):
    """No recipe builds the graph of this file."""


class GraphBuilder:
    """Inputs are created on first use; weights are leaves that reside on their device."""

    def __init__(
        self,
        shape: ModelShape,
        hparams: Hparams,
        cparams: ContextParams,
        placement: Placement,
        recipe: Recipe,
        blocks: tuple[int, ...],
    ) -> None:
        self.hparams, self.cparams, self.placement, self.recipe = hparams, cparams, placement, recipe
        self.blocks = blocks
        self.graph = Graph()
        self.cpu = len(placement.devices)
        self.tokens = -(-cparams.ubatch // cparams.sequences) * cparams.sequences
        self.output_tokens = cparams.logits_rows
        self.fused_attention: list[tuple[Tensor, int]] = []
        self._shape = shape
        self._weights: dict[str, Tensor] = {}
        self._inputs: dict[str, Tensor] = {}
        self._caches: dict[str, Tensor] = {}
        self._tensors = tensor_table(shape)

    def backend_index(self, device: int) -> int:
        """The back end of a device number; that of the host is the last."""
        return self.cpu if device == HOST_ID else device

    def has(self, name: str) -> bool:
        return name in self._tensors

    def weight(self, name: str) -> Tensor:
        """Raises: UnsupportedGraphError for a tensor that the file lacks."""
        tensor = self._weights.get(name)
        if tensor is None:
            if name not in self._tensors:
                raise UnsupportedGraphError(name)
            tensor = self._weight_on(name, self.backend_index(self.placement.tensor_device[name]))
            self._weights[name] = tensor
        return tensor

    def _weight_on(self, name: str, backend: int) -> Tensor:
        ne, size = self._tensors[name]
        tensor = Tensor("none", ne, op.strides(ne, F32), size)
        tensor.resident_on, tensor.is_weight = backend, True
        return tensor

    def rope_factors(self, block: int) -> Tensor | None:
        """RoPE factors; each device has a copy for its layers."""
        name = next(filter(self.has, ("rope_freqs.weight", "rope_factors_long.weight")), None)
        if name is None:
            return None
        backend = self.backend_index(self.placement.layer_device[block])
        key = f"{name} on {backend}"
        if key not in self._weights:
            self._weights[key] = self._weight_on(name, backend)
        return self._weights[key]

    def output_matrix(self) -> Tensor:
        """The output matrix, or a second copy of a tied embedding."""
        if self.has("output.weight"):
            return self.weight("output.weight")
        return self._weight_on("token_embd.weight", self.backend_index(self.placement.output))

    def header(self, key: str) -> MetadataValue | None:
        return self._shape.get(key)

    def weight_or_none(self, name: str) -> Tensor | None:
        return self.weight(name) if name in self._tensors else None

    @property
    def image_vector_blocks(self) -> int:
        """The number of first blocks to whose output an image adds embeddings."""
        return self.hparams.image_layers

    def graph_input(self, name: str, *ne: int, element_bytes: int = F32) -> Tensor:
        tensor = self._inputs.get(name)
        if tensor is None:
            shape = dims(*ne)
            nb = op.strides(shape, element_bytes)
            tensor = Tensor("none", shape, nb, nb[3] * shape[3])
            tensor.is_input = True
            self._inputs[name] = tensor
        return tensor

    def positions(self) -> Tensor:
        """One position per token; four where RoPE is split into time, height and width."""
        return self.graph_input(
            "positions", self.tokens * (4 if self._has_sections() else 1), element_bytes=I32
        )

    def _has_sections(self) -> bool:
        """Source: ``llama_hparams::n_pos_per_embd`` and ``use_mrope``."""
        sections = self.header("rope.dimension_sections")
        return isinstance(sections, tuple) and len(sections) > 1 and bool(sections[0] and sections[1])

    def sequence_state_ids(self) -> tuple[Tensor, Tensor]:
        """The ids of this batch's states, and of the others, which may have to move; views that all layers
        share. Source: ``llm_graph_context::build_rs_inp_impl``."""
        count = self.cparams.sequences
        if "own states" not in self._inputs:
            ids = self.graph_input("state rows", count, element_bytes=I32)
            self._inputs["own states"] = op.view(ids, dims(count))
            self._inputs["other states"] = op.view(ids, dims(count - 1))
        return self._inputs["own states"], self._inputs["other states"]

    def output_rows(self) -> Tensor:
        return self.graph_input("output rows", self.output_tokens, element_bytes=I32)

    def cell_ids(self, k_or_v: str, window_suffix: str) -> Tensor:
        """The cells that new keys and values go to: one per token, or per value of a transposed V."""
        count = self.tokens
        if k_or_v == "v" and self.cparams.values_transposed:
            count *= max(layer.value_dim * layer.kv_heads for layer in self.hparams.layers)
        return self.graph_input(f"{k_or_v} cells{window_suffix}", count, element_bytes=I64)

    def mask(self, layer: Layer) -> Tensor:
        window_suffix = " window" if layer.window else ""
        cells = kv_cache.layer_cells(layer, self.hparams, self.cparams)
        streams = self.cparams.streams
        element_bytes = F16 if self.cparams.flash_attention else F32
        return self.graph_input(
            f"mask{window_suffix}", cells, self.tokens // streams, 1, streams, element_bytes=element_bytes
        )

    def hadamard(self, k_or_v: str, layer: Layer) -> Tensor | None:
        """A Hadamard matrix that spreads outliers before K or V are quantized, if all layers of this cache
        (of windows, or of the whole context) have heads of the same size.

        Source: ``attn_rot_k`` and ``attn_rot_v`` of ``llama_kv_cache``."""
        name = self.cparams.cache_type_k if k_or_v == "k" else self.cparams.cache_type_v
        head_dims = {
            other.key_dim if k_or_v == "k" else other.value_dim
            for other in self.hparams.layers
            if other.has_kv and bool(other.window) == bool(layer.window)
        }
        width = layer.key_dim if k_or_v == "k" else layer.value_dim
        is_absent = k_or_v == "v" and self.hparams.is_mla
        if BY_NAME[name].block == 1 or len(head_dims) != 1 or not width or width % 64 or is_absent:
            return None
        side = 64
        while k_or_v == "k" and width % (2 * side) == 0:
            side *= 2
        window_suffix = " window" if layer.window else ""
        return self.graph_input(f"{k_or_v} rotation{window_suffix}", side, side)

    def cache(self, k_or_v: str, block: int) -> Tensor:
        """The whole K or V tensor of a block."""
        name = f"{k_or_v}{block}"
        tensor = self._caches.get(name)
        if tensor is None:
            layer = self.hparams.layers[block]
            width = (layer.key_dim if k_or_v == "k" else layer.value_dim) * layer.kv_heads
            ne = dims(width, kv_cache.layer_cells(layer, self.hparams, self.cparams), self.cparams.streams)
            type_name = self.cparams.cache_type_k if k_or_v == "k" else self.cparams.cache_type_v
            ggml_type = BY_NAME[type_name]
            tensor = self._resident(ne, block, max(1, ggml_type.block_bytes // ggml_type.block))
            self._caches[name] = tensor
        return tensor

    def state(self, kind: str, block: int) -> Tensor:
        """The recurrent states of a block, a row per sequence and as many for each token that may be rolled
        back; ``kind`` ``r``: convolution, ``s``: state."""
        name = f"{kind}{block}"
        tensor = self._caches.get(name)
        if tensor is None:
            layer = self.hparams.layers[block]
            width = layer.conv_values if kind == "r" else layer.state_values
            rows = self.cparams.sequences * self.state_copies
            tensor = self._resident(dims(width, rows), block)
            self._caches[name] = tensor
        return tensor

    @property
    def state_copies(self) -> int:
        return 1 + self.cparams.rollback_states

    def _resident(self, ne: op.Dims, block: int, element_bytes: int = F32) -> Tensor:
        cur = Tensor("none", ne, op.strides(ne, element_bytes), 0)
        cur.resident_on = self.backend_index(self.layer_device(block))
        return cur

    def layer_device(self, block: int) -> int:
        return self.placement.layer_device[block] if self.cparams.kv_offload else HOST_ID

    @property
    def is_fully_offloaded(self) -> bool:
        return self.cparams.gpu_layers > len(self.hparams.layers) or self.cparams.gpu_layers == ALL_LAYERS

    def norm(self, source: Tensor, name: str, block: int | None) -> Tensor:
        """A norm, pinned to its layer's device so that the scheduler does not move it to the next layer's."""
        normed = op.like("norm" if self.recipe.uses_layer_norm else "rms_norm", source)
        weight = self.weight_or_none(name) or self.weight_or_none(name.removesuffix(".weight"))
        if weight is None:
            return normed
        if block is not None and self.cparams.pinned and (self.is_fully_offloaded or self.tokens < 32):
            normed.pinned = self.backend_index(self.placement.layer_device[block])
        cur = op.like("mul", normed, weight)
        bias = self.weight_or_none(name.removesuffix(".weight") + ".bias")
        return cur if bias is None else op.like("add", cur, bias)

    def linear(self, source: Tensor, name: str) -> Tensor:
        """Matrix product, plus the bias if the file has one."""
        cur = op.mul_mat(self.weight(f"{name}.weight"), source)
        bias = self.weight_or_none(f"{name}.bias")
        return cur if bias is None else op.like("add", cur, bias)


def tensor_table(shape: ModelShape) -> Mapping[str, tuple[op.Dims, int]]:
    return {tensor.name: (dims(*tensor.shape), tensor.size_bytes) for tensor in shape.tensors}
