"""What ``node-ctl service uninstall`` does: install, backwards."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ctl.service import environment
from ctl.service.status import left_over
from ctl.service.steps import UNIT, USER, Step, Target, answers, run, user_exists


def steps(target: Target, *, purge: bool) -> Sequence[Step]:
    chosen = [_stop(target), _unit(target), _link(target)]
    chosen += [_remove(path) for path in (target.tmpfiles, target.sysusers)]
    if purge:
        folders = ("/var/lib/node-daemon", "/var/cache/node-daemon", "/etc/node-daemon")
        chosen += [_remove(target.at(folder)) for folder in folders]
        chosen += [_remove(target.unit.with_name(f"{UNIT}.d"))]
        chosen += [_user(target)] if target.running else []
    # Last, for this very program may run from there.
    return [*chosen, _environment(target)]


def _stop(target: Target) -> Step:
    def needed() -> bool:
        if target.running and (answers(["systemctl", "is-active", UNIT]) != "inactive" or left_over()):
            return True
        return answers(target.tool("systemctl", "is-enabled", UNIT)) == "enabled"

    def do() -> None:
        run(target.tool("systemctl", "disable", *(["--now"] if target.running else []), UNIT))
        if target.running and left_over():  # of a daemon that crashed and was not back yet
            run(["systemctl", "kill", "--kill-whom=all", "--signal=KILL", UNIT])

    return Step("stop it with all its engines, and start it at no boot", needed, do)


def _unit(target: Target) -> Step:
    def do() -> None:
        target.unit.unlink()
        if target.running:
            run(["systemctl", "daemon-reload"])
            answers(["systemctl", "reset-failed", UNIT])  # fails where it has not failed

    return Step(f"remove {target.unit}", target.unit.exists, do)


def _link(target: Target) -> Step:
    def ours() -> bool:
        return target.link.is_symlink() and target.link.readlink() == target.prefix / "bin/node-ctl"

    return Step(f"remove {target.link}", ours, target.link.unlink)


def _environment(target: Target) -> Step:
    folder = target.at(target.prefix)
    return Step(f"remove {folder}", lambda: environment.is_ours(target), lambda: shutil.rmtree(folder))


def _remove(path: Path) -> Step:
    def do() -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    return Step(f"remove {path}", path.exists, do)


def _user(target: Target) -> Step:
    def do() -> None:
        run(["userdel", USER])
        if answers(["getent", "group", USER]):  # it has members: those who may use node-ctl
            run(["groupdel", USER])

    return Step(f"remove the user and the group {USER}", lambda: user_exists(target), do)
