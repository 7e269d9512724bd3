"""What to do about a model that nobody has published as GGUF: words for hints."""

from collections.abc import Sequence

from domain.catalogue_types import KnownModel


def ways_on(repo: str, model: KnownModel | None, name: str) -> str:
    """For one who wants llama.cpp to serve ``repo``, which has safetensors only."""
    if model and model.gguf_repos:
        return f"{model.gguf_repos[0]} has GGUF files of it; or leave out --engine"
    return of_model((repo,), name)


def of_model(repos: Sequence[str], name: str) -> str:
    """The first of ``repos`` is for vLLM; the last, least quantized, is what a GGUF is made of."""
    folder = repos[-1].rpartition("/")[2]
    return (
        f"vLLM serves {repos[0]}: node-ctl launch {name} --engine vllm; or convert it: "
        f"hf download {repos[-1]} --local-dir {folder} && {command(folder)}, "
        f"then node-ctl launch ./{folder}.gguf"
    )


def command(folder: str) -> str:
    """With the script of a llama.cpp checkout."""
    return f"python convert_hf_to_gguf.py {folder} --outtype q8_0 --outfile {folder}.gguf"
