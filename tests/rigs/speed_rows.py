"""Published speeds as the planner would be asked for them: a shape, a command line and a box for each row.

A row that names no model or box that is known here, or another engine than llama.cpp, is left out.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from catalog.synthetic.header import shape_of, tensor_table
from catalog.synthetic.quant_recipes import recipe_of
from config.data import catalogue, known_gpus
from domain.catalogue_types import KnownGpu, KnownModel, KnownQuant
from domain.hardware import BandwidthSource, Cpu, EngineFound, Gpu, Hardware, Memory, MemoryKind
from domain.model import ModelShape
from domain.plan import LlamaFlags
from domain.units import GIB

CAPTURES = Path(__file__).parents[1] / "captures"
HELD_OUT_OF_TEN = 3
VENDORS = {"10de": "nvidia", "1002": "amd", "8086": "intel"}
# Speeds of engines that share llama.cpp's kernels; not its forks, whose kernels are their own.
ENGINES = ("llama.cpp", "Ollama")
HOST_KINDS = ("cpu", "gpu + cpu")
# Builds of 2023: before CUDA graphs and before matrix kernels for experts.
FIRST_BUILD = 2000
# What a published row leaves unsaid: Q4 of Ollama's library, the only published form of gpt-oss.
QUANTS = (("gpt-oss.*(F16|BF16)", "F16"), ("gpt-oss", "MXFP4"), ("Ollama", "Q4_K_M"))


@dataclass(frozen=True, slots=True)
class Row:
    """``kind`` is the class that errors are printed by; ``group`` names the model and the box: its rows
    are fitted together or held out together. ``ram_assumed``: cores do part of the work,
    and the row does not tell the bandwidth of their RAM, so that of the platform is taken."""

    number: int
    source: str
    box: str
    model: str
    kind: str
    group: str
    ram_assumed: bool
    shape: ModelShape
    flags: LlamaFlags
    hardware: Hardware
    depth_tokens: int
    decode_tokens_per_s: float | None
    prefill_tokens_per_s: float | None

    @property
    def digest(self) -> int:
        """Of the group's name: which runs are set apart is left to chance."""
        return int(hashlib.sha256(self.group.encode()).hexdigest(), 16)

    @property
    def held_out(self) -> bool:
        return self.digest % 10 < HELD_OUT_OF_TEN


@cache
def rows() -> tuple[Row, ...]:
    """All rows that can be asked of the planner, in the order of the file."""
    table = json.loads((CAPTURES / "bench.json").read_text())["rows"]
    return tuple(made for one in table if (made := _row(one)) is not None)


@cache
def _names() -> dict[str, Any]:
    names: dict[str, Any] = json.loads((CAPTURES / "bench-names.json").read_text())
    return names


def _row(one: Mapping[str, Any]) -> Row | None:
    flags = one["flags"] or {}
    if one["suspect"] or not str(one["engine"]).startswith(ENGINES) or _is_other(one, flags):
        return None
    if _build(one) < FIRST_BUILD:
        return None
    key = _found(_names()["models"], one["model"])
    gpus = _gpus(one["hardware"])
    hardware = None if gpus is None else _hardware(one, gpus)
    if key is None or hardware is None:
        return None
    shape = _shape(key, one)
    line = _flags(one, flags, shape)
    if not _is_whole(line, shape, hardware):
        return None
    box, kind = one["hardware"]["name"], _kind(hardware, line)
    return Row(
        number=one["id"],
        source=one["source"],
        box=box,
        model=key,
        kind=kind,
        group=f"{box[:20]}/{key}",
        ram_assumed=kind in HOST_KINDS and not _ram_told(one["hardware"]),
        shape=shape,
        flags=line,
        hardware=hardware,
        depth_tokens=_depth(one),
        decode_tokens_per_s=one["tg_tps"],
        prefill_tokens_per_s=one["pp_tps"] if _is_throughput(one["pp_test"], flags) else None,
    )


def _depth(one: Mapping[str, Any]) -> int:
    """A row with a prompt of more than the usual 512 tokens generates after it."""
    prompt = int((one["flags"] or {}).get("p") or 0)
    return int(one["depth"] or 0) or (prompt if prompt > 512 else 0)


def _build(one: Mapping[str, Any]) -> int:
    """llama.cpp's build number; a row that does not tell is taken to be recent."""
    found = re.match(r"b(\d+)", one["engine_version"] or "")
    recent = FIRST_BUILD if "2023" not in (one["note"] or "") else 0
    return int(found.group(1)) if found else recent


