"""Quants by the names that publishers give their files."""

import pytest
from gguf import LlamaFileType

from catalog.formats.gguf.grouping import group_files, list_families, preference
from catalog.formats.gguf.pieces import cut_error, pieces_by_file
from catalog.formats.gguf.quants import FILE_TYPES, kind_in_name, quant_of, quant_of_shape
from domain.models.kinds import Kind
from domain.models.model import Companion, MetadataValue, ModelShape, Tensor, WeightFile


def listed(*names: str) -> list[tuple[str, int]]:
    found = group_files(WeightFile(name, 10) for name in names)
    return sorted((item.quant, len(item.files)) for item in found.quants)


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
    small, large = group_files(files).quants
    assert [file.name[-9:-5] for file in small.files] == ["0003"] * 3
    assert [file.name for file in small.files] == sorted(file.name for file in small.files)
    assert (small.size_bytes, large.size_bytes) == (30, 50)


def test_of_a_quant_that_is_there_twice_the_upper_one_counts() -> None:
    (found,) = group_files([WeightFile("Q8_0/a-Q8_0.gguf", 1), WeightFile("a-Q8_0.gguf", 2)]).quants
    assert found.files[0].name == "a-Q8_0.gguf"


def test_file_types_are_those_of_llama_cpp() -> None:
    package = {
        kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        for kind in LlamaFileType
        if kind is not LlamaFileType.GUESSED
    }
    assert {**package, 41: "Q2_0"} == FILE_TYPES  # newer than the package: llama.h of b11434


def test_what_lies_beside_is_no_quant() -> None:
    assert listed(
        "M-Q4_K_M.gguf",
        "mmproj-BF16.gguf",
        "mtp-M.gguf",
        "draft/M-draft-Q8_0.gguf",
        "M-eagle3.gguf",
        "DFlash/M-DFlash2-Q4_0.gguf",
        "M-lora-F16.gguf",
        "imatrix_unsloth.gguf",
        "M.imatrix.gguf",
    ) == [("Q4_K_M", 1)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mmproj-F16.gguf", Kind.PROJECTOR),
        ("M.mmproj-Q8_0.gguf", Kind.PROJECTOR),
        ("mtp-M-Q4_0.gguf", Kind.DRAFT),
        ("M-MTP-Q6_K.gguf", None),  # a model with such heads
        ("dflash-M-Q4_K_M.gguf", Kind.DRAFT),
        ("M-DFlash2-Q4_K_M.gguf", Kind.DRAFT),
        ("M-dspark-Q8_0.gguf", Kind.DRAFT),
        ("M-eagle3-Q8_0.gguf", Kind.DRAFT),
        ("my-lora-F16.gguf", Kind.ADAPTER),
        ("happy-control-vector.gguf", Kind.CONTROL_VECTOR),
        ("imatrix.gguf", Kind.IMATRIX),
        ("M-imatrix-Q4_K_M.gguf", None),  # made with one
        ("assistant-7B-Q4_K_M.gguf", None),
        ("explorer-7B-Q4_K_M.gguf", None),
    ],
)
def test_what_a_name_suggests(name: str, kind: Kind | None) -> None:
    assert kind_in_name(name) == kind


def test_a_repository_of_a_draft_model_is_about_that_model() -> None:
    assert listed("M-eagle3-Q8_0.gguf", "M-eagle3-F16.gguf") == [("F16", 1), ("Q8_0", 1)]


def test_a_quant_that_was_made_with_an_importance_matrix_is_one() -> None:
    assert listed("M-imatrix-Q4_K_M.gguf", "M.i1-IQ2_XS.gguf", "M.imatrix.gguf") == [
        ("IQ2_XS", 1),
        ("Q4_K_M", 1),
    ]


def test_of_an_incomplete_quant_the_missing_part_is_named() -> None:
    names = [f"Q6_K/M-Q6_K-0000{number}-of-00003.gguf" for number in (1, 3)]
    found = list_families(WeightFile(name, 10) for name in (*names, "M-Q8_0-00002-of-00002.gguf"))
    assert found.families == ()
    assert found.incomplete == {
        "Q6_K": "Q6_K/M-Q6_K-00002-of-00003.gguf",
        "Q8_0": "M-Q8_0-00001-of-00002.gguf",
    }


