"""Quants by the names that publishers give their files."""

import pytest
from gguf import LlamaFileType

from catalog.quants import FILE_TYPES, quant_of, quants_of
from domain.model import WeightFile


def listed(*names: str) -> list[tuple[str, int]]:
    found = quants_of(WeightFile(name, 10) for name in names)
    return sorted((item.quant, len(item.files)) for item in found)


@pytest.mark.parametrize(
    ("name", "quant"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("openai_gpt-oss-20b-MXFP4_MOE.gguf", "MXFP4_MOE"),
        ("Qwen3-235B-A22B-UD-Q3_K_XL-00001-of-00003.gguf", "UD-Q3_K_XL"),
        ("UD-IQ2_XXS/GLM-4.6-UD-IQ2_XXS-00001-of-00003.gguf", "UD-IQ2_XXS"),
        ("Llama-3.3-70B-Instruct-IQ4_NL.gguf", "IQ4_NL"),
        ("model.q8_0.gguf", "Q8_0"),
        ("Phi-4-F16.gguf", "F16"),
        ("Q6_K/model-00001-of-00002.gguf", "Q6_K"),
        ("gemma-3-27b-it-Q4_K_L.gguf", "Q4_K_L"),
        ("mystery.gguf", "mystery"),
    ],
)
def test_the_quant_that_a_name_says(name: str, quant: str) -> None:
    assert quant_of(name) == quant


def test_a_repository_as_publishers_fill_it() -> None:
    assert listed(
        "README.md",
        "config.json",
        "imatrix_unsloth.gguf",
        "mmproj-F16.gguf",
        "mmproj-BF16.gguf",
        "M-Q4_K_M.gguf",
        "M-Q8_0.gguf",
        "BF16/M-BF16-00001-of-00002.gguf",
        "BF16/M-BF16-00002-of-00002.gguf",
        "UD-Q2_K_XL/M-UD-Q2_K_XL-00001-of-00003.gguf",
        "UD-Q2_K_XL/M-UD-Q2_K_XL-00003-of-00003.gguf",
    ) == [("BF16", 2), ("Q4_K_M", 1), ("Q8_0", 1)]


def test_parts_are_in_order_and_small_quants_come_first() -> None:
    files = [
        WeightFile("b-Q8_0.gguf", 50),
        *(WeightFile(f"a-Q4_0-0000{n}-of-00003.gguf", 10) for n in (3, 1, 2)),
    ]
    small, large = quants_of(files)
    assert [file.name[-9:-5] for file in small.files] == ["0003"] * 3
    assert [file.name for file in small.files] == sorted(file.name for file in small.files)
    assert (small.size_bytes, large.size_bytes) == (30, 50)


def test_of_a_quant_that_is_there_twice_the_upper_one_counts() -> None:
    (found,) = quants_of([WeightFile("Q8_0/a-Q8_0.gguf", 1), WeightFile("a-Q8_0.gguf", 2)])
    assert found.files[0].name == "a-Q8_0.gguf"


def test_file_types_are_those_of_llama_cpp() -> None:
    for number, name in FILE_TYPES.items():
        theirs = LlamaFileType(number).name.removeprefix("MOSTLY_").removeprefix("ALL_")
        assert theirs == name
