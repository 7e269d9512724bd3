"""Writes docs/doctor.md from the checks and their tables: ``python -m tests.daemon.doctor.checks.page``."""

import sys
from importlib import import_module

from daemon.doctor.checks.finding import Check, Finding
from daemon.doctor.service import CHECKS
from tests.conftest import ROOT
from tests.daemon.doctor.checks.build import ERROR, WARNING, Case

PAGE = ROOT / "docs" / "doctor.md"
HEAD = """# node-ctl doctor

What `node-ctl doctor` looks at, and what it says where something is wrong. This page is written by
`python -m tests.daemon.doctor.checks.page` from the checks and the machines of their tests; a test fails
where they differ.

    node-ctl doctor                       # all checks, problems first
    node-ctl doctor --check groups        # this one again, once it is fixed
    node-ctl doctor --hub                 # ask the model hub, too; nothing else goes out
    node-ctl doctor --report report.md    # one file for a bug report

The daemon looks, as its own user and from inside its sandbox: what it can't open, its engines can't. Where
no daemon answers, the command looks itself, as you, and says why none answers.

| verdict | meaning | exit status |
|---|---|---|
| `error` | something can't work | 1 |
| `warning` | works, and worse than it could or not for long | 0 |
| `not known` (`not_known` in JSON) | the check could not look: never told as well | 0 |
| `ok` | looked at, and well | 0 |

A check that has nothing to look at on a machine (no AMD GPU, no shared memory) says nothing. Fixes are yours
to type: the doctor changes nothing.

A report holds the findings, settings, launches, the last events, the last lines of launches that failed, the
unit and the probe. User names, homes, host names, serial numbers, UUIDs, network addresses and secrets are
left out. Read it before you show it.

## The checks
"""
LABEL = {ERROR: "error", WARNING: "warning"}


def text() -> str:
    return HEAD + "".join(_section(name, check) for name, check in CHECKS.items())


def _section(name: str, check: Check) -> str:
    module = check.__module__
    asks = (sys.modules[module].__doc__ or "").splitlines()[0]
    cases: list[Case] = import_module(f"tests.daemon.doctor.checks.test_{module.rpartition('.')[2]}").CASES
    bad = {one: None for case in cases for one in check(case.facts) if one.status in LABEL}
    return f"\n### {name}\n\n{asks}\n\n" + "".join(_entry(one) for one in bad)


def _entry(one: Finding) -> str:
    return f"- {LABEL[one.status]}: {one.found}\n  - why: {one.why}\n  - fix: {one.fix}\n"


if __name__ == "__main__":
    PAGE.write_text(text())
