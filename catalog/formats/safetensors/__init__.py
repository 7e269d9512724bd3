"""Safetensors: headers, shards, quantization method, how to convert to GGUF."""
