"""Bytes of buffer that a graph needs on each back end: ggml's graph allocator, address by address.

Source: ggml ``ggml-alloc.c``: best fit among free blocks, the last block grows; an operation writes over a
source of the same layout that nothing else needs."""

from collections.abc import Sequence

from planner.llama_cpp.graph.tensor import IN_PLACE, Tensor

UNLIMITED = 1 << 62


class Heap:
    """A buffer that grows, as offsets only. ``peak_bytes`` is the highest byte ever used."""

    def __init__(self, alignment_bytes: int) -> None:
        self.alignment_bytes = alignment_bytes
        self.peak_bytes = 0
        self._offsets = [0]
        self._sizes = [UNLIMITED]

    def aligned(self, size: int) -> int:
        return -(-size // self.alignment_bytes) * self.alignment_bytes

    def allocate(self, size: int) -> int:
        size = self.aligned(size)
        best_block, best_size = -1, UNLIMITED
        sizes = self._sizes
        for index in range(len(sizes) - 1):
            if size <= sizes[index] <= best_size:
                best_block, best_size = index, sizes[index]
        if best_block < 0:
            best_block = len(sizes) - 1
        offset = self._offsets[best_block]
        self._offsets[best_block] += size
        sizes[best_block] -= size
        if sizes[best_block] == 0:
            del self._offsets[best_block], sizes[best_block]
        self.peak_bytes = max(self.peak_bytes, offset + size)
        return offset

    def free(self, offset: int, size: int) -> None:
        """Joins the block with the first adjacent free block. A block of size 0 stays and keeps its
        neighbours apart; the engine does the same, and its buffers grow by that."""
        size = self.aligned(size)
        offsets, sizes = self._offsets, self._sizes
        for index, (start, free_size) in enumerate(zip(offsets, sizes, strict=True)):
            if start + free_size == offset:
                sizes[index] += size
                self._join(index)
                return
            if offset + size == start:
                offsets[index] = offset
                sizes[index] += size
                if index:
                    self._join(index - 1)
                return
        insert_at = next((index for index, start in enumerate(offsets) if start >= offset), len(offsets))
        offsets.insert(insert_at, offset)
        sizes.insert(insert_at, size)

    def _join(self, index: int) -> None:
        offsets, sizes = self._offsets, self._sizes
        if index + 1 < len(offsets) and offsets[index] + sizes[index] == offsets[index + 1]:
            sizes[index] += sizes[index + 1]
            del offsets[index + 1], sizes[index + 1]


class Allocator:
    """Allocates all tensors of a graph in the engine's order, one heap per back end. Its state of each tensor
    is in the tensor itself: a graph is allocated once."""

    def __init__(self, alignments: Sequence[int]) -> None:
        self.heaps = [Heap(alignment) for alignment in alignments]

    def sizes(
        self,
        nodes: Sequence[Tensor],
        node_backends: Sequence[int],
        leaves: Sequence[Tensor],
        leaf_backends: Sequence[int],
    ) -> list[int]:
        """Bytes per back end. ``node_backends`` and ``leaf_backends``: in the order of nodes and leaves."""
        for leaf, backend in zip(leaves, leaf_backends, strict=True):
            self._allocate(leaf, backend)
        self._count_references(nodes, node_backends)
        for node, backend in zip(nodes, node_backends, strict=True):
            for source in node.srcs:
                self._allocate(source, backend)
            self._allocate(node, backend)
            for source in node.srcs:
                self._release(source)
        return [heap.peak_bytes for heap in self.heaps]

    def _count_references(self, nodes: Sequence[Tensor], backends: Sequence[int]) -> None:
        for node, backend in zip(nodes, backends, strict=True):
            if node.root is not None and node.op != "none":
                node.root.views += 1
            if node.is_input:
                self._allocate(node, backend)
            for source in node.srcs:
                source.children += 1
                if source.is_input:
                    self._allocate(source, backend)

    def _allocate(self, tensor: Tensor, backend: int) -> None:
        if tensor.is_owned or tensor.heap >= 0 or tensor.root is not None or tensor.resident_on is not None:
            return
        tensor.is_owned = True
        if tensor.op in IN_PLACE and _in_place(tensor):
            return
        tensor.heap = backend
        tensor.offset = self.heaps[backend].allocate(tensor.size)

    def _release(self, source: Tensor) -> None:
        source.children -= 1
        if source.children or source.views:
            return
        root = source.root
        if root is not None:
            root.views -= 1
            if not root.views and not root.children and root.is_owned:
                self._free(root)
        elif source.is_owned:
            self._free(source)

    def _free(self, tensor: Tensor) -> None:
        if tensor.is_output:
            return
        self.heaps[tensor.heap].free(tensor.offset, tensor.size)
        tensor.is_owned = False


def _in_place(tensor: Tensor) -> bool:
    """Whether it takes the place of a source."""
    for source in tensor.srcs:
        if source.root is not None or source.is_output:
            continue
        if not source.is_owned or source.children != 1 or source.views:
            continue
        if source.ne != tensor.ne or source.nb != tensor.nb:
            continue
        tensor.heap, tensor.offset = source.heap, source.offset
        source.is_owned = False
        return True
    return False
