"""An owner's own catalogue of models, read over the shipped one, and the headers made of its entries."""

import random
from collections.abc import Iterator

from catalog.resolved_models import model_of_catalogue
from config.catalogue import FOLDER as SHIPPED
from config.catalogue import catalogue
from domain.errors import NodeError
from tests.fuzz.mutation import line_mutation
from tests.fuzz.scratch import scratch

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 1000, 128, 8192
FILE = scratch("catalogue") / "own.toml"
_mutate_lines = line_mutation(
    (
        "title",
        "shape",
        "quants",
        "vllm",
        "kind",
        "repo",
        "chat",
        "pypi",
        "[x]",
        "[[x.quants]]",
        "{a = 1}",
        "true",
        '"""',
        "[1, 2]",
    )
)


def seeds() -> Iterator[bytes]:
    for path in sorted(SHIPPED.glob("*.toml")):
        entries = path.read_text().split("\n[")
        yield "\n[".join(entries[:2]).encode()[:4096]
    quants = '{repo = "a/b", quant = "Q8_0", size_bytes = 1}'
    yield f'[own]\ntitle = "Own"\narchitecture = "llama"\nquants = [{quants}]\n'.encode()


def mutate(data: bytes, rng: random.Random) -> bytes:
    return _mutate_lines(data, rng)


def run(data: bytes) -> None:
    FILE.write_bytes(data)
    shipped = catalogue()
    for alias, entry in catalogue(FILE).items():
        if shipped.get(alias) is not entry and entry.shape:
            for quant in entry.quants[:1]:
                model_of_catalogue(entry, quant)
