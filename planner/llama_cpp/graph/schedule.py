"""Which back end computes each node, and what is copied between them: ggml's scheduler.

Source: ggml ``ggml-backend.cpp``, ``ggml_backend_sched_split_graph`` pass 1 to 6. All back ends here
can compute all operations; the last back end is the CPU, whose buffers only it reads.
"""

from dataclasses import dataclass, field

from planner.llama_cpp.graph.allocate import Allocator
from planner.llama_cpp.graph.tensor import NOT_BY_WEIGHT, VIEW_OPS, Graph, Tensor, view

PIPELINE_COPIES = 4  # GGML_SCHED_MAX_COPIES
LEAST_OFFLOAD_BATCH = 32  # rows below which host weights are not copied to a GPU


@dataclass
class Split:
    """A run of nodes on one back end, and what it needs from others."""

    backend: int
    nodes: list[Tensor] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)


class Scheduler:
    """``offloads``: per back end, whether it takes work whose weights stand on the host."""

    def __init__(self, alignments: list[int], offloads: list[bool], *, copies: int = 1) -> None:
        self.alignments = alignments
        self.offloads = offloads
        self.copies = copies
        self.cpu = len(alignments) - 1
        self._copied: dict[tuple[int, int], list[Tensor]] = {}

    def buffer_sizes(self, graph: Graph) -> list[int]:
        """Bytes per back end. Changes the sources of nodes to copies: a graph is used once."""
        self.assign(graph)
        splits = self._splits(graph)
        inputs = self._graph_inputs(graph) if self.copies > 1 else []
        nodes, node_places = self._with_inputs(splits)
        leaves, leaf_places = self._leaves(graph, splits, inputs)
        return Allocator(self.alignments).sizes(nodes, node_places, leaves, leaf_places)

    def assign(self, graph: Graph) -> None:
        """Gives each tensor its back end."""
        for tensor in (*graph.leaves, *graph.nodes):
            tensor.backend = tensor.pinned if tensor.pinned is not None else self._by_place(tensor)
        real = [node for node in graph.nodes if node.op not in VIEW_OPS]
        self._expand(real, skip_cpu=True)
        self._expand(real[::-1], skip_cpu=True)
        self._expand(real, skip_cpu=False)
        self._expand(real[::-1], skip_cpu=False)
        for node in graph.nodes:
            if node.root is not None and node.backend < 0:
                node.backend = node.root.backend
            for source in node.srcs:
                if source.backend < 0:
                    source.backend = source.root.backend if source.root is not None else node.backend
            node.backend = max(node.backend, 0)

    def _by_place(self, tensor: Tensor) -> int:
        """Where a tensor, the cache it looks into, or its weight stands; -1: nowhere yet."""
        base = tensor.root or tensor
        if base.home is not None:
            return base.home
        if tensor.is_input:
            return self.cpu
        if tensor.op in NOT_BY_WEIGHT:
            return -1
        for source in tensor.srcs:
            if source.is_weight and source.home is not None:
                return self._offloaded(tensor) if source.home == self.cpu else source.home
        return -1

    def _offloaded(self, tensor: Tensor) -> int:
        if batch_of(tensor) >= LEAST_OFFLOAD_BATCH:
            for backend in range(self.cpu):
                if self.offloads[backend]:
                    return backend
        return self.cpu

    def _expand(self, nodes: list[Tensor], *, skip_cpu: bool) -> None:
        current = -1
        for node in nodes:
            if node.backend >= 0:
                current = -1 if skip_cpu and node.backend == self.cpu else node.backend
            elif current >= 0:
                node.backend = current

    def _splits(self, graph: Graph) -> list[Split]:
        first = next((node.backend for node in graph.nodes if node.op not in VIEW_OPS), self.cpu)
        splits = [Split(first)]
        started = False
        for node in graph.nodes:
            if node.op in VIEW_OPS:
                splits[-1].nodes.append(node)
                continue
            split = splits[-1]
            if started and (node.backend != split.backend or self._needs_new(node, split)):
                split = Split(node.backend)
                splits.append(split)
            started = True
            split.nodes.append(node)
            self._fetch(node, split)
        return splits

    def _needs_new(self, node: Tensor, split: Split) -> bool:
        """A weight from elsewhere begins a split, so that the one before it can go."""
        return bool(split.inputs) and any(
            source.is_weight and source.backend != split.backend for source in node.srcs
        )

    def _fetch(self, node: Tensor, split: Split) -> None:
        for place, source in enumerate(node.srcs):
            if source.backend == split.backend:
                continue
            key = (id(source), split.backend)
            if key not in self._copied:
                self._copied[key] = [self._copy(source) for _ in range(self.copies)]
                split.inputs.append(source)
            node.srcs[place] = self._copied[key][0]

    def _copy(self, source: Tensor) -> Tensor:
        made = Tensor("none", source.ne, source.nb, source.size)
        made.is_input = made.is_output = self.copies > 1
        return made

    def _graph_inputs(self, graph: Graph) -> list[Tensor]:
        """With pipelining each input stands several times on its own back end."""
        found = [leaf for leaf in graph.leaves if leaf.is_input]
        for leaf in found:
            leaf.is_output = True
            key = (id(leaf), leaf.backend)
            if key not in self._copied:
                self._copied[key] = [leaf, *(self._copy(leaf) for _ in range(self.copies - 1))]
        return found

    def _with_inputs(self, splits: list[Split]) -> tuple[list[Tensor], list[int]]:
        nodes: list[Tensor] = []
        places: list[int] = []
        for split in splits:
            for source in split.inputs:
                kept = view(source, source.ne, source.nb, op="none")
                nodes += [kept, self._copied[id(source), split.backend][0]]
                places += [source.backend, split.backend]
            nodes += split.nodes
            places += [node.backend for node in split.nodes]
        return nodes, places

    def _leaves(
        self, graph: Graph, splits: list[Split], inputs: list[Tensor]
    ) -> tuple[list[Tensor], list[int]]:
        leaves: list[Tensor] = []
        places: list[int] = []
        for leaf in inputs:
            leaves += self._copied[id(leaf), leaf.backend]
            places += [leaf.backend] * self.copies
        if self.copies > 1:
            for split in splits:
                for source in split.inputs:
                    leaves += self._copied[id(source), split.backend]
                    places += [split.backend] * self.copies
        leaves += graph.leaves
        places += [leaf.backend for leaf in graph.leaves]
        return leaves, places


def batch_of(tensor: Tensor) -> int:
    """Rows of one operation. Source: ``get_op_batch_size`` of ggml-cuda."""
    if tensor.op == "get_rows":
        return 0
    if tensor.op == "mul_mat":
        return tensor.ne[1]
    if tensor.op == "mul_mat_id":
        return tensor.ne[2]
    return tensor.ne[1] * tensor.ne[2] * tensor.ne[3]
