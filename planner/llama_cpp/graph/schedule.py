"""ggml's scheduler: the back end that computes each node, and what is copied between back ends.

Source: ggml ``ggml-backend.cpp``, ``ggml_backend_sched_split_graph`` pass 1 to 6. All back ends are taken to
compute all operations; the last is the CPU, whose buffers only it reads.
"""

from dataclasses import dataclass, field

from planner.llama_cpp.graph.allocate import Allocator
from planner.llama_cpp.graph.tensor import NOT_BY_WEIGHT, VIEW_OPS, Graph, Tensor, view

PIPELINE_COPIES = 4  # GGML_SCHED_MAX_COPIES
MIN_OFFLOAD_ROWS = 32  # host weights are copied to a GPU for at least as many rows


@dataclass
class Split:
    """Consecutive nodes on one back end, and their inputs from other back ends."""

    backend: int
    nodes: list[Tensor] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)


class Scheduler:
    """``takes_host_weights``: per back end, whether it computes operations on host weights."""

    def __init__(
        self, alignments: list[int], takes_host_weights: list[bool], *, pipeline_copies: int = 1
    ) -> None:
        self.alignments = alignments
        self.takes_host_weights = takes_host_weights
        self.pipeline_copies = pipeline_copies
        self.cpu = len(alignments) - 1
        self._input_copies: dict[tuple[int, int], list[Tensor]] = {}

    def buffer_sizes(self, graph: Graph) -> list[int]:
        """Bytes per back end. Replaces sources of nodes by copies, so a graph can be used only once."""
        self.assign(graph)
        splits = self._splits(graph)
        inputs = self._graph_inputs(graph) if self.pipeline_copies > 1 else []
        nodes, node_backends = self._with_inputs(splits)
        leaves, leaf_backends = self._leaves(graph, splits, inputs)
        return Allocator(self.alignments).sizes(nodes, node_backends, leaves, leaf_backends)

    def assign(self, graph: Graph) -> None:
        """Assigns a back end to each tensor."""
        for tensor in (*graph.leaves, *graph.nodes):
            tensor.backend = tensor.pinned if tensor.pinned is not None else self._initial_backend(tensor)
        computing_nodes = [node for node in graph.nodes if node.op not in VIEW_OPS]
        self._expand(computing_nodes, skip_cpu=True)
        self._expand(computing_nodes[::-1], skip_cpu=True)
        self._expand(computing_nodes, skip_cpu=False)
        self._expand(computing_nodes[::-1], skip_cpu=False)
        for node in graph.nodes:
            if node.root is not None and node.backend < 0:
                node.backend = node.root.backend
            for source in node.srcs:
                if source.backend < 0:
                    source.backend = source.root.backend if source.root is not None else node.backend
            node.backend = max(node.backend, 0)

    def _initial_backend(self, tensor: Tensor) -> int:
        """The back end that holds the tensor, its root or one of its weights; -1 if none does."""
        owner = tensor.root or tensor
        if owner.resident_on is not None:
            return owner.resident_on
        if tensor.is_input:
            return self.cpu
        if tensor.op in NOT_BY_WEIGHT:
            return -1
        for source in tensor.srcs:
            if source.is_weight and source.resident_on is not None:
                return self._offload_backend(tensor) if source.resident_on == self.cpu else source.resident_on
        return -1

    def _offload_backend(self, tensor: Tensor) -> int:
        if batch_rows(tensor) >= MIN_OFFLOAD_ROWS:
            for backend in range(self.cpu):
                if self.takes_host_weights[backend]:
                    return backend
        return self.cpu

    def _expand(self, nodes: list[Tensor], *, skip_cpu: bool) -> None:
        backend = -1
        for node in nodes:
            if node.backend >= 0:
                backend = -1 if skip_cpu and node.backend == self.cpu else node.backend
            elif backend >= 0:
                node.backend = backend

    def _splits(self, graph: Graph) -> list[Split]:
        first = next((node.backend for node in graph.nodes if node.op not in VIEW_OPS), self.cpu)
        splits = [Split(first)]
        has_nodes = False
        for node in graph.nodes:
            if node.op in VIEW_OPS:
                splits[-1].nodes.append(node)
                continue
            split = splits[-1]
            if has_nodes and (node.backend != split.backend or self._needs_new_split(node, split)):
                split = Split(node.backend)
                splits.append(split)
            has_nodes = True
            split.nodes.append(node)
            self._copy_inputs(node, split)
        return splits

    def _needs_new_split(self, node: Tensor, split: Split) -> bool:
        """A weight of another back end starts a new split, so that the previous one can be freed."""
        return bool(split.inputs) and any(
            source.is_weight and source.backend != split.backend for source in node.srcs
        )

    def _copy_inputs(self, node: Tensor, split: Split) -> None:
        for index, source in enumerate(node.srcs):
            if source.backend == split.backend:
                continue
            key = (id(source), split.backend)
            if key not in self._input_copies:
                self._input_copies[key] = [self._copy(source) for _ in range(self.pipeline_copies)]
                split.inputs.append(source)
            node.srcs[index] = self._input_copies[key][0]

    def _copy(self, source: Tensor) -> Tensor:
        copy = Tensor("none", source.ne, source.nb, source.size)
        copy.is_input = copy.is_output = self.pipeline_copies > 1
        return copy

    def _graph_inputs(self, graph: Graph) -> list[Tensor]:
        """With pipelining each input has several copies on its own back end."""
        inputs = [leaf for leaf in graph.leaves if leaf.is_input]
        for leaf in inputs:
            leaf.is_output = True
            key = (id(leaf), leaf.backend)
            if key not in self._input_copies:
                self._input_copies[key] = [leaf, *(self._copy(leaf) for _ in range(self.pipeline_copies - 1))]
        return inputs

    def _with_inputs(self, splits: list[Split]) -> tuple[list[Tensor], list[int]]:
        nodes: list[Tensor] = []
        backends: list[int] = []
        for split in splits:
            for source in split.inputs:
                view_of_source = view(source, source.ne, source.nb, op="none")
                nodes += [view_of_source, self._input_copies[id(source), split.backend][0]]
                backends += [source.backend, split.backend]
            nodes += split.nodes
            backends += [node.backend for node in split.nodes]
        return nodes, backends

    def _leaves(
        self, graph: Graph, splits: list[Split], inputs: list[Tensor]
    ) -> tuple[list[Tensor], list[int]]:
        leaves: list[Tensor] = []
        backends: list[int] = []
        for leaf in inputs:
            leaves += self._input_copies[id(leaf), leaf.backend]
            backends += [leaf.backend] * self.pipeline_copies
        if self.pipeline_copies > 1:
            for split in splits:
                for source in split.inputs:
                    leaves += self._input_copies[id(source), split.backend]
                    backends += [split.backend] * self.pipeline_copies
        leaves += graph.leaves
        backends += [leaf.backend for leaf in graph.leaves]
        return leaves, backends


def batch_rows(tensor: Tensor) -> int:
    """The batch size of one operation. Source: ``get_op_batch_size`` of ggml-cuda."""
    if tensor.op == "get_rows":
        return 0
    if tensor.op == "mul_mat":
        return tensor.ne[1]
    if tensor.op == "mul_mat_id":
        return tensor.ne[2]
    return tensor.ne[1] * tensor.ne[2] * tensor.ne[3]
