"""What a model can be called, and what a wrong name gets for an answer."""

from pathlib import Path

import pytest

from catalog.names import Alias, Local, Repo, Target, Url, Wheel, checked_path, parse, unknown_model
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
        ("hf:o/r@refs/pr/3:Q8_0", Repo("o/r", "Q8_0", "refs/pr/3")),
        ("hf.co/o/r:Q4_K_M", Repo("o/r", "Q4_K_M")),
        ("huggingface.co/o/r", Repo("o/r")),
        ("https://huggingface.co/o/r", Repo("o/r")),
        ("https://hf.co/o/r/", Repo("o/r")),
        ("https://huggingface.co/o/r?show_file_info=a%2Fb.gguf", Repo("o/r", file="a/b.gguf")),
        ("https://huggingface.co/o/r/tree/v1.0/Q4_K_M", Repo("o/r", None, "v1.0")),
        ("https://huggingface.co/o/r/blob/main/a/b.gguf", Repo("o/r", None, None, "a/b.gguf")),
        (
            "https://huggingface.co/o/r/resolve/refs%2Fpr%2F3/b.gguf?x=1",
            Repo("o/r", None, "refs/pr/3", "b.gguf"),
        ),
        ("model.gguf", Local(Path("model.gguf"))),
        ("folder/model.gguf", Local(Path("folder/model.gguf"))),
        ("/srv/models/llama", Local(Path("/srv/models/llama"))),
        ("./llama", Local(Path("llama"))),
        ("https://example.org/a/b.gguf?download=true", Url("https://example.org/a/b.gguf?download=true")),
        ("pypi:llm-x==1.0#pkg/m.gguf", Wheel("llm-x", "1.0", "pkg/m.gguf")),
    ],
)
def test_names(name: str, parsed: Target) -> None:
    assert parse(name).target == parsed


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a/b/c", "-x", "o/-r", "o/..", "$(id)", "a;b", "pypi:x", "pypi:-r==1#a", "o/r:"],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"is not a model's name|does not name a file"):
        parse(name)


@pytest.mark.parametrize(
    "name", ["http://[::1/a.gguf", "https:///a.gguf", "http://h:port/a.gguf", "https://ada:secret@[x/a.gguf"]
)
def test_what_is_no_url_is_refused_and_not_repeated_in_full(name: str) -> None:
    with pytest.raises(UsageError, match="is not a URL") as caught:
        parse(name)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "https://huggingface.co/",
        "https://hf.co/o",
        "https://hf.co/o/r/commits/main",
        "https://hf.co/datasets/o/r",
    ],
)
def test_a_page_of_the_hub_that_is_no_models_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not the page of a model"):
        parse(name)


def test_a_page_that_leads_out_of_its_repository_is_refused() -> None:
    with pytest.raises(BadModelError, match="leads out"):
        parse("https://huggingface.co/o/r/resolve/main/..%2F..%2Fx.gguf")
    with pytest.raises(UsageError, match="is not a revision"):
        parse("https://huggingface.co/o/r/resolve/../y.gguf")


def test_a_mirrors_pages_are_the_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "https://mirror.example:8443/o/r/resolve/main/b.gguf"
    assert parse(page).target == Url(page)
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example:8443")
    assert parse(page).target == Repo("o/r", None, None, "b.gguf")


@pytest.mark.parametrize("revision", ["../../../bin/ls", "a/..", "/etc/passwd"])
def test_a_revision_that_leads_out_of_its_folder_is_refused(revision: str) -> None:
    with pytest.raises(UsageError, match="is not a revision"):
        parse(f"o/r@{revision}")


def test_names_that_no_path_can_have_are_refused() -> None:
    with pytest.raises(UsageError, match="is not a model's name"):
        parse("/srv/a\0b.gguf")
    with pytest.raises(UnknownModelError, match="does not exist"):
        parse("~nobody-is-called-so/a.gguf")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "a\\b", "", "a\0b"])
