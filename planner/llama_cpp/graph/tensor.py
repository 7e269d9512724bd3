"""Tensors of a compute graph and the operations that make them, as ggml sizes them.

Source: ggml ``ggml.c``: an operation's result is contiguous unless it is a view; a view of a view has the
root of the first; nodes are ordered depth first, sources from left to right."""

from collections.abc import Iterable, Sequence

Dims = tuple[int, int, int, int]

F32, F16, I32, I64 = 4, 2, 4, 8

VIEW_OPS = frozenset({"view", "reshape", "permute", "transpose"})
# Operations that may write over a source that nothing else needs. Source: ``ggml_op_can_inplace``.
IN_PLACE = frozenset(
    {"fill", "scale", "add", "add_id", "sub", "mul", "div", "sqr", "sqrt", "unary", "rope", "rms_norm"}
    | {"clamp", "soft_max"}
)
# Operations whose back end no weight among the sources decides: RoPE factors and sinks are too small.
NOT_BY_WEIGHT = frozenset({"rope", "flash_attn"})


class Tensor:
    """``ne``: elements per dimension; ``nb``: strides in bytes; ``size``: bytes; ``root``: the tensor that a
    view looks into. ``resident_on``: the back end that already holds a weight or cache (the host is the
    last). ``pinned``: a back end that was set explicitly. ``element_bytes``: bytes of one value. Of the
    allocator: ``children`` and ``views`` that still need it, its ``heap``, ``offset`` there, ``is_owned``."""

    __slots__ = (
        "backend",
        "children",
        "element_bytes",
        "heap",
        "is_input",
        "is_output",
        "is_owned",
        "is_weight",
        "nb",
        "ne",
        "offset",
        "op",
        "pinned",
        "resident_on",
        "root",
        "size",
        "srcs",
        "views",
    )

    def __init__(
        self,
        op: str,
        ne: Dims,
        nb: Dims,
        size: int,
        srcs: "Sequence[Tensor]" = (),
        root: "Tensor | None" = None,
    ) -> None:
        self.op = op
        self.ne = ne
        self.nb = nb
        self.size = size
        self.srcs = list(srcs)
        self.element_bytes: int = root.element_bytes if root is not None else nb[0]
        self.root: Tensor | None = None if root is None else root.root or root
        self.resident_on: int | None = None
        self.is_weight = False
        self.is_input = False
        self.is_output = False
        self.pinned: int | None = None
        self.backend = -1
        self.children = self.views = self.offset = 0
        self.heap = -1
        self.is_owned = False

    @property
    def is_contiguous(self) -> bool:
        return self.nb == strides(self.ne, self.element_bytes)


def strides(ne: Dims, element_bytes: int) -> Dims:
    a = element_bytes * ne[0]
    b = a * ne[1]
    return (element_bytes, a, b, b * ne[2])


def dims(*ne: int) -> Dims:
    """A scalar has none: ggml counts it as one value."""
    a, b, c, d = (*ne, 1, 1, 1, 1)[:4]
    return (a, b, c, d)


def new(op: str, ne: Dims, srcs: Sequence[Tensor] = (), element_bytes: int = F32) -> Tensor:
    """A contiguous result."""
    nb = strides(ne, element_bytes)
    return Tensor(op, ne, nb, nb[3] * ne[3], srcs)


def like(op: str, source: Tensor, *others: Tensor) -> Tensor:
    """A contiguous result with the dimensions of its first source."""
    return new(op, source.ne, (source, *others), source.element_bytes)


def view(source: Tensor, ne: Dims, nb: Dims | None = None, op: str = "view") -> Tensor:
    nb = nb or strides(ne, source.element_bytes)
    (a, b, c, d), (step_a, step_b, step_c, step_d) = ne, nb
    last = (a - 1) * step_a + (b - 1) * step_b + (c - 1) * step_c + (d - 1) * step_d
    size = max(source.element_bytes + last, 0) if min(ne) > 0 else 0
    return Tensor(op, ne, nb, size, (source,), source)


def reshape(source: Tensor, *ne: int) -> Tensor:
    return view(source, dims(*ne), op="reshape")


def permute(source: Tensor, *order: int) -> Tensor:
    """``order[i]`` is the place that dimension ``i`` moves to, as in ggml."""
    ne, nb = [0] * 4, [0] * 4
    for source_dim, target in enumerate(order):
        ne[target], nb[target] = source.ne[source_dim], source.nb[source_dim]
    permuted = view(source, dims(*ne), dims(*nb), op="permute")
    permuted.size = source.size
    return permuted


def transpose(source: Tensor) -> Tensor:
    permuted = permute(source, 1, 0, 2, 3)
    permuted.op = "transpose"
    return permuted


def cont(source: Tensor, *ne: int) -> Tensor:
    return new("cont", dims(*ne) if ne else source.ne, (source,), source.element_bytes)


def mul_mat(weight: Tensor, source: Tensor) -> Tensor:
    return new("mul_mat", (weight.ne[1], source.ne[1], source.ne[2], source.ne[3]), (weight, source))


def mul_mat_id(weight: Tensor, source: Tensor, ids: Tensor) -> Tensor:
    return new("mul_mat_id", (weight.ne[1], ids.ne[0], source.ne[2], 1), (weight, source, ids))


def get_rows(table: Tensor, rows: Tensor) -> Tensor:
    return new("get_rows", (table.ne[0], rows.ne[0], rows.ne[1], rows.ne[2]), (table, rows))


def set_rows(target: Tensor, rows: Tensor, ids: Tensor) -> Tensor:
    """Writes into ``target``; the result is a view of it."""
    result = view(target, target.ne, target.nb, op="set_rows")
    result.srcs = [rows, ids, target]
    return result


def copy_into(source: Tensor, target: Tensor) -> Tensor:
    result = view(target, target.ne, target.nb, op="cpy")
    result.srcs = [source, target]
    return result


def concat(first: Tensor, second: Tensor, axis: int) -> Tensor:
    ne = list(first.ne)
    ne[axis] += second.ne[axis]
    return new("concat", dims(*ne), (first, second), first.element_bytes)


class Graph:
    """Nodes and leaves in the order in which the engine visits them."""

    def __init__(self) -> None:
        self.nodes: list[Tensor] = []
        self.leaves: list[Tensor] = []
        self._seen: set[int] = set()

    def expand(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            self._visit(tensor)

    def _visit(self, tensor: Tensor) -> None:
        """Depth first, without recursion: a model's residual is thousands of nodes deep."""
        stack: list[tuple[Tensor, Iterable[Tensor]]] = []
        if id(tensor) in self._seen:
            return
        self._seen.add(id(tensor))
        stack.append((tensor, iter(tensor.srcs)))
        while stack:
            current, sources = stack[-1]
            for source in sources:
                if id(source) not in self._seen:
                    self._seen.add(id(source))
                    stack.append((source, iter(source.srcs)))
                    break
            else:
                stack.pop()
                (self.leaves if current.op == "none" else self.nodes).append(current)
