"""Published speeds as questions for the planner: a shape, a command line and a machine for each row.

A row that names a model or machine that is unknown here, or another engine than llama.cpp, is left out.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from config.data import known_gpus
from domain.launches.plan import LlamaFlags
from domain.machine.hardware import BandwidthSource, Cpu, Gpu, Hardware, InstalledEngine, Memory, MemoryKind
from domain.models.catalogue_types import KnownGpu
from domain.models.model import ModelShape
from domain.units import GIB
from tests.rigs.speed_shapes import CAPTURES, known_model, names, rebuilt_shape

VENDORS = {"10de": "nvidia", "1002": "amd", "8086": "intel"}
# Speeds of engines that share llama.cpp's kernels; not its forks, whose kernels are their own.
ENGINES = ("llama.cpp", "Ollama")
# Builds of 2023: before CUDA graphs and before matrix kernels for experts.
FIRST_BUILD = 2000
# Rows of gpt-oss often state no quant: it is published in these.
QUANTS = (("gpt-oss.*(F16|BF16)", "F16"), ("gpt-oss", "MXFP4"))


@dataclass(frozen=True, slots=True)
class Row:
    """``box`` is the machine: all its rows are in one fold. ``ram_assumed``: cores do part of the work, and
    the row does not state the bandwidth of their RAM, so that of the platform is taken. ``depth_tokens`` of a
    prompt are those before it."""

    number: int
    source: str
    box: str
    model: str
    ram_assumed: bool
    shape: ModelShape
    flags: LlamaFlags
    hardware: Hardware
    depth_tokens: int
    decode_tokens_per_s: float | None
    prefill_tokens_per_s: float | None

    @property
    def digest(self) -> int:
        """Of the box: which fold it is in is left to chance."""
        return int(hashlib.sha256(self.box.encode()).hexdigest(), 16)


@cache
def rows() -> tuple[Row, ...]:
    """All rows that can be asked of the planner, in the order of the file."""
    table = json.loads((CAPTURES / "bench.json").read_text())["rows"]
    return tuple(row for entry in table if (row := _row(entry)) is not None)


def _row(entry: Mapping[str, Any]) -> Row | None:
    flags = entry["flags"] or {}
    if entry["suspect"] or not str(entry["engine"]).startswith(ENGINES) or _is_not_comparable(entry, flags):
        return None
    if _build(entry) < FIRST_BUILD:
        return None
    key = _first_match(names()["models"], entry["model"])
    gpus = _gpus(entry["hardware"])
    hardware = None if gpus is None else _hardware(entry, gpus)
    if key is None or hardware is None:
        return None
    shape = _shape(key, entry)
    launch_flags = _flags(entry, flags, shape)
    if not _fits(launch_flags, shape, hardware):
        return None
    uses_cores = not hardware.gpus or _is_split(launch_flags)
    return Row(
        number=entry["id"],
        source=entry["source"],
        box=entry["hardware"]["name"],
        model=key,
        ram_assumed=uses_cores and not _is_ram_known(entry["hardware"]),
        shape=shape,
        flags=launch_flags,
        hardware=hardware,
        depth_tokens=_depth(entry),
        decode_tokens_per_s=entry["tg_tps"],
        prefill_tokens_per_s=entry["pp_tps"] if _is_throughput(entry["pp_test"], flags) else None,
    )


def _depth(entry: Mapping[str, Any]) -> int:
    """A row with a prompt of more than the usual 512 tokens generates after it."""
    prompt = int((entry["flags"] or {}).get("p") or 0)
    return int(entry["depth"] or 0) or (prompt if prompt > 512 else 0)


def _build(entry: Mapping[str, Any]) -> int:
    """llama.cpp's build number; a row without one is taken to be recent."""
    found = re.match(r"b(\d+)", entry["engine_version"] or "")
    recent = FIRST_BUILD if "2023" not in (entry["note"] or "") else 0
    return int(found.group(1)) if found else recent


def _is_not_comparable(entry: Mapping[str, Any], flags: Mapping[str, Any]) -> bool:
    """Over a network, with a split that the row does not state, or a split over unlike devices by hand."""
    return bool(
        flags.get("rpc")
        or flags.get("rpc_nodes")
        or flags.get("sm") == "row"
        or "split" in entry["hardware"]["name"]
    )


def _is_throughput(test: str | None, flags: Mapping[str, Any]) -> bool:
    """A prompt of a few tokens says nothing about throughput, a whole one nothing about one depth."""
    if int(flags.get("p") or 0) > 4096:
        return False
    count = re.search(r"\d+", test or "")
    return test is not None and (count is None or int(count.group()) >= 256 or "K" in test)


def _first_match(patterns: Iterable[Sequence[Any]], name: str) -> Any:
    return next((value for pattern, value in patterns if re.search(pattern, name, re.IGNORECASE)), None)


def _shape(key: str, entry: Mapping[str, Any]) -> ModelShape:
    stated = entry["quant"] or "Q4_K_M"
    quant = _first_match(QUANTS, f"{entry['model']} {entry['quant']} {entry['file']}")
    quant = quant or re.sub(r".*?((UD-)?(IQ|Q|BF|F|MXFP)\d+(_[A-Z0-9]+)*).*", r"\1", stated)
    quant = "Q4_K_M" if quant in ("Q4", "Q4_K") or "Ollama" in quant else quant
    model = known_model(key)
    published = (
        next((item.size_bytes for item in model.quants if item.quant == quant), None) if model else None
    )
    size = int(entry["file_size_gib"] * GIB) if entry["file_size_gib"] else published
    return rebuilt_shape(key, quant, size)


