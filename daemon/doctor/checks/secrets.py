"""Can every user of this machine read files with tokens or passwords?"""

import shlex

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput, SecretFile


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    if inputs.secret_files is None:
        return not_known("whether others can read files with secrets")
    unknown = [file.path for file in inputs.secret_files if file.is_open is None]
    findings = [_finding(inputs, file) for file in inputs.secret_files if file.is_open]
    if unknown:
        findings += not_known(f"whether others can read {', '.join(unknown)}")
    return tuple(findings) or ok("no file with secrets can be read by every user")


def _finding(inputs: DoctorInput, file: SecretFile) -> Finding:
    return warning(
        f"every user can read {file.path} (mode {file.mode or 0:04o}, owner {file.owner})",
        why=f"it holds {file.holds}: whoever reads it can use them",
        fix=_fix(inputs, file),
    )


def _fix(inputs: DoctorInput, file: SecretFile) -> str:
    """A file of another user, such as the settings of the service, must stay readable for the daemon."""
    path, daemon = shlex.quote(file.path), inputs.runs_as and inputs.runs_as.name
    if daemon is not None and file.owner != daemon:
        return f"sudo chgrp {daemon} {path} && sudo chmod 640 {path}"
    is_own = inputs.caller is None or inputs.caller.name == file.owner
    return f"chmod 600 {path}" if is_own else f"sudo chmod 600 {path}"
