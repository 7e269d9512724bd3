"""Bodies of requests: checked, turned into options, command lines and machines, and planned for."""

import json
import random
from collections.abc import Iterator

from pydantic import ValidationError

from daemon.api import bodies
from daemon.planning.command_line import estimate_flags
from domain.errors import NodeError
from domain.launches.plan import LLAMA_CPP, VLLM
from domain.models.model import ResolvedModel, Source, WeightFile, Weights
from launchers.registry import LAUNCHERS
from planner.llama_cpp.context_params import EngineTool
from planner.machine.calibration import Calibration
from tests.conftest import ROOT
from tests.fuzz.machines import machine
from tests.fuzz.mutation import json_mutation
from tests.fuzz.sources import json_object
from tests.planner import build

ALLOWED = (NodeError, ValidationError)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 2000, 128, 16384
KINDS = {
    kind.__name__: kind
    for kind in (
        bodies.PlanBody,
        bodies.SearchBody,
        bodies.CompareBody,
        bodies.EstimateBody,
        bodies.LaunchBody,
        bodies.PullBody,
        bodies.ModelBody,
        bodies.PinBody,
        bodies.RoomBody,
        bodies.AdoptBody,
        bodies.StopBody,
    )
}
ARGS = [
    "-ngl",
    "99",
    "-c",
    "4096",
    "-np",
    "4",
    "-ctk",
    "q8_0",
    "-ctv",
    "q8_0",
    "-fa",
    "on",
    "-b",
    "2048",
    "-ub",
    "512",
    "-ts",
    "3,1",
    "-sm",
    "layer",
    "-mg",
    "0",
    "-ot",
    "exps=CPU",
    "-ncmoe",
    "2",
    "-dev",
    "CUDA0",
    "-t",
    "8",
    "--mlock",
    "--no-mmap",
    "--cache-ram",
    "0",
    "--swa-full",
    "--no-kv-offload",
    "--spec-type",
    "draft",
    "--draft-max",
    "4",
]
VLLM_ARGS = [
    "--max-model-len",
    "4k",
    "--gpu-memory-utilization",
    "0.5",
    "-tp",
    "1",
    "--max-num-seqs",
    "4",
    "--kv-cache-memory-bytes",
    "2G",
]
SHAPE = build.published(build.one_of_each_architecture()[0])
_mutate_json = json_mutation(
    (*KINDS, *ARGS, *VLLM_ARGS, *bodies.PlanBody.model_fields, "-1", "1e308", "01:00-06:00", "5 MB")
)


def seeds() -> Iterator[bytes]:
    box = json.loads((ROOT / "config" / "profiles" / "dual-rtx-3090.json").read_text())
    yield _input(
        "PlanBody", {"model": "m", "context_tokens": 4096, "parallel": 2, "quality": "best", "on": box}
    )
    yield _input("EstimateBody", {"model": "m", "args": ARGS, "depth_tokens": 100})
    yield _input("EstimateBody", {"model": "m", "args": VLLM_ARGS, "engine": "vllm"})
    yield _input("EstimateBody", {"model": "m", "args": ["-c", "4096"], "gpus": 2, "on": box})
    yield _input("CompareBody", {"models": ["m"], "on": [box]})
    yield _input("PullBody", {"model": "m", "limit": "5 MB", "window": "01:00-06:00"})
    yield _input("LaunchBody", {"model": "m", "name": "n", "retune": True, "threads": 4})
    yield _input("RoomBody", {"free_bytes": 1, "dry_run": True})


def mutate(data: bytes, rng: random.Random) -> bytes:
    return _mutate_json(data, rng)


def run(data: bytes) -> None:
    given = json_object(data)
    if given is None:
        return  # the framework answers those
    kind = given.get("kind")
    body = KINDS[kind if isinstance(kind, str) and kind in KINDS else "PlanBody"].model_validate(
        given.get("body")
    )
    use(body)


def use(body: bodies.Body) -> None:
    if isinstance(body, bodies.PullBody):
        body.request(bodies.DownloadPolicy())
    elif isinstance(body, bodies.OptionsBody):
        body.options()
    if isinstance(body, bodies.CompareBody):
        for box in body.on:
            bodies.profile(box)
    elif isinstance(body, bodies.PlanBody):
        bodies.profile(body.on)
    elif isinstance(body, bodies.EstimateBody):
        _estimate(body)


def _estimate(body: bodies.EstimateBody) -> None:
    box = bodies.profile(body.on) or machine("dual-rtx-3090")
    engine = VLLM if body.engine == VLLM else LLAMA_CPP
    flags = LAUNCHERS[engine].parse(body.args)
    weights = Weights(
        Source.FILE, "/x", None, (WeightFile("x.gguf", SHAPE.file_bytes),), "Q4_0", SHAPE.file_bytes, "/x"
    )
    candidate = ResolvedModel(weights, SHAPE)
    estimate_flags(candidate, flags, box, body.depth_tokens, Calibration(), EngineTool.SERVER)


def _input(kind: str, body: object) -> bytes:
    return json.dumps({"kind": kind, "body": body}).encode()
