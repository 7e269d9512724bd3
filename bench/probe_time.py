"""How long one look at this machine takes, how many files it reads and children it starts, beside reading
those files alone; and the same on recorded machines, whose files lie on this disk."""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from config.data import known_gpus
from probes import snapshot
from probes.context import ProbeState
from tests.rigs.trees import plant_machine

RUNS = 20
MACHINES = ("strix-halo-128", "dgx-spark", "dual-3090", "i7-1370p")
CHILDREN = (
    "subprocess.Popen",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.exec",
    "os.system",
    "pty.spawn",
)

opened: list[str] = []
children: list[str] = []


def main() -> None:
    sys.addaudithook(note)
    heads = f"{'first':>10}{'again':>10}{'its CPU':>10}{'files':>7}{'again':>7}{'alone':>10}{'ratio':>7}"
    print(f"{'machine':<16}{heads}  children")
    show("this one", Path("/"))
    for name in MACHINES:
        with tempfile.TemporaryDirectory() as folder:
            show(name, plant_machine(Path(folder), name))


def note(event: str, args: tuple[object, ...]) -> None:
    if event == "open":
        opened.append(str(args[0]))
    elif event in CHILDREN:
        children.append(event)


def show(name: str, root: Path) -> None:
    """``alone`` is reading the files of a further look and nothing else, in CPU time, too: where others use
    the machine, a wall clock tells of them."""
    known, state = known_gpus(), ProbeState()
    with tempfile.TemporaryDirectory() as models:

        def look() -> object:
            return snapshot.probe(root=root, models_dir=Path(models), known_gpus=known, state=state)

        walls, processor, files = [], [], []
        for _ in range(RUNS + 1):
            opened.clear()
            wall_s, cpu_s = seconds(look)
            walls.append(wall_s)
            processor.append(cpu_s)
            files.append(list(opened))
    again_s, cpu_s = statistics.median(walls[1:]), statistics.median(processor[1:])
    alone_s = statistics.median(seconds(lambda: [read(file) for file in files[-1]])[1] for _ in range(RUNS))
    times = "".join(f"{value * 1000:>7.1f} ms" for value in (walls[0], again_s, cpu_s))
    counts = f"{len(files[0]):>7}{len(files[-1]):>7}"
    print(f"{name:<16}{times}{counts}{alone_s * 1000:>7.1f} ms{cpu_s / alone_s:>7.1f}  {len(children)}")


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """By the clock on the wall, and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


def read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 1 << 20)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
