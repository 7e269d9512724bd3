"""Writes docs/doctor.md from the checks and their tables: ``python -m tests.daemon.doctor.checks.page``."""

import sys
from importlib import import_module

from daemon.doctor.checks.finding import Check, Finding
from daemon.doctor.service import CHECKS
from tests.conftest import ROOT
from tests.daemon.doctor.checks.build import ERROR, WARNING, Case

PAGE = ROOT / "docs" / "doctor.md"
HEAD = """# node-ctl doctor

What `node-ctl doctor` checks, and what it reports if something is wrong. This page is written by
`python -m tests.daemon.doctor.checks.page` from the checks and the machines of their tests; a test fails
if they differ.

    node-ctl doctor                       # all checks, problems first
    node-ctl doctor --check groups        # one check only, for example after a fix
    node-ctl doctor --hub                 # also contact the model hub; nothing else uses the network
    node-ctl doctor --report report.md    # one file for a bug report

The daemon runs the checks as its own user and inside its own sandbox: what it can't open, its engines can't
open either. If no daemon answers, the command runs them as you, and reports why no daemon answers.

| verdict | meaning | exit status |
|---|---|---|
| `error` | something can't work | 1 |
| `warning` | it works, but worse than it could or not for long | 0 |
| `not known` (`not_known` in JSON) | the check could not read what it needs: never reported as `ok` | 0 |
| `ok` | checked, nothing wrong | 0 |

A check that does not apply to a machine (no AMD GPU, no shared memory) reports nothing. The doctor changes
nothing: the fixes are for you to type.

A report holds the findings, the settings, the launches, the last events, the last lines of the logs of
launches that failed, the systemd unit and the probe. User names, home folders, host names, serial numbers,
UUIDs, network addresses and secrets are removed. Read it before you share it.

## The checks
"""
LABEL = {ERROR: "error", WARNING: "warning"}


def text() -> str:
    return HEAD + "".join(_section(name, check) for name, check in CHECKS.items())


def _section(name: str, check: Check) -> str:
    module = check.__module__
    question = (sys.modules[module].__doc__ or "").splitlines()[0]
    cases: list[Case] = import_module(f"tests.daemon.doctor.checks.test_{module.rpartition('.')[2]}").CASES
    findings = dict.fromkeys(
        finding for case in cases for finding in check(case.inputs) if finding.status in LABEL
    )
    return f"\n### {name}\n\n{question}\n\n" + "".join(_entry(finding) for finding in findings)


def _entry(finding: Finding) -> str:
    label = LABEL[finding.status]
    return f"- {label}: {finding.found}\n  - why: {finding.why}\n  - fix: {finding.fix}\n"


if __name__ == "__main__":
    PAGE.write_text(text())
