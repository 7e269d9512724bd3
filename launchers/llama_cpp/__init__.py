"""llama.cpp: llama-server found, asked, told and understood."""

from launchers.llama_cpp.argv import arguments, command
from launchers.llama_cpp.ask import ask, assume
from launchers.llama_cpp.failures import degraded, diagnose
from launchers.llama_cpp.find import find
from launchers.llama_cpp.parse import parse

__all__ = ["arguments", "ask", "assume", "command", "degraded", "diagnose", "find", "parse"]
