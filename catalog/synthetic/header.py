"""A model's shape rebuilt from the catalogue's facts, for planning while its header can't be read."""

from collections.abc import Mapping
from math import prod

from catalog.synthetic.facts import facts_reader
from catalog.synthetic.quant_recipes import Recipe, is_unquantized, recipe_of, type_for_row, type_of
from catalog.synthetic.tensor_layouts import FAMILIES, rows
from domain.errors import BadModelError
from domain.models.catalogue_types import KnownModel, KnownQuant
from domain.models.ggml import BY_NAME
from domain.models.model import MetadataValue, ModelShape, Tensor

# A vocabulary entry in a header: 8 bytes of length, about 7 of text, 4 of type, often 4 of score or a merge.
TOKEN_BYTES = 24
MERGE_BYTES = 16
NOT_IN_HEADERS = frozenset(
    {
        "tied_embeddings",
        "rope_freqs",
        "qk_norm",
        "no_balance_bias",
        "nextn_shares_tables",
        "token_types",
        "classifier",
    }
)
# A recipe that comes this near to the published size is taken for the quantizer's own.
SIZE_TOLERANCE = 0.003
# Types as wide as one of a ladder.
SAME_WIDTH = {"IQ3_S": "Q3_K", "IQ4_NL": "Q4_K", "Q4_0": "Q4_K", "BF16": "F16"}
# Types from small to large: for rows of whole 256-value blocks, then for all others.
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


def shape_of(entry: KnownModel, quant: KnownQuant) -> ModelShape:
    """The tensor table of ``quant`` by the quantizer's recipe, with types adjusted until it has the published
    size, if that is known. Raises: BadModelError if the catalogue has no facts of the model."""
    recipe = recipe_of(quant.quant, entry.architecture)
    try:
        tensors = tensor_table(entry.architecture, entry.shape, recipe)
    except BadModelError as error:
        raise BadModelError(
            f"the catalogue has too few facts of {entry.alias} to plan without its header: {error}",
            hint="try again with a network, or name a file on this disk",
        ) from error
    header_bytes = estimate_header_bytes(entry)
    if quant.size_bytes is not None:
        tensors = adjust_to_size(tensors, quant.size_bytes, header_bytes)
    return ModelShape(
        architecture=entry.architecture,
        tensors=tensors,
        file_bytes=quant.size_bytes or header_bytes + sum(tensor.size_bytes for tensor in tensors),
        metadata=make_metadata(entry.architecture, entry.shape, title=entry.title),
        array_lengths={"tokenizer.ggml.tokens": _vocabulary_size(entry)},
    )


def estimate_header_bytes(entry: KnownModel) -> int:
    """Approximately: nearly all of a header is the vocabulary."""
    has_merges = FAMILIES[entry.architecture].merges
    return _vocabulary_size(entry) * (TOKEN_BYTES + (MERGE_BYTES if has_merges else 0))


def _vocabulary_size(entry: KnownModel) -> int:
    return facts_reader(entry.architecture, entry.shape).count("vocab_size")


def tensor_table(architecture: str, facts: Mapping[str, MetadataValue], recipe: Recipe) -> tuple[Tensor, ...]:
    """Every tensor of an architecture with these header facts. Raises: BadModelError."""
    reader = facts_reader(architecture, facts)
    tied, blocks = reader.flag("tied_embeddings"), reader.count("block_count")
    return tuple(
        make_tensor(name, dims, type_of(name, dims, recipe, blocks=blocks, tied=tied))
        for name, dims in rows(architecture, facts)
    )


def make_metadata(
    architecture: str, facts: Mapping[str, MetadataValue], *, title: str
) -> dict[str, MetadataValue]:
    """The header's keys and values."""
    keys = {f"{architecture}.{key}": value for key, value in facts.items() if key not in NOT_IN_HEADERS}
    return {"general.architecture": architecture, "general.name": title, **keys}


def make_tensor(name: str, dims: tuple[int, ...], kind: str) -> Tensor:
    return Tensor(name, kind, dims, BY_NAME[kind].row_bytes(dims[0]) * prod(dims[1:]))


def adjust_to_size(
    tensors: tuple[Tensor, ...], published_bytes: int, header_bytes: int
) -> tuple[Tensor, ...]:
    """Moves tensors to the next larger or smaller type, front to back, until no move comes nearer to the
    published size. Some publishers include the header in it, some do not."""
    result = list(tensors)
    gap_bytes = published_bytes - header_bytes - sum(tensor.size_bytes for tensor in result)
    if min(abs(gap_bytes), abs(gap_bytes + header_bytes)) < SIZE_TOLERANCE * published_bytes:
        return tensors
    moved = True
    while moved:
        moved = False
        for index, tensor in enumerate(result):
            other = _next_type(tensor, up=gap_bytes > 0)
            if other is None or other.type == tensor.type:
                continue
            step_bytes = other.size_bytes - tensor.size_bytes
            if abs(gap_bytes - step_bytes) < abs(gap_bytes):
                result[index] = other
                gap_bytes -= step_bytes
                moved = True
    return tuple(result)


def _next_type(tensor: Tensor, *, up: bool) -> Tensor | None:
    if is_unquantized(tensor.name, tensor.shape) or tensor.type == "MXFP4":
        return None
    has_whole_blocks = tensor.shape[0] % 256 == 0
    current = SAME_WIDTH.get(tensor.type, tensor.type) if has_whole_blocks else tensor.type
    for ladder in LADDERS if has_whole_blocks else LADDERS[1:]:
        if current in ladder:
            index = ladder.index(current) + (1 if up else -1)
            if 0 <= index < len(ladder):
                kind = type_for_row(ladder[index], tensor.shape[0], recipe_of("Q8_0", ""))
                return make_tensor(tensor.name, tensor.shape, kind)
    return None
