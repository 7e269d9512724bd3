"""A header that says what no model has is refused in one line, with the key and the value."""

import dataclasses
import json
import struct
from typing import Any

import pytest

from catalog.formats.header_limits import check_shape
from catalog.formats.safetensors import reader
from domain.errors import BadModelError
from domain.models.model import ModelShape, Tensor
from tests.planner import build

LLAMA = ModelShape(
    "llama",
    (
        Tensor("token_embd.weight", "F16", (64, 256), 64 * 256 * 2),
        Tensor("blk.1.x.weight", "F32", (64,), 256),
    ),
    1 << 20,
    {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.embedding_length": 64,
        "llama.context_length": 2048,
        "llama.attention.head_count": 8,
        "llama.attention.head_count_kv": 4,
        "llama.expert_count": 8,
    },
)


def with_key(key: str, value: object) -> ModelShape:
    return dataclasses.replace(LLAMA, metadata={**LLAMA.metadata, key: value})


@pytest.mark.parametrize("model", build.architectures()["models"])
def test_models_that_exist_pass(model: str):
    check_shape(model, build.published(model))


@pytest.mark.parametrize(
    ("key", "value", "refusal"),
    [
        ("llama.block_count", 0, "block_count is 0: expected a whole number from 1 to 1024"),
        ("llama.block_count", 1 << 40, "block_count is 1099511627776"),
        ("llama.block_count", True, "block_count is True"),
        ("llama.block_count", 2.5, r"block_count is 2\.5"),
        ("llama.block_count", float("nan"), "block_count is nan"),
        ("llama.block_count", "2", "block_count is '2'"),
        ("llama.block_count", 10**4000, "block_count is a number of 13288 bits"),
        ("llama.embedding_length", 1, "embedding_length is 1: expected a whole number from 8"),
        ("llama.embedding_length", 128, "embedding_length is 128: token_embd.weight is 64 wide"),
        ("llama.context_length", -1, "context_length is -1"),
        ("llama.attention.head_count_kv", 3, "head_count_kv is 3: of 8 heads"),
        (
            "llama.attention.head_count",
            (8,) * 5000,
            r"head_count is \(8, 8, 8, 8, \.\.\.\): 5000 values, 2 layers",
        ),
        ("llama.feed_forward_length", (1, -1), r"feed_forward_length is \(1, -1\): expected"),
        ("llama.attention.head_count", 128, "head_count is 128: embedding_length is 64"),
        ("llama.expert_used_count", 9, "expert_used_count is 9: expert_count is 8"),
        ("llama.expert_used_count", (4, 9), r"expert_used_count is 9: expert_count is 8"),
        ("llama." + "k" * 600, 1, "a key of its header has 606 characters"),
        ("general.name", "A" * 200_000, "general.name is 'AAAA.*200000 characters, more than 1024"),
    ],
)
def test_a_value_that_no_model_has_is_refused_by_its_key(key: str, value: object, refusal: str):
    with pytest.raises(BadModelError, match=rf"m\.gguf.*{refusal}") as caught:
        check_shape("m.gguf", with_key(key, value))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("tensor", "refusal"),
    [
        (Tensor("blk.2.x.weight", "F16", (64,), 128), "'blk.2.x.weight' is of a layer beyond its 2"),
        (Tensor("blk.999999999.x", "F16", (64,), 128), "is of a layer beyond its 2"),
        (Tensor("t", "F16", (1 << 40, 1 << 40), 128), r"the dimensions \(1099511627776, 1099511627776\)"),
        (Tensor("t", "F16", (0,), 128), r"the dimensions \(0\)"),
        (Tensor("t", "F16", (1,) * 9, 128), r"the dimensions \(1, 1, 1, 1, \.\.\.\)"),
        (Tensor("t" * 600, "F16", (64,), 128), "the name 'tttt.* of a tensor has 600 characters"),
    ],
)
def test_a_tensor_that_no_model_has_is_refused(tensor: Tensor, refusal: str):
    with pytest.raises(BadModelError, match=refusal):
        check_shape("m.gguf", dataclasses.replace(LLAMA, tensors=(*LLAMA.tensors, tensor)))


class Bytes:
    """Of a file in memory."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name, self.content, self.size_bytes = name, content, len(content)

    def read(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]

    def close(self) -> None:
        pass


def safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(128)


ONE = json.dumps({"w": {"dtype": "F16", "shape": [8, 8], "data_offsets": [0, 128]}}).encode()


def read_folder(config: bytes, header: bytes) -> Any:
    files = {"config.json": config, "m.safetensors": safetensors(header)}
    return reader.read_folder(("m.safetensors",), lambda name: Bytes(name, files[name]))


def nested(depth: int, key: bytes) -> bytes:
    return b'{"model_type": "l", "a":' + (b'{"' + key + b'":') * depth + b"1" + b"}" * depth + b"}"


@pytest.mark.parametrize(
    ("config", "header", "refusal"),
    [
        pytest.param(nested(20, b"a"), ONE, "more than 16 objects lie inside one another", id="deep"),
        pytest.param(nested(100_000, b"a"), ONE, "config.json is not JSON", id="deeper than a parser goes"),
        pytest.param(nested(10, b"k" * 400), ONE, "the key 'l.a.kkk.* characters", id="long keys"),
        pytest.param(b"[" * 16_000_000, ONE, "config.json has more than 262144 values", id="all brackets"),
        pytest.param(
            b'{"model_type": "l", "num_hidden_layers": -1}', ONE, "num_hidden_layers is -1", id="minus"
        ),
        pytest.param(b'{"model_type": "l\\u001b[2J"}', ONE, "characters that no name has", id="escapes"),
        pytest.param(
            b'{"model_type": "l"}',
            b'{"w": {"dtype": "F16", "shape": ['
            + b",".join([b"9" * 4000] * 3000)
            + b'], "data_offsets": [0, 1]}}',
            "the tensor 'w' has the dimensions .a number of 13288 bits",
            id="numbers of 4000 digits",
        ),
        pytest.param(
            b'{"model_type": "l"}',
            b'{"w": {"dtype": "F16", "shape": [1.5], "data_offsets": [0, 128]}}',
            "m.safetensors has an invalid entry: Expected `int`",
            id="a fraction",
        ),
        pytest.param(
            b'{"model_type": "l"}',
            b'{"w": {"dtype": "F16", "shape": [-8, -8], "data_offsets": [0, 128]}}',
            "the tensor 'w' has the dimensions",
            id="a negative size",
        ),
        pytest.param(
            b'{"model_type": "l"}',
            b"{" + b",".join(b'"%x":{}' % number for number in range(300_000)) + b"}",
            "m.safetensors has more than 262144 values: 300001",
            id="too many tensors",
        ),
    ],
)
def test_hostile_json_is_refused(config: bytes, header: bytes, refusal: str):
    with pytest.raises(BadModelError, match=refusal) as caught:
        read_folder(config, header)
    assert len(str(caught.value)) < 300