def test_a_complete_copy_makes_up_for_an_incomplete_one() -> None:
    split = [WeightFile(f"M-Q8_0-0000{number}-of-00002.gguf", 10) for number in (1, 2)]
    other = WeightFile("old/M-Q8_0-00001-of-00009.gguf", 10)
    assert list_families([other, *split]).incomplete == {}


@pytest.mark.parametrize(
    ("name", "quant"),
    [
        ("M-UD-IQ1_S.gguf", "UD-IQ1_S"),
        ("M-TQ1_0.gguf", "TQ1_0"),
        ("M-BF16-00001-of-00002.gguf", "BF16"),
        ("UD-Q8_K_XL/x-00001-of-00002.gguf", "UD-Q8_K_XL"),
        ("M-MXFP4_MOE.gguf", "MXFP4_MOE"),
        ("M.i1-Q4_K_S.gguf", "Q4_K_S"),
        ("Qwen3-4B-Q4-notes.gguf", "Qwen3-4B-Q4-notes"),
    ],
)
def test_rarer_names(name: str, quant: str) -> None:
    assert quant_of(name) == quant


@pytest.mark.parametrize(
    ("names", "ambiguous"),
    [
        (("A-Q8_0.gguf", "B-Q8_0.gguf"), {"Q8_0": ("A-Q8_0.gguf", "B-Q8_0.gguf")}),
        (("A-Q8_0.gguf", "sub/B-Q8_0.gguf"), {}),  # what lies deeper does not count
        (("R1-Q8_0/R1-Q8_0-00001-of-00001.gguf", "R1.Q8_0/R1.Q8_0.gguf"), {}),  # a copy in one file
        (("A-Q8_0.gguf", "B-Q4_0.gguf"), {}),  # their headers will tell
        (("1B/m-Q8_0.gguf", "3B/m-Q8_0.gguf"), {"Q8_0": ("1B/m-Q8_0.gguf", "3B/m-Q8_0.gguf")}),
    ],
)
def test_the_same_quant_of_differently_named_models_is_told(
    names: tuple[str, ...], ambiguous: dict[str, tuple[str, str]]
) -> None:
    assert group_files(WeightFile(name, 10) for name in names).ambiguous == ambiguous


def test_of_projectors_the_type_that_most_are_made_for_comes_first() -> None:
    names = [f"mmproj-{kind}.gguf" for kind in ("F32", "Q8_0", "BF16", "b-F16", "a-F16")]
    ordered = sorted((Companion(Kind.PROJECTOR, WeightFile(name)) for name in names), key=preference)
    assert [item.file.name for item in ordered] == [
        "mmproj-a-F16.gguf",
        "mmproj-b-F16.gguf",
        "mmproj-BF16.gguf",
        "mmproj-Q8_0.gguf",
        "mmproj-F32.gguf",
    ]


def test_other_files_and_an_importance_matrix_alone_are_no_models() -> None:
    assert listed("README.md", "model.safetensors", "a.gguf.json", "imatrix.gguf") == []
    assert listed("M-Q8_0.GGUF") == [("Q8_0", 1)]


def test_a_repository_of_a_projector_alone_has_no_model() -> None:
    assert listed("mmproj-F16.gguf") == []


def test_the_file_names_the_quant_before_its_folder_does_and_the_last_one_in_a_name_counts() -> None:
    assert quant_of("Q8_0/M-Q4_K_M.gguf") == "Q4_K_M"
    assert quant_of("M-F16-imatrix-IQ3_M.gguf") == "IQ3_M"
    assert quant_of("M-Q4_K_M.f16-output.gguf") == "Q4_K_M"
    assert quant_of("M.f16.q6.gguf") == "M.f16.q6", "its header tells"
    assert quant_of("sub/mystery-00001-of-00002.gguf") == "mystery"


