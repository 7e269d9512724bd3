"""Has the ROCm build of an engine code for this GPU?"""

from pathlib import Path

from daemon.doctor.checks.finding import Finding, Verdict, error, not_known, warning
from daemon.doctor.checks.input import DoctorInput

HIP = frozenset({"rocm", "hip"})


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    archs = sorted({gpu.arch for gpu in facts.hardware.gpus if gpu.vendor == "amd" and gpu.arch})
    if not archs:
        return ()
    engines = [one for one in facts.hardware.engines if HIP & set(one.backends) and not one.problem]
    found = [finding for one in engines for finding in _engine(facts, one.path, archs)]
    if not engines:
        rocm = facts.hardware.stacks.rocm
        has = f"ROCm {rocm}" if rocm else "no ROCm"
        found = [Finding(Verdict.OK, f"{has}; no engine here was built for it")]
    return (*_override(facts, archs), *found)


def _engine(facts: DoctorInput, path: str, archs: list[str]) -> tuple[Finding, ...]:
    build = facts.builds.get(path)
    if build is None or not build.hip_targets:
        return not_known(f"for which GPUs {Path(path).name} was built")
    missing = [arch for arch in archs if arch not in build.hip_targets]
    if not missing:
        return (Finding(Verdict.OK, f"{Path(path).name} has code for {', '.join(archs)}"),)
    return (
        error(
            f"{path} has code for {', '.join(build.hip_targets)}; this GPU is {', '.join(missing)}",
            why="HIP ends with 'invalid device function', or finds no device",
            fix=f"install a build for {', '.join(missing)}, or one with Vulkan, and set llama_server to it",
        ),
    )


def _override(facts: DoctorInput, archs: list[str]) -> tuple[Finding, ...]:
    """github.com/ollama/ollama docs: the variable without a number is for all GPUs at once."""
    if facts.gfx_override is None:
        return ()
    return (
        warning(
            f"HSA_OVERRIDE_GFX_VERSION={facts.gfx_override} is set for all GPUs ({', '.join(archs)})",
            why="each of them runs code of that architecture, and HIP refuses to start where one can't",
            fix="take it away where the build has code for the GPU; else set HSA_OVERRIDE_GFX_VERSION_0",
        ),
    )
