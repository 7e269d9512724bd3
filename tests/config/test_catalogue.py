"""The models that ship, and an owner's own file on top of them."""

from pathlib import Path

import pytest

from config.catalogue import KINDS, catalogue
from domain.errors import ConfigError
from domain.models.catalogue_types import KnownModel, VllmRepo
from domain.models.model import Chat
from domain.units import GIB
from launchers.vllm.options import parser_names

AT_LEAST = """
gpt-oss-20b gpt-oss-120b qwen3-0.6b qwen3-1.7b
qwen3-4b qwen3-8b qwen3-14b qwen3-32b qwen3-30b-a3b qwen3-235b-a22b
qwen3-next-80b-a3b qwen3.5-35b-a3b qwen3.6-35b-a3b qwen3.6-27b llama-3.1-8b llama-3.3-70b llama-4-scout
gemma-3-12b gemma-3-27b mistral-small-3.2-24b mixtral-8x7b glm-4.5-air glm-4.6 deepseek-v3 deepseek-r1
kimi-k2 phi-4 nemotron-3-nano-30b-a3b granite-4.0-h-small minimax-m2 smollm2-135m
"""


def test_every_model_names_where_its_facts_come_from() -> None:
    models = catalogue()
    assert set(AT_LEAST.split()) <= set(models)
    for alias, model in models.items():
        assert model.alias == alias
        assert model.licence or alias == "nemotron-3-nano-omni-30b-a3b"
        assert model.source
        assert model.gguf_repos or model.vllm
        assert all(quant.repo in model.gguf_repos for quant in model.quants)


def test_sizes_are_exact_or_not_there() -> None:
    """A size in GiB with two decimals, turned into bytes, is none."""
    sizes = [quant.size_bytes for model in catalogue().values() for quant in model.quants if quant.size_bytes]
    assert len(sizes) > 250
    rounded = [size for size in sizes if abs(round(size / GIB, 2) * GIB - size) < 2]
    assert rounded == []


def test_the_models_that_people_run_are_there() -> None:
    models = catalogue()
    assert len(models) >= 150
    assert sum(bool(model.shape) for model in models.values()) >= 80
    assert models["qwen3.6-27b"].sampling is not None
    assert models["qwen3.6-27b"].sampling.top_k == 20
    assert "glm5next" in " ".join(models["glm-5.3-flash"].known_issues)
    repos = [repo for model in models.values() for repo in model.gguf_repos]
    assert len(set(repos)) == len(repos), "a repository would have the facts of two models"
    assert not [repo for repo in repos if "draft" in repo.lower() or "dflash" in repo.lower()]


def test_every_repository_for_vllm_says_how_its_weights_are_stored() -> None:
    rows = [row for model in catalogue().values() for row in model.vllm]
    assert {row.kind for row in rows} == set(KINDS)
    assert len({row.repo for row in rows}) == len(rows)


def test_parsers_are_those_that_vllm_has() -> None:
    chats = [model.chat for model in catalogue().values() if model.chat]
    assert {chat.tool_call_parser for chat in chats} - {None} <= set(parser_names()["--tool-call-parser"])
    assert {chat.reasoning_parser for chat in chats} - {None} <= set(parser_names()["--reasoning-parser"])


def test_what_is_not_known_is_not_made_up() -> None:
    models = catalogue()
    assert models["llama-3.3-70b"].gated is True
    assert models["phi-4"].gated is None
    assert models["phi-4"].chat is None
    assert models["glm-5"].quants == ()


def own(tmp_path: Path, text: str) -> dict[str, KnownModel]:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return catalogue(file)


def test_an_owners_entry_adds(tmp_path: Path) -> None:
    models = own(
        tmp_path,
        '[mine]\ntitle = "Mine"\narchitecture = "llama"\nshape.block_count = 2\n'
        'shape."attention.head_count_kv" = [1, 2]\n'
        'vllm = [{ repo = "me/mine", kind = "fp8", compute_capability = 8.9 }]\n'
        'chat = { tool_call_parser = "hermes" }\n',
    )
    assert models["mine"].shape == {"block_count": 2, "attention.head_count_kv": (1, 2)}
    assert models["mine"].vllm == (VllmRepo("me/mine", "fp8", 8.9),)
    assert models["mine"].vllm_repos == ("me/mine",)
    assert models["mine"].chat == Chat(tool_call_parser="hermes")
    assert "gpt-oss-120b" in models


def test_an_owners_entry_overrides_key_by_key(tmp_path: Path) -> None:
    models = own(tmp_path, '[gpt-oss-20b]\ngguf_repos = ["me/gpt"]\n')
    assert models["gpt-oss-20b"].gguf_repos == ("me/gpt",)
    assert models["gpt-oss-20b"].title == "gpt-oss 20B"
    assert catalogue()["gpt-oss-20b"].gguf_repos[0] == "ggml-org/gpt-oss-20b-GGUF"


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        ("x = 5", 1, "expected a table", ""),
        ('[x]\ntitle = "X"', 1, "architecture is missing", ""),
        ('[x]\ntitle = "X"\narchitecture = 5', 3, "architecture", ""),
        ('\n[y]\n\n[x]\ngguf_repo = "o/r"', 2, "is missing", ""),
        ('# mine\n[x]\ntitle = "X"\ngguf_repo = "o/r"', 4, "unknown key 'gguf_repo'", "gguf_repos"),
        ('[x]\ntitle = "X"\nshape = 7\narchitecture = "llama"', 3, "shape", ""),
        (
            '[x]\ntitle = "X"\narchitecture = "llama"\nvllm = [\n  { repo = "o/r", kind = "fp9" },\n]',
            5,
            "unknown kind 'fp9'",
            "fp8",
        ),
        ('[x]\nvllm = [\n  { repo = "o/r", knid = "fp8" },\n]', 3, "unknown key 'knid'", "kind"),
        ("[x.chat]\nreasoning = true", 2, "unknown key 'reasoning'", "reasoning_"),
        ('["a b"]\ntitle = "X"', 1, "letters, digits", ""),
    ],
)
def test_a_wrong_entry_is_told_with_its_file_and_line(
    tmp_path: Path, text: str, line: int, says: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        own(tmp_path, text)
    assert f"mine.toml, line {line}, [" in str(caught.value)
    assert hint in caught.value.hint


def test_a_file_that_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not TOML: .*line 2"):
        own(tmp_path, "\nnot toml")
    with pytest.raises(
        ConfigError, match=r"is not TOML: a number has too many digits \(at line 2, column 14\)"
    ):
        own(tmp_path, f"[x]\nparameters = {'8' * 4400}")
    with pytest.raises(ConfigError, match="cannot be read"):
        catalogue(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        catalogue(tmp_path / "bytes.toml")
