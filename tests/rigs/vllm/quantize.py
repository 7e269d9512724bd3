"""A dense Llama-type folder to AWQ 4 bit. Usage: quantize.py SOURCE OUT (runs in .venv-vllm).

The tensors are those of AutoAWQ's "gemm" layout; the numbers are rounded to nearest with a search for the
best clipping, without calibration data: the AWQ format, not the AWQ algorithm. Small and quick, for tests.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

GROUP = 64  # 128 does not divide the 576 columns of SmolLM2-135M
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # in which AutoAWQ's gemm layout packs 8 nibbles into an int32
SHRINK = (1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.8)


def pack(nibbles: Tensor) -> Tensor:
    """(rows, columns) of 0..15 -> (rows, columns / 8) int32."""
    eights = nibbles.to(torch.int32).reshape(nibbles.shape[0], -1, 8)
    packed = torch.zeros(eights.shape[:2], dtype=torch.int32)
    for place, column in enumerate(ORDER):
        packed |= eights[:, :, column] << (4 * place)
    return packed


def quantise(groups: Tensor, shrink: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(out, groups, GROUP) -> error, nibbles, scales, zeros; the range of each group times ``shrink``."""
    low = groups.amin(-1, keepdim=True).clamp(max=0) * shrink
    high = groups.amax(-1, keepdim=True).clamp(min=0) * shrink
    scale = ((high - low) / 15).clamp(min=1e-6).half().float()
    zero = (-low / scale).round().clamp(0, 15)
    nibbles = (groups / scale + zero).round().clamp(0, 15)
    error = (((nibbles - zero) * scale - groups) ** 2).sum(-1, keepdim=True)
    return error, nibbles, scale, zero


def awq(name: str, weight: Tensor) -> dict[str, Tensor]:
    rows, columns = weight.shape
    groups = weight.float().reshape(rows, columns // GROUP, GROUP)
    best = quantise(groups, SHRINK[0])
    for shrink in SHRINK[1:]:
        other = quantise(groups, shrink)
        better = other[0] < best[0]
        best = tuple(torch.where(better, new, old) for new, old in zip(other, best, strict=True))
    _, nibbles, scale, zero = best
    return {
        f"{name}.qweight": pack(nibbles.reshape(rows, columns).t()).contiguous(),
        f"{name}.qzeros": pack(zero.squeeze(-1).t()).contiguous(),
        f"{name}.scales": scale.squeeze(-1).t().half().contiguous(),
    }


def convert(source: Path, out: Path) -> int:
    """The number of matrices quantised."""
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors: dict[str, Tensor] = {}
    matrices = 0
    for name, weight in load_file(source / "model.safetensors").items():
        if name.endswith("_proj.weight") and weight.dim() == 2:
            tensors |= awq(name.removesuffix(".weight"), weight)
            matrices += 1
        else:
            tensors[name] = weight.contiguous()
    config = json.loads((out / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "awq",
        "bits": 4,
        "group_size": GROUP,
        "zero_point": True,
        "version": "gemm",
        "modules_to_not_convert": ["lm_head"],
    }
    (out / "config.json").write_text(json.dumps(config, indent=1))
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return matrices


if __name__ == "__main__":
    print(f"{sys.argv[2]}: {convert(Path(sys.argv[1]), Path(sys.argv[2]))} matrices in AWQ 4 bit")