def _gpus(machine: Mapping[str, Any]) -> tuple[Gpu, ...] | None:
    """``None`` if a GPU is unknown here."""
    found: list[Gpu] = []
    for name in machine["gpus"]:
        if "CPU)" in name:
            continue
        count = re.match(r"(\d+)x ", name)
        gpu = _gpu(name, len(found))
        if gpu is None:
            return None
        found += [gpu] * (int(count.group(1)) if count else 1)
    return tuple(found)


def _gpu(name: str, number: int) -> Gpu | None:
    for pattern, facts in names()["more_gpus"].items():
        if pattern in name:
            plain = {key: value for key, value in facts.items() if key != "memory_kind"}
            kind = MemoryKind(facts["memory_kind"])
            return Gpu(id=f"row:{number}", memory_kind=kind, bandwidth_source=BandwidthSource.PEAK, **plain)
    key = _first_match(names()["gpus"], name)
    if key is None:
        return None
    return _gpu_of_table(next(gpu for gpu in known_gpus() if gpu.name == key), number)


def _gpu_of_table(known: KnownGpu, number: int) -> Gpu:
    return Gpu(
        id=f"row:{number}",
        vendor=VENDORS.get(known.vendor_id, "apple"),
        name=known.name,
        memory_kind=MemoryKind.UNIFIED if known.unified else MemoryKind.DEDICATED,
        memory_total_bytes=known.vram_bytes,
        bandwidth_bytes_per_s=known.bandwidth_bytes_per_s,
        bandwidth_source=BandwidthSource.PEAK,
        arch=known.arch,
        fp16_flops_per_s=known.fp16_flops_per_s,
    )


def _hardware(entry: Mapping[str, Any], gpus: tuple[Gpu, ...]) -> Hardware:
    machine = entry["hardware"]
    text = f"{machine.get('cpu') or ''} {machine['name']}"
    cpu = next((row for row in names()["cpus"] if re.search(row[0], text)), None)
    rate = machine.get("ram_gbs_theoretical") or (cpu[2] if cpu else None)
    backend = str(entry["backend"]).lower()
    driver = "AMDVLK" if "amdvlk" in backend else "RADV" if "radv" in backend else None
    kinds = ("hip",) if re.search("rocm|hip|rocwmma", backend) else ("vulkan",) if "vulkan" in backend else ()
    installed = InstalledEngine("llama.cpp", "llama-server", entry["engine_version"], kinds)
    return Hardware(
        cpu=Cpu(
            model=machine.get("cpu") or machine["name"],
            isa=("avx2",) if "avx2" in backend else (),
            physical_cores=cpu[1] if cpu else None,
            usable_cpus=2 * cpu[1] if cpu else None,
        ),
        memory=Memory(
            total_bytes=int(machine["ram_gb"] * GIB) if machine.get("ram_gb") else None,
            bandwidth_bytes_per_s=rate * 1e9 if rate else None,
            bandwidth_source=BandwidthSource.PEAK,
        ),
        gpus=tuple(replace(gpu, driver=driver) for gpu in gpus),
        engines=(installed,) if kinds else (),
    )


def _is_ram_known(machine: Mapping[str, Any]) -> bool:
    """In the row itself, or (i9-10900X) by the same author in another."""
    return bool(machine.get("ram_gbs_theoretical")) or "10900X" in machine["name"]


def _flags(entry: Mapping[str, Any], flags: Mapping[str, Any], shape: ModelShape) -> LlamaFlags:
    prompt = re.match(r"pp(\d+)", entry["pp_test"] or "")
    ubatch = int(flags.get("ub") or 512)
    layers = flags.get("ngl", 999)
    layers = 999 if layers in ("all", -1) else int(layers)
    return LlamaFlags(
        gpu_layers=layers if entry["hardware"]["gpus"] else 0,
        context_tokens=max(4096, (entry["depth"] or 0) + int(prompt.group(1) if prompt else 512)),
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
    """The layers other than those whose experts are on the GPUs, where the row states these."""
    on_gpu = flags.get("expert_layers_on_gpu")
    return None if on_gpu is None else int(shape.get("block_count") or 0) - int(on_gpu)


def _layers_on_host(text: str) -> Iterator[tuple[str, str]]:
    found = re.match(r"ffn of layers (\d+)-(\d+)", text)
    if text.startswith("up/down exps=CPU"):
        yield r"ffn_(up|down)_exps", "CPU"
    if found:
        numbers = "|".join(str(layer) for layer in range(int(found.group(1)), int(found.group(2)) + 1))
        yield rf"blk\.({numbers})\.ffn_(up|down|gate)_exps", "CPU"


def _fits(flags: LlamaFlags, shape: ModelShape, hardware: Hardware) -> bool:
    """Whether a command line with nothing on the host fits the GPUs: if not, the run had another one."""
    total = sum(gpu.memory_total_bytes or 0 for gpu in hardware.gpus)
    return not hardware.gpus or not total or _is_split(flags) or shape.file_bytes < 0.92 * total


def _is_split(flags: LlamaFlags) -> bool:
    return bool(flags.cpu_moe or flags.n_cpu_moe or flags.overrides or (flags.gpu_layers or 0) < 99)
