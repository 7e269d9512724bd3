"""Does the CUDA version of the engines match the driver and the GPU?"""

from pathlib import Path

from daemon.doctor.checks.finding import Finding, Verdict, error, not_known
from daemon.doctor.checks.input import DoctorInput
from daemon.doctor.checks.versions import numbers


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    gpus = [gpu for gpu in inputs.hardware.gpus if gpu.vendor == "nvidia"]
    if not gpus:
        return ()
    driver_cuda = inputs.hardware.stacks.cuda
    if driver_cuda is None:
        return not_known("which CUDA version the driver supports")
    engines = [
        engine for engine in inputs.hardware.engines if "cuda" in engine.backends and not engine.problem
    ]
    if not engines:
        found = f"the driver supports CUDA {driver_cuda}; no installed engine uses it"
        return (Finding(Verdict.OK, found),)
    archs = sorted({gpu.arch for gpu in gpus if gpu.arch})
    return tuple(
        finding for engine in engines for finding in _engine(inputs, engine.path, driver_cuda, archs)
    )


def _engine(inputs: DoctorInput, path: str, driver_cuda: str, archs: list[str]) -> tuple[Finding, ...]:
    build = inputs.builds.get(path)
    if build is None or build.cuda is None:
        return not_known(f"with which CUDA version {Path(path).name} was built")
    # a driver runs code of any release of its major version: docs.nvidia.com/deploy/cuda-compatibility
    if numbers(build.cuda)[0] > numbers(driver_cuda)[0]:
        return (
            error(
                f"{path} was built with CUDA {build.cuda}, the driver supports only {driver_cuda}",
                why="it finds no device ('CUDA driver version is insufficient'), and models run on the CPU",
                fix=f"update the NVIDIA driver, or install a build with CUDA {numbers(driver_cuda)[0]}",
            ),
        )
    unsupported = [arch for arch in archs if _is_too_new(inputs, arch, build.cuda)]
    if unsupported:
        needed = ", ".join(f"{arch} needs CUDA {inputs.cuda_since[arch]}" for arch in unsupported)
        return (
            error(
                f"{path} was built with CUDA {build.cuda}, which does not support {', '.join(unsupported)}",
                why="it fails with 'no kernel image is available for execution on the device'",
                fix=f"install a build with a newer CUDA version ({needed})",
            ),
        )
    found = f"{Path(path).name} was built with CUDA {build.cuda}, the driver supports {driver_cuda}"
    return (Finding(Verdict.OK, found),)


def _is_too_new(inputs: DoctorInput, arch: str, built_with: str) -> bool:
    """If only the major version is known, its newest release is assumed."""
    since, built = inputs.cuda_since.get(arch), numbers(built_with)
    return since is not None and built < numbers(since)[: len(built)]
