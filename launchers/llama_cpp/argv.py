"""The command line of llama-server for a plan, with the options that the build has."""

import re
from dataclasses import fields, replace
from pathlib import Path

from domain.errors import UsageError
from domain.launches.plan import EngineFlags, LlamaFlags, Plan
from launchers.base import Capabilities
from launchers.command import Command, StopPolicy
from launchers.llama_cpp.flags import FLAGS, LOAD_MODE, Flag, Kind, encode
from launchers.option_table import check_reserved, missing_option

# Set by the daemon: an owner's value could open the engine to the network.
RESERVED_FLAGS = """
--host --port --reuse-port -m --model -a --alias -lv --verbosity --log-verbosity --log-file --log-disable
--api-prefix --api-key --api-key-file --ssl-key-file --ssl-cert-file --tools -ag --agent --models-dir
--hf-token -hft
"""
SAVES = "--slot-save-path"
HINT = "install a newer llama.cpp, or point llama_server in the settings at one"
DEFAULTS = {item.name: item.default for item in fields(LlamaFlags)}
# The lowest verbosity that prints devices and buffers; it prints no prompts (b10068, b10434).
VERBOSITY = 4
# For builds without --load-mode: the switches for each mode.
SWITCHES_OF_MODE: dict[str, tuple[str, ...]] = {
    "auto": (),
    "mmap": (),
    "none": ("--no-mmap",),
    "mlock": ("--no-mmap", "--mlock"),
    "mmap+mlock": ("--mlock",),
    "dio": ("--direct-io",),
}


def arguments(flags: EngineFlags, caps: Capabilities) -> tuple[str, ...]:
    if not isinstance(flags, LlamaFlags):
        raise UsageError(f"llama.cpp can't take the flags of another engine: {type(flags).__name__}")
    check_reserved(flags.extra, RESERVED_FLAGS.split())
    argv: list[str] = []
    for flag in FLAGS:
        argv += _words(flag, getattr(flags, flag.field), caps)
    return (*argv, *_load_mode(flags.load_mode, caps), *flags.extra)


def _words(flag: Flag, value: object, caps: Capabilities) -> tuple[str, ...]:
    if value is None or value == ():
        return ()
    if flag.kind is Kind.SWITCH:
        if value == DEFAULTS[flag.field]:
            return ()
        names = flag.names if value else flag.off
    else:
        names = flag.names
    option = caps.first(names)
    if option is None:
        if flag.optional:
            return ()
        raise missing_option(names[0], caps, hint=HINT)
    if flag.kind is Kind.SWITCH:
        return (option,)
    word = encode(flag, value)
    if caps.values.get(option) and flag.values and word not in caps.values[option]:
        raise missing_option(f"{option} {word}", caps, hint=HINT)
    return (option, word)


def _load_mode(mode: str | None, caps: Capabilities) -> tuple[str, ...]:
    if mode is None:
        return ()
    option = caps.first(LOAD_MODE)
    if option is not None:
        if mode not in caps.values.get(option, (mode,)):
            raise missing_option(f"{option} {mode}", caps, hint=HINT)
        return (option, mode)
    switches = SWITCHES_OF_MODE.get(mode, (mode,))
    if missing := [name for name in switches if name not in caps.flags]:
        raise missing_option(missing[0], caps, hint=HINT)
    return switches


def command(plan: Plan, *, caps: Capabilities, port: int, name: str) -> Command:
    """With the bare file name for a plan without weights on this disk: to be shown, not to be run."""
    model = plan.weights.first_path or plan.weights.files[0].name
    plan = replace(plan, flags=_with_paths(plan.flags, plan.weights.location))
    argv = (caps.path, "--model", model, "--host", "127.0.0.1", "--port", str(port), "--alias", name)
    return Command(
        argv=(*argv, *arguments(plan.flags, caps), *_service_options(caps)),
        port=port,
        served_name=name,
        env=dict(caps.env),
        stop=StopPolicy(grace_s=10.0),
        connects=rpc_ports(plan.flags),
        writes=_writes(plan.flags),
        kind=plan.weights.kind,
        key_option=caps.first(("--api-key-file",)),
    )


def _with_paths(flags: EngineFlags, location: str | None) -> EngineFlags:
    """A plan names the files beside the model as the repository does."""
    if not isinstance(flags, LlamaFlags) or location is None:
        return flags
    paths = (str(Path(location, name)) if name else None for name in (flags.mmproj, flags.draft_model))
    mmproj, draft = paths
    return replace(flags, mmproj=mmproj, draft_model=draft)


def rpc_ports(flags: EngineFlags) -> tuple[int, ...]:
    """Of the RPC servers, ``host:port``."""
    servers = flags.rpc if isinstance(flags, LlamaFlags) else ()
    ports = (server.rpartition(":")[2] for server in servers)
    return tuple(int(port) for port in ports if re.fullmatch(r"[0-9]{1,5}", port))


def _writes(flags: EngineFlags) -> tuple[str, ...]:
    """Where an owner's options have it save the states of conversations."""
    words = (*flags.extra, "")
    following = (words[index + 1] for index, word in enumerate(words) if word == SAVES)
    return (*following, *(word.partition("=")[2] for word in words if word.startswith(f"{SAVES}=")))


def _service_options(caps: Capabilities) -> tuple[str, ...]:
    """A log that can be parsed, no network, no requests from web pages, metrics."""
    wanted = (
        ("--verbosity", str(VERBOSITY)),
        ("--offline",),
        ("--cors-origins", "localhost"),
        ("--metrics",),
    )
    return tuple(word for words in wanted if words[0] in caps.flags for word in words)
