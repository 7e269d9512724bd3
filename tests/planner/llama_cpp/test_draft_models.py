"""A draft model's memory counts on the device that holds it."""

import re
from pathlib import Path

import pytest

from catalog.formats.gguf.reader import read_file
from domain.launches.plan import DeviceMemory
from domain.machine.hardware import Hardware
from domain.models.model import ModelShape
from domain.units import MIB
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp.context_params import EngineTool
from planner.llama_cpp.estimate import estimate, memory_layout
from planner.llama_cpp.memory import draft_models
from planner.llama_cpp.placement import HOST_ID
from tests.planner import build
from tests.planner.llama_cpp.test_engine_agrees import first_match, here

LINE = "-ngl 999 -c 8192 -np 2 -ctk q8_0 -ctv q8_0 -fa on"
MODEL, DRAFT = ("llama-3.1-8b", "Q4_K_M"), ("qwen3-0.6b", "F16")


def rows(
    args: str,
    machine: Hardware,
    *,
    draft: ModelShape | None = None,
    model: tuple[str, str] = MODEL,
) -> dict[str, DeviceMemory]:
    estimated = estimate(build.shape(*model), parse(args.split()), machine, draft=draft)
    return {row.device: row for row in estimated.memory}


def figures(row: DeviceMemory) -> tuple[int, int, int]:
    return row.weights_bytes, row.kv_cache_bytes, row.compute_bytes


def test_a_draft_takes_what_it_would_take_alone_with_its_own_cache_type() -> None:
    machine = build.hardware(build.gpu(24))
    both = rows(f"{LINE} -md d.gguf -ngld all -ctkd q4_0", machine, draft=build.shape(*DRAFT))
    model_only = rows(LINE, machine)
    alone = rows("-ngl 999 -c 8192 -np 2 -ctk q4_0 -ctv f16 -fa on", machine, model=DRAFT)
    for device in ("GPU0", "host"):
        sums = [sum(pair) for pair in zip(figures(model_only[device]), figures(alone[device]), strict=True)]
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
    model_only = rows(f"{LINE} -dev CUDA0", machine)
    both = rows(f"{LINE} -dev CUDA0 -md d.gguf {options}", machine, draft=build.shape(*DRAFT))
    assert "GPU1" not in model_only
    before = model_only[device].kv_cache_bytes if device in model_only else 0
    assert both[device].kv_cache_bytes > before
    assert both["GPU0"].weights_bytes == model_only["GPU0"].weights_bytes


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
    args = ["-c", "4096", "-np", "2", "-fa", "on", "-md", str(smollm2), "-ctkd", "q8_0", "-ctvd", "q8_0"]
    pattern = re.compile(r"KV buffer size = +(47\.\d+) MiB")
    printed = first_match(smollm2, [*args, "-fit", "off"], pattern, limit_kib=8_000_000)
    shape = read_file(smollm2)
    model_only, both = (
        estimate(shape, parse(args), here(), draft=draft).memory[-1] for draft in (None, shape)
    )
    ours = (both.kv_cache_bytes - model_only.kv_cache_bytes) / MIB
    assert ours == pytest.approx(float(printed[0]), rel=0.001)


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


@pytest.mark.parametrize(("model", "small", "extra", "model_mib", "draft_mib"), DRAFTED)
def test_a_model_and_its_draft_take_what_the_engine_said(
    model: str, small: str, extra: str, model_mib: tuple[int, int, int], draft_mib: tuple[int, int, int]
) -> None:
    args = parse(f"-md d.gguf --spec-type draft-simple {extra}".split())
    machine = build.assumed_gpus(0)
    layout = memory_layout(build.published(model), args, machine, tool=EngineTool.DRY_RUN)
    context = draft_models.draft_context(
        build.published(model), build.published(small), args, layout.cparams, machine
    )
    assert context is not None
    draft_part = draft_models.draft_memory(context, args)
    ours = [size // MIB for size in figures(layout.memory[-1])]
    assert ours == list(model_mib)
    assert [
        part[HOST_ID] // MIB for part in (draft_part.weights, draft_part.kv_cache, draft_part.compute)
    ] == list(draft_mib)
