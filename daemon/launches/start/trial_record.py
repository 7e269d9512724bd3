"""What a trial of thread counts found, what that rests on, and whether it still holds. Pure: no I/O."""

from dataclasses import dataclass

from domain.machine.hardware import Cpu
from launchers.base import Capabilities

# Of the time of the trial: what waits less than that changes rates by less than thread_tuning.MIN_SPEEDUP.
BUSY_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class TrialBasis:
    """``engine`` is the path and the version of the build; the CPUs are those online and, of these, those
    that this process may run on."""

    engine: tuple[str, str | None]
    cpu_model: str | None = None
    logical_cpus: int | None = None
    usable_cpus: int | None = None
    quota_cpus: float | None = None

    @classmethod
    def of(cls, caps: Capabilities, cpu: Cpu) -> "TrialBasis":
        return cls((caps.path, caps.version), cpu.model, cpu.logical_cpus, cpu.usable_cpus, cpu.quota_cpus)

    def change(self, now: "TrialBasis") -> str | None:
        """What is another ``now``, in words."""
        pairs = (
            ("engine", _engine(self), _engine(now)),
            ("CPU", self.cpu_model, now.cpu_model),
            ("CPUs online", self.logical_cpus, now.logical_cpus),
            ("CPUs allowed", self.usable_cpus, now.usable_cpus),
            ("CPU quota", self.quota_cpus or "none", now.quota_cpus or "none"),
        )
        changed = (
            f"{what} {_word(after)} after {_word(before)}" for what, before, after in pairs if before != after
        )
        return ", ".join(changed) or None


@dataclass(frozen=True, slots=True)
class ThreadTrial:
    """``rates`` are tokens a second by thread count. ``stalled_share`` of the time some task waited for a
    CPU, ``None`` where the kernel does not tell. Earlier versions stored the first two fields alone."""

    best: int
    rates: dict[str, float]
    basis: TrialBasis | None = None
    stalled_share: float | None = None

    @property
    def was_busy(self) -> bool:
        return is_busy(self.stalled_share)

    def why_again(self, now: TrialBasis, *, asked: bool, recovering: bool, is_busy: bool) -> str | None:
        """Why it is repeated, ``None`` where it holds. One of a busy machine is good enough to bring back an
        engine that crashed (``recovering``): serving again comes first. While the machine is busy still
        (``is_busy``) another trial would tell no more."""
        if asked:
            return "as asked for"
        if self.basis is not None and (change := self.basis.change(now)):
            return change
        if self.was_busy and not recovering and not is_busy:
            return "the CPU was busy when they were tried"
        return None


def busy_note(stalled_share: float | None) -> str:
    """Empty for a machine that was idle enough, or that does not tell."""
    if stalled_share is None or not is_busy(stalled_share):
        return ""
    waited = f"tasks waited {100 * stalled_share:.0f} % of the time"
    return f"measured while the CPU was busy ({waited}): repeated at a calmer start"


def is_busy(stalled_share: float | None) -> bool:
    return stalled_share is not None and stalled_share >= BUSY_SHARE


def _engine(basis: TrialBasis) -> str:
    path, version = basis.engine
    return f"{path} ({version or 'version unknown'})"


def _word(value: object) -> str:
    return "unknown" if value is None else str(value)
