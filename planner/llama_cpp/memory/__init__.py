"""Memory of one llama-server command line: KV cache, compute buffers, host, draft models and projectors."""
