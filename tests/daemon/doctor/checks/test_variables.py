"""Variables that engines do not get are named to their owner."""

import pytest

from daemon.doctor.checks import variables
from tests.daemon.doctor.checks.build import NOT_KNOWN, OK, WARNING, Case, case_id, inputs, judge

CASES = [
    Case("not known", inputs(overriding_variables=None), (NOT_KNOWN,)),
    Case("none", inputs(overriding_variables=()), (OK,)),
    Case(
        "an option of llama-server and memory that moves",
        inputs(overriding_variables=("GGML_CUDA_ENABLE_UNIFIED_MEMORY", "LLAMA_ARG_CTX_SIZE")),
        (WARNING,),
        ("GGML_CUDA_ENABLE_UNIFIED_MEMORY, LLAMA_ARG_CTX_SIZE", "planned", "engine_environment"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_variables(case: Case) -> None:
    judge(variables.check, case)
