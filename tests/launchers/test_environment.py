"""What is set around the daemon changes no plan: such variables do not reach engines, and are told."""

import re

import pytest

from launchers import query
from launchers.base import Capabilities
from launchers.environment import PLANNED, child_environment, overriding
from tests.launchers.conftest import CAPTURES, ROOT

TOKENS = {"HF_TOKEN", "LLAMA_API_KEY"}
DEVICES = {"CUDA_VISIBLE_DEVICES": "1", "GGML_VK_VISIBLE_DEVICES": "0", "ROCR_VISIBLE_DEVICES": "0"}
MOVES_MEMORY = {
    "GGML_CUDA_ENABLE_UNIFIED_MEMORY": "1",
    "GGML_VK_ALLOW_SYSMEM_FALLBACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "40",
}


def variables_in(help_text: str) -> dict[str, str]:
    return dict.fromkeys(re.findall(r"\(env: (\w+)\)", help_text), "1")


def none_is_unclassified(help_text: str) -> None:
    named = variables_in(help_text)
    assert len(named) > 100
    assert child_environment(named, {}) == {}
    assert named.keys() - set(overriding(named)) <= TOKENS


@pytest.mark.parametrize("name", ["help-b10434.txt", "help-b11434.txt"])
def test_no_option_of_a_recorded_build_comes_from_a_variable(name: str) -> None:
    none_is_unclassified((CAPTURES / "llama.cpp" / name).read_text())


@pytest.mark.engine
def test_no_option_of_the_installed_build_comes_from_a_variable(engine: Capabilities) -> None:
    none_is_unclassified(query.answer(engine.path, ("--help",), env=engine.env))


def test_memory_stays_where_it_was_planned() -> None:
    assert child_environment({**DEVICES, **MOVES_MEMORY}, {}) == DEVICES
    assert overriding({**DEVICES, **MOVES_MEMORY}) == tuple(sorted(MOVES_MEMORY))


def test_the_page_names_each_that_moves_memory() -> None:
    page = (ROOT / "docs" / "engines.md").read_text()
    assert all(f"`{name}`" in page for name in PLANNED)


def test_the_owner_has_the_last_word() -> None:
    passed = ("VLLM_CPU_KVCACHE_SPACE", "LLAMA_ARG_THREADS")
    wanted = {"VLLM_CPU_KVCACHE_SPACE": "40", "LLAMA_ARG_THREADS": "3"}
    assert child_environment({**MOVES_MEMORY, **wanted}, {}, passed=passed) == wanted
    assert overriding(wanted, passed=passed) == ()


def test_a_launch_s_own_value_is_kept() -> None:
    own = {"VLLM_CPU_KVCACHE_SPACE": "4"}
    assert child_environment(MOVES_MEMORY, own) == own
