"""May this user open the AMD GPUs? Their device files belong to the groups render and video."""

from daemon.checks.finding import Facts, Finding, Verdict

NEEDED = ("render", "video")


def check(facts: Facts) -> tuple[Finding, ...]:
    if not any(gpu.vendor == "amd" for gpu in facts.hardware.gpus):
        return ()
    missing = [group for group in NEEDED if group not in facts.groups]
    if not missing or "root" in facts.groups:
        return (Finding("groups", Verdict.OK, "the AMD GPU may be opened"),)
    return (
        Finding(
            "groups",
            Verdict.ERROR,
            f"not in the group{'s' if len(missing) > 1 else ''} {' and '.join(missing)}",
            why="ROCm and Vulkan see no GPU, and models run on the CPU",
            fix=f"sudo usermod -aG {','.join(missing)} $USER, then log in again",
        ),
    )
