"""Tests of planner/llama_cpp/."""
