"""What models a build knows, read from the build."""

from pathlib import Path

import pytest

from launchers import llama_cpp, vllm
from launchers.base import SearchPaths
from tests.launchers.conftest import CAPTURES

NEWEST = frozenset((CAPTURES / "llama.cpp" / "architectures-b11434.txt").read_text().split())
# What b11434 has and the embedded build, b10434, has not, by the sources of both; and what is no model's.
NEWER = {
    *("bailingmoe3", "clef", "clip", "dots3note", "glm5-next", "granite_swa", "hrm_text", "hy_v4", "kimi-k3"),
    *("maple", "minimax-01", "qwen4exp", "spark2_5"),
}
LIST = b"general\0words \0clip\0llama\0neo-bert\0\0qwen3\0(unknown)\0general.type\0general.name\0"


def binary(folder: Path, content: bytes, name: str = "llama-server") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return str(folder / "llama-server")


def test_the_included_build_names_what_its_source_has() -> None:
    (included, *_) = llama_cpp.find(SearchPaths(embedded=True))
    assert set(llama_cpp.known_architectures(included.path) or ()) == NEWEST - NEWER


@pytest.mark.parametrize("name", ["llama-server", "libllama.so.0", "../lib/libllama.so"])
def test_the_list_is_in_the_binary_or_in_a_library_of_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "lib").mkdir()
    path = binary(tmp_path / "bin", b"\x7fELF" + bytes(70_000) + LIST, name)
    assert llama_cpp.known_architectures(path) == ("bert", "llama", "neo-bert", "qwen3")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="an empty file"),
        pytest.param(b"#!/bin/sh\nexec llama-server\n", id="a script"),
        pytest.param(LIST.replace(b"llama", b"LLAMA").replace(b"clip", b"CLIP"), id="no beginning"),
        pytest.param(LIST[: LIST.index(b"general.type")], id="no end"),
        pytest.param(b"a\0" * 20_000 + LIST[-40:], id="endless"),
    ],
)
def test_a_build_without_the_list_tells_nothing(tmp_path: Path, content: bytes) -> None:
    assert llama_cpp.known_architectures(binary(tmp_path, content)) is None
    assert llama_cpp.known_architectures(str(tmp_path / "absent")) is None


def environment(folder: Path, registry: str) -> str:
    models = folder / "lib/python3.12/site-packages/vllm/model_executor/models"
    models.mkdir(parents=True)
    (models / "registry.py").write_text(registry)
    return str(folder / "bin" / "vllm")


def test_vllm_names_what_its_registry_has(tmp_path: Path) -> None:
    registry = """
_TEXT = {"LlamaForCausalLM": ("llama", "LlamaForCausalLM"), "Qwen3ForCausalLM": ("qwen3", "Qwen3ForCausalLM")}
_EMBEDDING = {"BertModel": ("bert", "BertModel")}
_PREVIOUSLY_SUPPORTED_MODELS = {"MotifForCausalLM": "0.10.2"}
_VLLM_MODELS = {**_TEXT, **_EMBEDDING}
"""
    known = vllm.known_architectures(environment(tmp_path, registry))
    assert known == ("BertModel", "LlamaForCausalLM", "Qwen3ForCausalLM")


@pytest.mark.parametrize(
    "registry", ["", "def", "_VLLM_MODELS = {**_OTHERS}", "_VLLM_MODELS = 3", "(" * 5000]
)
def test_another_registry_tells_nothing(tmp_path: Path, registry: str) -> None:
    assert vllm.known_architectures(environment(tmp_path, registry)) is None
    assert vllm.known_architectures(str(tmp_path / "absent" / "bin" / "vllm")) is None
