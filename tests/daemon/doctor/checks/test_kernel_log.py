"""A kernel log that may not be read."""

import pytest

from daemon.doctor.checks import kernel_log
from tests.daemon.doctor.checks.build import OK, WARNING, Case, case_id, inputs, judge

CASES = [
    Case("readable", inputs(kernel_log_denied=False), (OK,)),
    Case("denied", inputs(kernel_log_denied=True), (WARNING,), ("/dev/kmsg", "dmesg_restrict=0")),
    Case("none here", inputs(kernel_log_denied=None), ()),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_log_that_may_not_be_read(case: Case) -> None:
    judge(kernel_log.check, case)
