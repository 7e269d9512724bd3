"""Which files an engine needs: of its program, of the system, and those that its command line names."""

import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

BREW = "/home/linuxbrew/.linuxbrew"
# Programs, libraries and drivers: /opt has ROCm and oneAPI; the last are of NixOS, Guix and Homebrew.
PROGRAMS = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/opt",
    "/nix/store",
    "/run/opengl-driver",
    "/gnu/store",
    BREW,
)
# In /etc. Not that as a whole: it has the settings of the daemon and of other services.
SETTINGS = """
ld.so.cache ld.so.conf ld.so.conf.d ld.so.preload alternatives localtime timezone hosts host.conf resolv.conf
nsswitch.conf gai.conf passwd group os-release debian_version machine-id locale.alias locale.conf mime.types
magic ssl pki ca-certificates python3 numa.conf drirc vulkan glvnd OpenCL nvidia amd rocm libibverbs.d
"""
KERNEL = "/proc", "/sys", "/run/udev"
# In /dev. Rights on the nodes, by mode and group, hold besides.
DEVICES = """
null zero full random urandom dri kfd accel dxg dma_heap udmabuf infiniband mali0 nvidiactl nvidia-uvm
nvidia-uvm-tools nvidia-modeset nvidia-caps nvidia-caps-imex-channels nvmap nvhost-ctrl nvhost-ctrl-gpu
nvhost-gpu nvgpu
"""
SPLIT = re.compile(r"(.{1,255})-\d{5}-of-(\d{5}\.gguf)")
SEPARATORS = re.compile(r"[=,:;]")  # --lora=a.gguf, a.gguf,b.gguf, a.gguf:0.5, VK_DRIVER_FILES=a:b
SHEBANG_BYTES = 256
MOST_ENTRIES = 10_000
OWN = "/proc/self/"


def settings() -> list[str]:
    return [f"/etc/{name}" for name in SETTINGS.split()]


def devices() -> list[str]:
    return [f"/dev/{name}" for name in DEVICES.split()] + [str(p) for p in Path("/dev").glob("nvidia[0-9]*")]


def of_program(program: str) -> Iterator[Path]:
    """What a binary or a script needs beside the system's files: its folder, its libraries, its Python
    environment, its interpreter."""
    path = Path(program)
    for binary in dict.fromkeys((path, path.resolve())):
        yield from (binary, binary.parent, *_environment(binary.parent.parent))
    interpreter = _interpreter(path)
    if interpreter is not None and interpreter != program:
        yield from of_program(interpreter)


def _environment(prefix: Path) -> Iterator[Path]:
    if (prefix / "pyvenv.cfg").exists():
        yield prefix
    yield from (folder for name in ("lib", "lib64", "include") if (folder := prefix / name).is_dir())


def _interpreter(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            start = file.read(SHEBANG_BYTES)
    except OSError:
        return None
    words = start[2:].split(b"\n")[0].split() if start.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else None


def named(words: Iterable[str]) -> Iterator[Path]:
    """The files and folders that words of a command line or values of variables name, but for those of the
    process itself: here that is not the engine."""
    for word in words:
        for piece in dict.fromkeys((word, *SEPARATORS.split(word))):
            if "/" in piece and not piece.startswith(OWN) and os.path.exists(piece):  # noqa: PTH110 - false for names that can't be
                yield Path(piece)


def with_parts(path: Path) -> Iterator[Path]:
    """With what belongs to it: behind the links of a folder, as a snapshot in the hub's cache is links to
    blobs; the other files of a split model."""
    if path.is_dir():
        yield path
        links = (entry for entry in islice(path.rglob("*"), MOST_ENTRIES) if entry.is_symlink())
        yield from (link.resolve() for link in links)
        return
    yield path.resolve()
    if split := SPLIT.fullmatch(path.name):
        first, last = split.groups()
        yield from (part.resolve() for part in path.parent.iterdir() if _is_part(part.name, first, last))


def _is_part(name: str, first: str, last: str) -> bool:
    return name.startswith(f"{first}-") and name.endswith(f"-of-{last}")
