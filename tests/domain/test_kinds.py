"""What a file is for, by its header, whatever its name says."""

import pytest

from domain.models.classification import draft_method_of, kind_of, mtp_layers_of, pooling_of
from domain.models.kinds import DraftMethod, Kind, Pooling
from domain.models.model import MetadataValue, ModelShape, Tensor

BLOCK = ("blk.0.attn_q.weight", "blk.0.ffn_up.weight")
WHOLE = ("token_embd.weight", *BLOCK, "output_norm.weight")
HEADS = tuple(f"blk.1.nextn.{name}.weight" for name in ("eh_proj", "enorm", "hnorm"))


def header(architecture: str, tensors: tuple[str, ...] = WHOLE, **keys: MetadataValue) -> ModelShape:
    """Keys with a double underscore are absolute: ``general__type`` is ``general.type``."""
    metadata: dict[str, MetadataValue] = {}
    for key, value in keys.items():
        name = key.replace("__", ".")
        metadata[name if "__" in key else f"{architecture}.{name}"] = value
    return ModelShape(
        architecture, tuple(Tensor(name, "F16", (8, 1), 16) for name in tensors), 1 << 20, metadata
    )


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (header("qwen3", block_count=1), Kind.MODEL),
        (header("some-new-thing", block_count=1), Kind.MODEL),
        (header("qwen35", (*WHOLE, *HEADS), block_count=2, nextn_predict_layers=1), Kind.MODEL),
        (header("qwen35", ("token_embd.weight", *HEADS), block_count=2, nextn_predict_layers=1), Kind.DRAFT),
        (header("qwen35", HEADS, block_count=2, nextn_predict_layers=1), Kind.DRAFT),
        (header("dflash", block_count=1), Kind.DRAFT),
        (header("eagle3", ("fc.weight", *BLOCK), block_count=1), Kind.DRAFT),
        (header("gemma4-assistant", block_count=1), Kind.DRAFT),
        (header("clip", ("v.blk.0.attn_q.weight", "mm.0.weight")), Kind.PROJECTOR),
        (header("gemma4", ("mm.0.weight",), general__type="mmproj"), Kind.PROJECTOR),
        (header("qwen3", ("blk.0.attn_q.weight.lora_a",), adapter__type="lora"), Kind.ADAPTER),
        (header("qwen3", ("blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b")), Kind.ADAPTER),
        (header("controlvector", ("direction.1", "direction.2")), Kind.CONTROL_VECTOR),
        (header("", ("blk.0.attn_q.weight.in_sum2",), general__type="imatrix"), Kind.IMATRIX),
        (header("", ("blk.0.attn_q.weight.counts",), imatrix__chunk_count=100), Kind.IMATRIX),
        (header("bert", block_count=1, pooling_type=2), Kind.EMBEDDING),
        (header("qwen3", block_count=1, pooling_type=3), Kind.EMBEDDING),
        (header("qwen3", block_count=1, pooling_type=0), Kind.MODEL),
        (header("bert", block_count=1), Kind.ENCODER),
        (header("bert", block_count=1, pooling_type=0), Kind.ENCODER),
        (header("t5encoder", block_count=1), Kind.ENCODER),
        (header("bert", block_count=1, pooling_type=4), Kind.RERANKER),
        (header("bert", (*WHOLE, "cls.output.weight"), block_count=1, pooling_type=2), Kind.RERANKER),
        (header("qwen3", (*WHOLE, "cls.output.weight"), block_count=1, pooling_type=4), Kind.RERANKER),
        (header("wavtokenizer-dec", BLOCK, block_count=1), Kind.SPEECH),
        (header("flux", ("double_blocks.0.img_attn.qkv.weight",)), Kind.IMAGE),
        (header("", ("model.diffusion_model.input_blocks.0.0.weight",)), Kind.IMAGE),
        (header("pig", ("decoder.conv_in.weight",)), Kind.OTHER),
        # A header that lies: what an engine would load counts.
        (header("qwen3", block_count=1, general__type="adapter"), Kind.MODEL),
        (header("qwen3", block_count=1, general__type="mmproj"), Kind.MODEL),
        (header("qwen3", block_count=2, nextn_predict_layers=1), Kind.MODEL),
        (header("qwen3", ("blk.0.attn_q.weight.lora_a",), general__type="model"), Kind.ADAPTER),
    ],
)
def test_the_kind_is_what_an_engine_would_make_of_the_file(shape: ModelShape, kind: Kind) -> None:
    assert kind_of(shape) is kind
    assert kind.description


@pytest.mark.parametrize("kind", [kind for kind in Kind if not kind.is_served])
def test_a_refusal_says_what_it_is_and_what_to_do_instead(kind: Kind) -> None:
    assert kind.description.startswith(("a ", "an ", "no model"))
    assert any(step in kind.hint for step in ("node-ctl", "node-daemon serves"))


def test_a_head_with_many_labels_sorts_texts_and_ranks_none() -> None:
    plain = header("bert", block_count=1, pooling_type=4)
    labels = Tensor("cls.output.weight", "F16", (8, 7), 112)
    assert kind_of(ModelShape("bert", (*plain.tensors, labels), 1, plain.metadata)) is Kind.ENCODER


@pytest.mark.parametrize(
    ("shape", "method"),
    [
        (header("eagle3", block_count=1), DraftMethod.EAGLE3),
        (header("dflash", block_count=1), DraftMethod.DFLASH),
        (header("dflash", (*WHOLE, "markov_w1.weight"), block_count=1), DraftMethod.DSPARK),
        (header("gemma4-assistant", block_count=1), DraftMethod.MTP),
        (header("qwen35", HEADS, block_count=2, nextn_predict_layers=1), DraftMethod.MTP),
        (header("qwen35", (*WHOLE, *HEADS), block_count=2, nextn_predict_layers=1), None),
        (header("qwen3", block_count=1), None),
    ],
)
def test_a_draft_is_told_by_the_word_that_the_engine_has_for_it(
    shape: ModelShape, method: DraftMethod | None
) -> None:
    assert draft_method_of(shape) == method


def test_heads_count_as_there_only_if_their_tensors_are() -> None:
    assert mtp_layers_of(header("qwen35", (*WHOLE, *HEADS), block_count=2, nextn_predict_layers=1)) == 1
    assert mtp_layers_of(header("qwen35", block_count=2, nextn_predict_layers=1)) == 0


@pytest.mark.parametrize(
    ("value", "pooling"),
    [
        (1, Pooling.MEAN),
        (2, Pooling.CLS),
        (3, Pooling.LAST),
        (4, Pooling.RANK),
        (0, None),
        (9, None),
        ("x", None),
    ],
)
def test_pooling_is_known_only_where_the_header_says_it(value: int | str, pooling: Pooling | None) -> None:
    assert pooling_of(header("bert", block_count=1, pooling_type=value)) == pooling
