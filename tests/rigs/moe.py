"""A mixture of experts out of a dense llama: each expert is a copy, the router is zero, so its text is that
of the dense model while its file has real tensors of experts."""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, ReaderTensor

KINDS = ("ffn_gate", "ffn_up", "ffn_down")
OWN = ("GGUF.", "general.architecture", "llama.expert_")


def write_moe(dense: Path, into: Path, *, experts: int = 4, used: int = 2) -> Path:
    reader = GGUFReader(dense)
    writer = GGUFWriter(into, "llama")
    for key, field in reader.fields.items():
        if not key.startswith(OWN):
            writer.add_key_value(
                key,
                field.contents(),
                field.types[0],
                sub_type=field.types[-1] if field.types[0] is GGUFValueType.ARRAY else None,
            )
    writer.add_expert_count(experts)
    writer.add_expert_used_count(used)
    width = reader.fields["llama.embedding_length"].contents()
    for tensor in reader.tensors:
        _add(writer, tensor, experts, width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return into


def _add(writer: GGUFWriter, tensor: ReaderTensor, experts: int, width: int) -> None:
    block, kind, _ = ("", *tensor.name.rsplit(".", 2))[-3:]
    if kind not in KINDS:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        return
    copies = np.stack([tensor.data] * experts)
    writer.add_tensor(f"{block}.{kind}_exps.weight", copies, raw_dtype=tensor.tensor_type)
    if kind == "ffn_gate":
        router = np.zeros((experts, width), np.float32)
        writer.add_tensor(f"{block}.ffn_gate_inp.weight", router, raw_dtype=GGMLQuantizationType.F32)
