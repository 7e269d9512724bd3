"""Tests of planner/vllm/."""
