"""The steps of ``node-ctl service install``."""

import grp
import time
from collections.abc import Sequence
from pathlib import Path

from ctl.service import environment
from ctl.service.steps import (
    ENGINE_UNIT,
    RULES,
    SLICE,
    UNIT,
    USER,
    Step,
    Target,
    differs,
    output_of,
    packaged_file,
    require_systemd,
    run,
    user_exists,
    write,
)
from ctl.service.takeover import TakeOver
from domain.errors import NodeError

POLKIT = Path("/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service")


def steps(
    target: Target, *, now: bool, member: str | None, take_over: TakeOver | None = None
) -> Sequence[Step]:
    """``member`` is the user who called sudo, ``take_over`` what the service is to have of that user."""
    if target.running:
        require_systemd(hint="run node-daemon by hand, or use --root")
    if now and not target.running:
        raise NodeError("--now can't be used with --root", hint="leave out --now")
    chosen = [_user(target), *_copy(target), _link(target), _rules(target)]
    chosen.append(_unit(target, SLICE, target.slice))
    chosen += [_unit(target, ENGINE_UNIT, target.engine_unit), _unit(target, UNIT, target.unit)]
    chosen += [_folders(target), _enable(target)]
    if target.running and member and member != "root":
        chosen.append(_member(member))
    if take_over is not None:
        chosen += take_over.steps(target)
    if now:
        chosen.append(_start(target))
    return chosen


def _user(target: Target) -> Step:
    text = packaged_file("node-daemon.sysusers")

    def do() -> None:
        write(target.sysusers, text)
        run(target.tool("systemd-sysusers", target.sysusers.name))

    return Step(
        f"create the user {USER} in the groups render and video ({target.sysusers})",
        lambda: differs(target.sysusers, text) or not user_exists(target),
        do,
    )


def _copy(target: Target) -> Sequence[Step]:
    if environment.runs_from(target):
        return ()

    what = f"copy this environment to {target.at(target.prefix)}"
    return (Step(what, lambda: not environment.is_current(target), lambda: environment.copy(target)),)


def _link(target: Target) -> Step:
    wanted = target.prefix / "bin/node-ctl"
    taken = target.link.exists() and not target.link.is_symlink()
    if taken:
        return Step(f"leave {target.link} as it is: it was not made by node-ctl", lambda: False, lambda: None)

    def do() -> None:
        target.link.parent.mkdir(parents=True, exist_ok=True)
        target.link.unlink(missing_ok=True)
        target.link.symlink_to(wanted)

    return Step(
        f"link {target.link} to {wanted}",
        lambda: not (target.link.is_symlink() and target.link.readlink() == wanted),
        do,
    )


def _rules(target: Target) -> Step:
    text = packaged_file(RULES)
    has_polkit = not target.running or POLKIT.is_file()
    lacking = "" if has_polkit else "; polkit is missing: engines run as the daemon's user without it"
    return Step(
        f"let the service start the units of its engines ({target.rules}{lacking})",
        lambda: differs(target.rules, text),
        lambda: write(target.rules, text),
    )


def _unit(target: Target, name: str, file: Path) -> Step:
    text = packaged_file(name).replace("/opt/node-daemon", str(target.prefix))

    def do() -> None:
        before = file.read_text() if file.is_file() else None
        write(file, text)
        if not target.running:  # without systemd's own units it can't be verified
            return
        try:
            run(["systemd-analyze", "verify", name])
        except NodeError:
            if before is None:
                file.unlink()
            else:
                write(file, before)
            raise
        run(["systemctl", "daemon-reload"])

    return Step(f"write {file}", lambda: differs(file, text), do)


def _folders(target: Target) -> Step:
    text = packaged_file("node-daemon.tmpfiles")

    def do() -> None:
        write(target.tmpfiles, text)
        run(target.tool("systemd-tmpfiles", "--create", target.tmpfiles.name))

    return Step(
        f"create {target.state} and the folders beside it ({target.tmpfiles})",
        lambda: differs(target.tmpfiles, text) or not target.state.is_dir(),
        do,
    )


def _enable(target: Target) -> Step:
    return Step(
        "enable the service at boot",
        lambda: output_of(target.tool("systemctl", "is-enabled", UNIT)) != "enabled",
        lambda: _quiet(target.tool("systemctl", "enable", UNIT)),
    )


def _member(name: str) -> Step:
    def needed() -> bool:
        try:
            return name not in grp.getgrnam(USER).gr_mem
        except KeyError:  # with --dry-run there is no such group yet
            return True

    return Step(
        f"add {name} to the group {USER}, to use node-ctl without sudo after logging in again",
        needed,
        lambda: _quiet(["usermod", "--append", "--groups", USER, name]),
    )


def _start(target: Target) -> Step:
    def needed() -> bool:
        return output_of(["systemctl", "is-active", UNIT]) != "active" or _is_older_than_its_files(target)

    return Step(
        "start the service with what is installed now", needed, lambda: _quiet(["systemctl", "restart", UNIT])
    )


def _is_older_than_its_files(target: Target) -> bool:
    shown = output_of(["systemctl", "show", "--property=ExecMainStartTimestampMonotonic", "--value", UNIT])
    started_ago_s = time.clock_gettime(time.CLOCK_MONOTONIC) - int(shown or 0) / 1e6
    files = (target.unit, target.at(target.prefix) / environment.STAMP)
    return any(file.exists() and file.stat().st_mtime > time.time() - started_ago_s for file in files)


def _quiet(argv: Sequence[str]) -> None:
    run(argv)
