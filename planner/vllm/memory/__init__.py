"""What each device holds under vLLM: the KV cache in blocks, its pool, and all else."""
