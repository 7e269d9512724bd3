"""GGUF to a Hugging Face folder in bfloat16. Usage: convert.py FILE.gguf OUT (runs in .venv-vllm)."""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

QUESTION = [{"role": "user", "content": "Name the capital of France."}]


def convert(gguf: Path, out: Path) -> str:
    """Write ``out`` and return what the model says to QUESTION, read back from there."""
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        # transformers 5 keeps GGUF blocks packed otherwise, and refuses to save those
        quantization_config=GgufConfig(dequantize=True),
    )
    # It stays marked as quantised although it no longer is: a save would be refused.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized = False
    model.hf_quantizer = None
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return answer(out)


def answer(folder: Path) -> str:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(
        QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    tokens = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0]
    return str(tokenizer.decode(tokens[prompt["input_ids"].shape[1] :], skip_special_tokens=True))


if __name__ == "__main__":
    said = convert(Path(sys.argv[1]), Path(sys.argv[2]))
    if "Paris" not in said:
        sys.exit(f"the converted model answers nonsense: {said!r}")
    print(f"{sys.argv[2]}: {said!r}")