def test_paths_inside_a_repository_stay_inside(name: str) -> None:
    with pytest.raises(BadModelError, match="leads out"):
        checked_path(name)


@pytest.mark.parametrize("name", ["a\nb.gguf", "a\x1b[2J.gguf", "\u202efugg.a"])
def test_paths_that_no_screen_can_show_are_refused(name: str) -> None:
    with pytest.raises(BadModelError, match="can't be printed"):
        checked_path(name)


@pytest.mark.parametrize("name", ["a" * 251 + ".gguf", "ü" * 130, "/".join(["folder"] * 400)])
def test_paths_that_no_disk_takes_are_refused_in_few_words(name: str) -> None:
    with pytest.raises(BadModelError, match="longer than a disk allows") as raised:
        checked_path(name)
    assert len(str(raised.value)) < 200
    assert checked_path("a" * 250 + ".gguf")


@pytest.mark.parametrize(
    ("wrong", "best"),
    [
        ("gpt-oss-120", "gpt-oss-120b"),
        ("lama3.3-70b", "llama-3.3-70b"),
        ("QWEN3-8B", "qwen3-8b"),
        ("qwen3:8b", "qwen3-8b"),
        ("llama3.1:8b", "llama-3.1-8b"),
        ("Gemma3_27B", "gemma-3-27b"),
    ],
)
def test_what_may_have_been_meant_is_offered_the_best_first(wrong: str, best: str) -> None:
    near = unknown_model(wrong, catalogue()).near
    assert near[0] == best
    assert len(near) <= 3


@pytest.mark.parametrize("wrong", ["asdfqwer", "hello-world", "claude", "nobody/asdfqwer"])
def test_where_no_name_is_near_none_is_offered(wrong: str) -> None:
    error = unknown_model(wrong, catalogue())
    assert error.near == ()
    assert error.hint == (
        "node-ctl search WORDS finds models on the hub; a path, a URL or owner/repo works, too"
    )


@pytest.mark.parametrize(
    ("wrong", "best"),
    [
        ("unsloth/Qwen3-32B-GUF", "unsloth/Qwen3-32B-GGUF"),
        ("unslot/qwen3-32b-gguf", "unsloth/Qwen3-32B-GGUF"),
        ("openai/gptoss-20b", "openai/gpt-oss-20b"),
        ("nobody/gpt-oss-20b", "gpt-oss-20b"),
    ],
)
def test_a_repository_is_compared_with_those_that_are_known(wrong: str, best: str) -> None:
    error = unknown_model(wrong, catalogue())
    assert error.near[0] == best
    assert len(error.near) <= 3


@pytest.mark.parametrize(
    ("name", "alias", "quant"),
    [
        ("qwen3:8b", "qwen3-8b", None),
        ("Qwen3:latest", "qwen3-8b", None),
        ("qwen3:30b", "qwen3-30b-a3b", None),
        ("gpt-oss:120b", "gpt-oss-120b", None),
        ("gpt-oss", "gpt-oss-20b", None),
        ("llama3.2", "llama-3.2-3b", None),
        ("llama3.3:70b-instruct-q4_K_M", "llama-3.3-70b", "Q4_K_M"),
        ("gemma3:4b-it-q4_K_M", "gemma-3-4b", "Q4_K_M"),
        ("phi4:14b", "phi-4", None),
        ("deepseek-r1:671b", "deepseek-r1", None),
        ("smollm2:135m", "smollm2-135m", None),
        # not what the catalogue has: other weights, another size, a quant of an alias
        ("gemma3:4b-it-qat", "gemma3", "4b-it-qat"),
        ("deepseek-r1:8b", "deepseek-r1", "8b"),
        ("qwen3-8b:Q4_K_M", "qwen3-8b", "Q4_K_M"),
    ],
)
def test_ollamas_spelling_is_taken_as_the_same(name: str, alias: str, quant: str | None) -> None:
    assert parse(name, catalogue()).target == Alias(alias, quant)
