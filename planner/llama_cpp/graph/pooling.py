"""Builds what makes one vector or score of a text's vectors.

Source: llama.cpp ``build_pooling`` in ``src/llama-graph.cpp``.
"""

from domain.models.kinds import Pooling
from planner.llama_cpp.graph import tensor as op
from planner.llama_cpp.graph.builder import GraphBuilder
from planner.llama_cpp.graph.tensor import I32, Tensor


def pool(builder: GraphBuilder, vectors: Tensor) -> None:
    """Adds it to the graph, if the server is one of vectors or scores."""
    if builder.cparams.is_pooled:
        cur = _pooled(builder, vectors)
        cur.is_output = True
        builder.graph.expand(cur)


def _pooled(builder: GraphBuilder, source: Tensor) -> Tensor:
    """A vector for each text, or its score."""
    pooling, sequences = builder.header("pooling_type"), builder.cparams.sequences
    if pooling == Pooling.MEAN:
        mean = builder.graph_input("mean", source.ne[1], sequences)
        return op.mul_mat(op.cont(op.transpose(source)), mean)
    if pooling not in (Pooling.CLS, Pooling.LAST, Pooling.RANK):
        return source
    cur = op.get_rows(source, builder.graph_input("cls", sequences, element_bytes=I32))
    if pooling != Pooling.RANK:
        return cur
    if builder.has("cls.weight"):
        cur = op.like("unary", builder.linear(cur, "cls"))
        cur = builder.norm(cur, "cls.norm.weight", None) if builder.has("cls.norm.weight") else cur
    return builder.linear(cur, "cls.output") if builder.has("cls.output.weight") else cur
