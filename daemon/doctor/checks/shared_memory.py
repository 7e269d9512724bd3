"""Strix Halo and its kin: does the GPU get the RAM that it could?"""

import difflib
from collections.abc import Mapping

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.hardware import Gpu, MemoryKind, ProblemKind
from domain.units import GIB, MIB, gib
from probes.gpus.amd.apu import PAGE_BYTES

# By default TTM hands out half of the RAM. A rule of thumb, of no other source: who raised it went above
# this share, below it somebody left it at that
ENOUGH_SHARE = 0.7
FOR_THE_SYSTEM_BYTES = 8 * GIB  # what is to stay outside of the GPU's reach: of no other source
NEAR = 0.75  # likeness from which an unknown parameter is a misspelt one
WHY = "models that would fit are refused or run partly on the CPU"


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    gpus = [
        one for one in facts.hardware.gpus if one.vendor == "amd" and one.memory_kind is MemoryKind.UNIFIED
    ]
    split = tuple(
        warning(problem.what, why="memory is lost, or runs out before the driver says so", fix=problem.hint)
        for problem in facts.hardware.problems
        if problem.trouble is ProblemKind.SHARED_MEMORY
    )
    if not gpus and not split:
        return ()
    sized = () if split else tuple(finding for gpu in gpus for finding in _pool(facts, gpu))
    return (*split, *sized, *_misspelt(facts), *_two_limits(facts))


def _pool(facts: DoctorInput, gpu: Gpu) -> tuple[Finding, ...]:
    pool_bytes, ram_bytes = gpu.memory_total_bytes, facts.hardware.memory.total_bytes
    if pool_bytes is None or ram_bytes is None:
        return not_known(f"how much of the RAM {gpu.name} may have")
    pools = facts.system.pools.get(gpu.id.removeprefix("pci:"))
    if pools and pools.vram_bytes and pools.vram_bytes >= pool_bytes:
        return ok(f"{gpu.name} has {gib(pool_bytes)}, set aside by the firmware")
    found = f"{gpu.name} may map {gib(pool_bytes)} of {gib(ram_bytes)} RAM"
    if pool_bytes >= ENOUGH_SHARE * ram_bytes:
        return ok(found)
    module = "amdttm" if "amdttm" in facts.system.modules else "ttm"
    pages = max(0, ram_bytes - FOR_THE_SYSTEM_BYTES) // GIB * (GIB // PAGE_BYTES)
    return (
        warning(
            found,
            why=WHY,
            fix=f"add {module}.pages_limit={pages} {module}.page_pool_size={pages} to the kernel's command "
            f"line (GRUB_CMDLINE_LINUX in /etc/default/grub, then sudo update-grub; Fedora: sudo grubby "
            f"--update-kernel=ALL --args=...), without amdgpu.gttsize, then reboot",
        ),
    )


def _misspelt(facts: DoctorInput) -> tuple[Finding, ...]:
    """As amdgpu.gtt_size, which the kernel ignored in silence: github.com/ROCm/ROCm/issues/5595."""
    found = []
    for name in given(facts.system.command_line):
        module, _, parameter = name.partition(".")
        known = facts.system.modules.get(module)
        if not known or parameter in known:
            continue
        near = difflib.get_close_matches(parameter, known, n=1, cutoff=NEAR)
        if near:
            why = "the kernel ignores what it doesn't know and says nothing"
            fix = f"write {module}.{near[0]} in the kernel command line, then reboot"
            found.append(warning(f"{name} is no parameter of {module}", why=why, fix=fix))
    return tuple(found)


def _two_limits(facts: DoctorInput) -> tuple[Finding, ...]:
    """``amdgpu.gttsize`` (MiB) is deprecated; where both are set, the smaller one counts."""
    said = given(facts.system.command_line)
    size = said.get("amdgpu.gttsize", "")
    pages = said.get("ttm.pages_limit") or said.get("amdttm.pages_limit") or ""
    if not (size.isdecimal() and pages.isdecimal()) or int(size) * MIB == int(pages) * PAGE_BYTES:
        return ()
    return (
        warning(
            f"amdgpu.gttsize is {gib(int(size) * MIB)} and pages_limit {gib(int(pages) * PAGE_BYTES)}",
            why="two limits that differ: the driver counts with one and gets the other",
            fix="take amdgpu.gttsize out of the kernel command line, then reboot",
        ),
    )


def given(command_line: str | None) -> Mapping[str, str]:
    """The ``module.parameter=value`` words of a kernel command line, the last of each."""
    pairs = (word.partition("=") for word in (command_line or "").split())
    return {name: value for name, equals, value in pairs if equals and "." in name}
