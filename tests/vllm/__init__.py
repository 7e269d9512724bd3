"""The real vLLM, on a CPU, through the real daemon."""
