"""``node-ctl prove``: its progress, its result, its errors; what ``ps`` and ``models`` tell of it."""

import json
from dataclasses import replace

from domain.launches.launch import Progress, Step
from domain.launches.proof import ContextProof, DepthFigures
from domain.serialization import to_json
from domain.units import MIB
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.ctl.test_weights import ROW as WEIGHTS
from tests.fakes.daemon_server import Answer, FakeDaemon

PROOF = ContextProof(
    "2026-01-02T03:04:05+00:00",
    8192,
    8192,
    7372,
    (DepthFigures(3686, 80.2, 812.0), DepthFigures(7372, 61.0, None)),
    300 * MIB,
    320 * MIB,
)
FAILED = Progress(
    Step.FAILED, "smol failed at a depth of 90 tokens", 2.0, code="engine_failed", hint="see logs"
)


def stream(*steps: Progress) -> Answer:
    return Answer(lines=tuple(json.dumps(to_json(step)) for step in steps))


def test_it_shows_progress_and_the_speed_at_each_depth(ctl: Ctl, daemon: FakeDaemon) -> None:
    steps = (Progress(Step.PROVE, "filling", 1.0), Progress(Step.DONE, "smol is proven", 2.0))
    daemon.on("POST /v1/launches/smol/prove", stream(*steps))
    daemon.on("GET /v1/launches/smol", answers.DETAIL | {"proof": to_json(PROOF)})
    done = ctl("prove", "smol", "--depth", "7k")
    assert (done.returncode, done.stderr) == (0, "")
    assert daemon.asked[0].body == {"depth_tokens": 7168}
    assert "prove     filling\ndone      smol is proven\nproven    to a depth of 7372 tokens" in done.stdout
    assert "3686 tokens: decode 80, prompt 812 tokens/s" in done.stdout
    assert "7372 tokens: decode 61, prompt ? tokens/s" in done.stdout
    assert "it held 300 MiB of RAM there, 320 MiB were planned" in done.stdout
    as_json = ctl("prove", "smol", "--json")
    assert json.loads(as_json.stdout) == to_json(PROOF)
    assert "filling" in as_json.stderr


def test_a_failed_engine_is_an_error_with_its_exit_status(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/launches/smol/prove", stream(FAILED))
    done = ctl("prove", "smol")
    assert done.returncode == 6
    assert done.stderr == "node-ctl: smol failed at a depth of 90 tokens\nhint: see logs\n"


def test_a_daemon_that_is_lost_is_told(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/launches/smol/prove", stream(Progress(Step.PROVE, "filling", 1.0)))
    done = ctl("prove", "smol")
    assert done.returncode == 5
    assert "while it proved smol" in done.stderr


def test_ps_and_models_tell_what_is_proven(ctl: Ctl, daemon: FakeDaemon) -> None:
    row = replace(answers.ROW, loaded_context_tokens=8192, proven_context_tokens=7372)
    other = replace(answers.ROW, name="other", loaded_context_tokens=4096)
    daemon.on("GET /v1/launches", to_json([row, other]))
    daemon.on("GET /v1/models", to_json([replace(WEIGHTS, proven_context_tokens=7372)]))
    lines = ctl("ps").stdout
    assert "8192, proven 7372" in lines
    assert "8192, loaded 4096" in lines
    listed = ctl("models").stdout
    assert "PROVEN" in listed
    assert "7372" in listed


def test_show_tells_where_it_failed(ctl: Ctl, daemon: FakeDaemon) -> None:
    failed = replace(
        PROOF, figures=(), proven_tokens=None, failed_tokens=90, failure="died", window_tokens=4096
    )
    row = to_json(replace(answers.ROW, endpoint=None))
    daemon.on("GET /v1/launches", [row])
    detail = answers.DETAIL | {"launch": row, "options": {}, "proof": to_json(failed)}
    daemon.on("GET /v1/launches/smol", detail)
    shown = ctl("show", "smol").stdout
    assert "proven    to no depth" in shown
    assert "it failed at 90 tokens, planned with at most 4096 since: died" in shown
