"""vLLM: what one command line of ``vllm serve`` takes, and the best command for a model.

The rules are those of vLLM 0.32.0, read from its sources and compared with what it logs on a CPU.
"""
