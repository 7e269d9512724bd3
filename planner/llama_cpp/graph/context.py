"""One batch on its way through a model: inputs, weights by name, and the nodes made so far."""

from collections.abc import Mapping

from domain.ggml import BY_NAME
from domain.model import MetadataValue, ModelShape
from planner.llama_cpp import kv_cache
from planner.llama_cpp.context_params import ALL_LAYERS, ContextParams
from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.recipe import Recipe
from planner.llama_cpp.graph.tensor import F16, F32, I32, I64, Graph, Tensor, dims
from planner.llama_cpp.placement import HOST_ID, Placement
from planner.model.hparams import Hparams, Layer


class NotLaidOutError(Exception):
    """No recipe builds the graph of such a file."""


class Context:
    """Inputs are made when first asked for; weights are leaves at home on their device."""

    def __init__(
        self,
        shape: ModelShape,
        hparams: Hparams,
        run: ContextParams,
        placement: Placement,
        recipe: Recipe,
        blocks: tuple[int, ...],
    ) -> None:
        self.hparams, self.run, self.placement, self.recipe = hparams, run, placement, recipe
        self.blocks = blocks
        self.graph = Graph()
        self.cpu = len(placement.devices)
        self.tokens = -(-run.ubatch // run.sequences) * run.sequences
        self.outputs = run.logits_rows
        self.fused: list[tuple[Tensor, int]] = []
        self._shape = shape
        self._weights: dict[str, Tensor] = {}
        self._inputs: dict[str, Tensor] = {}
        self._caches: dict[str, Tensor] = {}
        self._table = table(shape)

    def home(self, device: int) -> int:
        """The back end of a device number; the host's is last."""
        return self.cpu if device == HOST_ID else device

    def has(self, name: str) -> bool:
        return name in self._table

    def weight(self, name: str) -> Tensor:
        """Raises: NotLaidOutError for a tensor that the file lacks."""
        found = self._weights.get(name)
        if found is None:
            if name not in self._table:
                raise NotLaidOutError(name)
            ne, size = self._table[name]
            found = Tensor("none", ne, op.strides(ne, F32), size)
            found.home = self.home(self.placement.tensor_device[name])
            found.is_weight = True
            self._weights[name] = found
        return found

    def factors(self, block: int) -> Tensor | None:
        """Of rotations; each device has a copy for its layers."""
        name = next((one for one in ("rope_freqs.weight", "rope_factors_long.weight") if self.has(one)), None)
        if name is None:
            return None
        home = self.home(self.placement.layer_device[block])
        key = f"{name} on {home}"
        if key not in self._weights:
            ne, size = self._table[name]
            made = Tensor("none", ne, op.strides(ne, F32), size)
            made.home, made.is_weight = home, True
            self._weights[key] = made
        return self._weights[key]

    def tied_output(self) -> Tensor:
        """The matrix of the last layer: its own, or a second copy of the embedding."""
        if self.has("output.weight"):
            return self.weight("output.weight")
        ne, size = self._table["token_embd.weight"]
        made = Tensor("none", ne, op.strides(ne, F32), size)
        made.home, made.is_weight = self.home(self.placement.output), True
        return made

    def header(self, key: str) -> MetadataValue | None:
        return self._shape.get(key)

    def maybe(self, name: str) -> Tensor | None:
        return self.weight(name) if name in self._table else None

    @property
    def extra_vectors(self) -> int:
        """How many first blocks get vectors of an image added to their output."""
        return self.hparams.image_layers

    def given(self, name: str, *ne: int, element: int = F32) -> Tensor:
        """An input of the graph."""
        found = self._inputs.get(name)
        if found is None:
            full = dims(*ne)
            nb = op.strides(full, element)
            found = Tensor("none", full, nb, nb[3] * full[3])
            found.is_input = True
            self._inputs[name] = found
        return found

    def positions(self) -> Tensor:
        """One number a token; four where rotations are split into time, height and width."""
        return self.given("positions", self.tokens * (4 if self._has_sections() else 1), element=I32)

    def _has_sections(self) -> bool:
        """Source: ``llama_hparams::n_pos_per_embd`` and ``use_mrope``."""
        sections = self.header("rope.dimension_sections")
        return isinstance(sections, tuple) and len(sections) > 1 and bool(sections[0] and sections[1])

    def state_rows(self) -> tuple[Tensor, Tensor]:
        """Which states belong to this batch's sequences, and all but the first, for those that may move;
        views that all share. Source: ``llm_graph_context::build_rs_inp_impl``."""
        count = self.run.sequences
        if "own states" not in self._inputs:
            ids = self.given("state rows", count, element=I32)
            self._inputs["own states"] = op.view(ids, dims(count))
            self._inputs["other states"] = op.view(ids, dims(count - 1))
        return self._inputs["own states"], self._inputs["other states"]

    def output_rows(self) -> Tensor:
        return self.given("output rows", self.outputs, element=I32)

    def cell_ids(self, which: str, windowed: str) -> Tensor:
        """Where new keys and values go: a cell for each token, or for each value of a transposed V."""
        count = self.tokens
        if which == "v" and self.run.values_transposed:
            count *= max(layer.value_dim * layer.kv_heads for layer in self.hparams.layers)
        return self.given(f"{which} cells{windowed}", count, element=I64)

    def mask(self, layer: Layer) -> Tensor:
        windowed = " window" if layer.window else ""
        cells = kv_cache.cells(layer, self.hparams, self.run)
        streams = self.run.streams
        element = F16 if self.run.flash_attention else F32
        return self.given(f"mask{windowed}", cells, self.tokens // streams, 1, streams, element=element)

    def rotation(self, which: str, layer: Layer) -> Tensor | None:
        """A Hadamard matrix that spreads outliers before K or V are quantized, where all layers of one
        cache, of windows or of the whole context, have heads of one size.

        Source: ``attn_rot_k`` and ``attn_rot_v`` of ``llama_kv_cache``."""
        name = self.run.cache_type_k if which == "k" else self.run.cache_type_v
        heads = {
            one.key_dim if which == "k" else one.value_dim
            for one in self.hparams.layers
            if one.has_kv and bool(one.window) == bool(layer.window)
        }
        width = layer.key_dim if which == "k" else layer.value_dim
        absent = which == "v" and self.hparams.is_mla
        if BY_NAME[name].block == 1 or len(heads) != 1 or width % 64 or absent:
            return None
        side = 64
        while which == "k" and width % (2 * side) == 0:
            side *= 2
        windowed = " window" if layer.window else ""
        return self.given(f"{which} rotation{windowed}", side, side)

    def cache(self, which: str, block: int) -> Tensor:
        """The whole K or V tensor of a block, where it stands."""
        name = f"{which}{block}"
        found = self._caches.get(name)
        if found is None:
            layer = self.hparams.layers[block]
            width = (layer.key_dim if which == "k" else layer.value_dim) * layer.kv_heads
            ne = dims(width, kv_cache.cells(layer, self.hparams, self.run), self.run.streams)
            name_of_type = self.run.cache_type_k if which == "k" else self.run.cache_type_v
            found = self._at_home(
                ne, block, max(1, BY_NAME[name_of_type].block_bytes // BY_NAME[name_of_type].block)
            )
            self._caches[name] = found
        return found

    def state(self, which: str, block: int) -> Tensor:
        """The recurrent rows of a block, one for each sequence."""
        name = f"{which}{block}"
        found = self._caches.get(name)
        if found is None:
            layer = self.hparams.layers[block]
            width = layer.recurrent_r if which == "r" else layer.recurrent_s
            found = self._at_home(dims(width, self.run.sequences), block)
            self._caches[name] = found
        return found

    def _at_home(self, ne: op.Dims, block: int, element: int = F32) -> Tensor:
        made = Tensor("none", ne, op.strides(ne, element), 0)
        made.home = self.home(self.layer_device(block))
        return made

    def layer_device(self, block: int) -> int:
        return self.placement.layer_device[block] if self.run.kv_offload else HOST_ID

    @property
    def full_offload(self) -> bool:
        return self.run.gpu_layers > len(self.hparams.layers) or self.run.gpu_layers == ALL_LAYERS

    def norm(self, source: Tensor, name: str, block: int | None) -> Tensor:
        """RMS norm, kept on its layer's device so that the next layer's does not take it."""
        normed = op.like("norm" if self.recipe.centred else "rms_norm", source)
        weight = self.maybe(name) or self.maybe(name.removesuffix(".weight"))
        if weight is None:
            return normed
        if block is not None and self.run.pinned and (self.full_offload or self.tokens < 32):
            normed.pinned = self.home(self.placement.layer_device[block])
        made = op.like("mul", normed, weight)
        bias = self.maybe(name.removesuffix(".weight") + ".bias")
        return made if bias is None else op.like("add", made, bias)

    def linear(self, source: Tensor, name: str) -> Tensor:
        """Matrix, and its bias where the file has one."""
        made = op.mul_mat(self.weight(f"{name}.weight"), source)
        bias = self.maybe(f"{name}.bias")
        return made if bias is None else op.like("add", made, bias)


def table(shape: ModelShape) -> Mapping[str, tuple[op.Dims, int]]:
    return {one.name: (dims(*one.shape), one.size_bytes) for one in shape.tensors}
