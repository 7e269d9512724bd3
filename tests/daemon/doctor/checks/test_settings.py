"""The settings file: not used, or not valid any more."""

import pytest

from daemon.doctor.checks import settings
from tests.daemon.doctor.checks.build import ERROR, OK, WARNING, Case, case_id, inputs, judge

TYPO = "/etc/node-daemon/config.toml:3: unknown setting 'modles_dir'"
PORT = "/etc/node-daemon/config.toml:4: port_first = 80: expected a whole number from 1024 to 65535"

CASES = [
    Case("valid", inputs(), (OK,)),
    Case(
        "rejected at the start",
        inputs(rejected_settings=(TYPO, PORT)),
        (ERROR,),
        ("was not used", "config.toml:3", "(and 1 more)", "the last start at which the file was valid"),
    ),
    Case("changed since", inputs(settings_problems=(PORT,)), (WARNING,), ("config.toml:4", "its next start")),
    Case(
        "rejected, and still wrong",
        inputs(rejected_settings=(TYPO,), settings_problems=(TYPO,)),
        (ERROR,),
        ("was not used",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_settings(case: Case) -> None:
    judge(settings.check, case)
