"""The launcher of llama.cpp: llama-server, builds b10068 to b11434."""

from launchers.llama_cpp.architectures import known_architectures
from launchers.llama_cpp.argv import arguments, command
from launchers.llama_cpp.capabilities import assume, inspect
from launchers.llama_cpp.discovery import find
from launchers.llama_cpp.failures import diagnose, find_degradation
from launchers.llama_cpp.parsing import parse

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
