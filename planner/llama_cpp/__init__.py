"""llama.cpp: placement, memory and speed of one exact llama-server command line."""