def _is_other(one: Mapping[str, Any], flags: Mapping[str, Any]) -> bool:
    """Over a network, with a split that the row does not tell, or a split over unlike devices by hand."""
    return bool(
        flags.get("rpc")
        or flags.get("rpc_nodes")
        or flags.get("sm") == "row"
        or "split" in one["hardware"]["name"]
    )


def _is_throughput(test: str | None, flags: Mapping[str, Any]) -> bool:
    """A prompt of a few tokens says nothing about throughput, a whole one nothing about one depth."""
    if int(flags.get("p") or 0) > 4096:
        return False
    count = re.search(r"\d+", test or "")
    return test is not None and (count is None or int(count.group()) >= 256 or "K" in test)


def _found(patterns: list[list[Any]], name: str) -> Any:
    for pattern, value in patterns:
        if re.search(pattern, name, re.IGNORECASE):
            return value
    return None


def _shape(key: str, one: Mapping[str, Any]) -> ModelShape:
    model = _model(key)
    quant = _found([list(pair) for pair in QUANTS[:2]], f"{one['model']} {one['quant']} {one['file']}")
    quant = quant or re.sub(r".*?((UD-)?(IQ|Q|BF|F|MXFP)\d+(_[A-Z0-9]+)*).*", r"\1", one["quant"] or "Q4_K_M")
    quant = "Q4_K_M" if quant in ("Q4", "Q4_K") or "Ollama" in quant else quant
    published = next((item.size_bytes for item in model.quants if item.quant == quant), None)
    size = int(one["file_size_gib"] * GIB) if one["file_size_gib"] else published
    return _blueprint(key, quant, size)


@cache
def _blueprint(key: str, quant: str, size: int | None) -> ModelShape:
    model = _model(key)
    if size is None:
        tensors = tensor_table(model.architecture, model.shape, recipe_of(quant, model.architecture))
        size = sum(tensor.size_bytes for tensor in tensors)
    return shape_of(model, KnownQuant("", quant, size))


@cache
def _model(key: str) -> KnownModel:
    facts = _names()["shapes"].get(key)
    if facts is None:
        return catalogue()[key]
    return KnownModel(key, key, facts["architecture"], facts["parameters"], shape=facts["shape"])


def _gpus(box: Mapping[str, Any]) -> tuple[Gpu, ...] | None:
    """``None`` for a box whose GPU is not known here."""
    found: list[Gpu] = []
    for name in box["gpus"]:
        if "CPU)" in name:
            continue
        count = re.match(r"(\d+)x ", name)
        gpu = _gpu(name, len(found))
        if gpu is None:
            return None
        found += [gpu] * (int(count.group(1)) if count else 1)
    return tuple(found)


def _gpu(name: str, number: int) -> Gpu | None:
    for pattern, facts in _names()["more_gpus"].items():
        if pattern in name:
            plain = {key: value for key, value in facts.items() if key != "memory_kind"}
            kind = MemoryKind(facts["memory_kind"])
            return Gpu(id=f"row:{number}", memory_kind=kind, bandwidth_source=BandwidthSource.PEAK, **plain)
    key = _found(_names()["gpus"], name)
    return None if key is None else _known(next(one for one in known_gpus() if one.name == key), number)


def _known(one: KnownGpu, number: int) -> Gpu:
    return Gpu(
        id=f"row:{number}",
        vendor=VENDORS.get(one.vendor_id, "apple"),
        name=one.name,
        memory_kind=MemoryKind.UNIFIED if one.unified else MemoryKind.DEDICATED,
        memory_total_bytes=one.vram_bytes,
        bandwidth_bytes_per_s=one.bandwidth_bytes_per_s,
        bandwidth_source=BandwidthSource.PEAK,
        arch=one.arch,
        fp16_flops_per_s=one.fp16_flops_per_s,
    )


