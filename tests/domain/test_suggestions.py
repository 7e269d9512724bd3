"""What may have been meant by a wrong name, and what certainly was not."""

import pytest

from config.data import catalogue, profile_names
from config.settings import Settings
from ctl.main import COMMANDS
from domain.suggestions import did_you_mean, near, quant_hint

MODELS, COMMAND_NAMES, SETTINGS = tuple(catalogue()), tuple(COMMANDS), tuple(Settings.model_fields)
QUANTS = ("Q4_K_M", "Q8_0", "UD-Q4_K_XL", "IQ4_XS", "MXFP4")


@pytest.mark.parametrize(
    ("wrong", "choices", "first"),
    [
        pytest.param("gpt-os-120b", MODELS, "gpt-oss-120b", id="a letter is missing"),
        pytest.param("QWEN3:8B", MODELS, "qwen3-8b", id="case and punctuation"),
        pytest.param("smolm2-135m", MODELS, "smollm2-135m", id="a model"),
        pytest.param("Llama-3.1-8B-Instruct", MODELS, "llama-3.1-8b", id="it goes on"),
        pytest.param("strix", profile_names(), "strix-halo-128gb", id="a beginning"),
        pytest.param("lanch", COMMAND_NAMES, "launch", id="a command"),
        pytest.param("modles_dir", SETTINGS, "models_dir", id="a setting"),
        pytest.param("-ngk", ("-ngl", "-c", "--threads"), "-ngl", id="one of three characters"),
        pytest.param("q4km", QUANTS, "Q4_K_M", id="a quant"),
    ],
)
def test_what_is_near_is_offered(wrong: str, choices: tuple[str, ...], first: str) -> None:
    found = near(wrong, choices)
    assert found[0] == first
    assert len(found) <= 3


@pytest.mark.parametrize("wrong", ["asdfqwer", "zzz", "x", "", "hello-world", "-"])
@pytest.mark.parametrize("choices", [MODELS, profile_names(), COMMAND_NAMES, SETTINGS, QUANTS])
def test_what_is_not_near_is_not_offered(wrong: str, choices: tuple[str, ...]) -> None:
    assert near(wrong, choices) == ()


def test_an_owner_that_is_known_makes_no_repository_near() -> None:
    repos = [repo for model in catalogue().values() for repo in model.gguf_repos]
    assert near("unsloth/asdfqwer-GGUF", repos) == ()
    assert near("unsloth/Qwen3-8B-GUF", repos)[0] == "unsloth/Qwen3-8B-GGUF"


def test_a_hint_names_what_is_near_or_all_or_where_to_look() -> None:
    assert did_you_mean("lunch", COMMAND_NAMES) == "did you mean launch?"
    assert did_you_mean("zzz", ("a", "b")) == "there are a, b"
    assert did_you_mean("zzz", ("a",)) == "there is only a"
    assert did_you_mean("zzz", ("a", "b"), otherwise="see the page") == "see the page"


def test_quants_are_listed_by_size_those_of_unknown_size_last() -> None:
    sizes = {"F16": 16 << 30, "Q9": None, "Q4_K_M": 5 << 30, "Q8_0": 9 << 30, "A": 0}
    listed = "Q4_K_M (5.0 GiB), Q8_0 (9.0 GiB), F16 (16.0 GiB), A, Q9"
    assert quant_hint("asdfqwer", sizes) == f"there are {listed}"
    assert quant_hint("q4_k_s", sizes) == f"did you mean Q4_K_M? There are {listed}"
