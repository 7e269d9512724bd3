"""Does the CUDA of the engines fit the driver and the GPU?"""

from pathlib import Path

from daemon.doctor.checks.finding import Finding, Verdict, error, not_known
from daemon.doctor.checks.input import DoctorInput
from daemon.doctor.checks.versions import numbers


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    archs = sorted({gpu.arch for gpu in facts.hardware.gpus if gpu.vendor == "nvidia" and gpu.arch})
    if not any(gpu.vendor == "nvidia" for gpu in facts.hardware.gpus):
        return ()
    level = facts.hardware.stacks.cuda
    if level is None:
        return not_known("which CUDA the driver offers")
    engines = [one for one in facts.hardware.engines if "cuda" in one.backends and not one.problem]
    if not engines:
        return (Finding(Verdict.OK, f"the driver offers CUDA {level}; no engine here was built for it"),)
    return tuple(finding for one in engines for finding in _engine(facts, one.path, level, archs))


def _engine(facts: DoctorInput, path: str, level: str, archs: list[str]) -> tuple[Finding, ...]:
    build = facts.builds.get(path)
    if build is None or build.cuda is None:
        return not_known(f"with which CUDA {Path(path).name} was made")
    # a driver runs what any release of its major version made: docs.nvidia.com/deploy/cuda-compatibility
    if numbers(build.cuda)[0] > numbers(level)[0]:
        return (
            error(
                f"{path} was made with CUDA {build.cuda}, the driver offers {level}",
                why="it finds no device ('CUDA driver version is insufficient'), and models run on the CPU",
                fix=f"update the NVIDIA driver, or install a build made with CUDA {numbers(level)[0]}",
            ),
        )
    late = [arch for arch in archs if _too_new(facts, arch, build.cuda)]
    if late:
        since = ", ".join(f"{arch} since CUDA {facts.cuda_since[arch]}" for arch in late)
        return (
            error(
                f"{path} was made with CUDA {build.cuda}, which knows no {', '.join(late)}",
                why="it ends with 'no kernel image is available for execution on the device'",
                fix=f"install a build made with a newer one ({since})",
            ),
        )
    return (Finding(Verdict.OK, f"{Path(path).name} made with CUDA {build.cuda}, the driver offers {level}"),)


def _too_new(facts: DoctorInput, arch: str, made_with: str) -> bool:
    """Where only the major version is known, the newest of it is assumed."""
    since, made = facts.cuda_since.get(arch), numbers(made_with)
    return since is not None and made < numbers(since)[: len(made)]
