"""The steps of ``node-ctl service uninstall``."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ctl.service import environment
from ctl.service.status import orphans
from ctl.service.steps import UNIT, USER, Step, Target, output_of, run, user_exists


def steps(target: Target, *, purge: bool) -> Sequence[Step]:
    chosen = [_stop(target), _unit(target), _link(target)]
    chosen += [_remove(path) for path in (target.tmpfiles, target.sysusers)]
    if purge:
        folders = ("/var/lib/node-daemon", "/var/cache/node-daemon", "/etc/node-daemon")
        chosen += [_remove(target.at(folder)) for folder in folders]
        chosen += [_remove(target.unit.with_name(f"{UNIT}.d"))]
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
            run(["systemctl", "kill", "--kill-whom=all", "--signal=KILL", UNIT])

    return Step("stop the service with all its engines, and disable it at boot", needed, do)


def _unit(target: Target) -> Step:
    def do() -> None:
        target.unit.unlink()
        if target.running:
            run(["systemctl", "daemon-reload"])
            output_of(["systemctl", "reset-failed", UNIT])  # an error where it has not failed

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
        if output_of(["getent", "group", USER]):  # it has members: the users of node-ctl
            run(["groupdel", USER])

    return Step(f"remove the user and the group {USER}", lambda: user_exists(target), do)
