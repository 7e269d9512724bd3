"""The architectures that a llama.cpp build knows, as its library names them.

``LLM_ARCH_NAMES`` (llama.cpp, src/llama-arch.cpp) begins with ``clip`` and ends with ``(unknown)``, behind
which the names of ``LLM_KV_NAMES`` begin: compilers keep the order of the strings.
"""

import mmap
import re
from pathlib import Path

END = b"\0(unknown)\0general.type\0"
FIRST = ("clip", "llama")  # clip, which projectors are, since 2025: no model is one
# The end of another name is stored once, as a part of that: bert in neo-bert, qwen2 in rwkv6qwen2.
ENDS_OF_OTHERS = ("bert", "glm4", "qwen", "qwen2", "rwkv7")
NAME = re.compile(rb"[a-z0-9][a-z0-9._-]{1,47}")
MAX_LIST_BYTES = 1 << 14
MAX_BYTES = 2 << 30  # of a library or a static binary: one with the kernels of many GPUs has some hundred MiB
LIBRARIES = ("libllama.so*", "lib/libllama.so*", "../lib/libllama.so*", "../lib64/libllama.so*")


def known_architectures(path: str) -> tuple[str, ...] | None:
    """Sorted, ``None`` where the list is not found. Blocks: it reads the library beside the binary at
    ``path``, or the binary."""
    binary = Path(path)
    libraries = (found for pattern in LIBRARIES for found in sorted(binary.parent.glob(pattern)))
    return next((names for file in (*libraries, binary) if (names := _names_in(file))), None)


def _names_in(path: Path) -> tuple[str, ...]:
    try:
        if not 0 < path.stat().st_size <= MAX_BYTES:
            return ()
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            end = content.find(END)
            listed = _last_run(content[max(0, end - MAX_LIST_BYTES) : end]) if end >= 0 else []
            if not listed:
                return ()
            ends = [name for name in ENDS_OF_OTHERS if content.find(name.encode() + b"\0") >= 0]
    except (OSError, ValueError):  # also a file that shrinks, and one that can't be mapped
        return ()
    return tuple(sorted({*listed, *ends}))


def _last_run(before: bytes) -> list[str]:
    """The names at the end of ``before``, from the list's first one on."""
    names: list[str] = []
    for word in reversed(before.split(b"\0")):
        if word and not NAME.fullmatch(word):
            break
        if word:
            names.insert(0, word.decode())
    start = next((names.index(first) for first in FIRST if first in names), None)
    return [] if start is None else [name for name in names[start:] if name != "clip"]
