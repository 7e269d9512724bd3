"""Repositories that are broken, huge, or lie: one line each, in bounded time."""

import pytest

from domain.errors import BadModelError, NodeError
from tests.rigs.publisher import Publisher


def test_of_a_quant_that_is_broken_no_other_file_is_blamed(publisher: Publisher) -> None:
    publisher.files["M-Q2_K.gguf"] = b"<html>" + bytes(3000)
    publisher.add("M-Q4_K_M.gguf")
    publisher.files["draft-of-M-Q8_0.gguf"] = b"<html>" + bytes(3000)
    publisher.files["M-Q6_K.gguf"] = publisher.files["M-Q4_K_M.gguf"][:64]
    with pytest.raises(BadModelError, match=r"^M-Q6_K\.gguf is not a usable GGUF file"):
        publisher.found(":Q6_K")
    with pytest.raises(BadModelError, match=r"^M-Q2_K\.gguf is not a usable GGUF file"):
        publisher.found(":Q2_K")
    assert publisher.files_found(":Q4_K_M") == ["M-Q4_K_M.gguf"]


def test_a_repository_of_twenty_thousand_files_is_answered_by_its_listing(publisher: Publisher) -> None:
    publisher.add("M-Q4_K_M.gguf")
    body = publisher.files["M-Q4_K_M.gguf"]
    publisher.files |= {f"run-{number}/M-Q4_K_M.gguf": body for number in range(10_000)}
    publisher.files |= {f"notes/{number}.txt": b"x" for number in range(10_000)}
    with pytest.raises(NodeError) as refused:
        publisher.found()
    assert len(str(refused.value)) < 1000
    assert len(publisher.hub.gets("/resolve/")) < 200


def test_names_that_differ_in_case_alone_are_asked_about(publisher: Publisher) -> None:
    publisher.add("M-Q4_K_M.gguf", layers=2)
    publisher.add("m-q4_k_m.gguf", layers=3)
    with pytest.raises(NodeError) as refused:
        publisher.found(":Q4_K_M")
    assert "M-Q4_K_M.gguf" in str(refused.value)
    assert "m-q4_k_m.gguf" in str(refused.value)


def test_a_header_that_lies_about_its_kind_is_told_by_its_tensors(publisher: Publisher) -> None:
    """``general.type`` says adapter, the tensors are those of a model; and the other way round."""
    publisher.add("M-Q4_K_M.gguf", general__type="adapter")
    assert publisher.files_found() == ["M-Q4_K_M.gguf"]
    publisher.files.clear()
    lora = {"blk.0.attn_q.weight.lora_a": (8, 64), "blk.0.attn_q.weight.lora_b": (64, 8)}
    publisher.write("M-Q4_K_M.gguf", "qwen3", lora, general__type="model", block_count=2)
    with pytest.raises(BadModelError, match="is a LoRA adapter"):
        publisher.found()


def test_a_hub_that_answers_with_a_page_is_told_in_one_line(publisher: Publisher) -> None:
    publisher.add("M-Q4_K_M.gguf")
    publisher.hub.faults.portal = "page"
    with pytest.raises(NodeError, match="it sent a page instead of data") as refused:
        publisher.found()
    assert "\n" not in str(refused.value)
