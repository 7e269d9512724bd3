"""Tests of launchers/llama_cpp/."""
