"""The steps of ``node-ctl service uninstall``."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ctl.service import environment
from ctl.service.status import orphans
from ctl.service.steps import ENGINE_UNITS, SLICE, UNIT, USER, Step, Target, output_of, run, user_exists

RUNTIME = "/run/systemd/system.control"
FOLDERS = (
    *("/var/lib/node-daemon", "/var/cache/node-daemon", "/etc/node-daemon"),
    # of engines: a link of systemd's, and the folder to which it leads
    *("/var/cache/node-daemon-engine", "/var/cache/private/node-daemon-engine"),
)


def steps(target: Target, *, purge: bool) -> Sequence[Step]:
    chosen = [_stop(target), _limits(target), *(_unit(target, file) for file in target.units), _link(target)]
    chosen += [_remove(path) for path in (target.rules, target.tmpfiles, target.sysusers)]
    if purge:
        chosen += [_remove(target.at(folder)) for folder in FOLDERS]
        chosen += [_remove(unit.with_name(f"{unit.name}.d")) for unit in target.units]
        chosen += [_user(target)] if target.running else []
    # Last, because this program may run from there.
    return [*chosen, _environment(target)]


def _stop(target: Target) -> Step:
    def needed() -> bool:
        if target.running and (output_of(["systemctl", "is-active", UNIT]) != "inactive" or orphans()):
            return True
        return output_of(target.tool("systemctl", "is-enabled", UNIT)) == "enabled"

    def do() -> None:
        run(target.tool("systemctl", "disable", *(["--now"] if target.running else []), UNIT))
        if target.running and orphans():  # of a daemon that crashed
            output_of(["systemctl", "stop", ENGINE_UNITS])
            output_of(["systemctl", "kill", "--kill-who=all", "--signal=KILL", UNIT])
        if target.running:
            output_of(["systemctl", "stop", SLICE])

    return Step("stop the service with all its engines, and disable it at boot", needed, do)


def _unit(target: Target, file: Path) -> Step:
    def do() -> None:
        file.unlink()
        if target.running:
            run(["systemctl", "daemon-reload"])
            # an error where it has not failed
            output_of(["systemctl", "reset-failed", file.name.replace("@", "@*")])

    return Step(f"remove {file}", file.exists, do)


def _limits(target: Target) -> Step:
    """What units of engines were set to (launchers/sandbox/unit_limits.py): systemd keeps that."""

    def found() -> list[Path]:
        return sorted(target.at(RUNTIME).glob(f"{ENGINE_UNITS}.d"))

    def do() -> None:
        for folder in found():
            shutil.rmtree(folder)

    return Step("remove the limits of engines", lambda: bool(found()), do)


def _link(target: Target) -> Step:
    def ours() -> bool:
        return target.link.is_symlink() and target.link.readlink() == target.prefix / "bin/node-ctl"

    return Step(f"remove {target.link}", ours, target.link.unlink)


def _environment(target: Target) -> Step:
    folder = target.at(target.prefix)
    return Step(f"remove {folder}", lambda: environment.is_ours(target), lambda: shutil.rmtree(folder))


def _remove(path: Path) -> Step:
    def do() -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    return Step(f"remove {path}", path.exists, do)


def _user(target: Target) -> Step:
    def do() -> None:
        run(["userdel", USER])
        if output_of(["getent", "group", USER]):  # it has members: the users of node-ctl
            run(["groupdel", USER])

    return Step(f"remove the user and the group {USER}", lambda: user_exists(target), do)
