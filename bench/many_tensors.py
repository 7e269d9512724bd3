"""Safetensors headers with very many tensors: read, handed to another process, planned for vLLM.

Mixtures of 48 and 74 layers with 512 experts each in FP8, and 250,000 tensors in one file, about the most
that a header may hold. Beside it ``json.loads`` of the same headers. Each step runs in a process of its own:
its processor time, and how much memory it took beyond its imports.
"""

import json
import pickle
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from math import prod
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from catalog.formats.byte_source import FileSource
from catalog.formats.safetensors.reader import read_folder
from config.data import profile
from domain.errors import DoesNotFitError
from domain.launches.plan import VLLM, LaunchOptions
from domain.models.model import ModelShape, ResolvedModel, Source, Weights
from domain.units import MIB
from planner.choose.choose import plan

RUNS = 5
MACHINE = "dual-rtx-3090"  # on which the mixture does not fit: the longest search
LAYERS, MORE_LAYERS, EXPERTS, HIDDEN, EXPERT_WIDTH, BLOCK = 48, 74, 512, 2048, 256, 128
SHARDS, MANY = 8, 250_000
CONFIG = {
    "model_type": "qwen3_moe",
    "architectures": ["Qwen3MoeForCausalLM"],
    "hidden_size": HIDDEN,
    "num_hidden_layers": MORE_LAYERS,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "moe_intermediate_size": EXPERT_WIDTH,
    "num_experts": EXPERTS,
    "num_experts_per_tok": 8,
    "vocab_size": 151_936,
    "max_position_embeddings": 40_960,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]},
}
Table = dict[str, tuple[str, tuple[int, ...]]]
DTYPE_BYTES = {"F8_E4M3": 1, "U8": 1, "BF16": 2, "F32": 4}


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        for name, tables in (
            ("mixture", mixture(LAYERS)),
            ("larger", mixture(MORE_LAYERS)),
            ("many", many()),
        ):
            folder = write(Path(place) / name, tables)
            rows = {step: in_a_child(step, folder) for step in STEPS if (name, step) != ("many", "plan")}
            reference_s = rows[REFERENCE][0]
            print(f"{name}: {sum(map(len, tables))} tensors in {len(tables)} files")
            for step, (seconds, memory_bytes) in rows.items():
                ratio = seconds / reference_s
                print(f"  {step:<12}{seconds:>8.3f} s{ratio:>8.2f}{memory_bytes / MIB:>8.0f} MiB")


def in_a_child(step: str, folder: Path) -> tuple[float, float]:
    seconds, memory_bytes = json.loads(subprocess.check_output([sys.executable, __file__, step, str(folder)]))
    return seconds, memory_bytes


def measure(step: str, folder: Path) -> None:
    """The best time of some runs, each with what it needs made beforehand; the memory of the first."""
    prepare, run = STEPS[step]
    took_s, took_kib = [], []
    for _ in range(RUNS):
        given = prepare(folder)
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew: proc_pid_clear_refs(5)
        before_kib = status_kib("VmRSS")
        begun = time.process_time()
        run(given)
        took_s.append(time.process_time() - begun)
        took_kib.append(status_kib("VmHWM") - before_kib)
    print(json.dumps([min(took_s), took_kib[0] * 1024]))


def status_kib(name: str) -> int:
    """Of this process. VmHWM is its largest size so far: proc_pid_status(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def names_of(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.glob("*.safetensors")))


def read(folder: Path) -> ModelShape:
    return read_folder(names_of(folder), lambda name: FileSource(folder / name))


def read_headers(folder: Path) -> list[bytes]:
    found = []
    for name in names_of(folder):
        with (folder / name).open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            found.append(file.read(length))
    return found


def choose(shape: ModelShape) -> None:
    weights = Weights(Source.FILE, "here", None, (), "fp8", shape.file_bytes)
    with suppress(DoesNotFitError):
        plan("it", (ResolvedModel(weights, shape, engine=VLLM),), profile(MACHINE), LaunchOptions())


REFERENCE = "json.loads"
STEPS: dict[str, tuple[Callable[[Path], object], Callable[..., object]]] = {
    REFERENCE: (read_headers, lambda headers: [json.loads(header) for header in headers]),
    "read": (lambda folder: folder, read),
    "hand over": (read, lambda shape: pickle.loads(pickle.dumps(shape))),  # noqa: S301 - our own
    "plan": (read, choose),
}


def mixture(layers: int) -> list[Table]:
    table: Table = {"model.embed_tokens.weight": ("BF16", (151_936, HIDDEN))}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        for name, rows in (("q", 4096), ("k", 512), ("v", 512), ("o", HIDDEN)):
            table[f"{at}self_attn.{name}_proj.weight"] = ("F8_E4M3", (rows, HIDDEN))
        for expert in range(EXPERTS):
            for name in ("gate", "up", "down"):
                sizes = (HIDDEN, EXPERT_WIDTH) if name == "down" else (EXPERT_WIDTH, HIDDEN)
                weight = f"{at}mlp.experts.{expert}.{name}_proj.weight"
                table[weight] = ("F8_E4M3", sizes)
                table[f"{weight}_scale_inv"] = ("F32", (sizes[0] // BLOCK, sizes[1] // BLOCK))
    names = list(table)
    per_file = -(-len(names) // SHARDS)
    return [
        {name: table[name] for name in names[first : first + per_file]}
        for first in range(0, len(names), per_file)
    ]


def many() -> list[Table]:
    return [{f"{number:x}": ("U8", (1,)) for number in range(MANY)}]


def write(folder: Path, tables: list[Table]) -> Path:
    """Headers, and holes where the weights would be."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for number, table in enumerate(tables):
        end, header = 0, {}
        for name, (dtype, shape) in table.items():
            start, end = end, end + prod(shape) * DTYPE_BYTES[dtype]
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": (start, end)}
        text = json.dumps(header, separators=(",", ":")).encode()
        path = folder / f"model-{number + 1:05d}-of-{len(tables):05d}.safetensors"
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + end)
    return folder


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
