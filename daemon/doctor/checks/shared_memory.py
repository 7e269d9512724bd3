"""Strix Halo and other AMD APUs: can the GPU use enough of the RAM?"""

from collections.abc import Mapping

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import Gpu, MemoryKind, ProblemKind
from domain.suggestions import near
from domain.units import GIB, MIB, gib
from probes.gpus.amd.apu import PAGE_BYTES

# By default TTM allows half of the RAM. A rule of thumb without another source: above this share the limit
# has been raised, below it has been left at the default
ENOUGH_SHARE = 0.7
RESERVED_BYTES = 8 * GIB  # left to the system, without another source
WHY = "models that would fit are refused or run partly on the CPU"


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    gpus = [
        gpu for gpu in inputs.hardware.gpus if gpu.vendor == "amd" and gpu.memory_kind is MemoryKind.UNIFIED
    ]
    split = tuple(
        warning(
            problem.what, why="memory is unused, or runs out before the driver reports it", fix=problem.hint
        )
        for problem in inputs.hardware.problems
        if problem.trouble is ProblemKind.SHARED_MEMORY
    )
    if not gpus and not split:
        return ()
    sizes = () if split else tuple(finding for gpu in gpus for finding in _pool(inputs, gpu))
    return (*split, *sizes, *_misspelled(inputs), *_conflicting_limits(inputs))


def _pool(inputs: DoctorInput, gpu: Gpu) -> tuple[Finding, ...]:
    pool_bytes, ram_bytes = gpu.memory_total_bytes, inputs.hardware.memory.total_bytes
    if pool_bytes is None or ram_bytes is None:
        return not_known(f"how much of the RAM {gpu.name} can use")
    pools = inputs.system.pools.get(gpu.id.removeprefix("pci:"))
    if pools and pools.vram_bytes and pools.vram_bytes >= pool_bytes:
        return ok(f"{gpu.name} has {gib(pool_bytes)}, reserved by the firmware")
    found = f"{gpu.name} may map {gib(pool_bytes)} of {gib(ram_bytes)} RAM"
    if pool_bytes >= ENOUGH_SHARE * ram_bytes:
        return ok(found)
    module = "amdttm" if "amdttm" in inputs.system.modules else "ttm"
    pages = max(0, ram_bytes - RESERVED_BYTES) // GIB * (GIB // PAGE_BYTES)
    return (
        warning(
            found,
            why=WHY,
            fix=f"add {module}.pages_limit={pages} {module}.page_pool_size={pages} to the kernel command "
            f"line (GRUB_CMDLINE_LINUX in /etc/default/grub, then sudo update-grub; Fedora: sudo grubby "
            f"--update-kernel=ALL --args=...), without amdgpu.gttsize, then reboot",
        ),
    )


def _misspelled(inputs: DoctorInput) -> tuple[Finding, ...]:
    """Such as amdgpu.gtt_size, which the kernel ignored silently: github.com/ROCm/ROCm/issues/5595."""
    findings = []
    for name in parse_parameters(inputs.system.command_line):
        module, _, parameter = name.partition(".")
        parameters = inputs.system.modules.get(module)
        if not parameters or parameter in parameters:
            continue
        if similar := near(parameter, parameters):
            why = "the kernel ignores unknown parameters without a message"
            fix = f"write {module}.{similar[0]} in the kernel command line, then reboot"
            findings.append(warning(f"{name} is not a parameter of {module}", why=why, fix=fix))
    return tuple(findings)


def _conflicting_limits(inputs: DoctorInput) -> tuple[Finding, ...]:
    """``amdgpu.gttsize`` (MiB) is deprecated; if both are set, the smaller one applies."""
    parameters = parse_parameters(inputs.system.command_line)
    size = parameters.get("amdgpu.gttsize", "")
    pages = parameters.get("ttm.pages_limit") or parameters.get("amdttm.pages_limit") or ""
    if not (size.isdecimal() and pages.isdecimal()) or int(size) * MIB == int(pages) * PAGE_BYTES:
        return ()
    return (
        warning(
            f"amdgpu.gttsize is {gib(int(size) * MIB)} and pages_limit {gib(int(pages) * PAGE_BYTES)}",
            why="the limits differ: the driver assumes the one and can allocate only the other",
            fix="remove amdgpu.gttsize from the kernel command line, then reboot",
        ),
    )


def parse_parameters(command_line: str | None) -> Mapping[str, str]:
    """The ``module.parameter=value`` words of a kernel command line, the last of each."""
    pairs = (word.partition("=") for word in (command_line or "").split())
    return {name: value for name, equals, value in pairs if equals and "." in name}