def _hardware(one: Mapping[str, Any], gpus: tuple[Gpu, ...]) -> Hardware:
    box = one["hardware"]
    text = f"{box.get('cpu') or ''} {box['name']}"
    cpu = next((row for row in _names()["cpus"] if re.search(row[0], text)), None)
    rate = box.get("ram_gbs_theoretical") or (cpu[2] if cpu else None)
    backend = str(one["backend"]).lower()
    driver = "AMDVLK" if "amdvlk" in backend else "RADV" if "radv" in backend else None
    gpus = tuple(replace(gpu, driver=driver) for gpu in gpus)
    kinds = ("hip",) if re.search("rocm|hip|rocwmma", backend) else ("vulkan",) if "vulkan" in backend else ()
    return Hardware(
        cpu=Cpu(
            model=box.get("cpu") or box["name"],
            isa=("avx2",) if "avx2" in backend else (),
            physical_cores=cpu[1] if cpu else None,
            usable_cpus=2 * cpu[1] if cpu else None,
        ),
        memory=Memory(
            total_bytes=int(box["ram_gb"] * GIB) if box.get("ram_gb") else None,
            bandwidth_bytes_per_s=rate * 1e9 if rate else None,
            bandwidth_source=BandwidthSource.PEAK,
        ),
        gpus=gpus,
        engines=(EngineFound("llama.cpp", "llama-server", one["engine_version"], kinds),) if kinds else (),
    )


def _ram_told(box: Mapping[str, Any]) -> bool:
    """In the row itself, or (i9-10900X) by the same author in another."""
    return bool(box.get("ram_gbs_theoretical")) or "10900X" in box["name"]


def _flags(one: Mapping[str, Any], flags: Mapping[str, Any], shape: ModelShape) -> LlamaFlags:
    prompt = re.match(r"pp(\d+)", one["pp_test"] or "")
    ubatch = int(flags.get("ub") or 512)
    layers = flags.get("ngl", 999)
    layers = 999 if layers in ("all", -1) else int(layers)
    return LlamaFlags(
        gpu_layers=layers if one["hardware"]["gpus"] else 0,
        context_tokens=max(4096, (one["depth"] or 0) + int(prompt.group(1) if prompt else 512)),
        parallel=1,
        batch=max(2048, ubatch),
        ubatch=min(ubatch, int(prompt.group(1))) if prompt else ubatch,
        cache_type_k=flags.get("ctk") or "f16",
        cache_type_v=flags.get("ctv") or flags.get("ctk") or "f16",
        flash_attention="off" if flags.get("fa") == 0 else "auto",
        threads=flags.get("t") or flags.get("threads"),
        n_cpu_moe=flags.get("n_cpu_moe") or _experts_on_host(flags, shape),
        cpu_moe=bool(flags.get("cpu_moe") or flags.get("variant") == "-cmoe")
        or bool(re.search("all exps|ffn_.*exps", str(flags.get("ot")))),
        overrides=tuple(_layers_on_host(str(flags.get("ot") or ""))),
    )


def _experts_on_host(flags: Mapping[str, Any], shape: ModelShape) -> int | None:
    """Where the row tells the layers whose experts the GPUs have: all others'."""
    on_gpu = flags.get("expert_layers_on_gpu")
    return None if on_gpu is None else int(shape.get("block_count") or 0) - int(on_gpu)


def _layers_on_host(text: str) -> Iterator[tuple[str, str]]:
    found = re.match(r"ffn of layers (\d+)-(\d+)", text)
    if text.startswith("up/down exps=CPU"):
        yield r"ffn_(up|down)_exps", "CPU"
    if found:
        numbers = "|".join(str(one) for one in range(int(found.group(1)), int(found.group(2)) + 1))
        yield rf"blk\.({numbers})\.ffn_(up|down|gate)_exps", "CPU"


def _is_whole(flags: LlamaFlags, shape: ModelShape, hardware: Hardware) -> bool:
    """Whether a line that leaves nothing on the host fits the GPUs: else it was another line."""
    total = sum(gpu.memory_total_bytes or 0 for gpu in hardware.gpus)
    split = flags.cpu_moe or flags.n_cpu_moe or flags.overrides or (flags.gpu_layers or 0) < 99
    return not hardware.gpus or not total or bool(split) or shape.file_bytes < 0.92 * total


def _kind(hardware: Hardware, flags: LlamaFlags) -> str:
    if not hardware.gpus:
        return "cpu"
    if flags.cpu_moe or flags.n_cpu_moe or flags.overrides or (flags.gpu_layers or 0) < 99:
        return "gpu + cpu"
    first = hardware.gpus[0]
    backends = hardware.engines[0].backends if hardware.engines else ()
    names = {"nvidia": "cuda", "amd": "vulkan", "intel": "intel", "apple": "metal"}
    name = backends[0] if backends else names[first.vendor]
    name = "cuda unified" if name == "cuda" and first.memory_kind is MemoryKind.UNIFIED else name
    return name if len(hardware.gpus) == 1 else f"several {name}"
