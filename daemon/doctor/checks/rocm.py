"""Does the ROCm build of an engine have code for this GPU?"""

from pathlib import Path

from daemon.doctor.checks.finding import Finding, Verdict, error, not_known, warning
from daemon.doctor.checks.input import DoctorInput

HIP = frozenset({"rocm", "hip"})


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    archs = sorted({gpu.arch for gpu in inputs.hardware.gpus if gpu.vendor == "amd" and gpu.arch})
    if not archs:
        return ()
    engines = [
        engine for engine in inputs.hardware.engines if HIP & set(engine.backends) and not engine.problem
    ]
    findings = [finding for engine in engines for finding in _engine(inputs, engine.path, archs)]
    if not engines:
        rocm = inputs.hardware.stacks.rocm
        installed = f"ROCm {rocm}" if rocm else "no ROCm"
        findings = [Finding(Verdict.OK, f"{installed}; no installed engine uses it")]
    return (*_override(inputs, archs), *findings)


def _engine(inputs: DoctorInput, path: str, archs: list[str]) -> tuple[Finding, ...]:
    build = inputs.builds.get(path)
    if build is None or not build.hip_targets:
        return not_known(f"for which GPUs {Path(path).name} was built")
    missing = ", ".join(arch for arch in archs if arch not in build.hip_targets)
    if not missing:
        return (Finding(Verdict.OK, f"{Path(path).name} has code for {', '.join(archs)}"),)
    return (
        error(
            f"{path} has code for {', '.join(build.hip_targets)}, and none for this GPU ({missing})",
            why="HIP fails with 'invalid device function', or finds no device",
            fix=f"install a build for {missing}, or one with Vulkan, and set llama_server to it",
        ),
    )


def _override(inputs: DoctorInput, archs: list[str]) -> tuple[Finding, ...]:
    """Without a number the variable applies to all GPUs at once: docs of github.com/ollama/ollama."""
    if inputs.gfx_override is None:
        return ()
    return (
        warning(
            f"HSA_OVERRIDE_GFX_VERSION={inputs.gfx_override} is set for all GPUs ({', '.join(archs)})",
            why="each of them runs code of that architecture, and HIP does not start on one that can't",
            fix="unset it if the build has code for the GPU; otherwise set HSA_OVERRIDE_GFX_VERSION_0",
        ),
    )
