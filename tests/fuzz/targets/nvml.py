"""What NVIDIA's library says of its cards: the real calls, to the library of tests/rigs/nvml."""

import json
import os
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from config.data import known_gpus
from domain.errors import NodeError
from domain.serialization import to_json
from probes.context import ProbeContext
from probes.gpus.nvidia import probe as nvidia
from tests.fuzz.mutation import json_mutation
from tests.fuzz.scratch import scratch
from tests.fuzz.sources import json_object
from tests.rigs import nvml
from tests.rigs.trees import MACHINES, plant_machine

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 1000, 64, 8192
RECORDED = {
    path.stem: json.loads(path.read_text()).get("nvml", {}) for path in sorted(MACHINES.glob("*.json"))
}
NAMES = tuple(name for name, answers in RECORDED.items() if answers)
FOLDER = scratch("nvml")
MORE = {
    "init": "0",
    "0.mig": "1",
    "0.mig_max": "7",
    "0.mig_0": "1",
    "0.nvlink_0": "1",
    "0.nvlink_0_pci": "00000000:01:00.0",
}
_mutate_json = json_mutation(
    (
        *MORE,
        *RECORDED[NAMES[0]],
        *NAMES,
        "!1",
        "!3",
        "!4",
        "!6",
        "!7",
        "!9",
        "!13",
        "!15",
        "!18",
        "!999",
        "12.1",
        "N/A",
        "18446744073709551615",
        "99999999MiB",
        "0",
        "zz:yy",
        "*.lost",
        "0.virtualization",
    )
)


def seeds() -> Iterator[bytes]:
    for name in NAMES:
        yield json.dumps({"machine": name, "answers": RECORDED[name]}).encode()
    yield json.dumps({"machine": NAMES[0], "answers": RECORDED[NAMES[0]] | MORE}).encode()


def mutate(data: bytes, rng: random.Random) -> bytes:
    return _mutate_json(data, rng)


def run(data: bytes) -> None:
    given = json_object(data) or {}
    answers = given.get("answers")
    if not isinstance(answers, dict):
        return
    lines = (f"{key}={value}\n" for key, value in answers.items())
    text = "".join(lines).replace("\0", "").encode(errors="replace")
    os.environb[b"NVML_SHIM_ANSWERS"] = text or b"#"
    context = _context(given["machine"] if given.get("machine") in NAMES else NAMES[0])
    reading = nvidia.probe(context.root, context.pci_devices, context.meminfo, context.known_gpus)
    json.dumps(to_json(reading.gpus), allow_nan=False).encode()
    for gpu in (*reading.gpus, *reading.set_aside):
        assert gpu.memory_total_bytes is None or gpu.memory_total_bytes > 0
        assert gpu.memory_free_bytes is None or gpu.memory_free_bytes >= 0


@cache
def _context(name: str) -> ProbeContext:
    """A machine whose library lies where that of WSL does: the loader does not find it elsewhere."""
    root = plant_machine(FOLDER / name, name)
    library = root / nvidia.LIBRARY_FOLDERS[0]
    library.parent.mkdir(parents=True, exist_ok=True)
    library.symlink_to(_library())
    return ProbeContext(root, root, known_gpus())


@cache
def _library() -> Path:
    folder = FOLDER / "library"
    folder.mkdir()
    return nvml.build(folder)
