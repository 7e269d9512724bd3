"""What the planner chooses where people publish the command that they run, with figures of both."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from config.data import known_gpus
from domain.launches.plan import LLAMA_CPP, LaunchOptions
from domain.machine.hardware import (
    BandwidthSource,
    Cpu,
    Gpu,
    Hardware,
    InstalledEngine,
    Memory,
    MemoryKind,
    Storage,
)
from domain.models.model import ModelShape, ResolvedModel, Source, WeightFile, Weights
from domain.units import GIB
from planner.choose.candidates import Candidate
from planner.choose.choose import find_best
from tests.conftest import ROOT
from tests.rigs.speed_shapes import rebuilt_shape

CAPTURE = ROOT / "tests" / "captures" / "best-commands.json"
# What publishers offer of most models; of gpt-oss its own type alone, since all its quants have one size.
QUANTS = ("IQ1_M", "IQ2_XXS", "IQ2_M", "Q2_K", "IQ3_XXS", "IQ3_M", "Q3_K_M", "IQ4_XS", "Q4_K_S", "Q4_K_M")
QUANTS += ("Q5_K_M", "Q6_K", "Q8_0")
NATIVE = ("MXFP4",)
SPEED_FACTOR = 1.6  # predicted over published, either way
FREE_SHARE, RAM_FREE_SHARE = 0.98, 0.94


@dataclass(frozen=True, slots=True)
class Row:
    """A published command and what is chosen for the same context. ``chosen`` is ``None`` if nothing fits."""

    number: int
    model: str
    box: str
    sets_constants: bool
    published: dict[str, Any]
    chosen: Candidate | None

    @property
    def same_quant(self) -> bool:
        return self.chosen is not None and bits(self.chosen.quant) == bits(self.published["quant"])

    @property
    def same_place(self) -> bool:
        return self.chosen is not None and self.chosen.is_offloaded == self.published["all_on_gpus"]

    @property
    def same_speed(self) -> bool:
        speed, theirs = self.chosen and self.chosen.decode_tokens_per_s, self.published["decode_tokens_per_s"]
        is_known = theirs and not self.published.get("drafts")  # of a draft nothing is planned here
        return not is_known or bool(speed and 1 / SPEED_FACTOR <= speed / theirs <= SPEED_FACTOR)

    @property
    def is_alike(self) -> bool:
        return self.same_quant and self.same_place and self.same_speed


def bits(quant: str) -> str:
    """The class of a quant: 3 bits and less, 4, 5 to 6, 8 and more."""
    if "MXFP4" in quant:
        return "4"
    if quant.endswith("F16"):
        return "8+"
    digit = next(int(letter) for letter in quant if letter.isdigit())
    return {1: "1-3", 2: "1-3", 3: "1-3", 4: "4", 5: "5-6", 6: "5-6"}.get(digit, "8+")


@lru_cache(maxsize=1)
def compared() -> tuple[Row, ...]:
    return tuple(_rows(json.loads(CAPTURE.read_text())))


def _rows(capture: dict[str, Any]) -> Iterator[Row]:
    for row in capture["rows"]:
        machine, models = box(row["box"], capture["cards"]), quants_of(row["model"])
        wanted = row["published"]["context_tokens"]
        chosen = find_best(row["model"], models, machine, LaunchOptions(context_tokens=wanted))
        yield Row(row["id"], row["model"], name_of(row["box"]), row["use"] == "set", row["published"], chosen)


@lru_cache(maxsize=64)
def quants_of(model: str) -> tuple[ResolvedModel, ...]:
    """Every usual quant of a model, with its tensors by the quantizer's recipe."""
    names = NATIVE if model.startswith("gpt-oss") else QUANTS
    shapes = {name: rebuilt_shape(model, name, None) for name in names}
    return tuple(ResolvedModel(_weights(name, shape), shape) for name, shape in shapes.items())


def _weights(name: str, shape: ModelShape) -> Weights:
    size = shape.file_bytes
    return Weights(Source.HUB, "o/r", "main", (WeightFile(name, size),), name, size)


def name_of(published: dict[str, Any]) -> str:
    """``2x RTX 3090``, ``Strix Halo, 128 GB``."""
    gpus = [gpu.split("(")[0].strip() for gpu in published["gpus"]]
    short = [gpu.removeprefix("NVIDIA ").removeprefix("GeForce ").removeprefix("AMD ") for gpu in gpus]
    counted = [
        f"{f'{short.count(gpu)}x ' if short.count(gpu) > 1 else ''}{gpu}" for gpu in dict.fromkeys(short)
    ]
    return " + ".join(counted) or f"{published['cores']} cores"


def box(published: dict[str, Any], cards: dict[str, Any]) -> Hardware:
    ram = Memory(
        total_bytes=int(published["ram_gib"] * GIB),
        available_bytes=int(RAM_FREE_SHARE * published["ram_gib"] * GIB),
        bandwidth_bytes_per_s=published["ram_gb_per_s"] * 1e9,
        bandwidth_source=BandwidthSource.PEAK,
    )
    gpus = tuple(
        _gpu(name, index, cards, published["ram_gib"]) for index, name in enumerate(published["gpus"])
    )
    backend = published.get("backend")
    engines = (InstalledEngine(LLAMA_CPP, "llama-server", None, ("cpu", backend)),) if backend else ()
    cores = published["cores"]
    cpu = Cpu(physical_cores=cores, logical_cpus=2 * cores, usable_cpus=2 * cores, isa=("avx2",))
    return Hardware(cpu, ram, gpus, storage=Storage("/", read_bytes_per_s=3e9), engines=engines)


def _gpu(name: str, index: int, cards: dict[str, Any], ram_gib: float) -> Gpu:
    """By config/gpus.json, or by ``cards`` of the capture for those that it lacks or has no size of."""
    known = next((gpu for gpu in known_gpus() if gpu.name == name), None)
    if name in cards or known is None:
        card = cards[name]
        vendor, arch, total = card["vendor"], card["arch"], int(card["memory_gib"] * GIB)
        bandwidth, flops, is_unified = card["gb_per_s"] * 1e9, card["fp16_tflops"] * 1e12, False
    else:
        vendor, arch, is_unified = name.split(maxsplit=1)[0].lower(), known.arch, known.unified
        total = int(RAM_FREE_SHARE * ram_gib * GIB) if is_unified else known.vram_bytes or 0
        bandwidth, flops = known.bandwidth_bytes_per_s, known.fp16_flops_per_s
    return Gpu(
        f"pci:{index}",
        vendor,
        name,
        MemoryKind.UNIFIED if is_unified else MemoryKind.DEDICATED,
        total,
        int(FREE_SHARE * total),
        bandwidth,
        BandwidthSource.PEAK,
        arch,
        fp16_flops_per_s=flops,
        pcie_bytes_per_s=25e9,
    )
