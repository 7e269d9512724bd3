"""Mistral's own format: ``params.json`` beside ``consolidated*.safetensors``, in the words of a config.json.

Source: vLLM 0.32.0, ``transformers_utils/configs/mistral.py`` (adapt_config_dict), and
``transformers_utils/config.py`` (MistralConfigParser).
"""

from collections.abc import Mapping
from typing import Any

from catalog.formats.safetensors.shards import PARAMS
from domain.errors import BadModelError

FORMAT_KEY, FORMAT = "general.config_format", "mistral"  # in the metadata of a shape
DEFAULT_CONTEXT = 128_000
_KEYS = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "hidden_dim": "intermediate_size",
    "tied_embeddings": "tie_word_embeddings",
}
_EXPERT_KEYS = {
    "num_experts": "num_local_experts",
    "num_experts_per_tok": "num_experts_per_tok",
    "expert_hidden_dim": "moe_intermediate_size",
}
_REQUIRED = ("dim", "n_layers", "n_heads", "vocab_size")


def config_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json that vLLM makes of it, as far as a plan depends on it. Raises: BadModelError."""
    if missing := [key for key in _REQUIRED if key not in params]:
        raise BadModelError(
            f"{PARAMS} has no {' and no '.join(missing)}: the model's shape can't be read from it",
            hint="a repository with config.json and model*.safetensors of the same model can be planned",
        )
    config = {_KEYS.get(key, key): value for key, value in params.items()}
    config.setdefault("max_position_embeddings", DEFAULT_CONTEXT)
    experts = params.get("moe")
    if isinstance(experts, Mapping):
        config |= {_EXPERT_KEYS[key]: value for key, value in experts.items() if key in _EXPERT_KEYS}
    quantization = config.pop("quantization", None)
    if isinstance(quantization, Mapping):
        config["quantization_config"] = _quantization(quantization)
    config |= _windows(config)
    return {**config, "model_type": "mistral", "architectures": [_architecture(params)]}


def _architecture(params: Mapping[str, Any]) -> str:
    towers = params.get("multimodal")
    towers = towers if isinstance(towers, Mapping) else {}
    if towers.get("whisper_model_args"):
        return "VoxtralForConditionalGeneration"
    if params.get("vision_encoder") or towers.get("vision_encoder_args"):
        return "PixtralForConditionalGeneration"
    experts = params.get("moe")
    if not isinstance(experts, Mapping):
        return "MistralForCausalLM"
    return "MistralLarge3ForCausalLM" if experts.get("num_shared_experts") else "MixtralForCausalLM"


def _quantization(own: Mapping[str, Any]) -> dict[str, Any]:
    return {**own, "quant_method": "fp8"} if own.get("qformat_weight") == "fp8_e4m3" else dict(own)


def _windows(config: Mapping[str, Any]) -> dict[str, Any]:
    """A list of windows repeats over the layers, and null is a layer that sees all."""
    windows, layers = config.get("sliding_window"), config["num_hidden_layers"]
    if not isinstance(windows, list) or not windows or not isinstance(layers, int):
        return {}
    pattern = ["full_attention" if window is None else "sliding_attention" for window in windows]
    kinds = (pattern * (min(layers, 1 << 10) // len(pattern) + 1))[:layers]
    return {"layer_types": kinds, "sliding_window": next((w for w in windows if w is not None), None)}
