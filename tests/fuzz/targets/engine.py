"""What engines say: their logs, tables and help texts, and the answers of their servers."""

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import httpx

from domain.errors import NodeError
from domain.launches.plan import DeviceMemory
from launchers import readiness
from launchers.command import Command, Exit
from launchers.llama_cpp import allocations, build, capabilities, dry_run, help, refusals  # noqa: A004
from launchers.llama_cpp import failures as llama_cpp
from launchers.vllm import capabilities as vllm_capabilities
from launchers.vllm import failures as vllm
from tests.conftest import ROOT
from tests.fuzz.mutation import json_mutation, line_mutation
from tests.fuzz.sources import json_object

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 500, 64, 4096
CAPTURES = ROOT / "tests" / "captures"
LONGEST_SEED = 1024
LOOP = asyncio.new_event_loop()
ENDS = (Exit(1), Exit(-9, oom_killed=True), Exit(-6, served=True))
COMMAND = Command(("/bin/engine",), port=1, served_name="smollm2-135m")
_mutate_json = json_mutation(
    ("data", "id", "choices", "delta", "content", "reasoning_content", "usage", "timings", "error")
)
_mutate_lines = line_mutation(
    ("MiB", "memory breakdown [MiB]", "CUDA0", "model buffer size", "error:", "allowed values: ")
)


def seeds() -> Iterator[bytes]:
    for path in sorted([*(CAPTURES / "llama.cpp").glob("*"), *(CAPTURES / "vllm").glob("*.log")]):
        if path.suffix in (".log", ".txt"):
            yield path.read_bytes()[-LONGEST_SEED:]
    for path in sorted((CAPTURES / "llama.cpp").glob("help-*.txt")):
        yield path.read_bytes()[:LONGEST_SEED]
    stream = (CAPTURES / "llama.cpp" / "chat-stream.txt").read_text().splitlines()
    chunks = [json.loads(line.removeprefix("data: ")) for line in stream if line.startswith("data: {")]
    yield json.dumps(
        {"models": json.loads((CAPTURES / "llama.cpp" / "models.json").read_bytes()), "chunks": chunks}
    ).encode()


def mutate(data: bytes, rng: random.Random) -> bytes:
    return (_mutate_json if data.startswith(b"{") else _mutate_lines)(data, rng)


def run(data: bytes) -> None:
    given = json_object(data)
    if given is not None and "models" in given:
        LOOP.run_until_complete(_serve(given))
    else:
        _read_output(data.decode(errors="replace"))


async def _serve(given: dict[str, Any]) -> None:
    """An engine is asked as at each start. ``chunks`` are what its stream says."""
    chunks = given.get("chunks")
    lines = [f"data: {json.dumps(chunk)}" for chunk in (chunks if isinstance(chunks, list) else [chunks])]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, content=json.dumps(given["models"]))
        return httpx.Response(200, content="\n\n".join(lines))

    async with httpx.AsyncClient(base_url="http://engine", transport=httpx.MockTransport(answer)) as http:
        await readiness.wait_until_healthy(http, "/health")
        await readiness.check_answer(http, COMMAND, expect="Paris")


def _read_output(text: str) -> None:
    ended = ENDS[len(text) % len(ENDS)]
    str(llama_cpp.diagnose(text, ended))
    str(vllm.diagnose(text, ended))
    llama_cpp.match_failure(llama_cpp.DEGRADATIONS, text)
    dry_run.is_complete(text)
    refusals.find_refusal(text)
    for usage in (
        *dry_run.parse_breakdown(text),
        *dry_run.parse_fit_print(text),
        *allocations.parse(text),
    ):
        DeviceMemory(usage.name, usage.model_bytes or 0, usage.context_bytes, usage.compute_bytes)
    help.parse_help(text)
    vllm_capabilities.parse_help(text)
    vllm_capabilities.parse_choices(text)
    capabilities.parse_version(text)
    capabilities.parse_devices(text)
    build.missing_instructions(text, frozenset({"avx"}))
