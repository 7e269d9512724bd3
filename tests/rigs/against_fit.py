"""Our plan and llama-server's own ``--fit``, run one after the other on lent devices of chosen sizes."""

import json
import re
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from catalog.resolved_models import model_of_file
from domain.launches.plan import LLAMA_CPP, LaunchOptions, LlamaFlags
from domain.machine.hardware import Gpu, InstalledEngine, MemoryKind
from domain.units import MIB
from launchers import llama_cpp
from launchers.base import Capabilities
from planner.choose.choose import plan
from planner.machine.budget import DEFAULT_RESERVE
from tests.planner import build
from tests.rigs import lent_ports, rpc

CONTEXT_TOKENS = 4096
ANSWER_TOKENS = 20
ANSWERS = 3  # the fastest counts: others use this machine, too
PROMPT = "The capital of France is"
READY_WITHIN_S = 600.0  # only ends a run whose engine hangs
MARGIN_MIB = DEFAULT_RESERVE.gpu_bytes // MIB  # left free on each device by both
BUFFER = re.compile(r"(RPC\d+\[[^]]*\]) +(?:model|KV|compute) buffer size = +([\d.]+) MiB")
OFFLOADED = re.compile(r"offloaded (\d+/\d+) layers")


@dataclass(frozen=True, slots=True)
class Case:
    """A model, and how much of each device's memory may be used."""

    name: str
    model: Path
    limits_mib: tuple[int, ...]

    @property
    def sizes_mib(self) -> tuple[int, ...]:
        return tuple(limit + MARGIN_MIB for limit in self.limits_mib)


@dataclass(frozen=True, slots=True)
class Result:
    """``held_mib``: what the engine reports of each device's memory; ``layers`` that it offloaded."""

    text: str
    decode_tokens_per_s: float
    layers: str
    held_mib: dict[str, float]


def our_flags(case: Case, engine: Capabilities) -> LlamaFlags:
    """The plan for cards of these sizes; one thread, as each device has."""
    gpus = tuple(
        Gpu(
            f"rpc:{number}",
            "",
            "RPC",
            MemoryKind.DEDICATED,
            size_mib * MIB,
            size_mib * MIB,
            bandwidth_bytes_per_s=400e9,
        )
        for number, size_mib in enumerate(case.sizes_mib)
    )
    machine = replace(
        build.SMALL_CPU, gpus=gpus, engines=(InstalledEngine(LLAMA_CPP, engine.path, engine.version),)
    )
    options = LaunchOptions(context_tokens=CONTEXT_TOKENS, parallel=1, threads=1)
    flags = plan(case.name, [model_of_file(case.model)], machine, options).flags
    assert isinstance(flags, LlamaFlags)
    return flags


def command_lines(case: Case, engine: Capabilities, addresses: Sequence[str]) -> dict[str, list[str]]:
    """Ours, and the same without the options that decide the split, which ``--fit`` does."""
    ours = replace(our_flags(case, engine), rpc=tuple(addresses))
    theirs = LlamaFlags(
        context_tokens=CONTEXT_TOKENS,
        parallel=1,
        kv_unified=ours.kv_unified,
        cache_type_k=ours.cache_type_k,
        cache_type_v=ours.cache_type_v,
        flash_attention=ours.flash_attention,
        threads=1,
        threads_batch=1,
        cache_ram_mib=0,
        ctx_checkpoints=ours.ctx_checkpoints,
        load_mode=ours.load_mode,
        rpc=tuple(addresses),
        fit=True,
        jinja=True,
    )
    margins = ("--fit-target", ",".join(str(MARGIN_MIB) for _ in case.sizes_mib))
    return {
        "ours": [*llama_cpp.arguments(ours, engine)],
        "--fit": [*llama_cpp.arguments(theirs, engine), *margins],
    }


def run(engine: Capabilities, model: Path, args: Sequence[str], log: Path) -> Result:
    """Starts the server, has it answer once to warm up, times further answers, stops it."""
    port = lent_ports.free()
    with served(engine, model, args, log, port):
        answer(port, 2)
        timed = [answer(port, ANSWER_TOKENS) for _ in range(ANSWERS)]
    reported = log.read_text(errors="replace")
    held: dict[str, float] = {}
    for device, mib in BUFFER.findall(reported):
        held[device] = held.get(device, 0.0) + float(mib)
    layers = OFFLOADED.findall(reported)[-1]
    return Result(timed[0][0], max(speed for _, speed in timed), layers, held)


@contextmanager
def served(engine: Capabilities, model: Path, args: Sequence[str], log: Path, port: int) -> Iterator[None]:
    command = [
        engine.path,
        "-m",
        str(model),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "-lv",
        "4",
        "--no-warmup",
        *args,
    ]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            wait_for(process, port, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if rpc.listens(process.pid, port) and is_ready(port):
            return
        time.sleep(0.05)
    raise AssertionError(f"llama-server did not start to serve:\n{log.read_text(errors='replace')[-2000:]}")


def is_ready(port: int) -> bool:
    """Whether the model is loaded."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60):
            return True
    except (urllib.error.URLError, OSError):
        return False


def answer(port: int, tokens: int) -> tuple[str, float]:
    """The text, and the decoded tokens/s."""
    body = {
        "prompt": PROMPT,
        "n_predict": tokens,
        "temperature": 0,
        "cache_prompt": False,
        "ignore_eos": True,
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/completion",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=600) as response:
        reported = json.load(response)
    return reported["content"], reported["timings"]["predicted_per_second"]


def interleaved(
    case: Case, engine: Capabilities, addresses: Sequence[str], folder: Path, *, rounds: int
) -> dict[str, list[Result]]:
    """Each round runs both; which is first alternates."""
    lines = command_lines(case, engine, addresses)
    found: dict[str, list[Result]] = {name: [] for name in lines}
    for number in range(rounds):
        for name in list(lines)[:: -1 if number % 2 else 1]:
            log = folder / f"{name.strip('-')}-{number}.log"
            found[name].append(run(engine, case.model, lines[name], log))
    return found


def ratios(found: dict[str, list[Result]]) -> tuple[float, float, float]:
    """Ours over theirs, round by round: lowest, median, highest."""
    pairs = zip(found["ours"], found["--fit"], strict=True)
    every = sorted(ours.decode_tokens_per_s / theirs.decode_tokens_per_s for ours, theirs in pairs)
    return every[0], statistics.median(every), every[-1]
