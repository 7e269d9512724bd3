"""What the probes could not read or found wrong."""

from daemon.checks.finding import Facts, Finding, Verdict


def check(facts: Facts) -> tuple[Finding, ...]:
    return tuple(
        Finding(problem.source, Verdict.WARNING, problem.what, fix=problem.hint)
        for problem in facts.hardware.problems
    )
