"""Architectures that a fork of llama.cpp spells in its own way: files of it load nowhere else."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ForkSpelling:
    """``repo`` has files of the same model that llama.cpp itself loads."""

    architecture: str
    repo: str


# Source: ggml-org/llama.cpp#27922; src/llama-arch.cpp of b11434 has glm5-next alone.
FORK_SPELLINGS = {"glm5next": ForkSpelling("glm5-next", "ggml-org/GLM-5.3-Flash-GGUF")}


def hint(architecture: str) -> str:
    """Empty if it is no such spelling."""
    known = FORK_SPELLINGS.get(architecture)
    if known is None:
        return ""
    return (
        f"{architecture} is a fork's spelling of {known.architecture}: {known.repo} has files that load here"
    )
