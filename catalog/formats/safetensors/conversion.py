"""Hints for a model that nobody has published as GGUF."""

from collections.abc import Sequence

from domain.models.catalogue_types import KnownModel


def alternatives(repo: str, entry: KnownModel | None, name: str) -> str:
    """For llama.cpp, where ``repo`` has safetensors only."""
    if entry and entry.gguf_repos:
        return f"{entry.gguf_repos[0]} has GGUF files of it; or leave out --engine"
    return vllm_or_convert((repo,), name)


def vllm_or_convert(repos: Sequence[str], name: str) -> str:
    """The first of ``repos`` is for vLLM; a GGUF is made of the last, which is the least quantized."""
    folder = repos[-1].rpartition("/")[2]
    return (
        f"vLLM serves {repos[0]}: node-ctl launch {name} --engine vllm; or convert it: "
        f"hf download {repos[-1]} --local-dir {folder} && {convert_command(folder)}, "
        f"then node-ctl launch ./{folder}.gguf"
    )


def convert_command(folder: str) -> str:
    """With the script of a llama.cpp checkout."""
    return f"python convert_hf_to_gguf.py {folder} --outtype q8_0 --outfile {folder}.gguf"
