"""Machines and models for planner tests."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from domain.launches.plan import VLLM
from domain.machine.hardware import BandwidthSource, Cpu, Gpu, Hardware, Memory, MemoryKind, Storage
from domain.models.model import MetadataValue, ModelShape, ResolvedModel, Source, Tensor, WeightFile, Weights
from domain.units import GIB
from planner.llama_cpp.graph.recipe import recipe
from tests.rigs.replica import shape_from_capture, shape_from_facts

TRUTH = Path(__file__).parents[1] / "captures" / "llamacpp-memory.json"
ARCHITECTURES = Path(__file__).parents[1] / "captures" / "llamacpp-architectures.json"


@lru_cache(maxsize=1)
def truth() -> dict[str, Any]:
    return json.loads(TRUTH.read_text())


@lru_cache(maxsize=1)
def architectures() -> dict[str, Any]:
    """Models of every recorded architecture, and what the engine reported for them."""
    return json.loads(ARCHITECTURES.read_text())


@lru_cache(maxsize=128)
def published(model: str) -> ModelShape:
    """The shape of a model of that capture."""
    return shape_from_capture(architectures()["models"][model])


def one_of_each_architecture() -> tuple[str, ...]:
    """The smallest model of each that the planner has rules for."""
    models = sorted(filter(is_known, architectures()["models"]), key=lambda name: published(name).file_bytes)
    smallest: dict[str, str] = {}
    for name in models:
        smallest.setdefault(published(name).architecture, name)
    return tuple(smallest.values())


def is_known(model: str) -> bool:
    """Whether the planner has rules for its architecture."""
    return recipe(published(model).architecture).is_known


@lru_cache(maxsize=64)
def shape(model: str, quant: str) -> ModelShape:
    return shape_from_facts(truth()["models"][model], quant)


def candidate(model: str, quant: str) -> ResolvedModel:
    model_shape = shape(model, quant)
    files = (WeightFile(f"{model}-{quant}.gguf", model_shape.file_bytes),)
    weights = Weights(Source.HUB, f"someone/{model}-GGUF", "main", files, quant, model_shape.file_bytes)
    return ResolvedModel(weights, model_shape)


def candidates(model: str, *quants: str) -> tuple[ResolvedModel, ...]:
    return tuple(candidate(model, quant) for quant in quants)


def gpu(
    memory_gib: float | None,
    kind: MemoryKind = MemoryKind.DEDICATED,
    *,
    gb_per_s: float | None = 936,
    tflops: float | None = 71,
    vendor: str = "nvidia",
    name: str = "a GPU",
    display: bool = False,
) -> Gpu:
    return Gpu(
        id=f"pci:{name}",
        vendor=vendor,
        name=name,
        memory_kind=kind,
        memory_total_bytes=None if memory_gib is None else int(memory_gib * GIB),
        bandwidth_bytes_per_s=None if gb_per_s is None else gb_per_s * 1e9,
        bandwidth_source=None if gb_per_s is None else BandwidthSource.PEAK,
        fp16_flops_per_s=None if tflops is None else tflops * 1e12,
        pcie_bytes_per_s=31.5e9,
        display_attached=display,
    )


def hardware(
    *gpus: Gpu,
    ram_gib: float = 64,
    available_gib: float | None = None,
    gb_per_s: float | None = 80,
    cores: int = 8,
    cgroup_gib: float | None = None,
    quota_cpus: float | None = None,
    memlock: bool = False,
) -> Hardware:
    free = ram_gib - 2 if available_gib is None else available_gib
    return Hardware(
        cpu=Cpu(physical_cores=cores, logical_cpus=2 * cores, usable_cpus=2 * cores, quota_cpus=quota_cpus),
        memory=Memory(
            total_bytes=int(ram_gib * GIB),
            available_bytes=int(free * GIB),
            bandwidth_bytes_per_s=None if gb_per_s is None else gb_per_s * 1e9,
            bandwidth_source=None if gb_per_s is None else BandwidthSource.PEAK,
            cgroup_limit_bytes=None if cgroup_gib is None else int(cgroup_gib * GIB),
            memlock_unlimited=memlock,
        ),
        gpus=gpus,
        storage=Storage("/", read_bytes_per_s=3e9),
    )


def assumed_gpus(count: int) -> Hardware:
    """Devices without a size or a vendor, as the recorded truth has them."""
    return Hardware(gpus=tuple(Gpu(f"assumed:{index}", "", "a GPU") for index in range(count)))


CARD_24 = hardware(gpu(24))
CARD_9 = hardware(gpu(9, gb_per_s=300, tflops=20))
TWO_3090 = hardware(gpu(24, name="a"), gpu(24, name="b"))
UNEQUAL = hardware(gpu(24, gb_per_s=1008, name="fast"), gpu(16, gb_per_s=448, name="slow"))
GB10 = hardware(gpu(None, MemoryKind.UNIFIED, gb_per_s=273, tflops=100), ram_gib=120, gb_per_s=273, cores=20)
STRIX_HALO = hardware(
    gpu(96, MemoryKind.UNIFIED, gb_per_s=256, tflops=59, vendor="amd"), ram_gib=125, gb_per_s=256, cores=16
)
N100 = hardware(ram_gib=8, available_gib=6.5, gb_per_s=38.4, cores=4)
SMALL_CPU = hardware(ram_gib=23.5, available_gib=22, gb_per_s=20, cores=2)


SMOL = {
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "hidden_size": 576,
    "max_position_embeddings": 8192,
}
LARGE = {
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "hidden_size": 8192,
    "max_position_embeddings": 131072,
}


def folder(
    facts: Mapping[str, MetadataValue], size_bytes: int, quant: str = "BF16", *, method: str | None = None
) -> ResolvedModel:
    """A folder of safetensors: config.json's ``facts``, and one tensor that is cut among ranks."""
    metadata = {f"llama.{key}": value for key, value in facts.items()}
    if method:
        metadata["llama.quantization_config.quant_method"] = method
    tensor = Tensor("model.layers.0.mlp.up_proj.weight", "BF16", (49152, size_bytes // 98304), size_bytes)
    shape = ModelShape("llama", (tensor,), size_bytes, metadata)
    files = (WeightFile("model.safetensors", size_bytes),)
    weights = Weights(Source.FILE, "here", None, files, quant, size_bytes, "/models/here")
    return ResolvedModel(weights, shape, engine=VLLM)
