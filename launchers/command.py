"""Values: the command of an engine, how to stop it, how it ended."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from signal import Signals

LIBRARY_PATH = "LD_LIBRARY_PATH"
# HF_TOKEN, AWS_SECRET_ACCESS_KEY, OPENAI_API_KEY, SSH_AUTH_SOCK; not TOKENIZERS_PARALLELISM.
SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|ACCESS_KEY|PRIVATE_KEY|AUTH)"
    r"(?:_|$)",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(r"://[^/@\s]+@")  # a URL with a user name or password


def drop_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child that runs other people's weights and templates. It fetches nothing, so it
    needs no token."""
    return {
        name: value
        for name, value in environ.items()
        if not SECRET_NAME.search(name) and not SECRET_VALUE.search(value)
    }


def child_environment(base: Mapping[str, str], additions: Mapping[str, str]) -> dict[str, str]:
    """``base`` without secrets, with the additions; library folders go in front of those already there."""
    merged = {**drop_secrets(base), **additions}
    if base.get(LIBRARY_PATH) and additions.get(LIBRARY_PATH):
        merged[LIBRARY_PATH] = f"{additions[LIBRARY_PATH]}:{base[LIBRARY_PATH]}"
    return merged


@dataclass(frozen=True, slots=True)
class StopPolicy:
    """``grace_s`` after the signal the whole session is killed. ``shared_memory`` are patterns of
    names below /dev/shm that only this engine creates and may leave behind. ``starting_to_all``: the
    starting signal goes to every process of the session, the serving signal only to the leader."""

    starting_signal: Signals = Signals.SIGTERM
    starting_to_all: bool = False
    serving_signal: Signals = Signals.SIGTERM
    grace_s: float = 10.0
    shared_memory: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """``argv[0]`` is an absolute path; ``env`` are additions to the daemon's own environment."""

    argv: tuple[str, ...]
    port: int
    served_name: str
    env: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    health_path: str = "/health"
    stop: StopPolicy = StopPolicy()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        return child_environment(base, self.env)


@dataclass(frozen=True, slots=True)
class Exit:
    """How an engine ended. ``status`` is negative for a signal, ``None`` for an adopted engine, whose
    parent we are not. ``stop_requested``: without it, a status of 0 is a crash too. ``served``: it had
    answered before. ``oom_killed``: the kernel killed a process in its cgroup for memory."""

    status: int | None
    stop_requested: bool = False
    served: bool = False
    oom_killed: bool = False
