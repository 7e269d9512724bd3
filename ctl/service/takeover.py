"""What ``service install`` takes over from the user who calls sudo: launches and weights."""

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config import instance
from config.paths import NAME, SERVICE_ENVIRONMENT
from ctl.service import weights
from ctl.service.steps import UNIT, USER, Step, Target, output_of, run
from domain.errors import NodeError
from domain.units import gib

END_TIMEOUT_S = 300.0  # engines are stopped one after the other, each with its grace period
POLL_S = 0.1


@dataclass(slots=True)
class TakeOver:
    """``launches``, names of ``pinned`` weights and models being pulled are those of ``user``, as
    ``daemon.takeover`` reads them; ``taken`` and ``left`` are for the owner, filled by the steps."""

    user: str
    home: Path
    state_dir: Path
    models_dir: Path
    launches: list[dict[str, Any]]
    pinned: list[str]
    pulls: list[str]
    weights_bytes: int
    taken: list[str] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.launches and not self.weights_bytes

    @property
    def summary(self) -> str:
        names = ", ".join(launch["request"]["name"] for launch in self.launches) or "no launches"
        return f"{names}, and {gib(self.weights_bytes)} of weights in {self.models_dir}"

    def steps(self, target: Target) -> Sequence[Step]:
        return [
            Step(
                f"stop the node-daemon of {self.user}",
                lambda: instance.running(self.state_dir) is not None,
                self._stop_daemon,
            ),
            Step(
                f"take over from {self.user}: {self.summary}",
                lambda: not self.is_empty,
                lambda: self._take(target),
            ),
        ]

    def _stop_daemon(self) -> None:
        """Ends it as its owner's node-ctl shutdown does. Raises: NodeError."""
        deadline = time.monotonic() + END_TIMEOUT_S
        holder = instance.running(self.state_dir)
        if holder is not None and holder.pid is not None:
            os.kill(holder.pid, signal.SIGTERM)
        while instance.running(self.state_dir) is not None:
            if time.monotonic() > deadline:
                raise NodeError(
                    f"the node-daemon of {self.user} is still running after {END_TIMEOUT_S:.0f} s",
                    hint=f"see {self.state_dir}/node-daemon.log; nothing was taken over",
                )
            time.sleep(POLL_S)

    def _take(self, target: Target) -> None:
        python = str(target.prefix / "bin/python")
        service = _ask(python, "read", env=SERVICE_ENVIRONMENT, user=USER)
        models_dir = Path(service["models_dir"])
        if self.weights_bytes:
            self._take_weights(models_dir)
        suited = [self._suited(launch, models_dir) for launch in self.launches]
        body = {"launches": [launch for launch in suited if launch], "pinned": self.pinned}
        if body["launches"] or (self.pinned and self.taken):
            self._add(python, body)
        self.left += [(f"the pull of {model}", f"node-ctl pull {model} continues it") for model in self.pulls]
        settings = self.home / ".config" / NAME / "config.toml"
        if settings.is_file():
            self.left.append((str(settings), "the service reads /etc/node-daemon/config.toml only"))

    def _add(self, python: str, body: dict[str, Any]) -> None:
        """The service is stopped for it, if it runs: its state has one writer."""
        if output_of(["systemctl", "is-active", UNIT]) == "active":
            run(["systemctl", "stop", UNIT])
        added = _ask(python, "add", env=SERVICE_ENVIRONMENT, user=USER, body=body)
        self.taken += [f"launch {name}" for name in added["taken"]]
        self.left += [(f"launch {one['name']}", one["why"]) for one in added["left"]]
        if added["taken"]:
            _ask(python, "forget", env={"HOME": str(self.home)}, user=self.user, body=added["taken"])

    def _take_weights(self, models_dir: Path) -> None:
        account = pwd.getpwnam(USER)
        owner = weights.Owner(account.pw_uid, account.pw_gid)
        if self.models_dir.resolve() == models_dir.resolve():
            return
        uid = pwd.getpwnam(self.user).pw_uid
        moved = weights.move(self.models_dir, models_dir, owner, is_readable, uid=uid)
        if moved.renamed_bytes:
            self.taken.append(f"{gib(moved.renamed_bytes)} of weights, moved to {models_dir}")
        if moved.copied_bytes:
            self.taken.append(
                f"{gib(moved.copied_bytes)} of weights, copied to {models_dir} on another file system,"
                f" and removed from {self.models_dir}"
            )
        self.left += moved.left

    def _suited(self, launch: dict[str, Any], models_dir: Path) -> dict[str, Any] | None:
        """The launch as the service can serve it; ``None``, and a line in ``left``, if it can't."""
        model = Path(launch["request"]["model"])
        if not model.is_absolute():
            return launch
        if model.is_relative_to(self.models_dir):
            model = models_dir / model.relative_to(self.models_dir)
        if not is_readable(model):
            name = launch["request"]["name"]
            self.left.append((f"launch {name}", f"the user {USER} can't read {model}"))
            return None
        return {**launch, "request": {**launch["request"], "model": str(model)}}


def survey(user: str) -> TakeOver:
    """What ``user`` has. Changes nothing. Raises: NodeError."""
    home = Path(pwd.getpwnam(user).pw_dir)
    found = _ask(sys.executable, "read", env={"HOME": str(home)})
    models_dir = Path(found["models_dir"])
    return TakeOver(
        user=user,
        home=home,
        state_dir=Path(found["state_dir"]),
        models_dir=models_dir,
        launches=found["launches"],
        pinned=found["pinned"],
        pulls=found["pulls"],
        weights_bytes=weights.size_bytes(models_dir),
    )


def is_readable(path: Path) -> bool:
    """Whether the user of the service can read ``path``, and all below it if it is a folder."""
    try:
        return not run(["find", "-L", str(path), "!", "-readable", "-print", "-quit"], user=USER)
    except NodeError:
        return False


def _ask(
    python: str, what: str, *, env: dict[str, str], user: str | None = None, body: object = None
) -> dict[str, Any]:
    """The answer of ``daemon.takeover`` for the settings that ``env`` leads to. Raises: NodeError."""
    groups: dict[str, Any] = {}
    if user is not None:
        groups = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    done = subprocess.run(
        [python, "-m", "daemon.takeover", what],
        input=json.dumps(body),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": os.defpath, **env},
        **groups,
    )
    if done.returncode != 0:
        raise NodeError(f"launches can't be taken over ({what}): {done.stderr.strip()[-400:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
