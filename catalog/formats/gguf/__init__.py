"""GGUF: header, tensor index, quants by file name."""
