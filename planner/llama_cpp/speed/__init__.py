"""Speed of llama.cpp: rooflines for decode, prefill and load, with speculation."""
