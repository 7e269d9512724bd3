"""Weights of safetensors in vLLM: which tensors, how they are quantized, and what each rank holds of them."""
