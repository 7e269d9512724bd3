"""What a model can be called, and what a wrong name gets for an answer."""

from pathlib import Path

import pytest

from catalog.names import Alias, Local, Name, Repo, Url, Wheel, checked_path, nearest, parse
from config.data import catalogue
from domain.errors import BadModelError, UnknownModelError, UsageError


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("gpt-oss-120b", Alias("gpt-oss-120b")),
        ("gpt-oss-20b:Q4_K_M", Alias("gpt-oss-20b", "Q4_K_M")),
        ("qwen2.5-72b", Alias("qwen2.5-72b")),
        ("unsloth/Qwen3-8B-GGUF", Repo("unsloth/Qwen3-8B-GGUF")),
        ("unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL", Repo("unsloth/Qwen3-8B-GGUF", "UD-Q4_K_XL")),
        ("hf:o/r:Q8_0@refs/pr/3", Repo("o/r", "Q8_0", "refs/pr/3")),
        ("o/r@abc123", Repo("o/r", None, "abc123")),
        ("model.gguf", Local(Path("model.gguf"))),
        ("folder/model.gguf", Local(Path("folder/model.gguf"))),
        ("/srv/models/llama", Local(Path("/srv/models/llama"))),
        ("./llama", Local(Path("llama"))),
        ("https://example.org/a/b.gguf?download=true", Url("https://example.org/a/b.gguf?download=true")),
        ("pypi:llm-x==1.0#pkg/m.gguf", Wheel("llm-x", "1.0", "pkg/m.gguf")),
    ],
)
def test_names(name: str, parsed: Name) -> None:
    assert parse(name) == parsed


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a/b/c", "-x", "o/-r", "o/..", "$(id)", "a;b", "pypi:x", "pypi:-r==1#a", "o/r:"],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"is no name|names no file"):
        parse(name)


@pytest.mark.parametrize(
    "name", ["http://[::1/a.gguf", "https:///a.gguf", "http://h:port/a.gguf", "https://ada:secret@[x/a.gguf"]
)
def test_what_is_no_url_is_refused_and_not_repeated_in_full(name: str) -> None:
    with pytest.raises(UsageError, match="is no URL") as caught:
        parse(name)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("revision", ["../../../bin/ls", "a/..", "/etc/passwd"])
def test_a_revision_that_leads_out_of_its_folder_is_refused(revision: str) -> None:
    with pytest.raises(UsageError, match="is no revision"):
        parse(f"o/r@{revision}")


def test_names_that_no_path_can_have_are_refused() -> None:
    with pytest.raises(UsageError, match="is no name"):
        parse("/srv/a\0b.gguf")
    with pytest.raises(UnknownModelError, match="does not exist"):
        parse("~nobody-is-called-so/a.gguf")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "a\\b", "", "a\0b"])
def test_paths_inside_a_repository_stay_inside(name: str) -> None:
    with pytest.raises(BadModelError, match="leads out"):
        checked_path(name)


@pytest.mark.parametrize(
    ("wrong", "best"),
    [("gpt-oss-120", "gpt-oss-120b"), ("lama3.3-70b", "llama-3.3-70b"), ("QWEN3-8B", "qwen3-8b")],
)
def test_three_nearest_names_the_best_first(wrong: str, best: str) -> None:
    near = nearest(wrong, catalogue())
    assert near[0] == best
    assert len(near) == 3
