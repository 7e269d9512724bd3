"""What a hint tells to type exists."""

import re

import pytest

from ctl.main import COMMANDS
from launchers import failures, llama_cpp, registry, vllm
from launchers.command import Exit
from launchers.failures import Failure
from launchers.llama_cpp import failures as of_llama
from launchers.vllm import failures as of_vllm

TABLES: dict[str, tuple[Failure, ...]] = {
    "llama.cpp": of_llama.FAILURES,
    "llama.cpp, less than planned": of_llama.DEGRADATIONS,
    "vllm": of_vllm.FAILURES,
    "vllm, died": of_vllm.CRASHES,
}


@pytest.mark.parametrize("table", TABLES)
def test_every_command_that_a_hint_names_is_one_of_node_ctl(table: str) -> None:
    for row in TABLES[table]:
        assert set(re.findall(r"node-ctl (\w+)", row.hint)) <= set(COMMANDS), row


def test_hints_of_any_exit_name_real_commands() -> None:
    for launcher in (llama_cpp, vllm):
        for ended in (Exit(3), Exit(-9), Exit(-4), Exit(None), Exit(1, oom_killed=True)):
            hint = launcher.diagnose("", ended).hint
            assert set(re.findall(r"node-ctl (\w+)", hint)) <= set(COMMANDS)


def test_damaged_weights_are_fetched_again_by_a_launch() -> None:
    damaged = llama_cpp.diagnose("invalid magic characters: '?', expected 'GGUF'", Exit(1))
    assert damaged.hint == failures.FETCH_AGAIN
    assert "launch again" in damaged.hint


def test_how_to_get_an_engine_is_never_an_unpinned_install() -> None:
    """The newest wheel of the embedded build ends with SIGILL on a CPU without AVX-VNNI."""
    for hint in registry.INSTALL.values():
        assert hint.startswith(("make venv", "make setup-vllm"))
        assert "pip install" not in hint
