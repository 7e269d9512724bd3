"""For which GPUs an engine was built, read from its libraries: no engine reports it without a GPU.

A llama.cpp build has its GPU code in libggml-cuda or libggml-hip beside the binary, or in the binary
itself; vLLM has it in torch, whose version file names the CUDA version.
"""

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

LIBRARIES = ("libggml-cuda.so*", "libggml-hip.so*")
# The name of the linked runtime, and what clang's offload bundler writes before each code object
CUDA_RUNTIME = re.compile(rb"libcudart\.so\.(\d{1,3})")
HIP_TARGET = re.compile(rb"amdgcn-amd-amdhsa--(gfx[0-9a-f]{3,4})")
TORCH_CUDA = re.compile(r"^cuda\b[^=]*=\s*'(\d+\.\d+)'", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Build:
    """``cuda`` is the CUDA version of its runtime: ``"12.8"``, or ``"12"`` where only the major version is
    known. ``hip_targets`` are the GPUs that it has HIP code for; empty where there is none."""

    cuda: str | None = None
    hip_targets: tuple[str, ...] = ()


def read_build(binary: Path) -> Build:
    """Never raises: what can't be read is unknown. Blocks while it reads the libraries."""
    builds = [_read_library(path) for path in _files(binary)]
    versions = [build.cuda for build in builds if build.cuda]
    targets = {target for build in builds for target in build.hip_targets}
    return Build(_torch_cuda(binary) or next(iter(versions), None), tuple(sorted(targets)))


def _files(binary: Path) -> Iterator[Path]:
    real = binary.resolve()
    yield real
    for folder in (real.parent, real.parent.parent / "lib"):
        for pattern in LIBRARIES:
            yield from sorted(folder.glob(pattern))


def _read_library(path: Path) -> Build:
    try:
        stat = path.stat()
        return _scan(path, stat.st_mtime_ns, stat.st_size)
    except (OSError, ValueError):  # missing, not readable, or empty, which can't be mapped
        return Build()


@lru_cache(maxsize=32)
def _scan(path: Path, _mtime_ns: int, _size: int) -> Build:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
        runtime = CUDA_RUNTIME.search(content)
        targets = {match[1].decode() for match in HIP_TARGET.finditer(content)}
        cuda = runtime[1].decode() if runtime else None
    return Build(cuda, tuple(sorted(targets)))


def _torch_cuda(binary: Path) -> str | None:
    """``binary`` is ``bin/vllm`` of an environment."""
    for file in sorted(binary.parent.parent.glob("lib/python3*/site-packages/torch/version.py")):
        try:
            match = TORCH_CUDA.search(file.read_text(errors="replace"))
        except OSError:
            continue
        return match[1] if match else None
    return None
