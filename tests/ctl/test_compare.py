"""``compare``: which words are models and which machines, and the table that comes of it."""

from dataclasses import replace
from typing import Any

import pytest

from config import data
from ctl.show.compare import comparison_lines, placement
from domain.launches.plan import LlamaFlags, Plan, Speed
from domain.serialization import to_json
from domain.units import GIB
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import FakeDaemon, refusal

REFUSED = {
    "code": "does_not_fit",
    "message": "m does not fit",
    "hint": "",
    "needs_bytes": 12 * GIB,
    "has_bytes": 7 * GIB,
}
ROWS: list[dict[str, Any]] = [
    {
        "model": "m",
        "profile": "large",
        "plan": to_json(answers.MOE_PLAN),
        "error": None,
        "power_limit_w": 350,
    },
    {"model": "m", "profile": "small-box", "plan": None, "error": REFUSED, "power_limit_w": None},
    {
        "model": "n",
        "profile": "large",
        "plan": to_json(replace(answers.PLAN, speed=Speed())),
        "error": None,
        "power_limit_w": None,
    },
]


@pytest.fixture
def comparing(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on("POST /v1/compare", ROWS)
    return daemon


def asked(daemon: FakeDaemon) -> tuple[list[str], list[str]]:
    """Models and machines of the one question."""
    body: Any = daemon.asked[0].body
    return body["models"], [box["name"] for box in body["on"]]


@pytest.mark.parametrize(
    ("words", "models", "boxes"),
    [
        pytest.param("m n --on rtx-3090", ["m", "n"], ["rtx-3090"], id="one box"),
        pytest.param("m --on rtx-3090 r9700", ["m"], ["rtx-3090", "r9700"], id="several after one --on"),
        pytest.param("m --on rtx-3090 --on r9700", ["m"], ["rtx-3090", "r9700"], id="several --on"),
        pytest.param("m m strix-halo", ["m"], ["strix-halo-128gb"], id="a box without --on, a model twice"),
        pytest.param("m", ["m"], list(data.profile_names()), id="all that ship"),
    ],
)
def test_words_are_models_or_machines(
    ctl: Ctl, comparing: FakeDaemon, words: str, models: list[str], boxes: list[str]
) -> None:
    assert ctl("compare", *words.split()).returncode == 0
    assert asked(comparing) == (models, boxes)


def test_the_legend_is_of_what_is_shown(ctl: Ctl, comparing: FakeDaemon) -> None:
    wide, narrow = comparison_lines(ROWS), comparison_lines(ROWS, 44)
    assert [line[:9].strip() for line in wide[-7:]] == ["DECODE", "PREFILL", "LOAD", "WATTS", "", "MoE", "?"]
    assert narrow[-2:] == ["DECODE   tokens/s of an answer, estimated", "?        unknown"]


def test_the_table_has_a_line_for_each_machine(ctl: Ctl, comparing: FakeDaemon) -> None:
    said = ctl("compare", "m", "n", "--on", "rtx-3090").stdout.splitlines()
    assert said[0] == "m"
    assert said[1].split() == ["BOX", "QUANT", "SPLIT", "CONTEXT", "DECODE", "PREFILL", "LOAD", "WATTS"]
    assert " ".join(said[2].split()) == "large Q4_1 GPU, 12 MoE on CPU 8192 85 900 1.2 s 350"
    assert said[3] == "  small-box  does not fit: needs 12.0 GiB, has 7.0 GiB, lacks 5.0 GiB"
    assert said[7].split() == ["large", "Q4_1", "CPU", "8192", "?", "?", "?", "?"]
    assert "WATTS" in said[1]
    assert len({line.index("SPLIT") for line in said if "SPLIT" in line}) == 1


def test_json_is_the_daemons_answer(ctl: Ctl, comparing: FakeDaemon) -> None:
    done = ctl("compare", "m", "--on", "rtx-3090", "--json")
    assert '"lacks' not in done.stdout
    assert '"needs_bytes": 12884901888' in done.stdout


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        pytest.param("--on rtx-3090", 2, "MODEL", id="no model"),
        pytest.param("rtx-3090 r9700", 2, "no model is given", id="machines alone"),
        pytest.param("m --on rtx-309", 2, "did you mean rtx-3090", id="no such machine"),
        pytest.param("m --on none.json", 2, "cannot be read", id="no such file"),
        pytest.param("wrong", 3, "wrong", id="no such model"),
    ],
)
def test_what_is_wrong_is_told(ctl: Ctl, daemon: FakeDaemon, words: str, status: int, said: str) -> None:
    daemon.on("POST /v1/compare", refusal("unknown_model", "no model is called 'wrong'", status=404))
    done = ctl("compare", *words.split())
    assert done.returncode == status
    assert said in done.stderr


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        pytest.param(answers.PLAN, "CPU", id="no GPU"),
        pytest.param(answers.VLLM_PLAN, "CPU", id="vLLM on a CPU"),
        pytest.param(replace(answers.VLLM_PLAN, memory=(answers.GPU_MEMORY,)), "GPU", id="vLLM on a GPU"),
        pytest.param(
            replace(answers.MOE_PLAN, flags=LlamaFlags(cpu_moe=True)), "GPU, experts on CPU", id="experts"
        ),
        pytest.param(
            replace(answers.MOE_PLAN, memory=(answers.GPU_MEMORY,) * 2, flags=LlamaFlags(gpu_layers=999)),
            "2 GPUs",
            id="two GPUs",
        ),
        pytest.param(
            replace(answers.MOE_PLAN, flags=LlamaFlags(gpu_layers=9)),
            "9 layers GPU, rest CPU",
            id="layers",
        ),
    ],
)
def test_a_split_is_a_few_words(plan: Plan, words: str) -> None:
    assert placement(plan) == words


def test_a_refusal_that_is_not_about_memory_keeps_its_words() -> None:
    row = {**ROWS[1], "error": {"code": "bad_usage", "message": "no such quant", "hint": ""}}
    assert comparison_lines([row])[2] == "  small-box  no such quant"


def test_what_an_engine_here_says_to_a_model_is_told_once() -> None:
    said = "llama-server 0.10434.0 of this machine loads the model; memory was not checked with it"
    lines = comparison_lines([{**row, "engine_here": said} for row in ROWS])
    assert {line for line in lines if "llama-server" in line} == {f"  {said}"}
