"""Publishes small files of every kind in the repository ``o/r``."""

from pathlib import Path

from catalog.hub.cache import Cache
from domain.models.model import ResolvedModel
from tests.catalog.build import headed
from tests.catalog.resolving import resolve
from tests.rigs.hub import Hub

BLOCK = {"attn_q.weight": (64, 64), "ffn_up.weight": (128, 64)}
HEADS = {"nextn.eh_proj.weight": (64, 128)}


class Publisher:
    """``add`` puts a file into the repository ``o/r``; ``found`` resolves it as a plan does."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub, self.folder = hub, folder
        self.files: dict[str, bytes] = {}

    def add(
        self, name: str, architecture: str = "qwen3", *, layers: int = 2, mtp: int = 0, **keys: object
    ) -> None:
        numbers = range(keys.pop("first", 0), layers + mtp)  # type: ignore[call-overload]
        tensors = {f"blk.{block}.{name}": shape for block in numbers for name, shape in BLOCK.items()}
        for block in range(layers, layers + mtp):
            tensors |= {f"blk.{block}.{name}": shape for name, shape in HEADS.items()}
        if keys.pop("whole", True):
            tensors["token_embd.weight"] = (256, 64)
        counts = {"block_count": layers + mtp, "embedding_length": 64, **keys}
        if mtp:
            counts["nextn_predict_layers"] = mtp
        self.write(name, architecture, tensors, **counts)

    def write(
        self, name: str, architecture: str, tensors: dict[str, tuple[int, ...]], **keys: object
    ) -> None:
        self.files[name] = headed(self.folder / name, architecture, tensors, **keys).read_bytes()

    def projector(self, name: str) -> None:
        self.write(name, "clip", {"mm.0.weight": (64, 64)}, general__type="mmproj")

    def adapter(self, name: str) -> None:
        tensors = {"blk.0.attn_q.weight.lora_a": (8, 64), "blk.0.attn_q.weight.lora_b": (64, 8)}
        self.write(name, "qwen3", tensors, general__type="adapter", adapter__type="lora")

    def found(self, quant: str = "", **options: object) -> tuple[ResolvedModel, ...]:
        self.hub.add("o/r", self.files)
        cache = Cache(self.folder / "seen")
        return resolve(f"o/r{quant}", catalogue={}, models_dir=self.folder / "models", cache=cache, **options)

    def files_found(self, quant: str = "", **options: object) -> list[str]:
        return [model.weights.files[0].name for model in self.found(quant, **options)]
