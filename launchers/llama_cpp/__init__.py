"""llama.cpp: llama-server found, asked, told and understood."""

from launchers.llama_cpp.argv import arguments, command
from launchers.llama_cpp.capabilities import ask, assume
from launchers.llama_cpp.discovery import find
from launchers.llama_cpp.failures import degraded, diagnose
from launchers.llama_cpp.parsing import parse

__all__ = ["arguments", "ask", "assume", "command", "degraded", "diagnose", "find", "parse"]
