"""A repository as publishers make it: quants of one model with a vocabulary of its real size, no weights."""

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from catalog.synthetic.header import shape_of
from domain.models.catalogue_types import KnownModel, KnownQuant
from tests.rigs.hub import Hollow
from tests.rigs.replica import write_replica

TOKENS = "tokenizer.ggml.tokens"
MERGES = "tokenizer.ggml.merges"
HEAD_BYTES = 64 * 1024  # past the header: room for what a reader fetches too much


def quants(model: KnownModel, names: Iterable[str]) -> dict[str, Hollow]:
    """File by name, one for each quant in ``names``, as large as the published one."""
    known = {quant.quant: quant for quant in model.quants}
    return {f"{model.alias}-{name}.gguf": hollow(model, known[name]) for name in names}


def hollow(model: KnownModel, quant: KnownQuant) -> Hollow:
    """A replica's header, and its size. As many merges as tokens: the longest headers there are."""
    shape = shape_of(model, quant)
    tokens = shape.array_lengths[TOKENS]
    shape = replace(shape, array_lengths={TOKENS: tokens, MERGES: tokens})
    with tempfile.TemporaryDirectory() as folder:
        path = write_replica(Path(folder) / "replica.gguf", shape)
        used_bytes = path.stat().st_blocks * 512
        with path.open("rb") as file:
            return Hollow(file.read(used_bytes + HEAD_BYTES), path.stat().st_size)
