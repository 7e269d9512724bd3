"""Versions of the compute stacks, kernel and firmware, from files: without a child and without a library."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from domain.machine.hardware import Stacks
from domain.machine.provenance import Provenance
from probes import sysfs
from probes.gpus.pci import PciDevice
from probes.memo import Memo
from probes.result import Reading
from probes.system import firmware

VERSION = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4}){1,3}")
DEFINED = re.compile(r"#define\s+ROCM_VERSION_(MAJOR|MINOR|PATCH)\s+([0-9]{1,4})")

# TheRock (7.14 and later) has its version in "core"; distributions install ROCm below /usr without .info
INFO = (".info/version", "core/.info/version")
HEADERS = (
    "opt/rocm/include/rocm-core/rocm_version.h",
    "usr/include/rocm-core/rocm_version.h",
    "usr/include/rocm_version.h",
)
# pip's packages of TheRock; a distribution's HIP runtime, whose major and minor version are ROCm's
WHEELS = (
    "usr/local/lib/python3*/dist-packages",
    "usr/lib/python3*/site-packages",
    "opt/*/lib/python3*/site-packages",
)
RUNTIMES = ("usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib")
RUNTIME = re.compile(r"libamdhip64\.so\.([0-9]{1,2}\.[0-9]{1,3})\.[0-9]+.*")

# CUDA's toolkit: version.json since 11.1, version.txt before and in Debian's package
TOOLKIT = re.compile(r"\"cuda\"\s*:\s*\{[^}]*\"version\"\s*:\s*\"([0-9]{1,3}(?:\.[0-9]{1,10}){1,3})\"")
TOOLKIT_TEXT = re.compile(r"CUDA Version ([0-9]{1,3}(?:\.[0-9]{1,10}){1,3})")

# An installation changes one of these folders
INSTALL_FOLDERS = ("opt", "opt/rocm", "usr/local", "usr/local/cuda", "usr/include", *RUNTIMES)

FIRMWARE_DRIVERS = ("amdgpu", "xe", "i915", "amdxdna")

SOURCES = {
    "cuda": Provenance("nvml", note="the highest version that the driver runs"),
    "cuda_toolkit": Provenance("files", note="version.json of /usr/local/cuda"),
    "rocm": Provenance("files", note=".info/version, headers, packages of pip, the HIP runtime's name"),
    "nvidia_module": Provenance("sysfs"),
    "amdgpu_dkms": Provenance("sysfs", note="only a driver built outside the kernel has a version"),
    "kernel": Provenance("proc"),
    "linux_firmware": Provenance("files", note="of the package; an update takes effect at the next boot"),
}


def probe(
    root: Path, devices: Sequence[PciDevice], memo: Memo, *, cuda: str | None = None
) -> Reading[Stacks]:
    """``cuda`` is the highest version that NVIDIA's driver runs. Firmware is looked up only where a driver
    loads any, because the list of packages is large."""
    release = sysfs.read(root / "proc/sys/kernel/osrelease")
    package = None
    if any(device.driver in FIRMWARE_DRIVERS for device in devices):
        lists = sysfs.modification_key(root / path for path in firmware.PACKAGE_LISTS)
        package = memo("firmware", (root, lists), lambda: firmware.linux_firmware_version(root))
    places = sysfs.modification_key(root / path for path in INSTALL_FOLDERS)
    installed = memo("stacks", (root, places), lambda: (rocm(root), cuda_toolkit(root)))
    stacks = Stacks(
        cuda=cuda,
        rocm=installed[0],
        cuda_toolkit=installed[1],
        nvidia_module=sysfs.read(root / "sys/module/nvidia/version"),
        amdgpu_dkms=sysfs.read(root / "sys/module/amdgpu/version"),
        kernel=release or None,
        linux_firmware=package,
    )
    return Reading(stacks, provenance=SOURCES)


def cuda_toolkit(root: Path) -> str | None:
    """``"13.0"``; the newest if several are installed and /usr/local/cuda names none."""
    local = root / "usr/local"
    numbered = [local / name for name in reversed(sysfs.entries(local)) if name.startswith("cuda-")]
    for folder in (local / "cuda", *numbered, root / "usr/lib/cuda"):
        for name, pattern in (("version.json", TOOLKIT), ("version.txt", TOOLKIT_TEXT)):
            match = pattern.search(sysfs.read(folder / name) or "")
            if match:
                return ".".join(match[1].split(".")[:2])
    return None


def rocm(root: Path) -> str | None:
    """``"7.1.0"``; the newest if several are installed and /opt/rocm names none."""
    for path in _info_files(root):
        match = VERSION.match(sysfs.read(path) or "")
        if match:
            return match[0]
    headers = (parse_header(sysfs.read(root / name)) for name in HEADERS)
    return next((version for version in headers if version), None) or _wheel(root) or _runtime(root)


def parse_header(text: str | None) -> str | None:
    """The three numbers of ``rocm_version.h``."""
    parts = dict(DEFINED.findall(text or ""))
    return ".".join(parts[part] for part in ("MAJOR", "MINOR", "PATCH")) if len(parts) == 3 else None


def _wheel(root: Path) -> str | None:
    for pattern in WHEELS:
        for path in sorted(root.glob(f"{pattern}/rocm_sdk_core-*.dist-info"), reverse=True):
            match = VERSION.match(path.name.partition("-")[2])
            if match:
                return match[0]
    return None


def _runtime(root: Path) -> str | None:
    """From the full name of the library: ``libamdhip64.so.6.3.60303``."""
    names = (name for folder in RUNTIMES for name in reversed(sysfs.entries(root / folder)))
    return next((match[1] for name in names if (match := RUNTIME.fullmatch(name))), None)


def _info_files(root: Path) -> Iterator[Path]:
    """/opt/rocm may be an absolute link that points outside the root: then the numbered folders are used."""
    opt = root / "opt"
    numbered = [opt / name for name in reversed(sysfs.entries(opt)) if name.startswith("rocm-")]
    cores = [
        opt / "rocm" / name for name in reversed(sysfs.entries(opt / "rocm")) if name.startswith("core-")
    ]
    for folder in (opt / "rocm", *numbered, *cores):
        yield from (folder / name for name in INFO)
