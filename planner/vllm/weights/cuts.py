"""How many ranks can share a model: heads, vocabulary and blocks of quantized weights stay whole.

Source: vLLM 0.32.0: ``config/model.py`` (verify_with_parallel_config), ``vocab_parallel_embedding.py``,
``quantization/utils/fp8_utils.py`` (validate_fp8_block_shape, validate_fp8_block_shape_moe),
``auto_awq.py``, ``auto_gptq.py``, ``moe_wna16.py``, ``compressed_tensors_moe_wna16.py``, and
``distributed/utils.py`` (verify_group_size_divides_partition). Only inputs are compared: those of a layer's
last matrix are the outputs of its first ones, and vLLM lets merged outputs cross blocks.
"""

import re
from dataclasses import dataclass
from math import gcd

from domain.models.model import ModelShape
from planner.vllm.model_config import Config, config_int, config_str, config_value
from planner.vllm.weights.quantization import method_family
from planner.vllm.weights.sharding import VOCAB_PADDING, Sharding, sharding_of
from planner.vllm.weights.tensors import TensorGroup, loaded_tensors

MIN_BLOCK = 32  # to which vLLM divides the blocks of experts
# These divide the groups of experts: ``moe_wna16.py``, create_weights.
_DIVIDED_GROUPS = ("awq", "gptq", "moe_wna16")
# Weights to a scale along the inputs, where config.json does not say it: the formats' own.
_FIXED_GROUPS = {"nvfp4": 16, "modelopt_fp4": 16, "modelopt_mxfp8": 32, "mxfp8": 32}

_TOWER = re.compile(r"vision|visual|audio")


@dataclass(frozen=True, slots=True)
class Blocks:
    """Weights of a matrix that share a scale: ``outputs`` by ``inputs``."""

    method: str
    outputs: int
    inputs: int

    def __str__(self) -> str:
        size = f"{self.outputs} x {self.inputs}" if self.outputs > 1 else str(self.inputs)
        return f"blocks of {size} weights with one scale ({self.method})"

    def stay_whole_in_experts(self, width: int, hidden_size: int, *, divides: bool) -> bool:
        """Of experts of which a rank holds ``width`` values. ``divides``: a build that divides the scales of
        blocks in FP8."""
        if width % self.inputs == 0 and width % self.outputs == 0:
            return True
        if self.method in _DIVIDED_GROUPS or (self.method == "fp8" and divides):
            return gcd(self.inputs, self.outputs if self.outputs > 1 else 0, width, hidden_size) >= MIN_BLOCK
        return False


def why_not_shared(shape: ModelShape, config: Config, ranks: int, *, divides: bool = False) -> str:
    """Empty if ``ranks`` devices can share the model. ``divides``: as for ``stay_whole_in_experts``."""
    if config.heads % ranks or not (config.kv_heads % ranks == 0 or ranks % config.kv_heads == 0):
        heads = f"{config.heads} attention heads, {config.kv_heads} of keys and values,"
        return f"{heads} can't be shared by {ranks} devices"
    rows = -(-(config.vocab_size or 0) // VOCAB_PADDING) * VOCAB_PADDING
    if rows % ranks:
        return f"a vocabulary of {rows} rows can't be shared by {ranks} devices"
    if ranks == 1:
        return ""
    blocks = blocks_of(shape)
    reasons = (
        _why_cut(group, config, blocks, ranks, divides=divides) for group in loaded_tensors(shape, config)
    )
    return next(filter(None, reasons), "")


def blocks_of(shape: ModelShape) -> Blocks | None:
    """``None`` for weights whose scales no cut can hit: of whole matrices or rows, or none at all."""
    config = "quantization_config"
    method = method_family(config_str(shape, f"{config}.quant_method") or "")
    layers = f"{config}.config_groups.group_0.weights"  # of compressed-tensors and ModelOpt
    block = config_value(shape, f"{config}.weight_block_size") or config_value(
        shape, f"{layers}.block_structure"
    )
    sizes = (config_int(shape, f"{part}.group_size") for part in (layers, config))
    inputs = next(filter(None, sizes), None) or _FIXED_GROUPS.get(method)
    match block:
        case (int(outputs), int(block_inputs)) if outputs > 0 and block_inputs > 0:
            return Blocks(method, outputs, block_inputs)
    return Blocks(method, 1, inputs) if inputs and inputs > 1 else None


def _why_cut(group: TensorGroup, config: Config, blocks: Blocks | None, ranks: int, *, divides: bool) -> str:
    inputs, is_quantized = _inputs(group, config, blocks)
    if inputs is None:
        return ""
    is_expert = ".experts." in group.name
    layer = "experts are" if is_expert else f"{group.name.split('.')[-2]} is"
    if inputs % ranks:
        return f"its {layer} {inputs} wide, which {ranks} devices can't share"
    width = inputs // ranks
    if blocks is None or not is_quantized:
        return ""
    if is_expert:
        is_whole = blocks.stay_whole_in_experts(width, config.hidden_size, divides=divides)
    else:
        is_whole = width % blocks.inputs == 0
    return "" if is_whole else f"its {layer} {inputs} wide, and {ranks} devices would cut {blocks}"


def _inputs(group: TensorGroup, config: Config, blocks: Blocks | None) -> tuple[int | None, bool]:
    """The inputs of a matrix that is cut by them, and whether it is quantized; else ``None``."""
    name, sizes = group.name, group.shape
    if len(sizes) == 3 and ".experts.down_proj" in name and "scale" not in name:  # of all experts of a layer
        return config.expert_intermediate_size, group.type.startswith("F8")
    if sharding_of(name) is not Sharding.ROW_PARALLEL or _TOWER.search(name):
        return None, False
    if name.endswith((".down_proj.weight", ".w2.weight", ".o_proj.weight")) and len(sizes) > 1:
        is_packed = group.type in ("U8", "I32")  # several values to an element: its scales tell
        return (None, False) if is_packed else (sizes[-1], group.type.startswith("F8"))
    groups = _groups_of_inputs(group)
    return (groups * blocks.inputs, True) if blocks and groups else (None, False)


def _groups_of_inputs(group: TensorGroup) -> int:
    """By the scales of weights in groups; 0 for any other tensor."""
    if len(group.shape) != 2:
        return 0
    if group.name.endswith(".scales"):  # of AWQ and GPTQ: a row for each group
        return group.shape[0]
    is_of_groups = group.name.endswith(".weight_scale") and group.shape[1] > 1
    return group.shape[1] if is_of_groups else 0
