"""What vLLM can't load on any machine."""

import re
from dataclasses import replace

import pytest

from domain.errors import UsageError
from domain.launches.plan import LLAMA_CPP, VLLM, LaunchOptions
from domain.models.kinds import Kind
from domain.models.model import ResolvedModel
from domain.units import MIB
from planner.choose.choose import plan
from tests.planner import build
from tests.planner.build import SMOL, folder
from tests.planner.vllm.test_vllm import GGUF, card, planned


def classifier() -> ResolvedModel:
    model = folder({**SMOL, "architectures": ("BertForTokenClassification",)}, 269 * MIB)
    return replace(model, weights=replace(model.weights, kind=Kind.ENCODER))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        pytest.param(folder(SMOL, 269 * MIB, "mlx"), "MLX weights, for Apple's mlx only", id="MLX"),
        pytest.param(folder(SMOL, 269 * MIB, "exl3", method="exl3"), "vLLM has no exl3", id="exl3"),
        pytest.param(
            folder(SMOL, 269 * MIB, "bitsandbytes", method="bitsandbytes"),
            "vLLM has no bitsandbytes",
            id="a method of earlier releases",
        ),
        pytest.param(
            classifier(),
            "BertForTokenClassification is an encoder, which answers with vectors",
            id="an encoder",
        ),
    ],
)
def test_what_vllm_can_t_load_is_refused_on_every_machine(model: ResolvedModel, says: str) -> None:
    for machine in (build.SMALL_CPU, build.hardware(card())):
        with pytest.raises(UsageError, match=says):
            plan("m", (model,), machine, LaunchOptions(engine=VLLM))
        chosen = plan("m", (*GGUF, model), machine, LaunchOptions())
        assert chosen.engine == LLAMA_CPP
    assert any(re.search(says, reason) for reason in chosen.reasons)


@pytest.mark.parametrize(
    "method", ["awq_marlin", "gptq_marlin", "auto-round", "compressed-tensors", "modelopt", "quark", "mxfp4"]
)
def test_methods_that_vllm_has_are_planned(method: str) -> None:
    chosen, _ = planned(folder(SMOL, 269 * MIB, method, method=method), build.hardware(card()))
    assert chosen.engine == VLLM


def test_what_no_engine_serves_is_refused_as_what_it_is_with_the_next_step() -> None:
    with pytest.raises(
        UsageError, match=r"^no engine here serves m: BertForTokenClassification is an"
    ) as why:
        plan("m", (classifier(),), build.SMALL_CPU, LaunchOptions())
    assert "find an embedding model: node-ctl search embed" in why.value.hint
