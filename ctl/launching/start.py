"""Starts or restarts launches, and waits until they are served: what start and restart share."""

import sys
from collections.abc import Sequence
from typing import Any, Literal

from ctl.client import Daemon
from ctl.exit_codes import DONE, INTERRUPTED
from ctl.launching.follow import follow_launch, wait_until_ready
from ctl.launching.several import STOP_TIMEOUT_S, for_each
from ctl.options import launch_path
from ctl.show.formatting import decode
from ctl.show.launches import api_base, launch_lines
from ctl.show.progress import PlainView
from ctl.terminal import note, print_json
from domain.launches.launch import LaunchRow
from domain.units import rate


def begin(
    daemon: Daemon, what: Literal["start", "restart"], names: Sequence[str], *, no_wait: bool, as_json: bool
) -> int:
    """The exit status: that of the first that failed."""

    def accept(name: str) -> Any:
        return daemon.post(f"{launch_path(name)}/{what}", timeout_s=STOP_TIMEOUT_S)

    def serve(name: str) -> Any:
        return follow_launch(daemon, accept(name)["name"], PlainView(to=sys.stderr, head=f"{name}: "))

    if no_wait:
        return for_each(names, accept, lambda name, _: f"{what}ing {name}", as_json=as_json)
    if len(names) == 1:
        detail, is_new = wait_until_ready(daemon, accept(names[0]), quiet=as_json)
        print_json(detail) if as_json else print("\n".join(["", *launch_lines(detail, is_new=is_new)]))
        return DONE
    try:
        return for_each(names, serve, _served_line, as_json=as_json)
    except KeyboardInterrupt:
        note("\nthe launches continue in the daemon: node-ctl ps")
        return INTERRUPTED


def _served_line(name: str, detail: Any) -> str:
    row = decode(LaunchRow, detail["launch"])
    speed = f"{rate(row.decode_tokens_per_s)} tokens/s, " if row.decode_tokens_per_s else ""
    return f"{name} is ready, {speed}{api_base(row.endpoint or '')}"
