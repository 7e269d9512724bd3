"""How many bytes of buffer a graph needs on each back end: ggml's graph allocator, address by address.

Source: ggml ``ggml-alloc.c``: best fit among free blocks, the last block grows; sources are reused in
place where the layout is the same and nobody else needs them.
"""

from collections.abc import Sequence

from planner.llama_cpp.graph.tensor import IN_PLACE, Tensor

ENDLESS = 1 << 62


class Heap:
    """One buffer that grows; offsets only. ``most`` is the highest byte ever used."""

    def __init__(self, alignment: int) -> None:
        self.alignment = alignment
        self.most = 0
        self._offsets = [0]
        self._sizes = [ENDLESS]

    def aligned(self, size: int) -> int:
        return -(-size // self.alignment) * self.alignment

    def take(self, size: int) -> int:
        size = self.aligned(size)
        best, best_size = -1, ENDLESS
        sizes = self._sizes
        for index in range(len(sizes) - 1):
            if size <= sizes[index] <= best_size:
                best, best_size = index, sizes[index]
        if best < 0:
            best = len(sizes) - 1
        offset = self._offsets[best]
        self._offsets[best] += size
        sizes[best] -= size
        if sizes[best] == 0:
            del self._offsets[best], sizes[best]
        self.most = max(self.most, offset + size)
        return offset

    def give(self, offset: int, size: int) -> None:
        """Joined with the first free block that touches it. What is empty leaves an empty block behind,
        which later keeps its neighbours apart: the engine's buffers grow by that, so ours do."""
        size = self.aligned(size)
        offsets, sizes = self._offsets, self._sizes
        for index, (start, free) in enumerate(zip(offsets, sizes, strict=True)):
            if start + free == offset:
                sizes[index] += size
                self._join(index)
                return
            if offset + size == start:
                offsets[index] = offset
                sizes[index] += size
                if index:
                    self._join(index - 1)
                return
        at = next((index for index, start in enumerate(offsets) if start >= offset), len(offsets))
        offsets.insert(at, offset)
        sizes.insert(at, size)

    def _join(self, index: int) -> None:
        offsets, sizes = self._offsets, self._sizes
        if index + 1 < len(offsets) and offsets[index] + sizes[index] == offsets[index + 1]:
            sizes[index] += sizes[index + 1]
            del offsets[index + 1], sizes[index + 1]


class Record:
    """What the allocator knows of one tensor."""

    __slots__ = ("buffer", "children", "offset", "owned", "size", "views")

    def __init__(self) -> None:
        self.children = 0
        self.views = 0
        self.buffer = -1
        self.offset = 0
        self.owned = False
        self.size = 0


class Allocator:
    """``places``: the back end of each node and leaf, in their order."""

    def __init__(self, alignments: Sequence[int]) -> None:
        self.heaps = [Heap(alignment) for alignment in alignments]
        self._records: dict[int, Record] = {}

    def sizes(
        self,
        nodes: Sequence[Tensor],
        node_places: Sequence[int],
        leaves: Sequence[Tensor],
        leaf_places: Sequence[int],
    ) -> list[int]:
        """Bytes per back end."""
        for leaf, place in zip(leaves, leaf_places, strict=True):
            self._allocate(leaf, place)
        self._count(nodes, node_places)
        for node, place in zip(nodes, node_places, strict=True):
            for source in node.srcs:
                self._allocate(source, place)
            self._allocate(node, place)
            for source in node.srcs:
                self._release(source)
        return [heap.most for heap in self.heaps]

    def _of(self, tensor: Tensor) -> Record:
        record = self._records.get(id(tensor))
        if record is None:
            record = self._records[id(tensor)] = Record()
        return record

    def _count(self, nodes: Sequence[Tensor], places: Sequence[int]) -> None:
        for node, place in zip(nodes, places, strict=True):
            if node.root is not None and node.op != "none":
                self._of(node.root).views += 1
            if node.is_input:
                self._allocate(node, place)
            for source in node.srcs:
                self._of(source).children += 1
                if source.is_input:
                    self._allocate(source, place)

    def _allocate(self, tensor: Tensor, place: int) -> None:
        if tensor.root is not None or tensor.home is not None:
            return
        record = self._of(tensor)
        if record.owned or record.buffer >= 0:
            return
        record.owned = True
        record.size = tensor.size
        if tensor.op in IN_PLACE and self._in_place(tensor, record):
            return
        record.buffer = place
        record.offset = self.heaps[place].take(tensor.size)

    def _in_place(self, tensor: Tensor, record: Record) -> bool:
        for source in tensor.srcs:
            if source.root is not None or source.is_output:
                continue
            parent = self._of(source)
            if not parent.owned or parent.children != 1 or parent.views:
                continue
            if source.ne != tensor.ne or source.nb != tensor.nb:
                continue
            record.buffer, record.offset = parent.buffer, parent.offset
            parent.owned = False
            return True
        return False

    def _release(self, source: Tensor) -> None:
        record = self._of(source)
        record.children -= 1
        if record.children or record.views:
            return
        if source.root is not None:
            root = self._of(source.root)
            root.views -= 1
            if not root.views and not root.children and root.owned:
                self._free(source.root, root)
        elif record.owned:
            self._free(source, record)

    def _free(self, tensor: Tensor, record: Record) -> None:
        if tensor.is_output:
            return
        self.heaps[record.buffer].give(record.offset, record.size)
        record.owned = False
