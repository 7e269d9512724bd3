"""Is there an engine that can serve?"""

from daemon.checks.finding import Facts, Finding, Verdict
from domain.plan import LLAMA_CPP
from launchers.registry import INSTALL


def check(facts: Facts) -> tuple[Finding, ...]:
    found = facts.hardware.engines
    broken = tuple(
        Finding(
            "engine",
            Verdict.WARNING,
            f"{engine.path}: {engine.problem}",
            why="this engine is passed over",
            fix="install another build, or take its path out of the settings",
        )
        for engine in found
        if engine.problem
    )
    usable = [engine for engine in found if not engine.problem]
    if not usable:
        nothing = Finding(
            "engine",
            Verdict.ERROR,
            "no engine can be used",
            why="nothing can be launched",
            fix=INSTALL[LLAMA_CPP],
        )
        return (nothing, *broken)
    fine = tuple(
        Finding("engine", Verdict.OK, f"{one.engine} {one.version or ''} at {one.path}".replace("  ", " "))
        for one in usable
    )
    return (*fine, *broken)
