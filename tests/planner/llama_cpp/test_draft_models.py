"""A draft model counts, where it stands, with what it takes."""

import re
from pathlib import Path

import pytest

from catalog.formats.gguf.reader import read_file
from domain.hardware import Hardware
from domain.model import ModelShape
from domain.plan import DeviceMemory
from domain.units import MIB
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp import draft_models
from planner.llama_cpp.context_params import Reader
from planner.llama_cpp.estimate import estimate, lay_out
from planner.llama_cpp.placement import HOST_ID
from tests.planner import build
from tests.planner.llama_cpp.test_engine_agrees import here, said

LINE = "-ngl 999 -c 8192 -np 2 -ctk q8_0 -ctv q8_0 -fa on"
MODEL, DRAFT = ("llama-3.1-8b", "Q4_K_M"), ("qwen3-0.6b", "F16")


def rows(
    line: str,
    machine: Hardware,
    *,
    draft: ModelShape | None = None,
    model: tuple[str, str] = MODEL,
) -> dict[str, DeviceMemory]:
    found = estimate(build.shape(*model), parse(line.split()), machine, draft=draft)
    return {row.device: row for row in found.memory}


def figures(row: DeviceMemory) -> tuple[int, int, int]:
    return row.weights_bytes, row.kv_cache_bytes, row.compute_bytes


def test_a_draft_takes_what_it_would_take_alone_with_its_own_cache_type() -> None:
    machine = build.hardware(build.gpu(24))
    both = rows(f"{LINE} -md d.gguf -ngld all -ctkd q4_0", machine, draft=build.shape(*DRAFT))
    own = rows(LINE, machine)
    alone = rows("-ngl 999 -c 8192 -np 2 -ctk q4_0 -ctv f16 -fa on", machine, model=DRAFT)
    for device in ("GPU0", "host"):
        sums = [sum(pair) for pair in zip(figures(own[device]), figures(alone[device]), strict=True)]
        assert list(figures(both[device])) == sums


@pytest.mark.parametrize(
    ("options", "device"),
    [
        pytest.param("-ngld 0", "host", id="no layers on a GPU"),
        pytest.param("-devd none", "host", id="no device"),
        pytest.param("-devd CUDA1 -ngld all", "GPU1", id="another GPU than the model's"),
    ],
)
def test_a_draft_stands_where_it_is_put(options: str, device: str) -> None:
    machine = build.hardware(build.gpu(24, name="a"), build.gpu(24, name="b"))
    own = rows(f"{LINE} -dev CUDA0", machine)
    both = rows(f"{LINE} -dev CUDA0 -md d.gguf {options}", machine, draft=build.shape(*DRAFT))
    assert "GPU1" not in own
    before = own[device].kv_cache_bytes if device in own else 0
    assert both[device].kv_cache_bytes > before
    assert both["GPU0"].weights_bytes == own["GPU0"].weights_bytes


def test_tokens_that_are_guessed_have_their_logits() -> None:
    machine = build.hardware()
    plain, drafted = (
        rows(f"-c 8192 -np 4 {more}", machine)["host"].compute_bytes
        for more in ("", "--spec-type draft-simple --spec-draft-n-max 127")
    )
    assert drafted - plain > 100 * MIB


@pytest.mark.engine
def test_the_engine_takes_for_a_draft_what_was_said(smollm2: Path) -> None:
    """Its cache is the second that is printed, in its own type."""
    line = ["-c", "4096", "-np", "2", "-fa", "on", "-md", str(smollm2), "-ctkd", "q8_0", "-ctvd", "q8_0"]
    pattern = re.compile(r"KV buffer size = +(47\.\d+) MiB")
    found = said(smollm2, [*line, "-fit", "off"], pattern, limit_kib=8_000_000)
    shape = read_file(smollm2)
    own, both = (estimate(shape, parse(line), here(), draft=given).memory[-1] for given in (None, shape))
    mine = (both.kv_cache_bytes - own.kv_cache_bytes) / MIB
    assert mine == pytest.approx(float(found[0]), rel=0.001)


# MiB of weights, cache and compute, of the model and of its draft, on the host. Source: llama-server of
# b11434 on replicas: -m MODEL -md DRAFT --spec-type draft-simple ARGS -fit on -lv 4 --no-repack.
DRAFTED = [
    ("qwen2.5-7b", "qwen2.5-1.5b", "-c 8192 -np 1", (4460, 448, 154), (934, 224, 75)),
    (
        "qwen2.5-7b",
        "qwen2.5-1.5b",
        "-c 16384 -np 4 --spec-draft-n-max 8",
        (4460, 896, 150),
        (934, 448, 71),
    ),
    (
        "qwen2.5-7b",
        "qwen2.5-1.5b",
        "-c 16384 -np 2 -kvu -ctk q8_0 -ctv q8_0 -fa on",
        (4460, 476, 162),
        (934, 448, 83),
    ),
    ("gemma-3-27b", "gemma-3-4b", "-c 8192", (15773, 2512, 191), (2368, 682, 97)),
    ("qwen3.5-27b", "qwen3.5-4b", "-c 8192 -np 2", (15460, 811, 156), (2510, 356, 83)),
]


@pytest.mark.parametrize(("model", "small", "args", "own", "drafts"), DRAFTED)
def test_a_model_and_its_draft_take_what_the_engine_said(
    model: str, small: str, args: str, own: tuple[int, int, int], drafts: tuple[int, int, int]
) -> None:
    line = parse(f"-md d.gguf --spec-type draft-simple {args}".split())
    box = build.assumed_gpus(0)
    laid = lay_out(build.published(model), line, box, reader=Reader.DRY_RUN)
    beside = draft_models.draft(build.published(small), line, laid.run, box)
    mine = [size // MIB for size in figures(laid.rows[-1])]
    assert mine == list(own)
    assert [part[HOST_ID] // MIB for part in (beside.weights, beside.cache, beside.work)] == list(drafts)