def test_of_quants_without_all_parts_each_names_its_first_missing_one() -> None:
    names = ["M-Q6_K-00003-of-00003.gguf", "old/M-Q6_K-00001-of-00002.gguf"]
    assert list_families(WeightFile(name, 10) for name in names).incomplete == {
        "Q6_K": "M-Q6_K-00001-of-00003.gguf"
    }


def test_a_third_copy_of_a_quant_does_not_change_which_two_are_told() -> None:
    found = group_files(WeightFile(f"{name}-Q8_0.gguf", 10) for name in "ABC")
    assert found.ambiguous == {"Q8_0": ("A-Q8_0.gguf", "B-Q8_0.gguf")}
    assert [item.names[0] for item in found.quants] == ["A-Q8_0.gguf"]


def test_parts_that_a_listing_claims_and_lacks_cost_nothing() -> None:
    """A thousand names of each of twenty thousand files would take a minute."""
    names = [f"m{number}-00001-of-99999.gguf" for number in range(300)]
    listing = list_families(WeightFile(name, 1) for name in names)
    assert not listing.families
    assert listing.incomplete["M7"] == "m7-00002-of-99999.gguf"


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("a/x.gguf.part1of2", "a/x.gguf"),
        ("x.gguf.part-b", "x.gguf"),
        ("x.gguf-split-a", "x.gguf"),
        ("x.GGUF.001", "x.GGUF"),
        ("x.gguf.ab", "x.gguf"),
        ("x.gguf", None),
        ("x.gguf.gz", None),
        ("x.gguf.md", None),
        ("x.gguf.sha256", None),
        ("x-00001-of-00002.gguf", None),
    ],
)
def test_pieces_of_a_file_are_known_by_their_names(name: str, whole: str | None) -> None:
    assert pieces_by_file([name]) == ({whole: [name]} if whole else {})


def test_pieces_are_joined_in_the_order_of_their_numbers() -> None:
    names = [f"x.gguf.part{number}of12" for number in range(1, 13)]
    assert pieces_by_file(reversed(names)) == {"x.gguf": names}
    hint = cut_error("o/r", pieces_by_file(reversed(names))).hint
    assert f"cat {' '.join(names)} > x.gguf; then" in hint
    many = [f"x.gguf.{number:03}" for number in range(100)]
    assert "in the order of their numbers" in cut_error("o/r", pieces_by_file(many)).hint


def test_a_piece_that_is_missing_is_named_and_nothing_is_joined() -> None:
    error = cut_error("o/r", pieces_by_file(["x.gguf.part1of3", "x.gguf.part3of3"]))
    assert "into 2 pieces (x.gguf.part1of3, x.gguf.part3of3), and lacks part 2 of 3:" in str(error)
    assert "cat" not in error.hint
    few = cut_error("o/r", pieces_by_file(["x.gguf.part1of9999"]))
    assert "lacks part 2, 3, 4 and 9995 more of 9999" in str(few)


@pytest.mark.parametrize(
    ("metadata", "tensors", "name", "quant"),
    [
        pytest.param({"general.file_type": 15}, (), "m-Q8_0.gguf", "Q8_0", id="its name"),
        pytest.param({"general.file_type": 15}, (("F16", 9),), "m.gguf", "Q4_K_M", id="what it states"),
        pytest.param(
            {"general.file_type": 999}, (("Q6_K", 9), ("F32", 1)), "m.gguf", "Q6_K", id="most bytes"
        ),
        pytest.param(
            {"general.file_type": "15"}, (("F32", 5), ("Q6_K", 4), ("Q6_K", 4)), "m.gguf", "Q6_K", id="in all"
        ),
        pytest.param({}, (), "m-00001-of-00002.gguf", "m", id="nothing but a name"),
    ],
)
def test_a_quant_is_told_by_name_header_or_most_of_the_bytes(
    metadata: dict[str, MetadataValue], tensors: tuple[tuple[str, int], ...], name: str, quant: str
) -> None:
    made = tuple(Tensor(f"t{number}", kind, (1,), size) for number, (kind, size) in enumerate(tensors))
    assert quant_of_shape(ModelShape("llama", made, 100, metadata), name) == quant
