"""A model's shape rebuilt from catalogue facts, for planning while no header can be read."""

from collections.abc import Mapping

from catalog.synthetic.quant_recipes import Mix, fitting, is_kept, mix_of, type_of
from catalog.synthetic.tensor_layouts import FAMILIES, rows
from domain.catalogue_types import KnownModel, KnownQuant
from domain.errors import BadModelError
from domain.ggml import BY_NAME
from domain.model import MetadataValue, ModelShape, Tensor

# A vocabulary entry in a header: 8 bytes of length, about 7 of text, 4 of type, often 4 of score or a merge.
TOKEN_BYTES = 24
MERGE_BYTES = 16
NOT_IN_HEADERS = frozenset(
    {"tied_embeddings", "rope_freqs", "qk_norm", "no_balance_bias", "nextn_shares_tables"}
)
# As near to the published size, the mix is taken for what the quantizer really did.
NEAR_ENOUGH = 0.003
# Types as wide as one that stands on the ladder.
RUNGS = {"IQ3_S": "Q3_K", "IQ4_NL": "Q4_K", "Q4_0": "Q4_K", "BF16": "F16"}
# Types from small to large, one step apart, for rows of 256-value blocks and for all others.
LADDERS = (
    (
        "IQ1_S",
        "IQ1_M",
        "IQ2_XXS",
        "IQ2_XS",
        "IQ2_S",
        "Q2_K",
        "IQ3_XXS",
        "Q3_K",
        "IQ4_XS",
        "Q4_K",
        "Q5_K",
        "Q6_K",
        "Q8_0",
        "F16",
    ),
    ("IQ4_NL", "Q5_0", "Q5_1", "Q8_0", "F16"),
)


def shape_of(model: KnownModel, quant: KnownQuant) -> ModelShape:
    """The tensor table of ``quant``: the quantizer's mix, moved along the ladder of types until it
    takes the published bytes. Raises: BadModelError where the catalogue has no facts of the model."""
    mix = mix_of(quant.quant, model.architecture)
    try:
        tensors = table(model.architecture, model.shape, mix)
    except KeyError as error:
        raise BadModelError(
            f"the catalogue does not know enough of {model.alias} to plan without its header: no {error}",
            hint="go online, or name a file on this disk",
        ) from error
    return ModelShape(
        architecture=model.architecture,
        tensors=_adjusted(tensors, quant.size_bytes, header_bytes(model)),
        file_bytes=quant.size_bytes,
        metadata=header(model.architecture, model.shape, title=model.title),
        array_lengths={"tokenizer.ggml.tokens": _vocabulary(model)},
    )


def header_bytes(model: KnownModel) -> int:
    """About how long the header is: nearly all of it is the vocabulary."""
    has_merges = FAMILIES[model.architecture].merges
    return _vocabulary(model) * (TOKEN_BYTES + (MERGE_BYTES if has_merges else 0))


def _vocabulary(model: KnownModel) -> int:
    count = model.shape["vocab_size"]
    return count if isinstance(count, int) else 0


def table(architecture: str, facts: Mapping[str, MetadataValue], mix: Mix) -> tuple[Tensor, ...]:
    """Every tensor of an architecture with these header facts in this mix. Raises: KeyError."""
    tied = bool(facts.get("tied_embeddings"))
    blocks = facts["block_count"]
    if not isinstance(blocks, int):
        raise KeyError("block_count")
    return tuple(
        sized(name, dims, type_of(name, dims, mix, blocks=blocks, tied=tied))
        for name, dims in rows(architecture, facts)
    )


def header(architecture: str, facts: Mapping[str, MetadataValue], *, title: str) -> dict[str, MetadataValue]:
    """The metadata of a file with these facts."""
    keys = {f"{architecture}.{key}": value for key, value in facts.items() if key not in NOT_IN_HEADERS}
    return {"general.architecture": architecture, "general.name": title, **keys}


def sized(name: str, dims: tuple[int, ...], kind: str) -> Tensor:
    """A tensor of this ggml type, with its bytes."""
    rows_in_all = 1
    for dim in dims[1:]:
        rows_in_all *= dim
    return Tensor(name, kind, dims, BY_NAME[kind].row_bytes(dims[0]) * rows_in_all)


def _adjusted(tensors: tuple[Tensor, ...], published_bytes: int, head_bytes: int) -> tuple[Tensor, ...]:
    """The table with tensors moved one type up or down, front to back, until no move comes nearer.
    Some publishers count the header into a size and some do not."""
    result = list(tensors)
    gap_bytes = published_bytes - head_bytes - sum(tensor.size_bytes for tensor in result)
    if min(abs(gap_bytes), abs(gap_bytes + head_bytes)) < NEAR_ENOUGH * published_bytes:
        return tensors
    moved = True
    while moved:
        moved = False
        for index, tensor in enumerate(result):
            other = _neighbour(tensor, up=gap_bytes > 0)
            if other is None or other.type == tensor.type:
                continue
            step_bytes = other.size_bytes - tensor.size_bytes
            if abs(gap_bytes - step_bytes) < abs(gap_bytes):
                result[index] = other
                gap_bytes -= step_bytes
                moved = True
    return tuple(result)


def _neighbour(tensor: Tensor, *, up: bool) -> Tensor | None:
    if is_kept(tensor.name, tensor.shape) or tensor.type == "MXFP4":
        return None
    wide = tensor.shape[0] % 256 == 0
    rung = RUNGS.get(tensor.type, tensor.type) if wide else tensor.type
    for ladder in LADDERS if wide else LADDERS[1:]:
        if rung in ladder:
            place = ladder.index(rung) + (1 if up else -1)
            if 0 <= place < len(ladder):
                kind = fitting(ladder[place], tensor.shape[0], mix_of("Q8_0", ""))
                return sized(tensor.name, tensor.shape, kind)
    return None
